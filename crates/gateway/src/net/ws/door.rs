//! Who may open a WebSocket: the handshake (RFC 6455 §4.2, RFC 7118 §4.1), the origin, and how many there may be.
//!
//! There are no cookies and nothing else that a browser would add by itself, so a page of another site can do nothing
//! here in a user's name. That its origin is not ours is refused all the same, as is a request that names none: what
//! runs in a browser always names one.

use super::socket::{self, Limits};
use super::{Event, MARK, WRITES_MAX};
use crate::config::Users;
use crate::metrics::Metrics;
use axum::body::Body;
use bytes::Bytes;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use trunkline_sip::transport::ConnectionId;

/// The path of SIP over WebSocket.
const PATH: &str = "/sip";

/// The subprotocol (RFC 7118 §4.1).
const SUBPROTOCOL: &str = "sip";

/// Lets browsers in.
#[derive(Debug)]
pub(crate) struct Door {
    origins: Origins,
    limits: Limits,
    connections_max: u32,
    per_source_max: u32,
    next: AtomicU64,
    /// How many there are from each address.
    sources: Mutex<HashMap<IpAddr, u32>>,
    events: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
}

/// Which pages may connect.
#[derive(Debug)]
struct Origins {
    /// Those that the operator names, besides our own.
    named: BTreeSet<String>,
    /// Whether those of this machine are as good, and what is no browser.
    development: bool,
    /// Whether what names no origin, and so is no browser, may connect.
    without: bool,
}

impl Door {
    pub(super) fn new(
        users: &Users,
        development: bool,
        events: mpsc::Sender<Event>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let without = users.without_origin.unwrap_or(development);
        let named = users.origins.iter().map(|origin| origin.to_ascii_lowercase()).collect();
        Self {
            origins: Origins { named, development, without },
            limits: Limits::default(),
            connections_max: users.connections_max,
            per_source_max: users.per_source_max,
            next: AtomicU64::new(0),
            sources: Mutex::default(),
            events,
            metrics,
        }
    }

    /// Whether a request is for this door. SIP routing of the REST API has the same path, and asks for no upgrade.
    pub(crate) fn is_asked<B>(request: &Request<B>) -> bool {
        request.uri().path() == PATH && request.headers().contains_key(UPGRADE)
    }

    /// Answers a request for a WebSocket, and serves it from there.
    pub(crate) fn answer<B>(
        self: &Arc<Self>,
        request: Request<B>,
        (local, remote): (SocketAddr, SocketAddr),
    ) -> Response<Body> {
        let accepted = match self.check(&request) {
            Ok(accepted) => accepted,
            Err(refused) => {
                tracing::debug!(%remote, status = refused.status().as_u16(), "WebSocket refused");
                return refused;
            }
        };
        let Some(place) = self.place(remote.ip().to_canonical()) else {
            self.metrics.stream_refusals.add(1);
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
        };
        let connection = ConnectionId(MARK | self.next.fetch_add(1, Ordering::Relaxed));
        let (door, upgrade) = (Arc::clone(self), hyper::upgrade::on(request));
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let (writes, queue) = mpsc::channel::<Bytes>(WRITES_MAX);
                let opened = Event::Opened { connection, local, remote, writes };
                if door.events.send(opened).await.is_ok() {
                    let why = socket::run(upgraded, connection, queue, &door.events, &door.limits).await;
                    // When signalling has ended nobody needs to know.
                    let _ = door.events.send(Event::Closed { connection, why }).await;
                }
            }
            drop(place);
        });
        accepted
    }

    /// Returns the answer that opens the WebSocket.
    #[expect(
        clippy::result_large_err,
        reason = "a refusal is an answer like the other, and made once a request"
    )]
    fn check<B>(&self, request: &Request<B>) -> Result<Response<Body>, Response<Body>> {
        let headers = request.headers();
        let is_upgrade = request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && has_token(headers, &CONNECTION, "upgrade")
            && has_token(headers, &UPGRADE, "websocket");
        if !is_upgrade {
            return Err(with(
                refusal(StatusCode::UPGRADE_REQUIRED, "SIP over WebSocket is served here"),
                UPGRADE,
                "websocket",
            ));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
            let refused = refusal(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 is spoken here");
            return Err(with(refused, SEC_WEBSOCKET_VERSION, "13"));
        }
        // RFC 6455 §4.2.1: 16 bytes in base64.
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
        let Some(key) = key else { return Err(refusal(StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key")) };
        if !has_token(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
            return Err(refusal(StatusCode::BAD_REQUEST, "the subprotocol is sip"));
        }
        if !self.origins.allow(headers) {
            return Err(refusal(StatusCode::FORBIDDEN, "this origin may not connect"));
        }
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
            .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
            .body(Body::empty());
        response.map_err(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR, "no answer"))
    }

    /// Takes a place for a connection from there, if there is one.
    fn place(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        // A count is whole between any two statements, so a panic elsewhere spoils nothing.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = sources.values().sum();
        let count = sources.entry(source).or_default();
        if all >= self.connections_max || *count >= self.per_source_max {
            if *count == 0 {
                sources.remove(&source);
            }
            return None;
        }
        *count += 1;
        Some(Place { door: Arc::clone(self), source })
    }
}

/// A connection's place among those that are allowed.
struct Place {
    door: Arc<Door>,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.door.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

impl Origins {
    fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return self.without };
        let Some(origin) = origin.to_str().ok().filter(|_| origins.next().is_none()) else { return false };
        let origin = origin.to_ascii_lowercase();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
        let is_ours = host.is_some_and(|host| origin == format!("https://{host}"));
        is_ours
            || self.named.contains(&origin)
            || self.development && authority.is_some_and(is_of_this_machine)
    }
}

/// Whether a host with or without a port is this machine (RFC 6761 §6.3 for names below `localhost`).
fn is_of_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether one of a header's lists names a token.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn with(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("contoso.example:8443"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        origins.allow(&headers)
    }

    #[test]
    fn only_our_own_pages_and_those_that_are_named_may_connect() {
        let named = BTreeSet::from(["https://app.example".to_owned()]);
        let origins = Origins { named, development: false, without: false };
        for good in ["https://contoso.example:8443", "https://app.example", "HTTPS://App.Example"] {
            assert!(allows(&origins, Some(good)), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://contoso.example:8443",
            "https://contoso.example",
            "https://app.example.evil",
            "https://evil.app.example",
            "http://localhost:3000",
        ] {
            assert!(!allows(&origins, Some(bad)), "{bad}");
        }
        assert!(!allows(&origins, None));
    }

    #[test]
    fn in_development_this_machine_may_connect_too() {
        let origins = Origins { named: BTreeSet::new(), development: true, without: true };
        for good in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:80", "https://a.localhost"] {
            assert!(allows(&origins, Some(good)), "{good}");
        }
        assert!(allows(&origins, None));
        for bad in ["null", "https://evil.example", "https://localhost.evil.example", "http://127.0.0.1.evil"]
        {
            assert!(!allows(&origins, Some(bad)), "{bad}");
        }
    }
}
