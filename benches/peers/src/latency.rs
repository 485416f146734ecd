//! Percentiles of latencies.

use std::time::Duration;

/// The latencies of calls.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub fn append(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    /// In seconds, the median, the 99th percentile and the worst; zeros if there are none.
    pub fn summary(mut self) -> [f64; 3] {
        self.0.sort_unstable();
        let Some(last) = self.0.len().checked_sub(1) else { return [0.0; 3] };
        [last / 2, last * 99 / 100, last].map(|rank| self.0[rank].as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_latencies() {
        let mut latencies = Latencies::default();
        for millis in (1..=101).rev() {
            latencies.push(Duration::from_millis(millis));
        }
        assert_eq!(latencies.summary(), [0.051, 0.100, 0.101]);
        assert_eq!(Latencies::default().summary(), [0.0; 3]);
    }
}
