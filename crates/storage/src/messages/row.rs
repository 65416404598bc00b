//! One outgoing text as it is stored.

use super::MessageId;
use crate::db::Row;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use trunkline_model::{E164, TrunkId};
use uuid::Uuid;

/// Who handed a text in, and is told how it ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The REST API.
    Api,
    /// A customer's own SMPP account, by its name.
    Account(String),
    /// The gateway itself: the answer to a keyword.
    Gateway,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("api"),
            Self::Account(name) => write!(f, "account:{name}"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("account:") {
            Some(name) => Self::Account(name.into()),
            None if text == "api" => Self::Api,
            None => Self::Gateway,
        })
    }
}

/// What a text says. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Words, to be encoded and cut as the carrier wants it.
    Text(String),
    /// Octets of a customer's own segment, to be passed on as they are.
    Octets {
        /// The octets, header included.
        octets: Vec<u8>,
        /// How they are to be read (SMPP 3.4 §5.2.19).
        data_coding: u8,
        /// Whether they begin with a user data header.
        header: bool,
    },
}

/// Added to data_coding in the column where there is a header.
const HEADER: i64 = 256;

impl Content {
    /// Body and coding.
    pub(super) fn columns(&self) -> (String, Option<i64>) {
        match self {
            Self::Text(text) => (text.clone(), None),
            Self::Octets { octets, data_coding, header } => {
                (hex(octets), Some(i64::from(*data_coding) + if *header { HEADER } else { 0 }))
            }
        }
    }

    fn read(row: &Row) -> Result<Self, Error> {
        let body: String = row.read("body")?;
        let Some(coding) = row.read::<Option<i64>>("coding")? else { return Ok(Self::Text(body)) };
        let octets =
            unhex(&body).ok_or_else(|| Error::Unreadable { column: "body", source: "no octets".into() })?;
        Ok(Self::Octets { octets, data_coding: (coding & 0xff) as u8, header: coding >= HEADER })
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} octets)", text.len()),
            Self::Octets { octets, data_coding, header } => {
                write!(f, "Octets({}, data_coding {data_coding}, header {header})", octets.len())
            }
        }
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // A String takes whatever is written.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Something the recipient waits for.
    Transactional,
    /// Advertisement: it keeps quiet hours.
    Marketing,
    /// An answer to a text of the recipient's, which opt-outs do not stop.
    Reply,
}

impl Purpose {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
            Self::Reply => "reply",
        }
    }
}

/// message_state of a segment that arrived (SMPP 3.4 §5.2.28).
const DELIVERED: u8 = 2;

/// Where a text is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its turn, or for something to become ready.
    Queued,
    /// It is under lease, and may be on its way to a carrier.
    Sending,
    /// A carrier has it; its report is awaited.
    Sent,
    /// It is set aside for a person to look at: it may be what breaks sessions.
    Quarantined,
    /// It has ended.
    Ended,
}

impl State {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Quarantined => "quarantined",
            Self::Ended => "ended",
        }
    }
}

/// How a text ended, in one word (rules SMS-02).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is with the recipient.
    Delivered,
    /// It never will be.
    Failed,
    /// Its validity was over before a carrier had taken it.
    Expired,
    /// A carrier took it and never said what became of it.
    Unknown,
}

impl Status {
    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// How a text ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// In one word.
    pub status: Status,
    /// The code of `deliveryStatusDetails`.
    pub code: u16,
    /// Why, for operators.
    pub detail: String,
    /// When.
    pub ended_unix_ms: i64,
}

/// What a text has been through so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// The carrier that has a part of it, or had it last.
    pub trunk: Option<TrunkId>,
    /// How many segments that carrier gets.
    pub segments: Option<u8>,
    /// How often a carrier refused it for now.
    pub refusals: u8,
    /// How often it was on its way when a session was lost or gave no answer.
    pub in_doubt: u8,
    /// Whether the recipient may get it twice.
    pub possible_duplicate: bool,
    /// The carrier that refused it last.
    pub avoided: Option<TrunkId>,
}

