//! The Via header (RFC 3261 §20.42).

use std::net::IpAddr;

use super::cseq::decimal;
use super::params::{Params, split_params};
use crate::scan::split_once;
use crate::uri::Host;

/// One hop that a request took, which is where its responses go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    version: &'a str,
    transport: &'a str,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
}

/// A Via value that a response cannot be sent back along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Via is not SIP/2.0/transport host:port;params")]
pub struct InvalidVia;

impl<'a> Via<'a> {
    /// Reads one Via item.
    pub fn parse(item: &'a [u8]) -> Result<Self, InvalidVia> {
        let item = std::str::from_utf8(item).map_err(|_| InvalidVia)?;
        let (version, rest) = match item.strip_prefix("SIP/2.0/") {
            Some(rest) => ("2.0", rest),
            None => split_protocol(item).ok_or(InvalidVia)?,
        };
        let rest = rest.trim_ascii_start();
        let (transport, rest) = split_at_space(rest).ok_or(InvalidVia)?;
        if transport.is_empty() || !transport.bytes().all(super::is_token_byte) {
            return Err(InvalidVia);
        }
        let (sent_by, params) = split_params(rest);
        let (host, port) = parse_sent_by(sent_by.trim_ascii())?;
        Ok(Self { version, transport, host, port, params: Params::new(params) })
    }

    /// Returns the version of SIP, `2.0` unless the request is one to be answered 505.
    pub fn version(&self) -> &'a str {
        self.version
    }

    /// Returns the transport, as it stands: `UDP`, `TCP`, `TLS`, `WSS`…
    pub fn transport(&self) -> &'a str {
        self.transport
    }

    /// Returns the host part of sent-by.
    pub fn host(&self) -> Host<'a> {
        self.host
    }

    /// Returns the port of sent-by, if it names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the branch, the name of the client transaction.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// Returns where the request was received from, as the next hop noted it.
    pub fn received(&self) -> Option<IpAddr> {
        // RFC 5118 §4.5: an IPv6 address is seen with brackets and without.
        let text = self.params.value("received")?;
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
    }

    /// Returns true if the sender asks for responses to the port that it sent from (RFC 3581).
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// Returns the port that the request was received from, as the next hop noted it.
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport").and_then(|text| port(text.as_bytes()))
    }

    /// Returns every parameter.
    pub fn params(&self) -> Params<'a> {
        self.params
    }
}

/// Splits name and version off a Via. Space may stand around each slash (RFC 3261 §25.1 SLASH).
fn split_protocol(item: &str) -> Option<(&str, &str)> {
    let (name, rest) = split_once(item, b'/')?;
    let (version, rest) = split_once(rest, b'/')?;
    let version = version.trim_ascii();
    (name.trim_ascii().eq_ignore_ascii_case("SIP") && is_version(version)).then_some((version, rest))
}

fn split_at_space(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| matches!(byte, b' ' | b'\t'))?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn is_version(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    split_once(text, b'.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

fn parse_sent_by(text: &str) -> Result<(Host<'_>, Option<u16>), InvalidVia> {
    let (host, rest) = Host::parse_prefix(text).ok_or(InvalidVia)?;
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or(InvalidVia)?.trim_ascii();
    Ok((host, Some(port(digits.as_bytes()).ok_or(InvalidVia)?)))
}

/// Reads a port number; there is no port 0 to send to.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    decimal(digits, u64::from(u16::MAX))
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port != 0)
}
