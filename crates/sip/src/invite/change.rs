//! Changing a session: re-INVITE and UPDATE, both roles, and glare (RFC 3261 §14, RFC 3311).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::offer::{Pending, sdp};
use super::{Phase, Session, with_headers, with_sdp};
use crate::error::Error;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::status::reason_phrase;
use crate::timer::Timer;
use crate::transaction::to_tag;
use crate::transport::Flow;
use crate::user_agent::core::Core;
use crate::user_agent::send::Attempt;
use crate::user_agent::table::Id;
use crate::user_agent::{
    Body, ChangeKind, EndReason, Event, Failure, Headers, Outcome, Owner, Purpose, Reply, is_free,
};

/// A re-INVITE or UPDATE of ours.
#[derive(Debug)]
pub(crate) struct LocalChange {
    kind: ChangeKind,
    offer: Option<Bytes>,
    headers: Headers,
    /// Sent by the session timer and not by the owner, who is not told of it.
    is_refresh: bool,
    /// How often it was sent.
    tries: u32,
    attempt: Option<Attempt>,
    /// Whether the peer changed the session since the offer was made: it may then not be sent any more.
    is_stale: bool,
    /// The answer that a reliable provisional response brought.
    answer: Option<Body>,
    /// Whether it had a provisional response, before which CANCEL may not be sent (RFC 3261 §9.1).
    proceeding: bool,
    /// Whether the owner has taken it back.
    is_cancelled: bool,
}

/// A re-INVITE, UPDATE or PRACK of the peer that waits for the owner's answer.
#[derive(Debug)]
pub(crate) struct RemoteChange {
    server: Id,
    kind: ChangeKind,
    has_offer: bool,
}

/// Most times that a change is sent when it meets 491 or 422: with random waits, glare that lasts longer is no
/// coincidence.
const TRIES_MAX: u32 = 6;

/// How long a refresh that could not be sent, or was refused, waits before it is tried again.
const REFRESH_RETRY: Duration = Duration::from_secs(5);

/// How long the owner may take to answer an UPDATE or PRACK: the peer gives up after 32 s (timer F).
const UPDATE_ANSWER_MAX: Duration = Duration::from_secs(24);

/// How long the owner may take to answer a re-INVITE: longer than a re-INVITE of ours may last that it sends to
/// another peer for it (three times 64·T1), shorter than proxies wait (timer C).
const REINVITE_ANSWER_MAX: Duration = Duration::from_secs(120);

impl LocalChange {
    pub(super) fn sent(&mut self, client: Id) {
        self.attempt = Some(Attempt::Sent(client));
        self.proceeding = false;
    }
}

impl RemoteChange {
    pub(super) fn new(server: Id, kind: ChangeKind, has_offer: bool) -> Self {
        Self { server, kind, has_offer }
    }
}

/// Our changes.
impl Session {
    /// Takes the owner's wish to send a re-INVITE or UPDATE. It is sent as soon as nothing is in its way.
    pub(crate) fn change(
        &mut self,
        cx: &mut Core,
        now: Instant,
        kind: ChangeKind,
        offer: Option<Bytes>,
        headers: Headers,
    ) -> Result<(), Error> {
        self.live()?;
        let is_early = matches!(self.phase, Phase::Calling | Phase::Offered);
        if self.phase != Phase::Established && !(is_early && kind == ChangeKind::Update) {
            return Err(Error::WrongState("there is no session to change"));
        }
        if self.local_change.as_ref().is_some_and(|change| !change.is_refresh || change.attempt.is_some()) {
            return Err(Error::Pending);
        }
        if is_early {
            let usage = self.usages.last().ok_or(Error::WrongState("there is no dialog yet"))?;
            if offer.is_some() && !usage.negotiation.is_idle() {
                return Err(Error::Pending);
            }
        }
        // The owner's change takes the place of a refresh that waits, and refreshes as well.
        self.local_change = Some(LocalChange {
            kind,
            offer,
            headers,
            is_refresh: false,
            tries: 0,
            attempt: None,
            is_stale: false,
            answer: None,
            proceeding: false,
            is_cancelled: false,
        });
        self.timers.stop(Timer::GlareRetry);
        self.start_change(cx, now);
        Ok(())
    }

