use super::*;
use crate::bucket::Rate;
use crate::gate::{Campaign, CampaignClass};
use crate::party::SenderKind;
use crate::quiet::Zone;
use crate::session::backoff::Jitter;
use proptest::prelude::*;
use std::collections::BTreeSet;
use trunkline_model::clock::first_instant;

/// Thursday 2026-11-26 18:00 UTC: one in the afternoon in New York.
const AFTERNOON: i64 = 1_795_716_000;

fn trunk(name: &str) -> TrunkId {
    TrunkId::parse(name).unwrap()
}

fn route(name: &str, prefix: &str) -> Route {
    Route {
        trunk: trunk(name),
        prefix: prefix.into(),
        senders: BTreeSet::new(),
        foreign_numbers: true,
        priority: 0,
        weight: 1,
        cost_micros: 0,
    }
}

fn router(routes: Vec<Route>, preference: Preference) -> Router {
    let names: Vec<TrunkId> = routes.iter().map(|route| route.trunk.clone()).collect();
    let mut router = Router::new(Routes::new(routes, preference));
    names.into_iter().for_each(|name| router.set_health(name, Health::Up));
    router
}

/// What a test's message is made of.
struct Given {
    now: Instant,
    from: Sender,
    to: E164,
    standing: Standing,
    locality: Locality,
}

impl Given {
    fn new() -> Self {
        Self {
            now: first_instant(),
            from: Sender::parse("+14255550100").unwrap(),
            to: E164::parse("+12065550111").unwrap(),
            standing: Standing {
                campaign: Some(Campaign { id: "C1".into(), class: CampaignClass::A }),
                ..Standing::default()
            },
            locality: Locality { region: "US-NY".into(), zones: vec![Zone::Eastern] },
        }
    }

    fn message(&self) -> Message<'_> {
        Message {
            from: &self.from,
            to: &self.to,
            segments: 1,
            purpose: Purpose::Transactional,
            domestic: true,
            standing: &self.standing,
            owner: None,
            opted_out: false,
            locality: Some(&self.locality),
            brand_day: None,
            deadline: self.now + Duration::from_secs(86_400),
            avoided: &[],
            draw: 1,
        }
    }
}

fn sent_to(decision: &Decision) -> Vec<String> {
    let Outcome::Send { trunk, failover } = &decision.outcome else { panic!("{decision}") };
    std::iter::once(trunk).chain(failover).map(ToString::to_string).collect()
}

#[test]
fn the_longest_prefix_wins_and_the_shorter_ones_are_failover() {
    let given = Given::new();
    let mut router =
        router(vec![route("any", ""), route("seattle", "1206"), route("us", "1")], Preference::Weighted);
    let decide = |router: &Router| router.decide(given.now, AFTERNOON, &given.message());
    assert_eq!(sent_to(&decide(&router)), ["seattle", "us", "any"]);
    router.set_health(trunk("seattle"), Health::Down);
    assert_eq!(sent_to(&decide(&router)), ["us", "any"]);
    router.set_health(trunk("us"), Health::Degraded);
    assert_eq!(sent_to(&decide(&router)), ["us", "any"]);
}

#[test]
fn a_number_goes_with_its_owner_unless_the_route_takes_foreign_ones() {
    let given = Given::new();
    let routes = vec![
        Route { foreign_numbers: false, ..route("a", "") },
        Route { foreign_numbers: false, ..route("b", "1206") },
    ];
    let router = router(routes, Preference::Weighted);
    let owner = trunk("a");
    let message = Message { owner: Some(&owner), ..given.message() };
    let decision = router.decide(given.now, AFTERNOON, &message);
    assert_eq!(sent_to(&decision), ["a"]);
    assert!(decision.path.contains(&Step::Trunk(trunk("b"), Verdict::NotOwner(owner.clone()))));
}

#[test]
fn routes_are_for_kinds_of_senders() {
    let given = Given { from: Sender::parse("55555").unwrap(), ..Given::new() };
    let standing = Standing { short_code_approved: true, ..Standing::default() };
    let routes = vec![
        Route { senders: BTreeSet::from([SenderKind::Local]), ..route("local", "") },
        Route { senders: BTreeSet::from([SenderKind::ShortCode]), ..route("short", "") },
    ];
    let router = router(routes, Preference::Weighted);
    let message = Message { standing: &standing, ..given.message() };
    assert_eq!(sent_to(&router.decide(given.now, AFTERNOON, &message)), ["short"]);
}

