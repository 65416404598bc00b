//! One browser: ICE-lite, DTLS and SRTP. The door to `str0m`.

mod address;
mod outgoing;
mod stream;

use crate::dtls::Certificate;
use crate::event::{Dropped, Event, Failure, PathQuality};
use crate::queue::Outputs;
use crate::stun::{self, Kind};
use address::Addresses;
use outgoing::Outgoing;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::crypto::Fingerprint;
use str0m::format::{Codec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc, RtcConfig, RtcError};
use stream::Streams;
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{DtlsRole, DtlsTransport, IceCredentials};

/// How soon a browser must be connected: half a minute of bad network, or of a user who is asked for the microphone.
pub const CONNECT_MAX: Duration = Duration::from_secs(30);

/// How long a browser may be silent before nothing is sent to it any more (RFC 7675 §5.1).
pub const CONSENT_MAX: Duration = Duration::from_secs(30);

/// One browser's media path: datagrams in, RTP out; RTP in, datagrams out.
///
/// What comes out is put into the [`Outputs`] of the hub, which owns the legs of a socket.
pub(crate) struct Leg {
    rtc: Rtc,
    candidates: Vec<SocketAddr>,
    transport: DtlsTransport,
    state: State,
    addresses: Addresses,
    streams: Streams,
    outgoing: Outgoing,
    /// When str0m wants to be woken.
    wake_at: Instant,
}

/// What a leg waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The browser's checks and its handshake, until then.
    Connecting(Instant),
    /// Its next check, until then.
    Connected(Instant),
    /// An ICE restart: consent has expired.
    Lost,
    /// Its end.
    Over,
}

impl Leg {
    /// Makes a leg that waits for its browser.
    pub(crate) fn new(
        now: Instant,
        certificate: &Certificate,
        candidates: &[SocketAddr],
        transport: DtlsTransport,
    ) -> Self {
        let mut rtc = config(certificate).build(now);
        for candidate in candidates {
            // One that is no unicast address is left out; the configuration refuses those.
            if let Ok(candidate) = Candidate::host(*candidate, Protocol::Udp) {
                rtc.add_local_candidate(candidate);
            }
        }
        let mut api = rtc.direct_api();
        api.set_ice_controlling(false);
        api.set_local_ice_credentials(credentials(&transport.local));
        api.set_remote_ice_credentials(credentials(&transport.remote));
        let bytes = transport.fingerprint.0.to_vec();
        api.set_remote_fingerprint(Fingerprint { hash_func: "sha-256".to_owned(), bytes });
        api.declare_media(mid(), MediaKind::Audio);
        api.declare_stream_tx(transport.ssrc.into(), None, mid(), None);
        // Fails only when called twice.
        let _ = api.start_dtls(transport.role == DtlsRole::Client);
        Self {
            rtc,
            candidates: candidates.to_vec(),
            state: State::Connecting(now + CONNECT_MAX),
            addresses: Addresses::default(),
            streams: Streams::default(),
            outgoing: Outgoing::new(transport.ssrc),
            wake_at: now,
            transport,
        }
    }

    /// Returns what was agreed on.
    pub(crate) fn transport(&self) -> &DtlsTransport {
        &self.transport
    }

    /// Whether the same DTLS association can go on under that agreement.
    pub(crate) fn continues(&self, transport: &DtlsTransport) -> bool {
        let ours = &self.transport;
        self.state != State::Over
            && ours.fingerprint == transport.fingerprint
            && ours.role == transport.role
            && ours.ssrc == transport.ssrc
    }

    /// Takes an ICE restart. What was agreed before goes on being used until the browser's checks come.
    pub(crate) fn restart(&mut self, now: Instant, transport: DtlsTransport, outputs: &mut Outputs) {
        if transport == self.transport {
            return;
        }
        let mut api = self.rtc.direct_api();
        api.set_local_ice_credentials(credentials(&transport.local));
        api.set_remote_ice_credentials(credentials(&transport.remote));
        self.transport = transport;
        if self.state == State::Lost {
            self.state = State::Connecting(now + CONNECT_MAX);
        }
        self.tick(now, outputs);
    }