    /// Takes back our re-INVITE: by CANCEL once that may be sent, or at once if it was not sent at all.
    pub(crate) fn cancel_change(&mut self, cx: &mut Core, now: Instant) -> Result<(), Error> {
        self.live()?;
        let change = self
            .local_change
            .as_mut()
            .filter(|change| change.kind == ChangeKind::ReInvite && !change.is_refresh)
            .ok_or(Error::WrongState("no re-INVITE is under way"))?;
        change.is_cancelled = true;
        match change.attempt {
            Some(Attempt::Sent(_)) if change.proceeding => self.send_change_cancel(cx, now),
            Some(Attempt::Sent(_)) => {}
            Some(Attempt::Resolving(query)) => {
                cx.forget_query(query);
                self.fail_change(cx, now, Failure::Superseded);
            }
            None => {
                self.timers.stop(Timer::GlareRetry);
                self.fail_change(cx, now, Failure::Superseded);
            }
        }
        Ok(())
    }

    /// Sends the CANCEL of our re-INVITE. The final response of the re-INVITE then says what came of it.
    fn send_change_cancel(&mut self, cx: &mut Core, now: Instant) {
        let Some(Attempt::Sent(client)) = self.local_change.as_ref().and_then(|change| change.attempt) else {
            return;
        };
        if self.timers.is_running(Timer::CancelGiveUp) {
            return;
        }
        self.timers.stop(Timer::ChangeUnanswered);
        self.timers.set(Timer::CancelGiveUp, now + cx.values().patience());
        cx.send_cancel(now, Owner::Session(self.id, Purpose::Cancel), client, &Headers::new());
    }

    /// Our re-INVITE has a provisional response and no final one: it keeps the peer's own changes and the refreshes
    /// away, so it is taken back.
    pub(super) fn handle_change_unanswered(&mut self, cx: &mut Core, now: Instant) {
        if let Some(change) = &mut self.local_change {
            change.is_cancelled = true;
            self.send_change_cancel(cx, now);
        }
    }

    /// No final response came to our cancelled re-INVITE (RFC 3261 §9.1). The peer is there, for it has answered:
    /// the session goes on as it was.
    pub(super) fn give_up_change(&mut self, cx: &mut Core, now: Instant) {
        if let Some(Attempt::Sent(client)) = self.local_change.as_ref().and_then(|change| change.attempt) {
            cx.end_client(client);
        }
        self.fail_change(cx, now, Failure::Timeout);
    }

    /// The session is over: what is under way is not waited for longer than 64·T1.
    pub(super) fn abandon_change(&mut self, cx: &mut Core, now: Instant) {
        match self.local_change.take().and_then(|change| change.attempt) {
            Some(Attempt::Sent(client)) => cx.abandon_client(now, client),
            Some(Attempt::Resolving(query)) => {
                cx.forget_query(query);
            }
            None => {}
        }
    }

    /// Refreshes the session (RFC 4028 §10): by UPDATE if the peer takes it, else by INVITE with the same description.
    pub(super) fn refresh(&mut self, cx: &mut Core, now: Instant) {
        if self.local_change.is_some() || self.remote_change.is_some() {
            // What is under way refreshes, if it succeeds.
            self.timers.set(Timer::Refresh, now + REFRESH_RETRY);
            return;
        }
        let by_update = self.usages.first().is_some_and(|usage| usage.update_allowed);
        let (kind, offer) = if by_update {
            (ChangeKind::Update, None)
        } else {
            (ChangeKind::ReInvite, self.local_sdp.clone())
        };
        self.local_change = Some(LocalChange {
            kind,
            offer,
            headers: Headers::new(),
            is_refresh: true,
            tries: 0,
            attempt: None,
            is_stale: false,
            answer: None,
            proceeding: false,
            is_cancelled: false,
        });
        self.start_change(cx, now);
    }

