//! Cutting a byte stream into PDUs (SMPP 3.4 §3.2).

use bytes::{Bytes, BytesMut};

/// Octets of a header.
pub const HEADER_OCTETS: usize = 16;

/// Longest PDU taken unless configured otherwise (rules D.5): a message_payload of 64 KiB and all the rest.
pub const PDU_OCTETS_MAX: usize = 70_000;

/// Cuts one connection's bytes into PDUs. It keeps no more than one unfinished PDU.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    octets_max: usize,
}

/// A command_length below 16 or above the limit: where the next PDU begins is not known, so the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("command_length {length} is not 16 to {max}")]
pub struct BadLength {
    /// What the PDU said.
    pub length: u32,
    /// What is allowed.
    pub max: usize,
    /// Its sequence number, for the generic_nack.
    pub sequence: u32,
}

impl Framer {
    /// Returns a framer for a new connection.
    pub fn new(octets_max: usize) -> Self {
        Self { buffer: BytesMut::new(), octets_max }
    }

    /// Appends what the connection brought.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Returns the next whole PDU, its header included.
    ///
    /// # Errors
    /// [`BadLength`], from the header alone: nothing is stored on the word of a length.
    pub fn poll_frame(&mut self) -> Result<Option<Bytes>, BadLength> {
        let Some(header) = self.buffer.first_chunk::<HEADER_OCTETS>() else { return Ok(None) };
        let [a, b, c, d, .., w, x, y, z] = *header;
        let length = u32::from_be_bytes([a, b, c, d]);
        let octets = length as usize;
        if !(HEADER_OCTETS..=self.octets_max).contains(&octets) {
            let sequence = u32::from_be_bytes([w, x, y, z]);
            return Err(BadLength { length, max: self.octets_max, sequence });
        }
        if self.buffer.len() < octets {
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(octets).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pdu(length: u32, body: usize) -> Vec<u8> {
        let mut octets = length.to_be_bytes().to_vec();
        octets.extend([0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 7]);
        octets.resize(16 + body, 0);
        octets
    }

    #[test]
    fn lengths_are_judged_before_anything_is_stored() {
        for length in [0, 15, 70_001, u32::MAX] {
            let mut framer = Framer::new(PDU_OCTETS_MAX);
            framer.push(&pdu(length, 0));
            assert_eq!(framer.poll_frame(), Err(BadLength { length, max: PDU_OCTETS_MAX, sequence: 7 }));
        }
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_pdus_are_the_same(bodies in proptest::collection::vec(0usize..300, 1..8), step in 1usize..64) {
            let pdus: Vec<Vec<u8>> = bodies.iter().map(|body| pdu(16 + *body as u32, *body)).collect();
            let mut framer = Framer::new(PDU_OCTETS_MAX);
            let mut got = Vec::new();
            for chunk in pdus.concat().chunks(step) {
                framer.push(chunk);
                while let Some(frame) = framer.poll_frame().unwrap() {
                    got.push(frame.to_vec());
                }
            }
            prop_assert_eq!(got, pdus);
        }
    }
}
