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
    let book = match &numbers.table {
        None => book,
        Some(table) => book.with_active(table).context("numbers.table")?,
    };
    let (table, settings) = (book.active().0, book.active().1.not_enforced());
    // Of a file of the operator's only: the built-in tables say in their own comments what they are for.
    if numbers.rules.is_some() && !settings.is_empty() {
        tracing::warn!(table, settings = settings.join(", "), "the rule table sets what nothing enforces");
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use trunkline_api::Environment;

    fn numbers(rules: Option<&str>, table: Option<&str>) -> Numbers {
        let rules = rules.map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(file));
        Numbers {
            rules,
            table: table.map(str::to_owned),
            inbound: Vec::new(),
            environment: Environment::Test,
        }
    }

    #[test]
    fn the_sandbox_sells_by_the_default_table_with_wide_quotas() {
        let (sandbox, default) =
            (load(&numbers(Some("sandbox-rules.toml"), None)).unwrap(), RuleBook::default());
        let ((name, sandbox), (default_name, default)) = (sandbox.active(), default.active());
        assert_eq!((name, &sandbox.offers), (default_name, &default.offers));
        assert!(sandbox.limits.searches_per_tenant_per_week > default.limits.searches_per_tenant_per_week);
    }

    #[test]
    fn another_table_can_be_named_and_one_that_is_not_there_is_refused() {
        assert_eq!(load(&numbers(None, Some("acs-ga"))).unwrap().active().0, "acs-ga");
        let error = load(&numbers(None, Some("acs-gb"))).unwrap_err();
        assert!(format!("{error:#}").contains("acs-gb"), "{error:#}");
        assert!(format!("{:#}", load(&numbers(Some("none.toml"), None)).unwrap_err()).contains("none.toml"));
    }
}
