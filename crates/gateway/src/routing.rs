//! The routing table in force: the configuration file's trunks, numbers and routes, and what the database adds to
//! them: numbers that resources own, numbers that nobody has, and the trunks and routes of each resource.
//!
//! It is built anew whenever one of them changes, also by another program on the same database, and handed to
//! signalling whole. Calls never wait for the database.

mod resource;
mod users;

use crate::app::complete_trunks;
use crate::config::Config;
use crate::log::masked;
use crate::signalling::Command;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::{error, warn};
use trunkline_call::{RouteProblem, RoutingTable};
use trunkline_model::{DidRoute, E164, UserRoute};
use trunkline_storage::numbers::{self, Owned};
use trunkline_storage::routing::{self, Stamp};
use trunkline_storage::{Error, Store, Topic};
use uuid::Uuid;

/// Between two tables: a burst of purchases makes one of them.
const PAUSE: Duration = Duration::from_millis(50);

/// A table takes at most this share of the time.
const SHARE: u32 = 4;

/// After the database failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Reloads that wait; an operator sends a few in the life of a process.
const RELOADS_MAX: usize = 4;

/// Builds routing tables.
pub(crate) struct Routing {
    store: Store,
    config: Config,
    built_at: Option<Stamp>,
    built_from: Option<Stored>,
}

/// What the database adds to the configuration.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    /// Numbers that resources own.
    owned: Vec<OwnedNumber>,
    unowned: Vec<E164>,
    resources: Vec<resource::Said>,
    users: users::Stored,
}

/// A number that a resource owns, and what it may do.
#[derive(Debug, PartialEq, Eq)]
struct OwnedNumber {
    number: E164,
    resource: Uuid,
    takes_calls: bool,
    places_calls: bool,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unbuilt {
    /// The database failed.
    #[error("numbers and routes cannot be read: {0}")]
    Store(#[from] Error),
    /// The parts do not fit together.
    #[error("the routes cannot be used:{}", lines(.0))]
    Problems(Vec<RouteProblem>),
}

fn lines(problems: &[RouteProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Where a configuration that was read again is handed to.
#[derive(Clone)]
pub(crate) struct Reload(mpsc::Sender<Config>);

impl Reload {
    /// Routes by another configuration from now on.
    pub(crate) async fn configure(&self, config: Config) {
        // When routing has ended there is nothing left to route.
        let _ = self.0.send(config).await;
    }
}

impl Routing {
    pub(crate) fn new(store: Store, config: Config) -> Self {
        Self { store, config, built_at: None, built_from: None }
    }

    /// Builds a table from what the configuration and the database say now.
    ///
    /// # Errors
    /// See [`Unbuilt`].
    pub(crate) async fn build(&mut self) -> Result<Arc<RoutingTable>, Unbuilt> {
        let (stamp, stored) = self.read().await?;
        self.assemble(stamp, stored)
    }

    async fn read(&self) -> Result<(Stamp, Stored), Error> {
        let mut db = self.store.read().await?;
        // Before the rest, so that what changes meanwhile is seen next time.
        let stamp = routing::stamp(&mut db).await?;
        let owned = numbers::owned_in_trunks(&mut db).await?.into_iter();
        let owned = owned.map(|Owned { assignment, .. }| OwnedNumber {
            number: assignment.number,
            resource: assignment.resource,
            takes_calls: assignment.terms.calling.is_inbound(),
            places_calls: assignment.terms.calling.is_outbound(),
        });
        let unowned = routing::unowned(&mut db).await?;
        let resources = resource::read(&mut db).await?;
        let users = users::read(&mut db).await?;
        Ok((stamp, Stored { owned: owned.collect(), unowned, resources, users }))
    }

    fn assemble(&mut self, stamp: Stamp, stored: Stored) -> Result<Arc<RoutingTable>, Unbuilt> {
        let mut config = self.config.clone();
        let (routes, of_users) = resource::routes(&mut config, &stored.resources);
        complete_trunks(&mut config);
        users::add_rings(&mut config, &stored);
        let unused = add_owned(&mut config, &stored);
        let tenants = users::tenants(&config, &stored, of_users);
        let table = of_file(config)
            .and_then(|table| table.with_resources(routes))
            .and_then(|table| table.with_tenants(tenants))
            .map_err(Unbuilt::Problems)?
            .with_unused(unused);
        (self.built_at, self.built_from) = (Some(stamp), Some(stored));
        Ok(Arc::new(table))
    }

    /// Follows every change until signalling has ended.
    pub(crate) fn follow(mut self, tables: mpsc::Sender<Command>) -> Reload {
        let (sender, mut reloads) = mpsc::channel(RELOADS_MAX);
        let mut changes = self.store.subscribe(Topic::Routing);
        let mut resources = self.store.subscribe(Topic::Resources);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    config = reloads.recv() => match config {
                        Some(config) => {
                            self.config = config;
                            (self.built_at, self.built_from) = (None, None);
                        }
                        None => return,
                    },
                    () = changes.changed() => {}
                    // Their hosts are the domains of their users.
                    () = resources.changed() => self.built_at = None,
                }
                let began = Instant::now();
                match self.rebuild().await {
                    Ok(None) => {}
                    Ok(Some(table)) => {
                        if tables.send(Command::SetRoutes(table)).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(PAUSE.max(began.elapsed() * SHARE)).await;
                    }
                    Err(failed) => self.despite(&failed, &mut changes).await,
                }
            }
        });
        Reload(sender)
    }

