//! What PDUs say, as plain values.

use bytes::Bytes;

use super::tlv::{Tlv, tag};
use crate::party::Masked;
use crate::receipt::ReceiptTlvs;
use crate::segment::Concat;
use crate::status::CommandStatus;

/// One PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu {
    /// command_status: 0 in requests.
    pub status: CommandStatus,
    /// sequence_number: 1 to 0x7FFFFFFF in requests of ours.
    pub sequence: u32,
    /// Everything else.
    pub body: Body,
}

/// A PDU without its status and sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of SMPP 3.4 §4")]
pub enum Body {
    Bind(Bind),
    BindResp {
        kind: BindKind,
        system_id: String,
        version: Option<u8>,
    },
    Outbind {
        system_id: String,
    },
    Unbind,
    UnbindResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Submit(ShortMessage),
    SubmitResp {
        id: Option<String>,
    },
    SubmitMulti {
        message: ShortMessage,
        destinations: Vec<Destination>,
    },
    SubmitMultiResp {
        id: Option<String>,
        failed: Vec<(Address, CommandStatus)>,
    },
    Deliver(ShortMessage),
    DeliverResp,
    Data(ShortMessage),
    DataResp {
        id: Option<String>,
    },
    Query {
        id: String,
        source: Address,
    },
    QueryResp {
        id: String,
        final_date: String,
        state: u8,
        error: u8,
    },
    Cancel {
        service_type: String,
        id: String,
        source: Address,
        destination: Address,
    },
    CancelResp,
    AlertNotification,
    /// A command that is not spoken here; a response if bit 31 is set.
    Other {
        command_id: u32,
    },
}

impl Body {
    /// Whether it answers a request.
    pub fn is_response(&self) -> bool {
        match self {
            Self::BindResp { .. }
            | Self::UnbindResp
            | Self::EnquireLinkResp
            | Self::GenericNack
            | Self::SubmitResp { .. }
            | Self::SubmitMultiResp { .. }
            | Self::DeliverResp
            | Self::DataResp { .. }
            | Self::QueryResp { .. }
            | Self::CancelResp => true,
            Self::Other { command_id } => command_id & RESPONSE != 0,
            Self::Bind(_)
            | Self::Outbind { .. }
            | Self::Unbind
            | Self::EnquireLink
            | Self::Submit(_)
            | Self::SubmitMulti { .. }
            | Self::Deliver(_)
            | Self::Data(_)
            | Self::Query { .. }
            | Self::Cancel { .. }
            | Self::AlertNotification => false,
        }
    }
}

/// The bit of command_id that makes a response of a request.
pub const RESPONSE: u32 = 0x8000_0000;

/// In which direction messages may pass on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindKind {
    /// The ESME receives.
    Receiver,
    /// The ESME submits.
    Transmitter,
    /// Both.
    Transceiver,
}

impl BindKind {
    /// Whether the ESME may submit.
    pub fn submits(self) -> bool {
        matches!(self, Self::Transmitter | Self::Transceiver)
    }

    /// Whether the ESME receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::Receiver | Self::Transceiver)
    }
}

/// A bind request. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Bind {
    /// In which direction.
    pub kind: BindKind,
    /// Who binds: up to 15 octets.
    pub system_id: String,
    /// Their password: up to 8 octets.
    pub password: String,
    /// What kind of system they are: up to 12 octets.
    pub system_type: String,
    /// interface_version: 0x34 for SMPP 3.4.
    pub version: u8,
    /// The numbers served on this session: up to 40 octets of range.
    pub range: Address,
}

impl std::fmt::Debug for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bind {{ {:?} as {:?}, version {:#x} }}", self.kind, self.system_id, self.version)
    }
}

/// A number, short code or name with its type and plan. `Debug` hides most of it.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Address {
    /// Type of number: 1 international, 2 national, 5 alphanumeric (SMPP 3.4 §5.2.5).
    pub ton: u8,
    /// Numbering plan: 1 for E.164 (SMPP 3.4 §5.2.6).
    pub npi: u8,
    /// Up to 20 octets.
    pub address: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}/{} {:?})", self.ton, self.npi, Masked(&self.address))
    }
}

