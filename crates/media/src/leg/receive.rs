//! Packets to frames.

use crate::dtmf::{EventKey, EventPayload, EventPhase, EventReceiver};
use crate::frame::{self, Frame, FrameBody, StreamId};
use crate::jitter::{Placed, Released, ReorderWindow, Slot};
use crate::leg::{LegTimer, sooner};
use crate::negotiated::{Negotiated, Payload, PayloadMap};
use crate::rtp::Packet;
use crate::stats::{LegStats, Reception};
use std::time::{Duration, Instant};

/// Follows one source at a time, puts its packets in order and turns them into frames.
#[derive(Debug)]
pub(super) struct Receiver {
    payloads: Option<PayloadMap>,
    receives: bool,
    ssrc: Option<u32>,
    /// The source before this one: its stragglers do not bring it back.
    retired: Option<(u32, Instant)>,
    stream: StreamId,
    clock: MediaClock,
    window: ReorderWindow,
    events: EventReceiver,
    reception: Reception,
}

/// Unwraps the timestamps of the source.
#[derive(Debug, Default)]
struct MediaClock {
    last: Option<(Instant, u32, u64)>,
}

/// How long stragglers of a source that was replaced are dropped. After that it may come back.
///
/// A straggler is later than its successor by no more than the network reorders, while of a fork that comes back
/// this much is lost: four times the reorder window for the one, ten packets for the other.
const RETIRED_MEMORY: Duration = Duration::from_millis(200);

/// Where unwrapped timestamps start, so that going back does not reach below zero.
const CLOCK_START: u64 = 1 << 40;

impl Receiver {
    pub(super) fn new(now: Instant, stream: u64) -> Self {
        Self {
            payloads: None,
            receives: false,
            ssrc: None,
            retired: None,
            stream: StreamId(stream),
            clock: MediaClock::default(),
            window: ReorderWindow::new(now),
            events: EventReceiver::default(),
            reception: Reception::default(),
        }
    }

    pub(super) fn update(&mut self, negotiated: &Negotiated) {
        self.payloads = Some(negotiated.receive);
        // The news may be that the source before this one is wanted again.
        self.retired = None;
        let receives = negotiated.direction.receives();
        if receives && !self.receives {
            // What the peer sent while it was told not to is not lost.
            self.window.restart();
            self.reception.restart();
        }
        self.receives = receives;
    }

    pub(super) fn reception(&self) -> &Reception {
        &self.reception
    }

    pub(super) fn reception_mut(&mut self) -> &mut Reception {
        &mut self.reception
    }

