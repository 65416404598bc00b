//! Request methods.

use std::fmt;

/// What a request asks for (RFC 3261 §7.1). Methods are case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Starts or changes a session.
    Invite,
    /// Confirms a final response to INVITE.
    Ack,
    /// Ends a session.
    Bye,
    /// Withdraws an INVITE that has no final response.
    Cancel,
    /// Asks what the peer can do; on trunks, whether it is there.
    Options,
    /// Binds a contact to an address of record.
    Register,
    /// Confirms a reliable provisional response (RFC 3262).
    Prack,
    /// Changes a session without a new INVITE (RFC 3311).
    Update,
    /// Carries application data inside a dialog (RFC 6086).
    Info,
    /// Asks the peer to contact someone else (RFC 3515).
    Refer,
    /// Asks for events (RFC 6665).
    Subscribe,
    /// Reports an event (RFC 6665).
    Notify,
    /// Carries a text message (RFC 3428).
    Message,
    /// Publishes event state (RFC 3903).
    Publish,
    /// A method that this stack has no name for, kept as it came.
    Extension(Box<str>),
}

impl Method {
    /// Reads a method, or returns nothing when the bytes are not a token.
    pub fn parse(token: &[u8]) -> Option<Self> {
        let known = match token {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"REFER" => Self::Refer,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other => {
                if other.is_empty() || !other.iter().all(|&byte| crate::header::is_token_byte(byte)) {
                    return None;
                }
                return std::str::from_utf8(other).ok().map(|text| Self::Extension(text.into()));
            }
        };
        Some(known)
    }

    /// Returns the method as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Extension(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
