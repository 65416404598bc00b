//! What is offered, browsing, and look-ups of any number.

use crate::shop::{Shop, geographic, wide};
use crate::support::Sent;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const VERSION: &str = "api-version=2025-06-01";

#[tokio::test]
async fn the_countries_are_those_of_the_table() {
    let shop = Shop::new().await;
    let target = format!("/availablePhoneNumbers/countries?skip=0&maxPageSize=100&{VERSION}");
    let united_states = json!({ "localizedName": "United States", "countryCode": "US" });
    assert_eq!(shop.world.get(&target).await.json, json!({ "countries": [united_states] }));

    shop.set_rules(&wide("acs-ga"));
    let target = format!("/availablePhoneNumbers/countries?skip=0&maxPageSize=1&{VERSION}");
    let sent = Sent::new("GET", &target).header("accept-language", "fr-CA, xx;q=0.1");
    let first = shop.world.send(sent).await;
    assert_eq!(first.json["countries"], json!([{ "localizedName": "Canada", "countryCode": "CA" }]));
    let second = shop.world.get(first.json["nextLink"].as_str().unwrap()).await;
    assert_eq!(second.json, json!({ "countries": [united_states] }));
}

#[tokio::test]
async fn places_are_found_by_the_name_of_their_state_or_its_abbreviation() {
    let shop = Shop::new().await;
    let list = async |filter: &str| {
        let target = format!(
            "/availablePhoneNumbers/countries/US/localities?skip=0&maxPageSize=100{filter}&{VERSION}"
        );
        shop.world.get(&target).await.json["phoneNumberLocalities"].clone()
    };
    let new_york = json!([{
        "localizedName": "New York City",
        "administrativeDivision": { "localizedName": "New York", "abbreviatedName": "NY" },
    }]);
    for filter in [
        "&administrativeDivision=New%20York",
        "&administrativeDivision=New+York",
        "&administrativeDivision=NY",
    ] {
        assert_eq!(list(filter).await, new_york, "{filter}");
    }
    assert_eq!(list("").await.as_array().unwrap().len(), 3);
    assert_eq!(list("&phoneNumberType=tollFree").await, json!([]));
    assert_eq!(list("&administrativeDivision=Atlantis").await, json!([]));
}

#[tokio::test]
async fn area_codes_are_those_with_numbers_left() {
    let shop = Shop::new().await;
    let list = async |filter: &str| {
        let target = format!("/availablePhoneNumbers/countries/US/areaCodes?{filter}&{VERSION}");
        shop.world.get(&target).await.json["areaCodes"].clone()
    };
    assert_eq!(
        list("phoneNumberType=geographic").await,
        json!([{ "areaCode": "206" }, { "areaCode": "212" }, { "areaCode": "425" }])
    );
    let new_york = "phoneNumberType=geographic&assignmentType=application&locality=New%20York%20City\
        &administrativeDivision=NY";
    assert_eq!(list(new_york).await, json!([{ "areaCode": "212" }]));
    assert_eq!(
        list("phoneNumberType=tollFree&assignmentType=application").await,
        json!([{ "areaCode": "833" }])
    );
    assert_eq!(list("phoneNumberType=tollFree&assignmentType=person").await, json!([]));
    assert_eq!(list("phoneNumberType=mobile").await, json!([]));

    let mut both = geographic("212");
    both["quantity"] = json!(2);
    shop.find(&both).await;
    assert_eq!(list(new_york).await, json!([]));
    let target = format!("/availablePhoneNumbers/countries/US/areaCodes?{VERSION}");
    let untyped = shop.world.get(&target).await;
    assert_eq!((untyped.status.as_u16(), untyped.error_code()), (400, "BadRequest"));
}

#[tokio::test]
async fn offerings_are_what_the_resource_may_have() {
    let shop = Shop::new().await;
    let list = async |filter: &str| {
        let target = format!("/availablePhoneNumbers/countries/US/offerings?{filter}{VERSION}");
        shop.world.get(&target).await.json["phoneNumberOfferings"].clone()
    };
    let offering = |kind: &str, assignment: &str, sms: &str, amount: f64| {
        json!({
            "phoneNumberType": kind,
            "assignmentType": assignment,
            "availableCapabilities": { "calling": "inbound+outbound", "sms": sms },
            "cost": { "amount": amount, "currencyCode": "USD", "billingFrequency": "monthly" },
        })
    };
    let person = offering("geographic", "person", "none", 1.0);
    let application = offering("geographic", "application", "none", 1.0);
    let toll_free = offering("tollFree", "application", "inbound+outbound", 2.0);
    assert_eq!(list("").await, json!([person, application, toll_free]));
    assert_eq!(list("phoneNumberType=tollFree&assignmentType=application&").await, json!([toll_free]));

    shop.set_rules(&wide("acs-ga"));
    shop.bill(|billing| billing.country = Some("GB".into())).await;
    // Messages from local numbers need billing in the US or Canada there.
    assert_eq!(list("phoneNumberType=geographic&assignmentType=application&").await, json!([application]));
    shop.bill(|billing| billing.country = Some("MX".into())).await;
    assert_eq!(list("").await, json!([]));
}

