//! An RTP leg: packets in and frames out, frames in and packets out.
//!
//! | part | module |
//! |---|---|
//! | from where packets may come, and where they go | `source` |
//! | packets to frames | `receive` |
//! | frames to packets | `send` |
//! | the outgoing media clock | `timeline` |
//! | RTCP | `report` |
//! | packets that wait for the shell | `queue` |

mod queue;
mod receive;
mod report;
mod send;
mod source;
mod timeline;

use crate::dtmf::{DigitTiming, DigitsRefused};
use crate::frame::{Frame, PAYLOAD_BYTES_MAX};
use crate::negotiated::{Negotiated, Payload};
use crate::rtcp;
use crate::rtp;
use crate::stats::LegStats;
use ipnet::IpNet;
use queue::TransmitQueue;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use receive::Receiver;
use report::Reporter;
use send::Sender;
use source::{Sources, Verdict};
use std::net::SocketAddr;
use std::time::Instant;
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
    negotiated: Option<Negotiated>,
    sources: Sources,
    receiver: Receiver,
    sender: Sender,
    reporter: Reporter,
    queue: TransmitQueue,
    stats: LegStats,
}

impl RtpLeg {
    /// Makes a leg.
    pub fn new(config: LegConfig, now: Instant) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let ssrc = random.random();
        let mut leg = Self {
            negotiated: None,
            sources: Sources::new(config.latch),
            receiver: Receiver::new(now, random.random()),
            sender: Sender::new(ssrc, random.random(), random.random()),
            reporter: Reporter::new(now, ssrc, random),
            queue: TransmitQueue::default(),
            stats: LegStats::default(),
        };
        if let Some(negotiated) = config.negotiated {
            leg.update(now, negotiated);
        }
        leg
    }

    /// Takes what a new offer and answer agreed on. SSRC, sequence numbers and timestamps go on.
    pub fn update(&mut self, now: Instant, negotiated: Negotiated) {
        let moved = self.sources.update(&negotiated);
        self.receiver.update(&negotiated);
        self.sender.update(&negotiated, moved);
        if self.negotiated.is_none() {
            self.reporter.start(now);
        }
        self.negotiated = Some(negotiated);
    }

    /// Returns what offer and answer agreed on.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Returns where RTP goes now: the SDP address, or the latched one.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.sources.rtp_target()
    }

    /// Takes a datagram from the RTP port.
    pub fn handle_rtp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.negotiated.as_ref().is_some_and(|negotiated| negotiated.rtcp_mux) && rtp::is_rtcp(datagram) {
            return self.handle_rtcp(now, source, datagram);
        }
        let verdict = self.sources.judge_rtp(source);
        let (Some(negotiated), false) = (&self.negotiated, verdict == Verdict::Refused) else {
            self.stats.refused += 1;
            return;
        };
        let packet = match rtp::parse(datagram) {
            Ok(packet) if packet.payload.len() <= PAYLOAD_BYTES_MAX => packet,
            Ok(_) | Err(_) => {
                self.stats.malformed += 1;
                return;
            }
        };
        let meaning = negotiated.receive.payload(packet.payload_type);
        if !negotiated.direction.receives() {
            self.stats.unexpected += 1;
            return;
        }
        match meaning {
            Some(_) => self.sources.accept(source, verdict),
            // A stranger does not become the source with a packet that means nothing.
            None if verdict == Verdict::Latches => {
                self.stats.refused += 1;
                return;
            }
            None => {
                self.stats.unknown_payload += 1;
                // Its sequence number is used up all the same.
                return self.receiver.handle_packet(now, &packet, None, &mut self.stats);
            }
        }
        self.stats.received += 1;
        self.stats.received_bytes += packet.payload.len() as u64;
        self.stats.first_received.get_or_insert(now);
        self.stats.last_received = Some(now);
        if let Some(Payload::Audio(codec)) = meaning
            && self.stats.sent == 0
        {
            self.stats.codec = Some(codec);
        }
        self.receiver.handle_packet(now, &packet, meaning, &mut self.stats);
    }

    /// Takes a datagram from the RTCP port. Nothing in it ends a call (CVE-2021-43804).
    pub fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.negotiated.is_none() || !self.sources.admit_rtcp(source) {
            self.stats.refused += 1;
            return;
        }
        match rtcp::parse(datagram) {
            Ok(compound) => self.reporter.handle_compound(now, compound, &mut self.stats),
            Err(_) => self.stats.malformed += 1,
        }
    }

    /// Returns the next frame that is ready.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Frame<'_>> {
        self.receiver.poll_frame(now, &mut self.stats)
    }

    /// Sends a frame, in the codec and packet time of this leg.
    pub fn send(&mut self, now: Instant, frame: &Frame<'_>) {
        let target = self.target();
        self.sender.handle_frame(now, frame, target, &mut self.queue, &mut self.stats);
    }

    /// Sends a silent packet where audio would go, so that NAT bindings stay and a peer that answers to where RTP comes
    /// from knows where that is (RFC 6263, in a codec that was agreed on, for not every peer takes unknown ones).
    ///
    /// Nothing is sent while the peer takes nothing, or during an event. When it is needed is the owner's to know.
    pub fn keep_alive(&mut self, now: Instant) {
        let target = self.target();
        self.sender.keep_alive(now, target, &mut self.queue, &mut self.stats);
    }

    /// Queues digits to be sent as telephone events, or as tones where the peer takes no events.
    pub fn send_digits(
        &mut self,
        now: Instant,
        digits: &str,
        timing: DigitTiming,
    ) -> Result<(), DigitsRefused> {
        self.sender.push_digits(now, digits, timing)
    }

    /// Whether digits queued by [`send_digits`](Self::send_digits) are still being sent.
    pub fn is_sending_digits(&self) -> bool {
        self.sender.is_sending_digits()
    }

    /// Returns the next datagram to put on the wire.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.queue.pop()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.receiver.handle_timeout(now);
        let target = self.target();
        self.sender.handle_timeout(now, target, &mut self.queue, &mut self.stats);
        if self.reporter.is_due(now) {
            self.report(now, false);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_frame`](Self::poll_frame) are wanted, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        sooner(sooner(self.receiver.poll_timeout(), self.sender.poll_timeout()), self.reporter.poll_timeout())
    }

    /// Says goodbye by RTCP (RFC 3550 §6.6); to be called once, before the ports are closed.
    pub fn close(&mut self, now: Instant) {
        self.report(now, true);
    }

    /// Returns what was counted.
    pub fn stats(&self) -> LegStats {
        let jitter_ms = self.receiver.reception().jitter_ms();
        LegStats {
            lost: self.receiver.reception().lost(),
            jitter_ms,
            jitter_ms_max: self.stats.jitter_ms_max.max(jitter_ms),
            ..self.stats
        }
    }

    /// Returns what call records keep.
    pub fn quality(&self) -> LegQuality {
        self.stats().quality()
    }

    /// Where RTP may be sent now.
    fn target(&self) -> Option<SocketAddr> {
        if self.negotiated.as_ref()?.may_send() { self.sources.rtp_target() } else { None }
    }

    fn report(&mut self, now: Instant, bye: bool) {
        self.stats.jitter_ms_max = self.stats().jitter_ms_max;
        let received = self.receiver.reception_mut().report();
        let rtp_now = self.sender.timestamp_at(now);
        let target = self.sources.rtcp_target();
        self.reporter.report(now, bye, received, rtp_now, &self.stats, target, &mut self.queue);
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
