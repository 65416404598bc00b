//! The inventory: search, hold, buy, release, and the invariants of A.6.

use crate::database::Database;
use crate::inventory::{
    DAY_MS, HOLD_MS, NEXT_MONTH, NOW, at, check_invariants, new_number, number, purchase, search, stock,
    terms, wanted,
};
use crate::writing::write;
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use trunkline_model::{Capability, NumberState};
use trunkline_storage::ledger::{self, Kind as Charge, Month};
use trunkline_storage::numbers::{self, Moved, Released, Rest, Wanted};
use trunkline_storage::reservations::{self, Kind, NewReservation, Purchase, State};
use trunkline_storage::resources::{self, Deleted};
use trunkline_storage::{Error, Store, Topic, audit};
use uuid::Uuid;

crate::on_both_engines! {
    a_number_goes_through_its_whole_life,
    sixty_four_buyers_never_get_the_same_number,
    two_buyers_of_one_reservation_are_charged_once,
    a_hold_ends_by_the_clock_without_a_sweep,
    a_number_is_in_one_live_reservation,
    a_purchase_that_is_undone_leaves_hold_and_ledger_as_they_were,
    too_few_numbers_hold_none,
    a_search_finds_what_was_asked_for,
    a_reservation_is_extended_changed_and_given_up,
    capabilities_change_only_for_the_owner,
    a_month_is_charged_once,
    a_number_ported_out_is_charged_for_the_months_that_have_begun,
    a_number_bought_for_a_time_is_not_renewed_behind_it,
    what_ran_out_stays_so_when_the_clock_is_set_back,
    a_look_before_a_search_finds_what_the_search_would,
    a_search_that_failed_counts_and_is_not_listed,
    old_records_are_forgotten_a_few_at_a_time,
    the_operator_withdraws_numbers_but_takes_none_from_an_owner,
    a_resource_with_numbers_cannot_be_deleted,
    a_resource_that_is_deleted_while_it_buys_ends_without_numbers_or_with_all_of_it,
    an_import_repeats_without_harm,
}

async fn a_number_goes_through_its_whole_life(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 1, "contoso").await;
    let mut routing = store.subscribe(Topic::Routing);
    let reservation = search(&store, buyer, 1, NOW).await.unwrap().unwrap();
    let Purchase::Done(bought) = purchase(&store, buyer, reservation.id, NOW).await.unwrap() else {
        panic!("the hold is good")
    };
    routing.changed().await;
    assert_eq!((bought[0].number, bought[0].resource), (number(0), buyer));
    assert_eq!(check_invariants(&store, &[buyer]).await, 1);

    let stranger = stock(&store, 0, "fabrikam").await;
    assert_eq!(release(&store, stranger, NOW + 2).await, Released::NotOwned);
    let Released::Done(ended) = release(&store, buyer, NOW + 2).await else { panic!("it is owned") };
    assert_eq!(ended.ended_unix_ms, Some(NOW + 2));
    assert_eq!(release(&store, buyer, NOW + 3).await, Released::NotOwned);
    routing.changed().await;

    // Not for sale before the cycle ends, and not before the quarantine behind it ends.
    assert_eq!(state(&store).await, NumberState::Releasing);
    assert_eq!(sweep(&store, NEXT_MONTH - 1).await, 0);
    assert_eq!(search(&store, buyer, 1, NEXT_MONTH - 1).await.unwrap(), None);
    assert_eq!(sweep(&store, NEXT_MONTH).await, 1);
    assert_eq!(state(&store).await, NumberState::Quarantine);
    assert_eq!(sweep(&store, NEXT_MONTH + 45 * DAY_MS - 1).await, 0);
    assert_eq!(search(&store, buyer, 1, NEXT_MONTH + 45 * DAY_MS - 1).await.unwrap(), None);
    assert_eq!(sweep(&store, NEXT_MONTH + 45 * DAY_MS).await, 1);
    assert!(search(&store, stranger, 1, NEXT_MONTH + 45 * DAY_MS).await.unwrap().is_some());

    let mut db = store.read().await.unwrap();
    let log = audit::of_number(&mut db, number(0), 0, 100).await.unwrap();
    let path: Vec<_> = log.iter().map(|entry| entry.to.unwrap().as_str()).collect();
    let life = [
        "available",
        "reserved",
        "purchasing",
        "assigned",
        "releasing",
        "quarantine",
        "available",
        "reserved",
    ];
    assert_eq!(path, life);
    let kinds: Vec<_> =
        statement(&store, buyer).await.into_iter().map(|row| (row.kind, row.amount_minor)).collect();
    assert_eq!(kinds, [(Charge::Purchase, 100), (Charge::Release, 0)]);
}

