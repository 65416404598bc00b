//! What customers' systems ask for, and its answers.
//!
//! Texts go the way of those of the REST API: checked, accepted with one statement, answered once they are on disk. A
//! whole text is kept as text, so that any carrier can take it; a part of a longer one, and what is no text, as the
//! octets that came.

use super::super::accounts::{CANCELLED, TAG_FAILURES, TAG_SUCCESSES, Tag, state_of, tell_ends};
use super::super::ended::Ended;
use super::Shared;
use crate::app::unix_ms;
use crate::config::SmsAccount;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracing::error;
use trunkline_model::E164;
use trunkline_sms::inbound::Inbound;
use trunkline_sms::party::Sender;
use trunkline_sms::pdu::{Address, Destination, ShortMessage};
use trunkline_sms::segment::Concat;
use trunkline_sms::session::AckToken;
use trunkline_sms::session::server::{Reply, Request};
use trunkline_sms::session::time;
use trunkline_sms::status::CommandStatus;
use trunkline_sms::text::Decoded;
use trunkline_storage::messages::delivery::{self, Next, Settled};
use trunkline_storage::messages::{
    self, Accepted, Content, Message, MessageId, NewMessage, Outcome, Source, State, Status, history,
};
use trunkline_storage::{Connection, Error, Store, numbers, resources};
use uuid::Uuid;

/// Octets of a segment beyond which no handset gets one (3GPP TS 23.040 §9.2.3.16), each septet in an octet of its own.
const SEGMENT_OCTETS_MAX: usize = 160;

/// Longest text: as the REST API has it.
const TEXT_CHARS_MAX: usize = 2_048;

/// The code of a message that was taken back: it is no failure of anyone's.
const CODE_CANCELLED: u16 = 5_000;

/// INVDLNAME and INVSCHED (SMPP 3.4 §5.1.3).
const UNKNOWN_LIST: CommandStatus = CommandStatus(0x34);
const INVALID_SCHEDULE: CommandStatus = CommandStatus(0x61);
const INVALID_EXPIRY: CommandStatus = CommandStatus(0x62);

/// A message of a request, checked as far as it can be without the database.
struct Draft {
    from: Sender,
    to: E164,
    content: Content,
    tag: Tag,
    wants_report: bool,
    expires_unix_ms: i64,
}

/// What a request has become so far.
enum Part {
    /// It is answered.
    Done(Reply),
    /// It is one message.
    One(Draft),
    /// It is several under one id, but for these.
    Several(Vec<Draft>, Vec<(Address, CommandStatus)>),
}

/// Returns the answers to requests, once what they ask for is on disk.
pub(super) async fn answer(
    shared: &Shared,
    account: &SmsAccount,
    requests: Vec<(AckToken, Request)>,
) -> Vec<(AckToken, Reply)> {
    let now = unix_ms();
    let mut acks = Vec::with_capacity(requests.len());
    let mut parts = Vec::with_capacity(requests.len());
    for (ack, request) in requests {
        acks.push(ack);
        parts.push(match request {
            Request::Submit(message) => match draft(shared, account, &message, &message.destination, now) {
                Ok(draft) => Part::One(draft),
                Err(status) => Part::Done(Reply::Refused(status)),
            },
            Request::SubmitMulti { message, destinations } => {
                several(shared, account, &message, destinations, now)
            }
            Request::Query { id, .. } => Part::Done(query(&shared.store, account, &id).await),
            Request::Cancel { id, .. } => Part::Done(cancel(&shared.store, account, &id, now).await),
        });
    }
    acks.into_iter().zip(accept(shared, account, parts, now).await).collect()
}

fn several(
    shared: &Shared,
    account: &SmsAccount,
    message: &ShortMessage,
    destinations: Vec<Destination>,
    now: i64,
) -> Part {
    let (mut drafts, mut failed) = (Vec::new(), Vec::new());
    for destination in destinations {
        match destination {
            Destination::Number(to) => match draft(shared, account, message, &to, now) {
                Ok(draft) => drafts.push(draft),
                Err(status) => failed.push((to, status)),
            },
            // There are no lists here.
            Destination::List(_) => failed.push((Address::default(), UNKNOWN_LIST)),
        }
    }
    match (drafts.is_empty(), failed.first()) {
        (true, Some((_, status))) => Part::Done(Reply::Refused(*status)),
        (true, None) => Part::Done(Reply::Refused(CommandStatus::INVALID_DESTINATION)),
        (false, _) => Part::Several(drafts, failed),
    }
}

