//! Calls through a B2BUA in virtual time: the ends are SIP user agents, the wires are memory.

mod answer;
mod early_media;
mod failover;
mod health;
mod hold;
mod identity;
mod limits;
mod media;
mod noise;
mod record;
mod refused;
mod strangers;
mod world;
