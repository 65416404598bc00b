//! Has endpoints prove that they want the events of a subscription, so that nobody has us knock at doors of others.
//!
//! Event Grid: a validation event with a code is posted, and the endpoint answers with 200 and the code, or somebody
//! follows the link that came with it within five minutes. CloudEvents (its "HTTP 1.1 Web Hooks for Event Delivery"):
//! OPTIONS names us as origin, and the endpoint answers with 200 and that origin, or `*`, among those that it allows.

use super::delivery::{Endpoint, Purpose, value};
use super::{Shared, ended, now_unix_ms};
use crate::app::random;
use crate::http_client::HttpError;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};
use trunkline_api::validation_url;
use trunkline_model::event::topic;
use trunkline_model::timestamp::rfc3339;
use trunkline_storage::events::{self, Schema, State, VALIDATIONS, Validation};
use trunkline_storage::jobs::{self, Backoff, Failed, Job};
use trunkline_storage::{Error, Topic, resources};
use uuid::Uuid;

/// Endpoints validated at once.
const AT_ONCE_MAX: u16 = 8;

const LEASE_MS: i64 = 60_000;

/// How long somebody may take to follow the link.
const LINK_MAX_MS: i64 = 5 * 60_000;

/// Between attempts at an endpoint that does not answer, which is often about to start.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), max: Duration::from_secs(10) };

/// How often it is looked without word of a job.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The pause after the database failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(shared: Shared, mut end: watch::Receiver<bool>) {
    let mut due = shared.store.subscribe(Topic::Jobs);
    loop {
        let pause = match turn(&shared).await {
            Ok(pause) => pause,
            Err(error) => {
                warn!(%error, "endpoints cannot be validated");
                STORE_PAUSE
            }
        };
        tokio::select! {
            () = due.changed() => {}
            () = sleep(pause) => {}
            () = ended(&mut end) => return,
        }
    }
}

/// Validates what is due, and returns how long nothing will be.
async fn turn(shared: &Shared) -> Result<Duration, Error> {
    let now_unix_ms = now_unix_ms();
    let due = jobs::next_due(&mut shared.store.read().await?, VALIDATIONS).await?;
    let ahead = due.map_or(i64::MAX, |due| due - now_unix_ms);
    if let Ok(ahead @ 1..) = u64::try_from(ahead) {
        return Ok(Duration::from_millis(ahead).min(LOOK_EVERY));
    }
    let claimed = shared
        .store
        .write(move |db| {
            Box::pin(async move {
                jobs::claim(db, VALIDATIONS, now_unix_ms, now_unix_ms + LEASE_MS, AT_ONCE_MAX).await
            })
        })
        .await?;
    let mut under_way = tokio::task::JoinSet::new();
    for job in claimed {
        let shared = shared.clone();
        under_way.spawn(async move { validate(&shared, job).await });
    }
    while let Some(done) = under_way.join_next().await {
        // One that panicked comes again when its lease has run out.
        done.unwrap_or(Ok(()))?;
    }
    Ok(Duration::ZERO)
}

/// What became of an attempt.
enum Attempt {
    /// The endpoint wants the events, or will not.
    Settled(Result<(), String>),
    /// Nobody knows yet: somebody may follow the link.
    Link,
    /// It did not answer.
    Failed(String),
}

async fn validate(shared: &Shared, job: Job) -> Result<(), Error> {
    let validation: Option<Validation> = serde_json::from_value(job.payload.clone()).ok();
    let endpoint = match validation {
        Some(validation) => pending(shared, validation.subscription).await?,
        None => None,
    };
    let now = now_unix_ms();
    let Some(endpoint) = endpoint else {
        // It is confirmed already, or gone.
        shared
            .store
            .write(move |db| Box::pin(async move { jobs::finish(db, &job.lease, now).await }))
            .await?;
        return Ok(());
    };
    let too_late = now >= job.created_unix_ms + LINK_MAX_MS;
    let attempt = if too_late {
        Attempt::Settled(Err("nobody followed the link within five minutes".to_owned()))
    } else {
        handshake(shared, &endpoint).await
    };
    let id = endpoint.subscription.id;
    let now = now_unix_ms();
    let settled = shared
        .store
        .write(move |db| {
            Box::pin(async move {
                let wants = match attempt {
                    Attempt::Settled(wants) => wants,
                    Attempt::Link => {
                        jobs::postpone(db, &job.lease, job.created_unix_ms + LINK_MAX_MS).await?;
                        return Ok(None);
                    }
                    Attempt::Failed(why) => {
                        match jobs::fail(db, &job.lease, &why, &BACKOFF, random(), now).await? {
                            Failed::RetryAt(_) | Failed::LeaseLost => return Ok(None),
                            Failed::Dead => {
                                events::settle(db, id, Err(&why), now).await?;
                                return Ok(Some(Err(why)));
                            }
                        }
                    }
                };
                jobs::finish(db, &job.lease, now).await?;
                let refusal = match &wants {
                    Ok(()) => Ok(()),
                    Err(why) => Err(why.as_str()),
                };
                events::settle(db, id, refusal, now).await?;
                Ok::<_, Error>(Some(wants))
            })
        })
        .await?;
    match settled {
        Some(Ok(())) => info!(subscription = %id, "the endpoint wants the events"),
        Some(Err(why)) => warn!(subscription = %id, why, "the subscription failed"),
        None => {}
    }
    Ok(())
}

