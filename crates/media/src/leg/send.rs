//! Frames to packets.

mod audio;
mod pause;

use crate::dtmf::{
    DigitGenerator, DigitTiming, DigitsRefused, EventPhase, EventSender, EventStart, EventUpdate,
};
use crate::frame::{ClockRate, Frame, FrameBody};
use crate::g711::{self, Law};
use crate::leg::line::{Line, Wire};
use crate::leg::timeline::Timeline;
use crate::leg::{LegTimer, sooner};
use crate::negotiated::{Negotiated, PTIME_MS_MIN, PayloadMap};
use crate::opus;
use crate::stats::LegStats;
use crate::tone::{Tone, ToneGenerator};
use crate::transcode::{Chunk, Concealer, FRAME_SAMPLES, OpusInput, OpusOutput, Packetizer};
use pause::Pause;
use std::time::{Duration, Instant};
use trunkline_model::Codec;

/// Sends frames in one numbered stream, whatever they come from.
#[derive(Debug)]
pub(super) struct Sender {
    format: Option<Format>,
    line: Line,
    timeline: Timeline,
    packetizer: Packetizer,
    transcoding: Transcoding,
    /// Silence that the source of what is sent does not send.
    pause: Option<Pause>,
    events: EventSender,
    digits: DigitGenerator,
    /// The event being sent as a tone, as the peer takes no events.
    tone: Option<KeyTone>,
    /// The event being sent.
    current: Option<CurrentEvent>,
}

/// Codecs with a memory, made when first needed.
#[derive(Debug, Default)]
struct Transcoding {
    input: Option<Box<OpusInput>>,
    output: Option<Box<OpusOutput>>,
    concealer: Option<Box<Concealer>>,
    /// What the policy and the peer want of Opus.
    wanted: opus::Settings,
    complexity_max: Option<u8>,
    /// How many packets of a hundred the peer is taken to lose.
    loss_percent: u8,
}

/// What the peer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    codec: Codec,
    payload_type: u8,
    ptime_ms: u16,
    telephone_event: Option<(u8, ClockRate)>,
    comfort_noise: Option<u8>,
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
    /// When it began, in units.
    began: u32,
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

/// An event is ended when nothing more is told of it for so long, lest it mute the leg for good.
///
/// A leg that hears events ends each by itself within 200 ms of silence; only one that was taken away does not.
const NEWS_WAIT_MAX: Duration = Duration::from_millis(500);

/// Most samples of a tone made at once, when updates of its event were lost: a packet of 200 ms.
const TONE_BLOCK_MAX: usize = crate::frame::PAYLOAD_BYTES_MAX;

/// Packet time of Opus that we send, unless the peer wants less: each packet more costs the peer 60 bytes of headers,
/// and each frame more that is lost at once is heard.
const OPUS_PTIME_MS: u16 = 20;

