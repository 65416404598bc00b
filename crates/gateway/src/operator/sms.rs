//! `trunkline sms`: where messages are, where they would go, who wants none.

use super::{find, now_unix_ms, on_database, patiently, print_json};
use crate::cli::{OptOutCommand, PairArguments, SmsCommand};
use crate::config::Config;
use crate::sms::explain::{Question, explain};
use anyhow::Context;
use serde_json::{Value, json};
use trunkline_model::timestamp::rfc3339;
use trunkline_sms::party::Sender;
use trunkline_sms::receipt::State as CarrierState;
use trunkline_sms::router::Outcome;
use trunkline_storage::messages::delivery::{self, Segment};
use trunkline_storage::messages::inbound::{self, InboundText};
use trunkline_storage::messages::unmatched::{self, Unmatched};
use trunkline_storage::messages::{Content, Message, history, queue};
use trunkline_storage::opt_outs::{self, OptOut, Origin, Pair};
use trunkline_storage::{Connection, Store};

/// Runs `trunkline sms`. Returns false where the answer is no.
///
/// # Errors
/// The database cannot be used, or what is named is not there.
pub fn sms(config: &Config, command: SmsCommand) -> anyhow::Result<bool> {
    let json = command.database().json;
    on_database(config, async |store| match command {
        SmsCommand::Explain { from, to, text, purpose, .. } => {
            let from = Sender::parse(&from)?;
            let question = Question { from, to, text, purpose: purpose.into() };
            let decision = explain(&config.sms, &mut store.read().await?, &question).await?;
            if json {
                let path: Vec<String> = decision.path.iter().map(ToString::to_string).collect();
                let lines = decision.to_string();
                let outcome = lines.lines().last().unwrap_or_default().trim_start_matches("=> ");
                print_json(&json!({ "path": path, "outcome": outcome }));
            } else {
                println!("{decision}");
            }
            Ok(!matches!(decision.outcome, Outcome::Refuse(_)))
        }
        SmsCommand::List { resource, state, carrier, with, limit, .. } => {
            let mut db = store.read().await?;
            if let Some(number) = with {
                return conversation(&mut db, &number.to_string(), limit, json).await;
            }
            let resource = match resource {
                Some(name) => Some(find(&mut db, &name).await?.id),
                None => None,
            };
            let filter = history::Filter { resource, state: state.map(Into::into), trunk: carrier };
            let listed = history::list(&mut db, &filter, None, limit).await?;
            show_all(json, listed.iter().map(document), listed.iter().map(line));
            Ok(true)
        }
        SmsCommand::Show { id, .. } => {
            let mut db = store.read().await?;
            let found = history::by_id(&mut db, id).await?;
            let message = found.with_context(|| format!("there is no message {id}"))?;
            let segments = delivery::segments(&mut db, &[message.seq]).await?;
            show(&message, &segments, json);
            Ok(true)
        }
        SmsCommand::Release { id, .. } => {
            let released = patiently(async || {
                let now = now_unix_ms();
                store.write(move |db| Box::pin(async move { queue::release(db, id, now).await })).await
            });
            anyhow::ensure!(released.await?, "message {id} is not set aside");
            Ok(true)
        }
        SmsCommand::Unmatched { limit, .. } => {
            let listed = unmatched::list(&mut store.read().await?, None, limit).await?;
            show_all(json, listed.iter().map(unmatched_document), listed.iter().map(unmatched_line));
            Ok(true)
        }
        SmsCommand::OptOuts { recipient, limit, .. } => {
            let mut db = store.read().await?;
            let listed = match recipient {
                Some(recipient) => opt_outs::of_recipient(&mut db, &recipient).await?,
                None => opt_outs::list(&mut db, None, limit).await?,
            };
            show_all(json, listed.iter().map(opt_out_document), listed.iter().map(opt_out_line));
            Ok(true)
        }
        SmsCommand::OptOut(command) => opt_out(config, store, command).await,
    })
}

async fn opt_out(config: &Config, store: &Store, command: OptOutCommand) -> anyhow::Result<bool> {
    match command {
        OptOutCommand::Add { pair, .. } => {
            let pair = [pair_of(store, pair).await?];
            patiently(async || {
                let (pair, now) = (pair.clone(), now_unix_ms());
                let add = store.write(move |db| {
                    Box::pin(async move { opt_outs::add(db, &pair, Origin::Operator, now).await })
                });
                add.await
            })
            .await?;
        }
        OptOutCommand::Remove { pair, .. } => {
            let (pair, scope) = ([pair_of(store, pair).await?], config.sms.opt_out_scope);
            let removed = patiently(async || {
                let pair = pair.clone();
                let remove =
                    store.write(move |db| Box::pin(async move { opt_outs::remove(db, &pair, scope).await }));
                remove.await
            });
            anyhow::ensure!(removed.await? > 0, "there is no such opt-out");
        }
    }
    Ok(true)
}

async fn pair_of(store: &Store, pair: PairArguments) -> anyhow::Result<Pair> {
    let resource = find(&mut store.read().await?, &pair.resource).await?.id;
    let sender = Sender::parse(&pair.from)?.to_string();
    Ok(Pair { resource, sender, recipient: pair.recipient })
}

/// Prints messages to a number and texts from it, the latest first.
async fn conversation(db: &mut Connection, number: &str, limit: u16, json: bool) -> anyhow::Result<bool> {
    let sent = history::with_recipient(db, number, None, None, limit).await?;
    let received = inbound::with_sender(db, number, None, None, limit).await?;
    let sent = sent.iter().map(|message| (message.created_unix_ms, document(message), line(message)));
    let received = received.iter().map(|text| (text.received_unix_ms, text_document(text), text_line(text)));
    let mut all: Vec<(i64, Value, String)> = sent.chain(received).collect();
    all.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    all.truncate(limit.into());
    show_all(
        json,
        all.iter().map(|(_, document, _)| document.clone()),
        all.iter().map(|(_, _, line)| line.clone()),
    );
    Ok(true)
}

