//! `trunkline serve`: builds the tasks, joins them, and ends them in order.

mod address;
mod ready;
mod rest;

use crate::authenticator;
use crate::config::{Config, ConfigError, Loaded, Sip};
use crate::events::Events;
use crate::http_client::HttpClient;
use crate::journal::{Journal, JournalConfig};
use crate::live::Live;
use crate::log::{Logging, masked};
use crate::media_worker::Workers;
use crate::metrics::{self, Metrics};
use crate::net::{Bound, bind_tcp, bind_udp, ws};
use crate::routing::{Reload, Routing};
use crate::signalling::{self, Command, Handle, Parts};
use crate::sms;
pub(crate) use address::{complete_trunks, free_ports};
use anyhow::Context;
use ready::Ready;
use rest::Rest;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};
use trunkline_call::{B2bua, Config as B2buaConfig, RoutingTable};
use trunkline_model::Host;
use trunkline_sip::transport::{Advertised, Listener};
use trunkline_sip::user_agent::Config as UserAgentConfig;
use trunkline_storage::Store;

/// How long the answers to BYE are waited for when calls are ended at the drain deadline.
const GOODBYE: Duration = Duration::from_secs(4);

/// The same after a second signal. A BYE that was lost is sent again after half a second and after a second and a half
/// (RFC 3261 §17.1.2.2); where none is lost, the answers come long before.
const GOODBYE_AT_ONCE: Duration = Duration::from_secs(2);

/// A configuration that cannot be used, or a process that failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The file has problems; nothing was bound.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process could not start, or ended otherwise than it was told.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Runs the gateway until it is told to end.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(path: &Path, ready_json: bool) -> Result<(), ServeError> {
    let Loaded { config, warnings } = Config::load(path)?;
    let _logging = Logging::start(&config.log)?;
    for warning in &warnings {
        warn!(code = warning.code.as_str(), "{warning}");
    }
    raise_descriptor_limit(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let served = runtime.block_on(run(path, config, ready_json));
    if let Err(error) = &served {
        error!(error = format!("{error:#}"), "the gateway ends with an error");
    }
    served.map_err(ServeError::Failed)
}

async fn run(path: &Path, config: Config, ready_json: bool) -> anyhow::Result<()> {
    // Before anything that can be interrupted is started.
    let mut signals = Signals::watch()?;
    let metrics = Arc::new(Metrics::default());
    let (bound, ports) = bind(&config)?;
    // RTCP takes every other one.
    metrics.rtp_ports.set(ports.len() as u64 / 2);
    let mut ready = Ready::new(&config, &bound, ports.clone());
    let https = bind_https(&config)?;
    let smpp = bind_smpp(&config)?;
    let Some(opened) = signals.unless_told_to_end(open(&config)).await else {
        info!("ended before it began");
        return Ok(());
    };
    let Opened { store, spill, routing, table } = opened?;
    let scrape = match config.metrics {
        Some(listen) => {
            Some(bind_tcp(listen).with_context(|| format!("cannot listen on {listen} for metrics"))?)
        }
        None => None,
    };

    let journal = JournalConfig { waiting_max: config.storage.queue_max, spill };
    let (journal, events) = Journal::new(store.clone(), journal, Arc::clone(&metrics));
    let (reports_out, reports) = mpsc::channel(signalling::REPORTS_MAX);
    let (browser_sockets, site) = address::browsers(&config)?.unzip();
    ready.browsers = site.iter().flat_map(|site| site.ports.clone()).collect();
    let browser_sockets = browser_sockets.unwrap_or_default();
    let workers = Workers::start(config.rtp.workers, browser_sockets, &metrics, &reports_out)
        .context("cannot start media workers")?;
    let live = Live { board: events.board(), media: workers.observer() };
    let mut b2bua = b2bua(&config, &bound, &https, ports, table)?;
    if let Some(site) = site {
        b2bua.serve_browsers(site);
    }
    let development = config.http.certificate.is_none();
    let (door, web_sockets) = match &config.users.trunk {
        Some(_) if !https.is_empty() => {
            let (door, sockets) = ws::open(&config.users, development, Arc::clone(&metrics));
            (Some(door), sockets)
        }
        Some(_) | None => (None, ws::Sockets::none()),
    };
    let (authenticator, wires) = authenticator::wires();
    let streams = config.sip.streams;
    let metrics_for_task = Arc::clone(&metrics);
    let reach = config.reach();
    let parts = Parts {
        b2bua,
        bound,
        web_sockets,
        authenticator,
        streams,
        reach,
        workers,
        reports,
        journal: events,
        metrics: metrics_for_task,
    };
    let (ended, mut has_ended) = mpsc::channel(1);
    let handle = signalling::start(parts, ended).context("cannot start signalling")?;
    let reload = routing.follow(handle.commands.clone());
    let journal = tokio::spawn(journal.run());
    ready.https = https.iter().map(|(_, local)| *local).collect();
    ready.smpp = smpp.iter().map(|(_, local, _)| *local).collect();
    let esmes = sms::server::Server::start(&config.sms, smpp, store.clone())?;
    let authority = config.http.authority(&config.http.public_host, ready.https.first().copied());
    let hooks = sms::http_carrier::Hooks::new(&format!("https://{authority}"));
    let carriers = sms::http_carrier::router(hooks.clone());
    let rest = Rest::start(&config, https, (door, carriers), &store, Arc::clone(&metrics)).await?;
    let client = HttpClient::new(config.guard(), config.webhooks.authorities.as_deref())?;
    let base = rest.state().settings.issuer.clone();
    let webhooks = Events::start(config.webhooks.clone(), client, store.clone(), Arc::clone(&metrics), base);
    rest.state().show_calls(live);
    authenticator::start(rest.state().clone(), wires, handle.commands.clone());
    ready.authority = rest.authority();
    let sms = sms::engine::start(
        &config.sms,
        config.node.0.to_string(),
        store.clone(),
        &hooks,
        Arc::clone(&metrics),
    );
    let sms = sms.await?;
    let started = Arc::clone(&metrics);
    if let Some((listener, local)) = scrape {
        ready.metrics = Some(local);
        tokio::spawn(metrics::serve(tokio::net::TcpListener::from_std(listener)?, metrics));
    }
    started.beat(Instant::now());
    ready.announce(ready_json);

    signals.govern(path, &config, &handle, (&rest, &reload), &mut has_ended).await;
    rest.stop(GOODBYE).await;
    esmes.stop(GOODBYE).await;
    sms.stop().await;
    webhooks.stop().await;
    // The thread has ended; joining it does not wait.
    let result = handle.thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("signalling panicked")));
    journal.await.context("the journal panicked")?;
    info!("ended");
    result
}

