//! PDUs to octets and back: the door to the `rusmpp` codec, which is named nowhere else.
//!
//! The codec reads and writes the mandatory fields. TLVs are kept raw ([`tlv`]), so that those of vendors pass and one
//! of odd length spoils no receipt.

pub mod body;
mod layout;
mod read;
pub mod tlv;
mod write;

use body::RESPONSE;
pub use body::{Address, Bind, BindKind, Body, Destination, Pdu, ShortMessage};
use bytes::{Buf, BufMut, Bytes, BytesMut};
pub use tlv::{Tlv, tag};

use crate::frame::{HEADER_OCTETS, PDU_OCTETS_MAX};
use crate::status::CommandStatus;

/// What is used of the codec.
mod codec {
    pub(super) use rusmpp_core::decode::owned::DecodeWithLength;
    pub(super) use rusmpp_core::encode::Length;
    pub(super) use rusmpp_core::encode::owned::Encode;
    pub(super) use rusmpp_core::pdus::owned::{
        BindTransmitter as AnyBind, CancelSm, DataSm, Outbind, QuerySm, QuerySmResp, SubmitMulti,
        SubmitMultiResp, SubmitSm,
    };
    pub(super) use rusmpp_core::types::owned::{COctetString, EmptyOrFullCOctetString, OctetString};
    pub(super) use rusmpp_core::values::owned::{
        DestAddress, DistributionListName, ServiceType, SmeAddress, UnsuccessSme,
    };
}

/// command_id of each command (SMPP 3.4 §5.1.2.1).
mod id {
    pub(super) const BIND_RECEIVER: u32 = 0x01;
    pub(super) const BIND_TRANSMITTER: u32 = 0x02;
    pub(super) const QUERY_SM: u32 = 0x03;
    pub(super) const SUBMIT_SM: u32 = 0x04;
    pub(super) const DELIVER_SM: u32 = 0x05;
    pub(super) const UNBIND: u32 = 0x06;
    pub(super) const CANCEL_SM: u32 = 0x08;
    pub(super) const BIND_TRANSCEIVER: u32 = 0x09;
    pub(super) const OUTBIND: u32 = 0x0b;
    pub(super) const ENQUIRE_LINK: u32 = 0x15;
    pub(super) const SUBMIT_MULTI: u32 = 0x21;
    pub(super) const ALERT_NOTIFICATION: u32 = 0x102;
    pub(super) const DATA_SM: u32 = 0x103;
}

/// Most octets of short_message (SMPP 3.4 §5.2.22).
const SHORT_MESSAGE_MAX: usize = 254;

/// A request that cannot be read; the session answers it and goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request {command_id:#x} is malformed: {status}")]
pub struct Malformed {
    /// Its command_id.
    pub command_id: u32,
    /// Its sequence number.
    pub sequence: u32,
    /// What to answer.
    pub status: CommandStatus,
}

/// A field of ours is longer than SMPP allows, or not ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not fit its field")]
pub struct Unencodable(pub &'static str);

/// Reads one whole PDU, as [`Framer`](crate::frame::Framer) cuts it.
///
/// A response is always read: what is wrong with it is left out, for its message was answered all the same.
///
/// # Errors
/// [`Malformed`], for requests.
pub fn decode(frame: &Bytes) -> Result<Pdu, Malformed> {
    let mut header = frame.clone();
    if header.len() < HEADER_OCTETS {
        let status = CommandStatus::INVALID_COMMAND_LENGTH;
        return Err(Malformed { command_id: 0, sequence: 0, status });
    }
    header.advance(4);
    let (command_id, status, sequence) = (header.get_u32(), header.get_u32(), header.get_u32());
    let malformed = |status| Malformed { command_id, sequence, status };
    let body = if command_id & RESPONSE == 0 {
        read::request(command_id, header).map_err(malformed)?
    } else {
        read::response(command_id, header)
    };
    Ok(Pdu { status: CommandStatus(status), sequence, body })
}

/// Writes one PDU.
///
/// # Errors
/// [`Unencodable`]: the first field that does not fit.
pub fn encode(pdu: &Pdu) -> Result<Bytes, Unencodable> {
    let mut out = BytesMut::with_capacity(256);
    out.put_bytes(0, HEADER_OCTETS);
    let command_id = write::body(&pdu.body, &mut out)?;
    let length = u32::try_from(out.len()).ok().filter(|length| *length as usize <= PDU_OCTETS_MAX);
    let length = length.ok_or(Unencodable("message_payload"))?;
    let header = [length, command_id, pdu.status.0, pdu.sequence].map(u32::to_be_bytes);
    if let Some(place) = out.first_chunk_mut::<HEADER_OCTETS>() {
        place.copy_from_slice(header.as_flattened());
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests;
