//! What a deliver_sm, or a customer's submit_sm, carries: a receipt, a text, or a part of one.

use std::fmt;

use bytes::Bytes;

use crate::party::Masked;
use crate::pdu::ShortMessage;
use crate::receipt::{Receipt, Receipted};
use crate::segment::{Piece, UserDataHeader};
use crate::text::{Charset, Decoded, DefaultAlphabet};

/// What a message turned out to be. `H` is the owner's name for it. `Debug` hides texts and most of the numbers.
#[derive(Clone, PartialEq, Eq)]
pub enum Inbound<H> {
    /// A delivery receipt.
    Receipt(Receipted<H>),
    /// Said to be a receipt, but it names no message or no state; for the list of unmatched receipts.
    UnreadableReceipt {
        /// Its text.
        text: String,
        /// The owner's name for it.
        handle: H,
    },
    /// A whole text.
    Text {
        /// Who sent it.
        from: String,
        /// To whom.
        to: String,
        /// What it says.
        content: Decoded,
        /// The owner's name for it.
        handle: H,
    },
    /// A part of a longer text, for the [`Reassembler`](crate::segment::Reassembler).
    Part(Piece<H>),
}

impl<H: fmt::Debug> fmt::Debug for Inbound<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receipt(receipt) => receipt.fmt(f),
            Self::UnreadableReceipt { text, handle } => {
                write!(f, "UnreadableReceipt({} octets, {handle:?})", text.len())
            }
            Self::Text { from, to, content, handle } => {
                write!(f, "Text({:?} to {:?}, {content:?}, {handle:?})", Masked(from), Masked(to))
            }
            Self::Part(piece) => piece.fmt(f),
        }
    }
}

impl<H> Inbound<H> {
    /// Reads a message of a trunk that means `alphabet` by data_coding 0.
    pub fn read(message: ShortMessage, alphabet: DefaultAlphabet, handle: H) -> Self {
        let tlvs = message.receipt_tlvs();
        let charset = Charset::of(message.data_coding, alphabet);
        if Receipt::is_receipt(message.esm_class, &tlvs) {
            let text = receipt_text(&message, charset);
            return match Receipt::read(&text, &tlvs) {
                Some(receipt) => Self::Receipt(Receipted {
                    receipt,
                    source: message.source.address,
                    destination: message.destination.address,
                    handle,
                }),
                None => Self::UnreadableReceipt { text, handle },
            };
        }
        let header = if message.has_header() { UserDataHeader::parse(&message.octets) } else { None };
        let header = header.unwrap_or_default();
        let concat = header.concat.or_else(|| message.sar());
        let mut octets: Bytes = message.octets;
        let octets = octets.split_off(header.octets.min(octets.len()));
        let (from, to) = (message.source.address, message.destination.address);
        match concat.filter(|part| part.total > 1) {
            Some(concat) => Self::Part(Piece {
                from,
                to,
                concat,
                octets,
                charset,
                tables: header.tables,
                fill_bits: header.fill_bits(),
                handle,
            }),
            None => {
                let content = charset.decode(&octets, header.tables, header.fill_bits());
                Self::Text { from, to, content, handle }
            }
        }
    }
}

