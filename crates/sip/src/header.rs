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
        let words = words(text)?;
        let mut slot = hash(words);
        // Ends: the table is never full, which `SLOTS` beside `NAMES.len()` shows.
        loop {
            let Slot { words: known, len, name } = SLOT_TABLE.get(slot)?;
            if usize::from(*len) == text.len() && is_same(*known, words) {
                return *name;
            }
            (*name)?;
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

/// The letters of a name, eight a word: every field of every message asks for one, and words compare at once.
type Words = [u64; 3];

/// As long as names may be to have their letters in the words.
const NAME_BYTES_MAX: usize = 24;

/// A slot of the table of names: half a cache line, so that a look-up touches one. An empty one has no name.
#[derive(Clone, Copy)]
struct Slot {
    words: Words,
    len: u8,
    name: Option<Name>,
}

/// Open-addressed slots for the names above: about five times as many as there are names, so that nearly
/// every look-up needs one comparison.
const SLOTS: usize = 512;

static SLOT_TABLE: [Slot; SLOTS] = slot_table();

/// Returns the words of text; nothing when it is longer than any name. They overlap where its length asks for it.
const fn words(text: &[u8]) -> Option<Words> {
    if let Some((first, rest)) = text.split_first_chunk() {
        let last = match text.last_chunk() {
            Some(last) if text.len() <= NAME_BYTES_MAX => last,
            Some(_) | None => return None,
        };
        let middle = match rest.first_chunk() {
            Some(middle) => middle,
            None => last,
        };
        return Some([u64::from_le_bytes(*first), u64::from_le_bytes(*middle), u64::from_le_bytes(*last)]);
    }
    let word = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => {
            u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << u32::BITS
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => match *text {
            [first, second, third] => u32::from_le_bytes([first, second, third, 0]) as u64,
            [first, second] => u16::from_le_bytes([first, second]) as u64,
            [first] => first as u64,
            _ => 0,
        },
    };
    Some([word, 0, 0])
}

/// Spreads names over the slots, without case.
const fn hash([first, second, third]: Words) -> usize {
    let mixed = (first | CASE_BITS)
        .wrapping_add((second | CASE_BITS).rotate_left(7))
        .wrapping_add((third | CASE_BITS).rotate_left(14));
    // The highest bits of a product depend on all bits of its factors.
    (mixed.wrapping_mul(GOLDEN_RATIO) >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

/// Says whether text is a name of ours but for case.
fn is_same(name: Words, text: Words) -> bool {
    let differing = name.iter().zip(text).fold(0, |differing, (name, text)| {
        // Letters have bit 0x40 and differ from their other case in bit 0x20; the hyphens of our names have no 0x40.
        let case_bits = (name >> 1) & CASE_BITS;
        differing | (name ^ text) & !case_bits
    });
    differing == 0
}

/// What tells lower case from upper case, in each of eight letters.
const CASE_BITS: u64 = u64::from_le_bytes([0x20; 8]);

/// 2⁶⁴ divided by the golden ratio, a factor that spreads well.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[expect(clippy::indexing_slicing, clippy::expect_used, reason = "runs in the compiler over our own table")]
const fn slot_table() -> [Slot; SLOTS] {
    assert!(SLOTS.is_power_of_two() && NAMES.len() * 2 < SLOTS);
    let mut table = [Slot { words: [0; 3], len: 0, name: None }; SLOTS];
    let mut at = 0;
    while at < NAMES.len() {
        let (text, name) = NAMES[at];
        let words = words(text.as_bytes()).expect("our names are short");
        let mut slot = hash(words);
        while table[slot].name.is_some() {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = Slot { words, len: text.len() as u8, name: Some(name) };
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
