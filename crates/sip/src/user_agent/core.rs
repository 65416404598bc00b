//! What sessions and the user agent share: transactions, timers, randomness, outputs.

use std::collections::VecDeque;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::deadlines::{Deadlines, Who};
use super::send::Query;
use super::table::{Id, Table};
use super::{Config, Counts, Event, Output, Reply, is_free};
use crate::header::Name;
use crate::message::{Message, MessageBuilder, response_to};
use crate::method::Method;
use crate::status::reason_phrase;
use crate::timer::TimerValues;
use crate::transaction::{ClientMachine, Transactions};
use crate::transport::Transmit;

/// What sessions act through.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) transactions: Transactions,
    pub(crate) deadlines: Deadlines,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) queries: Table<Query>,
    pub(crate) counts: Counts,
    /// Keys the part of our branches by which a request that comes back to us is known.
    pub(super) loop_key: u64,
    rng: ChaCha8Rng,
    allow: String,
}

impl Core {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let loop_key = rng.next_u64();
        let allow = allow(&config);
        Self {
            config,
            transactions: Transactions::new(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            queries: Table::new(),
            counts: Counts::default(),
            loop_key,
            rng,
            allow,
        }
    }

    pub(crate) fn values(&self) -> TimerValues {
        self.config.timers
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Returns a number below a bound. The bias of the remainder does not matter for what it is used for: delays.
    pub(crate) fn random_below(&mut self, bound: u64) -> u64 {
        self.random() % bound.max(1)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        self.outputs.push_back(Output::Transmit(transmit));
    }

    /// Returns the value of Allow: what INVITE sessions need, and what the owner takes.
    pub(crate) fn allow(&self) -> &str {
        &self.allow
    }

    /// Adds who we are to a response.
    pub(crate) fn server_headers(&self, builder: MessageBuilder) -> MessageBuilder {
        if self.config.product.is_empty() {
            builder
        } else {
            builder.header(Name::Server, &self.config.product)
        }
    }

    /// Adds who we are to a request.
    pub(crate) fn client_headers(&self, builder: MessageBuilder) -> MessageBuilder {
        if self.config.product.is_empty() {
            builder
        } else {
            builder.header(Name::UserAgent, &self.config.product)
        }
    }

    /// Sends a response in a server transaction.
    pub(crate) fn respond(&mut self, now: Instant, server: Id, response: &Message) {
        let values = self.values();
        self.transactions.respond(now, &values, &mut self.deadlines, &mut self.outputs, server, response);
    }

    /// Sends a response of our own making: a status, and what must stand in it.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        server: Id,
        status: u16,
        tag: &str,
        headers: &[(Name, &str)],
    ) {
        self.answer_saying(now, server, (status, reason_phrase(status)), tag, headers);
    }

    /// Sends a response of our own making, with a phrase that says what is wrong.
    pub(crate) fn answer_saying(
        &mut self,
        now: Instant,
        server: Id,
        (status, phrase): (u16, &str),
        tag: &str,
        headers: &[(Name, &str)],
    ) {
        let Some(request) = self.transactions.server(server).map(|server| server.request().clone()) else {
            return;
        };
        let mut builder = response_to(&request, status, phrase, Some(tag));
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        if let Ok(response) = self.server_headers(builder).finish() {
            self.respond(now, server, &response);
        }
    }

    /// Sends the owner's response to a request that is not part of an INVITE session.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        server: Id,
        request: &Message,
        tag: &str,
        reply: &Reply,
    ) -> bool {
        let mut builder = response_to(request, reply.status, reply.phrase(), Some(tag));
        // Of a redirect, and of a registrar, whose Contacts are not ours (RFC 3261 §10.3 item 8).
        let is_registrar = request.method() == Some(&Method::Register);
        let names_contacts = reply.status >= 300 || is_registrar;
        builder = reply.headers.write(builder, |name| {
            is_free(name) || names_contacts && name == Name::Contact || is_registrar && name == Name::Require
        });
        if (200..300).contains(&reply.status) {
            builder = builder.header(Name::Allow, &self.allow).header(Name::Supported, SUPPORTED);
        } else if reply.status == 405 {
            // RFC 3261 §21.4.6. What we take in general may not be taken here.
            let refused = request.method().map(Method::as_str).unwrap_or_default();
            let others: Vec<&str> = self.allow.split(", ").filter(|method| *method != refused).collect();
            builder = builder.header(Name::Allow, others.join(", "));
        }
        builder = self.server_headers(builder);
        if let Some((content_type, body)) = &reply.body {
            builder = builder.body(content_type, body.clone());
        }
        match builder.finish() {
            Ok(response) => {
                self.respond(now, server, &response);
                true
            }
            Err(_) => false,
        }
    }

    /// Ends a client transaction without a final response.
    pub(crate) fn end_client(&mut self, id: Id) {
        if let Some(client) = self.transactions.client_mut(id) {
            client.machine.terminate();
        }
        self.transactions.settle_client(&mut self.deadlines, id);
    }

    /// Leaves an INVITE, whose outcome nobody waits for any more, 64·T1 for its final response, at no other server.
    pub(crate) fn abandon_client(&mut self, now: Instant, id: Id) {
        let patience = self.values().patience();
        if let Some(client) = self.transactions.client_mut(id) {
            client.retry = None;
            if let ClientMachine::Invite(machine) = &mut client.machine {
                machine.give_up_at(now + patience);
            }
        }
        self.transactions.settle_client(&mut self.deadlines, id);
    }

    /// Says whether a machine still has that entry in the heap; nothing for machines that are not kept here.
    pub(crate) fn is_live(&self, who: Who, serial: u64) -> Option<bool> {
        let armed = match who {
            Who::Client(id) => self.transactions.client(id)?.armed(),
            Who::Server(id) => self.transactions.server(id)?.armed(),
            Who::Query(id) => self.queries.get(id)?.armed,
            Who::Session(_) | Who::Request(_) => return None,
        };
        Some(armed.is_some_and(|armed| armed.serial() == serial))
    }
}

/// The extensions that sessions speak: RFC 3262 and RFC 4028.
pub(crate) const SUPPORTED: &str = "100rel, timer";

fn allow(config: &Config) -> String {
    let mut allow = String::from("INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS");
    for method in &config.methods {
        if *method != Method::Options {
            allow.push_str(", ");
            allow.push_str(method.as_str());
        }
    }
    allow
}

/// Returns a number as 16 hexadecimal digits, as it stands in tags and branches.
pub(crate) fn hex(number: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    (0..16)
        .rev()
        .filter_map(|place| DIGITS.get((number >> (place * 4) & 15) as usize))
        .map(|digit| char::from(*digit))
        .collect()
}
