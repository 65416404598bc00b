//! The decision: a fixed order of steps, of which the first that fails gives the answer.

use super::{EmergencyAddress, Offer, Profile, Request, RuleBook};
use crate::nanp;
use std::fmt;
use trunkline_model::{AssignmentType, Capability, SubscriptionClass};

/// What was decided, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The table that decided.
    pub table: String,
    /// Its version.
    pub version: String,
    /// Each step that was taken, in order.
    pub path: Vec<Verdict>,
    /// Settings of the table that nothing enforces.
    pub not_enforced: Vec<&'static str>,
    /// The offer, or why not.
    pub outcome: Result<Granted, Denial>,
}

/// The offer under which a request was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The offer's id.
    pub offer: String,
    /// Price of a month, in minor units.
    pub monthly_cost_minor: i64,
    /// ISO 4217 code of the price.
    pub currency: String,
    /// What must be done before messages are sent.
    pub sms_traffic_gate: Option<String>,
}

/// One step and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The step.
    pub step: Step,
    /// Whether it let the request pass.
    pub passed: bool,
    /// What was looked at.
    pub detail: String,
}

/// The steps, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The resource is active.
    Resource,
    /// The billing country is known and verified.
    Billing,
    /// The subscription is of a class that may provision.
    Class,
    /// Numbers of the country are offered.
    NumberCountry,
    /// They are offered to that billing country.
    BillingCountry,
    /// The kind of number is offered.
    NumberType,
    /// The assignment is allowed.
    Assignment,
    /// Calling as asked is supported.
    Calling,
    /// Messages as asked are supported.
    Sms,
    /// The area code belongs to the country and kind.
    AreaCode,
    /// An emergency address is on file where one is needed.
    EmergencyAddress,
}

/// Why a request was denied: the stable codes of the API. Quota and stock are checked by the caller, after
/// every rule has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denial {
    /// The resource is suspended or deleted.
    ResourceInactive,
    /// No billing country on record. Unknown is never taken for the US.
    BillingAddressMissing,
    /// The billing address was not verified.
    BillingAddressUnverified,
    /// Trial, or free credit, where a paid subscription is needed.
    SubscriptionNotEligible,
    /// No offer for that country.
    NumberCountryNotOffered,
    /// Offers for that country, but not for this billing country.
    BillingCountryNotEligible,
    /// No offer of that kind.
    NumberTypeNotOffered,
    /// Not for persons, or not for applications.
    AssignmentTypeNotAllowed,
    /// Calling or messages as asked are not offered, or nothing was asked for.
    CapabilityNotSupported,
    /// The area code is not of that country and kind.
    AreaCodeInvalid,
    /// An emergency address must be on file first.
    EmergencyAddressRequired,
}

impl Step {
    /// Returns the rules that the step applies: its place in the procedure A.4, and those that it follows from.
    pub fn rules(self) -> &'static str {
        match self {
            Self::Resource => "A.4/2",
            Self::Billing => "A.4/3 PROV-22",
            Self::Class => "A.4/4 PROV-01",
            Self::NumberCountry => "A.4/5",
            Self::BillingCountry => "A.4/6",
            Self::NumberType => "A.4/7",
            Self::Assignment => "A.4/8 PROV-09",
            Self::Calling => "A.4/9 PROV-10",
            Self::Sms => "A.4/10 PROV-10",
            Self::AreaCode => "A.4/11 NUM-07",
            Self::EmergencyAddress => "A.4/12 PROV-14",
        }
    }
}