fn draft(
    shared: &Shared,
    account: &SmsAccount,
    message: &ShortMessage,
    to: &Address,
    now: i64,
) -> Result<Draft, CommandStatus> {
    if !message.schedule.is_empty() {
        return Err(INVALID_SCHEDULE);
    }
    let from = sender(&message.source).ok_or(CommandStatus::INVALID_SOURCE)?;
    let to = number(to).ok_or(CommandStatus::INVALID_DESTINATION)?;
    let most = now.saturating_add(millis(shared.terms.validity));
    let expires_unix_ms = match message.validity.as_str() {
        "" => most,
        text => {
            let unix = time::parse(text, now / 1_000).ok_or(INVALID_EXPIRY)?;
            unix.saturating_mul(1_000).min(most)
        }
    };
    if expires_unix_ms <= now {
        return Err(INVALID_EXPIRY);
    }
    let report = match message.registered_delivery & 0x03 {
        2 => Some(TAG_FAILURES.to_owned()),
        3 => Some(TAG_SUCCESSES.to_owned()),
        _ => None,
    };
    Ok(Draft {
        from,
        to,
        content: content(account, message)?,
        tag: Tag { report, id: None },
        wants_report: message.registered_delivery & 0x03 != 0,
        expires_unix_ms,
    })
}

/// What a message says: words where it is whole, else its octets.
fn content(account: &SmsAccount, message: &ShortMessage) -> Result<Content, CommandStatus> {
    let too_long = CommandStatus::INVALID_MESSAGE_LENGTH;
    match Inbound::read(message.clone(), account.alphabet, ()) {
        // esm_class of a receipt: nothing that a customer submits.
        Inbound::Receipt(_) | Inbound::UnreadableReceipt { .. } => Err(CommandStatus::INVALID_ESM_CLASS),
        // A header that is no part of a longer text, such as one for a port, has its meaning: it goes as it is.
        Inbound::Text { content: Decoded::Text { text, lossy: false }, .. } if !message.has_header() => {
            if text.chars().count() > TEXT_CHARS_MAX {
                return Err(too_long);
            }
            Ok(Content::Text(text))
        }
        Inbound::Text { .. } | Inbound::Part(_) => {
            let (header, octets) = match message.sar() {
                Some(part) if !message.has_header() => {
                    (true, [&header(part)[..], &message.octets[..]].concat())
                }
                Some(_) | None => (message.has_header(), message.octets.to_vec()),
            };
            if octets.len() > SEGMENT_OCTETS_MAX {
                return Err(too_long);
            }
            Ok(Content::Octets { octets, data_coding: message.data_coding, header })
        }
    }
}

/// The header that says what sar_* TLVs say.
fn header(part: Concat) -> [u8; 7] {
    part.header_16bit()
}

/// Reads a source: its type decides, where it has one.
fn sender(address: &Address) -> Option<Sender> {
    const ALPHANUMERIC: u8 = 5;
    if address.ton == ALPHANUMERIC {
        return Sender::parse(&address.address).ok().filter(|sender| matches!(sender, Sender::Name(_)));
    }
    number(address).map(Sender::Number).or_else(|| Sender::parse(&address.address).ok())
}

/// Reads a number: international with or without `+`, or one of the North American plan without its country code.
fn number(address: &Address) -> Option<E164> {
    const INTERNATIONAL: u8 = 1;
    let text = address.address.as_str();
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let international = address.ton == INTERNATIONAL || text.len() != digits.len();
    match digits.len() {
        10 if !international => E164::parse(&format!("+1{digits}")).ok(),
        // Short codes have five or six digits.
        0..=6 if !international => None,
        _ => E164::parse(&format!("+{digits}")).ok(),
    }
}

/// Accepts what is left to accept, in one unit.
async fn accept(shared: &Shared, account: &SmsAccount, parts: Vec<Part>, now: i64) -> Vec<Reply> {
    if parts.iter().all(|part| matches!(part, Part::Done(_))) {
        return parts.into_iter().map(|part| done(part, CommandStatus::SYSTEM_ERROR)).collect();
    }
    let unit = Unit {
        resource: account.resource.clone(),
        source: Source::Account(account.name.clone()),
        purpose: account.purpose,
        short_codes: configured(shared, account),
        report_grace_ms: millis(shared.terms.report_grace),
        now,
    };
    let count = parts.len();
    match shared.store.write(move |db| Box::pin(async move { unit.run(db, parts).await })).await {
        Ok(replies) => replies,
        Err(error) => {
            error!(%error, account = account.name, "messages of an account were not kept");
            let status = match error {
                Error::Busy | Error::Contended { .. } => CommandStatus::THROTTLED,
                _ => CommandStatus::SYSTEM_ERROR,
            };
            vec![Reply::Refused(status); count]
        }
    }
}

