//! One call: a leg from the caller, attempts at a callee, then a leg to the one who answered.
//!
//! | part | module |
//! |---|---|
//! | who calls, as others are told | `identity` |
//! | gateways tried one after another | `attempt` |
//! | users rung at all their contacts | `ring` |
//! | descriptions passed from browser to browser | `pass` |
//! | ringing, early media, the answer | `answer` |
//! | hold and other changes of media | `change` |
//! | what a final answer means | `outcome` |
//! | the end and the record | `end` |
//! | the Reason header | `reason` |

mod answer;
mod attempt;
mod change;
mod end;
pub(crate) mod identity;
mod outcome;
mod pass;
pub(crate) mod reason;
mod ring;

use crate::b2bua::{CallTimer, Core, Place};
use crate::command::{BridgeCommand, Gate};
use crate::event::{BridgeEvent, BridgeStats, CallEvent, Side};
use crate::leg::Leg;
use crate::route::{RingStep, Route};
use crate::trunk::Choice;
use attempt::Attempt;
use bytes::Bytes;
use change::Pending;
use identity::Caller;
use ring::{Ringing, Unreached};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use trunkline_media::DigitTiming;
use trunkline_model::{BridgeId, CallId, Cause, Gateway, Q850, Signalling, Stage, Trunk, TrunkId};
use trunkline_sip::transport::Flow;
use trunkline_sip::user_agent::SessionId;

/// A call from admission to its record.
pub(crate) struct Call {
    id: CallId,
    who: Caller,
    /// The user part of the request URI, as received.
    dialled: String,
    route: Route,
    /// Max-Forwards of the INVITEs that go out.
    hops_left: u8,
    signalling: Signalling,
    started: Instant,
    started_unix_ms: i64,
    rang: Option<Instant>,
    answered: Option<Instant>,
    stage: Stage,

    caller: Leg,
    /// What the caller offered; none when it left the offer to us.
    caller_offer: Option<Bytes>,
    caller_prack: Prack,
    caller_place: Place,
    /// The path that the caller's INVITE came on.
    caller_flow: Flow,
    /// Users to be called before any trunk is tried.
    steps: VecDeque<RingStep>,
    /// Contacts of users that ring.
    ringing: Option<Ringing>,
    /// The best that users said who did not take the call.
    unreached: Option<Unreached>,
    /// Whether descriptions are passed from end to end, so that there is no bridge.
    passes: bool,
    /// The attempt under way, until it is answered.
    attempt: Option<Attempt>,
    /// The leg of who answered.
    callee: Option<Leg>,

    bridge: Option<Opened>,
    /// How often its ports could not be bound.
    unbound: u8,
    gate: Gate,

    /// Gateways tried, with their trunks.
    tried: Vec<(TrunkId, Gateway)>,
    choice: Choice,
    /// The trunk of the last attempt; the call counts there while it lasts.
    trunk_out: Option<Arc<Trunk>>,
    /// Whether the caller was promised the callee's early media: then no other gateway is tried, for the caller
    /// has heard this one.
    early_media: bool,

    /// A change of media that one side waits for.
    pending: Option<Pending>,
    end: Option<End>,
}

/// The bridge of a call.
#[derive(Debug, Clone, Copy)]
struct Opened {
    id: BridgeId,
    ports: [u16; 2],
    callee: Place,
}

/// A call that is over, but for its record.
struct End {
    cause: Cause,
    at: Instant,
    recorded: bool,
}

/// How far a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// It goes on.
    No,
    /// It has ended, and waits for the statistics of its media.
    Ended,
    /// Its record is out; nothing is left to do.
    Recorded,
}

/// What a call is made of.
pub(crate) struct NewCall {
    pub(crate) id: CallId,
    pub(crate) who: Caller,
    pub(crate) dialled: String,
    pub(crate) route: Route,
    pub(crate) hops_left: u8,
    pub(crate) signalling: Signalling,
    pub(crate) started_unix_ms: i64,
    pub(crate) caller: Leg,
    pub(crate) caller_offer: Option<Bytes>,
    pub(crate) caller_prack: Prack,
    pub(crate) caller_place: Place,
    pub(crate) caller_flow: Flow,
}

/// Whether provisional responses to the caller are reliable (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prack {
    /// None is.
    Never,
    /// Those with a session description are.
    WithMedia,
    /// All are.
    Always,
}

impl Call {
    pub(crate) fn new(now: Instant, new: NewCall) -> Self {
        Self {
            id: new.id,
            who: new.who,
            dialled: new.dialled,
            steps: new.route.steps.iter().cloned().collect(),
            route: new.route,
            hops_left: new.hops_left,
            signalling: new.signalling,
            started: now,
            started_unix_ms: new.started_unix_ms,
            rang: None,
            answered: None,
            stage: Stage::Admission,
            caller: new.caller,
            caller_offer: new.caller_offer,
            caller_prack: new.caller_prack,
            caller_place: new.caller_place,
            caller_flow: new.caller_flow,
            ringing: None,
            unreached: None,
            passes: false,
            attempt: None,
            callee: None,
            bridge: None,
            unbound: 0,
            gate: Gate::Closed,
            tried: Vec::new(),
            choice: Choice::Well,
            trunk_out: None,
            early_media: false,
            pending: None,
            end: None,
        }
    }

