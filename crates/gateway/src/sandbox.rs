//! `trunkline sandbox`: runs the sandbox's carriers over real sockets.

mod command;
mod http;
mod post;
mod texts;

use crate::app::random;
use crate::cli;
use crate::config::{Log, LogFormat};
use crate::endpoint::{Shell, Sockets};
use crate::log::Logging;
use crate::net::bind_tcp;
use anyhow::Context;
use post::Poster;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use texts::Texts;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{debug, info};
use trunkline_model::{MediaPolicy, Transport};
use trunkline_sandbox::sms::http_carrier::{HttpCarrier, HttpConfig};
use trunkline_sandbox::sms::smsc::{Smsc, SmscConfig};
use trunkline_sandbox::{Config, Endpoint, Event, LineId};
use trunkline_sip::user_agent;

/// How long the answers to BYE are waited for when the sandbox is told to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a started sandbox says to a program.
#[derive(Debug, Serialize)]
struct Ready {
    pid: u32,
    sip_udp: Vec<SocketAddr>,
    sip_tcp: Vec<SocketAddr>,
    smpp: SocketAddr,
    http: SocketAddr,
}

/// Ports of SMPP and of HTTP unless configured otherwise.
const SMPP_PORT: u16 = 2775;
const HTTP_PORT: u16 = 2776;

/// Runs the sandbox until it is told to end, or asks a running one for something.
///
/// # Errors
/// An address cannot be listened on, or the running one refuses.
pub fn sandbox(arguments: &cli::Sandbox) -> anyhow::Result<()> {
    if let Some(command) = &arguments.command {
        return command::run(command);
    }
    let filter = std::env::var("TRUNKLINE_LOG").unwrap_or_else(|_| "info".to_owned());
    let _logging = Logging::start(&Log { filter, format: LogFormat::Text })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: &cli::Sandbox) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for signals")?;
    let sockets = bind(arguments.listen)?;
    let listeners = sockets.listeners();
    let config = Config {
        user_agent: user_agent::Config { listeners: listeners.clone(), ..user_agent::Config::default() },
        media: MediaPolicy::default(),
        serves: true,
    };
    let endpoint = Endpoint::new(config, random(), Instant::now());
    let mut shell = Shell::new(endpoint, sockets, arguments.listen.ip())?;
    let on = |transport| {
        let fits = listeners.iter().filter(move |listener| listener.transport == transport);
        fits.map(|listener| listener.local).collect::<Vec<_>>()
    };
    let (smpp, http) = text_listeners(arguments)?;
    let ready = Ready {
        pid: std::process::id(),
        sip_udp: on(Transport::Udp),
        sip_tcp: on(Transport::Tcp),
        smpp: smpp.1,
        http: http.1,
    };
    let texts = texts(arguments, smpp.0)?;
    http::serve(http.0, texts.sender())?;
    let (stop_texts, stopped) = oneshot::channel();
    let texts = tokio::spawn(texts.run(stopped));
    announce(&ready, arguments.ready_json);

    let mut lines = BTreeSet::new();
    loop {
        tokio::select! {
            event = shell.next_event() => note(&event, &mut lines),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    for line in lines.clone() {
        shell.command(|endpoint, now| endpoint.hang_up(now, line));
    }
    let goodbye = async {
        while !lines.is_empty() {
            note(&shell.next_event().await, &mut lines);
        }
    };
    // A peer that does not answer is left behind.
    let _ = timeout(GOODBYE, goodbye).await;
    let _ = stop_texts.send(());
    texts.await.context("the SMS carriers panicked")
}

/// Binds SMPP and HTTP.
fn text_listeners(
    arguments: &cli::Sandbox,
) -> anyhow::Result<((TcpListener, SocketAddr), (TcpListener, SocketAddr))> {
    let beside = |port| {
        let any = arguments.listen.port() == 0;
        SocketAddr::new(arguments.listen.ip(), if any { 0 } else { port })
    };
    let smpp = arguments.smpp.unwrap_or_else(|| beside(SMPP_PORT));
    let http = arguments.http.unwrap_or_else(|| beside(HTTP_PORT));
    let smpp = bind_tcp(smpp).with_context(|| format!("cannot listen on {smpp} for SMPP"))?;
    let http = bind_tcp(http).with_context(|| format!("cannot listen on {http} for HTTP"))?;
    Ok((smpp, http))
}

fn texts(arguments: &cli::Sandbox, listener: TcpListener) -> anyhow::Result<Texts> {
    let anchor = texts::anchor();
    let smsc = SmscConfig {
        system_id: arguments.system_id.clone(),
        password: arguments.password.clone(),
        kept_max: arguments.keep,
        anchor,
    };
    let carrier = HttpConfig {
        key: arguments.password.clone(),
        hook: arguments.hook.clone(),
        kept_max: arguments.keep,
        anchor,
    };
    let poster = Poster { authority: arguments.hook_ca.clone() };
    Texts::new(Smsc::new(smsc, random()), HttpCarrier::new(carrier, random()), poster, listener)
}

/// TCP takes the port that UDP got: peers expect both on one.
fn bind(listen: SocketAddr) -> anyhow::Result<Sockets> {
    if listen.port() != 0 {
        return Sockets::bind(Some(listen), Some(listen));
    }
    let taken = crate::app::free_ports(listen.ip(), 2).context("no port is free")?;
    let listen = SocketAddr::new(listen.ip(), *taken.start());
    Sockets::bind(Some(listen), Some(listen))
}

fn announce(ready: &Ready, as_json: bool) {
    let addresses: Vec<String> = ready.sip_udp.iter().map(ToString::to_string).collect();
    let line = if as_json {
        serde_json::to_string(ready).unwrap_or_default()
    } else {
        let (sip, smpp, http) = (addresses.join(", "), ready.smpp, ready.http);
        format!(
            "the sandbox listens on {sip} for SIP over UDP and TCP, on {smpp} for SMPP, and on {http} for HTTP"
        )
    };
    let mut stdout = std::io::stdout();
    // That nobody listens there is no reason to stop.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn note(event: &Event, lines: &mut BTreeSet<LineId>) {
    match event {
        Event::Incoming { line, from, to } => {
            lines.insert(*line);
            info!(line = line.0, "call came in");
            debug!(line = line.0, from = %from.escape_debug(), to = %to.escape_debug(), "call parties");
        }
        Event::Progress { line, status, early_media } => {
            lines.insert(*line);
            debug!(line = line.0, status, early_media, "progress");
        }
        Event::Answered { line } => {
            lines.insert(*line);
            info!(line = line.0, "answered");
        }
        Event::Digit { line, digit } => debug!(line = line.0, %digit, "digit"),
        Event::Ended { line, answered, status, why, .. } => {
            lines.remove(line);
            info!(line = line.0, answered, status, why = %why.escape_debug(), "call ended");
        }
    }
}
