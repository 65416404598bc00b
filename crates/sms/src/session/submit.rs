//! A message as the submit_sm that a trunk wants.

use std::time::Duration;

use trunkline_model::E164;

use crate::party::Sender;
use crate::pdu::body::{ESM_UDHI, RECEIPT_WANTED};
use crate::pdu::{Address, ShortMessage, Tlv, tag};
use crate::segment::{Carriage, Segment, Split};
use crate::session::time;

/// Type of number and numbering plan (SMPP 3.4 §5.2.5, §5.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TonNpi {
    /// Type of number.
    pub ton: u8,
    /// Numbering plan.
    pub npi: u8,
}

/// How a trunk wants its submit_sm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitProfile {
    /// service_type: up to 5 octets.
    pub service_type: String,
    /// For senders that are numbers.
    pub source_number: TonNpi,
    /// For senders that are short codes.
    pub source_short_code: TonNpi,
    /// For senders that are names.
    pub source_name: TonNpi,
    /// For recipients.
    pub destination: TonNpi,
    /// Whether numbers keep their `+`.
    pub plus: bool,
    /// priority_flag: 0 to 3.
    pub priority: u8,
    /// Whether validity_period is sent, so that the carrier gives up when we do.
    pub validity: bool,
    /// Whether more_messages_to_send marks all segments but the last.
    pub more_messages: bool,
    /// data_coding instead of 0 for messages in the GSM alphabet.
    pub default_coding: u8,
    /// TLVs that every submit_sm carries.
    pub tlvs: Vec<Tlv>,
}

impl Default for SubmitProfile {
    fn default() -> Self {
        Self {
            service_type: String::new(),
            source_number: TonNpi { ton: 1, npi: 1 },
            source_short_code: TonNpi { ton: 3, npi: 0 },
            source_name: TonNpi { ton: 5, npi: 0 },
            destination: TonNpi { ton: 1, npi: 1 },
            plus: false,
            priority: 0,
            validity: true,
            more_messages: false,
            default_coding: 0,
            tlvs: Vec::new(),
        }
    }
}

/// What is common to all segments of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends.
    pub from: Sender,
    /// Who receives.
    pub to: E164,
    /// How much longer it is worth delivering.
    pub validity_left: Duration,
    /// Whether receipts are wanted.
    pub receipts: bool,
}

impl SubmitProfile {
    /// Returns one submit_sm for each segment, in order.
    pub fn messages(&self, envelope: &Envelope, split: &Split) -> Vec<ShortMessage> {
        let last = split.segments.len();
        let segments = split.segments.iter().zip(1..);
        segments.map(|(segment, seq)| self.message(envelope, segment, seq < last)).collect()
    }

    /// Returns the submit_sm of one segment; `more` says that others of its message follow.
    pub fn message(&self, envelope: &Envelope, segment: &Segment, more: bool) -> ShortMessage {
        let mut tlvs = self.tlvs.clone();
        if let Carriage::Sar(part) = segment.carriage {
            tlvs.push(Tlv::new(tag::SAR_MSG_REF_NUM, part.reference.to_be_bytes().to_vec()));
            tlvs.push(Tlv::new(tag::SAR_TOTAL_SEGMENTS, vec![part.total]));
            tlvs.push(Tlv::new(tag::SAR_SEGMENT_SEQNUM, vec![part.seq]));
        }
        if self.more_messages && more {
            tlvs.push(Tlv::new(tag::MORE_MESSAGES_TO_SEND, vec![1]));
        }
        let validity = if self.validity { time::relative(envelope.validity_left) } else { String::new() };
        ShortMessage {
            service_type: self.service_type.clone(),
            source: self.source(&envelope.from),
            destination: self.address(self.destination, envelope.to.digits(), true),
            esm_class: if matches!(segment.carriage, Carriage::Udh(_)) { ESM_UDHI } else { 0 },
            priority: self.priority,
            validity,
            registered_delivery: if envelope.receipts { RECEIPT_WANTED } else { 0 },
            data_coding: match segment.data_coding {
                0 => self.default_coding,
                other => other,
            },
            octets: segment.octets.clone(),
            in_payload: segment.carriage == Carriage::Payload,
            tlvs,
            ..ShortMessage::default()
        }
    }

    fn source(&self, from: &Sender) -> Address {
        match from {
            Sender::Number(number) => self.address(self.source_number, number.digits(), true),
            Sender::ShortCode(code) => self.address(self.source_short_code, code, false),
            Sender::Name(name) => self.address(self.source_name, name, false),
        }
    }

    fn address(&self, TonNpi { ton, npi }: TonNpi, text: &str, number: bool) -> Address {
        let plus = if self.plus && number { "+" } else { "" };
        Address { ton, npi, address: format!("{plus}{text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::split::{Method, SplitPolicy, split};

    fn envelope(from: &str) -> Envelope {
        Envelope {
            from: Sender::parse(from).unwrap(),
            to: E164::parse("+12065550111").unwrap(),
            validity_left: Duration::from_secs(90_061),
            receipts: true,
        }
    }

    #[test]
    fn senders_have_the_type_and_plan_of_their_kind() {
        let profile = SubmitProfile { plus: true, ..SubmitProfile::default() };
        let split = split("hi", &SplitPolicy::default(), 1).unwrap();
        let source = |from| profile.messages(&envelope(from), &split)[0].source.clone();
        let is = |from, ton, npi, address: &str| {
            assert_eq!(source(from), Address { ton, npi, address: address.into() });
        };
        is("+14255550100", 1, 1, "+14255550100");
        is("55555", 3, 0, "55555");
        is("ACME", 5, 0, "ACME");
    }

    #[test]
    fn each_method_marks_its_segments() {
        let profile = SubmitProfile { more_messages: true, default_coding: 0xf1, ..SubmitProfile::default() };
        let text = "a".repeat(200);
        let messages = |method| {
            let policy = SplitPolicy { method, ..SplitPolicy::default() };
            profile.messages(&envelope("+14255550100"), &split(&text, &policy, 0x0102).unwrap())
        };
        let udh = messages(Method::Udh16);
        assert_eq!((udh.len(), udh[0].esm_class, udh[0].data_coding), (2, 0x40, 0xf1));
        assert!(udh[0].tlv(tag::MORE_MESSAGES_TO_SEND).is_some());
        assert!(udh[1].tlv(tag::MORE_MESSAGES_TO_SEND).is_none());
        let sar = messages(Method::Sar);
        assert_eq!(sar[1].sar(), crate::segment::Concat::new(0x0102, 2, 2));
        assert_eq!(sar[1].esm_class, 0);
        let payload = messages(Method::Payload);
        assert_eq!((payload.len(), payload[0].in_payload), (1, true));
        assert_eq!((payload[0].validity.as_str(), payload[0].registered_delivery), ("000001010101000R", 1));
    }
}
