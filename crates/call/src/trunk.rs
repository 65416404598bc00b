//! The live side of trunks: calls in progress, calls a second, and which gateways are well.

use crate::explain::Criterion;
use crate::limit::TokenBucket;
use crate::route::RoutingTable;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trunkline_model::{Gateway, HealthPolicy, Trunk, TrunkId};

/// The state of all trunks of the routing table.
///
/// A gateway counts as well until it is shown otherwise. With a [`HealthPolicy`], so many failures in a row
/// (an OPTIONS without an answer, an answer of 503, or a call that the gateway did not answer at all) take it
/// down, and so many answered OPTIONS in a row bring it back.
///
/// Gateways that are down get no calls while any other gateway of the route is left. Only when all are down is
/// each tried once, as a last resort: some carriers do not answer OPTIONS, and a probe that failed says less
/// than a call would. A gateway that sent 503 with Retry-After is left alone for that time in any case
/// (RFC 3261 §21.5.4).
#[derive(Debug)]
pub struct Trunks {
    states: HashMap<TrunkId, TrunkState>,
    rng: ChaCha8Rng,
    next_probe: Option<Instant>,
}

#[derive(Debug)]
struct TrunkState {
    trunk: Arc<Trunk>,
    calls: u32,
    bucket: Option<TokenBucket>,
    gateways: Vec<GatewayState>,
    /// No longer in the routing table; kept until its last call has ended.
    retired: bool,
}

#[derive(Debug)]
struct GatewayState {
    gateway: Gateway,
    up: bool,
    /// Results in a row that speak against `up`.
    against: u32,
    retry_at: Option<Instant>,
    next_probe: Option<Instant>,
    probing: bool,
}

/// How a gateway behaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It answered an OPTIONS with anything but 503: even 404 and 405 come from a living SIP element.
    Alive,
    /// No answer, a transport failure, or 503 to an OPTIONS.
    Silent,
}

/// A gateway that has just gone down or come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthChange {
    /// The trunk it belongs to.
    pub(crate) trunk: TrunkId,
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// Whether it is up now.
    pub(crate) up: bool,
    /// How many gateways of the trunk are up now.
    pub(crate) up_left: usize,
}

/// Which gateways may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Only those that are well.
    Well,
    /// Only those that are down: all well ones of the whole route have been tried.
    LastResort,
}

/// What a trunk is doing, for metrics and `trunkline trunk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkLoad {
    /// The trunk.
    pub trunk: TrunkId,
    /// Calls in progress, both directions.
    pub calls: u32,
    /// Its gateways, and whether each is up.
    pub gateways: Vec<(Gateway, bool)>,
}

/// Longest Retry-After that is believed; a slip of the peer must not take a gateway away for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

impl Trunks {
    /// Returns the trunks of the table, all well and without calls.
    pub fn new(table: &RoutingTable, seed: u64, now: Instant) -> Self {
        let mut trunks =
            Self { states: HashMap::new(), rng: ChaCha8Rng::seed_from_u64(seed), next_probe: None };
        trunks.reload(table, now);
        trunks
    }

    /// Takes over a new table. Trunks and gateways that stay keep their calls and their health.
    pub(crate) fn reload(&mut self, table: &RoutingTable, now: Instant) {
        for state in self.states.values_mut() {
            state.retired = table.trunk(&state.trunk.id).is_none();
        }
        self.states.retain(|_, state| !state.retired || state.calls > 0);
        for trunk in table.trunks() {
            let old = self.states.remove(&trunk.id);
            let state = TrunkState::new(Arc::clone(trunk), old, &mut self.rng, now);
            self.states.insert(trunk.id.clone(), state);
        }
        self.find_next_probe();
    }

