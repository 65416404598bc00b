//! The texts that answer keywords: fixed, short, in the GSM alphabet, and no advertisement.

use super::keywords::Language;
use crate::text::transliterate;

/// Which text is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// You get no more.
    OptedOut(Language),
    /// You get messages again.
    OptedIn,
    /// Who we are.
    Help(Language),
}

/// Who answers: what the tenant has told of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name of the programme or business.
    pub name: String,
    /// Where help is to be had: a number, an address or a page.
    pub contact: String,
}

/// Longest name and contact in a reply, so that it stays within one segment of 160 (rules D.1).
const NAME_MAX: usize = 30;
const CONTACT_MAX: usize = 40;

impl Reply {
    /// Returns the text.
    pub fn text(self, identity: &Identity) -> String {
        let name = fitted(&identity.name, NAME_MAX);
        let contact = fitted(&identity.contact, CONTACT_MAX);
        match self {
            Self::OptedOut(Language::English) => {
                format!(
                    "{name}: You are unsubscribed and will get no more messages. Reply START to resubscribe."
                )
            }
            Self::OptedOut(Language::French) => {
                format!(
                    "{name}: Désabonnement confirmé, aucun autre message ne sera envoyé. START pour reprendre."
                )
            }
            Self::OptedIn => {
                format!("{name}: You are subscribed again. Reply HELP for help, STOP to unsubscribe.")
            }
            Self::Help(Language::English) => {
                format!(
                    "{name}: For help, contact {contact}. Msg & data rates may apply. Reply STOP to unsubscribe."
                )
            }
            Self::Help(Language::French) => {
                format!("{name}: Aide: {contact}. Des frais peuvent s'appliquer. ARRET pour se désabonner.")
            }
        }
    }
}

/// Cuts a text and keeps what of it is in the GSM alphabet.
fn fitted(text: &str, max: usize) -> String {
    let plain = transliterate::typographic(text);
    let kept =
        plain.as_deref().unwrap_or(text).chars().filter(|c| crate::text::gsm7::Septets::of(*c).is_some());
    // Two-septet characters count twice.
    let mut left = max;
    kept.take_while(|c| {
        let cost = crate::text::gsm7::Septets::of(*c).map_or(0, |septets| septets.count());
        let fits = cost <= left;
        left = left.saturating_sub(cost);
        fits
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::gsm7;

    #[test]
    fn every_reply_is_one_gsm_segment_and_names_the_sender() {
        for (name, contact) in
            [("ACME", "help@acme.example"), ("Café “Жук” 😀 {of a very long name indeed}", &"€".repeat(80))]
        {
            let identity = Identity { name: name.into(), contact: contact.into() };
            for reply in [
                Reply::OptedOut(Language::English),
                Reply::OptedOut(Language::French),
                Reply::OptedIn,
                Reply::Help(Language::English),
                Reply::Help(Language::French),
            ] {
                let text = reply.text(&identity);
                let septets = gsm7::septet_count(&text);
                assert!(septets.is_some_and(|count| count <= 160), "{text} {septets:?}");
                assert!(text.starts_with(name.get(..3).unwrap()));
            }
        }
    }
}
