//! Header field names, and typed views of the values that signalling acts on.

mod cseq;
mod list;
mod name_addr;
mod params;
mod via;

pub(crate) use cseq::decimal;
pub use cseq::{CSeq, InvalidCSeq};
pub use list::{Items, items};
pub use name_addr::{InvalidNameAddr, NameAddr};
pub use params::Params;
pub(crate) use params::split_params;
pub(crate) use via::port;
pub use via::{InvalidVia, Via};

macro_rules! names {
    ($($variant:ident $long:literal $($short:literal)?;)*) => {
        /// A header field that this stack knows by name.
        ///
        /// Names compare without case, and compact forms are the same name (RFC 3261 §7.3.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $long, "`")] $variant,)*
        }

        impl Name {
            /// How many names there are.
            pub(crate) const COUNT: usize = [$(Self::$variant),*].len();

            /// Returns the long form, as this stack writes it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $long,)* }
            }
        }

        const NAMES: &[(&str, Name)] = &[
            $(($long, Name::$variant), $(($short, Name::$variant),)?)*
        ];
    };
}

names! {
    Accept "Accept";
    AcceptContact "Accept-Contact" "a";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AlertInfo "Alert-Info";
    Allow "Allow";
    AllowEvents "Allow-Events" "u";
    AuthenticationInfo "Authentication-Info";
    Authorization "Authorization";
    CallId "Call-ID" "i";
    CallInfo "Call-Info";
    Contact "Contact" "m";
    ContentDisposition "Content-Disposition";
    ContentEncoding "Content-Encoding" "e";
    ContentLanguage "Content-Language";
    ContentLength "Content-Length" "l";
    ContentType "Content-Type" "c";
    CSeq "CSeq";
    Date "Date";
    Diversion "Diversion";
    ErrorInfo "Error-Info";
    Event "Event" "o";
    Expires "Expires";
    FlowTimer "Flow-Timer";
    From "From" "f";
    Geolocation "Geolocation";
    HistoryInfo "History-Info";
    Identity "Identity" "y";
    InReplyTo "In-Reply-To";
    InfoPackage "Info-Package";
    Join "Join";
    MaxForwards "Max-Forwards";
    MimeVersion "MIME-Version";
    MinExpires "Min-Expires";
    MinSe "Min-SE";
    Organization "Organization";
    PAccessNetworkInfo "P-Access-Network-Info";
    PAssertedIdentity "P-Asserted-Identity";
    PChargingVector "P-Charging-Vector";
    PEarlyMedia "P-Early-Media";
    PPreferredIdentity "P-Preferred-Identity";
    Path "Path";
    Priority "Priority";
    Privacy "Privacy";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyRequire "Proxy-Require";
    RAck "RAck";
    Reason "Reason";
    RecordRoute "Record-Route";
    RecvInfo "Recv-Info";
    ReferSub "Refer-Sub";
    ReferTo "Refer-To" "r";
    ReferredBy "Referred-By" "b";
    RejectContact "Reject-Contact" "j";
    RemotePartyId "Remote-Party-ID";
    Replaces "Replaces";
    ReplyTo "Reply-To";
    RequestDisposition "Request-Disposition" "d";
    Require "Require";
    ResourcePriority "Resource-Priority";
    RetryAfter "Retry-After";
    Route "Route";
    RSeq "RSeq";
    Server "Server";
    ServiceRoute "Service-Route";
    SessionExpires "Session-Expires" "x";
    SessionId "Session-ID";
    SipEtag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    Subject "Subject" "s";
    SubscriptionState "Subscription-State";
    Supported "Supported" "k";
    Timestamp "Timestamp";
    To "To" "t";
    Unsupported "Unsupported";
    UserAgent "User-Agent";
    UserToUser "User-to-User";
    Via "Via" "v";
    Warning "Warning";
    WwwAuthenticate "WWW-Authenticate";
}