    /// Sends our change if there is one that waits and nothing is in its way.
    pub(super) fn start_change(&mut self, cx: &mut Core, now: Instant) {
        let Some(change) = &self.local_change else { return };
        if change.attempt.is_some() || self.timers.is_running(Timer::GlareRetry) || !self.may_start(change) {
            return;
        }
        if change.is_stale {
            return self.drop_stale_change(cx);
        }
        if let Err(error) = self.send_change(cx, now) {
            self.handle_unsent_change(cx, now, error);
        }
    }

    fn may_start(&self, change: &LocalChange) -> bool {
        let in_phase = match self.phase {
            Phase::Established => true,
            Phase::Calling | Phase::Offered => change.kind == ChangeKind::Update,
            Phase::Cancelling | Phase::Accepting | Phase::Parting | Phase::Leaving | Phase::Over => false,
        };
        let idle = self.usages.last().is_some_and(|usage| usage.negotiation.pending == Pending::Nothing);
        let describes = change.kind == ChangeKind::ReInvite || change.offer.is_some();
        let blocked = self.remote_change.is_some() || self.unanswered_ok.is_some() || self.ok.is_some();
        in_phase && (!describes || idle && !blocked)
    }

    fn drop_stale_change(&mut self, cx: &mut Core) {
        let Some(change) = self.local_change.take() else { return };
        if !change.is_refresh {
            let failure = Failure::Superseded;
            self.tell(cx, Event::ChangeFailed { session: self.session_id(), failure });
        }
    }

    fn send_change(&mut self, cx: &mut Core, now: Instant) -> Result<(), Error> {
        let Some((change, usage)) = self.local_change.as_ref().zip(self.usages.last_mut()) else {
            return Ok(());
        };
        let method = match change.kind {
            ChangeKind::ReInvite => Method::Invite,
            ChangeKind::Update | ChangeKind::Prack => Method::Update,
        };
        if change.kind == ChangeKind::ReInvite {
            // RSeq counts anew in each INVITE.
            usage.rseq = None;
        }
        let has_offer = change.offer.is_some();
        let builder = usage.dialog.request(method);
        let destination = usage.dialog.next_hop();
        let builder = change.headers.write(builder, is_free);
        let offer = change.offer.clone();
        let builder = with_headers(self.capabilities(cx, builder), &self.session_timer.request_headers());
        let request = with_sdp(cx.client_headers(builder), offer.clone()).finish()?;
        let outgoing = self.outgoing(request);
        let attempt = cx.send(now, Owner::Session(self.id, Purpose::Change), outgoing, destination)?;
        if has_offer && let Some(usage) = self.usages.last_mut() {
            usage.negotiation.pending = Pending::Ours;
        }
        if let Some(change) = &mut self.local_change {
            change.attempt = Some(attempt);
            change.proceeding = false;
            change.tries += 1;
        }
        Ok(())
    }

    fn handle_unsent_change(&mut self, cx: &mut Core, now: Instant, error: Error) {
        let Some(change) = self.local_change.take() else { return };
        if change.is_refresh {
            self.timers.set(Timer::Refresh, now + REFRESH_RETRY);
            return;
        }
        tracing::debug!(%error, "change could not be sent");
        let failure = Failure::Transport;
        self.tell(cx, Event::ChangeFailed { session: self.session_id(), failure });
    }

    /// Something came of our re-INVITE or UPDATE.
    pub(crate) fn handle_change_outcome(
        &mut self,
        cx: &mut Core,
        now: Instant,
        client: Id,
        outcome: Outcome,
    ) {
        let attempt = self.local_change.as_ref().and_then(|change| change.attempt);
        let is_current =
            attempt == Some(Attempt::Sent(client)) || attempt == Some(Attempt::Resolving(client));
        let is_up =
            matches!(self.phase, Phase::Established | Phase::Calling | Phase::Offered | Phase::Accepting);
        if !is_current || !is_up {
            self.handle_late_outcome(cx, now, client, outcome);
            return;
        }
        if !outcome.is_provisional() {
            self.timers.stop(Timer::ChangeUnanswered);
            self.timers.stop(Timer::CancelGiveUp);
        }
        match outcome {
            Outcome::Response(response, flow) => self.handle_change_response(cx, now, client, response, flow),
            Outcome::Timeout => self.handle_change_timeout(cx, now),
            Outcome::Transport => {
                let again = self.usages.first_mut().is_some_and(|usage| usage.dialog.give_up_connection());
                if again {
                    self.try_change_again(cx, now, None);
                } else {
                    self.fail_change(cx, now, Failure::Transport);
                }
            }
            Outcome::Resolve(error) => self.fail_change(cx, now, Failure::Resolve(error)),
        }
    }

