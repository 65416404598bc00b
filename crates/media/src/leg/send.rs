//! Frames to packets.

use crate::dtmf::{
    DigitGenerator, DigitTiming, DigitsRefused, EventPacket, EventPhase, EventSender, EventUpdate,
};
use crate::frame::{Frame, FrameBody};
use crate::g711;
use crate::leg::queue::{Channel, TransmitQueue};
use crate::leg::timeline::Timeline;
use crate::leg::{LegTimer, sooner};
use crate::negotiated::{Negotiated, PayloadMap};
use crate::rtp;
use crate::stats::LegStats;
use crate::tone::{Tone, ToneGenerator};
use crate::transcode::{self, Chunk, Packetizer};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_model::Codec;

/// Sends frames in one numbered stream, whatever they come from.
#[derive(Debug)]
pub(super) struct Sender {
    format: Option<Format>,
    line: Line,
    timeline: Timeline,
    packetizer: Packetizer,
    events: EventSender,
    digits: DigitGenerator,
    /// The event being sent as a tone, as the peer takes no events.
    tone: Option<KeyTone>,
    /// The event being sent.
    current: Option<CurrentEvent>,
}

/// What the peer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    codec: Codec,
    payload_type: u8,
    ptime_ms: u16,
    telephone_event: Option<u8>,
    comfort_noise: Option<u8>,
}

/// The numbering of packets.
#[derive(Debug)]
struct Line {
    ssrc: u32,
    sequence: u16,
    /// Whether the next audio packet begins a talk spurt.
    spurt_due: bool,
}

#[derive(Debug)]
struct KeyTone {
    generator: ToneGenerator,
    timestamp: u32,
    made: u32,
}

/// The event being sent, while audio waits.
#[derive(Debug, Clone, Copy)]
struct CurrentEvent {
    origin: Origin,
    last: EventUpdate,
    /// When it is ended for want of news: who relayed it is gone.
    abandoned_at: Instant,
}

/// Who drives an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Relayed,
    Generated,
}

/// Where packets of one call to the sender go.
struct Wire<'a> {
    now: Instant,
    target: SocketAddr,
    queue: &'a mut TransmitQueue,
    stats: &'a mut LegStats,
}

/// An event is ended when nothing more is told of it for so long, lest it mute the leg for good.
///
/// A leg that hears events ends each by itself within 200 ms of silence; only one that was taken away does not.
const NEWS_WAIT_MAX: Duration = Duration::from_millis(500);

/// What a packet that only keeps a path open holds: 20 ms, which every peer takes.
pub(super) const KEEP_ALIVE_BYTES: usize = 20 * crate::frame::UNITS_PER_MS as usize;

/// Most samples of a tone made at once, when updates of its event were lost: a packet of 200 ms.
const TONE_BLOCK_MAX: usize = crate::frame::PAYLOAD_BYTES_MAX;

