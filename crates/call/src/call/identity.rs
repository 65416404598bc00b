//! Who calls whom, as the next trunk is told: nothing of the caller's headers is copied, all is rebuilt.

use crate::route::Dialled;
use trunkline_model::{E164, Trunk, UserAddress};
use trunkline_sip::header::{Name, NameAddr};
use trunkline_sip::message::Message;
use trunkline_sip::uri::{Scheme, escape_user};

/// The caller as one INVITE states it (RFC 3261 From, RFC 3325, RFC 3323).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user part of From, as received, for records.
    pub(crate) said: String,
    /// The display name of From without control characters.
    display: String,
    /// The user part, as a number where it is one.
    user: String,
    anonymous: bool,
    /// The identity that a trusted trunk asserts; of others none is believed (CALL-02, CALL-06).
    asserted: Option<String>,
    privacy: Privacy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Privacy {
    /// Nothing was asked.
    #[default]
    Unsaid,
    /// `none`: identity is to be shown.
    Shown,
    /// `id`, `user`, `header`, `session`: identity is to be hidden.
    Hidden,
}

/// Why a caller can't be carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvalidCaller {
    /// From is not an address.
    From,
    /// `critical` privacy of a kind that we do not know (RFC 3323 §5.1, CALL-04).
    Privacy,
}

/// Longest user part carried on; numbers have 16 characters, names of systems more.
const USER_MAX: usize = 64;

/// Longest display name carried on; CNAM has 15 characters, people write more.
const DISPLAY_MAX: usize = 64;

impl Caller {
    /// Reads who calls.
    pub(crate) fn of(invite: &Message, trunk: &Trunk) -> Result<Self, InvalidCaller> {
        let from = invite.from().map_err(|_| InvalidCaller::From)?;
        let user = user_of(&from).unwrap_or_default();
        let host = from.uri().ok().and_then(|uri| uri.host()).map(|host| host.to_string());
        // RFC 3323 §4.1.1.3: the anonymous URI.
        let invalid = host.is_some_and(|host| host.eq_ignore_ascii_case("anonymous.invalid"));
        let anonymous = user.is_empty() || user.eq_ignore_ascii_case("anonymous") || invalid;
        let asserted = invite.addresses(Name::PAssertedIdentity).flatten().find_map(|pai| user_of(&pai));
        Ok(Self {
            display: shown(&from.display()),
            said: user.clone(),
            user: number_or(user),
            anonymous,
            asserted: asserted.filter(|_| trunk.trusted_identity).map(number_or),
            privacy: Privacy::of(invite)?,
        })
    }

    /// Returns the caller that a user is: whoever it says that it is, it is the user whose connection this is, and shows
    /// a number that was found to be its resource's (CALL-01, CALL-02).
    pub(crate) fn of_user(
        invite: &Message,
        user: &UserAddress,
        number: Option<E164>,
    ) -> Result<Self, InvalidCaller> {
        let from = invite.from().map_err(|_| InvalidCaller::From)?;
        let said = user_of(&from).unwrap_or_default();
        let shown_as = number.map_or_else(|| user.sip_user().to_owned(), |number| number.to_string());
        Ok(Self {
            said: shown_as.clone(),
            display: shown(&from.display()),
            asserted: number.map(|number| number.to_string()),
            user: shown_as,
            anonymous: said.eq_ignore_ascii_case("anonymous"),
            privacy: Privacy::of(invite)?,
        })
    }

    /// Returns From, without a tag, for a trunk of that domain.
    pub(crate) fn from(&self, domain: &str) -> String {
        if self.anonymous || self.privacy == Privacy::Hidden {
            return "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned();
        }
        let user = escape_user(&self.user);
        if self.display.is_empty() {
            format!("<sip:{user}@{domain}>")
        } else {
            format!("\"{}\" <sip:{user}@{domain}>", self.display)
        }
    }

    /// Returns P-Asserted-Identity and Privacy for a trunk of that domain.
    ///
    /// RFC 3325 §5: an asserted identity goes to whom we trust, and no further when privacy is asked for. We
    /// hold to trunks that are trusted in any case, for others can do nothing with it but leak it.
    pub(crate) fn assertion(&self, trunk: &Trunk, domain: &str) -> Vec<(Name, String)> {
        let mut headers = Vec::new();
        let Some(user) = self.asserted.as_ref().filter(|_| trunk.trusted_identity) else { return headers };
        headers.push((Name::PAssertedIdentity, format!("<sip:{}@{domain}>", escape_user(user))));
        match self.privacy {
            Privacy::Unsaid => {}
            Privacy::Shown => headers.push((Name::Privacy, "none".to_owned())),
            Privacy::Hidden => headers.push((Name::Privacy, "id".to_owned())),
        }
        headers
    }
}

