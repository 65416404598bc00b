//! Who a message is from.

use std::fmt;

use trunkline_model::E164;

/// The sender of an outgoing message. `Debug` hides most of a number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    /// A telephone number.
    Number(E164),
    /// A short code of five or six digits.
    ShortCode(String),
    /// A name: one to eleven of `A-Z a-z 0-9` and ` +-_&`, with a letter among them.
    Name(String),
}

/// A text that no message can be from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sender is a number with '+', five or six digits, or up to eleven characters with a letter")]
pub struct InvalidSender;

/// An address with all but its last two characters hidden, for `Debug`.
pub(crate) struct Masked<'a>(pub(crate) &'a str);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail =
            self.0.char_indices().rev().nth(1).map_or("", |(at, _)| self.0.get(at..).unwrap_or_default());
        write!(f, "…{tail}")
    }
}

/// What kind of sender it is; routes are chosen by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SenderKind {
    /// A toll-free number of the North American plan.
    TollFree,
    /// Any other number of the North American plan: what carriers call 10DLC.
    Local,
    /// A number of another country.
    International,
    /// A short code.
    ShortCode,
    /// A name.
    Name,
}

/// Area codes of toll-free numbers in the North American Numbering Plan.
const TOLL_FREE: [&str; 7] = ["800", "833", "844", "855", "866", "877", "888"];

impl Sender {
    /// Returns the sender, or that the text is none.
    ///
    /// # Errors
    /// [`InvalidSender`].
    pub fn parse(text: &str) -> Result<Self, InvalidSender> {
        if let Ok(number) = E164::parse(text) {
            return Ok(Self::Number(number));
        }
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        if digits && (5..=6).contains(&text.len()) {
            return Ok(Self::ShortCode(text.to_owned()));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b" +-_&".contains(&b);
        let named = text.bytes().any(|b| b.is_ascii_alphabetic());
        if named && text.len() <= 11 && text.bytes().all(allowed) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(InvalidSender)
    }

    /// Returns what kind of sender it is.
    pub fn kind(&self) -> SenderKind {
        match self {
            Self::ShortCode(_) => SenderKind::ShortCode,
            Self::Name(_) => SenderKind::Name,
            Self::Number(number) if is_toll_free(number) => SenderKind::TollFree,
            Self::Number(number) if number.is_nanp() => SenderKind::Local,
            Self::Number(_) => SenderKind::International,
        }
    }

    /// Returns what carriers are given as source_addr: digits without `+`, or the name.
    pub fn address(&self) -> &str {
        match self {
            Self::Number(number) => number.digits(),
            Self::ShortCode(code) => code,
            Self::Name(name) => name,
        }
    }
}

/// Whether a number is toll-free in the North American plan.
pub fn is_toll_free(number: &E164) -> bool {
    number.is_nanp() && number.digits().get(1..4).is_some_and(|area| TOLL_FREE.contains(&area))
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::ShortCode(text) | Self::Name(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "Sender({})", number.redacted()),
            Self::ShortCode(text) | Self::Name(text) => write!(f, "Sender({text})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_told_apart() {
        let kind = |text| Sender::parse(text).unwrap().kind();
        assert_eq!(kind("+14255550100"), SenderKind::Local);
        assert_eq!(kind("+18335550100"), SenderKind::TollFree);
        assert_eq!(kind("+442079460123"), SenderKind::International);
        assert_eq!(kind("55555"), SenderKind::ShortCode);
        assert_eq!(kind("ACME & Co"), SenderKind::Name);
    }

    #[test]
    fn what_nobody_sends_from_is_refused() {
        for text in ["", "+1", "1234", "1234567", "ACME Company", "Café", "+-_&", "a\n"] {
            assert_eq!(Sender::parse(text), Err(InvalidSender), "{text:?}");
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(format!("{:?}", Sender::parse("+14255550100").unwrap()), "Sender(+1…00)");
    }
}
