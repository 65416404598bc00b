//! A small inventory, its buyers, and the check that nothing was sold twice or for nothing.

use std::collections::{BTreeMap, BTreeSet};
use trunkline_model::{
    AssignmentType, Capability, E164, NumberState, NumberType, SubscriptionClass, TrunkId,
};
use trunkline_storage::ledger::Month;
use trunkline_storage::numbers::{self, Act, NewNumber, Terms, Wanted};
use trunkline_storage::reservations::{self, Kind, NewReservation, Purchase, Reservation};
use trunkline_storage::resources::{self, Billing, Resource, Secret};
use trunkline_storage::{Connection, Error, Store, audit, ledger};
use uuid::Uuid;

/// 2026-11-24.
pub(crate) const NOW: i64 = 1_795_478_400_000;
pub(crate) const HOLD_MS: i64 = 900_000;
pub(crate) const DAY_MS: i64 = 86_400_000;
/// When numbers bought in the cases renew, and what is released comes to rest.
pub(crate) const NEXT_MONTH: i64 = NOW + 30 * DAY_MS;

pub(crate) fn at(now_unix_ms: i64) -> Act<'static> {
    Act { actor: "test", now_unix_ms }
}

pub(crate) fn number(index: u32) -> E164 {
    // Only 555-0100 to 555-0199 are for fiction: a hundred in each area code.
    E164::parse(&format!("+1{}55501{:02}", 200 + index / 100, index % 100)).unwrap()
}

pub(crate) fn new_number(index: u32) -> NewNumber {
    NewNumber {
        number: number(index),
        trunk: TrunkId::parse("carrier-a").unwrap(),
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: (200 + index / 100).to_string(),
        region: "WA".into(),
        city: if index.is_multiple_of(2) { "Seattle".into() } else { "Tacoma".into() },
        calling: Capability::InboundOutbound,
        sms: if index.is_multiple_of(3) { Capability::InboundOutbound } else { Capability::None },
        monthly_cost_minor: 50,
        currency: "USD".into(),
    }
}

pub(crate) fn terms() -> Terms {
    Terms {
        assignment_type: AssignmentType::Application,
        calling: Capability::InboundOutbound,
        sms: Capability::None,
        monthly_cost_minor: 100,
        currency: "USD".into(),
    }
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
        country: "US".into(),
        number_type: NumberType::Geographic,
        area_code: None,
        region: String::new(),
        city: String::new(),
        calling: Capability::Inbound,
        sms: Capability::None,
        fictional: true,
    }
}

pub(crate) fn resource(name: &str) -> Resource {
    Resource {
        id: Uuid::now_v7(),
        name: name.into(),
        created_unix_ms: NOW,
        data_location: "US".into(),
        primary_key: Secret(vec![1; 32]),
        secondary_key: Secret(vec![2; 32]),
        billing: Billing {
            country: Some("CA".into()),
            verified_unix_ms: Some(NOW),
            emergency_address_unix_ms: None,
            class: SubscriptionClass::Paid,
        },
        suspended_unix_ms: None,
    }
}

/// Keeps `count` numbers and a resource, and returns the resource's id.
pub(crate) async fn stock(store: &Store, count: u32, name: &str) -> Uuid {
    let resource = resource(name);
    let id = resource.id;
    let written: Result<(), Error> = store
        .write(move |db| {
            Box::pin(async move {
                resources::insert(db, &resource, &[], at(NOW)).await?;
                let new: Vec<_> = (0..count).map(new_number).collect();
                assert_eq!(numbers::import(db, &new, at(NOW)).await?, []);
                Ok(())
            })
        })
        .await;
    written.unwrap();
    id
}

/// Searches for numbers in a unit of its own.
pub(crate) async fn search(
    store: &Store,
    resource: Uuid,
    quantity: u16,
    now: i64,
) -> Result<Option<Reservation>, Error> {
    store
        .write(move |db| {
            Box::pin(async move {
                let new = NewReservation {
                    id: Uuid::now_v7(),
                    resource,
                    kind: Kind::Search,
                    expires_unix_ms: now + HOLD_MS,
                    detail: None,
                };
                reservations::search(db, &new, &wanted(), quantity, &terms(), at(now)).await
            })
        })
        .await
}

/// Buys what a reservation holds in a unit of its own.
pub(crate) async fn purchase(store: &Store, resource: Uuid, id: Uuid, now: i64) -> Result<Purchase, Error> {
    store
        .write(move |db| {
            Box::pin(async move { reservations::purchase(db, resource, id, None, at(now)).await })
        })
        .await
}

/// Checks the invariants over everything there is, and returns how many numbers are owned.
pub(crate) async fn check_invariants(store: &Store, buyers: &[Uuid]) -> usize {
    let mut db = store.read().await.unwrap();
    let owned = numbers::owned_in_trunks(&mut db).await.unwrap();
    let owners: BTreeMap<E164, Uuid> =
        owned.iter().map(|owned| (owned.assignment.number, owned.assignment.resource)).collect();
    assert_eq!(owners.len(), owned.len(), "INV-1: a number has two owners");

    let mut charged = BTreeSet::new();
    for buyer in buyers {
        let month = Month::of_unix_ms(NOW);
        for row in ledger::statement(&mut db, *buyer, month).await.unwrap() {
            if row.kind == ledger::Kind::Purchase {
                assert!(charged.insert(row.assignment.unwrap()), "INV-2: an assignment was charged twice");
            }
        }
    }
    for owned in &owned {
        assert!(charged.contains(&owned.assignment.id), "INV-2: a number was not charged");
    }

    let mut histories = histories(&mut db).await;
    let mut after = None;
    loop {
        let page = numbers::list(&mut db, None, after, 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.imported.number);
        for number in &page {
            let assigned = number.state == NumberState::Assigned;
            let owner = owners.get(&number.imported.number).copied();
            assert_eq!(owner, number.owner.filter(|_| assigned), "{number:?}");
            let history = histories.remove(&number.imported.number).unwrap();
            if check_history(number, &history) {
                for assignment in numbers::assignments_of(&mut db, number.imported.number).await.unwrap() {
                    charged.remove(&assignment.id);
                }
            }
        }
    }
    assert_eq!(histories.len(), 0);
    assert_eq!(charged.len(), 0, "INV-2: a charge without a number");
    owned.len()
}

/// Reads the audit log of every number.
async fn histories(db: &mut Connection) -> BTreeMap<E164, Vec<audit::Kept>> {
    let mut histories = BTreeMap::<_, Vec<_>>::new();
    let mut after = 0;
    loop {
        let page = audit::list(db, after, 5_000).await.unwrap();
        let Some(last) = page.last() else { return histories };
        after = last.id;
        for entry in page {
            // The other entries are about resources.
            if let Some(number) = entry.number {
                histories.entry(number).or_default().push(entry);
            }
        }
    }
}

/// Replays a number's audit log: each entry begins where the one before it ended, and the last one where the
/// number is. Returns whether it was ever sold.
fn check_history(number: &numbers::Number, entries: &[audit::Kept]) -> bool {
    let mut state = None;
    let mut version = 0;
    for entry in entries {
        assert_eq!(entry.from, state, "{entries:?}");
        assert_eq!(entry.version, Some(version + 1), "{entries:?}");
        (state, version) = (entry.to, version + 1);
    }
    assert_eq!(state, Some(number.state));
    assert_eq!(version, number.version);
    entries.iter().any(|entry| entry.to == Some(NumberState::Assigned))
}
