//! Optional parameters (SMPP 3.4 §5.3), kept as they came.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Tags of TLVs that are used here (SMPP 3.4 §5.3.2).
#[allow(missing_docs, reason = "the names are those of the standard")]
pub mod tag {
    pub const RECEIPTED_MESSAGE_ID: u16 = 0x001e;
    pub const USER_MESSAGE_REFERENCE: u16 = 0x0204;
    pub const SAR_MSG_REF_NUM: u16 = 0x020c;
    pub const SAR_TOTAL_SEGMENTS: u16 = 0x020e;
    pub const SAR_SEGMENT_SEQNUM: u16 = 0x020f;
    pub const SC_INTERFACE_VERSION: u16 = 0x0210;
    pub const NETWORK_ERROR_CODE: u16 = 0x0423;
    pub const MESSAGE_PAYLOAD: u16 = 0x0424;
    pub const MORE_MESSAGES_TO_SEND: u16 = 0x0426;
    pub const MESSAGE_STATE: u16 = 0x0427;
}

/// One TLV.
#[derive(Clone, PartialEq, Eq)]
pub struct Tlv {
    /// Which parameter.
    pub tag: u16,
    /// Its value.
    pub value: Bytes,
}

impl std::fmt::Debug for Tlv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tlv({:04x}, {} octets)", self.tag, self.value.len())
    }
}

impl Tlv {
    /// Returns a TLV.
    pub fn new(tag: u16, value: impl Into<Bytes>) -> Self {
        Self { tag, value: value.into() }
    }

    /// Returns one whose value is a C-octet string.
    pub fn text(tag: u16, text: &str) -> Self {
        Self::new(tag, [text.as_bytes(), b"\0"].concat())
    }
}

/// Most TLVs of one PDU: the standard names about 60, and vendors add a few.
const TLVS_MAX: usize = 128;

/// A TLV that is longer than its PDU, or too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun;

/// Reads the TLVs at the end of a PDU. Up to three octets behind the last one are padding, which some vendors send.
pub(super) fn read_all(mut octets: Bytes) -> Result<Vec<Tlv>, Overrun> {
    let mut tlvs = Vec::new();
    while octets.len() >= 4 {
        let tag = octets.get_u16();
        let length = usize::from(octets.get_u16());
        if length > octets.len() || tlvs.len() == TLVS_MAX {
            return Err(Overrun);
        }
        tlvs.push(Tlv { tag, value: octets.split_to(length) });
    }
    Ok(tlvs)
}

/// Appends a TLV; returns whether its value has a length that fits.
pub(super) fn write(tlv: &Tlv, out: &mut BytesMut) -> bool {
    let Ok(length) = u16::try_from(tlv.value.len()) else { return false };
    out.reserve(4 + tlv.value.len());
    out.put_u16(tlv.tag);
    out.put_u16(length);
    out.put_slice(&tlv.value);
    true
}
