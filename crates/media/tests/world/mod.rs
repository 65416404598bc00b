//! Two legs joined as a bridge joins them, a peer that sends to the one, and what the peer of the other gets.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_media::opus::Settings;
use trunkline_media::rtp::{self, Packet};
use trunkline_media::{Channel, ClockRate, Direction, LegConfig, Negotiated, Payload, PayloadMap, RtpLeg};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;

pub(crate) const LEFT: &str = "192.0.2.1:10000";
pub(crate) const RIGHT: &str = "198.51.100.1:20000";

pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) left: RtpLeg,
    pub(crate) right: RtpLeg,
    /// RTP that the right peer got.
    pub(crate) got: Vec<Got>,
    /// RTP that the left peer got.
    pub(crate) got_left: Vec<Got>,
    /// RTCP that both peers got: to whom, through which port, what.
    pub(crate) reports: Vec<(SocketAddr, Channel, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) at_ms: u64,
    pub(crate) to: SocketAddr,
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

/// A peer that numbers its packets as it should.
pub(crate) struct Peer {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) from: SocketAddr,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn payloads(ptime_ms: u16, entries: &[(u8, Payload)]) -> PayloadMap {
    let mut map = PayloadMap::new(ptime_ms);
    for &(number, payload) in entries {
        assert!(map.push(number, payload));
    }
    map
}

/// Everything both ways, with telephone events under a number of choice.
pub(crate) fn negotiated(
    remote: &str,
    codec: Codec,
    ptime_ms: u16,
    telephone_event: Option<u8>,
) -> Negotiated {
    let number = |codec| match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::Opus => 111,
    };
    let other = match codec {
        Codec::Pcmu => Codec::Pcma,
        Codec::Pcma | Codec::Opus => Codec::Pcmu,
    };
    let mut map = payloads(
        ptime_ms,
        &[
            (number(codec), Payload::Audio(codec)),
            (number(other), Payload::Audio(other)),
            (13, Payload::ComfortNoise),
        ],
    );
    if let Some(event) = telephone_event {
        assert!(map.push(event, Payload::TelephoneEvent(ClockRate::of(codec))));
    }
    let remote_rtp = address(remote);
    Negotiated {
        remote_rtp,
        remote_rtcp: SocketAddr::new(remote_rtp.ip(), remote_rtp.port() + 1),
        rtcp_mux: false,
        send: map,
        receive: map,
        direction: Direction::SendRecv,
        opus: Settings::default(),
    }
}

pub(crate) fn leg(negotiated: Negotiated, latch: &[&str], seed: u64, now: Instant) -> RtpLeg {
    let latch = latch.iter().map(|network| network.parse().unwrap()).collect();
    RtpLeg::new(LegConfig { negotiated: Some(negotiated), latch, seed }, now)
}

impl World {
    pub(crate) fn new(left: Negotiated, right: Negotiated) -> Self {
        let now = first_instant();
        Self {
            start: now,
            now,
            left: leg(left, &[], 1, now),
            right: leg(right, &[], 2, now),
            got: Vec::new(),
            got_left: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// PCMU on both sides in 20 ms packets, events as 101.
    pub(crate) fn plain() -> Self {
        Self::new(negotiated(LEFT, Codec::Pcmu, 20, Some(101)), negotiated(RIGHT, Codec::Pcmu, 20, Some(101)))
    }

    /// A datagram arrives at the left leg now.
    pub(crate) fn arrives(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.left.handle_rtp(self.now, from, datagram);
        self.drain();
    }

    /// A datagram arrives at the right leg now.
    pub(crate) fn arrives_right(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.right.handle_rtp(self.now, from, datagram);
        self.drain();
    }

    /// Time passes, and everything that falls due happens when it is due.
    pub(crate) fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        let due = |world: &Self| {
            let soonest = [world.left.poll_timeout(), world.right.poll_timeout()];
            soonest.into_iter().flatten().map(|(due, _)| due).min().filter(|&due| due <= until)
        };
        let mut wakes = 0;
        while let Some(due) = due(self) {
            wakes += 1;
            assert!(wakes < 100_000, "the legs ask to be woken for ever: {:?}", self.left.poll_timeout());
            self.now = due.max(self.now);
            self.left.handle_timeout(self.now);
            self.right.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    pub(crate) fn drain(&mut self) {
        while let Some(frame) = self.left.poll_frame(self.now) {
            self.right.send(self.now, &frame);
        }
        while let Some(frame) = self.right.poll_frame(self.now) {
            self.left.send(self.now, &frame);
        }
        let at_ms = (self.now - self.start).as_millis() as u64;
        for (leg, got) in [(&mut self.right, &mut self.got), (&mut self.left, &mut self.got_left)] {
            while let Some(transmit) = leg.poll_transmit() {
                match rtp::parse(transmit.bytes) {
                    Ok(packet) if !rtp::is_rtcp(transmit.bytes) => {
                        got.push(Got::new(at_ms, transmit.remote, &packet))
                    }
                    Ok(_) | Err(_) => {
                        self.reports.push((transmit.remote, transmit.channel, transmit.bytes.to_vec()));
                    }
                }
            }
        }
    }

    /// What the right peer got of a payload type.
    pub(crate) fn got_of(&self, payload_type: u8) -> Vec<Got> {
        self.got.iter().filter(|got| got.payload_type == payload_type).cloned().collect()
    }

    /// Asserts what every receiver relies on: one source, sequence numbers without a gap.
    pub(crate) fn assert_continuous(&self) {
        for pair in self.got.windows(2) {
            assert_eq!(pair[0].ssrc, pair[1].ssrc, "the source never changes");
            assert_eq!(pair[0].sequence.wrapping_add(1), pair[1].sequence, "sequence numbers have no gap");
        }
    }
}

impl Got {
    fn new(at_ms: u64, to: SocketAddr, packet: &Packet<'_>) -> Self {
        Self {
            at_ms,
            to,
            payload_type: packet.payload_type,
            marker: packet.marker,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            payload: packet.payload.to_vec(),
        }
    }
}

impl Peer {
    pub(crate) fn new(from: &str) -> Self {
        Self { ssrc: 0x1111_1111, sequence: 65_530, timestamp: u32::MAX - 500, from: address(from) }
    }

    /// Makes the next audio packet and moves the clock on.
    pub(crate) fn audio(&mut self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let datagram = self.packet(payload_type, false, self.timestamp, payload);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        datagram
    }

    /// Makes a packet under the next sequence number.
    pub(crate) fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let packet =
            Packet { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = rtp::header(&packet).to_vec();
        datagram.extend_from_slice(payload);
        datagram
    }

    /// Sends audio to the left leg for a while, in packets of 20 ms.
    pub(crate) fn talks(&mut self, world: &mut World, ms: u64) {
        for _ in 0..ms / 20 {
            let datagram = self.audio(0, &[0x55; 160]);
            world.arrives(self.from, &datagram);
            world.wait(20);
        }
    }
}
