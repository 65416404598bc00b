//! Units of work that may have to be tried again.

use crate::error::ApiError;
use crate::state::State;
use trunkline_storage::{BoxFuture, Connection, Error};

/// Why a unit was undone.
#[derive(Debug)]
pub(super) enum Undone {
    /// The request is refused.
    Refused(ApiError),
    /// The store could not do it.
    Store(Error),
}

/// Runs a unit, and runs it again when others held what it needed.
pub(super) async fn write<T, W>(state: &State, work: W) -> Result<T, Undone>
where
    W: for<'c> Fn(&'c mut Connection) -> BoxFuture<'c, Result<T, Undone>> + Clone + Send + 'static,
    T: Send + 'static,
{
    let mut attempts = 1;
    loop {
        match state.store.write(work.clone()).await {
            // Two requests made the same row: whoever came second finds it now.
            Err(Undone::Store(Error::Contended { .. } | Error::Duplicate { .. }))
                if attempts < ATTEMPTS_MAX =>
            {
                attempts += 1;
            }
            result => return result,
        }
    }
}

/// Contended units are rare and short, so the second attempt nearly always passes; a client waits a second before
/// its own.
const ATTEMPTS_MAX: u32 = 4;

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<ApiError> for Undone {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<Undone> for ApiError {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Refused(error) => error,
            Undone::Store(error) => error.into(),
        }
    }
}
