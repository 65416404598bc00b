//! `trunkline number`: the inventory, and who may acquire what.

use super::{ACTOR, assign, find, give, import, now_unix_ms, on_database, patiently, print_json};
use crate::cli::{Database, NumberCommand};
use crate::config::Config;
use crate::rules;
use anyhow::Context;
use serde_json::{Value, json};
use std::fmt::Write;
use trunkline_model::{E164, NumberState};
use trunkline_numbers::eligibility::Request;
use trunkline_storage::numbers::{self, Act, Assignment, Moved, Number, Rest};
use trunkline_storage::resources;
use trunkline_storage::{Connection, Error, Store, audit};
use uuid::Uuid;

/// Carries out a command. Returns whether the answer is yes, where it is a question.
///
/// # Errors
/// What the operator should know: the arguments make no sense, there is no such number, the database failed.
pub fn number(config: &Config, command: NumberCommand) -> anyhow::Result<bool> {
    match command {
        NumberCommand::Import { file, dry_run, database } => {
            import::import(config, &file, dry_run, &database)?;
        }
        NumberCommand::List { state, resource, limit, database } => {
            on_database(config, async |store| list(store, state, resource, limit, &database).await)?;
        }
        NumberCommand::Show { number, database } => {
            on_database(config, async |store| show(store, number, &database).await)?;
        }
        NumberCommand::Retire { numbers, force, database } => {
            let wish = Wish { to: NumberState::Retired, rests_until: None, force };
            on_database(config, async |store| change(store, &numbers, wish, &database).await)?;
        }
        NumberCommand::Quarantine { numbers, days, database } => {
            let days = match days {
                Some(days) => i64::from(days),
                None => rules::load(&config.numbers)?.active().1.release.quarantine_days.into(),
            };
            let rests_until = Some(now_unix_ms().saturating_add(days.saturating_mul(DAY_MS)));
            let wish = Wish { to: NumberState::Quarantine, rests_until, force: false };
            on_database(config, async |store| change(store, &numbers, wish, &database).await)?;
        }
        NumberCommand::Give { number, resource, calling, sms, database } => {
            let book = rules::load(&config.numbers)?;
            let gift = give::Gift { number, calling, sms };
            on_database(config, async |store| give::give(store, &book, gift, &resource, &database).await)?;
        }
        NumberCommand::Assign { number, users, in_order, ring_secs, overflow_user, database } => {
            let wish = assign::Wish { users, in_order, ring_secs, overflow: overflow_user };
            on_database(config, async |store| assign::assign(store, number, &wish, &database).await)?;
        }
        NumberCommand::Explain {
            resource,
            number_type,
            country,
            assignment,
            calling,
            sms,
            area_code,
            database,
        } => {
            let number_country = country.to_ascii_uppercase();
            let request = Request { number_country, number_type, assignment, calling, sms, area_code };
            return on_database(config, async |store| {
                explain(store, config, &resource, &request, &database).await
            });
        }
    }
    Ok(true)
}

async fn list(
    store: &Store,
    state: Option<NumberState>,
    resource: Option<String>,
    limit: u32,
    database: &Database,
) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let owner = match resource {
        Some(name) => Some(find(&mut db, &name).await?.id),
        None => None,
    };
    let names = names(&mut db).await?;
    let (mut after, mut shown, mut documents) = (None, 0, Vec::new());
    'pages: loop {
        let page = numbers::list(&mut db, state, after, PAGE).await?;
        after = page.last().map(|number| number.imported.number);
        for number in page.iter().filter(|number| owner.is_none() || number.owner == owner) {
            if shown == limit {
                eprintln!("there are more; --limit shows them");
                break 'pages;
            }
            shown += 1;
            if database.json {
                documents.push(document(number, &names));
            } else {
                println!("{}", line(number, &names));
            }
        }
        if page.len() < usize::from(PAGE) {
            break;
        }
    }
    if database.json {
        print_json(&json!({ "numbers": documents }));
    } else {
        let counts = numbers::count(&mut db).await?;
        let counts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        eprintln!("{shown} listed; the inventory holds {}", counts.join(", "));
    }
    Ok(())
}

