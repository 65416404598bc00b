//! `[sms]`: carriers for texts, where texts go, and what senders are registered for.

mod account;
mod http;
mod senders;
mod smpp;

pub use account::{SmsAccount, SmsServer};
pub use http::HttpCarrier;
pub use senders::{Campaign, Registration, Senders};
pub use smpp::{Binds, SmppCarrier, Tls};

use super::reader::Section;
use super::{positive, seconds};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunkline_model::TrunkId;
use trunkline_sms::bucket::Rate;
use trunkline_sms::party::SenderKind;
use trunkline_sms::receipt::{Form, IdPolicy, Settles};
use trunkline_sms::retry::LostResponse;
use trunkline_sms::router::{Preference, Route};
use trunkline_sms::segment::split::{Method, SplitPolicy};
use trunkline_sms::status::{Class, StatusTable};
use trunkline_sms::text::DefaultAlphabet;
use trunkline_storage::opt_outs::Scope;

/// Texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Sms {
    /// Carriers; none of them: texts are refused.
    pub carriers: Vec<SmsCarrier>,
    /// Which carrier a message may go to.
    pub routes: Vec<Route>,
    /// How carriers of equal rank are ordered.
    pub preference: Preference,
    /// Which opt-outs stop a message.
    pub opt_out_scope: Scope,
    /// Whether marketing waits for the recipient's hours.
    pub quiet_hours: bool,
    /// How long a message is worth sending unless its sender says otherwise (rules SMS-08: at most 48 h).
    pub validity: Duration,
    /// How much longer a report is waited for.
    pub report_grace: Duration,
    /// How long messages that have ended are kept.
    pub keep: Duration,
    /// Who may send what.
    pub senders: Senders,
    /// Where customers' own systems bind, and which may.
    pub server: SmsServer,
}

/// A carrier for texts.
#[derive(Debug, Clone, PartialEq)]
pub struct SmsCarrier {
    /// Its name.
    pub id: TrunkId,
    /// How it is reached.
    pub reach: CarrierReach,
    /// Most segments; none for no limit of ours.
    pub rate: Option<Rate>,
    /// How messages are cut for it.
    pub split: SplitPolicy,
    /// How its receipts write ids.
    pub ids: IdPolicy,
    /// Which receipts it sends.
    pub receipts: Receipts,
    /// What is done about messages without an answer.
    pub lost_response: LostResponse,
}

/// How a carrier is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum CarrierReach {
    /// By SMPP sessions of ours.
    Smpp(SmppCarrier),
    /// By requests of ours, and webhooks of its.
    Http(HttpCarrier),
}

/// Which receipts a carrier sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Receipts {
    /// Some; this settles a message of several segments.
    Sent(Settles),
    /// None: a message ends when the carrier has it.
    Never,
}

pub(super) fn sms(mut section: Section<'_, '_>) -> Sms {
    let validity = hours(&mut section, "validity_hours", 24);
    if validity > VALIDITY_MAX {
        section.problem("validity_hours", "is at most 48");
    }
    let carriers: Vec<SmsCarrier> = section.sections("carrier").into_iter().filter_map(carrier).collect();
    let names: BTreeSet<TrunkId> = carriers.iter().map(|carrier| carrier.id.clone()).collect();
    if names.len() != carriers.len() {
        section.problem("carrier", "two carriers have the same name");
    }
    let routes =
        section.sections("route").into_iter().filter_map(|route_section| route(route_section, &names));
    let routes: Vec<Route> = routes.collect();
    let preference = word(
        &mut section,
        "preference",
        ("weighted", Preference::Weighted),
        &[("least_cost", Preference::LeastCost)],
    );
    let scope = word(
        &mut section,
        "opt_out_scope",
        ("tenant", Scope::Tenant),
        &[("number", Scope::Number), ("all", Scope::All)],
    );
    let quiet_hours = word(&mut section, "quiet_hours", ("defer", true), &[("off", false)]);
    let sms = Sms {
        routes: if routes.is_empty() { names.into_iter().map(everywhere).collect() } else { routes },
        carriers,
        preference,
        opt_out_scope: scope,
        quiet_hours,
        validity,
        report_grace: seconds(&mut section, "report_grace_secs", 3_600),
        keep: Duration::from_secs(86_400) * positive(&mut section, "keep_days", 30),
        senders: senders::senders(&mut section),
        server: account::server(section.section("server"), section.sections("account")),
    };
    section.close();
    sms
}

/// Where there are no routes, every carrier takes everything.
fn everywhere(trunk: TrunkId) -> Route {
    Route {
        trunk,
        prefix: String::new(),
        senders: BTreeSet::new(),
        foreign_numbers: true,
        priority: 10,
        weight: 10,
        cost_micros: 0,
    }
}

