//! Texts that come in and their parts, receipts that match nothing, brands' days, opt-outs.

use crate::database::Database;
use crate::inventory::{NOW, at, resource};
use crate::writing::write;
use serde_json::json;
use trunkline_model::{E164, TrunkId};
use trunkline_storage::messages::brand_day;
use trunkline_storage::messages::inbound::{self, InboundText, Part};
use trunkline_storage::messages::unmatched::{self, KEPT_MS, Unmatched};
use trunkline_storage::opt_outs::{self, Origin, Pair, Scope};
use trunkline_storage::resources;
use uuid::Uuid;

crate::on_both_engines! {
    texts_that_came_in_are_listed_latest_first,
    parts_wait_for_the_rest,
    receipts_that_match_nothing_are_kept_for_a_while,
    segments_of_a_brand_add_up_by_day,
    an_opt_out_stops_what_the_scope_says,
}

fn carrier() -> TrunkId {
    TrunkId::parse("carrier-a").unwrap()
}

fn text(to: &str, body: &str, owner: Option<Uuid>) -> InboundText {
    InboundText {
        seq: 0,
        id: InboundText::new_id(NOW),
        resource: owner,
        trunk: carrier(),
        from: "+12065550111".into(),
        to: to.into(),
        body: body.into(),
        received_unix_ms: NOW,
        segments: 2,
        partial: true,
    }
}

async fn texts_that_came_in_are_listed_latest_first(database: Database) {
    let store = database.open().await;
    let texts = vec![text("+14255550100", "a", None), text("+14255550101", "b", Some(Uuid::now_v7()))];
    let kept = texts.clone();
    write!(store, |db| inbound::insert(db, &kept).await);
    let mut db = store.read().await.unwrap();
    let listed = inbound::list(&mut db, None, 10).await.unwrap();
    let without_seq: Vec<InboundText> =
        listed.iter().map(|text| InboundText { seq: 0, ..text.clone() }).collect();
    assert_eq!(without_seq, [texts[1].clone(), texts[0].clone()]);
    assert_eq!(inbound::list(&mut db, Some(listed[0].seq), 10).await.unwrap(), listed[1..]);
    let owner = texts[1].resource.unwrap();
    assert_eq!(inbound::of_resource(&mut db, owner, None, 10).await.unwrap(), listed[..1]);
    assert_eq!(inbound::of_resource(&mut db, owner, Some(listed[0].seq), 10).await.unwrap(), []);
    let one = inbound::with_sender(&mut db, "+12065550111", Some("+14255550100"), None, 10).await.unwrap();
    assert_eq!(one, listed[1..]);
    assert_eq!(inbound::with_sender(&mut db, "+12065550111", None, None, 10).await.unwrap(), listed);
    drop(db);
    assert_eq!(write!(store, |db| inbound::prune(db, NOW - 1, 10).await), 0);
    assert_eq!(write!(store, |db| inbound::prune(db, NOW, 10).await), 2);
}

async fn parts_wait_for_the_rest(database: Database) {
    let store = database.open().await;
    let part = |part| Part {
        id: 0,
        trunk: carrier(),
        from: "+12065550111".into(),
        to: "+14255550100".into(),
        reference: 0xfffe,
        total: 3,
        part,
        octets: vec![0, 1, 255],
        decoding: json!({"charset": "ucs2"}),
        received_unix_ms: NOW,
    };
    let (first, second) = (part(3), part(1));
    let one = write!(store, |db| inbound::insert_part(db, &first).await);
    let two = write!(store, |db| inbound::insert_part(db, &second).await);
    let mut db = store.read().await.unwrap();
    let parts = inbound::parts(&mut db, 0, 10).await.unwrap();
    assert_eq!(parts, [Part { id: one, ..part(3) }, Part { id: two, ..part(1) }]);
    assert_eq!(inbound::parts(&mut db, one, 10).await.unwrap(), parts[1..]);
    drop(db);
    write!(store, |db| inbound::remove_parts(db, &[one, two]).await);
    assert_eq!(inbound::parts(&mut store.read().await.unwrap(), 0, 10).await.unwrap(), []);
}

