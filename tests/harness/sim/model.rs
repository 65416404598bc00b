//! Random lives of a call, to be held against what must always be so.

use super::phone::Phone;
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
        Some(match self.random.random_range(0..100u32) {
            0..10 => Step::Dial,
            10..22 => Step::Answer,
            22..25 => Step::Refuse,
            25..33 => Step::HangUp(side),
            33..43 => Step::Hold(side),
            43..53 => Step::Resume(side),
            53..58 => Step::Update(side),
            58..59 => Step::Crash(side),
            59..80 => Step::Wait(self.random.random_range(0..30)),
            _ => Step::Wait(self.random.random_range(0..3_000)),
        })
    }
}

impl Step {
    /// Makes it happen.
    pub fn take(self, world: &mut World) {
        match self {
            Self::Dial => world.dial(),
            Self::Answer => world.act(CALLEE, Phone::answer),
            Self::Refuse => world.act(CALLEE, |phone, now| {
                if phone.calls.last_key_value().is_some_and(|(_, call)| call.state == super::State::Ringing) {
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
