//! `trunkline events`: who is told of a resource's events, and what could not be told.

use super::{find, now_unix_ms, on_database, patiently, print_json};
use crate::cli::{Database, EventsCommand, Named, Subscribe};
use crate::config::Config;
use crate::events::secret_of;
use crate::http_client::Guard;
use anyhow::Context;
use serde_json::json;
use std::time::{Duration, Instant};
use trunkline_model::event::Notice;
use trunkline_model::timestamp::rfc3339;
use trunkline_storage::events::{self, Auth, State, Subscription};
use trunkline_storage::jobs::{self, DeadJob, Depth};
use trunkline_storage::resources::{self, Resource, Secret};
use trunkline_storage::{Error, Store};
use uuid::Uuid;

/// Carries out a command, and says whether it came to what was wanted.
///
/// # Errors
/// What the operator should know: the arguments make no sense, there is no such resource or subscription, the database
/// failed.
pub fn events(config: &Config, command: EventsCommand) -> anyhow::Result<bool> {
    match command {
        EventsCommand::Subscribe(new) => {
            let guard = config.guard();
            on_database(config, async |store| subscribe(store, &guard, new).await)
        }
        EventsCommand::List { resource, database } => {
            on_database(config, async |store| list(store, &database, resource.as_deref()).await)
        }
        EventsCommand::Show(named) => on_database(config, async |store| show(store, &named).await),
        EventsCommand::Delete(named) => on_database(config, async |store| delete(store, &named).await),
        EventsCommand::Dead { named, after, limit } => {
            on_database(config, async |store| dead(store, &named, after, limit).await)
        }
        EventsCommand::Replay { named, numbers } => {
            on_database(config, async |store| replay(store, &named, numbers).await)
        }
    }
}

/// How often it is looked whether the endpoint has answered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

async fn subscribe(store: &Store, guard: &Guard, new: Subscribe) -> anyhow::Result<bool> {
    let url = guard.url(&new.url)?;
    let resource = find(&mut store.read().await?, &new.resource).await?;
    let host = url.host().unwrap_or_default().replace(|c: char| !is_plain(c), "-");
    let name = new.name.clone().unwrap_or_else(|| host.trim_matches('-').to_owned());
    anyhow::ensure!(
        (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_plain),
        "a subscription's name is 1 to {NAME_CHARS_MAX} letters, digits and -; --name sets it"
    );
    let subscription = Subscription {
        id: Uuid::now_v7(),
        resource: resource.id,
        name: name.clone(),
        url: new.url.clone(),
        kinds: new.types.clone(),
        schema: new.schema.into(),
        auth: auth(&new)?,
        validation_code: Uuid::new_v4(),
        state: State::Pending,
        state_unix_ms: now_unix_ms(),
        detail: None,
        full_unix_ms: None,
    };
    let id = subscription.id;
    let inserted: Result<(), Error> = store
        .write(move |db| Box::pin(async move { events::subscribe(db, &subscription, now_unix_ms()).await }))
        .await;
    match inserted {
        Err(Error::Duplicate { .. }) => {
            anyhow::bail!("the resource has a subscription {name:?} already; --name gives this one another")
        }
        result => result.context("the subscription was not made")?,
    }
    let found = settled(store, id, Duration::from_secs(new.wait)).await?;
    print(&new.database, &resource, &found, None);
    if found.state == State::Pending && !new.database.json {
        println!(
            "Nobody has confirmed it yet: is the gateway running? The endpoint was, or will be, sent a link to follow."
        );
    }
    Ok(found.state == State::Active)
}