#[test]
fn priority_then_cost_or_weight() {
    let given = Given::new();
    let routes = vec![
        Route { cost_micros: 300, priority: 1, ..route("backup", "") },
        Route { cost_micros: 500, weight: 100, ..route("dear", "") },
        Route { cost_micros: 400, weight: 1, ..route("cheap", "") },
    ];
    let cheapest = router(routes.clone(), Preference::LeastCost);
    let message = given.message();
    assert_eq!(sent_to(&cheapest.decide(given.now, AFTERNOON, &message)), ["cheap", "dear", "backup"]);
    let weighted = router(routes, Preference::Weighted);
    let mut jitter = Jitter::new(5);
    let mut cheap = 0;
    for _ in 0..10_000 {
        let draw = (jitter.fraction() * 1e18) as u64;
        let decision = weighted.decide(given.now, AFTERNOON, &Message { draw, ..given.message() });
        let order = sent_to(&decision);
        assert_eq!(order[2], "backup");
        cheap += u32::from(order[0] == "cheap");
    }
    // One in 101.
    assert!((60..150).contains(&cheap), "{cheap}");
}

#[test]
fn a_trunk_that_refused_comes_last() {
    let given = Given::new();
    let router = router(vec![route("a", "1206"), route("b", "")], Preference::Weighted);
    let avoided = [trunk("a")];
    let message = Message { avoided: &avoided, ..given.message() };
    assert_eq!(sent_to(&router.decide(given.now, AFTERNOON, &message)), ["b", "a"]);
}

#[test]
fn a_trunk_at_its_limit_leaves_the_message_to_the_next_and_then_it_waits() {
    let given = Given::new();
    let mut router = router(vec![route("a", "1206"), route("b", "")], Preference::Weighted);
    let rate = |segments| Some(Rate { segments, per: Duration::from_secs(1), burst: 1 });
    router.limits.set_trunk_rate(trunk("a"), rate(1));
    router.limits.set_trunk_rate(trunk("b"), rate(2));
    let message = given.message();
    for expected in ["a", "b"] {
        let decision = router.decide(given.now, AFTERNOON, &message);
        assert_eq!(sent_to(&decision)[0], expected);
        router.commit(given.now, &trunk(expected), &message);
    }
    let decision = router.decide(given.now, AFTERNOON, &message);
    assert_eq!(decision.outcome, Outcome::Wait { at: given.now + Duration::from_millis(500) });
}

#[test]
fn numbers_and_campaigns_have_limits_that_count_segments() {
    let toll_free = Given { from: Sender::parse("+18335550100").unwrap(), ..Given::new() };
    let standing = Standing { toll_free_verified: true, ..Standing::default() };
    let mut router = router(vec![route("a", "")], Preference::Weighted);
    let message = Message { segments: 10, standing: &standing, ..toll_free.message() };
    router.commit(toll_free.now, &trunk("a"), &message);
    let decision = router.decide(toll_free.now, AFTERNOON, &message);
    assert!(matches!(decision.path.last(), Some(Step::NumberLimit(_))), "{decision}");
    // 200 segments a minute: ten take three seconds.
    assert_eq!(decision.outcome, Outcome::Wait { at: toll_free.now + Duration::from_secs(3) });

    let mut local = Given::new();
    local.standing.campaign = Some(Campaign { id: "C2".into(), class: CampaignClass::T });
    let message = Message { segments: 5, ..local.message() };
    router.commit(local.now, &trunk("a"), &message);
    let decision = router.decide(local.now, AFTERNOON, &message);
    assert!(matches!(decision.path.last(), Some(Step::CampaignLimit(_))), "{decision}");
    let day = BrandDay { left: 4, resets_at: local.now + Duration::from_secs(60) };
    let decision = router.decide(local.now, AFTERNOON, &Message { brand_day: Some(day), ..message });
    assert_eq!(decision.outcome, Outcome::Wait { at: day.resets_at });
}

#[test]
fn opted_out_unregistered_expired_and_unrouted_messages_are_refused_with_their_codes() {
    let given = Given::new();
    let us_only = router(vec![route("a", "1")], Preference::Weighted);
    let refusal = |message: &Message<'_>| {
        let decision = us_only.decide(given.now, AFTERNOON, message);
        let Outcome::Refuse(refusal) = decision.outcome else { panic!("{decision}") };
        (refusal, refusal.report_code())
    };
    let none = Standing::default();
    let abroad = E164::parse("+442079460123").unwrap();
    assert_eq!(refusal(&Message { opted_out: true, ..given.message() }), (Refusal::OptedOut, 4007));
    let no_campaign = Refusal::Gate(Closed::NoCampaign);
    assert_eq!(refusal(&Message { standing: &none, ..given.message() }), (no_campaign, 4009));
    assert_eq!(refusal(&Message { deadline: given.now, ..given.message() }), (Refusal::Expired, 5001));
    let abroad = Message { to: &abroad, domestic: false, ..given.message() };
    assert_eq!(refusal(&abroad), (Refusal::NoRoute, 4003));
    let reply = Message { opted_out: true, purpose: Purpose::Reply, ..given.message() };
    assert_eq!(sent_to(&us_only.decide(given.now, AFTERNOON, &reply)), ["a"]);
}

