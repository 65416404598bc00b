//! What the engine and a carrier's link say to each other.
//!
//! A carrier has one link or several: an SMPP carrier one for each bind, an HTTP carrier one. A link is a task that
//! takes [`Order`]s and answers with [`Event`]s; it knows its protocol and nothing of disks, routes or customers. To
//! add a kind of carrier is to write such a task.
//!
//! A link promises:
//!
//! - Every [`Submission`] it was given ends in exactly one event with its token: `Accepted`, `Refused`, `Unanswered`,
//!   `Returned` or `Unencodable`. A link that goes down gives everything back before it says so.
//! - `Returned { in_doubt: false }` and `Refused` mean that the carrier does not have it. Everything that it may have is
//!   `Unanswered` or `Returned { in_doubt: true }`.
//! - What the carrier brings is acknowledged to it only after [`Order::Acknowledge`] with `kept`.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use trunkline_model::{E164, TrunkId};
use trunkline_sms::inbound::Inbound;
use trunkline_sms::party::Sender;
use trunkline_sms::segment::Segment;
use trunkline_sms::status::{Class, CommandStatus};
use trunkline_storage::messages::{Content, MessageId};

/// Names a segment on its way: the message's place in the store, and the segment, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    /// `Message::seq`.
    pub(crate) message: i64,
    /// Which segment; 0 for a carrier that takes messages whole.
    pub(crate) segment: u8,
}

/// A message on its way to a carrier. `Debug` hides what it says and most of the numbers.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// The id that customers know: a name for it that the carrier may be told.
    pub(crate) id: MessageId,
    /// Who sends.
    pub(crate) from: Sender,
    /// Who receives.
    pub(crate) to: E164,
    /// What it says, uncut.
    pub(crate) content: Content,
    /// When it stops being worth sending.
    pub(crate) deadline: Instant,
    /// Whether receipts are wanted.
    pub(crate) receipts: bool,
}

/// What is to be submitted.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// Names it in the event that ends it.
    pub(crate) token: Token,
    /// The message.
    pub(crate) message: Arc<Outgoing>,
    /// The segment of it, cut as the carrier wants it; the only one for a carrier that takes messages whole.
    pub(crate) segment: Segment,
    /// Whether more segments of the message follow.
    pub(crate) more: bool,
}

/// Names what a carrier brought until it is acknowledged. Links number it as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ack(pub(crate) u64);

/// What the engine tells a link.
#[derive(Debug)]
pub(crate) enum Order {
    /// Submit this. Never more of them are without an end than the link's room.
    Submit(Submission),
    /// Answer what the carrier brought: `kept` says that it is on disk; otherwise the carrier is to bring it again.
    Acknowledge {
        /// What.
        ack: Ack,
        /// Whether it is on disk.
        kept: bool,
    },
    /// Take nothing new, wait for the answers that are due, take leave, and end. The link closes its side then.
    Stop,
}

/// What a link tells the engine.
#[derive(Debug)]
pub(crate) enum Event {
    /// Submissions may come: as many as `room` at the same time. Said again when that changes; 0 for a link that only
    /// receives.
    Up {
        /// Most submissions without an end.
        room: usize,
    },
    /// None may come until the next `Up`.
    Down {
        /// Why, for the log.
        why: String,
    },
    /// The carrier throttles: none should come until then. What the link has keeps its place there.
    Paused {
        /// Until when.
        until: Instant,
    },
    /// The carrier took it.
    Accepted {
        /// What.
        token: Token,
        /// The carrier's id of it, as it was written.
        id: Option<String>,
    },
    /// The carrier did not take it.
    Refused {
        /// What.
        token: Token,
        /// The SMPP status that says what the carrier said: it decides the code of the delivery report.
        status: CommandStatus,
        /// What follows from it.
        class: Class,
        /// What the carrier said, for operators; none where the status is all.
        reason: Option<String>,
    },
    /// No answer came in time: the carrier may have it or not.
    Unanswered {
        /// What.
        token: Token,
    },
    /// The link went down before there was an answer.
    Returned {
        /// What.
        token: Token,
        /// Whether the carrier may have it.
        in_doubt: bool,
    },
    /// It does not fit the protocol, and never will.
    Unencodable {
        /// What.
        token: Token,
        /// The field at fault.
        field: &'static str,
    },
    /// A text, a part of one, or a receipt. Its handle is what the acknowledgement names.
    Inbound(Inbound<Ack>),
}

/// One link of one carrier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId {
    /// The carrier.
    pub(crate) carrier: TrunkId,
    /// Which of its links, from 0.
    pub(crate) link: u16,
}

/// Where a link leaves its events.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    link: LinkId,
    events: mpsc::Sender<(LinkId, Event)>,
}

/// Where the engine leaves its orders.
///
/// No limit of its own: submissions are bounded by the link's room, acknowledgements by what it has brought and not yet
/// had acknowledged.
pub(crate) type Orders = mpsc::UnboundedSender<Order>;

/// Events of all links on their way to the engine. Links wait when it is full, and carriers with them.
pub(crate) const EVENTS_MAX: usize = 4_096;

/// How long links may take to end once they were told to stop.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(10);

impl Outbox {
    /// Returns the outbox of a link.
    pub(crate) fn new(link: LinkId, events: mpsc::Sender<(LinkId, Event)>) -> Self {
        Self { link, events }
    }

    /// Returns whose it is.
    pub(crate) fn link(&self) -> &LinkId {
        &self.link
    }

    /// Leaves an event. Returns false when the engine is gone, and the link should end.
    pub(crate) async fn send(&self, event: Event) -> bool {
        self.events.send((self.link.clone(), event)).await.is_ok()
    }
}
