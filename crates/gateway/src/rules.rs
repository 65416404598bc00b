//! The rules of provisioning that are in force: built in, or a file of the operator's.

use crate::config::Numbers;
use anyhow::Context;
use trunkline_numbers::RuleBook;

/// Reads the rule tables that the configuration names.
///
/// # Errors
/// The file cannot be read, has a mistake, or has no such table; the text says which.
pub(crate) fn load(numbers: &Numbers) -> anyhow::Result<RuleBook> {
    let book = match &numbers.rules {
        None => RuleBook::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the rule tables of {}", path.display()))?;
            RuleBook::parse(&text).with_context(|| path.display().to_string())?
        }
    };
    match &numbers.table {
        None => Ok(book),
        Some(table) => book.with_active(table).context("numbers.table"),
    }
}