    /// Builds a table, unless nothing has changed since the last one.
    async fn rebuild(&mut self) -> Result<Option<Arc<RoutingTable>>, Unbuilt> {
        if let Some(built_at) = self.built_at {
            let mut db = self.store.read().await?;
            if routing::stamp(&mut db).await? == built_at {
                return Ok(None);
            }
        }
        let (stamp, stored) = self.read().await?;
        // A hold of a search, say, changes nothing for calls.
        if self.built_from.as_ref() == Some(&stored) {
            self.built_at = Some(stamp);
            return Ok(None);
        }
        self.assemble(stamp, stored).map(Some)
    }

    /// Keeps the table there is. A database that failed is asked again.
    async fn despite(&mut self, failed: &Unbuilt, changes: &mut trunkline_storage::Subscription) {
        match failed {
            Unbuilt::Store(error) => {
                warn!(%error, "routes were not replaced; the old ones stay in force until the database answers");
                tokio::time::sleep(AGAIN_AFTER).await;
                self.built_at = None;
                changes.again();
            }
            Unbuilt::Problems(problems) => {
                for problem in problems {
                    let problem = masked(&problem.to_string());
                    error!(%problem, "routes were not replaced; the old ones stay in force");
                }
            }
        }
    }
}

/// Builds the table of what a configuration says.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn of_file(config: Config) -> Result<RoutingTable, Vec<RouteProblem>> {
    let Config { mut trunks, users, dids, mut rings, routes, .. } = config;
    trunks.extend(users.trunk);
    let (mut of_trunks, mut of_users) = (Vec::new(), Vec::new());
    for did in dids {
        match rings.remove(&did.did) {
            Some(ring) => {
                of_users.push(UserRoute { did: did.did, ring, trunks: did.trunks, dial: did.dial });
            }
            None => of_trunks.push(did),
        }
    }
    RoutingTable::new(trunks, of_trunks, routes)?.with_user_routes(of_users)
}

/// Routes the numbers that resources own to where the configuration wants them, and returns the numbers that nobody
/// can be called at: those that nobody owns, and those whose owner takes no calls. What the file routes itself stays.
fn add_owned(config: &mut Config, stored: &Stored) -> Vec<E164> {
    let by_file: BTreeSet<E164> = config.dids.iter().map(|did| did.did).collect();
    let left = |number: &&E164| !by_file.contains(number);
    let mut unused: Vec<E164> = stored.unowned.iter().filter(left).copied().collect();
    for owned in stored.owned.iter().filter(|owned| left(&&owned.number)) {
        if !owned.takes_calls {
            unused.push(owned.number);
        } else if !config.numbers.inbound.is_empty() {
            let trunks = config.numbers.inbound.clone();
            config.dids.push(DidRoute { did: owned.number, trunks, dial: None });
        }
    }
    unused
}
