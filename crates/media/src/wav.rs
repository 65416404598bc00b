//! WAV files at 8 kHz. The door to `hound`.

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::io::{Cursor, Read};

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Not a WAV file of PCM samples, or one that breaks off.
    #[error("not a WAV file of PCM samples: {0}")]
    Format(#[from] hound::Error),
    /// Another sample rate.
    #[error("the file is at {0} Hz; telephones speak at 8000 Hz")]
    Rate(u32),
    /// Longer than anything played on a telephone.
    #[error("the file is longer than {SECONDS_MAX} s")]
    TooLong,
}

/// Longest file read: half an hour of music on hold.
const SECONDS_MAX: u32 = 1800;

const RATE: u32 = crate::frame::CLOCK_RATE;

/// Reads a file as samples at 8 kHz; of several channels, their mean.
pub fn read(file: impl Read) -> Result<Vec<i16>, WavError> {
    let mut reader = WavReader::new(file)?;
    let spec = reader.spec();
    if spec.sample_rate != RATE {
        return Err(WavError::Rate(spec.sample_rate));
    }
    if reader.duration() > SECONDS_MAX * RATE {
        return Err(WavError::TooLong);
    }
    let samples: Vec<i16> = match spec.sample_format {
        SampleFormat::Float => {
            let samples =
                reader.samples::<f32>().map(|sample| sample.map(|sample| (sample * 32_767.0) as i16));
            samples.collect::<Result<_, _>>()?
        }
        SampleFormat::Int => {
            let bits = u32::from(spec.bits_per_sample);
            let samples = reader.samples::<i32>().map(|sample| sample.map(|sample| to_16_bits(sample, bits)));
            samples.collect::<Result<_, _>>()?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    if channels == 1 {
        return Ok(samples);
    }
    Ok(samples.chunks_exact(channels).map(mean).collect())
}

/// Returns a file of 16-bit samples at 8 kHz.
pub fn write(samples: &[i16]) -> Result<Vec<u8>, WavError> {
    let spec =
        WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

fn to_16_bits(sample: i32, bits: u32) -> i16 {
    let scaled = if bits > 16 { sample >> (bits - 16) } else { sample << (16 - bits) };
    scaled.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

fn mean(samples: &[i16]) -> i16 {
    let sum: i64 = samples.iter().map(|&sample| i64::from(sample)).sum();
    (sum / samples.len().max(1) as i64) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(spec: WavSpec, samples: &[i32]) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, spec).unwrap();
        samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        file.into_inner()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let samples: Vec<i16> = (-2000..2000).map(|sample| sample * 16).collect();
        assert_eq!(read(&write(&samples).unwrap()[..]).unwrap(), samples);
    }

    #[test]
    fn other_depths_and_channels_become_sixteen_bits_and_one() {
        let spec =
            WavSpec { channels: 2, sample_rate: RATE, bits_per_sample: 24, sample_format: SampleFormat::Int };
        assert_eq!(read(&file(spec, &[256_000, 512_000, -256, -256])[..]).unwrap(), [1500, -1]);
        let spec = WavSpec { channels: 1, bits_per_sample: 8, ..spec };
        assert_eq!(read(&file(spec, &[-128, 0, 127])[..]).unwrap(), [-32_768, 0, 32_512]);
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_the_reason() {
        let spec = WavSpec {
            channels: 1,
            sample_rate: 44_100,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        assert!(matches!(read(&file(spec, &[0])[..]), Err(WavError::Rate(44_100))));
        assert!(matches!(read(&b"RIFF"[..]), Err(WavError::Format(_))));
    }
}