async fn sixty_four_buyers_never_get_the_same_number(database: Database) {
    const NUMBERS: u32 = 300;
    let store = database.open().await;
    let mut buyers = vec![stock(&store, NUMBERS, "buyer-0").await];
    for index in 1..64 {
        buyers.push(stock(&store, 0, &format!("buyer-{index}")).await);
    }
    let mut tasks = JoinSet::new();
    for (index, buyer) in buyers.clone().into_iter().enumerate() {
        let store = store.clone();
        let quantity = 1 + u16::try_from(index % 3).unwrap();
        tasks.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let found = match search(&store, buyer, quantity, NOW).await {
                    Ok(Some(found)) => found,
                    Ok(None) => return mine,
                    Err(Error::Contended { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                match purchase(&store, buyer, found.id, NOW).await {
                    Ok(Purchase::Done(bought)) => mine.extend(bought.into_iter().map(|bought| bought.number)),
                    Err(Error::Contended { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    let sold: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let different: BTreeSet<_> = sold.iter().copied().collect();
    assert_eq!(different.len(), sold.len(), "a number was sold twice");
    // Whoever wants three may leave up to two.
    assert!(sold.len() >= NUMBERS as usize - 2, "{} sold", sold.len());
    assert_eq!(check_invariants(&store, &buyers).await, sold.len());
}

async fn two_buyers_of_one_reservation_are_charged_once(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 5, "contoso").await;
    let reservation = search(&store, buyer, 3, NOW).await.unwrap().unwrap().id;
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let store = store.clone();
        tasks.spawn(async move { purchase(&store, buyer, reservation, NOW).await.unwrap() });
    }
    let results = tasks.join_all().await;
    let done: Vec<_> = results.iter().filter(|result| matches!(result, Purchase::Done(_))).collect();
    assert_eq!(done.len(), 1);
    let Purchase::Done(bought) = done[0] else { panic!("filtered") };
    for result in &results {
        assert!(matches!(result, Purchase::Done(same) | Purchase::DoneBefore(same) if same == bought));
    }
    assert_eq!(statement(&store, buyer).await.len(), 3);
    assert_eq!(check_invariants(&store, &[buyer]).await, 3);
    let stranger = stock(&store, 0, "fabrikam").await;
    assert_eq!(purchase(&store, stranger, reservation, NOW).await.unwrap(), Purchase::Unknown);
}

async fn a_hold_ends_by_the_clock_without_a_sweep(database: Database) {
    let store = database.open().await;
    let (first, second) = (stock(&store, 1, "first").await, stock(&store, 0, "second").await);
    let held = search(&store, first, 1, NOW).await.unwrap().unwrap();
    assert_eq!(search(&store, second, 1, NOW + HOLD_MS - 1).await.unwrap(), None);
    assert_eq!(purchase(&store, first, held.id, NOW + HOLD_MS).await.unwrap(), Purchase::Expired);

    let taken = search(&store, second, 1, NOW + HOLD_MS).await.unwrap().unwrap();
    // Even a buyer whose clock is behind cannot have it any more.
    assert_eq!(purchase(&store, first, held.id, NOW).await.unwrap(), Purchase::Expired);
    assert!(matches!(purchase(&store, second, taken.id, NOW + HOLD_MS).await.unwrap(), Purchase::Done(_)));
    assert_eq!(check_invariants(&store, &[first, second]).await, 1);
    assert_eq!(reservation_state(&store, first, held.id, NOW + HOLD_MS).await, State::Expired);
    assert_eq!(reservation_state(&store, second, taken.id, NOW + HOLD_MS).await, State::Completed);
}

async fn a_number_is_in_one_live_reservation(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 40, "contoso").await;
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            let reserved: Result<Vec<u32>, Error> = store
                .write(move |db| {
                    Box::pin(async move {
                        let mut reservation =
                            reservations::insert(db, &new_reservation(buyer), at(NOW)).await?;
                        let mut mine = Vec::new();
                        for index in 0..40 {
                            if reservations::add(db, &mut reservation, number(index), &terms(), at(NOW))
                                .await?
                            {
                                mine.push(index);
                            }
                        }
                        Ok(mine)
                    })
                })
                .await;
            reserved
        });
    }
    let mut held = BTreeSet::new();
    for reserved in tasks.join_all().await {
        match reserved {
            Ok(mine) => mine.into_iter().for_each(|index| assert!(held.insert(index), "held twice: {index}")),
            Err(Error::Contended { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(held.len(), 40);
    assert_eq!(check_invariants(&store, &[buyer]).await, 0);
}

async fn a_purchase_that_is_undone_leaves_hold_and_ledger_as_they_were(database: Database) {
    #[derive(Debug, thiserror::Error)]
    enum Refusal {
        #[error("the billing address moved")]
        NotEligible,
        #[error(transparent)]
        Storage(#[from] Error),
    }
    let store = database.open().await;
    let buyer = stock(&store, 2, "contoso").await;
    let reservation = search(&store, buyer, 2, NOW).await.unwrap().unwrap().id;
    let refused: Result<(), Refusal> = store
        .write(move |db| {
            Box::pin(async move {
                let bought = reservations::purchase(db, buyer, reservation, None, at(NOW)).await?;
                assert!(matches!(bought, Purchase::Done(_)));
                Err(Refusal::NotEligible)
            })
        })
        .await;
    assert!(matches!(refused, Err(Refusal::NotEligible)));
    assert_eq!(statement(&store, buyer).await, []);
    assert_eq!(check_invariants(&store, &[buyer]).await, 0);
    assert!(matches!(purchase(&store, buyer, reservation, NOW).await.unwrap(), Purchase::Done(_)));
}

async fn too_few_numbers_hold_none(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 3, "contoso").await;
    assert_eq!(search(&store, buyer, 4, NOW).await.unwrap(), None);
    assert!(search(&store, buyer, 3, NOW).await.unwrap().is_some());
}

async fn a_search_finds_what_was_asked_for(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 250, "contoso").await;
    let mut db = store.read().await.unwrap();
    let found = async |db: &mut _, wanted: &Wanted, prefix: &str| {
        let found = numbers::browse(db, wanted, prefix, 500, NOW).await.unwrap();
        found.into_iter().map(|number| number.imported).collect::<Vec<_>>()
    };
    let area = Wanted { area_code: Some("201".into()), ..wanted() };
    assert_eq!(found(&mut db, &area, "").await.len(), 100);
    let city = Wanted { city: "Seattle".into(), region: "WA".into(), ..area.clone() };
    let in_city = found(&mut db, &city, "").await;
    assert_eq!(in_city.len(), 50);
    assert!(in_city.iter().all(|number| number.city == "Seattle" && number.area_code == "201"));
    let sms = Wanted { sms: Capability::Outbound, ..wanted() };
    assert!(found(&mut db, &sms, "").await.iter().all(|number| number.sms.is_outbound()));
    assert_eq!(found(&mut db, &wanted(), "").await.len(), 250);
    assert_eq!(found(&mut db, &wanted(), "120055501").await.len(), 100);
    assert_eq!(found(&mut db, &wanted(), "120").await.len(), 250);
    assert_eq!(found(&mut db, &wanted(), "1201").await.len(), 100);
    assert_eq!(found(&mut db, &wanted(), "1202555017").await.len(), 0);
    assert_eq!(found(&mut db, &Wanted { country: "CA".into(), ..wanted() }, "").await.len(), 0);

    let geographic = new_number(0).number_type;
    let codes = numbers::area_codes(&mut db, "US", geographic, "", "", NOW).await.unwrap();
    assert_eq!(codes, ["200", "201", "202"]);
    let localities = numbers::localities(&mut db, "US", Some(geographic), "WA", NOW).await.unwrap();
    assert_eq!(localities.iter().map(|place| place.city.as_str()).collect::<Vec<_>>(), ["Seattle", "Tacoma"]);
    assert_eq!(numbers::countries(&mut db).await.unwrap(), ["US"]);
    drop(db);

    // What is held is not offered.
    assert!(search(&store, buyer, 100, NOW).await.unwrap().is_some());
    let mut db = store.read().await.unwrap();
    let codes = numbers::area_codes(&mut db, "US", geographic, "", "", NOW).await.unwrap();
    assert_eq!(codes, ["201", "202"]);
}

async fn a_reservation_is_extended_changed_and_given_up(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 3, "contoso").await;
    let id = write!(store, |db| {
        let mut reservation = reservations::insert(db, &new_reservation(buyer), at(NOW)).await?;
        assert!(reservations::add(db, &mut reservation, number(0), &terms(), at(NOW)).await?);
        assert!(reservations::add(db, &mut reservation, number(1), &terms(), at(NOW)).await?);
        assert!(!reservations::add(db, &mut reservation, number(99), &terms(), at(NOW)).await?);
        Ok(reservation.id)
    });
    let later = NOW + HOLD_MS - 1;
    write!(store, |db| {
        let mut reservation = reservations::to_change(db, buyer, id, later).await?.unwrap();
        assert_eq!(reservation.state, State::Active);
        assert!(reservations::remove(db, &mut reservation, number(0), at(later)).await?);
        assert!(!reservations::remove(db, &mut reservation, number(0), at(later)).await?);
        reservations::extend(db, &mut reservation, later + HOLD_MS, at(later)).await
    });
    let mut db = store.read().await.unwrap();
    let reservation = reservations::by_id(&mut db, buyer, id, later + HOLD_MS - 1).await.unwrap().unwrap();
    assert_eq!(reservation.state, State::Active);
    assert_eq!(reservation.numbers, [(number(1), terms())]);
    let listed = reservations::list(&mut db, buyer, Kind::Reservation, Uuid::nil(), 10, later).await.unwrap();
    assert_eq!(listed.iter().map(|reservation| reservation.id).collect::<Vec<_>>(), [id]);
    drop(db);

    assert_eq!(search(&store, buyer, 3, later).await.unwrap(), None);
    assert!(write!(store, |db| reservations::cancel(db, buyer, id, at(later)).await));
    assert!(!write!(store, |db| reservations::cancel(db, buyer, id, at(later)).await));
    assert_eq!(purchase(&store, buyer, id, later).await.unwrap(), Purchase::Empty);
    assert!(search(&store, buyer, 3, later).await.unwrap().is_some());
    assert_eq!(write!(store, |db| reservations::prune(db, NOW + 1, 10).await), 1);
    assert_eq!(check_invariants(&store, &[buyer]).await, 0);
}

async fn capabilities_change_only_for_the_owner(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 1, "contoso").await;
    let stranger = stock(&store, 0, "fabrikam").await;
    let set = async |who: Uuid| {
        write!(store, |db| {
            let (calling, sms) = (Capability::Outbound, Capability::Inbound);
            numbers::set_capabilities(db, number(0), who, calling, sms, at(NOW + 5)).await
        })
    };
    assert_eq!(set(buyer).await, None);
    let id = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    purchase(&store, buyer, id, NOW).await.unwrap();
    assert_eq!(set(stranger).await, None);
    let changed = set(buyer).await.unwrap();
    assert_eq!((changed.terms.calling, changed.terms.sms), (Capability::Outbound, Capability::Inbound));

    let mut db = store.read().await.unwrap();
    let owned = numbers::owned(&mut db, buyer, 0, 10).await.unwrap();
    assert_eq!(owned.len(), 1);
    assert_eq!(owned[0].assignment, changed);
    assert_eq!(numbers::owned(&mut db, buyer, 1, 10).await.unwrap(), []);
    assert_eq!(numbers::owned_count(&mut db, buyer).await.unwrap(), 1);
    assert_eq!(numbers::owned_number(&mut db, stranger, number(0)).await.unwrap(), None);
    assert_eq!(numbers::owned_number(&mut db, buyer, number(0)).await.unwrap().as_ref(), owned.first());
    drop(db);
    assert_eq!(check_invariants(&store, &[buyer, stranger]).await, 1);
}

async fn a_month_is_charged_once(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 2, "contoso").await;
    let id = search(&store, buyer, 2, NOW).await.unwrap().unwrap().id;
    purchase(&store, buyer, id, NOW).await.unwrap();
    let mut db = store.read().await.unwrap();
    assert_eq!(ledger::due_renewals(&mut db, NEXT_MONTH - 1, 10).await.unwrap(), []);
    let due = ledger::due_renewals(&mut db, NEXT_MONTH, 10).await.unwrap();
    drop(db);
    assert_eq!(due.len(), 2);
    // One of them is released before its renewal is charged, the other is charged by two at once.
    assert!(matches!(release(&store, buyer, NEXT_MONTH).await, Released::Done(_)));
    let mut charged = 0;
    for due in due.iter().chain(&due) {
        let due = due.clone();
        charged += usize::from(write!(store, |db| ledger::renew(db, &due).await));
    }
    assert_eq!(charged, 1);
    // What was given back after its month had begun owes that month too.
    let mut db = store.read().await.unwrap();
    let next = Month::of_unix_ms(NEXT_MONTH);
    assert_eq!(next.to_string(), "2026-12");
    let rows = ledger::statement(&mut db, buyer, next).await.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| (row.kind, row.number, row.amount_minor)).collect();
    assert_eq!(
        kinds,
        [
            (Charge::Renewal, Some(number(0)), 100),
            (Charge::Release, Some(number(0)), 0),
            (Charge::Renewal, Some(number(1)), 100)
        ]
    );
    assert_eq!(ledger::due_renewals(&mut db, NEXT_MONTH, 10).await.unwrap(), []);
    let released = numbers::by_e164(&mut db, number(0)).await.unwrap().unwrap();
    assert_eq!(released.rests_until_unix_ms, Some(NEXT_MONTH + 31 * DAY_MS));
}

