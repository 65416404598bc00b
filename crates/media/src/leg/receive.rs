//! Packets to frames.

use crate::dtmf::{EventKey, EventPayload, EventPhase, EventReceiver};
use crate::frame::{self, ClockRate, Frame, FrameBody, StreamId};
use crate::jitter::{Placed, Released, ReorderWindow, Slot};
use crate::leg::{LegTimer, sooner};
use crate::negotiated::{Negotiated, Payload, PayloadMap};
use crate::opus;
use crate::rtp::Packet;
use crate::stats::{LegStats, Reception};
use std::time::{Duration, Instant};
use trunkline_model::Codec;

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
    /// Packets that never came since the last frame of audio.
    lost: u16,
    events: EventReceiver,
    reception: Reception,
}

/// Unwraps the timestamps of the source.
#[derive(Debug, Default)]
struct MediaClock {
    rate: ClockRate,
    /// The last packet: when it came, its timestamp, and that unwrapped, in ticks.
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
            lost: 0,
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
                let clock = match meaning {
                    Some(Payload::Audio(codec)) => Some(ClockRate::of(codec)),
                    Some(Payload::ComfortNoise | Payload::TelephoneEvent(_)) | None => None,
                };
                self.place(now, packet, clock, stats);
            }
            // Some equipment sends events from a source of their own, beside the audio.
            Some(Payload::TelephoneEvent(clock)) if self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc) => {
                self.hear(now, packet, clock, stats);
            }
            Some(Payload::TelephoneEvent(clock)) => {
                self.ssrc = Some(packet.ssrc);
                if self.place(now, packet, None, stats) != Placed::Kept {
                    // Events know their own order; late is better than never.
                    self.hear(now, packet, clock, stats);
                }
            }
            None if self.ssrc == Some(packet.ssrc) => {
                self.place(now, packet, None, stats);
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
                    lost: 0,
                    body: FrameBody::Event(heard.update),
                });
            }
            let released = self.window.pop(now)?;
            self.lost = self.lost.saturating_add(released.lost);
            if let Some((timestamp, payload)) = self.identify(now, released, stats) {
                break (released, timestamp, payload);
            }
        };
        let slot = self.window.slot(released)?;
        let body = match payload {
            Payload::Audio(codec) => FrameBody::Audio { codec, payload: &slot.payload },
            Payload::ComfortNoise => FrameBody::ComfortNoise { payload: &slot.payload },
            // `identify` has given it to the event receiver.
            Payload::TelephoneEvent(_) => return None,
        };
        let lost = std::mem::take(&mut self.lost);
        Some(Frame { stream: self.stream, timestamp, marker: slot.marker, lost, body })
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
            self.window.restart();
        }
        true
    }

    fn begin_stream(&mut self) {
        self.stream = StreamId(self.stream.0.wrapping_add(1));
        self.clock = MediaClock::default();
        self.lost = 0;
    }

    /// Puts a packet in its place. `clock` is that of its timestamp, where it tells when it was sampled.
    fn place(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        clock: Option<ClockRate>,
        stats: &mut LegStats,
    ) -> Placed {
        let placed = self.window.insert(now, packet);
        match placed {
            Placed::Kept => {}
            Placed::Duplicate => stats.duplicate += 1,
            Placed::Late => stats.late += 1,
            Placed::Suspect => {}
            Placed::Restarted => {
                self.begin_stream();
                self.reception.restart();
            }
        }
        match placed {
            Placed::Kept | Placed::Restarted | Placed::Late => {
                self.reception.count(now, packet.ssrc, packet.sequence, packet.timestamp, clock);
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
            Payload::Audio(Codec::Opus) if opus::samples(payload).is_none() => {
                stats.malformed += 1;
                None
            }
            Payload::Audio(codec) => {
                let rate = ClockRate::of(codec);
                if rate != self.clock.rate {
                    // Timestamps of one clock say nothing on another (RFC 7160).
                    self.begin_stream();
                    self.clock.rate = rate;
                }
                Some((self.clock.unwrap(now, timestamp), Payload::Audio(codec)))
            }
            Payload::ComfortNoise => Some((self.clock.unwrap(now, timestamp), Payload::ComfortNoise)),
            Payload::TelephoneEvent(clock) => {
                let began_at = self.clock.unwrap_event(now, timestamp);
                // What is missing here was of an event too.
                self.lost = 0;
                match EventPayload::parse(payload) {
                    Ok(event) => {
                        let key = EventKey { ssrc, timestamp, clock };
                        self.events.handle_packet(now, key, began_at, event);
                    }
                    Err(_) => stats.malformed += 1,
                }
                None
            }
        }
    }

    /// Takes an event packet past the window.
    fn hear(&mut self, now: Instant, packet: &Packet<'_>, clock: ClockRate, stats: &mut LegStats) {
        let &Packet { ssrc, timestamp, payload, .. } = packet;
        let began_at = if self.ssrc == Some(ssrc) {
            self.clock.unwrap_event(now, timestamp)
        } else {
            self.clock.at(now)
        };
        match EventPayload::parse(payload) {
            Ok(event) => {
                self.events.handle_packet(now, EventKey { ssrc, timestamp, clock }, began_at, event);
            }
            Err(_) => stats.malformed += 1,
        }
    }
}

impl MediaClock {
    /// Returns the media time of a timestamp, which becomes the one that others are near to.
    fn unwrap(&mut self, now: Instant, timestamp: u32) -> u64 {
        let unwrapped = self.near(timestamp);
        self.last = Some((now, timestamp, unwrapped));
        self.units(unwrapped)
    }

    /// Returns the media time of the timestamp of an event: that of its beginning, which says nothing of now.
    fn unwrap_event(&mut self, now: Instant, timestamp: u32) -> u64 {
        if self.last.is_none() { self.unwrap(now, timestamp) } else { self.units(self.near(timestamp)) }
    }

    /// Returns the media time of now, going by the last packet.
    fn at(&self, now: Instant) -> u64 {
        self.last.map_or(CLOCK_START, |(at, _, unwrapped)| {
            self.units(unwrapped) + frame::units(now.saturating_duration_since(at))
        })
    }

    fn units(&self, ticks: u64) -> u64 {
        ticks / u64::from(self.rate.ticks_per_unit())
    }

    fn near(&self, timestamp: u32) -> u64 {
        self.last.map_or(CLOCK_START, |(_, last, unwrapped)| {
            unwrapped.saturating_add_signed(i64::from(timestamp.wrapping_sub(last).cast_signed()))
        })
    }
}
