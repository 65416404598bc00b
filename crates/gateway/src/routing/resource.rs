//! The trunks and routes that resources set themselves (`PATCH /sip`), in the terms of the call router.

use crate::config::Config;
use crate::dns;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;
use tracing::warn;
use trunkline_api::sip_routing::{self, SipConfiguration};
use trunkline_call::{NumberRoute, ResourceRoutes};
use trunkline_model::{
    Gateway, Host, MediaPolicy, Reliability, SessionTimerPolicy, Trunk, TrunkId, TrunkMatch,
};
use trunkline_storage::{Connection, Error, resources, trunks};
use uuid::Uuid;

/// How long a phone behind a resource's trunk may ring.
const RING_MAX: Duration = Duration::from_secs(120);

/// What a resource says of its calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    id: Uuid,
    name: String,
    configuration: SipConfiguration,
}

/// Reads what every resource says.
pub(super) async fn read(db: &mut Connection) -> Result<Vec<Said>, Error> {
    let names = resources::list(db).await?.into_iter();
    let mut names: HashMap<Uuid, String> = names.map(|resource| (resource.id, resource.name)).collect();
    let all = trunks::list::<SipConfiguration>(db).await?.into_iter();
    let said =
        all.filter_map(|(id, configuration)| Some(Said { id, name: names.remove(&id)?, configuration }));
    Ok(said.collect())
}

/// Adds the trunks of resources to the configuration, and returns their routes: for the trunks of the file that their
/// calls come in on, and for their users. A resource with neither has none that could be used.
pub(super) fn routes(
    config: &mut Config,
    all: &[Said],
) -> (Vec<ResourceRoutes>, HashMap<Uuid, Vec<NumberRoute>>) {
    let mut callers: BTreeMap<&str, Vec<TrunkId>> = BTreeMap::new();
    for (trunk, resource) in &config.trunk_resources {
        callers.entry(resource).or_default().push(trunk.clone());
    }
    let reach = config.reach();
    let (mut routes, mut of_users, mut added) = (Vec::new(), HashMap::new(), Vec::new());
    let have_users = config.users.trunk.is_some();
    for said in all {
        let callers = callers.remove(said.name.as_str());
        if callers.is_none() && !have_users {
            continue;
        }
        let mut known = BTreeMap::new();
        for (fqdn, trunk) in &said.configuration.trunks {
            if trunk.enabled == Some(false) {
                continue;
            }
            // It was checked when it was set, and the operator may have changed it since.
            if fqdn.parse().is_ok_and(|ip| !reach.allows(ip)) {
                warn!(resource = said.name, trunk = fqdn, "a trunk of a resource may not be at this address");
                continue;
            }
            let Some(id) = trunk_id(said.id, fqdn) else { continue };
            known.insert(fqdn.as_str(), id.clone());
            added.push(self::trunk(id, fqdn, trunk.sip_signaling_port, config));
        }
        let found = number_routes(said, &known);
        if have_users {
            of_users.insert(said.id, found.clone());
        }
        if let Some(callers) = callers {
            routes.push(ResourceRoutes { resource: said.name.clone(), callers, routes: found });
        }
    }
    config.trunks.extend(added);
    (routes, of_users)
}

/// Returns the routes that lead anywhere.
fn number_routes(said: &Said, known: &BTreeMap<&str, TrunkId>) -> Vec<NumberRoute> {
    let mut routes = Vec::new();
    for route in &said.configuration.routes {
        let trunks: Vec<TrunkId> =
            route.trunks.iter().filter_map(|fqdn| known.get(fqdn.as_str()).cloned()).collect();
        if trunks.is_empty() {
            continue;
        }
        match sip_routing::compile(&route.number_pattern) {
            Ok(pattern) => routes.push(NumberRoute { name: route.name.clone(), pattern, trunks }),
            // It was checked when it was set, by a program of another version.
            Err(error) => {
                warn!(resource = said.name, route = route.name, %error, "a route of a resource cannot be used");
            }
        }
    }
    routes
}

/// Names a resource's trunk: two resources may have one of the same FQDN.
fn trunk_id(resource: Uuid, fqdn: &str) -> Option<TrunkId> {
    let owner = format!("{:08x}", resource.as_fields().0);
    let whole = TrunkId::parse(&format!("sbc-{owner}-{fqdn}"));
    whole.ok().or_else(|| {
        // Too long for a name that appears in metrics; what is left stays unique.
        let mut hasher = DefaultHasher::new();
        (resource, fqdn).hash(&mut hasher);
        let start: String = fqdn.chars().take(FQDN_CHARS_SHOWN).collect();
        TrunkId::parse(&format!("sbc-{owner}-{start}-{:016x}", hasher.finish())).ok()
    })
}

