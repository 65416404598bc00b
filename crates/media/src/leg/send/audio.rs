//! Audio, from whatever codec to that of the peer.

use super::{Format, Sender};
use crate::frame::{Frame, PAYLOAD_BYTES_MAX};
use crate::g711::{self, Law};
use crate::leg::line::Wire;
use crate::leg::send::pause::Pause;
use crate::opus::{self, PACKET_SAMPLES_MAX};
use crate::transcode::{CONCEALED_MAX, Chunk, Noise, noise};
use trunkline_model::Codec;

/// Units in a millisecond, as statistics count.
const UNITS_PER_MS: u64 = crate::frame::UNITS_PER_MS as u64;

/// Most sequence numbers that are left out for packets that never came. A peer takes more for a new source
/// (RFC 3550 A.1), and cannot recover more than one anyway.
const SKIPPED_MAX: u16 = 100;

impl Sender {
    pub(super) fn audio(
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
        match (Law::of(codec), format.codec) {
            (Some(law), Codec::Pcmu | Codec::Pcma) => self.place(wire, format, frame, 0, law, payload),
            (Some(law), Codec::Opus) => self.code(wire, format, frame, law, payload),
            (None, Codec::Pcmu | Codec::Pcma) => self.decode(wire, format, frame, payload),
            (None, Codec::Opus) => self.pass(wire, format, frame, payload),
        }
    }

    pub(super) fn comfort_noise(
        &mut self,
        wire: &mut Wire<'_>,
        format: Format,
        frame: &Frame<'_>,
        payload: &[u8],
    ) {
        if self.current.is_some() || (format.comfort_noise.is_none() && format.codec != Codec::Opus) {
            wire.stats.suppressed += 1;
            self.line.spurt_due = true;
            return;
        }
        self.flush_ends(wire, format);
        match format.comfort_noise {
            Some(payload_type) => {
                self.flush_audio(wire, format);
                self.put_noise(wire, payload_type, frame, payload);
            }
            None => {
                self.flush_audio(wire, format);
                self.pause = Some(Pause::noise(wire.now, frame, Noise::of(payload)));
            }
        }
    }

    /// Sends samples that belong `back` units before a frame.
    pub(super) fn place(
        &mut self,
        wire: &mut Wire<'_>,
        format: Format,
        frame: &Frame<'_>,
        back: usize,
        law: Law,
        payload: &[u8],
    ) {
        let theirs = frame.timestamp.saturating_sub(back as u64);
        let place = self.timeline.place_audio(wire.now, frame.stream, theirs);
        let marker = (frame.marker && back == 0) || place.jumps || self.line.spurt_due;
        self.line.spurt_due = false;
        self.chunk(wire, format, Chunk { timestamp: place.timestamp, marker, law, payload });
    }

    /// Cuts audio that has its place into packets.
    pub(super) fn chunk(&mut self, wire: &mut Wire<'_>, format: Format, chunk: Chunk<'_>) {
        let mut packetizer = std::mem::take(&mut self.packetizer);
        packetizer.push(wire.now, format.ptime_ms, chunk, &mut |chunk| self.send_chunk(wire, format, chunk));
        self.packetizer = packetizer;
    }

    pub(super) fn flush_audio(&mut self, wire: &mut Wire<'_>, format: Format) {
        let mut packetizer = std::mem::take(&mut self.packetizer);
        packetizer.flush(&mut |chunk| self.send_chunk(wire, format, chunk));
        self.packetizer = packetizer;
    }

    /// Sends a packet's worth of samples in the codec of the peer.
    fn send_chunk(&mut self, wire: &mut Wire<'_>, format: Format, chunk: Chunk<'_>) {
        let Chunk { timestamp, marker, law, payload } = chunk;
        let ticks = self.line.ticks(timestamp);
        let sent = match Law::of(format.codec) {
            Some(to) => {
                self.line.send(wire, format.payload_type, marker, ticks, |bytes| {
                    g711::convert_into(law, to, payload, bytes);
                });
                true
            }
            None => {
                let Self { transcoding, line, .. } = self;
                let packet = transcoding.output().and_then(|output| output.encode(law, payload));
                match packet {
                    Some(packet) => {
                        line.send(wire, format.payload_type, marker, ticks, |bytes| bytes.extend(packet));
                    }
                    None => line.spurt_due = true,
                }
                packet.is_some()
            }
        };
        if sent {
            wire.stats.codec = Some(format.codec);
        }
        self.timeline.audio_sent(wire.now, timestamp, payload.len() as u32);
    }

