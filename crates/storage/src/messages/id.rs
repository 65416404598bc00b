//! The id that customers know a text by.

use std::fmt;
use std::str::FromStr;
use trunkline_model::timestamp::{DAY_MS, civil};
use uuid::{ContextV7, Timestamp, Uuid};

/// An outgoing text: `Outgoing_`, the second it was accepted in, and a UUID that tells the same moment again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Uuid);

/// A text that is no id of an outgoing text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id of an outgoing text is Outgoing_, fourteen digits and a UUID")]
pub struct InvalidMessageId;

const PREFIX: &str = "Outgoing_";
const DIGITS: usize = 14;

impl MessageId {
    /// Returns an id that was never given out, and is greater than all that were given out in this second.
    pub fn new(now_unix_ms: i64) -> Self {
        Self(uuid_at(now_unix_ms))
    }

    pub(crate) fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the part that the store knows it by.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

/// Returns a UUID of version 7 of a moment that the caller says.
pub(super) fn uuid_at(unix_ms: i64) -> Uuid {
    static CONTEXT: std::sync::Mutex<ContextV7> = std::sync::Mutex::new(ContextV7::new());
    let unix_ms = u64::try_from(unix_ms).unwrap_or(0);
    let nanos = (unix_ms % 1_000) as u32 * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(&CONTEXT, unix_ms / 1_000, nanos))
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.get_timestamp().map_or(0, |timestamp| timestamp.to_unix().0);
        let secs = i64::try_from(secs).unwrap_or(0);
        let (year, month, day) = civil(secs.div_euclid(DAY_MS / 1_000));
        let second = secs.rem_euclid(DAY_MS / 1_000);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{PREFIX}{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{}", self.0)
    }
}

impl FromStr for MessageId {
    type Err = InvalidMessageId;

    fn from_str(text: &str) -> Result<Self, InvalidMessageId> {
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.get(DIGITS..)).ok_or(InvalidMessageId)?;
        let id = Self(Uuid::parse_str(rest).map_err(|_| InvalidMessageId)?);
        // The digits say what the UUID says: only one spelling names a message.
        if id.to_string() == text { Ok(id) } else { Err(InvalidMessageId) }
    }
}

#[cfg(test)]
mod tests {
    use super::MessageId;

    #[test]
    fn an_id_tells_the_second_it_was_made_in() {
        let id = MessageId::new(1_795_436_719_999);
        assert!(id.to_string().starts_with("Outgoing_20261123122519"), "{id}");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(MessageId::new(1_795_436_719_999) > id);
    }

    #[test]
    fn other_texts_are_no_ids() {
        let id = MessageId::new(1_795_436_719_000).to_string();
        for text in [
            "",
            "Outgoing_",
            "Incoming_1",
            &id.to_uppercase(),
            &id.replace("2026", "2025"),
            &id[..40],
            "Outgoing_é",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
