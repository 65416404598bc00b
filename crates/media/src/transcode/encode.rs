//! G.711 to Opus packets.

use crate::g711::{self, Law};
use crate::opus::{self, Encoder, PACKET_BYTES_MAX, Settings};
use crate::transcode::{CONCEALED_MAX, FRAME_SAMPLES};

/// Codes what is sent to one peer, in one stream whatever it comes from.
#[derive(Debug)]
pub(crate) struct OpusOutput {
    encoder: Encoder,
    /// Whether the peer has been told that silence goes on.
    is_silent: bool,
    packet: [u8; PACKET_BYTES_MAX],
}

/// Lengths that an Opus frame of speech can have, in samples.
const LENGTHS: [usize; 4] = [FRAME_SAMPLES / 2, FRAME_SAMPLES, 2 * FRAME_SAMPLES, 3 * FRAME_SAMPLES];

const _: () = assert!(CONCEALED_MAX == 3 * FRAME_SAMPLES, "what is made up fits into a frame");

impl OpusOutput {
    /// Returns an encoder, if there is memory.
    pub(crate) fn new(settings: Settings) -> Option<Self> {
        let encoder = Encoder::new(settings).ok()?;
        Some(Self { encoder, is_silent: false, packet: [0; PACKET_BYTES_MAX] })
    }

    /// Changes how what comes next is coded, as far as libopus takes it.
    pub(crate) fn set(&mut self, settings: Settings) {
        if let Err(error) = self.encoder.set(settings) {
            tracing::debug!(%error, "settings of Opus");
        }
    }

    /// Codes up to 60 ms. What is shorter than a frame is filled up with silence, what is longer is cut off. None when
    /// there is nothing to send, as silence goes on.
    pub(crate) fn encode(&mut self, law: Law, payload: &[u8]) -> Option<&[u8]> {
        let mut samples = [0; 3 * FRAME_SAMPLES];
        for (sample, &coded) in samples.iter_mut().zip(payload) {
            *sample = g711::expand(law, coded);
        }
        let length =
            LENGTHS.iter().find(|&&length| payload.len() <= length).unwrap_or(&samples.len()).to_owned();
        let bytes = self.encoder.encode(samples.get(..length)?, &mut self.packet).ok()?;
        let packet = self.packet.get(..bytes)?;
        let goes_on = std::mem::replace(&mut self.is_silent, opus::is_silent(packet));
        (!(goes_on && self.is_silent)).then_some(packet)
    }
}
