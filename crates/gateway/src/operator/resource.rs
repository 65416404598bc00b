//! `trunkline resource`: tenants, their keys and their billing records.

use super::{ACTOR, find, now_unix_ms, on_database, patiently, print_json};
use crate::cli::{BillingProfile, Database, ResourceCommand};
use crate::config::{Config, Http};
use anyhow::Context;
use arc_swap::ArcSwap;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use trunkline_api::{Caller, Clock, Settings, State};
use trunkline_identity::{AccessKey, ConnectionString};
use trunkline_numbers::RuleBook;
use trunkline_storage::numbers::{self, Act, Rest};
use trunkline_storage::resources::{self, Billing, Deleted, Resource, Secret, Which};
use trunkline_storage::{Connection, Error, Store};
use uuid::Uuid;

/// Carries out a command.
///
/// # Errors
/// What the operator should know: the arguments make no sense, there is no such resource, the database failed.
pub fn resource(config: &Config, command: ResourceCommand) -> anyhow::Result<()> {
    match command {
        ResourceCommand::Create { name, billing, data_location, hosts, database } => {
            let new = new_resource(name, &billing, &data_location)?;
            let hosts = if hosts.is_empty() { vec![config.http.host_of(&new.name)] } else { hosts };
            let hosts = hosts.into_iter().map(host).collect::<anyhow::Result<Vec<_>>>()?;
            on_database(config, async |store| create(store, &config.http, &database, new, hosts).await)
        }
        ResourceCommand::User { resource, database } => {
            let settings = Settings::new(config.numbers.environment, config.http.issuer(None));
            on_database(config, async |store| user(store, settings, &resource, &database).await)
        }
        ResourceCommand::List { database } => on_database(config, async |store| list(store, &database).await),
        ResourceCommand::Show { resource, keys, database } => {
            on_database(config, async |store| show(store, &config.http, &database, &resource, keys).await)
        }
        ResourceCommand::RotateKeys { resource, key, database } => on_database(config, async |store| {
            rotate(store, &config.http, &database, &resource, key.into()).await
        }),
        ResourceCommand::SetBillingProfile { resource, billing, database } => {
            let billing = record(&billing)?;
            on_database(config, async |store| set_billing(store, &database, &resource, billing).await)
        }
        ResourceCommand::Delete { resource, release_numbers, database } => {
            on_database(config, async |store| delete(store, &database, &resource, release_numbers).await)
        }
    }
}

async fn user(store: &Store, settings: Settings, name: &str, database: &Database) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let resource = find(&mut db, name).await?;
    drop(db);
    // Making users asks no rules.
    let rules = Arc::new(ArcSwap::from_pointee(RuleBook::default()));
    let state = State::new(store.clone(), rules, settings, Clock::System);
    let caller = trunkline_api::new_caller(&state, resource).await;
    let caller = caller.map_err(|error| anyhow::anyhow!("no user was made: {}", error.code()))?;
    if database.json {
        let Caller { user, token, expires_on } = caller;
        print_json(&json!({ "user": user.to_string(), "token": token, "expiresOn": expires_on }));
    } else {
        println!("user {}\ntoken {}\ngood until {}", caller.user, caller.token, caller.expires_on);
    }
    Ok(())
}

/// A host that a resource answers to, and the authority that its connection string names where it was given.
struct Host {
    bare: String,
    port: Option<u16>,
}

