//! Outgoing texts: accepted once, claimed by turns, settled under a lease, ended once.

use crate::database::Database;
use crate::inventory::{NOW, at, resource};
use crate::writing::write;
use trunkline_model::{E164, TrunkId};
use trunkline_storage::messages::delivery::{self, Next, Report, Settled, Taken};
use trunkline_storage::messages::queue::{self, Lane, Terms};
use trunkline_storage::messages::{
    self, Accepted, Content, Delivery, Message, MessageId, NewMessage, Outcome, Purpose, REQUEST_KEPT_MS,
    Request, Source, State, Status, history,
};
use trunkline_storage::{Store, Topic, resources};
use uuid::Uuid;

crate::on_both_engines! {
    a_batch_is_accepted_in_order_and_read_back,
    a_wish_that_comes_again_is_accepted_once,
    claims_take_turns_and_never_the_same_message,
    what_waits_for_one_thing_is_out_of_the_way_of_the_rest,
    a_lease_that_was_lost_settles_nothing,
    what_a_node_had_claimed_when_it_ended_is_a_possible_duplicate,
    receipts_move_segments_forward_only,
    segments_are_found_by_the_ids_of_receipts,
    a_message_ends_once_and_is_overdue_before_that,
    quarantine_keeps_a_message_until_it_is_released,
    old_messages_are_pruned_with_their_segments,
}

const HOUR_MS: i64 = 3_600_000;

pub(crate) fn text(resource: Uuid, to: u32, body: &str) -> NewMessage {
    NewMessage {
        resource,
        source: Source::Api,
        from: "+18335550100".into(),
        to: E164::parse(&format!("+120655501{to:02}")).unwrap(),
        content: Content::Text(body.into()),
        purpose: Purpose::Transactional,
        wants_report: true,
        tag: Some("campaign-1".into()),
        request: None,
        expires_unix_ms: NOW + 24 * HOUR_MS,
        report_by_unix_ms: NOW + 48 * HOUR_MS,
    }
}

fn wish(resource: Uuid, id: &str, body: &str) -> NewMessage {
    let request = Request { id: id.into(), fingerprint: body.as_bytes().to_vec() };
    NewMessage { request: Some(request), ..text(resource, 11, body) }
}

async fn tenant(store: &Store, name: &str) -> Uuid {
    let tenant = resource(name);
    let id = tenant.id;
    write!(store, |db| resources::insert(db, &tenant, &[], at(NOW)).await);
    id
}

async fn accept(store: &Store, messages: Vec<NewMessage>) -> Vec<Accepted> {
    write!(store, |db| messages::accept(db, &messages, NOW).await)
}

async fn claim(store: &Store, lane: &Lane, now: i64, limit: u16) -> Vec<Message> {
    let lane = lane.clone();
    let terms = Terms { node: "n1", now_unix_ms: now, lease_until_unix_ms: now + HOUR_MS };
    write!(store, |db| queue::claim(db, &lane, terms, limit).await)
}

async fn find(store: &Store, id: MessageId) -> Message {
    history::by_id(&mut store.read().await.unwrap(), id).await.unwrap().unwrap()
}

async fn settle(store: &Store, settled: Vec<Settled>) -> usize {
    write!(store, |db| delivery::settle(db, &settled).await).len()
}

fn settled(message: &Message, next: Next) -> Settled {
    Settled { seq: message.seq, claims: message.claims, delivery: message.delivery.clone(), next }
}

fn lane(resource: Uuid, name: &str) -> Lane {
    Lane { resource, name: name.into() }
}

fn id(accepted: &Accepted) -> MessageId {
    match accepted {
        Accepted::New(id) | Accepted::Again(id) => *id,
        Accepted::Conflict => panic!("refused"),
    }
}

fn delivered() -> Next {
    Next::Ended(Outcome {
        status: Status::Delivered,
        code: 2000,
        detail: "delivered".into(),
        ended_unix_ms: NOW,
    })
}

