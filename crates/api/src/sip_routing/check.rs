//! What a configuration must be. The codes are those that the public service answers with.

use super::configuration::{SipConfiguration, SipDomain, SipRoute, SipTrunk};
use super::pattern;
use super::reach::Reach;
use crate::error::ApiError;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use trunkline_model::E164;

const TRUNKS_MAX: usize = 250;
const ROUTES_MAX: usize = 250;
const DOMAINS_MAX: usize = 250;
const FQDN_CHARS_MAX: usize = 249;
/// RFC 1035 §2.3.4.
const LABEL_CHARS_MAX: usize = 63;
const NAME_CHARS_MAX: usize = 256;
const DESCRIPTION_CHARS_MAX: usize = 1024;
const PATTERN_CHARS_MAX: usize = 1024;

/// Checks that a patch patches something.
pub(super) fn patch(patch: &Value) -> Result<(), ApiError> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::invalid("body", "The body must be a JSON object."));
    };
    let says = |name: &str| match patch.get(name) {
        None => false,
        Some(Value::Object(entries)) => name == "routes" || !entries.is_empty(),
        // An empty list of routes is the wish to have none; what is no list is refused when it is read.
        Some(_) => true,
    };
    if ["domains", "trunks", "routes"].into_iter().any(says) {
        return Ok(());
    }
    Err(unprocessable("EmptyPatch", "Patch with no data provided."))
}

/// Reads a whole configuration and checks it.
pub(super) fn configuration(document: &Value, reach: &Reach) -> Result<SipConfiguration, ApiError> {
    if !document.is_object() {
        return Err(ApiError::invalid("body", "The body must be a JSON object."));
    }
    let trunks = trunks(document.get("trunks"), reach)?;
    let domains = domains(document.get("domains"))?;
    let routes = match document.get("routes") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(routes)) => self::routes(routes, &trunks)?,
        Some(_) => return Err(ApiError::invalid("routes", "routes must be a list.")),
    };
    Ok(SipConfiguration { domains, trunks, routes })
}

fn entries<'a>(value: Option<&'a Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(entries)) => Ok(Some(entries)),
        Some(_) => Err(ApiError::invalid(name, format!("{name} must be an object."))),
    }
}

fn trunks(value: Option<&Value>, reach: &Reach) -> Result<BTreeMap<String, SipTrunk>, ApiError> {
    let Some(entries) = entries(value, "trunks")? else { return Ok(BTreeMap::new()) };
    if entries.len() > TRUNKS_MAX {
        return Err(too_many("TooManyTrunks", "trunks", TRUNKS_MAX));
    }
    let mut seen = BTreeSet::new();
    let mut trunks = BTreeMap::new();
    for (fqdn, value) in entries {
        let target = format!("trunks.{fqdn}");
        if !is_host_name(fqdn) {
            let message = "Trunk with an invalid FQDN.";
            return Err(unprocessable("InvalidTrunkFqdn", message).with_target(target));
        }
        if fqdn.parse::<Ipv4Addr>().is_ok_and(|ip| !reach.allows(ip.into())) {
            let message = "Trunk with an address that is not public; the operator can allow such.";
            return Err(unprocessable("InvalidTrunkFqdn", message).with_target(target));
        }
        // Names are compared without case (RFC 4343).
        if !seen.insert(fqdn.to_ascii_lowercase()) {
            return Err(unprocessable("DuplicatedTrunk", "There is a duplicated trunk.").with_target(target));
        }
        let port = value.get("sipSignalingPort").and_then(Value::as_i64);
        if !port.is_some_and(|port| (1..=65535).contains(&port)) {
            let message = "Trunk with an invalid SIP signaling port.";
            return Err(unprocessable("InvalidTrunkSipSignalingPort", message).with_target(target));
        }
        trunks.insert(fqdn.clone(), read(value, &target)?);
    }
    Ok(trunks)
}

fn domains(value: Option<&Value>) -> Result<BTreeMap<String, SipDomain>, ApiError> {
    let Some(entries) = entries(value, "domains")? else { return Ok(BTreeMap::new()) };
    if entries.len() > DOMAINS_MAX {
        return Err(too_many("TooManyDomains", "domains", DOMAINS_MAX));
    }
    let mut domains = BTreeMap::new();
    for (name, value) in entries {
        let target = format!("domains.{name}");
        if !is_host_name(name) {
            return Err(unprocessable("InvalidDomain", "Domain with an invalid name.").with_target(target));
        }
        domains.insert(name.clone(), read(value, &target)?);
    }
    Ok(domains)
}