fn trunk(id: TrunkId, fqdn: &str, port: u16, config: &Config) -> Trunk {
    let ip: Option<IpAddr> = fqdn.parse().ok();
    let host = ip.map_or_else(|| Host::Name(dns::guarded(fqdn)), Host::Ip);
    let transport = config.sip_routing.transport;
    let gateway = Gateway { host, port: Some(port), transport, priority: 10, weight: 10 };
    Trunk {
        id,
        // Calls from there come in by a trunk of the operator's, if at all.
        inbound: TrunkMatch::default(),
        gateways: vec![gateway],
        calls_max: None,
        calls_per_sec_max: None,
        advertised: None,
        advertised_port: None,
        domain: ip.is_none().then(|| fqdn.to_owned()),
        media: MediaPolicy::default(),
        failover_statuses: Default::default(),
        health: None,
        reliability: Reliability::default(),
        session_timer: SessionTimerPolicy::default(),
        ring_max: RING_MAX,
        trusted_identity: false,
        follow_source: true,
    }
}

/// So much of a long FQDN is shown in the name of its trunk.
const FQDN_CHARS_SHOWN: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn said(name: &str, id: u128, configuration: &str) -> Said {
        let configuration = serde_json::from_str(configuration).unwrap();
        Said { id: Uuid::from_u128(id), name: name.into(), configuration }
    }

    const SIP: &str = r#"{
        "trunks": {"192.0.2.7": {"sipSignalingPort": 5080}, "10.1.2.3": {"sipSignalingPort": 5060},
            "sbc.contoso.com": {"sipSignalingPort": 5061}, "off.contoso.com": {"sipSignalingPort": 1, "enabled": false}},
        "routes": [
            {"name": "us", "numberPattern": "^\\+1", "trunks": ["off.contoso.com", "192.0.2.7"]},
            {"name": "nowhere", "numberPattern": ".", "trunks": []},
            {"name": "private", "numberPattern": ".", "trunks": ["10.1.2.3"]},
            {"name": "off", "numberPattern": ".", "trunks": ["off.contoso.com"]}]}"#;

    #[test]
    fn a_resource_routes_the_calls_of_its_own_trunks_over_those_that_are_enabled() {
        let file = "[[trunk]]\nname = \"pbx\"\nsources = [\"10.0.0.5\"]\nresource = \"contoso\"\n\
            [users]\nenabled = false\n";
        let mut config = Config::parse(Path::new("t.toml"), file).unwrap().config;
        let all = [said("contoso", 1 << 96, SIP), said("fabrikam", 2 << 96, SIP)];
        let (routes, _) = routes(&mut config, &all);
        let [contoso] = &routes[..] else { panic!("fabrikam has no trunk in the file") };
        assert_eq!(contoso.callers, [TrunkId::parse("pbx").unwrap()]);
        let names: Vec<_> = contoso.routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(names, ["us"]);
        let [_, added, named] = &config.trunks[..] else { panic!("one of the file and two of contoso") };
        assert_eq!(added.id.as_str(), "sbc-00000001-192.0.2.7");
        assert_eq!(contoso.routes[0].trunks.first(), Some(&added.id));
        assert_eq!(added.gateways[0].port, Some(5080));
        assert_eq!(named.gateways[0].host, Host::Name("sbc.contoso.com.".to_owned()), "looked up guarded");
        assert_eq!(named.domain.as_deref(), Some("sbc.contoso.com"));

        config.trunks.truncate(1);
        config.sip_routing.private_addresses = true;
        let [contoso] = &super::routes(&mut config, &all).0[..] else {
            panic!("fabrikam has no trunk in the file")
        };
        assert_eq!(contoso.routes.last().map(|route| route.name.as_str()), Some("private"));
    }

    #[test]
    fn long_names_stay_apart() {
        let id = Uuid::from_u128(1);
        let long = |end: &str| trunk_id(id, &format!("{}.{end}", "a".repeat(60))).unwrap();
        assert_ne!(long("x.com"), long("y.com"));
        assert_eq!(long("x.com"), long("x.com"));
        assert_ne!(trunk_id(id, "sbc.com"), trunk_id(Uuid::from_u128(1 << 96), "sbc.com"));
    }
}
