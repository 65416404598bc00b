//! Trunks and routes over `/sip`.

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::{Answer, Sent, World};
use trunkline_api::sip_routing::SipConfiguration;
use trunkline_storage::trunks;

const SIP: &str = "/sip?api-version=2023-03-01";

fn three_trunks() -> Value {
    json!({
        "sbc1.contoso.com": {"sipSignalingPort": 5061},
        "sbc2.contoso.com": {"sipSignalingPort": 5062},
        "sbc3.contoso.com": {"sipSignalingPort": 5063},
    })
}

fn route(name: &str, pattern: &str, trunks: &[&str]) -> Value {
    json!({"name": name, "numberPattern": pattern, "trunks": trunks})
}

/// Asserts that a patch is refused as the public service refuses it, and changes nothing.
async fn refused(world: &World, patch: &Value, code: &str) -> Answer {
    let before = world.get(SIP).await.json;
    let answer = world.patch(SIP, patch).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (422, "UnprocessableConfiguration"), "{patch}");
    assert_eq!(answer.json["error"]["innererror"]["code"], code, "{patch}");
    assert_eq!(world.get(SIP).await.json, before);
    answer
}

#[tokio::test]
async fn a_fresh_resource_has_no_trunks_and_no_routes() {
    let world = World::new().await;
    let answer = world.get(SIP).await;
    assert_eq!((answer.status.as_u16(), answer.json), (200, json!({"trunks": {}, "routes": []})));
}

#[tokio::test]
async fn captured_requests_are_answered_with_the_whole_configuration() {
    let world = World::new().await;
    for request in support::captured("sip_routing") {
        let all = json!({"trunks": three_trunks(), "routes": []});
        let prepared = world.patch(SIP, &all).await;
        assert_eq!((prepared.status.as_u16(), &prepared.json), (200, &all));
        let answer = world.send(request.sent()).await;
        assert_eq!(answer.status.as_u16(), request.status, "{}: {answer:?}", request.client);
        let patch: Value = serde_json::from_str(&request.body).unwrap_or_else(|_| json!({}));
        let mut expected = three_trunks();
        for (fqdn, trunk) in patch["trunks"].as_object().into_iter().flatten() {
            match trunk {
                Value::Null => drop(expected.as_object_mut().unwrap().remove(fqdn)),
                trunk => expected[fqdn] = trunk.clone(),
            }
        }
        assert_eq!(answer.json["trunks"], expected, "{}", request.client);
        let routes = patch.get("routes").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(answer.json["routes"], routes, "{}", request.client);
        assert_eq!(world.get(SIP).await.json, answer.json, "what was answered is what is kept");
    }
}

#[tokio::test]
async fn trunks_are_merged_and_routes_are_replaced_whole() {
    let world = World::new().await;
    world.patch(SIP, &json!({"trunks": three_trunks()})).await;
    let routes = json!([
        route("us", r"^\+1[0-9]{10}$", &["sbc1.contoso.com", "sbc2.contoso.com"]),
        route("rest", ".*", &[])
    ]);
    let answer = world.patch(SIP, &json!({"routes": routes})).await;
    assert_eq!(answer.json["routes"], routes, "in their order");
    assert_eq!(answer.json["trunks"], three_trunks(), "untouched");
    let answer = world.patch(SIP, &json!({"trunks": {"sbc3.contoso.com": null}})).await;
    assert_eq!(answer.json["routes"], routes);
    assert_eq!(answer.json["trunks"].as_object().unwrap().len(), 2);
    let answer = world.patch(SIP, &json!({"routes": [route("only", "^\\+44", &["sbc2.contoso.com"])]})).await;
    assert_eq!(answer.json["routes"], json!([route("only", "^\\+44", &["sbc2.contoso.com"])]));
    let answer = world.patch(SIP, &json!({"routes": []})).await;
    assert_eq!(answer.json["routes"], json!([]));
    let answer = world.patch(SIP, &json!({"trunks": null})).await;
    assert_eq!(answer.json, json!({"trunks": {}, "routes": []}));
}

#[tokio::test]
async fn a_trunk_that_a_route_goes_to_stays() {
    let world = World::new().await;
    let routes = json!([route("us", "^\\+1", &["sbc1.contoso.com"])]);
    world.patch(SIP, &json!({"trunks": three_trunks(), "routes": routes})).await;
    refused(&world, &json!({"trunks": {"sbc1.contoso.com": null}}), "MissingTrunk").await;
    refused(&world, &json!({"routes": [route("x", "^1", &["nobody.contoso.com"])]}), "MissingTrunk").await;
    let both = json!({"trunks": {"sbc1.contoso.com": null}, "routes": []});
    assert_eq!(world.patch(SIP, &both).await.status, 200, "with the route it may go");
}

