//! What a description file says, as it stands there.

use crate::receipt::State;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a carrier is spoken to.
///
/// Texts in it may hold `{name}`: a variable of the operator's or, in what is sent, a field of the message: `id`,
/// `from`, `from_digits`, `to`, `to_digits`, `text`, `receipts`, `validity_secs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// How a text is handed over.
    pub send: SendDescription,
    /// By what it tells of deliveries and texts.
    #[serde(default)]
    pub hook: Vec<HookDescription>,
}

/// How a text is handed over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendDescription {
    /// The method.
    #[serde(default = "post")]
    pub method: String,
    /// The URL; what is filled in is percent-encoded.
    pub url: String,
    /// Headers beside Content-Type.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// User and password of HTTP's Basic scheme.
    pub basic: Option<[String; 2]>,
    /// The body, if it is JSON. A text that is one field alone becomes a number or a boolean where the field is one.
    pub json: Option<serde_json::Value>,
    /// The body, if it is a form.
    pub form: Option<BTreeMap<String, String>>,
    /// Statuses by which a text is taken; none for all from 200 to 299.
    #[serde(default)]
    pub success: Vec<u16>,
    /// Where in the answer the carrier's id is: keys and places, joined by dots.
    pub id: String,
    /// Where in the answer it says what is wrong.
    pub error: Option<String>,
    /// What its errors are in terms of SMPP's command_status, which decides whether a text is tried again.
    #[serde(default)]
    pub errors: BTreeMap<String, u32>,
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookDescription {
    /// The last part of its path.
    pub path: String,
    /// Whether bodies are forms; else they are JSON.
    #[serde(default)]
    pub form: bool,
    /// Where the array of events is, `$` for the body itself; none if the body is one event.
    pub items: Option<String>,
    /// How deliveries and texts are told apart; none if only one of them comes.
    pub kind: Option<Kind>,
    /// How it is known that the carrier sent it.
    pub signature: Signature,
    /// Where a delivery's fields are.
    pub report: Option<ReportFields>,
    /// Where a text's fields are.
    pub text: Option<TextFields>,
}

/// How deliveries and texts are told apart. Events that are neither are left alone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// The field that says it.
    pub field: String,
    /// What it says of deliveries.
    #[serde(default)]
    pub reports: Vec<String>,
    /// What it says of texts.
    #[serde(default)]
    pub texts: Vec<String>,
}

/// Where a delivery's fields are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportFields {
    /// The id that the answer gave.
    pub id: String,
    /// The state.
    pub state: String,
    /// The error.
    pub error: Option<String>,
    /// Our number, or whatever sent.
    pub from: Option<String>,
    /// The recipient.
    pub to: Option<String>,
    /// What its states mean; those that are not listed are left alone.
    pub states: BTreeMap<String, StateName>,
}

/// Where a text's fields are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFields {
    /// The carrier's id, by which a text that comes twice is known.
    pub id: String,
    /// The handset.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What it says.
    pub text: String,
}

/// How it is known that the carrier sent it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signature {
    /// User and password of HTTP's Basic scheme.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token of HTTP's Bearer scheme.
    Bearer {
        /// The token.
        token: String,
    },
    /// HMAC-SHA1 of the URL and the sorted fields of the form, in X-Twilio-Signature.
    Twilio {
        /// The key.
        key: String,
    },
    /// An HMAC in a header.
    Hmac {
        /// The header.
        header: String,
        /// The key.
        key: String,
        /// Which hash.
        #[serde(default)]
        algorithm: Algorithm,
        /// How it is written.
        #[serde(default)]
        encoding: Encoding,
        /// What stands before it.
        #[serde(default)]
        prefix: String,
        /// What is signed: text around `{body}`, `{timestamp}` and `{url}`.
        #[serde(default = "body")]
        signed: String,
        /// The header with the time in seconds since 1970: more than five minutes off is refused.
        timestamp: Option<String>,
    },
    /// An Ed25519 signature in a header.
    Ed25519 {
        /// The header.
        header: String,
        /// The carrier's public key, in base64.
        key: String,
        /// What is signed.
        signed: String,
        /// The header with the time.
        timestamp: Option<String>,
    },
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Bearer { .. } => "Bearer",
            Self::Twilio { .. } => "Twilio",
            Self::Hmac { .. } => "Hmac",
            Self::Ed25519 { .. } => "Ed25519",
        })
    }
}

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// SHA-1, which is still sound in an HMAC.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
}

/// How an HMAC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal, in either case.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// A state of a message, as descriptions name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are those of `State`")]
pub enum StateName {
    Enroute,
    Delivered,
    Expired,
    Deleted,
    Undeliverable,
    Accepted,
    Unknown,
    Rejected,
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Enroute => Self::Enroute,
            StateName::Delivered => Self::Delivered,
            StateName::Expired => Self::Expired,
            StateName::Deleted => Self::Deleted,
            StateName::Undeliverable => Self::Undeliverable,
            StateName::Accepted => Self::Accepted,
            StateName::Unknown => Self::Unknown,
            StateName::Rejected => Self::Rejected,
        }
    }
}

/// A description that makes no carrier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDescription {
    /// A name in braces is neither a variable that is given nor a field of the message.
    #[error("{{{0}}} is neither a variable that is given nor a field of a message")]
    UnknownName(String),
    /// A brace that opens and does not close.
    #[error("{0:?} has a brace without its pair")]
    UnpairedBrace(String),
    /// Both bodies, or none.
    #[error("a text is sent with json or form: exactly one of them")]
    Body,
    /// A method or header that HTTP does not allow.
    #[error("{0:?} is no method or header of HTTP")]
    NotHttp(String),
    /// Two webhooks of one path.
    #[error("two webhooks have the path {0:?}")]
    Twice(String),
    /// A path that is more than one part of a URL.
    #[error("the path {0:?} of a webhook is not made of a-z, 0-9 and -")]
    Path(String),
    /// A webhook from which nothing can be read.
    #[error("the webhook {0:?} has neither report nor text, or both without kind")]
    Kind(String),
    /// An empty or unreadable key: anyone could sign.
    #[error("the key of a signature is empty or cannot be read")]
    Key,
    /// Twilio's signature covers forms only.
    #[error("the signature of the webhook {0:?} needs a form")]
    NeedsForm(String),
}

fn post() -> String {
    "POST".to_owned()
}

fn body() -> String {
    "{body}".to_owned()
}