async fn a_number_ported_out_is_charged_for_the_months_that_have_begun(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 1, "contoso").await;
    let id = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    purchase(&store, buyer, id, NOW).await.unwrap();
    let late = NEXT_MONTH + 32 * DAY_MS;
    let moved =
        write!(store, |db| numbers::move_to(db, number(0), NumberState::PortedOut, None, at(late)).await);
    assert_eq!(moved, Moved::Done);
    let mut rows = Vec::new();
    for month in ["2026-11", "2026-12", "2027-01"] {
        let mut db = store.read().await.unwrap();
        for row in ledger::statement(&mut db, buyer, month.parse().unwrap()).await.unwrap() {
            rows.push((month, row.kind, row.amount_minor, row.note));
        }
    }
    assert_eq!(
        rows,
        [
            ("2026-11", Charge::Purchase, 100, "first month".to_owned()),
            ("2026-12", Charge::Renewal, 100, "monthly renewal".to_owned()),
            ("2027-01", Charge::Renewal, 100, "monthly renewal".to_owned()),
            ("2027-01", Charge::Release, 0, "ported out".to_owned()),
        ]
    );
}

async fn a_number_bought_for_a_time_is_not_renewed_behind_it(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 1, "contoso").await;
    let id = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    let ends = NOW + 30 * DAY_MS;
    write!(store, |db| reservations::purchase(db, buyer, id, Some(ends), at(NOW)).await);
    let mut db = store.read().await.unwrap();
    assert_eq!(ledger::due_renewals(&mut db, ends + DAY_MS, 10).await.unwrap(), []);
    assert_eq!(numbers::over(&mut db, ends - 1, 10).await.unwrap(), []);
    let over = numbers::over(&mut db, ends, 10).await.unwrap();
    drop(db);
    assert_eq!(
        over.iter().map(|over| (over.number, over.resource)).collect::<Vec<_>>(),
        [(number(0), buyer)]
    );
    assert!(matches!(release(&store, buyer, ends + DAY_MS).await, Released::Done(_)));
    let mut db = store.read().await.unwrap();
    assert_eq!(numbers::over(&mut db, ends + DAY_MS, 10).await.unwrap(), []);
    let rows = ledger::statement(&mut db, buyer, Month::of_unix_ms(ends)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.kind).collect::<Vec<_>>(), [Charge::Release]);
}

