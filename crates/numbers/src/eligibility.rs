//! Who may provision which number under which billing address.
//!
//! A [`RuleBook`] holds tables of offers and names the active one. [`RuleBook::decide`] walks a fixed order of
//! steps; the first that fails gives the one stable error code. The check runs twice, at search and again
//! inside the purchase (PROV-20), each time against the billing record and the table then in force. The
//! billing country comes from that record only, never from anything in a request (PROV-22).

mod decide;
mod table;

pub use decide::{Decision, Denial, Granted, Step, Verdict};
pub use table::{EmergencyAddress, Limits, Offer, Release, Reservation, RuleBook, RuleBookError, Table};

use std::fmt;

/// What a resource's billing record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whether the resource may act at all.
    pub active: bool,
    /// The country of the billing address, as recorded.
    pub billing_country: Option<String>,
    /// Whether that address was verified.
    pub billing_verified: bool,
    /// What is paid.
    pub class: SubscriptionClass,
    /// Where the resource keeps its data, ISO 3166-1 alpha-2.
    pub data_location: String,
    /// Whether an emergency address is on file.
    pub emergency_address: bool,
}

/// What somebody wants to provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Country of the number, ISO 3166-1 alpha-2.
    pub number_country: String,
    /// Kind of number.
    pub number_type: NumberType,
    /// Whom it is for.
    pub assignment: AssignmentType,
    /// Calling asked for.
    pub calling: Capability,
    /// Text messages asked for.
    pub sms: Capability,
    /// Area code asked for, if any.
    pub area_code: Option<u16>,
}

/// Declares an enum whose values are written in the API and in rule tables as fixed words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the word for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Returns the value that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// How a resource pays (PROV-01).
    SubscriptionClass {
        /// By invoice or card.
        Paid = "paid",
        /// Not at all, for a while.
        Trial = "trial",
        /// From credit that was given.
        FreeCredit = "free_credit",
    }
}

words! {
    /// Kind of number.
    NumberType {
        /// In an area code of a place.
        Geographic = "geographic",
        /// The called side pays.
        TollFree = "tollFree",
        /// Of a mobile network.
        Mobile = "mobile",
        /// Five or six digits for messages.
        ShortCode = "shortCode",
    }
}

words! {
    /// Whom a number is for (PROV-09).
    AssignmentType {
        /// A person.
        Person = "person",
        /// An application.
        Application = "application",
    }
}

words! {
    /// What a number can do, for calls or for messages (PROV-10).
    Capability {
        /// Nothing.
        None = "none",
        /// Receive.
        Inbound = "inbound",
        /// Send.
        Outbound = "outbound",
        /// Both.
        InboundOutbound = "inbound+outbound",
    }
}
