//! Number patterns. The public service takes those of .NET; ours take time linear in the number, and so know
//! neither look-around nor backreferences.

use regex::{Regex, RegexBuilder};

/// Why a text is not a number pattern. The sentence is for the customer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

/// Largest compiled pattern. `^\+1(206|425)[2-9][0-9]{6}$` takes below 10 KiB; a resource has 250 at most.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Deepest nesting of groups.
const NEST_MAX: u32 = 32;

/// Compiles a number pattern.
///
/// # Errors
/// What is wrong with it, or what of it is not supported.
pub fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    let compiled = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).nest_limit(NEST_MAX).build();
    compiled.map_err(|error| {
        InvalidPattern(match error {
            regex::Error::CompiledTooBig(_) => {
                "it is too large when its repetitions are written out".to_owned()
            }
            error => {
                // A drawing of where the error is, and after it what it is.
                let text = error.to_string();
                let cause = text.rsplit_once("error: ").map_or(text.as_str(), |(_, cause)| cause);
                cause.trim().to_owned()
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_in_the_wild_compile() {
        for pattern in [r"^\+1[0-9]{10}$", r"\+123[0-9]+", "^+[1-9][0-9]{3,23}$", r"^\+(1|44)\d+", ".*"] {
            assert!(compile(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let error = |pattern: &str| compile(pattern).unwrap_err().to_string();
        assert!(error(r"^(?!\+1900)\+1").contains("look-around"), "{}", error(r"^(?!\+1900)\+1"));
        assert!(error(r"(?<=\+1)206").contains("look-around"));
        assert!(error(r"(\d)\1").contains("backreferences"), "{}", error(r"(\d)\1"));
        assert!(error("(((\\d{100}){100}){100})").contains("too large"));
        assert!(error("(").contains("unclosed group"));
        assert!(!error("(").contains('\n'));
    }
}