async fn a_batch_is_accepted_in_order_and_read_back(database: Database) {
    let store = database.open().await;
    let tenant = tenant(&store, "contoso").await;
    let mut word = store.subscribe(Topic::Messages);
    let mut batch: Vec<NewMessage> = (0..100).map(|to| text(tenant, to, "Grüße 😀\0")).collect();
    let octets = Content::Octets { octets: vec![5, 0, 3, 0, 255], data_coding: 8, header: true };
    batch[7].content = octets.clone();
    batch[8].source = Source::Account("acme".into());
    batch[9].purpose = Purpose::Marketing;
    let accepted = accept(&store, batch).await;
    word.changed().await;

    let claimed = claim(&store, &lane(tenant, ""), NOW, 1000).await;
    let ids: Vec<Accepted> = claimed.iter().map(|message| Accepted::New(message.id)).collect();
    assert_eq!(ids, accepted);
    let first = &claimed[0];
    assert_eq!((first.from.as_str(), first.to.to_string().as_str()), ("+18335550100", "+12065550100"));
    assert_eq!(first.content, Content::Text("Grüße 😀\u{fffd}".into()));
    assert_eq!((first.tag.as_deref(), first.wants_report), (Some("campaign-1"), true));
    assert_eq!((first.state, first.outcome.clone(), first.claims), (State::Sending, None, 1));
    assert_eq!(first.delivery, Delivery::default());
    assert_eq!(claimed[7].content, octets);
    assert_eq!(claimed[8].source, Source::Account("acme".into()));
    assert_eq!(claimed[9].purpose, Purpose::Marketing);
    assert_eq!(find(&store, first.id).await, *first);
}

async fn a_wish_that_comes_again_is_accepted_once(database: Database) {
    let store = database.open().await;
    let (contoso, fabrikam) = (tenant(&store, "contoso").await, tenant(&store, "fabrikam").await);
    let first = accept(&store, vec![wish(contoso, "r1", "a"), wish(contoso, "r2", "b")]).await;
    assert!(matches!(first[..], [Accepted::New(_), Accepted::New(_)]));
    let (one, two) = (id(&first[0]), id(&first[1]));

    // The same, other contents, the same name at another resource, and a new one, all at once and one of them twice.
    let batch = vec![
        wish(contoso, "r1", "a"),
        wish(contoso, "r2", "c"),
        wish(fabrikam, "r1", "a"),
        wish(contoso, "r3", "d"),
        wish(contoso, "r3", "d"),
        wish(contoso, "r3", "e"),
        text(contoso, 11, "no wish"),
    ];
    let second = accept(&store, batch).await;
    assert_eq!(second[0], Accepted::Again(one));
    assert_eq!(second[1], Accepted::Conflict);
    assert!(matches!(second[2], Accepted::New(_)));
    let Accepted::New(three) = second[3] else { panic!("{second:?}") };
    assert_eq!(second[4..6], [Accepted::Again(three), Accepted::Conflict]);
    assert!(matches!(second[6], Accepted::New(_)));
    assert_ne!(one, two);
    assert_eq!(claim(&store, &lane(contoso, ""), NOW, 1000).await.len(), 4);
    assert_eq!(claim(&store, &lane(fabrikam, ""), NOW, 1000).await.len(), 1);

    // A day later it is another wish.
    write!(store, |db| messages::forget_requests(db, NOW + REQUEST_KEPT_MS - 1, 100).await);
    assert_eq!(accept(&store, vec![wish(contoso, "r1", "a")]).await, [Accepted::Again(one)]);
    assert_eq!(write!(store, |db| messages::forget_requests(db, NOW + REQUEST_KEPT_MS, 100).await), 4);
    assert!(matches!(accept(&store, vec![wish(contoso, "r1", "other")]).await[..], [Accepted::New(_)]));
}

