//! The receipt text of SMPP 3.4 appendix B, which every vendor writes a little differently.

use super::State;
use crate::civil::Civil;

/// The fields of a receipt text, as they stand there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) stat: Option<&'a str>,
    pub(super) err: Option<&'a str>,
    pub(super) done: Option<&'a str>,
}

/// Longest receipt text looked at: the fields take 120 octets, the quoted message 20.
const TEXT_MAX: usize = 1024;

const KEYS: [&str; 8] = ["id", "sub", "dlvrd", "submit date", "done date", "stat", "err", "text"];

impl<'a> Fields<'a> {
    /// Finds the fields, whatever their order and case. Where a field stands twice, the one before `text:` counts,
    /// for behind it the message itself is quoted.
    pub(super) fn read(text: &'a str) -> Self {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= TEXT_MAX).unwrap_or(text.len());
        let text = text.get(..end).unwrap_or_default();
        let (head, quoted) = match find_key(text, "text") {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let field = |key| value(head, key).or_else(|| value(quoted, key));
        Self { id: field("id"), stat: field("stat"), err: field("err"), done: field("done date") }
    }
}

/// Returns what stands behind `key:`, without quotes; none if there is nothing.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let behind = text.get(find_key(text, key)?..)?;
    let (_, behind) = behind.split_once(':')?;
    let behind = behind.trim_start();
    if KEYS.iter().any(|key| starts_with_key(behind, key)) {
        return None;
    }
    let value = match behind.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'']).next(),
        None => behind.split([' ', '\t', '\r', '\n', ',', ';', '\0']).next(),
    };
    value.map(str::trim).filter(|value| !value.is_empty())
}

/// Returns where `key:` begins a word.
fn find_key(text: &str, key: &str) -> Option<usize> {
    let starts = text.char_indices().filter(|(at, _)| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    });
    starts.map(|(at, _)| at).find(|at| text.get(*at..).is_some_and(|rest| starts_with_key(rest, key)))
}

/// Whether the text begins with `key` and a colon; a blank in the key may be missing or an underscore.
fn starts_with_key(text: &str, key: &str) -> bool {
    let mut rest = text.chars();
    for c in key.chars() {
        let mut ahead = rest.clone();
        match ahead.next() {
            Some(found) if found.eq_ignore_ascii_case(&c) || (c == ' ' && found == '_') => rest = ahead,
            _ if c == ' ' => {}
            _ => return false,
        }
    }
    rest.as_str().trim_start_matches(' ').starts_with(':')
}

/// Returns the state of a word, which may be cut short or spelled out.
pub(super) fn state(word: &str) -> Option<State> {
    let word = word.to_ascii_uppercase();
    let states = [
        ("UNDEL", State::Undeliverable),
        ("DELIV", State::Delivered),
        ("EXPIR", State::Expired),
        ("DELET", State::Deleted),
        ("ACCEP", State::Accepted),
        ("REJEC", State::Rejected),
        ("ENROU", State::Enroute),
        ("UNKNO", State::Unknown),
        ("FAIL", State::Undeliverable),
        ("SKIP", State::Undeliverable),
        ("SCHED", State::Enroute),
        ("BUFFER", State::Enroute),
    ];
    if let Some((_, state)) = states.iter().find(|(prefix, _)| word.starts_with(prefix)) {
        return Some(*state);
    }
    // Some write the number of the TLV.
    word.parse().ok().and_then(State::from_tlv)
}

/// Returns the time of `YYMMDDhhmm`, with or without seconds and century.
pub(super) fn date(digits: &str) -> Option<Civil> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match digits.len() {
        10 | 12 => (2000 + digits.get(..2)?.parse::<i32>().ok()?, digits.get(2..)?),
        14 => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let pair = |at: usize| rest.get(at..at + 2).map_or(Some(0), |pair| pair.parse::<u8>().ok());
    Civil::new(year, pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?)
}

pub(super) fn write_date(unix: i64) -> String {
    let Civil { year, month, day, hour, minute, .. } = Civil::from_unix(unix);
    format!("{:02}{month:02}{day:02}{hour:02}{minute:02}", year.rem_euclid(100))
}

