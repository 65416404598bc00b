//! When two URIs name the same thing (RFC 3261 §19.1.4, RFC 3966 §4).

use super::{Host, Scheme, Uri, hex};

impl Uri<'_> {
    /// Returns true if both URIs name the same resource. This is no equivalence relation: it is not transitive.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        // Also where a parameter stands twice, which it must not, and which of the two counts is not defined.
        if self.text == other.text {
            return true;
        }
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => self.is_equivalent_sip(other),
            Scheme::Tel => self.is_equivalent_tel(other),
            Scheme::Other => false,
        }
    }

    fn is_equivalent_sip(&self, other: &Uri<'_>) -> bool {
        let same_user = match (self.user, other.user) {
            (Some(ours), Some(theirs)) => same_escaped(ours, theirs, false),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let same_host = match (self.host, other.host) {
            (Some(Host::Name(ours)), Some(Host::Name(theirs))) => ours.eq_ignore_ascii_case(theirs),
            (ours, theirs) => ours == theirs,
        };
        same_user
            && self.password == other.password
            && same_host
            && self.port == other.port
            && self.has_params_of(other)
            && other.has_params_of(self)
            && same_headers(self.headers, other.headers)
    }

    /// Says whether parameters agree where both have them, and where one must not have what the other lacks.
    fn has_params_of(&self, other: &Uri<'_>) -> bool {
        self.params.iter().all(|(name, value)| {
            let mut theirs = other.params.iter();
            match theirs.find(|(found, _)| same_escaped(name, found, true)) {
                Some((_, found)) => same_escaped(value.unwrap_or_default(), found.unwrap_or_default(), true),
                None => !NEVER_ONE_SIDED.iter().any(|never| same_escaped(name, never, true)),
            }
        })
    }

    fn is_equivalent_tel(&self, other: &Uri<'_>) -> bool {
        let digits = |uri: &Uri<'_>| -> Vec<u8> {
            let number = uri.user.unwrap_or_default().bytes();
            number
                .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')'))
                .map(|byte| byte.to_ascii_lowercase())
                .collect()
        };
        let has_all = |ours: &Uri<'_>, theirs: &Uri<'_>| {
            ours.params.iter().all(|(name, value)| {
                theirs
                    .params
                    .value(name)
                    .is_some_and(|found| found.eq_ignore_ascii_case(value.unwrap_or_default()))
            })
        };
        digits(self) == digits(other) && has_all(self, other) && has_all(other, self)
    }
}

/// Parameters that one URI cannot have without the other: they change where a request goes, or what it is.
const NEVER_ONE_SIDED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

fn same_headers(ours: &str, theirs: &str) -> bool {
    let has_all = |ours: &str, theirs: &str| {
        ours.split('&').all(|header| theirs.split('&').any(|found| same_escaped(header, found, true)))
    };
    has_all(ours, theirs) && has_all(theirs, ours)
}

/// Says whether texts are the same once characters that need no escape are read without theirs. A reserved
/// character and its escape differ.
fn same_escaped(ours: &str, theirs: &str, ignore_case: bool) -> bool {
    let mut ours = Unescaped { rest: ours.as_bytes(), ignore_case };
    let mut theirs = Unescaped { rest: theirs.as_bytes(), ignore_case };
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (our, their) if our == their => {}
            (_, _) => return false,
        }
    }
}

struct Unescaped<'a> {
    rest: &'a [u8],
    ignore_case: bool,
}

impl Iterator for Unescaped<'_> {
    /// A byte, and whether it was an escape that had to be one.
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        let (byte, escaped) = match self.rest {
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    self.rest = rest;
                    let byte = high << 4 | low;
                    (byte, !is_unreserved(byte))
                }
                (Some(_), None) | (None, Some(_)) | (None, None) => {
                    self.rest = self.rest.get(1..).unwrap_or_default();
                    (b'%', false)
                }
            },
            [byte, rest @ ..] => {
                self.rest = rest;
                (*byte, false)
            }
            [] => return None,
        };
        Some((if self.ignore_case { byte.to_ascii_lowercase() } else { byte }, escaped))
    }
}

/// RFC 3261 §25.1 `unreserved`.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(ours: &str, theirs: &str) -> bool {
        let (ours, theirs) = (Uri::parse(ours).unwrap(), Uri::parse(theirs).unwrap());
        assert_eq!(ours.is_equivalent(&theirs), theirs.is_equivalent(&ours));
        ours.is_equivalent(&theirs)
    }

    #[test]
    fn the_equivalent_pairs_of_rfc_3261_are_the_same() {
        for (ours, theirs) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-212-555-0100", "tel:+1(212)5550100"),
        ] {
            assert!(same(ours, theirs), "{ours} {theirs}");
        }
    }

    #[test]
    fn the_other_pairs_of_rfc_3261_are_not() {
        for (ours, theirs) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:alice@atlanta.com", "sips:alice@atlanta.com"),
            ("sip:a%3Bb@atlanta.com", "sip:a;b@atlanta.com"),
            ("tel:+12125550100", "tel:+12125550100;ext=7"),
        ] {
            assert!(!same(ours, theirs), "{ours} {theirs}");
        }
    }
}
