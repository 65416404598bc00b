//! The GSM 7-bit alphabet of 3GPP TS 23.038: default table, extension, national tables, packing.

mod tables;

use std::fmt;

/// Opens a two-septet character of an extension table.
pub const ESCAPE: u8 = 0x1b;

/// The default alphabet (TS 23.038 §6.2.1); the place of [`ESCAPE`] shows as a space, as §6.2.1 note 1 asks.
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', 'Δ', '_', 'Φ', 'Γ',
    'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', ' ', 'Æ', 'æ', 'ß', 'É', ' ', '!', '"', '#', '¤', '%', '&', '\'', '(',
    ')', '*', '+', ',', '-', '.', '/', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=',
    '>', '?', '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R',
    'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g',
    'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö',
    'ñ', 'ü', 'à',
];

/// The extension table of the default alphabet (TS 23.038 §6.2.1.1).
const EXTENSION: [(u8, char); 10] = [
    (0x0a, '\u{c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2f, '\\'),
    (0x3c, '['),
    (0x3d, '~'),
    (0x3e, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// Marks a character that [`LATIN`] has no septet for.
const NONE: u8 = 0xff;

/// The septet of each character below U+0100; sending a text looks here for nearly all of its characters.
const LATIN: [u8; 256] = latin();

/// One character as septets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Septets {
    /// A character of the default table.
    One(u8),
    /// A character of the extension table: the septet that follows the escape.
    Escaped(u8),
}

impl Septets {
    /// Returns the septets of a character, or none if the default alphabet and its extension lack it.
    pub fn of(c: char) -> Option<Self> {
        let latin = LATIN.get(c as usize).copied().unwrap_or(NONE);
        if latin != NONE {
            return Some(Self::One(latin));
        }
        if let Some(&(septet, _)) = EXTENSION.iter().find(|(_, ext)| *ext == c) {
            return Some(Self::Escaped(septet));
        }
        greek(c).map(Self::One)
    }

    /// Returns how many septets there are: 1 or 2.
    pub fn count(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Escaped(_) => 2,
        }
    }

    /// Appends the septets, one an octet.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::One(septet) => out.push(septet),
            Self::Escaped(septet) => out.extend([ESCAPE, septet]),
        }
    }
}

/// Returns how many septets a text takes, or none if a character is not in the alphabet.
pub fn septet_count(text: &str) -> Option<usize> {
    text.chars().try_fold(0, |sum, c| Septets::of(c).map(|septets| sum + septets.count()))
}

/// Returns a text as septets, one an octet, or none if a character is not in the alphabet.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        Septets::of(c)?.write(&mut out);
    }
    Some(out)
}

/// Returns the text of septets, one an octet; the eighth bit is ignored.
///
/// An escape before a septet that the extension table lacks shows the septet of the main table instead, as TS 23.038
/// §6.2.1.1 asks; a second escape in a row, or one at the end, shows a space.
pub fn decode(septets: &[u8], tables: NationalTables) -> String {
    let mut text = String::with_capacity(septets.len());
    let mut rest = septets.iter().map(|octet| octet & 0x7f);
    while let Some(septet) = rest.next() {
        if septet != ESCAPE {
            text.push(tables.main(septet));
            continue;
        }
        match rest.next() {
            Some(ESCAPE) | None => text.push(' '),
            Some(next) => text.push(tables.escaped(next).unwrap_or_else(|| tables.main(next))),
        }
    }
    text
}

/// Returns septets packed into octets (TS 23.038 §6.1.2.1.1), after `fill_bits` zero bits.
///
/// The fill bits put the first septet behind a user data header on a septet boundary (TS 23.040 §9.2.3.24).
pub fn pack(septets: &[u8], fill_bits: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(septets.len() * 7 / 8 + 2);
    let (mut held, mut bits) = (0u32, u32::from(fill_bits % 8));
    for &septet in septets {
        held |= u32::from(septet & 0x7f) << bits;
        bits += 7;
        while bits >= 8 {
            out.push(held.to_le_bytes()[0]);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held.to_le_bytes()[0]);
    }
    out
}

/// Returns the septets of packed octets, one an octet.
///
/// A septet that ends on the last bit may be padding: a CR or a zero there is dropped (TS 23.038 §6.1.2.3.1).
pub fn unpack(octets: &[u8], fill_bits: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() * 8 / 7);
    let (mut held, mut bits, mut skip) = (0u32, 0u32, u32::from(fill_bits % 8));
    for &octet in octets {
        held |= u32::from(octet) << bits;
        bits += 8;
        if skip > 0 {
            held >>= skip;
            bits -= skip;
            skip = 0;
        }
        while bits >= 7 {
            out.push((held & 0x7f) as u8);
            held >>= 7;
            bits -= 7;
        }
    }
    let spare = (octets.len() * 8).saturating_sub(usize::from(fill_bits % 8)) % 7;
    if spare == 0 && matches!(out.last(), Some(0 | b'\r')) {
        out.pop();
    }
    out
}

