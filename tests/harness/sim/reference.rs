//! A second opinion on calls: what each phone should believe after each step, by rules that know nothing of SIP.
//!
//! There is one call at a time, and quiet after each step, so that nothing crosses and one belief is right. What
//! crosses is for [`live`](super::live), which knows only what must be so in the end.

use super::model::Step;
use super::phone::{Answering, State};
use super::world::{CALLEE, CARRIER, SECOND, World};
use std::time::Duration;
use trunkline_media::Direction;

/// What a phone believes of its newest call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// It has had none.
    None,
    Ringing,
    Up,
    Over,
}

/// The call, as it should be.
#[derive(Debug)]
struct Reference {
    /// By phone.
    beliefs: [Belief; 3],
    /// How many calls each phone has had.
    calls: [usize; 3],
    /// Whether the caller hears the callee, so that nobody else is tried.
    is_heard: bool,
    /// What the carrier's side and the callee's want.
    wishes: [Direction; 2],
}

/// How long after a step all is quiet: longer than a change meets another one (RFC 3261 §14.1).
const QUIET: Duration = Duration::from_secs(5);

/// How long after a change that is left at 100: longer than it takes to cancel it and to give it up.
const GIVEN_UP: Duration = Duration::from_secs(140);

/// Lives through steps one by one, and holds every phone against the reference after each.
///
/// # Panics
/// A phone believes something else, or something is left over.
pub fn live_by_reference(seed: u64, steps: &[Step]) {
    // Longer than any life here lasts.
    let mut world = World::with_second(seed, Duration::from_secs(600));
    for phone in &mut world.phones {
        phone.speaks = false;
        phone.answering = Answering::ByHand;
    }
    let mut reference = Reference::new();
    for (at, step) in steps.iter().enumerate() {
        if !reference.take(*step) {
            continue;
        }
        match *step {
            Step::LeaveAt100(side) => leave_at_100(&mut world, side),
            step => step.take(&mut world),
        }
        world.run_for(QUIET);
        reference.assert_believed(&world, &format!("seed {seed}, after step {at} of {steps:?}"));
    }
    world.assert_nothing_left();
}

/// One side holds, and the other never says whether it agrees.
fn leave_at_100(world: &mut World, side: usize) {
    let other = if side == CARRIER { CALLEE } else { CARRIER };
    Step::LeaveAt100(side).take(world);
    Step::Hold(other).take(world);
    world.run_for(GIVEN_UP);
    Step::LeaveAt100(side).take(world);
}

impl Reference {
    fn new() -> Self {
        Self { beliefs: [Belief::None; 3], calls: [0; 3], is_heard: false, wishes: [Direction::SendRecv; 2] }
    }

    /// Takes a step; returns false if it is one that has no place here.
    fn take(&mut self, step: Step) -> bool {
        let ringing = [CALLEE, SECOND].into_iter().find(|phone| self.beliefs[*phone] == Belief::Ringing);
        match step {
            Step::Dial | Step::DialWithoutOffer => return self.dial(),
            Step::Early => self.is_heard |= ringing.is_some(),
            Step::Answer => {
                if let Some(phone) = ringing {
                    self.beliefs[phone] = Belief::Up;
                    self.beliefs[CARRIER] = Belief::Up;
                }
            }
            Step::Refuse => {
                if ringing.is_some() {
                    self.end();
                }
            }
            Step::Fail => self.fail(ringing),
            Step::HangUp(_) => self.end(),
            Step::Hold(side) => self.wish(side, Direction::SendOnly),
            Step::Resume(side) | Step::Update(side) => self.wish(side, Direction::SendRecv),
            // A change that is never answered changes nothing.
            Step::LeaveAt100(_) => return self.beliefs[CARRIER] == Belief::Up,
            Step::Crash(_) => return false,
            Step::Wait(_) => {}
        }
        true
    }

    fn dial(&mut self) -> bool {
        if matches!(self.beliefs[CARRIER], Belief::Ringing | Belief::Up) {
            return false;
        }
        for phone in [CARRIER, CALLEE] {
            self.beliefs[phone] = Belief::Ringing;
            self.calls[phone] += 1;
        }
        self.is_heard = false;
        self.wishes = [Direction::SendRecv; 2];
        true
    }

    /// The phone that rings is out of service: the next one rings, unless the caller has heard this one.
    fn fail(&mut self, ringing: Option<usize>) {
        match ringing {
            Some(CALLEE) if !self.is_heard => {
                self.beliefs[CALLEE] = Belief::Over;
                self.beliefs[SECOND] = Belief::Ringing;
                self.calls[SECOND] += 1;
            }
            Some(_) => self.end(),
            None => {}
        }
    }

    fn end(&mut self) {
        for belief in &mut self.beliefs {
            if *belief != Belief::None {
                *belief = Belief::Over;
            }
        }
    }

    fn wish(&mut self, side: usize, wish: Direction) {
        if self.beliefs[CARRIER] == Belief::Up {
            self.wishes[usize::from(side != CARRIER)] = wish;
        }
    }

    fn assert_believed(&self, world: &World, when: &str) {
        let [carrier, callee] = self.wishes;
        let carried = carrier.intersection(callee.reversed());
        for phone in [CARRIER, CALLEE, SECOND] {
            let calls = &world.phones[phone].calls;
            let newest = calls.last_key_value().map(|(_, call)| call);
            let believed = match newest.map(|call| &call.state) {
                None => Belief::None,
                Some(State::Calling | State::Ringing) => Belief::Ringing,
                Some(State::Up) => Belief::Up,
                Some(State::Over(_)) => Belief::Over,
            };
            let ladder = || world.net.ladder();
            assert_eq!(believed, self.beliefs[phone], "phone {phone}, {when}\n{}", ladder());
            assert_eq!(calls.len(), self.calls[phone], "calls of phone {phone}, {when}\n{}", ladder());
            if let Some(call) = newest.filter(|_| believed == Belief::Up) {
                let right = if phone == CARRIER { carried } else { carried.reversed() };
                assert_eq!(call.direction(), Some(right), "phone {phone}, {when}\n{}", ladder());
            }
        }
    }
}
