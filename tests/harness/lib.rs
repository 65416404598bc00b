//! The simulated world and the drivers of real peers that the whole-system tests share.

#[cfg(feature = "peers")]
pub mod peers;
pub mod sim;