    fn handle_change_response(
        &mut self,
        cx: &mut Core,
        now: Instant,
        client: Id,
        response: Message,
        flow: Flow,
    ) {
        match response.status().unwrap_or_default() {
            100..=199 => self.handle_change_progress(cx, now, &response),
            200..=299 => self.handle_change_ok(cx, now, client, response, flow),
            491 if !self.local_change.as_ref().is_some_and(|change| change.is_cancelled) => {
                let wait = self.glare_wait(cx);
                self.handle_change_refused(cx, now, response, Some(wait));
            }
            422 if self.session_timer.raise(&response) => {
                self.handle_change_refused(cx, now, response, Some(Duration::ZERO));
            }
            408 | 481 => {
                // RFC 3261 §12.2.1.2: the dialog is gone.
                self.fail_change(cx, now, Failure::Response(response));
                self.end(cx, now, EndReason::DialogGone, "SIP;cause=481;text=\"Dialog gone\"");
            }
            _ => self.handle_change_refused(cx, now, response, None),
        }
    }

    /// The session went on without the change; a 2xx to INVITE must be acknowledged all the same.
    fn handle_late_outcome(&mut self, cx: &mut Core, now: Instant, client: Id, outcome: Outcome) {
        let Outcome::Response(response, flow) = outcome else { return };
        let is_invite = response.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let is_ok = response.status().is_some_and(|status| (200..300).contains(&status));
        let is_awaited = self.unanswered_ok.is_some_and(|(awaited, _)| awaited == client);
        if is_invite && is_ok && !is_awaited {
            super::uac::release_stray_ok(cx, now, client, &response, flow);
        }
    }

    /// A provisional response to a re-INVITE, which may be reliable and bring the answer.
    fn handle_change_progress(&mut self, cx: &mut Core, now: Instant, response: &Message) {
        if let Some(change) = &mut self.local_change
            && change.kind == ChangeKind::ReInvite
            && !std::mem::replace(&mut change.proceeding, true)
        {
            if change.is_cancelled {
                self.send_change_cancel(cx, now);
            } else {
                self.timers.set(Timer::ChangeUnanswered, now + cx.values().patience());
            }
        }
        if response.status() == Some(100) {
            return;
        }
        let Some(Some(rack)) = self.take_rseq(0, response) else { return };
        if let Some(usage) = self.usages.first_mut()
            && usage.negotiation.pending == Pending::Ours
            && let Some(sdp) = sdp(response)
        {
            usage.negotiation.settle();
            if let Some(change) = &mut self.local_change {
                change.answer = Some(Body::Answer(sdp));
            }
        }
        self.send_prack(cx, now, 0, rack, None);
    }

    fn handle_change_ok(&mut self, cx: &mut Core, now: Instant, client: Id, response: Message, flow: Flow) {
        let Some(change) = self.local_change.take() else { return };
        let Some(usage) = self.usages.iter_mut().find(|usage| usage.dialog.remote_tag() == to_tag(&response))
        else {
            return;
        };
        usage.dialog.refresh_target(&response, flow);
        usage.note_capabilities(&response);
        let number = response.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let is_invite = change.kind == ChangeKind::ReInvite;
        let asked = is_invite && change.offer.is_none();
        let body = match (sdp(&response), asked) {
            (Some(sdp), true) => {
                usage.negotiation.pending = Pending::Theirs;
                Some(Body::Offer(sdp))
            }
            (Some(sdp), false) if usage.negotiation.pending == Pending::Ours => Some(Body::Answer(sdp)),
            (Some(_) | None, _) => change.answer,
        };
        let owes_body = asked || change.offer.is_some();
        if matches!(body, Some(Body::Answer(_))) {
            usage.negotiation.settle();
            self.local_sdp = change.offer.or(self.local_sdp.take());
        }
        if is_invite {
            match body {
                Some(Body::Offer(_)) => self.unanswered_ok = Some((client, number)),
                Some(Body::Answer(_)) | None => self.send_ok_ack(cx, now, client, number, None),
            }
        }
        if owes_body && body.is_none() {
            return self.misbehaved(cx, now, "2xx has no session description");
        }
        self.session_timer.agree(&response);
        self.session_timer.restart(now, &mut self.timers);
        let is_news = match &body {
            Some(Body::Offer(sdp) | Body::Answer(sdp)) => {
                self.remote_sdp.replace(sdp.clone()).as_ref() != Some(sdp)
            }
            None => false,
        };
        if !change.is_refresh || is_news {
            self.tell(cx, Event::Changed { session: self.session_id(), response, body });
        }
    }

