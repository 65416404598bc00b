//! `trunkline trunk match`: what would be decided on a saved INVITE, and why.

use crate::config::Config;
use anyhow::Context;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Instant;
use trunkline_call::{Asked, RoutingTable, Trunks, decide, explain};
use trunkline_model::Transport;
use trunkline_sip::message::Message;
use trunkline_sip::transport::Flow;

/// Decides on a saved INVITE; returns the decision as text, and whether the call would be let in.
///
/// The source is taken from the topmost Via where it is not given.
///
/// # Errors
/// The file cannot be read, is no INVITE, or names no source.
pub fn trunk_match(
    config: Config,
    file: &Path,
    source: Option<IpAddr>,
    transport: Option<Transport>,
) -> anyhow::Result<(String, bool)> {
    let saved = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let message = Message::parse(Bytes::from(with_line_ends(&saved)))
        .map_err(|error| anyhow::anyhow!("{} is not a SIP message: {error}", file.display()))?;
    let method = message.method().map(ToString::to_string).unwrap_or_default();
    anyhow::ensure!(
        method == "INVITE",
        "{} holds no INVITE, but {}",
        file.display(),
        method_or_response(&method)
    );
    let flow = flow(&message, source, transport)?;
    let table = RoutingTable::new(config.trunks, config.dids, config.routes).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the routes cannot be used: {}", lines.join("; "))
    })?;
    let now = Instant::now();
    // A process that has just started: no calls, all gateways well.
    let trunks = Trunks::new(&table, 0, now);
    let asked = Asked::of(&message, flow);
    Ok(match decide(&table, &trunks, &asked, now) {
        Ok(_) => (explain(&table, &trunks, &asked, None, now).to_string(), true),
        Err(explain) => (explain.to_string(), false),
    })
}

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
    fn what_is_no_invite_is_said_to_be_none() {
        let error = decide("SIP/2.0 200 OK\r\n\r\n", None).unwrap_err();
        assert!(error.to_string().contains("is not a SIP message"), "{error}");
        let bye = INVITE.replace("INVITE", "BYE");
        assert!(decide(&bye, None).unwrap_err().to_string().contains("a BYE"));
    }
}
