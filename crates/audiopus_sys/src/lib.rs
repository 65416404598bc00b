//! The C functions of libopus, from a binding that is kept up.

pub use opusic_sys::*;
