//! What a leg counts, and what that sounds like.

use crate::frame::{self, ClockRate, UNITS_PER_MS};
use std::time::{Duration, Instant};
use trunkline_model::{Codec, LegQuality};

/// Everything counted on one leg since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LegStats {
    /// The codec sent last, or received last where nothing was sent.
    pub codec: Option<Codec>,
    /// RTP packets received from the allowed source.
    pub received: u64,
    /// Their payload bytes.
    pub received_bytes: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
    /// Silent packets sent only to keep the path open; not among [`sent`](Self::sent).
    pub keep_alives: u64,
    /// Their payload bytes.
    pub keep_alive_bytes: u64,
    /// Packets that never came, by sequence number (RFC 3550 A.3).
    pub lost: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that came when their turn was over.
    pub late: u64,
    /// Packets dropped as their source was not allowed, RTP and RTCP.
    pub refused: u64,
    /// Packets dropped as they were not RTP or RTCP, or their payload was not what it said.
    pub malformed: u64,
    /// Packets dropped as their payload type was not agreed.
    pub unknown_payload: u64,
    /// Packets that came while the peer was told not to send.
    pub unexpected: u64,
    /// Frames not sent: on hold, during an event, or in a format the peer does not take.
    pub suppressed: u64,
    /// Audio made up in place of packets that the other leg lost, in milliseconds.
    pub concealed_ms: u64,
    /// The same, out of the copy that the next packet carried.
    pub recovered_ms: u64,
    /// Telephone events heard.
    pub events_received: u64,
    /// Telephone events sent.
    pub events_sent: u64,
    /// RTCP BYE heard. It says that a source stops, never that a call ends.
    pub rtcp_byes: u64,
    /// Interarrival jitter now (RFC 3550 A.8).
    pub jitter_ms: f32,
    /// The largest jitter at a report or when asked.
    pub jitter_ms_max: f32,
    /// Round trip to the peer's RTCP, where it reports (RFC 3550 §6.4.1).
    pub round_trip: Option<Duration>,
    /// What the peer says it lost of what we sent, as a share of 256 in its last report.
    pub remote_fraction_lost: Option<u8>,
    /// When the first packet was accepted.
    pub first_received: Option<Instant>,
    /// When the last packet was accepted.
    pub last_received: Option<Instant>,
    /// When the first packet was sent.
    pub first_sent: Option<Instant>,
    /// When the last packet was sent, one that keeps the path open included.
    pub last_sent: Option<Instant>,
}

/// Which packets of a source came, and how evenly (RFC 3550 A.1, A.3 and A.8).
#[derive(Debug, Default)]
pub(crate) struct Reception {
    source: Option<Source>,
    /// Expected and received of sources before this one.
    earlier: (u64, u64),
    jitter: Jitter,
}

/// What a report block says of a source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceptionReport {
    pub(crate) ssrc: u32,
    pub(crate) fraction_lost: u8,
    pub(crate) cumulative_lost: i32,
    pub(crate) highest_sequence: u32,
    pub(crate) jitter: u32,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: u32,
    highest: u32,
    received: u64,
    /// Expected and received at the last report, for the fraction of the interval.
    reported: (u64, u64),
}

#[derive(Debug, Default)]
struct Jitter {
    last: Option<(Instant, u32)>,
    clock: ClockRate,
    /// In ticks of the clock, scaled by 16 as in RFC 3550 A.8.
    scaled: u64,
}

/// Most units of 1/8000 s that one packet adds to the jitter: a pause or a jump of the timestamp is no jitter.
const JITTER_STEP_MAX: u32 = 1000 * UNITS_PER_MS;

impl LegStats {
    /// Returns an estimate of the mean opinion score; none before anything came.
    pub fn mos(&self) -> Option<f32> {
        if self.received == 0 {
            return None;
        }
        let expected = self.received + self.lost;
        let loss = (self.lost + self.late) as f32 / expected as f32;
        Some(mos(loss, self.jitter_ms_max, self.round_trip))
    }

