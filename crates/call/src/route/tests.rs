use super::*;
use crate::testing::{gateway, trunk};

fn table(trunks: Vec<Trunk>, dids: Vec<DidRoute>, patterns: Vec<PatternRoute>) -> RoutingTable {
    RoutingTable::new(trunks, dids, patterns).unwrap()
}

fn id(name: &str) -> TrunkId {
    TrunkId::parse(name).unwrap()
}

fn pattern(prefix: &str, from: &[&str], to: &str) -> PatternRoute {
    PatternRoute {
        prefix: prefix.into(),
        from: from.iter().map(|name| id(name)).collect(),
        trunks: vec![id(to)],
        strip: 0,
        prepend: String::new(),
    }
}

fn two_carriers() -> Vec<Trunk> {
    vec![
        trunk("a", &["192.0.2.0/24"], vec![gateway("192.0.2.1")]),
        trunk("b", &["198.51.100.0/24"], vec![gateway("198.51.100.1")]),
    ]
}

#[test]
fn the_most_specific_network_names_the_trunk() {
    let table = table(
        vec![
            trunk("wide", &["10.0.0.0/8"], vec![]),
            trunk("narrow", &["10.1.0.0/16", "2001:db8::/32"], vec![]),
            trunk("twin", &["10.1.0.0/16"], vec![]),
        ],
        vec![],
        vec![],
    );
    let found = |source: &str| {
        table.identify(source.parse().unwrap(), Transport::Udp).map(|trunk| trunk.id.to_string())
    };
    assert_eq!(found("10.2.3.4:5060").as_deref(), Some("wide"));
    assert_eq!(found("10.1.3.4:5060").as_deref(), Some("narrow"), "of equals, the first configured");
    assert_eq!(found("[::ffff:10.1.3.4]:5060").as_deref(), Some("narrow"));
    assert_eq!(found("[2001:db8::1]:5060").as_deref(), Some("narrow"));
    assert_eq!(found("11.0.0.1:5060"), None);
}

#[test]
fn over_secure_web_socket_only_users_come() {
    let table = table(vec![trunk("near", &["127.0.0.1/32"], vec![])], vec![], vec![]);
    let source = "127.0.0.1:40000".parse().unwrap();
    assert_eq!(table.identify(source, Transport::Tcp).unwrap().id, id("near"));
    assert_eq!(
        table.identify(source, Transport::Wss).map(|trunk| &trunk.id),
        table.users().map(|users| &users.id)
    );
    assert!(!table.trunks()[0].inbound.accepts_transport(Transport::Wss));
}

#[test]
fn a_narrower_trunk_on_another_transport_leaves_the_call_to_the_wider_one() {
    let mut narrow = trunk("narrow", &["10.1.0.0/16"], vec![]);
    narrow.inbound.transports = vec![Transport::Tls];
    let table = table(vec![trunk("wide", &["10.0.0.0/8"], vec![]), narrow], vec![], vec![]);
    let source = "10.1.0.1:5060".parse().unwrap();
    assert_eq!(table.identify(source, Transport::Udp).unwrap().id, id("wide"));
    assert_eq!(table.identify(source, Transport::Tls).unwrap().id, id("narrow"));
}

#[test]
fn a_did_comes_before_a_pattern_and_the_longest_prefix_before_a_shorter() {
    let did = DidRoute { did: "+14255550100".parse().unwrap(), trunks: vec![id("b")], dial: None };
    let table = table(
        two_carriers(),
        vec![did],
        vec![pattern("+1", &[], "a"), pattern("+1425", &[], "b"), pattern("911", &[], "b")],
    );
    let rule = |to: &str| table.route(&id("a"), &Dialled::parse(to)).map(|route| route.rule);
    assert_eq!(rule("4255550100"), Ok(Rule::Did("+14255550100".parse().unwrap())));
    assert_eq!(rule("+14255550101"), Ok(Rule::Pattern("+1425".into())));
    assert_eq!(rule("+12065550101"), Ok(Rule::Pattern("+1".into())));
    assert_eq!(rule("911"), Ok(Rule::Pattern("911".into())));
    assert_eq!(rule("+442079460123"), Err(NoRoute::Unknown));
    assert_eq!(rule("alice"), Err(NoRoute::Unknown));
}

#[test]
fn a_pattern_for_other_trunks_is_passed_over_and_named() {
    let patterns = vec![pattern("+1425", &["b"], "a"), pattern("+1", &[], "a")];
    let both = table(two_carriers(), vec![], patterns);
    let dialled = Dialled::parse("+14255550101");
    assert_eq!(both.route(&id("a"), &dialled).unwrap().rule, Rule::Pattern("+1".into()));
    assert_eq!(both.route(&id("b"), &dialled).unwrap().rule, Rule::Pattern("+1425".into()));

    let one = table(two_carriers(), vec![], vec![pattern("+1425", &["b"], "a")]);
    assert_eq!(one.route(&id("a"), &dialled).unwrap_err(), NoRoute::OtherTrunks("+1425".into()));
}

