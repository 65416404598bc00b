//! A world with numbers to sell, and the steps of a customer.

use crate::support::{ACT, Answer, Sent, World};
use serde_json::{Value, json};
use std::sync::Arc;
use trunkline_model::{Capability, E164, NumberState, NumberType};
use trunkline_numbers::RuleBook;
use trunkline_storage::ledger::{self, Month};
use trunkline_storage::numbers::{self, NewNumber, Number};
use trunkline_storage::resources::{self, Billing};
use trunkline_storage::{Error, Store};
use uuid::Uuid;

pub(crate) const SEARCH_US: &str = "/availablePhoneNumbers/countries/US/:search?api-version=2025-06-01";
pub(crate) const PURCHASE: &str = "/availablePhoneNumbers/:purchase?api-version=2025-06-01";

/// A world with numbers to sell.
pub(crate) struct Shop {
    pub(crate) world: World,
}

impl Shop {
    /// Numbers in Seattle, Bellevue and New York and toll-free ones, under rules with wide quotas.
    pub(crate) async fn new() -> Self {
        Self::over(World::new().await).await
    }

    /// The same in a world that there is already.
    pub(crate) async fn over(world: World) -> Self {
        let shop = Self { world };
        shop.set_rules(&wide("us-ca-preview"));
        shop.stock("206", "WA", "Seattle", 100..105).await;
        shop.stock("425", "WA", "Bellevue", 100..103).await;
        shop.stock("212", "NY", "New York City", 100..102).await;
        shop.stock_toll_free("833", 100..102).await;
        shop
    }

    pub(crate) fn set_rules(&self, rules: &RuleBook) {
        self.world.state.rules.store(Arc::new(rules.clone()));
    }

    pub(crate) async fn stock(&self, area: &str, region: &str, city: &str, lines: std::ops::Range<u32>) {
        stock(&self.world.store, NumberType::Geographic, area, region, city, lines).await;
    }

    pub(crate) async fn stock_toll_free(&self, area: &str, lines: std::ops::Range<u32>) {
        stock(&self.world.store, NumberType::TollFree, area, "", "", lines).await;
    }

    pub(crate) async fn search(&self, body: &Value) -> Answer {
        self.world.post(SEARCH_US, body).await
    }

    /// Searches for numbers, and returns the search's id and its result.
    pub(crate) async fn find(&self, body: &Value) -> (String, Value) {
        let answer = self.search(body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let operation = self.operation(&answer).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
        let result = self.world.get(answer.header("location")).await;
        assert_eq!(result.status, 200, "{result:?}");
        (answer.header("search-id").to_owned(), result.json)
    }

    pub(crate) async fn purchase(&self, search: &str) -> Answer {
        self.world.post(PURCHASE, &json!({ "searchId": search, "agreeToNotResell": false })).await
    }

    /// Finds one number and buys it.
    pub(crate) async fn buy(&self, body: &Value) -> String {
        let (search, result) = self.find(body).await;
        let bought = self.purchase(&search).await;
        assert_eq!(self.operation(&bought).await["status"], "succeeded");
        result["phoneNumbers"][0].as_str().unwrap().to_owned()
    }

    /// Asks after the operation that an answer began, as the clients do: by the relative link.
    pub(crate) async fn operation(&self, begun: &Answer) -> Value {
        assert_eq!((begun.status.as_u16(), begun.text.as_str()), (202, ""), "{begun:?}");
        let answer = self.world.get(begun.header("operation-location")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json["id"], begun.header("operation-id"));
        answer.json
    }

    pub(crate) async fn number(&self, text: &str) -> Number {
        let mut db = self.world.store.read().await.unwrap();
        numbers::by_e164(&mut db, text.parse::<E164>().unwrap()).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, text: &str) -> NumberState {
        self.number(text).await.state
    }

    /// What the resource was charged this month: kinds and amounts.
    pub(crate) async fn statement(&self, resource: Uuid) -> Vec<(ledger::Kind, i64)> {
        let mut db = self.world.store.read().await.unwrap();
        let month = Month::of_unix_ms(self.world.now_unix_ms());
        let rows = ledger::statement(&mut db, resource, month).await.unwrap();
        rows.iter().map(|row| (row.kind, row.amount_minor)).collect()
    }

    pub(crate) async fn bill(&self, change: impl FnOnce(&mut Billing)) {
        let id = self.world.resource;
        let mut db = self.world.store.read().await.unwrap();
        let mut billing = resources::by_id(&mut db, id).await.unwrap().unwrap().billing;
        drop(db);
        change(&mut billing);
        let work = self
            .world
            .store
            .write(move |db| Box::pin(async move { resources::set_billing(db, id, &billing, ACT).await }));
        let changed: Result<bool, Error> = work.await;
        assert!(changed.unwrap());
    }

    /// Sends as another resource.
    pub(crate) async fn send_as(&self, host: &str, key: &[u8], sent: Sent<'_>) -> Answer {
        let Sent { method, target, headers, body, .. } = sent;
        self.world.send(Sent { method, target, host, key, headers, body }).await
    }
}

/// A search of one geographic number in an area code.
pub(crate) fn geographic(area_code: &str) -> Value {
    json!({
        "phoneNumberType": "geographic",
        "assignmentType": "application",
        "capabilities": { "calling": "inbound+outbound", "sms": "none" },
        "areaCode": area_code,
        "quantity": 1,
    })
}

/// A search of one toll-free number.
pub(crate) fn toll_free() -> Value {
    json!({
        "phoneNumberType": "tollFree",
        "assignmentType": "application",
        "capabilities": { "calling": "inbound+outbound", "sms": "inbound+outbound" },
        "quantity": 1,
    })
}

/// The built-in rules with a table active, and no quota that a test would meet by accident.
pub(crate) fn wide(table: &str) -> RuleBook {
    let mut text = String::new();
    for line in include_str!("../../../numbers/data/rules.toml").lines() {
        if !line.contains("_per_tenant") {
            text.push_str(line);
            text.push('\n');
        }
    }
    for name in ["us-ca-preview", "acs-2020-10", "acs-ga", "trial"] {
        let limits = format!("[tables.{name}.limits]\n");
        if !text.contains(&limits) {
            text.push_str(&limits);
        }
        let set = "purchase_requests_per_tenant = 1000\nsearches_per_tenant_per_week = 100000\n";
        text = text.replace(&limits, &(limits.clone() + set));
    }
    RuleBook::parse(&text).unwrap().with_active(table).unwrap()
}

/// The built-in rules, with a change to their text.
pub(crate) fn rules_with(from: &str, to: &str) -> RuleBook {
    let text = include_str!("../../../numbers/data/rules.toml");
    assert!(text.contains(from));
    RuleBook::parse(&text.replacen(from, to, 1)).unwrap()
}

pub(crate) async fn stock(
    store: &Store,
    number_type: NumberType,
    area: &str,
    region: &str,
    city: &str,
    lines: std::ops::Range<u32>,
) {
    let new: Vec<NewNumber> = lines
        .map(|line| NewNumber {
            number: format!("+1{area}5550{line}").parse().unwrap(),
            trunk: "carrier".parse().unwrap(),
            country: "US".into(),
            number_type,
            area_code: area.into(),
            region: region.into(),
            city: city.into(),
            calling: Capability::InboundOutbound,
            sms: Capability::InboundOutbound,
            monthly_cost_minor: 40,
            currency: "USD".into(),
        })
        .collect();
    let work = store.write(move |db| Box::pin(async move { numbers::import(db, &new, ACT).await }));
    let there_already: Result<Vec<E164>, Error> = work.await;
    assert_eq!(there_already.unwrap(), []);
}
