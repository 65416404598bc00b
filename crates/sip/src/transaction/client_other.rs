//! Client transactions of all methods but INVITE (RFC 3261 §17.1.2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Lapse, Verdict};
use crate::message::Message;
use crate::timer::{Timer, TimerValues, Timers};
use crate::transport::{Target, Transmit};
use crate::user_agent::Output;

/// Sends a request until its final response comes, and absorbs the response when it comes again.
#[derive(Debug)]
pub(crate) struct ClientOther {
    state: State,
    request: Message,
    target: Target,
    interval: Duration,
    timers: Timers<2>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl ClientOther {
    pub(crate) fn new(
        now: Instant,
        values: &TimerValues,
        request: Message,
        target: Target,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let mut timers = Timers::new();
        if !target.transport.is_reliable() {
            timers.set(Timer::E, now + values.t1);
        }
        timers.set(Timer::F, now + values.patience());
        outputs.push_back(Output::Transmit(Transmit { target, bytes: request.bytes().clone() }));
        Self { state: State::Trying, request, target, interval: values.t1, timers }
    }

    pub(crate) fn request(&self) -> &Message {
        &self.request
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// Whether no response has come yet.
    pub(crate) fn is_unheard(&self) -> bool {
        self.state == State::Trying
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        values: &TimerValues,
        response: &Message,
    ) -> Verdict {
        match self.state {
            State::Trying | State::Proceeding => {
                if response.status().is_some_and(|status| status < 200) {
                    self.state = State::Proceeding;
                } else {
                    self.complete(now, values);
                }
                Verdict::Pass
            }
            State::Completed | State::Terminated => Verdict::Absorb,
        }
    }

    fn complete(&mut self, now: Instant, values: &TimerValues) {
        self.timers.stop_all();
        if self.target.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.timers.set(Timer::K, now + values.t4);
            self.state = State::Completed;
        }
    }

    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        values: &TimerValues,
        outputs: &mut VecDeque<Output>,
    ) -> Lapse {
        match self.timers.take_due(now) {
            Some(Timer::E) => {
                self.interval = match self.state {
                    State::Proceeding => values.t2,
                    State::Trying | State::Completed | State::Terminated => {
                        (self.interval * 2).min(values.t2)
                    }
                };
                self.timers.set(Timer::E, now + self.interval);
                let bytes = self.request.bytes().clone();
                outputs.push_back(Output::Transmit(Transmit { target: self.target, bytes }));
                Lapse::Nothing
            }
            Some(Timer::F) => {
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

    pub(crate) fn terminate(&mut self) {
        self.timers.stop_all();
        self.state = State::Terminated;
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.soonest()
    }
}
