//! Event subscriptions, and the outbox of what their endpoints still have to be told.
//!
//! [`publish`] belongs into the unit that made the event happen: for each active subscription to its kind there is a
//! job of the subscription's queue ([`jobs`](crate::jobs)) whose payload is the event itself
//! ([`Notice`](trunkline_model::event::Notice)). Its ordering key is the conversation, and it expires after
//! [`DELIVERY_MAX_MS`]; a delivery that was given up is a dead job of that queue.
//!
//! A subscription is pending until its endpoint has proved that it wants the events, by the job that [`subscribe`]
//! leaves in [`VALIDATIONS`].

use crate::db::{Connection, Row, Topic, Value, statements, values};
use crate::error::Error;
use crate::jobs::{self, NewJob};
use crate::resources::Secret;
use serde_json::json;
use std::collections::BTreeSet;
use trunkline_model::event::{Event, EventKind};
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO event_subscriptions (id, resource, name, url, kinds, event_schema, auth, secret, queue, \
        validation_code, state, state_ms, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)";
    BY_ID = "SELECT * FROM event_subscriptions WHERE id = $1";
    BY_NAME = "SELECT * FROM event_subscriptions WHERE resource = $1 AND name = $2";
    LIST = "SELECT * FROM event_subscriptions WHERE resource = $1 ORDER BY name";
    ACTIVE = "SELECT * FROM event_subscriptions WHERE state = 'active' ORDER BY id";
    OPEN = sqlite "SELECT resource, kinds, queue FROM event_subscriptions \
        WHERE state = 'active' AND full_ms IS NULL AND resource IN (SELECT unhex(value) FROM json_each($1)) ORDER BY id"
        postgres "SELECT resource, kinds, queue FROM event_subscriptions \
        WHERE state = 'active' AND full_ms IS NULL \
        AND resource IN (SELECT CAST(value AS UUID) FROM jsonb_array_elements_text($1) AS r (value)) ORDER BY id";
    SETTLE = "UPDATE event_subscriptions SET state = $2, state_ms = $3, detail = $4 WHERE id = $1 AND state <> $2";
    SETTLE_BY_CODE = "UPDATE event_subscriptions SET state = 'active', state_ms = $3, detail = NULL \
        WHERE id = $1 AND validation_code = $2 AND state = 'pending'";
    SET_FULL = "UPDATE event_subscriptions SET full_ms = $2 WHERE id = $1";
    DELETE = "DELETE FROM event_subscriptions WHERE id = $1";
}

/// Who is told of a resource's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// Whose events.
    pub resource: Uuid,
    /// Its name, unique within the resource.
    pub name: String,
    /// The endpoint that is told.
    pub url: String,
    /// Of which kinds of event.
    pub kinds: Vec<EventKind>,
    /// In which envelope.
    pub schema: Schema,
    /// How the endpoint knows that it is us.
    pub auth: Auth,
    /// By this the endpoint proves that it wants the events.
    pub validation_code: Uuid,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub state_unix_ms: i64,
    /// Why it failed.
    pub detail: Option<String>,
    /// Since when it has as many undelivered events as it may.
    pub full_unix_ms: Option<i64>,
}

/// The envelope of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schema {
    /// That of Event Grid, in an array of one.
    EventGrid,
    /// CloudEvents 1.0, structured, one to a request.
    CloudEvents,
}

impl Schema {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventGrid => "eventgrid",
            Self::CloudEvents => "cloudevents",
        }
    }
}

/// How an endpoint knows that it is us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// By what is in its URL, if at all.
    None,
    /// Every request is signed with this.
    Hmac(Secret),
    /// Every request carries this token, which is ASCII.
    Bearer(Secret),
}

impl Auth {
    /// Returns the word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hmac(_) => "hmac",
            Self::Bearer(_) => "bearer",
        }
    }
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its endpoint has not yet proved that it wants the events.
    Pending,
    /// It is told of events.
    Active,
    /// Its endpoint did not prove it in time.
    Failed,
}

impl State {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Failed => "failed",
        }
    }
}

/// The queue of endpoints to be validated; the payload of its jobs is [`Validation`].
pub const VALIDATIONS: &str = "event validation";

