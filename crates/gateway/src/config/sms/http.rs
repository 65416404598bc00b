//! `[sms.carrier.http]`: a carrier that is called over HTTP.

use super::super::reader::Section;
use super::super::{positive, seconds};
use super::statuses;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use trunkline_sms::carrier_http::{Carrier, Description, InvalidDescription};
use trunkline_sms::status::StatusTable;

/// A carrier over HTTP. `Debug` hides its variables.
#[derive(Clone, PartialEq)]
pub struct HttpCarrier {
    /// How it is spoken to.
    pub description: Description,
    /// What `{name}` stands for in the description.
    pub variables: BTreeMap<String, String>,
    /// Where its webhooks reach us, without the last part; none for the public host of `[http]`.
    pub hooks: Option<String>,
    /// The authority that its certificate may be signed by, beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Private networks that it may be in, where it may be spoken to without TLS.
    pub private_addresses: Vec<IpNet>,
    /// Most requests at the same time.
    pub requests_max: u32,
    /// How long an answer may take.
    pub response: Duration,
    /// What statuses mean on it.
    pub statuses: StatusTable,
}

impl fmt::Debug for HttpCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCarrier").field("hooks", &self.hooks).finish_non_exhaustive()
    }
}

impl HttpCarrier {
    /// Returns the carrier, whose webhooks reach us below this URL.
    ///
    /// # Errors
    /// See [`InvalidDescription`].
    pub(crate) fn carrier(&self, hooks: &str) -> Result<Carrier, InvalidDescription> {
        let mut variables = self.variables.clone();
        variables.insert("hooks".to_owned(), hooks.to_owned());
        Carrier::new(&self.description, &variables)
    }
}

/// The descriptions that are part of the binary.
const PRESETS: [(&str, &str); 4] = [
    ("bandwidth", include_str!("../../../../../config/carriers/bandwidth.toml")),
    ("sandbox", include_str!("../../../../../config/carriers/sandbox.toml")),
    ("telnyx", include_str!("../../../../../config/carriers/telnyx.toml")),
    ("twilio", include_str!("../../../../../config/carriers/twilio.toml")),
];

pub(super) fn http(mut section: Section<'_, '_>) -> Option<HttpCarrier> {
    let description = description(&mut section);
    let carrier = HttpCarrier {
        variables: section.texts("variables"),
        hooks: section.value::<String>("hooks").filter(|url| !url.is_empty()),
        ca_file: section.value::<String>("ca_file").filter(|path| !path.is_empty()).map(PathBuf::from),
        private_addresses: section.list("private_addresses").unwrap_or_default(),
        requests_max: positive(&mut section, "requests_max", 16),
        response: seconds(&mut section, "response_secs", 20),
        statuses: statuses(section.sections("status")),
        description: description?,
    };
    if carrier.requests_max > REQUESTS_MAX {
        section.problem("requests_max", format!("is at most {REQUESTS_MAX}"));
    }
    if carrier.hooks.as_ref().is_some_and(|url| !url.starts_with("https://") || url.ends_with('/')) {
        section.problem("hooks", "is a URL such as \"https://sms.example/carriers/twilio\"");
    }
    if let Err(error) = carrier.carrier("https://localhost") {
        section.problem("variables", format!("the description cannot be used: {error}"));
    }
    section.close();
    Some(carrier)
}

/// Reads the description: a preset's, or a file's.
fn description(section: &mut Section<'_, '_>) -> Option<Description> {
    let preset = section.value::<String>("preset");
    let file = section.value::<String>("description");
    let (key, text) = match (&preset, &file) {
        (Some(name), None) => {
            let Some((_, text)) = PRESETS.iter().find(|(known, _)| known == name) else {
                let known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                section.problem("preset", format!("is {}", known.join(" or ")));
                return None;
            };
            ("preset", (*text).to_owned())
        }
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(text) => ("description", text),
            Err(error) => {
                section.problem("description", format!("{file} cannot be read: {error}"));
                return None;
            }
        },
        (Some(_), Some(_)) | (None, None) => {
            section.problem("preset", "one of preset and description says how the carrier is spoken to");
            return None;
        }
    };
    match toml::from_str(&text) {
        Ok(description) => Some(description),
        Err(error) => {
            section.problem(key, format!("the description cannot be read: {error}"));
            None
        }
    }
}

/// Connections of which each waits for one answer: more of them than this is no single carrier's.
const REQUESTS_MAX: u32 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_read() {
        for (name, text) in PRESETS {
            let read: Result<Description, _> = toml::from_str(text);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
}
