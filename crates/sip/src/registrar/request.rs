//! What a REGISTER asks for.

use std::time::Duration;

use super::binding::WEIGHT_MAX;
use super::{Binding, Limits};
use crate::header::{Name, NameAddr};
use crate::message::Message;
use crate::uri::{Scheme, Uri};
use crate::user_agent::{Headers, Reply};

/// Why a REGISTER changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A part of it cannot be read.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// It asks for less time than there is to have (RFC 3261 §10.3 item 7).
    #[error("the shortest registration is {0} s")]
    TooBrief(u64),
    /// It was overtaken by a newer one (RFC 3261 §10.3 item 7).
    #[error("out of order")]
    OutOfOrder,
    /// The user has as many contacts as one may.
    #[error("too many contacts")]
    TooManyContacts,
    /// There are as many contacts as there may be.
    #[error("too many contacts in all")]
    Full,
}

impl Refused {
    /// Returns the answer.
    pub fn reply(&self) -> Reply {
        match self {
            Self::Malformed(_) => Reply::new(400).with_reason(self.phrase()),
            Self::TooBrief(secs) => {
                Reply::new(423).with_headers(Headers::new().with(Name::MinExpires, secs.to_string()))
            }
            Self::OutOfOrder => Reply::new(500).with_reason("Out Of Order"),
            Self::TooManyContacts => Reply::new(403).with_reason("Too Many Contacts"),
            Self::Full => Reply::new(503).with_headers(Headers::new().with(Name::RetryAfter, "30")),
        }
    }

    fn phrase(&self) -> String {
        let text = self.to_string();
        let mut chars = text.chars();
        chars
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
    }
}

/// A REGISTER, read.
pub(super) struct Ask {
    pub(super) call_id: Box<str>,
    pub(super) sequence: u32,
    pub(super) wanted: Wanted,
    outbound: bool,
}

/// What is to happen to the contacts.
pub(super) enum Wanted {
    /// Nothing: it asks what they are.
    Nothing,
    /// All are to go (`Contact: *`).
    RemoveAll,
    /// These are to come, go on, or go.
    Changes(Vec<Wish>),
}

/// One contact.
pub(super) struct Wish {
    pub(super) uri: Box<str>,
    pub(super) instance: Option<Box<str>>,
    pub(super) reg_id: Option<u32>,
    pub(super) weight: u16,
    /// Zero removes it.
    pub(super) expires: Duration,
}

/// Most contacts that one request may change; clients name one.
const CHANGES_MAX: usize = 10;

/// Longest Contact URI kept. Those of browsers have some 60 characters, those of phones up to 200.
const URI_BYTES_MAX: usize = 512;

/// Longest `+sip.instance` kept: a URN of a UUID between angles has 47 characters.
const INSTANCE_BYTES_MAX: usize = 128;

/// Longest Call-ID kept.
const CALL_ID_BYTES_MAX: usize = 256;

impl Ask {
    pub(super) fn read(request: &Message, limits: &Limits) -> Result<Self, Refused> {
        let call_id = request.call_id();
        if call_id.len() > CALL_ID_BYTES_MAX {
            return Err(Refused::Malformed("Call-ID"));
        }
        let expires = match request.header(Name::Expires) {
            Some(text) => Some(seconds(text).ok_or(Refused::Malformed("Expires"))?),
            None => None,
        };
        let contacts: Vec<&str> = request.list(Name::Contact).collect();
        let wanted = match contacts.as_slice() {
            [] => Wanted::Nothing,
            ["*"] if expires == Some(Duration::ZERO) => Wanted::RemoveAll,
            contacts if contacts.contains(&"*") || contacts.len() > CHANGES_MAX => {
                return Err(Refused::Malformed("Contact"));
            }
            contacts => {
                let read = contacts.iter().map(|contact| Wish::read(contact, expires, limits));
                Wanted::Changes(read.collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            call_id: call_id.into(),
            sequence: request.cseq().map_err(|_| Refused::Malformed("CSeq"))?.number,
            wanted,
            outbound: request.lists(Name::Supported, "outbound"),
        })
    }

    /// Refuses what was overtaken: the same client counts its requests up (RFC 3261 §10.3 items 6 and 7).
    pub(super) fn check_order(&self, binding: &Binding) -> Result<(), Refused> {
        let newer = *binding.call_id != *self.call_id || self.sequence > binding.sequence;
        if newer { Ok(()) } else { Err(Refused::OutOfOrder) }
    }

    /// Whether the client registers flows and is to know that we keep them.
    pub(super) fn is_outbound(&self) -> bool {
        let flows = |wishes: &[Wish]| wishes.iter().any(|wish| wish.reg_id.is_some());
        self.outbound && matches!(&self.wanted, Wanted::Changes(wishes) if flows(wishes))
    }
}

impl Wish {
    fn read(contact: &str, expires: Option<Duration>, limits: &Limits) -> Result<Self, Refused> {
        let malformed = Refused::Malformed("Contact");
        let address = NameAddr::parse(contact.as_bytes()).map_err(|_| malformed.clone())?;
        let uri = address.uri_text();
        let reachable = Uri::parse(uri)
            .is_ok_and(|uri| matches!(uri.scheme(), Scheme::Sip | Scheme::Sips) && uri.headers().is_empty());
        if !reachable || uri.len() > URI_BYTES_MAX {
            return Err(malformed);
        }
        let params = address.params();
        let own = match params.value("expires") {
            Some(text) => Some(seconds(text).ok_or(malformed.clone())?),
            None => None,
        };
        let expires = own.or(expires).unwrap_or(limits.expires_default).min(limits.expires_max);
        if !expires.is_zero() && expires < limits.expires_min {
            return Err(Refused::TooBrief(limits.expires_min.as_secs()));
        }
        let instance = params.value("+sip.instance").map(|text| text.trim_matches('"'));
        if instance.is_some_and(|text| text.len() > INSTANCE_BYTES_MAX || !is_instance(text)) {
            return Err(malformed);
        }
        let reg_id = match params.value("reg-id") {
            // RFC 5626 §9: 1 to 2^31 - 1. Without an instance it means nothing (§6).
            Some(text) => {
                let number = text.parse().ok().filter(|number| (1..=i32::MAX as u32).contains(number));
                Some(number.ok_or(malformed.clone())?).filter(|_| instance.is_some())
            }
            None => None,
        };
        let weight = match params.value("q") {
            Some(text) => weight(text).ok_or(malformed)?,
            None => WEIGHT_MAX,
        };
        Ok(Self { uri: uri.into(), instance: instance.map(Box::from), reg_id, weight, expires })
    }
}

/// Reads delta-seconds (RFC 3261 §25.1). More than 32 bits hold is as long as any.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse::<u32>().unwrap_or(u32::MAX).into()))
}

/// Reads a qvalue in thousandths: `0`, `1`, or either with up to three digits behind a point.
fn weight(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(WEIGHT_MAX),
        _ => None,
    }
}

/// Whether a name of a device can be written back between quotes as it stands.
fn is_instance(text: &str) -> bool {
    text.starts_with('<')
        && text.ends_with('>')
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}
