//! What customers' own SMPP systems are told: receipts of their messages, and texts for their numbers.
//!
//! Each account has a queue of jobs. What belongs there is written in the unit that causes it, and taken out when the
//! account's system has acknowledged it, however many sessions and restarts lie between.

use super::ended::Ended;
use crate::config::SmsAccount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use trunkline_sms::party::Sender;
use trunkline_sms::pdu::{Address, ShortMessage};
use trunkline_sms::receipt::State;
use trunkline_sms::segment::split::{SplitPolicy, split};
use trunkline_sms::session::deliver::{self, Report};
use trunkline_storage::jobs::{Backoff, NewJob};
use trunkline_storage::messages::inbound::InboundText;
use trunkline_storage::messages::{Message, Outcome, Source, Status};
use trunkline_storage::{Connection, Error, jobs, resources};
use uuid::Uuid;

/// Which accounts get the texts of a resource. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    by_resource: Arc<BTreeMap<String, Vec<String>>>,
}

/// Something to tell an account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Notice {
    /// How a message of theirs ended.
    Receipt {
        /// Our id of it.
        id: String,
        /// Its sender.
        from: String,
        /// Its recipient.
        to: String,
        /// message_state.
        state: u8,
        /// The code of the delivery report; 0 for success.
        error: u16,
        /// When it was accepted.
        submitted_unix: i64,
        /// When it ended.
        done_unix: i64,
    },
    /// A text for a number of theirs.
    Text {
        /// The handset.
        from: String,
        /// The number.
        to: String,
        /// What it says.
        text: String,
        /// What marks its segments as one message, however often they are sent.
        reference: u16,
    },
}

/// Pauses between attempts that an account's system refuses.
pub(super) const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(300) };

/// How long something waits for a system that does not bind; then it is dead, and can be listed.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Refusals before something is dead: with [`BACKOFF`] that is hours.
const ATTEMPTS_MAX: u16 = 60;

/// What an account asked for beside the message itself; kept as the message's tag.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tag {
    /// Which ends it wants to be told of (SMPP 3.4 §5.2.17); none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<String>,
    /// The id by which it knows the message: that of the first one of a submit_multi; none for the message's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

/// [`Tag::report`] where only failures, or only successes, are wanted.
pub(super) const TAG_FAILURES: &str = "failures";
pub(super) const TAG_SUCCESSES: &str = "successes";

impl Tag {
    pub(super) fn write(&self) -> Option<String> {
        if *self == Self::default() { None } else { serde_json::to_string(self).ok() }
    }

    fn read(tag: Option<&str>) -> Self {
        tag.and_then(|tag| serde_json::from_str(tag).ok()).unwrap_or_default()
    }
}

/// Returns the queue of an account.
pub(super) fn queue(account: &str) -> String {
    format!("esme:{account}")
}

impl Directory {
    /// Returns the directory of a configuration.
    pub(crate) fn new(accounts: &[SmsAccount]) -> Self {
        let mut by_resource: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for account in accounts.iter().filter(|account| account.receives_texts) {
            by_resource.entry(account.resource.clone()).or_default().push(account.name.clone());
        }
        Self { by_resource: Arc::new(by_resource) }
    }

    /// Tells accounts of texts for their numbers, in the unit that keeps them.
    pub(crate) async fn tell_texts(
        &self,
        db: &mut Connection,
        texts: &[InboundText],
        now_unix_ms: i64,
    ) -> Result<(), Error> {
        if self.by_resource.is_empty() {
            return Ok(());
        }
        let mut accounts_of: BTreeMap<Uuid, &[String]> = BTreeMap::new();
        for resource in texts.iter().filter_map(|text| text.resource) {
            if let Entry::Vacant(unknown) = accounts_of.entry(resource) {
                let name = resources::by_id(db, resource).await?.map(|resource| resource.name);
                let accounts = name.and_then(|name| self.by_resource.get(&name));
                unknown.insert(accounts.map_or(&[][..], Vec::as_slice));
            }
        }
        let mut told = Vec::new();
        for text in texts {
            let accounts = text.resource.and_then(|resource| accounts_of.get(&resource));
            for account in accounts.into_iter().copied().flatten() {
                let key = format!("{} {}", text.to, text.from);
                told.push((queue(account), Some(key), Notice::of_text(text)));
            }
        }
        insert(db, &told, now_unix_ms).await
    }
}

