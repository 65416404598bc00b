//! `/metrics` and `/health` over HTTP/1.1, one request a connection.

use super::Metrics;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Requests served at once; a scraper opens one.
const REQUESTS_MAX: usize = 16;

/// Longest request head.
const HEAD_BYTES_MAX: usize = 4 * 1024;

/// Time for a whole request and its answer.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// Pause after a failed accept: the usual reason is that file descriptors have run out, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = Arc::clone(&metrics);
                tokio::spawn(async move {
                    // A scraper that went away is no event.
                    let _ = timeout(REQUEST_MAX, answer(stream, &metrics)).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "metrics accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(|byte| byte.is_ascii_whitespace());
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", "text/plain; version=0.0.4", metrics.render()),
        (b"GET" | b"HEAD", b"/health") => health(metrics),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "text/plain", "/metrics or /health\n".to_owned()),
        (_, _) => ("405 Method Not Allowed", "text/plain", "GET only\n".to_owned()),
    };
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    if method != b"HEAD" {
        response.push_str(&body);
    }
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// A draining node is alive and asks load balancers to send nothing new: 503 with its own word.
fn health(metrics: &Metrics) -> (&'static str, &'static str, String) {
    let (status, word) = if !metrics.is_alive(Instant::now()) {
        ("503 Service Unavailable", "stalled")
    } else if metrics.draining.load(Ordering::Relaxed) {
        ("503 Service Unavailable", "draining")
    } else {
        ("200 OK", "ok")
    };
    (status, "application/json", format!("{{\"status\":\"{word}\"}}\n"))
}
