//! G.711: µ-law and A-law by table (ITU-T G.711; RFC 3551 §4.5.14).
//!
//! Expansion and the conversion between the two laws are tables of 256 bytes or words. Compression looks up the
//! segment by the position of the highest bit, which is as fast as a 16 kB table and leaves the cache alone.

use trunkline_model::Codec;

/// One of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// µ-law: PCMU.
    Mu,
    /// A-law: PCMA.
    A,
}

impl Law {
    /// Returns the law of a codec, if it is one of the two.
    pub fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Pcmu => Some(Self::Mu),
            Codec::Pcma => Some(Self::A),
            Codec::Opus => None,
        }
    }

    /// Returns the codec of the law.
    pub fn codec(self) -> Codec {
        match self {
            Self::Mu => Codec::Pcmu,
            Self::A => Codec::Pcma,
        }
    }
}

/// Returns the linear sample of a coded byte.
pub fn expand(law: Law, coded: u8) -> i16 {
    let table = match law {
        Law::Mu => &MU_TO_LINEAR,
        Law::A => &A_TO_LINEAR,
    };
    table.get(usize::from(coded)).copied().unwrap_or(0)
}

/// Returns the coded byte of a linear sample.
pub fn compress(law: Law, sample: i16) -> u8 {
    match law {
        Law::Mu => linear_to_mu(sample),
        Law::A => linear_to_a(sample),
    }
}

/// Returns the byte of one law as a byte of the other, or of the same.
///
/// Goes through the linear value, which is what the tables 3 and 4 of G.711 amount to within one step.
pub fn convert(from: Law, to: Law, coded: u8) -> u8 {
    let index = usize::from(coded);
    match (from, to) {
        (Law::Mu, Law::Mu) | (Law::A, Law::A) => coded,
        (Law::Mu, Law::A) => MU_TO_A.get(index).copied().unwrap_or(0),
        (Law::A, Law::Mu) => A_TO_MU.get(index).copied().unwrap_or(0),
    }
}

/// Appends coded audio to `out`, converted from one law to the other where they differ.
pub fn convert_into(from: Law, to: Law, payload: &[u8], out: &mut Vec<u8>) {
    if from == to {
        out.extend_from_slice(payload);
    } else {
        out.extend(payload.iter().map(|&coded| convert(from, to, coded)));
    }
}

/// Returns the coded byte of silence.
pub fn silence(law: Law) -> u8 {
    match law {
        Law::Mu => 0xff,
        Law::A => 0xd5,
    }
}

/// The bias that makes the segment edges of µ-law powers of two, on the 16-bit scale.
const MU_BIAS: i32 = 0x84;

/// The largest magnitude that µ-law can code, on the 16-bit scale.
const MU_CLIP: i32 = 32_635;

static MU_TO_LINEAR: [i16; 256] = linear_table(Law::Mu);
static A_TO_LINEAR: [i16; 256] = linear_table(Law::A);
static MU_TO_A: [u8; 256] = law_table(Law::Mu);
static A_TO_MU: [u8; 256] = law_table(Law::A);

const fn linear_to_mu(sample: i16) -> u8 {
    // Negative values are one's complement, as in the reference of ITU-T G.191: a decision value belongs to the step
    // nearer to zero.
    let (sign, magnitude) = if sample < 0 { (0x80, !(sample as i32)) } else { (0, sample as i32) };
    let biased = (if magnitude > MU_CLIP { MU_CLIP } else { magnitude }) + MU_BIAS;
    let segment = 31 - biased.leading_zeros() as i32 - 7;
    let step = (biased >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) | step) as u8
}

const fn mu_to_linear(coded: u8) -> i16 {
    let coded = !coded as i32;
    let segment = (coded >> 4) & 7;
    let magnitude = ((((coded & 0x0f) << 3) + MU_BIAS) << segment) - MU_BIAS;
    (if coded & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

const fn linear_to_a(sample: i16) -> u8 {
    // A-law codes 13 bits; negative values are one's complement so that -1 falls into the lowest step.
    let (sign, magnitude) = if sample < 0 { (0, !(sample as i32) >> 4) } else { (0x80, sample as i32 >> 4) };
    let coded = if magnitude < 32 {
        magnitude
    } else {
        let segment = 31 - magnitude.leading_zeros() as i32 - 3;
        (segment << 4) | ((magnitude >> (segment - 1)) & 0x0f)
    };
    ((sign | coded) ^ 0x55) as u8
}

const fn a_to_linear(coded: u8) -> i16 {
    let coded = (coded ^ 0x55) as i32;
    let segment = (coded >> 4) & 7;
    let step = coded & 0x0f;
    let magnitude = if segment == 0 { (step << 4) + 8 } else { ((step << 4) + 0x108) << (segment - 1) };
    (if coded & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a bad index does not compile")]
const fn linear_table(from: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut coded = 0;
    while coded < 256 {
        table[coded] = match from {
            Law::Mu => mu_to_linear(coded as u8),
            Law::A => a_to_linear(coded as u8),
        };
        coded += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a bad index does not compile")]
const fn law_table(from: Law) -> [u8; 256] {
    let mut table = [0; 256];
    let mut coded = 0;
    while coded < 256 {
        table[coded] = match from {
            Law::Mu => linear_to_a(mu_to_linear(coded as u8)),
            Law::A => linear_to_mu(a_to_linear(coded as u8)),
        };
        coded += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

    #[test]
    fn every_sample_and_every_code_agree_with_an_independent_codec() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(compress(Law::Mu, sample), encode_ulaw(sample), "µ-law of {sample}");
            assert_eq!(compress(Law::A, sample), encode_alaw(sample), "A-law of {sample}");
        }
        for coded in 0..=255 {
            assert_eq!(expand(Law::Mu, coded), decode_ulaw(coded));
            assert_eq!(expand(Law::A, coded), decode_alaw(coded));
            assert_eq!(convert(Law::Mu, Law::A, coded), encode_alaw(decode_ulaw(coded)));
            assert_eq!(convert(Law::A, Law::Mu, coded), encode_ulaw(decode_alaw(coded)));
            assert_eq!(convert(Law::A, Law::A, coded), coded);
        }
    }

    #[test]
    fn silence_is_the_quietest_code() {
        assert_eq!(expand(Law::Mu, silence(Law::Mu)), 0);
        assert_eq!(expand(Law::A, silence(Law::A)), 8);
    }
}