async fn show(store: &Store, wanted: E164, database: &Database) -> anyhow::Result<()> {
    let mut db = store.read().await?;
    let number = numbers::by_e164(&mut db, wanted).await?;
    let number = number.with_context(|| format!("{wanted} is not in the inventory"))?;
    let names = names(&mut db).await?;
    let assignments = numbers::assignments_of(&mut db, wanted).await?;
    let entries = audit::of_number(&mut db, wanted, 0, AUDIT_MAX).await?;
    if database.json {
        let mut document = document(&number, &names);
        if let Some(fields) = document.as_object_mut() {
            let assignments = assignments.iter().map(|assignment| assignment_document(assignment, &names));
            fields.insert("assignments".to_owned(), assignments.collect());
            fields.insert("audit".to_owned(), entries.iter().map(entry_document).collect());
        }
        print_json(&document);
        return Ok(());
    }
    println!("{}", line(&number, &names));
    for assignment in &assignments {
        let until = assignment.ended_unix_ms.map_or("now".to_owned(), date);
        let terms = &assignment.terms;
        println!(
            "  owned by {} from {} to {until}, for {}, calling {}, sms {}",
            name_of(assignment.resource, &names),
            date(assignment.started_unix_ms),
            terms.assignment_type,
            terms.calling,
            terms.sms
        );
    }
    for entry in &entries {
        let to = entry.to.map_or(String::new(), |to| format!(" -> {to}"));
        println!("  {}  {}{to}, by {}", date(entry.at_unix_ms), entry.action, entry.actor);
    }
    Ok(())
}

/// Where numbers are to go on the operator's word.
#[derive(Clone, Copy)]
struct Wish {
    to: NumberState,
    rests_until: Option<i64>,
    /// Whether a number that is owned goes too.
    force: bool,
}

