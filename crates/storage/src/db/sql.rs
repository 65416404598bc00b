//! SQL as constants that a test can enumerate and prepare.

/// One statement, in the words of either engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql {
    /// The constant's name, for errors.
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// Declares the statements of a module, and `STATEMENTS`, the list of them all.
///
/// A statement is either one text in the dialect both engines share (`$n`, `RETURNING`, `ON CONFLICT`,
/// no arrays), or `sqlite "…" postgres "…"` where they differ.
macro_rules! statements {
    ($($name:ident = $($text:literal)? $(sqlite $sqlite:literal postgres $postgres:literal)?;)*) => {
        $(const $name: $crate::db::Sql = $crate::db::Sql {
            name: stringify!($name),
            sqlite: concat!($($text)? $($sqlite)?),
            postgres: concat!($($text)? $($postgres)?),
        };)*

        pub(crate) const STATEMENTS: &[$crate::db::Sql] = &[$($name),*];
    };
}

pub(crate) use statements;
