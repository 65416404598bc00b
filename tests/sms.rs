//! Texts as apps, customers' systems and carriers see them: the official clients, unmodified, against the shipped binary;
//! its events at subscribers; foreign SMPP libraries and Kannel; the sandbox's message centre and carrier over HTTP.

#[path = "sms/clients.rs"]
mod clients;
#[path = "sms/esme.rs"]
mod esme;
#[path = "sms/events.rs"]
mod events;
#[path = "sms/http_carrier.rs"]
mod http_carrier;
#[path = "sms/kannel.rs"]
mod kannel;
#[path = "sms/kill.rs"]
mod kill;
#[path = "sms/sandbox.rs"]
mod sandbox;
#[path = "sms/scene.rs"]
mod scene;
#[path = "sms/subscriber.rs"]
mod subscriber;
#[path = "acs/wire.rs"]
#[allow(dead_code, reason = "the tests of the REST plane use all of it")]
mod wire;
