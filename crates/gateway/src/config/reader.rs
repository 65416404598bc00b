//! Reads a TOML document key by key and collects every problem, each with its place in the file.
//!
//! A derived deserializer stops at the first error. An operator who fixes a file wants all of them at once,
//! so each key is asked for by name here; what nobody asked for is an unknown key.

use ipnet::IpNet;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use trunkline_model::{Codec, E164, Host, Prefer, Transport, TrunkId, UserAddress};

/// Something in a configuration file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The key, as in `trunk[1].gateway[0].port`; empty for the file as a whole.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Problems found so far, and the keys that were asked for.
pub(super) struct Findings<'s> {
    text: &'s str,
    problems: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<String>>,
}

impl<'s> Findings<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        Self { text, problems: RefCell::default(), known: RefCell::default() }
    }

    pub(super) fn add(&self, span: Range<usize>, key: String, message: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.problems.borrow_mut().push(Problem { line, column, key, message: message.into() });
    }

    /// Returns the problems in the order of the file, and every key that was asked for.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        (problems, self.known.into_inner())
    }
}

/// One table of the document. Keys that are left when it is [closed](Self::close) are unknown ones.
pub(super) struct Section<'a, 'i> {
    findings: &'a Findings<'i>,
    table: Option<&'a DeTable<'i>>,
    span: Range<usize>,
    path: String,
    schema: String,
    taken: BTreeSet<&'static str>,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(super) fn root(findings: &'a Findings<'i>, table: &'a Spanned<DeTable<'i>>) -> Self {
        Self {
            findings,
            table: Some(table.get_ref()),
            span: 0..0,
            path: String::new(),
            schema: String::new(),
            taken: BTreeSet::new(),
        }
    }

    /// Reads a value; none when the key is absent or, after a problem was noted, unusable.
    pub(super) fn value<T: Value>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        match T::read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(message) => {
                self.findings.add(value.span(), self.path_of(key), message);
                None
            }
        }
    }

    /// Reads a value that has to be there.
    pub(super) fn required<T: Value>(&mut self, key: &'static str) -> Option<T> {
        if self.table.is_none_or(|table| !table.contains_key(key)) {
            self.taken.insert(key);
            self.note_known(key);
            self.findings.add(self.span.clone(), self.path_of(key), "is missing");
            return None;
        }
        self.value(key)
    }

    /// Reads an array; items that are unusable are noted and left out.
    pub(super) fn list<T: Value>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("expected an array, found {}", value.get_ref().type_str());
            self.findings.add(value.span(), self.path_of(key), message);
            return None;
        };
        let mut items = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            match T::read(item.get_ref()) {
                Ok(read) => items.push(read),
                Err(message) => {
                    self.findings.add(item.span(), format!("{}[{index}]", self.path_of(key)), message);
                }
            }
        }
        Some(items)
    }

    /// Reads a table whose keys are the operator's own, each with a text.
    pub(super) fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let section = self.section(key);
        let entries = section.table.into_iter().flatten().filter_map(|(name, value)| {
            let name = name.get_ref().to_string();
            match String::read(value.get_ref()) {
                Ok(text) => Some((name, text)),
                Err(message) => {
                    section.findings.add(
                        value.span(),
                        section.path_of(&name.escape_debug().to_string()),
                        message,
                    );
                    None
                }
            }
        });
        entries.collect()
    }

    /// Opens a table below this one; an absent one reads as empty.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a, 'i> {
        let value = self.take(key);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            let message = format!("expected a table, found {}", value.get_ref().type_str());
            self.findings.add(value.span(), self.path_of(key), message);
        }
        let span = value.map_or_else(|| self.span.clone(), Spanned::span);
        self.below(table, span, self.path_of(key), key)
    }

    /// Whether the document holds the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether the key holds a usable value; notes nothing.
    pub(super) fn is_usable<T: Value>(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| T::read(value.get_ref()).is_ok())
    }

    /// Opens each table of an array of tables.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'a, 'i>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("expected an array of tables, written [[{}]]", self.schema_of(key));
            self.findings.add(value.span(), self.path_of(key), message);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for (index, item) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            if let Some(table) = item.get_ref().as_table() {
                sections.push(self.below(Some(table), item.span(), path, key));
            } else {
                let message = format!("expected a table, found {}", item.get_ref().type_str());
                self.findings.add(item.span(), path, message);
            }
        }
        sections
    }

    /// Notes a problem with the value of a key, at its place.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        let span =
            self.table.and_then(|table| table.get(key)).map_or_else(|| self.span.clone(), Spanned::span);
        self.findings.add(span, self.path_of(key), message);
    }

    /// Ends reading: what was not asked for is unknown.
    pub(super) fn close(self) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !self.taken.contains(name) {
                let known: Vec<&str> = self.taken.iter().copied().collect();
                let message = format!("unknown key; known here: {}", known.join(", "));
                self.findings.add(key.span(), self.path_of(&name.escape_debug().to_string()), message);
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.taken.insert(key);
        self.note_known(key);
        self.table?.get(key)
    }

    fn below(
        &self,
        table: Option<&'a DeTable<'i>>,
        span: Range<usize>,
        path: String,
        key: &'static str,
    ) -> Section<'a, 'i> {
        let (findings, schema) = (self.findings, self.schema_of(key));
        Section { findings, table, span, path, schema, taken: BTreeSet::new() }
    }

    fn note_known(&self, key: &str) {
        self.findings.known.borrow_mut().insert(self.schema_of(key));
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn schema_of(&self, key: &str) -> String {
        join(&self.schema, key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A value as it stands in a configuration file.
pub(super) trait Value: Sized {
    /// Returns the value, or what was expected instead.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
}

fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("expected {expected} in quotes, found {}", value.type_str()))
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("expected true or false, found {}", value.type_str()))
    }
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value, "text")?;
        if text.chars().any(char::is_control) {
            return Err("control characters are not allowed".to_owned());
        }
        Ok(text.to_owned())
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let number = value
                    .as_integer()
                    .ok_or_else(|| format!("expected a whole number, found {}", value.type_str()))?;
                <$kind>::from_str_radix(number.as_str(), number.radix())
                    .map_err(|_| format!("{number} is not within 0 to {}", <$kind>::MAX))
            }
        }
    )*};
}
integers!(u8, u16, u32);

