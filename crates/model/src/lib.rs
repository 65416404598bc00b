//! The nouns of Trunkline, as values: they parse, print and compare.
//!
//! No I/O and no policy lives here. Every other crate may use this one; it uses none of them.
//!
//! | noun | module |
//! |---|---|
//! | a telephone number in international form | [`e164`] |
//! | names of calls, legs, bridges, trunks and nodes | [`id`] |
//! | why a call ended, and whose fault | [`cause`] |
//! | a trunk, its gateways, and what may be dialled over it | [`trunk`] |
//! | a user, as signalling names it | [`user`] |
//! | a phone number in the inventory | [`number`] |
//! | what is kept about a call once it is over | [`record`] |
//! | what customers are told, and its JSON | [`event`] |
//! | a time as JSON carries it | [`timestamp`] |

pub mod cause;
pub mod clock;
pub mod e164;
pub mod event;
pub mod id;
pub mod number;
pub mod record;
pub mod timestamp;
pub mod trunk;
pub mod user;

pub use cause::{Cause, Party, Q850, Stage};
pub use e164::{E164, InvalidE164};
pub use id::{BridgeId, CallId, InvalidId, LegId, NodeId, TrunkId};
pub use number::{AssignmentType, Capability, NumberState, NumberType, SubscriptionClass, UnknownWord};
pub use record::{CallRecord, LegQuality, Signalling};
pub use trunk::{
    Codec, DidRoute, Gateway, HealthPolicy, Host, MediaPolicy, OpusPolicy, PatternRoute, Prefer, Reliability,
    Ring, RingOrder, SessionTimerPolicy, Transport, Trunk, TrunkMatch, UserRoute,
};
pub use user::{InvalidUserAddress, UserAddress};
