//! Gateways tried one after another, until one answers or somebody has said no.

use super::outcome::{for_caller, moves_on, reason_for_caller};
use super::reason::Reason;
use super::{Call, Opened};
use crate::b2bua::{CallTimer, Core, Owner, Place, destination, domains};
use crate::bridge::BridgeConfig;
use crate::command::BridgeCommand;
use crate::event::{CallEvent, Side};
use crate::trunk::{Behaviour, Choice};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_media::{Direction, MediaSession, Negotiated, OfferView, Wish};
use trunkline_model::{Gateway, Party, Q850, Stage, Trunk};
use trunkline_sip::header::Name;
use trunkline_sip::message::Message;
use trunkline_sip::uri::escape_user;
use trunkline_sip::user_agent::{Failure, ForkId, Headers, InviteParams, SessionId};

/// An INVITE to one gateway.
pub(super) struct Attempt {
    pub(super) session: SessionId,
    pub(super) trunk: Arc<Trunk>,
    pub(super) gateway: Gateway,
    /// What we offered.
    pub(super) media: MediaSession,
    /// What we wanted in it.
    pub(super) offered: Direction,
    /// Each fork that sent a session description: the offer, with its own answer. The newest is last.
    pub(super) forks: Vec<(ForkId, MediaSession)>,
    /// What the bridge was told last.
    pub(super) bridged: Option<Negotiated>,
    /// Whether anything has come from the gateway.
    pub(super) heard: bool,
    /// Whether a 18x has come.
    pub(super) rings: bool,
}

/// How an attempt failed.
struct Fault {
    status: u16,
    /// Nothing came from the gateway, as opposed to a final response.
    silent: bool,
    said: Reason,
    detail: String,
}

impl Call {
    /// Calls the first users, or tries the first gateway.
    pub(crate) fn begin(&mut self, core: &mut Core, now: Instant) {
        if self.end.is_none() && !self.next_place(core, now) {
            self.end_unreached(core, now);
        }
    }

    /// Tries the next gateway. Returns false, with nothing changed, when none is left.
    pub(super) fn next_attempt(&mut self, core: &mut Core, now: Instant) -> bool {
        while let Some((trunk, gateway)) = self.choose(core, now) {
            if self.dial(core, now, &trunk, gateway.clone()) {
                return true;
            }
            self.tried.push((trunk.id.clone(), gateway));
        }
        false
    }

    fn choose(&mut self, core: &mut Core, now: Instant) -> Option<(Arc<Trunk>, Gateway)> {
        if self.tried.len() >= usize::from(core.config.limits.attempts_max) {
            return None;
        }
        let found = self.choose_among(core, now);
        if found.is_none() && self.tried.is_empty() && self.choice == Choice::Well {
            self.choice = Choice::LastResort;
            return self.choose_among(core, now);
        }
        found
    }

    fn choose_among(&self, core: &mut Core, now: Instant) -> Option<(Arc<Trunk>, Gateway)> {
        for out in self.route.trunks.iter() {
            if !self.may_use(core, out, now) {
                continue;
            }
            let tried = self.tried_on(out);
            if let Ok(gateway) = core.trunks.select(&out.id, self.choice, &tried, now) {
                return Some((Arc::clone(out), gateway));
            }
        }
        None
    }

    /// Whether another gateway could be tried now.
    fn has_more(&self, core: &Core, now: Instant) -> bool {
        self.tried.len() < usize::from(core.config.limits.attempts_max)
            && self
                .route
                .trunks
                .iter()
                .filter(|out| self.may_use(core, out, now))
                .any(|out| core.trunks.check_gateway(&out.id, self.choice, &self.tried_on(out), now).is_ok())
    }

    fn may_use(&self, core: &Core, out: &Trunk, now: Instant) -> bool {
        let counted = self.trunk_out.as_ref().is_some_and(|held| held.id == out.id);
        let back = out.id == self.caller.trunk.id && !self.route.hairpin;
        !back && (counted || core.trunks.check_call(&out.id, now).is_ok())
    }

    fn tried_on(&self, out: &Trunk) -> Vec<Gateway> {
        self.tried.iter().filter(|(trunk, _)| *trunk == out.id).map(|(_, gateway)| gateway.clone()).collect()
    }

