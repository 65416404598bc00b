//! Sixty-four buyers and a thousand numbers, and a gateway that is killed again and again while they buy: no number
//! is sold twice, no charge is without its number, no number without its charge.

use super::clients::python;
use super::database::Database;
use super::edge::{Edge, Rules, Stock};
use super::wire::{Answer, Connection, Request, Resource, Trust};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BUYERS: usize = 64;
const RESOURCES: usize = 8;
const NUMBERS: usize = 1_000;

/// Numbers sold at which the gateway is killed.
const KILLS: [usize; 6] = [50, 200, 350, 500, 650, 800];

/// How long all of it may take; only a failing test does.
const SELLING_MAX: Duration = Duration::from_secs(150);

/// How often a buyer looks whether the gateway, or a number, is there again.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

const VERSION: &str = "api-version=2025-06-01";

#[test]
fn a_thousand_numbers_are_sold_once_each_through_crashes_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trunkline.db").display().to_string();
    let edge = Edge::prepare(folder, format!("sqlite:{file}"), Rules::FORGETFUL);
    sell_out(edge, &|statement| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/acs/python/query.py");
        rows(Command::new(python()).args(["-B", script, &file, statement]))
    });
}

#[test]
fn a_thousand_numbers_are_sold_once_each_through_crashes_on_postgresql() {
    let database = Database::postgres();
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let edge = Edge::prepare(folder, database.url().to_owned(), Rules::FORGETFUL);
    sell_out(edge, &|statement| {
        rows(Command::new("psql").args(["--no-psqlrc", "-qAt", "-F\t", "-c", statement, database.url()]))
    });
}

/// What the buyers share.
struct Market {
    port: u16,
    trust: Trust,
    sold: AtomicUsize,
    over: AtomicBool,
}

/// One who buys for a resource.
struct Buyer<'a> {
    market: &'a Market,
    resource: Resource,
    connection: Option<Connection>,
    chance: ChaCha8Rng,
}

/// Sells everything, killing the gateway meanwhile, and asserts that what was sold is what was charged.
fn sell_out(mut edge: Edge, query: &dyn Fn(&str) -> Vec<String>) {
    let areas = [201, 202, 203, 205, 206, 207, 208, 209, 210, 212];
    let stock =
        areas.map(|area| Stock { area, kind: "geographic", region: "WA", city: "Seattle", lines: 100..200 });
    edge.stock(&stock);
    for number in 0..RESOURCES {
        edge.add_resource(&format!("buyer-{number}"), &format!("buyer-{number}.localhost"), "US");
    }
    edge.serve();
    let bought = sell(&mut edge);
    assert_each_is_sold_once(&bought);
    assert_books(query, &bought);
    for (index, resource) in edge.resources().iter().enumerate() {
        let mine = bought.iter().filter(|(_, by)| *by == index).map(|(number, _)| number.clone());
        let mut mine: Vec<String> = mine.collect();
        mine.sort();
        assert_eq!(owned(&edge, resource), mine, "what the API lists is what the buyers were told");
    }
    assert_eq!(edge.server_errors(), 0);
}

/// Lets the buyers buy, and kills the gateway after so many sales; returns each number that a buyer was told it had
/// bought, with the index of its resource.
fn sell(edge: &mut Edge) -> Vec<(String, usize)> {
    let market = Market {
        port: edge.port(),
        trust: edge.trust(),
        sold: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let resources = edge.resources().to_vec();
        let buyers: Vec<_> = (0..BUYERS)
            .map(|number| {
                let index = number % RESOURCES;
                let buyer = Buyer {
                    market: &market,
                    resource: resources[index].clone(),
                    connection: None,
                    chance: ChaCha8Rng::seed_from_u64(number as u64),
                };
                scope.spawn(move || buyer.buy().into_iter().map(|number| (number, index)).collect::<Vec<_>>())
            })
            .collect();
        for kill in KILLS {
            market.wait_for(kill, began);
            edge.kill();
            edge.serve();
        }
        market.wait_for(NUMBERS, began);
        market.over.store(true, Ordering::Relaxed);
        buyers.into_iter().flat_map(|buyer| buyer.join().expect("a buyer")).collect()
    })
}

fn assert_each_is_sold_once(bought: &[(String, usize)]) {
    let mut times = BTreeMap::<&str, usize>::new();
    for (number, _) in bought {
        *times.entry(number).or_default() += 1;
    }
    times.retain(|_, times| *times > 1);
    assert!(times.is_empty(), "sold to two buyers: {times:?}");
    assert_eq!(bought.len(), NUMBERS);
}

/// Asks the database itself, not through our code.
fn assert_books(query: &dyn Fn(&str) -> Vec<String>, bought: &[(String, usize)]) {
    let none = |what: &str, statement: &str| assert_eq!(query(statement), [""; 0], "{what}");
    none("assigned twice", "SELECT e164 FROM assignments GROUP BY e164 HAVING COUNT(*) > 1");
    none(
        "a charge without its number",
        "SELECT l.id FROM ledger l LEFT JOIN assignments a \
         ON a.id = l.assignment AND a.e164 = l.e164 AND a.resource = l.resource WHERE a.id IS NULL",
    );
    none(
        "a number without its one charge",
        "SELECT a.e164 FROM assignments a LEFT JOIN ledger l \
         ON l.assignment = a.id AND l.kind = 'purchase' AND l.amount_minor = 100 AND l.currency = 'USD' \
         GROUP BY a.id, a.e164 HAVING COUNT(l.id) <> 1",
    );
    none(
        "the inventory and the assignments disagree",
        "SELECT n.e164 FROM numbers n LEFT JOIN assignments a ON a.e164 = n.e164 AND a.ended_ms IS NULL \
         WHERE (n.state = 'assigned') <> (a.id IS NOT NULL) OR n.owner <> a.resource",
    );
    none("another row of the ledger", "SELECT id FROM ledger WHERE kind <> 'purchase'");
    let mut told: Vec<&str> = bought.iter().map(|(number, _)| number.as_str()).collect();
    told.sort_unstable();
    assert_eq!(query("SELECT e164 FROM assignments ORDER BY e164"), told);
}

