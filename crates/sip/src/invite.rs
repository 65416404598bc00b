//! INVITE sessions: from the first INVITE to the last BYE (RFC 3261 §13–15).
//!
//! One [`Session`] is one attempt as caller with all its forks, or one as callee. What it may do when is here and in
//! the files below; what SDP says is the owner's.
//!
//! | concern | module |
//! |---|---|
//! | our INVITE and its responses, ACK, CANCEL | [`uac`] |
//! | the peer's INVITE, our responses, 2xx until ACK | [`uas`] |
//! | reliable provisional responses and PRACK, both roles | [`reliable`] |
//! | re-INVITE and UPDATE, both roles, glare | [`change`] |
//! | session timers | [`session_timer`] |
//! | who may offer and who must answer | [`offer`] |

pub(crate) mod change;
pub(crate) mod offer;
pub(crate) mod reliable;
pub(crate) mod session_timer;
pub(crate) mod uac;
pub(crate) mod uas;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use trunkline_model::Reliability;

use crate::dialog::Dialog;
use crate::error::Error;
use crate::header::Name;
use crate::message::{Message, MessageBuilder};
use crate::method::Method;
use crate::timer::{Timer, Timers};
use crate::user_agent::core::{Core, hex};
use crate::user_agent::deadlines::Armed;
use crate::user_agent::send::{Attempt, Contact, Outgoing};
use crate::user_agent::table::Id;
use crate::user_agent::{
    EndReason, Event, Failure, Headers, Outcome, Owner, Profile, Purpose, Reply, RequestParams, SDP,
    SessionId, is_free,
};

use change::{LocalChange, RemoteChange};
use offer::{Negotiation, Pending};
use reliable::ReliableSender;
use session_timer::SessionTimer;
use uas::UnacknowledgedOk;

/// An INVITE session.
pub(crate) struct Session {
    pub(crate) id: Id,
    /// The tag by which the peer's requests find the session.
    pub(crate) local_tag: u64,
    tag: String,
    profile: Profile,
    contact: Contact,
    phase: Phase,
    /// Whether the owner was told that the session is over. What then remains to be done is done in silence.
    told: bool,
    /// The early dialogs of a caller; one dialog for a callee and once answered.
    usages: Vec<Usage>,
    forks: u32,
    /// Our INVITE without Via and Contact, until it is answered.
    invite: Option<Message>,
    /// Whether our INVITE had an offer.
    offered: bool,
    attempt: Option<Attempt>,
    /// Whether our INVITE had a provisional response, before which CANCEL may not be sent (RFC 3261 §9.1).
    proceeding: bool,
    /// What goes with the CANCEL or BYE that has to wait.
    farewell: Headers,
    /// The peer's INVITE, until it is answered.
    server: Option<Id>,
    /// A 2xx that the owner gave, held back until a PRACK comes (RFC 3262 §3).
    held_ok: Option<(Headers, Option<Bytes>)>,
    ok: Option<UnacknowledgedOk>,
    reliable: ReliableSender,
    /// The provisional response that is sent again as long as the owner takes for the final one.
    repeated: Option<Reply>,
    /// A 2xx to our INVITE or re-INVITE that held an offer: its transaction and sequence number, until the owner answers.
    unanswered_ok: Option<(Id, u32)>,
    local_change: Option<LocalChange>,
    remote_change: Option<RemoteChange>,
    session_timer: SessionTimer,
    /// The description that we sent last, which a refresh by INVITE sends again.
    local_sdp: Option<Bytes>,
    /// The description that the peer sent last.
    remote_sdp: Option<Bytes>,
    timers: Timers<13>,
    pub(crate) armed: Option<Armed>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We called; no final response yet.
    Calling,
    /// We called and hung up; the final response is still to come.
    Cancelling,
    /// We are called; no final response given yet.
    Offered,
    /// We are called and have answered, but the 2xx waits for a PRACK.
    Accepting,
    /// A 2xx was sent or received.
    Established,
    /// We hung up, and BYE waits for the ACK of our 2xx (RFC 3261 §15).
    Parting,
    /// BYE was sent.
    Leaving,
    /// Nothing is left to do.
    Over,
}

