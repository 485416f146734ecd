//! Numbers that look random and are the same for the same seed.

use std::{ops::Range, time::Duration};

/// A generator of numbers: the same seed gives the same numbers. Not for secrets.
///
/// xorshift64*, by Marsaglia and Vigna, begun by a step of Vigna's splitmix64.
///
/// ```
/// use netrpc::sim::Random;
///
/// let (mut one, mut other) = (Random::new(7), Random::new(7));
/// assert_eq!(one.below(1000), other.below(1000));
/// ```
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator that begins with `seed`.
    pub fn new(seed: u64) -> Self {
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // The one state it would never leave is 0.
        Random((mixed ^ (mixed >> 31)) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The upper bits are the better ones.
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }

    /// `true` with this probability, from 0.0 (never) to 1.0 (always).
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.number() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }

    /// A time in this range, in whole milliseconds; its start if the range is empty.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (start, end) = (millis(range.start), millis(range.end));
        Duration::from_millis(start + self.below(end.saturating_sub(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_where_they_should_and_everywhere_there() {
        let mut random = Random::new(0);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        let chances = (0..1000).filter(|_| random.chance(0.25)).count();
        assert!((150..350).contains(&chances), "{chances}");
        let millis = Duration::from_millis;
        assert!(
            (0..100).all(|_| (millis(3)..millis(9)).contains(&random.time(millis(3)..millis(9))))
        );
        assert_eq!(random.time(millis(3)..millis(3)), millis(3));
        assert_eq!((random.below(0), random.chance(0.0)), (0, false));
        assert!((0..100).all(|_| random.chance(1.0)));
    }
}
