//! Offers and answers (RFC 3264, with the practice of RFC 6337): what one leg says about its audio.
//!
//! A [`MediaSession`] is one leg's side of the exchange. It makes offers, answers them and reads answers; what came out
//! is in [`negotiated`](MediaSession::negotiated). Who may offer when, is not its business: that is SIP's.
//!
//! A call that forks has one session, cloned at the point of the offer for each fork, so that each fork's answer
//! changes its own copy only. The rules it keeps on every path:
//!
//! - A description that is sent again unchanged is the same bytes; one that differs in anything has the next `o=`
//!   version (RFC 3264 §8). Versions only grow, also after [`rollback`](MediaSession::rollback).
//! - A media line never vanishes and never moves. What we do not do is refused with port 0 and stays refused.
//! - An offer or answer that fails changes nothing: the old session goes on (RFC 3261 §14.1).
//! - Nothing of a peer's description goes into ours, but the media lines we refuse back to it.

mod describe;
mod dtls;
mod error;
mod formats;
mod remote;

pub use dtls::{BROWSER, DtlsEnd, DtlsRole, DtlsTransport, Fingerprint, IceCredentials, LOCAL_UFRAG_CHARS};
pub use error::Error;
pub use remote::OfferView;

use crate::negotiated::{Direction, Negotiated, PTIME_MS_MAX, PTIME_MS_MIN, Payload, PayloadMap};
use crate::sdp::{Media, Sdp};
use bytes::Bytes;
use describe::{Description, Line, Profile};
use dtls::{DtlsLine, PeerDtls, Setup};
use formats::{Numbers, once_each, preferred_first};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::{ChaCha8Rng, ChaCha20Rng};
use remote::{Reach, Remote};
use std::net::IpAddr;
use trunkline_model::{Codec, MediaPolicy, OpusPolicy, Prefer};

/// Our end of a leg's audio: where it is and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// The address that is advertised: of the trunk if it names one, else of the socket.
    pub address: IpAddr,
    /// The port of RTP. RTCP has the port above.
    pub rtp_port: u16,
    /// Whether sharing RTP's port for RTCP is offered and accepted (RFC 5761). Off for carriers, mostly.
    pub rtcp_mux: bool,
    /// What we take, best first, under the numbers that we offer it with.
    formats: PayloadMap,
    prefer: Prefer,
    opus: OpusPolicy,
}

impl Local {
    /// Returns an end with what the policy allows, without shared RTCP.
    pub fn new(address: IpAddr, rtp_port: u16, policy: &MediaPolicy) -> Self {
        let ptime_ms = policy.ptime_ms.clamp(PTIME_MS_MIN, PTIME_MS_MAX);
        Self {
            address: address.to_canonical(),
            rtp_port,
            rtcp_mux: false,
            formats: formats::of_policy(policy, ptime_ms),
            prefer: policy.prefer,
            opus: policy.opus,
        }
    }

    /// Returns the codec to put first among formats, given the one that the call would like.
    fn preferred(&self, formats: &PayloadMap, wished: Option<Codec>) -> Option<Codec> {
        match self.prefer {
            Prefer::Quality if formats.number(Payload::Audio(Codec::Opus)).is_some() => Some(Codec::Opus),
            Prefer::Quality | Prefer::Passthrough => wished,
        }
    }
}

/// What the call wants of an offer or an answer, within what policy and peer allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// What we want to do: `SendOnly` holds the peer.
    pub direction: Direction,
    /// The codec to put first, such as the one that the other leg has; the policy's or the offerer's order when none,
    /// or when it is not available. A policy that prefers quality puts Opus before it. Unless it is Opus, the other leg
    /// is taken to have nothing above 4 kHz, and the peer is told so.
    pub prefer: Option<Codec>,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Nothing: the leg stays as it is.
    Unchanged,
    /// [`MediaSession::negotiated`] is new.
    Changed,
}

/// One leg's side of offer and answer.
#[derive(Debug, Clone)]
pub struct MediaSession {
    local: Local,
    session_id: u64,
    /// The `o=` version of `sent`.
    version: u64,
    /// What we sent last, as offer or answer, whatever became of it.
    sent: Option<Bytes>,
    /// The profile that the peer's audio line has.
    profile: Profile,
    numbers: Numbers,
    /// Our part of the exchange that was completed last.
    standing: Option<Stated>,
    /// Our offer that waits for its answer.
    pending: Option<Stated>,
    negotiated: Option<Negotiated>,
    /// What the peer itself wants, apart from what we let it.
    peer: Direction,
    /// ICE and DTLS, if the peer is a browser.
    dtls: Option<Dtls>,
}