/// One dialog of a session, and what it needs to know of the peer.
pub(crate) struct Usage {
    fork: u32,
    dialog: Dialog,
    negotiation: Negotiation,
    /// Whether the peer takes UPDATE.
    update_allowed: bool,
    /// Whether the peer takes INFO; none as long as it has not sent Allow.
    info_allowed: Option<bool>,
    /// The number of the last reliable provisional response (RFC 3262 §4).
    rseq: Option<u32>,
    /// A reliable 18x with an offer, until the owner answers it: RSeq and CSeq.
    unanswered_progress: Option<(u32, u32)>,
}

impl Session {
    fn new(id: Id, local_tag: u64, profile: Profile, contact: Contact, phase: Phase) -> Self {
        Self {
            id,
            local_tag,
            tag: hex(local_tag),
            session_timer: SessionTimer::new(profile.session_timer),
            profile,
            contact,
            phase,
            told: false,
            usages: Vec::with_capacity(1),
            forks: 0,
            invite: None,
            offered: false,
            attempt: None,
            proceeding: false,
            farewell: Headers::new(),
            server: None,
            held_ok: None,
            ok: None,
            reliable: ReliableSender::default(),
            repeated: None,
            unanswered_ok: None,
            local_change: None,
            remote_change: None,
            local_sdp: None,
            remote_sdp: None,
            timers: Timers::new(),
            armed: None,
        }
    }

    /// Returns the id that the owner knows.
    pub(crate) fn session_id(&self) -> SessionId {
        SessionId(self.id.to_u64())
    }

    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the owner may still do something with the session.
    pub(crate) fn is_live(&self) -> bool {
        !self.told
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.soonest()
    }

    /// Returns the dialog that a request with our tag belongs to.
    pub(crate) fn usage_of(&mut self, request: &Message) -> Option<&mut Usage> {
        self.usages.iter_mut().find(|usage| usage.dialog.holds(request))
    }

    /// Whether a request is in a dialog of this session.
    pub(crate) fn holds(&self, request: &Message) -> bool {
        self.usages.iter().any(|usage| usage.dialog.holds(request))
    }

    fn live(&self) -> Result<(), Error> {
        if self.told { Err(Error::UnknownSession) } else { Ok(()) }
    }

    /// Ends the session at the owner's wish, whatever its state.
    pub(crate) fn hangup(&mut self, cx: &mut Core, now: Instant, headers: Headers) -> Result<(), Error> {
        self.live()?;
        match self.phase {
            Phase::Calling => {
                self.tell_ended(cx, EndReason::Local);
                self.cancel(cx, now, headers);
            }
            Phase::Offered | Phase::Accepting => {
                self.tell_ended(cx, EndReason::Local);
                self.refuse_invite(cx, now, 480, &headers);
            }
            Phase::Established => {
                self.tell_ended(cx, EndReason::Local);
                self.leave(cx, now, headers);
            }
            Phase::Cancelling | Phase::Parting | Phase::Leaving | Phase::Over => {
                return Err(Error::UnknownSession);
            }
        }
        Ok(())
    }

    /// Ends an established session for a reason of our own.
    fn end(&mut self, cx: &mut Core, now: Instant, reason: EndReason, cause: &str) {
        self.tell_ended(cx, reason);
        let headers = Headers::new().with(Name::Reason, Bytes::copy_from_slice(cause.as_bytes()));
        self.ok = None;
        self.leave(cx, now, headers);
    }

    /// Sends BYE; at once, or when the ACK of our 2xx is there or cannot be expected any more.
    fn leave(&mut self, cx: &mut Core, now: Instant, headers: Headers) {
        self.refuse_change(cx, now);
        self.abandon_change(cx, now);
        self.timers.stop(Timer::Refresh);
        self.timers.stop(Timer::SessionExpiry);
        self.timers.stop(Timer::GlareRetry);
        if self.ok.is_some() {
            self.farewell = headers;
            self.phase = Phase::Parting;
            return;
        }
        self.acknowledge_bare(cx, now);
        self.send_bye(cx, now, &headers);
    }