fn auth(new: &Subscribe) -> anyhow::Result<Auth> {
    match (&new.hmac_secret, &new.bearer) {
        (Some(secret), _) => Ok(Auth::Hmac(Secret(secret_of(secret)?))),
        (None, Some(token)) => {
            let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            anyhow::ensure!(
                plain && token.len() <= TOKEN_BYTES_MAX,
                "a token is visible ASCII, without spaces"
            );
            Ok(Auth::Bearer(Secret(token.as_bytes().to_vec())))
        }
        (None, None) => Ok(Auth::None),
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// Longest name of a subscription, as in the public service.
const NAME_CHARS_MAX: usize = 64;

/// Longest token: with it a header still fits every server.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Waits until the endpoint has answered, for that time at most.
async fn settled(store: &Store, id: Uuid, within: Duration) -> anyhow::Result<Subscription> {
    let began = Instant::now();
    loop {
        let found =
            events::by_id(&mut store.read().await?, id).await?.context("the subscription was deleted")?;
        if found.state != State::Pending || began.elapsed() >= within {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn list(store: &Store, database: &Database, resource: Option<&str>) -> anyhow::Result<bool> {
    let mut db = store.read().await?;
    let of = match resource {
        Some(name) => vec![find(&mut db, name).await?],
        None => resources::list(&mut db).await?,
    };
    let mut documents = Vec::new();
    for resource in of {
        for subscription in events::list(&mut db, resource.id).await? {
            if database.json {
                documents.push(document(&resource, &subscription, None));
            } else {
                print(database, &resource, &subscription, None);
            }
        }
    }
    if database.json {
        print_json(&json!(documents));
    }
    Ok(true)
}

async fn show(store: &Store, named: &Named) -> anyhow::Result<bool> {
    let (resource, subscription) = by_name(store, named).await?;
    let depth = jobs::depth(&mut store.read().await?, &subscription.queue()).await?;
    print(&named.database, &resource, &subscription, Some(depth));
    Ok(true)
}

async fn delete(store: &Store, named: &Named) -> anyhow::Result<bool> {
    let (_, subscription) = by_name(store, named).await?;
    let id = subscription.id;
    store.write(move |db| Box::pin(async move { events::unsubscribe(db, id).await })).await?;
    // In portions, so that nobody else waits for long.
    loop {
        let queue = subscription.queue();
        let purged: Result<u64, Error> = patiently(async || {
            let queue = queue.clone();
            store.write(move |db| Box::pin(async move { jobs::purge(db, &queue, PURGED_MAX).await })).await
        })
        .await;
        if purged? == 0 {
            break;
        }
    }
    if !named.database.json {
        println!("{} is deleted", named.name);
    }
    Ok(true)
}

const PURGED_MAX: u16 = 1_000;

async fn dead(store: &Store, named: &Named, after: i64, limit: u16) -> anyhow::Result<bool> {
    let (_, subscription) = by_name(store, named).await?;
    let dead = jobs::list_dead(&mut store.read().await?, &subscription.queue(), after, limit).await?;
    if named.database.json {
        print_json(&json!(dead.iter().map(dead_letter).collect::<Vec<_>>()));
        return Ok(true);
    }
    for job in &dead {
        let notice: Option<Notice> = serde_json::from_value(job.payload.clone()).ok();
        let (kind, id) =
            notice.map_or_else(|| ("unknown".to_owned(), String::new()), |notice| (notice.kind, notice.id));
        let why = job.last_error.as_deref().unwrap_or("unknown");
        println!(
            "{:>8}  {}  {kind}  {id}  {} attempts: {why}",
            job.id,
            rfc3339(job.dead_unix_ms),
            job.attempts
        );
    }
    Ok(true)
}

fn dead_letter(job: &DeadJob) -> serde_json::Value {
    json!({
        "number": job.id,
        "event": job.payload,
        "attempts": job.attempts,
        "publishedAt": rfc3339(job.created_unix_ms),
        "givenUpAt": rfc3339(job.dead_unix_ms),
        "lastError": job.last_error,
    })
}

async fn replay(store: &Store, named: &Named, numbers: Vec<i64>) -> anyhow::Result<bool> {
    let (_, subscription) = by_name(store, named).await?;
    let queue = subscription.queue();
    let mut replayed = 0_u64;
    let mut after = 0;
    loop {
        let page = jobs::list_dead(&mut store.read().await?, &queue, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for job in page.iter().filter(|job| numbers.is_empty() || numbers.contains(&job.id)) {
            let id = job.id;
            let again = patiently(async || {
                store
                    .write(move |db| Box::pin(async move { jobs::replay(db, id, now_unix_ms()).await }))
                    .await
            });
            replayed += u64::from(again.await?);
        }
    }
    if named.database.json {
        print_json(&json!({ "replayed": replayed }));
    } else {
        println!("{replayed} events are delivered again");
    }
    Ok(numbers.is_empty() || replayed == numbers.len() as u64)
}

const PAGE: u16 = 500;

async fn by_name(store: &Store, named: &Named) -> anyhow::Result<(Resource, Subscription)> {
    let mut db = store.read().await?;
    let resource = find(&mut db, &named.resource).await?;
    let found = events::by_name(&mut db, resource.id, &named.name).await?;
    let name = &named.name;
    let found = found.with_context(|| {
        format!("the resource has no subscription {name:?}; `trunkline events list` shows them")
    })?;
    Ok((resource, found))
}

fn print(database: &Database, resource: &Resource, subscription: &Subscription, depth: Option<Depth>) {
    if database.json {
        return print_json(&document(resource, subscription, depth));
    }
    let kinds: Vec<&str> = subscription.kinds.iter().map(|kind| kind.as_str()).collect();
    println!("{}/{}  {}", resource.name, subscription.name, subscription.state.as_str());
    println!("  url     {}", subscription.url);
    println!("  types   {}", kinds.join(", "));
    println!("  schema  {}, auth {}", subscription.schema.as_str(), subscription.auth.as_str());
    if let Some(detail) = &subscription.detail {
        println!("  why     {detail}");
    }
    if let Some(since) = subscription.full_unix_ms {
        println!("  full    since {}: it gets no new events until it has caught up", rfc3339(since));
    }
    if let Some(depth) = depth {
        let waiting = depth.ready + depth.waiting;
        println!("  events  {waiting} to be delivered, {} given up", depth.dead);
    }
}

fn document(resource: &Resource, subscription: &Subscription, depth: Option<Depth>) -> serde_json::Value {
    let mut document = json!({
        "id": subscription.id,
        "resource": resource.name,
        "name": subscription.name,
        "url": subscription.url,
        "types": subscription.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "schema": subscription.schema.as_str(),
        "auth": subscription.auth.as_str(),
        "state": subscription.state.as_str(),
        "since": rfc3339(subscription.state_unix_ms),
        "detail": subscription.detail,
        "fullSince": subscription.full_unix_ms.map(rfc3339),
    });
    if let (Some(fields), Some(depth)) = (document.as_object_mut(), depth) {
        fields.insert("waiting".to_owned(), (depth.ready + depth.waiting).into());
        fields.insert("dead".to_owned(), depth.dead.into());
    }
    document
}