fn done(part: Part, otherwise: CommandStatus) -> Reply {
    match part {
        Part::Done(reply) => reply,
        Part::One(_) | Part::Several(..) => Reply::Refused(otherwise),
    }
}

/// Senders that are no numbers of the inventory, of the account's resource.
fn configured(shared: &Shared, account: &SmsAccount) -> BTreeSet<String> {
    let codes = shared.terms.senders.short_codes.iter();
    codes.filter(|(_, code)| code.resource == account.resource).map(|(code, _)| code.clone()).collect()
}

/// What the unit that accepts messages needs to know.
struct Unit {
    resource: String,
    source: Source,
    purpose: messages::Purpose,
    short_codes: BTreeSet<String>,
    report_grace_ms: i64,
    now: i64,
}

impl Unit {
    async fn run(self, db: &mut Connection, parts: Vec<Part>) -> Result<Vec<Reply>, Error> {
        let resource = resources::by_name(db, &self.resource).await?;
        let Some(resource) = resource.filter(|resource| resource.suspended_unix_ms.is_none()) else {
            let refused = CommandStatus::REJECTED_BY_APPLICATION;
            return Ok(parts.into_iter().map(|part| done(part, refused)).collect());
        };
        let mut may_send = BTreeMap::new();
        for draft in parts.iter().flat_map(Part::drafts) {
            if !may_send.contains_key(&draft.from) {
                let may = self.may_send(db, resource.id, &draft.from).await?;
                may_send.insert(draft.from.clone(), may);
            }
        }
        let may = |draft: &Draft| may_send.get(&draft.from) == Some(&true);
        // Messages of one request have one sender, so they stand or fall together. The first of each comes first: its
        // id is the one of all.
        let firsts: Vec<NewMessage> = parts
            .iter()
            .filter_map(|part| part.drafts().first())
            .filter(|draft| may(draft))
            .map(|draft| self.message(resource.id, draft, draft.tag.clone()))
            .collect();
        let mut ids = messages::accept(db, &firsts, self.now).await?.into_iter().filter_map(id_of);
        let mut others = Vec::new();
        let mut replies = Vec::with_capacity(parts.len());
        for part in parts {
            let first = part.drafts().first().filter(|draft| may(draft)).and_then(|_| ids.next());
            replies.push(match (part, first) {
                (Part::Done(reply), _) => reply,
                (Part::One(_) | Part::Several(..), None) => Reply::Refused(CommandStatus::INVALID_SOURCE),
                (Part::One(_), Some(id)) => Reply::Accepted(id.to_string()),
                (Part::Several(drafts, failed), Some(id)) => {
                    let id = id.to_string();
                    others.extend(drafts.iter().skip(1).map(|draft| {
                        let tag = Tag { id: Some(id.clone()), ..draft.tag.clone() };
                        self.message(resource.id, draft, tag)
                    }));
                    Reply::AcceptedMulti { id, failed }
                }
            });
        }
        messages::accept(db, &others, self.now).await?;
        Ok(replies)
    }

    /// Whether the resource may send from there: a number of its own that sends texts, or a short code of its own.
    async fn may_send(&self, db: &mut Connection, resource: Uuid, from: &Sender) -> Result<bool, Error> {
        Ok(match from {
            Sender::Number(number) => {
                let owned = numbers::owned_number(db, resource, *number).await?;
                owned.is_some_and(|owned| owned.assignment.terms.sms.is_outbound())
            }
            Sender::ShortCode(code) => self.short_codes.contains(code),
            // Nobody owns a name in the countries that numbers are of.
            Sender::Name(_) => false,
        })
    }

    fn message(&self, resource: Uuid, draft: &Draft, tag: Tag) -> NewMessage {
        NewMessage {
            resource,
            source: self.source.clone(),
            from: draft.from.to_string(),
            to: draft.to,
            content: draft.content.clone(),
            purpose: self.purpose,
            wants_report: draft.wants_report,
            tag: tag.write(),
            request: None,
            expires_unix_ms: draft.expires_unix_ms,
            report_by_unix_ms: draft.expires_unix_ms.saturating_add(self.report_grace_ms),
        }
    }
}