/// Why no number was moved.
enum Undone {
    Store(Error),
    Refused(Vec<(E164, Moved)>),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Moves all numbers, or none.
async fn change(store: &Store, wanted: &[E164], wish: Wish, database: &Database) -> anyhow::Result<()> {
    let unit = async || {
        let wanted = wanted.to_vec();
        let result = store.write(move |db| Box::pin(async move { move_all(db, &wanted, wish).await })).await;
        match result {
            Ok(()) => Ok(Vec::new()),
            Err(Undone::Refused(refused)) => Ok(refused),
            Err(Undone::Store(error)) => Err(error),
        }
    };
    let refused = patiently(unit).await?;
    if !refused.is_empty() {
        let mut text = "nothing was changed".to_owned();
        for (number, moved) in refused {
            let why = match moved {
                Moved::NotAllowed(NumberState::Assigned) => {
                    "is owned: it has to be released first".to_owned()
                }
                Moved::NotAllowed(state) => format!("is {state}, from where no way leads to {}", wish.to),
                Moved::Unknown | Moved::Done => "is not in the inventory".to_owned(),
            };
            // Writing to a String does not fail.
            let _ = write!(text, "\n  {number} {why}");
        }
        anyhow::bail!("{text}");
    }
    if database.json {
        print_json(&json!({ "moved": wanted.len(), "state": wish.to }));
    } else {
        println!("{} numbers are {} now", wanted.len(), wish.to);
    }
    Ok(())
}

async fn move_all(db: &mut Connection, wanted: &[E164], wish: Wish) -> Result<(), Undone> {
    let act = Act { actor: ACTOR, now_unix_ms: now_unix_ms() };
    let mut refused = Vec::new();
    for number in wanted {
        if wish.force {
            take_away(db, *number, act).await?;
        }
        match numbers::move_to(db, *number, wish.to, wish.rests_until, act).await? {
            Moved::Done => {}
            moved => refused.push((*number, moved)),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Undone::Refused(refused)) }
}

/// Ends the ownership of a number and its rest, so that it can be retired.
async fn take_away(db: &mut Connection, number: E164, act: Act<'_>) -> Result<(), Error> {
    let Some(found) = numbers::by_e164(db, number).await? else { return Ok(()) };
    if let (NumberState::Assigned, Some(owner)) = (found.state, found.owner) {
        numbers::release(db, number, owner, Rest::None, 0, act).await?;
    }
    if matches!(found.state, NumberState::Assigned | NumberState::Releasing) {
        numbers::move_to(db, number, NumberState::Quarantine, Some(act.now_unix_ms), act).await?;
    }
    Ok(())
}

async fn explain(
    store: &Store,
    config: &Config,
    name: &str,
    request: &Request,
    database: &Database,
) -> anyhow::Result<bool> {
    let book = rules::load(&config.numbers)?;
    let mut db = store.read().await?;
    let resource = find(&mut db, name).await?;
    let decision = book.decide(&trunkline_api::profile(&resource), request);
    if database.json {
        let steps = decision.path.iter().map(|verdict| {
            let step = format!("{:?}", verdict.step);
            json!({ "step": step, "rules": verdict.step.rules(), "passed": verdict.passed, "detail": verdict.detail })
        });
        print_json(&json!({
            "resource": resource.name,
            "table": decision.table,
            "version": decision.version,
            "path": steps.collect::<Vec<_>>(),
            "offer": decision.outcome.as_ref().ok().map(|granted| &granted.offer),
            "denial": decision.outcome.as_ref().err().map(|denial| denial.code()),
        }));
    } else {
        print!("resource {}\n{decision}", resource.name);
    }
    Ok(decision.outcome.is_ok())
}

/// The resources by id, for people.
type Names = std::collections::HashMap<Uuid, String>;

async fn names(db: &mut Connection) -> Result<Names, Error> {
    let all = resources::list(db).await?;
    Ok(all.into_iter().map(|resource| (resource.id, resource.name)).collect())
}

fn name_of(id: Uuid, names: &Names) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

fn line(number: &Number, names: &Names) -> String {
    let imported = &number.imported;
    let mut text = format!(
        "{:<16}  {:<10}  {:<10}  {:<2}  {:<16}",
        imported.number.to_string(),
        number.state.as_str(),
        imported.number_type.as_str(),
        imported.country,
        imported.trunk.as_str()
    );
    if !imported.city.is_empty() || !imported.region.is_empty() {
        let place = [imported.city.as_str(), imported.region.as_str()];
        let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        let _ = write!(text, "  {}", place.join(", "));
    }
    if let Some(owner) = number.owner {
        let _ = write!(text, "  of {}", name_of(owner, names));
    }
    if let Some(until) = number.rests_until_unix_ms {
        let _ = write!(text, "  until {}", date(until));
    }
    text
}

fn document(number: &Number, names: &Names) -> Value {
    let imported = &number.imported;
    json!({
        "number": imported.number,
        "trunk": imported.trunk,
        "state": number.state,
        "owner": number.owner.map(|owner| name_of(owner, names)),
        "type": imported.number_type,
        "country": imported.country,
        "areaCode": imported.area_code,
        "region": imported.region,
        "city": imported.city,
        "calling": imported.calling,
        "sms": imported.sms,
        "monthlyCostMinor": imported.monthly_cost_minor,
        "currency": imported.currency,
        "restsUntil": number.rests_until_unix_ms.map(date),
        "changed": date(number.changed_unix_ms),
    })
}

fn assignment_document(assignment: &Assignment, names: &Names) -> Value {
    let terms = &assignment.terms;
    json!({
        "id": assignment.id,
        "resource": name_of(assignment.resource, names),
        "assignmentType": terms.assignment_type,
        "calling": terms.calling,
        "sms": terms.sms,
        "monthlyCostMinor": terms.monthly_cost_minor,
        "currency": terms.currency,
        "started": date(assignment.started_unix_ms),
        "renews": date(assignment.renews_unix_ms),
        "ended": assignment.ended_unix_ms.map(date),
    })
}

fn entry_document(entry: &audit::Kept) -> Value {
    json!({
        "at": date(entry.at_unix_ms),
        "actor": entry.actor,
        "action": entry.action,
        "from": entry.from,
        "to": entry.to,
    })
}

fn date(unix_ms: i64) -> String {
    trunkline_api::iso8601(unix_ms)
}

/// Numbers read at once.
const PAGE: u16 = 1_000;

/// Entries of the audit log shown of one number.
const AUDIT_MAX: u16 = 1_000;

const DAY_MS: i64 = 86_400_000;
