//! The immutable routing table: which trunk a request comes from, and where a dialled number goes.

mod resource;
mod users;

pub use resource::{NumberRoute, ResourceRoutes};
pub use users::{Called, Identity, Tenant, USERS};

use crate::error::RouteProblem;
use ipnet::IpNet;
use resource::Resource;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use trunkline_model::{DidRoute, E164, PatternRoute, Transport, Trunk, TrunkId, UserAddress};

/// Trunks, DIDs and patterns, prepared for look-up.
///
/// It never changes: a new configuration is a new table, given to
/// [`B2bua::set_routes`](crate::B2bua::set_routes), and calls that are up keep what they took from the old one.
#[derive(Debug, Default)]
pub struct RoutingTable {
    trunks: Vec<Arc<Trunk>>,
    index: HashMap<TrunkId, usize>,
    /// Networks by prefix length and address, each with the trunks that name it, in configured order.
    sources: HashMap<IpNet, Vec<usize>>,
    /// The prefix lengths that occur, longest first, for IPv4 and IPv6.
    v4_lengths: Vec<u8>,
    v6_lengths: Vec<u8>,
    /// Numbers that nobody may be called at.
    unused: HashSet<E164>,
    dids: HashMap<E164, Did>,
    /// By the trunk that calls come in on.
    resources: HashMap<TrunkId, Arc<Resource>>,
    patterns: HashMap<String, Vec<Pattern>>,
    prefix_max: usize,
    /// Resources whose users may call, by GUID.
    tenants: HashMap<Box<str>, users::Resolved>,
    /// Whose domain it is, by the domain in lower case.
    domains: HashMap<Box<str>, Box<str>>,
}

#[derive(Debug)]
struct Did {
    dial: String,
    steps: Arc<[RingStep]>,
    trunks: Arc<[Arc<Trunk>]>,
}

#[derive(Debug)]
struct Pattern {
    from: Vec<TrunkId>,
    trunks: Arc<[Arc<Trunk>]>,
    strip: usize,
    prepend: String,
}

/// Where a call goes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The rule that decided.
    pub rule: Rule,
    /// Users that are called before any trunk, step by step.
    pub steps: Arc<[RingStep]>,
    /// What is dialled on the trunks.
    pub dial: String,
    /// Trunks, in the order they are tried.
    pub trunks: Arc<[Arc<Trunk>]>,
    /// Whether the call may go out on the trunk it came in on.
    pub hairpin: bool,
}

/// Users that are called at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingStep {
    /// The users, each at all its contacts.
    pub users: Vec<UserAddress>,
    /// How long they may ring.
    pub ring_max: Duration,
}

/// The rule of the table that decided on a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A number of ours.
    Did(E164),
    /// Routes of the resource that the call belongs to.
    Resource(String),
    /// The longest prefix that matched.
    Pattern(String),
    /// A user of the caller's own resource.
    User(UserAddress),
}

/// Why no rule applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoute {
    /// No DID and no prefix matches.
    Unknown,
    /// A prefix matches, but only for calls from other trunks.
    OtherTrunks(String),
    /// The number is ours, and nobody has it or takes calls on it.
    Unused,
    /// A user of another resource.
    OtherResource,
}

/// What was dialled, in the forms the table knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// The user part without visual separators and parameters.
    pub text: String,
    /// The number, where the text is one in international, NANP national or dial-prefix form.
    pub number: Option<E164>,
}

