//! The user data header in front of a short message (TS 23.040 §9.2.3.24).

use crate::text::gsm7::{Language, NationalTables};

const CONCAT_8BIT: u8 = 0x00;
const CONCAT_16BIT: u8 = 0x08;
const SINGLE_SHIFT: u8 = 0x24;
const LOCKING_SHIFT: u8 = 0x25;

/// Which part of which long message a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Concat {
    /// What all parts of one message between two numbers have in common.
    pub reference: u16,
    /// How many parts there are: 1 to 255.
    pub total: u8,
    /// Which part this is: 1 to `total`.
    pub seq: u8,
}

impl Concat {
    /// Returns the part, or none if there can be no such part: then the segment stands for itself (rules D.4).
    pub fn new(reference: u16, total: u8, seq: u8) -> Option<Self> {
        (total > 0 && (1..=total).contains(&seq)).then_some(Self { reference, total, seq })
    }

    /// Returns the six octets of a header with an 8-bit reference.
    pub fn header_8bit(self) -> [u8; 6] {
        let [_, low] = self.reference.to_be_bytes();
        [5, CONCAT_8BIT, 3, low, self.total, self.seq]
    }

    /// Returns the seven octets of a header with a 16-bit reference.
    pub fn header_16bit(self) -> [u8; 7] {
        let [high, low] = self.reference.to_be_bytes();
        [6, CONCAT_16BIT, 4, high, low, self.total, self.seq]
    }
}

/// What a header says of use here; other elements are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UserDataHeader {
    /// The part of a long message; of several such elements the last counts (TS 23.040 §9.2.3.24).
    pub concat: Option<Concat>,
    /// The national tables of the text behind the header.
    pub tables: NationalTables,
    /// How many octets the header takes, its length octet included.
    pub octets: usize,
}

impl UserDataHeader {
    /// Reads the header at the front of `octets`, or returns none if no whole header is there.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let (&length, rest) = octets.split_first()?;
        let mut elements = rest.get(..usize::from(length))?;
        let mut header = Self { octets: usize::from(length) + 1, ..Self::default() };
        while let [identifier, length, rest @ ..] = elements {
            // An element longer than its header: what came before it still holds.
            let Some((data, rest)) = rest.split_at_checked(usize::from(*length)) else { break };
            header.take_element(*identifier, data);
            elements = rest;
        }
        Some(header)
    }

    /// Returns how many bits lie between the header and the first packed septet.
    pub fn fill_bits(self) -> u8 {
        let over = self.octets * 8 % 7;
        if over == 0 { 0 } else { (7 - over) as u8 }
    }

    fn take_element(&mut self, identifier: u8, data: &[u8]) {
        match (identifier, data) {
            (CONCAT_8BIT, &[reference, total, seq]) => {
                self.concat = Concat::new(u16::from(reference), total, seq);
            }
            (CONCAT_16BIT, &[high, low, total, seq]) => {
                self.concat = Concat::new(u16::from_be_bytes([high, low]), total, seq);
            }
            (SINGLE_SHIFT, &[language]) => self.tables.single = Language::from_identifier(language),
            (LOCKING_SHIFT, &[language]) => self.tables.locking = Language::from_identifier(language),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_widths_are_read_back() {
        let part = Concat::new(0x1234, 3, 2).unwrap();
        assert_eq!(part.header_16bit(), [6, 8, 4, 0x12, 0x34, 3, 2]);
        assert_eq!(UserDataHeader::parse(&part.header_16bit()).unwrap().concat, Some(part));
        assert_eq!(part.header_8bit(), [5, 0, 3, 0x34, 3, 2]);
        assert_eq!(UserDataHeader::parse(&part.header_8bit()).unwrap().concat, Concat::new(0x34, 3, 2));
    }

    #[test]
    fn an_impossible_part_is_a_single_message() {
        for (total, seq) in [(0, 0), (0, 1), (3, 0), (3, 4)] {
            assert_eq!(UserDataHeader::parse(&[5, 0, 3, 9, total, seq]).unwrap().concat, None);
        }
    }

    #[test]
    fn national_tables_are_announced_beside_the_part() {
        let header = UserDataHeader::parse(&[11, 0, 3, 9, 2, 1, 0x24, 1, 1, 0x25, 1, 3]).unwrap();
        assert_eq!(header.concat, Concat::new(9, 2, 1));
        assert_eq!(header.tables.single, Some(Language::Turkish));
        assert_eq!(header.tables.locking, Some(Language::Portuguese));
        assert_eq!(header.octets, 12);
    }

    #[test]
    fn a_header_that_is_not_there_is_none() {
        assert_eq!(UserDataHeader::parse(&[]), None);
        assert_eq!(UserDataHeader::parse(&[5, 0, 3]), None);
        let cut = UserDataHeader::parse(&[3, 0, 9, 1]).unwrap();
        assert_eq!((cut.concat, cut.octets), (None, 4));
    }

    #[test]
    fn fill_bits_reach_a_septet_boundary() {
        assert_eq!(UserDataHeader::parse(&[5, 0, 3, 1, 2, 1]).unwrap().fill_bits(), 1);
        assert_eq!(UserDataHeader::parse(&[6, 8, 4, 0, 1, 2, 1]).unwrap().fill_bits(), 0);
    }

    proptest! {
        #[test]
        fn a_header_never_takes_more_than_there_is(octets: Vec<u8>) {
            if let Some(header) = UserDataHeader::parse(&octets) {
                prop_assert!(header.octets <= octets.len());
                prop_assert!(header.fill_bits() < 7);
            }
        }
    }
}