    /// Whether the trunk's caps allow another call now.
    ///
    /// # Errors
    /// The cap that is reached.
    pub(crate) fn check_call(&self, trunk: &TrunkId, now: Instant) -> Result<(), Criterion> {
        let Some(state) = self.states.get(trunk) else { return Err(Criterion::NotConfigured) };
        if let Some(max) = state.trunk.calls_max.filter(|max| state.calls >= *max) {
            return Err(Criterion::CallsMax(max));
        }
        match (&state.bucket, state.trunk.calls_per_sec_max) {
            (Some(bucket), Some(max)) if !bucket.has(now) => Err(Criterion::CallsPerSec(max)),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// Counts a call on the trunk, if its caps allow one.
    ///
    /// # Errors
    /// The cap that is reached.
    pub(crate) fn take_call(&mut self, trunk: &TrunkId, now: Instant) -> Result<(), Criterion> {
        self.check_call(trunk, now)?;
        if let Some(state) = self.states.get_mut(trunk) {
            state.calls += 1;
            if let Some(bucket) = &mut state.bucket {
                bucket.take(now);
            }
        }
        Ok(())
    }

    /// Ends a call counted by [`take_call`](Self::take_call).
    pub(crate) fn release_call(&mut self, trunk: &TrunkId) {
        let Some(state) = self.states.get_mut(trunk) else { return };
        state.calls = state.calls.saturating_sub(1);
        if state.retired && state.calls == 0 {
            self.states.remove(trunk);
        }
    }

    /// Chooses the next gateway of a trunk: lowest priority first, by weight among equals (RFC 2782).
    ///
    /// # Errors
    /// Why none is left.
    pub(crate) fn select(
        &mut self,
        trunk: &TrunkId,
        choice: Choice,
        tried: &[Gateway],
        now: Instant,
    ) -> Result<Gateway, Criterion> {
        let Some(state) = self.states.get(trunk) else { return Err(Criterion::NotConfigured) };
        state.usable(choice, tried, now)?;
        let candidates = || state.candidates(choice, tried, now);
        let best = candidates().map(|held| held.gateway.priority).min().unwrap_or(u16::MAX);
        let equals = || candidates().filter(|held| held.gateway.priority == best);
        let total: u32 = equals().map(|held| u32::from(held.gateway.weight)).sum();
        // RFC 2782: a random number from 0 to the sum inclusive, weight-0 entries first.
        let mut draw = self.rng.random_range(0..=total);
        let (light, heavy): (Vec<_>, Vec<_>) = equals().partition(|held| held.gateway.weight == 0);
        for held in light.iter().chain(&heavy) {
            let weight = u32::from(held.gateway.weight);
            if draw <= weight {
                return Ok(held.gateway.clone());
            }
            draw -= weight;
        }
        Err(Criterion::NoGateway)
    }

    /// Whether a gateway could be chosen now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check_gateway(
        &self,
        trunk: &TrunkId,
        choice: Choice,
        tried: &[Gateway],
        now: Instant,
    ) -> Result<(), Criterion> {
        self.states.get(trunk).ok_or(Criterion::NotConfigured)?.usable(choice, tried, now)
    }

    /// Notes how a gateway behaved. Without a health policy nothing is concluded from it.
    pub(crate) fn report(
        &mut self,
        trunk: &TrunkId,
        gateway: &Gateway,
        seen: Behaviour,
    ) -> Option<HealthChange> {
        let state = self.states.get_mut(trunk)?;
        let policy = state.trunk.health?;
        let held = state.gateways.iter_mut().find(|held| held.gateway == *gateway)?;
        if !held.note(seen, policy) {
            return None;
        }
        let up = held.up;
        let up_left = state.gateways.iter().filter(|held| held.up).count();
        Some(HealthChange { trunk: trunk.clone(), gateway: gateway.clone(), up, up_left })
    }

    /// Notes that a gateway asked to be left alone (503 with Retry-After).
    pub(crate) fn retry_after(&mut self, trunk: &TrunkId, gateway: &Gateway, wait: Duration, now: Instant) {
        let held = self.states.get_mut(trunk).map(|state| &mut state.gateways);
        if let Some(held) = held.and_then(|all| all.iter_mut().find(|held| held.gateway == *gateway)) {
            held.retry_at = Some(now + wait.min(RETRY_AFTER_MAX));
        }
    }

    /// Returns when the next OPTIONS is due.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.next_probe
    }

    /// Takes one gateway whose OPTIONS is due, and what follows from its last one never having been answered.
    pub(crate) fn due_probe(&mut self, now: Instant) -> Option<(Arc<Trunk>, Gateway, Option<HealthChange>)> {
        if self.next_probe.is_none_or(|at| at > now) {
            return None;
        }
        let mut due = None;
        for state in self.states.values_mut().filter(|state| !state.retired) {
            let Some(policy) = state.trunk.health else { continue };
            let is_due = |held: &&mut GatewayState| held.next_probe.is_some_and(|at| at <= now);
            if let Some(held) = state.gateways.iter_mut().find(is_due) {
                let unanswered = std::mem::replace(&mut held.probing, true);
                held.next_probe = Some(now + policy.interval);
                due = Some((Arc::clone(&state.trunk), held.gateway.clone(), unanswered));
                break;
            }
        }
        self.find_next_probe();
        let (trunk, gateway, unanswered) = due?;
        let change = if unanswered { self.report(&trunk.id, &gateway, Behaviour::Silent) } else { None };
        Some((trunk, gateway, change))
    }

