//! Cutting a message into segments.

use bytes::Bytes;

use super::udh::Concat;
use crate::text::gsm7::{self, Septets};
use crate::text::{
    Alphabet, CODING_BINARY, CODING_DEFAULT, CODING_UCS2, DefaultAlphabet, Outgoing, encode_ucs2,
};

/// How a trunk wants the parts of a long message marked: exactly one way (rules D.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// A user data header with an 8-bit reference.
    Udh8,
    /// A user data header with a 16-bit reference, which repeats 256 times less often.
    #[default]
    Udh16,
    /// The sar_* TLVs; the carrier writes the header.
    Sar,
    /// The whole text in message_payload; the carrier cuts it.
    Payload,
}

/// How messages to a trunk are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitPolicy {
    /// What the trunk means by data_coding 0.
    pub default_alphabet: DefaultAlphabet,
    /// How parts are marked.
    pub method: Method,
    /// Most segments a message may have: 1 to 255.
    pub segments_max: u8,
    /// Whether typographic characters are made plain where that keeps a message in the GSM alphabet.
    pub transliterate: bool,
}

impl Default for SplitPolicy {
    fn default() -> Self {
        Self {
            default_alphabet: DefaultAlphabet::Gsm7,
            method: Method::Udh16,
            segments_max: SEGMENTS_MAX_DEFAULT,
            transliterate: false,
        }
    }
}

/// Most segments of a message unless the trunk says otherwise (rules D.4).
pub const SEGMENTS_MAX_DEFAULT: u8 = 10;

/// How a segment says that it is part of a longer message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carriage {
    /// It is the whole message.
    Plain,
    /// Its octets begin with a user data header.
    Udh(Concat),
    /// It goes with sar_* TLVs.
    Sar(Concat),
    /// It is the whole message and goes in message_payload.
    Payload,
}

/// What one submit_sm carries. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment {
    /// The octets of short_message or message_payload, header included.
    pub octets: Bytes,
    /// The value of data_coding.
    pub data_coding: u8,
    /// How it says which part it is.
    pub carriage: Carriage,
    /// How many septets, UTF-16 units or octets of the message it carries, header excluded.
    pub units: u16,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({:?}, data_coding {}, {} units)", self.carriage, self.data_coding, self.units)
    }
}

/// A message cut up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is submitted, in order.
    pub segments: Vec<Segment>,
    /// How many segments reach the handset, which is what carriers count and charge: more than `segments` has with
    /// [`Method::Payload`].
    pub billed: u16,
}

/// Why a message cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The message is longer than the trunk allows.
    #[error("the message takes {needed} segments; the trunk allows {max}")]
    TooManySegments {
        /// How many it would take.
        needed: usize,
        /// How many are allowed.
        max: u8,
    },
}

/// Cuts a text. `reference` is what marks its parts; see [`References`].
///
/// No two-septet character and no surrogate pair is ever cut in two.
///
/// # Errors
/// [`SplitError::TooManySegments`].
pub fn split(text: &str, policy: &SplitPolicy, reference: u16) -> Result<Split, SplitError> {
    let outgoing = Outgoing::choose(text, policy.default_alphabet, policy.transliterate);
    let units = Units::of(outgoing.alphabet);
    let parts = units.cut(&outgoing.text, policy.method);
    let encode = |part: &str, fill| units.encode(part, policy.default_alphabet, fill);
    let coding = match outgoing.alphabet {
        Alphabet::Gsm7 => CODING_DEFAULT,
        Alphabet::Ucs2 => CODING_UCS2,
    };
    if policy.method == Method::Payload {
        let billed = within(parts.len(), policy)?;
        let segment = Segment {
            octets: encode(&outgoing.text, 0).into(),
            data_coding: coding,
            carriage: if billed == 1 { Carriage::Plain } else { Carriage::Payload },
            units: units.count(&outgoing.text) as u16,
        };
        return Ok(Split { segments: vec![segment], billed: u16::from(billed) });
    }
    let total = within(parts.len(), policy)?;
    let segments = parts.iter().zip(1..=total).map(|(part, seq)| {
        let (header, carriage) = header(policy.method, Concat { reference, total, seq });
        // An eight-bit header of six octets leaves one bit to the next septet boundary.
        let fill = if header.len() == 6 { 1 } else { 0 };
        let octets = [header, encode(part, fill)].concat().into();
        Segment { octets, data_coding: coding, carriage, units: units.count(part) as u16 }
    });
    Ok(Split { segments: segments.collect(), billed: u16::from(total) })
}

/// Cuts octets that are no text, for data_coding 4.
///
/// # Errors
/// [`SplitError::TooManySegments`].
pub fn split_octets(octets: &[u8], policy: &SplitPolicy, reference: u16) -> Result<Split, SplitError> {
    let (single, several) = capacity_octets(policy.method);
    let size = if octets.len() <= single { single } else { several };
    let mut parts: Vec<&[u8]> = octets.chunks(size).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let total = within(parts.len(), policy)?;
    if policy.method == Method::Payload {
        parts = vec![octets];
    }
    let whole_in_payload = policy.method == Method::Payload && total > 1;
    let segments = parts.iter().zip(1..=total).map(|(part, seq)| {
        let (header, carriage) = match whole_in_payload {
            true => (Vec::new(), Carriage::Payload),
            false => header(policy.method, Concat { reference, total, seq }),
        };
        let octets = [header.as_slice(), part].concat().into();
        Segment { octets, data_coding: CODING_BINARY, carriage, units: part.len() as u16 }
    });
    Ok(Split { segments: segments.collect(), billed: u16::from(total) })
}

