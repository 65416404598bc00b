//! Carriers over HTTP: a carrier is described in a file, and spoken to in plain request and response values.
//!
//! A [`Description`] says how a text is handed over (method, URL, headers, a JSON or form body of templates), where in
//! the answer the carrier's id is, and how the webhooks look by which it tells of deliveries and of texts that come in.
//! Together with an operator's [variables](Carrier::new), such as an account and its key, it is a [`Carrier`]:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//! use trunkline_model::E164;
//! use trunkline_sms::carrier_http::{Carrier, Description, Outgoing, Sent};
//! use trunkline_sms::party::Sender;
//!
//! let description: Description = serde_json::from_str(
//!     r#"{ "send": {
//!         "url": "https://carrier.example/{account}/messages",
//!         "headers": { "Authorization": "Bearer {key}" },
//!         "json": { "from": "{from}", "to": ["{to}"], "text": "{text}" },
//!         "id": "data.id"
//!     } }"#,
//! )?;
//! let variables = BTreeMap::from([("account".into(), "7".into()), ("key".into(), "secret".into())]);
//! let carrier = Carrier::new(&description, &variables)?;
//!
//! let request = carrier.request(&Outgoing {
//!     id: "Outgoing_1",
//!     from: &Sender::parse("+14255550100")?,
//!     to: &E164::parse("+12065550111")?,
//!     text: "Hello!",
//!     receipts: true,
//!     validity_left: Duration::from_secs(86_400),
//! });
//! assert_eq!(request.url, "https://carrier.example/7/messages");
//! assert_eq!(request.body, br#"{"from":"+14255550100","text":"Hello!","to":["+12065550111"]}"#);
//! assert_eq!(carrier.response(200, None, br#"{"data":{"id":"1A"}}"#), Sent::Accepted { id: Some("1A".into()) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What comes by webhook is read with [`Carrier::receive`], once its [`Signature`] is found right.

mod describe;
mod fields;
mod hook;
mod send;
mod signature;
mod template;

pub use describe::{
    Algorithm, Description, Encoding, HookDescription, InvalidDescription, Kind, ReportFields,
    SendDescription, Signature, StateName, TextFields,
};
pub use hook::{HookError, HookEvent, Received};
pub use send::{Outgoing, Request, Sent};

use hook::Hook;
use send::Send;
use std::collections::BTreeMap;

/// A carrier that is reached over HTTP. `Debug` hides its keys.
#[derive(Clone)]
pub struct Carrier {
    send: Send,
    hooks: BTreeMap<String, Hook>,
}

impl Carrier {
    /// Returns a carrier by its description, with what `{name}` stands for in it.
    ///
    /// # Errors
    /// [`InvalidDescription`]: a variable that is not given, a name that is none, a template that cannot be read.
    pub fn new(
        description: &Description,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidDescription> {
        let send = Send::new(&description.send, variables)?;
        let mut hooks = BTreeMap::new();
        for hook in &description.hook {
            if hooks.insert(hook.path.clone(), Hook::new(hook, variables)?).is_some() {
                return Err(InvalidDescription::Twice(hook.path.clone()));
            }
        }
        Ok(Self { send, hooks })
    }

    /// Returns the names of its webhooks: the last part of their paths.
    pub fn hooks(&self) -> impl Iterator<Item = &str> {
        self.hooks.keys().map(String::as_str)
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").field("hooks", &self.hooks.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