impl Denial {
    /// Returns the stable code of the error body.
    pub fn code(self) -> &'static str {
        match self {
            Self::ResourceInactive => "ResourceInactive",
            Self::BillingAddressMissing => "BillingAddressMissing",
            Self::BillingAddressUnverified => "BillingAddressUnverified",
            Self::SubscriptionNotEligible => "SubscriptionNotEligible",
            Self::NumberCountryNotOffered => "NumberCountryNotOffered",
            Self::BillingCountryNotEligible => "BillingCountryNotEligible",
            Self::NumberTypeNotOffered => "NumberTypeNotOffered",
            Self::AssignmentTypeNotAllowed => "AssignmentTypeNotAllowed",
            Self::CapabilityNotSupported => "CapabilityNotSupported",
            Self::AreaCodeInvalid => "AreaCodeInvalid",
            Self::EmergencyAddressRequired => "EmergencyAddressRequired",
        }
    }

    /// Returns the HTTP status that goes with the code.
    pub fn http_status(self) -> u16 {
        match self {
            Self::ResourceInactive
            | Self::BillingAddressMissing
            | Self::BillingAddressUnverified
            | Self::SubscriptionNotEligible
            | Self::BillingCountryNotEligible => 403,
            Self::NumberCountryNotOffered => 404,
            Self::NumberTypeNotOffered
            | Self::AssignmentTypeNotAllowed
            | Self::CapabilityNotSupported
            | Self::AreaCodeInvalid => 400,
            Self::EmergencyAddressRequired => 409,
        }
    }
}

impl RuleBook {
    /// Decides whether a resource with this billing record may provision what it asks for.
    pub fn decide(&self, profile: &Profile, request: &Request) -> Decision {
        let (id, table) = self.active();
        let mut walk = Walk { path: Vec::new(), offers: table.offers.iter().collect() };
        let outcome = walk.decide(self, profile, request);
        Decision {
            table: id.to_owned(),
            version: table.version.clone(),
            path: walk.path,
            not_enforced: table.not_enforced(),
            outcome,
        }
    }
}

/// A decision under way: the offers that are still possible.
struct Walk<'a> {
    path: Vec<Verdict>,
    offers: Vec<&'a Offer>,
}