/// The text of a receipt is ASCII, whatever its data_coding says, unless that is UCS-2 and the octets look like it.
fn receipt_text(message: &ShortMessage, charset: Charset) -> String {
    let wide = charset == Charset::Ucs2 && message.octets.first() == Some(&0);
    let charset = if wide { Charset::Ucs2 } else { Charset::Latin1 };
    match charset.decode(&message.octets, Default::default(), 0) {
        Decoded::Text { text, .. } => text,
        Decoded::Binary(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::{Address, Tlv, tag};
    use crate::receipt::State;
    use crate::segment::Concat;
    use crate::text::encode_ucs2;
    use proptest::prelude::*;

    fn message(esm_class: u8, data_coding: u8, octets: &[u8]) -> ShortMessage {
        ShortMessage {
            source: Address { ton: 1, npi: 1, address: "12065550111".into() },
            destination: Address { ton: 1, npi: 1, address: "14255550100".into() },
            esm_class,
            data_coding,
            octets: Bytes::copy_from_slice(octets),
            ..ShortMessage::default()
        }
    }

    fn read(message: ShortMessage) -> Inbound<u8> {
        Inbound::read(message, DefaultAlphabet::Gsm7, 7)
    }

    #[test]
    fn receipts_are_read_in_every_coding() {
        let text = "id:12 stat:UNDELIV err:001";
        for (coding, octets) in
            [(0, text.as_bytes().to_vec()), (8, text.into()), (8, encode_ucs2(text)), (4, text.into())]
        {
            let Inbound::Receipt(receipt) = read(message(4, coding, &octets)) else { panic!("{coding}") };
            assert_eq!(
                (receipt.receipt.state, receipt.source.as_str()),
                (State::Undeliverable, "12065550111")
            );
        }
        let unreadable = read(message(4, 0, b"what?"));
        assert_eq!(unreadable, Inbound::UnreadableReceipt { text: "what?".into(), handle: 7 });
    }

    #[test]
    fn a_text_is_read_behind_its_header() {
        let Inbound::Text { content, from, .. } = read(message(0x40, 0, b"\x04\x24\x01\x01\x00\x1b\x53"))
        else {
            panic!()
        };
        // A one-octet element that is padded: the single shift table is Turkish.
        assert_eq!(
            (content, from.as_str()),
            (Decoded::Text { text: "Ş".into(), lossy: false }, "12065550111")
        );
        let Inbound::Text { content, .. } = read(message(0, 8, &encode_ucs2("жук"))) else { panic!() };
        assert_eq!(content, Decoded::Text { text: "жук".into(), lossy: false });
        // A header that is announced and not there.
        let Inbound::Text { content, .. } = read(message(0x40, 0, b"\x7fabc")) else { panic!() };
        assert_eq!(content, Decoded::Text { text: "àabc".into(), lossy: false });
    }

    #[test]
    fn parts_are_told_by_header_or_tlv() {
        let Inbound::Part(piece) = read(message(0x40, 0, b"\x05\x00\x03\x09\x02\x01hi")) else { panic!() };
        assert_eq!((piece.concat, &piece.octets[..]), (Concat::new(9, 2, 1).unwrap(), &b"hi"[..]));
        let sar = ShortMessage {
            tlvs: vec![
                Tlv::new(tag::SAR_MSG_REF_NUM, vec![0, 9]),
                Tlv::new(tag::SAR_TOTAL_SEGMENTS, vec![2]),
                Tlv::new(tag::SAR_SEGMENT_SEQNUM, vec![2]),
            ],
            ..message(0, 0, b"ho")
        };
        let Inbound::Part(piece) = read(sar) else { panic!() };
        assert_eq!(piece.concat, Concat::new(9, 2, 2).unwrap());
        // One part of one is a whole text.
        assert!(matches!(read(message(0x40, 0, b"\x05\x00\x03\x09\x01\x01hi")), Inbound::Text { .. }));
    }

    #[test]
    fn debug_shows_neither_text_nor_numbers() {
        for shown in [
            format!("{:?}", read(message(0, 0, b"secret"))),
            format!("{:?}", read(message(0x40, 0, b"\x05\x00\x03\x09\x02\x01secret"))),
            format!("{:?}", read(message(4, 0, b"secret"))),
            format!("{:?}", read(message(4, 0, b"id:1 stat:DELIVRD text:secret"))),
        ] {
            assert!(!shown.contains("secret") && !shown.contains("555"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_something(esm_class: u8, data_coding: u8, octets: Vec<u8>, packed: bool) {
            let alphabet = if packed { DefaultAlphabet::Gsm7Packed } else { DefaultAlphabet::Gsm7 };
            let _ = Inbound::read(message(esm_class, data_coding, &octets), alphabet, ());
        }
    }
}
