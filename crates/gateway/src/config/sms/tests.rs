//! What `[sms]` may say.

use super::super::{CarrierReach, Config, ConfigError};
use super::{Binds, Receipts};
use std::path::Path;
use trunkline_sms::receipt::Settles;

fn problems(text: &str) -> Vec<String> {
    match Config::parse(Path::new("test.toml"), text) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(invalid)) => invalid.problems.iter().map(ToString::to_string).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_carrier_needs_a_name_and_a_way_to_it() {
    let text = "[[sms.carrier]]\nname = \"texts\"\n[sms.carrier.smpp]\nhost = \"192.0.2.1\"\n\
                system_id = \"us\"\npassword = \"secret\"\nbind = \"transmitter_receiver\"\nbinds = 2\n";
    let config = Config::parse(Path::new("test.toml"), text).unwrap().config.sms;
    let [carrier] = &config.carriers[..] else { panic!("{:?}", config.carriers) };
    assert_eq!(carrier.receipts, Receipts::Sent(Settles::EachSegment));
    let CarrierReach::Smpp(smpp) = &carrier.reach else { panic!("{carrier:?}") };
    assert_eq!((smpp.port, smpp.binds), (2775, Binds::Pairs(2)));
    assert!(!format!("{config:?}").contains("secret"));
    // Without routes it takes everything.
    assert_eq!(config.routes.iter().map(|route| route.trunk.as_str()).collect::<Vec<_>>(), ["texts"]);
}

#[test]
fn every_problem_is_found_at_once() {
    let text = "\
[sms]
validity_hours = 49
quiet_hours = \"sometimes\"

[[sms.carrier]]
name = \"texts\"
segments_max = 0

[sms.carrier.smpp]
host = \"192.0.2.1\"
password = \"much too long\"
window = 0
binds = 100
source_number = [1]

[[sms.carrier.smpp.status]]
code = 0x401
class = \"maybe\"

[[sms.carrier.smpp.tlv]]
tag = 0x1403
hex = \"3\"

[[sms.route]]
carrier = \"other\"
prefix = \"+1x\"
senders = [\"friends\"]

[[sms.campaign]]
id = \"C1\"
brand_daily_max = 5
numbers = [\"+14255550100\"]

[[sms.campaign]]
id = \"C2\"
numbers = [\"+14255550100\"]

[[sms.short_code]]
code = \"1\"
resource = \"contoso\"
";
    let found = problems(text);
    for wanted in [
        "sms.validity_hours: is at most 48",
        "sms.quiet_hours: is defer or off",
        "sms.carrier[0].segments_max: is 1 to 255",
        "sms.carrier[0].smpp.password: is at most 8 characters",
        "sms.carrier[0].smpp.window: is at least 1",
        "sms.carrier[0].smpp.binds: is 1 to 64",
        "sms.carrier[0].smpp.source_number: is type of number and numbering plan",
        "sms.carrier[0].smpp.status[0].class: is final, retry",
        "sms.carrier[0].smpp.tlv[0].hex: is up to 255 octets",
        "sms.route[0].carrier: no SMS carrier is named other",
        "sms.route[0].prefix: is the first digits of a number",
        "sms.route[0].senders: names each kind once",
        "sms.campaign[0].brand_daily_max: needs brand beside it",
        "a number is attached to two campaigns",
        "sms.short_code[0].code: is five or six digits",
    ] {
        assert!(found.iter().any(|problem| problem.contains(wanted)), "{wanted} is not in {found:#?}");
    }
}
