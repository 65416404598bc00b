use super::*;

fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Config::parse(Path::new("t.toml"), text)
}

fn problems(text: &str) -> Vec<String> {
    let (_, problems, _) = read(text);
    problems.iter().map(ToString::to_string).collect()
}

const REFERENCE: &str = include_str!("../../../../config/trunkline.toml");
const PRODUCTION: &str = include_str!("../../../../config/production.toml");

#[test]
fn the_files_we_ship_have_no_problem() {
    for text in [REFERENCE, PRODUCTION, SANDBOX] {
        assert_eq!(problems(text), Vec::<String>::new());
    }
    assert_eq!(parse(PRODUCTION).unwrap().warnings, []);
    assert_eq!(parse(SANDBOX).unwrap().warnings, []);
}

#[test]
fn every_key_stands_in_the_reference_file() {
    let (_, _, known) = read(REFERENCE);
    let table: toml::Table = REFERENCE.parse().unwrap();
    for path in known {
        // These exclude others that stand there, so they can only stand there as comments.
        if path == "rtp.free_ports" || path == "sms.carrier.http.description" {
            let (_, key) = path.rsplit_once('.').unwrap();
            assert!(REFERENCE.contains(&format!("{key} = ")));
            continue;
        }
        // Each of several tables may show some of the keys.
        let found = path.split('.').fold(vec![toml::Value::Table(table.clone())], |values, key| {
            let tables = values.into_iter().flat_map(|value| match value {
                toml::Value::Array(items) => items,
                value => vec![value],
            });
            tables.filter_map(|table| table.get(key).cloned()).collect()
        });
        assert!(!found.is_empty(), "{path} is not documented");
    }
}

#[test]
fn the_reference_file_shows_the_defaults() {
    let shown = parse(REFERENCE).unwrap().config;
    let default = parse("").unwrap().config;
    assert_eq!(shown.sip, Sip { advertised: shown.sip.advertised, ..default.sip });
    assert_eq!(shown.rtp, Rtp { advertised: shown.rtp.advertised, ..default.rtp });
    assert_eq!(shown.storage, default.storage);
    assert_eq!((shown.log, shown.metrics, shown.drain), (default.log, default.metrics, default.drain));
}

