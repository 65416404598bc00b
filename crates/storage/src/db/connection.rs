//! One connection of either engine, and the values that go in and out of it.

use super::Sql;
use super::topic::{Topic, Topics};
use super::trip::{Expected, Outcome, Stop, Trip};
use crate::error::{Error, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::types::Json;
use sqlx::{Decode, Executor, Row as _, SqlSafeStr, Type};
use std::borrow::Cow;
use uuid::Uuid;

/// A connection to the database: inside [`Store::write`](super::Store::write) a transaction, from
/// [`Store::read`](super::Store::read) read-only.
pub struct Connection {
    engine: Engine,
    /// A statement failed: PostgreSQL then turns COMMIT into ROLLBACK without saying so.
    failed: bool,
    /// What is wrong with the disk under SQLite, where a statement or command met it.
    fault: Option<Fault>,
    /// What to give word of after the commit.
    topics: Topics,
    /// What goes to SQLite with the next statement.
    trip: Trip,
}

/// A failure of the disk under SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    DiskFull,
    DiskFailed,
}

enum Engine {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Connection {
    pub(super) fn sqlite(connection: PoolConnection<Sqlite>) -> Self {
        Self::over(Engine::Sqlite(connection))
    }

    pub(super) fn postgres(connection: PoolConnection<Postgres>) -> Self {
        Self::over(Engine::Postgres(connection))
    }

    fn over(engine: Engine) -> Self {
        Self { engine, failed: false, fault: None, topics: Topics::default(), trip: Trip::default() }
    }

    /// Gives word of a change when it has been committed.
    pub fn notify(&mut self, topic: Topic) {
        self.topics.insert(topic);
    }

