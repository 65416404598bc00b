//! The resources by host, kept as they were last read: every request asks for one, and they hardly change.
//!
//! Who asks for a host that nobody has is told so from the list of all hosts, which is read now and then: however many
//! names strangers think of, they cost no look into the database each.
//!
//! What is kept goes when word of a change comes, and otherwise within a second: a key that was rotated, or a
//! resource that was suspended, by another program on the same database counts no longer than that. What acts on
//! a record, such as a purchase on the billing country, reads it anew in its own unit (PROV-20).

use crate::state::State;
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use trunkline_storage::resources::{self, Resource};
use trunkline_storage::{Error, Store, Subscription, Topic};

/// The resources that requests asked for.
pub(crate) struct Tenants(Mutex<Known>);

struct Known {
    word: Subscription,
    /// Counts the times that everything was forgotten: what was read before is not kept after.
    generation: u64,
    by_host: HashMap<String, (Arc<Resource>, i64)>,
    /// Every host that there is, and when they were read.
    hosts: Option<(Arc<BTreeSet<String>>, i64)>,
}

/// How long a record counts without being read again.
const FRESH_MS: i64 = 1_000;

/// How long the list of hosts counts: a resource is found this soon after it was made, and strangers cause this few
/// reads.
const HOSTS_FRESH_MS: i64 = 50;

/// Hosts kept, beyond which all are forgotten. Only those that lead to a resource are, but the one that claims
/// every host has as many as its callers think of.
const HOSTS_MAX: usize = 4096;

impl Tenants {
    pub(crate) fn new(store: &Store) -> Self {
        let word = store.subscribe(Topic::Resources);
        Self(Mutex::new(Known { word, generation: 0, by_host: HashMap::new(), hosts: None }))
    }

    /// Returns the resource that a host (in lower case) belongs to.
    pub(crate) async fn by_host(&self, state: &State, host: &str) -> Result<Option<Arc<Resource>>, Error> {
        let now_unix_ms = state.now_unix_ms();
        let generation = {
            let mut known = self.lock();
            known.forget_what_changed();
            if let Some((resource, read)) = known.by_host.get(host)
                && (now_unix_ms - read).abs() < FRESH_MS
            {
                return Ok(Some(resource.clone()));
            }
            known.generation
        };
        if state.settings.default_resource.is_none() && !self.is_known(state, host).await? {
            return Ok(None);
        }
        let mut db = state.store.read().await?;
        let found = match resources::by_host(&mut db, host).await? {
            Some(found) => Some(found),
            None => match &state.settings.default_resource {
                Some(name) => resources::by_name(&mut db, name).await?,
                None => None,
            },
        };
        let Some(resource) = found else { return Ok(None) };
        let resource = Arc::new(resource);
        let mut known = self.lock();
        if known.generation == generation {
            if known.by_host.len() >= HOSTS_MAX {
                known.by_host.clear();
            }
            known.by_host.insert(host.to_owned(), (resource.clone(), now_unix_ms));
        }
        Ok(Some(resource))
    }

    /// Says whether any resource has a host, or all of them.
    async fn is_known(&self, state: &State, host: &str) -> Result<bool, Error> {
        let now_unix_ms = state.now_unix_ms();
        let (kept, generation) = {
            let known = self.lock();
            (known.hosts.clone(), known.generation)
        };
        let hosts = match kept {
            Some((hosts, read)) if (now_unix_ms - read).abs() < HOSTS_FRESH_MS => hosts,
            Some(_) | None => {
                let mut db = state.store.read().await?;
                let hosts = Arc::new(resources::all_hosts(&mut db).await?.into_iter().collect());
                let mut known = self.lock();
                if known.generation == generation {
                    known.hosts = Some((Arc::clone(&hosts), now_unix_ms));
                }
                hosts
            }
        };
        let bare = resources::bare_host(host);
        Ok([host, bare, resources::ANY_HOST].iter().any(|host| hosts.contains(*host)))
    }

    // What is known is whole between any two statements, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_what_changed(&mut self) {
        // Nobody waits: whether there was word is all that is asked.
        let mut context = Context::from_waker(Waker::noop());
        if pin!(self.word.changed()).poll(&mut context).is_ready() {
            self.generation += 1;
            self.by_host.clear();
            self.hosts = None;
        }
    }
}
