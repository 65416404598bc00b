//! Who may bind to our server, and from where.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::backoff::Backoff;
use crate::bucket::Rate;
use crate::pdu::{Bind, BindKind};
use crate::status::CommandStatus;

/// A customer's account. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// What they are allowed on each session.
    pub grant: Grant,
    /// Their password.
    pub password: String,
    /// Networks they may come from; empty for any.
    pub networks: Vec<IpNet>,
    /// Most sessions at the same time.
    pub binds_max: usize,
    /// Ways they may bind; empty for any.
    pub kinds: Vec<BindKind>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account {{ {:?}, binds_max: {} }}", self.grant, self.binds_max)
    }
}

/// What one session of an account is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Most requests of theirs without an answer.
    pub window: usize,
    /// Most messages; none for no limit.
    pub rate: Option<Rate>,
    /// Most deliver_sm of ours without an answer.
    pub deliver_window: usize,
}

/// Why a bind is refused, and after what delay that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What is answered.
    pub status: CommandStatus,
    /// How long the answer waits: guessing is slow.
    pub delay: Duration,
}

/// The accounts, with the failures of each address.
#[derive(Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<String, Account>,
    bound: BTreeMap<String, usize>,
    failures: BTreeMap<IpAddr, Failures>,
    purged_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Answers to failed binds of one address wait longer and longer.
const DELAY: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(30) };

/// After this long without a failure an address is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// Most addresses remembered: an attacker with more has the delay of a first failure, and no more of our memory.
const ADDRESSES_MAX: usize = 10_000;

impl Accounts {
    /// Returns the accounts by system_id.
    pub fn new(accounts: BTreeMap<String, Account>) -> Self {
        Self { accounts, ..Self::default() }
    }

    /// Replaces the accounts; sessions that are bound stay counted.
    pub fn replace(&mut self, accounts: BTreeMap<String, Account>) {
        self.accounts = accounts;
    }

    /// Decides on a bind. A granted one must be [released](Self::release) when its session ends.
    ///
    /// # Errors
    /// [`Refusal`]. A wrong password, an unknown name and a wrong network are answered alike.
    pub fn bind(&mut self, now: Instant, from: IpAddr, bind: &Bind) -> Result<Grant, Refusal> {
        let account = self.accounts.get(&bind.system_id);
        let known = account.is_some_and(|account| {
            let here = account.networks.is_empty() || account.networks.iter().any(|net| net.contains(&from));
            same(&account.password, &bind.password) && here
        });
        let Some(account) = account.filter(|_| known) else {
            return Err(Refusal { status: CommandStatus::INVALID_PASSWORD, delay: self.failed(now, from) });
        };
        let bound = self.bound.entry(bind.system_id.clone()).or_default();
        let kind = account.kinds.is_empty() || account.kinds.contains(&bind.kind);
        if !kind || *bound >= account.binds_max {
            return Err(Refusal { status: CommandStatus::BIND_FAILED, delay: Duration::ZERO });
        }
        *bound += 1;
        self.failures.remove(&from);
        Ok(account.grant)
    }

    /// Takes in that a session of an account ended.
    pub fn release(&mut self, system_id: &str) {
        if let Some(bound) = self.bound.get_mut(system_id) {
            *bound = bound.saturating_sub(1);
            if *bound == 0 {
                self.bound.remove(system_id);
            }
        }
    }

    fn failed(&mut self, now: Instant, from: IpAddr) -> Duration {
        let full = self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(&from);
        // A full table is looked through at most once a second.
        if full && self.purged_at.is_none_or(|at| now >= at + Duration::from_secs(1)) {
            self.purged_at = Some(now);
            self.failures.retain(|_, failures| now < failures.last + FORGET_AFTER);
        }
        if self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(&from) {
            return DELAY.first;
        }
        let failures = self.failures.entry(from).or_insert(Failures { count: 0, last: now });
        if now >= failures.last + FORGET_AFTER {
            failures.count = 0;
        }
        let delay = DELAY.pause(failures.count);
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
        delay
    }
}

/// Compares without telling by the time taken where the difference is.
fn same(expected: &str, given: &str) -> bool {
    let differing = expected.bytes().zip(given.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
    expected.len() == given.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::Address;
    use trunkline_model::clock::first_instant;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

    fn accounts() -> Accounts {
        let account = Account {
            grant: Grant { window: 10, rate: None, deliver_window: 10 },
            password: "secret".into(),
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            binds_max: 1,
            kinds: vec![BindKind::Transceiver],
        };
        Accounts::new(BTreeMap::from([("esme".to_owned(), account)]))
    }

    fn bind(system_id: &str, password: &str, kind: BindKind) -> Bind {
        Bind {
            kind,
            system_id: system_id.into(),
            password: password.into(),
            system_type: String::new(),
            version: 0x34,
            range: Address::default(),
        }
    }

    #[test]
    fn strangers_are_refused_alike_and_ever_more_slowly() {
        let now = first_instant();
        let mut accounts = accounts();
        let mut refused = |from, id, password| {
            accounts.bind(now, from, &bind(id, password, BindKind::Transceiver)).unwrap_err()
        };
        let refusals =
            [refused(HERE, "esme", "wrong!"), refused(HERE, "nobody", "secret"), refused(HERE, "esme", "")];
        assert!(refusals.iter().all(|refusal| refusal.status == CommandStatus::INVALID_PASSWORD));
        assert_eq!(refusals.map(|refusal| refusal.delay.as_millis()), [500, 1_000, 2_000]);
        assert_eq!(refused(THERE, "esme", "secret").delay.as_millis(), 500);
        assert!(accounts.bind(now, HERE, &bind("esme", "secret", BindKind::Transceiver)).is_ok());
    }

    #[test]
    fn no_more_sessions_than_agreed_and_none_of_another_kind() {
        let now = first_instant();
        let mut accounts = accounts();
        let ok = bind("esme", "secret", BindKind::Transceiver);
        let other = bind("esme", "secret", BindKind::Receiver);
        assert_eq!(accounts.bind(now, HERE, &other).unwrap_err().status, CommandStatus::BIND_FAILED);
        assert!(accounts.bind(now, HERE, &ok).is_ok());
        assert_eq!(accounts.bind(now, HERE, &ok).unwrap_err().status, CommandStatus::BIND_FAILED);
        accounts.release("esme");
        assert!(accounts.bind(now, HERE, &ok).is_ok());
    }

    #[test]
    fn failures_are_forgotten_and_bounded() {
        let now = first_instant();
        let mut accounts = accounts();
        let wrong = bind("esme", "", BindKind::Transceiver);
        for n in 0..20_000u32 {
            let from = IpAddr::V4(std::net::Ipv4Addr::from(n));
            let _ = accounts.bind(now, from, &wrong);
            if n == 9_999 {
                assert_eq!(accounts.failures.len(), ADDRESSES_MAX);
            }
        }
        assert_eq!(accounts.failures.len(), ADDRESSES_MAX);
        let _ = accounts.bind(now + FORGET_AFTER, HERE, &wrong);
        assert_eq!(accounts.failures.len(), 1);
    }
}