    /// Returns what to give word of.
    pub(super) fn take_topics(&mut self) -> Topics {
        std::mem::take(&mut self.topics)
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: Sql, values: &[Value<'_>]) -> Result<u64, Error> {
        match &mut self.engine {
            Engine::Sqlite(_) => Ok(self.run_with(sql, values).await?.changed),
            Engine::Postgres(connection) => {
                let query = bind!(sqlx::query::<Postgres>(sql.postgres), values);
                let done = query.execute(&mut **connection).await;
                self.checked(sql.name, done.map(|done| done.rows_affected()))
            }
        }
    }

    /// Runs a statement whose outcome the unit does not look at: at the latest with its next other statement, or at its
    /// end, and in SQLite together with that. A failure comes out there, and undoes the unit as it always does.
    ///
    /// Writes that follow each other in a unit take one trip to SQLite's thread so, instead of one each.
    pub(crate) async fn execute_later(&mut self, sql: Sql, values: &[Value<'_>]) -> Result<(), Error> {
        self.later(sql, values, Expected::Anything).await
    }

    /// Does the same with a compare-and-set, which has to change one row.
    ///
    /// # Errors
    /// [`Error::Contended`], now or later, when it changes none.
    pub(crate) async fn set_later(&mut self, sql: Sql, values: &[Value<'_>]) -> Result<(), Error> {
        self.later(sql, values, Expected::OneRow).await
    }

    async fn later(&mut self, sql: Sql, values: &[Value<'_>], expected: Expected) -> Result<(), Error> {
        if matches!(self.engine, Engine::Postgres(_)) {
            let changed = self.execute(sql, values).await?;
            return if expected == Expected::OneRow && changed != 1 {
                Err(self.stopped(Stop::Missed(sql.name)))
            } else {
                Ok(())
            };
        }
        self.trip.add(sql, values, expected).map_err(|stop| self.stopped(stop))?;
        if self.trip.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Runs what was left for later.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.run_trip().await.map(drop)
    }

    /// Forgets what was left for later.
    pub(super) fn forget(&mut self) {
        self.trip.forget();
    }

    /// Has commands go ahead of the next statement.
    pub(super) fn send_ahead(&mut self, commands: &'static [Sql]) {
        self.trip.send_ahead(commands);
    }

    /// Says whether what was to go ahead of the next statement has not gone.
    pub(super) fn is_ahead(&self) -> bool {
        self.trip.is_ahead()
    }

    async fn run_with(&mut self, sql: Sql, values: &[Value<'_>]) -> Result<Outcome, Error> {
        self.trip.add(sql, values, Expected::Anything).map_err(|stop| self.stopped(stop))?;
        self.run_trip().await
    }

    async fn run_trip(&mut self) -> Result<Outcome, Error> {
        let Engine::Sqlite(connection) = &mut self.engine else { return Ok(Outcome::default()) };
        self.trip.run(connection).await.map_err(|stop| self.stopped(stop))
    }

    /// Runs a statement and returns its rows.
    pub(crate) async fn fetch_all(&mut self, sql: Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        match &mut self.engine {
            Engine::Sqlite(_) => {
                let rows = self.run_with(sql, values).await?.rows;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Engine::Postgres(connection) => {
                let query = bind!(sqlx::query::<Postgres>(sql.postgres), values);
                let rows = query.fetch_all(&mut **connection).await;
                self.checked(sql.name, rows.map(|rows| rows.into_iter().map(Row::Postgres).collect()))
            }
        }
    }

    /// Runs a statement that yields at most one row.
    pub(crate) async fn fetch_optional(
        &mut self,
        sql: Sql,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(sql, values).await?.pop())
    }

    /// Runs a statement that always yields one row: an aggregate, or an insert that returns.
    pub(crate) async fn fetch_one(&mut self, sql: Sql, values: &[Value<'_>]) -> Result<Row, Error> {
        let row = self.fetch_optional(sql, values).await?;
        row.ok_or_else(|| Error::Statement { statement: sql.name, source: "no row came back".into() })
    }

    /// Runs commands of the transaction: `BEGIN`, `SAVEPOINT`, `COMMIT`.
    pub(super) async fn command(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        let result = match &mut self.engine {
            Engine::Sqlite(connection) => sqlx::raw_sql(text).execute(&mut **connection).await.map(drop),
            Engine::Postgres(connection) => sqlx::raw_sql(text).execute(&mut **connection).await.map(drop),
        };
        result.inspect_err(|error| self.fault = Fault::of(error).or(self.fault))
    }

    /// Asks the engine to parse and plan a statement without running it.
    pub(super) async fn prepare(&mut self, sql: Sql) -> Result<(), Error> {
        let result = match &mut self.engine {
            Engine::Sqlite(connection) => connection.prepare(sql.sqlite.into_sql_str()).await.map(drop),
            Engine::Postgres(connection) => connection.prepare(sql.postgres.into_sql_str()).await.map(drop),
        };
        self.checked(sql.name, result)
    }

    pub(super) async fn durability(&mut self) -> Result<String, Error> {
        self.fetch_one(DURABILITY, &[]).await?.read("settings")
    }

    /// Returns whether a statement failed since the last call.
    pub(super) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// Returns what went wrong at the disk since the last call.
    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Closes the connection instead of giving it back to its pool in an unknown state.
    pub(super) fn discard(self) {
        match self.engine {
            Engine::Sqlite(connection) => drop(connection.detach()),
            Engine::Postgres(connection) => drop(connection.detach()),
        }
    }

    fn checked<T>(&mut self, statement: &'static str, result: Result<T, sqlx::Error>) -> Result<T, Error> {
        result.map_err(|error| self.stopped(Stop::Failed(statement, error)))
    }

    fn stopped(&mut self, stop: Stop) -> Error {
        self.failed = true;
        match stop {
            Stop::Failed(statement, error) => {
                self.fault = Fault::of(&error).or(self.fault);
                Error::from_statement(statement, error)
            }
            Stop::Missed(statement) => Error::Contended { statement },
        }
    }
}

impl Fault {
    fn of(error: &sqlx::Error) -> Option<Self> {
        match Reason::of(error) {
            Reason::DiskFull => Some(Self::DiskFull),
            Reason::DiskFailed => Some(Self::DiskFailed),
            Reason::Duplicate | Reason::Contended | Reason::Lost | Reason::Other => None,
        }
    }
}

const DURABILITY: Sql = Sql {
    name: "DURABILITY",
    sqlite: "SELECT 'journal_mode=' || journal_mode || ' synchronous=' || synchronous AS settings \
        FROM pragma_journal_mode, pragma_synchronous",
    postgres: "SELECT 'synchronous_commit=' || current_setting('synchronous_commit') AS settings",
};

/// A value to bind. Every kind may be absent, because PostgreSQL wants to know the type of a null.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<Cow<'a, [u8]>>),
    Uuid(Option<Uuid>),
    Json(Option<serde_json::Value>),
}

impl<'a> Value<'a> {
    /// Returns the value as JSON: text in SQLite, `jsonb` in PostgreSQL.
    pub(crate) fn json(value: Option<&impl Serialize>) -> Self {
        // Our own row types always serialise: their keys are strings and their numbers finite or null.
        value.and_then(|value| serde_json::to_value(value).ok()).map_or(Self::Json(None), Self::from)
    }

    /// Returns the text form of a value that may be absent.
    pub(crate) fn display(value: Option<impl std::fmt::Display>) -> Self {
        value.map_or(Self::Text(None), |value| Self::from(value.to_string()))
    }

    fn text(text: Cow<'a, str>) -> Self {
        // PostgreSQL has no NUL in text; both engines should keep the same.
        if text.contains('\0') {
            return Self::Text(Some(text.replace('\0', "\u{fffd}").into()));
        }
        Self::Text(Some(text))
    }
}

impl From<serde_json::Value> for Value<'_> {
    fn from(mut value: serde_json::Value) -> Self {
        replace_nul(&mut value);
        Self::Json(Some(value))
    }
}

/// PostgreSQL has no NUL in the strings of `jsonb` either.
fn replace_nul(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        serde_json::Value::Array(items) => items.iter_mut().for_each(replace_nul),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(replace_nul),
        serde_json::Value::String(_)
        | serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_) => {}
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<Uuid> for Value<'_> {
    fn from(value: Uuid) -> Self {
        Self::Uuid(Some(value))
    }
}

impl From<Option<Uuid>> for Value<'_> {
    fn from(value: Option<Uuid>) -> Self {
        Self::Uuid(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::text(value.into())
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Text(None), Self::from)
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::text(value.into())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(Some(value.into()))
    }
}

/// Returns an array of [`Value`]s.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}
pub(crate) use values;

macro_rules! bind {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.as_deref()),
                Value::Bytes(value) => query.bind(value.as_deref()),
                Value::Uuid(value) => query.bind(*value),
                Value::Json(value) => query.bind(value.as_ref().map(Json)),
            };
        }
        query
    }};
}
use bind;