fn within(needed: usize, policy: &SplitPolicy) -> Result<u8, SplitError> {
    let max = policy.segments_max.max(1);
    match u8::try_from(needed) {
        Ok(total) if total <= max => Ok(total),
        _ => Err(SplitError::TooManySegments { needed, max }),
    }
}

fn header(method: Method, concat: Concat) -> (Vec<u8>, Carriage) {
    if concat.total == 1 {
        return (Vec::new(), Carriage::Plain);
    }
    match method {
        Method::Udh8 => (concat.header_8bit().to_vec(), Carriage::Udh(concat)),
        Method::Udh16 => (concat.header_16bit().to_vec(), Carriage::Udh(concat)),
        Method::Sar => (Vec::new(), Carriage::Sar(concat)),
        Method::Payload => (Vec::new(), Carriage::Payload),
    }
}

/// The units that an alphabet counts in.
#[derive(Clone, Copy)]
enum Units {
    Septets,
    Utf16,
}

impl Units {
    fn of(alphabet: Alphabet) -> Self {
        match alphabet {
            Alphabet::Gsm7 => Self::Septets,
            Alphabet::Ucs2 => Self::Utf16,
        }
    }

    fn of_char(self, c: char) -> usize {
        match self {
            Self::Septets => Septets::of(c).map_or(1, Septets::count),
            Self::Utf16 => c.len_utf16(),
        }
    }

    fn count(self, text: &str) -> usize {
        text.chars().map(|c| self.of_char(c)).sum()
    }

    /// Returns how many units fit a lone segment, and one of several (table of rules D.4).
    fn capacity(self, method: Method) -> (usize, usize) {
        match (self, method) {
            (Self::Septets, Method::Udh16) => (160, 152),
            (Self::Septets, Method::Udh8 | Method::Sar | Method::Payload) => (160, 153),
            (Self::Utf16, Method::Udh16) => (70, 66),
            (Self::Utf16, Method::Udh8 | Method::Sar | Method::Payload) => (70, 67),
        }
    }

    fn cut(self, text: &str, method: Method) -> Vec<&str> {
        let (single, several) = self.capacity(method);
        if self.count(text) <= single {
            return vec![text];
        }
        let mut parts = Vec::new();
        let (mut start, mut used) = (0, 0);
        for (at, c) in text.char_indices() {
            let units = self.of_char(c);
            if used + units > several {
                parts.extend(text.get(start..at));
                (start, used) = (at, 0);
            }
            used += units;
        }
        parts.extend(text.get(start..));
        parts
    }

    fn encode(self, text: &str, carrier: DefaultAlphabet, fill_bits: u8) -> Vec<u8> {
        match (self, carrier) {
            (Self::Utf16, _) => encode_ucs2(text),
            (Self::Septets, DefaultAlphabet::Gsm7) => gsm7::encode(text).unwrap_or_default(),
            (Self::Septets, DefaultAlphabet::Gsm7Packed) => {
                let mut septets = gsm7::encode(text).unwrap_or_default();
                // TS 23.038 §6.1.2.3.1: seven spare bits hold a CR, lest they read as an '@'.
                if (septets.len() * 7 + usize::from(fill_bits)) % 8 == 1 {
                    septets.push(b'\r');
                }
                gsm7::pack(&septets, fill_bits)
            }
            (Self::Septets, DefaultAlphabet::Latin1) => text.chars().map(|c| c as u8).collect(),
        }
    }
}

fn capacity_octets(method: Method) -> (usize, usize) {
    match method {
        Method::Udh16 => (140, 133),
        Method::Udh8 | Method::Sar | Method::Payload => (140, 134),
    }
}

/// Reference numbers for long messages, rolling for each pair of numbers.
///
/// Pairs that hash to the same counter share it, which only makes it roll faster. A message keeps the reference it
/// was first cut with, or the parts of a second attempt would not fit those of the first.
#[derive(Debug, Clone)]
pub struct References {
    counters: Vec<u16>,
}

impl References {
    /// Counters kept: 8 KiB of memory, and pairs in use at the same time seldom meet.
    const COUNTERS: u16 = 4096;

    /// Returns counters that begin somewhere else for each seed, so that a restart does not repeat references.
    pub fn new(seed: u64) -> Self {
        let start = |at: u16| fnv(&[&seed.to_be_bytes(), &at.to_be_bytes()]) as u16;
        Self { counters: (0..Self::COUNTERS).map(start).collect() }
    }

    /// Returns the next reference between two addresses.
    pub fn take(&mut self, from: &str, to: &str) -> u16 {
        let at = fnv(&[from.as_bytes(), b"\0", to.as_bytes()]) % u64::from(Self::COUNTERS);
        let Some(counter) = self.counters.get_mut(at as usize) else { return 0 };
        *counter = counter.wrapping_add(1);
        *counter
    }
}

/// FNV-1a, folded: short, without a state of its own, the same in every run.
fn fnv(pieces: &[&[u8]]) -> u64 {
    let octets = pieces.iter().flat_map(|piece| piece.iter());
    let hash = octets.fold(0xcbf2_9ce4_8422_2325u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests;