impl RoutingTable {
    /// Builds the table, or lists everything that is wrong with it.
    ///
    /// # Errors
    /// Every [`RouteProblem`], not only the first.
    pub fn new(
        trunks: Vec<Trunk>,
        dids: Vec<DidRoute>,
        patterns: Vec<PatternRoute>,
    ) -> Result<Self, Vec<RouteProblem>> {
        let mut problems = Vec::new();
        let mut table = Self::default();
        for trunk in trunks {
            let useless = trunk.inbound.sources.is_empty() && trunk.gateways.is_empty();
            if useless && trunk.id.as_str() != USERS {
                problems.push(RouteProblem::UselessTrunk(trunk.id.clone()));
            }
            if table.index.contains_key(&trunk.id) {
                problems.push(RouteProblem::TrunkTwice(trunk.id));
                continue;
            }
            table.index.insert(trunk.id.clone(), table.trunks.len());
            table.add_sources(&trunk);
            table.trunks.push(Arc::new(trunk));
        }
        for did in dids {
            table.add_did(did, &mut problems);
        }
        for pattern in patterns {
            table.add_pattern(pattern, &mut problems);
        }
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// Adds numbers that are ours and that nobody has: calls to them are refused, whatever the patterns say.
    /// A DID is never one of them.
    #[must_use]
    pub fn with_unused(mut self, numbers: impl IntoIterator<Item = E164>) -> Self {
        self.unused.extend(numbers);
        self
    }

    fn add_sources(&mut self, trunk: &Trunk) {
        let place = self.trunks.len();
        for net in &trunk.inbound.sources {
            let net = canonical(net.trunc());
            self.sources.entry(net).or_default().push(place);
            let lengths = if net.addr().is_ipv4() { &mut self.v4_lengths } else { &mut self.v6_lengths };
            if let Err(at) = lengths.binary_search_by(|held| net.prefix_len().cmp(held)) {
                lengths.insert(at, net.prefix_len());
            }
        }
    }

    fn add_did(&mut self, route: DidRoute, problems: &mut Vec<RouteProblem>) {
        let owner = route.did.to_string();
        let trunks = self.resolve(&owner, &route.trunks, problems);
        let dial = route.dial.unwrap_or(owner);
        check_dial(&dial, problems);
        let kept = Did { dial, steps: Arc::default(), trunks };
        if self.dids.insert(route.did, kept).is_some() {
            problems.push(RouteProblem::DidTwice(route.did));
        }
    }

    fn add_pattern(&mut self, route: PatternRoute, problems: &mut Vec<RouteProblem>) {
        let digits = route.prefix.strip_prefix('+').unwrap_or(&route.prefix);
        if route.prefix.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            problems.push(RouteProblem::BadPrefix(route.prefix.clone()));
        }
        check_dial(&route.prepend, problems);
        for trunk in &route.from {
            if !self.index.contains_key(trunk) {
                problems.push(RouteProblem::UnknownTrunk(route.prefix.clone(), trunk.clone()));
            }
        }
        let trunks = self.resolve(&route.prefix, &route.trunks, problems);
        let held = self.patterns.entry(route.prefix.clone()).or_default();
        if held.iter().any(|other| overlap(&other.from, &route.from)) {
            problems.push(RouteProblem::PatternTwice(route.prefix.clone()));
        }
        self.prefix_max = self.prefix_max.max(route.prefix.len());
        let strip = usize::from(route.strip);
        held.push(Pattern { from: route.from, trunks, strip, prepend: route.prepend });
        // A pattern for named trunks is more particular than one for all.
        held.sort_by_key(|pattern| pattern.from.is_empty());
    }

    fn resolve(&self, rule: &str, names: &[TrunkId], problems: &mut Vec<RouteProblem>) -> Arc<[Arc<Trunk>]> {
        if names.is_empty() {
            problems.push(RouteProblem::NoTrunks(rule.to_owned()));
        }
        let mut trunks = Vec::with_capacity(names.len());
        for name in names {
            match self.trunk(name) {
                None => problems.push(RouteProblem::UnknownTrunk(rule.to_owned(), name.clone())),
                Some(trunk) if trunk.gateways.is_empty() => {
                    problems.push(RouteProblem::NoGateways(rule.to_owned(), name.clone()));
                }
                Some(trunk) => trunks.push(Arc::clone(trunk)),
            }
        }
        trunks.into()
    }

    /// Returns all trunks, in configured order.
    pub fn trunks(&self) -> &[Arc<Trunk>] {
        &self.trunks
    }

    /// Returns the trunk of that name.
    pub fn trunk(&self, id: &TrunkId) -> Option<&Arc<Trunk>> {
        self.index.get(id).and_then(|place| self.trunks.get(*place))
    }

    /// Returns the trunk that a request from this source over this transport belongs to.
    ///
    /// The most specific network wins, as in a routing table of IP; of trunks that name the same network, the
    /// one configured first. Over secure WebSocket only users come, wherever they are.
    pub fn identify(&self, source: SocketAddr, transport: Transport) -> Option<&Arc<Trunk>> {
        if transport == Transport::Wss {
            return self.users();
        }
        let ip = source.ip().to_canonical();
        let lengths = if ip.is_ipv4() { &self.v4_lengths } else { &self.v6_lengths };
        lengths
            .iter()
            .filter_map(|length| IpNet::new(ip, *length).ok())
            .filter_map(|net| self.sources.get(&net.trunc()))
            .flatten()
            .filter_map(|place| self.trunks.get(*place))
            .find(|trunk| trunk.inbound.accepts_transport(transport))
    }

    /// Returns where a call from that trunk to that number goes. A DID comes before what the resource says whose
    /// trunk it is, and that before any pattern.
    ///
    /// # Errors
    /// Why no rule applies.
    pub fn route(&self, from: &TrunkId, dialled: &Dialled) -> Result<Route, NoRoute> {
        if let Some(route) = self.by_did(dialled)? {
            return Ok(route);
        }
        match self.by_resource(from, dialled) {
            Some(route) => Ok(route),
            None => self.by_pattern(from, dialled),
        }
    }

