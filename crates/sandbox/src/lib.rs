//! Carriers in a box, to try Trunkline, test it and develop against it offline: one of calls over SIP, and two of texts,
//! over SMPP and over HTTP.
//!
//! The sandbox is built on the same `sip`, `media` and `sms` machines as the gateway, but it is a process role of its
//! own and is reached over real sockets with real SIP, RTP and SMPP. What it does with a call is decided by the last
//! four digits of the number that was dialled:
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
//! And with a text, by those of the number it is for:
//!
//! | ending | what happens |
//! |---|---|
//! | 0101 | the response takes three seconds |
//! | 0102 | no response, ever |
//! | 0103 | the connection is closed instead of a response; the next attempt is taken |
//! | 0104, 0105, 0114, 0115 | throttled (0x58), queue full (0x14), system error (0x08), temporary error (0x64), each for three seconds |
//! | 0106 | the receipt comes before the response |
//! | 0107, 0108 | the id is hexadecimal in the response and decimal in the receipt, or the reverse |
//! | 0109 | no receipt |
//! | 0110 | receipts ACCEPTD, DELIVRD and DELIVRD again |
//! | 0112 | a receipt of TLVs alone |
//! | 0113 | the receipt takes thirty seconds |
//! | 0120–0124 | receipts UNDELIV, EXPIRED, DELETED, REJECTD, UNKNOWN |
//! | 0130–0134 | STOP, START, HELP, ARRET is texted back, or the text itself |
//! | 0140–0148 | refused with 0x0A, 0x0B, 0x45, 0x65, 0x66, 0x01, 0x400, 0xFE, 0xFF |
//! | 0151–0179 | a receipt UNDELIV with error 001 to 029 |
//!
//! Every other number gets its text, with a receipt DELIVRD. [`sms::smsc::Smsc`] is the message centre,
//! [`sms::http_carrier::HttpCarrier`] the carrier over HTTP, and [`sms::ledger`] what they received.
//!
//! Like every machine here they are sans-IO: hand them what happened, drain `poll_output`, sleep until `poll_timeout`.

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
