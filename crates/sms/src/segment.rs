//! Long messages: cut into segments on their way out, put together on their way in (TS 23.040 §9.2.3.24).

pub mod join;
pub mod split;
pub mod udh;

pub use join::{Joined, Limits, Outcome, Piece, Reassembler};
pub use split::{Carriage, Method, References, Segment, Split, SplitError, SplitPolicy};
pub use udh::{Concat, UserDataHeader};