fn carrier(mut section: Section<'_, '_>) -> Option<SmsCarrier> {
    let id = section.required::<TrunkId>("name");
    let rate = section.value::<u32>("segments_per_sec_max").filter(|rate| *rate > 0).map(Rate::per_second);
    let split = SplitPolicy {
        default_alphabet: word(
            &mut section,
            "alphabet",
            ("gsm7", DefaultAlphabet::Gsm7),
            &[("gsm7_packed", DefaultAlphabet::Gsm7Packed), ("latin1", DefaultAlphabet::Latin1)],
        ),
        method: word(
            &mut section,
            "long_messages",
            ("udh16", Method::Udh16),
            &[("udh8", Method::Udh8), ("sar", Method::Sar), ("payload", Method::Payload)],
        ),
        segments_max: section.value("segments_max").unwrap_or(SplitPolicy::default().segments_max),
        transliterate: section.value("transliterate").unwrap_or(false),
    };
    if split.segments_max == 0 {
        section.problem("segments_max", "is 1 to 255");
    }
    let ids = word(
        &mut section,
        "message_ids",
        ("auto", IdPolicy::Auto),
        &[
            ("as_is", IdPolicy::Fixed(Form::AsIs)),
            ("response_hex", IdPolicy::Fixed(Form::ResponseHex)),
            ("response_decimal", IdPolicy::Fixed(Form::ResponseDecimal)),
            ("prefixed", IdPolicy::Fixed(Form::Prefixed)),
            ("response_prefixed", IdPolicy::Fixed(Form::ResponsePrefixed)),
        ],
    );
    let receipts = word(
        &mut section,
        "receipts",
        ("each_segment", Receipts::Sent(Settles::EachSegment)),
        &[("any_segment", Receipts::Sent(Settles::AnySegment)), ("never", Receipts::Never)],
    );
    let lost_response = word(
        &mut section,
        "lost_response",
        ("resubmit", LostResponse::Resubmit),
        &[("hold", LostResponse::Hold), ("fail", LostResponse::Fail)],
    );
    let over_http = section.has("http");
    if over_http && section.has("smpp") {
        section.problem("http", "stands beside smpp: a carrier is reached in one way");
    }
    let reach = if over_http {
        http::http(section.section("http")).map(CarrierReach::Http)
    } else {
        smpp::smpp(section.section("smpp")).map(CarrierReach::Smpp)
    };
    section.close();
    let carrier = SmsCarrier { id: id?, reach: reach?, rate, split, ids, receipts, lost_response };
    Some(if over_http { whole(carrier) } else { carrier })
}

/// A carrier over HTTP takes a message whole, has one id for it and one receipt, and says both alike.
fn whole(carrier: SmsCarrier) -> SmsCarrier {
    let split = SplitPolicy { method: Method::Payload, ..carrier.split };
    SmsCarrier { split, ids: IdPolicy::Fixed(Form::AsIs), ..carrier }
}

fn route(mut section: Section<'_, '_>, carriers: &BTreeSet<TrunkId>) -> Option<Route> {
    let trunk = section.required::<TrunkId>("carrier");
    if let Some(name) = trunk.as_ref().filter(|name| !carriers.contains(*name)) {
        section.problem("carrier", format!("no SMS carrier is named {name}"));
    }
    let prefix = section.value::<String>("prefix").unwrap_or_default();
    let digits = prefix.strip_prefix('+').unwrap_or(&prefix).to_owned();
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > 15 {
        section.problem("prefix", "is the first digits of a number, such as \"+1425\"");
    }
    let senders = section.list::<String>("senders").unwrap_or_default();
    let kinds: BTreeSet<SenderKind> = senders.iter().filter_map(|name| kind(name)).collect();
    if kinds.len() != senders.len() {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        section.problem("senders", format!("names each kind once: {}", known.join(", ")));
    }
    let route = Route {
        prefix: digits,
        senders: kinds,
        foreign_numbers: section.value("foreign_numbers").unwrap_or(true),
        priority: section.value("priority").unwrap_or(10),
        weight: positive(&mut section, "weight", 10),
        cost_micros: section.value("cost_micros").unwrap_or(0),
        trunk: trunk?,
    };
    section.close();
    Some(route)
}

const KINDS: [(&str, SenderKind); 5] = [
    ("local", SenderKind::Local),
    ("toll_free", SenderKind::TollFree),
    ("short_code", SenderKind::ShortCode),
    ("international", SenderKind::International),
    ("name", SenderKind::Name),
];

fn kind(name: &str) -> Option<SenderKind> {
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Reads one of some words; the first stands where there is none.
fn word<T: Copy>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    first: (&str, T),
    others: &[(&str, T)],
) -> T {
    let Some(text) = section.value::<String>(key) else { return first.1 };
    let words = std::iter::once(&first).chain(others);
    match words.clone().find(|&&(word, _)| word == text) {
        Some((_, value)) => *value,
        None => {
            let known: Vec<&str> = words.map(|(word, _)| *word).collect();
            section.problem(key, format!("is {}", known.join(" or ")));
            first.1
        }
    }
}

fn hours(section: &mut Section<'_, '_>, key: &'static str, default: u32) -> Duration {
    Duration::from_secs(3_600) * positive(section, key, default)
}

/// Reads the class of a status.
fn class(name: &str) -> Option<Class> {
    Some(match name {
        "final" => Class::Final,
        "retry" => Class::Retry,
        "retry_few" => Class::RetryFew,
        "destination" => Class::Destination,
        "throttled" => Class::Throttled,
        "rebind" => Class::Rebind,
        "session" => Class::Session,
        _ => return None,
    })
}

/// Reads what statuses mean on a carrier.
fn statuses(sections: Vec<Section<'_, '_>>) -> StatusTable {
    let mut overrides = BTreeMap::new();
    for mut section in sections {
        let code = section.required::<u32>("code");
        let name = section.required::<String>("class");
        let known = name.as_deref().and_then(class);
        if name.is_some() && known.is_none() {
            section.problem("class", "is final, retry, retry_few, destination, throttled, rebind or session");
        }
        if let (Some(code), Some(class)) = (code, known)
            && overrides.insert(code, class).is_some()
        {
            section.problem("code", format!("0x{code:X} has two classes"));
        }
        section.close();
    }
    StatusTable { overrides }
}

/// Rules SMS-08.
const VALIDITY_MAX: Duration = Duration::from_secs(48 * 3_600);

#[cfg(test)]
mod tests;
