//! RTCP of a leg: when to report, what to say, what was heard.

use crate::leg::LegTimer;
use crate::leg::queue::{Channel, PacketQueue};
use crate::leg::stream::RtpStream;
use crate::rtcp::{self, Blocks, Compound, OwnReport, Rtcp, SenderInfo};
use crate::stats::{LegStats, ReceptionReport};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Sends a report every few seconds and measures the round trip from those of the peer.
#[derive(Debug)]
pub(super) struct Reporter {
    ssrc: u32,
    cname: String,
    random: ChaCha8Rng,
    /// What NTP time counts from: any steady clock will do (RFC 3550 §6.4.1).
    epoch: Instant,
    due: Option<Instant>,
    /// Packets sent up to the last report: a report is the sender's only when there are more by now.
    sent_reported: u64,
    /// The middle of the NTP time in the peer's last sender report, and when it came.
    peer_report: Option<(u32, Instant)>,
}

/// What a report gathers from the leg.
pub(super) struct Report<'a> {
    /// Whether it says goodbye.
    pub(super) bye: bool,
    pub(super) received: Option<ReceptionReport>,
    /// The outgoing media clock of now.
    pub(super) rtp_now: u32,
    pub(super) stats: &'a LegStats,
}

/// Mean time between reports (RFC 3550 §6.2: the fixed minimum), half of it before the first.
const INTERVAL: Duration = Duration::from_secs(5);

/// A round trip above this is a clock gone wrong.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);

impl Reporter {
    pub(super) fn new(now: Instant, ssrc: u32, mut random: ChaCha8Rng) -> Self {
        // RFC 7022 §4.2: a CNAME of 96 random bits says nothing of who we are.
        let cname = format!("{:016x}{:08x}", random.random::<u64>(), random.random::<u32>());
        Self { ssrc, cname, random, epoch: now, due: None, sent_reported: 0, peer_report: None }
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.schedule(now, INTERVAL / 2);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, LegTimer)> {
        self.due.map(|due| (due, LegTimer::Report))
    }

    /// Takes a peer's reports.
    pub(super) fn handle_compound(&mut self, now: Instant, compound: Compound<'_>, stream: &mut RtpStream) {
        for packet in compound {
            match packet {
                Rtcp::SenderReport { sent, blocks, .. } => {
                    self.peer_report = Some((middle(sent.ntp), now));
                    self.handle_blocks(now, blocks, stream);
                }
                Rtcp::ReceiverReport { blocks, .. } => self.handle_blocks(now, blocks, stream),
                Rtcp::Bye => stream.stats_mut().rtcp_byes += 1,
                Rtcp::SourceDescription | Rtcp::Other(_) => {}
            }
        }
    }

    /// Queues a report and schedules the next.
    pub(super) fn report(
        &mut self,
        now: Instant,
        report: &Report<'_>,
        target: Option<(Channel, SocketAddr)>,
        queue: &mut PacketQueue<(Channel, SocketAddr)>,
    ) {
        let &Report { bye, received, rtp_now, stats } = report;
        self.due = None;
        if !bye {
            self.schedule(now, INTERVAL);
        }
        let Some(target) = target else { return };
        // RFC 3550 §6.4: a sender's report when something was sent since the one before the last.
        let packets = stats.sent + stats.keep_alives;
        let sends = packets > self.sent_reported;
        self.sent_reported = packets;
        let sent = sends.then(|| SenderInfo {
            ntp: self.ntp(now),
            rtp: rtp_now,
            packets: packets as u32,
            octets: (stats.sent_bytes + stats.keep_alive_bytes) as u32,
        });
        let (last_sender_report, since_last_sender_report) =
            self.peer_report.map_or((0, 0), |(middle, at)| {
                let since = now.saturating_duration_since(at);
                (middle, u32::try_from(since.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX))
            });
        let report = OwnReport {
            ssrc: self.ssrc,
            sent,
            received,
            last_sender_report,
            since_last_sender_report,
            cname: &self.cname,
            bye,
        };
        queue.push(target, |bytes| rtcp::write(&report, bytes));
    }

    fn schedule(&mut self, now: Instant, mean: Duration) {
        // RFC 3550 §6.3.1: spread over half to one and a half of the mean, so that reports do not fall in step.
        self.due = Some(now + mean.mul_f64(self.random.random_range(0.5..1.5)));
    }

    fn handle_blocks(&mut self, now: Instant, blocks: Blocks<'_>, stream: &mut RtpStream) {
        for block in blocks.iter().filter(|block| block.ssrc == self.ssrc) {
            let mut round_trip = None;
            if block.last_sender_report != 0 {
                // RFC 3550 §6.4.1: A − LSR − DLSR, in 1/65536 s.
                let trip = middle(self.ntp(now))
                    .wrapping_sub(block.last_sender_report)
                    .wrapping_sub(block.since_last_sender_report);
                let trip = Duration::from_secs_f64(f64::from(trip) / 65_536.0);
                if trip < ROUND_TRIP_MAX {
                    round_trip = Some(trip);
                }
            }
            stream.set_path(Some(block.fraction_lost), round_trip);
        }
    }

    fn ntp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        // One second on, as a zero would mean that there is no clock.
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        ((since.as_secs() + 1) << 32) | fraction
    }
}

/// The middle 32 bits of an NTP time, which reports echo.
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}
