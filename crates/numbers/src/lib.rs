//! Phone-number rules, as pure functions over values.
//!
//! - [`nanp`]: what the North American Numbering Plan says of a number: its country, its kind, whether it may
//!   be sold, and whether it may be called (rules NUM-01 to NUM-12, B.2).
//! - [`dial`]: from what people and trunks send to E.164, or to a service code (rules NRM-01 to NRM-13).
//! - [`eligibility`]: who may provision which number under which billing address (rules PROV-01 to PROV-22),
//!   decided by tables that an operator may replace.
//!
//! Nothing here performs I/O or reads a clock; a decision carries the path by which it was reached, so that an
//! operator can ask why.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub mod dial;
pub mod eligibility;
pub mod nanp;

pub use dial::{DialPlan, Dialled, Service, Undialable};
pub use eligibility::{Decision, Denial, Request, RuleBook, RuleBookError};
pub use nanp::{AreaCode, AreaKind, Denied, Destination};
