//! How much may be resent, so that an outage is not amplified.
//!
//! After Finagle's `RetryBudget`: every call earns a fraction of a resend, a few are granted every
//! second whatever the load, and what is not used in ten seconds is lost.

use std::time::{Duration, Instant};

/// What resending may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BudgetLimits {
    /// Resends that a hundred calls earn; 20 unless set.
    pub percent: u32,
    /// Resends a second that need not be earned; 10 unless set.
    pub per_second: u32,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        BudgetLimits { percent: 20, per_second: 10 }
    }
}

/// How long what is earned or spent counts, in ticks of a second.
const LIFE: usize = 10;
const TICK: Duration = Duration::from_secs(1);

/// What is left for resending.
///
/// ```
/// # use std::time::Instant;
/// # use netrpc_core::semantics::{Budget, BudgetLimits};
/// # fn f(now: Instant) {
/// let limits = BudgetLimits { percent: 20, per_second: 0 };
/// let mut budget = Budget::new(now, limits);
/// (0..5).for_each(|_| budget.called(now));
/// assert!(budget.resend(now), "five calls earn one");
/// assert!(!budget.resend(now));
/// # }
/// ```
#[derive(Debug)]
pub struct Budget {
    limits: BudgetLimits,
    /// What the last ten seconds earned and spent, in hundredths of a resend.
    ticks: [i64; LIFE],
    /// Where the current second is in `ticks`.
    current: usize,
    /// When it began.
    began: Instant,
}

impl Budget {
    /// A budget that has earned nothing yet.
    pub fn new(now: Instant, limits: BudgetLimits) -> Self {
        Budget { limits, ticks: [0; LIFE], current: 0, began: now }
    }

    /// A call was made, for the first time.
    pub fn called(&mut self, now: Instant) {
        self.turn(now);
        self.ticks[self.current] += i64::from(self.limits.percent);
    }

    /// Whether a call may be sent again now; then it is paid for.
    pub fn resend(&mut self, now: Instant) -> bool {
        self.turn(now);
        if self.left() < 100 {
            return false;
        }
        self.ticks[self.current] -= 100;
        true
    }

    fn left(&self) -> i64 {
        let granted = i64::from(self.limits.per_second) * LIFE as i64 * 100;
        granted + self.ticks.iter().sum::<i64>()
    }

    fn turn(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began).as_secs();
        for _ in 0..elapsed.min(LIFE as u64) {
            self.current = (self.current + 1) % LIFE;
            self.ticks[self.current] = 0;
        }
        self.began += TICK * u32::try_from(elapsed).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::now as start;

    fn after(seconds: u64) -> Instant {
        start() + Duration::from_secs(seconds)
    }

    fn resends(budget: &mut Budget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.resend(now)).count()
    }

    #[test]
    fn a_fifth_of_the_calls_and_ten_a_second() {
        let mut budget = Budget::new(start(), BudgetLimits::default());
        assert_eq!(resends(&mut budget, start()), 100, "ten seconds' grant");
        (0..1000).for_each(|_| budget.called(start()));
        assert_eq!(resends(&mut budget, start()), 200);
        assert_eq!(resends(&mut budget, after(9)), 0, "what is spent counts for ten seconds");
        assert_eq!(resends(&mut budget, after(10)), 100);
    }

    #[test]
    fn what_is_earned_is_lost_after_ten_seconds() {
        let limits = BudgetLimits { percent: 20, per_second: 0 };
        for (wait, left) in [(9, 1), (10, 0), (11, 0), (1_000_000, 0)] {
            let mut budget = Budget::new(start(), limits);
            (0..5).for_each(|_| budget.called(start()));
            assert_eq!(resends(&mut budget, after(wait)), left, "after {wait} s");
        }
    }

    #[test]
    fn an_outage_costs_no_more_than_its_share() {
        let mut budget = Budget::new(start(), BudgetLimits::default());
        let (mut calls, mut resent) = (0, 0);
        for second in 0..100 {
            for _ in 0..1000 {
                calls += 1;
                budget.called(after(second));
                // Everything fails, and everyone tries three times.
                resent += (0..3).filter(|_| budget.resend(after(second))).count();
            }
        }
        let allowed = calls / 5 + 10 * (100 + LIFE);
        assert!((calls / 5..=allowed).contains(&resent), "{resent} of {allowed}");
    }
}