    pub(crate) fn is_over(&self) -> Over {
        match &self.end {
            None => Over::No,
            Some(End { recorded: false, .. }) => Over::Ended,
            Some(End { recorded: true, .. }) => Over::Recorded,
        }
    }

    /// Returns the session of a side, as long as it is part of the call.
    pub(crate) fn session(&self, side: Side) -> Option<SessionId> {
        match side {
            Side::Caller => self.caller.session,
            Side::Callee => self.callee.as_ref().and_then(|leg| leg.session),
        }
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant, timer: CallTimer) {
        match timer {
            CallTimer::Response => self.give_up_silent_gateway(core, now),
            CallTimer::Ring if self.ringing.is_some() => self.give_up_step(core, now),
            CallTimer::Ring => self.give_up_ringing(core, now),
            CallTimer::Duration => {
                self.end_by_us(core, now, 408, Q850::NORMAL_UNSPECIFIED, "longest duration reached");
            }
            CallTimer::Record => self.record(core, BridgeStats::default()),
        }
    }

    pub(crate) fn handle_bridge(
        &mut self,
        core: &mut Core,
        now: Instant,
        bridge: BridgeId,
        event: BridgeEvent,
    ) {
        if self.bridge.is_none_or(|opened| opened.id != bridge) {
            return;
        }
        match event {
            BridgeEvent::FirstRtp(side) => core.event(CallEvent::MediaStarted { call: self.id, side }),
            BridgeEvent::Silent => {
                self.end_by_us(core, now, 408, Q850::TIMER_EXPIRY, "no RTP from either side");
            }
            BridgeEvent::Browser(_, event) => self.browser_path(core, now, event),
            BridgeEvent::Failed => {
                self.bridge = None;
                match self.is_over() {
                    Over::No if self.try_other_ports(core, now) => {}
                    Over::No => {
                        // Q.850 47: resource unavailable, unspecified.
                        self.end_by_us(core, now, 503, Q850(47), "RTP ports could not be bound");
                    }
                    Over::Ended => self.record(core, BridgeStats::default()),
                    Over::Recorded => {}
                }
            }
            BridgeEvent::Closed(stats) => {
                self.bridge = None;
                match self.is_over() {
                    Over::No => {
                        self.end_by_us(core, now, 500, Q850(41), "the media worker closed the bridge");
                    }
                    Over::Ended => self.record(core, stats),
                    Over::Recorded => {}
                }
            }
        }
    }

    /// Ends the call when there is no path to a browser, or none any more (RFC 7675 §5.1).
    fn browser_path(&mut self, core: &mut Core, now: Instant, event: trunkline_webrtc::Event) {
        use trunkline_webrtc::{Event, Failure};
        let why = match event {
            // A goodbye is said by SIP.
            Event::Connected | Event::Moved | Event::Reported(_) | Event::Closed => return,
            Event::Failed(Failure::Ice) => "no connectivity check of the browser came",
            Event::Failed(Failure::Dtls) => "the DTLS handshake with the browser failed",
            Event::Failed(Failure::Full) => "there are too many browsers",
            Event::Lost => "the browser has gone silent",
        };
        self.end_by_us(core, now, 408, Q850::TIMER_EXPIRY, why);
    }

    /// Whether keys that a side says by INFO go on as media: those of a user towards a trunk, whose far end knows digits
    /// as media alone (RFC 4733), are.
    pub(crate) fn takes_digits_of(&self, side: Side) -> bool {
        let is_user = |leg: Option<&Leg>| leg.is_some_and(|leg| leg.user.is_some());
        let (caller, callee) = (Some(&self.caller), self.callee.as_ref());
        let (from, to) = match side {
            Side::Caller => (caller, callee),
            Side::Callee => (callee, caller),
        };
        self.stage == Stage::Answered && self.bridge.is_some() && is_user(from) && !is_user(to)
    }

    /// Has a key sent to a side.
    pub(crate) fn send_digit(&mut self, core: &mut Core, side: Side, digit: char, timing: DigitTiming) {
        self.tell_bridge(core, BridgeCommand::Digits { side, digits: digit.to_string(), timing });
    }

    fn tell_bridge(&self, core: &mut Core, command: BridgeCommand) {
        if let Some(opened) = self.bridge {
            core.update_bridge(opened.id, command);
        }
    }

    fn open_gate(&mut self, core: &mut Core, gate: Gate) {
        if self.gate != gate {
            self.gate = gate;
            self.tell_bridge(core, BridgeCommand::Gate(gate));
        }
    }

    /// Tells the bridge what was agreed with a leg, if that is news.
    fn bridge_leg(&mut self, core: &mut Core, side: Side) {
        let leg = match side {
            Side::Caller => Some(&mut self.caller),
            Side::Callee => self.callee.as_mut(),
        };
        let Some(leg) = leg else { return };
        let (path, negotiated) = (leg.path_for_bridge(), leg.news_for_bridge());
        if let Some(transport) = path {
            self.tell_bridge(core, BridgeCommand::Browser { side, transport });
        }
        if let Some(negotiated) = negotiated {
            self.tell_bridge(core, BridgeCommand::Negotiated { side, negotiated });
        }
    }
}
