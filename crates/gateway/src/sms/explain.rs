//! What the router would decide about a message, for people.

use super::engine::{billed, router_purpose};
use super::law::Law;
use super::locality::{is_domestic, locality};
use crate::config::Sms;
use std::time::{Duration, Instant, SystemTime};
use trunkline_model::{E164, TrunkId};
use trunkline_sms::party::Sender;
use trunkline_sms::router::{Decision, Health, Message, Purpose, Router, Routes};
use trunkline_storage::messages::{self, Content};
use trunkline_storage::opt_outs::{self, Pair};
use trunkline_storage::{Connection, Error, numbers};

/// A message that might be sent.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Who would send.
    pub(crate) from: Sender,
    /// Who would receive.
    pub(crate) to: E164,
    /// What it would say.
    pub(crate) text: String,
    /// What it would be for.
    pub(crate) purpose: messages::Purpose,
}

/// Asks the router, with every carrier up and every limit unused.
pub(crate) async fn explain(
    config: &Sms,
    db: &mut Connection,
    question: &Question,
) -> Result<Decision, Error> {
    let law = Law::new(config);
    let number = match &question.from {
        Sender::Number(number) => numbers::by_e164(db, *number).await?,
        Sender::ShortCode(_) | Sender::Name(_) => None,
    };
    let resource = number.as_ref().and_then(|number| number.owner);
    let opted_out = match resource {
        Some(resource) => {
            let pair = Pair { resource, sender: question.from.to_string(), recipient: question.to };
            opt_outs::check(db, &[pair], law.scope).await?.contains(&true)
        }
        None => false,
    };
    let carriers: Vec<&TrunkId> = config.carriers.iter().map(|carrier| &carrier.id).collect();
    let mut router = Router::new(Routes::new(config.routes.clone(), config.preference));
    carriers.iter().for_each(|carrier| router.set_health((*carrier).clone(), Health::Up));
    if !config.quiet_hours {
        router.quiet_hours = None;
    }
    let purpose = router_purpose(question.purpose);
    let place = (purpose == Purpose::Marketing).then(|| locality(&question.to)).flatten();
    let (now, unix) = (Instant::now(), SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
    let message = Message {
        from: &question.from,
        to: &question.to,
        segments: billed(&Content::Text(question.text.clone())),
        purpose,
        domestic: is_domestic(&question.to),
        standing: &law.standing(&question.from),
        owner: number.as_ref().map(|number| &number.imported.trunk).filter(|trunk| carriers.contains(trunk)),
        opted_out,
        locality: place.as_ref(),
        brand_day: None,
        deadline: now + config.validity.max(Duration::from_secs(1)),
        avoided: &[],
        draw: 0,
    };
    Ok(router.decide(now, i64::try_from(unix.as_secs()).unwrap_or(i64::MAX), &message))
}
