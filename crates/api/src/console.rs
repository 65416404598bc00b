//! The console: its pages, and what they ask beyond the operations of Azure Communication Services.
//!
//! The pages are public, as they hold nothing: whoever uses them signs each request with the resource's key, or
//! registers with a user token.

mod charges;
mod eligibility;
mod live;
mod messages;
mod pages;
mod rings;

use crate::path::{Route, route};

pub use live::{LiveCall, LiveCalls};
pub(crate) use pages::page;

pub(crate) static ROUTES: &[Route] = &[
    route!("Console_Statement", GET, "/console/statement", Console, charges::statement),
    route!("Console_Calls", GET, "/console/calls", Console, live::list),
    route!("Console_Messages", GET, "/console/messages", Console, messages::list),
    route!("Console_Rings", GET, "/console/numbers/users", Console, rings::list),
    route!("Console_SetRing", PUT, "/console/numbers/{phoneNumber}/user", Console, rings::set),
    route!("Console_Eligibility", GET, "/console/eligibility", Console, eligibility::explain),
];