async fn what_ran_out_stays_so_when_the_clock_is_set_back(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 3, "contoso").await;
    let seen = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    let swept = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    let bought = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    purchase(&store, buyer, bought, NOW).await.unwrap();
    let over = NOW + HOLD_MS;
    let found = write!(store, |db| reservations::to_change(db, buyer, seen, over).await);
    assert_eq!(found.unwrap().state, State::Expired);
    assert_eq!(write!(store, |db| reservations::expire(db, over, 10).await), 1);
    assert_eq!(write!(store, |db| reservations::expire(db, over, 10).await), 0);
    assert_eq!(reservation_state(&store, buyer, bought, over).await, State::Completed);
    for id in [seen, swept] {
        assert_eq!(reservation_state(&store, buyer, id, NOW).await, State::Expired);
        assert_eq!(purchase(&store, buyer, id, NOW).await.unwrap(), Purchase::Expired);
    }
}

async fn a_look_before_a_search_finds_what_the_search_would(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 3, "contoso").await;
    let look = async |wanted: Wanted, quantity| {
        numbers::are_there(&mut store.read().await.unwrap(), &wanted, quantity, NOW).await.unwrap()
    };
    assert!(look(wanted(), 3).await);
    assert!(!look(wanted(), 4).await);
    // Live, the numbers of fiction are none (NUM-11).
    assert!(!look(Wanted { fictional: false, ..wanted() }, 1).await);
    search(&store, buyer, 1, NOW).await.unwrap().unwrap();
    assert!(!look(wanted(), 3).await);
    let mut db = store.read().await.unwrap();
    assert_eq!(reservations::numbers_held(&mut db, buyer, NOW).await.unwrap(), 1);
    assert_eq!(reservations::numbers_held(&mut db, buyer, NOW + HOLD_MS).await.unwrap(), 0);
}

