//! The data plane of one call: two RTP legs, joined. It lives on a media worker, away from all signalling.

use crate::command::{BridgeCommand, Gate};
use crate::event::{BridgeEvent, BridgeStats, Side};
use ipnet::IpNet;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use trunkline_media::{Channel, Direction, LegConfig, LegTimer, Negotiated, RtpLeg, Transmit};

/// How a bridge is made.
#[derive(Debug, Clone, Default)]
pub struct BridgeConfig {
    /// Networks that the RTP source of the caller's side may be latched from.
    pub caller_latch: Vec<IpNet>,
    /// Networks that the RTP source of the callee's side may be latched from.
    pub callee_latch: Vec<IpNet>,
    /// Makes the identifiers of both legs.
    pub seed: u64,
}

/// Two RTP legs: what one receives the other sends, in the codec, packet time and payload numbers of its own peer.
///
/// After every `handle_*` call and [`apply`](Self::apply), drain [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), then read [`poll_timeout`](Self::poll_timeout). Relaying a packet allocates
/// nothing once the buffers of both legs have grown to their size.
#[derive(Debug)]
pub struct Bridge {
    caller: End,
    callee: End,
    gate: Gate,
    silence_max: Option<Duration>,
    /// When silence began to count: the gate was opened, or a hold ended.
    listening_since: Option<Instant>,
    silent_at: Option<Instant>,
    /// Greatest effort of coding Opus, where load has been shed.
    complexity_max: Option<u8>,
    events: VecDeque<BridgeEvent>,
}

#[derive(Debug)]
struct End {
    /// None until media is agreed.
    leg: Option<RtpLeg>,
    latch: Vec<IpNet>,
    seed: u64,
    heard: bool,
    /// When the path to the peer is kept open if nothing was sent since then; none while it takes nothing.
    quiet: Option<Quiet>,
}

/// Waiting for a leg to be quiet for too long.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    since: Instant,
    until: Instant,
}

/// How soon a callee that has agreed on media before the answer gets a silent packet: it hears nothing of the caller
/// yet, and a carrier that sends to where RTP comes from would send no early media.
const FIRST_QUIET: Duration = Duration::from_millis(200);

/// How long a leg may be sent nothing: RFC 6263 §6 has 15 s, below the 30 s that NATs keep a binding.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Why a bridge wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeTimer {
    /// A leg's own reason.
    Leg(Side, LegTimer),
    /// No RTP has come from either side for too long.
    Silence,
    /// Nothing has gone to that side for too long.
    KeepAlive(Side),
}

impl Bridge {
    /// Returns a bridge that lets nothing through.
    pub fn new(config: BridgeConfig) -> Self {
        Self {
            caller: End::new(config.caller_latch, config.seed),
            // Any other number will do: the legs hash it.
            callee: End::new(config.callee_latch, config.seed.wrapping_add(1)),
            gate: Gate::Closed,
            silence_max: None,
            listening_since: None,
            silent_at: None,
            complexity_max: None,
            events: VecDeque::new(),
        }
    }