    fn send_bye(&mut self, cx: &mut Core, now: Instant, headers: &Headers) {
        self.timers.stop_all();
        self.phase = Phase::Leaving;
        let owner = Owner::Session(self.id, Purpose::Bye);
        let advertised = self.profile.advertised.clone();
        let sent = self.usages.first_mut().ok_or(Error::UnknownSession).and_then(|usage| {
            let builder = cx.client_headers(headers.write(usage.dialog.request(Method::Bye), is_free));
            let outgoing = Outgoing { request: builder.finish()?, contact: None, advertised };
            cx.send(now, owner, outgoing, usage.dialog.next_hop())
        });
        if sent.is_err() {
            self.phase = Phase::Over;
        }
    }

    /// The peer sent BYE.
    pub(crate) fn handle_bye(&mut self, cx: &mut Core, now: Instant, server: Id, request: &Message) {
        cx.answer(now, server, 200, &self.tag, &[]);
        match self.phase {
            Phase::Calling => {
                // One early dialog is gone (RFC 3261 §15); the INVITE still gets its final response.
                self.usages.retain(|usage| !usage.dialog.holds(request));
                return;
            }
            Phase::Cancelling | Phase::Leaving | Phase::Over => return,
            Phase::Offered | Phase::Accepting => self.refuse_invite(cx, now, 487, &Headers::new()),
            Phase::Established | Phase::Parting => {}
        }
        self.refuse_change(cx, now);
        self.abandon_change(cx, now);
        self.tell_ended(cx, EndReason::Bye(request.clone()));
        self.acknowledge_bare(cx, now);
        self.phase = Phase::Over;
    }

    /// Our BYE is done with, one way or the other.
    pub(crate) fn handle_bye_outcome(&mut self, cx: &mut Core, now: Instant, outcome: &Outcome) {
        let unreachable = matches!(outcome, Outcome::Transport);
        if unreachable && self.usages.first_mut().is_some_and(|usage| usage.dialog.give_up_connection()) {
            self.send_bye(cx, now, &Headers::new());
            return;
        }
        if !outcome.is_provisional() {
            self.phase = Phase::Over;
        }
    }

    /// A request of the session now has this transaction.
    pub(crate) fn handle_sent(&mut self, purpose: Purpose, client: Id) {
        match purpose {
            Purpose::Invite => {
                self.attempt = Some(Attempt::Sent(client));
                // What the server before it said does not count for this one: CANCEL waits anew (RFC 3261 §9.1).
                self.proceeding = false;
                self.timers.stop(Timer::C);
                self.usages.clear();
            }
            Purpose::Change => {
                if let Some(change) = &mut self.local_change {
                    change.sent(client);
                    self.timers.stop(Timer::ChangeUnanswered);
                }
            }
            Purpose::Prack | Purpose::Cancel | Purpose::Bye => {}
        }
    }