impl Privacy {
    fn of(invite: &Message) -> Result<Self, InvalidCaller> {
        let mut privacy = Self::Unsaid;
        let (mut critical, mut unknown) = (false, false);
        // RFC 3323 §4.2 separates by semicolons; commas are seen as well.
        for token in invite.list(Name::Privacy).flat_map(|item| item.split(';')) {
            match token.trim().to_ascii_lowercase().as_str() {
                "none" => privacy = Self::Shown,
                // All of it is met by rebuilding the request and showing no identity.
                "id" | "user" | "header" | "session" | "history" => privacy = Self::Hidden,
                "critical" => critical = true,
                "" => {}
                _ => unknown = true,
            }
        }
        if critical && unknown { Err(InvalidCaller::Privacy) } else { Ok(privacy) }
    }
}

fn user_of(address: &NameAddr<'_>) -> Option<String> {
    let uri = address.uri().ok()?;
    match uri.scheme() {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => {
            let user = uri.user()?;
            // Number parameters of RFC 4694 are for the next look-up, not part of who calls.
            let user = user.split(';').next().unwrap_or_default();
            Some(user.chars().filter(|c| !c.is_control()).take(USER_MAX).collect())
        }
        Scheme::Other => None,
    }
}

fn number_or(user: String) -> String {
    Dialled::parse(&user).number.map_or(user, |number| number.to_string())
}

/// Leaves what may stand between quotes without an escape (CALL-09).
fn shown(display: &str) -> String {
    let fit = |c: &char| !c.is_control() && !matches!(c, '"' | '\\' | '<' | '>' | '\u{fffd}');
    display.chars().filter(fit).take(DISPLAY_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trunk;
    use bytes::Bytes;

    fn invite(headers: &str) -> Message {
        let text = format!(
            "INVITE sip:+14255550100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\n\
             To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn trusted(yes: bool) -> Trunk {
        Trunk { trusted_identity: yes, ..trunk("a", &[], vec![]) }
    }

    #[test]
    fn the_caller_is_rebuilt_in_the_domain_of_the_trunk() {
        let headers =
            "From: \"Al \\\"x\\\" \\\\ B\" <sip:(425)555-0101;npdi@10.0.0.9:5099;user=phone>;tag=1\r\n";
        let caller = Caller::of(&invite(headers), &trusted(false)).unwrap();
        assert_eq!(caller.from("carrier.example"), "\"Al x  B\" <sip:+14255550101@carrier.example>");
        assert_eq!(caller.said, "(425)555-0101");
        let headers = "From: <sip:a%0d%0ab%22@h>;tag=1\r\n";
        let caller = Caller::of(&invite(headers), &trusted(false)).unwrap();
        assert_eq!(caller.from("h2"), "<sip:ab%22@h2>");
    }

    #[test]
    fn an_identity_is_believed_and_shown_only_between_trusted_trunks() {
        let headers = "From: <sip:4255550101@h>;tag=1\r\n\
                       P-Asserted-Identity: <mailto:x@y>, \"N\" <tel:+14255550199>\r\n";
        let shown = |from: bool, to: bool| {
            Caller::of(&invite(headers), &trusted(from)).unwrap().assertion(&trusted(to), "d")
        };
        let pai = (Name::PAssertedIdentity, "<sip:+14255550199@d>".to_owned());
        assert_eq!(shown(true, true), [pai]);
        for (from, to) in [(false, true), (true, false), (false, false)] {
            assert!(shown(from, to).is_empty(), "{from} {to}");
        }
    }

    #[test]
    fn a_hidden_caller_is_anonymous_and_only_a_trusted_trunk_learns_the_number() {
        let headers = "From: \"Bob\" <sip:4255550101@h>;tag=1\r\nPrivacy: id;critical\r\n\
                       P-Asserted-Identity: <sip:+14255550101@h>\r\n";
        let caller = Caller::of(&invite(headers), &trusted(true)).unwrap();
        assert_eq!(caller.from("d"), "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        let assertion = caller.assertion(&trusted(true), "d");
        assert_eq!(assertion[0].1, "<sip:+14255550101@d>");
        assert_eq!(assertion[1], (Name::Privacy, "id".to_owned()));
        assert!(caller.assertion(&trusted(false), "d").is_empty());
    }

    #[test]
    fn critical_privacy_of_an_unknown_kind_is_refused() {
        let headers = "From: <sip:4255550101@h>;tag=1\r\nPrivacy: id;teleport;critical\r\n";
        assert_eq!(Caller::of(&invite(headers), &trusted(true)), Err(InvalidCaller::Privacy));
    }
}
