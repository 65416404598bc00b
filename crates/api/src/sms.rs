//! Texts: sending, opt-outs, and what became of what was sent.

mod opt_outs;
mod report;
mod send;
mod sender;

use crate::error::ApiError;
use crate::path::{Route, route};
use std::collections::BTreeMap;
use std::time::Duration;
use trunkline_model::E164;
use trunkline_storage::opt_outs::Scope;

pub(crate) static ROUTES: &[Route] = &[
    route!("Sms_Send", POST, "/sms", Sms, send::send),
    route!("OptOuts_Add", POST, "/sms/optouts:add", Sms, opt_outs::add),
    route!("OptOuts_Remove", POST, "/sms/optouts:remove", Sms, opt_outs::remove),
    route!("OptOuts_Check", POST, "/sms/optouts:check", Sms, opt_outs::check),
    route!("DeliveryReports_Get", GET, "/deliveryReports/{outgoingMessageId}", Sms, report::get),
];

/// What the operator set about texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsSettings {
    /// Which opt-outs stop a message.
    pub opt_out_scope: Scope,
    /// How long a message is worth sending (SMS-08).
    pub validity: Duration,
    /// How much longer a report is waited for.
    pub report_grace: Duration,
    /// Short codes and names, and the resource (by name) that may send from each.
    pub senders: BTreeMap<String, String>,
}

impl Default for SmsSettings {
    /// A day to send it (SMS-08) and an hour for the report; opt-outs count for all numbers of a resource (D.1).
    fn default() -> Self {
        Self {
            opt_out_scope: Scope::Tenant,
            validity: Duration::from_secs(24 * 3_600),
            report_grace: Duration::from_secs(3_600),
            senders: BTreeMap::new(),
        }
    }
}

/// Most recipients of one request, as in the public service (SMS-06).
const RECIPIENTS_MAX: usize = 100;

/// Refuses a number of recipients that no request may have.
fn check_count(field: &'static str, count: usize) -> Result<(), ApiError> {
    if (1..=RECIPIENTS_MAX).contains(&count) {
        return Ok(());
    }
    Err(ApiError::validation(field, format!("There must be 1 to {RECIPIENTS_MAX} recipients.")))
}

/// Reads the number of a recipient. In the North American plan, whose numbers are all of one length, others are none.
fn recipient(to: &str) -> Option<E164> {
    let number = E164::parse(to).ok()?;
    (number.is_nanp() || !number.digits().starts_with('1')).then_some(number)
}

/// What is wrong with a recipient that is not a number, in the words of the public service.
const INVALID_TO: &str = "Invalid To phone number format.";