async fn claims_take_turns_and_never_the_same_message(database: Database) {
    let store = database.open().await;
    let (contoso, fabrikam) = (tenant(&store, "contoso").await, tenant(&store, "fabrikam").await);
    accept(&store, (0..50).map(|to| text(contoso, to, "a")).collect()).await;
    accept(&store, (0..2).map(|to| text(fabrikam, to, "b")).collect()).await;

    let mut db = store.read().await.unwrap();
    let mut lanes = queue::lanes(&mut db, &Lane::BEFORE_ALL, 10).await.unwrap();
    lanes.sort();
    let mut expected = [(lane(contoso, ""), NOW), (lane(fabrikam, ""), NOW)];
    expected.sort();
    assert_eq!(lanes, expected);
    // Page by page.
    let page = queue::lanes(&mut db, &Lane::BEFORE_ALL, 1).await.unwrap();
    let rest = queue::lanes(&mut db, &page[0].0, 10).await.unwrap();
    assert_eq!([page, rest].concat(), lanes);
    drop(db);

    assert_eq!(claim(&store, &lane(contoso, ""), NOW - 1, 10).await, []);
    let mut seen = Vec::new();
    for expected in [20, 20, 10, 0] {
        let claimed = claim(&store, &lane(contoso, ""), NOW, 20).await;
        assert_eq!(claimed.len(), expected);
        seen.extend(claimed.into_iter().map(|message| message.to.to_string()));
    }
    let all: Vec<String> = (0..50).map(|to| format!("+120655501{to:02}")).collect();
    assert_eq!(seen, all);
    assert_eq!(claim(&store, &lane(fabrikam, ""), NOW, 20).await.len(), 2);
    let lanes = queue::lanes(&mut store.read().await.unwrap(), &Lane::BEFORE_ALL, 10).await.unwrap();
    assert_eq!(lanes, []);
}

async fn what_waits_for_one_thing_is_out_of_the_way_of_the_rest(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, (0..3).map(|to| text(contoso, to, "a")).collect()).await;
    let claimed = claim(&store, &lane(contoso, ""), NOW, 10).await;
    let next = |due_unix_ms| Next::Queued { lane: "trunk:carrier-a".into(), due_unix_ms };
    let moved = vec![settled(&claimed[0], next(NOW)), settled(&claimed[1], next(NOW + 1))];
    assert_eq!(settle(&store, moved).await, 2);

    assert_eq!(claim(&store, &lane(contoso, ""), NOW + HOUR_MS - 1, 10).await, []);
    let waiting = lane(contoso, "trunk:carrier-a");
    let lanes = queue::lanes(&mut store.read().await.unwrap(), &Lane::BEFORE_ALL, 10).await.unwrap();
    assert_eq!(lanes, [(waiting.clone(), NOW)]);
    assert_eq!(claim(&store, &waiting, NOW, 10).await.len(), 1);
    assert_eq!(claim(&store, &waiting, NOW + 1, 10).await.len(), 1);
}

async fn a_lease_that_was_lost_settles_nothing(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, vec![text(contoso, 1, "a")]).await;
    let first = claim(&store, &lane(contoso, ""), NOW, 10).await.remove(0);
    assert_eq!(write!(store, |db| queue::recover_lost(db, NOW + HOUR_MS - 1, 10).await), 0);
    assert_eq!(write!(store, |db| queue::extend(db, "n1", NOW + 2 * HOUR_MS).await), 1);
    assert_eq!(write!(store, |db| queue::recover_lost(db, NOW + HOUR_MS, 10).await), 0);
    assert_eq!(write!(store, |db| queue::recover_lost(db, NOW + 2 * HOUR_MS, 10).await), 1);
    let second = claim(&store, &lane(contoso, ""), NOW + 2 * HOUR_MS, 10).await.remove(0);
    assert!(second.delivery.possible_duplicate);
    assert_eq!(settle(&store, vec![settled(&first, Next::Sent)]).await, 0);
    assert_eq!(settle(&store, vec![settled(&second, Next::Sent)]).await, 1);
}

