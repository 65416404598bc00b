//! Opus (RFC 6716) at 8 kHz, mono. The door to `audiopus`.
//!
//! libopus encodes from and decodes to 8 kHz by itself, whatever bandwidth and channels a stream has, so there is no
//! resampler. On the wire the clock stays at 48 kHz (RFC 7587 §4.1).

use audiopus::coder::{Decoder as LibDecoder, Encoder as LibEncoder, GenericCtl};
use audiopus::packet::Packet;
use audiopus::{Application, Bandwidth, Bitrate, Channels, MutSignals, SampleRate, Signal};

/// How speech is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Effort, 0 to [`COMPLEXITY_MAX`].
    pub complexity: u8,
    /// Bits a second; 6,000 to 510,000 are meaningful (RFC 7587 §6.1).
    pub bitrate_bps: u32,
    /// Whether every packet has the same size (RFC 7587 §6.1, `cbr`).
    pub constant: bool,
    /// Whether a packet carries a coarse copy of the one before it, as far as `loss_percent` makes that worth it.
    pub fec: bool,
    /// Whether silence is coded as packets that need not be sent.
    pub dtx: bool,
    /// How many packets of a hundred the peer is expected to lose.
    pub loss_percent: u8,
}

/// Speech to packets.
#[derive(Debug)]
pub struct Encoder {
    inner: LibEncoder,
    settings: Settings,
}

/// Packets to speech.
#[derive(Debug)]
pub struct Decoder {
    inner: LibDecoder,
}

/// libopus refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("libopus: {0}")]
pub struct Refused(#[from] audiopus::Error);

/// The least bits a second that are meaningful (RFC 7587 §6.1).
pub const BITRATE_BPS_MIN: u32 = 6000;

/// The highest effort.
pub const COMPLEXITY_MAX: u8 = 10;

/// Most samples in a packet: 120 ms (RFC 6716 §3.2.5).
pub const PACKET_SAMPLES_MAX: usize = 960;

/// Longest packet that we make of 20 ms.
///
/// Variable rate keeps speech below three times its mean rate; 200 kb/s is far above any that we are asked for.
pub const PACKET_BYTES_MAX: usize = 512;

/// 20 ms of silence, which leaves no trace in a decoder's state: full band, one frame, nothing but its end.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

impl Default for Settings {
    fn default() -> Self {
        Self { complexity: 5, bitrate_bps: 24_000, constant: false, fec: true, dtx: false, loss_percent: 0 }
    }
}

impl Encoder {
    /// Returns an encoder.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(settings: Settings) -> Result<Self, Refused> {
        let mut inner = LibEncoder::new(SampleRate::Hz8000, Channels::Mono, Application::Voip)?;
        inner.set_max_bandwidth(Bandwidth::Narrowband)?;
        inner.set_signal(Signal::Voice)?;
        let mut encoder = Self { inner, settings };
        encoder.put(settings)?;
        Ok(encoder)
    }

    /// Changes how what comes next is coded. Costs nothing when nothing changes.
    ///
    /// # Errors
    /// When libopus takes no such value; what it took before stays.
    pub fn set(&mut self, settings: Settings) -> Result<(), Refused> {
        if settings == self.settings { Ok(()) } else { self.put(settings) }
    }

    /// Returns how speech is coded now.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Codes 10, 20, 40 or 60 ms, and returns how many bytes the packet has. With DTX, a packet that
    /// [`is_silent`] need not be sent.
    ///
    /// # Errors
    /// When there are as many samples as no packet has, or no room.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, Refused> {
        Ok(self.inner.encode(samples, packet)?)
    }

    fn put(&mut self, settings: Settings) -> Result<(), Refused> {
        let bitrate = i32::try_from(settings.bitrate_bps).unwrap_or(i32::MAX);
        self.inner.set_complexity(settings.complexity.min(COMPLEXITY_MAX))?;
        self.inner.set_bitrate(Bitrate::BitsPerSecond(bitrate))?;
        self.inner.set_vbr(!settings.constant)?;
        self.inner.set_inband_fec(settings.fec)?;
        self.inner.set_dtx(settings.dtx)?;
        self.inner.set_packet_loss_perc(settings.loss_percent.min(100))?;
        self.settings = settings;
        Ok(())
    }
}

