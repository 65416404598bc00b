//! INVITE client transactions (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Lapse, Verdict, ack_for_failure};
use crate::message::Message;
use crate::timer::{Timer, TimerValues, Timers};
use crate::transport::{Target, Transmit};
use crate::user_agent::Output;

/// Sends an INVITE until something answers it, and acknowledges final responses other than 2xx.
///
/// A 2xx is acknowledged by the session; its ACK is left here ([`remember_ack`](Self::remember_ack)), to go out
/// again each time the 2xx comes again, even when the session is over.
#[derive(Debug)]
pub(crate) struct ClientInvite {
    state: State,
    request: Message,
    target: Target,
    interval: Duration,
    timers: Timers<3>,
    /// The ACK of a final response other than 2xx.
    failure_ack: Option<Bytes>,
    /// The ACKs of 2xx, by the tag of the fork that answered.
    ok_acks: Vec<(Box<str>, Transmit)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// Most forks whose 2xx are acknowledged again: as many as answer in practice, and then some.
const OK_ACKS_MAX: usize = 16;

impl ClientInvite {
    pub(crate) fn new(
        now: Instant,
        values: &TimerValues,
        request: Message,
        target: Target,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let mut timers = Timers::new();
        if !target.transport.is_reliable() {
            timers.set(Timer::A, now + values.t1);
        }
        timers.set(Timer::B, now + values.patience());
        outputs.push_back(Output::Transmit(Transmit { target, bytes: request.bytes().clone() }));
        Self {
            state: State::Calling,
            request,
            target,
            interval: values.t1,
            timers,
            failure_ack: None,
            ok_acks: Vec::new(),
        }
    }

    pub(crate) fn request(&self) -> &Message {
        &self.request
    }

    /// Whether a final response may still come.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    /// Whether no response has come yet.
    pub(crate) fn is_unheard(&self) -> bool {
        self.state == State::Calling
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        values: &TimerValues,
        response: &Message,
        outputs: &mut VecDeque<Output>,
    ) -> Verdict {
        let status = response.status().unwrap_or_default();
        match (self.state, status) {
            (State::Calling | State::Proceeding, 100..=199) => {
                self.timers.stop(Timer::A);
                self.timers.stop(Timer::B);
                self.state = State::Proceeding;
                Verdict::Pass
            }
            (State::Calling | State::Proceeding, 200..=299) => {
                self.timers.stop_all();
                self.timers.set(Timer::M, now + values.patience());
                self.state = State::Accepted;
                Verdict::Pass
            }
            (State::Calling | State::Proceeding, _) => {
                self.complete(now, values, response, outputs);
                Verdict::Pass
            }
            (State::Accepted, 200..=299) => self.handle_ok_again(response, outputs),
            (State::Completed, 300..) => {
                self.send_failure_ack(outputs);
                Verdict::Absorb
            }
            (State::Completed | State::Accepted | State::Terminated, _) => Verdict::Absorb,
        }
    }

    fn complete(
        &mut self,
        now: Instant,
        values: &TimerValues,
        response: &Message,
        outputs: &mut VecDeque<Output>,
    ) {
        self.timers.stop_all();
        self.failure_ack = ack_for_failure(&self.request, response).map(|ack| ack.bytes().clone());
        self.send_failure_ack(outputs);
        if self.target.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.timers.set(Timer::D, now + values.d());
            self.state = State::Completed;
        }
    }

    fn send_failure_ack(&self, outputs: &mut VecDeque<Output>) {
        if let Some(bytes) = &self.failure_ack {
            outputs.push_back(Output::Transmit(Transmit { target: self.target, bytes: bytes.clone() }));
        }
    }

    /// A 2xx that was acknowledged before is acknowledged again here; one of another fork is for the core.
    fn handle_ok_again(&self, response: &Message, outputs: &mut VecDeque<Output>) -> Verdict {
        let tag = super::to_tag(response);
        match self.ok_acks.iter().find(|(known, _)| **known == *tag) {
            Some((_, ack)) => {
                outputs.push_back(Output::Transmit(ack.clone()));
                Verdict::Absorb
            }
            None => Verdict::Pass,
        }
    }

    /// Keeps the ACK of a 2xx for when the 2xx comes again.
    pub(crate) fn remember_ack(&mut self, tag: &str, ack: Transmit) {
        if self.ok_acks.len() < OK_ACKS_MAX {
            self.ok_acks.push((tag.into(), ack));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outputs: &mut VecDeque<Output>) -> Lapse {
        match self.timers.take_due(now) {
            Some(Timer::A) => {
                self.interval *= 2;
                self.timers.set(Timer::A, now + self.interval);
                let bytes = self.request.bytes().clone();
                outputs.push_back(Output::Transmit(Transmit { target: self.target, bytes }));
                Lapse::Nothing
            }
            Some(Timer::B) => {
                self.terminate();
                Lapse::TimedOut
            }
            Some(_) => {
                self.terminate();
                Lapse::Nothing
            }
            None => Lapse::Nothing,
        }
    }

    /// Waits for a final response no longer than until then: nobody needs it any more (RFC 3261 §9.1).
    pub(crate) fn give_up_at(&mut self, at: Instant) {
        if self.is_pending() {
            self.timers.set(Timer::CancelGiveUp, at);
        }
    }

    pub(crate) fn terminate(&mut self) {
        self.timers.stop_all();
        self.state = State::Terminated;
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.soonest()
    }
}
