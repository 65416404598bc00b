//! Handing a text over: the request, and what its answer means.

use super::Carrier;
use super::describe::{InvalidDescription, SendDescription};
use super::fields;
use super::template::{Template, constant};
use crate::party::Sender;
use crate::status::CommandStatus;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_model::E164;

/// A text to hand over. `Debug` hides what it says and most of the numbers.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Our id of it.
    pub id: &'a str,
    /// Who sends.
    pub from: &'a Sender,
    /// Who receives.
    pub to: &'a E164,
    /// What it says; the carrier cuts it.
    pub text: &'a str,
    /// Whether receipts are wanted.
    pub receipts: bool,
    /// How much longer it is worth delivering.
    pub validity_left: Duration,
}

impl std::fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).field("from", self.from).finish_non_exhaustive()
    }
}

/// A request to the carrier. `Debug` shows the method alone: all else is private.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// All headers that are not HTTP's own business.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What the carrier's answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It has the text.
    Accepted {
        /// Its id, if it gave one.
        id: Option<String>,
    },
    /// It does not.
    Refused {
        /// Why, in SMPP's terms: what is to be done is decided by a [`StatusTable`](crate::status::StatusTable), as it
        /// is for carriers over SMPP. A status of HTTP from 400 to 499 that means nothing more definite is 0x400 and
        /// what it exceeds 400 by.
        status: CommandStatus,
        /// The carrier's own word for it.
        error: Option<String>,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
}

/// [`SendDescription`], read.
#[derive(Clone)]
pub(super) struct Send {
    method: String,
    url: Template,
    headers: Vec<(String, Template)>,
    basic: Option<String>,
    body: Body,
    success: Vec<u16>,
    id: String,
    error: Option<String>,
    errors: BTreeMap<String, u32>,
}

#[derive(Clone)]
enum Body {
    Json(Json),
    Form(Vec<(String, Template)>),
}

/// A JSON value whose texts are templates.
#[derive(Clone)]
enum Json {
    Text(Template),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    Other(Value),
}

/// Longest id taken: what is kept of each segment is bounded.
const ID_MAX: usize = 128;

/// Longest error taken: a code, not prose.
const ERROR_MAX: usize = 64;

/// Longest pause that a carrier can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

impl Send {
    pub(super) fn new(
        description: &SendDescription,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidDescription> {
        let templates = |fields: &BTreeMap<String, String>| {
            let read = fields.iter().map(|(key, text)| Ok((key.clone(), Template::parse(text, variables)?)));
            read.collect::<Result<Vec<_>, _>>()
        };
        let body = match (&description.json, &description.form) {
            (Some(json), None) => Body::Json(Json::parse(json, variables)?),
            (None, Some(form)) => Body::Form(templates(form)?),
            (Some(_), Some(_)) | (None, None) => return Err(InvalidDescription::Body),
        };
        let names = description.headers.keys().chain([&description.method]);
        if let Some(bad) = names.into_iter().find(|name| !is_token(name)) {
            return Err(InvalidDescription::NotHttp(bad.clone()));
        }
        let basic = match &description.basic {
            Some([user, password]) => {
                let pair = format!("{}:{}", constant(user, variables)?, constant(password, variables)?);
                Some(format!("Basic {}", BASE64.encode(pair)))
            }
            None => None,
        };
        Ok(Self {
            method: description.method.clone(),
            url: Template::parse(&description.url, variables)?,
            headers: templates(&description.headers)?,
            basic,
            body,
            success: description.success.clone(),
            id: description.id.clone(),
            error: description.error.clone(),
            errors: description.errors.clone(),
        })
    }
}

impl Carrier {
    /// Returns the request that hands a text over.
    pub fn request(&self, message: &Outgoing<'_>) -> Request {
        let send = &self.send;
        let (content_type, body) = match &send.body {
            Body::Json(json) => ("application/json", json.fill(message).to_string().into_bytes()),
            Body::Form(form) => {
                let mut body = form_urlencoded::Serializer::new(String::new());
                for (key, template) in form {
                    body.append_pair(key, &template.fill(message, |text| text));
                }
                ("application/x-www-form-urlencoded", body.finish().into_bytes())
            }
        };
        let mut headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        headers.extend(send.basic.iter().map(|basic| ("Authorization".to_owned(), basic.clone())));
        // A header cannot hold a line end; what cannot be sent as one is sent encoded.
        headers
            .extend(send.headers.iter().map(|(name, value)| (name.clone(), value.fill(message, in_header))));
        Request { method: send.method.clone(), url: send.url.fill(message, in_url), headers, body }
    }

    /// Reads the answer. `retry_after` is the header of that name, in seconds.
    pub fn response(&self, status: u16, retry_after: Option<&str>, body: &[u8]) -> Sent {
        let send = &self.send;
        let value = fields::read(body, false);
        let field = |path: &str| value.as_ref().and_then(|value| fields::text(value, path));
        let error = send.error.as_deref().and_then(field).map(|error| cut(&error, ERROR_MAX));
        // Some say 200 and put the refusal into the body.
        let named =
            error.as_ref().and_then(|error| send.errors.get(error)).map(|status| CommandStatus(*status));
        let is_success = if send.success.is_empty() {
            (200..300).contains(&status)
        } else {
            send.success.contains(&status)
        };
        if is_success && named.is_none_or(CommandStatus::is_ok) {
            return Sent::Accepted { id: field(&send.id).filter(|id| id.len() <= ID_MAX) };
        }
        let secs = retry_after.and_then(|text| text.trim().parse().ok());
        Sent::Refused {
            status: named.filter(|status| !status.is_ok()).unwrap_or_else(|| of_http(status)),
            error,
            retry_after: secs.map(Duration::from_secs).map(|pause| pause.min(RETRY_AFTER_MAX)),
        }
    }
}

/// What a status of HTTP says in SMPP's terms.
fn of_http(status: u16) -> CommandStatus {
    match status {
        401 | 403 => CommandStatus::BIND_FAILED,
        429 => CommandStatus::THROTTLED,
        408 | 409 | 425 => CommandStatus::TEMPORARY_APPLICATION_ERROR,
        400..=499 => CommandStatus(0x400 + u32::from(status) - 400),
        // 500 and above; and what is neither a success nor a refusal, such as a redirect to a page of maintenance.
        _ => CommandStatus::SYSTEM_ERROR,
    }
}

impl Json {
    fn parse(value: &Value, variables: &BTreeMap<String, String>) -> Result<Self, InvalidDescription> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text, variables)?),
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::parse(item, variables));
                Self::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields =
                    fields.iter().map(|(key, item)| Ok((key.clone(), Self::parse(item, variables)?)));
                Self::Object(fields.collect::<Result<_, _>>()?)
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Self::Other(other.clone()),
        })
    }

    fn fill(&self, message: &Outgoing<'_>) -> Value {
        match self {
            Self::Text(template) => template.value(message),
            Self::Array(items) => items.iter().map(|item| item.fill(message)).collect(),
            Self::Object(fields) => {
                Value::Object(fields.iter().map(|(key, item)| (key.clone(), item.fill(message))).collect())
            }
            Self::Other(value) => value.clone(),
        }
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 §2.3.
fn in_url(text: String) -> String {
    encoded(&text, |octet| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet))
}

/// Percent-encodes what a header cannot hold (RFC 9110 §5.5).
fn in_header(text: String) -> String {
    encoded(&text, |octet| octet.is_ascii_graphic() || octet == b' ')
}

fn encoded(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if is_plain(octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

/// Whether HTTP allows it as a method or as a header's name (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

pub(super) fn cut(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}
