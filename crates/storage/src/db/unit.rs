//! A unit of work on its way to the writer and back.

use super::Connection;
use crate::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use tokio::sync::oneshot;

/// A future that borrows the connection it was given.
pub type BoxFuture<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// Work for one transaction whose result is told only after the commit.
pub(super) trait Unit: Send {
    /// Runs the work.
    fn run(self: Box<Self>, connection: &mut Connection) -> BoxFuture<'_, Done>;

    /// Gives the work up before it ran.
    fn reject(self: Box<Self>, error: Error);
}

/// A unit that ran and waits for its commit.
pub(super) struct Done {
    /// Whether its changes are to stay.
    pub(super) keep: bool,
    acknowledge: Box<dyn FnOnce(Result<(), Error>) + Send>,
}

impl Done {
    /// Tells the caller its result, or what became of the transaction instead.
    pub(super) fn acknowledge(self, commit: Result<(), Error>) {
        (self.acknowledge)(commit);
    }
}

/// Wraps work and returns it with the place where its result will appear.
pub(super) fn unit<T, E, F>(work: F) -> (Box<dyn Unit>, oneshot::Receiver<Result<T, E>>)
where
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (reply, receiver) = oneshot::channel();
    (Box::new(Work { work, reply }), receiver)
}

struct Work<F, T, E> {
    work: F,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Unit for Work<F, T, E>
where
    F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    fn run(self: Box<Self>, connection: &mut Connection) -> BoxFuture<'_, Done> {
        let Self { work, reply } = *self;
        Box::pin(async move {
            connection.take_failed();
            let mut result = catch_panic(work(&mut *connection)).await;
            if connection.take_failed() && result.is_ok() {
                result = Err(Error::Undone.into());
            }
            if result.is_err() {
                connection.forget();
            } else if let Err(error) = connection.flush().await {
                result = Err(error.into());
            }
            Done {
                keep: result.is_ok(),
                acknowledge: Box::new(move |commit| {
                    // A caller that went away does not want to know.
                    let _ = reply.send(commit.map_err(E::from).and(result));
                }),
            }
        })
    }

    fn reject(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error.into()));
    }
}

/// Turns a panic of one unit into its error: the writer serves all the others.
async fn catch_panic<T, E: From<Error>>(mut work: BoxFuture<'_, Result<T, E>>) -> Result<T, E> {
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(_) => Poll::Ready(Err(Error::Panicked.into())),
        }
    })
    .await
}
