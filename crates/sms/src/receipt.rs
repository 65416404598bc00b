//! Delivery receipts: read leniently, matched to the segment they speak of, folded into one state of the message.

pub mod correlate;
pub mod id;
pub mod progress;
mod text;

pub use correlate::{Answer, Correlator, Limits, Receipted, Sent};
pub use id::{CarrierId, Dialect, Form, IdPolicy};
pub use progress::{Failure, Progress, Settles, Terminal};

use crate::civil::Civil;

/// The state of a message at the carrier (SMPP 3.4 §5.2.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// On its way.
    Enroute,
    /// With the recipient.
    Delivered,
    /// Its validity ended first.
    Expired,
    /// Cancelled.
    Deleted,
    /// It cannot be delivered.
    Undeliverable,
    /// Someone at the carrier has read it on behalf of the recipient; not an end.
    Accepted,
    /// The carrier does not know.
    Unknown,
    /// Refused on its way.
    Rejected,
}

impl State {
    /// Returns the state of a message_state TLV, or none for a value that no standard names.
    pub fn from_tlv(value: u8) -> Option<Self> {
        Some(match value {
            // 0 is SCHEDULED in SMPP 5.0.
            0 | 1 => Self::Enroute,
            2 => Self::Delivered,
            3 => Self::Expired,
            4 => Self::Deleted,
            5 => Self::Undeliverable,
            6 => Self::Accepted,
            7 => Self::Unknown,
            8 => Self::Rejected,
            // 9 is SKIPPED in SMPP 5.0: it was never delivered.
            9 => Self::Undeliverable,
            _ => return None,
        })
    }

    /// Returns the value of message_state.
    pub fn to_tlv(self) -> u8 {
        match self {
            Self::Enroute => 1,
            Self::Delivered => 2,
            Self::Expired => 3,
            Self::Deleted => 4,
            Self::Undeliverable => 5,
            Self::Accepted => 6,
            Self::Unknown => 7,
            Self::Rejected => 8,
        }
    }

    /// Returns the word of the receipt text (SMPP 3.4 appendix B).
    pub fn word(self) -> &'static str {
        match self {
            Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Deleted => "DELETED",
            Self::Undeliverable => "UNDELIV",
            Self::Accepted => "ACCEPTD",
            Self::Unknown => "UNKNOWN",
            Self::Rejected => "REJECTD",
        }
    }

    /// Whether nothing more will happen to the message (rules D.5: 2, 3, 4, 5 and 8).
    pub fn is_final(self) -> bool {
        match self {
            Self::Delivered | Self::Expired | Self::Deleted | Self::Undeliverable | Self::Rejected => true,
            Self::Enroute | Self::Accepted | Self::Unknown => false,
        }
    }
}

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The carrier's id of the segment.
    pub id: CarrierId,
    /// Its state.
    pub state: State,
    /// The network's or the carrier's error code, as digits or letters: `000` is none.
    pub error: Option<String>,
    /// When the carrier says it reached the state, in seconds since 1970, its clock taken as UTC.
    pub done_unix: Option<i64>,
}

/// The TLVs that speak of a receipt (SMPP 3.4 §5.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptTlvs {
    /// receipted_message_id.
    pub message_id: Option<String>,
    /// message_state.
    pub message_state: Option<u8>,
    /// network_error_code: the network's type, then the code.
    pub network_error: Option<(u8, u16)>,
}

/// esm_class bits 5 to 2 of a delivery receipt (SMPP 3.4 §5.2.12).
const ESM_RECEIPT: u8 = 0x04;
/// esm_class bits 5 to 2 of an intermediate notification.
const ESM_INTERMEDIATE: u8 = 0x20;
/// The message type in esm_class.
const ESM_TYPE_MASK: u8 = 0x3c;

impl Receipt {
    /// Whether a deliver_sm or data_sm is a receipt and no text: its esm_class says so, or both TLVs are there.
    pub fn is_receipt(esm_class: u8, tlvs: &ReceiptTlvs) -> bool {
        let kind = esm_class & ESM_TYPE_MASK;
        let by_tlvs = tlvs.message_id.is_some() && tlvs.message_state.is_some();
        matches!(kind, ESM_RECEIPT | ESM_INTERMEDIATE) || (kind == 0 && by_tlvs)
    }

    /// Reads a receipt from its text and its TLVs, which are believed before the text.
    ///
    /// None if neither names a message or a state.
    pub fn read(text: &str, tlvs: &ReceiptTlvs) -> Option<Self> {
        let fields = text::Fields::read(text);
        let by_tlv = tlvs.message_id.as_deref().and_then(CarrierId::parse);
        let state_tlv = tlvs.message_state.and_then(State::from_tlv);
        let network = tlvs.network_error.map(|(_, code)| format!("{code:03}"));
        Some(Self {
            id: by_tlv.or_else(|| fields.id.and_then(CarrierId::parse))?,
            state: state_tlv.or_else(|| fields.stat.and_then(text::state))?,
            error: fields.err.map(str::to_owned).or(network),
            done_unix: fields.done.and_then(text::date).map(Civil::to_unix),
        })
    }

    /// Returns the receipt text in the form of SMPP 3.4 appendix B, for customers' own sessions.
    pub fn write(id: &str, state: State, error: u16, submitted_unix: i64, done_unix: i64) -> String {
        let delivered = u8::from(state == State::Delivered);
        format!(
            "id:{id} sub:001 dlvrd:{delivered:03} submit date:{} done date:{} stat:{} err:{error:03} text:",
            text::write_date(submitted_unix),
            text::write_date(done_unix),
            state.word(),
        )
    }
}