    /// Notes that the last OPTIONS of a gateway has come to an end.
    pub(crate) fn probe_done(
        &mut self,
        trunk: &TrunkId,
        gateway: &Gateway,
        seen: Behaviour,
    ) -> Option<HealthChange> {
        let state = self.states.get_mut(trunk)?;
        let held = state.gateways.iter_mut().find(|held| held.gateway == *gateway)?;
        // Late: its interval is over, and it was counted then.
        if !std::mem::replace(&mut held.probing, false) {
            return None;
        }
        self.report(trunk, gateway, seen)
    }

    /// Returns the load of every trunk, by name.
    pub fn load(&self) -> Vec<TrunkLoad> {
        let mut all: Vec<_> = self.states.values().map(TrunkState::load).collect();
        all.sort_by(|a, b| a.trunk.cmp(&b.trunk));
        all
    }

    fn find_next_probe(&mut self) {
        let live = self.states.values().filter(|state| !state.retired);
        self.next_probe = live.flat_map(|state| &state.gateways).filter_map(|held| held.next_probe).min();
    }
}

impl TrunkState {
    fn new(trunk: Arc<Trunk>, old: Option<Self>, rng: &mut impl Rng, now: Instant) -> Self {
        let (calls, old_bucket, old_rate, mut held) = match old {
            Some(old) => (old.calls, old.bucket, old.trunk.calls_per_sec_max, old.gateways),
            None => (0, None, None, Vec::new()),
        };
        let bucket = match trunk.calls_per_sec_max {
            rate if rate == old_rate => old_bucket,
            rate => rate.map(|rate| TokenBucket::new(rate, now)),
        };
        let bucket = bucket.or_else(|| trunk.calls_per_sec_max.map(|rate| TokenBucket::new(rate, now)));
        let gateways = trunk.gateways.iter().map(|gateway| {
            match held.iter().position(|old| old.gateway.same_place(gateway)) {
                Some(at) => GatewayState { gateway: gateway.clone(), ..held.swap_remove(at) },
                None => GatewayState::new(gateway.clone()),
            }
        });
        let mut gateways: Vec<_> = gateways.collect();
        for held in &mut gateways {
            held.next_probe = match (trunk.health, held.next_probe) {
                (None, Some(_) | None) => None,
                (Some(_), Some(at)) => Some(at),
                // Spread over the interval, or all gateways of a node would be probed in the same instant.
                (Some(policy), None) => Some(now + policy.interval.mul_f64(rng.random_range(0.0..1.0))),
            };
            // Nothing would ever bring it back.
            held.up |= trunk.health.is_none();
        }
        Self { trunk, calls, bucket, gateways, retired: false }
    }

    fn candidates<'a>(
        &'a self,
        choice: Choice,
        tried: &'a [Gateway],
        now: Instant,
    ) -> impl Iterator<Item = &'a GatewayState> {
        self.gateways.iter().filter(move |held| {
            held.up == (choice == Choice::Well) && !held.waits(now) && !tried.contains(&held.gateway)
        })
    }

    fn usable(&self, choice: Choice, tried: &[Gateway], now: Instant) -> Result<(), Criterion> {
        if self.candidates(choice, tried, now).next().is_some() {
            return Ok(());
        }
        let untried = || self.gateways.iter().filter(|held| !tried.contains(&held.gateway));
        Err(if self.gateways.is_empty() {
            Criterion::NoGateway
        } else if untried().next().is_none() {
            Criterion::AllTried
        } else if untried().all(|held| !held.up) {
            Criterion::AllDown
        } else {
            Criterion::RetryLater
        })
    }

    fn load(&self) -> TrunkLoad {
        let gateways = self.gateways.iter().map(|held| (held.gateway.clone(), held.up)).collect();
        TrunkLoad { trunk: self.trunk.id.clone(), calls: self.calls, gateways }
    }
}

impl GatewayState {
    fn new(gateway: Gateway) -> Self {
        Self { gateway, up: true, against: 0, retry_at: None, next_probe: None, probing: false }
    }

    fn waits(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }

    /// Returns whether it went down or came back.
    fn note(&mut self, seen: Behaviour, policy: HealthPolicy) -> bool {
        let (agrees, enough) = match seen {
            Behaviour::Alive => (self.up, policy.up_after),
            Behaviour::Silent => (!self.up, policy.down_after),
        };
        if agrees {
            self.against = 0;
            return false;
        }
        self.against += 1;
        if self.against < enough {
            return false;
        }
        self.against = 0;
        self.up = !self.up;
        true
    }
}

/// Whether two configured gateways are the same place, whatever their priority and weight.
trait SamePlace {
    fn same_place(&self, other: &Self) -> bool;
}

impl SamePlace for Gateway {
    fn same_place(&self, other: &Self) -> bool {
        (&self.host, self.port, self.transport) == (&other.host, other.port, other.transport)
    }
}

#[cfg(test)]
#[path = "trunk/tests.rs"]
mod tests;
