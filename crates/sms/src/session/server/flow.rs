//! What a customer's session does about what it hears.

use std::time::Instant;

use super::{Command, Event, Output, Reply, Request, Server, State};
use crate::pdu::{Body, ShortMessage};
use crate::session::AckToken;
use crate::session::link::{Asked, End, Heard};
use crate::status::{Class, CommandStatus};

impl<M> Server<M> {
    pub(super) fn received(&mut self, now: Instant, octets: &[u8]) {
        let received = self.link.receive(now, octets);
        while let Some(heard) = self.link.poll_heard() {
            match heard {
                Heard::Request { sequence, body } => self.heard_request(now, sequence, body),
                Heard::Answer { asked, status, .. } => self.heard_answer(asked, status),
            }
        }
        if let Err(end) = received {
            self.end(end);
        }
    }

    fn heard_request(&mut self, now: Instant, sequence: u32, body: Body) {
        match (self.state, body) {
            (State::Closed | State::Unbinding, _) => {}
            (State::Unbound(_), Body::Bind(bind)) => {
                self.state = State::Deciding { sequence, kind: bind.kind };
                self.version = bind.version;
                self.event(Event::BindRequested(bind));
            }
            (_, body @ Body::Bind(_)) => {
                self.link.refuse(sequence, &body, CommandStatus::ALREADY_BOUND);
            }
            (_, Body::Unbind) => {
                self.link.respond(sequence, CommandStatus::OK, Body::UnbindResp);
                self.end(End::Unbound);
            }
            (State::Bound { kind, .. }, body) if kind.submits() => self.bound_request(now, sequence, body),
            (_, body) => self.link.refuse(sequence, &body, CommandStatus::INVALID_BIND_STATUS),
        }
    }

    fn bound_request(&mut self, now: Instant, sequence: u32, body: Body) {
        let Some((command, cost)) = command_of(&body) else {
            return self.link.refuse(sequence, &body, CommandStatus::INVALID_COMMAND_ID);
        };
        if !self.admits(now, cost) {
            return self.link.refuse(sequence, &body, CommandStatus::THROTTLED);
        }
        let request = match body {
            Body::Submit(message) | Body::Data(message) => Request::Submit(message),
            Body::SubmitMulti { message, destinations } => Request::SubmitMulti { message, destinations },
            Body::Query { id, source } => Request::Query { id, source },
            Body::Cancel { id, source, destination, .. } => Request::Cancel { id, source, destination },
            other => return self.link.refuse(sequence, &other, CommandStatus::INVALID_COMMAND_ID),
        };
        self.requested += 1;
        let ack = AckToken { session: self.session, serial: self.requested };
        self.unanswered.insert(ack, (sequence, command));
        self.event(Event::Request { ack, request });
    }

    /// Whether the account's window and rate have room for so many messages.
    fn admits(&mut self, now: Instant, messages: u16) -> bool {
        let State::Bound { grant, .. } = self.state else { return false };
        let in_window = self.unanswered.len() < grant.window;
        in_window
            && match &mut self.bucket {
                Some(bucket) if messages > 0 => bucket.try_take(now, messages),
                Some(_) | None => true,
            }
    }

    fn heard_answer(&mut self, asked: Asked<M>, status: CommandStatus) {
        match asked {
            Asked::Unbind => self.end(End::Unbound),
            Asked::Bind | Asked::EnquireLink => {}
            Asked::Message(token) => match self.config.statuses.class(status) {
                Class::Accepted => self.event(Event::Delivered { token }),
                class => self.event(Event::Refused { token, status, class }),
            },
        }
    }

    pub(super) fn send(&mut self, now: Instant, token: M, message: ShortMessage) {
        let message = message.for_version(self.version);
        let sent = self.link.request(now, Body::Deliver(message), Asked::Message(token));
        if let Err((_, Asked::Message(token))) = sent {
            let status = CommandStatus::INVALID_MESSAGE_LENGTH;
            self.event(Event::Refused { token, status, class: Class::Final });
        }
    }

    pub(super) fn unbind(&mut self, now: Instant) {
        self.state = State::Unbinding;
        // An unbind has no field that could fail to fit.
        let _ = self.link.request(now, Body::Unbind, Asked::Unbind);
    }

    pub(super) fn refuse_when_due(&mut self, now: Instant) {
        if let State::Refusing { sequence, kind, status, at } = self.state
            && at <= now
        {
            let body = Body::BindResp { kind, system_id: String::new(), version: None };
            self.link.respond(sequence, status, body);
            self.end(End::BindRefused(status));
        }
    }

    pub(super) fn timed_out(&mut self, now: Instant) {
        while let Some(asked) = self.link.poll_overdue(now) {
            match asked {
                Asked::Bind => {}
                Asked::Unbind => return self.end(End::Unbound),
                Asked::EnquireLink => return self.end(End::Unresponsive),
                Asked::Message(token) => self.event(Event::Undelivered { token, in_doubt: true }),
            }
        }
        if let Err(end) = self.link.tend(now) {
            self.end(end);
        }
    }

    /// Closes the connection.
    pub(super) fn end(&mut self, end: End) {
        if self.state != State::Closed {
            self.collect();
            self.outputs.push_back(Output::Close);
            self.finish(end);
        }
    }

    pub(super) fn finish(&mut self, end: End) {
        self.state = State::Closed;
        self.unanswered.clear();
        for token in self.link.drain_pending() {
            self.event(Event::Undelivered { token, in_doubt: true });
        }
        self.event(Event::Ended(end));
    }
}

/// The command of a request, and how many messages it makes; none for what a customer does not ask.
fn command_of(body: &Body) -> Option<(Command, u16)> {
    Some(match body {
        Body::Submit(_) => (Command::Submit, 1),
        Body::Data(_) => (Command::Data, 1),
        Body::SubmitMulti { destinations, .. } => (Command::SubmitMulti, destinations.len() as u16),
        Body::Query { .. } => (Command::Query, 0),
        Body::Cancel { .. } => (Command::Cancel, 0),
        _ => return None,
    })
}

/// Returns the status and the body of a reply in the response that belongs to the command.
pub(super) fn response(command: Command, reply: Reply) -> (CommandStatus, Body) {
    let status = match &reply {
        Reply::Refused(status) => *status,
        Reply::Accepted(_) | Reply::AcceptedMulti { .. } | Reply::State { .. } | Reply::Cancelled => {
            CommandStatus::OK
        }
    };
    let accepted = match &reply {
        Reply::Accepted(id) | Reply::AcceptedMulti { id, .. } => Some(id.clone()),
        Reply::State { .. } | Reply::Cancelled | Reply::Refused(_) => None,
    };
    let body = match command {
        Command::Submit => Body::SubmitResp { id: accepted },
        Command::Data => Body::DataResp { id: accepted },
        Command::SubmitMulti => {
            let failed = match reply {
                Reply::AcceptedMulti { failed, .. } => failed,
                Reply::Accepted(_) | Reply::State { .. } | Reply::Cancelled | Reply::Refused(_) => Vec::new(),
            };
            Body::SubmitMultiResp { id: accepted, failed }
        }
        Command::Query => match reply {
            Reply::State { id, final_date, state, error } => Body::QueryResp { id, final_date, state, error },
            Reply::Accepted(_) | Reply::AcceptedMulti { .. } | Reply::Cancelled | Reply::Refused(_) => {
                Body::QueryResp { id: String::new(), final_date: String::new(), state: 7, error: 0 }
            }
        },
        Command::Cancel => Body::CancelResp,
    };
    (status, body)
}