    /// The change was refused: it is tried again after a while, or it failed.
    fn handle_change_refused(
        &mut self,
        cx: &mut Core,
        now: Instant,
        response: Message,
        wait: Option<Duration>,
    ) {
        let can_retry = self.local_change.as_ref().is_some_and(|change| change.tries < TRIES_MAX);
        if let Some(wait) = wait.filter(|_| can_retry) {
            self.try_change_again(cx, now, Some(wait));
            return;
        }
        // RFC 3311 §5.2, RFC 3261 §8.1.3.5: a peer that does not take UPDATE is refreshed by INVITE from now on.
        if matches!(response.status(), Some(405 | 501))
            && self.local_change.as_ref().is_some_and(|change| change.kind == ChangeKind::Update)
            && let Some(usage) = self.usages.first_mut()
        {
            usage.update_allowed = false;
        }
        self.fail_change(cx, now, Failure::Response(response));
    }

    fn handle_change_timeout(&mut self, cx: &mut Core, now: Instant) {
        let is_refresh = self.local_change.as_ref().is_some_and(|change| change.is_refresh);
        if is_refresh {
            // Packet loss may outlast one transaction; the session has until it expires.
            self.withdraw_offer();
            self.local_change = None;
            self.refresh(cx, now);
            return;
        }
        self.fail_change(cx, now, Failure::Timeout);
        self.end(cx, now, EndReason::DialogGone, "SIP;cause=408;text=\"No answer in dialog\"");
    }

    fn try_change_again(&mut self, cx: &mut Core, now: Instant, wait: Option<Duration>) {
        self.withdraw_offer();
        if let Some(change) = &mut self.local_change {
            change.attempt = None;
        }
        match wait {
            Some(wait) if !wait.is_zero() => self.timers.set(Timer::GlareRetry, now + wait),
            Some(_) | None => self.start_change(cx, now),
        }
    }

    fn fail_change(&mut self, cx: &mut Core, now: Instant, failure: Failure) {
        let Some(change) = self.local_change.take() else { return };
        self.withdraw_offer();
        if change.is_refresh {
            self.timers.set(Timer::Refresh, now + REFRESH_RETRY);
        } else {
            self.tell(cx, Event::ChangeFailed { session: self.session_id(), failure });
        }
    }

    fn withdraw_offer(&mut self) {
        if let Some(usage) = self.usages.last_mut()
            && usage.negotiation.pending == Pending::Ours
        {
            usage.negotiation.withdraw();
        }
    }

    /// Returns how long to wait after 491: the owner of the Call-ID longer, so that they do not meet again
    /// (RFC 3261 §14.1).
    fn glare_wait(&self, cx: &mut Core) -> Duration {
        let tens = if self.forks > 0 { 210 + cx.random_below(191) } else { cx.random_below(201) };
        Duration::from_millis(tens * 10)
    }
}