/// One leg's side of ICE and DTLS.
#[derive(Debug, Clone)]
struct Dtls {
    /// Makes credentials.
    random: ChaCha20Rng,
    /// What the next description of ours says.
    line: DtlsLine,
    /// What stands.
    transport: Option<DtlsTransport>,
}

/// What a description of ours said.
#[derive(Debug, Clone)]
struct Stated {
    bytes: Bytes,
    lines: Vec<Line>,
    formats: PayloadMap,
    direction: Direction,
    rtcp_mux: bool,
    /// Whether what we send has nothing above 4 kHz, so that the peer need not send more.
    narrowband: bool,
}

/// What an offer leaves us to do.
enum Choice {
    /// Talk on this line.
    Talk(usize, Remote),
    /// Leave the audio, which had this line.
    Removed(usize),
}

impl MediaSession {
    /// Returns a session without offer or answer. The seed decides the session id of `o=`.
    pub fn new(local: Local, seed: u64) -> Self {
        // RFC 3264 §5: below 2^62. Some peers read it as a double, so it stays below 2^53.
        let session_id = ChaCha8Rng::seed_from_u64(seed).next_u64() >> 11;
        Self {
            local,
            session_id,
            version: 0,
            sent: None,
            profile: Profile::Avp,
            numbers: Numbers::new(),
            standing: None,
            pending: None,
            negotiated: None,
            peer: Direction::SendRecv,
            dtls: None,
        }
    }

    /// Returns a session with a browser, without offer or answer.
    ///
    /// The address and port of our end are those of the media worker's socket for browsers. The seed decides the session
    /// id, the SSRC and the ICE credentials, so it must be one that nobody can guess.
    pub fn with_browser(local: Local, end: DtlsEnd, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let local = Local { rtcp_mux: true, ..local };
        let line = DtlsLine {
            end,
            credentials: IceCredentials::generate(&mut random),
            setup: Setup::ActPass,
            mid: dtls::DEFAULT_MID.into(),
            ssrc: random.random(),
        };
        let session = Self::new(local, random.random());
        Self { profile: Profile::DtlsSavpf, dtls: Some(Dtls { random, line, transport: None }), ..session }
    }

    /// Returns what stands on the path to a browser, once an offer was answered; none if the peer is no browser.
    pub fn dtls(&self) -> Option<&DtlsTransport> {
        self.dtls.as_ref()?.transport.as_ref()
    }

    /// Returns our end.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Changes our end from the next offer or answer on.
    pub fn set_local(&mut self, local: Local) {
        let rtcp_mux = local.rtcp_mux || self.dtls.is_some();
        self.local = Local { rtcp_mux, ..local };
    }

    /// Returns what stands, once an offer was answered.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Returns what the peer itself wants to do: `SendOnly` when it holds us.
    ///
    /// That is what the other leg of a bridge wishes for. The direction that was negotiated would not do: where both
    /// ends hold it is `Inactive`, and each would then be told that the other still holds when it no longer does.
    pub fn peer_direction(&self) -> Direction {
        self.peer
    }

    /// Returns our description that stands, once an offer was answered.
    pub fn standing(&self) -> Option<&Bytes> {
        self.standing.as_ref().map(|stated| &stated.bytes)
    }

    /// Whether an offer of ours waits for its answer.
    pub fn is_offering(&self) -> bool {
        self.pending.is_some()
    }

