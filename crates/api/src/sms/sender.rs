//! Who may send from what.

use crate::call::Call;
use crate::error::ApiError;
use axum::http::StatusCode;
use trunkline_model::E164;
use trunkline_storage::numbers;

/// Checks that the tenant may send from this: a number that it owns and that sends texts, or a short code or name that
/// is configured for it.
///
/// # Errors
/// 400 for what is no sender; 401 for one that is not the tenant's, as the public service answers.
pub(super) async fn check(call: &Call, from: &str) -> Result<(), ApiError> {
    let resource = &call.tenant()?.resource;
    let number = match parse(from)? {
        Parsed::Number(number) => number,
        Parsed::Configured => {
            let owner = call.state.settings.sms.senders.get(from);
            return if owner == Some(&resource.name) { Ok(()) } else { Err(ApiError::denied()) };
        }
    };
    let mut db = call.state.store.read().await?;
    let owned = numbers::owned_number(&mut db, resource.id, number).await?.ok_or_else(ApiError::denied)?;
    if owned.assignment.terms.sms.is_outbound() {
        return Ok(());
    }
    let message = "The phone number has no outbound SMS capability.";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "Denied", message).with_target("from"))
}

enum Parsed {
    Number(E164),
    Configured,
}

/// A short code has five or six digits; a name up to eleven characters, a letter among them.
fn parse(from: &str) -> Result<Parsed, ApiError> {
    if let Ok(number) = E164::parse(from) {
        return Ok(Parsed::Number(number));
    }
    let short_code = (5..=6).contains(&from.len()) && from.bytes().all(|byte| byte.is_ascii_digit());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" +-_&".contains(&byte);
    let name =
        from.len() <= 11 && from.bytes().all(allowed) && from.bytes().any(|byte| byte.is_ascii_alphabetic());
    if short_code || name {
        return Ok(Parsed::Configured);
    }
    Err(ApiError::validation("From", "Invalid From phone number format."))
}
