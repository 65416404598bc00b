//! Which carrier takes a message, when, or why none does.
//!
//! [`Router::decide`] changes nothing: the same question has the same answer, and `trunkline sms explain` asks it as
//! the queue does. [`Router::commit`] then counts what was sent.

mod explain;
mod limits;
mod routes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use trunkline_model::{E164, TrunkId};

pub use explain::{Step, Verdict};
pub use limits::{BrandDay, Limits};
pub use routes::{Preference, Route, Routes};

use crate::gate::{self, Closed, Standing};
use crate::party::Sender;
use crate::quiet::{Calendar, Locality};
use crate::retry::Destinations;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Something the recipient waits for.
    Transactional,
    /// Advertisement: it keeps quiet hours.
    Marketing,
    /// An answer to a text of the recipient's, such as the confirmation of a STOP: opt-outs do not stop it.
    Reply,
}

/// A message to be routed, with what is known about it.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Who sends.
    pub from: &'a Sender,
    /// Who receives.
    pub to: &'a E164,
    /// How many segments it has.
    pub segments: u16,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether the recipient is in the US or Canada.
    pub domestic: bool,
    /// What the sender's registration has come to.
    pub standing: &'a Standing,
    /// The carrier that the sender's number is with, if it is with one.
    pub owner: Option<&'a TrunkId>,
    /// Whether the recipient has opted out of messages from this sender.
    pub opted_out: bool,
    /// Where the recipient's area code lies; none if that is not known or does not matter.
    pub locality: Option<&'a Locality>,
    /// What is left of the brand's day at carriers that count by day.
    pub brand_day: Option<BrandDay>,
    /// The end of its validity.
    pub deadline: Instant,
    /// Trunks that refused it for now: the others come first.
    pub avoided: &'a [TrunkId],
    /// What weights are drawn with: the same for each attempt of one message, different between messages.
    pub draw: u64,
}

/// How a trunk is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Messages pass.
    Up,
    /// Messages pass, but not well: the others come first.
    Degraded,
    /// No session is bound.
    Down,
}

/// What was decided, and how it came to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub outcome: Outcome,
    /// What was looked at, in order.
    pub path: Vec<Step>,
}

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Submit it.
    Send {
        /// To this trunk.
        trunk: TrunkId,
        /// To one of these if that fails, in order.
        failover: Vec<TrunkId>,
    },
    /// Ask again then.
    Wait {
        /// When.
        at: Instant,
    },
    /// It goes nowhere.
    Refuse(Refusal),
}

/// Why a message goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its validity is over.
    Expired,
    /// The recipient has opted out.
    OptedOut,
    /// The sender may not send there.
    Gate(Closed),
    /// No route leads there.
    NoRoute,
    /// The recipient's windows for marketing never open.
    AlwaysQuiet,
}

impl Refusal {
    /// Returns the code that delivery reports carry in `deliveryStatusDetails`.
    pub fn report_code(self) -> u16 {
        match self {
            Self::Expired => 5001,
            Self::OptedOut => 4007,
            Self::Gate(closed) => closed.report_code(),
            Self::NoRoute | Self::AlwaysQuiet => 4003,
        }
    }
}

/// Routes, limits and the state of trunks.
#[derive(Debug)]
pub struct Router {
    /// Where messages may go.
    pub routes: Routes,
    /// How much may go.
    pub limits: Limits,
    /// Destinations whose queues are full.
    pub destinations: Destinations,
    /// When marketing may go; none to let it go at any time.
    pub quiet_hours: Option<Calendar>,
    health: BTreeMap<TrunkId, Health>,
}

/// How long a message waits for a trunk that is down before it asks again; a trunk that comes up asks for it sooner.
const DOWN_WAIT: Duration = Duration::from_secs(5);

impl Router {
    /// Returns a router whose trunks are all down.
    pub fn new(routes: Routes) -> Self {
        Self {
            routes,
            limits: Limits::default(),
            destinations: Destinations::new(),
            quiet_hours: Some(Calendar::default()),
            health: BTreeMap::new(),
        }
    }

    /// Takes in how a trunk is doing.
    pub fn set_health(&mut self, trunk: TrunkId, health: Health) {
        self.health.insert(trunk, health);
    }

    /// Returns how a trunk is doing.
    pub fn health(&self, trunk: &TrunkId) -> Health {
        self.health.get(trunk).copied().unwrap_or(Health::Down)
    }

