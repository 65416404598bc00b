//! Texts and receipts as the deliver_sm that customers' systems read.

use crate::pdu::body::ESM_UDHI;
use crate::pdu::{Address, ShortMessage, Tlv, tag};
use crate::receipt::{Receipt, State};
use crate::segment::{Carriage, Split};

/// esm_class of a delivery receipt (SMPP 3.4 §5.2.12).
const ESM_RECEIPT: u8 = 0x04;

/// network_error_code: the network is a GSM one (SMPP 3.4 §5.3.2.31).
const NETWORK_GSM: u8 = 3;

/// What a receipt for a customer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    /// Our id of the message, as its submit_sm_resp gave it.
    pub id: &'a str,
    /// The state it reached.
    pub state: State,
    /// The network's error; 0 for none.
    pub error: u16,
    /// When it was submitted, in seconds since 1970.
    pub submitted_unix: i64,
    /// When it reached the state.
    pub done_unix: i64,
}

/// Returns a receipt. `sender` and `recipient` are those of the message: the receipt goes the other way.
///
/// The TLVs say the same as the text, for systems that read either.
pub fn receipt(sender: Address, recipient: Address, report: &Report<'_>) -> ShortMessage {
    let text = Receipt::write(report.id, report.state, report.error, report.submitted_unix, report.done_unix);
    let mut tlvs = vec![
        Tlv::text(tag::RECEIPTED_MESSAGE_ID, report.id),
        Tlv::new(tag::MESSAGE_STATE, vec![report.state.to_tlv()]),
    ];
    if report.error != 0 {
        let [high, low] = report.error.to_be_bytes();
        tlvs.push(Tlv::new(tag::NETWORK_ERROR_CODE, vec![NETWORK_GSM, high, low]));
    }
    ShortMessage {
        source: recipient,
        destination: sender,
        esm_class: ESM_RECEIPT,
        octets: text.into(),
        tlvs,
        ..ShortMessage::default()
    }
}

/// Returns an inbound text: one deliver_sm for each segment, in order.
pub fn text(from: &Address, to: &Address, split: &Split) -> Vec<ShortMessage> {
    let segments = split.segments.iter().map(|segment| {
        let tlvs = match segment.carriage {
            Carriage::Sar(part) => vec![
                Tlv::new(tag::SAR_MSG_REF_NUM, part.reference.to_be_bytes().to_vec()),
                Tlv::new(tag::SAR_TOTAL_SEGMENTS, vec![part.total]),
                Tlv::new(tag::SAR_SEGMENT_SEQNUM, vec![part.seq]),
            ],
            Carriage::Plain | Carriage::Udh(_) | Carriage::Payload => Vec::new(),
        };
        ShortMessage {
            source: from.clone(),
            destination: to.clone(),
            esm_class: if matches!(segment.carriage, Carriage::Udh(_)) { ESM_UDHI } else { 0 },
            data_coding: segment.data_coding,
            octets: segment.octets.clone(),
            in_payload: segment.carriage == Carriage::Payload,
            tlvs,
            ..ShortMessage::default()
        }
    });
    segments.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::Inbound;
    use crate::receipt::CarrierId;
    use crate::segment::split::{Method, SplitPolicy, split};
    use crate::segment::{Limits, Outcome, Reassembler};
    use crate::text::{Decoded, DefaultAlphabet};
    use trunkline_model::clock::first_instant;

    fn number(digits: &str) -> Address {
        Address { ton: 1, npi: 1, address: digits.into() }
    }

    #[test]
    fn a_receipt_says_the_same_in_text_and_tlvs() {
        let report = Report {
            id: "01ab",
            state: State::Undeliverable,
            error: 34,
            submitted_unix: 1_795_433_160,
            done_unix: 1_795_433_220,
        };
        let message = receipt(number("14255550100"), number("12065550111"), &report);
        for message in [message.clone(), message.clone().for_version(0x33)] {
            let Inbound::Receipt(read) = Inbound::read(message, DefaultAlphabet::Gsm7, ()) else { panic!() };
            assert_eq!(read.receipt.id, CarrierId::parse("1AB").unwrap());
            assert_eq!((read.receipt.state, read.receipt.error.as_deref()), (report.state, Some("034")));
            assert_eq!((read.source.as_str(), read.destination.as_str()), ("12065550111", "14255550100"));
        }
    }

    #[test]
    fn a_long_text_is_whole_again_with_every_method() {
        for method in [Method::Udh8, Method::Udh16, Method::Sar, Method::Payload] {
            let given = "жук 😀 ".repeat(40);
            let cut = split(&given, &SplitPolicy { method, ..SplitPolicy::default() }, 9).unwrap();
            let mut table = Reassembler::new(Limits::default());
            let mut whole = None;
            for message in text(&number("12065550111"), &number("14255550100"), &cut) {
                match Inbound::read(message, DefaultAlphabet::Gsm7, ()) {
                    Inbound::Text { content, .. } => whole = Some(content),
                    Inbound::Part(piece) => {
                        if let Outcome::Whole(joined) = table.handle_piece(first_instant(), piece) {
                            whole = Some(joined.content);
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(whole, Some(Decoded::Text { text: given, lossy: false }), "{method:?}");
        }
    }
}
