//! Telephone numbers in the international form of ITU-T E.164.

use std::fmt;
use std::str::FromStr;

/// Fewest digits a number may have (rules.md NRM-13).
const DIGITS_MIN: usize = 7;

/// Most digits a number may have (E.164 §6.2.1).
const DIGITS_MAX: usize = 15;

/// A number in E.164 form: `+`, then 7 to 15 digits, the first not zero.
///
/// It is held without allocating, so that routing tables and call records may copy it freely.
/// `Debug` hides the middle digits, for logs above debug must not carry whole numbers; `Display` prints
/// all of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164 {
    digits: [u8; DIGITS_MAX],
    len: u8,
}

/// Why a text is not an E.164 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidE164 {
    /// The text does not begin with `+`.
    #[error("the number does not start with '+'")]
    NoPlus,
    /// The text holds something other than the ASCII digits 0 to 9 behind its `+`.
    #[error("the number holds a character that is not a digit")]
    NotADigit,
    /// Country codes never begin with zero.
    #[error("no country code starts with 0")]
    LeadingZero,
    /// Fewer than 7 or more than 15 digits.
    #[error("the number has {0} digits; 7 to 15 are allowed")]
    Length(usize),
}

impl E164 {
    /// Returns the number, or why the text is not one.
    ///
    /// # Errors
    /// See [`InvalidE164`].
    pub fn parse(text: &str) -> Result<Self, InvalidE164> {
        let rest = text.strip_prefix('+').ok_or(InvalidE164::NoPlus)?;
        if !rest.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidE164::NotADigit);
        }
        if !(DIGITS_MIN..=DIGITS_MAX).contains(&rest.len()) {
            return Err(InvalidE164::Length(rest.len()));
        }
        if rest.starts_with('0') {
            return Err(InvalidE164::LeadingZero);
        }
        let mut digits = [0; DIGITS_MAX];
        for (slot, digit) in digits.iter_mut().zip(rest.bytes()) {
            *slot = digit;
        }
        Ok(Self { digits, len: rest.len() as u8 })
    }

    /// Returns the digits without the `+`.
    pub fn digits(&self) -> &str {
        let held = self.digits.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(held).unwrap_or_default()
    }

    /// Whether the number belongs to the North American Numbering Plan (country code 1).
    pub fn is_nanp(&self) -> bool {
        self.len == 11 && self.digits().starts_with('1')
    }

    /// Returns a form fit for logs: the country code's first digit and the last two digits.
    pub fn redacted(&self) -> Redacted<'_> {
        Redacted(self)
    }
}

/// A number with its middle digits hidden; see [`E164::redacted`].
pub struct Redacted<'a>(&'a E164);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.digits();
        let (head, tail) = (digits.get(..1).unwrap_or_default(), digits.len().saturating_sub(2));
        write!(f, "+{head}…{}", digits.get(tail..).unwrap_or_default())
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.digits())
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({})", self.redacted())
    }
}

impl FromStr for E164 {
    type Err = InvalidE164;

    fn from_str(text: &str) -> Result<Self, InvalidE164> {
        Self::parse(text)
    }
}

impl serde::Serialize for E164 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_prints_as_it_was_read() {
        assert_eq!(E164::parse("+14255550100").unwrap().to_string(), "+14255550100");
        assert!(E164::parse("+14255550100").unwrap().is_nanp());
        assert!(!E164::parse("+442079460123").unwrap().is_nanp());
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_the_reason() {
        assert_eq!(E164::parse("14255550100"), Err(InvalidE164::NoPlus));
        assert_eq!(E164::parse("+1425555O100"), Err(InvalidE164::NotADigit));
        assert_eq!(E164::parse("+١٤٢٥٥٥٥٠١٠٠"), Err(InvalidE164::NotADigit));
        assert_eq!(E164::parse("+04255550100"), Err(InvalidE164::LeadingZero));
        assert_eq!(E164::parse("+911"), Err(InvalidE164::Length(3)));
        assert_eq!(E164::parse("+1234567890123456"), Err(InvalidE164::Length(16)));
        assert_eq!(E164::parse("+"), Err(InvalidE164::Length(0)));
    }

    #[test]
    fn debug_hides_the_subscriber() {
        let shown = format!("{:?}", E164::parse("+14255550123").unwrap());
        assert_eq!(shown, "E164(+1…23)");
    }
}