#[tokio::test]
async fn what_is_not_valid_is_refused_with_the_codes_of_the_public_service() {
    let world = World::new().await;
    world.patch(SIP, &json!({"trunks": three_trunks()})).await;
    let trunk = |fqdn: &str, port: Value| json!({"trunks": {fqdn: {"sipSignalingPort": port}}});
    for port in [json!(0), json!(-1), json!(65536), json!("5061"), json!(1.5), json!(null)] {
        refused(&world, &trunk("sbc9.contoso.com", port), "InvalidTrunkSipSignalingPort").await;
    }
    refused(&world, &json!({"trunks": {"new.contoso.com": {}}}), "InvalidTrunkSipSignalingPort").await;
    let long = format!("{}.com", "a.".repeat(124));
    for fqdn in ["", "-1", "a..b", "a b", "über.example", "a/b", &"a".repeat(64), &long] {
        refused(&world, &trunk(fqdn, json!(5061)), "InvalidTrunkFqdn").await;
    }
    for private in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "169.254.169.254",
        "10.0.0.5",
        "0.0.0.0",
    ] {
        refused(&world, &trunk(private, json!(5061)), "InvalidTrunkFqdn").await;
    }
    refused(&world, &trunk("SBC1.contoso.com", json!(5061)), "DuplicatedTrunk").await;
    refused(&world, &json!({"routes": [route("", "^1", &[])]}), "InvalidRouteName").await;
    refused(&world, &json!({"routes": [route(&"n".repeat(257), "^1", &[])]}), "InvalidRouteName").await;
    refused(&world, &json!({"routes": [route("r", "", &[])]}), "InvalidRouteNumberPattern").await;
    refused(&world, &json!({"routes": [route("r", &"1".repeat(1025), &[])]}), "InvalidRouteNumberPattern")
        .await;
    let twice = json!({"routes": [route("r", "1", &[]), route("R", "2", &[])]});
    refused(&world, &twice, "DuplicatedRoute").await;
    let twice = json!({"routes": [route("r", "1", &["sbc1.contoso.com", "sbc1.contoso.com"])]});
    refused(&world, &twice, "RouteWithDuplicatedTrunk").await;
    let mut described = route("r", "1", &[]);
    described["description"] = "d".repeat(1025).into();
    refused(&world, &json!({"routes": [described]}), "InvalidRouteDescription").await;
    refused(&world, &json!({}), "EmptyPatch").await;
    refused(&world, &json!({"trunks": {}}), "EmptyPatch").await;
}

#[tokio::test]
async fn patterns_that_are_not_supported_are_named() {
    let world = World::new().await;
    for (pattern, word) in
        [(r"^(?!\+1900)\+1", "look-around"), (r"(\d)\1", "backreferences"), ("(", "unclosed group")]
    {
        let patch = json!({"routes": [route("premium", pattern, &[])]});
        let answer = refused(&world, &patch, "InvalidRouteNumberPattern").await;
        assert!(answer.json["error"]["message"].as_str().unwrap().contains(word), "{answer:?}");
        assert_eq!(answer.json["error"]["target"], "routes[0]");
    }
    // Small to write, vast when compiled.
    let bomb = "(((((a{1,100}){1,100}){1,100}){1,100}){1,100})";
    refused(&world, &json!({"routes": [route("bomb", bomb, &[])]}), "InvalidRouteNumberPattern").await;
}

