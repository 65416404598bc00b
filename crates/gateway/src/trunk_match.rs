//! `trunkline trunk match`: what would be decided on a saved INVITE, and why.

use crate::config::Config;
use crate::operator::on_database;
use crate::routing::Routing;
use anyhow::Context;
use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use trunkline_call::{
    Asked, B2bua, CallEvent, Config as B2buaConfig, Input, MediaInterface, Output, RoutingTable, Trunks,
    UnknownSources, explain,
};
use trunkline_model::Transport;
use trunkline_sip::message::Message;
use trunkline_sip::transport::{Advertised, Flow, Listener};
use trunkline_sip::user_agent;

/// Decides on a saved INVITE; returns the decision as text, and whether the call would be let in.
///
/// The decision is that of a B2BUA which has just started: no calls, all gateways well. The source is taken from the
/// topmost Via where it is not given. Numbers and routes of the database count where there is one; none is made.
///
/// # Errors
/// The file cannot be read, is no INVITE for a new call, or names no source; the database cannot be read.
pub fn trunk_match(
    config: Config,
    file: &Path,
    source: Option<IpAddr>,
    transport: Option<Transport>,
) -> anyhow::Result<(String, bool)> {
    let saved = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let saved = Bytes::from(with_line_ends(&saved));
    let parsed = Message::parse(saved.clone());
    let message = match &parsed {
        Ok(message) => message,
        Err(error) => {
            error.answerable().with_context(|| format!("{} is not a SIP message: {error}", file.display()))?
        }
    };
    let method = message.method().map(ToString::to_string).unwrap_or_default();
    anyhow::ensure!(
        method == "INVITE",
        "{} holds no INVITE, but {}",
        file.display(),
        method_or_response(&method)
    );
    let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
    anyhow::ensure!(!in_dialog, "{} holds an INVITE of a call that is up already", file.display());
    let flow = flow(message, source, transport)?;
    let settings = settings(&config, flow.local);
    let table = table(config)?;
    let now = Instant::now();
    let mut b2bua = B2bua::new(settings, Arc::clone(&table), 0, now)?;
    b2bua.handle_input(now, Input::Sip(user_agent::Input::Received { flow, bytes: saved }));
    while let Some(output) = b2bua.poll_output() {
        if let Output::Event(CallEvent::Refused { explain, .. }) = output {
            return Ok((explain.to_string(), false));
        }
    }
    let trunks = Trunks::new(&table, 0, now);
    Ok((explain(&table, &trunks, &Asked::of(message, flow), None, now).to_string(), true))
}

/// Returns the table that a gateway would start with.
fn table(config: Config) -> anyhow::Result<Arc<RoutingTable>> {
    let has_database = match config.storage.url.strip_prefix("sqlite:") {
        Some(path) => Path::new(path).is_file(),
        None => true,
    };
    if has_database {
        return on_database(&config, async |store| {
            Ok(Routing::new(store.clone(), config.clone()).build().await?)
        });
    }
    let table = crate::routing::of_file(config).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the routes cannot be used: {}", lines.join("; "))
    })?;
    Ok(Arc::new(table))
}

/// Returns the settings of a B2BUA that decides as the configured one would. It sends nothing, so that its own
/// addresses do not matter.
fn settings(config: &Config, local: SocketAddr) -> B2buaConfig {
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Wss];
    let listener = |transport| Listener { transport, local, advertised: Advertised::of(local) };
    let media = |bind: IpAddr| {
        let advertised =
            if bind.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { IpAddr::from(Ipv6Addr::LOCALHOST) };
        MediaInterface { bind, advertised }
    };
    B2buaConfig {
        node: config.node,
        shard: 0,
        user_agent: user_agent::Config {
            listeners: transports.map(listener).to_vec(),
            ..user_agent::Config::default()
        },
        media: [config.rtp.ipv4, config.rtp.ipv6].into_iter().flatten().map(media).collect(),
        ports: PORTS,
        limits: config.sip.limits.clone(),
        // The reason is wanted, and nobody is told.
        unknown_sources: UnknownSources::Forbid,
        anchor: (Instant::now(), 0),
    }
}

/// Room for one call; none of them is opened.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=20_019;

fn method_or_response(method: &str) -> String {
    if method.is_empty() { "a response".to_owned() } else { format!("a {method}") }
}

fn flow(message: &Message, source: Option<IpAddr>, transport: Option<Transport>) -> anyhow::Result<Flow> {
    let via = message.top_via().ok();
    let host = via.as_ref().and_then(|via| via.received().or_else(|| via.host().to_string().parse().ok()));
    let ip =
        source.or(host).context("the topmost Via names no address: say where it came from with --source")?;
    let named = via.as_ref().and_then(|via| match via.transport().to_ascii_uppercase().as_str() {
        "TCP" => Some(Transport::Tcp),
        "TLS" => Some(Transport::Tls),
        "WSS" => Some(Transport::Wss),
        _ => None,
    });
    let transport = transport.or(named).unwrap_or(Transport::Udp);
    let port = via.as_ref().and_then(|via| via.rport().or(via.port())).unwrap_or(transport.default_port());
    let remote = SocketAddr::new(ip, port);
    // Our own end decides nothing.
    let local = SocketAddr::from(([127, 0, 0, 1], 5060));
    Ok(Flow { transport, local, remote, connection: None })
}