    /// Makes an offer: the first, or one that changes the session. An offer that waits is replaced.
    ///
    /// Of a session that stands the codec stays first unless another is preferred.
    pub fn offer(&mut self, wish: Wish) -> Bytes {
        let mut lines = self.standing.as_ref().map(|stated| stated.lines.clone()).unwrap_or_default();
        // RFC 3264 §8.1: a stream that was removed comes back in its own line.
        for line in &mut lines {
            if matches!(line, Line::Removed) {
                *line = Line::Audio;
            }
        }
        if lines.is_empty() {
            lines.push(Line::Audio);
        }
        let current = self.negotiated.and_then(|negotiated| negotiated.send.audio()).map(|(_, codec)| codec);
        let formats = self.offer_formats();
        let preferred = match current {
            // A peer that has taken another codec has no Opus.
            Some(Codec::Pcmu | Codec::Pcma) => wish.prefer.or(current),
            Some(Codec::Opus) | None => self.local.preferred(&formats, wish.prefer.or(current)),
        };
        let formats = preferred_first(formats, preferred);
        // RFC 5761 §5.1.1: once agreed it is offered again; once declined it is over.
        let rtcp_mux = self.negotiated.map_or(self.local.rtcp_mux, |negotiated| negotiated.rtcp_mux);
        self.set_up(Setup::ActPass);
        let stated = self.state(lines, formats, wish, rtcp_mux);
        let bytes = stated.bytes.clone();
        self.pending = Some(stated);
        bytes
    }

    /// Offers again what stands, to refresh the session (RFC 4028 §7.4); a plain offer if nothing stands.
    ///
    /// The bytes are those of [`standing`](Self::standing), unless our end changed or an offer failed since.
    pub fn refresh(&mut self) -> Bytes {
        let Some(stated) = self.standing.clone() else { return self.offer(Wish::default()) };
        self.set_up(Setup::ActPass);
        let stated =
            self.describe(stated.lines, stated.formats, stated.direction, stated.rtcp_mux, stated.narrowband);
        let bytes = stated.bytes.clone();
        self.pending = Some(stated);
        bytes
    }

    /// Reads an offer without answering it: what the peer wants, for the other leg to be asked first.
    ///
    /// # Errors
    /// As [`answer_to`](Self::answer_to).
    pub fn read_offer(&self, offer: &[u8]) -> Result<OfferView, Error> {
        let sdp = Sdp::parse(offer)?;
        Ok(match self.choose(&sdp)? {
            Choice::Talk(_, remote) => OfferView::of(&remote),
            Choice::Removed(_) => OfferView::REMOVED,
        })
    }

    /// Answers an offer, and makes the outcome what stands.
    ///
    /// The first audio line that we can do is taken, all others are refused. The answer has only formats of the offer,
    /// under its numbers and in its order, but the preferred codec comes first.
    ///
    /// # Errors
    /// When the text is no description (400), or no audio line is usable (488), or an offer of ours waits (491).
    /// What stood before still stands.
    pub fn answer_to(&mut self, offer: &[u8], wish: Wish) -> Result<Bytes, Error> {
        if self.is_offering() {
            return Err(Error::OfferPending);
        }
        let sdp = Sdp::parse(offer)?;
        let choice = self.choose(&sdp)?;
        let lines = answer_lines(&sdp, &choice);
        let stated = match choice {
            Choice::Talk(_, remote) => self.answer_audio(lines, &remote, wish),
            Choice::Removed(_) => self.answer_removal(lines),
        };
        let bytes = stated.bytes.clone();
        self.standing = Some(stated);
        Ok(bytes)
    }