impl Decoder {
    /// Returns a decoder.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new() -> Result<Self, Refused> {
        Ok(Self { inner: LibDecoder::new(SampleRate::Hz8000, Channels::Mono)? })
    }

    /// Decodes a packet, and returns how many samples it has.
    ///
    /// # Errors
    /// When it is no packet, or has more samples than there is room for.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Result<usize, Refused> {
        Ok(self.inner.decode(Some(Packet::try_from(packet)?), MutSignals::try_from(samples)?, false)?)
    }

    /// Makes up samples in place of a packet that never came; whole steps of 2.5 ms. Also the noise of a pause.
    ///
    /// # Errors
    /// When the number of samples is no such step.
    pub fn conceal(&mut self, samples: &mut [i16]) -> Result<usize, Refused> {
        Ok(self.inner.decode(None, MutSignals::try_from(samples)?, false)?)
    }

    /// Makes samples in place of what never came, as far as it can from the copy that the packet after the gap
    /// carries. That packet is to be decoded next.
    ///
    /// # Errors
    /// As [`decode`](Self::decode) and [`conceal`](Self::conceal).
    pub fn recover(&mut self, next: &[u8], samples: &mut [i16]) -> Result<usize, Refused> {
        Ok(self.inner.decode(Some(Packet::try_from(next)?), MutSignals::try_from(samples)?, true)?)
    }

    /// Forgets the stream: another one follows.
    ///
    /// # Errors
    /// Never, by the manual of libopus.
    pub fn reset(&mut self) -> Result<(), Refused> {
        Ok(self.inner.reset_state()?)
    }
}

/// Returns how many samples at 8 kHz a packet has (RFC 6716 §3.1, §3.2); none when it is no packet.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    let samples = count * frame_samples(toc);
    (1..=PACKET_SAMPLES_MAX as u32).contains(&samples).then_some(samples)
}

/// Whether a packet only says that silence goes on: a frame without content (RFC 6716 §3.4, RFC 7587 §3.1.3).
pub fn is_silent(packet: &[u8]) -> bool {
    packet.len() <= 2
}

/// Whether a packet carries a copy of the one before it (RFC 6716 §4.2.4).
///
/// Only packets of one frame are looked into: others carry one too, but no sender of speech in the field makes them.
pub fn has_copy(packet: &[u8]) -> bool {
    let [toc, first, ..] = packet else { return false };
    let config = toc >> 3;
    if toc & 3 != 0 || config >= CONFIG_CELT || toc & 4 != 0 {
        return false;
    }
    // One bit of voice activity for each 20 ms, then the bit that is asked for.
    let activity_bits = frame_samples(*toc).div_ceil(160);
    first << activity_bits & 0x80 != 0
}

/// The first configuration that has no SILK layer, and so no copy.
const CONFIG_CELT: u8 = 16;

