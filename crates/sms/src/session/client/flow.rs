//! What a session does about what it hears.

use std::time::Instant;

use super::{Client, Event, Flight, Output, SOUND_AFTER, State, UNANSWERED_MAX};
use crate::pdu::{Body, ShortMessage};
use crate::session::AckToken;
use crate::session::backoff::Backoff;
use crate::session::link::{Asked, End};
use crate::status::{Class, CommandStatus};

impl<M> Client<M> {
    pub(super) fn heard_request(&mut self, now: Instant, sequence: u32, body: Body) {
        let bound = matches!(self.state, State::Bound(_) | State::Draining);
        match body {
            Body::Deliver(message) if bound => self.delivered(sequence, message, false),
            Body::Data(message) if bound => self.delivered(sequence, message, true),
            Body::Unbind => {
                self.link.respond(sequence, CommandStatus::OK, Body::UnbindResp);
                self.end(now, End::Unbound);
            }
            // We connect by ourselves.
            Body::Outbind { .. } => self.link.counters.unexpected_requests += 1,
            Body::Deliver(_) | Body::Data(_) => {
                self.link.refuse(sequence, &body, CommandStatus::INVALID_BIND_STATUS);
            }
            body => self.link.refuse(sequence, &body, CommandStatus::INVALID_COMMAND_ID),
        }
    }

    fn delivered(&mut self, sequence: u32, message: ShortMessage, is_data: bool) {
        let refusal = if !self.config.bind.kind.receives() {
            Some(CommandStatus::INVALID_BIND_STATUS)
        } else if self.unacknowledged.len() >= self.config.deliver_window {
            Some(CommandStatus::MESSAGE_QUEUE_FULL)
        } else {
            None
        };
        if let Some(status) = refusal {
            let body = if is_data { Body::Data(message) } else { Body::Deliver(message) };
            return self.link.refuse(sequence, &body, status);
        }
        self.delivered += 1;
        let ack = AckToken { session: self.session, serial: self.delivered };
        self.unacknowledged.insert(ack, (sequence, is_data));
        self.event(Event::Deliver { ack, message });
    }

    pub(super) fn heard_answer(
        &mut self,
        now: Instant,
        asked: Asked<Flight<M>>,
        status: CommandStatus,
        body: Body,
    ) {
        match asked {
            Asked::Bind => self.bind_answered(now, status, body),
            Asked::Unbind => self.end(now, End::Unbound),
            Asked::EnquireLink => {}
            Asked::Message(flight) => {
                self.unanswered_in_a_row = 0;
                self.message_answered(now, flight, status, body);
            }
        }
    }

    fn bind_answered(&mut self, now: Instant, status: CommandStatus, body: Body) {
        if self.state != State::Binding {
            return;
        }
        if !status.is_ok() {
            return self.end(now, End::BindRefused(status));
        }
        let version = match body {
            Body::BindResp { version, .. } => version,
            _ => None,
        };
        self.state = State::Bound(now);
        self.event(Event::Bound { version });
    }

    fn message_answered(&mut self, now: Instant, flight: Flight<M>, status: CommandStatus, body: Body) {
        match self.config.statuses.class(status) {
            Class::Accepted => {
                self.throttled_in_a_row = 0;
                let id = match body {
                    Body::SubmitResp { id } | Body::DataResp { id } => id,
                    _ => None,
                };
                self.event(Event::Accepted { token: flight.token, id });
            }
            Class::Throttled if matches!(self.state, State::Bound(_)) => self.throttled(now, flight),
            // Nobody will send it again on a session that is to end.
            Class::Throttled => self.event(Event::Returned { token: flight.token, in_doubt: false }),
            Class::Rebind => {
                self.event(Event::Returned { token: flight.token, in_doubt: false });
                self.end(now, End::BindLost);
            }
            class @ (Class::Final | Class::Retry | Class::RetryFew | Class::Destination | Class::Session) => {
                self.event(Event::Refused { token: flight.token, status, class });
            }
        }
        self.flush(now);
    }

