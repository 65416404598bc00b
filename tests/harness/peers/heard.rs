//! What arrived at a phone, and what it must be.

use super::audio::{decode_alaw, decode_ulaw};
use std::net::SocketAddr;

/// An RTP packet as it came off the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub source: SocketAddr,
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A telephone event (RFC 4733) as its packets together say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digit {
    /// The event code: 0 to 9, 10 for `*`, 11 for `#`.
    pub event: u8,
    /// The duration that the last packet has, in timestamp units.
    pub duration: u16,
    /// Whether its end was told.
    pub ended: bool,
}

/// All packets that arrived at a phone, in the order they arrived.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// The packets.
    pub packets: Vec<Packet>,
}

impl Packet {
    /// The static payload type of µ-law.
    pub const PCMU: u8 = 0;
    /// The static payload type of A-law.
    pub const PCMA: u8 = 8;

    /// Reads a packet without extension, padding or contributing sources: a gateway that originates adds none.
    #[must_use]
    pub fn read(source: SocketAddr, bytes: &[u8]) -> Option<Self> {
        let (header, payload) = bytes.split_at_checked(12)?;
        (header[0] == 0x80).then(|| Self {
            source,
            marker: header[1] & 0x80 != 0,
            payload_type: header[1] & 0x7f,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload: payload.to_vec(),
        })
    }

    /// Writes the packet.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, self.payload_type | if self.marker { 0x80 } else { 0 }];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

impl Heard {
    /// Returns the audio of one payload type, in order.
    #[must_use]
    pub fn audio(&self, payload_type: u8) -> Vec<u8> {
        let packets = self.packets.iter().filter(|packet| packet.payload_type == payload_type);
        packets.flat_map(|packet| packet.payload.iter().copied()).collect()
    }

    /// Asserts that it all is one stream to the ear of RFC 3550: one source, every sequence number once and in
    /// order, and timestamps that never go back.
    ///
    /// # Panics
    /// Where it is not, naming the packet.
    pub fn assert_one_stream(&self) {
        for (number, pair) in (1..).zip(self.packets.windows(2)) {
            let [before, after] = pair else { continue };
            assert_eq!(after.ssrc, before.ssrc, "packet {number} is of another source");
            assert_eq!(
                after.sequence,
                before.sequence.wrapping_add(1),
                "the sequence number of packet {number}"
            );
            let step = after.timestamp.wrapping_sub(before.timestamp);
            assert!(
                step < 1 << 31,
                "the timestamp of packet {number} goes back: {} {}",
                before.timestamp,
                after.timestamp
            );
        }
    }

    /// Asserts that the audio is exactly this, in packets of so many bytes, with timestamps that count every sample.
    ///
    /// # Panics
    /// Where it is not, saying where it first differs.
    pub fn assert_audio(&self, payload_type: u8, expected: &[u8], packet_bytes: usize) {
        self.assert_one_stream();
        let packets: Vec<&Packet> =
            self.packets.iter().filter(|packet| packet.payload_type == payload_type).collect();
        for (number, pair) in (1..).zip(packets.windows(2)) {
            let [before, after] = pair else { continue };
            let step = after.timestamp.wrapping_sub(before.timestamp);
            assert_eq!(step as usize, before.payload.len(), "the timestamp of audio packet {number}");
        }
        for (number, packet) in packets.iter().enumerate() {
            assert_eq!(packet.payload.len(), packet_bytes, "the bytes of audio packet {number}");
        }
        let audio = self.audio(payload_type);
        let same = audio.iter().zip(expected).take_while(|(got, sent)| got == sent).count();
        assert!(
            audio.len() == expected.len() && same == expected.len(),
            "{} bytes arrived of {} sent; the first {same} are the same",
            audio.len(),
            expected.len()
        );
    }

    /// Asserts that the audio is the same sound in the other law of G.711, sample by sample.
    ///
    /// One conversion of good quality costs less than 1 dB of the 38 dB that each law has (ITU-T G.711 §3.4); 30 dB is
    /// below that, and above everything that a wrong table or a lost sample gives.
    ///
    /// # Panics
    /// Where it is another sound.
    pub fn assert_same_sound(&self, payload_type: u8, sent: &[u8]) {
        self.assert_one_stream();
        let audio = self.audio(payload_type);
        assert_eq!(audio.len(), sent.len(), "the number of samples");
        let (got_law, sent_law) = match payload_type {
            Packet::PCMU => (decode_ulaw as fn(u8) -> i16, decode_alaw as fn(u8) -> i16),
            _ => (decode_alaw as fn(u8) -> i16, decode_ulaw as fn(u8) -> i16),
        };
        let pairs =
            audio.iter().zip(sent).map(|(&got, &sent)| (f64::from(got_law(got)), f64::from(sent_law(sent))));
        let (signal, noise) = pairs.fold((0.0, 0.0), |(signal, noise), (got, sent)| {
            (signal + sent * sent, noise + (got - sent) * (got - sent))
        });
        let ratio_db = 10.0 * (signal / f64::max(noise, 1.0)).log10();
        assert!(ratio_db > 30.0, "the sound differs: signal to noise is {ratio_db:.1} dB");
    }

    /// Returns the telephone events of a payload type, in the order they began.
    ///
    /// # Panics
    /// Where packets of one event contradict each other (RFC 4733 §2.5.1).
    #[must_use]
    pub fn digits(&self, payload_type: u8) -> Vec<Digit> {
        let mut digits: Vec<(u32, Digit)> = Vec::new();
        for packet in self.packets.iter().filter(|packet| packet.payload_type == payload_type) {
            let [event, flags, high, low] = packet.payload[..] else {
                panic!("an event of {} bytes", packet.payload.len())
            };
            let duration = u16::from_be_bytes([high, low]);
            let ended = flags & 0x80 != 0;
            match digits.last_mut() {
                Some((began, digit)) if *began == packet.timestamp => {
                    assert_eq!(digit.event, event, "one event, two digits");
                    assert!(!packet.marker, "the marker is on the first packet of an event only");
                    assert!(duration >= digit.duration, "an event does not get shorter");
                    assert!(ended || !digit.ended, "an event that ended goes on");
                    *digit = Digit { event, duration, ended };
                }
                _ => {
                    assert!(packet.marker, "the first packet of an event has the marker");
                    digits.push((packet.timestamp, Digit { event, duration, ended }));
                }
            }
        }
        digits.into_iter().map(|(_, digit)| digit).collect()
    }
}