    /// Reads the answer to our offer, and makes the outcome what stands.
    ///
    /// May be called again for the same offer: carriers announce in a 183 and then answer with another address or codec.
    ///
    /// # Errors
    /// When there is no offer, the text is no description, its media lines are not those of the offer, or it leaves
    /// nothing to talk with. What stood before still stands, and the offer still waits.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<Accepted, Error> {
        let stated = self.pending.as_ref().or(self.standing.as_ref()).ok_or(Error::NoOffer)?;
        let sdp = Sdp::parse(answer)?;
        if sdp.media().len() != stated.lines.len() {
            return Err(Error::LineCount { offered: stated.lines.len(), answered: sdp.media().len() });
        }
        let mut pairs = stated.lines.iter().zip(sdp.media());
        let (line, media) =
            pairs.find(|(line, _)| !matches!(line, Line::Refused { .. })).ok_or(Error::NoAudio)?;
        if !media.kind().eq_ignore_ascii_case("audio") {
            return Err(Error::LineMismatch);
        }
        let mut rerouted = false;
        let is_gone = media.port() == 0 || matches!(line, Line::Removed);
        let (outcome, peer) = if is_gone {
            // Of a first offer nothing is left then; a session that stands falls silent.
            let silent =
                Negotiated { direction: Direction::Inactive, ..self.negotiated.ok_or(Error::Refused)? };
            (silent, Direction::Inactive)
        } else {
            let remote = Remote::read(&sdp, media, self.reach(), &stated.formats)?;
            let opus = remote.opus.settings(&self.local.opus);
            let agreed = Negotiated { opus, ..agree(stated, &remote) };
            let wish = answered_wish(stated.direction, remote.direction, self.peer);
            rerouted = remote.dtls().is_some_and(|peer| self.agree_dtls(peer));
            (agreed, wish)
        };
        self.peer = peer;
        if let Some(mut stated) = self.pending.take() {
            if is_gone {
                remove_audio(&mut stated.lines);
            }
            self.standing = Some(stated);
        }
        let before = self.negotiated.replace(outcome);
        Ok(if before == Some(outcome) && !rerouted { Accepted::Unchanged } else { Accepted::Changed })
    }

    /// Gives up an offer that was not accepted: what stood before it goes on (RFC 3261 §14.1).
    pub fn rollback(&mut self) {
        self.pending = None;
    }

    /// Finds the line of an offer to talk on, or sees that the peer removed the audio of a session that stands.
    fn choose(&self, sdp: &Sdp<'_>) -> Result<Choice, Error> {
        let (mut error, mut removed, mut wants_other) = (None, None, false);
        for (index, media) in sdp.media().iter().enumerate() {
            if !media.kind().eq_ignore_ascii_case("audio") {
                wants_other |= media.port() != 0;
                continue;
            }
            match Remote::read(sdp, media, self.reach(), &self.local.formats) {
                Ok(remote) => return Ok(Choice::Talk(index, remote)),
                Err(Error::Refused) => {
                    removed.get_or_insert(index);
                }
                Err(unusable) => {
                    error.get_or_insert(unusable);
                }
            }
        }
        match (error, removed) {
            (Some(error), _) => Err(error),
            // Fax in place of the audio, say: refused, the peer goes back to the audio.
            (None, _) if wants_other => Err(Error::NoAudio),
            (None, Some(first)) if self.negotiated.is_some() => Ok(Choice::Removed(first)),
            (None, Some(_)) => Err(Error::Refused),
            (None, None) => Err(Error::NoAudio),
        }
    }

    fn answer_audio(&mut self, lines: Vec<Line>, remote: &Remote, wish: Wish) -> Stated {
        let formats = once_each(&remote.formats);
        let formats = preferred_first(formats, self.local.preferred(&formats, wish.prefer));
        // RFC 3264 §6.1: what the peer does not send we cannot receive, and the other way round.
        let direction = remote.direction.reversed().intersection(wish.direction);
        let rtcp_mux = remote.rtcp_mux() && self.local.rtcp_mux;
        let mut send = formats;
        send.ptime_ms = remote.send_ptime_ms(self.local.formats.ptime_ms);
        self.profile = remote.profile;
        self.peer = remote.direction;
        self.numbers.learn(&formats);
        self.negotiated = Some(Negotiated {
            opus: remote.opus.settings(&self.local.opus),
            ..remote.negotiated(send, formats, direction, rtcp_mux)
        });
        if let Some(peer) = remote.dtls() {
            self.answer_dtls(peer);
        }
        self.state(lines, formats, Wish { direction, ..wish }, rtcp_mux)
    }

    /// Answers an offer that removed our stream: the line stays, with port 0 (RFC 3264 §8.2).
    fn answer_removal(&mut self, lines: Vec<Line>) -> Stated {
        if let Some(negotiated) = &mut self.negotiated {
            negotiated.direction = Direction::Inactive;
        }
        self.peer = Direction::Inactive;
        let wish = Wish { direction: Direction::Inactive, prefer: None };
        self.state(lines, self.offer_formats(), wish, false)
    }

    /// Returns what we offer, under the numbers that it has in this session.
    fn offer_formats(&self) -> PayloadMap {
        self.numbers.apply(&self.local.formats)
    }

    fn reach(&self) -> Reach {
        if self.dtls.is_some() { Reach::Dtls } else { Reach::Stated(self.local.address) }
    }

    fn set_up(&mut self, setup: Setup) {
        if let Some(dtls) = &mut self.dtls {
            dtls.line.setup = setup;
        }
    }

    /// Readies our part of an answer to a browser: new credentials if it restarts ICE (RFC 8839 §4.4.1.1.1), its name of
    /// the line, and who begins the handshake.
    fn answer_dtls(&mut self, peer: &PeerDtls) {
        let Some(dtls) = &mut self.dtls else { return };
        if dtls.transport.as_ref().is_some_and(|before| before.remote != peer.credentials) {
            dtls.line.credentials = IceCredentials::generate(&mut dtls.random);
        }
        if let Some(mid) = &peer.mid {
            dtls.line.mid.clone_from(mid);
        }
        dtls.line.setup = dtls.role(peer).into();
        self.agree_dtls(peer);
    }

    /// Makes the path to a browser what stands. Returns whether it is another than before.
    fn agree_dtls(&mut self, peer: &PeerDtls) -> bool {
        let Some(dtls) = &mut self.dtls else { return false };
        let transport = DtlsTransport {
            local: dtls.line.credentials.clone(),
            remote: peer.credentials.clone(),
            fingerprint: peer.fingerprint,
            role: dtls.role(peer),
            ssrc: dtls.line.ssrc,
        };
        let before = dtls.transport.replace(transport);
        before != dtls.transport
    }

    fn state(&mut self, lines: Vec<Line>, formats: PayloadMap, wish: Wish, rtcp_mux: bool) -> Stated {
        let narrowband = wish.prefer != Some(Codec::Opus);
        self.describe(lines, formats, wish.direction, rtcp_mux, narrowband)
    }

    /// Prints a description: the bytes sent last if nothing changed, else with the next version (RFC 3264 §8).
    fn describe(
        &mut self,
        lines: Vec<Line>,
        formats: PayloadMap,
        direction: Direction,
        rtcp_mux: bool,
        narrowband: bool,
    ) -> Stated {
        let description = Description {
            dtls: self.dtls.as_ref().map(|dtls| &dtls.line),
            local: &self.local,
            lines: &lines,
            profile: self.profile,
            formats: &formats,
            direction,
            rtcp_mux,
            narrowband,
        };
        let same = self.sent.take().filter(|sent| *sent == description.print(self.session_id, self.version));
        let bytes = match same {
            Some(sent) => sent,
            None => {
                self.version += 1;
                description.print(self.session_id, self.version)
            }
        };
        self.sent = Some(bytes.clone());
        Stated { bytes, lines, formats, direction, rtcp_mux, narrowband }
    }
}

