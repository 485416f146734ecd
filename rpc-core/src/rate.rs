//! How often a peer may do something: a token bucket.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How often a peer may do something on one connection: so many at once, and so many a second over a
/// longer time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once; [`u32::MAX`] is no limit.
    pub burst: u32,
    /// A second.
    pub per_second: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Rate = Rate { burst: u32::MAX, per_second: u32::MAX };
}

/// What a peer has done too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// It cancelled calls.
    Cancels,
    /// It asked for signs of life.
    Pings,
    /// It made requests that are none: malformed, too large, or for what is not there.
    Faults,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Excess::Cancels => "cancels (ServerBuilder::max_cancel_rate)",
            Excess::Pings => "pings (ServerBuilder::max_ping_rate)",
            Excess::Faults => "requests that cannot be served (ServerBuilder::max_fault_rate)",
        })
    }
}

/// What is left of a [`Rate`]. The clock is read only when what may be done at once is used up.
///
/// ```
/// use std::time::{Duration, Instant};
/// use netrpc_core::rate::{Bucket, Rate};
///
/// let (rate, begun) = (Rate { burst: 2, per_second: 1 }, Instant::now());
/// let mut bucket = Bucket::new(begun, rate);
/// assert!(bucket.take(rate, || begun) && bucket.take(rate, || begun));
/// assert!(!bucket.take(rate, || begun));
/// assert!(bucket.take(rate, || begun + Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone)]
pub struct Bucket {
    left: u32,
    /// When it was last known how much time had passed.
    filled: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant, rate: Rate) -> Self {
        Bucket { left: rate.burst, filled: now }
    }

    /// Takes one; `false` if none is left.
    pub fn take(&mut self, rate: Rate, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            if rate.burst == u32::MAX {
                self.left = u32::MAX;
            } else {
                self.fill(rate, now());
            }
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }

    /// Puts in what has come since; the rest of a token stays in time that has not been counted yet.
    #[cold]
    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let earned = passed.as_nanos() * u128::from(rate.per_second) / NANOS;
        if earned >= u128::from(rate.burst) {
            self.left = rate.burst;
            self.filled = now;
        } else if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(rate.burst);
            let counted = earned * NANOS / u128::from(rate.per_second);
            self.filled += Duration::from_nanos(u64::try_from(counted).unwrap_or(u64::MAX));
        }
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::now;

    const RATE: Rate = Rate { burst: 10, per_second: 5 };

    fn at(millis: u64) -> Instant {
        now() + Duration::from_millis(millis)
    }

    fn takes(bucket: &mut Bucket, rate: Rate, at: Instant) -> usize {
        (0..1000).take_while(|_| bucket.take(rate, || at)).count()
    }

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let mut bucket = Bucket::new(at(0), RATE);
        assert_eq!(takes(&mut bucket, RATE, at(0)), 10);
        assert_eq!(takes(&mut bucket, RATE, at(199)), 0);
        assert_eq!(takes(&mut bucket, RATE, at(200)), 1);
        assert_eq!(takes(&mut bucket, RATE, at(1200)), 5);
        assert_eq!(takes(&mut bucket, RATE, at(100_000)), 10, "no more than a burst is saved up");
    }

    #[test]
    fn whoever_asks_often_loses_no_part_of_a_token() {
        let mut bucket = Bucket::new(at(0), RATE);
        takes(&mut bucket, RATE, at(0));
        let taken: usize = (1..=10_000).map(|millis| takes(&mut bucket, RATE, at(millis))).sum();
        assert_eq!(taken, 50, "ten seconds' worth");
    }

    #[test]
    fn no_limit_is_none_and_nothing_is_nothing() {
        let mut bucket = Bucket::new(at(0), Rate::UNLIMITED);
        bucket.left = 1;
        assert_eq!(takes(&mut bucket, Rate::UNLIMITED, at(0)), 1000);
        let none = Rate { burst: 0, per_second: 0 };
        assert_eq!(takes(&mut Bucket::new(at(0), none), none, at(1_000_000)), 0);
        let once = Rate { burst: 1, per_second: 0 };
        assert_eq!(takes(&mut Bucket::new(at(0), once), once, at(1_000_000)), 1);
    }
}