#[test]
fn digits_are_stripped_and_put_in_front() {
    let mut route = pattern("+1", &[], "b");
    route.strip = 2;
    route.prepend = "9".into();
    let table = table(two_carriers(), vec![], vec![route]);
    let route = table.route(&id("a"), &Dialled::parse("+1 (425) 555-0101")).unwrap();
    assert_eq!(route.dial, "94255550101");
    assert!(!route.hairpin, "a pattern for all trunks never sends a call back where it came from");
}

#[test]
fn numbers_are_recognised_in_every_form_a_carrier_sends() {
    let number = |text: &str| Dialled::parse(text).number.map(|number| number.to_string());
    for form in ["+14255550100", "14255550100", "4255550100", "0014255550100", "01114255550100"] {
        assert_eq!(number(form).as_deref(), Some("+14255550100"), "{form}");
    }
    assert_eq!(number("+1-425-555-0100;npdi;rn=+12065550199").as_deref(), Some("+14255550100"));
    assert_eq!(number("00442079460123").as_deref(), Some("+442079460123"));
    assert_eq!(number("442079460123").as_deref(), Some("+442079460123"));
    for form in ["911", "1425555010", "alice", "+1alice", "", "+"] {
        assert_eq!(number(form), None, "{form}");
    }
}

#[test]
fn everything_wrong_with_a_table_is_told_at_once() {
    let did = |to: &str| DidRoute {
        did: "+14255550100".parse().unwrap(),
        trunks: vec![id(to)],
        dial: Some("a\r\nb".into()),
    };
    let trunks = vec![trunk("a", &["192.0.2.0/24"], vec![]), trunk("a", &[], vec![])];
    let problems =
        RoutingTable::new(trunks, vec![did("x"), did("a")], vec![pattern("+1x", &["y"], "a")]).unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for part in [
        "trunk a is configured twice",
        "neither sources",
        "names trunk x",
        "routed twice",
        "can't be dialled",
        "not a prefix",
        "names trunk y",
        "has no gateways",
    ] {
        assert!(told.iter().any(|line| line.contains(part)), "{part} in {told:?}");
    }
}

fn resource(name: &str, callers: &[&str], routes: &[(&str, &[&str])]) -> ResourceRoutes {
    let route = |(pattern, trunks): &(&str, &[&str])| NumberRoute {
        name: (*pattern).into(),
        pattern: regex::Regex::new(pattern).unwrap(),
        trunks: trunks.iter().map(|name| id(name)).collect(),
    };
    ResourceRoutes {
        resource: name.into(),
        callers: callers.iter().map(|name| id(name)).collect(),
        routes: routes.iter().map(route).collect(),
    }
}

fn sbcs() -> Vec<Trunk> {
    let mut trunks = two_carriers();
    trunks.extend(["s1", "s2", "s3"].map(|name| trunk(name, &[], vec![gateway("203.0.113.1")])));
    trunks
}

#[test]
fn a_resource_decides_on_the_calls_of_its_own_trunks_and_only_those() {
    let routes = resource("contoso", &["a"], &[("^\\+1425", &["s1", "s2"]), ("^\\+1", &["s2", "s3"])]);
    let table = table(sbcs(), vec![], vec![pattern("+", &[], "b")]).with_resources(vec![routes]).unwrap();
    let trunks = |from: &str, to: &str| {
        let route = table.route(&id(from), &Dialled::parse(to)).unwrap();
        let names: Vec<String> = route.trunks.iter().map(|trunk| trunk.id.to_string()).collect();
        (route.rule, names.join(" "))
    };
    let contoso = Rule::Resource("contoso".into());
    assert_eq!(
        trunks("a", "4255550100"),
        (contoso.clone(), "s1 s2 s3".into()),
        "every match, each trunk once"
    );
    assert_eq!(trunks("a", "+12065550100"), (contoso, "s2 s3".into()));
    assert_eq!(trunks("a", "+442079460123"), (Rule::Pattern("+".into()), "b".into()), "no route of its own");
    assert_eq!(trunks("b", "+14255550100"), (Rule::Pattern("+".into()), "b".into()));
}

#[test]
fn a_number_that_nobody_has_is_refused_whatever_else_would_match() {
    let number: E164 = "+14255550100".parse().unwrap();
    let routes = resource("contoso", &["a"], &[(".", &["s1"])]);
    let table = table(sbcs(), vec![], vec![pattern("+1", &[], "b")]);
    let table = table.with_resources(vec![routes]).unwrap().with_unused([number]);
    for from in ["a", "b"] {
        let refused = table.route(&id(from), &Dialled::parse("425-555-0100"));
        assert_eq!(refused.unwrap_err(), NoRoute::Unused);
        assert!(table.route(&id(from), &Dialled::parse("+14255550101")).is_ok());
    }
}

#[test]
fn a_trunk_belongs_to_one_resource_that_exists_for_it() {
    let routes = vec![resource("x", &["a", "nobody"], &[("1", &["s9"])]), resource("y", &["a"], &[])];
    let problems = table(sbcs(), vec![], vec![]).with_resources(routes).unwrap_err();
    let unknown = |rule: &str, trunk: &str| RouteProblem::UnknownTrunk(rule.into(), id(trunk));
    assert_eq!(
        problems,
        [unknown("x: 1", "s9"), unknown("x", "nobody"), RouteProblem::TwoResources(id("a"))]
    );
}
