//! What is kept about a call once it is over.

use crate::cause::Cause;
use crate::id::{CallId, TrunkId};
use std::net::SocketAddr;
use std::time::Duration;

/// The record of one call (a CDR). Every call that reached admission leaves exactly one.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CallRecord {
    /// The call.
    pub call: CallId,
    /// What the caller called itself: the user part of From, as received.
    pub from: String,
    /// What was dialled: the user part of the request URI, as received.
    pub to: String,
    /// The trunk the call came in on; none when no trunk matched.
    pub trunk_in: Option<TrunkId>,
    /// The trunk that the last attempt went out on; none when none was tried.
    pub trunk_out: Option<TrunkId>,
    /// What a carrier asks for when a call is looked into.
    #[serde(default)]
    pub signalling: Signalling,
    /// How many gateways were tried.
    pub attempts: u16,
    /// When the INVITE came in, in milliseconds since the Unix epoch.
    pub started_unix_ms: i64,
    /// From the INVITE to the first 18x of the callee.
    pub rang_after: Option<Duration>,
    /// From the INVITE to the answer.
    pub answered_after: Option<Duration>,
    /// From the INVITE to the end.
    pub ended_after: Duration,
    /// Why it ended.
    pub cause: Cause,
    /// Media of the caller's leg, where any flowed.
    pub caller_media: Option<LegQuality>,
    /// Media of the callee's leg, where any flowed.
    pub callee_media: Option<LegQuality>,
}

/// What SIP said of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Signalling {
    /// Where the INVITE came from.
    pub source: Option<SocketAddr>,
    /// Call-ID of the caller's leg, as received; its first 128 characters.
    pub caller_call_id: String,
    /// Call-ID of the last INVITE that went out; none when none did.
    pub callee_call_id: Option<String>,
    /// The gateway that it went to, as `host:port/transport`.
    pub gateway: Option<String>,
    /// The final status that this gateway answered, whatever the caller was shown; none when none came.
    pub callee_status: Option<u16>,
}

/// What one media leg saw.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct LegQuality {
    /// Name of the last codec used, as in SDP: `PCMU`, `PCMA`.
    pub codec: String,
    /// RTP packets received and accepted.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Packets that never came, by sequence number (RFC 3550 A.3).
    pub packets_lost: u64,
    /// Packets dropped because their source was not allowed.
    pub packets_refused: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 A.8), the largest seen at a report.
    pub jitter_ms_max: f32,
    /// Mean opinion score estimated from loss and jitter (ITU-T G.107, simplified), 1.0 to 4.5.
    pub mos: Option<f32>,
}