    /// Returns where a number of ours goes; none when it is not ours.
    fn by_did(&self, dialled: &Dialled) -> Result<Option<Route>, NoRoute> {
        if let Some((number, did)) = dialled.number.and_then(|n| Some((n, self.dids.get(&n)?))) {
            return Ok(Some(Route {
                rule: Rule::Did(number),
                steps: Arc::clone(&did.steps),
                dial: did.dial.clone(),
                trunks: Arc::clone(&did.trunks),
                hairpin: true,
            }));
        }
        let unused = dialled.number.is_some_and(|number| self.unused.contains(&number));
        if unused { Err(NoRoute::Unused) } else { Ok(None) }
    }

    fn by_pattern(&self, from: &TrunkId, dialled: &Dialled) -> Result<Route, NoRoute> {
        let number = dialled.number.map(|number| number.to_string());
        let text = number.as_deref().unwrap_or(&dialled.text);
        let mut for_others = None;
        for len in (1..=self.prefix_max.min(text.len())).rev() {
            let Some((prefix, patterns)) = text.get(..len).and_then(|p| self.patterns.get_key_value(p))
            else {
                continue;
            };
            let allowed = |pattern: &&Pattern| pattern.from.is_empty() || pattern.from.contains(from);
            match patterns.iter().find(allowed) {
                Some(pattern) => return Ok(pattern.apply(prefix, text)),
                None => for_others = for_others.or_else(|| Some(prefix.clone())),
            }
        }
        Err(for_others.map_or(NoRoute::Unknown, NoRoute::OtherTrunks))
    }
}

impl Pattern {
    fn apply(&self, prefix: &str, text: &str) -> Route {
        let rest = text.get(self.strip..).unwrap_or_default();
        Route {
            rule: Rule::Pattern(prefix.to_owned()),
            steps: Arc::default(),
            dial: format!("{}{rest}", self.prepend),
            trunks: Arc::clone(&self.trunks),
            // A pattern open to every caller would turn a carrier's stray call into a loop at its expense;
            // sending a call back where it came from takes a rule that names that trunk.
            hairpin: !self.from.is_empty(),
        }
    }
}

impl Dialled {
    /// Reads the user part of a SIP or tel URI.
    ///
    /// `+` and digits are taken as they are; `011` (NANP) and `00` (ITU-T) are international prefixes; ten
    /// digits of NANP form get `+1`; eleven and more are a number whose `+` was left out. Anything else, such
    /// as `911`, stays text and matches patterns as text.
    pub fn parse(user: &str) -> Self {
        let user = user.split(';').next().unwrap_or_default();
        let text: String =
            user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).take(TEXT_MAX).collect();
        let number = international(&text).and_then(|form| E164::parse(&form).ok());
        Self { text, number }
    }
}

/// Longest dialled text that is looked up: E.164 has 15 digits, prefixes and private dialling plans add some.
const TEXT_MAX: usize = 64;

fn international(text: &str) -> Option<String> {
    if text.starts_with('+') {
        return Some(text.to_owned());
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Some(rest) = text.strip_prefix("011").or_else(|| text.strip_prefix("00")) {
        return Some(format!("+{rest}"));
    }
    match (text.len(), text.as_bytes()) {
        (10, [b'2'..=b'9', _, _, b'2'..=b'9', ..]) => Some(format!("+1{text}")),
        (11.., [b'1'..=b'9', ..]) => Some(format!("+{text}")),
        _ => None,
    }
}

fn canonical(net: IpNet) -> IpNet {
    // ::ffff:192.0.2.0/120 is 192.0.2.0/24: sources are compared in canonical form.
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_canonical() {
            IpAddr::V4(v4) => IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).unwrap_or(net),
            IpAddr::V6(_) => net,
        },
        IpNet::V4(_) | IpNet::V6(_) => net,
    }
}

fn overlap(a: &[TrunkId], b: &[TrunkId]) -> bool {
    (a.is_empty() && b.is_empty()) || a.iter().any(|trunk| b.contains(trunk))
}

fn check_dial(text: &str, problems: &mut Vec<RouteProblem>) {
    // The unreserved and user-unreserved characters of RFC 3261 §25.1 that need no escape in a user part.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-_.!~*'()&=$,;?/".contains(&b);
    if !text.bytes().all(plain) || text.len() > TEXT_MAX {
        problems.push(RouteProblem::BadDial(text.to_owned()));
    }
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;