/// The peer's changes.
impl Session {
    /// A re-INVITE or UPDATE came.
    pub(crate) fn handle_change_request(
        &mut self,
        cx: &mut Core,
        now: Instant,
        server: Id,
        request: &Message,
        flow: Flow,
        kind: ChangeKind,
    ) {
        let offer = sdp(request);
        let describes = kind == ChangeKind::ReInvite || offer.is_some();
        if kind == ChangeKind::ReInvite {
            self.acknowledged_by_deed(cx);
        }
        if let Some(status) = self.objection(request, kind, describes) {
            let wait = cx.random_below(11).to_string();
            let headers = [(Name::RetryAfter, wait.as_str())];
            let headers = if status == 500 { headers.as_slice() } else { &[] };
            cx.answer(now, server, status, &self.tag, headers);
            return;
        }
        if let Some(min) = self.session_timer.refusal(request) {
            cx.answer(now, server, 422, &self.tag, &[(Name::MinSe, &min)]);
            return;
        }
        let Some(usage) = self.usages.iter_mut().find(|usage| usage.dialog.holds(request)) else { return };
        usage.dialog.refresh_target(request, flow);
        usage.note_capabilities(request);
        if offer.is_some() {
            usage.negotiation.pending = Pending::Theirs;
        }
        if !describes {
            self.accept_refresh(cx, now, server, request);
            return;
        }
        self.await_owner(now, RemoteChange::new(server, kind, offer.is_some()));
        if kind == ChangeKind::ReInvite
            && let Some(server) = cx.transactions.server_mut(server)
        {
            server.session = Some(self.id);
        }
        let session = self.session_id();
        self.tell(cx, Event::Change { session, request: request.clone(), kind, offer });
    }

    /// Leaves a change of the peer's to the owner, for as long as the peer can wait.
    pub(super) fn await_owner(&mut self, now: Instant, change: RemoteChange) {
        let max = match change.kind {
            ChangeKind::ReInvite => REINVITE_ANSWER_MAX,
            ChangeKind::Update | ChangeKind::Prack => UPDATE_ANSWER_MAX,
        };
        self.timers.set(Timer::ChangeOwnerAnswer, now + max);
        self.remote_change = Some(change);
    }

    /// The owner did not answer a change in time (RFC 3311 §5.2).
    pub(super) fn handle_change_unattended(&mut self, cx: &mut Core, now: Instant) {
        let Some(change) = self.remote_change.take() else { return };
        cx.answer(now, change.server, 504, &self.tag, &[]);
        self.forget_remote_change();
        self.tell(cx, Event::ChangeCancelled { session: self.session_id() });
        self.go_on_after_prack(cx, now);
        self.start_change(cx, now);
    }

    /// Accepts a refresh of session or target that says nothing of media (RFC 3311 §5.2).
    fn accept_refresh(&mut self, cx: &mut Core, now: Instant, server: Id, request: &Message) {
        let extra = self.session_timer.accept(request);
        if self.phase == Phase::Established {
            self.session_timer.restart(now, &mut self.timers);
        }
        match self.response(cx, request, 200, reason_phrase(200), &Headers::new(), &extra, None) {
            Ok(response) => cx.respond(now, server, &response),
            Err(_) => cx.answer(now, server, 500, &self.tag, &[]),
        }
    }

    /// Returns the status by which a change has to be refused now (RFC 3261 §14.2, RFC 3311 §5.2).
    fn objection(&self, request: &Message, kind: ChangeKind, describes: bool) -> Option<u16> {
        let early = match self.phase {
            Phase::Established => false,
            Phase::Calling | Phase::Offered | Phase::Accepting => true,
            Phase::Cancelling | Phase::Parting | Phase::Leaving | Phase::Over => return Some(481),
        };
        if kind == ChangeKind::ReInvite && early {
            // The first INVITE has no final response yet, be it the peer's or ours.
            return Some(if self.server.is_some() { 500 } else { 491 });
        }
        if !describes {
            return None;
        }
        if self.remote_change.is_some() {
            return Some(500);
        }
        let ours_is_out = self.local_change.as_ref().is_some_and(|change| {
            change.attempt.is_some() && (change.kind == ChangeKind::ReInvite || change.offer.is_some())
        });
        if ours_is_out {
            return Some(491);
        }
        let usage = self.usages.iter().find(|usage| usage.dialog.holds(request))?;
        match usage.negotiation.pending {
            Pending::Ours => Some(491),
            Pending::Theirs => Some(500),
            Pending::Nothing => None,
        }
    }

