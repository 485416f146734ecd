//! When to try again.
//!
//! Exponential backoff with *full jitter*: before the n-th try one waits a random time between nothing and
//! a ceiling, which doubles with each failure up to a cap (Brooker, *Exponential Backoff And Jitter*,
//! 2015). Also before the first try: those who lose the same server at the same moment do not come
//! back at the same moment.
//!
//! ```text
//! ceiling │           ┌─────────── cap
//!         │     ┌─────┘
//!         │  ┌──┘
//!         │┌─┘ first
//!         └┴─┴──┴─────┴─────────── failures
//! ```

use std::time::Duration;

/// How long to wait before another try, as a range: nothing to a ceiling, which doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// Ceilings of `first`, twice that, four times, … and never more than `cap`.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Backoff { first, cap }
    }

    /// The longest wait after so many failures in a row.
    pub fn ceiling(self, failures: u32) -> Duration {
        if self.first.is_zero() {
            return Duration::ZERO;
        }
        let doubled = 1u32.checked_shl(failures).and_then(|by| self.first.checked_mul(by));
        doubled.map_or(self.cap, |doubled| doubled.min(self.cap))
    }

    /// The wait after so many failures in a row: `random`, of all 64 bits, picks it from the range.
    pub fn delay(self, failures: u32, random: u64) -> Duration {
        let ceiling = u64::try_from(self.ceiling(failures).as_nanos()).unwrap_or(u64::MAX);
        let picked = (u128::from(ceiling) * (u128::from(random) + 1)) >> u64::BITS;
        Duration::from_nanos(picked as u64)
    }
}

/// A backoff and how often it has been needed in a row.
#[derive(Debug, Clone)]
pub struct Schedule {
    backoff: Backoff,
    jitter: Jitter,
    tries: u32,
}

impl Schedule {
    /// Nothing has failed yet. Equal seeds give equal waits.
    pub fn new(backoff: Backoff, seed: u64) -> Self {
        Schedule { backoff, jitter: Jitter::new(seed), tries: 0 }
    }

    /// How long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.backoff.delay(self.tries, self.jitter.next());
        self.tries = self.tries.saturating_add(1);
        delay
    }

    /// A try was worth it: the next failure is the first one again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Tries since the last one that was worth it.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

/// A sequence of random numbers, good enough to spread tries by and for nothing secret: `SplitMix64`
/// (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Equal seeds give equal sequences.
    pub const fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    /// The next number.
    #[allow(clippy::should_implement_trait)] // it never ends
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

    #[test]
    fn the_ceiling_doubles_up_to_its_cap() {
        let ceilings = [0, 1, 2, 8, 9, 31, 32, u32::MAX].map(|failures| BACKOFF.ceiling(failures));
        let cap = MS(30_000);
        assert_eq!(ceilings, [MS(100), MS(200), MS(400), MS(25_600), cap, cap, cap, cap]);
        let never = Backoff::new(Duration::ZERO, MS(1));
        assert_eq!(never.ceiling(40), Duration::ZERO);
        let endless = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(endless.ceiling(7), Duration::MAX);
        assert!(endless.delay(7, u64::MAX) > MS(1));
    }

    #[test]
    fn a_random_number_picks_from_the_whole_range() {
        assert_eq!(BACKOFF.delay(0, 0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(0, 1 << 63), MS(50));
        assert_eq!(BACKOFF.delay(3, u64::MAX), MS(800));
    }

    #[test]
    fn many_who_fail_together_come_back_spread_out() {
        let mut tenths = [0; 10];
        for seed in 0..10_000 {
            let mut schedule = Schedule::new(BACKOFF, seed);
            let delay = schedule.next_delay();
            tenths[(delay.as_micros() / 10_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (800..1200).contains(n)), "{tenths:?}");
    }

    #[test]
    fn a_try_that_was_worth_it_begins_anew() {
        let mut schedule = Schedule::new(BACKOFF, 7);
        let mut same = schedule.clone();
        for tries in 0..20 {
            assert_eq!(schedule.tries(), tries);
            let delay = schedule.next_delay();
            assert!(delay <= BACKOFF.ceiling(tries));
            assert_eq!(delay, same.next_delay(), "equal seeds, equal waits");
        }
        schedule.reset();
        assert!(schedule.next_delay() <= MS(100));
    }

    /// The first numbers of the reference implementation for this seed.
    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        let numbers = [(); 3].map(|()| jitter.next());
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_ceiling(
            first in any::<u64>(), cap in any::<u64>(), failures in any::<u32>(), random in any::<u64>(),
        ) {
            let backoff = Backoff::new(Duration::from_nanos(first), Duration::from_nanos(cap));
            prop_assert!(backoff.delay(failures, random) <= backoff.ceiling(failures));
            prop_assert!(backoff.ceiling(failures) <= Duration::from_nanos(cap));
        }
    }
}
