//! What an SMPP command_status means for the message and for the session (SMPP 3.4 §5.1.3, rules D.5).

use std::collections::BTreeMap;
use std::fmt;

/// A command_status as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandStatus(pub u32);

#[allow(missing_docs, reason = "the names are those of SMPP 3.4 §5.1.3")]
impl CommandStatus {
    pub const OK: Self = Self(0x00);
    pub const INVALID_MESSAGE_LENGTH: Self = Self(0x01);
    pub const INVALID_COMMAND_LENGTH: Self = Self(0x02);
    pub const INVALID_COMMAND_ID: Self = Self(0x03);
    pub const INVALID_BIND_STATUS: Self = Self(0x04);
    pub const ALREADY_BOUND: Self = Self(0x05);
    pub const SYSTEM_ERROR: Self = Self(0x08);
    pub const INVALID_SOURCE: Self = Self(0x0a);
    pub const INVALID_DESTINATION: Self = Self(0x0b);
    pub const INVALID_MESSAGE_ID: Self = Self(0x0c);
    pub const BIND_FAILED: Self = Self(0x0d);
    pub const INVALID_PASSWORD: Self = Self(0x0e);
    pub const INVALID_SYSTEM_ID: Self = Self(0x0f);
    pub const CANCEL_FAILED: Self = Self(0x11);
    pub const MESSAGE_QUEUE_FULL: Self = Self(0x14);
    pub const INVALID_ESM_CLASS: Self = Self(0x43);
    pub const SUBMIT_FAILED: Self = Self(0x45);
    pub const INVALID_SYSTEM_TYPE: Self = Self(0x53);
    pub const THROTTLED: Self = Self(0x58);
    pub const TEMPORARY_APPLICATION_ERROR: Self = Self(0x64);
    pub const PERMANENT_APPLICATION_ERROR: Self = Self(0x65);
    pub const REJECTED_BY_APPLICATION: Self = Self(0x66);
    pub const QUERY_FAILED: Self = Self(0x67);
    pub const INVALID_OPTIONAL_PARAMETERS: Self = Self(0xc0);
    pub const DELIVERY_FAILURE: Self = Self(0xfe);
    pub const UNKNOWN_ERROR: Self = Self(0xff);
}

impl CommandStatus {
    /// Whether the command was carried out.
    pub fn is_ok(self) -> bool {
        self == Self::OK
    }
}

impl fmt::Display for CommandStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

/// What is done about a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The message is with the carrier.
    Accepted,
    /// The carrier will never take this message.
    Final,
    /// The message is tried again, with growing pauses, until its validity is over.
    Retry,
    /// The message is tried again a few times ([`ATTEMPTS_FEW`]), then it has failed.
    RetryFew,
    /// The message is tried again; all messages for the same destination wait.
    Destination,
    /// The whole session pauses, and the message keeps its place.
    Throttled,
    /// The session is in a wrong state: bind anew, then try the message again.
    Rebind,
    /// The account is wrong: no message can be at fault. Binding stops but for slow attempts, and someone is told.
    Session,
}

/// How often a message of [`Class::RetryFew`] is submitted in all before it has failed.
pub const ATTEMPTS_FEW: u8 = 4;

/// The classes of a trunk: those of rules D.5, and what its operator knows better.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusTable {
    /// Statuses that mean something else on this trunk; vendor statuses 0x400 to 0x4FF are final unless listed.
    pub overrides: BTreeMap<u32, Class>,
}

impl StatusTable {
    /// Returns what is to be done about a status.
    pub fn class(&self, status: CommandStatus) -> Class {
        self.overrides.get(&status.0).copied().unwrap_or_else(|| default_class(status))
    }
}

fn default_class(status: CommandStatus) -> Class {
    match status.0 {
        0x00 => Class::Accepted,
        0x04 => Class::Rebind,
        0x08 | 0x64 => Class::Retry,
        0x0d | 0x0e | 0x0f | 0x53 => Class::Session,
        0x14 => Class::Destination,
        0x45 | 0xfe | 0xff => Class::RetryFew,
        0x58 => Class::Throttled,
        // Wrong lengths, commands, addresses, types, TLVs; permanent and rejected; vendors' own.
        _ => Class::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rule_d_5() {
        let table = StatusTable::default();
        let rows: [(&[u32], Class); 8] = [
            (&[0x00], Class::Accepted),
            (&[0x04], Class::Rebind),
            (&[0x08, 0x64], Class::Retry),
            (&[0x0d, 0x0e, 0x0f, 0x53], Class::Session),
            (&[0x14], Class::Destination),
            (&[0x45, 0xfe, 0xff], Class::RetryFew),
            (&[0x58], Class::Throttled),
            (
                &[
                    0x01, 0x02, 0x03, 0x05, 0x0a, 0x0b, 0x15, 0x43, 0x48, 0x49, 0x50, 0x51, 0x61, 0x62, 0x65,
                    0x66, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0x400, 0x4ff,
                ],
                Class::Final,
            ),
        ];
        for (statuses, class) in rows {
            for status in statuses {
                assert_eq!(table.class(CommandStatus(*status)), class, "{status:#x}");
            }
        }
    }

    #[test]
    fn a_trunk_may_know_better() {
        let table = StatusTable { overrides: BTreeMap::from([(0x401, Class::Retry), (0x45, Class::Final)]) };
        assert_eq!(table.class(CommandStatus(0x401)), Class::Retry);
        assert_eq!(table.class(CommandStatus(0x402)), Class::Final);
        assert_eq!(table.class(CommandStatus::SUBMIT_FAILED), Class::Final);
    }
}
