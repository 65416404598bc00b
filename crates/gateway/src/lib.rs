//! The binary: sockets, tasks, configuration and command line.

pub mod config;