#[tokio::test]
async fn browsing_shows_numbers_and_holds_none() {
    let shop = Shop::new().await;
    let body = json!({
        "phoneNumberType": "geographic",
        "capabilities": { "calling": "outbound", "sms": "none" },
        "assignmentType": "application",
        "phoneNumberPrefixes": ["1425", "+1212", "1206555010"],
    });
    let shown = browse(&shop, &body).await;
    let ids: BTreeSet<_> = shown.iter().map(|number| number["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 10);
    assert_eq!(shown.len(), 10);
    for number in &shown {
        assert_eq!(
            *number,
            json!({
                "id": number["id"],
                "countryCode": "US",
                "phoneNumber": format!("+{}", number["id"].as_str().unwrap()),
                "capabilities": { "calling": "outbound", "sms": "none" },
                "phoneNumberType": "geographic",
                "assignmentType": "application",
                "cost": { "amount": 1.0, "currencyCode": "USD", "billingFrequency": "monthly" },
                "status": "available",
                "isAgreementToNotResellRequired": false,
            })
        );
    }
    shop.buy(&geographic("206")).await;
}

#[tokio::test]
async fn browsing_comes_in_another_order_each_time_and_fits_a_screen() {
    let shop = Shop::new().await;
    shop.stock("360", "WA", "Olympia", 100..200).await;
    let body = json!({ "phoneNumberType": "geographic" });
    let mut orders = BTreeSet::new();
    for _ in 0..4 {
        let shown = browse(&shop, &body).await;
        assert_eq!(shown.len(), 20);
        assert_eq!(shown[0]["capabilities"], json!({ "calling": "inbound+outbound", "sms": "none" }));
        orders.insert(shown.iter().map(|number| number["id"].to_string()).collect::<String>());
    }
    // Four equal drafts of twenty out of a hundred: less likely than a broken machine.
    assert!(orders.len() > 1);
    for prefixes in [json!(["12o6"]), json!(vec!["1206"; 21]), json!(["1206555010000000"])] {
        let body = json!({ "phoneNumberType": "geographic", "phoneNumberPrefixes": prefixes });
        let target = format!("/availablePhoneNumbers/countries/US/:browse?{VERSION}");
        assert_eq!(shop.world.post(&target, &body).await.error_code(), "BadRequest", "{body}");
    }
}

#[tokio::test]
async fn any_number_can_be_looked_up() {
    let shop = Shop::new().await;
    let look_up = async |numbers: Value| {
        let body =
            json!({ "phoneNumbers": numbers, "options": { "includeAdditionalOperatorDetails": true } });
        shop.world.post(&format!("/operatorInformation/:search?{VERSION}"), &body).await
    };
    let answer = look_up(json!(["+12065550100", "+18335550100", "+18445550100", "+442079460123"])).await;
    assert_eq!(
        answer.json["values"],
        json!([
            {
                "phoneNumber": "+12065550100",
                "nationalFormat": "(206) 555-0100",
                "internationalFormat": "+1 206-555-0100",
                "isoCountryCode": "US",
                "numberType": "geographic",
            },
            {
                "phoneNumber": "+18335550100",
                "nationalFormat": "(833) 555-0100",
                "internationalFormat": "+1 833-555-0100",
                "isoCountryCode": "US",
                "numberType": "other",
            },
            {
                "phoneNumber": "+18445550100",
                "nationalFormat": "(844) 555-0100",
                "internationalFormat": "+1 844-555-0100",
                "numberType": "other",
            },
            {
                "phoneNumber": "+442079460123",
                "internationalFormat": "+44 2079460123",
                "numberType": "unknown",
            },
        ])
    );
    for bad in [json!([]), json!(["2065550100"]), json!(vec!["+12065550100"; 101]), json!("+12065550100")] {
        assert_eq!(look_up(bad.clone()).await.error_code(), "BadRequest", "{bad}");
    }
}

async fn browse(shop: &Shop, body: &Value) -> Vec<Value> {
    let answer =
        shop.world.post(&format!("/availablePhoneNumbers/countries/US/:browse?{VERSION}"), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["phoneNumbers"].as_array().unwrap().clone()
}
