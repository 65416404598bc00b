//! Where the mandatory part of a PDU ends and its TLVs begin (SMPP 3.4 §4.4 to §4.7).

/// Reads over the mandatory fields of a body.
struct Fields<'a> {
    body: &'a [u8],
    at: usize,
}

/// Which mandatory fields come before the TLVs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// submit_sm and deliver_sm.
    Short,
    /// submit_multi.
    Multi,
    /// data_sm.
    Data,
    /// Responses that begin with one C-octet string.
    OneString,
}

impl Layout {
    /// Returns the length of the mandatory part, or none if the body ends before it.
    pub(super) fn mandatory(self, body: &[u8]) -> Option<usize> {
        let mut fields = Fields { body, at: 0 };
        match self {
            Self::Short => {
                fields.string()?.octets(2)?.string()?.octets(2)?.string()?;
                fields.message()?;
            }
            Self::Multi => {
                fields.string()?.octets(2)?.string()?;
                fields.destinations()?.message()?;
            }
            Self::Data => {
                fields.string()?.octets(2)?.string()?.octets(2)?.string()?.octets(3)?;
            }
            Self::OneString => {
                fields.string()?;
            }
        }
        Some(fields.at)
    }
}

impl Fields<'_> {
    fn octet(&mut self) -> Option<u8> {
        let octet = self.body.get(self.at).copied()?;
        self.at += 1;
        Some(octet)
    }

    fn octets(&mut self, count: usize) -> Option<&mut Self> {
        self.at = self.at.checked_add(count).filter(|end| *end <= self.body.len())?;
        Some(self)
    }

    fn string(&mut self) -> Option<&mut Self> {
        let rest = self.body.get(self.at..)?;
        self.at += rest.iter().position(|octet| *octet == 0)? + 1;
        Some(self)
    }

    /// esm_class to short_message.
    fn message(&mut self) -> Option<&mut Self> {
        self.octets(3)?.string()?.string()?.octets(4)?;
        let length = self.octet()?;
        self.octets(usize::from(length))
    }

    fn destinations(&mut self) -> Option<&mut Self> {
        for _ in 0..self.octet()? {
            match self.octet()? {
                1 => self.octets(2)?.string()?,
                2 => self.string()?,
                _ => return None,
            };
        }
        Some(self)
    }
}
