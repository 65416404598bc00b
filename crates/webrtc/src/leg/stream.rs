//! The RTP streams that a browser sends.

use super::mid;
use std::collections::VecDeque;
use str0m::Rtc;

/// The SSRCs of which an authentic packet has come, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Streams {
    known: VecDeque<u32>,
}

impl Streams {
    pub(super) fn is_known(&self, ssrc: u32) -> bool {
        self.known.contains(&ssrc)
    }

    /// Readies str0m for a packet of a stream.
    pub(super) fn expect(&self, rtc: &mut Rtc, ssrc: u32) {
        let mut api = rtc.direct_api();
        // Audio is not sent again: its descriptions have no a=rtcp-fb:nack.
        api.expect_stream_rx(ssrc.into(), None, mid(), None).suppress_nack(true);
    }

    /// Keeps a stream, and forgets the oldest if there are too many.
    pub(super) fn keep(&mut self, rtc: &mut Rtc, ssrc: u32) {
        self.known.push_back(ssrc);
        if self.known.len() > STREAMS_MAX
            && let Some(oldest) = self.known.pop_front()
        {
            self.forget(rtc, oldest);
        }
    }

    /// Makes str0m forget a stream.
    pub(super) fn forget(&self, rtc: &mut Rtc, ssrc: u32) {
        rtc.direct_api().remove_stream_rx(ssrc.into());
    }
}

/// Most streams of one browser. It sends one; another takes its place when it changes the microphone or restarts.
const STREAMS_MAX: usize = 4;