async fn a_search_that_failed_counts_and_is_not_listed(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 0, "contoso").await;
    let new = NewReservation { kind: Kind::Search, ..new_reservation(buyer) };
    write!(store, |db| reservations::insert_failed(db, &new, at(NOW)).await);
    let mut db = store.read().await.unwrap();
    assert_eq!(reservations::searches_since(&mut db, buyer, NOW - 1).await.unwrap(), 1);
    assert_eq!(reservations::list(&mut db, buyer, Kind::Search, Uuid::nil(), 10, NOW).await.unwrap(), []);
}

async fn old_records_are_forgotten_a_few_at_a_time(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 0, "contoso").await;
    write!(store, |db| {
        for _ in 0..5 {
            reservations::insert(db, &new_reservation(buyer), at(NOW)).await?;
        }
        Ok(())
    });
    let mut forgotten = Vec::new();
    for _ in 0..4 {
        forgotten.push(write!(store, |db| reservations::prune(db, NOW + 1, 2).await));
    }
    assert_eq!(forgotten, [2, 2, 1, 0]);
}

async fn the_operator_withdraws_numbers_but_takes_none_from_an_owner(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 2, "contoso").await;
    let move_to = async |index, to, until| {
        write!(store, |db| numbers::move_to(db, number(index), to, until, at(NOW)).await)
    };
    assert_eq!(move_to(0, NumberState::Retired, None).await, Moved::Done);
    assert_eq!(move_to(99, NumberState::Retired, None).await, Moved::Unknown);
    assert_eq!(search(&store, buyer, 2, NOW).await.unwrap(), None);
    let id = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    for to in [NumberState::Available, NumberState::Retired, NumberState::Assigned] {
        assert_eq!(move_to(1, to, None).await, Moved::NotAllowed(NumberState::Reserved));
    }
    purchase(&store, buyer, id, NOW).await.unwrap();
    for to in [NumberState::Available, NumberState::Retired, NumberState::Quarantine] {
        assert_eq!(move_to(1, to, None).await, Moved::NotAllowed(NumberState::Assigned));
    }
    assert_eq!(move_to(1, NumberState::PortedOut, None).await, Moved::Done);
    let mut db = store.read().await.unwrap();
    assert_eq!(numbers::owned_count(&mut db, buyer).await.unwrap(), 0);
    assert_eq!(
        numbers::count(&mut db).await.unwrap(),
        [(NumberState::PortedOut, 1), (NumberState::Retired, 1)]
    );
    drop(db);

    assert_eq!(move_to(0, NumberState::Quarantine, Some(NOW + 10)).await, Moved::Done);
    assert_eq!(sweep(&store, NOW + 9).await, 0);
    assert_eq!(sweep(&store, NOW + 10).await, 1);
    assert!(search(&store, buyer, 1, NOW + 10).await.unwrap().is_some());
}

