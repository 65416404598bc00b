//! The table of routes, and the order in which trunks are tried.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_model::TrunkId;

use super::{Health, Message, Step, Verdict};
use crate::party::SenderKind;
use crate::session::backoff::Jitter;

/// One way to a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The trunk.
    pub trunk: TrunkId,
    /// The digits that the destination begins with; empty for any destination.
    pub prefix: String,
    /// Kinds of sender that it is for; empty for any.
    pub senders: BTreeSet<SenderKind>,
    /// Whether it takes senders whose number is with another carrier.
    pub foreign_numbers: bool,
    /// Those with a lower number come first.
    pub priority: u8,
    /// The share of messages among routes that are otherwise equal.
    pub weight: u32,
    /// What a segment costs, in millionths of the currency.
    pub cost_micros: u32,
}

/// How trunks of equal prefix and priority are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Preference {
    /// By the draw, each with the probability of its weight.
    #[default]
    Weighted,
    /// The cheapest first; by weight among equally cheap ones.
    LeastCost,
}

/// All routes.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    routes: Vec<Route>,
    preference: Preference,
}

/// What orders candidates: whether to avoid it, how the trunk does, then the route itself.
#[derive(Debug, PartialEq, PartialOrd)]
struct Rank {
    avoided: bool,
    down: bool,
    prefix_shorter: usize,
    priority: u8,
    health: Health,
    cost: u32,
    draw: f64,
}

impl Routes {
    /// Returns a table.
    pub fn new(routes: Vec<Route>, preference: Preference) -> Self {
        Self { routes, preference }
    }

    /// Returns the trunks that may take a message, in the order they are tried. Those that may not are put in `path`.
    ///
    /// A longer prefix wins over everything but a trunk that is down or has just refused the message: then the
    /// shorter ones are the failover.
    pub(super) fn candidates(
        &self,
        message: &Message<'_>,
        health: &BTreeMap<TrunkId, Health>,
        path: &mut Vec<Step>,
    ) -> Vec<TrunkId> {
        let mut jitter = Jitter::new(message.draw);
        let mut ranked: Vec<(Rank, &TrunkId)> = Vec::new();
        for route in &self.routes {
            // Drawn for every route, so that another sender or destination does not change who gets what.
            let draw = jitter.fraction();
            if !message.to.digits().starts_with(&route.prefix) {
                continue;
            }
            match route.refuses(message) {
                Some(verdict) => path.push(Step::Trunk(route.trunk.clone(), verdict)),
                None => ranked.push((self.rank(route, message, health, draw), &route.trunk)),
            }
        }
        ranked.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        let mut trunks: Vec<TrunkId> = Vec::new();
        for (_, trunk) in ranked {
            if !trunks.contains(trunk) {
                trunks.push(trunk.clone());
            }
        }
        trunks
    }

    fn rank(
        &self,
        route: &Route,
        message: &Message<'_>,
        health: &BTreeMap<TrunkId, Health>,
        draw: f64,
    ) -> Rank {
        let health = health.get(&route.trunk).copied().unwrap_or(Health::Down);
        Rank {
            avoided: message.avoided.contains(&route.trunk),
            down: health == Health::Down,
            prefix_shorter: usize::MAX - route.prefix.len(),
            priority: route.priority,
            health,
            cost: match self.preference {
                Preference::Weighted => 0,
                Preference::LeastCost => route.cost_micros,
            },
            // Efraimidis and Spirakis: the least of -ln(u)/w comes first with the probability of its weight.
            draw: -draw.max(f64::MIN_POSITIVE).ln() / f64::from(route.weight.max(1)),
        }
    }
}

impl Route {
    fn refuses(&self, message: &Message<'_>) -> Option<Verdict> {
        let kind = message.from.kind();
        if !self.senders.is_empty() && !self.senders.contains(&kind) {
            return Some(Verdict::NotForSender(kind));
        }
        match message.owner {
            Some(owner) if *owner != self.trunk && !self.foreign_numbers => {
                Some(Verdict::NotOwner(owner.clone()))
            }
            Some(_) | None => None,
        }
    }
}
