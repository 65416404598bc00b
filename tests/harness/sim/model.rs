//! Lives of calls, held against what must always be so: once things are quiet, all phones agree whether a call is up,
//! records say what the phones saw, and once all is over nothing is left.

use super::net::Weather;
use super::phone::{Answering, Phone, State};
use super::world::{CALLEE, CARRIER, SECOND, World};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};
use trunkline_media::Direction;

/// One thing that happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The carrier calls.
    Dial,
    /// The carrier calls and leaves the offer to the gateway.
    DialWithoutOffer,
    /// The phone that rings sends early media, reliably (RFC 3262).
    Early,
    /// The callee answers.
    Answer,
    /// The callee refuses.
    Refuse,
    /// The phone that rings is out of service: the call goes to the next one.
    Fail,
    /// A side hangs up, or gives up.
    HangUp(usize),
    /// A side holds by re-INVITE.
    Hold(usize),
    /// A side resumes by re-INVITE.
    Resume(usize),
    /// A side changes by UPDATE.
    Update(usize),
    /// A side leaves the changes that it is asked for at 100 from now on, or answers them again.
    LeaveAt100(usize),
    /// A side goes down without a word.
    Crash(usize),
    /// So many milliseconds pass.
    Wait(u64),
}

/// A seeded sequence of steps.
pub struct Steps {
    random: ChaCha8Rng,
    left: u32,
}

impl Steps {
    /// Returns `length` steps.
    pub fn new(seed: u64, length: u32) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), left: length }
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        let side = if self.random.random_bool(0.5) { CARRIER } else { CALLEE };
        let number = self.random.random_range(0..100u32);
        Some(Step::choose(number, side, |below| self.random.random_range(0..below)))
    }
}

impl Step {
    /// Reads a step: the first byte says what happens and to whom, the second how long a wait is.
    pub fn from_bytes([what, wait]: [u8; 2]) -> Self {
        let side = if what % 2 == 0 { CARRIER } else { CALLEE };
        Self::choose(u32::from(what / 2) % 100, side, |below| u64::from(wait) * below / 256)
    }

    /// Returns the step that a number below 100 stands for; what happens often has many.
    fn choose(number: u32, side: usize, wait_below: impl FnOnce(u64) -> u64) -> Self {
        match number {
            0..8 => Self::Dial,
            8..11 => Self::DialWithoutOffer,
            11..21 => Self::Answer,
            21..23 => Self::Refuse,
            23..26 => Self::Fail,
            26..29 => Self::Early,
            29..36 => Self::HangUp(side),
            36..45 => Self::Hold(side),
            45..53 => Self::Resume(side),
            53..58 => Self::Update(side),
            58..59 => Self::Crash(side),
            59..61 => Self::LeaveAt100(side),
            61..80 => Self::Wait(wait_below(30)),
            _ => Self::Wait(wait_below(3_000)),
        }
    }

    /// Makes it happen.
    pub(super) fn take(self, world: &mut World) {
        match self {
            Self::Dial => world.dial(),
            Self::DialWithoutOffer => world.dial_without_offer(),
            Self::Early => each(world, CALLEE, Phone::send_early_media),
            Self::Answer => each(world, CALLEE, Phone::answer),
            Self::Refuse => each(world, CALLEE, |phone, now| phone.refuse(now, 486)),
            Self::Fail => each(world, CALLEE, |phone, now| phone.refuse(now, 503)),
            Self::HangUp(side) => each(world, side, Phone::hang_up),
            Self::Hold(side) => each(world, side, |phone, now| phone.reinvite(now, Direction::SendOnly)),
            Self::Resume(side) => each(world, side, |phone, now| phone.reinvite(now, Direction::SendRecv)),
            Self::Update(side) => each(world, side, |phone, now| phone.update(now, Direction::SendRecv)),
            Self::LeaveAt100(side) => {
                each(world, side, |phone, _| phone.ignores_changes = !phone.ignores_changes);
            }
            Self::Crash(side) => each(world, side, Phone::crash),
            Self::Wait(ms) => world.run_for(Duration::from_millis(ms)),
        }
    }
}

/// Lets every phone of a side do something.
fn each(world: &mut World, side: usize, act: impl Fn(&mut Phone, Instant)) {
    let phones: &[usize] = if side == CARRIER { &[CARRIER] } else { &[CALLEE, SECOND] };
    for phone in phones {
        world.act(*phone, &act);
    }
}

/// Lives through steps in that weather, then in quiet, and checks what must always be so.
///
/// # Panics
/// The phones or the gateway disagree about a call, or something is left over.
pub fn live(seed: u64, weather: Weather, steps: &[Step]) {
    let _shown = ShownOnPanic(seed, steps);
    let mut world = World::with_second(seed, RING_MAX);
    for phone in &mut world.phones {
        phone.speaks = false;
        phone.answering = Answering::ByHand;
    }
    world.net.weather = weather;
    for step in steps {
        step.take(&mut world);
    }
    let crashed = steps.iter().any(|step| matches!(step, Step::Crash(_)));
    world.net.weather = Weather::FAIR;
    for phone in &mut world.phones {
        phone.ignores_changes = false;
    }
    world.run_for(QUIET);
    if !crashed {
        assert_all_agree(&world);
    }
    // A side that crashed hangs up nothing: its calls end by the session timer of the other.
    for phone in [CARRIER, CALLEE, SECOND] {
        let sessions: Vec<_> = world.phones[phone].calls.keys().copied().collect();
        for session in sessions {
            world.act(phone, |phone, now| phone.hang_up_call(now, session));
        }
    }
    if crashed {
        world.run_for(Duration::from_secs(2 * 3600));
    }
    world.assert_nothing_left();
    if !crashed {
        assert_records_tell(&world);
    }
}

/// How long a phone may ring.
const RING_MAX: Duration = Duration::from_secs(120);

/// Longer than a phone may ring, than timer B, and than the last change that was left at 100 takes to be given up.
const QUIET: Duration = Duration::from_secs(160);

/// Says which life it was that broke a promise.
struct ShownOnPanic<'a>(u64, &'a [Step]);

impl Drop for ShownOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: {:?}", self.0, self.1);
        }
    }
}

fn assert_all_agree(world: &World) {
    let count = |phone: usize, wanted: fn(&State) -> bool| {
        world.phones[phone].calls.values().filter(|call| wanted(&call.state)).count()
    };
    let up = |phone| count(phone, |state| *state == State::Up);
    assert_eq!(up(CARRIER), up(CALLEE) + up(SECOND), "{}", world.net.ladder());
    // Each call that is up or ringing has a bridge.
    let bridges = count(CARRIER, |state| !matches!(state, State::Over(_)));
    assert_eq!(world.gateway.counts().bridges, bridges, "{}", world.net.ladder());
}

/// Records hold answered calls only that a callee has answered, and all that the carrier saw answered.
fn assert_records_tell(world: &World) {
    let was_up = |phone: usize| world.phones[phone].calls.values().filter(|call| call.was_up).count();
    let answered = world.records().iter().filter(|record| record.answered_after.is_some()).count();
    assert!(was_up(CARRIER) <= answered, "{} > {answered}\n{}", was_up(CARRIER), world.net.ladder());
    let by_callees = was_up(CALLEE) + was_up(SECOND);
    assert!(answered <= by_callees, "{answered} > {by_callees}\n{}", world.net.ladder());
}