async fn a_resource_with_numbers_cannot_be_deleted(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 1, "contoso").await;
    let id = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    purchase(&store, buyer, id, NOW).await.unwrap();
    let delete = async || write!(store, |db| resources::delete(db, buyer, at(NOW)).await);
    assert_eq!(delete().await, Deleted::OwnsNumbers);
    release(&store, buyer, NOW).await;
    assert_eq!(delete().await, Deleted::Done);
    assert_eq!(delete().await, Deleted::Unknown);
    assert_eq!(statement(&store, buyer).await.len(), 2);
}

async fn a_resource_that_is_deleted_while_it_buys_ends_without_numbers_or_with_all_of_it(database: Database) {
    let store = database.open().await;
    stock(&store, 40, "seller").await;
    let mut buyers = Vec::new();
    for index in 0..20 {
        let buyer = stock(&store, 0, &format!("buyer-{index}")).await;
        let reservation = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
        let deleting = tokio::spawn({
            let store = store.clone();
            async move { write!(store, |db| resources::delete(db, buyer, at(NOW)).await) }
        });
        let bought = purchase(&store, buyer, reservation, NOW).await.unwrap();
        match (deleting.await.unwrap(), bought) {
            (Deleted::Done, Purchase::Unknown) | (Deleted::OwnsNumbers, Purchase::Done(_)) => {}
            other => panic!("{other:?}"),
        }
        buyers.push(buyer);
    }
    check_invariants(&store, &buyers).await;
}

