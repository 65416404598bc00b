//! The same cases on SQLite and on PostgreSQL.

mod calls;
mod crash;
mod database;
mod events;
mod inventory;
mod jobs;
mod messages;
mod numbers;
mod opening;
mod power;
mod tenancy;
mod texts;
mod unit;
mod users;
mod writing;

/// Makes one test a case and engine.
macro_rules! on_both_engines {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::database::Database::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::database::Database::postgres()).await;
            })*
        }
    };
}
pub(crate) use on_both_engines;
