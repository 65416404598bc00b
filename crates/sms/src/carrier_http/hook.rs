//! What a carrier tells by webhook.

use super::Carrier;
use super::describe::{HookDescription, InvalidDescription, Kind, ReportFields, TextFields};
use super::fields;
use super::send::cut;
use super::signature::Check;
use crate::party::Masked;
use crate::receipt::{CarrierId, Receipt};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// A webhook's request as it came.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// The URL as the carrier knows it, for signatures cover it.
    pub url: &'a str,
    /// The headers that can be read as text.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
    /// Now, in seconds since 1970.
    pub now_unix: i64,
}

impl Received<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What a webhook tells. `Debug` hides texts and most of the numbers.
#[derive(Clone, PartialEq, Eq)]
pub enum HookEvent {
    /// What became of a message.
    Report {
        /// The receipt, as one of SMPP would say it.
        receipt: Receipt,
        /// Whatever sent; empty if the carrier does not say.
        from: String,
        /// The recipient; empty if the carrier does not say.
        to: String,
    },
    /// A text that came in.
    Text {
        /// The carrier's id of it.
        id: String,
        /// The handset.
        from: String,
        /// Our number.
        to: String,
        /// What it says.
        text: String,
    },
}

impl fmt::Debug for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report { receipt, from, to } => {
                write!(f, "Report({receipt:?}, {:?} to {:?})", Masked(from), Masked(to))
            }
            Self::Text { id, from, to, .. } => {
                write!(f, "Text({id:?}, {:?} to {:?})", Masked(from), Masked(to))
            }
        }
    }
}

/// Why a webhook is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// There is no such webhook.
    #[error("there is no such webhook")]
    Unknown,
    /// It has no signature.
    #[error("the webhook is not signed")]
    Unsigned,
    /// Its signature is wrong.
    #[error("the signature of the webhook is wrong")]
    Forged,
    /// Its time is more than five minutes off.
    #[error("the time of the webhook is more than five minutes off")]
    Stale,
    /// It is not JSON or a form, or lacks a field that every event of its kind has.
    #[error("the webhook cannot be read")]
    Unreadable,
    /// It tells of too much at once.
    #[error("the webhook tells of too much at once")]
    TooMany,
}

/// Most events of one webhook: carriers send one, and some a few.
const EVENTS_MAX: usize = 100;

/// Longest text: 255 segments of 153 characters.
const TEXT_CHARS_MAX: usize = 39_015;

/// Longest id and address.
const WORD_MAX: usize = 128;

#[derive(Clone)]
pub(super) struct Hook {
    form: bool,
    items: Option<String>,
    kind: Option<Kind>,
    check: Check,
    report: Option<ReportFields>,
    text: Option<TextFields>,
}

impl Hook {
    pub(super) fn new(
        description: &HookDescription,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidDescription> {
        let HookDescription { path, form, items, kind, signature, report, text } = description;
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if path.is_empty() || !path.bytes().all(is_plain) {
            return Err(InvalidDescription::Path(path.clone()));
        }
        let readable = match (report, text) {
            (None, None) => false,
            (Some(_), Some(_)) => kind.is_some(),
            (Some(_), None) | (None, Some(_)) => true,
        };
        if !readable {
            return Err(InvalidDescription::Kind(path.clone()));
        }
        let check = Check::new(signature, variables)?;
        if check.needs_form() && !form {
            return Err(InvalidDescription::NeedsForm(path.clone()));
        }
        Ok(Self {
            form: *form,
            items: items.clone(),
            kind: kind.clone(),
            check,
            report: report.clone(),
            text: text.clone(),
        })
    }
}

impl Carrier {
    /// Reads what came by a webhook. Events of other kinds are left out, and so are states that mean nothing to us.
    ///
    /// # Errors
    /// [`HookError`]. What is not signed by the carrier is not read.
    pub fn receive(&self, hook: &str, received: &Received<'_>) -> Result<Vec<HookEvent>, HookError> {
        let hook = self.hooks.get(hook).ok_or(HookError::Unknown)?;
        hook.check.verify(received)?;
        let body = fields::read(received.body, hook.form).ok_or(HookError::Unreadable)?;
        let items: Vec<&Value> = match &hook.items {
            None => vec![&body],
            Some(path) => {
                let items = fields::at(&body, path).and_then(Value::as_array);
                items.ok_or(HookError::Unreadable)?.iter().collect()
            }
        };
        if items.len() > EVENTS_MAX {
            return Err(HookError::TooMany);
        }
        items.into_iter().filter_map(|item| hook.event(item).transpose()).collect()
    }
}

impl Hook {
    fn event(&self, item: &Value) -> Result<Option<HookEvent>, HookError> {
        let (is_report, is_text) = match &self.kind {
            None => (self.report.is_some(), self.text.is_some()),
            Some(kind) => {
                let word = fields::text(item, &kind.field).unwrap_or_default();
                (kind.reports.contains(&word), kind.texts.contains(&word))
            }
        };
        match (&self.report, &self.text) {
            (Some(report), _) if is_report => read_report(report, item),
            (_, Some(text)) if is_text => read_text(text, item).map(Some),
            _ => Ok(None),
        }
    }
}

fn read_report(at: &ReportFields, item: &Value) -> Result<Option<HookEvent>, HookError> {
    let word = |path: &String| fields::text(item, path).map(|text| cut(&text, WORD_MAX));
    let id = word(&at.id).ok_or(HookError::Unreadable)?;
    let id = CarrierId::parse(&id).ok_or(HookError::Unreadable)?;
    let state = word(&at.state).ok_or(HookError::Unreadable)?;
    let Some(state) = at.states.get(&state) else { return Ok(None) };
    let other = |path: &Option<String>| path.as_ref().and_then(word);
    let receipt = Receipt { id, state: (*state).into(), error: other(&at.error), done_unix: None };
    let (from, to) = (other(&at.from).unwrap_or_default(), other(&at.to).unwrap_or_default());
    Ok(Some(HookEvent::Report { receipt, from, to }))
}

fn read_text(at: &TextFields, item: &Value) -> Result<HookEvent, HookError> {
    let word = |path: &String| fields::text(item, path).map(|text| cut(&text, WORD_MAX));
    let [id, from, to] = [&at.id, &at.from, &at.to].map(word);
    // A text may be empty; its numbers may not.
    let text = fields::text(item, &at.text).unwrap_or_default().chars().take(TEXT_CHARS_MAX).collect();
    let missing = HookError::Unreadable;
    Ok(HookEvent::Text { id: id.ok_or(missing)?, from: from.ok_or(missing)?, to: to.ok_or(missing)?, text })
}
