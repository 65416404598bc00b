//! The sandbox's HTTP listener: requests are read here and answered by [`Texts`](super::texts::Texts).

use super::texts::{Answer, Event, Request};
use anyhow::Context;
use axum::body::{Body, to_bytes};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Largest body: a text of 2,048 characters, escaped, several times over.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a head may take to come, and a connection be idle.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the task is dropped.
pub(super) fn serve(listener: StdListener, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener).context("cannot listen for HTTP")?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, remote)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let events = events.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, remote, events.clone()));
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
                // An error is a peer that went away, or one that is hung up on by intent.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(())
}

async fn answer(
    request: hyper::Request<Incoming>,
    remote: SocketAddr,
    events: mpsc::Sender<Event>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), BODY_BYTES_MAX).await else {
        return Ok(respond(Answer { status: 413, retry_after_secs: None, body: "{}".to_owned() }));
    };
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let request = Request {
        remote,
        is_post: parts.method == Method::POST,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: authorization.map(str::to_owned),
        body,
    };
    let (sender, receiver) = oneshot::channel();
    let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
    events.send(Event::Request(request, sender)).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
    Ok(respond(receiver.await.map_err(gone)?))
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::builder().status(answer.status).header(CONTENT_TYPE, "application/json");
    if let Some(secs) = answer.retry_after_secs {
        response = response.header(RETRY_AFTER, secs);
    }
    // Its status is one of ours, so that it can always be built.
    response.body(Body::from(answer.body)).unwrap_or_default()
}