/// A subscription whose endpoint is to prove that it wants the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Validation {
    /// The subscription.
    pub subscription: Uuid,
}

/// How long an event is tried to be delivered (SMS-07).
pub const DELIVERY_MAX_MS: i64 = 24 * 3_600_000;

/// How often an event is tried: with pauses that double up to an hour, a day is over after some forty attempts. The
/// limit is for programs that die of one.
const ATTEMPTS_MAX: u16 = 100;

/// How often a validation is tried, counting programs that died of it.
const VALIDATION_ATTEMPTS_MAX: u16 = 3;

impl Subscription {
    /// Returns the queue of its deliveries.
    pub fn queue(&self) -> String {
        queue(self.id)
    }
}

/// Returns the queue of a subscription's deliveries.
pub fn queue(subscription: Uuid) -> String {
    format!("event {subscription}")
}

/// Keeps a new subscription, pending whatever its state says, and orders its validation.
///
/// # Errors
/// [`Error::Duplicate`] when the resource has one with this name.
pub async fn subscribe(db: &mut Connection, new: &Subscription, now_unix_ms: i64) -> Result<(), Error> {
    let secret = match &new.auth {
        Auth::None => Value::Bytes(None),
        Auth::Hmac(Secret(secret)) | Auth::Bearer(Secret(secret)) => Value::from(secret.as_slice()),
    };
    let kinds: Vec<_> = new.kinds.iter().map(|kind| kind.as_str()).collect();
    let values = values![
        new.id,
        new.resource,
        new.name.as_str(),
        new.url.as_str(),
        json!(kinds),
        new.schema.as_str(),
        new.auth.as_str(),
        secret,
        new.queue(),
        new.validation_code,
        State::Pending.as_str(),
        now_unix_ms,
    ];
    db.execute(INSERT, values).await?;
    let job = NewJob {
        queue: VALIDATIONS,
        ordering_key: None,
        payload: json!(Validation { subscription: new.id }),
        not_before_unix_ms: now_unix_ms,
        expires_unix_ms: None,
        attempts_max: VALIDATION_ATTEMPTS_MAX,
    };
    jobs::insert(db, job, now_unix_ms).await.map(drop)
}

/// Returns a subscription.
///
/// # Errors
/// Those of a statement.
pub async fn by_id(db: &mut Connection, id: Uuid) -> Result<Option<Subscription>, Error> {
    db.fetch_optional(BY_ID, values![id]).await?.as_ref().map(read).transpose()
}

/// Returns a resource's subscription of a name.
///
/// # Errors
/// Those of a statement.
pub async fn by_name(db: &mut Connection, resource: Uuid, name: &str) -> Result<Option<Subscription>, Error> {
    db.fetch_optional(BY_NAME, values![resource, name]).await?.as_ref().map(read).transpose()
}

/// Returns a resource's subscriptions by name.
///
/// # Errors
/// Those of a statement.
pub async fn list(db: &mut Connection, resource: Uuid) -> Result<Vec<Subscription>, Error> {
    db.fetch_all(LIST, values![resource]).await?.iter().map(read).collect()
}

/// Returns every active subscription.
///
/// # Errors
/// Those of a statement.
pub async fn active(db: &mut Connection) -> Result<Vec<Subscription>, Error> {
    db.fetch_all(ACTIVE, &[]).await?.iter().map(read).collect()
}

/// Says that an endpoint wants the events, or why it is told of none. Returns false when that was known, or there is
/// no such subscription.
///
/// # Errors
/// Those of a statement.
pub async fn settle(
    db: &mut Connection,
    id: Uuid,
    wants: Result<(), &str>,
    now_unix_ms: i64,
) -> Result<bool, Error> {
    let state = if wants.is_ok() { State::Active } else { State::Failed };
    db.notify(Topic::Resources);
    let values = values![id, state.as_str(), now_unix_ms, wants.err()];
    Ok(db.execute(SETTLE, values).await? == 1)
}

