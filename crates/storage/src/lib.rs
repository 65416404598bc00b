//! What Trunkline keeps: SQLite by default, PostgreSQL by URL, one set of queries for both.
//!
//! ```no_run
//! # async fn example(records: Vec<trunkline_model::CallRecord>) -> Result<(), trunkline_storage::Error> {
//! use trunkline_storage::{Store, calls};
//!
//! let store = Store::open("sqlite:trunkline.db").await?; // or postgres://user@host/database
//!
//! // A unit of work: all of it or nothing, on disk when `write` returns.
//! store.write(move |db| Box::pin(async move { calls::insert(db, &records).await })).await?;
//!
//! // Reads never wait for writes.
//! let mut db = store.read().await?;
//! let page = calls::list(&mut db, &calls::Filter::default(), None, 100).await?;
//! # let _ = page;
//! # Ok(())
//! # }
//! ```
//!
//! Functions of the table modules take a [`Connection`] and compose: whatever is called inside one
//! [`Store::write`] is one transaction. Times are arguments, in milliseconds since the Unix epoch.
//!
//! **Durability.** [`Store::write`] returns after the commit was synced: SQLite in WAL mode with
//! `synchronous=FULL`, PostgreSQL with `synchronous_commit` never off. SQLite has one writer that gathers
//! the units which arrive while a sync is under way and commits them together (see [`Statistics`]); each
//! has a savepoint, so that one which fails undoes only itself.
//!
//! **Trips.** In SQLite a statement that goes alone to its thread costs several times what SQLite takes for it. So in this
//! crate a write whose outcome nobody looks at is left for later (`execute_later`, and `set_later` for a
//! compare-and-set that must change one row): it goes with the unit's next other statement, or at its end, in its order.
//! What it fails with comes out there and undoes the unit. Many rows of one kind are one statement over an array as JSON
//! (`json_each`, in PostgreSQL `jsonb_array_elements`; see `numbers::import`).
//!
//! **TLS to PostgreSQL** is not built in: a URL with `sslmode=require` or stricter is refused.

mod db;
mod error;
mod migration;

pub mod audit;
pub mod calls;
pub mod events;
pub mod identities;
pub mod jobs;
pub mod ledger;
pub mod messages;
pub mod numbers;
pub mod operations;
pub mod opt_outs;
pub mod repeatability;
pub mod reservations;
pub mod resources;
pub mod routing;
pub mod trunks;
pub mod users;

pub use db::{BoxFuture, Connection, Statistics, Store, Subscription, Topic};
pub use error::Error;

/// Every statement, by module.
const STATEMENTS: &[&[db::Sql]] = &[
    audit::STATEMENTS,
    calls::STATEMENTS,
    events::STATEMENTS,
    identities::STATEMENTS,
    jobs::STATEMENTS,
    jobs::batch::STATEMENTS,
    ledger::STATEMENTS,
    messages::STATEMENTS,
    messages::brand_day::STATEMENTS,
    messages::delivery::STATEMENTS,
    messages::history::STATEMENTS,
    messages::inbound::STATEMENTS,
    messages::queue::STATEMENTS,
    messages::unmatched::STATEMENTS,
    numbers::STATEMENTS,
    numbers::catalogue::STATEMENTS,
    numbers::ownership::STATEMENTS,
    operations::STATEMENTS,
    opt_outs::STATEMENTS,
    repeatability::STATEMENTS,
    reservations::STATEMENTS,
    resources::STATEMENTS,
    routing::STATEMENTS,
    trunks::STATEMENTS,
    users::STATEMENTS,
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_module_with_statements_is_listed() {
        let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut declaring = 0;
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    declaring += usize::from(fs::read_to_string(path).unwrap().contains("\nstatements! {"));
                }
            }
        }
        assert_eq!(declaring, super::STATEMENTS.len());
    }
}
