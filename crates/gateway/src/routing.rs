//! The routing table in force: the configuration file's trunks, numbers and routes, and what the database adds to
//! them: numbers that resources own, numbers that nobody has, and the trunks and routes of each resource.
//!
//! It is built anew whenever one of them changes, also by another program on the same database, and handed to
//! signalling whole. Calls never wait for the database.

mod resource;

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
use trunkline_model::{DidRoute, E164};
use trunkline_storage::numbers::{self, Owned};
use trunkline_storage::routing::{self, Stamp};
use trunkline_storage::{Error, Store, Topic};

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
    /// Numbers that resources own, and whether they take calls.
    owned: Vec<(E164, bool)>,
    unowned: Vec<E164>,
    resources: Vec<resource::Said>,
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
        let owned =
            owned.map(|Owned { assignment, .. }| (assignment.number, assignment.terms.calling.is_inbound()));
        let unowned = routing::unowned(&mut db).await?;
        let resources = resource::read(&mut db).await?;
        Ok((stamp, Stored { owned: owned.collect(), unowned, resources }))
    }

    fn assemble(&mut self, stamp: Stamp, stored: Stored) -> Result<Arc<RoutingTable>, Unbuilt> {
        let mut config = self.config.clone();
        let routes = resource::routes(&mut config, &stored.resources);
        complete_trunks(&mut config);
        let unused = add_owned(&mut config, &stored);
        let table = RoutingTable::new(config.trunks, config.dids, config.routes)
            .and_then(|table| table.with_resources(routes))
            .map_err(Unbuilt::Problems)?
            .with_unused(unused);
        (self.built_at, self.built_from) = (Some(stamp), Some(stored));
        Ok(Arc::new(table))
    }

    /// Follows every change until signalling has ended.
    pub(crate) fn follow(mut self, tables: mpsc::Sender<Command>) -> Reload {
        let (sender, mut reloads) = mpsc::channel(RELOADS_MAX);
        let mut changes = self.store.subscribe(Topic::Routing);
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

/// Routes the numbers that resources own to where the configuration wants them, and returns the numbers that nobody
/// can be called at: those that nobody owns, and those whose owner takes no calls. What the file routes itself stays.
fn add_owned(config: &mut Config, stored: &Stored) -> Vec<E164> {
    let by_file: BTreeSet<E164> = config.dids.iter().map(|did| did.did).collect();
    let left = |number: &&E164| !by_file.contains(number);
    let mut unused: Vec<E164> = stored.unowned.iter().filter(left).copied().collect();
    for (number, takes_calls) in stored.owned.iter().filter(|(number, _)| left(&number)) {
        if !takes_calls {
            unused.push(*number);
        } else if !config.numbers.inbound.is_empty() {
            let trunks = config.numbers.inbound.clone();
            config.dids.push(DidRoute { did: *number, trunks, dial: None });
        }
    }
    unused
}