async fn what_a_node_had_claimed_when_it_ended_is_a_possible_duplicate(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, (0..5).map(|to| text(contoso, to, "a")).collect()).await;
    let claimed = claim(&store, &lane(contoso, ""), NOW, 3).await;
    settle(&store, vec![settled(&claimed[0], Next::Sent)]).await;

    assert_eq!(write!(store, |db| queue::recover_own(db, "n2", NOW, 10).await), 0);
    assert_eq!(write!(store, |db| queue::recover_own(db, "n1", NOW, 10).await), 2);
    let again = claim(&store, &lane(contoso, ""), NOW, 10).await;
    let flags: Vec<bool> = again.iter().map(|message| message.delivery.possible_duplicate).collect();
    assert_eq!(flags, [true, true, false, false]);
}

fn taken(message: &Message, segment: u8, carrier_id: &str) -> Taken {
    Taken {
        message: message.seq,
        segment,
        total: 2,
        reference: 0xfffe,
        trunk: TrunkId::parse("carrier-a").unwrap(),
        carrier_id: Some(carrier_id.into()),
        bare_id: carrier_id.rsplit_once('-').map(|(_, bare)| bare.into()),
    }
}

async fn receipts_move_segments_forward_only(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, vec![text(contoso, 1, "a")]).await;
    let message = claim(&store, &lane(contoso, ""), NOW, 3).await.remove(0);
    let both = vec![taken(&message, 0, "1A"), taken(&message, 1, "1B")];
    write!(store, |db| delivery::take(db, &both).await);
    for (state, expected) in [(1, 1), (2, 2), (5, 2), (1, 2)] {
        let error = Some("000".to_owned());
        let reports = vec![Report { message: message.seq, segment: 1, state, error }];
        write!(store, |db| delivery::report(db, &reports).await);
        let seq = message.seq;
        let segments = write!(store, |db| delivery::segments(db, &[seq]).await);
        let states: Vec<u8> = segments.iter().map(|segment| segment.state).collect();
        assert_eq!(states, [0, expected]);
    }
    // Sent again, it has a new id and nothing is known of it.
    let again = vec![taken(&message, 1, "2B")];
    write!(store, |db| delivery::take(db, &again).await);
    let seq = message.seq;
    let segments = write!(store, |db| delivery::segments(db, &[seq]).await);
    assert_eq!((segments[1].state, segments[1].taken.carrier_id.as_deref()), (0, Some("2B")));
}

async fn segments_are_found_by_the_ids_of_receipts(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, vec![text(contoso, 1, "a"), text(contoso, 2, "a")]).await;
    let messages = claim(&store, &lane(contoso, ""), NOW, 3).await;
    let all = vec![taken(&messages[0], 0, "1A"), taken(&messages[1], 0, "X-7")];
    write!(store, |db| delivery::take(db, &all).await);
    let (a, b) = (TrunkId::parse("carrier-a").unwrap(), TrunkId::parse("carrier-b").unwrap());
    let mut db = store.read().await.unwrap();
    let wanted = ["1A".to_owned(), "26".to_owned()];
    let found = delivery::by_carrier_id(&mut db, &a, &wanted, &wanted).await.unwrap();
    assert_eq!(
        found.iter().map(|(segment, to)| (segment.taken.message, *to)).collect::<Vec<_>>(),
        [(messages[0].seq, messages[0].to)]
    );
    let found = delivery::by_carrier_id(&mut db, &a, &[], &["7".into()]).await.unwrap();
    assert_eq!(found[0].0.taken.message, messages[1].seq);
    assert_eq!(delivery::by_carrier_id(&mut db, &b, &wanted, &["7".into()]).await.unwrap(), []);
}

