//! Text to octets and back: which alphabet a message takes, and what received octets say.

pub mod gsm7;
pub mod transliterate;

use std::borrow::Cow;

use bytes::Bytes;
use gsm7::NationalTables;

/// The alphabet of a whole message: one character outside GSM makes all of it UCS-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alphabet {
    /// The GSM 7-bit default alphabet with its extension; units are septets.
    Gsm7,
    /// UTF-16, which phones and carriers take where they say UCS-2; units are 16 bits.
    Ucs2,
}

/// What octets a carrier means by data_coding 0, the "SMSC default alphabet" (SMPP 3.4 §5.2.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DefaultAlphabet {
    /// GSM septets, one an octet: what nearly all carriers do.
    #[default]
    Gsm7,
    /// GSM septets, packed.
    Gsm7Packed,
    /// ISO 8859-1; the carrier converts to GSM, so lengths are still counted in septets.
    Latin1,
}

/// data_coding of the carrier's default alphabet.
pub const CODING_DEFAULT: u8 = 0;
/// data_coding of octets that are no text.
pub const CODING_BINARY: u8 = 4;
/// data_coding of UCS-2.
pub const CODING_UCS2: u8 = 8;

/// A message to be sent, its alphabet chosen.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The text as it will be sent, transliterated if that was wanted and of use.
    pub text: Cow<'a, str>,
    /// The alphabet of all its segments.
    pub alphabet: Alphabet,
}

impl<'a> Outgoing<'a> {
    /// Chooses the alphabet of a text for a carrier.
    ///
    /// With `transliterate`, typographic characters are made plain if the text is in the GSM alphabet then.
    pub fn choose(text: &'a str, carrier: DefaultAlphabet, transliterate: bool) -> Self {
        if fits(text, carrier) {
            return Self { text: Cow::Borrowed(text), alphabet: Alphabet::Gsm7 };
        }
        let plain = if transliterate { transliterate::typographic(text) } else { None };
        match plain {
            Some(plain) if fits(&plain, carrier) => {
                Self { text: Cow::Owned(plain), alphabet: Alphabet::Gsm7 }
            }
            Some(_) | None => Self { text: Cow::Borrowed(text), alphabet: Alphabet::Ucs2 },
        }
    }
}

/// Whether a text can be sent with data_coding 0. Towards a Latin-1 carrier it must be in both alphabets.
fn fits(text: &str, carrier: DefaultAlphabet) -> bool {
    match carrier {
        DefaultAlphabet::Gsm7 | DefaultAlphabet::Gsm7Packed => gsm7::septet_count(text).is_some(),
        DefaultAlphabet::Latin1 => {
            text.chars().all(|c| u32::from(c) < 0x100 && gsm7::Septets::of(c).is_some())
        }
    }
}

/// Returns UTF-16, most significant octet first.
pub fn encode_ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// What received octets turned out to be. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Text; with `lossy`, octets that no character stands for became U+FFFD.
    Text {
        /// The characters.
        text: String,
        /// Whether something was lost.
        lossy: bool,
    },
    /// Octets without characters, or in a character set that is not known here.
    Binary(Bytes),
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text { text, lossy } => {
                write!(f, "Text({} characters{})", text.chars().count(), if *lossy { ", lossy" } else { "" })
            }
            Self::Binary(octets) => write!(f, "Binary({} octets)", octets.len()),
        }
    }
}

/// How the octets of a data_coding are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// GSM septets, one an octet.
    Gsm7,
    /// GSM septets, packed.
    Gsm7Packed,
    /// ASCII.
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// ISO 8859-5.
    Cyrillic,
    /// ISO 8859-8.
    Hebrew,
    /// UTF-16, most significant octet first.
    Ucs2,
    /// Not text, or a set that is not known here.
    Binary,
}

impl Charset {
    /// Returns the character set of a data_coding (SMPP 3.4 §5.2.19, TS 23.038 §4).
    pub fn of(data_coding: u8, carrier: DefaultAlphabet) -> Self {
        let default = match carrier {
            DefaultAlphabet::Gsm7 => Self::Gsm7,
            DefaultAlphabet::Gsm7Packed => Self::Gsm7Packed,
            DefaultAlphabet::Latin1 => Self::Latin1,
        };
        match data_coding {
            0x00 => default,
            0x01 => Self::Ascii,
            0x03 => Self::Latin1,
            0x06 => Self::Cyrillic,
            0x07 => Self::Hebrew,
            0x08 => Self::Ucs2,
            // TS 23.038 §4: general data coding, with message class or automatic deletion; compressed text is not read.
            0x10..=0x1f | 0x40..=0x5f => match data_coding & 0x0c {
                0x00 => default,
                0x08 => Self::Ucs2,
                _ => Self::Binary,
            },
            // Message waiting: store in the default alphabet, or in UCS-2.
            0xc0..=0xdf => default,
            0xe0..=0xef => Self::Ucs2,
            // Data coding and message class: bit 2 says 8-bit data.
            0xf0..=0xff if data_coding & 0x04 == 0 => default,
            _ => Self::Binary,
        }
    }

    /// Returns what octets say. `fill_bits` precede packed septets behind a user data header.
    pub fn decode(self, octets: &[u8], tables: NationalTables, fill_bits: u8) -> Decoded {
        let (text, lossy) = match self {
            Self::Gsm7 => (gsm7::decode(octets, tables), octets.iter().any(|octet| *octet > 0x7f)),
            Self::Gsm7Packed => (gsm7::decode(&gsm7::unpack(octets, fill_bits), tables), false),
            Self::Ascii => single_octets(octets, |octet| octet.is_ascii().then_some(char::from(octet))),
            Self::Latin1 => single_octets(octets, |octet| Some(char::from(octet))),
            Self::Cyrillic => single_octets(octets, cyrillic),
            Self::Hebrew => single_octets(octets, hebrew),
            Self::Ucs2 => decode_ucs2(octets),
            Self::Binary => return Decoded::Binary(Bytes::copy_from_slice(octets)),
        };
        Decoded::Text { text, lossy }
    }
}