    /// Returns what call records keep.
    pub fn quality(&self) -> LegQuality {
        LegQuality {
            codec: self.codec.map(|codec| codec.name().to_owned()).unwrap_or_default(),
            packets_received: self.received,
            packets_sent: self.sent,
            packets_lost: self.lost,
            packets_refused: self.refused,
            jitter_ms_max: self.jitter_ms_max,
            mos: self.mos(),
        }
    }
}

/// Returns the mean opinion score of G.711 with loss concealment, by the E-model of ITU-T G.107 with all but loss and
/// delay at their defaults.
///
/// `loss` is a share of one. The far end's jitter buffer is taken to hold twice the jitter.
pub fn mos(loss: f32, jitter_ms: f32, round_trip: Option<Duration>) -> f32 {
    /// Transmission rating with every parameter at its default (G.107 §7.7).
    const R_DEFAULT: f32 = 93.2;
    /// Packet-loss robustness of G.711 with concealment under random loss (G.113 Appendix I).
    const BPL_G711: f32 = 25.1;
    /// One packet and its handling at both ends.
    const FIXED_DELAY_MS: f32 = 25.0;

    let one_way_ms = round_trip.map_or(0.0, |rtt| rtt.as_secs_f32() * 500.0);
    let delay_ms = one_way_ms + 2.0 * jitter_ms + FIXED_DELAY_MS;
    let delay_impairment = 0.024 * delay_ms + if delay_ms > 177.3 { 0.11 * (delay_ms - 177.3) } else { 0.0 };
    let loss_percent = loss.clamp(0.0, 1.0) * 100.0;
    let loss_impairment = 95.0 * loss_percent / (loss_percent + BPL_G711);
    let r = (R_DEFAULT - delay_impairment - loss_impairment).clamp(0.0, 100.0);
    // G.107 Annex B; its cubic dips below 1 for very small R.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

impl Reception {
    /// Counts a packet of a source; a different source is counted anew. `clock` is that of its timestamp; none where
    /// that does not tell when it was sampled, as of an event packet.
    pub(crate) fn count(
        &mut self,
        now: Instant,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
        clock: Option<ClockRate>,
    ) {
        match self.source.as_mut().filter(|source| source.ssrc == ssrc) {
            Some(source) => {
                let step = sequence.wrapping_sub(source.highest as u16).cast_signed();
                if step > 0 {
                    source.highest = source.highest.wrapping_add(u32::from(step.cast_unsigned()));
                }
                source.received += 1;
            }
            None => self.begin(ssrc, sequence),
        }
        if let Some(clock) = clock {
            self.jitter.count(now, timestamp, clock);
        }
    }

    /// Takes it that the next packet begins a new count: its source jumped, or was told not to send in between.
    pub(crate) fn restart(&mut self) {
        if let Some(source) = self.source.take() {
            self.earlier.0 += source.expected();
            self.earlier.1 += source.received;
        }
        self.jitter.last = None;
    }

    pub(crate) fn lost(&self) -> u64 {
        let (expected, received) =
            self.source.as_ref().map_or((0, 0), |source| (source.expected(), source.received));
        (self.earlier.0 + expected).saturating_sub(self.earlier.1 + received)
    }

    pub(crate) fn jitter_ms(&self) -> f32 {
        (self.jitter.scaled / 16) as f32 / (UNITS_PER_MS * self.jitter.clock.ticks_per_unit()) as f32
    }

    /// Returns what to report of the source, and begins the next interval.
    pub(crate) fn report(&mut self) -> Option<ReceptionReport> {
        let jitter = u32::try_from(self.jitter.scaled / 16).unwrap_or(u32::MAX);
        let source = self.source.as_mut()?;
        let now = (source.expected(), source.received);
        let expected = now.0.saturating_sub(source.reported.0);
        let lost = expected.saturating_sub(now.1.saturating_sub(source.reported.1));
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0).min(255);
        source.reported = now;
        let cumulative = now.0.cast_signed() - now.1.cast_signed();
        Some(ReceptionReport {
            ssrc: source.ssrc,
            fraction_lost: fraction as u8,
            // RFC 3550 A.3: clamped at 24 bits, and negative when there were duplicates.
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: source.highest,
            jitter,
        })
    }

    fn begin(&mut self, ssrc: u32, sequence: u16) {
        self.restart();
        let first = u32::from(sequence);
        self.source = Some(Source { ssrc, first, highest: first, received: 1, reported: (0, 0) });
    }
}