/// Tells accounts how their messages ended, in the unit that ends them.
pub(crate) async fn tell_ends(db: &mut Connection, ended: &[Ended], now_unix_ms: i64) -> Result<(), Error> {
    let told = ended.iter().filter_map(|Ended { message, outcome, .. }| of_end(message, outcome));
    insert(db, &told.collect::<Vec<_>>(), now_unix_ms).await
}

fn of_end(message: &Message, outcome: &Outcome) -> Option<(String, Option<String>, Notice)> {
    let Source::Account(account) = &message.source else { return None };
    let delivered = outcome.status == Status::Delivered;
    let tag = Tag::read(message.tag.as_deref());
    let wanted = match tag.report.as_deref() {
        Some(TAG_FAILURES) => !delivered,
        Some(TAG_SUCCESSES) => delivered,
        _ => true,
    };
    (message.wants_report && wanted).then(|| (queue(account), None, Notice::of_end(message, tag, outcome)))
}

async fn insert(
    db: &mut Connection,
    told: &[(String, Option<String>, Notice)],
    now_unix_ms: i64,
) -> Result<(), Error> {
    let job = |(queue, key, notice): &'_ (String, Option<String>, Notice)| {
        // A notice is text and numbers, which JSON always takes.
        let payload = serde_json::to_value(notice).unwrap_or_default();
        (queue.clone(), key.clone(), payload)
    };
    let owned: Vec<_> = told.iter().map(job).collect();
    let jobs = owned.iter().map(|(queue, key, payload)| NewJob {
        queue,
        ordering_key: key.as_deref(),
        payload: payload.clone(),
        not_before_unix_ms: now_unix_ms,
        expires_unix_ms: Some(now_unix_ms + KEPT_MS),
        attempts_max: ATTEMPTS_MAX,
    });
    jobs::insert_all(db, jobs.collect(), now_unix_ms).await
}

/// Returns the state in which SMPP knows the end of a message.
pub(super) fn state_of(outcome: &Outcome) -> State {
    match outcome.status {
        Status::Delivered => State::Delivered,
        Status::Expired => State::Expired,
        Status::Unknown => State::Unknown,
        Status::Failed if outcome.detail == CANCELLED => State::Deleted,
        // What no handset has refused: 4000 to 4005 and 4007 on are verdicts of carriers and rules.
        Status::Failed if (4_000..5_000).contains(&outcome.code) && outcome.code != UNREACHABLE => {
            State::Rejected
        }
        Status::Failed => State::Undeliverable,
    }
}

/// The code of a recipient who cannot be reached.
const UNREACHABLE: u16 = 4_006;

/// Why a message ended that its sender took back.
pub(super) const CANCELLED: &str = "cancelled by its sender";

impl Notice {
    fn of_end(message: &Message, tag: Tag, outcome: &Outcome) -> Self {
        let delivered = outcome.status == Status::Delivered;
        Self::Receipt {
            id: tag.id.unwrap_or_else(|| message.id.to_string()),
            from: message.from.clone(),
            to: message.to.to_string(),
            state: state_of(outcome).to_tlv(),
            error: if delivered { 0 } else { outcome.code },
            submitted_unix: message.created_unix_ms / 1_000,
            done_unix: outcome.ended_unix_ms / 1_000,
        }
    }

    fn of_text(text: &InboundText) -> Self {
        let [.., high, low] = *text.id.as_bytes();
        Self::Text {
            from: text.from.clone(),
            to: text.to.clone(),
            text: text.body.clone(),
            reference: u16::from_be_bytes([high, low]),
        }
    }