fn single_octets(octets: &[u8], map: impl Fn(u8) -> Option<char>) -> (String, bool) {
    let mut lossy = false;
    let text = octets.iter().map(|octet| {
        map(*octet).unwrap_or_else(|| {
            lossy = true;
            char::REPLACEMENT_CHARACTER
        })
    });
    (text.collect(), lossy)
}

fn decode_ucs2(octets: &[u8]) -> (String, bool) {
    let pairs = octets.chunks_exact(2);
    let mut lossy = !pairs.remainder().is_empty();
    let units = pairs.map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let text = char::decode_utf16(units).map(|unit| {
        unit.unwrap_or_else(|_| {
            lossy = true;
            char::REPLACEMENT_CHARACTER
        })
    });
    (text.collect(), lossy)
}

fn cyrillic(octet: u8) -> Option<char> {
    match octet {
        0x00..=0xa0 | 0xad => Some(char::from(octet)),
        0xf0 => Some('№'),
        0xfd => Some('§'),
        _ => char::from_u32(0x0360 + u32::from(octet)),
    }
}

fn hebrew(octet: u8) -> Option<char> {
    match octet {
        0xaa => Some('×'),
        0xba => Some('÷'),
        0xdf => Some('‗'),
        0xe0..=0xfa => char::from_u32(0x05d0 + u32::from(octet) - 0xe0),
        0xfd => Some('\u{200e}'),
        0xfe => Some('\u{200f}'),
        0xa1 | 0xbf..=0xde | 0xfb | 0xfc | 0xff => None,
        _ => Some(char::from(octet)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(coding: u8, octets: &[u8]) -> Decoded {
        Charset::of(coding, DefaultAlphabet::Gsm7).decode(octets, NationalTables::default(), 0)
    }

    fn said(text: &str) -> Decoded {
        Decoded::Text { text: text.into(), lossy: false }
    }

    #[test]
    fn one_character_decides_for_the_whole_message() {
        let choose = |text| Outgoing::choose(text, DefaultAlphabet::Gsm7, false).alphabet;
        assert_eq!(choose(""), Alphabet::Gsm7);
        assert_eq!(choose("€10 [ok]"), Alphabet::Gsm7);
        assert_eq!(choose("aaaaaaaaж"), Alphabet::Ucs2);
        assert_eq!(choose("``````````"), Alphabet::Ucs2);
    }

    #[test]
    fn transliteration_is_used_where_it_makes_the_message_plain() {
        let quoted = Outgoing::choose("it’s", DefaultAlphabet::Gsm7, true);
        assert_eq!((quoted.text.as_ref(), quoted.alphabet), ("it's", Alphabet::Gsm7));
        let mixed = Outgoing::choose("it’s ж", DefaultAlphabet::Gsm7, true);
        assert_eq!((mixed.text.as_ref(), mixed.alphabet), ("it’s ж", Alphabet::Ucs2));
    }

    #[test]
    fn a_latin_1_carrier_gets_no_euro_in_its_default_alphabet() {
        assert_eq!(Outgoing::choose("é", DefaultAlphabet::Latin1, false).alphabet, Alphabet::Gsm7);
        assert_eq!(Outgoing::choose("€", DefaultAlphabet::Latin1, false).alphabet, Alphabet::Ucs2);
    }

    #[test]
    fn data_codings_are_read_as_the_standards_say() {
        assert_eq!(text(0, b"A\x00"), said("A@"));
        assert_eq!(text(1, b"A@"), said("A@"));
        assert_eq!(text(3, b"\xe9"), said("é"));
        assert_eq!(text(6, b"\xd6"), said("ж"));
        assert_eq!(text(7, b"\xf9"), said("ש"));
        assert_eq!(text(8, &encode_ucs2("😀ж")), said("😀ж"));
        assert_eq!(text(0x10, b"\x00"), said("@"));
        assert_eq!(text(0x18, &encode_ucs2("ж")), said("ж"));
        assert_eq!(text(0xf1, b"\x00"), said("@"));
        for binary in [2, 4, 5, 0x0d, 0x14, 0xf5, 0x80] {
            assert_eq!(text(binary, b"\x00\xff"), Decoded::Binary(Bytes::from_static(b"\x00\xff")));
        }
    }

    #[test]
    fn half_a_character_is_reported() {
        let lossy = |text: &str| Decoded::Text { text: text.into(), lossy: true };
        assert_eq!(text(8, &[0xd8, 0x3d]), lossy("\u{fffd}"));
        assert_eq!(text(8, &[0x00, 0x41, 0x00]), lossy("A"));
        assert_eq!(text(1, b"\x80"), lossy("\u{fffd}"));
    }

    proptest! {
        #[test]
        fn ucs2_gives_back_every_text(given: String) {
            prop_assert_eq!(text(8, &encode_ucs2(&given)), said(&given));
        }

        #[test]
        fn any_octets_of_any_coding_are_read(coding: u8, octets: Vec<u8>, fill: u8) {
            let charset = Charset::of(coding, DefaultAlphabet::Gsm7Packed);
            let _ = charset.decode(&octets, NationalTables::default(), fill);
        }
    }
}