impl Walk<'_> {
    fn decide(&mut self, book: &RuleBook, profile: &Profile, request: &Request) -> Result<Granted, Denial> {
        let (_, table) = book.active();
        self.step(Step::Resource, profile.active, "the resource is active".into(), Denial::ResourceInactive)?;

        let recorded = profile.billing_country.as_deref().and_then(country);
        let shown = format!("billing country {}", recorded.as_deref().unwrap_or("unknown"));
        let recorded = recorded.ok_or(Denial::BillingAddressMissing);
        self.step(Step::Billing, recorded.is_ok(), shown, Denial::BillingAddressMissing)?;
        let billing = recorded?;
        let verified = profile.billing_verified;
        self.step(
            Step::Billing,
            verified,
            "the address is verified".into(),
            Denial::BillingAddressUnverified,
        )?;
        let billing = table.billing_aliases.get(&billing).cloned().unwrap_or(billing);

        let class = profile.class;
        let locations = &table.resource_data_locations;
        let located = locations.is_empty() || locations.contains(&profile.data_location);
        let paid = !table.require_paid || class == SubscriptionClass::Paid;
        let shown = format!("class {class}, data in {}", profile.data_location);
        self.step(Step::Class, located && paid, shown.clone(), Denial::SubscriptionNotEligible)?;
        self.keep(Step::Class, shown, Denial::SubscriptionNotEligible, |offer| {
            offer.subscription_classes.contains(&class)
        })?;

        let wanted = request.number_country.as_str();
        self.keep(
            Step::NumberCountry,
            format!("numbers of {wanted}"),
            Denial::NumberCountryNotOffered,
            |offer| offer.number_country == wanted,
        )?;
        self.keep(
            Step::BillingCountry,
            format!("billing in {billing} for numbers of {wanted}"),
            Denial::BillingCountryNotEligible,
            |offer| offer.billing_countries.contains(&billing),
        )?;
        self.numbers(request, &billing)?;
        self.emergency(profile, request)
    }

    /// The steps about the number itself.
    fn numbers(&mut self, request: &Request, billing: &str) -> Result<(), Denial> {
        let kind = request.number_type;
        self.keep(Step::NumberType, format!("type {kind}"), Denial::NumberTypeNotOffered, |offer| {
            offer.number_type == kind
        })?;
        let assignment = request.assignment;
        self.keep(
            Step::Assignment,
            format!("for {assignment}"),
            Denial::AssignmentTypeNotAllowed,
            |offer| offer.assignment_types.contains(&assignment),
        )?;
        let (calling, sms) = (request.calling, request.sms);
        let something = calling != Capability::None || sms != Capability::None;
        let shown = format!("calling {calling}");
        self.step(Step::Calling, something, format!("{shown}, sms {sms}"), Denial::CapabilityNotSupported)?;
        self.keep(Step::Calling, shown, Denial::CapabilityNotSupported, |offer| {
            offer.calling.contains(&calling)
        })?;
        self.keep(Step::Sms, format!("sms {sms}"), Denial::CapabilityNotSupported, |offer| {
            let here = offer.sms_billing_countries.as_ref().is_none_or(|set| set.contains(billing));
            offer.sms.contains(&sms) && (sms == Capability::None || here)
        })?;
        let Some(area) = request.area_code else { return Ok(()) };
        let fits = nanp::area_code(area).is_some_and(|area| area.fits(&request.number_country, kind));
        self.step(Step::AreaCode, fits, format!("area code {area}"), Denial::AreaCodeInvalid)
    }

    fn emergency(&mut self, profile: &Profile, request: &Request) -> Result<Granted, Denial> {
        let on_file = profile.emergency_address;
        let person = request.assignment == AssignmentType::Person;
        let shown = format!("emergency address {}", if on_file { "on file" } else { "not on file" });
        self.keep(Step::EmergencyAddress, shown, Denial::EmergencyAddressRequired, |offer| {
            match offer.emergency_address {
                EmergencyAddress::Never => true,
                EmergencyAddress::RequiredForPerson => on_file || !person,
                EmergencyAddress::Always => on_file,
            }
        })?;
        let offer = self.offers.first().ok_or(Denial::EmergencyAddressRequired)?;
        Ok(Granted {
            offer: offer.id.clone(),
            monthly_cost_minor: offer.monthly_cost_minor,
            currency: offer.currency.clone(),
            sms_traffic_gate: offer.sms_traffic_gate.clone(),
        })
    }

    /// Keeps the offers that pass; the request is denied when none is left.
    fn keep(
        &mut self,
        step: Step,
        detail: String,
        denial: Denial,
        pass: impl Fn(&Offer) -> bool,
    ) -> Result<(), Denial> {
        self.offers.retain(|offer| pass(offer));
        let left = !self.offers.is_empty();
        self.step(step, left, detail, denial)
    }

    fn step(&mut self, step: Step, passed: bool, detail: String, denial: Denial) -> Result<(), Denial> {
        self.path.push(Verdict { step, passed, detail });
        if passed { Ok(()) } else { Err(denial) }
    }
}

/// Returns the two capital letters of a country as recorded, or nothing for what is not two letters.
fn country(recorded: &str) -> Option<String> {
    let letters = recorded.len() == 2 && recorded.bytes().all(|b| b.is_ascii_alphabetic());
    letters.then(|| recorded.to_ascii_uppercase())
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} version {}", self.table, self.version)?;
        for verdict in &self.path {
            let mark = if verdict.passed { "pass" } else { "FAIL" };
            let (step, rules) = (format!("{:?}", verdict.step), verdict.step.rules());
            writeln!(f, "{mark}  {step:<16}  {rules:<14}  {}", verdict.detail)?;
        }
        if !self.not_enforced.is_empty() {
            writeln!(f, "not enforced: {}", self.not_enforced.join(", "))?;
        }
        match &self.outcome {
            Ok(granted) => writeln!(
                f,
                "granted by offer {}: {}.{:02} {} a month",
                granted.offer,
                granted.monthly_cost_minor / 100,
                granted.monthly_cost_minor % 100,
                granted.currency
            ),
            Err(denial) => writeln!(f, "denied: {} ({})", denial.code(), denial.http_status()),
        }
    }
}
