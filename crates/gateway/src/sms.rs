//! Texts: from the store to carriers and back.

pub(crate) mod carrier;
