//! A SIP carrier in a box, to try Trunkline, test it and develop against it offline.
//!
//! The sandbox is built on the same `sip` and `media` machines as the gateway, but it is a process role of its own
//! and is reached over real sockets with real SIP and RTP. What it does with a call is decided by the last four
//! digits of the number that was dialled:
//!
//! | ending | what happens |
//! |---|---|
//! | 0100 | rings, answers, and echoes what it hears |
//! | 0101 | answers with an announcement, then hangs up |
//! | 0102 | a digit menu: each digit of RFC 4733 comes back as its tones; `#` hangs up |
//! | 0103 | busy: 486 |
//! | 0104 | declined: 603 |
//! | 0105 | rings and is never answered |
//! | 0106 | a late 183 with early media, then answers and echoes |
//! | 0107 | no such number: 404 |
//! | 0108 | the carrier is overloaded: 503 |
//! | 0109 | a steady tone of 1 kHz |
//! | 0110 | 480; then it calls the caller back and plays the announcement |
//! | 0111 | answers at once, without ringing, and echoes |
//! | 0121–0159 | answers, echoes, and hangs up after as many seconds as the last two digits exceed 20 |
//!
//! Every other number is 404. [`Endpoint`] is the machine: calls over SIP with one audio stream each. It also places
//! calls, which is what `trunkline call` is.
//!
//! Like every machine here it is sans-IO: hand it [`Input`]s, drain [`Endpoint::poll_output`], sleep until
//! [`Endpoint::poll_timeout`].

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod endpoint;
mod line;
mod script;
pub mod sms;
mod voice;

pub use endpoint::{Config, Endpoint, Event, Input, LineId, Output};
pub use line::{Dial, Heard, Plan};
pub use script::Script;
