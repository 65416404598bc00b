//! `POST /sms`: the same text to up to a hundred recipients, each with a result of its own.

use super::{INVALID_TO, check_count, sender};
use crate::call::{Call, json};
use crate::error::ApiError;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use trunkline_storage::Error;
use trunkline_storage::messages::{self, Accepted, Content, NewMessage, Purpose, Request, Source};
use trunkline_storage::opt_outs::{self, Pair};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendMessageRequest {
    from: String,
    sms_recipients: Vec<Recipient>,
    message: String,
    #[serde(default, deserialize_with = "or_default")]
    sms_send_options: SmsSendOptions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    to: String,
    #[serde(default)]
    repeatability_request_id: Option<String>,
    #[serde(default)]
    repeatability_first_sent: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct SmsSendOptions {
    #[serde(default)]
    enable_delivery_report: bool,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    delivery_report_timeout_in_seconds: Option<i64>,
    #[serde(default)]
    messaging_connect: Option<Value>,
}

#[derive(Serialize)]
struct SmsSendResponse {
    value: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    http_status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeatability_result: Option<&'static str>,
    successful: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'static str>,
}

/// Reads what may be null.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SmsSendOptions, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

pub(super) async fn send(call: Call) -> Result<Response, ApiError> {
    let request: SendMessageRequest = call.json()?;
    let options = check(&request)?;
    sender::check(&call, &request.from).await?;
    let now_unix_ms = call.state.now_unix_ms();
    let terms = Terms::of(&call, &request, options, now_unix_ms)?;
    let mut results: Vec<Result<NewMessage, Refusal>> =
        request.sms_recipients.iter().map(|recipient| terms.message(recipient, now_unix_ms)).collect();
    refuse_opted_out(&call, &mut results).await?;

    let new: Vec<NewMessage> = results.iter().filter_map(|result| result.as_ref().ok().cloned()).collect();
    let mut accepted =
        if new.is_empty() { Vec::new() } else { accept(&call, new, now_unix_ms).await? }.into_iter();
    let items = request.sms_recipients.iter().zip(results).map(|(recipient, result)| match result {
        // The store answers every message, in order.
        Ok(_) => {
            accepted.next().map_or_else(|| Refusal::Conflict.item(recipient), |one| item(recipient, one))
        }
        Err(refusal) => refusal.item(recipient),
    });
    Ok(json(StatusCode::ACCEPTED, &SmsSendResponse { value: items.collect() }))
}

/// Looks at what concerns all recipients.
fn check(request: &SendMessageRequest) -> Result<&SmsSendOptions, ApiError> {
    check_count("SmsRecipients", request.sms_recipients.len())?;
    if request.message.encode_utf16().count() > MESSAGE_UNITS_MAX {
        let message = format!("The message must not be longer than {MESSAGE_UNITS_MAX} characters.");
        return Err(ApiError::validation("Message", message));
    }
    let options = &request.sms_send_options;
    if options.messaging_connect.is_some() {
        let message = "Messaging Connect is not offered: texts go over the operator's own carriers.";
        return Err(ApiError::validation("SmsSendOptions.MessagingConnect", message));
    }
    if options.tag.as_ref().is_some_and(|tag| tag.chars().count() > TAG_CHARS_MAX) {
        let message = format!("The tag must not be longer than {TAG_CHARS_MAX} characters.");
        return Err(ApiError::validation("SmsSendOptions.Tag", message));
    }
    let timeout = options.delivery_report_timeout_in_seconds;
    if timeout.is_some_and(|secs| !(REPORT_TIMEOUT_SECS_MIN..=REPORT_TIMEOUT_SECS_MAX).contains(&secs)) {
        let message = format!(
            "The time-out of the delivery report must be {REPORT_TIMEOUT_SECS_MIN} to {REPORT_TIMEOUT_SECS_MAX} seconds."
        );
        return Err(ApiError::validation("SmsSendOptions.DeliveryReportTimeoutInSeconds", message));
    }
    Ok(options)
}

/// What all messages of a request have in common.
struct Terms<'a> {
    request: &'a SendMessageRequest,
    options: &'a SmsSendOptions,
    resource: Uuid,
    fingerprint: Vec<u8>,
    expires_unix_ms: i64,
    report_by_unix_ms: i64,
}

impl<'a> Terms<'a> {
    fn of(
        call: &Call,
        request: &'a SendMessageRequest,
        options: &'a SmsSendOptions,
        now_unix_ms: i64,
    ) -> Result<Self, ApiError> {
        let settings = &call.state.settings.sms;
        let after = |from: i64, time: Duration| {
            from.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
        };
        let expires = after(now_unix_ms, settings.validity);
        let report_by_unix_ms = match options.delivery_report_timeout_in_seconds {
            Some(secs) => now_unix_ms + secs * 1_000,
            None => after(expires, settings.report_grace),
        };
        let wish = serde_json::json!([
            request.message,
            options.enable_delivery_report,
            options.tag,
            options.delivery_report_timeout_in_seconds,
        ]);
        Ok(Self {
            request,
            options,
            resource: call.tenant()?.resource.id,
            fingerprint: digest(&SHA256, wish.to_string().as_bytes()).as_ref().to_vec(),
            expires_unix_ms: expires.min(report_by_unix_ms),
            report_by_unix_ms,
        })
    }

