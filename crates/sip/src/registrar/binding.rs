//! One contact of one user.

use std::fmt::Write as _;
use std::time::Instant;

use super::request::{Ask, Wish};
use crate::transport::Flow;
use crate::uri::Uri;

/// What a contact was registered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// When it ends, and with it every registration.
    pub until: Instant,
    /// When it was issued, in seconds of the Unix epoch.
    pub issued: i64,
}

/// Where a user can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The Request-URI of requests to it.
    pub uri: Box<str>,
    /// The path that its REGISTER came on, by which requests go back to it (RFC 5626 §5.3).
    pub flow: Flow,
    /// The device, as `+sip.instance` names it.
    pub instance: Option<Box<str>>,
    /// Which of the device's flows (RFC 5626 §4.2).
    pub reg_id: Option<u32>,
    /// The `q` parameter in thousandths.
    pub weight: u16,
    /// When it ends unless it is registered again.
    pub until: Instant,
    /// What it was registered with.
    pub grant: Grant,
    /// Orders contacts by when they were registered last.
    pub(super) serial: u64,
    pub(super) call_id: Box<str>,
    pub(super) sequence: u32,
}

impl Binding {
    pub(super) fn new(wish: &Wish, ask: &Ask, flow: Flow, grant: Grant, until: Instant) -> Self {
        Self {
            uri: wish.uri.clone(),
            flow,
            instance: wish.instance.clone(),
            reg_id: wish.reg_id,
            weight: wish.weight,
            until,
            grant,
            serial: 0,
            call_id: ask.call_id.clone(),
            sequence: ask.sequence,
        }
    }

    /// Whether a registration is about this contact: the same flow of the same device, or the same address
    /// (RFC 5626 §6, RFC 3261 §10.3 item 7).
    pub(super) fn is_same(&self, wish: &Wish) -> bool {
        match (&self.instance, self.reg_id, &wish.instance, wish.reg_id) {
            (Some(ours), Some(id), Some(theirs), Some(their_id)) => ours == theirs && id == their_id,
            _ => match (Uri::parse(&self.uri), Uri::parse(&wish.uri)) {
                (Ok(ours), Ok(theirs)) => ours.is_equivalent(&theirs),
                _ => false,
            },
        }
    }

    /// Returns the Contact that tells a client of it.
    pub(super) fn value(&self, now: Instant) -> String {
        let left = self.until.saturating_duration_since(now);
        // Rounded up: a client takes 0 for a contact that is gone.
        let secs = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let mut text = format!("<{}>;expires={secs}", self.uri);
        // Writing into a String does not fail.
        if self.weight != WEIGHT_MAX {
            let _ = write!(text, ";q=0.{:03}", self.weight);
        }
        if let Some(instance) = &self.instance {
            let _ = write!(text, ";+sip.instance=\"{instance}\"");
        }
        if let Some(reg_id) = self.reg_id {
            let _ = write!(text, ";reg-id={reg_id}");
        }
        text
    }
}

/// `q=1`, in thousandths.
pub(super) const WEIGHT_MAX: u16 = 1000;