/// One destination of submit_multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A number.
    Number(Address),
    /// The name of a list that the server should know.
    List(String),
}

/// The message of submit_sm, deliver_sm, data_sm and submit_multi. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ShortMessage {
    /// Up to 5 octets; empty for the default.
    pub service_type: String,
    /// Who sends.
    pub source: Address,
    /// Who receives; empty in submit_multi.
    pub destination: Address,
    /// Mode, type and GSM features (SMPP 3.4 §5.2.12).
    pub esm_class: u8,
    /// Protocol identifier.
    pub protocol_id: u8,
    /// 0 to 3.
    pub priority: u8,
    /// When to deliver; empty for now.
    pub schedule: String,
    /// Until when to try; empty for the carrier's default.
    pub validity: String,
    /// Which receipts are wanted (SMPP 3.4 §5.2.17).
    pub registered_delivery: u8,
    /// Whether a waiting message between the same numbers is replaced.
    pub replace_if_present: u8,
    /// What the octets are.
    pub data_coding: u8,
    /// The octets, from short_message or message_payload.
    pub octets: Bytes,
    /// Whether they are in message_payload.
    pub in_payload: bool,
    /// All other TLVs.
    pub tlvs: Vec<Tlv>,
}

/// esm_class bit that says the octets begin with a user data header.
pub const ESM_UDHI: u8 = 0x40;
/// registered_delivery: a receipt on success and on failure.
pub const RECEIPT_WANTED: u8 = 0x01;

/// interface_version of SMPP 3.4.
pub const VERSION_3_4: u8 = 0x34;

impl ShortMessage {
    /// Returns the message as a peer of this interface_version can read it: TLVs came with SMPP 3.4.
    ///
    /// Octets in message_payload become a short_message, which may be too long for one.
    pub fn for_version(self, version: u8) -> Self {
        if version >= VERSION_3_4 {
            return self;
        }
        Self { in_payload: false, tlvs: Vec::new(), ..self }
    }

    /// Returns the value of a TLV.
    pub fn tlv(&self, tag: u16) -> Option<&Bytes> {
        self.tlvs.iter().find(|tlv| tlv.tag == tag).map(|tlv| &tlv.value)
    }

    /// Whether the octets begin with a user data header.
    pub fn has_header(&self) -> bool {
        self.esm_class & ESM_UDHI != 0
    }

    /// Returns which part of a long message the sar_* TLVs make of this one.
    pub fn sar(&self) -> Option<Concat> {
        let octet = |tag| match self.tlv(tag).map(|value| value.as_ref()) {
            Some([octet]) => Some(*octet),
            _ => None,
        };
        let reference = match self.tlv(tag::SAR_MSG_REF_NUM).map(|value| value.as_ref()) {
            Some([high, low]) => u16::from_be_bytes([*high, *low]),
            _ => return None,
        };
        Concat::new(reference, octet(tag::SAR_TOTAL_SEGMENTS)?, octet(tag::SAR_SEGMENT_SEQNUM)?)
    }

    /// Returns the TLVs that speak of a receipt.
    pub fn receipt_tlvs(&self) -> ReceiptTlvs {
        let network_error = match self.tlv(tag::NETWORK_ERROR_CODE).map(|value| value.as_ref()) {
            Some([network, high, low]) => Some((*network, u16::from_be_bytes([*high, *low]))),
            _ => None,
        };
        ReceiptTlvs {
            message_id: self
                .tlv(tag::RECEIPTED_MESSAGE_ID)
                .map(|value| String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()),
            message_state: self.tlv(tag::MESSAGE_STATE).and_then(|value| value.first().copied()),
            network_error,
        }
    }
}

impl std::fmt::Debug for ShortMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShortMessage")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("esm_class", &self.esm_class)
            .field("data_coding", &self.data_coding)
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}