async fn a_message_ends_once_and_is_overdue_before_that(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    let early = NewMessage { expires_unix_ms: NOW + 5, report_by_unix_ms: NOW + 9, ..text(contoso, 1, "a") };
    accept(&store, vec![early, text(contoso, 2, "a")]).await;
    let messages = claim(&store, &lane(contoso, ""), NOW, 1).await;

    // Under lease its sender minds the time.
    assert_eq!(write!(store, |db| delivery::overdue(db, NOW + 100, 10).await), []);
    assert_eq!(delivery::next_deadline(&mut store.read().await.unwrap()).await.unwrap(), Some(NOW + 5));
    settle(&store, vec![settled(&messages[0], Next::Sent)]).await;
    assert_eq!(delivery::next_deadline(&mut store.read().await.unwrap()).await.unwrap(), Some(NOW + 9));
    assert_eq!(write!(store, |db| delivery::overdue(db, NOW + 8, 10).await), []);
    let overdue = write!(store, |db| delivery::overdue(db, NOW + 9, 10).await);
    assert_eq!(overdue.iter().map(|message| message.seq).collect::<Vec<_>>(), [messages[0].seq]);

    assert_eq!(settle(&store, vec![settled(&overdue[0], delivered())]).await, 1);
    let failed =
        Outcome { status: Status::Failed, code: 5000, detail: "late".into(), ended_unix_ms: NOW + 10 };
    assert_eq!(settle(&store, vec![settled(&overdue[0], Next::Ended(failed))]).await, 0);
    let ended = find(&store, messages[0].id).await;
    let outcome = ended.outcome.unwrap();
    assert_eq!((ended.state, outcome.status, outcome.code), (State::Ended, Status::Delivered, 2000));
    assert_eq!(write!(store, |db| delivery::overdue(db, NOW + 9, 10).await), []);
    let counted = history::count(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(counted, [(State::Queued, 1)]);
}

async fn quarantine_keeps_a_message_until_it_is_released(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, vec![text(contoso, 1, "a")]).await;
    let message = claim(&store, &lane(contoso, ""), NOW, 1).await.remove(0);
    settle(&store, vec![settled(&message, Next::Quarantined)]).await;
    assert_eq!(claim(&store, &lane(contoso, ""), NOW + HOUR_MS, 1).await, []);
    let filter = history::Filter { state: Some(State::Quarantined), ..history::Filter::default() };
    let listed = history::list(&mut store.read().await.unwrap(), &filter, None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(write!(store, |db| delivery::overdue(db, NOW + 24 * HOUR_MS, 10).await).len(), 1);
    let id = message.id;
    assert!(write!(store, |db| queue::release(db, id, NOW).await));
    assert!(!write!(store, |db| queue::release(db, id, NOW).await));
    assert_eq!(claim(&store, &lane(contoso, ""), NOW, 1).await.len(), 1);
}

async fn old_messages_are_pruned_with_their_segments(database: Database) {
    let store = database.open().await;
    let contoso = tenant(&store, "contoso").await;
    accept(&store, (0..3).map(|to| text(contoso, to, "a")).collect()).await;
    let messages = claim(&store, &lane(contoso, ""), NOW, 3).await;
    let all: Vec<Taken> = messages.iter().map(|message| taken(message, 0, "1A")).collect();
    write!(store, |db| delivery::take(db, &all).await);
    settle(&store, vec![settled(&messages[0], delivered()), settled(&messages[2], delivered())]).await;

    let seqs: Vec<i64> = messages.iter().map(|message| message.seq).collect();
    assert_eq!(write!(store, |db| history::prune(db, NOW - 1, 10).await), 0);
    assert_eq!(write!(store, |db| history::prune(db, NOW, 2).await), 1);
    assert_eq!(write!(store, |db| history::prune(db, NOW, 10).await), 1);
    let wanted = seqs.clone();
    let kept = write!(store, |db| delivery::segments(db, &wanted).await);
    assert_eq!(kept.iter().map(|segment| segment.taken.message).collect::<Vec<_>>(), [seqs[1]]);
    let filter = history::Filter { resource: Some(contoso), ..history::Filter::default() };
    let mut db = store.read().await.unwrap();
    assert_eq!(history::list(&mut db, &filter, None, 10).await.unwrap().len(), 1);
    let to = messages[1].to.to_string();
    assert_eq!(history::with_recipient(&mut db, &to, None, None, 10).await.unwrap().len(), 1);
    assert_eq!(history::with_recipient(&mut db, &to, Some("12345"), None, 10).await.unwrap(), []);
}
