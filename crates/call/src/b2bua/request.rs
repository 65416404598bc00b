//! Requests that are not calls: OPTIONS of peers and our own, INFO.

use super::{B2bua, Purpose, destination, domains};
use crate::trunk::Behaviour;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_media::DigitTiming;
use trunkline_model::{Gateway, Trunk};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::method::Method;
use trunkline_sip::transport::Flow;
use trunkline_sip::user_agent::{Failure, Headers, Reply, RequestId, RequestParams, Scope, SessionId};

/// Reads a key that was pressed: `Signal=5` and `Duration=160` on lines of their own, or the key alone.
fn pressed(media_type: &str, body: &[u8]) -> Option<(char, DigitTiming)> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let mut timing = DigitTiming::default();
    let mut key = text;
    if media_type == DIGITS[0] {
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut found = lines.filter(|(said, _)| said.trim().eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.trim())
        };
        key = value("Signal")?;
        if let Some(ms) = value("Duration") {
            let ms: u64 = ms.parse().ok()?;
            timing.duration = Duration::from_millis(ms.clamp(PRESS_MS_MIN, PRESS_MS_MAX));
        }
    }
    let mut chars = key.chars();
    let digit = chars.next()?.to_ascii_uppercase();
    let is_key = matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D');
    (is_key && chars.next().is_none()).then_some((digit, timing))
}

/// Shortest press that exchanges must hear (ITU-T Q.24).
const PRESS_MS_MIN: u64 = 40;

/// Longest press: more is a key that got stuck.
const PRESS_MS_MAX: u64 = 5_000;

/// Bodies of INFO that carry digits; others mean something between a peer and its own peer only.
const DIGITS: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

