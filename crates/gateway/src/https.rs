//! HTTPS: listeners, TLS and HTTP limits in front of the router of the REST plane.
//!
//! What a peer can hold is bounded in number (connections, also from one address, and streams) and in time
//! (handshake, header, body, writing, idling), so that slow clients cost a socket for a while and nothing else.

mod authority;
mod certificate;
mod connection;
mod paced;

use crate::config::{CertificateFiles, Http, HttpLimits};
use crate::metrics::Metrics;
use crate::net::ws::Door;
use anyhow::Context;
use authority::Authority;
use axum::Router;
use certificate::{Current, Source};
use hyper::header::HeaderValue;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};
use trunkline_storage::{Store, Topic, resources};

/// Pause after a failed accept: the usual reason is that file descriptors have run out, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often certificate files are looked at: a person who replaces them waits no longer than that.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often the certificate of the development CA is issued anew; it is good for more than a year.
const ISSUE_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);

/// The running server.
pub(crate) struct Https {
    draining: watch::Sender<bool>,
    reload: Arc<Notify>,
    listeners: Vec<JoinHandle<()>>,
    certificates: JoinHandle<()>,
    /// The development CA's certificate, where it is the one in use.
    pub(crate) authority: Option<PathBuf>,
}

/// What all connections share.
struct Shared {
    acceptor: TlsAcceptor,
    http1: hyper::server::conn::http1::Builder,
    http2: hyper::server::conn::http2::Builder<TokioExecutor>,
    router: Router,
    /// Where browsers open their WebSockets.
    door: Option<Arc<Door>>,
    limits: HttpLimits,
    keep_alive: Option<HeaderValue>,
    metrics: Arc<Metrics>,
    slots: Arc<Semaphore>,
    sources: Mutex<HashMap<IpAddr, u32>>,
}

impl Https {
    /// Starts serving on sockets that are bound already.
    ///
    /// # Errors
    /// The certificate cannot be used, or the development CA neither read nor made.
    pub(crate) async fn start(
        bound: Vec<(std::net::TcpListener, SocketAddr)>,
        config: &Http,
        data_dir: &Path,
        store: &Store,
        (router, door): (Router, Option<Arc<Door>>),
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let source = match &config.certificate {
            Some(files) => Source::Files(files.clone()),
            None => Source::Development(Box::new(
                Authority::open(data_dir).context("the development CA cannot be used")?,
            )),
        };
        let authority = match &source {
            Source::Files(_) => None,
            Source::Development(authority) => Some(authority.certificate.clone()),
        };
        let stamp = source.stamp();
        let first = source.certificate(&hosts(store).await).context("the certificate cannot be used")?;
        let current = Current::new(first);
        let shared =
            Arc::new(Shared::new(tls(Arc::clone(&current))?, config.limits, (router, door), metrics));
        let (draining, is_draining) = watch::channel(false);
        let mut listeners = Vec::with_capacity(bound.len());
        for (listener, _) in bound {
            let listener = TcpListener::from_std(listener).context("cannot listen for HTTPS")?;
            listeners.push(tokio::spawn(accept(listener, Arc::clone(&shared), is_draining.clone())));
        }
        let reload = Arc::new(Notify::new());
        let watched = Watched { source, current, stamp, store: store.clone(), reload: Arc::clone(&reload) };
        let certificates = tokio::spawn(watched.run());
        Ok(Self { draining, reload, listeners, certificates, authority })
    }

    /// Looks for another certificate now.
    pub(crate) fn reload(&self) {
        self.reload.notify_one();
    }

    /// Takes no new connections, finishes requests in progress, and ends after that time at the latest.
    pub(crate) async fn stop(self, within: Duration) {
        self.certificates.abort();
        // Fails when no connection listens any more, which is what is wanted.
        let _ = self.draining.send(true);
        let finish = async {
            for listener in self.listeners {
                // A listener that panicked has nothing left to wait for.
                let _ = listener.await;
            }
        };
        if timeout(within, finish).await.is_err() {
            warn!("HTTPS requests that were in progress are cut off");
        }
    }
}

