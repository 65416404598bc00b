//! The location service: at which contacts users can be reached (RFC 3261 §10.3, RFC 5626 §6).
//!
//! The owner has made sure who is asking before it hands a REGISTER in, and says for how long that holds: no contact
//! outlives the token that it was registered with, nor the connection that it came by.

mod binding;
mod request;

pub use binding::{Binding, Grant};
pub use request::Refused;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::header::Name;
use crate::message::Message;
use crate::transport::{ConnectionId, Flow};
use crate::user_agent::{Headers, Reply};
use request::{Ask, Wanted};

/// The limits of a registrar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most contacts of one user: a person has a few devices with a few browsers each, and a call rings at all of them.
    pub contacts_per_user: usize,
    /// Most contacts in all. Each takes some 700 bytes, and a connection beside it.
    pub contacts: usize,
    /// Shortest registration: clients refresh at half of it, and each refresh is looked into.
    pub expires_min: Duration,
    /// Longest registration: a contact whose connection is lost without a word is called in vain for no longer.
    pub expires_max: Duration,
    /// How long a registration lasts that does not say.
    pub expires_default: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            contacts_per_user: 10,
            contacts: 100_000,
            expires_min: Duration::from_secs(60),
            expires_max: Duration::from_secs(3600),
            expires_default: Duration::from_secs(600),
        }
    }
}

/// Contacts of users, by the name that the owner gives them.
///
/// Read [`poll_timeout`](Self::poll_timeout) after every change.
#[derive(Debug)]
pub struct Registrar {
    limits: Limits,
    users: HashMap<Arc<str>, Vec<Binding>>,
    by_connection: HashMap<ConnectionId, BTreeSet<Arc<str>>>,
    /// The soonest end of a contact of each user.
    deadlines: BTreeSet<(Instant, Arc<str>)>,
    contacts: usize,
    registered: u64,
}

