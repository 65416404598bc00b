//! Server transactions of all methods but INVITE (RFC 3261 §17.2.2).

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::message::Message;
use crate::timer::{Timer, TimerValues, Timers};
use crate::transport::{Target, Transmit};
use crate::user_agent::Output;

/// Answers a request that comes again as it was answered before.
#[derive(Debug)]
pub(crate) struct ServerOther {
    state: State,
    target: Target,
    response: Option<Bytes>,
    timers: Timers<1>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl ServerOther {
    pub(crate) fn new(target: Target) -> Self {
        Self { state: State::Trying, target, response: None, timers: Timers::new() }
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// The request came again.
    pub(crate) fn handle_request(&self, outputs: &mut VecDeque<Output>) {
        match self.state {
            State::Proceeding | State::Completed => self.send(outputs),
            State::Trying | State::Terminated => {}
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
        if response.status().is_some_and(|status| status < 200) {
            self.state = State::Proceeding;
        } else if self.target.transport.is_reliable() {
            self.terminate();
        } else {
            self.timers.set(Timer::J, now + values.patience());
            self.state = State::Completed;
        }
    }

    fn send(&self, outputs: &mut VecDeque<Output>) {
        if let Some(bytes) = &self.response {
            outputs.push_back(Output::Transmit(Transmit { target: self.target, bytes: bytes.clone() }));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.timers.take_due(now).is_some() {
            self.terminate();
        }
    }

    /// The connection that the request came on is gone; the response goes another way (RFC 3261 §18.2.2).
    pub(crate) fn redirect(&mut self, target: Target) {
        self.target = target;
    }

    pub(crate) fn terminate(&mut self) {
        self.timers.stop_all();
        self.state = State::Terminated;
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.soonest()
    }
}