impl Sender {
    pub(super) fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            format: None,
            line: Line::new(ssrc, sequence),
            timeline: Timeline::new(timestamp),
            packetizer: Packetizer::default(),
            transcoding: Transcoding::default(),
            pause: None,
            events: EventSender::default(),
            digits: DigitGenerator::default(),
            tone: None,
            current: None,
        }
    }

    /// Takes what the peer takes from now on. `moved` is whether it listens elsewhere.
    pub(super) fn update(&mut self, now: Instant, negotiated: &Negotiated, moved: bool) {
        let format = Format::of(&negotiated.send);
        if moved || format.map(|f| f.payload_type) != self.format.map(|f| f.payload_type) {
            self.line.spurt_due = true;
        }
        if format.map(|f| f.telephone_event) != self.format.map(|f| f.telephone_event)
            || !negotiated.may_send()
        {
            self.abandon_event();
        }
        if !negotiated.may_send() || format.map(|f| f.codec) != self.format.map(|f| f.codec) {
            self.pause = None;
        }
        if let Some(format) = format {
            self.line.set_rate(ClockRate::of(format.codec), self.timeline.timestamp_at(now));
        }
        self.transcoding.wanted = negotiated.opus;
        self.transcoding.apply();
        self.format = format;
    }

    /// Caps the effort of coding from now on.
    pub(super) fn set_complexity_max(&mut self, complexity: u8) {
        self.transcoding.complexity_max = Some(complexity);
        self.transcoding.apply();
    }

    /// Takes the share of packets, of 256, that the peer says it lost.
    pub(super) fn hear_loss(&mut self, fraction_lost: u8) {
        let percent = (u16::from(fraction_lost) * 100).div_ceil(256) as u8;
        let remembered = self.transcoding.loss_percent / 2;
        self.transcoding.loss_percent = percent.max(remembered);
        self.transcoding.apply();
    }

    pub(super) fn handle_frame(&mut self, wire: &mut Wire<'_>, frame: &Frame<'_>, may_send: bool) {
        let (true, Some(format)) = (may_send, self.format) else {
            self.hold(wire.stats);
            return;
        };
        match frame.body {
            FrameBody::Audio { codec, payload } => self.audio(wire, format, frame, codec, payload),
            FrameBody::ComfortNoise { payload } => self.comfort_noise(wire, format, frame, payload),
            FrameBody::Event(update) => self.relay_event(wire, format, frame, update),
        }
    }

    /// Sends 20 ms of silence, unless something is being sent.
    pub(super) fn keep_alive(&mut self, wire: &mut Wire<'_>) {
        let (Some(format), None) = (self.format, self.current) else { return };
        let timestamp = self.timeline.timestamp_at(wire.now);
        let marker = std::mem::replace(&mut self.line.spurt_due, true);
        let ticks = self.line.ticks(timestamp);
        let bytes = self.line.put(wire.queue, format.payload_type, marker, ticks, |bytes| {
            match Law::of(format.codec) {
                Some(law) => bytes.extend([g711::silence(law); FRAME_SAMPLES]),
                None => bytes.extend(opus::SILENCE),
            }
        });
        self.timeline.audio_sent(wire.now, timestamp, FRAME_SAMPLES as u32);
        wire.stats.keep_alives += 1;
        wire.stats.keep_alive_bytes += bytes as u64;
        wire.stats.last_sent = Some(wire.now);
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

    pub(super) fn handle_timeout(&mut self, wire: &mut Wire<'_>, may_send: bool) {
        let (true, Some(format)) = (may_send, self.format) else {
            // Digits are not kept for later: whoever asked for them meant now.
            while self.digits.handle_timeout(wire.now).is_some() {}
            self.packetizer.abandon();
            self.abandon_event();
            self.pause = None;
            return;
        };
        self.repeat_ends(wire, format);
        if self.current.is_some_and(|current| current.abandoned_at <= wire.now) {
            self.end_current(wire, format);
        }
        self.generate_digits(wire, format);
        self.fill_pause(wire, format);
        if self.packetizer.poll_timeout(format.ptime_ms).is_some_and(|due| due <= wire.now) {
            self.flush_audio(wire, format);
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
        let pause = self.pause.as_ref().map(|pause| (pause.due(), LegTimer::Pause));
        sooner(sooner(sooner(ends, abandoned), pause), sooner(digits, waiting))
    }

    /// Returns the outgoing media clock of now, in ticks.
    pub(super) fn ticks_at(&self, now: Instant) -> u32 {
        self.line.ticks(self.timeline.timestamp_at(now))
    }

    fn is_sending(&self, origin: Origin) -> bool {
        self.current.is_some_and(|current| current.origin == origin)
    }

    /// Drops a frame that may not be sent now; what comes after begins a talk spurt.
    fn hold(&mut self, stats: &mut LegStats) {
        stats.suppressed += 1;
        self.packetizer.abandon();
        self.pause = None;
        self.line.spurt_due = true;
    }

    fn abandon_event(&mut self) {
        self.events.abandon();
        self.tone = None;
        self.current = None;
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
        let abandoned_at = wire.now + NEWS_WAIT_MAX;
        if update.phase.begins() {
            self.end_current(wire, format);
            self.flush_audio(wire, format);
            self.pause = None;
            wire.stats.events_sent += 1;
            self.current = Some(CurrentEvent { origin, began: timestamp, last: update, abandoned_at });
        } else if let Some(current) = &mut self.current {
            current.last = update;
            current.abandoned_at = abandoned_at;
            current.origin = origin;
        } else {
            // Its beginning was not sent, as the leg was on hold then or was joined since: neither is the rest.
            return;
        }
        self.event_update(wire, format, update);
    }

    /// Ends the event being sent, where there is one.
    fn end_current(&mut self, wire: &mut Wire<'_>, format: Format) {
        if let Some(current) = self.current {
            self.event_update(wire, format, EventUpdate { phase: EventPhase::End, ..current.last });
        }
    }

    fn event_update(&mut self, wire: &mut Wire<'_>, format: Format, update: EventUpdate) {
        let Some(CurrentEvent { began, .. }) = self.current else { return };
        match format.telephone_event {
            Some((payload_type, clock)) => {
                let Self { events, line, .. } = self;
                let start = EventStart { timestamp: line.ticks(began), audio: line.rate(), clock };
                events.handle_update(wire.now, update, start, &mut |packet| {
                    let bytes = packet.payload.to_bytes();
                    line.send(wire, payload_type, packet.marker, packet.timestamp, |out| out.extend(bytes));
                });
                self.timeline.event_sent(wire.now, began, update.duration);
            }
            None => self.tone(wire, format, update, began),
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
        let Some(mut tone) = self.tone.take() else { return };
        let law = format.law();
        while tone.made < update.duration {
            let mut block = [0; TONE_BLOCK_MAX];
            let count = ((update.duration - tone.made) as usize).min(TONE_BLOCK_MAX);
            let (payload, _) = block.split_at_mut(count);
            for coded in payload.iter_mut() {
                *coded = g711::compress(law, tone.generator.sample());
            }
            let timestamp = tone.timestamp.wrapping_add(tone.made);
            let marker = std::mem::take(&mut self.line.spurt_due);
            self.chunk(wire, format, Chunk { timestamp, marker, law, payload });
            tone.made += count as u32;
        }
        match update.phase {
            EventPhase::Start | EventPhase::Update => self.tone = Some(tone),
            EventPhase::End | EventPhase::Whole => {}
        }
    }

    fn repeat_ends(&mut self, wire: &mut Wire<'_>, format: Format) {
        let Some((payload_type, _)) = format.telephone_event else { return };
        let Self { events, line, .. } = self;
        events.handle_timeout(wire.now, &mut |packet| {
            let bytes = packet.payload.to_bytes();
            line.send(wire, payload_type, packet.marker, packet.timestamp, |out| out.extend(bytes));
        });
    }

    fn flush_ends(&mut self, wire: &mut Wire<'_>, format: Format) {
        let Some((payload_type, _)) = format.telephone_event else { return };
        let Self { events, line, .. } = self;
        events.flush(&mut |packet| {
            let bytes = packet.payload.to_bytes();
            line.send(wire, payload_type, packet.marker, packet.timestamp, |out| out.extend(bytes));
        });
    }
}

impl Transcoding {
    /// Returns how Opus is coded now.
    fn settings(&self) -> opus::Settings {
        let complexity = self.wanted.complexity.min(self.complexity_max.unwrap_or(opus::COMPLEXITY_MAX));
        // In steps, so that the encoder is not set anew with every report.
        let loss_percent = match self.loss_percent {
            0 => 0,
            1..=5 => 5,
            6..=10 => 10,
            11..=20 => 20,
            21.. => 30,
        };
        opus::Settings { complexity, loss_percent, ..self.wanted }
    }

    fn apply(&mut self) {
        let settings = self.settings();
        if let Some(output) = &mut self.output {
            output.set(settings);
        }
    }

    fn input(&mut self) -> Option<&mut OpusInput> {
        if self.input.is_none() {
            self.input = OpusInput::new().map(Box::new);
        }
        self.input.as_deref_mut()
    }

    fn output(&mut self) -> Option<&mut OpusOutput> {
        if self.output.is_none() {
            self.output = OpusOutput::new(self.settings()).map(Box::new);
        }
        self.output.as_deref_mut()
    }
}

impl Format {
    fn of(payloads: &PayloadMap) -> Option<Self> {
        let (payload_type, codec) = payloads.audio()?;
        let ptime_ms = match codec {
            Codec::Pcmu | Codec::Pcma => payloads.ptime_ms,
            Codec::Opus if payloads.ptime_ms < OPUS_PTIME_MS => PTIME_MS_MIN,
            Codec::Opus => OPUS_PTIME_MS,
        };
        Some(Self {
            codec,
            payload_type,
            ptime_ms,
            telephone_event: payloads.telephone_event(),
            comfort_noise: payloads.comfort_noise().filter(|_| codec != Codec::Opus),
        })
    }

    /// Returns the law in which samples wait to be sent.
    fn law(&self) -> Law {
        Law::of(self.codec).unwrap_or(Law::Mu)
    }
}