/// An outgoing text. `Debug` hides what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the order of acceptance; names it within the store.
    pub seq: i64,
    /// The id that customers know.
    pub id: MessageId,
    /// Whose it is.
    pub resource: Uuid,
    /// Who handed it in.
    pub source: Source,
    /// The sender: a number with `+`, a short code or a name.
    pub from: String,
    /// The recipient.
    pub to: E164,
    /// What it says.
    pub content: Content,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether its source wants to be told how it ended.
    pub wants_report: bool,
    /// What the customer wrote on it.
    pub tag: Option<String>,
    /// When it was accepted.
    pub created_unix_ms: i64,
    /// When it stops being worth sending.
    pub expires_unix_ms: i64,
    /// When it has ended for lack of a report at the latest.
    pub report_by_unix_ms: i64,
    /// Where it is.
    pub state: State,
    /// What it waits for, or did when it was claimed; see [`queue`](super::queue).
    pub lane: String,
    /// How often it was claimed; the right to settle it is lost when that grows.
    pub claims: i64,
    /// What it has been through.
    pub delivery: Delivery,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
}

/// Segments of a message by how they ended, as delivery reports count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that arrived.
    pub succeeded: u16,
    /// Those that did not.
    pub failed: u16,
}

impl Message {
    /// Counts the segments of a message that has ended; `segments` is what carriers took of it.
    pub fn counts(&self, segments: &[super::delivery::Segment]) -> Counts {
        let total = u16::from(self.delivery.segments.unwrap_or(1));
        let arrived = segments.iter().filter(|segment| segment.state == DELIVERED).count() as u16;
        let whole = self.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Delivered);
        let succeeded = if whole { total } else { arrived.min(total) };
        Counts { succeeded, failed: total - succeeded }
    }

    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let source: String = row.read("source")?;
        let Ok(source) = source.parse();
        Ok(Self {
            seq: row.read("seq")?,
            id: MessageId::from_uuid(row.read("id")?),
            resource: row.read("resource")?,
            source,
            from: row.read("sender")?,
            to: row.parse("recipient")?,
            content: Content::read(row)?,
            purpose: row.read_name("purpose")?,
            wants_report: row.read::<i64>("wants_report")? != 0,
            tag: row.read("tag")?,
            created_unix_ms: row.read("created_ms")?,
            expires_unix_ms: row.read("expires_ms")?,
            report_by_unix_ms: row.read("report_by_ms")?,
            state: row.read_name("state")?,
            lane: row.read("lane")?,
            claims: row.read("claims")?,
            delivery: Delivery::read(row)?,
            outcome: Outcome::read(row)?,
        })
    }
}

impl Delivery {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            trunk: row.parse_optional("trunk")?,
            segments: row.read::<Option<i64>>("segments")?.and_then(|segments| u8::try_from(segments).ok()),
            refusals: row.narrow("refusals")?,
            in_doubt: row.narrow("in_doubt")?,
            possible_duplicate: row.read::<i64>("possible_duplicate")? != 0,
            avoided: row.parse_optional("avoided")?,
        })
    }
}

impl Outcome {
    /// Returns why, in the words for customers: `No error.`, or the code and what it means.
    pub fn details(&self) -> String {
        let meaning = match self.code {
            2000 => return "No error.".into(),
            4000 => "blocked as fraud",
            4001 => "the sender is not a valid one",
            4002 => "the recipient is not a valid one",
            4003 => "the destination is not supported",
            4004 => "the recipient does not exist",
            4005 => "blocked by the carrier",
            4006 => "the recipient cannot be reached",
            4007 => "the recipient has opted out",
            4008 => "over the limit of the sender",
            4009 => "the sender is not entitled to send there",
            4010 => "the toll-free number is not verified",
            4020 => "over the limit of the carrier",
            5000 => "not delivered",
            5001 => "not delivered in time",
            5002 => "the carrier gave no report",
            _ => "unknown",
        };
        format!("{}: {meaning}.", self.code)
    }

    fn read(row: &Row) -> Result<Option<Self>, Error> {
        if row.read::<Option<String>>("outcome")?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            status: row.read_name("outcome")?,
            code: row.narrow("code")?,
            detail: row.read::<Option<String>>("detail")?.unwrap_or_default(),
            ended_unix_ms: row.read("ended_ms")?,
        }))
    }
}