/// Activates a pending subscription whose code someone knows. Returns false when there is none.
///
/// # Errors
/// Those of a statement.
pub async fn settle_by_code(
    db: &mut Connection,
    id: Uuid,
    code: Uuid,
    now_unix_ms: i64,
) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(SETTLE_BY_CODE, values![id, code, now_unix_ms]).await? == 1)
}

/// Says since when a subscription has as many undelivered events as it may; none when it has caught up.
///
/// # Errors
/// Those of a statement.
pub async fn set_full(db: &mut Connection, id: Uuid, since_unix_ms: Option<i64>) -> Result<(), Error> {
    db.execute(SET_FULL, values![id, since_unix_ms]).await.map(drop)
}

/// Removes a subscription. What it was still to be told remains, for [`jobs::purge`]. Returns false when there is no
/// such subscription.
///
/// # Errors
/// Those of a statement.
pub async fn unsubscribe(db: &mut Connection, id: Uuid) -> Result<bool, Error> {
    db.notify(Topic::Resources);
    Ok(db.execute(DELETE, values![id]).await? == 1)
}

/// Writes events to the outbox of every active subscription to their kinds, in the order given, and returns how many
/// deliveries that makes. Call it once a unit, with all the unit's events.
///
/// # Errors
/// Those of a statement.
pub async fn publish(db: &mut Connection, events: &[Event], now_unix_ms: i64) -> Result<usize, Error> {
    let resources: BTreeSet<_> = events.iter().map(|event| event.resource).collect();
    if resources.is_empty() {
        return Ok(0);
    }
    let resources: Vec<_> = resources.iter().map(|resource| resource.simple().to_string()).collect();
    let rows = db.fetch_all(OPEN, values![json!(resources)]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let open = rows.iter().map(Open::read).collect::<Result<Vec<_>, _>>()?;
    let mut deliveries = Vec::new();
    for event in events {
        let kind = event.kind();
        let mut wanting =
            open.iter().filter(|open| open.resource == event.resource && open.wants(kind)).peekable();
        if wanting.peek().is_some() {
            let (payload, key) = (json!(event.notice()), event.conversation());
            deliveries.extend(wanting.map(|open| (open.queue.as_str(), key.clone(), payload.clone())));
        }
    }
    let jobs = deliveries.iter().map(|(queue, key, payload)| NewJob {
        queue,
        ordering_key: Some(key),
        payload: payload.clone(),
        not_before_unix_ms: now_unix_ms,
        expires_unix_ms: Some(now_unix_ms + DELIVERY_MAX_MS),
        attempts_max: ATTEMPTS_MAX,
    });
    jobs::insert_all(db, jobs.collect(), now_unix_ms).await?;
    Ok(deliveries.len())
}

/// What [`publish`] has to know of a subscription.
struct Open {
    resource: Uuid,
    kinds: Vec<String>,
    queue: String,
}

impl Open {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            resource: row.read("resource")?,
            kinds: row.read_json("kinds")?.unwrap_or_default(),
            queue: row.read("queue")?,
        })
    }

    fn wants(&self, kind: EventKind) -> bool {
        self.kinds.iter().any(|wanted| wanted == kind.as_str())
    }
}

fn read(row: &Row) -> Result<Subscription, Error> {
    let kinds: Vec<String> = row.read_json("kinds")?.unwrap_or_default();
    let secret: Option<Vec<u8>> = row.read("secret")?;
    let secret = Secret(secret.unwrap_or_default());
    let auth: String = row.read("auth")?;
    Ok(Subscription {
        id: row.read("id")?,
        resource: row.read("resource")?,
        name: row.read("name")?,
        url: row.read("url")?,
        // A kind that only a newer program knows is none of ours to tell.
        kinds: kinds.iter().filter_map(|name| EventKind::parse(name).ok()).collect(),
        schema: row.read_name("event_schema")?,
        auth: match auth.as_str() {
            "hmac" => Auth::Hmac(secret),
            "bearer" => Auth::Bearer(secret),
            _ => Auth::None,
        },
        validation_code: row.read("validation_code")?,
        state: row.read_name("state")?,
        state_unix_ms: row.read("state_ms")?,
        detail: row.read("detail")?,
        full_unix_ms: row.read("full_ms")?,
    })
}
