//! The engine on a database of its own, with a message centre in this process.

mod smsc;

use super::super::engine;
use super::super::explain::{Question, explain};
use super::super::http_carrier::Hooks;
use crate::config::{Config, Sms, SmsRegistration};
use crate::metrics::Metrics;
use smsc::{Act, Smsc, text};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use trunkline_model::{AssignmentType, Capability, E164, NumberType, SubscriptionClass, TrunkId};
use trunkline_sms::party::Sender;
use trunkline_sms::receipt::State as CarrierState;
use trunkline_sms::status::CommandStatus;
use trunkline_storage::messages::inbound::InboundText;
use trunkline_storage::messages::{
    self, Accepted, Content, Message, MessageId, NewMessage, Purpose, Source, State, Status, history,
    inbound, queue, unmatched,
};
use trunkline_storage::numbers::{self, Act as Deed, NewNumber, Terms, Wanted};
use trunkline_storage::opt_outs::{self, Origin, Pair, Scope};
use trunkline_storage::reservations::{self, Kind, NewReservation};
use trunkline_storage::resources::{self, Billing, Resource, Secret};
use trunkline_storage::{Error, Store};
use uuid::Uuid;

const NUMBER: &str = "+14255550100";

/// A store, an engine on it, and its message centre.
struct Scene {
    store: Store,
    engine: Option<engine::Handle>,
    config: Sms,
    resource: Uuid,
    metrics: Arc<Metrics>,
    smsc: Smsc,
    _folder: TempDir,
}

macro_rules! write {
    ($store:expr, |$db:ident| $work:expr) => {{
        let work: Result<_, Error> = $store.write(move |$db| Box::pin(async move { $work })).await;
        work.unwrap()
    }};
}

impl Scene {
    /// Starts an engine whose one carrier is this.
    async fn new(smsc: Smsc, more: &str) -> Self {
        let mut scene = Self::idle(smsc, more).await;
        scene.start().await;
        scene
    }

    async fn idle(smsc: Smsc, more: &str) -> Self {
        Self::idle_with(smsc, more, "").await
    }

    /// Prepares everything and starts nothing; `session` is more about the SMPP session.
    async fn idle_with(smsc: Smsc, more: &str, session: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("t.db").display())).await.unwrap();
        let text = format!(
            "[sms]\nregistration = \"assumed\"\n[[sms.carrier]]\nname = \"texts\"\n{more}\n[sms.carrier.smpp]\n\
             host = \"{}\"\nport = {}\nsystem_id = \"us\"\npassword = \"secret\"\nresponse_secs = 1\n{session}",
            smsc.address.ip(),
            smsc.address.port()
        );
        let config = Config::parse(Path::new("test.toml"), &text).unwrap().config.sms;
        let resource = owner(&store).await;
        Self { store, engine: None, config, resource, metrics: Arc::default(), smsc, _folder: folder }
    }

    async fn start(&mut self) {
        let hooks = Hooks::new("https://localhost");
        let started =
            engine::start(&self.config, "0".into(), self.store.clone(), &hooks, Arc::clone(&self.metrics));
        self.engine = Some(started.await.unwrap());
    }

    async fn stop(&mut self) {
        self.engine.take().unwrap().stop().await;
    }

    fn message(&self, to: &str, words: &str) -> NewMessage {
        NewMessage {
            resource: self.resource,
            source: Source::Api,
            from: NUMBER.into(),
            to: E164::parse(to).unwrap(),
            content: Content::Text(words.into()),
            purpose: Purpose::Transactional,
            wants_report: true,
            tag: None,
            request: None,
            expires_unix_ms: super::unix_ms() + 3_600_000,
            report_by_unix_ms: super::unix_ms() + 7_200_000,
        }
    }

    async fn accept(&self, batch: Vec<NewMessage>) -> Vec<MessageId> {
        let accepted = write!(self.store, |db| messages::accept(db, &batch, super::unix_ms()).await);
        let id = |accepted| match accepted {
            Accepted::New(id) => id,
            other => panic!("{other:?}"),
        };
        accepted.into_iter().map(id).collect()
    }

    async fn send(&self, to: &str, words: &str) -> MessageId {
        self.accept(vec![self.message(to, words)]).await[0]
    }

    async fn find(&self, id: MessageId) -> Message {
        history::by_id(&mut self.store.read().await.unwrap(), id).await.unwrap().unwrap()
    }

    /// Waits until a message is where it should be.
    async fn until(&self, id: MessageId, wanted: impl Fn(&Message) -> bool) -> Message {
        let found = patiently(async || {
            let message = self.find(id).await;
            wanted(&message).then_some(message)
        });
        match found.await {
            Some(message) => message,
            None => panic!("{:?}", self.find(id).await),
        }
    }

    async fn ended(&self, id: MessageId) -> (Status, u16) {
        let outcome = self.until(id, |message| message.state == State::Ended).await.outcome.unwrap();
        (outcome.status, outcome.code)
    }

    async fn texts(&self, count: usize) -> Vec<InboundText> {
        let texts = patiently(async || {
            let texts = inbound::list(&mut self.store.read().await.unwrap(), None, 100).await.unwrap();
            (texts.len() >= count).then_some(texts)
        });
        texts.await.expect("texts that came in")
    }
}

