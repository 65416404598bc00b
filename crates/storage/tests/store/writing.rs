//! Shorthand for a unit of work that must succeed.

/// Runs an expression in a unit of work and unwraps its result.
macro_rules! write {
    ($store:expr, |$db:ident| $work:expr) => {{
        let work: Result<_, trunkline_storage::Error> =
            $store.write(move |$db| Box::pin(async move { $work })).await;
        work.unwrap()
    }};
}
pub(crate) use write;