#[test]
fn all_problems_come_at_once_each_with_its_place() {
    let text = "\
[sip]
udp = [\"0.0.0.0:5060\", \"nowhere\"]
prot = 1
advertised = \"0.0.0.0\"

[rtp]
first_port = 5000
last_port = 5100

[[trunk]]
name = \"a\"
sources = [\"10.0.0.1/8\"]

[[trunk.gateway]]
host = \"192.0.2.300\"

[[did]]
number = \"4255550100\"
trunks = [\"b\"]
";
    let found = problems(text);
    let expect = [
        "2:24: sip.udp[1]: \"nowhere\" is not an address with port",
        "3:1: sip.prot: unknown key",
        "4:14: sip.advertised: peers cannot send to 0.0.0.0",
        "7:14: rtp.first_port: ports 5000 to 5100 overlap sip.udp listener 0.0.0.0:5060",
        "12:12: trunk[0].sources[0]: 10.0.0.1/8 has bits set behind its prefix; did you mean 10.0.0.0/8?",
        "15:8: trunk[0].gateway[0].host: \"192.0.2.300\" is neither",
        "18:10: did[0].number: \"4255550100\": the number does not start with '+'",
    ];
    for (found, expect) in found.iter().zip(expect) {
        assert!(found.starts_with(expect), "{found}\nshould start with\n{expect}");
    }
    assert!(found.len() >= expect.len(), "{found:#?}");
}

#[test]
fn a_route_to_a_trunk_that_is_not_there_is_refused() {
    let text = "\
[[trunk]]
name = \"a\"
[[trunk.gateway]]
host = \"192.0.2.1\"
[[trunk]]
name = \"inbound-only\"
sources = [\"192.0.2.7\"]
[[did]]
number = \"+14255550100\"
trunks = [\"b\"]
[[did]]
number = \"+14255550100\"
trunks = [\"inbound-only\"]
[[route]]
prefix = \"+1-425\"
from = [\"c\"]
trunks = [\"a\"]
";
    assert_eq!(
        problems(text),
        [
            "10:10: did[0].trunks: no trunk is named b",
            "12:10: did[1].number: +14255550100 is routed twice",
            "13:10: did[1].trunks: trunk inbound-only has no gateway to send calls to",
            "15:10: route[0].prefix: is up to 15 digits, with a + before them for numbers in international form",
            "16:8: route[0].from: no trunk is named c",
        ]
    );
}

#[test]
fn what_is_dialled_literally_can_be_routed() {
    let trunk = "[[trunk]]\nname = \"a\"\n[[trunk.gateway]]\nhost = \"192.0.2.1\"\n";
    let route = |prefix: &str| format!("{trunk}[[route]]\nprefix = \"{prefix}\"\ntrunks = [\"a\"]\n");
    for prefix in ["911", "933", "988", "0", "011", "+1", "+"] {
        let loaded = parse(&route(prefix)).unwrap();
        assert_eq!(loaded.config.routes[0].prefix, prefix);
    }
    for prefix in ["", "++1", "+1-425", "9 1 1", "1234567890123456"] {
        assert_eq!(problems(&route(prefix)).len(), 1, "{prefix:?}");
    }
}

#[test]
fn a_broken_file_is_reported_by_line_and_nothing_else_is_guessed() {
    let found = problems("[sip]\nudp = [\"0.0.0.0:5060\"\n[rtp\n");
    assert!(!found.is_empty());
    assert!(found.iter().all(|problem| !problem.contains("unknown key")), "{found:#?}");
}

#[test]
fn statuses_that_speak_for_the_callee_never_move_a_call_on() {
    let text = "[[trunk]]\nname = \"a\"\nsources = [\"192.0.2.1\"]\nfailover_statuses = [404, 486]\n";
    assert_eq!(
        problems(text),
        ["4:21: trunk[0].failover_statuses: 486 cannot move a call on to another gateway"]
    );
}

#[test]
fn addresses_that_cannot_work_are_warned_about_by_code() {
    let codes = |text: &str| -> Vec<&'static str> {
        parse(text).unwrap().warnings.iter().map(|warning| warning.code.as_str()).collect()
    };
    let trunk = "[[trunk]]\nname = \"a\"\n[[trunk.gateway]]\nhost = \"8.8.8.8\"\n[[route]]\nprefix = \"+1\"\ntrunks = [\"a\"]\n";
    assert_eq!(codes(trunk), ["advertised-guessed", "advertised-guessed"]);
    let private = format!("[sip]\nadvertised = \"10.0.0.1\"\n[rtp]\nadvertised = \"8.8.4.4\"\n{trunk}");
    assert_eq!(codes(&private), ["advertised-private"]);
    let loopback = format!("[sip]\nudp = [\"127.0.0.1:0\"]\n[rtp]\nipv4 = \"127.0.0.1\"\n{trunk}");
    assert_eq!(codes(&loopback), ["advertised-loopback", "advertised-loopback"]);
    let family = format!("[sip]\nadvertised = \"2606:4700::1\"\n[rtp]\nadvertised = \"8.8.4.4\"\n{trunk}");
    assert_eq!(codes(&family), ["advertised-family"]);
}

#[test]
fn connections_that_are_closed_before_their_calls_are_refreshed_are_warned_about() {
    let codes = |idle: u32, trunk: &str| -> Vec<&'static str> {
        let text = format!(
            "[sip]\nadvertised = \"8.8.8.8\"\n[rtp]\nadvertised = \"8.8.8.8\"\n[sip.streams]\nidle_secs = {idle}\n[[trunk]]\nname = \"a\"\n\
             sources = [\"192.0.2.1\"]\n{trunk}[[trunk.gateway]]\nhost = \"192.0.2.1\"\n[[route]]\nprefix = \"+1\"\n\
             trunks = [\"a\"]\n"
        );
        parse(&text).unwrap().warnings.iter().map(|warning| warning.code.as_str()).collect()
    };
    assert_eq!(codes(899, ""), ["idle-connections"]);
    assert_eq!(codes(900, ""), [""; 0]);
    assert_eq!(codes(60, "transports = [\"udp\"]\n"), [""; 0]);
    assert_eq!(codes(60, "session_timer = { expires_secs = 0 }\n"), [""; 0]);
}

#[test]
fn the_environment_overrides_what_may_hold_a_secret() {
    let mut config = parse("").unwrap().config;
    config.overlay(|name| (name == "TRUNKLINE_STORAGE_URL").then(|| "postgres://u:p@h/d".to_owned()));
    assert_eq!(config.storage.url, "postgres://u:p@h/d");
    assert_eq!(config.log.filter, "info");
}