fn host(text: String) -> anyhow::Result<Host> {
    let text = text.to_ascii_lowercase();
    let (bare, port) = match text.rsplit_once(':') {
        Some((bare, port)) if !bare.ends_with(':') && !bare.is_empty() => {
            let port = port.parse().with_context(|| format!("{text:?} has no port behind its colon"))?;
            (bare.to_owned(), Some(port))
        }
        Some(_) | None => (text.clone(), None),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let is_host = !bare.is_empty() && bare.len() <= 253 && bare.bytes().all(allowed);
    anyhow::ensure!(is_host || bare == resources::ANY_HOST, "{text:?} is not a host, or a host and a port");
    Ok(Host { bare, port })
}

fn new_resource(name: String, billing: &BillingProfile, data_location: &str) -> anyhow::Result<Resource> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label = (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-');
    // It becomes part of a host name.
    anyhow::ensure!(
        is_label,
        "a resource's name is 1 to 63 of a-z, 0-9 and -, and begins and ends with no -"
    );
    let key = || Secret(AccessKey::generate().as_bytes().to_vec());
    Ok(Resource {
        id: Uuid::new_v4(),
        name,
        created_unix_ms: now_unix_ms(),
        data_location: country(data_location)?,
        primary_key: key(),
        secondary_key: key(),
        billing: record(billing)?,
        suspended_unix_ms: None,
    })
}

fn record(billing: &BillingProfile) -> anyhow::Result<Billing> {
    let now_unix_ms = now_unix_ms();
    let known = billing.billing_country.is_some() && !billing.unverified;
    Ok(Billing {
        country: billing.billing_country.as_deref().map(country).transpose()?,
        verified_unix_ms: known.then_some(now_unix_ms),
        emergency_address_unix_ms: billing.emergency_address.then_some(now_unix_ms),
        class: billing.class.into(),
    })
}

fn country(text: &str) -> anyhow::Result<String> {
    let is_code = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
    anyhow::ensure!(is_code, "{text:?} is not a country: two letters, such as US (ISO 3166-1 alpha-2)");
    Ok(text.to_ascii_uppercase())
}

async fn create(
    store: &Store,
    http: &Http,
    database: &Database,
    new: Resource,
    hosts: Vec<Host>,
) -> anyhow::Result<()> {
    let names: Vec<String> = hosts.iter().map(|host| host.bare.clone()).collect();
    let (kept, of_unit) = (new.clone(), names.clone());
    let inserted = store
        .write(move |db| Box::pin(async move { resources::insert(db, &kept, &of_unit, act()).await }))
        .await;
    match inserted {
        Err(Error::Duplicate { .. }) => anyhow::bail!(
            "the name {:?} or one of the hosts {} belongs to another resource",
            new.name,
            names.join(", ")
        ),
        result => result.context("the resource was not made")?,
    }
    let strings = connection_strings(http, &new, &hosts);
    if database.json {
        print_json(&document(&new, &names, 0, Some(&strings)));
    } else {
        print!("{}", text(&new, &names, 0));
        println!("{}", strings.primary);
    }
    Ok(())
}

/// The connection strings with the two keys of a resource.
struct ConnectionStrings {
    primary: String,
    secondary: String,
}

fn connection_strings(http: &Http, resource: &Resource, hosts: &[Host]) -> ConnectionStrings {
    let authority = match hosts.first() {
        Some(Host { bare, port: Some(port) }) => format!("{bare}:{port}"),
        Some(Host { bare, port: None }) if bare != resources::ANY_HOST => http.authority(bare, None),
        Some(_) | None => http.authority(&http.host_of(&resource.name), None),
    };
    let of = |key: &Secret| match AccessKey::from_bytes(&key.0) {
        Ok(key) => ConnectionString { authority: authority.clone(), key }.to_string(),
        Err(error) => format!("unusable: {error}"),
    };
    ConnectionStrings { primary: of(&resource.primary_key), secondary: of(&resource.secondary_key) }
}

async fn list(store: &Store, database: &Database) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let mut documents = Vec::new();
    for resource in resources::list(&mut db).await? {
        let hosts = resources::hosts(&mut db, resource.id).await?;
        let owned = numbers::owned_count(&mut db, resource.id).await?;
        if database.json {
            documents.push(document(&resource, &hosts, owned, None));
        } else {
            print!("{}", text(&resource, &hosts, owned));
        }
    }
    if database.json {
        print_json(&json!({ "resources": documents }));
    }
    Ok(())
}

async fn show(store: &Store, http: &Http, database: &Database, name: &str, keys: bool) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let resource = find(&mut db, name).await?;
    let hosts = resources::hosts(&mut db, resource.id).await?;
    let owned = numbers::owned_count(&mut db, resource.id).await?;
    let strings = keys.then(|| {
        let hosts: Vec<Host> = hosts.iter().map(|bare| Host { bare: bare.clone(), port: None }).collect();
        connection_strings(http, &resource, &hosts)
    });
    if database.json {
        print_json(&document(&resource, &hosts, owned, strings.as_ref()));
        return Ok(());
    }
    print!("{}", text(&resource, &hosts, owned));
    if let Some(strings) = strings {
        println!("{}\n{}", strings.primary, strings.secondary);
    }
    Ok(())
}

async fn rotate(
    store: &Store,
    http: &Http,
    database: &Database,
    name: &str,
    which: Which,
) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let mut resource = find(&mut db, name).await?;
    let hosts = resources::hosts(&mut db, resource.id).await?;
    drop(db);
    let key = Secret(AccessKey::generate().as_bytes().to_vec());
    match which {
        Which::Primary => resource.primary_key = key.clone(),
        Which::Secondary => resource.secondary_key = key.clone(),
    }
    let id = resource.id;
    let unit = async || {
        let key = key.clone();
        store
            .write(move |db| Box::pin(async move { resources::set_key(db, id, which, &key, act()).await }))
            .await
    };
    anyhow::ensure!(patiently(unit).await?, "the resource was deleted meanwhile");
    let hosts: Vec<Host> = hosts.into_iter().map(|bare| Host { bare, port: None }).collect();
    let strings = connection_strings(http, &resource, &hosts);
    let string = match which {
        Which::Primary => strings.primary,
        Which::Secondary => strings.secondary,
    };
    if database.json {
        print_json(&json!({ "id": resource.id, "name": resource.name, "connectionString": string }));
    } else {
        println!("{string}");
    }
    Ok(())
}

