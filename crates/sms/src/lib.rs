//! Sans-IO SMS: alphabets, segments, receipts, SMPP 3.4 sessions of both roles, router, opt-outs.
//!
//! Nothing here owns a socket, a clock or a store. Machines take `now` as an argument; after every call their owner
//! takes out what they want done (`poll_output` and its like) and reads when to call again (`poll_timeout`).
//!
//! # A text on its way out
//!
//! [`Router::decide`] says which trunk takes it, [`segment::split`] cuts it, [`SubmitProfile`] makes the submit_sm that
//! this trunk wants, and a [`Client`] sends them within its window:
//!
//! ```
//! use std::time::Duration;
//! use trunkline_model::{E164, clock::first_instant};
//! use trunkline_sms::party::Sender;
//! use trunkline_sms::pdu::{Address, Bind, BindKind};
//! use trunkline_sms::segment::split::{SplitPolicy, split};
//! use trunkline_sms::session::accounts::Grant;
//! use trunkline_sms::session::submit::{Envelope, SubmitProfile};
//! use trunkline_sms::session::{Client, ClientConfig, Server, ServerConfig, client, server};
//!
//! let now = first_instant();
//! let bind = Bind {
//!     kind: BindKind::Transceiver,
//!     system_id: "trunkline".into(),
//!     password: "secret".into(),
//!     system_type: String::new(),
//!     version: 0x34,
//!     range: Address::default(),
//! };
//! // Ours at a carrier, and the carrier's, which is the role that customers meet.
//! let mut ours: Client<usize> = Client::new(ClientConfig::new(bind), 1, now);
//! let mut carrier: Server<()> = Server::new(ServerConfig::default(), 1, now);
//!
//! let text = split(&"Hello! ".repeat(30), &SplitPolicy::default(), 0x0102)?;
//! assert_eq!(text.billed, 2);
//! let envelope = Envelope {
//!     from: Sender::parse("+14255550100")?,
//!     to: E164::parse("+12065550111")?,
//!     validity_left: Duration::from_secs(86_400),
//!     receipts: true,
//! };
//! let mut waiting: Vec<_> =
//!     SubmitProfile::default().messages(&envelope, &text).into_iter().enumerate().rev().collect();
//!
//! // A shell would wait for sockets and timeouts between these turns.
//! let mut ids = Vec::new();
//! while ids.len() < 2 {
//!     while ours.room() > 0 && let Some((segment, message)) = waiting.pop() {
//!         ours.submit(now, segment, message).expect("there is room");
//!     }
//!     while let Some(output) = ours.poll_output() {
//!         match output {
//!             client::Output::Connect => ours.handle_connected(now),
//!             client::Output::Transmit(octets) => carrier.handle_received(now, &octets),
//!             client::Output::Event(client::Event::Accepted { token, id }) => ids.push((token, id)),
//!             client::Output::Event(event) => println!("{event:?}"),
//!             client::Output::Close => unreachable!(),
//!         }
//!     }
//!     while let Some(output) = carrier.poll_output() {
//!         match output {
//!             server::Output::Transmit(octets) => ours.handle_received(now, &octets),
//!             server::Output::Event(server::Event::BindRequested(_)) => {
//!                 carrier.decide(now, Ok(Grant { window: 10, rate: None, deliver_window: 10 }));
//!             }
//!             server::Output::Event(server::Event::Request { ack, .. }) => {
//!                 // Once it is on disk.
//!                 carrier.reply(ack, server::Reply::Accepted("1A".into()));
//!             }
//!             server::Output::Event(event) => println!("{event:?}"),
//!             server::Output::Close => unreachable!(),
//!         }
//!     }
//! }
//! assert_eq!(ids, [(0, Some("1A".into())), (1, Some("1A".into()))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A receipt on its way in
//!
//! [`Inbound::read`] tells receipts, texts and parts apart. A [`Correlator`] finds the segment that a receipt speaks of,
//! and [`Progress`] folds the segments into the one end that every message has:
//!
//! ```
//! use trunkline_model::clock::first_instant;
//! use trunkline_sms::inbound::Inbound;
//! use trunkline_sms::pdu::{Address, ShortMessage};
//! use trunkline_sms::receipt::{
//!     Answer, CarrierId, Correlator, IdPolicy, Limits, Progress, Sent, Settles, Terminal,
//! };
//! use trunkline_sms::text::DefaultAlphabet;
//!
//! let now = first_instant();
//! let mut correlator = Correlator::new(IdPolicy::Auto, Limits::default());
//! correlator.handle_sent(Sent { segment: 0u8, recipient: "+12065550111".into() });
//! correlator.handle_response(&0, CarrierId::parse("1A"));
//!
//! let deliver_sm = ShortMessage {
//!     source: Address { ton: 1, npi: 1, address: "12065550111".into() },
//!     esm_class: 0x04,
//!     // This carrier writes hexadecimal in responses and decimal in receipts.
//!     octets: b"id:0000000026 sub:001 dlvrd:001 stat:DELIVRD err:000 text:Hello!"[..].into(),
//!     ..ShortMessage::default()
//! };
//! let Inbound::Receipt(receipt) = Inbound::read(deliver_sm, DefaultAlphabet::Gsm7, "receipt 1") else { panic!() };
//! correlator.handle_receipt(now, receipt);
//!
//! let mut message = Progress::new(1, Settles::EachSegment);
//! message.submitted(0);
//! let Some(Answer::Matched { segment, receipt }) = correlator.poll_answer() else { panic!() };
//! let end = message.reported(segment, receipt.receipt.state, receipt.receipt.error.as_deref());
//! assert_eq!(end, Some(Terminal::Delivered));
//! ```
//!
//! # What the owner can rely on
//!
//! - Every message that [`Client::submit`] or [`Server::deliver`] takes ends in exactly one event with its token. Of
//!   those, `Returned { in_doubt: true }`, `Undelivered { in_doubt: true }` and `Unanswered` may be with the peer: what
//!   is sent again after them is a possible duplicate, and there are never more than the window.
//! - Requests of a peer are answered by the owner, with the [`AckToken`] of their event, once they are durable. Tokens
//!   of a session that is over answer nothing. A peer that does not wait for answers is throttled, not queued.
//! - A throttled message (0x58) stays in its session, in its place. A session gives back all it holds when it goes down.
//! - A receipt is matched to a segment only if no other can be meant; [`Progress`] ends once and stays as it ended.
//! - [`Router::decide`] changes nothing. Printed, its [`Decision`] is what `trunkline sms explain` shows.
//! - Octets from the network never panic, and none of them makes anything be stored beyond a limit that stands beside
//!   its table. `Debug` of messages, addresses, senders and binds shows neither text, nor whole number, nor password.
//!
//! What the owner has to do: keep the reference number of a message with it ([`References`]), write an opt-out before
//! the text that asked for it is acknowledged ([`opt_out`]), and bound what it has not yet written to a slow connection.
//!
//! | concern | module |
//! |---|---|
//! | alphabets: GSM 7-bit with national tables, UCS-2, transliteration, data_coding | [`text`] |
//! | long messages: headers, cutting, joining | [`segment`] |
//! | receipts: text and TLVs, ids and how a trunk writes them, one end of a message | [`receipt`] |
//! | PDUs over the `rusmpp` codec, framing | [`pdu`], [`frame`] |
//! | command_status and what it means on a trunk | [`status`] |
//! | sessions of both roles, accounts, back-off, a message as submit_sm | [`session`] |
//! | deliver_sm as receipt, text or part | [`inbound`] |
//! | carriers over HTTP: requests, answers and webhooks by description | [`carrier_http`] |
//! | which trunk, when, or why none | [`router`] |
//! | fair turns of tenants; retries, full destinations, quarantine; token buckets | [`queue`], [`retry`], [`bucket`] |
//! | registration gates, quiet hours, STOP and HELP | [`gate`], [`quiet`], [`opt_out`] |
//! | senders; dates without a clock | [`party`], [`civil`] |
//!
//! [`Router::decide`]: router::Router::decide
//! [`Decision`]: router::Decision
//! [`SubmitProfile`]: session::submit::SubmitProfile
//! [`Client`]: session::Client
//! [`Client::submit`]: session::Client::submit
//! [`Server::deliver`]: session::Server::deliver
//! [`AckToken`]: session::AckToken
//! [`Inbound::read`]: inbound::Inbound::read
//! [`Correlator`]: receipt::Correlator
//! [`Progress`]: receipt::Progress
//! [`References`]: segment::References
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod bucket;
pub mod carrier_http;
pub mod civil;
pub mod frame;
pub mod gate;
pub mod inbound;
pub mod opt_out;
pub mod party;
pub mod pdu;
pub mod queue;
pub mod quiet;
pub mod receipt;
pub mod retry;
pub mod router;
pub mod segment;
pub mod session;
pub mod status;
pub mod text;
