//! Events shown to customers, and the two envelopes they travel in: Event Grid's and that of CloudEvents 1.0.
//!
//! An [`Event`] says what happened; a [`Notice`] is the same as JSON, without its envelope, as it is kept until every
//! subscriber has it. Ids, subjects and field names are those of the public service, and so is their habit of writing
//! numbers without `+`, except for the recipient of a delivery report.

use serde_json::{Map, Value, json};
use std::fmt;
use uuid::Uuid;

use crate::timestamp::rfc3339;

/// Something that happened at a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose event it is.
    pub resource: Uuid,
    /// When it happened.
    pub unix_ms: i64,
    /// What happened.
    pub data: EventData,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventData {
    /// A text came in.
    SmsReceived(SmsReceived),
    /// A text that was sent has ended.
    SmsDeliveryReportReceived(SmsDeliveryReport),
}

/// A text that came in. Addresses are numbers with `+`, short codes or names. `Debug` hides the text and the addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct SmsReceived {
    /// `Incoming_…`; also the event's id.
    pub message_id: String,
    /// The far end.
    pub from: String,
    /// The customer's number.
    pub to: String,
    /// The text, of all its segments.
    pub message: String,
    /// When it came in.
    pub received_unix_ms: i64,
    /// How many segments it came in.
    pub segment_count: u16,
}

/// How a text ended that was sent. Addresses are numbers with `+`, short codes or names. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct SmsDeliveryReport {
    /// `Outgoing_…`; also the event's id, because a message ends once.
    pub message_id: String,
    /// The customer's number, short code or name.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// Whether it arrived.
    pub status: DeliveryStatus,
    /// Why, in the words for customers: `No error.`, or a status code and what it means.
    pub details: String,
    /// What was tried.
    pub attempts: Vec<DeliveryAttempt>,
    /// When that was known.
    pub received_unix_ms: i64,
    /// What the customer wrote on the message.
    pub tag: Option<String>,
}

/// One attempt to deliver a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// When.
    pub unix_ms: i64,
    /// Segments that arrived.
    pub segments_succeeded: u16,
    /// Segments that did not.
    pub segments_failed: u16,
}

/// Whether a text arrived, as customers are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It did.
    Delivered,
    /// It did not.
    Failed,
}

impl DeliveryStatus {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::Failed => "Failed",
        }
    }
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// [`EventData::SmsReceived`].
    SmsReceived,
    /// [`EventData::SmsDeliveryReportReceived`].
    SmsDeliveryReportReceived,
}