    /// Accepts the peer's change.
    pub(crate) fn accept_change(
        &mut self,
        cx: &mut Core,
        now: Instant,
        headers: &Headers,
        given: Option<Bytes>,
    ) -> Result<(), Error> {
        self.live()?;
        let change = self.remote_change.as_ref().ok_or(Error::WrongState("no change waits for an answer"))?;
        let (server, kind, has_offer) = (change.server, change.kind, change.has_offer);
        let needs_body = has_offer || kind == ChangeKind::ReInvite;
        if needs_body && given.is_none() {
            return Err(Error::WrongState("the change needs a session description"));
        }
        let request = cx
            .transactions
            .server(server)
            .map(|server| server.request().clone())
            .ok_or(Error::WrongState("the request is gone"))?;
        let mut session_timer = self.session_timer.clone();
        let extra = if kind == ChangeKind::Prack { Vec::new() } else { session_timer.accept(&request) };
        let sdp = given.filter(|_| needs_body);
        let response = self.response(cx, &request, 200, reason_phrase(200), headers, &extra, sdp.clone())?;
        self.session_timer = session_timer;
        if self.phase == Phase::Established {
            self.session_timer.restart(now, &mut self.timers);
        }
        self.remote_change = None;
        self.timers.stop(Timer::ChangeOwnerAnswer);
        self.note_accepted(&request, has_offer, sdp);
        if kind == ChangeKind::ReInvite {
            self.deliver_ok(cx, now, server, &request, &response, !has_offer);
        } else {
            cx.respond(now, server, &response);
        }
        self.go_on_after_prack(cx, now);
        self.start_change(cx, now);
        Ok(())
    }

    fn note_accepted(&mut self, request: &Message, has_offer: bool, sent: Option<Bytes>) {
        let Some(sent) = sent else { return };
        self.local_sdp = Some(sent);
        if let Some(usage) = self.usages.iter_mut().find(|usage| usage.dialog.holds(request)) {
            if has_offer {
                usage.negotiation.settle();
                self.remote_sdp = sdp(request);
            } else {
                usage.negotiation.pending = Pending::Ours;
            }
        }
        if let Some(change) = &mut self.local_change {
            if change.is_refresh {
                change.offer = change.offer.take().and(self.local_sdp.clone());
            } else {
                change.is_stale = change.offer.is_some();
            }
        }
    }

    /// Refuses the peer's change; the session stays as it was.
    pub(crate) fn reject_change(&mut self, cx: &mut Core, now: Instant, reply: &Reply) -> Result<(), Error> {
        self.live()?;
        if !(300..700).contains(&reply.status) {
            return Err(Error::Malformed("final status"));
        }
        let change = self.remote_change.as_ref().ok_or(Error::WrongState("no change waits for an answer"))?;
        let server = change.server;
        let request = cx
            .transactions
            .server(server)
            .map(|server| server.request().clone())
            .ok_or(Error::WrongState("the request is gone"))?;
        let response =
            self.response(cx, &request, reply.status, reply.phrase(), &reply.headers, &[], None)?;
        cx.respond(now, server, &response);
        self.forget_remote_change();
        self.go_on_after_prack(cx, now);
        self.start_change(cx, now);
        Ok(())
    }

    fn forget_remote_change(&mut self) {
        self.remote_change = None;
        self.timers.stop(Timer::ChangeOwnerAnswer);
        for usage in &mut self.usages {
            if usage.negotiation.pending == Pending::Theirs && usage.negotiation.is_answered() {
                usage.negotiation.withdraw();
            }
        }
    }

    /// Answers 487 to a change that the end of the session leaves over (RFC 3261 §15.1.2).
    pub(super) fn refuse_change(&mut self, cx: &mut Core, now: Instant) {
        self.timers.stop(Timer::ChangeOwnerAnswer);
        if let Some(change) = self.remote_change.take() {
            cx.answer(now, change.server, 487, &self.tag, &[]);
        }
    }

    /// The peer cancelled its re-INVITE.
    pub(super) fn withdraw_change(&mut self, cx: &mut Core, now: Instant, server: Id) {
        if self.remote_change.as_ref().is_some_and(|change| change.server == server) {
            self.refuse_change(cx, now);
            self.forget_remote_change();
            self.tell(cx, Event::ChangeCancelled { session: self.session_id() });
            self.start_change(cx, now);
        }
    }
}
