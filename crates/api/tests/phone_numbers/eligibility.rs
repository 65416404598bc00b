//! The rows of the eligibility table (A.5), through the API.

use crate::shop::{SEARCH_US, Shop, geographic, rules_with, toll_free};
use crate::support::Sent;
use serde_json::{Value, json};
use trunkline_model::SubscriptionClass;

/// Billing country, class, country of the number, type, assignment, calling, sms, and what is expected.
type Row = (Option<&'static str>, SubscriptionClass, &'static str, [&'static str; 4], u16, &'static str);

#[tokio::test]
async fn each_row_is_answered_with_its_code() {
    use SubscriptionClass::{FreeCredit, Paid, Trial};
    let rows: &[Row] = &[
        (Some("US"), Paid, "US", ["geographic", "application", "outbound", "none"], 202, ""),
        (Some("CA"), Paid, "US", ["geographic", "application", "outbound", "none"], 202, ""),
        (Some("US"), Paid, "US", ["tollFree", "application", "none", "inbound+outbound"], 202, ""),
        (Some("CA"), Paid, "US", ["tollFree", "application", "inbound+outbound", "outbound"], 202, ""),
        (Some("us"), Paid, "US", ["geographic", "application", "outbound", "none"], 202, ""),
        (
            Some("GB"),
            Paid,
            "US",
            ["tollFree", "application", "outbound", "none"],
            403,
            "BillingCountryNotEligible",
        ),
        (
            Some("MX"),
            Paid,
            "US",
            ["geographic", "application", "outbound", "none"],
            403,
            "BillingCountryNotEligible",
        ),
        (
            Some("PR"),
            Paid,
            "US",
            ["geographic", "application", "outbound", "none"],
            403,
            "BillingCountryNotEligible",
        ),
        (
            Some("US"),
            Trial,
            "US",
            ["geographic", "application", "outbound", "none"],
            403,
            "SubscriptionNotEligible",
        ),
        (
            Some("US"),
            FreeCredit,
            "US",
            ["tollFree", "application", "outbound", "none"],
            403,
            "SubscriptionNotEligible",
        ),
        (
            Some("US"),
            Paid,
            "CA",
            ["geographic", "application", "outbound", "none"],
            404,
            "NumberCountryNotOffered",
        ),
        (
            Some("CA"),
            Paid,
            "CA",
            ["tollFree", "application", "outbound", "none"],
            404,
            "NumberCountryNotOffered",
        ),
        (Some("US"), Paid, "US", ["tollFree", "person", "outbound", "none"], 400, "AssignmentTypeNotAllowed"),
        (
            Some("US"),
            Paid,
            "US",
            ["geographic", "application", "outbound", "outbound"],
            400,
            "CapabilityNotSupported",
        ),
        (
            Some("US"),
            Paid,
            "US",
            ["geographic", "application", "none", "none"],
            400,
            "CapabilityNotSupported",
        ),
        (
            Some("US"),
            Paid,
            "US",
            ["shortCode", "application", "none", "outbound"],
            400,
            "NumberTypeNotOffered",
        ),
        (None, Paid, "US", ["geographic", "application", "outbound", "none"], 403, "BillingAddressMissing"),
        (
            Some("USA"),
            Paid,
            "US",
            ["geographic", "application", "outbound", "none"],
            403,
            "BillingAddressMissing",
        ),
        (
            Some("US"),
            Paid,
            "US",
            ["geographic", "person", "outbound", "none"],
            409,
            "EmergencyAddressRequired",
        ),
    ];
    let shop = Shop::new().await;
    for (country, class, number_country, [number_type, assignment, calling, sms], status, code) in rows {
        shop.bill(|billing| (billing.country, billing.class) = (country.map(str::to_owned), *class)).await;
        let body = json!({
            "phoneNumberType": number_type,
            "assignmentType": assignment,
            "capabilities": { "calling": calling, "sms": sms },
        });
        let target = SEARCH_US.replace("US", number_country);
        let answer = shop.world.post(&target, &body).await;
        assert_eq!(answer.status, *status, "{country:?} {class} {number_country} {body}: {answer:?}");
        if *status == 202 {
            assert_eq!(shop.operation(&answer).await["status"], "succeeded", "{country:?} {body}");
        } else {
            assert_eq!(answer.error_code(), *code, "{country:?} {class} {number_country} {body}");
        }
        // Browsing and reserving ask the same question.
        let browsed = shop.world.post(&target.replace(":search", ":browse"), &body).await;
        assert_eq!(
            browsed.status,
            if *status == 202 { 200 } else { *status },
            "{country:?} {body}: {browsed:?}"
        );
    }
}

#[tokio::test]
async fn an_area_code_belongs_to_its_country_and_kind() {
    let shop = Shop::new().await;
    for (mut body, code) in [
        (geographic("206"), "416"),
        (geographic("206"), "809"),
        (geographic("206"), "876"),
        (geographic("206"), "787"),
        (geographic("206"), "2065"),
        (geographic("206"), "abc"),
        (toll_free(), "425"),
        (toll_free(), "822"),
    ] {
        body["areaCode"] = json!(code);
        let answer = shop.search(&body).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "AreaCodeInvalid"), "{code}");
    }
}

#[tokio::test]
async fn an_alias_lets_a_territory_buy() {
    let shop = Shop::new().await;
    shop.bill(|billing| billing.country = Some("PR".into())).await;
    shop.set_rules(&rules_with("billing_aliases]", "billing_aliases]\nPR = \"US\"\n"));
    shop.find(&geographic("206")).await;
}

#[tokio::test]
async fn the_billing_country_is_taken_from_nothing_in_a_request() {
    // A.5 row 24, PROV-22.
    let shop = Shop::new().await;
    shop.bill(|billing| billing.country = Some("GB".into())).await;
    let mut body: Value = geographic("206");
    body["billingCountry"] = json!("US");
    let sent = Sent::new("POST", SEARCH_US)
        .json(&body)
        .header("x-country", "US")
        .header("accept-language", "en-US")
        .header("cf-ipcountry", "US")
        .header("x-forwarded-for", "198.51.100.7");
    let answer = shop.world.send(sent).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (403, "BillingCountryNotEligible"));
}

#[tokio::test]
async fn an_unverified_billing_address_is_no_address() {
    let shop = Shop::new().await;
    shop.bill(|billing| billing.verified_unix_ms = None).await;
    let answer = shop.search(&geographic("206")).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (403, "BillingAddressUnverified"));
}

#[tokio::test]
async fn a_person_with_an_emergency_address_may_have_a_number() {
    let shop = Shop::new().await;
    shop.bill(|billing| billing.emergency_address_unix_ms = Some(1)).await;
    let mut body = geographic("206");
    body["assignmentType"] = json!("person");
    let (_, result) = shop.find(&body).await;
    assert_eq!(result["assignmentType"], "person");
}