    /// Sends the INVITE to a gateway. Returns false when it can't even be written.
    fn dial(&mut self, core: &mut Core, now: Instant, trunk: &Arc<Trunk>, gateway: Gateway) -> bool {
        if !self.count_on(core, now, trunk) {
            return false;
        }
        let Some(opened) = self.bridge_towards(core, trunk, &gateway) else { return false };
        let local = core.local(trunk, opened.callee, Some((opened.id, opened.ports[1])));
        let mut media = MediaSession::new(local, core.random());
        let view = self.caller_offer.as_ref().and_then(|offer| self.caller.media.read_offer(offer).ok());
        let prefer = view.as_ref().and_then(OfferView::codec);
        let offer = media.offer(Wish { direction: self.caller.wish, prefer });

        self.tried.push((trunk.id.clone(), gateway.clone()));
        let waits = self.has_more(core, now);
        let call_id = format!("{:016x}{:016x}", core.random(), core.random());
        let params = self.invite_params(core, trunk, &gateway, (call_id.clone(), offer));
        let session = match core.ua.invite(now, params) {
            Ok(session) => session,
            Err(error) => {
                tracing::warn!(call = %self.id, trunk = %trunk.id, %error, "INVITE could not be sent");
                self.tried.pop();
                return false;
            }
        };
        let serial = self.id.serial;
        core.sessions.insert(session, Owner { call: serial, side: Side::Callee });
        core.timers.set(serial, CallTimer::Ring, now + trunk.ring_max);
        if waits {
            core.timers.set(serial, CallTimer::Response, now + core.config.limits.response_max);
        }
        self.stage = Stage::Routing;
        self.signalling.callee_call_id = Some(call_id);
        self.signalling.gateway = Some(gateway.to_string());
        self.signalling.callee_status = None;
        let attempt = u16::try_from(self.tried.len()).unwrap_or(u16::MAX);
        core.event(CallEvent::Attempt {
            call: self.id,
            trunk: trunk.id.clone(),
            gateway: gateway.clone(),
            attempt,
        });
        self.attempt = Some(Attempt {
            session,
            trunk: Arc::clone(trunk),
            gateway,
            media,
            offered: self.caller.wish,
            forks: Vec::new(),
            bridged: None,
            heard: false,
            rings: false,
        });
        true
    }

    /// Writes the INVITE for a gateway: nothing of the caller's own INVITE is copied into it.
    fn invite_params(
        &self,
        core: &Core,
        trunk: &Trunk,
        gateway: &Gateway,
        (call_id, offer): (String, Bytes),
    ) -> InviteParams {
        let (domain, authority) = domains(trunk, gateway);
        let user = escape_user(&self.route.dial).into_owned();
        let mut headers = Headers::new();
        for (name, value) in self.who.assertion(trunk, &domain) {
            headers.push(name, value);
        }
        InviteParams {
            destination: destination(gateway),
            uri: format!("sip:{user}@{authority}"),
            from: self.who.from(&domain),
            to: format!("<sip:{user}@{domain}>"),
            contact_user: None,
            call_id: Some(call_id),
            max_forwards: self.hops_left,
            routes: Vec::new(),
            headers,
            offer: Some(offer),
            profile: core.profile(trunk, gateway.transport),
        }
    }

    /// Counts the call on a trunk, instead of on the one tried before.
    pub(super) fn count_on(&mut self, core: &mut Core, now: Instant, trunk: &Arc<Trunk>) -> bool {
        if self.trunk_out.as_ref().is_some_and(|held| held.id == trunk.id) {
            return true;
        }
        if core.trunks.take_call(&trunk.id, now).is_err() {
            return false;
        }
        if let Some(before) = self.trunk_out.replace(Arc::clone(trunk)) {
            core.trunks.release_call(&before.id);
        }
        true
    }

    /// Makes sure that there is a bridge with a socket of the family that the gateway needs, for a new peer.
    fn bridge_towards(&mut self, core: &mut Core, trunk: &Trunk, gateway: &Gateway) -> Option<Opened> {
        let callee = core.media_towards(&gateway.host)?;
        self.bridge_on(core, trunk, Place::Interface(callee))
    }

    /// Makes sure that there is a bridge with a socket at that place for a new peer.
    pub(super) fn bridge_on(&mut self, core: &mut Core, trunk: &Trunk, callee: Place) -> Option<Opened> {
        if let Some(opened) = self.bridge.filter(|opened| opened.callee == callee) {
            let latch = trunk.media.latch.clone();
            self.tell_bridge(core, BridgeCommand::NewLeg { side: Side::Callee, latch });
            return Some(opened);
        }
        // Ports that the caller was told must not change.
        if self.caller.is_described() {
            return None;
        }
        if let Some(opened) = self.bridge.take() {
            core.close_bridge(opened.id);
        }
        let config = BridgeConfig {
            caller_latch: self.caller.trunk.media.latch.clone(),
            callee_latch: trunk.media.latch.clone(),
            seed: core.random(),
        };
        let places = [self.caller_place, callee];
        let (id, ports) = core.open_bridge(self.id, places, config)?;
        let opened = Opened { id, ports, callee };
        self.bridge = Some(opened);
        self.caller.bridged = None;
        self.caller.path = None;
        let local = core.local(&self.caller.trunk, self.caller_place, Some((id, ports[0])));
        self.caller.media.set_local(local);
        Some(opened)
    }

