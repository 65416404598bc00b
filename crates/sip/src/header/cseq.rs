//! The CSeq header (RFC 3261 §20.16).

use std::fmt;

use crate::method::Method;

/// A sequence number and the method that it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// The number, below 2³¹.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

/// A CSeq value that is not a number below 2³¹ and a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("CSeq is not a number below 2^31 and a method")]
pub struct InvalidCSeq;

impl CSeq {
    /// Reads a CSeq value.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidCSeq> {
        let value = value.trim_ascii();
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, method) = value.split_at_checked(digits).ok_or(InvalidCSeq)?;
        if !method.first().is_some_and(u8::is_ascii_whitespace) {
            return Err(InvalidCSeq);
        }
        let number = decimal(number, u64::from(SEQUENCE_MAX)).ok_or(InvalidCSeq)?;
        let method = Method::parse(method.trim_ascii()).ok_or(InvalidCSeq)?;
        Ok(Self { number: u32::try_from(number).map_err(|_| InvalidCSeq)?, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// RFC 3261 §8.1.1.5: the number is less than 2³¹.
const SEQUENCE_MAX: u32 = (1 << 31) - 1;

/// Reads an unsigned decimal of at least one digit that is not above `max`.
///
/// Leading zeros are allowed without limit: RFC 4475 §3.1.1.1 holds `0009`.
pub(crate) fn decimal(digits: &[u8], max: u64) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        let number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        (number <= max).then_some(number)
    })
}