/// Samples at 8 kHz in one frame of a packet (RFC 6716 §3.1, table 2).
fn frame_samples(toc: u8) -> u32 {
    match (toc >> 3, (toc >> 3) & 3) {
        (0..=11, 0) => 80,
        (0..=11, 1) => 160,
        (0..=11, 2) => 320,
        (0..=11, _) => 480,
        (12..=15, step) => 80 << (step & 1),
        (_, step) => 20 << step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{self, Tone, ToneGenerator};

    fn tone(samples: usize) -> Vec<i16> {
        let mut tone = vec![0; samples];
        ToneGenerator::new(Tone::sine(400.0, 8000.0)).fill(&mut tone);
        tone
    }

    fn coded(settings: Settings, speech: &[i16], frame: usize) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(settings).unwrap();
        let mut packet = [0; PACKET_BYTES_MAX];
        let mut code = |frame: &[i16]| {
            let length = encoder.encode(frame, &mut packet).unwrap();
            packet[..length].to_vec()
        };
        speech.chunks_exact(frame).map(&mut code).collect()
    }

    #[test]
    fn libopus_is_the_bundled_one() {
        assert_eq!(audiopus::version(), "libopus 1.6.1");
    }

    #[test]
    fn a_tone_comes_through_at_its_level() {
        let speech = tone(16_000);
        let mut decoder = Decoder::new().unwrap();
        let mut heard = Vec::new();
        for packet in coded(Settings::default(), &speech, 160) {
            let mut samples = [0; PACKET_SAMPLES_MAX];
            assert_eq!(super::samples(&packet), Some(160));
            let count = decoder.decode(&packet, &mut samples).unwrap();
            heard.extend_from_slice(&samples[..count]);
        }
        assert!(tone::signal_to_noise_db(&heard[3200..14_400], 400.0) > 20.0);
        let power = |samples: &[i16]| samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
        let level_db = 10.0 * (power(&heard[3200..14_400]) / power(&speech[3200..14_400])).log10();
        assert!(level_db.abs() < 0.25, "{level_db} dB");
    }

    #[test]
    fn every_duration_is_read_off_the_packet() {
        let speech = tone(9600);
        for frame in [80, 160, 320, 480] {
            for packet in coded(Settings::default(), &speech, frame) {
                assert_eq!(samples(&packet), Some(frame as u32));
            }
        }
        assert_eq!(samples(&[]), None);
        assert_eq!(samples(&[3]), None, "the number of frames is missing");
        assert_eq!(samples(&[3, 0]), None, "no frame at all");
        assert_eq!(samples(&[3 << 3 | 3, 3]), None, "180 ms");
        assert_eq!(samples(&SILENCE), Some(160));
        assert_eq!(samples(&[16 << 3]), Some(20));
        assert_eq!(samples(&[13 << 3 | 1]), Some(320));
    }

    #[test]
    fn silence_is_silence_and_leaves_no_trace() {
        let mut decoder = Decoder::new().unwrap();
        let mut samples = [7; 160];
        assert_eq!(decoder.decode(&SILENCE, &mut samples), Ok(160));
        assert_eq!(samples, [0; 160]);
    }

    #[test]
    fn with_dtx_silence_needs_no_packets() {
        let settings = Settings { dtx: true, ..Settings::default() };
        let packets = coded(settings, &[0; 16_000], 160);
        let silent = packets.iter().filter(|packet| is_silent(packet)).count();
        assert!(silent > 80, "{silent} of 100");
    }

    #[test]
    fn a_copy_is_there_when_loss_is_expected_and_recovers_better_than_guessing() {
        let mut speech = tone(16_000);
        // Something that cannot be guessed from what was before: the tone comes and goes.
        for (place, sample) in speech.iter_mut().enumerate() {
            if (place / 480) % 2 == 0 {
                *sample /= 16;
            }
        }
        let settings = Settings { loss_percent: 20, ..Settings::default() };
        let packets = coded(settings, &speech, 160);
        let copies = packets.iter().filter(|packet| has_copy(packet)).count();
        assert!(copies > 60, "{copies} of 100");
        assert!(!coded(Settings::default(), &speech, 160).iter().any(|packet| has_copy(packet)));

        let error = |recovers: bool| {
            let (mut whole, mut broken) = (Decoder::new().unwrap(), Decoder::new().unwrap());
            let (mut error, mut wanted, mut heard) = (0.0, [0; 160], [0; 160]);
            for (place, packet) in packets.iter().enumerate() {
                whole.decode(packet, &mut wanted).unwrap();
                if place % 5 != 2 || !has_copy(&packets[place + 1]) {
                    broken.decode(packet, &mut heard).unwrap();
                    continue;
                }
                if recovers {
                    broken.recover(&packets[place + 1], &mut heard).unwrap();
                } else {
                    broken.conceal(&mut heard).unwrap();
                }
                let squares = wanted.iter().zip(&heard).map(|(&a, &b)| f64::from(a - b).powi(2));
                error += squares.sum::<f64>();
            }
            error
        };
        assert!(error(true) * 4.0 < error(false), "{} {}", error(true), error(false));
    }
}
