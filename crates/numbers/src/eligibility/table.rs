//! The tables of offers, as an operator writes them in TOML.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use trunkline_model::{AssignmentType, Capability, NumberType, SubscriptionClass};

/// All rule tables, one of them active.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleBook {
    schema: u32,
    active: String,
    tables: BTreeMap<String, Table>,
}

/// One table: what it does not grant is denied.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Recorded with each decision.
    pub version: String,
    /// Whether only paid subscriptions may provision (PROV-01).
    pub require_paid: bool,
    /// Data locations that may provision; empty for any.
    #[serde(default)]
    pub resource_data_locations: BTreeSet<String>,
    /// Billing countries that count as another.
    #[serde(default)]
    pub billing_aliases: BTreeMap<String, String>,
    /// Quotas of a resource.
    #[serde(default)]
    pub limits: Limits,
    /// How long a reservation lives.
    #[serde(default)]
    pub reservation: Reservation,
    /// What happens to a number that is given back.
    #[serde(default)]
    pub release: Release,
    /// What may be provisioned.
    #[serde(rename = "offer")]
    pub offers: Vec<Offer>,
    /// Numbers are given back after so many days (PROV-04).
    pub term_days: Option<u32>,
    /// Most numbers that a resource may own (PROV-04).
    pub numbers_max: Option<u32>,
    /// Trial numbers may receive that many minutes. Not enforced; see [`Table::not_enforced`].
    pub minutes_inbound: Option<u32>,
    /// Trial numbers may call for that many minutes. Not enforced.
    pub minutes_outbound: Option<u32>,
    /// Longest call of a trial number, in seconds. Not enforced.
    pub max_call_s: Option<u32>,
    /// How many verified destinations a trial number may have. Not enforced.
    pub verified_destinations: Option<u32>,
    /// What a trial number may not dial. Not enforced.
    #[serde(default)]
    pub blocked_destinations: BTreeSet<String>,
}

/// One kind of number that some customers may provision.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Recorded with each decision.
    pub id: String,
    /// Countries of the billing address.
    pub billing_countries: BTreeSet<String>,
    /// Country of the number.
    pub number_country: String,
    /// Kind of number.
    pub number_type: NumberType,
    /// Whom it may be for.
    pub assignment_types: BTreeSet<AssignmentType>,
    /// Calling that may be asked for.
    pub calling: BTreeSet<Capability>,
    /// Messages that may be asked for.
    pub sms: BTreeSet<Capability>,
    /// Billing countries that may have messages; all of the offer's when none are named.
    pub sms_billing_countries: Option<BTreeSet<String>>,
    /// What must be done before messages are sent: a gate on sending, not on buying.
    pub sms_traffic_gate: Option<String>,
    /// How the customer must pay.
    pub subscription_classes: BTreeSet<SubscriptionClass>,
    /// Whether an emergency address must be on file (PROV-14).
    #[serde(default)]
    pub emergency_address: EmergencyAddress,
    /// Price of a month, in minor units.
    pub monthly_cost_minor: i64,
    /// ISO 4217 code of the price.
    pub currency: String,
    /// Public preview, general availability.
    pub stage: Option<String>,
}

/// When an emergency address must be on file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmergencyAddress {
    /// Never.
    #[default]
    Never,
    /// For numbers of persons.
    RequiredForPerson,
    /// For every number.
    Always,
}

/// Quotas (PROV-05, PROV-06).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Purchases under way at once.
    pub purchase_requests_per_tenant: u32,
    /// Searches in seven days. 100,000 and more stand for no limit: counting them all costs more than it is worth.
    pub searches_per_tenant_per_week: u32,
    /// Numbers in one search.
    pub max_quantity_per_search: u32,
    /// Numbers that searches and reservations may hold at once. 100,000 and more stand for no limit, as above.
    pub numbers_held_per_tenant: u32,
    /// Calls at once from one number. Not enforced; see [`Table::not_enforced`].
    pub concurrent_outbound_calls_per_number: Option<u32>,
}

/// Life of a reservation (PROV-11).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reservation {
    /// Seconds from its last change.
    pub ttl_s: u32,
    /// Seconds from its creation.
    pub max_life_s: u32,
}

/// What happens to a number that is given back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// How long it rests before its quarantine.
    pub hold: Hold,
    /// Days before it may be sold again.
    pub quarantine_days: u32,
}

/// How long a number that is given back rests before its quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Until the month ends that was paid for.
    EndOfBillingCycle,
    /// Not at all.
    None,
}

