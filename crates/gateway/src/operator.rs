//! The operator's commands on the database of a gateway, which may be running meanwhile: it takes notice.

mod assign;
mod billing;
mod csv;
mod events;
mod give;
mod import;
mod number;
mod resource;
mod sms;

pub use billing::billing;
pub use events::events;
pub use number::number;
pub use resource::resource;
pub use sms::sms;

use crate::config::Config;
use anyhow::Context;
use std::time::{SystemTime, UNIX_EPOCH};
use trunkline_storage::resources::{self, Resource};
use trunkline_storage::{Connection, Error, Store};
use uuid::Uuid;

/// The name of the operator's acts in the audit log.
const ACTOR: &str = "operator";

/// Runs a command on the database of this configuration, and closes it behind.
pub(crate) fn on_database<T>(
    config: &Config,
    command: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let directory = &config.storage.data_dir;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let store = Store::open(&config.storage.url).await.context("cannot open storage")?;
        let result = command(&store).await;
        store.close().await;
        result
    })
}

/// Finds a resource by its name or id.
async fn find(db: &mut Connection, name: &str) -> anyhow::Result<Resource> {
    let by_id = match Uuid::try_parse(name) {
        Ok(id) => resources::by_id(db, id).await?,
        Err(_) => None,
    };
    let found = match by_id {
        Some(found) => Some(found),
        None => resources::by_name(db, name).await?,
    };
    found.with_context(|| format!("there is no resource {name:?}; `trunkline resource list` shows them"))
}

/// Tries a unit again that lost against another program.
async fn patiently<T>(mut unit: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut attempts = 1;
    loop {
        match unit().await {
            Err(Error::Contended { .. }) if attempts < ATTEMPTS_MAX => attempts += 1,
            result => return result,
        }
    }
}

/// Units that clash are short; ten that do in a row are a database that is not well.
const ATTEMPTS_MAX: u32 = 10;

fn now_unix_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// Prints a document for a program to read.
fn print_json(document: &serde_json::Value) {
    println!("{document:#}");
}
