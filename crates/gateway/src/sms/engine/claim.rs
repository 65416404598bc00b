//! Taking messages from the store: which lanes, how many, and what has to be known of each.

use super::state::{QUEUE_MAX, Work};
use super::{Clock, Engine, Pending};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};
use tracing::warn;
use trunkline_model::{E164, TrunkId};
use trunkline_sms::party::Sender;
use trunkline_sms::retry::History;
use trunkline_storage::messages::Message;
use trunkline_storage::messages::delivery::{self, Segment};
use trunkline_storage::messages::queue::{self, Lane, Terms};
use trunkline_storage::opt_outs::{self, Pair};
use trunkline_storage::{Connection, Error, numbers};

/// How the engine comes to its messages.
pub(super) struct Claims {
    node: String,
    /// Whether there may be something to claim.
    look: bool,
    under_way: Option<UnderWay>,
    /// Lanes that held messages when they were last looked at.
    pub(super) backlog: HashSet<Lane>,
    /// Where the next page of lanes begins.
    after: Lane,
    /// When something is due that was not yet, or a lane is worth another look.
    wake: Option<Instant>,
    renew_at: Instant,
    /// When lanes of carriers that are down were last tried.
    sampled: HashMap<Lane, Instant>,
    /// Carriers' numbers of senders, as the inventory has them.
    pub(super) owners: HashMap<String, Option<TrunkId>>,
    owners_since: Instant,
}

enum UnderWay {
    Lanes(Pending<Vec<(Lane, i64)>>),
    Claim(Pending<Claimed>),
    Renew(Pending<()>),
}

/// What came of it.
pub(super) enum Found {
    Lanes(Vec<(Lane, i64)>),
    Claimed(Claimed),
    Renewed,
    Failed(Error),
}

/// Messages under lease, with what is known of them.
pub(super) struct Claimed {
    messages: Vec<(Message, bool)>,
    segments: Vec<Segment>,
    owners: Vec<(String, Option<TrunkId>)>,
    /// Lanes that may hold more.
    full: bool,
}

/// Lanes looked at in one read.
const LANES_AT_ONCE: u16 = 500;
/// Messages of one lane in one unit.
const CLAIM_MAX: u16 = 256;
/// Most messages under lease: what a crash marks as possible duplicates, and what is held in memory.
const CLAIMED_MAX: usize = 4_000;
/// How long a lease lasts: a node that is gone for so long has lost its messages to the others.
const LEASE: Duration = Duration::from_secs(60);
/// A lane for a carrier that is down is tried now and then: another one may have come up for its messages.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// How many of them.
const SAMPLE: u16 = 64;
/// After a failure of the database.
const FAILED_PAUSE: Duration = Duration::from_millis(200);
/// Which carrier a number is with seldom changes.
const OWNERS_KEPT: Duration = Duration::from_secs(30);

impl Claims {
    pub(super) fn new(node: String) -> Self {
        Self {
            node,
            look: true,
            under_way: None,
            backlog: HashSet::new(),
            after: Lane::BEFORE_ALL,
            wake: None,
            renew_at: Instant::now() + LEASE / 3,
            sampled: HashMap::new(),
            owners: HashMap::new(),
            owners_since: Instant::now(),
        }
    }

    /// Says that there may be something to claim.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        let idle = self.under_way.is_none();
        self.wake.into_iter().chain([self.renew_at]).filter(|_| idle).min()
    }

    /// Waits for the database.
    pub(super) async fn next(&mut self) -> Found {
        let found = match &mut self.under_way {
            None => std::future::pending().await,
            Some(UnderWay::Lanes(pending)) => pending.await.map(Found::Lanes),
            Some(UnderWay::Claim(pending)) => pending.await.map(Found::Claimed),
            Some(UnderWay::Renew(pending)) => pending.await.map(|()| Found::Renewed),
        };
        self.under_way = None;
        found.unwrap_or_else(Found::Failed)
    }
}

impl Engine {
    /// Starts the next claim if there is room and something may be there.
    pub(super) fn claim(&mut self) {
        let now = self.clock.now;
        if self.claims.under_way.is_some() || self.stopping.is_some() {
            return;
        }
        if self.claims.renew_at <= now {
            return self.renew();
        }
        if self.claims.wake.is_some_and(|at| at <= now) {
            self.claims.wake = None;
            self.claims.look = true;
        }
        if !self.claims.look || self.works.len() >= CLAIMED_MAX / 2 {
            return;
        }
        self.claims.look = false;
        let (store, after) = (self.store.clone(), self.claims.after.clone());
        let lanes = async move { queue::lanes(&mut store.read().await?, &after, LANES_AT_ONCE).await };
        self.claims.under_way = Some(UnderWay::Lanes(Box::pin(lanes)));
    }