impl Part {
    fn drafts(&self) -> &[Draft] {
        match self {
            Self::Done(_) => &[],
            Self::One(draft) => std::slice::from_ref(draft),
            Self::Several(drafts, _) => drafts,
        }
    }
}

fn id_of(accepted: Accepted) -> Option<MessageId> {
    match accepted {
        Accepted::New(id) | Accepted::Again(id) => Some(id),
        // Only wishes with a name of their own can conflict.
        Accepted::Conflict => None,
    }
}

/// Returns the message of an account's, by the id that it was told.
async fn find(db: &mut Connection, account: &str, id: &str) -> Result<Option<Message>, Error> {
    let Ok(id) = id.parse::<MessageId>() else { return Ok(None) };
    let message = history::by_id(db, id).await?;
    Ok(message.filter(|message| matches!(&message.source, Source::Account(name) if name == account)))
}

async fn query(store: &Store, account: &SmsAccount, id: &str) -> Reply {
    let found = async { find(&mut store.read().await?, &account.name, id).await };
    match found.await {
        Ok(Some(message)) => {
            let outcome = message.outcome.as_ref();
            Reply::State {
                id: id.to_owned(),
                final_date: outcome.map_or_else(String::new, |end| time::absolute(end.ended_unix_ms / 1_000)),
                state: outcome.map_or(trunkline_sms::receipt::State::Enroute, state_of).to_tlv(),
                // The network's error is one octet here, and ours are codes of four digits.
                error: 0,
            }
        }
        Ok(None) => Reply::Refused(CommandStatus::INVALID_MESSAGE_ID),
        Err(error) => {
            error!(%error, "the state of a message cannot be read");
            Reply::Refused(CommandStatus::QUERY_FAILED)
        }
    }
}

/// Takes back a message that no carrier has been given.
async fn cancel(store: &Store, account: &SmsAccount, id: &str, now: i64) -> Reply {
    let (account, id) = (account.name.clone(), id.to_owned());
    let work = store.write(move |db| {
        Box::pin(async move {
            let Some(message) = find(db, &account, &id).await? else {
                return Ok(Reply::Refused(CommandStatus::INVALID_MESSAGE_ID));
            };
            if message.state != State::Queued || message.delivery.in_doubt > 0 {
                return Ok(Reply::Refused(CommandStatus::CANCEL_FAILED));
            }
            let outcome = Outcome {
                status: Status::Failed,
                code: CODE_CANCELLED,
                detail: CANCELLED.to_owned(),
                ended_unix_ms: now,
            };
            let settled = Settled {
                seq: message.seq,
                claims: message.claims,
                delivery: message.delivery.clone(),
                next: Next::Ended(outcome.clone()),
            };
            if delivery::settle(db, &[settled]).await?.is_empty() {
                return Ok(Reply::Refused(CommandStatus::CANCEL_FAILED));
            }
            let counts = message.counts(&[]);
            tell_ends(db, &[Ended { message, outcome, counts }], now).await?;
            Ok::<_, Error>(Reply::Cancelled)
        })
    });
    work.await.unwrap_or_else(|error| {
        error!(%error, "a message was not cancelled");
        Reply::Refused(CommandStatus::CANCEL_FAILED)
    })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ton: u8, text: &str) -> Address {
        Address { ton, npi: 0, address: text.into() }
    }

    #[test]
    fn numbers_are_read_however_customers_write_them() {
        for (ton, text) in [
            (1, "14255550100"),
            (1, "+14255550100"),
            (0, "14255550100"),
            (0, "+14255550100"),
            (2, "4255550100"),
            (0, "4255550100"),
        ] {
            assert_eq!(number(&address(ton, text)), E164::parse("+14255550100").ok(), "{ton} {text}");
        }
        for (ton, text) in [(0, "55555"), (1, ""), (0, "425-5550100"), (5, "ACME"), (1, "00")] {
            assert_eq!(number(&address(ton, text)), None, "{ton} {text}");
        }
    }

    #[test]
    fn senders_are_numbers_codes_and_names() {
        assert_eq!(sender(&address(5, "ACME")), Some(Sender::Name("ACME".into())));
        assert_eq!(sender(&address(3, "55555")), Some(Sender::ShortCode("55555".into())));
        assert!(matches!(sender(&address(1, "14255550100")), Some(Sender::Number(_))));
        assert_eq!(sender(&address(5, "14255550100")), None);
        assert_eq!(sender(&address(0, "")), None);
    }
}