#[test]
fn marketing_keeps_quiet_hours_and_nothing_else_does() {
    let given = Given::new();
    let mut router = router(vec![route("a", "")], Preference::Weighted);
    // Three in the morning in New York.
    let night = AFTERNOON - 10 * 3_600;
    let marketing = Message { purpose: Purpose::Marketing, ..given.message() };
    let decision = router.decide(given.now, night, &marketing);
    assert_eq!(decision.outcome, Outcome::Wait { at: given.now + Duration::from_secs(5 * 3_600) });
    assert_eq!(sent_to(&router.decide(given.now, AFTERNOON, &marketing)), ["a"]);
    assert_eq!(sent_to(&router.decide(given.now, night, &given.message())), ["a"]);
    // No longer than its validity.
    let deadline = given.now + Duration::from_secs(60);
    let short = Message { deadline, ..marketing.clone() };
    assert_eq!(router.decide(given.now, night, &short).outcome, Outcome::Wait { at: deadline });
    router.quiet_hours = None;
    assert_eq!(sent_to(&router.decide(given.now, night, &marketing)), ["a"]);
}

#[test]
fn a_full_destination_and_trunks_that_are_down_make_it_wait() {
    let given = Given::new();
    let mut router = router(vec![route("a", "")], Preference::Weighted);
    let until = router.destinations.handle_full(given.now, given.to.digits(), &mut Jitter::new(1));
    let decision = router.decide(given.now, AFTERNOON, &given.message());
    assert_eq!(decision.outcome, Outcome::Wait { at: until });
    router.destinations.handle_accepted(given.to.digits());
    router.set_health(trunk("a"), Health::Down);
    let decision = router.decide(given.now, AFTERNOON, &given.message());
    assert_eq!(decision.outcome, Outcome::Wait { at: given.now + Duration::from_secs(5) });
}

#[test]
fn the_path_is_told_in_plain_words() {
    let given = Given::new();
    let mut router = router(
        vec![
            route("west", "1206"),
            Route { senders: BTreeSet::from([SenderKind::ShortCode]), ..route("short", "1") },
            route("any", ""),
        ],
        Preference::Weighted,
    );
    router.set_health(trunk("west"), Health::Down);
    let decision = router.decide(given.now, AFTERNOON, &given.message());
    assert_eq!(
        decision.to_string(),
        "sender: local may send there\n\
         trunk short: not for senders of kind local\n\
         trunk any: chosen\n\
         trunk west: down\n\
         => send to any"
    );
    let none = Standing::default();
    let refused = router.decide(given.now, AFTERNOON, &Message { standing: &none, ..given.message() });
    assert!(
        refused
            .to_string()
            .ends_with("=> refuse with 4009: the local number is attached to no approved campaign")
    );
}

proptest! {
    /// Whatever the state, an opted-out recipient gets nothing, a trunk that is down gets nothing, no wait is in the
    /// past or beyond the validity, and the same question has the same answer.
    #[test]
    fn promises_hold_in_any_state(
        healths in proptest::collection::vec(0u8..3, 3),
        opted_out: bool,
        reply: bool,
        draw: u64,
        spent in 0u16..50,
        left_secs in 0u64..100,
        hour in 0i64..48,
    ) {
        let given = Given::new();
        let mut router = router(vec![route("a", "1206"), route("b", "1"), route("c", "")], Preference::LeastCost);
        for (name, health) in ["a", "b", "c"].iter().zip(&healths) {
            let health = [Health::Up, Health::Degraded, Health::Down][usize::from(*health)];
            router.set_health(trunk(name), health);
            router.limits.set_trunk_rate(trunk(name), Some(Rate::per_second(10)));
        }
        let purpose = if reply { Purpose::Reply } else { Purpose::Marketing };
        let deadline = given.now + Duration::from_secs(left_secs);
        let message = Message { opted_out, purpose, draw, deadline, ..given.message() };
        router.commit(given.now, &trunk("a"), &Message { segments: spent, ..message.clone() });
        let decision = router.decide(given.now, AFTERNOON + hour * 3_600, &message);
        prop_assert_eq!(&decision, &router.decide(given.now, AFTERNOON + hour * 3_600, &message));
        match &decision.outcome {
            Outcome::Send { trunk, failover } => {
                prop_assert!(!opted_out || reply);
                prop_assert!(left_secs > 0);
                for trunk in std::iter::once(trunk).chain(failover) {
                    prop_assert!(router.health(trunk) != Health::Down);
                }
            }
            Outcome::Wait { at } => {
                prop_assert!(!opted_out || reply);
                prop_assert!(*at > given.now && *at <= deadline);
            }
            Outcome::Refuse(refusal) => {
                prop_assert!(matches!(refusal, Refusal::OptedOut | Refusal::Expired));
            }
        }
    }
}