fn routes(values: &[Value], trunks: &BTreeMap<String, SipTrunk>) -> Result<Vec<SipRoute>, ApiError> {
    if values.len() > ROUTES_MAX {
        return Err(too_many("TooManyRoutes", "routes", ROUTES_MAX));
    }
    let mut names = BTreeSet::new();
    let mut routes = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let target = format!("routes[{index}]");
        let route: SipRoute = read(value, &target)?;
        check_route(&route, trunks).map_err(|error| error.with_target(target.clone()))?;
        if !names.insert(route.name.to_lowercase()) {
            return Err(unprocessable("DuplicatedRoute", "There is a duplicated route.").with_target(target));
        }
        routes.push(route);
    }
    Ok(routes)
}

fn check_route(route: &SipRoute, trunks: &BTreeMap<String, SipTrunk>) -> Result<(), ApiError> {
    let chars = |text: &str| text.chars().count();
    if route.name.trim().is_empty() || chars(&route.name) > NAME_CHARS_MAX {
        return Err(unprocessable("InvalidRouteName", "Route with an invalid name."));
    }
    if route.description.as_deref().is_some_and(|text| chars(text) > DESCRIPTION_CHARS_MAX) {
        return Err(unprocessable("InvalidRouteDescription", "Route with an invalid description."));
    }
    check_pattern(&route.number_pattern)?;
    if route.trunks.len() > TRUNKS_MAX {
        return Err(too_many("TooManyTrunks", "trunks of a route", TRUNKS_MAX));
    }
    let mut seen = BTreeSet::new();
    for fqdn in &route.trunks {
        if !seen.insert(fqdn) {
            let message = "There is a duplicated trunk in a route.";
            return Err(unprocessable("RouteWithDuplicatedTrunk", message));
        }
        if !trunks.contains_key(fqdn) {
            // Also when the patch takes away a trunk that a route goes to.
            let message = format!(
                "Route targeting a missing trunk: {} goes to {fqdn}, which is not a trunk.",
                route.name
            );
            return Err(unprocessable("MissingTrunk", message));
        }
    }
    if route.caller_id_override.as_deref().is_some_and(|number| E164::parse(number).is_err()) {
        let message = "Route with an invalid caller ID override: it must be an E.164 number.";
        return Err(unprocessable("InvalidRouteCallerIdOverride", message));
    }
    Ok(())
}

fn check_pattern(text: &str) -> Result<(), ApiError> {
    let invalid = |why: String| {
        unprocessable("InvalidRouteNumberPattern", format!("Route with an invalid number pattern: {why}."))
    };
    if text.is_empty() {
        return Err(invalid("it is empty".to_owned()));
    }
    if text.chars().count() > PATTERN_CHARS_MAX {
        return Err(invalid(format!("it is longer than {PATTERN_CHARS_MAX} characters")));
    }
    pattern::compile(text).map(drop).map_err(|error| invalid(error.to_string()))
}

/// A DNS name or an IPv4 address: labels of letters, digits, `-` and `_`, none of which begins or ends in `-`. What
/// ends in a number and is no address (`127.1`, `0x7f000001`) is one to some resolvers.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    text.len() <= FQDN_CHARS_MAX
        && text.split('.').all(is_label)
        && (!is_number || text.parse::<Ipv4Addr>().is_ok())
}

fn read<T: DeserializeOwned>(value: &Value, target: &str) -> Result<T, ApiError> {
    T::deserialize(value)
        .map_err(|error| ApiError::invalid(target, format!("{target} cannot be read: {error}.")))
}

fn too_many(code: &'static str, what: &str, max: usize) -> ApiError {
    unprocessable(code, format!("There may be {max} {what} at most."))
}

/// The public service's answer to a configuration that does not hold together.
fn unprocessable(code: &'static str, message: impl Into<String>) -> ApiError {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let message = message.into();
    let outer = format!("One or more request inputs are not valid. {message}");
    ApiError::new(status, "UnprocessableConfiguration", outer)
        .with_inner(ApiError::new(status, code, message))
}
