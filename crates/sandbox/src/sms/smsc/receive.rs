//! What a text that is submitted leads to.

use super::{ConnectionId, Due, Output, Smsc};
use crate::sms::ledger::{Outcome, Part, Received};
use crate::sms::script::{Answer, Ids, Report, Response, TextScript};
use std::time::{Duration, Instant};
use trunkline_sms::inbound::Inbound;
use trunkline_sms::pdu::{Destination, ShortMessage};
use trunkline_sms::receipt::State;
use trunkline_sms::segment::split::{SplitPolicy, split};
use trunkline_sms::session::AckToken;
use trunkline_sms::session::deliver::{self, Report as Receipted};
use trunkline_sms::session::server::{Reply, Request};
use trunkline_sms::status::CommandStatus;
use trunkline_sms::text::{Decoded, DefaultAlphabet};

/// registered_delivery: on which ends a receipt is wanted (SMPP 3.4 §5.2.17).
const RECEIPT_MASK: u8 = 0x03;
const RECEIPT_ON_FAILURE: u8 = 0x02;

/// How long a person takes to text back.
pub(in crate::sms) const ANSWER: Duration = Duration::from_millis(600);

impl Smsc {
    pub(super) fn requested(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        ack: AckToken,
        request: Request,
    ) {
        match request {
            Request::Submit(message) => self.submitted(now, connection, ack, message),
            Request::SubmitMulti { message, destinations } => {
                let reply = self.submitted_multi(now, &message, destinations);
                self.reply(now, connection, ack, reply);
            }
            // It is delivered before anyone can ask.
            Request::Query { .. } => {
                self.reply(now, connection, ack, Reply::Refused(CommandStatus::QUERY_FAILED));
            }
            Request::Cancel { .. } => {
                self.reply(now, connection, ack, Reply::Refused(CommandStatus::CANCEL_FAILED));
            }
        }
    }

    fn submitted(&mut self, now: Instant, connection: ConnectionId, ack: AckToken, message: ShortMessage) {
        let script = TextScript::of(&message.destination.address);
        match self.response(now, &message.destination.address, script.response) {
            Response::Accept { after } => {
                let id = self.accepted(now, &script, &message);
                self.note(&message, Outcome::Accepted, CommandStatus::OK, Some(id.clone()));
                let reply = Reply::Accepted(id);
                if after.is_zero() {
                    self.reply(now, connection, ack, reply);
                } else {
                    self.schedule(now + after, Due::Reply(connection, ack, reply));
                }
            }
            Response::Refuse { status, .. } => {
                self.note(&message, Outcome::Refused, status, None);
                self.reply(now, connection, ack, Reply::Refused(status));
            }
            Response::Silence => self.note(&message, Outcome::Unanswered, CommandStatus::OK, None),
            Response::Disconnect => {
                self.note(&message, Outcome::Disconnected, CommandStatus::OK, None);
                self.outputs.push_back(Output::Close(connection));
                self.handle_closed(now, connection);
            }
        }
    }

    /// One id for all of them, which is what the response has room for.
    fn submitted_multi(
        &mut self,
        now: Instant,
        message: &ShortMessage,
        destinations: Vec<Destination>,
    ) -> Reply {
        let id = self.next_id();
        let mut failed = Vec::new();
        for destination in destinations {
            let Destination::Number(to) = destination else { continue };
            let message = ShortMessage { destination: to.clone(), ..message.clone() };
            let script = TextScript::of(&to.address);
            if let Response::Refuse { status, .. } = self.response(now, &to.address, script.response) {
                self.note(&message, Outcome::Refused, status, None);
                failed.push((to, status));
            } else {
                self.note(&message, Outcome::Accepted, CommandStatus::OK, Some(id.to_string()));
                self.follow(now, &script, &message, id);
            }
        }
        Reply::AcceptedMulti { id: id.to_string(), failed }
    }

    /// Returns what is done now: a refusal may have passed.
    fn response(&mut self, now: Instant, to: &str, response: Response) -> Response {
        let taken = Response::Accept { after: Duration::ZERO };
        match response {
            Response::Refuse { until: Some(until), .. } if !self.attempts.refuses(now, to, until) => taken,
            Response::Disconnect if !self.attempts.refuses(now, to, Duration::ZERO) => taken,
            response => response,
        }
    }

