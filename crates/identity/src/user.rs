//! The raw id of a communication user.

use crate::resource::ResourceId;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// `8:acs:{resource}_{user}`, both GUIDs. Exactly one `_`: clients take three parts for another kind of user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId {
    /// The resource that the user belongs to.
    pub resource: ResourceId,
    /// The user within it.
    pub user: Uuid,
}

/// The text is not the id of a communication user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a communication user is written 8:acs:RESOURCE_USER, both GUIDs")]
pub struct InvalidUserId;

impl UserId {
    /// Returns the id without its leading `8:`, as the `skypeid` claim of a token carries it.
    pub fn skype_id(&self) -> String {
        format!("acs:{}_{}", self.resource, self.user.as_hyphenated())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "8:acs:{}_{}", self.resource, self.user.as_hyphenated())
    }
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, InvalidUserId> {
        let (resource, user) =
            text.strip_prefix("8:acs:").and_then(|rest| rest.split_once('_')).ok_or(InvalidUserId)?;
        let guid = |text: &str| {
            if text.len() == 36 {
                Uuid::try_parse(text).map_err(|_| InvalidUserId)
            } else {
                Err(InvalidUserId)
            }
        };
        Ok(Self { resource: ResourceId(guid(resource)?), user: guid(user)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back() {
        let text = "8:acs:11111111-2222-4333-8444-555555555555_00000021-aaaa-bbbb-cccc-0123456789ab";
        let id: UserId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.skype_id(), text.replacen("8:", "", 1));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in
            ["", "8:acs:", "4:+14255550100", "8:acs:11111111-2222-4333-8444-555555555555", "8:acs:a_b_c"]
        {
            assert_eq!(bad.parse::<UserId>(), Err(InvalidUserId), "{bad}");
        }
    }
}
