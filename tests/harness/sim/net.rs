//! The network between the gateway and the phones.

use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A datagram on its way.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Where it comes from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What the network does to every packet.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub repeated: f64,
    /// Shortest time on the way.
    pub delay_min: Duration,
    /// Longest; packets overtake each other within the difference.
    pub delay_max: Duration,
}

/// Which SIP messages a fault strikes: all the parts that are given must fit.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    /// How the first line begins: `ACK`, `SIP/2.0 200`.
    pub start: &'static str,
    /// The method of CSeq.
    pub method: Option<&'static str>,
    /// Where it comes from.
    pub from: Option<SocketAddr>,
    /// Where it goes.
    pub to: Option<SocketAddr>,
}

#[derive(Debug)]
enum Fault {
    Drop(Pattern, u32),
    Delay(Pattern, Duration),
}

/// Datagrams on their way, in the order in which they arrive.
#[derive(Debug)]
pub struct Net {
    /// What happens to every packet from now on.
    pub weather: Weather,
    queue: BTreeMap<(Instant, u64), Packet>,
    faults: Vec<Fault>,
    random: ChaCha8Rng,
    serial: u64,
    /// First lines of all SIP messages sent, with what became of them; shown when a test fails.
    ladder: Vec<String>,
    dropped: u64,
}

/// Most lines kept for showing: the end of a failed test is what matters.
const LADDER_MAX: usize = 400;

impl Weather {
    /// A quiet local network.
    pub const FAIR: Self = Self {
        loss: 0.0,
        repeated: 0.0,
        delay_min: Duration::from_millis(5),
        delay_max: Duration::from_millis(5),
    };

    /// Loses that share of packets, repeats some, and lets them overtake each other.
    pub fn stormy(loss: f64) -> Self {
        Self {
            loss,
            repeated: 0.02,
            delay_min: Duration::from_millis(2),
            delay_max: Duration::from_millis(60),
        }
    }
}

impl Pattern {
    /// Requests of a method.
    pub fn request(method: &'static str) -> Self {
        Self { start: method, ..Self::default() }
    }

    /// Responses of a status (as `SIP/2.0 200`) to a method.
    pub fn response(start: &'static str, method: &'static str) -> Self {
        Self { start, method: Some(method), ..Self::default() }
    }

    /// Only what comes from there.
    #[must_use]
    pub fn from(mut self, from: SocketAddr) -> Self {
        self.from = Some(from);
        self
    }

    /// Only what goes there.
    #[must_use]
    pub fn to(mut self, to: SocketAddr) -> Self {
        self.to = Some(to);
        self
    }

    fn fits(&self, packet: &Packet) -> bool {
        let text = String::from_utf8_lossy(&packet.bytes);
        let cseq = || text.lines().find_map(|line| line.strip_prefix("CSeq: ").map(str::to_owned));
        text.starts_with(self.start)
            && self.from.is_none_or(|from| from == packet.from)
            && self.to.is_none_or(|to| to == packet.to)
            && self.method.is_none_or(|method| cseq().is_some_and(|cseq| cseq.ends_with(method)))
    }
}

impl Net {
    /// Returns a quiet network.
    pub fn new(seed: u64) -> Self {
        Self {
            weather: Weather::FAIR,
            queue: BTreeMap::new(),
            faults: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            serial: 0,
            ladder: Vec::new(),
            dropped: 0,
        }
    }

    /// Loses the next `count` messages that fit.
    pub fn drop_next(&mut self, pattern: Pattern, count: u32) {
        self.faults.push(Fault::Drop(pattern, count));
    }

    /// Keeps the next message that fits on its way for that long.
    pub fn delay_next(&mut self, pattern: Pattern, by: Duration) {
        self.faults.push(Fault::Delay(pattern, by));
    }

    /// How many packets were lost.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The messages sent so far, one a line.
    pub fn ladder(&self) -> String {
        self.ladder.join("\n")
    }

    /// Puts a packet on its way.
    pub fn send(&mut self, now: Instant, start: Instant, packet: Packet) {
        let is_sip = packet.bytes.first().is_some_and(u8::is_ascii_uppercase);
        let mut extra = Duration::ZERO;
        let mut fate = "";
        if is_sip {
            match self.strike(&packet) {
                Some(None) => fate = "  LOST (by the test)",
                Some(Some(by)) => {
                    extra = by;
                    fate = "  DELAYED";
                }
                None => {}
            }
        }
        if fate.is_empty() && self.random.random_bool(self.weather.loss) {
            fate = "  LOST";
        }
        if is_sip {
            self.note(now.saturating_duration_since(start), &packet, fate);
        }
        if fate.starts_with("  LOST") {
            self.dropped += 1;
            return;
        }
        if self.random.random_bool(self.weather.repeated) {
            let at = now + self.delay() + extra;
            self.push(at, packet.clone());
        }
        let at = now + self.delay() + extra;
        self.push(at, packet);
    }

    /// When the next packet arrives.
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns the next packet that has arrived.
    pub fn take_arrived(&mut self, now: Instant) -> Option<Packet> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > now { None } else { Some(entry.remove()) }
    }

    fn push(&mut self, at: Instant, packet: Packet) {
        self.serial += 1;
        self.queue.insert((at, self.serial), packet);
    }

    fn delay(&mut self) -> Duration {
        let spread = self.weather.delay_max.saturating_sub(self.weather.delay_min).as_micros() as u64;
        let extra = if spread == 0 { 0 } else { self.random.next_u64() % (spread + 1) };
        self.weather.delay_min + Duration::from_micros(extra)
    }

    /// What the first fault that fits does: lose it, or keep it for a time.
    fn strike(&mut self, packet: &Packet) -> Option<Option<Duration>> {
        let at = self.faults.iter().position(|fault| match fault {
            Fault::Drop(pattern, _) | Fault::Delay(pattern, _) => pattern.fits(packet),
        })?;
        match &mut self.faults[at] {
            Fault::Drop(_, left) if *left > 1 => {
                *left -= 1;
                Some(None)
            }
            Fault::Drop(..) => {
                self.faults.remove(at);
                Some(None)
            }
            Fault::Delay(_, by) => {
                let by = *by;
                self.faults.remove(at);
                Some(Some(by))
            }
        }
    }

    fn note(&mut self, since: Duration, packet: &Packet, fate: &str) {
        if self.ladder.len() >= LADDER_MAX {
            self.ladder.remove(0);
        }
        let text = String::from_utf8_lossy(&packet.bytes);
        let first = text.lines().next().unwrap_or_default();
        let cseq = text.lines().find(|line| line.starts_with("CSeq")).unwrap_or_default();
        self.ladder.push(format!(
            "{:>10.3} {} -> {}  {first}  [{cseq}]{fate}",
            since.as_secs_f64(),
            packet.from,
            packet.to
        ));
    }
}
