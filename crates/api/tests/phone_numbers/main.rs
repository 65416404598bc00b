//! The phone number operations, as the official clients use them.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../../storage/tests/store/database.rs"]
#[allow(dead_code, reason = "the tests of storage use all of it")]
mod database;

mod buyers;
mod captures;
mod catalogue;
mod eligibility;
mod owned;
mod plan;
mod postgres;
mod purchase;
mod quotas;
mod reservations;
mod search;
mod shop;
mod upkeep;
