//! Packets to frames and frames to packets, for one peer.

use crate::dtmf::{DigitTiming, DigitsRefused};
use crate::frame::{Frame, PAYLOAD_BYTES_MAX};
use crate::leg::LegTimer;
use crate::leg::line::Wire;
use crate::leg::queue::PacketQueue;
use crate::leg::receive::Receiver;
use crate::leg::send::Sender;
use crate::leg::sooner;
use crate::negotiated::{Negotiated, Payload};
use crate::rtp::Packet;
use crate::stats::{LegStats, Reception};
use std::time::{Duration, Instant};
use trunkline_model::LegQuality;

/// All of a leg but where packets come from and go to, and RTCP.
#[derive(Debug)]
pub(super) struct RtpStream {
    negotiated: Option<Negotiated>,
    receiver: Receiver,
    sender: Sender,
    queue: PacketQueue<()>,
    stats: LegStats,
}

/// Where the packets of a stream begin, as RFC 3550 §5.1 wants it at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbering {
    /// The source.
    pub(super) ssrc: u32,
    /// The first sequence number.
    pub(super) sequence: u16,
    /// The first timestamp.
    pub(super) timestamp: u32,
    /// Names what comes, apart from what other streams bring.
    pub(super) stream: u64,
}

impl RtpStream {
    /// Makes a stream that sends and takes nothing yet.
    pub(super) fn new(now: Instant, numbering: Numbering) -> Self {
        let Numbering { ssrc, sequence, timestamp, stream } = numbering;
        Self {
            negotiated: None,
            receiver: Receiver::new(now, stream),
            sender: Sender::new(ssrc, sequence, timestamp),
            queue: PacketQueue::default(),
            stats: LegStats::default(),
        }
    }

    /// Takes what a new offer and answer agreed on. SSRC, sequence numbers and timestamps go on. `moved` is whether the
    /// peer listens elsewhere than before.
    pub(super) fn update(&mut self, now: Instant, negotiated: Negotiated, moved: bool) {
        self.receiver.update(&negotiated);
        self.sender.update(now, &negotiated, moved);
        self.negotiated = Some(negotiated);
    }

    /// Returns what offer and answer agreed on.
    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Takes a packet from the peer, once it is known to come from it.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        let Some(negotiated) = &self.negotiated else {
            self.stats.refused += 1;
            return;
        };
        if packet.payload.len() > PAYLOAD_BYTES_MAX {
            self.stats.malformed += 1;
            return;
        }
        if !negotiated.direction.receives() {
            self.stats.unexpected += 1;
            return;
        }
        let meaning = negotiated.receive.payload(packet.payload_type);
        let Some(payload) = meaning else {
            self.stats.unknown_payload += 1;
            // Its sequence number is used up all the same.
            return self.receiver.handle_packet(now, packet, None, &mut self.stats);
        };
        self.stats.received += 1;
        self.stats.received_bytes += packet.payload.len() as u64;
        self.stats.first_received.get_or_insert(now);
        self.stats.last_received = Some(now);
        if let Payload::Audio(codec) = payload
            && self.stats.sent == 0
        {
            self.stats.codec = Some(codec);
        }
        self.receiver.handle_packet(now, packet, meaning, &mut self.stats);
    }

    /// Returns the next frame that is ready.
    pub(super) fn poll_frame(&mut self, now: Instant) -> Option<Frame<'_>> {
        self.receiver.poll_frame(now, &mut self.stats)
    }

    /// Sends a frame, in the codec and packet time of the peer.
    pub(super) fn send(&mut self, now: Instant, frame: &Frame<'_>) {
        let may_send = self.may_send();
        let Self { sender, queue, stats, .. } = self;
        sender.handle_frame(&mut Wire { now, queue, stats }, frame, may_send);
    }

    /// Sends a silent packet where audio would go, if the peer takes anything.
    pub(super) fn keep_alive(&mut self, now: Instant) {
        if self.may_send() {
            let Self { sender, queue, stats, .. } = self;
            sender.keep_alive(&mut Wire { now, queue, stats });
        }
    }

    /// Queues digits to be sent as telephone events, or as tones where the peer takes no events.
    pub(super) fn send_digits(
        &mut self,
        now: Instant,
        digits: &str,
        timing: DigitTiming,
    ) -> Result<(), DigitsRefused> {
        self.sender.push_digits(now, digits, timing)
    }

    /// Whether digits queued by [`send_digits`](Self::send_digits) are still being sent.
    pub(super) fn is_sending_digits(&self) -> bool {
        self.sender.is_sending_digits()
    }

    /// Caps the effort of coding Opus from now on, to shed load.
    pub(super) fn set_complexity_max(&mut self, complexity: u8) {
        self.sender.set_complexity_max(complexity);
    }

    /// Takes what the peer's RTCP tells of the path to it: the share of packets lost there, of 256, and the round trip.
    pub(super) fn set_path(&mut self, fraction_lost: Option<u8>, round_trip: Option<Duration>) {
        if let Some(fraction_lost) = fraction_lost {
            self.stats.remote_fraction_lost = Some(fraction_lost);
            self.sender.hear_loss(fraction_lost);
        }
        self.stats.round_trip = round_trip.or(self.stats.round_trip);
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.receiver.handle_timeout(now);
        let may_send = self.may_send();
        let Self { sender, queue, stats, .. } = self;
        sender.handle_timeout(&mut Wire { now, queue, stats }, may_send);
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_frame`](Self::poll_frame) are wanted, and what for.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        sooner(self.receiver.poll_timeout(), self.sender.poll_timeout())
    }

    /// Returns what was counted.
    pub(super) fn stats(&self) -> LegStats {
        let jitter_ms = self.receiver.reception().jitter_ms();
        LegStats {
            lost: self.receiver.reception().lost(),
            jitter_ms,
            jitter_ms_max: self.stats.jitter_ms_max.max(jitter_ms),
            ..self.stats
        }
    }

    /// Returns what call records keep.
    pub(super) fn quality(&self) -> LegQuality {
        self.stats().quality()
    }

    /// Returns the next packet to send.
    pub(super) fn poll_datagram(&mut self) -> Option<&[u8]> {
        self.queue.pop().map(|(_, bytes)| bytes)
    }

    pub(super) fn stats_mut(&mut self) -> &mut LegStats {
        &mut self.stats
    }

    pub(super) fn reception_mut(&mut self) -> &mut Reception {
        self.receiver.reception_mut()
    }

    /// Returns the outgoing media clock of now, in ticks of the wire.
    pub(super) fn ticks_at(&self, now: Instant) -> u32 {
        self.sender.ticks_at(now)
    }

    fn may_send(&self) -> bool {
        self.negotiated.as_ref().is_some_and(Negotiated::may_send)
    }
}
