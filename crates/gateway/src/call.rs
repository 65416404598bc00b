//! `trunkline call`: places one call and tells how it went.

use crate::app::random;
use crate::cli;
use crate::endpoint::{Shell, Sockets};
use crate::net::source_towards;
use anyhow::Context;
use std::fs::File;
use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};
use trunkline_media::frame::CLOCK_RATE;
use trunkline_media::{DigitTiming, dtmf, wav};
use trunkline_model::{Host, LegQuality, MediaPolicy, Transport};
use trunkline_sandbox::{Config, Dial, Endpoint, Event, Heard, LineId, Plan};
use trunkline_sip::resolve::Destination;
use trunkline_sip::transport::Target;
use trunkline_sip::user_agent;

/// How long to talk when there is nothing to play and no digits to send.
const LISTEN: Duration = Duration::from_secs(10);

/// How long the line stays open after the last sound or digit, for an echo or an answer to come back.
const TAIL: Duration = Duration::from_secs(2);

/// How long the process stays behind the call: a BYE that was lost is sent again after half a second
/// (RFC 3261 §17.1.2.2).
const GOODBYE: Duration = Duration::from_secs(1);

/// Places the call; returns whether it was answered.
///
/// # Errors
/// A file cannot be read or written, or the call cannot be sent.
pub fn call(arguments: &cli::Call) -> anyhow::Result<bool> {
    let plan = plan(arguments)?;
    // Before the call, so that none is placed whose recording would be lost.
    let record = arguments.record.as_deref().map(|path| create(path).map(|file| (path, file))).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (answered, heard) = runtime.block_on(place(arguments, plan))?;
    if let Some(quality) = &heard.quality {
        print_quality(quality);
    }
    if let Some((path, mut file)) = record {
        let recording = wav::write(&heard.recording)?;
        file.write_all(&recording).with_context(|| format!("cannot write {}", path.display()))?;
        println!(
            "recorded {:.1} s to {}",
            heard.recording.len() as f64 / f64::from(CLOCK_RATE),
            path.display()
        );
    }
    Ok(answered)
}

async fn place(arguments: &cli::Call, plan: Plan) -> anyhow::Result<(bool, Heard)> {
    let transport = Transport::from(arguments.transport);
    let any_port = || source_towards(arguments.via.ip()).map(|ip| SocketAddr::new(ip, 0));
    let local = arguments.listen.or_else(any_port);
    let local = local.with_context(|| format!("there is no way to {}", arguments.via.ip()))?;
    let sockets = match transport {
        Transport::Udp => Sockets::bind(Some(local), None)?,
        Transport::Tcp | Transport::Tls | Transport::Wss => Sockets::bind(None, Some(local))?,
    };
    let uri = request_uri(&arguments.to, arguments.via);
    let dial = Dial {
        destination: Destination::Target(Target::new(transport, arguments.via)),
        from: format!("<sip:{}@{}>", trunkline_sip::uri::escape_user(&arguments.from), Host::Ip(local.ip())),
        to: format!("<{uri}>"),
        uri: uri.clone(),
        plan,
    };
    let config = Config {
        user_agent: user_agent::Config { listeners: sockets.listeners(), ..user_agent::Config::default() },
        media: MediaPolicy::default(),
        serves: false,
    };
    let endpoint = Endpoint::new(config, random(), Instant::now());
    let mut shell = Shell::new(endpoint, sockets, local.ip())?;
    println!("calling {uri}");
    let line = shell.command(|endpoint, now| endpoint.dial(now, dial));
    let ended = follow(&mut shell, line, Duration::from_secs(arguments.ring)).await;
    // No event can come any more, only the answer to our BYE.
    let _ = timeout(GOODBYE, shell.next_event()).await;
    Ok(ended)
}

/// Tells what happens to the call until it is over; returns whether it was answered, and what was heard.
async fn follow(shell: &mut Shell, line: LineId, ring_max: Duration) -> (bool, Heard) {
    let began = Instant::now();
    let mut answered_at: Option<Instant> = None;
    let mut gave_up = false;
    loop {
        let event = tokio::select! {
            event = shell.next_event() => event,
            () = sleep_until((began + ring_max).into()), if answered_at.is_none() && !gave_up => {
                println!("not answered in time");
                gave_up = true;
                shell.command(|endpoint, now| endpoint.hang_up(now, line));
                continue;
            }
            _ = tokio::signal::ctrl_c(), if !gave_up => {
                println!("interrupted");
                gave_up = true;
                shell.command(|endpoint, now| endpoint.hang_up(now, line));
                continue;
            }
        };
        match event {
            Event::Progress { status, early_media, .. } => {
                println!("{status}{}", if early_media { " with early media" } else { "" });
            }
            Event::Answered { .. } => {
                answered_at = Some(Instant::now());
                println!("answered after {:.1} s", began.elapsed().as_secs_f64());
            }
            Event::Digit { digit, .. } => println!("heard digit {digit}"),
            Event::Ended { answered, status, why, heard, .. } => {
                println!("ended with {status}: {}", why.escape_debug());
                if let Some(answered_at) = answered_at {
                    println!("talked for {:.1} s", answered_at.elapsed().as_secs_f64());
                }
                return (answered, heard);
            }
            // It serves none: they were refused.
            Event::Incoming { .. } => {}
        }
    }
}

fn plan(arguments: &cli::Call) -> anyhow::Result<Plan> {
    let play = arguments.play.as_deref().map(read_wav).transpose()?;
    let digits = arguments.dtmf.clone().unwrap_or_default();
    if let Some(unknown) = digits.chars().find(|digit| dtmf::Event::from_digit(*digit).is_none()) {
        anyhow::bail!("{unknown:?} is not a digit: only 0-9, *, # and A-D are");
    }
    let play = play.unwrap_or_default();
    let timing = DigitTiming::default();
    let playing = Duration::from_secs_f64(play.len() as f64 / f64::from(CLOCK_RATE));
    let dialling = (timing.duration + timing.gap) * u32::try_from(digits.len()).unwrap_or(u32::MAX);
    let lasts = match arguments.duration {
        Some(secs) => Duration::from_secs(secs),
        None if play.is_empty() && digits.is_empty() => LISTEN,
        None => playing + dialling + TAIL,
    };
    Ok(Plan { play, digits, record: arguments.record.is_some(), lasts: Some(lasts), ends_after_play: false })
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

fn request_uri(to: &str, via: SocketAddr) -> String {
    if ["sip:", "sips:", "tel:"].iter().any(|scheme| to.starts_with(scheme)) {
        return to.to_owned();
    }
    format!("sip:{}@{via}", trunkline_sip::uri::escape_user(to))
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
    let mos = mos.map_or_else(|| "unknown".to_owned(), |mos| format!("{mos:.2}"));
    println!(
        "media {codec}: sent {packets_sent} packets, received {packets_received}, lost {packets_lost}, \
         refused {packets_refused}, jitter at most {jitter_ms_max:.1} ms, MOS {mos}"
    );
}
