//! Texts by `POST /sms`, opt-outs, delivery reports, and the link that confirms an event subscription.

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::{ACT, Answer, Sent, World};
use trunkline_api::SmsSettings;
use trunkline_model::event::EventKind;
use trunkline_model::{AssignmentType, Capability, E164, NumberType, TrunkId};
use trunkline_storage::events::{self, Auth, Schema, State, Subscription};
use trunkline_storage::messages::delivery::{self, Next, Settled};
use trunkline_storage::messages::{Content, Outcome, Status, history};
use trunkline_storage::numbers::{self, NewNumber, Terms};
use trunkline_storage::reservations::{self, Kind, NewReservation, Purchase};
use trunkline_storage::{Error, opt_outs};
use uuid::Uuid;

const SEND: &str = "/sms?api-version=2021-03-07";
const FROM: &str = "+18335550100";
const TO: &str = "+12065550111";

#[tokio::test]
async fn what_is_accepted_is_on_disk_with_all_that_was_said_of_it() {
    let world = texting().await;
    let body = json!({
        "from": FROM,
        "smsRecipients": [{ "to": TO }],
        "message": "Grüße ☃",
        "smsSendOptions": { "enableDeliveryReport": true, "tag": "t1", "deliveryReportTimeoutInSeconds": 600 },
    });
    let answer = world.post("/sms?api-version=2026-01-23", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let item = &answer.json["value"][0];
    let id = item["messageId"].as_str().unwrap();
    assert_eq!(
        *item,
        json!({ "to": TO, "messageId": id, "httpStatusCode": 202, "successful": true }),
        "nobody asked for repeatability"
    );
    let kept = message(&world, id).await;
    assert_eq!((kept.from.as_str(), kept.to.to_string().as_str()), (FROM, TO));
    assert_eq!(kept.content, Content::Text("Grüße ☃".to_owned()));
    assert_eq!((kept.wants_report, kept.tag.as_deref()), (true, Some("t1")));
    assert_eq!(kept.report_by_unix_ms, world.now_unix_ms() + 600_000);
    assert_eq!(kept.expires_unix_ms, world.now_unix_ms() + 600_000);
    assert_eq!(kept.resource, world.resource);
}

#[tokio::test]
async fn every_version_of_the_clients_is_served_and_others_are_told_which_there_are() {
    let world = texting().await;
    for version in
        ["2021-03-07", "2024-12-10-preview", "2025-05-29-preview", "2025-08-01-preview", "2026-01-23"]
    {
        let answer = world.post(&format!("/sms?api-version={version}"), &text(&[TO])).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(answer.header("api-supported-versions").contains(version));
    }
    let answer = world.post("/sms?api-version=2020-01-01", &text(&[TO])).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "UnsupportedApiVersion"));
}

#[tokio::test]
async fn each_recipient_has_its_result_in_order() {
    let world = texting().await;
    let to = [TO, "12065550112", "+12065550113", "", "+1206555", "+12065550114"];
    let answer = send(&world, &to).await;
    let items = answer.json["value"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["to"].as_str().unwrap()).collect::<Vec<_>>(), to);
    let codes: Vec<_> = items.iter().map(|item| item["httpStatusCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [202, 400, 202, 400, 400, 202]);
    assert_eq!(
        items[1],
        json!({
            "to": "12065550112",
            "httpStatusCode": 400,
            "successful": false,
            "errorMessage": "Invalid To phone number format.",
        })
    );
    // The whole request is accepted also when nobody can be sent to.
    let answer = send(&world, &["nobody"]).await;
    assert_eq!((answer.status.as_u16(), &answer.json["value"][0]["successful"]), (202, &json!(false)));
}

#[tokio::test]
async fn the_same_wish_is_accepted_once_and_another_one_under_its_name_is_not() {
    let world = texting().await;
    let wish = |message: &str, id: &str| {
        json!({
            "from": FROM,
            "message": message,
            "smsRecipients": [{
                "to": TO,
                "repeatabilityRequestId": id,
                "repeatabilityFirstSent": httpdate(&world),
            }],
        })
    };
    let one = "4427c7e8-7802-4558-8b7e-396170a28aec";
    let first = world.post(SEND, &wish("hi", one)).await;
    let item = &first.json["value"][0];
    assert_eq!((&item["repeatabilityResult"], &item["successful"]), (&json!("accepted"), &json!(true)));
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.post(SEND, &wish("hi", one)).await.json, first.json);

    let other = world.post(SEND, &wish("ho", one)).await;
    let item = &other.json["value"][0];
    assert_eq!((other.status.as_u16(), &item["httpStatusCode"]), (202, &json!(409)));
    assert_eq!((&item["repeatabilityResult"], &item["messageId"]), (&json!("rejected"), &Value::Null));

    let new = world.post(SEND, &wish("hi", "68cd5290-3b0d-4191-a241-05b7491cf82a")).await;
    assert_ne!(new.json["value"][0]["messageId"], first.json["value"][0]["messageId"]);

    // What was first sent longer ago than wishes are known might be sent twice.
    let old = wish("hi", "7aa41dd5-6b19-4338-bb39-a91a5792afcb");
    world.pass(Duration::from_secs(24 * 3_600));
    let answer = world.post(SEND, &old).await;
    let item = &answer.json["value"][0];
    assert_eq!((&item["httpStatusCode"], &item["repeatabilityResult"]), (&json!(400), &json!("rejected")));
}

