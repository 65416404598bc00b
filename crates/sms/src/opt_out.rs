//! STOP, START and HELP (rules D.1; 47 CFR 64.1200(a)(10), CRTC and CTIA practice).

mod keywords;
mod reply;

pub use keywords::{Keyword, Language, classify};
pub use reply::{Identity, Reply};

use crate::party::SenderKind;

/// Which messages an opt-out stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// Those from the number that got the STOP.
    Number,
    /// Those of the tenant whose number it is.
    #[default]
    Tenant,
    /// Everyone's on this gateway.
    All,
}

/// What follows from an inbound text, beyond its delivery to the customer, which always happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The state to be written, before the text is acknowledged to the carrier.
    pub opted_out: Option<bool>,
    /// The one text to answer with.
    pub reply: Option<Reply>,
    /// Whether the wording may mean refusal and a person should look at it: the law knows more than keywords.
    pub possible_optout: bool,
}

/// Decides what follows from a text.
///
/// `opted_out` is the present state of its sender; `kind` is what our number is. Toll-free numbers have their STOP
/// answered by the network, so only the state is kept.
pub fn react(body: &str, opted_out: bool, kind: SenderKind) -> Reaction {
    let toll_free = kind == SenderKind::TollFree;
    let mut reaction = Reaction { opted_out: None, reply: None, possible_optout: false };
    match classify(body) {
        Keyword::OptOut(language) => {
            reaction.opted_out = Some(true);
            // A second STOP changes nothing and is not confirmed again.
            reaction.reply = (!toll_free && !opted_out).then_some(Reply::OptedOut(language));
        }
        Keyword::OptIn { everywhere } if opted_out && (everywhere || !toll_free) => {
            reaction.opted_out = Some(false);
            reaction.reply = (!toll_free).then_some(Reply::OptedIn);
        }
        Keyword::Help(language) if !(toll_free && opted_out) => reaction.reply = Some(Reply::Help(language)),
        Keyword::OptIn { .. } | Keyword::Help(_) => {}
        Keyword::None { possible_optout } => reaction.possible_optout = possible_optout,
    }
    reaction
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Reaction = Reaction { opted_out: None, reply: None, possible_optout: false };

    #[test]
    fn the_rows_of_rule_d_1() {
        let local = |body, opted_out| react(body, opted_out, SenderKind::Local);
        for body in
            ["stop", " STOP ", "Stop.", "\"STOP\"", "opt out", "OPT-OUT", "OptOut", "REVOKE", "ＳＴＯＰ"]
        {
            let reaction = local(body, false);
            assert_eq!(reaction.opted_out, Some(true), "{body}");
            assert_eq!(reaction.reply, Some(Reply::OptedOut(Language::English)), "{body}");
        }
        for body in ["Arrêt", "ARRET"] {
            let reaction = local(body, false);
            assert_eq!(reaction.reply, Some(Reply::OptedOut(Language::French)), "{body}");
        }
        for body in ["ST0P", "Don't stop", "PLEASE STOP IN"] {
            assert_eq!(local(body, false), Reaction { possible_optout: true, ..NOTHING }, "{body}");
        }
        for body in ["STOPPED BY", "", "YES"] {
            assert_eq!(local(body, false), NOTHING, "{body}");
        }
        for body in ["YES", "START"] {
            assert_eq!(local(body, true).opted_out, Some(false), "{body}");
        }
        assert_eq!(local("help", false).reply, Some(Reply::Help(Language::English)));
        assert_eq!(local("INFO", true).reply, Some(Reply::Help(Language::English)));
        assert_eq!(local("Aide", false).reply, Some(Reply::Help(Language::French)));
    }

    #[test]
    fn the_network_answers_for_toll_free_numbers() {
        let toll_free = |body, opted_out| react(body, opted_out, SenderKind::TollFree);
        assert_eq!(toll_free("STOP", false), Reaction { opted_out: Some(true), ..NOTHING });
        assert_eq!(toll_free("YES", true), NOTHING);
        assert_eq!(toll_free("UNSTOP", true), Reaction { opted_out: Some(false), ..NOTHING });
        assert_eq!(toll_free("HELP", true), NOTHING);
        assert_eq!(toll_free("HELP", false).reply, Some(Reply::Help(Language::English)));
    }

    #[test]
    fn a_second_stop_is_kept_and_not_answered() {
        let again = react("STOP", true, SenderKind::Local);
        assert_eq!(again, Reaction { opted_out: Some(true), ..NOTHING });
    }
}
