//! Names of things: calls, legs, bridges, trunks, nodes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The node of a cluster that owns a call.
///
/// It is part of every [`CallId`], so that a command for a call which lives elsewhere can be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u16);

/// A call: all its legs, from the first INVITE to the last BYE.
///
/// Printed as four hexadecimal digits of the node, `-`, sixteen of the call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The node the call lives on.
    pub node: NodeId,
    /// A number that the node gave to no other call.
    pub serial: u64,
}

/// One leg of a call: the signalling and the media between Trunkline and one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

/// The data plane of one call: its media legs, joined.
///
/// The lowest eight bits are the shard's that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId(pub u64);

impl BridgeId {
    /// Returns which of so many media workers has it: each in turn.
    pub fn worker(self, workers: usize) -> usize {
        let turn = usize::try_from(self.0 >> 8).unwrap_or_default();
        turn.checked_rem(workers).unwrap_or_default()
    }
}

/// The name an operator gave to a trunk: 1 to 64 of `a-z A-Z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkId(Arc<str>);

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// A trunk name that is empty, too long, or holds a character outside the set.
    #[error("a trunk name is 1 to 64 of the characters a-z A-Z 0-9 . _ -")]
    TrunkName,
    /// Not `NNNN-SSSSSSSSSSSSSSSS` in hexadecimal.
    #[error("a call id is four hexadecimal digits, '-', and sixteen more")]
    CallId,
}

/// Longest trunk name; it appears in metrics labels and log lines, which should stay readable.
const TRUNK_NAME_MAX: usize = 64;

impl TrunkId {
    /// Returns the name, or why the text is not one.
    ///
    /// # Errors
    /// [`InvalidId::TrunkName`].
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > TRUNK_NAME_MAX || !text.bytes().all(allowed) {
            return Err(InvalidId::TrunkName);
        }
        Ok(Self(text.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrunkId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl serde::Serialize for TrunkId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for TrunkId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}-{:016x}", self.node.0, self.serial)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

impl FromStr for CallId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (node, serial) = text.split_once('-').ok_or(InvalidId::CallId)?;
        if node.len() != 4 || serial.len() != 16 || text.contains('+') {
            return Err(InvalidId::CallId);
        }
        Ok(Self {
            node: NodeId(u16::from_str_radix(node, 16).map_err(|_| InvalidId::CallId)?),
            serial: u64::from_str_radix(serial, 16).map_err(|_| InvalidId::CallId)?,
        })
    }
}

impl serde::Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_reads_back_and_names_its_node() {
        let id = CallId { node: NodeId(3), serial: 0xfeed };
        assert_eq!(id.to_string(), "0003-000000000000feed");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("3-feed".parse::<CallId>(), Err(InvalidId::CallId));
        assert_eq!("+003-000000000000feed".parse::<CallId>(), Err(InvalidId::CallId));
    }

    #[test]
    fn trunk_names_hold_nothing_that_a_log_or_label_must_escape() {
        assert!(TrunkId::parse("carrier-a.east_1").is_ok());
        for bad in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
            assert_eq!(TrunkId::parse(bad), Err(InvalidId::TrunkName), "{bad:?}");
        }
    }
}