impl Sender {
    pub(super) fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            format: None,
            line: Line { ssrc, sequence, spurt_due: true },
            timeline: Timeline::new(timestamp),
            packetizer: Packetizer::default(),
            events: EventSender::default(),
            digits: DigitGenerator::default(),
            tone: None,
            current: None,
        }
    }

    /// Takes what the peer takes from now on. `moved` is whether it listens elsewhere.
    pub(super) fn update(&mut self, negotiated: &Negotiated, moved: bool) {
        let format = Format::of(&negotiated.send);
        if moved || format.map(|f| f.payload_type) != self.format.map(|f| f.payload_type) {
            self.line.spurt_due = true;
        }
        if format.map(|f| f.telephone_event) != self.format.map(|f| f.telephone_event)
            || !negotiated.may_send()
        {
            self.events.abandon();
            self.tone = None;
            self.current = None;
        }
        self.format = format;
    }

    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        target: Option<SocketAddr>,
        queue: &mut TransmitQueue,
        stats: &mut LegStats,
    ) {
        let (Some(target), Some(format)) = (target, self.format) else {
            self.hold(stats);
            return;
        };
        let mut wire = Wire { now, target, queue, stats };
        match frame.body {
            FrameBody::Audio { codec, payload } => self.audio(&mut wire, format, frame, codec, payload),
            FrameBody::ComfortNoise { payload } => self.comfort_noise(&mut wire, format, frame, payload),
            FrameBody::Event(update) => self.relay_event(&mut wire, format, frame, update),
        }
    }

    /// Sends 20 ms of silence, unless something is being sent.
    pub(super) fn keep_alive(
        &mut self,
        now: Instant,
        target: Option<SocketAddr>,
        queue: &mut TransmitQueue,
        stats: &mut LegStats,
    ) {
        let (Some(target), Some(format), None) = (target, self.format, self.current) else { return };
        let timestamp = self.timeline.timestamp_at(now);
        let marker = std::mem::replace(&mut self.line.spurt_due, true);
        let silence = [g711::silence(format.codec); KEEP_ALIVE_BYTES];
        let Self { line, timeline, .. } = self;
        line.put(target, queue, format.payload_type, marker, timestamp, |bytes| bytes.extend(silence));
        timeline.audio_sent(now, timestamp, KEEP_ALIVE_BYTES as u32);
        stats.keep_alives += 1;
        stats.last_sent = Some(now);
    }

    pub(super) fn push_digits(
        &mut self,
        now: Instant,
        digits: &str,
        timing: DigitTiming,
    ) -> Result<(), DigitsRefused> {
        self.digits.push(now, digits, timing)
    }

    pub(super) fn is_sending_digits(&self) -> bool {
        self.digits.is_busy() || self.events.poll_timeout().is_some()
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        target: Option<SocketAddr>,
        queue: &mut TransmitQueue,
        stats: &mut LegStats,
    ) {
        let (Some(target), Some(format)) = (target, self.format) else {
            // Digits are not kept for later: whoever asked for them meant now.
            while self.digits.handle_timeout(now).is_some() {}
            self.abandon_all();
            return;
        };
        let mut wire = Wire { now, target, queue, stats };
        self.repeat_ends(&mut wire, format);
        if self.current.is_some_and(|current| current.abandoned_at <= now) {
            self.end_current(&mut wire, format);
        }
        self.generate_digits(&mut wire, format);
        if self.packetizer.poll_timeout(format.ptime_ms).is_some_and(|due| due <= now) {
            self.flush_audio(&mut wire, format);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        let sending = |due| (due, LegTimer::EventSending);
        let ends = self.events.poll_timeout().map(sending);
        let abandoned = self.current.map(|current| sending(current.abandoned_at));
        let digits =
            if self.is_sending(Origin::Relayed) { None } else { self.digits.poll_timeout().map(sending) };
        let format = self.format?;
        let waiting = self.packetizer.poll_timeout(format.ptime_ms).map(|due| (due, LegTimer::Packet));
        sooner(sooner(ends, abandoned), sooner(digits, waiting))
    }

    /// Returns the outgoing media clock of now.
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        self.timeline.timestamp_at(now)
    }

    fn is_sending(&self, origin: Origin) -> bool {
        self.current.is_some_and(|current| current.origin == origin)
    }

    /// Drops a frame that may not be sent now; what comes after begins a talk spurt.
    fn hold(&mut self, stats: &mut LegStats) {
        stats.suppressed += 1;
        self.packetizer.abandon();
        self.line.spurt_due = true;
    }

    fn abandon_all(&mut self) {
        self.packetizer.abandon();
        self.events.abandon();
        self.tone = None;
        self.current = None;
    }

    fn audio(
        &mut self,
        wire: &mut Wire<'_>,
        format: Format,
        frame: &Frame<'_>,
        codec: Codec,
        payload: &[u8],
    ) {
        if self.current.is_some() {
            // RFC 4733 §2.5.1.1: events take the place of audio.
            wire.stats.suppressed += 1;
            self.line.spurt_due = true;
            return;
        }
        self.flush_ends(wire, format);
        let place = self.timeline.place_audio(wire.now, frame.stream, frame.timestamp);
        let marker = frame.marker || place.jumps || self.line.spurt_due;
        self.line.spurt_due = false;
        let chunk = Chunk { timestamp: place.timestamp, marker, codec, payload };
        let Self { packetizer, line, timeline, .. } = self;
        packetizer.push(wire.now, format.ptime_ms, chunk, &mut |chunk| {
            line.send_audio(wire, format, timeline, chunk);
        });
    }

    fn comfort_noise(&mut self, wire: &mut Wire<'_>, format: Format, frame: &Frame<'_>, payload: &[u8]) {
        let (Some(payload_type), None) = (format.comfort_noise, self.current) else {
            wire.stats.suppressed += 1;
            self.line.spurt_due = true;
            return;
        };
        self.flush_ends(wire, format);
        self.flush_audio(wire, format);
        let place = self.timeline.place_audio(wire.now, frame.stream, frame.timestamp);
        self.line.send(wire, payload_type, false, place.timestamp, |bytes| bytes.extend_from_slice(payload));
        self.timeline.audio_sent(wire.now, place.timestamp, 0);
        // RFC 3551 §4.1: the first packet after silence is marked.
        self.line.spurt_due = true;
    }

    fn relay_event(&mut self, wire: &mut Wire<'_>, format: Format, frame: &Frame<'_>, update: EventUpdate) {
        if self.is_sending(Origin::Generated) {
            wire.stats.suppressed += 1;
            return;
        }
        let timestamp = if update.phase.begins() {
            self.timeline.place_event(wire.now, frame.stream, frame.timestamp)
        } else {
            0
        };
        self.event(wire, format, update, timestamp, Origin::Relayed);
    }

    fn generate_digits(&mut self, wire: &mut Wire<'_>, format: Format) {
        if self.is_sending(Origin::Relayed) {
            return;
        }
        while let Some(update) = self.digits.handle_timeout(wire.now) {
            let timestamp = self.timeline.event_timestamp_at(wire.now);
            self.event(wire, format, update, timestamp, Origin::Generated);
        }
    }

    /// Sends an update of an event, as an event or as a tone.
    fn event(
        &mut self,
        wire: &mut Wire<'_>,
        format: Format,
        update: EventUpdate,
        timestamp: u32,
        origin: Origin,
    ) {
        if update.phase.begins() {
            self.end_current(wire, format);
            self.flush_audio(wire, format);
            wire.stats.events_sent += 1;
        } else if self.current.is_none() {
            // Its beginning was not sent, as the leg was on hold then or was joined since: neither is the rest.
            return;
        }
        self.current = Some(CurrentEvent { origin, last: update, abandoned_at: wire.now + NEWS_WAIT_MAX });
        self.event_update(wire, format, update, timestamp);
    }

    /// Ends the event being sent, where there is one.
    fn end_current(&mut self, wire: &mut Wire<'_>, format: Format) {
        if let Some(current) = self.current {
            let update = EventUpdate { phase: EventPhase::End, ..current.last };
            self.event_update(wire, format, update, 0);
        }
    }

    fn event_update(&mut self, wire: &mut Wire<'_>, format: Format, update: EventUpdate, timestamp: u32) {
        match format.telephone_event {
            Some(payload_type) => {
                let Self { events, line, timeline, .. } = self;
                events.handle_update(wire.now, update, timestamp, &mut |packet| {
                    line.send_event(wire, payload_type, timeline, packet);
                });
            }
            None => self.tone(wire, format, update, timestamp),
        }
        if update.phase.ends() {
            self.current = None;
            self.line.spurt_due = true;
        }
    }

    /// Sends what has been added to an event as audio of its key's tones.
    fn tone(&mut self, wire: &mut Wire<'_>, format: Format, update: EventUpdate, timestamp: u32) {
        if update.phase.begins() {
            self.tone = Tone::key(update.event).map(|tone| KeyTone {
                generator: ToneGenerator::new(tone),
                timestamp,
                made: 0,
            });
            self.line.spurt_due = true;
        }
        let Some(tone) = &mut self.tone else { return };
        while tone.made < update.duration {
            let mut block = [0; TONE_BLOCK_MAX];
            let count = ((update.duration - tone.made) as usize).min(TONE_BLOCK_MAX);
            let (payload, _) = block.split_at_mut(count);
            for coded in payload.iter_mut() {
                *coded = g711::compress(format.codec, tone.generator.sample());
            }
            let chunk = Chunk {
                timestamp: tone.timestamp.wrapping_add(tone.made),
                marker: std::mem::take(&mut self.line.spurt_due),
                codec: format.codec,
                payload,
            };
            let Self { packetizer, line, timeline, .. } = self;
            packetizer.push(wire.now, format.ptime_ms, chunk, &mut |chunk| {
                line.send_audio(wire, format, timeline, chunk);
            });
            tone.made += count as u32;
        }
        match update.phase {
            EventPhase::Start | EventPhase::Update => {}
            EventPhase::End | EventPhase::Whole => self.tone = None,
        }
    }

    fn repeat_ends(&mut self, wire: &mut Wire<'_>, format: Format) {
        let Some(payload_type) = format.telephone_event else { return };
        let Self { events, line, timeline, .. } = self;
        events.handle_timeout(wire.now, &mut |packet| line.send_event(wire, payload_type, timeline, packet));
    }

    fn flush_ends(&mut self, wire: &mut Wire<'_>, format: Format) {
        let Some(payload_type) = format.telephone_event else { return };
        let Self { events, line, timeline, .. } = self;
        events.flush(&mut |packet| line.send_event(wire, payload_type, timeline, packet));
    }

    fn flush_audio(&mut self, wire: &mut Wire<'_>, format: Format) {
        let Self { packetizer, line, timeline, .. } = self;
        packetizer.flush(&mut |chunk| line.send_audio(wire, format, timeline, chunk));
    }
}