    /// Takes a packet from the allowed source.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        meaning: Option<Payload>,
        stats: &mut LegStats,
    ) {
        match meaning {
            Some(Payload::Audio(_) | Payload::ComfortNoise) => {
                if !self.follow(now, packet.ssrc) {
                    stats.late += 1;
                    return;
                }
                self.place(now, packet, matches!(meaning, Some(Payload::Audio(_))), stats);
            }
            // Some equipment sends events from a source of their own, beside the audio.
            Some(Payload::TelephoneEvent) if self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc) => {
                self.hear(now, packet.ssrc, packet.timestamp, packet.payload, stats);
            }
            Some(Payload::TelephoneEvent) => {
                self.ssrc = Some(packet.ssrc);
                if self.place(now, packet, false, stats) != Placed::Kept {
                    // Events know their own order; late is better than never.
                    self.hear(now, packet.ssrc, packet.timestamp, packet.payload, stats);
                }
            }
            None if self.ssrc == Some(packet.ssrc) => {
                self.place(now, packet, false, stats);
            }
            None => {}
        }
    }

    /// Returns the next frame in order.
    pub(super) fn poll_frame(&mut self, now: Instant, stats: &mut LegStats) -> Option<Frame<'_>> {
        let (released, timestamp, payload) = loop {
            if let Some(heard) = self.events.poll() {
                if heard.update.phase.begins() {
                    stats.events_received += 1;
                }
                return Some(Frame {
                    stream: self.stream,
                    timestamp: heard.began_at,
                    marker: matches!(heard.update.phase, EventPhase::Start | EventPhase::Whole),
                    body: FrameBody::Event(heard.update),
                });
            }
            let released = self.window.pop(now)?;
            if let Some((timestamp, payload)) = self.identify(now, released, stats) {
                break (released, timestamp, payload);
            }
        };
        let slot = self.window.slot(released)?;
        let body = match payload {
            Payload::Audio(codec) => FrameBody::Audio { codec, payload: &slot.payload },
            Payload::ComfortNoise => FrameBody::ComfortNoise { payload: &slot.payload },
            // `identify` has given it to the event receiver.
            Payload::TelephoneEvent => return None,
        };
        Some(Frame { stream: self.stream, timestamp, marker: slot.marker, body })
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.events.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        let reorder = self.window.poll_timeout().map(|due| (due, LegTimer::Reorder));
        let silence = self.events.poll_timeout().map(|due| (due, LegTimer::EventSilence));
        sooner(reorder, silence)
    }

    /// Whether a packet of this source is followed, changing over to it where it is new.
    fn follow(&mut self, now: Instant, ssrc: u32) -> bool {
        if self.ssrc == Some(ssrc) {
            return true;
        }
        let is_straggler = self.retired.is_some_and(|(retired, at)| {
            retired == ssrc && now.saturating_duration_since(at) < RETIRED_MEMORY
        });
        if is_straggler {
            return false;
        }
        if let Some(before) = self.ssrc.replace(ssrc) {
            self.retired = Some((before, now));
            self.begin_stream();
        }
        true
    }

    fn begin_stream(&mut self) {
        self.stream = StreamId(self.stream.0.wrapping_add(1));
        self.clock = MediaClock::default();
        self.window.restart();
    }

    fn place(&mut self, now: Instant, packet: &Packet<'_>, timed: bool, stats: &mut LegStats) -> Placed {
        let placed = self.window.insert(now, packet);
        match placed {
            Placed::Kept => {}
            Placed::Duplicate => stats.duplicate += 1,
            Placed::Late => stats.late += 1,
            Placed::Suspect => {}
            Placed::Restarted => {
                self.stream = StreamId(self.stream.0.wrapping_add(1));
                self.clock = MediaClock::default();
                self.reception.restart();
            }
        }
        match placed {
            Placed::Kept | Placed::Restarted | Placed::Late => {
                self.reception.count(now, packet.ssrc, packet.sequence, packet.timestamp, timed);
            }
            Placed::Duplicate | Placed::Suspect => {}
        }
        placed
    }

    /// Returns when a released packet belongs on the media clock, and what it is. Events go on to their receiver,
    /// and like packets of no meaning yield nothing here.
    fn identify(&mut self, now: Instant, released: Released, stats: &mut LegStats) -> Option<(u64, Payload)> {
        let &Slot { payload_type, timestamp, ssrc, ref payload, .. } = self.window.slot(released)?;
        match self.payloads?.payload(payload_type)? {
            audio @ (Payload::Audio(_) | Payload::ComfortNoise) => {
                Some((self.clock.unwrap(now, timestamp), audio))
            }
            Payload::TelephoneEvent => {
                let began_at = self.clock.unwrap_event(now, timestamp);
                match EventPayload::parse(payload) {
                    Ok(event) => {
                        self.events.handle_packet(now, EventKey { ssrc, timestamp }, began_at, event)
                    }
                    Err(_) => stats.malformed += 1,
                }
                None
            }
        }
    }

    /// Takes an event packet past the window.
    fn hear(&mut self, now: Instant, ssrc: u32, timestamp: u32, payload: &[u8], stats: &mut LegStats) {
        let began_at = if self.ssrc == Some(ssrc) {
            self.clock.unwrap_event(now, timestamp)
        } else {
            self.clock.at(now)
        };
        match EventPayload::parse(payload) {
            Ok(event) => self.events.handle_packet(now, EventKey { ssrc, timestamp }, began_at, event),
            Err(_) => stats.malformed += 1,
        }
    }
}

impl MediaClock {
    /// Returns the unwrapped form of a timestamp, which becomes the one that others are near to.
    fn unwrap(&mut self, now: Instant, timestamp: u32) -> u64 {
        let unwrapped = self.near(timestamp);
        self.last = Some((now, timestamp, unwrapped));
        unwrapped
    }

    /// Returns the unwrapped form of the timestamp of an event: that of its beginning, which says nothing of now.
    fn unwrap_event(&mut self, now: Instant, timestamp: u32) -> u64 {
        if self.last.is_none() { self.unwrap(now, timestamp) } else { self.near(timestamp) }
    }

    /// Returns the media time of now, going by the last packet.
    fn at(&self, now: Instant) -> u64 {
        self.last.map_or(CLOCK_START, |(at, _, unwrapped)| {
            unwrapped + frame::units(now.saturating_duration_since(at))
        })
    }

    fn near(&self, timestamp: u32) -> u64 {
        self.last.map_or(CLOCK_START, |(_, last, unwrapped)| {
            unwrapped.saturating_add_signed(i64::from(timestamp.wrapping_sub(last).cast_signed()))
        })
    }
}