impl Name {
    /// Reads a name in its long or compact form; nothing when the name is not one that we know.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut slot = hash(text);
        // Ends: the table is never full, which `SLOTS` beside `NAMES.len()` shows.
        loop {
            let entry = *SLOT_TABLE.get(slot)?;
            let (name, value) = NAMES.get(usize::from(entry.checked_sub(1)?))?;
            if is_same_name(name.as_bytes(), text) {
                return Some(*value);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Returns true for a header of which a message may have only one (RFC 3261 §7.3.1), and on which
    /// two parsers that pick different copies would disagree about who calls whom or where a body ends.
    pub const fn is_singleton(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
                | Self::ContentType
                | Self::SessionExpires
                | Self::MinSe
                | Self::RAck
                | Self::RSeq
                | Self::ReferTo
                | Self::Replaces
                | Self::Event
                | Self::Expires
        )
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says whether text is one of our names but for case, eight letters at a time: every field of every message asks.
fn is_same_name(name: &[u8], text: &[u8]) -> bool {
    if name.len() != text.len() {
        return false;
    }
    let (mut names, mut texts) = (name, text);
    while let (Some((name, names_rest)), Some((text, texts_rest))) =
        (names.split_first_chunk(), texts.split_first_chunk())
    {
        if !is_same_word(name, text) {
            return false;
        }
        (names, texts) = (names_rest, texts_rest);
    }
    match (name.last_chunk(), text.last_chunk()) {
        (Some(name), Some(text)) => is_same_word(name, text),
        _ => names.eq_ignore_ascii_case(texts),
    }
}

fn is_same_word(name: &[u8; 8], text: &[u8; 8]) -> bool {
    let (name, text) = (u64::from_le_bytes(*name), u64::from_le_bytes(*text));
    // Letters have bit 0x40 and differ from their other case in bit 0x20; the hyphens of our names have no 0x40.
    let case_bits = (name & 0x4040_4040_4040_4040) >> 1;
    (name ^ text) & !case_bits == 0
}

/// Splits text at the first of a byte that is ASCII; a search for a `char` takes several times as long.
#[inline]
pub(crate) fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|found| found == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Returns true for a byte of RFC 3261's `token`.
#[inline]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler over our own table")]
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// Open-addressed slots for the names above: about five times as many as there are names, so that nearly
/// every look-up needs one comparison.
const SLOTS: usize = 512;

static SLOT_TABLE: [u8; SLOTS] = slot_table();

/// Spreads names by length and three of their letters, without case.
const fn hash(text: &[u8]) -> usize {
    let (Some(first), Some(last)) = (text.first(), text.last()) else {
        return 0;
    };
    let middle = match text.split_at_checked(text.len() / 2) {
        Some((_, [byte, ..])) => *byte,
        Some((_, [])) | None => 0,
    };
    let first = (*first | 0x20) as usize;
    let last = (*last | 0x20) as usize;
    let middle = (middle | 0x20) as usize;
    (text.len() * 37 + first * 11 + middle * 67 + last * 131) % SLOTS
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler over our own table")]
const fn slot_table() -> [u8; SLOTS] {
    assert!(NAMES.len() < 255 && NAMES.len() * 2 < SLOTS);
    let mut table = [0; SLOTS];
    let mut at = 0;
    while at < NAMES.len() {
        let mut slot = hash(NAMES[at].0.as_bytes());
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = at as u8 + 1;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (text, name) in NAMES {
            assert_eq!(Name::parse(text.as_bytes()), Some(*name), "{text}");
            assert_eq!(Name::parse(text.to_ascii_uppercase().as_bytes()), Some(*name), "{text}");
            assert_eq!(Name::parse(text.to_ascii_lowercase().as_bytes()), Some(*name), "{text}");
        }
    }

    #[test]
    fn other_names_are_not_mistaken_for_known_ones() {
        for text in ["", "X-From", "Fro", "Fromm", "q", "Content_Length", "Vi\u{212A}"] {
            assert_eq!(Name::parse(text.as_bytes()), None, "{text}");
        }
    }
}
