//! What the owner of a user agent says: the values of its commands.

use bytes::Bytes;

use crate::header::Name;
use crate::message::MessageBuilder;
use crate::method::Method;
use crate::resolve::Destination;
use crate::status::reason_phrase;
use crate::user_agent::{Profile, SessionId};

/// Header fields that the owner adds to a message.
///
/// Those that the user agent writes itself (Via, From, To, Call-ID, CSeq, Contact of a dialog, Allow…) are left out
/// when a message is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, Bytes)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum HeaderName {
    Known(Name),
    Text(Box<str>),
}

/// An INVITE to be sent, which starts a session.
#[derive(Debug, Clone)]
pub struct InviteParams {
    /// Where the INVITE is sent.
    pub destination: Destination,
    /// The Request-URI.
    pub uri: String,
    /// The From value without a tag: `"Name" <sip:user@host>`.
    pub from: String,
    /// The To value without a tag.
    pub to: String,
    /// The user part of our Contact; none for a Contact without one.
    pub contact_user: Option<String>,
    /// The Call-ID; none to have one made.
    pub call_id: Option<String>,
    /// How many hops it may still take.
    pub max_forwards: u8,
    /// Route values that it is sent with.
    pub routes: Vec<String>,
    /// Further header fields.
    pub headers: Headers,
    /// The offer; none leaves it to the callee (delayed offer).
    pub offer: Option<Bytes>,
    /// How the session behaves.
    pub profile: Profile,
}

/// A request other than INVITE, in a dialog or outside.
#[derive(Debug, Clone)]
pub struct RequestParams {
    /// What is asked: not INVITE, ACK, BYE, CANCEL, PRACK or UPDATE, which belong to sessions.
    pub method: Method,
    /// Of whom: inside the dialog of a session, or outside of any.
    pub scope: Scope,
    /// Further header fields.
    pub headers: Headers,
    /// Content type and body.
    pub body: Option<(String, Bytes)>,
}

/// Where a request that is not INVITE belongs.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "it lives as long as one call of `request`")]
pub enum Scope {
    /// In the dialog of a session.
    Session(SessionId),
    /// Outside of any dialog.
    Outside {
        /// Where it is sent.
        destination: Destination,
        /// The Request-URI.
        uri: String,
        /// The From value without a tag.
        from: String,
        /// The To value without a tag.
        to: String,
        /// What stands in Via and Contact instead of what the listener has, and the rest of the peer's profile.
        profile: Profile,
    },
}

/// A response that the owner gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The reason phrase; empty for the registered one.
    pub reason: String,
    /// Further header fields.
    pub headers: Headers,
    /// Content type and body; sessions carry SDP, so that there the type is `application/sdp`.
    pub body: Option<(String, Bytes)>,
}

impl Reply {
    /// Returns a response without anything but its status.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a session description.
    #[must_use]
    pub fn with_sdp(mut self, sdp: Bytes) -> Self {
        self.body = Some((SDP.to_owned(), sdp));
        self
    }

    /// Adds header fields.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the reason phrase.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    pub(crate) fn phrase(&self) -> &str {
        if self.reason.is_empty() { reason_phrase(self.status) } else { &self.reason }
    }
}

impl Headers {
    /// Returns no fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: Name, value: impl Into<Bytes>) -> Self {
        self.push(name, value);
        self
    }

    /// Adds a field.
    pub fn push(&mut self, name: Name, value: impl Into<Bytes>) {
        self.0.push((HeaderName::Known(name), value.into()));
    }

    /// Adds a field by the text of its name.
    pub fn push_text(&mut self, name: &str, value: impl Into<Bytes>) {
        let name =
            Name::parse(name.as_bytes()).map_or_else(|| HeaderName::Text(name.into()), HeaderName::Known);
        self.0.push((name, value.into()));
    }

    /// Returns the values of a field, in the order in which they were added.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(held, _)| *held == HeaderName::Known(name))
            .map(|(_, value)| value.as_ref())
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn write(&self, mut builder: MessageBuilder, keep: impl Fn(Name) -> bool) -> MessageBuilder {
        for (name, value) in &self.0 {
            builder = match name {
                HeaderName::Known(name) if keep(*name) => builder.header(*name, value),
                HeaderName::Known(_) => builder,
                HeaderName::Text(name) => builder.extension(name, value),
            };
        }
        builder
    }
}

/// The media type of session descriptions.
pub(crate) const SDP: &str = "application/sdp";

/// Whether the owner may add this field to a message: not those that the user agent writes.
pub(crate) fn is_free(name: Name) -> bool {
    !matches!(
        name,
        Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::Contact
            | Name::MaxForwards
            | Name::Route
            | Name::RecordRoute
            | Name::Allow
            | Name::Supported
            | Name::Require
            | Name::RSeq
            | Name::RAck
            | Name::SessionExpires
            | Name::MinSe
            | Name::UserAgent
            | Name::Server
            | Name::ContentLength
            | Name::ContentType
    )
}
