//! baresip.
