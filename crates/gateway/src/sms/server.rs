//! Customers' own systems bind here: for them we are the message centre.
//!
//! Each connection is a task that drives one [`trunkline_sms::session::Server`]. What it submits goes the way of the REST API's
//! texts and is answered once it is on disk ([`submit`]); what it is told comes from its account's queue ([`outbox`]).

mod outbox;
mod session;
mod submit;

use crate::config::{Sms, SmsAccount, SmsSenders, SmsServer};
use anyhow::Context;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};
use trunkline_sms::session::accounts::{Account, Accounts, Grant};
use trunkline_storage::Store;

/// Pause after a failed accept: the usual reason is that file descriptors have run out, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What the server needs of the configuration beside its own.
#[derive(Debug)]
struct Terms {
    /// Senders that are no numbers of the inventory.
    senders: SmsSenders,
    /// How long a message is worth sending unless it says otherwise, and at most.
    validity: Duration,
    /// How much longer a report is waited for.
    report_grace: Duration,
}

/// A bound listener, and whether TLS is spoken on it.
pub(crate) type Bound = (StdListener, SocketAddr, bool);

/// The running server.
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

/// What all connections share.
struct Shared {
    config: SmsServer,
    terms: Terms,
    accounts: Mutex<Accounts>,
    by_system_id: BTreeMap<String, Arc<SmsAccount>>,
    store: Store,
    tls: Option<TlsAcceptor>,
    sessions: AtomicU64,
    slots: Arc<Semaphore>,
    sources: Mutex<HashMap<IpAddr, u32>>,
}

impl Server {
    /// Starts serving on listeners that are bound already.
    ///
    /// # Errors
    /// A password file or the certificate cannot be read.
    pub(crate) fn start(sms: &Sms, bound: Vec<Bound>, store: Store) -> anyhow::Result<Self> {
        let config = &sms.server;
        let terms =
            Terms { senders: sms.senders.clone(), validity: sms.validity, report_grace: sms.report_grace };
        let mut accounts = BTreeMap::new();
        for account in &config.accounts {
            let password = account.password.read();
            let password = password.with_context(|| format!("the password of account {}", account.name))?;
            accounts.insert(account.system_id.clone(), sans_io(account, password));
        }
        let tls = match &config.certificate {
            Some(files) => Some(crate::https::acceptor(files).context("the certificate of [sms.server]")?),
            None => None,
        };
        let by_system_id = config.accounts.iter().map(|account| (account.system_id.clone(), account));
        let shared = Arc::new(Shared {
            accounts: Mutex::new(Accounts::new(accounts)),
            by_system_id: by_system_id.map(|(id, account)| (id, Arc::new(account.clone()))).collect(),
            slots: Arc::new(Semaphore::new(config.connections_max as usize)),
            config: config.clone(),
            terms,
            store,
            tls,
            sessions: AtomicU64::new(0),
            sources: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut listeners = Vec::with_capacity(bound.len());
        for (listener, _, is_tls) in bound {
            let listener = TcpListener::from_std(listener).context("cannot listen for SMPP")?;
            listeners.push(tokio::spawn(accept(listener, is_tls, Arc::clone(&shared), stopped.clone())));
        }
        Ok(Self { stop, listeners })
    }

    /// Takes no new connections, unbinds, and ends after that time at the latest.
    pub(crate) async fn stop(self, within: Duration) {
        // Fails when no connection listens any more, which is what is wanted.
        let _ = self.stop.send(true);
        let finish = async {
            for listener in self.listeners {
                // A listener that panicked has nothing left to wait for.
                let _ = listener.await;
            }
        };
        if timeout(within, finish).await.is_err() {
            warn!("SMPP sessions of customers are cut off");
        }
    }
}

fn sans_io(account: &SmsAccount, password: String) -> Account {
    Account {
        grant: Grant {
            window: account.window as usize,
            rate: account.rate,
            deliver_window: account.deliver_window as usize,
        },
        password,
        networks: account.sources.clone(),
        binds_max: account.binds_max as usize,
        kinds: account.kinds.clone(),
    }
}

async fn accept(
    listener: TcpListener,
    is_tls: bool,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut sessions = JoinSet::new();
    loop {
        // Sessions that have ended are forgotten.
        while sessions.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                let Some(place) = shared.place(remote.ip().to_canonical()) else {
                    debug!(%remote, "SMPP connection refused: there are as many as may be");
                    continue;
                };
                sessions.spawn(serve(stream, is_tls, place, stopped.clone()));
            }
            Err(error) => {
                warn!(%error, "SMPP accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while sessions.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, is_tls: bool, place: Place, stopped: watch::Receiver<bool>) {
    // PDUs are whole when they are written: waiting for more only adds delay.
    let _ = stream.set_nodelay(true);
    match (is_tls, &place.shared.tls) {
        (false, _) => session::run(stream, place, stopped).await,
        (true, None) => {}
        (true, Some(acceptor)) => match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
            Ok(Ok(tls)) => session::run(tls, place, stopped).await,
            Ok(Err(error)) => debug!(%error, "TLS handshake of an SMPP connection failed"),
            Err(_) => debug!("TLS handshake of an SMPP connection takes too long"),
        },
    }
}

impl Shared {
    fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes a place for a connection from there, if there is one.
    fn place(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        // A count is whole between any two statements, so a panic elsewhere spoils nothing.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= self.config.per_source_max {
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