/// Editors and captures save bare line feeds; SIP ends lines with CR LF (RFC 3261 §7).
fn with_line_ends(saved: &[u8]) -> Vec<u8> {
    let has_crlf = saved.windows(2).any(|pair| pair == b"\r\n");
    let mut text = Vec::with_capacity(saved.len() + 64);
    for byte in saved {
        if *byte == b'\n' && !has_crlf {
            text.push(b'\r');
        }
        text.push(*byte);
    }
    // A file that was cut off behind the last header still is a message.
    if !text.windows(4).any(|end| end == b"\r\n\r\n") {
        while !text.ends_with(b"\r\n\r\n") {
            text.extend_from_slice(b"\r\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
[[trunk]]
name = \"carrier\"
sources = [\"192.0.2.0/24\"]
[[trunk]]
name = \"pbx\"
sources = [\"10.0.0.5\"]
[[trunk.gateway]]
host = \"10.0.0.5\"
[[did]]
number = \"+14255550100\"
trunks = [\"pbx\"]
";

    const INVITE: &str = "\
INVITE sip:+14255550100@192.0.2.200 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1
From: <sip:+14255550199@192.0.2.7>;tag=1
To: <sip:+14255550100@192.0.2.200>
Call-ID: 1
CSeq: 1 INVITE
Max-Forwards: 70
Contact: <sip:192.0.2.7>
";

    fn decide(invite: &str, source: Option<IpAddr>) -> anyhow::Result<(String, bool)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), invite).unwrap();
        let config = Config::parse(Path::new("c.toml"), CONFIG).unwrap().config;
        trunk_match(config, file.path(), source, None)
    }

    #[test]
    fn a_saved_invite_is_decided_like_a_live_one() {
        let (text, admitted) = decide(INVITE, None).unwrap();
        assert!(admitted, "{text}");
        assert!(text.contains("DID +14255550100"), "{text}");
    }

    #[test]
    fn each_trunk_is_named_with_what_it_failed() {
        let (text, admitted) = decide(INVITE, "198.51.100.1".parse().ok()).unwrap();
        assert!(!admitted);
        assert!(text.contains("carrier: no, source"), "{text}");
        assert!(text.contains("refused with 403"), "{text}");
    }

    #[test]
    fn what_a_live_invite_is_refused_for_a_saved_one_is_too() {
        let cases = [
            ("Max-Forwards: 70", "Max-Forwards: 0", "refused with 483: request: Too Many Hops"),
            (
                "Max-Forwards: 70",
                "Max-Forwards: x",
                "refused with 400: request: Malformed Max-Forwards header",
            ),
            ("Max-Forwards: 70", "Require: gruu", "refused with 420: request: Bad Extension: gruu"),
            ("Contact: <sip:192.0.2.7>\n", "", "refused with 400: request: Missing or malformed Contact"),
            ("sip:+14255550100@192.0.2.200 SIP", "sip:+14255550177@192.0.2.200 SIP", "refused with 404: "),
        ];
        for (from, to, decision) in cases {
            let (text, admitted) = decide(&INVITE.replace(from, to), None).unwrap();
            assert!(!admitted, "{text}");
            assert!(text.contains(decision), "{text}");
            assert!(text.contains("carrier: yes"), "{text}");
        }
    }

    #[test]
    fn audio_that_a_live_invite_is_refused_for_a_saved_one_is_too() {
        let with = |format: &str| {
            format!(
                "{INVITE}Content-Type: application/sdp\n\nv=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n\
                 m=audio 4000 RTP/AVP {format}\n"
            )
        };
        let (text, admitted) = decide(&with("18\na=rtpmap:18 G729/8000"), None).unwrap();
        assert!(!admitted && text.contains("refused with 488: media: "), "{text}");
        let (text, admitted) = decide(&with("0"), None).unwrap();
        assert!(admitted, "{text}");
    }

    #[test]
    fn an_invite_inside_a_call_is_not_decided_on() {
        let within =
            INVITE.replace("To: <sip:+14255550100@192.0.2.200>", "To: <sip:+14255550100@192.0.2.200>;tag=2");
        assert!(decide(&within, None).unwrap_err().to_string().contains("is up already"));
    }

    #[test]
    fn what_is_no_invite_is_said_to_be_none() {
        let error = decide("SIP/2.0 200 OK\r\n\r\n", None).unwrap_err();
        assert!(error.to_string().contains("is not a SIP message"), "{error}");
        let bye = INVITE.replace("INVITE", "BYE");
        assert!(decide(&bye, None).unwrap_err().to_string().contains("a BYE"));
    }
}