    /// Takes a datagram. Nothing in one that is not authenticated changes anything but a counter.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        kind: Kind<'_>,
        datagram: &[u8],
        outputs: &mut Outputs,
    ) -> Result<(), Dropped> {
        match self.state {
            State::Connecting(_) | State::Connected(_) => {}
            State::Lost | State::Over => return Err(Dropped::Gone),
        }
        let same_family = |candidate: &&SocketAddr| candidate.is_ipv4() == source.is_ipv4();
        let destination = *self.candidates.iter().find(same_family).ok_or(Dropped::Malformed)?;
        let receive = Receive::new(Protocol::Udp, source, destination, datagram);
        let input = Input::Receive(now, receive.map_err(|_| Dropped::Malformed)?);
        if !self.rtc.accepts(&input) {
            return Err(match kind {
                Kind::Check(_) => Dropped::Forged,
                Kind::Dtls | Kind::Rtp { .. } | Kind::Rtcp => Dropped::NotValidated,
            });
        }
        match kind {
            Kind::Check(check) => {
                if !self.addresses.may_come_from(source) {
                    return Err(Dropped::TooManyAddresses);
                }
                self.take(now, input, outputs);
                self.checked(now, source, check.nominates, outputs);
                Ok(())
            }
            Kind::Dtls | Kind::Rtcp => {
                if self.take(now, input, outputs).is_some() {
                    Err(Dropped::Unreadable)
                } else {
                    Ok(())
                }
            }
            Kind::Rtp { ssrc } => {
                self.take_rtp(now, ssrc, input, outputs)?;
                if self.addresses.prove(now, source) {
                    outputs.event(Event::Moved);
                }
                Ok(())
            }
        }
    }

    /// Sends an RTP packet, under the SSRC that was agreed on. RTCP is not: str0m reports by itself.
    pub(crate) fn send_rtp(&mut self, now: Instant, packet: &[u8], outputs: &mut Outputs) {
        match self.state {
            State::Connected(_) => {}
            State::Connecting(_) | State::Lost | State::Over => return,
        }
        if rtp::is_rtcp(packet) {
            return;
        }
        if let Ok(packet) = rtp::parse(packet)
            && packet.payload.len() <= PAYLOAD_BYTES_MAX
        {
            self.outgoing.write(now, &mut self.rtc, &packet);
            self.tick(now, outputs);
        }
    }

    /// Says goodbye, if anybody listens.
    pub(crate) fn close(&mut self, now: Instant, outputs: &mut Outputs) {
        if matches!(self.state, State::Connected(_)) {
            self.state = State::Over;
            // What cannot be said is not said.
            let _ = self.rtc.close();
            self.tick(now, outputs);
        }
        self.state = State::Over;
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, outputs: &mut Outputs) {
        match self.state {
            State::Connecting(until) if until <= now => {
                let failure = if self.addresses.is_empty() { Failure::Ice } else { Failure::Dtls };
                self.end(Event::Failed(failure), outputs);
            }
            State::Connected(until) if until <= now => {
                self.state = State::Lost;
                outputs.event(Event::Lost);
            }
            State::Lost | State::Over => {}
            State::Connecting(_) | State::Connected(_) if self.wake_at <= now => self.tick(now, outputs),
            State::Connecting(_) | State::Connected(_) => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted; never once nothing is to come.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Connecting(until) | State::Connected(until) => Some(until.min(self.wake_at)),
            State::Lost | State::Over => None,
        }
    }

    /// Whether the browser has yet to connect.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.state, State::Connecting(_)) && !self.rtc.is_connected()
    }

    /// Returns the addresses that authenticated checks came from.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Notes an authenticated check.
    fn checked(&mut self, now: Instant, source: SocketAddr, nominates: bool, outputs: &mut Outputs) {
        if let Some(forgotten) = self.addresses.checked(source) {
            outputs.forget(forgotten);
        }
        match &mut self.state {
            State::Connected(until) => *until = now + CONSENT_MAX,
            // Back after consent had expired: the handshake was done before.
            State::Connecting(_) if self.rtc.is_connected() => {
                self.state = State::Connected(now + CONSENT_MAX);
                outputs.event(Event::Connected);
            }
            State::Connecting(_) | State::Lost | State::Over => {}
        }
        if self.addresses.nominate(now, source, nominates) {
            outputs.event(Event::Moved);
        }
    }

    /// Takes RTP. A stream becomes known by a packet that is authentic, not by what a description says: SSRCs change.
    fn take_rtp(
        &mut self,
        now: Instant,
        ssrc: u32,
        input: Input<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), Dropped> {
        // str0m takes it for a probe of the bandwidth, before it is authenticated.
        if ssrc == 0 {
            return Err(Dropped::Unauthentic);
        }
        let is_known = self.streams.is_known(ssrc);
        if !is_known {
            self.streams.expect(&mut self.rtc, ssrc);
        }
        let before = outputs.rtp_count();
        self.take(now, input, outputs);
        let is_authentic = outputs.rtp_count() != before;
        match (is_known, is_authentic) {
            (true, true) => Ok(()),
            (false, true) => {
                self.streams.keep(&mut self.rtc, ssrc);
                Ok(())
            }
            (true, false) => Err(Dropped::Unauthentic),
            (false, false) => {
                self.streams.forget(&mut self.rtc, ssrc);
                Err(Dropped::Unauthentic)
            }
        }
    }

    /// Hands something to str0m and takes what comes of it. Returns its error: one datagram's, not the leg's.
    fn take(&mut self, now: Instant, input: Input<'_>, outputs: &mut Outputs) -> Option<RtcError> {
        let error = self.rtc.handle_input(input).err();
        self.drain(now, outputs);
        error
    }

    fn tick(&mut self, now: Instant, outputs: &mut Outputs) {
        self.take(now, Input::Timeout(now), outputs);
    }

    /// Takes all that str0m has.
    fn drain(&mut self, now: Instant, outputs: &mut Outputs) {
        for _ in 0..OUTPUTS_MAX {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.wake_at = at;
                    if !self.rtc.is_alive() {
                        self.end(Event::Closed, outputs);
                    }
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    let bytes: Vec<u8> = transmit.contents.into();
                    // str0m would go on with the pair of the highest priority until that has been silent for 15 s. Only
                    // the answer to a check goes to where it came from.
                    let chosen = self.addresses.chosen().filter(|_| !stun::is_stun(&bytes));
                    outputs.transmit(chosen.unwrap_or(transmit.destination), bytes);
                }
                Ok(Output::Event(event)) => self.happened(now, event, outputs),
                // The handshake ran out of time, or the certificate is another than was agreed on.
                Err(_) => return self.end(Event::Failed(Failure::Dtls), outputs),
            }
        }
        self.wake_at = now;
    }

    fn happened(&mut self, now: Instant, event: str0m::Event, outputs: &mut Outputs) {
        match event {
            str0m::Event::Connected => {
                self.state = State::Connected(now + CONSENT_MAX);
                outputs.event(Event::Connected);
            }
            str0m::Event::RtpPacket(packet) => outputs.rtp(&Packet {
                payload_type: *packet.header.payload_type,
                marker: packet.header.marker,
                sequence: packet.header.sequence_number,
                timestamp: packet.header.timestamp,
                ssrc: *packet.header.ssrc,
                payload: &packet.payload,
            }),
            str0m::Event::MediaEgressStats(stats) => {
                let fraction_lost = stats.loss.map(|loss| (loss.clamp(0.0, 1.0) * 255.0) as u8);
                if stats.rtt.is_some() || fraction_lost.is_some() {
                    outputs.event(Event::Reported(PathQuality { fraction_lost, rtt: stats.rtt }));
                }
            }
            str0m::Event::Closed => self.end(Event::Closed, outputs),
            // The others are of video, data channels, bandwidth estimation, or shown better by our own state.
            _ => {}
        }
    }

    fn end(&mut self, event: Event, outputs: &mut Outputs) {
        match self.state {
            State::Over => {}
            State::Connecting(_) | State::Connected(_) | State::Lost => {
                self.state = State::Over;
                outputs.event(event);
            }
        }
    }
}

