//! INVITE server transactions (RFC 3261 §17.2.1, RFC 6026 §7.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Verdict;
use crate::message::Message;
use crate::timer::{Timer, TimerValues, Timers};
use crate::transport::{Target, Transmit};
use crate::user_agent::Output;

/// Absorbs an INVITE that comes again, and sends a final response other than 2xx until its ACK comes.
///
/// A 2xx is sent again by the session; here it only starts timer L, during which the INVITE is absorbed.
#[derive(Debug)]
pub(crate) struct ServerInvite {
    state: State,
    target: Target,
    /// The newest provisional response, or the final one if it is not 2xx.
    response: Option<Bytes>,
    interval: Duration,
    timers: Timers<2>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

impl ServerInvite {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            state: State::Proceeding,
            target,
            response: None,
            interval: Duration::ZERO,
            timers: Timers::new(),
        }
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// Whether a final response is still to be sent.
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether a refusal was sent, and its ACK has not come.
    pub(crate) fn awaits_ack(&self) -> bool {
        self.state == State::Completed
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// The INVITE came again.
    pub(crate) fn handle_request(&self, outputs: &mut VecDeque<Output>) {
        match self.state {
            State::Proceeding | State::Completed => self.send(outputs),
            State::Accepted | State::Confirmed | State::Terminated => {}
        }
    }

    /// An ACK came that matches the INVITE. One for a 2xx is passed on.
    pub(crate) fn handle_ack(&mut self, now: Instant, values: &TimerValues) -> Verdict {
        match self.state {
            State::Completed => {
                self.timers.stop_all();
                if self.target.transport.is_reliable() {
                    self.state = State::Terminated;
                } else {
                    self.timers.set(Timer::I, now + values.t4);
                    self.state = State::Confirmed;
                }
                Verdict::Absorb
            }
            State::Accepted => Verdict::Pass,
            State::Proceeding | State::Confirmed | State::Terminated => Verdict::Absorb,
        }
    }

    /// Sends a response. Nothing happens once a final one was sent.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        values: &TimerValues,
        response: &Message,
        outputs: &mut VecDeque<Output>,
    ) {
        if !self.is_pending() {
            return;
        }
        self.response = Some(response.bytes().clone());
        self.send(outputs);
        match response.status().unwrap_or_default() {
            100..=199 => {}
            200..=299 => {
                self.response = None;
                self.timers.set(Timer::L, now + values.patience());
                self.state = State::Accepted;
            }
            _ => {
                if !self.target.transport.is_reliable() {
                    self.interval = values.t1;
                    self.timers.set(Timer::G, now + values.t1);
                }
                self.timers.set(Timer::H, now + values.patience());
                self.state = State::Completed;
            }
        }
    }

    fn send(&self, outputs: &mut VecDeque<Output>) {
        if let Some(bytes) = &self.response {
            outputs.push_back(Output::Transmit(Transmit { target: self.target, bytes: bytes.clone() }));
        }
    }

    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        values: &TimerValues,
        outputs: &mut VecDeque<Output>,
    ) {
        match self.timers.take_due(now) {
            Some(Timer::G) => {
                self.interval = (self.interval * 2).min(values.t2);
                self.timers.set(Timer::G, now + self.interval);
                self.send(outputs);
            }
            Some(_) => self.terminate(),
            None => {}
        }
    }

    /// The connection that the INVITE came on is gone; the response goes another way (RFC 3261 §18.2.2).
    pub(crate) fn redirect(&mut self, target: Target, outputs: &mut VecDeque<Output>) {
        self.target = target;
        if self.state == State::Completed {
            self.send(outputs);
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
