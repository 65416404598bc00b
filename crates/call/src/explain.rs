//! Why a call was let in and where it may go, or why not: for events, and for `trunkline trunk match`.

use crate::route::{Dialled, NoRoute, Route, RoutingTable, Rule, USERS};
use crate::trunk::{Choice, Trunks};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use trunkline_model::{Transport, Trunk, TrunkId};

/// What is asked: the parts of an INVITE that decide. `Debug` hides the numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where it came from.
    pub source: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The user part of From, as received.
    pub from: String,
    /// The user part of the request URI, as received.
    pub to: String,
    /// The Call-ID, as received.
    pub call_id: String,
}

/// The whole decision on one call.
#[derive(Clone, PartialEq, Eq)]
pub struct Explain {
    /// What was asked.
    pub asked: Asked,
    /// Each trunk as a place for the call to come from, in configured order.
    pub inbound: Vec<Verdict>,
    /// The rule that decided where it goes; none when it did not come so far or none applies.
    pub rule: Option<Rule>,
    /// What would be dialled there.
    pub dial: Option<String>,
    /// Each trunk of the route as a place for the call to go, in the order of the route.
    pub outbound: Vec<Verdict>,
    /// Why the call was refused; none when it was let in.
    pub refusal: Option<Refusal>,
}

/// One trunk, and the first criterion that it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The trunk.
    pub trunk: TrunkId,
    /// The first criterion that failed; none when all are met.
    pub failed: Option<Criterion>,
}

/// A criterion that a trunk can fail, in the order they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criterion {
    /// The source address is in none of its networks.
    Source,
    /// It does not take requests over this transport.
    Transport,
    /// Another trunk names a more specific network, or the same one and stands first.
    LessSpecific(TrunkId),
    /// It is no longer configured.
    NotConfigured,
    /// It has as many calls as it may.
    CallsMax(u32),
    /// It had as many new calls in this second as it may.
    CallsPerSec(u32),
    /// The call came in on it, and the pattern does not name it as a source.
    Hairpin,
    /// It has no gateways.
    NoGateway,
    /// All its gateways have been tried.
    AllTried,
    /// All its gateways are down.
    AllDown,
    /// All its gateways that are up asked to be left alone (503 with Retry-After).
    RetryLater,
}