macro_rules! parsed {
    ($($kind:ty, $expected:literal);*) => {$(
        impl Value for $kind {
            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let text = text(value, $expected)?;
                text.parse().map_err(|_| format!("{text:?} is not {}", $expected))
            }
        }
    )*};
}
parsed!(
    IpAddr, "an IP address";
    SocketAddr, "an address with port, such as 0.0.0.0:5060 or [::]:5060"
);

impl Value for TrunkId {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        Self::parse(text(value, "the name of a trunk")?).map_err(|error| error.to_string())
    }
}

impl Value for IpNet {
    /// Accepts `192.0.2.0/24` and a single address; refuses bits behind the prefix, which hide typing errors.
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value, "a network such as 192.0.2.0/24")?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from(address));
        }
        let net =
            text.parse::<Self>().map_err(|_| format!("{text:?} is not a network such as 192.0.2.0/24"))?;
        if net.trunc() != net {
            return Err(format!("{text} has bits set behind its prefix; did you mean {}?", net.trunc()));
        }
        Ok(net)
    }
}

impl Value for UserAddress {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value, "a user such as \"8:acs:RESOURCE_USER\"")?;
        text.parse().map_err(|error| format!("{text:?}: {error}"))
    }
}

impl Value for E164 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value, "a number such as \"+14255550100\"")?;
        Self::parse(text).map_err(|error| format!("{text:?}: {error}"))
    }
}

impl Value for Codec {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value, "PCMU, PCMA or OPUS")? {
            "PCMU" => Ok(Self::Pcmu),
            "PCMA" => Ok(Self::Pcma),
            "OPUS" => Ok(Self::Opus),
            other => Err(format!("{other:?} is not a codec we speak: PCMU, PCMA or OPUS")),
        }
    }
}

impl Value for Prefer {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value, "quality or passthrough")? {
            "quality" => Ok(Self::Quality),
            "passthrough" => Ok(Self::Passthrough),
            other => Err(format!("{other:?} is neither quality nor passthrough")),
        }
    }
}

impl Value for Transport {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value, "udp or tcp")? {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            other => Err(format!("{other:?} is not a transport we speak: udp or tcp")),
        }
    }
}

impl Value for Host {
    /// Accepts an address, `[v6]` or bare, or a DNS name (RFC 1123 §2.1).
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value, "an address or a DNS name")?;
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        // A name made of digits and dots only is an address that was mistyped.
        let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(format!("{text:?} is neither an IP address nor a DNS name"));
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}