/// Returns the endpoint of a subscription that is still pending.
async fn pending(shared: &Shared, id: Uuid) -> Result<Option<Endpoint>, Error> {
    let mut db = shared.store.read().await?;
    let found = events::by_id(&mut db, id).await?.filter(|found| found.state == State::Pending);
    let Some(subscription) = found else { return Ok(None) };
    let resource = resources::by_id(&mut db, subscription.resource).await?;
    Ok(resource.map(|resource| Endpoint { topic: topic(resource.id, &resource.name), subscription }))
}

async fn handshake(shared: &Shared, endpoint: &Endpoint) -> Attempt {
    let result = match endpoint.subscription.schema {
        Schema::EventGrid => event_grid(shared, endpoint).await,
        Schema::CloudEvents => cloud_events(shared, endpoint).await,
    };
    match result {
        Ok(attempt) => attempt,
        Err(error @ (HttpError::Url(_) | HttpError::Forbidden(_))) => {
            Attempt::Settled(Err(error.to_string()))
        }
        Err(error) => Attempt::Failed(error.to_string()),
    }
}

async fn event_grid(shared: &Shared, endpoint: &Endpoint) -> Result<Attempt, HttpError> {
    let subscription = &endpoint.subscription;
    let code = subscription.validation_code;
    let id = Uuid::new_v4().to_string();
    let body = json!([{
        "id": id,
        "topic": endpoint.topic,
        "subject": "",
        "data": {
            "validationCode": code,
            "validationUrl": validation_url(&shared.base, subscription.id, code),
        },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": rfc3339(now_unix_ms()),
        "metadataVersion": "1",
        "dataVersion": "1",
    }]);
    let answer = endpoint.post(shared, Purpose::Validation, &id, body.to_string()).await?;
    if answer.status.is_server_error() {
        return Ok(Attempt::Failed(format!("it answered {}", answer.status)));
    }
    // 202 is no consent in the public service either.
    if answer.status != StatusCode::OK {
        return Ok(Attempt::Settled(Err(format!("it answered {} instead of 200", answer.status))));
    }
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let said = said.as_ref().and_then(|said| said.get("validationResponse")).and_then(Value::as_str);
    Ok(match said {
        Some(said) if said.eq_ignore_ascii_case(&code.to_string()) => Attempt::Settled(Ok(())),
        Some(_) => Attempt::Settled(Err("it answered with another code than it was sent".to_owned())),
        None => Attempt::Link,
    })
}

async fn cloud_events(shared: &Shared, endpoint: &Endpoint) -> Result<Attempt, HttpError> {
    let subscription = &endpoint.subscription;
    let url = shared.client.url(&subscription.url)?;
    let id = Uuid::new_v4().to_string();
    let mut request = endpoint.request(Method::OPTIONS, url, Purpose::Validation, &id, Bytes::new())?;
    // No rate is asked for: then none has to be granted.
    let origin = shared.base.strip_prefix("https://").unwrap_or(&shared.base);
    request.headers_mut().insert("webhook-request-origin", value(origin)?);
    let link = validation_url(&shared.base, subscription.id, subscription.validation_code);
    request.headers_mut().insert("webhook-request-callback", value(&link)?);
    let answer = shared.client.send(request, shared.limits()).await?;
    if answer.status.is_server_error() {
        return Ok(Attempt::Failed(format!("it answered {}", answer.status)));
    }
    if !answer.status.is_success() {
        return Ok(Attempt::Settled(Err(format!("it answered {} to OPTIONS", answer.status))));
    }
    let Some(allowed) = answer.headers.get("webhook-allowed-origin") else { return Ok(Attempt::Link) };
    let allowed = allowed.to_str().unwrap_or_default();
    let is_ours = allowed
        .split(',')
        .map(str::trim)
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    if is_ours {
        return Ok(Attempt::Settled(Ok(())));
    }
    Ok(Attempt::Settled(Err("WebHook-Allowed-Origin in its answer to OPTIONS does not allow us".to_owned())))
}
