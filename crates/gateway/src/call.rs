//! `trunkline call`: places one call and tells how it went.

use crate::app::{free_ports, random};
use crate::caller::{Caller, Script};
use crate::cli;
use crate::endpoint::{self, Sockets};
use crate::net::source_towards;
use anyhow::Context;
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_media::{dtmf, wav};
use trunkline_model::{Host, LegQuality, Transport};
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::Target;

/// Places the call; returns whether it was answered.
///
/// # Errors
/// A file cannot be read or written, or the call cannot be sent.
pub fn call(arguments: &cli::Call) -> anyhow::Result<bool> {
    let play = arguments.play.as_deref().map(read_wav).transpose()?;
    let digits = arguments.dtmf.clone().unwrap_or_default();
    let unknown = digits.chars().find(|digit| dtmf::Event::from_digit(*digit).is_none());
    if let Some(unknown) = unknown {
        anyhow::bail!("{unknown:?} is not a digit: only 0-9, *, # and A-D are");
    }
    // Before the call, so that none is placed whose recording would be lost.
    let record = arguments.record.as_deref().map(|path| create(path).map(|file| (path, file))).transpose()?;

    let transport = Transport::from(arguments.transport);
    let sockets = bind(arguments, transport)?;
    let local = sockets.udp().into_iter().chain(sockets.tcp()).next().context("no socket is bound")?;
    let rtp_port = free_ports(local.ip(), 2).map(|ports| *ports.start()).context("no media port is free")?;
    let script = Script {
        destination: Destination::Target(Target::new(transport, arguments.via)),
        uri: request_uri(&arguments.to, arguments.via),
        from: format!("sip:{}@{}", arguments.from, Host::Ip(local.ip())),
        listeners: sockets.listeners(),
        media_address: local.ip(),
        rtp_port,
        play,
        digits,
        talk: arguments.duration.map(Duration::from_secs),
        ring_max: Duration::from_secs(arguments.ring),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut caller = Caller::new(script, random(), Instant::now()).context("the call cannot be placed")?;
    runtime.block_on(endpoint::run(&mut caller, sockets, local.ip(), interrupted()))?;

    let outcome = caller.outcome();
    println!("{}", outcome.ending);
    if outcome.answered {
        println!("talked for {:.1} s", outcome.talked.as_secs_f64());
    }
    print_quality(&outcome.quality);
    if let Some((path, mut file)) = record {
        let recording = wav::write(caller.recording())?;
        std::io::Write::write_all(&mut file, &recording)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("recorded {:.1} s to {}", caller.recording().len() as f64 / 8000.0, path.display());
    }
    Ok(outcome.answered)
}

fn read_wav(path: &Path) -> anyhow::Result<Arc<[i16]>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let samples =
        wav::read(BufReader::new(file)).with_context(|| format!("cannot play {}", path.display()))?;
    Ok(samples.into())
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn bind(arguments: &cli::Call, transport: Transport) -> anyhow::Result<Sockets> {
    let any_port = || source_towards(arguments.via.ip()).map(|ip| SocketAddr::new(ip, 0));
    let local = arguments.listen.or_else(any_port);
    let local = local.with_context(|| format!("there is no way to {}", arguments.via.ip()))?;
    match transport {
        Transport::Udp => Sockets::bind(&[local], &[]),
        Transport::Tcp | Transport::Tls | Transport::Wss => Sockets::bind(&[], &[local]),
    }
}

fn request_uri(to: &str, via: SocketAddr) -> String {
    if to.starts_with("sip:") || to.starts_with("sips:") || to.starts_with("tel:") {
        return to.to_owned();
    }
    format!("sip:{}@{via}", trunkline_sip::uri::escape_user(to))
}

async fn interrupted() {
    // Without signals the call ends by itself all the same.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn print_quality(quality: &LegQuality) {
    let LegQuality {
        codec,
        packets_received,
        packets_sent,
        packets_lost,
        packets_refused,
        jitter_ms_max,
        mos,
    } = quality;
    if *packets_received == 0 && *packets_sent == 0 {
        println!("no media");
        return;
    }
    let mos = mos.map_or_else(|| "unknown".to_owned(), |mos| format!("{mos:.2}"));
    println!(
        "media {codec}: sent {packets_sent} packets, received {packets_received}, lost {packets_lost}, \
         refused {packets_refused}, jitter at most {jitter_ms_max:.1} ms, MOS {mos}"
    );
}