    /// Takes a datagram that came on one of the four sockets.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        side: Side,
        channel: Channel,
        source: SocketAddr,
        datagram: &[u8],
    ) {
        let end = self.end(side);
        let Some(leg) = &mut end.leg else { return };
        match channel {
            Channel::Rtp => leg.handle_rtp(now, source, datagram),
            Channel::Rtcp => return leg.handle_rtcp(now, source, datagram),
        }
        if !end.heard && leg.stats().first_received.is_some() {
            end.heard = true;
            self.events.push_back(BridgeEvent::FirstRtp(side));
        }
        self.relay(now, side);
    }

    /// Does what the signalling says.
    pub fn apply(&mut self, now: Instant, command: BridgeCommand) {
        match command {
            BridgeCommand::NewLeg { side, latch } => {
                let end = self.end(side);
                *end = End::new(latch, end.seed.wrapping_add(2));
            }
            // The path is the worker's, which hands in what comes on it as if from `BROWSER`.
            BridgeCommand::Browser { .. } => {}
            BridgeCommand::Negotiated { side, negotiated } => {
                let first = match (side, self.gate) {
                    (Side::Callee, Gate::Closed | Gate::Early) => FIRST_QUIET,
                    (Side::Callee, Gate::Open) | (Side::Caller, _) => QUIET_MAX,
                };
                let complexity_max = self.complexity_max;
                let end = self.end(side);
                end.expect_quiet(now, first, &negotiated);
                match &mut end.leg {
                    Some(leg) => leg.update(now, negotiated),
                    None => {
                        let latch = std::mem::take(&mut end.latch);
                        let config = LegConfig { negotiated: Some(negotiated), latch, seed: end.seed };
                        let leg = end.leg.insert(RtpLeg::new(config, now));
                        if let Some(complexity) = complexity_max {
                            leg.set_complexity_max(complexity);
                        }
                    }
                }
            }
            BridgeCommand::Digits { side, digits, timing } => {
                // A full queue is of digits that nobody could press so fast.
                let leg = self.end(side).leg.as_mut();
                if let Some(Err(error)) = leg.map(|leg| leg.send_digits(now, &digits, timing)) {
                    tracing::debug!(%error, "digits are not sent");
                }
            }
            BridgeCommand::Gate(gate) => {
                self.gate = gate;
                if let (Gate::Open, Some(quiet)) = (gate, &mut self.callee.quiet) {
                    quiet.until = quiet.since + QUIET_MAX;
                }
            }
            BridgeCommand::SilenceMax(max) => self.silence_max = max,
        }
        self.listen(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for side in Side::BOTH {
            if let Some(leg) = &mut self.end(side).leg {
                leg.handle_timeout(now);
            }
            self.relay(now, side);
            self.end(side).break_quiet(now);
        }
        if self.silent_at.is_some_and(|at| at <= now) {
            self.judge_silence(now);
        }
    }

    /// Returns the next datagram to send, and from which side's socket.
    pub fn poll_transmit(&mut self) -> Option<(Side, Transmit<'_>)> {
        let Self { caller, callee, .. } = self;
        if let Some(transmit) = caller.leg.as_mut().and_then(RtpLeg::poll_transmit) {
            return Some((Side::Caller, transmit));
        }
        let transmit = callee.leg.as_mut().and_then(RtpLeg::poll_transmit)?;
        Some((Side::Callee, transmit))
    }

    /// Returns the next thing to tell the signalling.
    pub fn poll_event(&mut self) -> Option<BridgeEvent> {
        self.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is wanted, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, BridgeTimer)> {
        let of = |side, end: &End| {
            let (at, timer) = end.leg.as_ref()?.poll_timeout()?;
            Some((at, BridgeTimer::Leg(side, timer)))
        };
        let quiet = |side, end: &End| end.quiet.map(|quiet| (quiet.until, BridgeTimer::KeepAlive(side)));
        let silence = self.silent_at.map(|at| (at, BridgeTimer::Silence));
        [
            of(Side::Caller, &self.caller),
            of(Side::Callee, &self.callee),
            silence,
            quiet(Side::Caller, &self.caller),
            quiet(Side::Callee, &self.callee),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// Says goodbye to both peers by RTCP. Drain [`poll_transmit`](Self::poll_transmit), close the sockets, and send
    /// [`stats`](Self::stats) in [`BridgeEvent::Closed`].
    pub fn close(&mut self, now: Instant) {
        self.gate = Gate::Closed;
        self.silent_at = None;
        for side in Side::BOTH {
            let end = self.end(side);
            end.quiet = None;
            if let Some(leg) = &mut end.leg {
                leg.close(now);
            }
        }
    }

    /// Caps the effort of coding Opus from now on, to shed load.
    pub fn set_complexity_max(&mut self, complexity: u8) {
        self.complexity_max = Some(complexity);
        for side in Side::BOTH {
            if let Some(leg) = &mut self.end(side).leg {
                leg.set_complexity_max(complexity);
            }
        }
    }

    /// Takes what a browser reports of the path to it: the share of packets lost, of 256, and the round trip.
    pub fn set_path(&mut self, side: Side, fraction_lost: Option<u8>, round_trip: Option<Duration>) {
        if let Some(leg) = &mut self.end(side).leg {
            leg.set_path(fraction_lost, round_trip);
        }
    }

    /// Returns what both legs saw.
    pub fn stats(&self) -> BridgeStats {
        BridgeStats {
            caller: self.caller.leg.as_ref().map(RtpLeg::quality),
            callee: self.callee.leg.as_ref().map(RtpLeg::quality),
        }
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }

    /// Carries what one side has received to the other.
    fn relay(&mut self, now: Instant, from: Side) {
        let passes = self.gate.lets_through(from);
        let (from, to) = match from {
            Side::Caller => (&mut self.caller, &mut self.callee),
            Side::Callee => (&mut self.callee, &mut self.caller),
        };
        let Some(from) = &mut from.leg else { return };
        while let Some(frame) = from.poll_frame(now) {
            if let (true, Some(to)) = (passes, &mut to.leg) {
                to.send(now, &frame);
            }
        }
    }

    /// Starts, goes on with or stops waiting for RTP: nobody has to talk on hold.
    fn listen(&mut self, now: Instant) {
        let talks = |end: &End| {
            let negotiated = end.leg.as_ref().and_then(RtpLeg::negotiated);
            negotiated.is_some_and(|negotiated| negotiated.direction == Direction::SendRecv)
        };
        let talking = self.gate == Gate::Open && talks(&self.caller) && talks(&self.callee);
        match (self.silence_max, talking) {
            (Some(max), true) => {
                let since = *self.listening_since.get_or_insert(now);
                self.silent_at.get_or_insert(since + max);
            }
            (Some(_), false) | (None, _) => {
                self.listening_since = None;
                self.silent_at = None;
            }
        }
    }

    fn judge_silence(&mut self, now: Instant) {
        let (Some(max), Some(since)) = (self.silence_max, self.listening_since) else {
            self.silent_at = None;
            return;
        };
        let heard = |end: &End| end.leg.as_ref().and_then(|leg| leg.stats().last_received);
        let last = [heard(&self.caller), heard(&self.callee), Some(since)].into_iter().flatten().max();
        let silent_at = last.unwrap_or(since) + max;
        if silent_at > now {
            self.silent_at = Some(silent_at);
        } else {
            self.silent_at = None;
            self.events.push_back(BridgeEvent::Silent);
        }
    }
}

impl End {
    fn new(latch: Vec<IpNet>, seed: u64) -> Self {
        Self { leg: None, latch, seed, heard: false, quiet: None }
    }

    /// Starts, goes on with or stops waiting for quiet, as media is agreed anew.
    fn expect_quiet(&mut self, now: Instant, first: Duration, negotiated: &Negotiated) {
        if !negotiated.may_send() {
            self.quiet = None;
            return;
        }
        let before = self.leg.as_ref().and_then(RtpLeg::negotiated);
        let moved = before.is_none_or(|before| before.remote_rtp != negotiated.remote_rtp);
        if moved || self.quiet.is_none() {
            self.quiet = Some(Quiet { since: now, until: now + first });
        }
    }

    /// Keeps the path to the peer open if nothing was sent for too long.
    fn break_quiet(&mut self, now: Instant) {
        let Some((quiet, leg)) = self.quiet.filter(|quiet| quiet.until <= now).zip(self.leg.as_mut()) else {
            return;
        };
        let last = leg.stats().last_sent.filter(|last| *last > quiet.since);
        let since = last.filter(|last| *last + QUIET_MAX > now).unwrap_or(now);
        if since == now && last != Some(now) {
            leg.keep_alive(now);
        }
        self.quiet = Some(Quiet { since, until: since + QUIET_MAX });
    }
}