/// The name is not that of a kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is none of SMSReceived, SMSDeliveryReportReceived")]
pub struct UnknownEvent;

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::SmsReceived, Self::SmsDeliveryReportReceived];

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SmsReceived => "Microsoft.Communication.SMSReceived",
            Self::SmsDeliveryReportReceived => "Microsoft.Communication.SMSDeliveryReportReceived",
        }
    }

    /// Returns the kind of a name, which may come without `Microsoft.Communication.`.
    ///
    /// # Errors
    /// [`UnknownEvent`].
    pub fn parse(name: &str) -> Result<Self, UnknownEvent> {
        let is = |kind: &&Self| kind.as_str() == name || kind.as_str().strip_prefix(NAMESPACE) == Some(name);
        Self::ALL.iter().find(is).copied().ok_or(UnknownEvent)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const NAMESPACE: &str = "Microsoft.Communication.";

impl Event {
    /// Returns what kind of event it is.
    pub fn kind(&self) -> EventKind {
        match self.data {
            EventData::SmsReceived(_) => EventKind::SmsReceived,
            EventData::SmsDeliveryReportReceived(_) => EventKind::SmsDeliveryReportReceived,
        }
    }

    /// Returns the id, by which a consumer knows an event that comes twice.
    pub fn id(&self) -> &str {
        match &self.data {
            EventData::SmsReceived(received) => &received.message_id,
            EventData::SmsDeliveryReportReceived(report) => &report.message_id,
        }
    }

    /// Returns the conversation: its events reach a subscriber in the order they happened.
    pub fn conversation(&self) -> String {
        let (ours, theirs) = match &self.data {
            EventData::SmsReceived(received) => (&received.to, &received.from),
            EventData::SmsDeliveryReportReceived(report) => (&report.from, &report.to),
        };
        format!("{ours} {theirs}")
    }

    /// Returns the event as JSON, without its envelope.
    pub fn notice(&self) -> Notice {
        let (subject, data) = match &self.data {
            EventData::SmsReceived(received) => (phone_number(&received.to), received.json()),
            EventData::SmsDeliveryReportReceived(report) => (phone_number(&report.from), report.json()),
        };
        Notice {
            id: self.id().to_owned(),
            kind: self.kind().as_str().to_owned(),
            subject,
            time: rfc3339(self.unix_ms),
            data,
        }
    }
}

impl SmsReceived {
    fn json(&self) -> Value {
        json!({
            "messageId": self.message_id,
            "from": without_plus(&self.from),
            "to": without_plus(&self.to),
            "message": self.message,
            "receivedTimestamp": rfc3339(self.received_unix_ms),
            "segmentCount": self.segment_count,
        })
    }
}

impl SmsDeliveryReport {
    fn json(&self) -> Value {
        let mut data = json!({
            "messageId": self.message_id,
            "from": without_plus(&self.from),
            "to": self.to,
            "deliveryStatus": self.status.as_str(),
            "deliveryStatusDetails": self.details,
            "deliveryAttempts": self.attempts.iter().map(DeliveryAttempt::json).collect::<Vec<_>>(),
            "receivedTimestamp": rfc3339(self.received_unix_ms),
        });
        if let (Some(fields), Some(tag)) = (data.as_object_mut(), &self.tag) {
            fields.insert("tag".to_owned(), Value::from(tag.as_str()));
        }
        data
    }
}

impl DeliveryAttempt {
    /// Returns it as events and delivery reports show it.
    pub fn json(&self) -> Value {
        json!({
            "timestamp": rfc3339(self.unix_ms),
            "segmentsSucceeded": self.segments_succeeded,
            "segmentsFailed": self.segments_failed,
        })
    }
}

impl fmt::Debug for SmsReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmsReceived({}, {} segments)", self.message_id, self.segment_count)
    }
}

impl fmt::Debug for SmsDeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmsDeliveryReport({}, {})", self.message_id, self.status.as_str())
    }
}

fn phone_number(address: &str) -> String {
    format!("/phonenumber/{}", without_plus(address))
}

fn without_plus(address: &str) -> &str {
    address.strip_prefix('+').unwrap_or(address)
}

/// An event as JSON, without its envelope.
#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Notice {
    /// The event's id.
    pub id: String,
    /// The name of its kind.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When it happened.
    pub time: String,
    /// The data of its kind.
    pub data: Value,
}

/// Hides the data, which holds texts and numbers, and the subject, which names a number.
impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notice({} {})", self.kind, self.id)
    }
}

impl Notice {
    /// Wraps it for a subscriber to Event Grid's schema, where it travels in an array of one.
    pub fn event_grid(&self, topic: &str) -> Value {
        json!({
            "id": self.id,
            "topic": topic,
            "subject": self.subject,
            "data": self.data,
            "eventType": self.kind,
            "dataVersion": DATA_VERSION,
            "metadataVersion": METADATA_VERSION,
            "eventTime": self.time,
        })
    }

    /// Wraps it for a subscriber to CloudEvents 1.0.
    pub fn cloud_event(&self, source: &str) -> Value {
        let mut event = Map::new();
        event.insert("id".to_owned(), self.id.as_str().into());
        event.insert("source".to_owned(), source.into());
        event.insert("specversion".to_owned(), "1.0".into());
        event.insert("type".to_owned(), self.kind.as_str().into());
        // CloudEvents 1.0 §3.1: absent or not empty.
        if !self.subject.is_empty() {
            event.insert("subject".to_owned(), self.subject.as_str().into());
        }
        event.insert("time".to_owned(), self.time.as_str().into());
        event.insert("datacontenttype".to_owned(), "application/json".into());
        event.insert("data".to_owned(), self.data.clone());
        Value::Object(event)
    }
}

/// Version of the data of every kind.
pub const DATA_VERSION: &str = "1.0";
/// Version of Event Grid's envelope.
pub const METADATA_VERSION: &str = "1";

