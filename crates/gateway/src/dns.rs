//! Answers the user agent's questions where a host is.
//!
//! Addresses (A, AAAA) come from the system's resolver, hosts file included. SRV and NAPTR records are not looked up: a
//! host that is known by them only is written out as one gateway for each record.
//!
//! A resource may not have us send into the operator's own network by a name of its own that leads there. So the names
//! that resources give are looked up [guarded]: only those addresses are used that trunks of resources may have, and it
//! is the addresses that were checked that are used, whatever the name leads to a moment later.
//!
//! While the resolver fails, the last answer that it gave for a host goes on to be used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use trunkline_api::sip_routing::Reach;
use trunkline_model::Transport;
use trunkline_sip::resolve::{QueryId, ResolveError};
use trunkline_sip::transport::Target;
use trunkline_sip::user_agent::Input;

/// Look-ups under way at once; each occupies a thread while the system's resolver waits.
const LOOKUPS_MAX: usize = 32;

/// How long a look-up may take. A caller who waits longer for the first INVITE to go out has hung up.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// The same where there is an earlier answer to fall back on.
const LOOKUP_AGAIN_MAX: Duration = Duration::from_secs(1);

/// How long an answer may be used after the resolver has failed: longer than an outage that somebody is woken up for.
const KEPT_MAX: Duration = Duration::from_secs(6 * 3600);

/// Hosts whose answers are kept. Gateways are a few; the rest are hosts that peers name in their Contact.
const HOSTS_MAX: usize = 256;

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

/// Marks a name that a resource gave: with the dot at its end that makes a name absolute (RFC 1034 §3.1). URIs may hold
/// it, and the mark stays with the name wherever a call takes it.
pub(crate) fn guarded(name: &str) -> String {
    format!("{name}.")
}

/// Asks the system.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    answers: mpsc::UnboundedSender<Input>,
    slots: Arc<Semaphore>,
    kept: Arc<Mutex<Kept>>,
    /// Whether we can send over IPv4 and IPv6.
    families: (bool, bool),
    /// Where guarded names may lead.
    reach: Arc<Reach>,
}

impl Resolver {
    /// Returns a resolver and where its answers come out. The user agent limits the questions under way, and
    /// with them the answers.
    pub(crate) fn new(ipv4: bool, ipv6: bool, reach: Reach) -> (Self, mpsc::UnboundedReceiver<Input>) {
        let (answers, received) = mpsc::unbounded_channel();
        let (slots, kept) = (Arc::new(Semaphore::new(LOOKUPS_MAX)), Arc::default());
        (Self { answers, slots, kept, families: (ipv4, ipv6), reach: Arc::new(reach) }, received)
    }

    /// Starts a look-up on the current runtime.
    pub(crate) fn ask(&self, question: Question) {
        let resolver = self.clone();
        tokio::spawn(async move {
            let Question { query, host, port, transport } = question;
            let targets = resolver.look_up(&host, port, transport).await;
            // When signalling has ended nobody needs to know.
            let _ = resolver.answers.send(Input::Resolved { query, targets });
        });
    }

    async fn look_up(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Vec<Target>, ResolveError> {
        let transport = transport.unwrap_or(Transport::Udp);
        let port = port.unwrap_or(transport.default_port());
        let is_kept = self.kept().fresh(host, Instant::now()).is_some();
        let look_up = async {
            let _slot = self.slots.acquire().await;
            // Hosts files hold names without the dot.
            let name = host.strip_suffix('.').unwrap_or(host);
            tokio::net::lookup_host((name, port)).await.map(Iterator::collect::<Vec<SocketAddr>>)
        };
        let found = match timeout(if is_kept { LOOKUP_AGAIN_MAX } else { LOOKUP_MAX }, look_up).await {
            Err(_) => Err(ResolveError::Timeout),
            Ok(Err(error)) => {
                tracing::debug!(host = %host.escape_debug(), %error, "look-up failed");
                Err(ResolveError::NotFound)
            }
            Ok(Ok(found)) => Ok(found),
        };
        let found = self.kept().settle(host, found, Instant::now())?;
        let found = found.into_iter().map(|remote| SocketAddr::new(remote.ip(), port));
        let found: Vec<_> =
            found.filter(|remote| !host.ends_with('.') || self.reach.allows(remote.ip())).collect();
        targets(&found, transport, self.families)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Nothing in there can be left half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last good answer for each host.
#[derive(Debug, Default)]
struct Kept {
    hosts: HashMap<String, (Instant, Vec<SocketAddr>)>,
}

impl Kept {
    fn fresh(&self, host: &str, now: Instant) -> Option<&Vec<SocketAddr>> {
        let (at, found) = self.hosts.get(host)?;
        (now.saturating_duration_since(*at) < KEPT_MAX).then_some(found)
    }

    /// Keeps a good answer, and puts the last good one in the place of a failure.
    fn settle(
        &mut self,
        host: &str,
        found: Result<Vec<SocketAddr>, ResolveError>,
        now: Instant,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        match found {
            Ok(found) => {
                if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(host) {
                    let oldest =
                        self.hosts.iter().min_by_key(|(_, (at, _))| *at).map(|(host, _)| host.clone());
                    oldest.and_then(|oldest| self.hosts.remove(&oldest));
                }
                self.hosts.insert(host.to_owned(), (now, found.clone()));
                Ok(found)
            }
            Err(error) => {
                let kept = self.fresh(host, now).cloned().ok_or(error)?;
                tracing::warn!(host = %host.escape_debug(), %error, "look-up failed: using the last answer");
                Ok(kept)
            }
        }
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

    #[tokio::test]
    async fn a_name_of_a_resource_leads_only_where_its_trunks_may_be() {
        let look_up = async |host: &str, anywhere| {
            let (resolver, _answers) = Resolver::new(true, true, Reach { anywhere, ..Reach::default() });
            resolver.look_up(host, Some(5061), None).await
        };
        assert!(look_up("localhost", false).await.is_ok(), "a name of the operator's");
        assert_eq!(look_up(&guarded("localhost"), false).await, Err(ResolveError::NotFound));
        assert!(look_up(&guarded("localhost"), true).await.is_ok(), "the operator allows it");
    }

    #[test]
    fn the_last_answer_is_used_while_the_resolver_fails_but_not_for_ever() {
        let now = Instant::now();
        let found: Vec<SocketAddr> = vec!["192.0.2.1:5060".parse().unwrap()];
        let mut kept = Kept::default();
        let failed = || Err(ResolveError::Timeout);
        assert_eq!(kept.settle("a.example", failed(), now), failed());
        assert_eq!(kept.settle("a.example", Ok(found.clone()), now), Ok(found.clone()));
        assert_eq!(kept.settle("a.example", failed(), now + KEPT_MAX / 2), Ok(found.clone()));
        assert_eq!(kept.settle("a.example", failed(), now + KEPT_MAX), failed());

        for number in 0..2 * HOSTS_MAX {
            let _ = kept.settle(&format!("{number}.example"), Ok(found.clone()), now + KEPT_MAX);
        }
        assert_eq!(kept.hosts.len(), HOSTS_MAX, "what peers name does not pile up");
        assert!(kept.fresh("a.example", now).is_none(), "the oldest goes first");
    }
}