/// Why a call was refused before any gateway was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The node is shutting down.
    Draining,
    /// The node has as many calls as it may.
    NodeFull,
    /// No trunk takes requests from this source over this transport.
    UnknownSource,
    /// A cap of the trunk it came from.
    TrunkCap(TrunkId, Criterion),
    /// Max-Forwards is used up, or the path is too long.
    TooManyHops,
    /// No rule applies to the number.
    NoRoute(NoRoute),
    /// No trunk of the route can take it.
    NoTrunk,
    /// The offered media can't be used.
    Media(&'static str),
    /// No RTP ports are left.
    NoPorts,
    /// A user may not show the number that it asks for, or has none to show.
    CallerId(&'static str),
    /// The request can't be understood as a call.
    BadRequest(&'static str),
    /// The caller demands a kind of privacy that we do not know (RFC 3323 §5.1).
    Privacy,
    /// The user agent refused the INVITE before it was a call: malformed, looped, or asking for what it does not have.
    UserAgent {
        /// The status that it was refused with.
        status: u16,
        /// Why.
        reason: String,
    },
}

/// A call that was let in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The trunk it came from.
    pub trunk: Arc<Trunk>,
    /// Where it goes.
    pub route: Route,
}

/// Decides on a call: which trunk it comes from, whether that may have another call, where it goes, and
/// whether anything there can take it.
///
/// Nothing is changed or counted, so that the same function serves a live INVITE and a saved one.
///
/// # Errors
/// The refusal, explained trunk by trunk.
pub fn decide(
    table: &RoutingTable,
    trunks: &Trunks,
    asked: &Asked,
    now: Instant,
) -> Result<Admitted, Box<Explain>> {
    let refuse = |refusal| Err(Box::new(explain(table, trunks, asked, Some(refusal), now)));
    let Some(trunk) = table.identify(asked.source, asked.transport) else {
        return refuse(Refusal::UnknownSource);
    };
    if let Err(criterion) = trunks.check_call(&trunk.id, now) {
        return refuse(Refusal::TrunkCap(trunk.id.clone(), criterion));
    }
    let route = match table.route(&trunk.id, &Dialled::parse(&asked.to)) {
        Ok(route) => route,
        Err(reason) => return refuse(Refusal::NoRoute(reason)),
    };
    let open = |choice| {
        let mut outs = route.trunks.iter();
        outs.any(|out| check_out(trunks, &trunk.id, &route, out, choice, now).is_ok())
    };
    // Whether users are there to be called is known when it comes to that.
    if route.steps.is_empty() && !open(Choice::Well) && !open(Choice::LastResort) {
        return refuse(Refusal::NoTrunk);
    }
    Ok(Admitted { trunk: Arc::clone(trunk), route })
}

/// Tells for every trunk what [`decide`] sees, whether or not the call is let in.
pub fn explain(
    table: &RoutingTable,
    trunks: &Trunks,
    asked: &Asked,
    refusal: Option<Refusal>,
    now: Instant,
) -> Explain {
    let chosen = table.identify(asked.source, asked.transport);
    // What stands for all users has no source address.
    let trunks_of = table.trunks().iter().filter(|trunk| trunk.id.as_str() != USERS);
    let inbound = trunks_of.map(|trunk| Verdict {
        trunk: trunk.id.clone(),
        failed: check_in(trunks, asked, chosen, trunk, now).err(),
    });
    let route = chosen.and_then(|trunk| table.route(&trunk.id, &Dialled::parse(&asked.to)).ok());
    let outbound = route.iter().zip(chosen).flat_map(|(route, from)| {
        route.trunks.iter().map(|out| Verdict {
            trunk: out.id.clone(),
            failed: check_out(trunks, &from.id, route, out, Choice::Well, now).err(),
        })
    });
    Explain {
        inbound: inbound.collect(),
        outbound: outbound.collect(),
        dial: route.as_ref().map(|route| route.dial.clone()),
        rule: route.map(|route| route.rule),
        asked: asked.clone(),
        refusal,
    }
}

fn check_in(
    trunks: &Trunks,
    asked: &Asked,
    chosen: Option<&Arc<Trunk>>,
    trunk: &Arc<Trunk>,
    now: Instant,
) -> Result<(), Criterion> {
    if !trunk.inbound.accepts_source(asked.source.ip()) {
        return Err(Criterion::Source);
    }
    if !trunk.inbound.accepts_transport(asked.transport) {
        return Err(Criterion::Transport);
    }
    if let Some(chosen) = chosen.filter(|chosen| chosen.id != trunk.id) {
        return Err(Criterion::LessSpecific(chosen.id.clone()));
    }
    trunks.check_call(&trunk.id, now)
}

/// Whether a trunk of a route can take a call that came from another.
///
/// # Errors
/// The first criterion that it fails.
pub(crate) fn check_out(
    trunks: &Trunks,
    from: &TrunkId,
    route: &Route,
    out: &Trunk,
    choice: Choice,
    now: Instant,
) -> Result<(), Criterion> {
    if out.id == *from && !route.hairpin {
        return Err(Criterion::Hairpin);
    }
    trunks.check_call(&out.id, now)?;
    trunks.check_gateway(&out.id, choice, &[], now)
}

impl Refusal {
    /// Returns the SIP status that the caller gets.
    pub fn status(&self) -> u16 {
        match self {
            Self::Draining | Self::NodeFull | Self::TrunkCap(..) | Self::NoTrunk | Self::NoPorts => 503,
            Self::UnknownSource | Self::CallerId(_) => 403,
            Self::TooManyHops => 483,
            Self::NoRoute(_) => 404,
            Self::Media(_) => 488,
            Self::BadRequest(_) => 400,
            // RFC 3323 §5.1.
            Self::Privacy => 500,
            Self::UserAgent { status, .. } => *status,
        }
    }

    /// Returns the Retry-After in seconds that goes with the status.
    ///
    /// Only where the whole node or the asking trunk is full: towards other numbers a full trunk out would be
    /// no reason to stay away, and without the header a 503 counts as 500 (RFC 3261 §21.5.4).
    pub fn retry_after_secs(&self) -> Option<u32> {
        match self {
            Self::Draining => Some(30),
            Self::NodeFull | Self::NoPorts => Some(2),
            Self::TrunkCap(..) => Some(1),
            Self::UnknownSource
            | Self::TooManyHops
            | Self::NoRoute(_)
            | Self::NoTrunk
            | Self::Media(_)
            | Self::CallerId(_)
            | Self::BadRequest(_)
            | Self::Privacy
            | Self::UserAgent { .. } => None,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source: in none of its networks"),
            Self::Transport => f.write_str("transport: not one of its transports"),
            Self::LessSpecific(other) => write!(f, "source: {other} names a network that fits better"),
            Self::NotConfigured => f.write_str("configured: no longer"),
            Self::CallsMax(max) => write!(f, "calls_max: {max} calls in progress"),
            Self::CallsPerSec(max) => write!(f, "calls_per_sec_max: {max} new calls in this second"),
            Self::Hairpin => {
                f.write_str("hairpin: the call came from this trunk, and the pattern has no `from`")
            }
            Self::NoGateway => f.write_str("gateways: none"),
            Self::AllTried => f.write_str("gateways: all tried"),
            Self::AllDown => f.write_str("health: all gateways are down"),
            Self::RetryLater => f.write_str("health: all gateways that are up sent 503 with Retry-After"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => f.write_str("shutting down"),
            Self::NodeFull => f.write_str("this node has as many calls as it may"),
            Self::UnknownSource => f.write_str("no trunk takes requests from this source"),
            Self::TrunkCap(trunk, criterion) => write!(f, "trunk {trunk}: {criterion}"),
            Self::TooManyHops => f.write_str("too many hops"),
            Self::NoRoute(NoRoute::Unknown) => f.write_str("no DID and no prefix matches the number"),
            Self::NoRoute(NoRoute::OtherTrunks(prefix)) => {
                write!(f, "prefix {prefix} is for calls from other trunks")
            }
            Self::NoRoute(NoRoute::Unused) => f.write_str("the number is ours, and nobody has it"),
            Self::NoRoute(NoRoute::OtherResource) => f.write_str("a user of another resource"),
            Self::NoTrunk => f.write_str("no trunk of the route can take it"),
            Self::Media(reason) => write!(f, "media: {reason}"),
            Self::NoPorts => f.write_str("no RTP ports left"),
            Self::CallerId(reason) => write!(f, "caller ID: {reason}"),
            Self::BadRequest(reason) => write!(f, "bad request: {reason}"),
            Self::Privacy => f.write_str("critical privacy of an unknown kind"),
            Self::UserAgent { reason, .. } => write!(f, "request: {reason}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Did(number) => write!(f, "DID {number}"),
            Self::Resource(name) => write!(f, "routes of resource {name}"),
            Self::Pattern(prefix) => write!(f, "prefix {prefix}"),
            Self::User(_) => f.write_str("the address of a user"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed {
            None => write!(f, "{}: yes", self.trunk),
            Some(criterion) => write!(f, "{}: no, {criterion}", self.trunk),
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Asked { source, transport, from, to, call_id: _ } = &self.asked;
        // What a peer wrote is quoted and escaped.
        writeln!(f, "call from {source} over {transport}, From {from:?} to {to:?}")?;
        writeln!(f, "comes from")?;
        for verdict in &self.inbound {
            writeln!(f, "  {verdict}")?;
        }
        match (&self.rule, &self.dial) {
            (Some(rule), Some(dial)) => writeln!(f, "goes by {rule}, dialling {dial}, to")?,
            (Some(_) | None, Some(_) | None) => writeln!(f, "goes nowhere")?,
        }
        for verdict in &self.outbound {
            writeln!(f, "  {verdict}")?;
        }
        match &self.refusal {
            None => write!(f, "admitted"),
            Some(refusal) => write!(f, "refused with {}: {refusal}", refusal.status()),
        }
    }
}

// Numbers of people are in it: `Debug` ends up in logs, so it hides them.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("source", &self.source)
            .field("transport", &self.transport)
            .field("from", &Hidden(&self.from))
            .field("to", &Hidden(&self.to))
            .finish()
    }
}

/// A number of whatever form, shown by its first and its last two characters.
pub(crate) struct Hidden<'a>(pub(crate) &'a str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.chars().count();
        if count < 6 {
            // Too little to hide a part of.
            return f.write_str("…");
        }
        let head = self.0.chars().next().into_iter().collect::<String>();
        let tail: String = self.0.chars().skip(count - 2).collect();
        write!(f, "{}…{}", head.escape_debug(), tail.escape_debug())
    }
}

// Numbers of people are in `asked` and `dial`: `Debug` ends up in logs, so it leaves them out.
impl fmt::Debug for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explain")
            .field("source", &self.asked.source)
            .field("transport", &self.asked.transport)
            .field("inbound", &self.inbound)
            .field("outbound", &self.outbound)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}
