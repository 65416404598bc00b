//! A SIP carrier with magic numbers, for trying, testing and developing offline.
