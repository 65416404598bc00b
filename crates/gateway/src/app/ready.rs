//! What a started gateway says: for a person, or as one line of JSON for a program.

use crate::config::Config;
use crate::net::Bound;
use serde::Serialize;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// The addresses that are bound, port 0 replaced by what the system chose.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    pid: u32,
    node: u16,
    sip_udp: Vec<SocketAddr>,
    sip_tcp: Vec<SocketAddr>,
    rtp_first_port: u16,
    rtp_last_port: u16,
    /// UDP ports for browsers, one for each media worker.
    pub(super) browsers: Vec<u16>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) smpp: Vec<SocketAddr>,
    /// The certificate to trust, where it is by the development CA.
    #[serde(rename = "ca_certificate")]
    pub(super) authority: Option<PathBuf>,
}

impl Ready {
    pub(super) fn new(config: &Config, bound: &Bound, ports: RangeInclusive<u16>) -> Self {
        Self {
            pid: std::process::id(),
            node: config.node.0,
            sip_udp: bound.udp.iter().map(|(_, local)| *local).collect(),
            sip_tcp: bound.tcp.iter().map(|(_, local)| *local).collect(),
            rtp_first_port: *ports.start(),
            rtp_last_port: *ports.end(),
            browsers: Vec::new(),
            metrics: None,
            https: Vec::new(),
            smpp: Vec::new(),
            authority: None,
        }
    }

    /// Says so on standard output. That nobody listens there is no reason to stop.
    pub(super) fn announce(&self, as_json: bool) {
        let line = if as_json { serde_json::to_string(self).unwrap_or_default() } else { self.text() };
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }

    fn text(&self) -> String {
        let list = |addresses: &[SocketAddr]| {
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
        };
        let metrics = self.metrics.map_or("off".to_owned(), |listen| format!("http://{listen}/metrics"));
        let browsers: Vec<String> = self.browsers.iter().map(u16::to_string).collect();
        let browsers = if browsers.is_empty() { "none".to_owned() } else { browsers.join(", ") };
        let authority = match &self.authority {
            Some(path) => format!("\n  trust         {}", path.display()),
            None => String::new(),
        };
        format!(
            "trunkline is ready\n  SIP over UDP  {}\n  SIP over TCP  {}\n  RTP ports     {} to {}\n  browser ports {browsers}\n  metrics       {}\n  HTTPS         {}\n  SMPP          {}{authority}",
            list(&self.sip_udp),
            list(&self.sip_tcp),
            self.rtp_first_port,
            self.rtp_last_port,
            metrics,
            list(&self.https),
            list(&self.smpp),
        )
    }
}
