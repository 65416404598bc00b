//! Making up G.711 that was lost, in the manner of ITU-T G.711 Appendix I: the last pitch period goes on, and fades.

use crate::frame::Frame;
use crate::g711::{self, Law};
use crate::transcode::{CONCEALED_MAX, Follower, Gap};

/// Remembers what was heard last, and makes up what comes after it when that is lost.
#[derive(Debug)]
pub(crate) struct Concealer {
    /// The last samples, coded, the newest last.
    heard: [u8; HEARD],
    law: Law,
    follower: Follower,
}

/// Samples that are remembered: two of the longest pitch periods and the block that is compared.
const HEARD: usize = 400;

/// Pitch periods that voices have, in samples: 66 to 200 Hz (G.711 Appendix I §2.1), and their doubles as octaves do no harm.
const PERIODS: std::ops::RangeInclusive<usize> = 40..=120;

/// Samples that are compared with those a period before: 20 ms.
const COMPARED: usize = 160;

/// Samples over which the made-up goes over into what comes next: 4 ms.
const JOIN: usize = 32;

/// Samples before it fades, and after which nothing is left: 10 ms and 60 ms (G.711 Appendix I §2.4).
const FADE_FROM: usize = 80;
const FADE_TO: usize = 480;

impl Default for Concealer {
    fn default() -> Self {
        Self { heard: [g711::silence(Law::Mu); HEARD], law: Law::Mu, follower: Follower::default() }
    }
}

impl Concealer {
    /// Begins a frame, and returns how many samples before it are missing and worth making up.
    pub(crate) fn missing_before(&mut self, frame: &Frame<'_>) -> usize {
        match self.follower.gap_before(frame) {
            Gap::Time(gap) if frame.lost > 0 => gap.min(CONCEALED_MAX as u64) as usize,
            Gap::Time(_) | Gap::NewStream => 0,
        }
    }

    /// Takes what was heard.
    pub(crate) fn hear(&mut self, frame: &Frame<'_>, law: Law, payload: &[u8]) {
        self.follower.follow(frame.timestamp, payload.len());
        self.turn(law);
        let newest = payload.get(payload.len().saturating_sub(HEARD)..).unwrap_or_default();
        self.heard.copy_within(newest.len().., 0);
        for (heard, &coded) in self.heard.iter_mut().rev().zip(newest.iter().rev()) {
            *heard = coded;
        }
    }

    /// Makes up samples that follow what was heard, and blends the beginning of `next`, which follows them.
    pub(crate) fn make_up(&mut self, law: Law, made: &mut [u8], next: &mut [u8]) {
        self.turn(law);
        let mut heard = [0i16; HEARD];
        for (sample, &coded) in heard.iter_mut().zip(&self.heard) {
            *sample = g711::expand(law, coded);
        }
        let cycle = heard.get(HEARD - period(&heard)..).unwrap_or_default();
        let mut voice = cycle.iter().cycle().enumerate().map(|(place, &sample)| {
            let left = FADE_TO.saturating_sub(place.max(FADE_FROM)) as i32;
            i32::from(sample) * left / (FADE_TO - FADE_FROM) as i32
        });
        for (coded, sample) in made.iter_mut().zip(&mut voice) {
            *coded = g711::compress(law, sample as i16);
        }
        for (place, (coded, made)) in next.iter_mut().take(JOIN).zip(voice).enumerate() {
            let share = place as i32;
            let blended = i32::from(g711::expand(law, *coded)) * share + made * (JOIN as i32 - share);
            *coded = g711::compress(law, (blended / JOIN as i32) as i16);
        }
    }

    /// Goes on in this law.
    fn turn(&mut self, law: Law) {
        if law != self.law {
            for coded in &mut self.heard {
                *coded = g711::convert(self.law, law, *coded);
            }
            self.law = law;
        }
    }
}

/// Returns the period after which what was heard is most like itself.
fn period(heard: &[i16; HEARD]) -> usize {
    let block = |start: usize| heard.get(start..start + COMPARED).unwrap_or_default();
    let newest = block(HEARD - COMPARED);
    let likeness = |period: usize| {
        let earlier = block(HEARD - COMPARED - period);
        let products = newest.iter().zip(earlier);
        let (mut product, mut energy) = (0.0f32, 1.0f32);
        for (&one, &other) in products {
            product += f32::from(one) * f32::from(other);
            energy += f32::from(other).powi(2);
        }
        product / energy.sqrt()
    };
    let mut best = (*PERIODS.start(), f32::MIN);
    for period in PERIODS {
        let likeness = likeness(period);
        if likeness > best.1 {
            best = (period, likeness);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameBody, StreamId};
    use crate::tone::{Tone, ToneGenerator};
    use trunkline_model::Codec;

    fn tone(samples: usize) -> Vec<i16> {
        let mut tone = vec![0; samples];
        ToneGenerator::new(Tone::sine(100.0, 8000.0)).fill(&mut tone);
        tone
    }

    fn frame(timestamp: u64, lost: u16) -> Frame<'static> {
        let body = FrameBody::Audio { codec: Codec::Pcma, payload: &[] };
        Frame { stream: StreamId(1), timestamp, marker: false, lost, body }
    }

    #[test]
    fn a_steady_sound_goes_on_in_step_and_joins_what_comes_next() {
        let wanted = tone(800);
        let coded: Vec<u8> = wanted.iter().map(|&sample| g711::compress(Law::A, sample)).collect();
        let mut concealer = Concealer::default();
        for (place, heard) in coded[..480].chunks(160).enumerate() {
            let frame = frame(160 * place as u64, 0);
            assert_eq!(concealer.missing_before(&frame), 0);
            concealer.hear(&frame, Law::A, heard);
        }
        assert_eq!(concealer.missing_before(&frame(640, 1)), 160);
        let (mut made, mut next) = ([0; 160], [0; 160]);
        next.copy_from_slice(&coded[640..]);
        concealer.make_up(Law::A, &mut made, &mut next);
        for (place, (&made, &wanted)) in made.iter().zip(&wanted[480..]).enumerate() {
            let faded = if place < 80 { 0 } else { i32::from(wanted).abs() / 4 };
            let off = (i32::from(g711::expand(Law::A, made)) - i32::from(wanted)).abs();
            assert!(off < 400 + faded, "sample {place} is off by {off}");
        }
        assert_eq!(next[JOIN..], coded[640 + JOIN..], "only the join is blended");
    }

    #[test]
    fn silence_and_the_longest_gap_are_no_trouble() {
        let (mut made, mut next) = ([7; CONCEALED_MAX], [0xff; 160]);
        Concealer::default().make_up(Law::Mu, &mut made, &mut next);
        assert_eq!(made, [0xff; CONCEALED_MAX]);
        let mut concealer = Concealer::default();
        concealer.missing_before(&frame(0, 0));
        concealer.hear(&frame(0, 0), Law::Mu, &[0x80; 1600]);
        assert_eq!(concealer.missing_before(&frame(1 << 40, 1)), CONCEALED_MAX);
        concealer.make_up(Law::A, &mut made, &mut []);
        let level = |coded| g711::expand(Law::A, coded).abs();
        assert!(level(made[0]) > 30_000 && level(made[479]) < 200, "it has faded by the end");
    }
}