fn bind(config: &Config) -> anyhow::Result<(Bound, RangeInclusive<u16>)> {
    let Sip { udp, tcp, .. } = &config.sip;
    let mut bound = Bound { udp: Vec::new(), tcp: Vec::new() };
    let mut failures = Vec::new();
    for local in udp {
        match bind_udp(*local) {
            Ok(socket) => bound.udp.push(socket),
            Err(error) => failures.push(format!("cannot listen on udp {local}: {error}")),
        }
    }
    for local in tcp {
        match bind_tcp(same_port_as_udp(*local, &bound)) {
            Ok(listener) => bound.tcp.push(listener),
            Err(error) => failures.push(format!("cannot listen on tcp {local}: {error}")),
        }
    }
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let ports = address::rtp_ports(&config.rtp)?;
    Ok((bound, ports))
}

/// Where any free port will do, TCP takes the one that UDP got: peers expect both on one (RFC 3261 §18.1.1).
fn same_port_as_udp(local: SocketAddr, bound: &Bound) -> SocketAddr {
    let twin = bound.udp.iter().find(|(_, udp)| udp.ip() == local.ip());
    match twin {
        Some((_, udp)) if local.port() == 0 && bind_tcp(*udp).is_ok() => *udp,
        Some(_) | None => local,
    }
}

fn bind_https(config: &Config) -> anyhow::Result<rest::Sockets> {
    let bind =
        |local: &SocketAddr| bind_tcp(*local).with_context(|| format!("cannot listen on {local} for HTTPS"));
    config.http.listen.iter().map(bind).collect()
}

/// Where customers' own SMPP systems bind: without TLS, and with it.
fn bind_smpp(config: &Config) -> anyhow::Result<Vec<sms::server::Bound>> {
    let server = &config.sms.server;
    let plain = server.listen.iter().map(|local| (local, false));
    let bind = |(local, is_tls): (&SocketAddr, bool)| {
        let (listener, local) =
            bind_tcp(*local).with_context(|| format!("cannot listen on {local} for SMPP"))?;
        Ok((listener, local, is_tls))
    };
    plain.chain(server.tls_listen.iter().map(|local| (local, true))).map(bind).collect()
}

/// What the database has to be asked for before there can be calls.
struct Opened {
    store: Store,
    spill: PathBuf,
    routing: Routing,
    table: Arc<RoutingTable>,
}

async fn open(config: &Config) -> anyhow::Result<Opened> {
    let directory = &config.storage.data_dir;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let store = Store::open(&config.storage.url).await.context("cannot open storage")?;
    let mut routing = Routing::new(store.clone(), config.clone());
    let table = routing.build().await?;
    Ok(Opened { store, spill: directory.join("calls.spill.jsonl"), routing, table })
}