impl std::fmt::Debug for Leg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leg").field("state", &self.state).finish_non_exhaustive()
    }
}

fn config(certificate: &Certificate) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_crypto_provider(certificate.provider())
        .set_dtls_cert(certificate.certificate())
        .set_ice_lite(true)
        .set_rtp_mode(true)
        // A name of a media line in a header would bind a stream to it before the packet is authenticated.
        .clear_extension_map()
        .clear_codecs()
        .set_stats_interval(Some(STATS_INTERVAL));
    let codecs = config.codec_config();
    // What a number means is between our RTP leg and the browser. Here it has a clock only, for RTCP.
    for (number, codec) in [(0, Codec::PCMU), (8, Codec::PCMA)] {
        codecs.add_config(number.into(), None, codec, Frequency::EIGHT_KHZ, None, FormatParams::default());
    }
    for number in 96..=127 {
        let clock = Frequency::FORTY_EIGHT_KHZ;
        codecs.add_config(number.into(), None, Codec::Opus, clock, Some(2), FormatParams::default());
    }
    config
}

fn credentials(of: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: of.ufrag.to_string(), pass: of.password.to_string() }
}

/// The one media line that a leg has, inside str0m.
fn mid() -> Mid {
    "0".into()
}

/// Largest payload sent: what fits a datagram of 1,200 bytes, more than any packet of ours has.
const PAYLOAD_BYTES_MAX: usize = 1150;

/// How often the browser's reports are looked at: str0m's own reports go out as often.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// Most outputs taken at a time: a flight of a handshake is ten datagrams.
const OUTPUTS_MAX: usize = 64;
