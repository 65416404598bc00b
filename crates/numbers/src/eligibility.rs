//! Who may provision which number under which billing address.
//!
//! A [`RuleBook`] holds tables of offers and names the active one. [`RuleBook::decide`] walks a fixed order of
//! steps; the first that fails gives the one stable error code. The check runs twice, at search and again
//! inside the purchase (PROV-20), each time against the billing record and the table then in force. The
//! billing country comes from that record only, never from anything in a request (PROV-22).

mod decide;
mod table;

pub use decide::{Decision, Denial, Granted, Step, Verdict};
pub use table::{
    EmergencyAddress, Hold, Limits, Offer, Release, Reservation, RuleBook, RuleBookError, Table,
};

use trunkline_model::{AssignmentType, Capability, NumberType, SubscriptionClass};

/// What a resource's billing record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whether the resource may act at all.
    pub active: bool,
    /// The country of the billing address, as recorded.
    pub billing_country: Option<String>,
    /// Whether that address was verified.
    pub billing_verified: bool,
    /// What is paid.
    pub class: SubscriptionClass,
    /// Where the resource keeps its data, ISO 3166-1 alpha-2.
    pub data_location: String,
    /// Whether an emergency address is on file.
    pub emergency_address: bool,
}

/// What somebody wants to provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Country of the number, ISO 3166-1 alpha-2.
    pub number_country: String,
    /// Kind of number.
    pub number_type: NumberType,
    /// Whom it is for.
    pub assignment: AssignmentType,
    /// Calling asked for.
    pub calling: Capability,
    /// Text messages asked for.
    pub sms: Capability,
    /// Area code asked for, if any.
    pub area_code: Option<u16>,
}