impl Source {
    fn expected(&self) -> u64 {
        u64::from(self.highest.wrapping_sub(self.first)) + 1
    }
}

impl Jitter {
    fn count(&mut self, now: Instant, timestamp: u32, clock: ClockRate) {
        if clock != self.clock {
            *self = Self { clock, ..Self::default() };
        }
        let ticks_per_unit = u64::from(clock.ticks_per_unit());
        if let Some((arrival, sampled)) = self.last {
            let units = frame::units(now.saturating_duration_since(arrival));
            let arrived = units.saturating_mul(ticks_per_unit).cast_signed();
            let deviation =
                (arrived - i64::from(timestamp.wrapping_sub(sampled).cast_signed())).unsigned_abs();
            if deviation <= u64::from(JITTER_STEP_MAX) * ticks_per_unit {
                self.scaled = self.scaled + deviation - ((self.scaled + 8) >> 4);
            }
        }
        self.last = Some((now, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_model::clock::first_instant;

    #[test]
    fn loss_is_what_was_expected_and_never_came() {
        let now = first_instant();
        let mut reception = Reception::default();
        for sequence in [65_533, 65_534, 1, 0, 4] {
            reception.count(now, 1, sequence, 0, None);
        }
        assert_eq!(reception.lost(), 3, "65535, 2 and 3");
        let report = reception.report().unwrap();
        assert_eq!(report.cumulative_lost, 3);
        assert_eq!(report.fraction_lost, (3 * 256 / 8) as u8);
        assert_eq!(report.highest_sequence, 65_536 + 4);
        reception.count(now, 1, 5, 0, None);
        assert_eq!(reception.report().unwrap().fraction_lost, 0, "nothing was lost since the last report");
    }

    #[test]
    fn a_new_source_does_not_count_as_loss() {
        let now = first_instant();
        let mut reception = Reception::default();
        reception.count(now, 1, 10, 0, None);
        reception.count(now, 1, 12, 0, None);
        reception.count(now, 2, 40_000, 0, None);
        assert_eq!(reception.lost(), 1);
        assert_eq!(reception.report().unwrap().ssrc, 2);
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_converges_on_its_own() {
        let mut now = first_instant();
        let mut reception = Reception::default();
        for packet in 0..100 {
            reception.count(now, 1, packet, u32::from(packet) * 160, Some(ClockRate::Hz8000));
            now += Duration::from_millis(20);
        }
        assert_eq!(reception.jitter_ms(), 0.0);
        // Every other packet is 10 ms late, so that each step deviates by 10 ms.
        for packet in 100..600 {
            let late = if packet % 2 == 0 { 10 } else { 0 };
            reception.count(
                now + Duration::from_millis(late),
                1,
                packet,
                u32::from(packet) * 160,
                Some(ClockRate::Hz8000),
            );
            now += Duration::from_millis(20);
        }
        assert!((reception.jitter_ms() - 10.0).abs() < 1.0, "{}", reception.jitter_ms());
    }

    #[test]
    fn the_score_falls_with_loss_jitter_and_delay() {
        let clean = mos(0.0, 0.0, None);
        assert!((4.3..=4.5).contains(&clean), "{clean}");
        assert!((3.5..4.0).contains(&mos(0.05, 5.0, None)));
        assert!(mos(0.0, 100.0, None) < clean);
        assert!(mos(0.0, 0.0, Some(Duration::from_millis(800))) < 3.7);
        assert_eq!(mos(1.0, 1000.0, Some(Duration::from_secs(9))), 1.0);
    }
}
