//! Typographic characters as their plain counterparts.

use super::gsm7::Septets;

/// Returns the text with its typographic characters made plain, if it is all in the GSM alphabet then.
///
/// Word processors and phones put in curly quotes, dashes and unusual spaces that nobody asked for; one of them makes
/// a message more than twice as long. A text that would not get into the GSM alphabet anyway is left as it was.
pub fn typographic(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            Some(replacement) => out.push_str(replacement),
            None if Septets::of(c).is_some() => out.push(c),
            None => return None,
        }
    }
    Some(out)
}

fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{2039}' | '\u{203a}' | '\u{00b4}' | '\u{02bc}' | '`' => "'",
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{00ab}' | '\u{00bb}' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' => "-",
        '\u{2026}' => "...",
        '\u{2022}' | '\u{2023}' | '\u{25cf}' => "*",
        '\u{2044}' => "/",
        '\t' | '\u{00a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => " ",
        '\u{2028}' | '\u{2029}' | '\u{0085}' => "\n",
        '\u{00ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' => "",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typography_becomes_plain() {
        assert_eq!(typographic("“It’s — so…”\u{a0}•\u{200b}x").as_deref(), Some("\"It's - so...\" *x"));
        assert_eq!(typographic("10`").as_deref(), Some("10'"));
    }

    #[test]
    fn a_text_that_stays_outside_the_alphabet_is_left_alone() {
        assert_eq!(typographic("“жук”"), None);
        assert_eq!(typographic("ç"), None);
    }
}
