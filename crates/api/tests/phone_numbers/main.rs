//! The phone number operations, as the official clients use them.

#[path = "../support/mod.rs"]
mod support;

mod buyers;
mod captures;
mod catalogue;
mod eligibility;
mod owned;
mod purchase;
mod quotas;
mod reservations;
mod search;
mod shop;