    fn renew(&mut self) {
        self.claims.renew_at = self.clock.now + LEASE / 3;
        if self.claims.owners_since + OWNERS_KEPT < self.clock.now {
            self.claims.owners.clear();
            self.claims.owners_since = self.clock.now;
        }
        let now = self.clock.now;
        self.opted_out.retain(|_, since| *since + 2 * LEASE > now);
        self.claims.sampled.retain(|_, at| *at + LEASE > now);
        let (store, node) = (self.store.clone(), self.claims.node.clone());
        let (now, until) = (self.clock.unix_ms, self.clock.unix(self.clock.now + LEASE));
        let renew = async move {
            let unit = store.write(move |db| {
                Box::pin(async move {
                    queue::extend(db, &node, until).await?;
                    // Messages of nodes that are gone.
                    queue::recover_lost(db, now, super::RECOVER_AT_ONCE).await
                })
            });
            unit.await.map(drop)
        };
        self.claims.look = true;
        self.claims.under_way = Some(UnderWay::Renew(Box::pin(renew)));
    }

    pub(super) fn claims_found(&mut self, found: Found) {
        self.clock = Clock::now();
        match found {
            Found::Lanes(lanes) => self.lanes_found(lanes),
            Found::Claimed(claimed) => self.claimed(claimed),
            Found::Renewed => {}
            Found::Failed(error) => {
                warn!(%error, "messages could not be claimed; it is tried again");
                self.claims.wake = Some(self.clock.now + FAILED_PAUSE);
            }
        }
    }

    fn lanes_found(&mut self, lanes: Vec<(Lane, i64)>) {
        let last_page = lanes.len() < usize::from(LANES_AT_ONCE);
        if self.claims.after == Lane::BEFORE_ALL {
            self.claims.backlog.clear();
        }
        self.claims.after = match lanes.last() {
            Some((lane, _)) if !last_page => lane.clone(),
            _ => Lane::BEFORE_ALL,
        };
        self.claims.look |= !last_page;
        let mut room = CLAIMED_MAX.saturating_sub(self.works.len());
        let mut rooms = HashMap::new();
        let mut chosen = Vec::new();
        for (lane, due) in lanes {
            let due_at = self.clock.instant(due);
            if due_at > self.clock.now {
                self.wake_by(due_at);
            } else {
                let limit = self.limit(&lane, &mut rooms).min(u16::try_from(room).unwrap_or(CLAIM_MAX));
                if limit > 0 {
                    room -= usize::from(limit);
                    chosen.push((lane.clone(), limit));
                }
            }
            self.claims.backlog.insert(lane);
        }
        if !chosen.is_empty() {
            self.begin_claim(chosen);
        }
    }

