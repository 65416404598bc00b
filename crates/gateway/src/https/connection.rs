//! One connection: handshake, then requests of HTTP/1.1 or HTTP/2, each answered by the router.

use super::Shared;
use super::paced::{Paced, Timely};
use crate::net::ws::Door;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;
use tracing::debug;
use trunkline_api::OperationId;

/// What one connection is doing.
#[derive(Default)]
struct Activity {
    /// Requests in progress.
    now: AtomicUsize,
    /// Requests begun.
    begun: AtomicU64,
}

/// Serves a connection until it ends, or until it is idle after `draining` has become true.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, draining: watch::Receiver<bool>) {
    let limits = shared.limits;
    let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
    let Ok(ends) = ends else { return };
    let handshake = timeout(limits.handshake, shared.acceptor.accept(stream)).await;
    let tls = match handshake {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            shared.metrics.http.handshake_failures.add(1);
            return debug!(%error, "TLS handshake failed");
        }
        Err(_) => return shared.metrics.http.handshake_failures.add(1),
    };
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(Paced::new(tls, limits.write));
    let activity = Arc::new(Activity::default());
    let (for_service, of_connection) = (Arc::clone(&shared), Arc::clone(&activity));
    let service = service_fn(move |request| {
        answer(request, ends, Arc::clone(&for_service), Arc::clone(&of_connection))
    });
    if is_http2 {
        let connection = shared.http2.serve_connection(io, service);
        drive(connection, |connection| connection.graceful_shutdown(), &shared, &activity, draining).await;
    } else {
        let connection = shared.http1.serve_connection(io, service).with_upgrades();
        drive(connection, |connection| connection.graceful_shutdown(), &shared, &activity, draining).await;
    }
}

/// Runs a connection to its end. One that asks for nothing is told to go away, and left when it does not.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut_down: impl Fn(Pin<&mut C>),
    shared: &Shared,
    activity: &Activity,
    mut draining: watch::Receiver<bool>,
) {
    let mut connection = pin!(connection);
    let (mut leaving, mut begun) = (false, 0);
    let mut drain = pin!(super::begun(&mut draining));
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%error, "HTTPS connection ended");
                }
                return;
            }
            () = drain.as_mut(), if !leaving => {
                leaving = true;
                shut_down(connection.as_mut());
            }
            () = tokio::time::sleep(shared.limits.header) => {
                let newly = activity.begun.swap(0, Ordering::Relaxed);
                let idle = newly == 0 && activity.now.load(Ordering::Relaxed) == 0;
                begun += newly;
                if !idle {
                    continue;
                }
                if leaving {
                    return debug!(requests = begun, "idle HTTPS connection left");
                }
                leaving = true;
                shut_down(connection.as_mut());
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    ends: (SocketAddr, SocketAddr),
    shared: Arc<Shared>,
    activity: Arc<Activity>,
) -> Result<Response<Body>, Infallible> {
    let started = Instant::now();
    let _counted = activity.begin();
    let version = request.version();
    if let Some(door) = shared.door.as_ref().filter(|_| Door::is_asked(&request)) {
        let response = door.answer(request, ends);
        shared.metrics.http.note("sip", response.status().as_u16(), started.elapsed());
        return Ok(response);
    }
    let request = request.map(|body| Body::new(Timely::new(body, shared.limits.body)));
    let mut response = shared.router.clone().oneshot(request).await?;
    if version == Version::HTTP_11 {
        hint_keep_alive(response.headers_mut(), &shared);
    }
    let operation = response.extensions().get::<OperationId>().map_or("none", |operation| operation.0);
    shared.metrics.http.note(operation, response.status().as_u16(), started.elapsed());
    Ok(response)
}

/// Tells clients that understand it how long the connection lives without a request, so that they do not send the
/// next one just when it is closed.
fn hint_keep_alive(headers: &mut HeaderMap, shared: &Shared) {
    if !headers.contains_key(CONNECTION)
        && let Some(hint) = &shared.keep_alive
    {
        headers.insert(KEEP_ALIVE, hint.clone());
    }
}

pub(super) fn keep_alive(secs: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("timeout={}", secs.saturating_sub(1).max(1))).ok()
}

const KEEP_ALIVE: hyper::header::HeaderName = hyper::header::HeaderName::from_static("keep-alive");

/// One request in progress.
struct Counted(Arc<Activity>);

impl Activity {
    fn begin(self: Arc<Self>) -> Counted {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
