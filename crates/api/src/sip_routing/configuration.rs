//! The document, as it is stored and answered. Fields of the preview version are left out where they were
//! never set, so that a client of the released version reads back what it wrote.
//!
//! Of those, `enabled` has an effect on calls. The others are kept and answered, and nothing else: whom a call shows
//! as its caller is the operator's to decide, for a number that a customer writes here may not be his.

use super::pattern;
use std::collections::BTreeMap;
use trunkline_model::E164;

/// The SIP routing configuration of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SipConfiguration {
    /// Domains of the resource's own (preview).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub domains: BTreeMap<String, SipDomain>,
    /// Trunks by their FQDN.
    #[serde(default)]
    pub trunks: BTreeMap<String, SipTrunk>,
    /// Routes, in the order in which they are tried.
    #[serde(default)]
    pub routes: Vec<SipRoute>,
}

/// A domain (preview).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SipDomain {
    /// Whether it is used.
    pub enabled: bool,
}

/// A trunk: a session border controller of the customer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SipTrunk {
    /// Where it takes SIP.
    pub sip_signaling_port: u16,
    /// Whether calls are sent to it; they are unless this says no (preview).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether the signalling path is left after a transfer (preview).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_out_of_signaling: Option<bool>,
    /// What the Privacy header says (preview).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_header: Option<PrivacyHeader>,
    /// Which addresses of it are used (preview).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address_version: Option<IpVersion>,
}

/// What the Privacy header says (RFC 3323).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PrivacyHeader {
    /// `id`: the asserted identity stays within the trust domain (RFC 3325 §9.3).
    #[serde(rename = "ID")]
    Id,
    /// No privacy is asked for.
    None,
}

/// Which addresses are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum IpVersion {
    /// Version 4.
    #[serde(rename = "IPv4")]
    V4,
    /// Version 6.
    #[serde(rename = "IPv6")]
    V6,
}

/// A route: calls to numbers of a pattern go to its trunks, in order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SipRoute {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its name, unique in the list.
    pub name: String,
    /// A regular expression that the E.164 number must match somewhere.
    pub number_pattern: String,
    /// FQDNs of trunks, in the order in which they are tried.
    #[serde(default)]
    pub trunks: Vec<String>,
    /// The caller that is shown instead (preview).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id_override: Option<String>,
}

impl SipRoute {
    /// Says whether calls to a number take this route.
    ///
    /// For one question. Whoever asks for every call keeps what [`pattern::compile`] made.
    pub fn matches(&self, number: E164) -> bool {
        pattern::compile(&self.number_pattern).is_ok_and(|pattern| pattern.is_match(&number.to_string()))
    }
}