#[cfg(test)]
mod tests {
    use super::super::{CarrierId, Receipt, ReceiptTlvs};
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Receipt> {
        Receipt::read(text, &ReceiptTlvs::default())
    }

    fn is(text: &str, id: &str, state: State, error: Option<&str>) {
        let receipt = read(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(receipt.id, CarrierId::parse(id).unwrap(), "{text}");
        assert_eq!((receipt.state, receipt.error.as_deref()), (state, error), "{text}");
    }

    #[test]
    fn the_text_of_the_standard() {
        let text = "id:7220bb6bd0be98fa sub:001 dlvrd:001 submit date:2611231126 done date:261123112705 \
                    stat:DELIVRD err:000 text:Hello stat:EXPIRED";
        is(text, "7220bb6bd0be98fa", State::Delivered, Some("000"));
        assert_eq!(read(text).unwrap().done_unix, Some(1_795_433_225));
    }

    #[test]
    fn vendors_variations() {
        is("ID:12 STAT:UNDELIV ERR:0A2", "12", State::Undeliverable, Some("0A2"));
        is("stat:EXPIRED id:12", "12", State::Expired, None);
        is("id:\"00012\" sub:001 stat:DELIVRD err:000 Text:none", "12", State::Delivered, Some("000"));
        is(
            "id: 12 submitdate:2611231126 donedate:2611231127 stat: REJECTED err: 7",
            "12",
            State::Rejected,
            Some("7"),
        );
        is("id:12,sub:1,done_date:2611231127,stat:ACCEPTD,err:0", "12", State::Accepted, Some("0"));
        is("id:12 err: stat:2 garbage \u{fffd}\0", "12", State::Delivered, None);
        is("text:hi id:12 stat:DELETED", "12", State::Deleted, None);
        is("paid:3 id:12 stat:FAILED", "12", State::Undeliverable, None);
        assert_eq!(
            read("id:12 done date:20261123112705 stat:DELIVRD").unwrap().done_unix,
            Some(1_795_433_225)
        );
    }

    #[test]
    fn what_is_no_receipt_is_none() {
        for text in
            ["", "hello", "id: stat:DELIVRD", "id:12", "id:12 stat:", "stat:DELIVRD", "id:12 stat:MAYBE"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("id:1 stat:DELIVRD done date:261323").unwrap().done_unix, None);
    }

    #[test]
    fn tlvs_are_believed_before_the_text() {
        let tlvs = ReceiptTlvs {
            message_id: Some("ABC".into()),
            message_state: Some(5),
            network_error: Some((3, 34)),
        };
        let receipt = Receipt::read("id:12 stat:DELIVRD", &tlvs).unwrap();
        assert_eq!(receipt.id, CarrierId::parse("abc").unwrap());
        assert_eq!((receipt.state, receipt.error.as_deref()), (State::Undeliverable, Some("034")));
        assert!(Receipt::read("", &tlvs).is_some());
        let unnamed = ReceiptTlvs { message_state: Some(77), ..tlvs };
        assert_eq!(Receipt::read("stat:EXPIRED", &unnamed).unwrap().state, State::Expired);
    }

    #[test]
    fn receipts_are_told_from_texts() {
        let none = ReceiptTlvs::default();
        let both = ReceiptTlvs { message_id: Some("1".into()), message_state: Some(2), network_error: None };
        assert!(Receipt::is_receipt(0x04, &none));
        assert!(Receipt::is_receipt(0x44, &none));
        assert!(Receipt::is_receipt(0x20, &none));
        assert!(Receipt::is_receipt(0x00, &both));
        assert!(!Receipt::is_receipt(0x00, &none));
        assert!(!Receipt::is_receipt(0x40, &none));
        // A manual acknowledgement of a handset is a text.
        assert!(!Receipt::is_receipt(0x10, &both));
    }

    #[test]
    fn what_we_write_we_read() {
        let text = Receipt::write("01AB", State::Expired, 34, 1_795_433_160, 1_795_433_220);
        assert!(text.contains("submit date:2611231126 done date:2611231127"));
        is(&text, "1ab", State::Expired, Some("034"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(id:|stat:|text:|done date:|DELIVRD|[0-9]{1,14}|.| ){0,40}") {
            let _ = read(&text);
        }
    }
}
