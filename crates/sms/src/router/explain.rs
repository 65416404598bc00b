//! The path of a decision, for people.

use std::fmt;
use std::time::Duration;

use trunkline_model::TrunkId;

use super::{Decision, Outcome, Refusal};
use crate::gate::Closed;
use crate::party::SenderKind;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The validity is over.
    Expired,
    /// The recipient has opted out.
    OptedOut,
    /// A sender of this kind may send there.
    Open(SenderKind),
    /// It may not.
    Closed(SenderKind, Closed),
    /// The recipient's quiet hours last so much longer.
    QuietHours(Duration),
    /// The recipient's windows never open.
    AlwaysQuiet,
    /// The destination's queue is full for so much longer.
    DestinationFull(Duration),
    /// The sender's number is at its limit.
    NumberLimit(Duration),
    /// The campaign is at its limit.
    CampaignLimit(Duration),
    /// The brand has used up its day.
    BrandDay(Duration),
    /// A trunk was looked at.
    Trunk(TrunkId, Verdict),
    /// No trunk was left.
    NoRoute,
}

/// What was found about a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Chosen,
    /// It is next if that one fails.
    Failover,
    /// Its route is not for such senders.
    NotForSender(SenderKind),
    /// The sender's number is with another carrier.
    NotOwner(TrunkId),
    /// It has no session.
    Down,
    /// It is at its limit for so much longer.
    Limited(Duration),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("validity: over"),
            Self::OptedOut => f.write_str("opt-outs: the recipient has opted out"),
            Self::Open(kind) => write!(f, "sender: {kind} may send there"),
            Self::Closed(kind, closed) => write!(f, "sender: {kind} may not send there, {closed}"),
            Self::QuietHours(left) => write!(f, "quiet hours: for {}", Secs(*left)),
            Self::AlwaysQuiet => f.write_str("quiet hours: the windows of the recipient's zones never meet"),
            Self::DestinationFull(left) => write!(f, "destination: its queue is full, waits {}", Secs(*left)),
            Self::NumberLimit(left) => write!(f, "limit of the number: waits {}", Secs(*left)),
            Self::CampaignLimit(left) => write!(f, "limit of the campaign: waits {}", Secs(*left)),
            Self::BrandDay(left) => write!(f, "limit of the brand's day: waits {}", Secs(*left)),
            Self::Trunk(trunk, verdict) => write!(f, "trunk {trunk}: {verdict}"),
            Self::NoRoute => f.write_str("routes: none is left"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::Failover => f.write_str("failover"),
            Self::NotForSender(kind) => write!(f, "not for senders of kind {kind}"),
            Self::NotOwner(owner) => write!(f, "the sender's number is with {owner}"),
            Self::Down => f.write_str("down"),
            Self::Limited(left) => write!(f, "at its limit for {}", Secs(*left)),
        }
    }
}

impl fmt::Display for SenderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TollFree => "toll-free",
            Self::Local => "local",
            Self::International => "international",
            Self::ShortCode => "short code",
            Self::Name => "name",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("its validity is over"),
            Self::OptedOut => f.write_str("the recipient has opted out"),
            Self::Gate(closed) => closed.fmt(f),
            Self::NoRoute => f.write_str("no route leads there"),
            Self::AlwaysQuiet => f.write_str("the recipient's windows for marketing never open"),
        }
    }
}

impl fmt::Display for Decision {
    /// One line for each step, and a last one for the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.path {
            writeln!(f, "{step}")?;
        }
        match &self.outcome {
            Outcome::Send { trunk, .. } => write!(f, "=> send to {trunk}"),
            Outcome::Wait { .. } => f.write_str("=> wait"),
            Outcome::Refuse(refusal) => write!(f, "=> refuse with {}: {refusal}", refusal.report_code()),
        }
    }
}

struct Secs(Duration);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
