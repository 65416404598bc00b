//! An RTP leg: packets in and frames out, frames in and packets out.
//!
//! | part | module |
//! |---|---|
//! | from where packets may come, and where they go | `source` |
//! | one stream each way, wherever it comes from and goes to | `stream` |
//! | packets to frames | `receive` |
//! | frames to packets | `send` |
//! | the outgoing media clock | `timeline` |
//! | the numbering of outgoing packets | `line` |
//! | RTCP | `report` |
//! | packets that wait for the shell | `queue` |

mod line;
mod queue;
mod receive;
mod report;
mod send;
mod source;
mod stream;
mod timeline;

use crate::dtmf::{DigitTiming, DigitsRefused};
use crate::frame::{Frame, PAYLOAD_BYTES_MAX};
use crate::negotiated::Negotiated;
use crate::rtcp;
use crate::rtp;
use crate::stats::LegStats;
use ipnet::IpNet;
use queue::PacketQueue;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use report::{Report, Reporter};
use source::{Sources, Verdict};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use stream::{Numbering, RtpStream};
use trunkline_model::LegQuality;

pub use queue::{Channel, Transmit};

/// How a leg is made.
#[derive(Debug, Clone)]
pub struct LegConfig {
    /// What offer and answer agreed on; none while the answer is awaited, when every packet is refused.
    pub negotiated: Option<Negotiated>,
    /// Networks that one RTP source may be latched from instead of the SDP address; empty for none.
    pub latch: Vec<IpNet>,
    /// Makes SSRC, first sequence number, first timestamp and CNAME. Different for each leg.
    pub seed: u64,
}

/// Why a leg wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegTimer {
    /// A packet has waited long enough for the one before it.
    Reorder,
    /// A telephone event has fallen silent.
    EventSilence,
    /// An end packet is to be repeated, or a digit that we send goes on.
    EventSending,
    /// Audio shorter than a packet has waited long enough for the rest.
    Packet,
    /// A pause that the far end does not send goes on.
    Pause,
    /// An RTCP report is due (RFC 3550 §6.3).
    Report,
}

/// One side of a call's audio.
///
/// After every `handle_*` call, drain [`poll_frame`](Self::poll_frame); after those and after
/// [`send`](Self::send), drain [`poll_transmit`](Self::poll_transmit); then read
/// [`poll_timeout`](Self::poll_timeout). Nothing is allocated for a packet once the buffers have grown to their size.
#[derive(Debug)]
pub struct RtpLeg {
    sources: Sources,
    stream: RtpStream,
    reporter: Reporter,
    reports: PacketQueue<(Channel, SocketAddr)>,
}