    /// Acts on one timer that is due.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Core, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::C => self.handle_timer_c(cx, now),
                Timer::CancelGiveUp => self.give_up_cancel(cx, now),
                Timer::ChangeUnanswered => self.handle_change_unanswered(cx, now),
                Timer::ChangeOwnerAnswer => self.handle_change_unattended(cx, now),
                Timer::OkRetransmit => self.retransmit_ok(cx, now),
                Timer::OkUnacknowledged => self.handle_ok_unacknowledged(cx, now),
                Timer::ReliableRetransmit => self.retransmit_reliable(cx, now),
                Timer::ReliableUnacknowledged => self.handle_reliable_unacknowledged(cx, now),
                Timer::ProgressRepeat => self.repeat_progress(cx, now),
                Timer::GlareRetry => self.start_change(cx, now),
                Timer::Refresh => self.refresh(cx, now),
                Timer::OwnerAnswer => self.handle_unanswered(cx, now),
                Timer::SessionExpiry => {
                    self.end(cx, now, EndReason::SessionExpired, "SIP;cause=408;text=\"Session expired\"");
                }
                Timer::A
                | Timer::B
                | Timer::D
                | Timer::E
                | Timer::F
                | Timer::G
                | Timer::H
                | Timer::I
                | Timer::J
                | Timer::K
                | Timer::L
                | Timer::M
                | Timer::Resolve => {}
            }
        }
    }

    /// Whether the peer takes INFO; none if it has not said.
    pub(crate) fn takes_info(&self) -> Option<bool> {
        self.usages.last()?.info_allowed
    }

    /// Builds a request of the owner's in the dialog: INFO and the like.
    pub(crate) fn build_request(
        &mut self,
        cx: &mut Core,
        now: Instant,
        owner: Owner,
        params: &RequestParams,
    ) -> Result<(), Error> {
        self.live()?;
        let usage = self.usages.last_mut().ok_or(Error::WrongState("there is no dialog yet"))?;
        let builder = params.headers.write(usage.dialog.request(params.method.clone()), is_free);
        let mut builder = cx.client_headers(builder);
        if let Some((content_type, body)) = &params.body {
            builder = builder.body(content_type, body.clone());
        }
        let contact = crate::user_agent::send::carries_contact(&params.method).then(|| self.contact.clone());
        let outgoing =
            Outgoing { request: builder.finish()?, contact, advertised: self.profile.advertised.clone() };
        cx.send(now, owner, outgoing, usage.dialog.next_hop()).map(|_| ())
    }

    fn tell_ended(&mut self, cx: &mut Core, reason: EndReason) {
        if !self.told {
            self.told = true;
            cx.event(Event::Ended { session: self.session_id(), reason });
        }
    }

    fn tell_failed(&mut self, cx: &mut Core, failure: Failure) {
        if !self.told {
            self.told = true;
            cx.event(Event::Failed { session: self.session_id(), failure });
        }
    }

    fn tell(&self, cx: &mut Core, event: Event) {
        if !self.told {
            cx.event(event);
        }
    }

    /// Returns the value of Supported.
    fn supported(&self) -> &'static str {
        match (self.profile.reliability, self.session_timer.is_on()) {
            (Reliability::Off, false) => "",
            (Reliability::Off, true) => "timer",
            (Reliability::Supported | Reliability::Required, false) => "100rel",
            (Reliability::Supported | Reliability::Required, true) => "100rel, timer",
        }
    }

    /// Adds what every request and response that sets up or changes a session says of us.
    fn capabilities(&self, cx: &Core, builder: MessageBuilder) -> MessageBuilder {
        let builder = builder.header(Name::Allow, cx.allow());
        match self.supported() {
            "" => builder,
            supported => builder.header(Name::Supported, supported),
        }
    }
}

impl Usage {
    fn new(fork: u32, dialog: Dialog, pending: Pending) -> Self {
        Self {
            fork,
            dialog,
            negotiation: Negotiation::new(pending),
            update_allowed: false,
            info_allowed: None,
            rseq: None,
            unanswered_progress: None,
        }
    }

    /// Notes what a message says that the peer can do.
    fn note_capabilities(&mut self, message: &Message) {
        if message.raw(Name::Allow).is_some() {
            self.update_allowed = message.list(Name::Allow).any(|method| method == "UPDATE");
            self.info_allowed = Some(message.list(Name::Allow).any(|method| method == "INFO"));
        }
    }

    pub(crate) fn dialog_mut(&mut self) -> &mut Dialog {
        &mut self.dialog
    }
}

fn with_headers(mut builder: MessageBuilder, headers: &[(Name, String)]) -> MessageBuilder {
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    builder
}

fn with_sdp(builder: MessageBuilder, sdp: Option<Bytes>) -> MessageBuilder {
    match sdp {
        Some(sdp) => builder.body(SDP, sdp),
        None => builder,
    }
}

/// Most provisional responses of the owner that wait for the PRACK of the one before.
const PROGRESS_QUEUE_MAX: usize = 8;

type ProgressQueue = VecDeque<Reply>;