impl B2bua {
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        flow: Flow,
        session: Option<SessionId>,
    ) {
        let reply = match (message.method(), session) {
            (Some(Method::Options), _) => Some(self.options(session)),
            (Some(Method::Info), _) => self.relay_info(now, request, message, session).err(),
            (Some(Method::Refer), Some(session)) => self.refer(now, request, message, session).err(),
            (Some(Method::Notify), Some(session)) => self.pass_notify(now, request, message, session).err(),
            (Some(Method::Register | Method::Message), None) if self.is_of_users(flow) => {
                self.handle_user_request(now, request, message, flow);
                None
            }
            _ => Some(Reply::new(405)),
        };
        if let Some(reply) = reply {
            let _ = self.core.ua.respond(now, request, reply);
        }
    }

    fn options(&self, session: Option<SessionId>) -> Reply {
        if self.core.draining && session.is_none() {
            // Peers that probe turn to another server before their next call.
            return Reply::new(503).with_headers(Headers::new().with(Name::RetryAfter, "30"));
        }
        Reply::new(200).with_headers(Headers::new().with(Name::Accept, "application/sdp"))
    }

    /// Passes digits on to the other side; its answer comes back.
    fn relay_info(
        &mut self,
        now: Instant,
        request: RequestId,
        message: &Message,
        session: Option<SessionId>,
    ) -> Result<(), Reply> {
        if message.header(Name::InfoPackage).is_some() {
            // RFC 6086 §4.2.2: we have announced no package.
            return Err(Reply::new(469).with_headers(Headers::new().with(Name::RecvInfo, "")));
        }
        let media_type = message.content_type().unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !DIGITS.contains(&media_type.as_str()) {
            let accept = Headers::new().with(Name::Accept, DIGITS.join(", "));
            return Err(Reply::new(415).with_headers(accept));
        }
        let owner = session.and_then(|session| self.core.sessions.get(&session)).copied();
        let owner = owner.ok_or_else(|| Reply::new(481))?;
        let call = self.calls.get(&owner.call).ok_or_else(|| Reply::new(481))?;
        let other = call.session(owner.side.other()).ok_or_else(|| Reply::new(480))?;
        if call.takes_digits_of(owner.side) {
            let (digit, timing) = pressed(&media_type, message.body()).ok_or_else(|| Reply::new(400))?;
            self.with_call(owner.call, |call, core| call.send_digit(core, owner.side.other(), digit, timing));
            let _ = self.core.ua.respond(now, request, Reply::new(200));
            return Ok(());
        }
        if self.core.ua.takes_info(other) == Some(false) {
            // What the other side would answer, and does not have to be asked for.
            return Err(Reply::new(405));
        }
        let params = RequestParams {
            method: Method::Info,
            scope: Scope::Session(other),
            headers: Headers::new(),
            body: Some((media_type, message.body().clone())),
        };
        let relayed = self.core.ua.request(now, params).map_err(|_| Reply::new(500))?;
        self.core.requests.insert(relayed, Purpose::Relay(request));
        Ok(())
    }

    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        request: RequestId,
        result: Result<Message, Failure>,
    ) {
        match self.core.requests.remove(&request) {
            None => {}
            Some(Purpose::Probe(trunk, gateway)) => {
                let status = result.as_ref().ok().and_then(Message::status);
                let seen = match status {
                    None | Some(503) => Behaviour::Silent,
                    Some(_) => Behaviour::Alive,
                };
                let change = self.core.trunks.probe_done(&trunk, &gateway, seen);
                self.core.health(change);
            }
            Some(Purpose::Text(original)) => self.text_delivered(now, original, result),
            Some(Purpose::Relay(original)) => {
                let status = match &result {
                    Ok(response) => response.status().unwrap_or(500),
                    Err(failure) => failure.status(),
                };
                // A peer that does not do INFO says 405 or 501; so do we, about this call.
                let _ = self.core.ua.respond(now, original, Reply::new(status));
            }
        }
    }

    /// Sends every OPTIONS that is due.
    pub(super) fn probe(&mut self, now: Instant) {
        while let Some((trunk, gateway, change)) = self.core.trunks.due_probe(now) {
            self.core.health(change);
            self.send_probe(now, &trunk, gateway);
        }
    }

    fn send_probe(&mut self, now: Instant, trunk: &Arc<Trunk>, gateway: Gateway) {
        let (domain, authority) = domains(trunk, &gateway);
        let params = RequestParams {
            method: Method::Options,
            scope: Scope::Outside {
                destination: destination(&gateway),
                uri: format!("sip:{authority}"),
                from: format!("<sip:trunkline@{domain}>"),
                to: format!("<sip:{domain}>"),
                profile: self.core.profile(trunk, gateway.transport),
            },
            headers: Headers::new().with(Name::Accept, "application/sdp"),
            body: None,
        };
        match self.core.ua.request(now, params) {
            Ok(request) => {
                self.core.requests.insert(request, Purpose::Probe(trunk.id.clone(), gateway));
            }
            Err(error) => {
                tracing::warn!(trunk = %trunk.id, %error, "OPTIONS could not be sent");
                let change = self.core.trunks.probe_done(&trunk.id, &gateway, Behaviour::Silent);
                self.core.health(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_forms_and_nothing_else_is_one() {
        let relay = |body: &str| pressed("application/dtmf-relay", body.as_bytes());
        let long = DigitTiming { duration: Duration::from_millis(160), ..DigitTiming::default() };
        assert_eq!(relay("Signal=5\r\nDuration=160"), Some(('5', long)));
        assert_eq!(relay("signal = #\n"), Some(('#', DigitTiming::default())));
        let brief = relay("Signal=a\r\nDuration=1").unwrap();
        assert_eq!((brief.0, brief.1.duration), ('A', Duration::from_millis(40)));
        assert_eq!(relay("Signal=*\r\nDuration=99999999").unwrap().1.duration, Duration::from_secs(5));
        for bad in ["", "Signal=", "Signal=55", "Signal=E", "Duration=100", "5", "Signal=5\r\nDuration=x"] {
            assert_eq!(relay(bad), None, "{bad}");
        }
        assert_eq!(pressed("application/dtmf", b" 7\r\n"), Some(('7', DigitTiming::default())));
        assert_eq!(pressed("application/dtmf", b"77"), None);
        assert_eq!(pressed("application/dtmf", b"\xff"), None);
    }
}