fn b2bua(
    config: &Config,
    bound: &Bound,
    https: &rest::Sockets,
    ports: RangeInclusive<u16>,
    table: Arc<RoutingTable>,
) -> anyhow::Result<B2bua> {
    let udp = bound.udp.iter().map(|(_, local)| (trunkline_model::Transport::Udp, *local));
    let tcp = bound.tcp.iter().map(|(_, local)| (trunkline_model::Transport::Tcp, *local));
    let listeners = udp.chain(tcp).map(|(transport, local)| {
        let advertised = address::listener(config, local);
        Listener { transport, local, advertised }
    });
    let browsers = https.iter().map(|(_, local)| Listener {
        transport: trunkline_model::Transport::Wss,
        local: *local,
        advertised: Advertised {
            host: Host::Name(config.http.public_host.clone()),
            port: Some(config.http.public_port.unwrap_or(local.port())),
        },
    });
    let listeners = listeners.chain(browsers);
    let user_agent = UserAgentConfig {
        listeners: listeners.collect(),
        product: config.sip.user_agent.clone(),
        large_over_tcp: config.sip.large_over_tcp,
        ..UserAgentConfig::default()
    };
    let now = Instant::now();
    let epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let settings = B2buaConfig {
        node: config.node,
        shard: 0,
        user_agent,
        media: address::media(config),
        ports,
        limits: config.sip.limits.clone(),
        unknown_sources: config.sip.unknown_sources,
        anchor: (now, i64::try_from(epoch.as_millis()).unwrap_or(i64::MAX)),
    };
    let mut b2bua = B2bua::new(settings, table, random(), now)?;
    b2bua.set_registrar_limits(config.users.registrations.clone());
    Ok(b2bua)
}

/// Returns an unpredictable number: the standard library keys its hash tables from the system's randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Each call takes four sockets; the usual soft limit of 1024 would end at 250 calls.
fn raise_descriptor_limit(config: &Config) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files could not be raised");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = address::port_count(&config.rtp)
        + u64::from(config.sip.streams.connections_max)
        + u64::from(config.http.limits.connections_max);
    if limit < wanted {
        warn!(limit, wanted, "the limit of open files is lower than all media ports and connections need");
    }
}

/// The signals that a process is governed by.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("cannot watch for signals");
        Ok(Self {
            hangup: watch(SignalKind::hangup())?,
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
        })
    }

    /// Does that work, or nothing when a signal to end comes first: there is nobody to take leave of yet.
    async fn unless_told_to_end<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.terminate.recv() => None,
            _ = self.interrupt.recv() => None,
        }
    }

    /// Passes on what signals ask for until signalling has ended.
    async fn govern(
        &mut self,
        path: &Path,
        started: &Config,
        task: &Handle,
        (rest, routing): (&Rest, &Reload),
        ended: &mut mpsc::Receiver<()>,
    ) {
        let mut deadline = None;
        loop {
            tokio::select! {
                _ = ended.recv() => return,
                _ = self.hangup.recv() => reload(path, started, rest, routing).await,
                _ = self.terminate.recv() => stop(started, task, &mut deadline).await,
                _ = self.interrupt.recv() => stop(started, task, &mut deadline).await,
                () = at(deadline) => {
                    deadline = Some(Instant::now() + FOREVER);
                    tell(task, Command::EndAll { within: GOODBYE }).await;
                }
            }
        }
    }
}

/// Further than any process lives.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The first signal drains, a second one ends.
async fn stop(config: &Config, task: &Handle, deadline: &mut Option<Instant>) {
    if deadline.is_none() {
        *deadline = Some(Instant::now() + config.drain);
        tell(task, Command::Drain).await;
    } else {
        tell(task, Command::EndAll { within: GOODBYE_AT_ONCE }).await;
    }
}

async fn tell(task: &Handle, command: Command) {
    // When signalling has ended there is nothing left to tell it.
    let _ = task.commands.send(command).await;
}

/// Reads the file again and takes over its routes, or keeps the old ones whole.
async fn reload(path: &Path, started: &Config, rest: &Rest, routing: &Reload) {
    let Loaded { config, warnings } = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            match &error {
                ConfigError::Invalid(invalid) => {
                    for problem in &invalid.problems {
                        let problem = masked(&problem.to_string());
                        error!(file = %path.display(), %problem, "the configuration cannot be used");
                    }
                }
                ConfigError::Unreadable { .. } => error!(%error, "the configuration cannot be used"),
            }
            error!("the configuration was not reloaded; the old one stays in force");
            return;
        }
    };
    for warning in &warnings {
        warn!(code = warning.code.as_str(), "{warning}");
    }
    let fixed = |config: &Config| {
        let Config { node, log, sip, rtp, metrics, storage, http, sms, webhooks, drain, .. } = config.clone();
        (
            node,
            log,
            sip,
            rtp,
            metrics,
            storage,
            http,
            sms,
            webhooks,
            drain,
            config.numbers.environment,
            config.reach().anywhere,
        )
    };
    if fixed(&config) != fixed(started) {
        warn!(
            "settings outside of trunk, did, route, sip_routing and numbers have changed: they take effect at the next start"
        );
    }
    rest.reload(&config);
    routing.configure(config).await;
}