/// A row that came back.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// Reads a column.
    pub(crate) fn read<T: Column>(&self, column: &'static str) -> Result<T, Error> {
        let value = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        value.map_err(|error| Error::Unreadable { column, source: Box::new(error) })
    }

    /// Reads a JSON column.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, Error> {
        let value: Option<Json<serde_json::Value>> = self.read(column)?;
        value
            .map(|Json(value)| serde_json::from_value(value))
            .transpose()
            .map_err(|error| Error::Unreadable { column, source: Box::new(error) })
    }

    /// Reads a column through a type's own text form.
    pub(crate) fn parse<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, Error> {
        let text: String = self.read(column)?;
        text.parse().map_err(|error| Error::Unreadable { column, source: Box::new(error) })
    }

    /// Reads a column through a type's own text form, where it may be absent.
    pub(crate) fn parse_optional<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, Error> {
        let text: Option<String> = self.read(column)?;
        text.map(|text| text.parse())
            .transpose()
            .map_err(|error| Error::Unreadable { column, source: Box::new(error) })
    }

    /// Reads a column that holds the name of an enum's variant, as `serde` writes it.
    pub(crate) fn read_name<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Error> {
        let text: String = self.read(column)?;
        serde_json::from_value(serde_json::Value::String(text))
            .map_err(|error| Error::Unreadable { column, source: Box::new(error) })
    }

    /// Reads a column of integers into a narrower type.
    pub(crate) fn narrow<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
        &self,
        column: &'static str,
    ) -> Result<T, Error> {
        let value: i64 = self.read(column)?;
        T::try_from(value).map_err(|error| Error::Unreadable { column, source: Box::new(error) })
    }
}

/// What both engines can decode.
pub(crate) trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}