    fn wake_by(&mut self, at: Instant) {
        self.claims.wake = Some(self.claims.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Returns how many messages of a lane can be used now, and sees to it that a lane that is left is looked at again.
    fn limit(&mut self, lane: &Lane, rooms: &mut HashMap<TrunkId, usize>) -> u16 {
        let now = self.clock.now;
        let limits = &self.router.limits;
        let available = match Waits::parse(&lane.name) {
            None => return CLAIM_MAX,
            Some(Waits::Trunk(trunk)) => {
                let Some(carrier) = self.carriers.get(&trunk) else { return CLAIM_MAX };
                let room = rooms
                    .entry(trunk.clone())
                    .or_insert_with(|| QUEUE_MAX.saturating_sub(carrier.queue.len()));
                if !carrier.is_up() {
                    let sample = self.sample(lane);
                    self.wake_by(now + SAMPLE_EVERY);
                    return sample;
                }
                let available =
                    limits.trunk_available(now, &trunk).map_or(*room, |segments| segments as usize);
                let usable = available.min(*room);
                *room -= usable;
                usable
            }
            Some(Waits::Number(number)) => {
                limits.number_available(now, &number).map_or(QUEUE_MAX, |n| n as usize)
            }
            Some(Waits::Campaign(id)) => {
                limits.campaign_available(now, &id).map_or(QUEUE_MAX, |n| n as usize)
            }
        };
        if available == 0 {
            self.wake_by(now + LIMITED_PAUSE);
        }
        u16::try_from(available).unwrap_or(CLAIM_MAX).min(CLAIM_MAX)
    }

    /// A lane whose carrier is down is sampled now and then.
    fn sample(&mut self, lane: &Lane) -> u16 {
        let now = self.clock.now;
        let sampled = self.claims.sampled.entry(lane.clone()).or_insert(now - SAMPLE_EVERY);
        if *sampled + SAMPLE_EVERY > now {
            return 0;
        }
        *sampled = now;
        SAMPLE
    }

    fn begin_claim(&mut self, lanes: Vec<(Lane, u16)>) {
        let (store, node, scope) = (self.store.clone(), self.claims.node.clone(), self.law.scope);
        let (now, until) = (self.clock.unix_ms, self.clock.unix(self.clock.now + LEASE));
        let known: BTreeSet<String> = self.claims.owners.keys().cloned().collect();
        let claim = async move {
            let unit = store.write(move |db| {
                Box::pin(async move {
                    let terms = Terms { node: &node, now_unix_ms: now, lease_until_unix_ms: until };
                    let mut messages = Vec::new();
                    let mut full = false;
                    for (lane, limit) in &lanes {
                        let claimed = queue::claim(db, lane, terms, *limit).await?;
                        full |= claimed.len() == usize::from(*limit);
                        messages.extend(claimed);
                    }
                    know(db, messages, &known, scope, full).await
                })
            });
            unit.await
        };
        self.claims.under_way = Some(UnderWay::Claim(Box::pin(claim)));
    }

    fn claimed(&mut self, claimed: Claimed) {
        let Claimed { messages, segments, owners, full } = claimed;
        self.claims.owners.extend(owners);
        self.claims.look |= full;
        let mut taken: HashMap<i64, Vec<Segment>> = HashMap::new();
        for segment in segments {
            taken.entry(segment.taken.message).or_default().push(segment);
        }
        for (message, opted_out) in messages {
            let before = taken.remove(&message.seq).unwrap_or_default();
            self.take_on(message, opted_out, before);
        }
    }

    fn take_on(&mut self, message: Message, opted_out: bool, before: Vec<Segment>) {
        let Ok(from) = Sender::parse(&message.from) else {
            return self.fail_unreadable(&message);
        };
        let deadline = message.expires_unix_ms.min(message.report_by_unix_ms);
        let delivery = &message.delivery;
        let work = Work {
            from,
            deadline: self.clock.instant(deadline),
            history: History {
                refusals: delivery.refusals,
                in_doubt: delivery.in_doubt,
                possible_duplicate: delivery.possible_duplicate,
            },
            billed: super::dispatch::billed(&message.content),
            avoided: delivery.avoided.iter().cloned().collect(),
            opted_out,
            claimed_at: self.clock.now,
            passage: None,
            message,
        };
        let seq = work.message.seq;
        self.works.insert(seq, work);
        if !self.resume(seq, &before) {
            self.decide(seq);
        }
    }
}

/// What a lane is named after.
pub(super) enum Waits {
    Trunk(TrunkId),
    Number(Sender),
    Campaign(String),
}

impl Waits {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Trunk(trunk) => format!("trunk:{trunk}"),
            Self::Number(number) => format!("number:{number}"),
            Self::Campaign(id) => format!("campaign:{id}"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let (kind, rest) = name.split_once(':')?;
        match kind {
            "trunk" => TrunkId::parse(rest).ok().map(Self::Trunk),
            "number" => Sender::parse(rest).ok().map(Self::Number),
            "campaign" => Some(Self::Campaign(rest.to_owned())),
            _ => None,
        }
    }
}

/// A second's worth of segments is a bucket's burst: some of it is there again after this.
const LIMITED_PAUSE: Duration = Duration::from_millis(100);

/// Finds out what has to be known of messages, in the unit that claims them.
async fn know(
    db: &mut Connection,
    messages: Vec<Message>,
    known: &BTreeSet<String>,
    scope: opt_outs::Scope,
    full: bool,
) -> Result<Claimed, Error> {
    let pair = |message: &Message| Pair {
        resource: message.resource,
        sender: message.from.clone(),
        recipient: message.to,
    };
    let pairs: Vec<Pair> = messages.iter().map(pair).collect();
    let opted_out = opt_outs::check(db, &pairs, scope).await?;
    let again: Vec<i64> =
        messages.iter().filter(|message| message.claims > 1).map(|message| message.seq).collect();
    let segments = delivery::segments(db, &again).await?;
    let senders: BTreeSet<&str> = messages.iter().map(|message| message.from.as_str()).collect();
    let mut owners = Vec::new();
    for sender in senders.into_iter().filter(|sender| !known.contains(*sender)) {
        let number = match E164::parse(sender) {
            Ok(number) => numbers::by_e164(db, number).await?,
            Err(_) => None,
        };
        owners.push((sender.to_owned(), number.map(|number| number.imported.trunk)));
    }
    Ok(Claimed { messages: messages.into_iter().zip(opted_out).collect(), segments, owners, full })
}