    /// Decides about a message. `unix` is `now` in seconds since 1970.
    pub fn decide(&self, now: Instant, unix: i64, message: &Message<'_>) -> Decision {
        let mut path = Vec::new();
        let outcome = match self.held_back(now, unix, message, &mut path) {
            Some(outcome) => outcome,
            None => self.choose(now, message, &mut path),
        };
        Decision { outcome, path }
    }

    /// Counts a message that is sent to a trunk.
    pub fn commit(&mut self, now: Instant, trunk: &TrunkId, message: &Message<'_>) {
        self.limits.take(now, trunk, message.from, message.standing, message.segments);
    }

    /// What stops a message whatever the trunk.
    fn held_back(
        &self,
        now: Instant,
        unix: i64,
        message: &Message<'_>,
        path: &mut Vec<Step>,
    ) -> Option<Outcome> {
        if message.deadline <= now {
            path.push(Step::Expired);
            return Some(Outcome::Refuse(Refusal::Expired));
        }
        if message.opted_out && message.purpose != Purpose::Reply {
            path.push(Step::OptedOut);
            return Some(Outcome::Refuse(Refusal::OptedOut));
        }
        let kind = message.from.kind();
        if let Err(closed) = gate::check(kind, message.standing, message.domestic) {
            path.push(Step::Closed(kind, closed));
            return Some(Outcome::Refuse(Refusal::Gate(closed)));
        }
        path.push(Step::Open(kind));
        if let Some(outcome) = self.quiet(now, unix, message, path) {
            return Some(outcome);
        }
        let waits = [
            self.destinations
                .waits_until(now, message.to.digits())
                .map(|at| (at, Step::DestinationFull(at - now))),
            self.limits.number_waits(now, message).map(|at| (at, Step::NumberLimit(at - now))),
            self.limits.campaign_waits(now, message).map(|at| (at, Step::CampaignLimit(at - now))),
            message
                .brand_day
                .and_then(|day| day.waits(now, message.segments))
                .map(|at| (at, Step::BrandDay(at - now))),
        ];
        let (at, step) = waits.into_iter().flatten().max_by_key(|(at, _)| *at)?;
        path.push(step);
        Some(wait(at, message))
    }

    fn quiet(&self, now: Instant, unix: i64, message: &Message<'_>, path: &mut Vec<Step>) -> Option<Outcome> {
        let (Some(calendar), Some(locality)) = (&self.quiet_hours, message.locality) else { return None };
        if message.purpose != Purpose::Marketing {
            return None;
        }
        let Some(open) = calendar.open_at(unix, locality) else {
            path.push(Step::AlwaysQuiet);
            return Some(Outcome::Refuse(Refusal::AlwaysQuiet));
        };
        let left = u64::try_from(open - unix).ok().filter(|left| *left > 0)?;
        let left = Duration::from_secs(left);
        path.push(Step::QuietHours(left));
        Some(wait(now + left, message))
    }

    fn choose(&self, now: Instant, message: &Message<'_>, path: &mut Vec<Step>) -> Outcome {
        let candidates = self.routes.candidates(message, &self.health, path);
        if candidates.is_empty() {
            path.push(Step::NoRoute);
            return Outcome::Refuse(Refusal::NoRoute);
        }
        let mut ready: Vec<TrunkId> = Vec::new();
        let mut soonest = now + DOWN_WAIT;
        let mut some_up = false;
        for trunk in candidates {
            if self.health(&trunk) == Health::Down {
                path.push(Step::Trunk(trunk, Verdict::Down));
                continue;
            }
            let at = self.limits.trunk_ready_at(now, &trunk, message.segments);
            if at > now {
                soonest = if some_up { soonest.min(at) } else { at };
                some_up = true;
                path.push(Step::Trunk(trunk, Verdict::Limited(at - now)));
                continue;
            }
            let verdict = if ready.is_empty() { Verdict::Chosen } else { Verdict::Failover };
            path.push(Step::Trunk(trunk.clone(), verdict));
            ready.push(trunk);
        }
        if ready.is_empty() {
            return wait(soonest, message);
        }
        let trunk = ready.remove(0);
        Outcome::Send { trunk, failover: ready }
    }
}

/// Waits, but not beyond the validity: then the message is looked at again, and expires.
fn wait(at: Instant, message: &Message<'_>) -> Outcome {
    Outcome::Wait { at: at.min(message.deadline) }
}

#[cfg(test)]
mod tests;