    /// G.711 to Opus: what was lost is made up, lest the encoder code a click.
    fn code(&mut self, wire: &mut Wire<'_>, format: Format, frame: &Frame<'_>, law: Law, payload: &[u8]) {
        self.pause = None;
        let concealer = self.transcoding.concealer.get_or_insert_default();
        let missing = concealer.missing_before(frame);
        if missing == 0 {
            concealer.hear(frame, law, payload);
            return self.place(wire, format, frame, 0, law, payload);
        }
        let (mut made, mut next) = ([0; CONCEALED_MAX], [0; PAYLOAD_BYTES_MAX]);
        let (made, _) = made.split_at_mut(missing);
        let (next, _) = next.split_at_mut(payload.len().min(PAYLOAD_BYTES_MAX));
        next.copy_from_slice(payload.get(..next.len()).unwrap_or_default());
        concealer.make_up(law, made, next);
        concealer.hear(frame, law, payload);
        wire.stats.concealed_ms += missing as u64 / UNITS_PER_MS;
        self.place(wire, format, frame, missing, law, made);
        self.place(wire, format, frame, 0, law, next);
    }

    /// Opus to G.711: what was lost is made up or recovered, and pauses are filled.
    fn decode(&mut self, wire: &mut Wire<'_>, format: Format, frame: &Frame<'_>, packet: &[u8]) {
        let pauses = self.pause.take().is_some();
        let Some(input) = self.transcoding.input() else {
            wire.stats.suppressed += 1;
            return;
        };
        let (mut before, mut samples) = ([0; CONCEALED_MAX], [0; PACKET_SAMPLES_MAX]);
        let (before, _) = before.split_at_mut(input.missing_before(frame, pauses));
        if !before.is_empty() {
            let recovered = input.make_up(packet, before);
            wire.stats.recovered_ms += recovered as u64 / UNITS_PER_MS;
            // The rest of a pause was not lost.
            if frame.lost > 0 {
                wire.stats.concealed_ms += (before.len() - recovered) as u64 / UNITS_PER_MS;
            }
        }
        let count = input.decode(frame.timestamp, packet, &mut samples);
        let (samples, _) = samples.split_at(count);
        self.speak(wire, format, frame, before.len(), before);
        if !opus::is_silent(packet) {
            return self.speak(wire, format, frame, 0, samples);
        }
        match format.comfort_noise {
            Some(payload_type) => {
                self.flush_audio(wire, format);
                self.put_noise(wire, payload_type, frame, &[noise::level(samples)]);
            }
            None => {
                self.speak(wire, format, frame, 0, samples);
                self.pause = Some(Pause::decoder(wire.now, frame, samples.len()));
            }
        }
    }

    /// Opus to Opus.
    fn pass(&mut self, wire: &mut Wire<'_>, format: Format, frame: &Frame<'_>, packet: &[u8]) {
        let place = self.timeline.place_audio(wire.now, frame.stream, frame.timestamp);
        let marker = frame.marker || place.jumps || self.line.spurt_due;
        self.line.spurt_due = false;
        if !place.jumps {
            // The far decoder has to know what is missing, to recover it.
            self.line.skip(frame.lost.min(SKIPPED_MAX));
        }
        let ticks = self.line.ticks(place.timestamp);
        self.line.send(wire, format.payload_type, marker, ticks, |bytes| bytes.extend_from_slice(packet));
        wire.stats.codec = Some(Codec::Opus);
        self.timeline.audio_sent(wire.now, place.timestamp, frame.duration());
    }

    /// Sends decoded samples that belong `back` units before a frame.
    pub(super) fn speak(
        &mut self,
        wire: &mut Wire<'_>,
        format: Format,
        frame: &Frame<'_>,
        back: usize,
        samples: &[i16],
    ) {
        if samples.is_empty() {
            return;
        }
        let law = format.law();
        let mut coded = [0; PACKET_SAMPLES_MAX];
        for (coded, &sample) in coded.iter_mut().zip(samples) {
            *coded = g711::compress(law, sample);
        }
        let (coded, _) = coded.split_at(samples.len().min(PACKET_SAMPLES_MAX));
        self.place(wire, format, frame, back, law, coded);
    }

    fn put_noise(&mut self, wire: &mut Wire<'_>, payload_type: u8, frame: &Frame<'_>, payload: &[u8]) {
        let place = self.timeline.place_audio(wire.now, frame.stream, frame.timestamp);
        let ticks = self.line.ticks(place.timestamp);
        self.line.send(wire, payload_type, false, ticks, |bytes| bytes.extend_from_slice(payload));
        self.timeline.audio_sent(wire.now, place.timestamp, 0);
        // RFC 3551 §4.1: the first packet after silence is marked.
        self.line.spurt_due = true;
    }
}