    /// Returns the deliver_sm that say it; none of them if it cannot be said, which a limit on texts prevents.
    pub(super) fn messages(&self) -> Vec<ShortMessage> {
        match self {
            Self::Receipt { id, from, to, state, error, submitted_unix, done_unix } => {
                let report = Report {
                    id,
                    state: State::from_tlv(*state).unwrap_or(State::Unknown),
                    error: *error,
                    submitted_unix: *submitted_unix,
                    done_unix: *done_unix,
                };
                vec![deliver::receipt(address(from), address(to), &report)]
            }
            Self::Text { from, to, text, reference } => {
                let policy = SplitPolicy { segments_max: u8::MAX, ..SplitPolicy::default() };
                let split = split(text, &policy, *reference);
                split.map(|split| deliver::text(&address(from), &address(to), &split)).unwrap_or_default()
            }
        }
    }
}

/// Returns an address with its type and plan (SMPP 3.4 §5.2.5, §5.2.6).
fn address(text: &str) -> Address {
    match Sender::parse(text) {
        Ok(Sender::Number(number)) => Address { ton: 1, npi: 1, address: number.digits().to_owned() },
        Ok(Sender::ShortCode(code)) => Address { ton: 3, npi: 0, address: code },
        Ok(Sender::Name(name)) => Address { ton: 5, npi: 0, address: name },
        // Whatever a carrier wrote into a text that came in.
        Err(_) => Address { ton: 0, npi: 0, address: text.chars().take(ADDRESS_MAX).collect() },
    }
}

/// Octets of an address (SMPP 3.4 §5.2.8).
const ADDRESS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_sms::inbound::Inbound;
    use trunkline_sms::text::{Decoded, DefaultAlphabet};

    fn outcome(status: Status, code: u16, detail: &str) -> Outcome {
        Outcome { status, code, detail: detail.into(), ended_unix_ms: 1_795_433_220_000 }
    }

    #[test]
    fn every_end_has_a_state() {
        for (end, state) in [
            (outcome(Status::Delivered, 2000, ""), State::Delivered),
            (outcome(Status::Expired, 5001, ""), State::Expired),
            (outcome(Status::Unknown, 5002, ""), State::Unknown),
            (outcome(Status::Failed, 4006, ""), State::Undeliverable),
            (outcome(Status::Failed, 4007, ""), State::Rejected),
            (outcome(Status::Failed, 5000, ""), State::Undeliverable),
            (outcome(Status::Failed, 5000, CANCELLED), State::Deleted),
        ] {
            assert_eq!(state_of(&end), state, "{end:?}");
        }
    }

    #[test]
    fn a_receipt_goes_from_the_recipient_to_the_sender() {
        let notice = Notice::Receipt {
            id: "Outgoing_1".into(),
            from: "ACME".into(),
            to: "+12065550111".into(),
            state: 8,
            error: 4007,
            submitted_unix: 1_795_433_160,
            done_unix: 1_795_433_220,
        };
        let [message] = notice.messages().try_into().unwrap();
        assert_eq!((message.destination.ton, message.destination.address.as_str()), (5, "ACME"));
        let Inbound::Receipt(read) = Inbound::read(message, DefaultAlphabet::Gsm7, ()) else { panic!() };
        assert_eq!((read.receipt.state, read.source.as_str()), (State::Rejected, "12065550111"));
    }

    #[test]
    fn a_text_has_the_same_segments_however_often_it_is_told() {
        let notice = Notice::Text {
            from: "+12065550111".into(),
            to: "+14255550100".into(),
            text: "long ".repeat(50),
            reference: 7,
        };
        let (once, again) = (notice.messages(), notice.messages());
        assert_eq!(once, again);
        assert_eq!(once.len(), 2);
        let odd = Notice::Text { from: "?".into(), to: "55555".into(), text: "Hi".into(), reference: 7 };
        let [message] = odd.messages().try_into().unwrap();
        let Inbound::Text { content, from, .. } = Inbound::read(message, DefaultAlphabet::Gsm7, ()) else {
            panic!()
        };
        assert_eq!((content, from.as_str()), (Decoded::Text { text: "Hi".into(), lossy: false }, "?"));
    }
}
