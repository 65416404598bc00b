//! The eligibility table, row by row.

use trunkline_model::{AssignmentType, Capability, NumberType, SubscriptionClass};
use trunkline_numbers::eligibility::{Profile, Request, RuleBook};

/// One row: billing, class, country, type, assignment, calling, sms, area code, and what must come out.
struct Row(
    u8,
    Option<&'static str>,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<u16>,
    &'static str,
);

const BOTH: &str = "inbound+outbound";

const ROWS: &[Row] = &[
    Row(1, Some("US"), "paid", "US", "geographic", "person", "outbound", "none", None, "OK 100 USD"),
    Row(2, Some("CA"), "paid", "US", "geographic", "person", "outbound", "none", None, "OK 100 USD"),
    Row(3, Some("US"), "paid", "US", "tollFree", "application", "none", BOTH, None, "OK 200 USD"),
    Row(4, Some("CA"), "paid", "US", "tollFree", "application", BOTH, "outbound", None, "OK 200 USD"),
    Row(
        5,
        Some("GB"),
        "paid",
        "US",
        "tollFree",
        "application",
        "outbound",
        "none",
        None,
        "BillingCountryNotEligible",
    ),
    Row(
        6,
        Some("MX"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "BillingCountryNotEligible",
    ),
    Row(
        7,
        Some("PR"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "BillingCountryNotEligible",
    ),
    Row(
        9,
        Some("US"),
        "trial",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "SubscriptionNotEligible",
    ),
    Row(
        10,
        Some("US"),
        "free_credit",
        "US",
        "tollFree",
        "application",
        "outbound",
        "none",
        None,
        "SubscriptionNotEligible",
    ),
    Row(
        11,
        Some("US"),
        "paid",
        "CA",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "NumberCountryNotOffered",
    ),
    Row(
        12,
        Some("CA"),
        "paid",
        "CA",
        "tollFree",
        "application",
        "outbound",
        "none",
        None,
        "NumberCountryNotOffered",
    ),
    Row(
        13,
        Some("US"),
        "paid",
        "US",
        "tollFree",
        "person",
        "outbound",
        "none",
        None,
        "AssignmentTypeNotAllowed",
    ),
    Row(
        14,
        Some("US"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "outbound",
        None,
        "CapabilityNotSupported",
    ),
    Row(
        15,
        Some("US"),
        "paid",
        "US",
        "geographic",
        "application",
        "none",
        "none",
        None,
        "CapabilityNotSupported",
    ),
    Row(
        16,
        Some("US"),
        "paid",
        "US",
        "shortCode",
        "application",
        "none",
        "outbound",
        None,
        "NumberTypeNotOffered",
    ),
    Row(
        17,
        None,
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "BillingAddressMissing",
    ),
    Row(18, Some("us"), "paid", "US", "geographic", "application", "outbound", "none", None, "OK 100 USD"),
    Row(
        18,
        Some("USA"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "BillingAddressMissing",
    ),
    Row(
        18,
        Some("U S"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        None,
        "BillingAddressMissing",
    ),
    Row(
        19,
        Some("US"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        Some(416),
        "AreaCodeInvalid",
    ),
    Row(
        20,
        Some("US"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        Some(809),
        "AreaCodeInvalid",
    ),
    Row(
        20,
        Some("US"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        Some(876),
        "AreaCodeInvalid",
    ),
    Row(
        20,
        Some("US"),
        "paid",
        "US",
        "geographic",
        "application",
        "outbound",
        "none",
        Some(787),
        "AreaCodeInvalid",
    ),
    Row(
        21,
        Some("US"),
        "paid",
        "US",
        "tollFree",
        "application",
        "outbound",
        "none",
        Some(425),
        "AreaCodeInvalid",
    ),
    Row(
        22,
        Some("US"),
        "paid",
        "US",
        "tollFree",
        "application",
        "outbound",
        "none",
        Some(822),
        "AreaCodeInvalid",
    ),
];

#[test]
fn each_row_of_the_default_table_gets_its_answer() {
    let book = RuleBook::default();
    for row in ROWS {
        assert_eq!(answer(&book, row, true), row.9, "row {}", row.0);
    }
}

#[test]
fn a_person_needs_an_emergency_address_first() {
    let book = RuleBook::default();
    assert_eq!(answer(&book, &ROWS[0], false), "EmergencyAddressRequired");
    assert_eq!(answer(&book, &ROWS[2], false), "OK 200 USD");
}

#[test]
fn a_billing_country_may_stand_for_another() {
    let text = include_str!("../data/rules.toml").replace("for example PR = \"US\"", "\nPR = \"US\"");
    let book = RuleBook::parse(&text).unwrap();
    assert_eq!(answer(&book, &ROWS[6], true), "OK 100 USD");
}

#[test]
fn the_table_of_2020_offers_less() {
    let book = RuleBook::default().with_active("acs-2020-10").unwrap();
    for row in [&ROWS[1], &ROWS[3], &ROWS[6]] {
        assert_eq!(answer(&book, row, true), "BillingCountryNotEligible", "row {}", row.0);
    }
    let inbound = Row(0, Some("US"), "paid", "US", "geographic", "application", "inbound", "none", None, "");
    assert_eq!(answer(&book, &inbound, true), "CapabilityNotSupported");
}

#[test]
fn general_availability_offers_more() {
    let book = RuleBook::default().with_active("acs-ga").unwrap();
    for row in ROWS.iter().filter(|row| [5, 7, 11, 12, 14].contains(&row.0)) {
        assert!(answer(&book, row, true).starts_with("OK"), "row {}", row.0);
    }
    let british =
        Row(0, Some("GB"), "paid", "US", "geographic", "application", "outbound", "outbound", None, "");
    assert_eq!(answer(&book, &british, true), "CapabilityNotSupported");
}

#[test]
fn an_unverified_or_suspended_resource_gets_nothing() {
    let book = RuleBook::default();
    let (mut profile, request) = parts(&ROWS[0], true);
    profile.billing_verified = false;
    assert_eq!(book.decide(&profile, &request).outcome.unwrap_err().code(), "BillingAddressUnverified");
    profile.active = false;
    assert_eq!(book.decide(&profile, &request).outcome.unwrap_err().code(), "ResourceInactive");
}

#[test]
fn a_decision_tells_the_way_it_was_reached() {
    let (profile, request) = parts(&ROWS[4], true);
    let shown = RuleBook::default().decide(&profile, &request).to_string();
    assert!(shown.contains("table us-ca-preview version 2026-11-23"), "{shown}");
    assert!(shown.contains("FAIL  BillingCountry"), "{shown}");
    // Each step names its rule.
    for line in shown.lines().filter(|line| line.starts_with("pass") || line.starts_with("FAIL")) {
        assert!(line.contains("  A.4/"), "{line}");
    }
    assert!(shown.contains("A.4/4 PROV-01"), "{shown}");
    assert!(shown.ends_with("denied: BillingCountryNotEligible (403)\n"), "{shown}");
}

#[test]
fn a_table_says_what_of_it_nothing_enforces() {
    let (profile, request) = parts(&ROWS[0], true);
    let not_enforced = RuleBook::default().decide(&profile, &request).not_enforced;
    assert_eq!(not_enforced, ["concurrent_outbound_calls_per_number"]);
    let trial = RuleBook::default().with_active("trial").unwrap();
    let shown = trial.decide(&profile, &request).to_string();
    assert!(shown.contains("not enforced: minutes_inbound, minutes_outbound, max_call_s"), "{shown}");
}

#[test]
fn a_bad_book_is_refused_with_the_place() {
    let good = include_str!("../data/rules.toml");
    for (from, to, expected) in [
        ("schema = 1", "schema = 2", "schema 2"),
        ("active = \"us-ca-preview\"", "active = \"x\"", "no table \"x\""),
        ("monthly_cost_minor = 100", "monthly_cost_minor = -1", "negative"),
        ("[\"person\", \"application\"]\ncalling", "[\"martian\"]\ncalling", "martian"),
        ("id = \"us-tf\"\n", "id = \"us-geo\"\n", "same id"),
        ("require_paid = true", "require_payed = true", "require_payed"),
        ("hold = \"end_of_billing_cycle\"", "hold = \"forever\"", "forever"),
        ("ttl_s = 900", "ttl_s = 0", "table \"us-ca-preview\": a reservation"),
        ("ttl_s = 900", "ttl_s = 7201", "within max_life_s"),
        ("max_life_s = 7200", "max_life_s = 86401", "at most a day"),
        ("quarantine_days = 45", "quarantine_days = 3651", "ten years"),
        ("term_days = 30", "term_days = 0", "table \"trial\": a number is owned for no day"),
        ("billing_aliases]", "billing_aliases]\nPR = \"us\"", "billing_aliases"),
        ("resource_data_locations = []", "resource_data_locations = [\"USA\"]", "resource_data_locations"),
        ("[\"US\", \"CA\"]     # cond", "[\"US\", \"ca\"]     # cond", "two capital letters"),
        ("billing_countries = [\"US\", \"CA\"]", "billing_countries = []", "no billing country"),
    ] {
        let error = RuleBook::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

fn answer(book: &RuleBook, row: &Row, emergency_address: bool) -> String {
    let (profile, request) = parts(row, emergency_address);
    match book.decide(&profile, &request).outcome {
        Ok(granted) => format!("OK {} {}", granted.monthly_cost_minor, granted.currency),
        Err(denial) => denial.code().to_owned(),
    }
}

fn parts(row: &Row, emergency_address: bool) -> (Profile, Request) {
    let &Row(_, billing, class, country, kind, assignment, calling, sms, area_code, _) = row;
    let profile = Profile {
        active: true,
        billing_country: billing.map(str::to_owned),
        billing_verified: true,
        class: SubscriptionClass::parse(class).unwrap(),
        data_location: "US".to_owned(),
        emergency_address,
    };
    let request = Request {
        number_country: country.to_owned(),
        number_type: NumberType::parse(kind).unwrap(),
        assignment: AssignmentType::parse(assignment).unwrap(),
        calling: Capability::parse(calling).unwrap(),
        sms: Capability::parse(sms).unwrap(),
        area_code,
    };
    (profile, request)
}