/// A language with tables of its own (TS 23.038 annex A), numbered as §6.2.1.2.4 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Language {
    Turkish = 1,
    Spanish = 2,
    Portuguese = 3,
    Bengali = 4,
    Gujarati = 5,
    Hindi = 6,
    Kannada = 7,
    Malayalam = 8,
    Oriya = 9,
    Punjabi = 10,
    Tamil = 11,
    Telugu = 12,
    Urdu = 13,
}

impl Language {
    /// Every language, in the order of the standard.
    pub const ALL: [Self; 13] = [
        Self::Turkish,
        Self::Spanish,
        Self::Portuguese,
        Self::Bengali,
        Self::Gujarati,
        Self::Hindi,
        Self::Kannada,
        Self::Malayalam,
        Self::Oriya,
        Self::Punjabi,
        Self::Tamil,
        Self::Telugu,
        Self::Urdu,
    ];

    /// Returns the language of an identifier octet, or none for a reserved one.
    pub fn from_identifier(identifier: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|language| *language as u8 == identifier)
    }

    fn locking(self) -> Option<&'static tables::Locking> {
        Some(match self {
            Self::Turkish => &tables::TURKISH_LOCKING,
            // Annex A.3.2: Spanish has no locking table of its own.
            Self::Spanish => return None,
            Self::Portuguese => &tables::PORTUGUESE_LOCKING,
            Self::Bengali => &tables::BENGALI_LOCKING,
            Self::Gujarati => &tables::GUJARATI_LOCKING,
            Self::Hindi => &tables::HINDI_LOCKING,
            Self::Kannada => &tables::KANNADA_LOCKING,
            Self::Malayalam => &tables::MALAYALAM_LOCKING,
            Self::Oriya => &tables::ORIYA_LOCKING,
            Self::Punjabi => &tables::PUNJABI_LOCKING,
            Self::Tamil => &tables::TAMIL_LOCKING,
            Self::Telugu => &tables::TELUGU_LOCKING,
            Self::Urdu => &tables::URDU_LOCKING,
        })
    }

    fn single(self) -> &'static tables::Single {
        match self {
            Self::Turkish => tables::TURKISH_SINGLE,
            Self::Spanish => tables::SPANISH_SINGLE,
            Self::Portuguese => tables::PORTUGUESE_SINGLE,
            Self::Bengali => tables::BENGALI_SINGLE,
            Self::Gujarati => tables::GUJARATI_SINGLE,
            Self::Hindi => tables::HINDI_SINGLE,
            Self::Kannada => tables::KANNADA_SINGLE,
            Self::Malayalam => tables::MALAYALAM_SINGLE,
            Self::Oriya => tables::ORIYA_SINGLE,
            Self::Punjabi => tables::PUNJABI_SINGLE,
            Self::Tamil => tables::TAMIL_SINGLE,
            Self::Telugu => tables::TELUGU_SINGLE,
            Self::Urdu => tables::URDU_SINGLE,
        }
    }

    fn is_indic(self) -> bool {
        self >= Self::Bengali
    }
}

/// Which tables a received text is read with; none for those of the default alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NationalTables {
    /// The table in place of the default one.
    pub locking: Option<Language>,
    /// The table behind an escape.
    pub single: Option<Language>,
}

impl NationalTables {
    fn main(self, septet: u8) -> char {
        let national = self.locking.and_then(Language::locking).and_then(|table| lookup_main(table, septet));
        national.unwrap_or_else(|| BASIC.get(usize::from(septet)).copied().unwrap_or(' '))
    }

    fn escaped(self, septet: u8) -> Option<char> {
        let national = self.single.and_then(|language| {
            let shared = if language.is_indic() { tables::INDIC_SINGLE } else { &[] };
            lookup_pair(language.single(), septet).or_else(|| lookup_pair(shared, septet))
        });
        national.or_else(|| EXTENSION.iter().find(|(s, _)| *s == septet).map(|(_, c)| *c))
    }
}

fn lookup_main(table: &tables::Locking, septet: u8) -> Option<char> {
    match table.get(usize::from(septet)).copied() {
        None | Some(0) => None,
        Some(code) => char::from_u32(u32::from(code)),
    }
}

fn lookup_pair(table: &tables::Single, septet: u8) -> Option<char> {
    table.iter().find(|(s, _)| *s == septet).and_then(|(_, code)| char::from_u32(u32::from(*code)))
}

fn greek(c: char) -> Option<u8> {
    Some(match c {
        'Δ' => 0x10,
        'Φ' => 0x12,
        'Γ' => 0x13,
        'Λ' => 0x14,
        'Ω' => 0x15,
        'Π' => 0x16,
        'Ψ' => 0x17,
        'Σ' => 0x18,
        'Θ' => 0x19,
        'Ξ' => 0x1a,
        _ => return None,
    })
}

#[allow(clippy::indexing_slicing, reason = "a constant: a wrong index does not compile")]
const fn latin() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut septet = 0;
    while septet < BASIC.len() {
        let code = BASIC[septet] as usize;
        if code < table.len() && septet != ESCAPE as usize {
            table[code] = septet as u8;
        }
        septet += 1;
    }
    table
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