fn show_all(json: bool, documents: impl Iterator<Item = Value>, lines: impl Iterator<Item = String>) {
    if json {
        print_json(&documents.collect());
    } else {
        lines.for_each(|line| println!("{line}"));
    }
}

fn show(message: &Message, segments: &[Segment], json: bool) {
    let words = |state: u8| CarrierState::from_tlv(state).filter(|_| state != 0).map(CarrierState::word);
    if json {
        let mut shown = document(message);
        let segments: Vec<Value> = segments
            .iter()
            .map(|segment| {
                json!({
                    "segment": segment.taken.segment,
                    "carrier": segment.taken.trunk.as_str(),
                    "carrierId": segment.taken.carrier_id,
                    "state": words(segment.state),
                    "error": segment.error,
                })
            })
            .collect();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("text".into(), text_of(&message.content).into());
            fields.insert("segments".into(), segments.into());
        }
        return print_json(&shown);
    }
    println!("{}", line(message));
    println!("text: {}", text_of(&message.content));
    println!("expires: {}", rfc3339(message.expires_unix_ms));
    if let Some(outcome) = &message.outcome {
        println!("ended: {} {} ({})", rfc3339(outcome.ended_unix_ms), outcome.details(), outcome.detail);
    }
    for segment in segments {
        let id = segment.taken.carrier_id.as_deref().unwrap_or("without an id");
        let state = words(segment.state).unwrap_or("no receipt");
        let error = segment.error.as_deref().map(|error| format!(" error {error}")).unwrap_or_default();
        println!("segment {}: {} at {}, {state}{error}", segment.taken.segment, id, segment.taken.trunk);
    }
}

fn text_of(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Octets { octets, data_coding, .. } => {
            format!("{} octets of data_coding {data_coding}", octets.len())
        }
    }
}

fn document(message: &Message) -> Value {
    let outcome = message.outcome.as_ref();
    json!({
        "id": message.id.to_string(),
        "resource": message.resource.to_string(),
        "from": message.from,
        "to": message.to.to_string(),
        "state": message.state.as_str(),
        "lane": message.lane,
        "purpose": message.purpose.as_str(),
        "carrier": message.delivery.trunk.as_ref().map(|trunk| trunk.as_str()),
        "segmentCount": message.delivery.segments,
        "possibleDuplicate": message.delivery.possible_duplicate,
        "created": rfc3339(message.created_unix_ms),
        "expires": rfc3339(message.expires_unix_ms),
        "tag": message.tag,
        "outcome": outcome.map(|outcome| outcome.status.as_str()),
        "code": outcome.map(|outcome| outcome.code),
        "detail": outcome.map(|outcome| outcome.detail.as_str()),
        "ended": outcome.map(|outcome| rfc3339(outcome.ended_unix_ms)),
    })
}

fn line(message: &Message) -> String {
    let carrier = message.delivery.trunk.as_ref().map(|trunk| format!(" {trunk}")).unwrap_or_default();
    let state = match &message.outcome {
        Some(outcome) => format!("{} {}", outcome.status.as_str(), outcome.code),
        None => message.state.as_str().to_owned(),
    };
    let waits = if message.lane.is_empty() { String::new() } else { format!(" for {}", message.lane) };
    let duplicate = if message.delivery.possible_duplicate { " possible duplicate" } else { "" };
    let (created, id) = (rfc3339(message.created_unix_ms), message.id);
    format!("{created} {id} {} -> {} {state}{waits}{carrier}{duplicate}", message.from, message.to)
}

fn text_document(text: &InboundText) -> Value {
    json!({
        "id": text.public_id(),
        "resource": text.resource.map(|resource| resource.to_string()),
        "from": text.from,
        "to": text.to,
        "carrier": text.trunk.as_str(),
        "text": text.body,
        "received": rfc3339(text.received_unix_ms),
        "segmentCount": text.segments,
        "partial": text.partial,
    })
}

fn text_line(text: &InboundText) -> String {
    let (received, id) = (rfc3339(text.received_unix_ms), text.public_id());
    format!("{received} {id} {} -> {} {}: {}", text.from, text.to, text.trunk, text.body.escape_debug())
}

fn unmatched_document(receipt: &Unmatched) -> Value {
    json!({
        "number": receipt.id,
        "carrier": receipt.trunk.as_str(),
        "received": rfc3339(receipt.received_unix_ms),
        "source": receipt.source,
        "destination": receipt.destination,
        "carrierId": receipt.carrier_id,
        "receipt": receipt.receipt,
    })
}

fn unmatched_line(receipt: &Unmatched) -> String {
    let received = rfc3339(receipt.received_unix_ms);
    let id = receipt.carrier_id.as_deref().unwrap_or("no id");
    format!(
        "{received} {} {id} {} -> {} {}",
        receipt.trunk, receipt.source, receipt.destination, receipt.receipt
    )
}

fn opt_out_document(opt_out: &OptOut) -> Value {
    json!({
        "recipient": opt_out.pair.recipient.to_string(),
        "resource": opt_out.pair.resource.to_string(),
        "sender": opt_out.pair.sender,
        "since": rfc3339(opt_out.since_unix_ms),
        "origin": opt_out.origin,
    })
}

fn opt_out_line(opt_out: &OptOut) -> String {
    let Pair { resource, sender, recipient } = &opt_out.pair;
    format!(
        "{recipient} from {sender} of {resource} since {} by {}",
        rfc3339(opt_out.since_unix_ms),
        opt_out.origin
    )
}
