//! What was heard, as samples in their places.

use crate::frame::{self, CLOCK_RATE, Frame, FrameBody, StreamId};
use crate::g711::{self, Law};
use crate::opus::PACKET_SAMPLES_MAX;
use crate::transcode::{CONCEALED_MAX, OpusInput};
use std::time::{Duration, Instant};

/// Records the frames of a leg. What was lost or never sent is silence, so that time runs true.
#[derive(Debug)]
pub struct Recorder {
    samples: Vec<i16>,
    samples_max: usize,
    began: Option<Instant>,
    mapping: Option<Mapping>,
    /// Made when Opus is first heard.
    opus: Option<Box<OpusInput>>,
}

/// Where a stream's timestamps are in the recording.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    stream: StreamId,
    timestamp: u64,
    place: usize,
}

/// How far a frame may be from the place that its arrival suggests: the jitter of a bad path. Further is a jump of
/// the clock.
const STRAY_MAX: usize = 2 * CLOCK_RATE as usize;

impl Recorder {
    /// Makes a recorder that stops after so much time, counted from the first frame.
    pub fn new(length_max: Duration) -> Self {
        let samples_max = frame::units(length_max) as usize;
        Self { samples: Vec::new(), samples_max, began: None, mapping: None, opus: None }
    }

    /// Takes a frame. Only audio is recorded; events and comfort noise are silence.
    pub fn handle_frame(&mut self, now: Instant, frame: &Frame<'_>) {
        let FrameBody::Audio { codec, payload } = frame.body else { return };
        let place = self.place(now, frame);
        match Law::of(codec) {
            Some(law) => {
                let samples = payload.iter().map(|&coded| g711::expand(law, coded));
                self.write(place, payload.len(), samples);
            }
            None => self.decode(place, frame, payload),
        }
    }

    fn decode(&mut self, place: usize, frame: &Frame<'_>, packet: &[u8]) {
        if self.opus.is_none() {
            self.opus = OpusInput::new().map(Box::new);
        }
        let Some(input) = &mut self.opus else { return };
        let (mut before, mut samples) = ([0; CONCEALED_MAX], [0; PACKET_SAMPLES_MAX]);
        let (before, _) = before.split_at_mut(input.missing_before(frame, false));
        if !before.is_empty() {
            input.make_up(packet, before);
        }
        let count = input.decode(frame.timestamp, packet, &mut samples);
        self.write(place.saturating_sub(before.len()), before.len(), before.iter().copied());
        self.write(place, count, samples.into_iter());
    }

    fn write(&mut self, place: usize, count: usize, samples: impl Iterator<Item = i16>) {
        let end = place.saturating_add(count).min(self.samples_max);
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        for (recorded, sample) in self.samples.iter_mut().take(end).skip(place).zip(samples) {
            *recorded = sample;
        }
    }

    /// Returns what was recorded, at 8 kHz.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Whether the recording has reached its longest.
    pub fn is_full(&self) -> bool {
        self.samples.len() >= self.samples_max
    }

    fn place(&mut self, now: Instant, frame: &Frame<'_>) -> usize {
        let began = *self.began.get_or_insert(now);
        let by_arrival = frame::units(now.saturating_duration_since(began)) as usize;
        if let Some(mapping) = self.mapping.filter(|mapping| mapping.stream == frame.stream) {
            let offset = frame.timestamp.wrapping_sub(mapping.timestamp).cast_signed();
            let place = mapping.place.checked_add_signed(offset as isize);
            if let Some(place) = place.filter(|place| place.abs_diff(by_arrival) <= STRAY_MAX) {
                return place;
            }
        }
        // A new stream begins where it arrives, but never over what is recorded.
        let place = by_arrival.max(self.samples.len());
        self.mapping = Some(Mapping { stream: frame.stream, timestamp: frame.timestamp, place });
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::Codec;
    use trunkline_model::clock::first_instant;

    fn frame(stream: u64, timestamp: u64, payload: &[u8]) -> Frame<'_> {
        Frame {
            stream: StreamId(stream),
            timestamp,
            marker: false,
            lost: 0,
            body: FrameBody::Audio { codec: Codec::Pcmu, payload },
        }
    }

    #[test]
    fn what_is_missing_is_silence_and_what_is_late_takes_its_place() {
        let now = first_instant();
        let loud = [g711::compress(Law::Mu, 8000); 160];
        let mut recorder = Recorder::new(Duration::from_secs(10));
        recorder.handle_frame(now, &frame(1, 70_000, &loud));
        recorder.handle_frame(now + Duration::from_millis(40), &frame(1, 70_320, &loud));
        assert_eq!(recorder.samples().len(), 480);
        assert!(recorder.samples()[160..320].iter().all(|&sample| sample == 0));
        assert!(recorder.samples()[320..].iter().all(|&sample| sample > 7000));
        recorder.handle_frame(now + Duration::from_millis(41), &frame(1, 70_160, &loud));
        assert!(recorder.samples().iter().all(|&sample| sample > 7000));
    }

    #[test]
    fn another_source_goes_on_where_it_arrives() {
        let now = first_instant();
        let loud = [g711::compress(Law::Mu, 8000); 160];
        let mut recorder = Recorder::new(Duration::from_secs(10));
        recorder.handle_frame(now, &frame(1, 70_000, &loud));
        recorder.handle_frame(now + Duration::from_millis(100), &frame(2, 5, &loud));
        assert_eq!(recorder.samples().len(), 960);
        assert!(recorder.samples()[160..800].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn a_recording_stops_at_its_longest_however_far_the_clock_jumps() {
        let now = first_instant();
        let mut recorder = Recorder::new(Duration::from_millis(100));
        recorder.handle_frame(now, &frame(1, 0, &[0; 160]));
        recorder.handle_frame(now + Duration::from_secs(3600), &frame(1, u64::MAX / 2, &[0; 160]));
        assert_eq!(recorder.samples().len(), 800);
        assert!(recorder.is_full());
    }
}