impl RtpLeg {
    /// Makes a leg.
    pub fn new(config: LegConfig, now: Instant) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let numbering = Numbering {
            ssrc: random.random(),
            stream: random.random(),
            sequence: random.random(),
            timestamp: random.random(),
        };
        let mut leg = Self {
            sources: Sources::new(config.latch),
            stream: RtpStream::new(now, numbering),
            reporter: Reporter::new(now, numbering.ssrc, random),
            reports: PacketQueue::default(),
        };
        if let Some(negotiated) = config.negotiated {
            leg.update(now, negotiated);
        }
        leg
    }

    /// Takes what a new offer and answer agreed on. SSRC, sequence numbers and timestamps go on.
    pub fn update(&mut self, now: Instant, negotiated: Negotiated) {
        let moved = self.sources.update(&negotiated);
        if self.stream.negotiated().is_none() {
            self.reporter.start(now);
        }
        self.stream.update(now, negotiated, moved);
    }

    /// Returns what offer and answer agreed on.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.stream.negotiated()
    }

    /// Returns where RTP goes now: the SDP address, or the latched one.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.sources.rtp_target()
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let negotiated = self.stream.negotiated();
        if negotiated.is_some_and(|negotiated| negotiated.rtcp_mux) && rtp::is_rtcp(datagram) {
            return self.handle_rtcp(now, source, datagram);
        }
        let verdict = self.sources.judge_rtp(source);
        let (Some(negotiated), false) = (negotiated, verdict == Verdict::Refused) else {
            self.stream.stats_mut().refused += 1;
            return;
        };
        let packet = match rtp::parse(datagram) {
            Ok(packet) if packet.payload.len() <= PAYLOAD_BYTES_MAX => packet,
            Ok(_) | Err(_) => {
                self.stream.stats_mut().malformed += 1;
                return;
            }
        };
        if negotiated.direction.receives() {
            match negotiated.receive.payload(packet.payload_type) {
                Some(_) => self.sources.accept(source, verdict),
                // A stranger does not become the source with a packet that means nothing.
                None if verdict == Verdict::Latches => {
                    self.stream.stats_mut().refused += 1;
                    return;
                }
                None => {}
            }
        }
        self.stream.handle_packet(now, &packet);
    }

    /// Takes a datagram from the RTCP port. Nothing in it ends a call (CVE-2021-43804).
    pub fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.stream.negotiated().is_none() || !self.sources.admit_rtcp(source) {
            self.stream.stats_mut().refused += 1;
            return;
        }
        match rtcp::parse(datagram) {
            Ok(compound) => self.reporter.handle_compound(now, compound, &mut self.stream),
            Err(_) => self.stream.stats_mut().malformed += 1,
        }
    }

    /// Returns the next frame that is ready.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Frame<'_>> {
        self.stream.poll_frame(now)
    }

    /// Sends a frame, in the codec and packet time of this leg.
    pub fn send(&mut self, now: Instant, frame: &Frame<'_>) {
        self.stream.send(now, frame);
    }

    /// Sends a silent packet where audio would go, so that NAT bindings stay and a peer that answers to where RTP comes
    /// from knows where that is (RFC 6263, in a codec that was agreed on, for not every peer takes unknown ones).
    ///
    /// Nothing is sent while the peer takes nothing, or during an event. When it is needed is the owner's to know.
    pub fn keep_alive(&mut self, now: Instant) {
        self.stream.keep_alive(now);
    }

    /// Queues digits to be sent as telephone events, or as tones where the peer takes no events.
    pub fn send_digits(
        &mut self,
        now: Instant,
        digits: &str,
        timing: DigitTiming,
    ) -> Result<(), DigitsRefused> {
        self.stream.send_digits(now, digits, timing)
    }

    /// Whether digits queued by [`send_digits`](Self::send_digits) are still being sent.
    pub fn is_sending_digits(&self) -> bool {
        self.stream.is_sending_digits()
    }

    /// Caps the effort of coding Opus from now on, to shed load.
    pub fn set_complexity_max(&mut self, complexity: u8) {
        self.stream.set_complexity_max(complexity);
    }

    /// Takes what is known of the path to the peer by other means than the RTCP that comes here: the share of packets
    /// lost there, of 256, and the round trip. Speech in Opus is coded to stand that loss.
    pub fn set_path(&mut self, fraction_lost: Option<u8>, round_trip: Option<Duration>) {
        self.stream.set_path(fraction_lost, round_trip);
    }

    /// Returns the next datagram to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        if let Some(remote) = self.sources.rtp_target()
            && let Some(bytes) = self.stream.poll_datagram()
        {
            return Some(Transmit { channel: Channel::Rtp, remote, bytes });
        }
        let ((channel, remote), bytes) = self.reports.pop()?;
        Some(Transmit { channel, remote, bytes })
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.stream.handle_timeout(now);
        if self.reporter.is_due(now) {
            self.report(now, false);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_frame`](Self::poll_frame) are wanted, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        sooner(self.stream.poll_timeout(), self.reporter.poll_timeout())
    }

    /// Says goodbye by RTCP (RFC 3550 §6.6); to be called once, before the ports are closed.
    pub fn close(&mut self, now: Instant) {
        self.report(now, true);
    }

    /// Returns what was counted.
    pub fn stats(&self) -> LegStats {
        self.stream.stats()
    }

    /// Returns what call records keep.
    pub fn quality(&self) -> LegQuality {
        self.stream.quality()
    }

    fn report(&mut self, now: Instant, bye: bool) {
        let stats = self.stats();
        self.stream.stats_mut().jitter_ms_max = stats.jitter_ms_max;
        let report = Report {
            bye,
            received: self.stream.reception_mut().report(),
            rtp_now: self.stream.ticks_at(now),
            stats: &stats,
        };
        self.reporter.report(now, &report, self.sources.rtcp_target(), &mut self.reports);
    }
}

/// Returns the timer that is due first. Asked after every packet, so kept to two comparisons.
fn sooner(
    one: Option<(Instant, LegTimer)>,
    other: Option<(Instant, LegTimer)>,
) -> Option<(Instant, LegTimer)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    }
}
