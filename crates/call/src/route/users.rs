//! Users: who rings for a number, and what the resource of a caller lets its users call and show.

use super::resource::{self, NumberRoute, by_routes};
use super::{Dialled, NoRoute, RingStep, Route, RoutingTable, Rule, check_dial};
use crate::error::RouteProblem;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use trunkline_model::{E164, RingOrder, Trunk, TrunkId, UserAddress, UserRoute};

/// The name of the trunk that stands for all users: its limits and its policy of media are theirs.
pub const USERS: &str = "users";

/// A resource whose users may call.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its GUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its domains: the hosts of its users' addresses.
    pub domains: Vec<String>,
    /// The numbers that its users may show when they call (CALL-01), the first when they do not say.
    pub numbers: Vec<E164>,
    /// Its own routes, in the order in which they are tried; they come before the patterns.
    pub routes: Vec<NumberRoute>,
}

#[derive(Debug)]
pub(super) struct Resolved {
    name: String,
    domain: Option<String>,
    /// What is shown by who does not say.
    default: Option<E164>,
    numbers: HashSet<E164>,
    routes: Vec<resource::Resolved>,
}

/// Whom a user calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// Another user.
    User(UserAddress),
    /// A number, or what patterns make of the text.
    Number(Dialled),
}

/// What a caller may show of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// This number.
    Number(E164),
    /// No number of this resource was asked for, and it has none.
    None,
    /// A number was asked for that is not the resource's.
    NotOwned,
}

/// How long another user of the resource may ring.
const RING_MAX: Duration = Duration::from_secs(60);

impl Called {
    /// Reads whom the user part of a Request-URI names, for a user of that resource.
    ///
    /// Numbers may also be written as raw ids are: `4:+14255550100`.
    pub fn parse(user: &str, resource: &str) -> Self {
        match UserAddress::of_sip_user(user, Some(resource)) {
            Some(user) => Self::User(user),
            None => Self::Number(Dialled::parse(user.strip_prefix("4:").unwrap_or(user))),
        }
    }
}

impl RoutingTable {
    /// Adds numbers whose calls ring at users.
    ///
    /// # Errors
    /// Every [`RouteProblem`], not only the first.
    pub fn with_user_routes(mut self, routes: Vec<UserRoute>) -> Result<Self, Vec<RouteProblem>> {
        let mut problems = Vec::new();
        for route in routes {
            let owner = route.did.to_string();
            // Nobody has to stand behind users.
            let trunks = match route.trunks.as_slice() {
                [] => Arc::default(),
                trunks => self.resolve(&owner, trunks, &mut problems),
            };
            let dial = route.dial.unwrap_or(owner);
            check_dial(&dial, &mut problems);
            let ring_max = route.ring.ring_max;
            let mut steps: Vec<RingStep> = match route.ring.order {
                RingOrder::Together => vec![RingStep { users: route.ring.users, ring_max }],
                RingOrder::InOrder => {
                    let step = |user| RingStep { users: vec![user], ring_max };
                    route.ring.users.into_iter().map(step).collect()
                }
            };
            steps.extend(route.ring.overflow.map(|user| RingStep { users: vec![user], ring_max }));
            if self.dids.insert(route.did, super::Did { dial, steps: steps.into(), trunks }).is_some() {
                problems.push(RouteProblem::DidTwice(route.did));
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// Adds resources whose users may call.
    ///
    /// # Errors
    /// Every [`RouteProblem`], not only the first.
    pub fn with_tenants(mut self, tenants: Vec<Tenant>) -> Result<Self, Vec<RouteProblem>> {
        let mut problems = Vec::new();
        for Tenant { id, name, domains, numbers, routes } in tenants {
            let routes = self.resolve_routes(&name, routes, &mut problems);
            let domain = domains.first().cloned();
            for domain in domains {
                self.domains.insert(domain.to_ascii_lowercase().into(), id.as_str().into());
            }
            let default = numbers.first().copied();
            let numbers = numbers.into_iter().collect();
            self.tenants.insert(id.into(), Resolved { name, domain, default, numbers, routes });
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// Returns the trunk that stands for all users, where users may call at all.
    pub fn users(&self) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|trunk| trunk.id.as_str() == USERS)
    }

    /// Whether a resource is known whose users may call.
    pub fn knows_tenant(&self, resource: &str) -> bool {
        self.tenants.contains_key(resource)
    }

    /// Whether a domain may be that of a resource's users: it is not another's.
    pub fn is_domain_of(&self, domain: &str, resource: &str) -> bool {
        let owner = self.domains.get(domain.to_ascii_lowercase().as_str());
        owner.is_none_or(|owner| **owner == *resource)
    }

    /// Returns the host of a resource's users' addresses.
    pub fn domain_of(&self, resource: &str) -> Option<&str> {
        self.tenants.get(resource).and_then(|tenant| tenant.domain.as_deref())
    }

    /// Returns what a user of a resource may show who asks to show a number, or does not say (CALL-01, CALL-02).
    pub fn identity(&self, resource: &str, wanted: Option<E164>) -> Identity {
        let Some(tenant) = self.tenants.get(resource) else { return Identity::None };
        match wanted {
            Some(number) if tenant.numbers.contains(&number) => Identity::Number(number),
            Some(_) => Identity::NotOwned,
            None => tenant.default.map_or(Identity::None, Identity::Number),
        }
    }

    /// Returns where a call of a user goes: to a user of the same resource, to a number of ours, by the routes of its
    /// resource, or by patterns, in this order.
    ///
    /// # Errors
    /// Why no rule applies.
    pub fn route_of_user(&self, resource: &str, called: &Called) -> Result<Route, NoRoute> {
        let dialled = match called {
            Called::Number(dialled) => dialled,
            Called::User(user) if user.resource() == resource => {
                let step = RingStep { users: vec![user.clone()], ring_max: RING_MAX };
                return Ok(Route {
                    rule: Rule::User(user.clone()),
                    steps: Arc::new([step]),
                    dial: String::new(),
                    trunks: Arc::default(),
                    hairpin: false,
                });
            }
            Called::User(_) => return Err(NoRoute::OtherResource),
        };
        if let Some(route) = self.by_did(dialled)? {
            return Ok(route);
        }
        let tenant = self.tenants.get(resource).ok_or(NoRoute::Unknown)?;
        if let Some(route) = by_routes(&tenant.name, &tenant.routes, dialled) {
            return Ok(route);
        }
        let users = TrunkId::parse(USERS).map_err(|_| NoRoute::Unknown)?;
        self.by_pattern(&users, dialled)
    }
}