    /// Takes a text; returns its id as the response says it.
    fn accepted(&mut self, now: Instant, script: &TextScript, message: &ShortMessage) -> String {
        let id = self.next_id();
        self.follow(now, script, message, id);
        match script.ids {
            Ids::AsIs | Ids::ResponseDecimal => id.to_string(),
            Ids::ResponseHex => format!("{id:X}"),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Schedules the receipts, and what is texted back.
    fn follow(&mut self, now: Instant, script: &TextScript, message: &ShortMessage, id: u64) {
        let id = match script.ids {
            Ids::AsIs | Ids::ResponseHex => id.to_string(),
            Ids::ResponseDecimal => format!("{id:X}"),
        };
        for report in &script.reports {
            if !wanted(message.registered_delivery, report.state) {
                continue;
            }
            let receipt = self.receipt(now, script, message, &id, *report);
            if report.after.is_zero() {
                self.queue(receipt);
            } else {
                self.schedule(now + report.after, Due::Deliver(receipt));
            }
        }
        let text = match script.answer {
            Some(Answer::Word(word)) => Some(word.to_owned()),
            // Each part of a longer text comes back by itself: this is no handset.
            Some(Answer::Echo) => read(message).0,
            None => None,
        };
        let (from, to) = (&message.destination, &message.source);
        let reference = self.references.take(&from.address, &to.address);
        if let Some(Ok(split)) = text.map(|text| split(&text, &SplitPolicy::default(), reference)) {
            for segment in deliver::text(from, to, &split) {
                self.schedule(now + ANSWER, Due::Deliver(segment));
            }
        }
    }

    fn receipt(
        &self,
        now: Instant,
        script: &TextScript,
        message: &ShortMessage,
        id: &str,
        report: Report,
    ) -> ShortMessage {
        let submitted_unix = self.unix(now);
        let done_unix = submitted_unix + report.after.as_secs() as i64;
        let report = Receipted { id, state: report.state, error: report.error, submitted_unix, done_unix };
        let receipt = deliver::receipt(message.source.clone(), message.destination.clone(), &report);
        if script.tlvs_only {
            ShortMessage { octets: Default::default(), ..receipt }
        } else {
            // The text alone, as many carriers have it.
            ShortMessage { tlvs: Vec::new(), ..receipt }
        }
    }

    fn note(&mut self, message: &ShortMessage, outcome: Outcome, status: CommandStatus, id: Option<String>) {
        let (text, part) = read(message);
        self.ledger.push(Received {
            serial: 0,
            id,
            over: "smpp",
            from: message.source.address.clone(),
            to: message.destination.address.clone(),
            text,
            part,
            data_coding: Some(message.data_coding),
            receipt_wanted: message.registered_delivery & RECEIPT_MASK != 0,
            outcome,
            status: status.0,
        });
    }
}

fn wanted(registered_delivery: u8, state: State) -> bool {
    match registered_delivery & RECEIPT_MASK {
        0 => false,
        RECEIPT_ON_FAILURE => state.is_final() && state != State::Delivered,
        _ => true,
    }
}

/// Returns what a message says, and which part of a longer one it is.
fn read(message: &ShortMessage) -> (Option<String>, Option<Part>) {
    let (decoded, part) = match Inbound::read(message.clone(), DefaultAlphabet::Gsm7, ()) {
        Inbound::Text { content, .. } => (content, None),
        Inbound::Part(piece) => {
            let content = piece.charset.decode(&piece.octets, piece.tables, piece.fill_bits);
            let concat = piece.concat;
            (content, Some(Part { reference: concat.reference, total: concat.total, seq: concat.seq }))
        }
        Inbound::Receipt(_) | Inbound::UnreadableReceipt { .. } => return (None, None),
    };
    match decoded {
        Decoded::Text { text, .. } => (Some(text), part),
        Decoded::Binary(_) => (None, part),
    }
}