    /// Puts a throttled message back in its place and pauses, once for all that were on their way together.
    fn throttled(&mut self, now: Instant, flight: Flight<M>) {
        let place = self.backlog.partition_point(|other| other.order < flight.order);
        self.backlog.insert(place, flight);
        if self.paused_until.is_none() {
            let until = now + Backoff::MINUTE.pause(self.throttled_in_a_row);
            self.throttled_in_a_row = self.throttled_in_a_row.saturating_add(1);
            self.paused_until = Some(until);
            self.event(Event::Paused { until });
        }
    }

    /// Sends what waits, as far as the window goes.
    pub(super) fn flush(&mut self, now: Instant) {
        while matches!(self.state, State::Bound(_))
            && self.paused_until.is_none()
            && self.link.messages_pending() < self.config.window
            && let Some(flight) = self.backlog.pop_front()
        {
            let body = Body::Submit(flight.message.clone().for_version(self.config.bind.version));
            let sent = self.link.request(now, body, Asked::Message(flight));
            if let Err((error, Asked::Message(flight))) = sent {
                self.event(Event::Unencodable { token: flight.token, field: error.0 });
            }
        }
    }

    pub(super) fn timed_out(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.event(Event::Resumed);
            self.flush(now);
        }
        while let Some(asked) = self.link.poll_overdue(now) {
            match asked {
                Asked::Bind => return self.end(now, End::NotBound),
                Asked::Unbind => return self.end(now, End::Unbound),
                Asked::EnquireLink => return self.end(now, End::Unresponsive),
                Asked::Message(flight) => {
                    self.event(Event::Unanswered { token: flight.token });
                    self.unanswered_in_a_row += 1;
                    if self.unanswered_in_a_row >= UNANSWERED_MAX {
                        return self.end(now, End::Unresponsive);
                    }
                }
            }
        }
        self.flush(now);
        if let Err(end) = self.link.tend(now) {
            self.end(now, end);
        }
    }

    pub(super) fn unbind_when_drained(&mut self, now: Instant) {
        if self.state == State::Draining && self.link.messages_pending() == 0 {
            self.state = State::Unbinding;
            // An unbind has no field that could fail to fit.
            let _ = self.link.request(now, Body::Unbind, Asked::Unbind);
        }
    }

    /// Closes the connection and comes back later, unless the session was to end.
    pub(super) fn end(&mut self, now: Instant, end: End) {
        if !self.is_live() {
            return;
        }
        self.collect();
        self.outputs.push_back(Output::Close);
        match self.state {
            State::Draining | State::Unbinding => self.halt(end),
            State::Waiting(_) | State::Connecting | State::Binding | State::Bound(_) | State::Stopped => {
                self.lose(now, end);
            }
        }
    }

    /// Gives everything back and waits for the next attempt.
    pub(super) fn lose(&mut self, now: Instant, end: End) {
        if matches!(self.state, State::Bound(since) if now >= since + SOUND_AFTER) {
            self.failures = 0;
        }
        let pause = match end {
            End::BindRefused(status) if self.config.statuses.class(status) == Class::Session => {
                self.config.refused_pause
            }
            _ => self.config.reconnect.jittered(self.failures, &mut self.jitter),
        };
        self.failures = self.failures.saturating_add(1);
        let retry_at = now + pause;
        self.give_back();
        self.state = State::Waiting(retry_at);
        self.event(Event::Down { end, retry_at: Some(retry_at) });
    }

    pub(super) fn halt(&mut self, end: End) {
        self.give_back();
        self.state = State::Stopped;
        self.event(Event::Down { end, retry_at: None });
    }

    pub(super) fn return_backlog(&mut self) {
        while let Some(flight) = self.backlog.pop_front() {
            self.event(Event::Returned { token: flight.token, in_doubt: false });
        }
    }

    fn give_back(&mut self) {
        self.unacknowledged.clear();
        self.paused_until = None;
        self.unanswered_in_a_row = 0;
        for flight in self.link.drain_pending() {
            self.event(Event::Returned { token: flight.token, in_doubt: true });
        }
        self.return_backlog();
    }
}
