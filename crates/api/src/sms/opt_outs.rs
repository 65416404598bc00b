//! `/sms/optouts:…`: who wants no texts from a sender.

use super::{INVALID_TO, check_count, sender};
use crate::call::{Call, json};
use crate::error::ApiError;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use trunkline_storage::Error;
use trunkline_storage::opt_outs::{self, Origin, Pair};

#[derive(Deserialize)]
struct OptOutRequest {
    from: String,
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
struct Recipient {
    to: String,
}

#[derive(Serialize)]
struct OptOutResponse {
    value: Vec<Item>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    to: String,
    http_status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_opted_out: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'static str>,
}

pub(super) async fn add(call: Call) -> Result<Response, ApiError> {
    let asked = Asked::of(&call).await?;
    let (pairs, now_unix_ms) = (asked.pairs(), call.state.now_unix_ms());
    let done: Result<(), Error> = call
        .state
        .store
        .write(move |db| Box::pin(async move { opt_outs::add(db, &pairs, Origin::Api, now_unix_ms).await }))
        .await;
    done?;
    Ok(asked.answer(None))
}

/// Removes what stops the sender's texts, so that a check afterwards says that nothing does.
pub(super) async fn remove(call: Call) -> Result<Response, ApiError> {
    let asked = Asked::of(&call).await?;
    let (pairs, scope) = (asked.pairs(), call.state.settings.sms.opt_out_scope);
    let done: Result<u64, Error> = call
        .state
        .store
        .write(move |db| Box::pin(async move { opt_outs::remove(db, &pairs, scope).await }))
        .await;
    done?;
    Ok(asked.answer(None))
}

pub(super) async fn check(call: Call) -> Result<Response, ApiError> {
    let asked = Asked::of(&call).await?;
    let mut db = call.state.store.read().await?;
    let stopped = opt_outs::check(&mut db, &asked.pairs(), call.state.settings.sms.opt_out_scope).await?;
    Ok(asked.answer(Some(stopped)))
}

/// The recipients as they were written, with the pair of each that is a number.
struct Asked(Vec<(String, Option<Pair>)>);

impl Asked {
    async fn of(call: &Call) -> Result<Self, ApiError> {
        let request: OptOutRequest = call.json()?;
        check_count("Recipients", request.recipients.len())?;
        sender::check(call, &request.from).await?;
        let resource = call.tenant()?.resource.id;
        let pair = |to: &str| {
            let recipient = super::recipient(to)?;
            Some(Pair { resource, sender: request.from.clone(), recipient })
        };
        Ok(Self(request.recipients.into_iter().map(|Recipient { to }| (to.clone(), pair(&to))).collect()))
    }

    fn pairs(&self) -> Vec<Pair> {
        self.0.iter().filter_map(|(_, pair)| pair.clone()).collect()
    }

    /// Answers each recipient in order; `stopped` is what was found out about each pair.
    fn answer(self, stopped: Option<Vec<bool>>) -> Response {
        let mut stopped = stopped.map(Vec::into_iter);
        let item = |(to, pair): (String, Option<Pair>)| match pair {
            Some(_) => {
                let is_opted_out = stopped.as_mut().and_then(Iterator::next);
                Item { to, http_status_code: 200, is_opted_out, error_message: None }
            }
            None => Item { to, http_status_code: 400, is_opted_out: None, error_message: Some(INVALID_TO) },
        };
        json(StatusCode::OK, &OptOutResponse { value: self.0.into_iter().map(item).collect() })
    }
}