/// Returns what a resource owns, page by page.
fn owned(edge: &Edge, resource: &Resource) -> Vec<String> {
    let mut connection = edge.connect().expect("a connection");
    let mut numbers = Vec::new();
    let mut next = format!("/phoneNumbers?skip=0&top=100&{VERSION}");
    while !next.is_empty() {
        let page = connection.exchange(&resource.sign(&Request::get(&next))).expect("a page").json();
        let listed = page["phoneNumbers"].as_array().expect("numbers");
        numbers.extend(listed.iter().map(|number| text(&number["phoneNumber"])));
        next = page["nextLink"].as_str().unwrap_or_default().to_owned();
    }
    numbers
}

impl Market {
    fn wait_for(&self, sold: usize, began: Instant) {
        while self.sold.load(Ordering::Relaxed) < sold {
            let so_far = self.sold.load(Ordering::Relaxed);
            assert!(
                began.elapsed() < SELLING_MAX || self.end(),
                "after {SELLING_MAX:?} only {so_far} were sold"
            );
            std::thread::sleep(LOOKS_EVERY);
        }
    }

    /// Ends the market; false, so that an assertion can say why.
    fn end(&self) -> bool {
        self.over.store(true, Ordering::Relaxed);
        false
    }
}

impl Buyer<'_> {
    /// Buys until the market is over, and returns what was bought.
    fn buy(mut self) -> Vec<String> {
        let mut bought = Vec::new();
        while !self.market.over.load(Ordering::Relaxed) {
            let quantity = self.chance.random_range(1..=3);
            // A search whose answer was lost holds numbers until it lapses; the next buyer waits for that.
            let Some((search, numbers)) = self.search(quantity).or_else(|| self.search(1)) else {
                std::thread::sleep(LOOKS_EVERY);
                continue;
            };
            if self.purchase(&search) {
                self.market.sold.fetch_add(numbers.len(), Ordering::Relaxed);
                bought.extend(numbers);
            }
        }
        bought
    }

    /// Searches once; nothing when nothing was found or the gateway died.
    fn search(&mut self, quantity: u32) -> Option<(String, Vec<String>)> {
        let body = json!({
            "phoneNumberType": "geographic",
            "assignmentType": "application",
            "capabilities": { "calling": "inbound+outbound", "sms": "none" },
            "quantity": quantity,
        });
        let target = format!("/availablePhoneNumbers/countries/US/:search?{VERSION}");
        let found = self.ask(&Request::post(target, &body)).filter(|answer| !answer.puts_off())?;
        assert_eq!(found.status, 202, "{found:?}");
        let search = found.header("search-id").to_owned();
        let operation = self.persist(&Request::get(found.header("operation-location")));
        match operation.json()["status"].as_str() {
            Some("succeeded") => {
                let result = self.persist(&Request::get(found.header("location")));
                let numbers =
                    result.json()["phoneNumbers"].as_array().map(|all| all.iter().map(text).collect());
                Some((
                    search,
                    numbers.unwrap_or_else(|| panic!("an acknowledged search was lost: {result:?}")),
                ))
            }
            Some("failed") => {
                assert_eq!(operation.json()["error"]["code"], "NotEnoughNumbers");
                None
            }
            _ => panic!("an acknowledged search was lost: {operation:?}"),
        }
    }

    /// Purchases what a search holds, asking again and again when the gateway dies; false when it came too late.
    fn purchase(&mut self, search: &str) -> bool {
        let body = json!({ "searchId": search, "agreeToNotResell": false });
        let target = format!("/availablePhoneNumbers/:purchase?{VERSION}");
        let begun = self.persist(&Request::post(target, &body));
        assert_eq!(begun.status, 202, "{begun:?}");
        let operation = self.persist(&Request::get(begun.header("operation-location"))).json();
        match operation["status"].as_str() {
            Some("succeeded") => true,
            Some("failed") => {
                assert_eq!(operation["error"]["code"], "ReservationExpired");
                false
            }
            _ => panic!("an acknowledged purchase was lost: {operation}"),
        }
    }

    /// Asks until there is an answer, and one that does not put off.
    fn persist(&mut self, request: &Request) -> Answer {
        let began = Instant::now();
        loop {
            match self.ask(request) {
                Some(answer) if !answer.puts_off() => return answer,
                Some(_) | None => {}
            }
            assert!(began.elapsed() < SELLING_MAX, "no answer to {}", request.target);
            std::thread::sleep(LOOKS_EVERY);
        }
    }

    /// Asks once; nothing when the gateway died before it answered.
    fn ask(&mut self, request: &Request) -> Option<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.market.port, &self.market.trust).ok()?,
        };
        let answer = connection.exchange(&self.resource.sign(request)).ok()?;
        self.connection = Some(connection);
        Some(answer)
    }
}

/// Runs a query of a database's own client, and returns the rows.
fn rows(command: &mut Command) -> Vec<String> {
    let output = command.output().expect("the database's client (cargo xtask test installs it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