/// Asks again until there is an answer; none after as long as only a failing test waits.
async fn patiently<T>(mut question: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(answer) = question().await {
            return Some(answer);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// Makes a resource that owns the number.
async fn owner(store: &Store) -> Uuid {
    let now = super::unix_ms();
    let deed = Deed { actor: "test", now_unix_ms: now };
    let resource = Resource {
        id: Uuid::now_v7(),
        name: "contoso".into(),
        created_unix_ms: now,
        data_location: "US".into(),
        primary_key: Secret(vec![1; 32]),
        secondary_key: Secret(vec![2; 32]),
        billing: Billing {
            country: Some("US".into()),
            verified_unix_ms: Some(now),
            emergency_address_unix_ms: None,
            class: SubscriptionClass::Paid,
        },
        suspended_unix_ms: None,
    };
    let number = NewNumber {
        number: E164::parse(NUMBER).unwrap(),
        trunk: TrunkId::parse("carrier-a").unwrap(),
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: "425".into(),
        region: "WA".into(),
        city: "Seattle".into(),
        calling: Capability::InboundOutbound,
        sms: Capability::InboundOutbound,
        monthly_cost_minor: 0,
        currency: "USD".into(),
    };
    let wanted = Wanted {
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: None,
        region: String::new(),
        city: String::new(),
        calling: Capability::None,
        sms: Capability::InboundOutbound,
        fictional: true,
    };
    let terms = Terms {
        assignment_type: AssignmentType::Application,
        calling: Capability::None,
        sms: Capability::InboundOutbound,
        monthly_cost_minor: 0,
        currency: "USD".into(),
    };
    let owner = resource.id;
    let new = NewReservation {
        id: Uuid::now_v7(),
        resource: owner,
        kind: Kind::Search,
        expires_unix_ms: now + 60_000,
        detail: None,
    };
    let reservation = new.id;
    write!(store, |db| {
        resources::insert(db, &resource, &[], deed).await?;
        numbers::import(db, &[number], deed).await?;
        reservations::search(db, &new, &wanted, 1, &terms, deed).await?.expect("the number is free");
        reservations::purchase(db, owner, reservation, None, deed).await
    });
    owner
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_submitted_and_its_receipt_ends_it() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "").await;
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    let received = scene.smsc.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].octets, "Hello!");
    assert_eq!(
        (received[0].source.address.as_str(), received[0].destination.address.as_str()),
        ("14255550100", "12065550111")
    );
    assert_eq!(received[0].registered_delivery, 1);
    patiently(async || (scene.smsc.acknowledged() == 1).then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_has_its_code() {
    let smsc = Smsc::start(|message, before| match (message.destination.address.as_str(), before) {
        ("12065550111", _) => Act::Report(CarrierState::Undeliverable),
        ("12065550112", _) => Act::Report(CarrierState::Rejected),
        ("12065550113", _) => Act::Refuse(CommandStatus::INVALID_DESTINATION),
        ("12065550114", 0) => Act::Refuse(CommandStatus::MESSAGE_QUEUE_FULL),
        ("12065550115", 0) => Act::Refuse(CommandStatus::THROTTLED),
        ("12065550116", _) => Act::ReceiptFirst,
        _ => Act::Deliver,
    });
    let scene = Scene::new(smsc.await, "").await;
    for (to, expected) in [
        ("+12065550111", (Status::Failed, 4006)),
        ("+12065550112", (Status::Failed, 4005)),
        ("+12065550113", (Status::Failed, 4002)),
        ("+12065550115", (Status::Delivered, 2000)),
        ("+12065550116", (Status::Delivered, 2000)),
        ("+12065550114", (Status::Delivered, 2000)),
    ] {
        let id = scene.send(to, "Hello!").await;
        assert_eq!(scene.ended(id).await, expected, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_text_has_one_end() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "").await;
    let id = scene.send("+12065550111", &"Grüße! ".repeat(60)).await;
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    assert_eq!(scene.smsc.received().len(), 3);
    assert_eq!(scene.find(id).await.delivery.segments, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_sends_again_and_marks_it() {
    let smsc = Smsc::start(|_, before| if before == 0 { Act::Close } else { Act::Deliver }).await;
    let scene = Scene::new(smsc, "").await;
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    assert!(scene.find(id).await.delivery.possible_duplicate);
    assert_eq!(scene.smsc.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_breaks_sessions_is_set_aside_and_can_be_let_go() {
    let smsc = Smsc::start(|message, before| {
        let breaks = message.destination.address == "12065550111" && before < 3;
        if breaks { Act::Close } else { Act::Deliver }
    });
    let scene = Scene::new(smsc.await, "").await;
    let id = scene.send("+12065550111", "Hello!").await;
    scene.until(id, |message| message.state == State::Quarantined).await;
    let other = scene.send("+12065550112", "Hello!").await;
    assert_eq!(scene.ended(other).await, (Status::Delivered, 2000));
    assert!(write!(scene.store, |db| queue::release(db, id, super::unix_ms()).await));
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_without_receipts_ends_a_message_as_unknown() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Take).await, "receipts = \"never\"").await;
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Unknown, 5002));
    assert_eq!(scene.smsc.received()[0].registered_delivery, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_ends_what_nothing_else_does() {
    // Taken and never reported.
    let scene = Scene::new(Smsc::start(|_, _| Act::Take).await, "").await;
    let mut message = scene.message("+12065550111", "Hello!");
    message.report_by_unix_ms = super::unix_ms() + 1_500;
    let silent = scene.accept(vec![message]).await[0];
    assert_eq!(scene.ended(silent).await, (Status::Unknown, 5002));
    // Refused until its validity is over.
    let smsc = Smsc::start(|_, _| Act::Refuse(CommandStatus::SYSTEM_ERROR)).await;
    let scene = Scene::new(smsc, "").await;
    let mut message = scene.message("+12065550111", "Hello!");
    message.expires_unix_ms = super::unix_ms() + 1_000;
    let refused = scene.accept(vec![message]).await[0];
    assert_eq!(scene.ended(refused).await, (Status::Expired, 5001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_come_in_are_kept_before_they_are_acknowledged() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "").await;
    scene.smsc.text(text("12065550111", "14255550100", "Hi there"));
    let texts = scene.texts(1).await;
    assert_eq!((texts[0].from.as_str(), texts[0].to.as_str()), ("+12065550111", NUMBER));
    assert_eq!((texts[0].body.as_str(), texts[0].resource), ("Hi there", Some(scene.resource)));
    patiently(async || (scene.smsc.acknowledged() == 1).then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_is_kept_answered_once_and_honoured() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "").await;
    scene.smsc.text(text("12065550111", "14255550100", "Stop."));
    scene.smsc.text(text("12065550111", "14255550100", "STOP"));
    patiently(async || (scene.smsc.acknowledged() >= 2).then_some(())).await.unwrap();
    let pair = Pair {
        resource: scene.resource,
        sender: NUMBER.into(),
        recipient: E164::parse("+12065550111").unwrap(),
    };
    let checked = opt_outs::check(&mut scene.store.read().await.unwrap(), &[pair], Scope::Tenant).await;
    assert_eq!(checked.unwrap(), [true]);
    let id = scene.send("+12065550111", "Buy!").await;
    assert_eq!(scene.ended(id).await, (Status::Failed, 4007));
    patiently(async || (!scene.smsc.received().is_empty()).then_some(())).await.unwrap();
    scene.smsc.text(text("12065550111", "14255550100", "Start"));
    patiently(async || (scene.smsc.received().len() == 2).then_some(())).await.unwrap();
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    let texts: Vec<String> =
        scene.smsc.received().iter().map(|message| String::from_utf8_lossy(&message.octets).into()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].contains("unsubscribed") && texts[1].contains("subscribed again"), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opts_out_while_messages_wait_gets_none_of_them() {
    // The carrier is down, so that they are claimed and put back.
    let mut scene = Scene::idle(Smsc::start(|_, _| Act::Deliver).await, "").await;
    let batch = (0..50).map(|_| scene.message("+12065550111", "Hello!")).collect();
    let ids = scene.accept(batch).await;
    let pair = [Pair {
        resource: scene.resource,
        sender: "+14255550199".into(),
        recipient: E164::parse("+12065550111").unwrap(),
    }];
    write!(scene.store, |db| opt_outs::add(db, &pair, Origin::Operator, 0).await);
    scene.start().await;
    for id in ids {
        assert_eq!(scene.ended(id).await, (Status::Failed, 4007));
    }
    assert_eq!(scene.smsc.received(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_joined_across_a_restart() {
    let mut scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "").await;
    let part = |header: [u8; 6], words: &str| {
        let mut message = text("12065550111", "14255550100", words);
        message.esm_class = 0x40;
        message.octets = [&header[..], words.as_bytes()].concat().into();
        message
    };
    scene.smsc.text(part([5, 0, 3, 9, 2, 2], "world"));
    patiently(async || (scene.smsc.acknowledged() == 1).then_some(())).await.unwrap();
    scene.stop().await;
    scene.start().await;
    scene.smsc.text(part([5, 0, 3, 9, 2, 1], "Hello, "));
    let texts = scene.texts(1).await;
    assert_eq!((texts[0].body.as_str(), texts[0].segments, texts[0].partial), ("Hello, world", 2, false));
    let parts = patiently(async || {
        let parts = inbound::parts(&mut scene.store.read().await.unwrap(), 0, 10).await.unwrap();
        parts.is_empty().then_some(())
    });
    parts.await.expect("no part is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_after_a_restart_finds_its_message() {
    let mut scene = Scene::new(Smsc::start(|_, _| Act::Take).await, "").await;
    let id = scene.send("+12065550111", "Hello!").await;
    scene.until(id, |message| message.state == State::Sent).await;
    scene.stop().await;
    scene.start().await;
    let segments = {
        let seq = scene.find(id).await.seq;
        messages::delivery::segments(&mut scene.store.read().await.unwrap(), &[seq]).await.unwrap()
    };
    let carrier_id = segments[0].taken.carrier_id.clone().unwrap();
    let mut receipt = text("12065550111", "14255550100", &format!("id:{carrier_id} stat:DELIVRD err:000"));
    receipt.esm_class = 0x04;
    scene.smsc.text(receipt.clone());
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    // One that nobody knows is listed, and acknowledged all the same.
    receipt.octets = "id:FFFF stat:DELIVRD err:000".into();
    scene.smsc.text(receipt);
    patiently(async || (scene.smsc.acknowledged() == 2).then_some(())).await.unwrap();
    let listed = unmatched::list(&mut scene.store.read().await.unwrap(), None, 10).await.unwrap();
    assert_eq!(
        listed.iter().map(|receipt| receipt.carrier_id.as_deref()).collect::<Vec<_>>(),
        [Some("FFFF")]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_when_the_engine_stops_is_sent_by_the_next_one_unmarked() {
    let mut scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "segments_per_sec_max = 50").await;
    let batch = (0..120).map(|at| scene.message(&format!("+120655501{:02}", at % 100), "Hello!")).collect();
    let ids = scene.accept(batch).await;
    patiently(async || (scene.smsc.received().len() > 10).then_some(())).await.unwrap();
    scene.stop().await;
    for id in &ids {
        let message = scene.find(*id).await;
        assert_ne!(message.state, State::Sending);
        assert!(!message.delivery.possible_duplicate);
    }
    scene.start().await;
    for id in &ids {
        assert_eq!(scene.ended(*id).await, (Status::Delivered, 2000));
    }
    assert_eq!(scene.smsc.received().len(), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_with_many_messages_does_not_hold_up_another() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "segments_per_sec_max = 100").await;
    let batch: Vec<NewMessage> = (0..3_000).map(|_| scene.message("+12065550111", "Hello!")).collect();
    scene.accept(batch).await;
    let mut other = scene.message("+12065550112", "Hello!");
    other.resource = Uuid::now_v7();
    let began = scene.smsc.received().len();
    let id = scene.accept(vec![other]).await[0];
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    let between = scene.smsc.received().len() - began;
    assert!(between < 1_500, "{between} of the other tenant went first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_comes_back_is_used_again() {
    let scene = Scene::new(Smsc::start(|_, _| Act::Deliver).await, "").await;
    let first = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(first).await, (Status::Delivered, 2000));
    scene.smsc.kick();
    let second = scene.send("+12065550112", "Hello!").await;
    assert_eq!(scene.ended(second).await, (Status::Delivered, 2000));
    assert!(scene.metrics.render().contains("trunkline_sms_carrier_up{carrier=\"texts\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_carriers_that_are_who_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let (signed, key) = {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["smpp.carrier.example".to_owned()]).unwrap();
        (parameters.self_signed(&key).unwrap(), key)
    };
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, signed.pem()).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], private)
        .unwrap();
    let smsc = Smsc::start_with(Some(Arc::new(config).into()), |_, _| Act::Deliver).await;
    let tls = |name: &str| {
        let authority = authority.display();
        format!("tls = true\ntls_server_name = \"{name}\"\ntls_ca_file = \"{authority}\"\n")
    };
    let mut scene = Scene::idle_with(smsc.clone(), "", &tls("smpp.carrier.example")).await;
    scene.start().await;
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));

    // Whoever has a certificate for another name gets nothing, not even the password.
    let mut scene = Scene::idle_with(smsc, "", &tls("smpp.other.example")).await;
    scene.start().await;
    let mut message = scene.message("+12065550112", "Hello!");
    message.expires_unix_ms = super::unix_ms() + 1_000;
    let id = scene.accept(vec![message]).await[0];
    assert_eq!(scene.ended(id).await, (Status::Expired, 5001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_never_comes_is_not_waited_for() {
    let acts = |_: &_, before| if before == 0 { Act::Silence } else { Act::Deliver };
    let scene = Scene::new(Smsc::start(acts).await, "").await;
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Delivered, 2000));
    assert!(scene.find(id).await.delivery.possible_duplicate);
    // A carrier whose answers may not be sent twice.
    let scene = Scene::new(Smsc::start(|_, _| Act::Silence).await, "lost_response = \"fail\"").await;
    let id = scene.send("+12065550111", "Hello!").await;
    assert_eq!(scene.ended(id).await, (Status::Failed, 5000));
    assert_eq!(scene.smsc.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_router_would_decide_is_explained() {
    let scene = Scene::idle(Smsc::start(|_, _| Act::Deliver).await, "").await;
    let question = Question {
        from: Sender::parse(NUMBER).unwrap(),
        to: E164::parse("+12065550111").unwrap(),
        text: "Hello!".into(),
        purpose: Purpose::Transactional,
    };
    let ask = async |config: &Sms| {
        let decision = explain(config, &mut scene.store.read().await.unwrap(), &question).await.unwrap();
        decision.to_string()
    };
    assert_eq!(
        ask(&scene.config).await,
        "sender: local may send there\ntrunk texts: chosen\n=> send to texts"
    );
    // Without a campaign, where one is asked for.
    let mut strict = scene.config.clone();
    strict.senders.registration = SmsRegistration::Required;
    let said = ask(&strict).await;
    assert!(
        said.ends_with("=> refuse with 4009: the local number is attached to no approved campaign"),
        "{said}"
    );
    let pair = [Pair { resource: scene.resource, sender: NUMBER.into(), recipient: question.to }];
    write!(scene.store, |db| opt_outs::add(db, &pair, Origin::Operator, 0).await);
    let said = ask(&scene.config).await;
    assert!(said.ends_with("=> refuse with 4007: the recipient has opted out"), "{said}");
}
