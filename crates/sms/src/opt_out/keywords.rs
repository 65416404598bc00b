//! The words, and when a text is one of them.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What a text asks for, if it is a keyword and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// No more messages.
    OptOut(Language),
    /// Messages again.
    OptIn {
        /// Whether it counts on toll-free numbers too, whose networks know START and UNSTOP alone.
        everywhere: bool,
    },
    /// Who is this?
    Help(Language),
    /// An ordinary text.
    None {
        /// Whether it may be meant as refusal all the same.
        possible_optout: bool,
    },
}

/// The language of a keyword, and of the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
}

const OPT_OUT: [&str; 18] = [
    "STOP",
    "QUIT",
    "END",
    "REVOKE",
    "OPT OUT",
    "CANCEL",
    "UNSUBSCRIBE",
    "STOPALL",
    "STOP ALL",
    "OPTOUT",
    "OPT-OUT",
    "REMOVE",
    "TD",
    "UNSUB",
    "ARRET",
    "ARRETE",
    "ARRETT",
    "ARRETER",
];
const FRENCH: [&str; 5] = ["ARRET", "ARRETE", "ARRETT", "ARRETER", "AIDE"];
const OPT_IN: [&str; 3] = ["START", "UNSTOP", "YES"];
const HELP: [&str; 3] = ["HELP", "INFO", "AIDE"];

/// Words that make a text one for a person to read; common ones such as END are not among them.
const TELLING: [&str; 14] = [
    "STOP",
    "STOPALL",
    "UNSUBSCRIBE",
    "UNSUB",
    "OPTOUT",
    "OPT OUT",
    "REVOKE",
    "REMOVE ME",
    "ARRET",
    "ARRETE",
    "ARRETEZ",
    "DESABONNER",
    "LEAVE ME ALONE",
    "NO MORE",
];

/// Longest body that is looked at for keywords; a keyword has a dozen characters.
const BODY_MAX: usize = 2_048;

/// Returns what a text asks for: the whole text must be a keyword, whatever its case, accents, width and quotes.
pub fn classify(body: &str) -> Keyword {
    let plain = plain(body);
    let word = plain.as_str();
    let language = if FRENCH.contains(&word) { Language::French } else { Language::English };
    if OPT_OUT.contains(&word) {
        return Keyword::OptOut(language);
    }
    if OPT_IN.contains(&word) {
        return Keyword::OptIn { everywhere: word != "YES" };
    }
    if HELP.contains(&word) {
        return Keyword::Help(language);
    }
    Keyword::None { possible_optout: possible_optout(word) }
}

/// NFKC, no accents, upper case, no quotes around, no `.` or `!` behind, single spaces (rules D.1).
fn plain(body: &str) -> String {
    let bare = body.chars().take(BODY_MAX).nfkc().collect::<String>();
    let upper: String = bare.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_uppercase).collect();
    let spaced = upper.split_whitespace().collect::<Vec<_>>().join(" ");
    let around = |c: char| c.is_whitespace() || "\"'`“”„‘’«»".contains(c);
    spaced.trim_matches(around).trim_end_matches(|c| around(c) || c == '.' || c == '!').to_owned()
}

/// Whether a telling word stands in the text on its own, digits read as the letters they imitate.
fn possible_optout(plain: &str) -> bool {
    let letters = plain.chars().map(|c| match c {
        '0' => 'O',
        '1' => 'I',
        '5' | '$' => 'S',
        '3' => 'E',
        c if c.is_alphanumeric() => c,
        _ => ' ',
    });
    let letters: String = letters.collect();
    let padded = format!(" {} ", letters.split_whitespace().collect::<Vec<_>>().join(" "));
    TELLING.iter().any(|word| padded.contains(&format!(" {word} ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_keyword_counts_in_any_dress() {
        for (words, expected) in [
            (&OPT_OUT[..14], Keyword::OptOut(Language::English)),
            (&OPT_OUT[14..], Keyword::OptOut(Language::French)),
            (&["START", "UNSTOP"][..], Keyword::OptIn { everywhere: true }),
            (&["YES"][..], Keyword::OptIn { everywhere: false }),
            (&["HELP", "INFO"][..], Keyword::Help(Language::English)),
            (&["AIDE"][..], Keyword::Help(Language::French)),
        ] {
            for word in words {
                let lower = word.to_lowercase();
                for dressed in [
                    (*word).to_owned(),
                    lower.clone(),
                    format!(" {lower}\n"),
                    format!("“{word}!”"),
                    format!("{lower}..."),
                    lower.replace('e', "é").replace(' ', "  "),
                ] {
                    assert_eq!(classify(&dressed), expected, "{dressed:?}");
                }
            }
        }
    }

    #[test]
    fn words_within_words_are_ordinary() {
        for body in ["nonstop flight", "the end", "cancelled?", "information", "I will start", "weekend"] {
            assert_eq!(classify(body), Keyword::None { possible_optout: false }, "{body}");
        }
        for body in ["stop, please", "please unsubscribe me", "leave me alone!", "$T0P", "Arrêtez ça"] {
            assert_eq!(classify(body), Keyword::None { possible_optout: true }, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_classified(body: String) {
            let _ = classify(&body);
        }
    }
}