impl Registrar {
    /// Returns a registrar that knows nobody.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: HashMap::new(),
            by_connection: HashMap::new(),
            deadlines: BTreeSet::new(),
            contacts: 0,
            registered: 0,
        }
    }

    /// Does what a REGISTER asks for a user, all of it or nothing, and returns the answer (RFC 3261 §10.3).
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn register(
        &mut self,
        now: Instant,
        user: &str,
        request: &Message,
        flow: Flow,
        grant: Grant,
    ) -> Result<Reply, Refused> {
        let ask = Ask::read(request, &self.limits)?;
        self.expire(now);
        let mut bindings = self.users.get(user).cloned().unwrap_or_default();
        match &ask.wanted {
            Wanted::Nothing => {}
            Wanted::RemoveAll => {
                for binding in &bindings {
                    ask.check_order(binding)?;
                }
                bindings.clear();
            }
            Wanted::Changes(contacts) => {
                for contact in contacts {
                    let known = bindings.iter().position(|binding| binding.is_same(contact));
                    if let Some(binding) = known.and_then(|at| bindings.get(at)) {
                        ask.check_order(binding)?;
                    }
                    let until = (now + contact.expires).min(grant.until);
                    let fresh = (until > now).then(|| Binding::new(contact, &ask, flow, grant, until));
                    match (known, fresh) {
                        (Some(at), Some(fresh)) => {
                            // The newest last: of equal weight it is preferred.
                            bindings.remove(at);
                            bindings.push(Binding { serial: self.next_serial(), ..fresh });
                        }
                        (Some(at), None) => drop(bindings.remove(at)),
                        (None, Some(fresh)) => bindings.push(Binding { serial: self.next_serial(), ..fresh }),
                        (None, None) => {}
                    }
                }
            }
        }
        let before = self.users.get(user).map_or(0, Vec::len);
        if bindings.len() > before {
            if bindings.len() > self.limits.contacts_per_user {
                return Err(Refused::TooManyContacts);
            }
            if self.contacts - before + bindings.len() > self.limits.contacts {
                return Err(Refused::Full);
            }
        }
        self.replace(user, bindings);
        Ok(self.reply(now, user, &ask))
    }

    /// Returns where a user can be reached now: by weight, and the newest first among equals.
    pub fn contacts(&self, now: Instant, user: &str) -> Vec<&Binding> {
        let bindings = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        let mut live: Vec<&Binding> = bindings.iter().filter(|binding| binding.until > now).collect();
        live.sort_by_key(|binding| (std::cmp::Reverse(binding.weight), std::cmp::Reverse(binding.serial)));
        live
    }

    /// A connection is gone, and every contact that was reached by it (RFC 5626 §3.3). Returns how many those were.
    pub fn connection_gone(&mut self, connection: ConnectionId) -> usize {
        let users = self.by_connection.remove(&connection).unwrap_or_default();
        let before = self.contacts;
        for user in users {
            self.retain(&user, |binding| binding.flow.connection != Some(connection));
        }
        before - self.contacts
    }

    /// Removes the contacts of a user that were registered with what was granted before that second of the Unix epoch.
    /// Returns their connections.
    pub fn revoke(&mut self, user: &str, issued_before: i64) -> Vec<ConnectionId> {
        let revoked = |binding: &Binding| binding.grant.issued < issued_before;
        let bindings = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        let hit = bindings.iter().filter(|binding| revoked(binding));
        let connections = hit.filter_map(|binding| binding.flow.connection).collect();
        self.retain(user, |binding| !revoked(binding));
        connections
    }

    /// Forgets contacts whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Returns how many contacts there are.
    pub fn len(&self) -> usize {
        self.contacts
    }

    /// Whether there is no contact.
    pub fn is_empty(&self) -> bool {
        self.contacts == 0
    }

    /// Returns how many users can be reached.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    fn next_serial(&mut self) -> u64 {
        self.registered += 1;
        self.registered
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, user)) = self.deadlines.first().cloned() {
            if at > now {
                return;
            }
            self.retain(&user, |binding| binding.until > now);
        }
    }

    fn retain(&mut self, user: &str, keep: impl FnMut(&Binding) -> bool) {
        let Some(mut bindings) = self.users.get(user).cloned() else { return };
        bindings.retain(keep);
        self.replace(user, bindings);
    }

    /// Makes all tables agree with what a user's contacts are now.
    fn replace(&mut self, user: &str, bindings: Vec<Binding>) {
        let (name, before) = match self.users.remove_entry(user) {
            Some((name, before)) => (name, before),
            None => (Arc::from(user), Vec::new()),
        };
        if let Some(at) = soonest(&before) {
            self.deadlines.remove(&(at, Arc::clone(&name)));
        }
        for connection in before.iter().filter_map(|binding| binding.flow.connection) {
            if let Some(users) = self.by_connection.get_mut(&connection) {
                users.remove(&name);
                if users.is_empty() {
                    self.by_connection.remove(&connection);
                }
            }
        }
        self.contacts = self.contacts - before.len() + bindings.len();
        for connection in bindings.iter().filter_map(|binding| binding.flow.connection) {
            self.by_connection.entry(connection).or_default().insert(Arc::clone(&name));
        }
        if let Some(at) = soonest(&bindings) {
            self.deadlines.insert((at, Arc::clone(&name)));
            self.users.insert(name, bindings);
        }
    }

    /// Writes the answer: every contact that there is, each with the time that it has left (RFC 3261 §10.3 item 8).
    fn reply(&self, now: Instant, user: &str, ask: &Ask) -> Reply {
        let mut headers = Headers::new();
        for binding in self.contacts(now, user) {
            headers.push(Name::Contact, binding.value(now));
        }
        if ask.is_outbound() {
            // RFC 5626 §6: says that the flow will be used.
            headers.push(Name::Require, "outbound");
        }
        Reply::new(200).with_headers(headers)
    }
}

fn soonest(bindings: &[Binding]) -> Option<Instant> {
    bindings.iter().map(|binding| binding.until).min()
}
