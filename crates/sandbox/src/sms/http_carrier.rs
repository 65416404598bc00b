//! The carrier that is called over HTTP: it answers requests, and tells of deliveries and texts by webhook.
//!
//! `POST /messages` with a bearer token and `{"from", "to", "text", "receipt", "hook"}` is answered with 202 and an id,
//! or with a status and SMPP's number for what is wrong. Webhooks are
//! `{"events": [{"type": "report" | "text", ...}]}`, signed with HMAC-SHA256 over their time and body.

use super::ledger::{Attempts, Ledger, Outcome, Received};
use super::script::{Answer as TextBack, Report, Response, TextScript};
use super::smsc::ANSWER;
use aws_lc_rs::hmac;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use trunkline_sms::status::CommandStatus;

/// Names a request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a webhook until its fate is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(u64);

/// Who may send, and where texts that come in are told of.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The bearer token, which is also the key of webhooks.
    pub key: String,
    /// Where texts are told of until a message has named a webhook.
    pub hook: Option<String>,
    /// Attempts kept for [`HttpCarrier::ledger`].
    pub kept_max: usize,
    /// A moment of the monotonic clock, and the same in seconds since 1970.
    pub anchor: (Instant, i64),
}

/// What the owner has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Answer a request.
    Answer {
        /// Which.
        request: RequestId,
        /// The status of HTTP.
        status: u16,
        /// The Retry-After header, in seconds.
        retry_after_secs: Option<u64>,
        /// The body: JSON.
        body: String,
    },
    /// Close the connection of a request without an answer.
    Disconnect(RequestId),
    /// Post a webhook, then call [`HttpCarrier::handle_posted`].
    Post {
        /// Which.
        hook: HookId,
        /// Where to.
        url: String,
        /// Headers beside Content-Type.
        headers: Vec<(&'static str, String)>,
        /// The body: JSON.
        body: String,
    },
}

/// Nobody has said where texts are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no webhook is known: name one, or send a text first")]
pub struct NoHook;

/// A carrier over HTTP with magic numbers.
///
/// After every call, drain [`poll_output`](Self::poll_output), then read [`poll_timeout`](Self::poll_timeout).
pub struct HttpCarrier {
    config: HttpConfig,
    signer: hmac::Key,
    attempts: Attempts,
    ledger: Ledger,
    ids: u64,
    due: BTreeMap<(Instant, u64), Due>,
    scheduled: u64,
    posting: BTreeMap<HookId, Hook>,
    outputs: VecDeque<Output>,
}

enum Due {
    Answer(Output),
    Post(Hook),
}

struct Hook {
    url: String,
    event: Value,
    tries: u32,
}

/// The body of `POST /messages`.
#[derive(Deserialize)]
struct Message {
    from: String,
    to: String,
    text: String,
    #[serde(default)]
    receipt: bool,
    hook: Option<String>,
}

/// Most webhooks waiting for their time or their answer; beyond, the oldest is lost.
const WAITING_MAX: usize = 10_000;

/// How often a webhook is posted, with pauses that double from a second: for about two minutes in all.
const TRIES_MAX: u32 = 8;

