//! What goes to SQLite's thread together.
//!
//! A statement that goes alone costs two hand-overs between threads, which is several times what SQLite takes for it. So
//! a statement whose outcome the unit does not look at waits for the next whose outcome it does, or for the end
//! of the unit, and they go in one trip, in their order.

use super::Sql;
use super::connection::Value;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::types::Json;
use sqlx::{Arguments as _, Either, Executor as _, SqlSafeStr as _, SqlStr};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Statements on their way to SQLite.
#[derive(Default)]
pub(super) struct Trip {
    /// Commands about savepoints that go ahead of whatever goes next.
    ahead: &'static [Sql],
    steps: Vec<Step>,
    arguments: SqliteArguments,
    /// What was put together before: SQLite has it prepared under its text.
    texts: HashMap<Vec<(&'static str, usize)>, SqlStr>,
}

struct Step {
    sql: Sql,
    /// How many values it takes.
    values: usize,
    expected: Expected,
}

/// What a statement has to have done for its unit to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing in particular.
    Anything,
    /// To have changed one row: a compare-and-set.
    OneRow,
}

/// What the last statement of a trip did.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) rows: Vec<SqliteRow>,
    pub(super) changed: u64,
}

/// Why a trip ended early, and at which statement.
pub(super) enum Stop {
    /// SQLite refused it.
    Failed(&'static str, sqlx::Error),
    /// It did not do what was expected.
    Missed(&'static str),
}

impl Trip {
    /// Has commands go ahead of the next statement.
    pub(super) fn send_ahead(&mut self, commands: &'static [Sql]) {
        self.ahead = commands;
    }

    /// Says whether what was to go ahead has not gone.
    pub(super) fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Adds a statement.
    pub(super) fn add(&mut self, sql: Sql, values: &[Value<'_>], expected: Expected) -> Result<(), Stop> {
        for value in values {
            let bound = match value {
                Value::Int(value) => self.arguments.add(*value),
                Value::Text(value) => self.arguments.add(value.as_deref()),
                Value::Bytes(value) => self.arguments.add(value.as_deref()),
                Value::Uuid(value) => self.arguments.add(*value),
                Value::Json(value) => self.arguments.add(value.as_ref().map(Json)),
            };
            bound.map_err(|error| Stop::Failed(sql.name, sqlx::Error::Encode(error)))?;
        }
        self.steps.push(Step { sql, values: values.len(), expected });
        Ok(())
    }

    /// Says whether so many statements wait that they should go.
    pub(super) fn is_full(&self) -> bool {
        self.steps.len() >= STEPS_MAX
    }

    /// Forgets what waits, of a unit that is undone.
    pub(super) fn forget(&mut self) {
        self.steps.clear();
        self.arguments = SqliteArguments::default();
    }

    /// Runs what waits, if anything does, and returns what the last statement did.
    pub(super) async fn run(&mut self, connection: &mut SqliteConnection) -> Result<Outcome, Stop> {
        if self.steps.is_empty() {
            return Ok(Outcome::default());
        }
        let ahead = std::mem::take(&mut self.ahead).iter();
        let mut steps: Vec<Step> =
            ahead.map(|sql| Step { sql: *sql, values: 0, expected: Expected::Anything }).collect();
        steps.append(&mut self.steps);
        let query = sqlx::query_with(self.text(&steps), std::mem::take(&mut self.arguments));
        let mut answers = connection.fetch_many(query);
        let mut outcome = Outcome::default();
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            let failed = |error| Stop::Failed(step.sql.name, error);
            // Rows come first, then the count of the statement.
            while let Some(answer) = answers.try_next().await.map_err(failed)? {
                match answer {
                    Either::Right(row) if steps.peek().is_none() => outcome.rows.push(row),
                    Either::Right(_) => {}
                    Either::Left(done) => {
                        outcome.changed = done.rows_affected();
                        break;
                    }
                }
            }
            if step.expected == Expected::OneRow && outcome.changed != 1 {
                return Err(Stop::Missed(step.sql.name));
            }
        }
        Ok(outcome)
    }

    /// Returns the statements as one text, in which each has its own values.
    fn text(&mut self, steps: &[Step]) -> SqlStr {
        if let [only] = steps {
            return only.sql.sqlite.into_sql_str();
        }
        let key: Vec<_> = steps.iter().map(|step| (step.sql.sqlite, step.values)).collect();
        if let Some(text) = self.texts.get(&key) {
            return text.clone();
        }
        if self.texts.len() >= TEXTS_MAX {
            self.texts.clear();
        }
        let text = safe(compose(&key));
        self.texts.insert(key, text.clone());
        text
    }
}

/// Most statements of a trip: what a purchase writes is nine. With many more each number of a large search would make
/// a text of its own.
const STEPS_MAX: usize = 16;

/// Texts put together and kept: the units of this program have a few dozen sequences of statements. Each is
/// prepared in SQLite too, whose cache has about as much room.
const TEXTS_MAX: usize = 256;

/// Vouches for a text that is made of nothing but our own constants.
fn safe(composed: String) -> SqlStr {
    sqlx::AssertSqlSafe(std::sync::Arc::<str>::from(composed)).into_sql_str()
}

/// Puts statements behind each other, the parameters of each numbered on from those before.
fn compose(statements: &[(&str, usize)]) -> String {
    let (mut text, mut offset) = (String::new(), 0);
    for (statement, values) in statements {
        let mut parts = statement.split('$');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at(digits);
            text.push('$');
            // A dollar without a number is no parameter.
            if let Ok(number) = number.parse::<usize>() {
                let _ = write!(text, "{}", number + offset);
            }
            text.push_str(rest);
        }
        text.push_str(";\n");
        offset += values;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::compose;

    #[test]
    fn each_statement_has_its_own_values() {
        let insert = ("INSERT INTO a (b, c) VALUES ($2, $1)", 2);
        let update = ("UPDATE a SET b = $1->'$[5]' WHERE c = $12", 12);
        assert_eq!(
            compose(&[insert, update, insert]),
            "INSERT INTO a (b, c) VALUES ($2, $1);\nUPDATE a SET b = $3->'$[5]' WHERE c = $14;\n\
             INSERT INTO a (b, c) VALUES ($16, $15);\n"
        );
    }
}
