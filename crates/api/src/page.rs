//! Lists in pages, linked by `nextLink`.

use crate::call::{Call, json};
use crate::error::ApiError;
use crate::path::encode;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use uuid::Uuid;

/// The part of a list that is asked for: `skip`, and `top` or `maxPageSize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// Entries before it.
    pub(crate) skip: u32,
    /// Most entries in it.
    pub(crate) size: u16,
}

/// Entries of a page that names no size: what the clients ask for.
const SIZE_DEFAULT: u16 = 100;

/// Most entries of a page; larger wishes get this many. A page stays below 100 KiB.
const SIZE_MAX: u16 = 100;

impl Page {
    /// Reads what a request asks for.
    ///
    /// # Errors
    /// 400 for what is not a number, and for a page of no entries.
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        let skip = call.query.parsed::<u32>("skip")?.unwrap_or(0);
        let size = match call.query.parsed::<u32>("top")? {
            Some(top) => Some((top, "top")),
            None => call.query.parsed::<u32>("maxPageSize")?.map(|size| (size, "maxPageSize")),
        };
        match size {
            Some((0, name)) => Err(ApiError::invalid(name, format!("{name} must be at least 1."))),
            Some((size, _)) => {
                Ok(Self { skip, size: u16::try_from(size).map_or(SIZE_MAX, |size| size.min(SIZE_MAX)) })
            }
            None => Ok(Self { skip, size: SIZE_DEFAULT }),
        }
    }

    /// How many entries to look up: one more than the page holds, which tells whether there is another.
    pub(crate) fn look_up(self) -> u16 {
        self.size + 1
    }

    /// Answers with the entries found by [`Self::look_up`] from [`Self::skip`] on, under a name, and links to
    /// the next page if there is one.
    pub(crate) fn answer<T: Serialize>(self, call: &Call, name: &str, found: Vec<T>) -> Response {
        let skip = self.skip.saturating_add(self.size.into());
        self.page(call, name, found, ("skip", &skip.to_string()))
    }

    /// Answers with the entries found by [`Self::look_up`] behind an id, and links to those behind the last one shown.
    pub(crate) fn answer_after<T: Serialize>(
        self,
        call: &Call,
        name: &str,
        found: Vec<T>,
        last: Option<Uuid>,
    ) -> Response {
        self.page(call, name, found, ("after", &last.unwrap_or_default().to_string()))
    }

    fn page<T: Serialize>(self, call: &Call, name: &str, mut found: Vec<T>, next: (&str, &str)) -> Response {
        let more = found.len() > usize::from(self.size);
        found.truncate(self.size.into());
        let mut body = serde_json::Map::new();
        match serde_json::to_value(found) {
            Ok(entries) => body.insert(name.to_owned(), entries),
            Err(error) => {
                tracing::error!(error = %error, "a page cannot be written as JSON");
                body.insert(name.to_owned(), Value::Array(Vec::new()))
            }
        };
        if more {
            body.insert("nextLink".to_owned(), next_link(call, next).into());
        }
        json(StatusCode::OK, &body)
    }

    /// Answers with one page of entries that are all at hand.
    pub(crate) fn answer_all<T: Serialize>(self, call: &Call, name: &str, all: Vec<T>) -> Response {
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let found = all.into_iter().skip(skip).take(self.look_up().into()).collect();
        self.answer(call, name, found)
    }
}

/// The same request from another entry on, relative like every link of the API.
fn next_link(call: &Call, (from, value): (&str, &str)) -> String {
    let mut link = format!("{}?{from}={}", call.path, encode(value));
    for (name, value) in &call.query.0 {
        if !name.eq_ignore_ascii_case(from) && !name.eq_ignore_ascii_case("skip") {
            // Writing to a String cannot fail.
            let _ = write!(link, "&{}={}", encode(name), encode(value));
        }
    }
    link
}
