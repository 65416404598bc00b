//! SMS carriers with magic numbers: a message centre that speaks SMPP, and one that is called over HTTP.

pub mod http_carrier;
pub mod ledger;
pub mod script;
pub mod smsc;
