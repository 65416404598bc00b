//! Lives of calls, held against what must always be so: once things are quiet, both phones agree whether a call is
//! up, and once all is over nothing is left.

use super::net::Weather;
use super::phone::{Answering, Phone, State};
use super::world::{CALLEE, CARRIER, World};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use trunkline_media::Direction;

/// One thing that happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The carrier calls.
    Dial,
    /// The callee answers.
    Answer,
    /// The callee refuses.
    Refuse,
    /// A side hangs up, or gives up.
    HangUp(usize),
    /// A side holds by re-INVITE.
    Hold(usize),
    /// A side resumes by re-INVITE.
    Resume(usize),
    /// A side changes by UPDATE.
    Update(usize),
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
            0..10 => Self::Dial,
            10..22 => Self::Answer,
            22..25 => Self::Refuse,
            25..33 => Self::HangUp(side),
            33..43 => Self::Hold(side),
            43..53 => Self::Resume(side),
            53..58 => Self::Update(side),
            58..59 => Self::Crash(side),
            59..80 => Self::Wait(wait_below(30)),
            _ => Self::Wait(wait_below(3_000)),
        }
    }

    /// Makes it happen.
    fn take(self, world: &mut World) {
        match self {
            Self::Dial => world.dial(),
            Self::Answer => world.act(CALLEE, Phone::answer),
            Self::Refuse => world.act(CALLEE, |phone, now| {
                if phone.calls.last_key_value().is_some_and(|(_, call)| call.state == State::Ringing) {
                    phone.refuse(now, 486);
                }
            }),
            Self::HangUp(side) => world.act(side, Phone::hang_up),
            Self::Hold(side) => world.act(side, |phone, now| phone.reinvite(now, Direction::SendOnly)),
            Self::Resume(side) => world.act(side, |phone, now| phone.reinvite(now, Direction::SendRecv)),
            Self::Update(side) => world.act(side, |phone, now| phone.update(now, Direction::SendRecv)),
            Self::Crash(side) => world.act(side, Phone::crash),
            Self::Wait(ms) => world.run_for(Duration::from_millis(ms)),
        }
    }
}

/// Lives through steps in that weather, then in quiet, and checks what must always be so.
///
/// # Panics
/// The phones or the gateway disagree about a call, or something is left over.
pub fn live(seed: u64, weather: Weather, steps: &[Step]) {
    let _shown = ShownOnPanic(seed, steps);
    let mut world = World::new(seed);
    for phone in &mut world.phones {
        phone.speaks = false;
        phone.answering = Answering::ByHand;
    }
    world.net.weather = weather;
    for step in steps {
        step.take(&mut world);
    }
    let crashed = steps.iter().any(|step| matches!(step, Step::Crash(_)));
    // Longer than a callee may ring, and than timer B.
    world.net.weather = Weather::FAIR;
    world.run_for(Duration::from_secs(160));
    if !crashed {
        assert_all_agree(&world);
    }
    // A side that crashed hangs up nothing: its calls end by the session timer of the other.
    for phone in [CARRIER, CALLEE] {
        let sessions: Vec<_> = world.phones[phone].calls.keys().copied().collect();
        for session in sessions {
            world.act(phone, |phone, now| phone.hang_up_call(now, session));
        }
    }
    if crashed {
        world.run_for(Duration::from_secs(2 * 3600));
    }
    world.assert_nothing_left();
}

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
    assert_eq!(up(CARRIER), up(CALLEE), "{}", world.net.ladder());
    // Each call that is up or ringing has a bridge.
    let bridges = count(CARRIER, |state| !matches!(state, State::Over(_)));
    assert_eq!(world.gateway.counts().bridges, bridges, "{}", world.net.ladder());
}