    fn message(&self, recipient: &Recipient, now_unix_ms: i64) -> Result<NewMessage, Refusal> {
        let to = super::recipient(&recipient.to).ok_or(Refusal::NoNumber)?;
        let request = match &recipient.repeatability_request_id {
            Some(id) if id.is_empty() || id.len() > REQUEST_ID_BYTES_MAX => {
                return Err(Refusal::BadRequestId);
            }
            Some(id) => Some(Request { id: id.clone(), fingerprint: self.fingerprint.clone() }),
            None => None,
        };
        if let Some(first_sent) = &recipient.repeatability_first_sent {
            let first_sent = httpdate::parse_http_date(first_sent).map_err(|_| Refusal::BadFirstSent)?;
            let first_sent = first_sent.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            // What came so long ago is not known any more: to send it might be to send it twice.
            if request.is_some() && first_sent as i64 <= now_unix_ms.saturating_sub(messages::REQUEST_KEPT_MS)
            {
                return Err(Refusal::TooLate);
            }
        }
        Ok(NewMessage {
            resource: self.resource,
            source: Source::Api,
            from: self.request.from.clone(),
            to,
            content: Content::Text(self.request.message.clone()),
            purpose: Purpose::Transactional,
            wants_report: self.options.enable_delivery_report,
            tag: self.options.tag.clone(),
            request,
            expires_unix_ms: self.expires_unix_ms,
            report_by_unix_ms: self.report_by_unix_ms,
        })
    }
}

/// Refuses those who have opted out. The engine looks again before a carrier gets the message, so that what changes
/// in between counts too.
async fn refuse_opted_out(call: &Call, results: &mut [Result<NewMessage, Refusal>]) -> Result<(), ApiError> {
    let pair =
        |new: &NewMessage| Pair { resource: new.resource, sender: new.from.clone(), recipient: new.to };
    let pairs: Vec<Pair> = results.iter().flatten().map(pair).collect();
    let mut db = call.state.store.read().await?;
    let stopped = opt_outs::check(&mut db, &pairs, call.state.settings.sms.opt_out_scope).await?;
    for (result, stopped) in results.iter_mut().filter(|result| result.is_ok()).zip(stopped) {
        if stopped {
            *result = Err(Refusal::OptedOut);
        }
    }
    Ok(())
}

/// Returns what became of each, once it is on disk (SMS-01).
async fn accept(call: &Call, new: Vec<NewMessage>, now_unix_ms: i64) -> Result<Vec<Accepted>, ApiError> {
    let new = Arc::new(new);
    let mut attempts = 1;
    loop {
        let batch = Arc::clone(&new);
        let done: Result<_, Error> = call
            .state
            .store
            .write(move |db| Box::pin(async move { messages::accept(db, &batch, now_unix_ms).await }))
            .await;
        match done {
            // Two requests with the same messages met: the second attempt finds what the other has written.
            Err(Error::Contended { .. } | Error::Duplicate { .. }) if attempts < ATTEMPTS_MAX => {
                attempts += 1
            }
            done => return Ok(done?),
        }
    }
}

/// Why a recipient gets nothing.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    NoNumber,
    BadRequestId,
    BadFirstSent,
    TooLate,
    OptedOut,
    Conflict,
}

impl Refusal {
    fn item(self, recipient: &Recipient) -> Item {
        let (http_status_code, error_message) = match self {
            Self::NoNumber => (400, INVALID_TO),
            Self::BadRequestId => (400, "Invalid repeatability request id."),
            Self::BadFirstSent => (400, "Invalid time in repeatability first sent."),
            Self::TooLate => (400, "It was first sent too long ago to know whether it was accepted."),
            Self::OptedOut => (400, "Sender blocked for given recipient."),
            Self::Conflict => (409, "Another message was accepted under this repeatability request id."),
        };
        let rejected = match self {
            Self::BadRequestId | Self::BadFirstSent | Self::TooLate | Self::Conflict => Some("rejected"),
            Self::NoNumber | Self::OptedOut => None,
        };
        Item {
            to: recipient.to.clone(),
            message_id: None,
            http_status_code,
            repeatability_result: rejected,
            successful: false,
            error_message: Some(error_message),
        }
    }
}

fn item(recipient: &Recipient, accepted: Accepted) -> Item {
    let id = match accepted {
        Accepted::New(id) | Accepted::Again(id) => id,
        Accepted::Conflict => return Refusal::Conflict.item(recipient),
    };
    Item {
        to: recipient.to.clone(),
        message_id: Some(id.to_string()),
        http_status_code: 202,
        repeatability_result: recipient.repeatability_request_id.as_ref().map(|_| "accepted"),
        successful: true,
        error_message: None,
    }
}

/// Longest message, in units of UTF-16 as the public service counts.
const MESSAGE_UNITS_MAX: usize = 2_048;

/// Longest tag: it is kept with each message and comes back in its report.
const TAG_CHARS_MAX: usize = 2_048;

/// Longest name of a wish; clients send UUIDs.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bounds of the public service.
const REPORT_TIMEOUT_SECS_MIN: i64 = 60;
const REPORT_TIMEOUT_SECS_MAX: i64 = 43_200;

/// Contended units are rare and short, so the second attempt nearly always passes.
const ATTEMPTS_MAX: u32 = 4;
