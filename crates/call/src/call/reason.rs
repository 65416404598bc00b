//! The Reason header (RFC 3326; in responses RFC 6432): read from one leg, written anew on the other.

use trunkline_model::Q850;
use trunkline_sip::header::{Name, Params};
use trunkline_sip::message::Message;
use trunkline_sip::user_agent::Headers;

/// Why a leg ends, in the protocols that we carry on. Texts of peers are not carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reason {
    /// The cause of ITU-T Q.850, where one is known.
    pub(crate) q850: Option<Q850>,
    /// The SIP status, where one stands behind it.
    pub(crate) sip: Option<u16>,
}

impl Reason {
    /// Returns the reason that is only a Q.850 cause.
    pub(crate) fn q850(cause: Q850) -> Self {
        Self { q850: Some(cause), sip: None }
    }

    /// Reads all Reason headers of a message. What is malformed is passed over: it is a hint.
    pub(crate) fn of(message: &Message) -> Self {
        let mut reason = Self::default();
        for item in message.list(Name::Reason) {
            let (protocol, params) = match item.find(';') {
                Some(at) => item.split_at(at),
                None => continue,
            };
            let cause = Params::new(params).value("cause").and_then(|text| text.trim().parse::<u16>().ok());
            let Some(cause) = cause else { continue };
            if protocol.trim().eq_ignore_ascii_case("Q.850") {
                let known = u8::try_from(cause).ok().filter(|cause| (1..=127).contains(cause));
                reason.q850 = reason.q850.or(known.map(Q850));
            } else if protocol.trim().eq_ignore_ascii_case("SIP") && (100..700).contains(&cause) {
                reason.sip = reason.sip.or(Some(cause));
            }
        }
        reason
    }

    /// Returns the header, where there is something to say.
    pub(crate) fn headers(self) -> Headers {
        self.value().map_or_else(Headers::new, |value| Headers::new().with(Name::Reason, value))
    }

    /// Returns the header's value; none when there is nothing to say.
    pub(crate) fn value(self) -> Option<String> {
        let sip = self.sip.map(|status| format!("SIP;cause={status}"));
        let q850 = self.q850.map(|cause| format!("Q.850;cause={cause}"));
        match (sip, q850) {
            (Some(sip), Some(q850)) => Some(format!("{sip}, {q850}")),
            (sip, q850) => sip.or(q850),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn bye(reasons: &str) -> Message {
        let text = format!(
            "BYE sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n{reasons}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn causes_are_read_in_any_form_and_written_in_one() {
        let read = |text: &str| Reason::of(&bye(text)).value();
        assert_eq!(
            read("Reason: q.850 ;cause=17;text=\"User, busy\" , SIP;cause=486\r\n").as_deref(),
            Some("SIP;cause=486, Q.850;cause=17")
        );
        assert_eq!(
            read("Reason: SIP;text=\"x\";cause=200\r\nReason: Q.850;cause=16\r\n").as_deref(),
            Some("SIP;cause=200, Q.850;cause=16")
        );
        for nothing in ["", "Reason: Q.850\r\n", "Reason: Q.850;cause=999\r\n", "Reason: X;cause=1\r\n"] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
