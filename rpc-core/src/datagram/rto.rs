//! How long an answer takes, and so when it is late.

use std::time::Duration;

/// What a timeout may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtoLimits {
    /// Before anything was measured.
    pub initial: Duration,
    /// At least.
    pub min: Duration,
    /// At most, backoff included.
    pub max: Duration,
}

impl Default for RtoLimits {
    /// A second at first and a minute at most, as RFC 6298 has them. At least 200 ms, as Linux's TCP: less
    /// would take an answer that is merely slow for a lost one.
    fn default() -> Self {
        RtoLimits {
            initial: Duration::from_secs(1),
            min: Duration::from_millis(200),
            max: Duration::from_secs(60),
        }
    }
}

/// The clock is not finer, as far as timeouts are concerned.
const GRANULARITY: Duration = Duration::from_millis(1);

/// The estimator of RFC 6298: the smoothed time and how much it varies.
///
/// Of what was sent more than once no time is measured, for nobody knows which was answered (Karn's rule):
/// that is for its caller to see to.
#[derive(Debug, Clone)]
pub struct Rto {
    limits: RtoLimits,
    /// The smoothed time, and its variation.
    measured: Option<(Duration, Duration)>,
}

impl Rto {
    /// Nothing was measured yet.
    pub fn new(limits: RtoLimits) -> Self {
        Rto { limits, measured: None }
    }

    /// An answer took so long.
    pub fn sample(&mut self, time: Duration) {
        self.measured = Some(match self.measured {
            None => (time, time / 2),
            Some((smoothed, variation)) => {
                let off = smoothed.abs_diff(time);
                (smoothed * 7 / 8 + time / 8, variation * 3 / 4 + off / 4)
            }
        });
    }

    /// The smoothed time, once there is one.
    pub fn smoothed(&self) -> Option<Duration> {
        self.measured.map(|(smoothed, _)| smoothed)
    }

    /// How long to wait for an answer after so many attempts that had none.
    pub fn timeout(&self, failures: u32) -> Duration {
        let RtoLimits { initial, min, max } = self.limits;
        let once = match self.measured {
            None => initial,
            Some((smoothed, variation)) => smoothed + (variation * 4).max(GRANULARITY),
        };
        let doubled = 1u32.checked_shl(failures).and_then(|by| once.max(min).checked_mul(by));
        doubled.map_or(max, |doubled| doubled.min(max))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn it_is_the_estimator_of_rfc_6298() {
        let limits = RtoLimits { min: Duration::ZERO, ..RtoLimits::default() };
        let mut rto = Rto::new(limits);
        assert_eq!((rto.timeout(0), rto.smoothed()), (MS(1000), None));
        rto.sample(MS(80));
        assert_eq!(rto.smoothed(), Some(MS(80)));
        assert_eq!(rto.timeout(0), MS(80 + 4 * 40));
        rto.sample(MS(160)); // 70 + 20, 30 + 20
        assert_eq!(rto.smoothed(), Some(MS(90)));
        assert_eq!(rto.timeout(0), MS(90 + 4 * 50));
        (0..200).for_each(|_| rto.sample(MS(10)));
        let steady = rto.timeout(0);
        assert!(steady >= MS(11) && steady < MS(12), "no finer than the clock: {steady:?}");
    }

    #[test]
    fn it_doubles_with_each_failure_within_its_limits() {
        let mut rto = Rto::new(RtoLimits::default());
        let timeouts = [0, 1, 5, 6, 31, 32, u32::MAX].map(|failures| rto.timeout(failures));
        let max = MS(60_000);
        assert_eq!(timeouts, [MS(1000), MS(2000), MS(32_000), max, max, max, max]);
        rto.sample(MS(1));
        assert_eq!([0, 1, 2].map(|failures| rto.timeout(failures)), [MS(200), MS(400), MS(800)]);
        rto.sample(Duration::from_secs(3600));
        assert_eq!(rto.timeout(0), max);
    }

    proptest! {
        /// Against floating point.
        #[test]
        fn it_agrees_with_the_formulas(samples in prop::collection::vec(1u64..5_000_000, 1..60)) {
            let limits = RtoLimits { min: Duration::ZERO, ..RtoLimits::default() };
            let mut rto = Rto::new(limits);
            let mut model: Option<(f64, f64)> = None;
            for micros in samples {
                rto.sample(Duration::from_micros(micros));
                let r = micros as f64 / 1e6;
                let (srtt, rttvar) = match model {
                    None => (r, r / 2.0),
                    Some((srtt, rttvar)) => {
                        (0.875 * srtt + 0.125 * r, 0.75 * rttvar + 0.25 * (srtt - r).abs())
                    }
                };
                model = Some((srtt, rttvar));
                let expected = (srtt + (4.0 * rttvar).max(0.001)).min(60.0);
                let timeout = rto.timeout(0).as_secs_f64();
                prop_assert!((timeout - expected).abs() < 1e-4, "{} for {}", timeout, expected);
            }
        }
    }
}
