//! Users, as calls and routes name them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The raw id of a communication user: `8:acs:{resource}_{user}`, both GUIDs in lower case.
///
/// The same as `identity::UserId`, in the form in which signalling carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAddress(Arc<str>);

/// The text is not the id of a communication user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user is written 8:acs:RESOURCE_USER, both GUIDs")]
pub struct InvalidUserAddress;

const PREFIX: &str = "8:acs:";
const GUID_CHARS: usize = 36;

impl UserAddress {
    /// Reads the user part of a SIP URI, escapes taken out: the raw id, the raw id without `8:` or without `8:acs:` (a
    /// colon is no character of a user part, and some clients take it for the start of a password), or the GUID of a
    /// user of the resource that is asking.
    pub fn of_sip_user(text: &str, asking: Option<&str>) -> Option<Self> {
        let rest = text.strip_prefix("8:").unwrap_or(text);
        let rest = rest.strip_prefix("acs:").unwrap_or(rest);
        let whole = format!("{PREFIX}{rest}").parse().ok();
        whole.or_else(|| format!("{PREFIX}{}_{text}", asking?).parse().ok())
    }

    /// Returns the raw id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the GUID of the resource that the user belongs to.
    pub fn resource(&self) -> &str {
        self.0.get(PREFIX.len()..PREFIX.len() + GUID_CHARS).unwrap_or_default()
    }

    /// Returns the GUID of the user within its resource.
    pub fn user(&self) -> &str {
        self.0.get(PREFIX.len() + GUID_CHARS + 1..).unwrap_or_default()
    }

    /// Returns the user part of its SIP URI: it needs no escape, and reads back without knowing who asks.
    pub fn sip_user(&self) -> &str {
        self.0.get(PREFIX.len()..).unwrap_or_default()
    }
}

impl FromStr for UserAddress {
    type Err = InvalidUserAddress;

    fn from_str(text: &str) -> Result<Self, InvalidUserAddress> {
        let text = text.to_ascii_lowercase();
        let (resource, user) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(InvalidUserAddress)?;
        if is_guid(resource) && is_guid(user) { Ok(Self(text.into())) } else { Err(InvalidUserAddress) }
    }
}

impl fmt::Display for UserAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_guid(text: &str) -> bool {
    let is_at_home = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == GUID_CHARS && text.bytes().enumerate().all(is_at_home)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: &str = "11111111-2222-4333-8444-555555555555";
    const USER: &str = "00000021-aaaa-bbbb-cccc-0123456789ab";

    #[test]
    fn every_form_of_a_user_part_is_the_same_user() {
        let user: UserAddress = format!("8:acs:{RESOURCE}_{USER}").parse().unwrap();
        assert_eq!((user.resource(), user.user()), (RESOURCE, USER));
        let upper = format!("8:acs:{}_{USER}", RESOURCE.to_ascii_uppercase());
        for form in [user.as_str(), user.sip_user(), &format!("acs:{RESOURCE}_{USER}"), &upper] {
            assert_eq!(UserAddress::of_sip_user(form, None).as_ref(), Some(&user), "{form}");
        }
        assert_eq!(UserAddress::of_sip_user(USER, Some(RESOURCE)), Some(user));
    }

    #[test]
    fn anything_else_is_no_user() {
        for bad in ["", "8:acs:", "+14255550100", "4:+14255550100", RESOURCE, "8:acs:a_b"] {
            assert_eq!(bad.parse::<UserAddress>(), Err(InvalidUserAddress), "{bad}");
            assert_eq!(UserAddress::of_sip_user(bad, None), None, "{bad}");
        }
        assert_eq!(UserAddress::of_sip_user("é".repeat(18).as_str(), Some(RESOURCE)), None);
    }
}