async fn set_billing(store: &Store, database: &Database, name: &str, billing: Billing) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let mut resource = find(&mut db, name).await?;
    let hosts = resources::hosts(&mut db, resource.id).await?;
    let owned = numbers::owned_count(&mut db, resource.id).await?;
    drop(db);
    resource.billing = billing.clone();
    let id = resource.id;
    let unit = async || {
        let billing = billing.clone();
        store
            .write(move |db| Box::pin(async move { resources::set_billing(db, id, &billing, act()).await }))
            .await
    };
    anyhow::ensure!(patiently(unit).await?, "the resource was deleted meanwhile");
    if database.json {
        print_json(&document(&resource, &hosts, owned, None));
    } else {
        print!("{}", text(&resource, &hosts, owned));
    }
    Ok(())
}

async fn delete(store: &Store, database: &Database, name: &str, release: bool) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let resource = find(&mut db, name).await?;
    drop(db);
    let id = resource.id;
    let unit = async || {
        store
            .write(move |db| {
                Box::pin(async move {
                    let released = if release { release_all(db, id).await? } else { 0 };
                    let deleted = resources::delete(db, id, act()).await?;
                    Ok::<_, Error>((deleted, released))
                })
            })
            .await
    };
    let (deleted, released) = patiently(unit).await?;
    match deleted {
        Deleted::Done if database.json => {
            print_json(&json!({ "id": id, "name": resource.name, "numbersReleased": released }));
        }
        Deleted::Done => println!("resource {} is deleted; {released} numbers were released", resource.name),
        Deleted::OwnsNumbers => anyhow::bail!(
            "resource {} still owns numbers: release them first, or give --release-numbers",
            resource.name
        ),
        Deleted::Unknown => anyhow::bail!("the resource was deleted meanwhile"),
    }
    Ok(())
}

/// Gives all numbers of a resource back; each rests until the month that is paid for ends.
async fn release_all(db: &mut Connection, resource: Uuid) -> Result<usize, Error> {
    let act = act();
    let mut released = 0;
    loop {
        let owned = numbers::owned(db, resource, 0, RELEASE_BATCH).await?;
        if owned.is_empty() {
            return Ok(released);
        }
        for number in owned {
            let assignment = number.assignment;
            numbers::release(db, assignment.number, resource, Rest::EndOfCycle, 0, act).await?;
            released += 1;
        }
    }
}

fn act() -> Act<'static> {
    Act { actor: ACTOR, now_unix_ms: now_unix_ms() }
}

fn text(resource: &Resource, hosts: &[String], owned: u64) -> String {
    let billing = &resource.billing;
    let verified = if billing.verified_unix_ms.is_some() { "verified" } else { "not verified" };
    let emergency = if billing.emergency_address_unix_ms.is_some() { "on file" } else { "not on file" };
    let country = billing.country.as_deref().unwrap_or("none on record");
    let state = if resource.suspended_unix_ms.is_some() { "suspended" } else { "active" };
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "resource {} ({state})", resource.name);
    let _ = writeln!(text, "  id                 {}", resource.id);
    let _ = writeln!(text, "  hosts              {}", hosts.join(", "));
    let _ = writeln!(text, "  data location      {}", resource.data_location);
    let _ = writeln!(text, "  billing country    {country}, {verified}");
    let _ = writeln!(text, "  class              {}", billing.class);
    let _ = writeln!(text, "  emergency address  {emergency}");
    let _ = writeln!(text, "  numbers            {owned}");
    text
}

fn document(
    resource: &Resource,
    hosts: &[String],
    owned: u64,
    strings: Option<&ConnectionStrings>,
) -> serde_json::Value {
    let billing = &resource.billing;
    let mut document = json!({
        "id": resource.id,
        "name": resource.name,
        "hosts": hosts,
        "dataLocation": resource.data_location,
        "billingCountry": billing.country,
        "billingVerified": billing.verified_unix_ms.is_some(),
        "class": billing.class,
        "emergencyAddress": billing.emergency_address_unix_ms.is_some(),
        "suspended": resource.suspended_unix_ms.is_some(),
        "numbers": owned,
    });
    if let (Some(strings), Some(fields)) = (strings, document.as_object_mut()) {
        fields.insert("connectionString".to_owned(), strings.primary.clone().into());
        fields.insert("secondaryConnectionString".to_owned(), strings.secondary.clone().into());
    }
    document
}

/// Numbers read at once when all are released.
const RELEASE_BATCH: u16 = 100;
