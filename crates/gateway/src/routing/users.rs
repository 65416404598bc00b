//! Users: which numbers ring at them, and what their resources let them call and show.

use super::Stored as All;
use crate::config::Config;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tracing::warn;
use trunkline_call::{NumberRoute, Tenant};
use trunkline_model::{DidRoute, E164, Ring, UserAddress};
use trunkline_storage::users::RingDocument;
use trunkline_storage::{Connection, Error, resources, users};
use uuid::Uuid;

/// What the database says of users.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    rings: Vec<(E164, Uuid, RingDocument)>,
    tenants: Vec<Resource>,
}

#[derive(Debug, PartialEq, Eq)]
struct Resource {
    id: Uuid,
    name: String,
    hosts: Vec<String>,
}

pub(super) async fn read(db: &mut Connection) -> Result<Stored, Error> {
    let rings = users::rings(db).await?;
    let mut tenants = Vec::new();
    for resource in resources::list(db).await? {
        // Whose tokens are not accepted may not call either.
        if resource.suspended_unix_ms.is_none() {
            let hosts = resources::hosts(db, resource.id).await?;
            tenants.push(Resource { id: resource.id, name: resource.name, hosts });
        }
    }
    Ok(Stored { rings, tenants })
}

/// Adds the numbers that ring at users, unless the file itself says where they go.
pub(super) fn add_rings(config: &mut Config, stored: &All) {
    if config.users.trunk.is_none() {
        return;
    }
    let by_file: BTreeSet<E164> = config.dids.iter().map(|did| did.did).collect();
    let takes_calls: BTreeSet<E164> =
        stored.owned.iter().filter(|owned| owned.takes_calls).map(|owned| owned.number).collect();
    for (number, resource, document) in &stored.users.rings {
        if by_file.contains(number) || !takes_calls.contains(number) {
            continue;
        }
        match ring(document, *resource) {
            Some(ring) => {
                config.rings.insert(*number, ring);
                config.dids.push(DidRoute { did: *number, trunks: Vec::new(), dial: None });
            }
            // It was checked when it was set, by a program of another version.
            None => warn!(%resource, "the users of a number cannot be used"),
        }
    }
}

fn ring(document: &RingDocument, resource: Uuid) -> Option<Ring> {
    let user = |text: &String| {
        let user: Option<UserAddress> = text.parse().ok();
        user.filter(|user| user.resource() == resource.to_string())
    };
    let overflow = match &document.overflow {
        Some(text) => Some(user(text)?),
        None => None,
    };
    let users: Vec<UserAddress> = document.users.iter().map(user).collect::<Option<_>>()?;
    let ring_max = Duration::from_secs(document.ring_secs.max(1).into());
    (!users.is_empty()).then_some(Ring { users, order: document.order, ring_max, overflow })
}

/// Returns what the resources let their users call and show.
pub(super) fn tenants(
    config: &Config,
    stored: &All,
    mut routes: HashMap<Uuid, Vec<NumberRoute>>,
) -> Vec<Tenant> {
    if config.users.trunk.is_none() {
        return Vec::new();
    }
    let mut numbers: HashMap<Uuid, Vec<E164>> = HashMap::new();
    for owned in stored.owned.iter().filter(|owned| owned.places_calls) {
        numbers.entry(owned.resource).or_default().push(owned.number);
    }
    let tenant = |resource: &Resource| Tenant {
        id: resource.id.to_string(),
        name: resource.name.clone(),
        domains: resource.hosts.iter().filter(|host| *host != "*").map(|host| bare(host)).collect(),
        numbers: numbers.remove(&resource.id).unwrap_or_default(),
        routes: routes.remove(&resource.id).unwrap_or_default(),
    };
    stored.users.tenants.iter().map(tenant).collect()
}

/// Returns a host without its port.
fn bare(host: &str) -> String {
    resources::bare_host(host).to_owned()
}
