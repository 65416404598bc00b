//! The two engines behind one [`Store`]: the only module that runs SQL, and (with the errors and the
//! migrations) the only one that names `sqlx`.

mod checkpoint;
mod connection;
mod postgres;
mod sql;
mod sqlite;
mod store;
mod topic;
mod trip;
mod unit;
mod writer;

pub use connection::Connection;
pub(crate) use connection::{Row, Value, values};
pub(crate) use sql::{Sql, statements};
pub use store::{Statistics, Store};
pub use topic::{Subscription, Topic};
pub use unit::BoxFuture;