impl Dtls {
    /// Returns our role: what it was while the association goes on (RFC 8842 §5.3), else what the peer leaves us.
    fn role(&self, peer: &PeerDtls) -> DtlsRole {
        let before = self.transport.as_ref().filter(|before| before.fingerprint == peer.fingerprint);
        before.map_or(peer.role, |before| before.role)
    }
}

/// Returns the lines of an answer: as many as the offer has, in its order (RFC 3264 §6).
fn answer_lines(sdp: &Sdp<'_>, choice: &Choice) -> Vec<Line> {
    let line = |(index, media): (usize, &Media<'_>)| match *choice {
        Choice::Talk(chosen, _) if chosen == index => Line::Audio,
        Choice::Removed(removed) if removed == index => Line::Removed,
        Choice::Talk(..) | Choice::Removed(_) => Line::refused(media),
    };
    sdp.media().iter().enumerate().map(line).collect()
}

/// Returns what our offer and its answer come to.
fn agree(stated: &Stated, remote: &Remote) -> Negotiated {
    // RFC 3264 §6.1 lets an answer name formats that were not offered; those were left out already.
    let mut send = once_each(&remote.formats);
    send.ptime_ms = remote.send_ptime_ms(stated.formats.ptime_ms);
    // An answer may only narrow what was offered. Phones that answer a hold with sendrecv are taken at what is left.
    let direction = stated.direction.intersection(remote.direction.reversed());
    remote.negotiated(send, stated.formats, direction, stated.rtcp_mux && remote.rtcp_mux())
}

/// Returns what the peer wants by its answer: what we did not offer it could not say, so it wants that as before.
fn answered_wish(offered: Direction, answered: Direction, before: Direction) -> Direction {
    Direction::from_parts(
        if offered.receives() { answered.sends() } else { before.sends() },
        if offered.sends() { answered.receives() } else { before.receives() },
    )
}

fn remove_audio(lines: &mut [Line]) {
    for line in lines {
        if matches!(line, Line::Audio) {
            *line = Line::Removed;
        }
    }
}
