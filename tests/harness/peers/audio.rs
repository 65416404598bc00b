//! Speech to send, and G.711 as an independent judge decodes it.

use super::heard::Packet;

/// Speech in both laws of G.711, 8,000 samples a second.
#[derive(Debug, Clone, Copy)]
pub struct Speech {
    pcmu: &'static [u8],
    pcma: &'static [u8],
}

impl Speech {
    /// What callers say.
    pub const CALLER: Self = Self {
        pcmu: include_bytes!("../../../fixtures/audio/caller.pcmu"),
        pcma: include_bytes!("../../../fixtures/audio/caller.pcma"),
    };

    /// What callees say.
    pub const CALLEE: Self = Self {
        pcmu: include_bytes!("../../../fixtures/audio/callee.pcmu"),
        pcma: include_bytes!("../../../fixtures/audio/callee.pcma"),
    };

    /// Returns it as a static payload type of RFC 3551 has it.
    ///
    /// # Panics
    /// For another payload type than PCMU (0) and PCMA (8).
    #[must_use]
    pub fn encoded(self, payload_type: u8) -> &'static [u8] {
        match payload_type {
            Packet::PCMU => self.pcmu,
            Packet::PCMA => self.pcma,
            other => panic!("speech is in PCMU and PCMA, not in payload type {other}"),
        }
    }
}

/// Decodes µ-law (ITU-T G.711 table 2a/2b) to 16 bits.
#[must_use]
pub fn decode_ulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((i16::from(code & 0x0f) << 3) + 0x84) << ((code & 0x70) >> 4);
    if code & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

/// Decodes A-law (ITU-T G.711 table 1a/1b) to 16 bits.
#[must_use]
pub fn decode_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code & 0x70) >> 4;
    let mantissa = (i16::from(code & 0x0f) << 4) + 8;
    let magnitude = if segment == 0 { mantissa } else { (mantissa + 0x100) << (segment - 1) };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laws_decode_to_the_ends_and_the_middle_of_their_tables() {
        assert_eq!((decode_ulaw(0xff), decode_ulaw(0x80), decode_ulaw(0x00)), (0, 32_124, -32_124));
        assert_eq!((decode_alaw(0xd5), decode_alaw(0xaa), decode_alaw(0x2a)), (8, 32_256, -32_256));
    }

    #[test]
    fn both_fixtures_are_the_same_speech() {
        for speech in [Speech::CALLER, Speech::CALLEE] {
            let pairs = speech.pcmu.iter().zip(speech.pcma);
            let noise: f64 = pairs
                .clone()
                .map(|(&u, &a)| (f64::from(decode_ulaw(u)) - f64::from(decode_alaw(a))).powi(2))
                .sum();
            let signal: f64 = pairs.map(|(&u, _)| f64::from(decode_ulaw(u)).powi(2)).sum();
            assert!(10.0 * (signal / noise).log10() > 30.0);
        }
    }
}