async fn an_import_repeats_without_harm(database: Database) {
    let store = database.open().await;
    let buyer = stock(&store, 1, "contoso").await;
    let id = search(&store, buyer, 1, NOW).await.unwrap().unwrap().id;
    purchase(&store, buyer, id, NOW).await.unwrap();
    let again = [new_number(0), new_number(1)];
    assert_eq!(write!(store, |db| numbers::import(db, &again, at(NOW)).await), [number(0)]);
    let mut db = store.read().await.unwrap();
    let imported = numbers::by_e164(&mut db, number(1)).await.unwrap().unwrap();
    drop(db);
    assert_eq!(
        (imported.imported, imported.state, imported.version),
        (new_number(1), NumberState::Available, 1)
    );
    assert_eq!(state(&store).await, NumberState::Assigned);
    assert_eq!(check_invariants(&store, &[buyer]).await, 1);
}

fn new_reservation(resource: Uuid) -> NewReservation {
    NewReservation {
        id: Uuid::now_v7(),
        resource,
        kind: Kind::Reservation,
        expires_unix_ms: NOW + HOLD_MS,
        detail: None,
    }
}

async fn release(store: &Store, resource: Uuid, now: i64) -> Released {
    write!(store, |db| numbers::release(db, number(0), resource, Rest::EndOfCycle, 0, at(now)).await)
}

async fn sweep(store: &Store, now: i64) -> usize {
    write!(store, |db| numbers::sweep(db, 45 * DAY_MS, 100, at(now)).await)
}

async fn state(store: &Store) -> NumberState {
    numbers::by_e164(&mut store.read().await.unwrap(), number(0)).await.unwrap().unwrap().state
}

async fn reservation_state(store: &Store, resource: Uuid, id: Uuid, now: i64) -> State {
    let mut db = store.read().await.unwrap();
    reservations::by_id(&mut db, resource, id, now).await.unwrap().unwrap().state
}

async fn statement(store: &Store, resource: Uuid) -> Vec<ledger::Kept> {
    ledger::statement(&mut store.read().await.unwrap(), resource, Month::of_unix_ms(NOW)).await.unwrap()
}