impl HttpCarrier {
    /// Returns a carrier that has heard of nobody.
    pub fn new(config: HttpConfig, seed: u64) -> Self {
        Self {
            signer: hmac::Key::new(hmac::HMAC_SHA256, config.key.as_bytes()),
            attempts: Attempts::default(),
            ledger: Ledger::new(config.kept_max),
            // Another start, other ids: none is used twice.
            ids: u64::from(seed as u32) << 16,
            due: BTreeMap::new(),
            scheduled: 0,
            posting: BTreeMap::new(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Returns what was received.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns how many webhooks are not taken yet, or not due.
    pub fn undelivered(&self) -> usize {
        let due = self.due.values().filter(|due| matches!(due, Due::Post(_))).count();
        due + self.posting.len()
    }

    /// Texts in, from a handset to a number of the gateway's.
    ///
    /// # Errors
    /// [`NoHook`].
    pub fn text(&mut self, now: Instant, from: &str, to: &str, text: &str) -> Result<(), NoHook> {
        let url = self.config.hook.clone().ok_or(NoHook)?;
        let event = self.text_event(from, to, text);
        self.post(now, Hook { url, event, tries: 0 });
        Ok(())
    }

    /// Takes in `POST /messages`.
    pub fn handle_request(
        &mut self,
        now: Instant,
        request: RequestId,
        authorization: Option<&str>,
        body: &[u8],
    ) {
        if authorization != Some(&format!("Bearer {}", self.config.key)) {
            return self.answer(request, 401, None, &json!({"error": "unauthorized"}));
        }
        let Ok(message) = serde_json::from_slice::<Message>(body) else {
            return self.answer(request, 400, None, &json!({"error": "malformed"}));
        };
        if let Some(hook) = &message.hook {
            self.config.hook = Some(hook.clone());
        }
        let script = TextScript::of(&message.to);
        match self.response(now, &message.to, script.response) {
            Response::Accept { after } => {
                self.ids += 1;
                let id = format!("http-{}", self.ids);
                self.note(&message, Outcome::Accepted, 202, Some(id.clone()));
                self.follow(now, &script, &message, &id);
                let body = json!({ "id": id }).to_string();
                let answer = Output::Answer { request, status: 202, retry_after_secs: None, body };
                if after.is_zero() {
                    self.outputs.push_back(answer);
                } else {
                    self.schedule(now + after, Due::Answer(answer));
                }
            }
            Response::Refuse { status, .. } => {
                let (http, retry_after_secs) = http_status(status);
                self.note(&message, Outcome::Refused, http, None);
                let body = json!({ "error": format!("0x{:02X}", status.0) });
                self.answer(request, http, retry_after_secs, &body);
            }
            Response::Silence => self.note(&message, Outcome::Unanswered, 0, None),
            Response::Disconnect => {
                self.note(&message, Outcome::Disconnected, 0, None);
                self.outputs.push_back(Output::Disconnect(request));
            }
        }
    }

    /// Takes in whether a webhook was taken.
    pub fn handle_posted(&mut self, now: Instant, hook: HookId, taken: bool) {
        if let Some(hook) = self.posting.remove(&hook)
            && !taken
            && hook.tries < TRIES_MAX
        {
            let pause = Duration::from_secs(1) * 2u32.saturating_pow(hook.tries.saturating_sub(1));
            self.schedule(now + pause, Due::Post(hook));
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Due::Answer(answer) => self.outputs.push_back(answer),
                Due::Post(hook) => self.post(now, hook),
            }
        }
    }

    /// Returns what to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    fn answer(&mut self, request: RequestId, status: u16, retry_after_secs: Option<u64>, body: &Value) {
        self.outputs.push_back(Output::Answer { request, status, retry_after_secs, body: body.to_string() });
    }

    fn response(&mut self, now: Instant, to: &str, response: Response) -> Response {
        let taken = Response::Accept { after: Duration::ZERO };
        match response {
            Response::Refuse { until: Some(until), .. } if !self.attempts.refuses(now, to, until) => taken,
            Response::Disconnect if !self.attempts.refuses(now, to, Duration::ZERO) => taken,
            response => response,
        }
    }

    fn follow(&mut self, now: Instant, script: &TextScript, message: &Message, id: &str) {
        let Some(url) = message.hook.clone().or_else(|| self.config.hook.clone()) else { return };
        for Report { state, error, after } in &script.reports {
            if message.receipt {
                let event = json!({
                    "type": "report", "id": id, "state": state.word(), "error": format!("{error:03}"),
                    "from": message.from, "to": message.to,
                });
                self.schedule(now + *after, Due::Post(Hook { url: url.clone(), event, tries: 0 }));
            }
        }
        let text = match script.answer {
            Some(TextBack::Word(word)) => word,
            Some(TextBack::Echo) => message.text.as_str(),
            None => return,
        };
        let event = self.text_event(&message.to, &message.from, text);
        self.schedule(now + ANSWER, Due::Post(Hook { url, event, tries: 0 }));
    }

    fn text_event(&mut self, from: &str, to: &str, text: &str) -> Value {
        self.ids += 1;
        json!({"type": "text", "id": format!("http-{}", self.ids), "from": from, "to": to, "text": text})
    }

    fn post(&mut self, now: Instant, mut hook: Hook) {
        let (anchor, unix) = self.config.anchor;
        let unix = unix + now.saturating_duration_since(anchor).as_secs() as i64;
        let body = json!({ "events": [hook.event] }).to_string();
        let tag = hmac::sign(&self.signer, format!("{unix}.{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        let headers =
            vec![("X-Sandbox-Timestamp", unix.to_string()), ("X-Sandbox-Signature", format!("sha256={hex}"))];
        hook.tries += 1;
        self.scheduled += 1;
        let id = HookId(self.scheduled);
        self.outputs.push_back(Output::Post { hook: id, url: hook.url.clone(), headers, body });
        if self.posting.len() >= WAITING_MAX {
            self.posting.pop_first();
        }
        self.posting.insert(id, hook);
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        self.scheduled += 1;
        if self.due.len() >= WAITING_MAX {
            self.due.pop_first();
        }
        self.due.insert((at, self.scheduled), due);
    }

    fn note(&mut self, message: &Message, outcome: Outcome, status: u16, id: Option<String>) {
        self.ledger.push(Received {
            serial: 0,
            id,
            over: "http",
            from: message.from.clone(),
            to: message.to.clone(),
            text: Some(message.text.clone()),
            part: None,
            data_coding: None,
            receipt_wanted: message.receipt,
            outcome,
            status: status.into(),
        });
    }
}

/// Returns the status of HTTP for a refusal, and Retry-After in seconds.
fn http_status(status: CommandStatus) -> (u16, Option<u64>) {
    match status {
        CommandStatus::THROTTLED => (429, Some(1)),
        CommandStatus::MESSAGE_QUEUE_FULL
        | CommandStatus::SYSTEM_ERROR
        | CommandStatus::TEMPORARY_APPLICATION_ERROR => (503, None),
        _ => (400, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    const URL: &str = "https://gateway.example/carriers/sandbox/events";

    fn carrier() -> (Instant, HttpCarrier) {
        let now = first_instant();
        let config = HttpConfig { key: "k".into(), hook: None, kept_max: 10, anchor: (now, 1_795_735_728) };
        (now, HttpCarrier::new(config, 7))
    }

    fn send(carrier: &mut HttpCarrier, now: Instant, to: &str) -> Option<Output> {
        let body = json!({"from": "+12065550100", "to": to, "text": "Hi", "receipt": true, "hook": URL});
        carrier.handle_request(now, RequestId(1), Some("Bearer k"), body.to_string().as_bytes());
        carrier.poll_output()
    }

    fn status(output: Option<Output>) -> Option<(u16, Value)> {
        match output? {
            Output::Answer { status, body, .. } => Some((status, serde_json::from_str(&body).unwrap())),
            other => panic!("{other:?}"),
        }
    }

    fn posted(output: Option<Output>) -> (HookId, Value) {
        let Some(Output::Post { hook, body, .. }) = output else { panic!("{output:?}") };
        (hook, serde_json::from_str::<Value>(&body).unwrap()["events"][0].take())
    }

    #[test]
    fn a_text_is_taken_and_reported_until_the_report_is_taken() {
        let (mut now, mut carrier) = carrier();
        let (accepted, body) = status(send(&mut carrier, now, "+14255550100")).unwrap();
        assert_eq!(accepted, 202);
        for _ in 0..2 {
            now = carrier.poll_timeout().unwrap();
            carrier.handle_timeout(now);
            let (hook, event) = posted(carrier.poll_output());
            assert_eq!((&event["id"], &event["state"]), (&body["id"], &json!("DELIVRD")));
            carrier.handle_posted(now, hook, false);
        }
        now = carrier.poll_timeout().unwrap();
        carrier.handle_timeout(now);
        let (hook, _) = posted(carrier.poll_output());
        carrier.handle_posted(now, hook, true);
        assert_eq!((carrier.poll_timeout(), carrier.undelivered()), (None, 0));
    }

    #[test]
    fn refusals_have_their_status_and_smpps_number() {
        for (to, http, error) in [
            ("+14255550104", 429, "0x58"),
            ("+14255550105", 503, "0x14"),
            ("+14255550141", 400, "0x0B"),
            ("+14255550146", 400, "0x400"),
        ] {
            let (now, mut carrier) = carrier();
            assert_eq!(status(send(&mut carrier, now, to)), Some((http, json!({"error": error}))), "{to}");
        }
    }

    #[test]
    fn silence_disconnection_and_a_second_chance() {
        let (now, mut carrier) = carrier();
        assert_eq!(send(&mut carrier, now, "+14255550102"), None);
        assert_eq!(send(&mut carrier, now, "+14255550103"), Some(Output::Disconnect(RequestId(1))));
        assert_eq!(status(send(&mut carrier, now, "+14255550103")).unwrap().0, 202);
        let outcomes: Vec<_> = carrier.ledger().since(0).map(|received| received.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unanswered, Outcome::Disconnected, Outcome::Accepted]);
    }

    #[test]
    fn texts_come_in_where_the_last_message_said() {
        let (now, mut carrier) = carrier();
        assert_eq!(carrier.text(now, "+12065550111", "+14255550100", "STOP"), Err(NoHook));
        send(&mut carrier, now, "+14255550134");
        carrier.text(now, "+12065550111", "+14255550100", "STOP").unwrap();
        let (_, event) = posted(carrier.poll_output());
        assert_eq!((&event["type"], &event["text"]), (&json!("text"), &json!("STOP")));
        carrier.handle_timeout(now + Duration::from_secs(1));
        assert_eq!(posted(carrier.poll_output()).1["type"], "report");
        let (_, echo) = posted(carrier.poll_output());
        assert_eq!((&echo["from"], &echo["text"]), (&json!("+14255550134"), &json!("Hi")));
    }

    #[test]
    fn strangers_and_nonsense_are_refused() {
        let (now, mut carrier) = carrier();
        carrier.handle_request(now, RequestId(1), Some("Bearer x"), b"{}");
        assert_eq!(status(carrier.poll_output()).unwrap().0, 401);
        carrier.handle_request(now, RequestId(1), Some("Bearer k"), b"{");
        assert_eq!(status(carrier.poll_output()).unwrap().0, 400);
    }
}
