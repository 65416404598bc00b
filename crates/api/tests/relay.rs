//! STUN and TURN servers, as the clients are told of them.

mod support;

use serde_json::json;
use support::{Sent, World};
use trunkline_api::RelaySettings;
use trunkline_identity::RelayCredential;

const ISSUE: &str = "/networkTraversal/:issueRelayConfiguration?api-version=2022-03-01-preview";

fn servers() -> RelaySettings {
    let urls = ["stun:turn.example.com:3478", "turn:turn.example.com:3478?transport=udp"];
    RelaySettings { urls: urls.map(str::to_owned).to_vec(), secret: "north".to_owned() }
}

async fn world() -> World {
    World::with(|settings| settings.relay = servers()).await
}

#[tokio::test]
async fn captured_requests_are_answered_as_the_clients_expect() {
    let world = world().await;
    for request in support::captured("relay") {
        let answer = world.send(request.sent()).await;
        assert_eq!(answer.status.as_u16(), request.status, "{answer:?}");
        let server = &answer.json["iceServers"][0];
        assert_eq!(server["urls"], json!(servers().urls));
        assert_eq!(server["routeType"], "any");
        assert!(server["username"].is_string() && server["credential"].is_string());
        assert!(answer.json["expiresOn"].is_string());
    }
}

#[tokio::test]
async fn a_credential_is_good_for_as_long_as_is_asked_for_and_names_its_user() {
    let world = world().await;
    let user = world.send(Sent::new("POST", "/identities?api-version=2023-10-01")).await;
    let id = user.json["identity"]["id"].as_str().unwrap().to_owned();
    let answer = world.post(ISSUE, &json!({"id": id, "ttl": 600, "routeType": "nearest"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let server = &answer.json["iceServers"][0];
    let username = server["username"].as_str().unwrap();
    let (expires, name) = username.split_once(':').unwrap();
    assert_eq!(expires.parse::<i64>().unwrap(), world.now_unix_ms() / 1000 + 600);
    assert!(id.ends_with(&name.replace('-', "")) || id.ends_with(name), "{id} is not {name}");
    let expected = RelayCredential::issue(b"north", name, expires.parse().unwrap());
    assert_eq!(server["credential"], expected.password);
    assert_eq!(server["routeType"], "nearest");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = world().await;
    for body in [
        json!({"ttl": -1}),
        json!({"ttl": 172_801}),
        json!({"routeType": "fastest"}),
        json!({"id": "8:acs:11111111-2222-3333-4444-555555555555_00000021-aaaa-bbbb-cccc-0123456789ab"}),
        json!({"id": "somebody"}),
    ] {
        let answer = world.post(ISSUE, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json["error"]["message"].is_string());
    }
    let wrong = ISSUE.replace("2022-03-01-preview", "2020-01-01");
    assert_eq!(world.post(&wrong, &json!({})).await.status, 400);
}

#[tokio::test]
async fn an_operator_without_servers_has_none_to_name() {
    let world = World::new().await;
    let answer = world.post(ISSUE, &json!({})).await;
    assert_eq!((answer.status.as_u16(), &answer.json["iceServers"]), (200, &json!([])));
}
