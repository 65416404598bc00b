//! A phone number in the inventory: what it is, what it can do, and the states it goes through.

use std::fmt;
use std::str::FromStr;

/// The text is not one of the words that stand for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not one of the known words")]
pub struct UnknownWord;

/// Declares an enum whose values are written in the API, in rule tables and in records as fixed words.
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

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::parse(word).ok_or(UnknownWord)
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

words! {
    /// Where a number stands in its life (A.6).
    NumberState {
        /// Anyone eligible may reserve it.
        Available = "available",
        /// Held for one resource until a time.
        Reserved = "reserved",
        /// Ordered, and the order is under way.
        Purchasing = "purchasing",
        /// Owned by a resource.
        Assigned = "assigned",
        /// Given back, and not to be sold before the billing cycle ends.
        Releasing = "releasing",
        /// Ageing, so that callers of the last owner do not reach the next (47 CFR 52.15).
        Quarantine = "quarantine",
        /// Taken out of the inventory by the operator.
        Retired = "retired",
        /// Moved to another carrier.
        PortedOut = "ported_out",
    }
}

impl NumberState {
    /// Whether the state may follow this one (A.6). An operator's withdrawal counts; time does not.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Available => matches!(next, Self::Reserved | Self::Quarantine | Self::Retired),
            // A hold that ran out goes straight to whoever holds it next.
            Self::Reserved => matches!(next, Self::Available | Self::Reserved | Self::Purchasing),
            Self::Purchasing => matches!(next, Self::Assigned | Self::Available),
            // Its capabilities change while it is owned.
            Self::Assigned => matches!(next, Self::Assigned | Self::Releasing | Self::PortedOut),
            Self::Releasing => matches!(next, Self::Quarantine),
            Self::Quarantine => matches!(next, Self::Available | Self::Retired),
            Self::Retired => matches!(next, Self::Available | Self::Quarantine),
            Self::PortedOut => false,
        }
    }
}

impl Capability {
    /// Returns the capability with these directions.
    pub fn from_directions(inbound: bool, outbound: bool) -> Self {
        match (inbound, outbound) {
            (false, false) => Self::None,
            (true, false) => Self::Inbound,
            (false, true) => Self::Outbound,
            (true, true) => Self::InboundOutbound,
        }
    }

    /// Whether it receives.
    pub fn is_inbound(self) -> bool {
        match self {
            Self::Inbound | Self::InboundOutbound => true,
            Self::None | Self::Outbound => false,
        }
    }

    /// Whether it sends.
    pub fn is_outbound(self) -> bool {
        match self {
            Self::Outbound | Self::InboundOutbound => true,
            Self::None | Self::Inbound => false,
        }
    }

    /// Whether everything asked for is offered by this one.
    pub fn includes(self, asked: Self) -> bool {
        (self.is_inbound() || !asked.is_inbound()) && (self.is_outbound() || !asked.is_outbound())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_passes_quarantine_between_two_owners() {
        // Every way from assigned back to assigned leads through quarantine.
        let mut reached = vec![NumberState::Releasing];
        let mut seen = Vec::new();
        while let Some(state) = reached.pop() {
            if state == NumberState::Quarantine || seen.contains(&state) {
                continue;
            }
            seen.push(state);
            reached.extend(NumberState::ALL.iter().filter(|next| state.may_become(**next)));
        }
        assert!(!seen.contains(&NumberState::Available) && !seen.contains(&NumberState::Assigned));
        assert!(NumberState::Quarantine.may_become(NumberState::Available));
    }

    #[test]
    fn a_capability_includes_what_it_can_do() {
        for offered in Capability::ALL {
            for asked in Capability::ALL {
                let both = Capability::from_directions(
                    offered.is_inbound() && asked.is_inbound(),
                    offered.is_outbound() && asked.is_outbound(),
                );
                assert_eq!(offered.includes(*asked), both == *asked, "{offered} {asked}");
            }
        }
        assert_eq!("inbound+outbound".parse(), Ok(Capability::InboundOutbound));
        assert_eq!("outbound+inbound".parse::<Capability>(), Err(UnknownWord));
    }
}