impl Shared {
    fn new(
        acceptor: TlsAcceptor,
        limits: HttpLimits,
        (router, door): (Router, Option<Arc<Door>>),
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut http1 = hyper::server::conn::http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_header_size(limits.header_bytes_max as usize)
            .max_headers(HEADERS_MAX);
        let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.header)
            .keep_alive_timeout(limits.header)
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(limits.header_bytes_max)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER);
        Self {
            acceptor,
            http1,
            http2,
            router,
            door,
            keep_alive: connection::keep_alive(limits.header.as_secs()),
            slots: Arc::new(Semaphore::new(limits.connections_max as usize)),
            limits,
            metrics,
            sources: Mutex::default(),
        }
    }

    /// Takes a place for a connection from there, if there is one.
    fn place(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        // A count is whole between any two statements, so a panic elsewhere spoils nothing.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= self.limits.per_source_max {
            return None;
        }
        *count += 1;
        Some(Place { shared: Arc::clone(self), source, _slot: slot })
    }
}

/// A connection's place among those that are allowed.
struct Place {
    shared: Arc<Shared>,
    source: IpAddr,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.shared.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

/// Returns what takes TLS for a protocol that is not HTTP, with the operator's certificate.
///
/// # Errors
/// The certificate cannot be used.
pub(crate) fn acceptor(files: &CertificateFiles) -> anyhow::Result<TlsAcceptor> {
    let certificate = Source::Files(files.clone()).certificate(&[])?;
    Ok(TlsAcceptor::from(Arc::new(server_config(Current::new(certificate))?)))
}

fn tls(current: Arc<Current>) -> anyhow::Result<TlsAcceptor> {
    let mut config = server_config(current)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// TLS 1.2 and 1.3, without client certificates.
fn server_config(current: Arc<Current>) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(current);
    Ok(config)
}

/// Accepts connections until draining begins, then waits for those there are.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut draining: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let for_connections = draining.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    admit(stream, peer, &shared, &for_connections, &mut connections);
                }
                Err(error) => {
                    warn!(%error, "HTTPS accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => note_panic(&shared, &ended),
            () = begun(&mut draining) => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note_panic(&shared, &ended);
    }
}

/// Waits until draining begins; also when there is nobody left to begin it.
async fn begun(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    draining: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let Some(place) = shared.place(peer.ip().to_canonical()) else {
        return shared.metrics.http.connections_refused.add(1);
    };
    // Answers are small and whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let (shared, draining) = (Arc::clone(shared), draining.clone());
    connections.spawn(async move {
        shared.metrics.http.connections.add(1);
        let open = Open(Arc::clone(&shared));
        connection::serve(stream, shared, draining).await;
        drop((open, place));
    });
}

/// An open connection, as metrics count it.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.http.connections.sub(1);
    }
}

/// A panic costs the connection it happened on.
fn note_panic(shared: &Shared, ended: &Result<(), tokio::task::JoinError>) {
    if ended.as_ref().is_err_and(tokio::task::JoinError::is_panic) {
        shared.metrics.http.panics.add(1);
        error!("a request panicked; its connection is closed");
    }
}

/// What keeps the certificate up to date.
struct Watched {
    source: Source,
    current: Arc<Current>,
    stamp: certificate::Stamp,
    store: Store,
    reload: Arc<Notify>,
}

impl Watched {
    async fn run(mut self) {
        let mut resources = self.store.subscribe(Topic::Resources);
        let mut known = hosts(&self.store).await;
        let mut issued = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {
                    let stamp = self.source.stamp();
                    if stamp == self.stamp && issued.elapsed() < ISSUE_EVERY {
                        continue;
                    }
                }
                () = self.reload.notified() => {}
                () = resources.changed() => {
                    let hosts = hosts(&self.store).await;
                    if matches!(self.source, Source::Files(_)) || hosts == known {
                        continue;
                    }
                    known = hosts;
                }
            }
            self.stamp = self.source.stamp();
            issued = tokio::time::Instant::now();
            match self.source.certificate(&known) {
                Ok(certificate) => {
                    self.current.replace(certificate);
                    info!("certificate replaced");
                }
                Err(error) => {
                    error!(
                        error = format!("{error:#}"),
                        "the new certificate cannot be used; the old one stays"
                    );
                }
            }
        }
    }
}

/// Returns the hosts of all resources; none when they cannot be read, which costs a name in a certificate.
async fn hosts(store: &Store) -> Vec<String> {
    let read = async {
        let mut db = store.read().await?;
        resources::all_hosts(&mut db).await
    };
    read.await.unwrap_or_else(|error: trunkline_storage::Error| {
        warn!(%error, "the hosts of resources cannot be read");
        Vec::new()
    })
}

/// Most fields in a header. Clients send about a dozen.
const HEADERS_MAX: usize = 64;

/// What a stream of HTTP/2 may send ahead of us.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What all streams of a connection may.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What waits for a stream's peer.
const SEND_BUFFER: usize = 256 * 1024;
