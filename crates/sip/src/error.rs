//! Why a command cannot be carried out.

use crate::message::BuildError;
use trunkline_model::Transport;

/// Why a command to the user agent cannot be carried out. Nothing was sent, nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session has ended, or never was.
    #[error("no such session")]
    UnknownSession,
    /// The request has been answered, or never was.
    #[error("no such request")]
    UnknownRequest,
    /// The session is in a state in which this cannot be done.
    #[error("not possible now: {0}")]
    WrongState(&'static str),
    /// Another offer or INVITE is under way; try again when it is done.
    #[error("another offer is under way")]
    Pending,
    /// A table is full.
    #[error("too many {0}")]
    Full(&'static str),
    /// No listener speaks that transport, so there is nothing to put in Via.
    #[error("no listener for {0}")]
    NoListener(Transport),
    /// A value given by the caller cannot stand in a message.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A URI or address given by the caller is malformed.
    #[error("malformed {0}")]
    Malformed(&'static str),
}