    /// Notes that the gateway has sent something.
    pub(crate) fn gateway_lives(&mut self, core: &mut Core, session: SessionId) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.session == session) {
            attempt.heard = true;
            core.timers.stop(self.id.serial, CallTimer::Response);
        }
    }

    pub(crate) fn handle_failure(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        failure: &Failure,
    ) {
        if self.is_ringing(session) {
            return self.contact_failed(core, now, session, failure);
        }
        let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.session == session) else {
            return;
        };
        if attempt.rings && matches!(failure, Failure::Timeout) {
            // Nobody answered: that is the called person's doing and no fault of the gateway.
            return self.give_up_ringing(core, now);
        }
        let status = failure.status();
        let (silent, said, detail) = match failure {
            Failure::Response(response) => {
                self.signalling.callee_status = Some(status);
                if let (503, Some(wait)) = (status, retry_after(response)) {
                    core.trunks.retry_after(&attempt.trunk.id, &attempt.gateway, wait, now);
                }
                (false, Reason::of(response), format!("the callee answered {status}"))
            }
            Failure::Timeout => (true, Reason::default(), "the gateway did not answer".to_owned()),
            Failure::Transport => (true, Reason::default(), "the transport to the gateway failed".to_owned()),
            Failure::Resolve(error) => {
                (true, Reason::default(), format!("the gateway was not found: {error}"))
            }
            Failure::Superseded => (false, Reason::default(), "superseded".to_owned()),
            Failure::PeerMisbehaved(what) => {
                (false, Reason::default(), format!("the gateway broke the protocol: {what}"))
            }
        };
        self.attempt_failed(core, now, Fault { status, silent, said, detail });
    }

    pub(super) fn give_up_silent_gateway(&mut self, core: &mut Core, now: Instant) {
        self.hang_up_attempt(core, now, Reason::default());
        let detail = "the gateway said nothing in time".to_owned();
        self.attempt_failed(core, now, Fault { status: 408, silent: true, said: Reason::default(), detail });
    }

    pub(super) fn give_up_ringing(&mut self, core: &mut Core, now: Instant) {
        let (status, q850) = match self.stage {
            // RFC 3398 §7.2.4.1: 480 stands for no answer from an alerted user.
            Stage::Ringing => (480, Q850::NO_ANSWER),
            Stage::Admission | Stage::Routing | Stage::Answered => (408, Q850::TIMER_EXPIRY),
        };
        self.end_by_us(core, now, status, q850, "not answered in time");
    }

    /// Tries the same gateway again with other ports, where another program holds those that it was told.
    ///
    /// The caller must not have been told of its own yet.
    pub(super) fn try_other_ports(&mut self, core: &mut Core, now: Instant) -> bool {
        if self.attempt.is_none() || self.caller.is_described() || self.unbound >= UNBOUND_MAX {
            return false;
        }
        self.unbound += 1;
        self.hang_up_attempt(core, now, Reason::default());
        self.gateway_lives_no_more(core);
        self.attempt = None;
        // The gateway has done nothing wrong.
        self.tried.pop();
        self.next_attempt(core, now)
    }

    fn hang_up_attempt(&mut self, core: &mut Core, now: Instant, reason: Reason) {
        if let Some(attempt) = &self.attempt {
            // It may be over already, with its event on the way.
            let _ = core.ua.hangup(now, attempt.session, reason.headers());
        }
    }

    fn attempt_failed(&mut self, core: &mut Core, now: Instant, fault: Fault) {
        self.gateway_lives_no_more(core);
        let Some(attempt) = self.attempt.take() else { return };
        if fault.silent && !attempt.heard {
            let change = core.trunks.report(&attempt.trunk.id, &attempt.gateway, Behaviour::Silent);
            core.health(change);
        }
        let moves_on =
            !self.early_media && moves_on(fault.status, &attempt.trunk) && self.has_more(core, now);
        core.event(CallEvent::AttemptFailed {
            call: self.id,
            trunk: attempt.trunk.id.clone(),
            gateway: attempt.gateway.clone(),
            status: fault.status,
            moves_on,
        });
        if moves_on && self.next_attempt(core, now) {
            return;
        }
        let reason = reason_for_caller(fault.status, fault.said);
        let q850 = reason.q850.unwrap_or(Q850::from_sip(fault.status));
        let mut cause = self.cause(for_caller(fault.status), q850, Party::Callee, fault.detail);
        cause.trunk = Some(attempt.trunk.id.clone());
        self.finish(core, now, cause, reason);
    }

    /// Stops all waiting for the attempt.
    pub(super) fn gateway_lives_no_more(&mut self, core: &mut Core) {
        let serial = self.id.serial;
        core.timers.stop(serial, CallTimer::Response);
        core.timers.stop(serial, CallTimer::Ring);
    }
}

/// Pairs of ports that are tried for one call. A program that holds a few is passed over; where all are held, the caller
/// should not have to wait.
const UNBOUND_MAX: u8 = 3;

/// Reads Retry-After: seconds, then parameters and comments that don't matter here (RFC 3261 §20.33).
fn retry_after(response: &Message) -> Option<Duration> {
    let value = response.header(Name::RetryAfter)?.trim();
    let digits =
        value.find(|c: char| !c.is_ascii_digit()).map_or(value, |end| value.get(..end).unwrap_or(""));
    digits.parse().ok().map(Duration::from_secs)
}