#[tokio::test]
async fn a_sender_must_belong_to_the_resource_and_send_texts() {
    let world = texting().await;
    buy(&world, "+12065550150", Capability::Inbound).await;
    for from in ["+12065550199", "24365", "CONTOSO", "+12065550150", "55555"] {
        let body = json!({ "from": from, "smsRecipients": [{ "to": TO }], "message": "hi" });
        let answer = world.post(SEND, &body).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (401, "Denied"), "{from}");
    }
    let body = json!({ "from": "24366", "smsRecipients": [{ "to": TO }], "message": "hi" });
    assert_eq!(world.post(SEND, &body).await.status, 202);

    // A number of one resource is nobody's to another.
    world.add_resource(Uuid::from_u128(7), "fabrikam", "fabrikam.localhost:8443", support::KEY).await;
    let sent = Sent::new("POST", SEND).json(&text(&[TO])).to("fabrikam.localhost:8443", support::KEY);
    assert_eq!(world.send(sent).await.status, 401);
}

#[tokio::test]
async fn what_is_no_request_is_told_field_by_field() {
    let world = texting().await;
    let with = |field: &str, value: Value| {
        let mut body = text(&[TO]);
        body[field] = value;
        body
    };
    let recipients = |count: usize| Value::from(vec![json!({ "to": TO }); count]);
    for (body, field) in [
        (with("from", json!("12")), "From"),
        (with("from", json!("")), "From"),
        (with("from", json!("A name too long")), "From"),
        (with("smsRecipients", recipients(0)), "SmsRecipients"),
        (with("smsRecipients", recipients(101)), "SmsRecipients"),
        (with("message", json!("x".repeat(2_049))), "Message"),
        (with("message", json!("😀".repeat(1_025))), "Message"),
        (with("smsSendOptions", json!({ "deliveryReportTimeoutInSeconds": 59 })), TIMEOUT),
        (with("smsSendOptions", json!({ "deliveryReportTimeoutInSeconds": 43_201 })), TIMEOUT),
        (
            with("smsSendOptions", json!({ "messagingConnect": { "partner": "p", "apiKey": "k" } })),
            "SmsSendOptions.MessagingConnect",
        ),
    ] {
        let answer = world.post(SEND, &body).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"), "{field}");
        assert_eq!(answer.json["status"], 400);
        assert_eq!(answer.json["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), [field]);
        assert!(answer.json["traceId"].as_str().unwrap().starts_with("00-"));
        assert!(answer.header("retry-after").is_empty());
    }
    for body in [json!({}), json!({ "from": FROM }), json!([]), with("smsRecipients", json!([{}]))] {
        assert_eq!(world.post(SEND, &body).await.status, 400, "{body}");
    }
    for body in [
        with("message", json!("x".repeat(2_048))),
        with("message", json!("")),
        with("smsRecipients", recipients(100)),
        with("smsSendOptions", Value::Null),
    ] {
        assert_eq!(world.post(SEND, &body).await.status, 202);
    }
}

const TIMEOUT: &str = "SmsSendOptions.DeliveryReportTimeoutInSeconds";

#[tokio::test]
async fn who_has_opted_out_gets_nothing_until_opted_in() {
    let world = texting().await;
    let ask = async |verb: &str, to: &[&str]| {
        let to: Vec<_> = to.iter().map(|to| json!({ "to": to })).collect();
        let body = json!({ "from": FROM, "recipients": to });
        world.post(&format!("/sms/optouts:{verb}?api-version=2025-05-29-preview"), &body).await
    };
    let added = ask("add", &[TO, "nobody"]).await;
    assert_eq!(added.status, 200);
    assert_eq!(
        added.json["value"],
        json!([
            { "to": TO, "httpStatusCode": 200 },
            { "to": "nobody", "httpStatusCode": 400, "errorMessage": "Invalid To phone number format." },
        ])
    );
    let other = "+12065550112";
    let checked = ask("check", &[other, "nobody", TO]).await;
    let opted_out: Vec<_> = (0..3).map(|at| checked.json["value"][at]["isOptedOut"].clone()).collect();
    assert_eq!(opted_out, [json!(false), Value::Null, json!(true)]);

    let answer = send(&world, &[other, TO]).await;
    let item = &answer.json["value"][1];
    assert_eq!((&item["successful"], &item["messageId"]), (&json!(false), &Value::Null));
    assert_eq!(item["errorMessage"], "Sender blocked for given recipient.");
    assert_eq!(answer.json["value"][0]["successful"], true);

    // By default it counts for all numbers of the resource.
    buy(&world, "+12065550151", Capability::InboundOutbound).await;
    let body = json!({ "from": "+12065550151", "smsRecipients": [{ "to": TO }], "message": "hi" });
    assert_eq!(world.post(SEND, &body).await.json["value"][0]["successful"], false);

    assert_eq!(ask("remove", &[TO]).await.json["value"], json!([{ "to": TO, "httpStatusCode": 200 }]));
    assert_eq!(ask("check", &[TO]).await.json["value"][0]["isOptedOut"], false);
    assert_eq!(send(&world, &[TO]).await.json["value"][0]["successful"], true);

    let answer = ask("check", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (400, "BadRequest"));
    let body = json!({ "from": "+12065550199", "recipients": [{ "to": TO }] });
    let answer = world.post("/sms/optouts:add?api-version=2026-01-23", &body).await;
    assert_eq!((answer.status.as_u16(), answer.error_code()), (401, "Denied"));
    let mut db = world.store.read().await.unwrap();
    assert_eq!(opt_outs::list(&mut db, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_report_can_be_had_once_a_text_has_ended() {
    let world = texting().await;
    let body = json!({
        "from": FROM,
        "smsRecipients": [{ "to": TO }],
        "message": "hi",
        "smsSendOptions": { "enableDeliveryReport": true, "tag": "t1" },
    });
    let answer = world.post(SEND, &body).await;
    let id = answer.json["value"][0]["messageId"].as_str().unwrap().to_owned();
    let target = format!("/deliveryReports/{id}?api-version=2026-01-23");
    let early = world.get(&target).await;
    assert_eq!((early.status.as_u16(), early.error_code()), (404, "NotFound"));
    assert_eq!((&early.json["status"], &early.json["title"]), (&json!(404), &json!("Not Found")));

    end(&world, &id).await;
    let report = world.get(&target).await;
    assert_eq!(report.status, 200, "{report:?}");
    assert_eq!(
        report.json,
        json!({
            "deliveryStatus": "Failed",
            "deliveryStatusDetails": "4004: the recipient does not exist.",
            "deliveryAttempts": [
                { "timestamp": "2026-11-23T11:34:33.000Z", "segmentsSucceeded": 0, "segmentsFailed": 1 },
            ],
            "receivedTimestamp": "2026-11-23T11:34:33.000Z",
            "tag": "t1",
            "messageId": id,
            "from": FROM,
            "to": TO,
        })
    );
    world.add_resource(Uuid::from_u128(7), "fabrikam", "fabrikam.localhost:8443", support::KEY).await;
    let sent = Sent::new("GET", &target).to("fabrikam.localhost:8443", support::KEY);
    assert_eq!(world.send(sent).await.status, 404);
    for other in ["nonsense", "Outgoing_20261123113433c9282fc0-5ff1-4dd9-9aed-fb8f5a4784a1"] {
        assert_eq!(world.get(&format!("/deliveryReports/{other}?api-version=2026-01-23")).await.status, 404);
    }
}

#[tokio::test]
async fn a_subscription_is_confirmed_by_whoever_knows_its_code() {
    let world = texting().await;
    let (id, code) = (Uuid::now_v7(), Uuid::new_v4());
    let new = Subscription {
        id,
        resource: world.resource,
        name: "texts".to_owned(),
        url: "https://app.example/events".to_owned(),
        kinds: vec![EventKind::SmsReceived],
        schema: Schema::EventGrid,
        auth: Auth::None,
        validation_code: code,
        state: State::Pending,
        state_unix_ms: world.now_unix_ms(),
        detail: None,
        full_unix_ms: None,
    };
    let now = world.now_unix_ms();
    write(&world, move |db| Box::pin(async move { events::subscribe(db, &new, now).await })).await;
    let target = |code: &str| format!("/eventSubscriptions/{id}/validate?code={code}");
    let unsigned = async |target: String| {
        let request = axum::http::Request::get(target).body(axum::body::Body::empty()).unwrap();
        world.send_unsigned(request).await.status.as_u16()
    };
    assert_eq!(unsigned(target(&Uuid::new_v4().to_string())).await, 404);
    assert_eq!(unsigned(target("x")).await, 400);
    assert_eq!(unsigned(format!("/eventSubscriptions/{id}/validate")).await, 404);
    assert_eq!(unsigned(target(&code.to_string())).await, 200);
    assert_eq!(unsigned(target(&code.to_string())).await, 404);
    let mut db = world.store.read().await.unwrap();
    assert_eq!(events::by_id(&mut db, id).await.unwrap().unwrap().state, State::Active);
}

/// A world whose resource owns a toll-free number that sends texts, and a short code.
async fn texting() -> World {
    let world = World::with(|settings| {
        let senders = [("24366", "contoso"), ("55555", "fabrikam")];
        let senders = senders.map(|(code, resource)| (code.to_owned(), resource.to_owned())).into();
        settings.sms = SmsSettings { senders, ..SmsSettings::default() };
    })
    .await;
    buy(&world, FROM, Capability::InboundOutbound).await;
    world
}

/// Has the resource own a number.
async fn buy(world: &World, number: &str, sms: Capability) {
    let number = E164::parse(number).unwrap();
    let resource = world.resource;
    write(world, move |db| {
        Box::pin(async move {
            let new = NewNumber {
                number,
                trunk: TrunkId::parse("carrier").unwrap(),
                country: "US".into(),
                number_type: NumberType::TollFree,
                area_code: number.digits()[1..4].to_owned(),
                region: String::new(),
                city: String::new(),
                calling: Capability::InboundOutbound,
                sms: Capability::InboundOutbound,
                monthly_cost_minor: 100,
                currency: "USD".into(),
            };
            numbers::import(db, &[new], ACT).await?;
            let terms = Terms {
                assignment_type: AssignmentType::Application,
                calling: Capability::InboundOutbound,
                sms,
                monthly_cost_minor: 200,
                currency: "USD".into(),
            };
            let held = NewReservation {
                id: Uuid::now_v7(),
                resource,
                kind: Kind::Search,
                expires_unix_ms: ACT.now_unix_ms + 900_000,
                detail: None,
            };
            let wanted = numbers::Wanted {
                country: "US".into(),
                number_type: NumberType::TollFree,
                area_code: Some(number.digits()[1..4].to_owned()),
                region: String::new(),
                city: String::new(),
                calling: Capability::Inbound,
                sms: Capability::None,
                fictional: true,
            };
            let found = reservations::search(db, &held, &wanted, 1, &terms, ACT).await?;
            assert!(found.is_some());
            let bought = reservations::purchase(db, resource, held.id, None, ACT).await?;
            assert!(matches!(bought, Purchase::Done(_)));
            Ok(())
        })
    })
    .await;
}

/// Ends a text as the engine does when a carrier says that the recipient does not exist.
async fn end(world: &World, id: &str) {
    let kept = message(world, id).await;
    let now = world.now_unix_ms();
    write(world, move |db| {
        Box::pin(async move {
            let outcome = Outcome {
                status: Status::Failed,
                code: 4004,
                detail: "unknown subscriber".into(),
                ended_unix_ms: now,
            };
            let delivery = kept.delivery.clone();
            let settled =
                Settled { seq: kept.seq, claims: kept.claims, delivery, next: Next::Ended(outcome) };
            assert_eq!(delivery::settle(db, &[settled]).await?.len(), 1);
            Ok(())
        })
    })
    .await;
}

async fn message(world: &World, id: &str) -> trunkline_storage::messages::Message {
    let mut db = world.store.read().await.unwrap();
    history::by_id(&mut db, id.parse().unwrap()).await.unwrap().expect("the message is on disk")
}

async fn write<T: Send + 'static>(
    world: &World,
    work: impl for<'c> FnOnce(
        &'c mut trunkline_storage::Connection,
    ) -> trunkline_storage::BoxFuture<'c, Result<T, Error>>
    + Send
    + 'static,
) -> T {
    world.store.write(work).await.unwrap()
}

fn text(to: &[&str]) -> Value {
    let to: Vec<_> = to.iter().map(|to| json!({ "to": to })).collect();
    json!({ "from": FROM, "smsRecipients": to, "message": "hi" })
}

async fn send(world: &World, to: &[&str]) -> Answer {
    world.post(SEND, &text(to)).await
}

fn httpdate(world: &World) -> String {
    let ms = u64::try_from(world.now_unix_ms()).unwrap();
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(ms))
}
