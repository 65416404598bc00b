//! Which payloads are stated, under which numbers, and in which order.

use crate::frame::ClockRate;
use crate::negotiated::{Payload, PayloadMap};
use crate::opus::{BITRATE_BPS_MIN, Settings};
use crate::sdp::Media;
use trunkline_model::{Codec, MediaPolicy, OpusPolicy};

/// Returns what a policy takes, best first, under the numbers that it is offered with.
pub(super) fn of_policy(policy: &MediaPolicy, ptime_ms: u16) -> PayloadMap {
    let mut formats = PayloadMap::new(ptime_ms);
    for &codec in &policy.codecs {
        push_once(&mut formats, own_number(Payload::Audio(codec)), Payload::Audio(codec));
    }
    if policy.telephone_event {
        // Those of 8 kHz beside Opus alone, too: not every peer has them on its clock.
        let clocks = match formats.number(Payload::Audio(Codec::Opus)) {
            Some(_) => [ClockRate::Hz48000, ClockRate::Hz8000].as_slice(),
            None => &[ClockRate::Hz8000],
        };
        for payload in clocks.iter().map(|&clock| Payload::TelephoneEvent(clock)) {
            push_once(&mut formats, own_number(payload), payload);
        }
    }
    if policy.comfort_noise {
        push_once(&mut formats, own_number(Payload::ComfortNoise), Payload::ComfortNoise);
    }
    formats
}

/// Returns the number that we offer a payload with, unless the session has another for it.
fn own_number(payload: Payload) -> u8 {
    match payload {
        // RFC 3551 §6.
        Payload::Audio(Codec::Pcmu) => 0,
        Payload::Audio(Codec::Pcma) => 8,
        // RFC 3389 §4.
        Payload::ComfortNoise => 13,
        // Any dynamic ones would do; these are what most carriers, phones and browsers use.
        Payload::TelephoneEvent(ClockRate::Hz8000) => 101,
        Payload::TelephoneEvent(ClockRate::Hz48000) => 110,
        Payload::Audio(Codec::Opus) => 111,
    }
}

/// The numbers that a session has given to payloads. Once stated, a number means nothing else (RFC 3264 §8.3.2).
#[derive(Debug, Clone)]
pub(super) struct Numbers(PayloadMap);

impl Numbers {
    pub(super) fn new() -> Self {
        Self(PayloadMap::new(0))
    }

    /// Takes the numbers of a description that was answered.
    pub(super) fn learn(&mut self, formats: &PayloadMap) {
        let mut known = PayloadMap::new(0);
        for (number, payload) in formats.iter().chain(self.0.iter()) {
            push_once(&mut known, number, payload);
        }
        self.0 = known;
    }

    /// Returns formats under the numbers of the session. What has none left there is left out.
    pub(super) fn apply(&self, formats: &PayloadMap) -> PayloadMap {
        let mut numbered = PayloadMap::new(formats.ptime_ms);
        for (number, payload) in formats.iter() {
            push_once(&mut numbered, self.0.number(payload).unwrap_or(number), payload);
        }
        numbered
    }
}

/// Adds a format unless the payload has a number already: each is stated once.
fn push_once(map: &mut PayloadMap, number: u8, payload: Payload) {
    if map.number(payload).is_none() {
        map.push(number, payload);
    }
}

/// Returns each payload once, under its first number.
pub(super) fn once_each(map: &PayloadMap) -> PayloadMap {
    let mut once = PayloadMap::new(map.ptime_ms);
    for (number, payload) in map.iter() {
        push_once(&mut once, number, payload);
    }
    once
}

/// Returns the same formats, with one codec first where it is among them.
pub(super) fn preferred_first(map: PayloadMap, prefer: Option<Codec>) -> PayloadMap {
    let preferred = prefer.map(Payload::Audio);
    let Some(number) = preferred.and_then(|payload| map.number(payload)) else { return map };
    let mut ordered = PayloadMap::new(map.ptime_ms);
    let (first, rest) = (map.iter().filter(|&(n, _)| n == number), map.iter().filter(|&(n, _)| n != number));
    for (number, payload) in first.chain(rest) {
        ordered.push(number, payload);
    }
    ordered
}

/// What a peer says of the Opus that it wants (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PeerOpus {
    bitrate_bps_max: Option<u32>,
    constant: bool,
    fec: bool,
    dtx: bool,
}

impl PeerOpus {
    /// Reads the parameters of a format. What is not understood means nothing.
    pub(super) fn read(media: &Media<'_>, number: u8) -> Self {
        let mut wanted = Self::default();
        let text = media.fmtp(number).and_then(|parameters| std::str::from_utf8(parameters).ok());
        for parameter in text.unwrap_or_default().split(';') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim();
            match name.trim() {
                "maxaveragebitrate" => wanted.bitrate_bps_max = value.parse().ok(),
                "cbr" => wanted.constant = value == "1",
                "useinbandfec" => wanted.fec = value == "1",
                "usedtx" => wanted.dtx = value == "1",
                _ => {}
            }
        }
        wanted
    }

    /// Returns how we code for this peer.
    pub(super) fn settings(&self, policy: &OpusPolicy) -> Settings {
        let bitrate_bps = policy.bitrate_bps.min(self.bitrate_bps_max.unwrap_or(u32::MAX));
        Settings {
            complexity: policy.complexity,
            bitrate_bps: bitrate_bps.max(BITRATE_BPS_MIN),
            constant: self.constant,
            fec: policy.fec && self.fec,
            dtx: policy.dtx && self.dtx,
            loss_percent: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_session_is_kept_and_never_given_to_two() {
        let policy = MediaPolicy { codecs: vec![Codec::Opus, Codec::Pcmu], ..MediaPolicy::default() };
        let own = of_policy(&policy, 20);
        let listed = |map: &PayloadMap| map.iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(listed(&own), [111, 0, 110, 101, 13]);
        let mut numbers = Numbers::new();
        let mut answered = PayloadMap::new(20);
        answered.push(101, Payload::Audio(Codec::Opus));
        answered.push(96, Payload::TelephoneEvent(ClockRate::Hz48000));
        numbers.learn(&answered);
        assert_eq!(
            listed(&numbers.apply(&own)),
            [101, 0, 96, 13],
            "101 is taken, so one clock of events is left out"
        );
    }
}
