//! Users through a B2BUA in virtual time: browsers are SIP user agents at the end of WebSockets, the carrier is one behind
//! UDP, and the world answers whose token it is.

mod calls;
mod register;
mod texts;
mod world;
