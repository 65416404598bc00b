//! Parameters after a semicolon.

use super::list::find_outside;
use crate::scan::{find, split_once};

/// `;name=value` parameters of a header field or a URI, in order.
///
/// Names compare without case (RFC 3261 §7.3.1). Values are given as they stand, quotes included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Params<'a> {
    text: &'a str,
}

impl<'a> Params<'a> {
    /// Takes text that is empty or starts at, or just after, a semicolon.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Returns the parameters as they stand.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Returns each name with its value, if it has one.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let mut rest = Some(self.text);
        std::iter::from_fn(move || {
            loop {
                let text = rest.take()?;
                let param = match end_of_param(text.as_bytes()) {
                    Some(at) => {
                        rest = text.get(at + 1..);
                        text.get(..at)?
                    }
                    None => text,
                };
                let param = param.trim_ascii();
                if param.is_empty() {
                    continue;
                }
                return Some(match split_once(param, b'=') {
                    Some((name, value)) => (name.trim_ascii_end(), Some(value.trim_ascii_start())),
                    None => (param, None),
                });
            }
        })
    }

    /// Returns the value of a parameter; of a parameter without a value, the empty text.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    }

    /// Returns true if the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// Returns where a parameter ends, if another one follows.
fn end_of_param(text: &[u8]) -> Option<usize> {
    // A semicolon before any quote or bracket is outside all of them.
    let first = memchr::memchr3(b';', b'"', b'<', text)?;
    if text.get(first) == Some(&b';') { Some(first) } else { find_outside(text, b';') }
}

/// Splits text in front of its first semicolon.
pub(crate) fn split_params(text: &str) -> (&str, &str) {
    let at = find(text.as_bytes(), b';').unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}