/// Why a rule book was refused. It is refused whole, and the old one stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleBookError {
    /// Not TOML, or not of this shape.
    #[error("the rule tables cannot be read: {0}")]
    Syntax(String),
    /// Written for another version of this format.
    #[error("the rule tables have schema {0}; this program reads schema 1")]
    Schema(u32),
    /// The active table does not exist.
    #[error("there is no table {0:?} to be active")]
    NoSuchTable(String),
    /// Something in a table makes no sense.
    #[error("table {table:?}: {problem}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Something in an offer makes no sense.
    #[error("table {table:?}, offer {offer:?}: {problem}")]
    Offer {
        /// The table.
        table: String,
        /// The offer's id.
        offer: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl RuleBook {
    /// Reads a rule book.
    ///
    /// # Errors
    /// The first problem found; see [`RuleBookError`].
    pub fn parse(text: &str) -> Result<Self, RuleBookError> {
        let book: Self = toml::from_str(text).map_err(|error| RuleBookError::Syntax(error.to_string()))?;
        if book.schema != 1 {
            return Err(RuleBookError::Schema(book.schema));
        }
        if !book.tables.contains_key(&book.active) {
            return Err(RuleBookError::NoSuchTable(book.active));
        }
        for (id, table) in &book.tables {
            table.check(id)?;
        }
        Ok(book)
    }

    /// Returns the same book with another table active.
    ///
    /// # Errors
    /// [`RuleBookError::NoSuchTable`].
    pub fn with_active(mut self, table: &str) -> Result<Self, RuleBookError> {
        if !self.tables.contains_key(table) {
            return Err(RuleBookError::NoSuchTable(table.to_owned()));
        }
        table.clone_into(&mut self.active);
        Ok(self)
    }

    /// Returns the name of the active table and the table.
    pub fn active(&self) -> (&str, &Table) {
        let table = self.tables.get(&self.active).expect("checked when the book was read");
        (&self.active, table)
    }
}

impl Default for RuleBook {
    /// The built-in tables: billing in the US or Canada may provision US numbers.
    fn default() -> Self {
        Self::parse(include_str!("../../data/rules.toml")).expect("the built-in tables are tested")
    }
}

impl Table {
    /// Returns the names of the settings that this table makes and that nothing in this program enforces: whoever
    /// loads the table, or asks why it decided, is to be told.
    pub fn not_enforced(&self) -> Vec<&'static str> {
        let trial = [
            ("minutes_inbound", self.minutes_inbound.is_some()),
            ("minutes_outbound", self.minutes_outbound.is_some()),
            ("max_call_s", self.max_call_s.is_some()),
            ("verified_destinations", self.verified_destinations.is_some()),
            ("blocked_destinations", !self.blocked_destinations.is_empty()),
        ];
        let calls = self.limits.concurrent_outbound_calls_per_number;
        let limit = ("concurrent_outbound_calls_per_number", calls.is_some());
        trial.into_iter().chain([limit]).filter(|(_, set)| *set).map(|(name, _)| name).collect()
    }

    fn problem(&self) -> Option<&'static str> {
        let Reservation { ttl_s, max_life_s } = self.reservation;
        if ttl_s == 0 || max_life_s < ttl_s || max_life_s > SECONDS_MAX {
            return Some(
                "a reservation must live at least a second, at most a day, and ttl_s within max_life_s",
            );
        }
        if self.release.quarantine_days > DAYS_MAX || self.term_days.is_some_and(|days| days > DAYS_MAX) {
            return Some("a number rests, or is owned, for more than ten years");
        }
        if self.term_days == Some(0) {
            return Some("a number is owned for no day");
        }
        if !self.billing_aliases.iter().all(|(alias, of)| is_country(alias) && is_country(of)) {
            return Some("a country of billing_aliases is not two capital letters");
        }
        if !self.resource_data_locations.iter().all(|location| is_country(location)) {
            return Some("a country of resource_data_locations is not two capital letters");
        }
        None
    }

    fn check(&self, table: &str) -> Result<(), RuleBookError> {
        if let Some(problem) = self.problem() {
            return Err(RuleBookError::Table { table: table.to_owned(), problem });
        }
        let mut ids = BTreeSet::new();
        for offer in &self.offers {
            let problem = if !ids.insert(&offer.id) {
                "another offer has the same id"
            } else {
                match offer.problem() {
                    Some(problem) => problem,
                    None => continue,
                }
            };
            return Err(RuleBookError::Offer { table: table.to_owned(), offer: offer.id.clone(), problem });
        }
        Ok(())
    }
}

impl Offer {
    fn problem(&self) -> Option<&'static str> {
        let mut countries = self.billing_countries.iter().chain(self.sms_billing_countries.iter().flatten());
        if !countries.all(|code| is_country(code)) || !is_country(&self.number_country) {
            return Some("a country is not two capital letters");
        }
        if self.billing_countries.is_empty() {
            return Some("it names no billing country, so it grants nothing");
        }
        if self.monthly_cost_minor < 0 {
            return Some("the price is negative");
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Some("the currency is not three capital letters");
        }
        if self.number_type == NumberType::TollFree && self.assignment_types.contains(&AssignmentType::Person)
        {
            return Some("toll-free numbers are for applications only (PROV-09)");
        }
        None
    }
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A hold of more than a day is a purchase without a charge.
const SECONDS_MAX: u32 = 86_400;

/// Ten years: longer is a slip of the pen.
const DAYS_MAX: u32 = 3_650;

impl Default for Limits {
    fn default() -> Self {
        Self {
            purchase_requests_per_tenant: 1,
            searches_per_tenant_per_week: 5,
            max_quantity_per_search: 10,
            numbers_held_per_tenant: 2_000,
            concurrent_outbound_calls_per_number: None,
        }
    }
}

impl Default for Reservation {
    fn default() -> Self {
        Self { ttl_s: 900, max_life_s: 7200 }
    }
}

impl Default for Release {
    fn default() -> Self {
        Self { hold: Hold::EndOfBillingCycle, quarantine_days: 45 }
    }
}
