//! Spending less on Opus as a worker runs out of time.

use crate::opus::COMPLEXITY_MAX;

/// Decides how much effort a worker may spend on coding, by how busy it is.
///
/// The encoder is four fifths of a transcoded call, and its effort is the one thing that can be less without anybody
/// being refused. One interval of overload takes a step down; steps up want many calm ones in a row.
#[derive(Debug, Default)]
pub struct ComplexityGovernor {
    level: Level,
    /// Intervals in a row in which the next level up would have done.
    calm: u32,
}

/// How much effort there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Level {
    /// As policies say.
    #[default]
    Full,
    High,
    Middle,
    Low,
}

/// Share of an interval above which a worker sheds: what is left absorbs a burst of 20 ms without a late packet.
const BUSY_MAX: f32 = 0.85;

/// Calm intervals before a step up: longer than the swing of calls that come and go within seconds.
const CALM_INTERVALS: u32 = 10;

impl ComplexityGovernor {
    /// Takes the share of the last interval, of a second or so, in which the worker was busy, and returns the greatest
    /// complexity from now on if it has changed.
    pub fn handle_interval(&mut self, busy: f32) -> Option<u8> {
        let before = self.complexity_max();
        if busy > BUSY_MAX {
            self.level = self.level.down();
            self.calm = 0;
        } else if busy < self.level.busy_to_leave() {
            self.calm += 1;
            if self.calm >= CALM_INTERVALS {
                self.level = self.level.up();
                self.calm = 0;
            }
        } else {
            self.calm = 0;
        }
        let after = self.complexity_max();
        (after != before).then_some(after)
    }

    /// Returns the greatest complexity that may be used now.
    pub fn complexity_max(&self) -> u8 {
        match self.level {
            Level::Full => COMPLEXITY_MAX,
            Level::High => 9,
            Level::Middle => 5,
            Level::Low => 1,
        }
    }
}

impl Level {
    fn down(self) -> Self {
        match self {
            Self::Full => Self::High,
            Self::High => Self::Middle,
            Self::Middle | Self::Low => Self::Low,
        }
    }

    fn up(self) -> Self {
        match self {
            Self::Full | Self::High => Self::Full,
            Self::Middle => Self::High,
            Self::Low => Self::Middle,
        }
    }

    /// Returns how busy a worker may be to go a level up: as many times less than [`BUSY_MAX`] as that level costs more,
    /// measured with libopus 1.6.1 at 8 kHz, and a tenth to spare.
    fn busy_to_leave(self) -> f32 {
        match self {
            Self::Full => 0.0,
            Self::High => 0.75,
            // Complexity 9 is 1.2 times 5.
            Self::Middle => 0.62,
            // Complexity 5 is 2.4 times 1.
            Self::Low => 0.32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_takes_a_step_down_each_interval() {
        let mut governor = ComplexityGovernor::default();
        assert_eq!(governor.handle_interval(0.8), None);
        let steps: Vec<Option<u8>> = (0..5).map(|_| governor.handle_interval(0.95)).collect();
        assert_eq!(steps, [Some(9), Some(5), Some(1), None, None]);
    }

    #[test]
    fn a_level_comes_back_after_a_long_calm_and_only_one_at_a_time() {
        let mut governor = ComplexityGovernor::default();
        for _ in 0..3 {
            governor.handle_interval(1.0);
        }
        let mut steps = Vec::new();
        for interval in 0..100 {
            if let Some(complexity) = governor.handle_interval(0.2) {
                steps.push((interval, complexity));
            }
        }
        assert_eq!(steps, [(9, 5), (19, 9), (29, 10)]);
    }

    #[test]
    fn load_that_the_next_level_could_not_bear_keeps_the_level() {
        let mut governor = ComplexityGovernor::default();
        for _ in 0..3 {
            governor.handle_interval(1.0);
        }
        for interval in 0..1000 {
            // Calm is interrupted just before it has lasted.
            let busy = if interval % 10 == 9 { 0.5 } else { 0.1 };
            assert_eq!(governor.handle_interval(busy), None);
        }
        assert_eq!(governor.complexity_max(), 1);
    }

    #[test]
    fn steady_load_does_not_make_it_swing() {
        // A full worker at complexity 5: shedding takes it to 1, where it is 42 % busy, and there it stays.
        let cost = |complexity: u8| if complexity >= 5 { 1.0 } else { 0.42 };
        let mut governor = ComplexityGovernor::default();
        let changes =
            (0..200).filter(|_| governor.handle_interval(cost(governor.complexity_max())).is_some()).count();
        assert_eq!((changes, governor.complexity_max()), (3, 1));
    }
}