/// Returns what stands for a resource as topic and source of its events: an id in the form of the public service's.
pub fn topic(resource: Uuid, name: &str) -> String {
    format!(
        "/subscriptions/{resource}/resourceGroups/trunkline/providers/Microsoft.Communication/communicationServices/{name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_795_428_000_123;

    fn received() -> Event {
        let data = EventData::SmsReceived(SmsReceived {
            message_id: "Incoming_20261123100000aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
            from: "+12065550111".to_owned(),
            to: "+18335550100".to_owned(),
            message: "STOP".to_owned(),
            received_unix_ms: AT,
            segment_count: 1,
        });
        Event { resource: Uuid::nil(), unix_ms: AT, data }
    }

    fn report() -> Event {
        let data = EventData::SmsDeliveryReportReceived(SmsDeliveryReport {
            message_id: "Outgoing_20261123100000bbbbbbbb-0000-4000-8000-000000000002".to_owned(),
            from: "+18335550100".to_owned(),
            to: "+12065550111".to_owned(),
            status: DeliveryStatus::Delivered,
            details: "No error.".to_owned(),
            attempts: vec![DeliveryAttempt { unix_ms: AT, segments_succeeded: 1, segments_failed: 0 }],
            received_unix_ms: AT,
            tag: Some("campaign-1".to_owned()),
        });
        Event { resource: Uuid::nil(), unix_ms: AT, data }
    }

    #[test]
    fn a_text_that_came_in_is_told_as_the_public_service_tells_it() {
        assert_eq!(
            received().notice().event_grid("/topic"),
            json!({
                "id": "Incoming_20261123100000aaaaaaaa-0000-4000-8000-000000000001",
                "topic": "/topic",
                "subject": "/phonenumber/18335550100",
                "data": {
                    "messageId": "Incoming_20261123100000aaaaaaaa-0000-4000-8000-000000000001",
                    "from": "12065550111",
                    "to": "18335550100",
                    "message": "STOP",
                    "receivedTimestamp": "2026-11-23T10:00:00.123Z",
                    "segmentCount": 1,
                },
                "eventType": "Microsoft.Communication.SMSReceived",
                "dataVersion": "1.0",
                "metadataVersion": "1",
                "eventTime": "2026-11-23T10:00:00.123Z",
            })
        );
    }

    #[test]
    fn the_recipient_of_a_report_keeps_its_plus() {
        assert_eq!(
            report().notice().cloud_event("/source"),
            json!({
                "id": "Outgoing_20261123100000bbbbbbbb-0000-4000-8000-000000000002",
                "source": "/source",
                "specversion": "1.0",
                "type": "Microsoft.Communication.SMSDeliveryReportReceived",
                "subject": "/phonenumber/18335550100",
                "time": "2026-11-23T10:00:00.123Z",
                "datacontenttype": "application/json",
                "data": {
                    "messageId": "Outgoing_20261123100000bbbbbbbb-0000-4000-8000-000000000002",
                    "from": "18335550100",
                    "to": "+12065550111",
                    "deliveryStatus": "Delivered",
                    "deliveryStatusDetails": "No error.",
                    "deliveryAttempts": [
                        { "timestamp": "2026-11-23T10:00:00.123Z", "segmentsSucceeded": 1, "segmentsFailed": 0 },
                    ],
                    "receivedTimestamp": "2026-11-23T10:00:00.123Z",
                    "tag": "campaign-1",
                },
            })
        );
    }

    #[test]
    fn both_directions_of_a_conversation_have_one_key() {
        assert_eq!(received().conversation(), "+18335550100 +12065550111");
        assert_eq!(received().conversation(), report().conversation());
    }

    #[test]
    fn kinds_are_named_in_full_or_short() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Ok(*kind));
        }
        assert_eq!(EventKind::parse("SMSReceived"), Ok(EventKind::SmsReceived));
        assert_eq!(EventKind::parse("smsreceived"), Err(UnknownEvent));
    }

    #[test]
    fn debug_shows_neither_text_nor_numbers() {
        for event in [received(), report()] {
            let shown = format!("{event:?} {:?}", event.notice());
            assert!(!shown.contains("STOP") && !shown.contains("5550"), "{shown}");
        }
    }
}