impl Line {
    fn send_audio(&mut self, wire: &mut Wire<'_>, format: Format, timeline: &mut Timeline, chunk: Chunk<'_>) {
        self.send(wire, format.payload_type, chunk.marker, chunk.timestamp, |bytes| {
            transcode::convert_into(chunk.codec, format.codec, chunk.payload, bytes);
        });
        wire.stats.codec = Some(format.codec);
        timeline.audio_sent(wire.now, chunk.timestamp, chunk.payload.len() as u32);
    }

    fn send_event(
        &mut self,
        wire: &mut Wire<'_>,
        payload_type: u8,
        timeline: &mut Timeline,
        packet: EventPacket,
    ) {
        let EventPacket { timestamp, marker, payload } = packet;
        self.send(wire, payload_type, marker, timestamp, |bytes| bytes.extend(payload.to_bytes()));
        timeline.event_sent(wire.now, timestamp, u32::from(payload.duration));
    }

    fn send(
        &mut self,
        wire: &mut Wire<'_>,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let stats = &mut *wire.stats;
        let bytes = self.put(wire.target, wire.queue, payload_type, marker, timestamp, payload);
        stats.sent_bytes += bytes as u64;
        stats.sent += 1;
        stats.first_sent.get_or_insert(wire.now);
        stats.last_sent = Some(wire.now);
    }

    /// Queues the next packet, and returns how many bytes its payload has.
    fn put(
        &mut self,
        target: SocketAddr,
        queue: &mut TransmitQueue,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let header = rtp::header(&rtp::Packet {
            payload_type,
            marker,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            payload: &[],
        });
        self.sequence = self.sequence.wrapping_add(1);
        let mut length = 0;
        queue.push(Channel::Rtp, target, |bytes| {
            bytes.extend(header);
            let start = bytes.len();
            payload(bytes);
            length = bytes.len() - start;
        });
        length
    }
}

impl Format {
    fn of(payloads: &PayloadMap) -> Option<Self> {
        let (payload_type, codec) = payloads.audio()?;
        Some(Self {
            codec,
            payload_type,
            ptime_ms: payloads.ptime_ms,
            telephone_event: payloads.telephone_event(),
            comfort_noise: payloads.comfort_noise(),
        })
    }
}