#[tokio::test]
async fn there_are_250_of_each_and_no_more() {
    let world = World::new().await;
    let trunks = |count: usize| -> Value {
        (0..count)
            .map(|n| (format!("sbc{n}.contoso.com"), json!({"sipSignalingPort": 5061})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let routes =
        |count: usize| -> Value { (0..count).map(|n| route(&format!("r{n}"), "^\\+1", &[])).collect() };
    refused(&world, &json!({"trunks": trunks(251)}), "TooManyTrunks").await;
    refused(&world, &json!({"routes": routes(251)}), "TooManyRoutes").await;
    let answer = world.patch(SIP, &json!({"trunks": trunks(250), "routes": routes(250)})).await;
    assert_eq!(answer.status, 200);
    refused(&world, &json!({"trunks": {"one.more.com": {"sipSignalingPort": 5061}}}), "TooManyTrunks").await;
}

#[tokio::test]
async fn what_is_no_patch_is_400() {
    let world = World::new().await;
    for patch in [
        json!([]),
        json!(null),
        json!(1),
        json!({"trunks": []}),
        json!({"trunks": "x"}),
        json!({"routes": {}}),
        json!({"routes": [1]}),
        json!({"routes": [{"name": "r"}]}),
        json!({"routes": [{"name": 1, "numberPattern": "1"}]}),
    ] {
        let answer = world.patch(SIP, &patch).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{patch}");
    }
}

#[tokio::test]
async fn preview_fields_are_kept_and_health_is_told_when_asked_for() {
    let world = World::new().await;
    let trunk = json!({"sipSignalingPort": 5061, "enabled": false, "privacyHeader": "ID", "ipAddressVersion": "IPv4"});
    let patch = json!({"domains": {"contoso.com": {"enabled": true}}, "trunks": {"sbc1.contoso.com": trunk}});
    let preview = "/sip?api-version=2024-11-15-preview";
    assert_eq!(world.patch(preview, &patch).await.json["trunks"]["sbc1.contoso.com"], trunk);
    let released =
        world.patch(SIP, &json!({"trunks": {"sbc1.contoso.com": {"sipSignalingPort": 5071}}})).await;
    assert_eq!(
        released.json["trunks"]["sbc1.contoso.com"]["enabled"], false,
        "a patch keeps what it does not name"
    );
    let expanded = world.get("/sip?expand=trunks/health&api-version=2024-11-15-preview").await;
    assert_eq!(expanded.json["trunks"]["sbc1.contoso.com"]["health"]["overall"]["status"], "unknown");
    assert!(world.get(preview).await.json["trunks"]["sbc1.contoso.com"].get("health").is_none());
    let bad = json!({"trunks": {"sbc1.contoso.com": {"privacyHeader": "Everything"}}});
    assert_eq!(world.patch(preview, &bad).await.status, 400);
}

#[tokio::test]
async fn routes_can_be_tried_with_a_number() {
    let world = World::new().await;
    let routes = json!([
        route("us", r"^\+1[0-9]{10}$", &[]),
        route("seattle", r"^\+1206", &[]),
        route("gb", r"^\+44", &[])
    ]);
    world.patch(SIP, &json!({"routes": routes})).await;
    let test = "/sip:testRoutesWithNumber?targetPhoneNumber=%2B12065550100&api-version=2024-11-15-preview";
    let names = |answer: Answer| -> Vec<String> {
        assert_eq!(answer.status, 200, "{answer:?}");
        let routes = answer.json["matchingRoutes"].as_array().unwrap().clone();
        routes.iter().map(|route| route["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(world.send(Sent::new("POST", test)).await), ["us", "seattle"]);
    let other = json!({"routes": [route("body", "0100$", &[])]});
    assert_eq!(names(world.post(test, &other).await), ["body"], "the configuration in the body");
    let bad = world
        .send(Sent::new("POST", "/sip:testRoutesWithNumber?targetPhoneNumber=x&api-version=2023-03-01"))
        .await;
    assert_eq!((bad.status.as_u16(), bad.error_code()), (400, "BadRequest"));
}

#[tokio::test]
async fn private_trunks_are_allowed_where_the_operator_allows_them() {
    let trunks = json!({"trunks": {"127.0.0.1": {"sipSignalingPort": 5080}}});
    let world = World::with(|settings| settings.reach.anywhere = true).await;
    assert_eq!(world.patch(SIP, &trunks).await.status, 200);
    let public = json!({"trunks": {"192.0.2.7": {"sipSignalingPort": 5080}}});
    assert_eq!(World::new().await.patch(SIP, &public).await.status, 200);
}

#[tokio::test]
async fn patches_at_once_all_take_effect() {
    let world = World::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (fqdn, router) = (format!("sbc{n}.contoso.com"), world.router.clone());
        let patch = json!({"trunks": {fqdn: {"sipSignalingPort": 5061}}});
        let request = Sent::new("PATCH", SIP).json(&patch).sign(world.now_unix_ms());
        tasks.spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() });
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(world.get(SIP).await.json["trunks"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn a_change_gives_word_to_whoever_builds_the_routing_table() {
    let world = World::new().await;
    let mut word = world.state.changed();
    let routes = json!([route("us", "^\\+1", &["sbc1.contoso.com"])]);
    world.patch(SIP, &json!({"trunks": three_trunks(), "routes": routes})).await;
    tokio::time::timeout(Duration::from_secs(10), word.changed()).await.expect("word of the change");
    let mut db = world.store.read().await.unwrap();
    let all = trunks::list::<SipConfiguration>(&mut db).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, world.resource);
    assert_eq!(all[0].1.trunks["sbc2.contoso.com"].sip_signaling_port, 5062);
    assert!(all[0].1.routes[0].matches(trunkline_model::E164::parse("+12065550100").unwrap()));
}
