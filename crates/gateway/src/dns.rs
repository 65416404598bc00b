//! Answers the user agent's questions where a host is.
//!
//! Addresses (A, AAAA) come from the system's resolver, hosts file included.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use trunkline_model::Transport;
use trunkline_sip::resolve::{QueryId, ResolveError};
use trunkline_sip::transport::Target;
use trunkline_sip::user_agent::Input;

/// Look-ups under way at once; each occupies a thread while the system's resolver waits.
const LOOKUPS_MAX: usize = 32;

/// How long a look-up may take. A caller who waits longer for the first INVITE to go out has hung up.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Most addresses of one host that are tried.
const TARGETS_MAX: usize = 8;

/// A question of the user agent.
#[derive(Debug)]
pub(crate) struct Question {
    /// Its id.
    pub(crate) query: QueryId,
    /// The name.
    pub(crate) host: String,
    /// The port; none for that of the transport.
    pub(crate) port: Option<u16>,
    /// The transport; none for UDP.
    pub(crate) transport: Option<Transport>,
}

/// Asks the system.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    answers: mpsc::UnboundedSender<Input>,
    slots: Arc<Semaphore>,
    /// Whether we can send over IPv4 and IPv6.
    families: (bool, bool),
}

impl Resolver {
    /// Returns a resolver and where its answers come out. The user agent limits the questions under way, and
    /// with them the answers.
    pub(crate) fn new(ipv4: bool, ipv6: bool) -> (Self, mpsc::UnboundedReceiver<Input>) {
        let (answers, received) = mpsc::unbounded_channel();
        let slots = Arc::new(Semaphore::new(LOOKUPS_MAX));
        (Self { answers, slots, families: (ipv4, ipv6) }, received)
    }

    /// Starts a look-up on the current runtime.
    pub(crate) fn ask(&self, question: Question) {
        let Self { answers, slots, families } = self.clone();
        tokio::spawn(async move {
            let Question { query, host, port, transport } = question;
            let transport = transport.unwrap_or(Transport::Udp);
            let port = port.unwrap_or(transport.default_port());
            let look_up = async {
                let _slot = slots.acquire().await;
                tokio::net::lookup_host((host.as_str(), port)).await.map(Iterator::collect::<Vec<SocketAddr>>)
            };
            let targets = match timeout(LOOKUP_MAX, look_up).await {
                Err(_) => Err(ResolveError::Timeout),
                Ok(Err(error)) => {
                    tracing::debug!(host = %host.escape_debug(), %error, "look-up failed");
                    Err(ResolveError::NotFound)
                }
                Ok(Ok(found)) => targets(&found, transport, families),
            };
            // When signalling has ended nobody needs to know.
            let _ = answers.send(Input::Resolved { query, targets });
        });
    }
}

fn targets(
    found: &[SocketAddr],
    transport: Transport,
    (ipv4, ipv6): (bool, bool),
) -> Result<Vec<Target>, ResolveError> {
    let usable = found.iter().filter(|remote| if remote.is_ipv4() { ipv4 } else { ipv6 });
    let mut targets: Vec<Target> = Vec::new();
    for remote in usable.take(TARGETS_MAX) {
        let target = Target::new(transport, *remote);
        // The system's resolver lists an address once for every kind of socket.
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    if targets.is_empty() { Err(ResolveError::NotFound) } else { Ok(targets) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_we_can_send_to_are_targets() {
        let found =
            ["[2001:db8::1]:5060", "192.0.2.1:5060", "192.0.2.1:5060"].map(|text| text.parse().unwrap());
        let only_ipv4 = targets(&found, Transport::Udp, (true, false)).unwrap();
        assert_eq!(only_ipv4, [Target::new(Transport::Udp, found[1])]);
        assert_eq!(targets(&found, Transport::Udp, (false, false)), Err(ResolveError::NotFound));
    }
}
