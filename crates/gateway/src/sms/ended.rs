//! What is told of messages that have ended.

use super::accounts;
use trunkline_model::event::{
    DeliveryAttempt, DeliveryStatus, Event, EventData, SmsDeliveryReport, SmsReceived,
};
use trunkline_storage::messages::inbound::InboundText;
use trunkline_storage::messages::{Counts, Message, Outcome, Source, Status};
use trunkline_storage::{Connection, Error, events};

/// A message that has ended, and how.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// The message.
    pub(crate) message: Message,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Its segments.
    pub(crate) counts: Counts,
}

/// Tells the sources of messages how they ended, in the unit that ends them.
pub(crate) async fn publish(db: &mut Connection, ended: &[Ended], now_unix_ms: i64) -> Result<(), Error> {
    let reports: Vec<Event> = ended.iter().filter_map(report).collect();
    if !reports.is_empty() {
        events::publish(db, &reports, now_unix_ms).await?;
    }
    accounts::tell_ends(db, ended, now_unix_ms).await
}

fn report(ended: &Ended) -> Option<Event> {
    let Ended { message, outcome, counts } = ended;
    if message.source != Source::Api || !message.wants_report {
        return None;
    }
    let status = match outcome.status {
        Status::Delivered => DeliveryStatus::Delivered,
        Status::Failed | Status::Expired | Status::Unknown => DeliveryStatus::Failed,
    };
    let report = SmsDeliveryReport {
        message_id: message.id.to_string(),
        from: message.from.clone(),
        to: message.to.to_string(),
        status,
        details: outcome.details(),
        attempts: vec![DeliveryAttempt {
            unix_ms: outcome.ended_unix_ms,
            segments_succeeded: counts.succeeded,
            segments_failed: counts.failed,
        }],
        received_unix_ms: outcome.ended_unix_ms,
        tag: message.tag.clone(),
    };
    let data = EventData::SmsDeliveryReportReceived(report);
    Some(Event { resource: message.resource, unix_ms: outcome.ended_unix_ms, data })
}

/// Tells owners of numbers what came in, in the unit that keeps it.
pub(crate) async fn publish_received(
    db: &mut Connection,
    texts: &[InboundText],
    now_unix_ms: i64,
) -> Result<(), Error> {
    let received: Vec<Event> = texts.iter().filter_map(received).collect();
    if !received.is_empty() {
        events::publish(db, &received, now_unix_ms).await?;
    }
    Ok(())
}

fn received(text: &InboundText) -> Option<Event> {
    let data = EventData::SmsReceived(SmsReceived {
        message_id: text.public_id(),
        from: text.from.clone(),
        to: text.to.clone(),
        message: text.body.clone(),
        received_unix_ms: text.received_unix_ms,
        segment_count: text.segments.into(),
    });
    Some(Event { resource: text.resource?, unix_ms: text.received_unix_ms, data })
}
