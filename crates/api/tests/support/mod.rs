//! An API over a fresh database with one resource, and a client that signs what it sends.

#![allow(dead_code, unreachable_pub)]

use arc_swap::ArcSwap;
use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;
use tower::ServiceExt as _;
use trunkline_api::{Clock, Environment, Settings, State, router};
use trunkline_model::SubscriptionClass;
use trunkline_numbers::RuleBook;
use trunkline_storage::numbers::Act;
use trunkline_storage::resources::{self, Billing, Resource, Secret};
use trunkline_storage::{Error, Store};
use uuid::Uuid;

/// Mon, 23 Nov 2026 11:34:33 GMT, when the captured requests were sent.
pub const NOW_UNIX_MS: i64 = 1_795_433_673_000;

/// The key of the captured requests' string-to-sign vectors is not known; this one is ours.
pub const KEY: &[u8] = b"trunkline-test-key-0123456789abc";

/// The host of the first resource.
pub const HOST: &str = "contoso.localhost:8443";

/// Who sets things up.
pub const ACT: Act<'static> = Act { actor: "test", now_unix_ms: NOW_UNIX_MS };

/// An API and what is under it.
pub struct World {
    pub router: Router,
    pub state: State,
    pub store: Store,
    pub clock: Arc<AtomicI64>,
    pub resource: Uuid,
    _directory: TempDir,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

/// A request as a client sent it, without what is signed anew.
#[derive(Debug, serde::Deserialize)]
pub struct Captured {
    pub client: String,
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub status: u16,
}

/// A request to be signed and sent.
pub struct Sent<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub host: &'a str,
    pub key: &'a [u8],
    pub headers: Vec<(&'a str, String)>,
    pub body: Vec<u8>,
}

impl World {
    /// Opens a fresh database with the resource `contoso`, billed in the US and paid for.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("trunkline.db");
        let store = Store::open(&format!("sqlite:{}", path.display())).await.unwrap();
        Self::over(store, directory, change).await
    }

    /// The same over a database that was opened already.
    pub async fn over(store: Store, directory: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW_UNIX_MS));
        let rules = Arc::new(ArcSwap::from_pointee(RuleBook::default()));
        let mut settings = Settings::new(Environment::Test, "https://contoso.localhost:8443");
        change(&mut settings);
        let state = State::new(store.clone(), rules, settings, Clock::Set(clock.clone()));
        let router = router(state.clone());
        let resource = Uuid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555);
        let world = Self { router, state, store, clock, resource, _directory: directory };
        world.add_resource(resource, "contoso", HOST, KEY).await;
        world
    }

    /// Adds a paid resource with a verified US billing address.
    pub async fn add_resource(&self, id: Uuid, name: &str, host: &str, key: &[u8]) {
        let resource = Resource {
            id,
            name: name.into(),
            created_unix_ms: NOW_UNIX_MS,
            data_location: "US".into(),
            primary_key: Secret(key.to_vec()),
            secondary_key: Secret(b"trunkline-second-key-0123456789a".to_vec()),
            billing: Billing {
                country: Some("US".into()),
                verified_unix_ms: Some(NOW_UNIX_MS),
                emergency_address_unix_ms: None,
                class: SubscriptionClass::Paid,
            },
            suspended_unix_ms: None,
        };
        let hosts = vec![host.to_owned()];
        let work = self
            .store
            .write(move |db| Box::pin(async move { resources::insert(db, &resource, &hosts, ACT).await }));
        let result: Result<(), Error> = work.await;
        result.unwrap();
    }

    /// Lets time pass.
    pub fn pass(&self, duration: Duration) {
        self.clock.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub fn now_unix_ms(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Sent::new("GET", target)).await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.send(Sent::new("DELETE", target)).await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(Sent::new("POST", target).json(body)).await
    }

    pub async fn patch(&self, target: &str, body: &Value) -> Answer {
        let sent = Sent::new("PATCH", target).json(body);
        self.send(sent).await
    }

    /// Signs a request and sends it.
    pub async fn send(&self, sent: Sent<'_>) -> Answer {
        let request = sent.sign(self.now_unix_ms());
        self.send_unsigned(request).await
    }

    /// Another program on the same database, which has read nothing yet.
    pub fn restarted(&self) -> (State, Router) {
        let rules = self.state.rules.clone();
        let settings = self.state.settings.clone();
        let state = State::new(self.store.clone(), rules, settings, Clock::Set(self.clock.clone()));
        (state.clone(), router(state))
    }

    /// Signs a request and sends it to another program.
    pub async fn send_to(&self, router: Router, sent: Sent<'_>) -> Answer {
        Answer::read(router.oneshot(sent.sign(self.now_unix_ms())).await.unwrap()).await
    }

    /// Sends a request as it is.
    pub async fn send_unsigned(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }
}

/// Reads the captured requests of a file among the fixtures.
pub fn captured(name: &str) -> Vec<Captured> {
    let path = format!("{}/../../fixtures/acs/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(file["requests"].take()).unwrap()
}

impl Captured {
    /// The request, to be sent again.
    pub fn sent(&self) -> Sent<'_> {
        let mut sent = Sent::new(&self.method, &self.target);
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "content-length") {
            sent = sent.header(name, value);
        }
        sent.body = self.body.clone().into_bytes();
        sent
    }
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status: parts.status, headers: parts.headers, text, json }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The stable code of an error, after checking that the answer has the one shape of errors.
    pub fn error_code(&self) -> &str {
        let code = self.json["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {self:?}"));
        assert!(!self.json["error"]["message"].as_str().unwrap().is_empty(), "{self:?}");
        assert_eq!(self.header("x-ms-error-code"), code);
        code
    }
}

impl<'a> Sent<'a> {
    pub fn new(method: &'a str, target: &'a str) -> Self {
        Self { method, target, host: HOST, key: KEY, headers: Vec::new(), body: Vec::new() }
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.headers.push(("content-type", "application/json".into()));
        self.body = body.to_string().into_bytes();
        self
    }

    pub fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn to(mut self, host: &'a str, key: &'a [u8]) -> Self {
        (self.host, self.key) = (host, key);
        self
    }

    /// Signs the request as the clients do.
    pub fn sign(&self, now_unix_ms: i64) -> Request<Body> {
        self.sign_as(now_unix_ms, self.target, self.host)
    }

    /// Signs another form of the target or the host than the one sent.
    pub fn sign_as(&self, now_unix_ms: i64, signed_target: &str, signed_host: &str) -> Request<Body> {
        let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_unix_ms).unwrap());
        let date = httpdate::fmt_http_date(date);
        let hash = BASE64.encode(digest::digest(&digest::SHA256, &self.body));
        let text = format!("{}\n{signed_target}\n{date};{signed_host};{hash}", self.method);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key);
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.target)
            .header("host", self.host)
            .header("x-ms-date", date)
            .header("x-ms-content-sha256", hash)
            .header(
                "authorization",
                format!("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"),
            );
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Body::from(self.body.clone())).unwrap()
    }
}
