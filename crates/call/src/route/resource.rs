//! What resources decide on the calls of their own trunks: number patterns, tried in order.

use super::{Dialled, Route, RoutingTable, Rule};
use crate::error::RouteProblem;
use regex::Regex;
use std::sync::Arc;
use trunkline_model::{Trunk, TrunkId};

/// The routes of one resource.
#[derive(Debug, Clone)]
pub struct ResourceRoutes {
    /// Its name.
    pub resource: String,
    /// The trunks that its calls come in on.
    pub callers: Vec<TrunkId>,
    /// Its routes, in the order in which they are tried.
    pub routes: Vec<NumberRoute>,
}

/// Calls to numbers of a pattern go to these trunks.
#[derive(Debug, Clone)]
pub struct NumberRoute {
    /// Its name.
    pub name: String,
    /// What the E.164 number has to match somewhere.
    pub pattern: Regex,
    /// Trunks, in the order in which they are tried.
    pub trunks: Vec<TrunkId>,
}

#[derive(Debug)]
pub(super) struct Resource {
    name: String,
    routes: Vec<Resolved>,
}

/// A route whose trunks are found.
#[derive(Debug)]
pub(super) struct Resolved {
    pattern: Regex,
    trunks: Arc<[Arc<Trunk>]>,
}

impl RoutingTable {
    /// Adds what resources decide. It comes behind DIDs and before patterns.
    ///
    /// # Errors
    /// Every [`RouteProblem`], not only the first.
    pub fn with_resources(mut self, resources: Vec<ResourceRoutes>) -> Result<Self, Vec<RouteProblem>> {
        let mut problems = Vec::new();
        for ResourceRoutes { resource, callers, routes } in resources {
            let resolved = self.resolve_routes(&resource, routes, &mut problems);
            let kept = Arc::new(Resource { name: resource, routes: resolved });
            for caller in callers {
                if !self.index.contains_key(&caller) {
                    problems.push(RouteProblem::UnknownTrunk(kept.name.clone(), caller.clone()));
                }
                if self.resources.insert(caller.clone(), Arc::clone(&kept)).is_some() {
                    problems.push(RouteProblem::TwoResources(caller));
                }
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    pub(super) fn resolve_routes(
        &self,
        resource: &str,
        routes: Vec<NumberRoute>,
        problems: &mut Vec<RouteProblem>,
    ) -> Vec<Resolved> {
        let mut resolved = Vec::with_capacity(routes.len());
        for route in routes {
            let rule = format!("{resource}: {}", route.name);
            let trunks = self.resolve(&rule, &route.trunks, problems);
            resolved.push(Resolved { pattern: route.pattern, trunks });
        }
        resolved
    }

    /// Returns where the resource that calls from that trunk belong to sends a call: to the trunks of every route
    /// that the number matches, in order. None when it says nothing of that number.
    pub(super) fn by_resource(&self, from: &TrunkId, dialled: &Dialled) -> Option<Route> {
        let resource = self.resources.get(from)?;
        by_routes(&resource.name, &resource.routes, dialled)
    }
}

/// Returns where the routes of a resource send a call; none when they say nothing of that number.
pub(super) fn by_routes(resource: &str, routes: &[Resolved], dialled: &Dialled) -> Option<Route> {
    let number = dialled.number?.to_string();
    let mut trunks: Vec<Arc<Trunk>> = Vec::new();
    for route in routes.iter().filter(|route| route.pattern.is_match(&number)) {
        for trunk in route.trunks.iter() {
            if !trunks.iter().any(|known| known.id == trunk.id) {
                trunks.push(Arc::clone(trunk));
            }
        }
    }
    let rule = Rule::Resource(resource.to_owned());
    let found = !trunks.is_empty();
    found.then(|| Route { rule, steps: Arc::default(), dial: number, trunks: trunks.into(), hairpin: false })
}