async fn receipts_that_match_nothing_are_kept_for_a_while(database: Database) {
    let store = database.open().await;
    let receipt = |carrier_id: &str, received_unix_ms| Unmatched {
        id: 0,
        trunk: carrier(),
        received_unix_ms,
        source: "12065550111".into(),
        destination: "18335550100".into(),
        carrier_id: Some(carrier_id.into()),
        receipt: json!({"state": "DELIVRD"}),
    };
    let batch = vec![receipt("1A", NOW), receipt("1B", NOW + 1)];
    let ids = write!(store, |db| unmatched::insert(db, &batch).await);
    let listed = unmatched::list(&mut store.read().await.unwrap(), None, 10).await.unwrap();
    assert_eq!(
        listed,
        [Unmatched { id: ids[1], ..receipt("1B", NOW + 1) }, Unmatched { id: ids[0], ..receipt("1A", NOW) }]
    );
    assert_eq!(write!(store, |db| unmatched::prune(db, NOW + KEPT_MS, 10).await), 1);
    let last = ids[1];
    write!(store, |db| unmatched::remove(db, &[last]).await);
    assert_eq!(unmatched::list(&mut store.read().await.unwrap(), None, 10).await.unwrap(), []);
}

async fn segments_of_a_brand_add_up_by_day(database: Database) {
    let store = database.open().await;
    let sent = |brand: &str, day: &str, segments| (brand.to_owned(), day.to_owned(), segments);
    let first = vec![sent("B1", "2026-11-27", 5), sent("B2", "2026-11-27", 1)];
    let second = vec![sent("B1", "2026-11-27", 2), sent("B1", "2026-11-28", 9)];
    write!(store, |db| brand_day::add(db, &first).await);
    write!(store, |db| brand_day::add(db, &second).await);
    let mut of_day = brand_day::of_day(&mut store.read().await.unwrap(), "2026-11-27").await.unwrap();
    of_day.sort();
    assert_eq!(of_day, [("B1".into(), 7), ("B2".into(), 1)]);
    assert_eq!(write!(store, |db| brand_day::prune(db, "2026-11-28").await), 2);
}

async fn an_opt_out_stops_what_the_scope_says(database: Database) {
    let store = database.open().await;
    let (contoso, fabrikam) = (resource("contoso"), resource("fabrikam"));
    let (one, other) = (contoso.id, fabrikam.id);
    write!(store, |db| resources::insert(db, &contoso, &[], at(NOW)).await);
    write!(store, |db| resources::insert(db, &fabrikam, &[], at(NOW)).await);
    let pair = |resource, sender: &str, to: &str| Pair {
        resource,
        sender: sender.into(),
        recipient: E164::parse(to).unwrap(),
    };
    let stopped = pair(one, "+18335550100", "+12065550111");
    let all = vec![
        stopped.clone(),
        pair(one, "+18335550101", "+12065550111"),
        pair(other, "+18335550102", "+12065550111"),
        pair(one, "+18335550100", "+12065550112"),
    ];
    let added = vec![stopped.clone()];
    write!(store, |db| opt_outs::add(db, &added, Origin::Keyword, NOW).await);
    let added = vec![stopped.clone()];
    write!(store, |db| opt_outs::add(db, &added, Origin::Api, NOW + 1).await);
    for (scope, expected) in [
        (Scope::Number, [true, false, false, false]),
        (Scope::Tenant, [true, true, false, false]),
        (Scope::All, [true, true, true, false]),
    ] {
        let mut db = store.read().await.unwrap();
        assert_eq!(opt_outs::check(&mut db, &all, scope).await.unwrap(), expected, "{scope:?}");
        drop(db);
        // Whoever it stops may take it back.
        for (pair, expected) in all.iter().zip(expected) {
            let mut database = store.read().await.unwrap();
            let before = opt_outs::of_recipient(&mut database, &stopped.recipient).await.unwrap();
            assert_eq!(
                (before.len(), before[0].origin.as_str(), before[0].since_unix_ms),
                (1, "keyword", NOW)
            );
            drop(database);
            let gone = vec![pair.clone()];
            let removed = write!(store, |db| opt_outs::remove(db, &gone, scope).await);
            assert_eq!(removed, u64::from(expected), "{scope:?}");
            if expected {
                let again = vec![stopped.clone()];
                write!(store, |db| opt_outs::add(db, &again, Origin::Keyword, NOW).await);
            }
        }
    }
    let mut db = store.read().await.unwrap();
    let listed = opt_outs::list(&mut db, None, 10).await.unwrap();
    assert_eq!(
        listed.iter().map(|opt_out| opt_out.pair.clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&stopped)
    );
    assert_eq!(opt_outs::list(&mut db, Some(&stopped), 10).await.unwrap(), []);
}
