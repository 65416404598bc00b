//! Where requests may go.

use super::HttpError;
use hyper::Uri;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use trunkline_api::sip_routing::Reach;

/// Where requests may go: to public addresses by HTTPS, and to networks that the operator allows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Networks that may be reached although they are private, or this machine's.
    pub(crate) networks: Vec<IpNet>,
    /// What is public, and not ours.
    pub(crate) reach: Reach,
}

/// Why an address may not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// It is private, or our own.
    #[error("its address is private or our own, and the configuration (private_addresses) does not allow it")]
    Address,
    /// It is public, and TLS is not wanted.
    #[error("only https:// is spoken to public addresses")]
    Plain,
    /// It is public, and another port than those of HTTPS is wanted.
    #[error("only ports 443 and 8443 are connected to at public addresses")]
    Port,
}

/// Ports of HTTPS at public addresses: others would let a customer knock at whatever else listens there.
const PUBLIC_PORTS: [u16; 2] = [443, 8443];

/// Longest URL, as in the public service.
const URL_BYTES_MAX: usize = 2_048;

impl Guard {
    /// Reads a URL that may be requested, as far as that can be told without its addresses.
    ///
    /// # Errors
    /// [`HttpError::Url`].
    pub(crate) fn url(&self, text: &str) -> Result<Uri, HttpError> {
        if text.len() > URL_BYTES_MAX {
            return Err(HttpError::Url("it is longer than 2048 bytes"));
        }
        let url: Uri = text.parse().map_err(|_| HttpError::Url("it is no URL"))?;
        let authority = url.authority().ok_or(HttpError::Url("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(HttpError::Url("it holds a user name"));
        }
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if !self.networks.is_empty() => {}
            _ => return Err(HttpError::Url("it must begin with https://")),
        }
        if authority.host().is_empty() {
            return Err(HttpError::Url("it has no host"));
        }
        Ok(url)
    }

    /// Says whether this address may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, remote: SocketAddr, https: bool) -> Result<(), Forbidden> {
        let ip = remote.ip().to_canonical();
        if self.is_allowed_network(ip) {
            return Ok(());
        }
        if !self.reach.allows(ip) {
            return Err(Forbidden::Address);
        }
        if !https {
            return Err(Forbidden::Plain);
        }
        if !PUBLIC_PORTS.contains(&remote.port()) {
            return Err(Forbidden::Port);
        }
        Ok(())
    }

    fn is_allowed_network(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(networks: &[&str]) -> Guard {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Guard { networks, reach: Reach::default() }
    }

    #[test]
    fn a_url_is_https_without_tricks() {
        let guard = guard(&[]);
        assert!(guard.url("https://app.example/events?code=1").is_ok());
        let long = format!("https://app.example/{}", "a".repeat(2_048));
        for text in [
            "",
            "app.example",
            "/events",
            "http://app.example/",
            "ftp://app.example/",
            "file:///etc/passwd",
            "https://",
            "https:///events",
            "https://user@app.example/",
            "https://app.example:443@10.0.0.1/",
            "https://app.example/ events",
            "gopher://app.example/",
            &long,
        ] {
            assert!(matches!(guard.url(text), Err(HttpError::Url(_))), "{text}");
        }
    }

    #[test]
    fn private_addresses_need_the_operators_word() {
        let remotes = [
            "127.0.0.1:443",
            "10.1.2.3:443",
            "169.254.169.254:443",
            "[::1]:443",
            "[fe80::1]:8443",
            "[::ffff:10.1.2.3]:443",
        ];
        for remote in remotes {
            let remote = remote.parse().unwrap();
            assert!(guard(&[]).check(remote, true).is_err(), "{remote}");
        }
        let some = guard(&["10.0.0.0/8"]);
        assert_eq!(some.check("10.1.2.3:9000".parse().unwrap(), false), Ok(()));
        assert_eq!(some.check("[::ffff:10.1.2.3]:443".parse().unwrap(), true), Ok(()));
        assert!(some.check("192.168.0.1:443".parse().unwrap(), true).is_err());
    }

    #[test]
    fn public_addresses_are_reached_by_https_at_its_ports() {
        let guard = guard(&["127.0.0.0/8"]);
        assert_eq!(guard.check("203.0.113.7:443".parse().unwrap(), true), Ok(()));
        assert_eq!(guard.check("[2001:db8::7]:8443".parse().unwrap(), true), Ok(()));
        assert!(guard.check("203.0.113.7:443".parse().unwrap(), false).is_err());
        assert!(guard.check("203.0.113.7:25".parse().unwrap(), true).is_err());
    }
}
