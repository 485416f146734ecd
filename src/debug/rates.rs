//! How often methods are called, from one look at them to the next.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Looks that follow each other sooner see the same rates: over a shorter time they would be noise,
/// and two people who look at once must not halve each other's second.
const SHORTEST: Duration = Duration::from_millis(900);

/// Calls per second, by method.
#[derive(Debug)]
pub(super) struct Rates {
    /// When `calls` were counted.
    counted: Instant,
    calls: HashMap<String, u64>,
    per_second: HashMap<String, f64>,
    /// How long a time `per_second` is about; nothing, until it is known.
    over: Option<Duration>,
}

impl Rates {
    /// Nothing has been called yet.
    pub(super) fn begin(now: Instant) -> Self {
        Rates { counted: now, calls: HashMap::new(), per_second: HashMap::new(), over: None }
    }

    /// Looks at the calls that all methods have ended by now.
    pub(super) fn look<'a>(
        &mut self,
        now: Instant,
        calls: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let over = now.saturating_duration_since(self.counted);
        if over < SHORTEST {
            return;
        }
        let before = std::mem::take(&mut self.calls);
        self.per_second.clear();
        for (method, calls) in calls {
            let new = calls.saturating_sub(before.get(method).copied().unwrap_or(0));
            self.per_second.insert(method.to_owned(), new as f64 / over.as_secs_f64());
            self.calls.insert(method.to_owned(), calls);
        }
        self.counted = now;
        self.over = Some(over);
    }

    /// How often a method is called; `None` as long as that is not known.
    pub(super) fn per_second(&self, method: &str) -> Option<f64> {
        self.per_second.get(method).copied()
    }

    /// How long a time the rates are about.
    pub(super) fn over(&self) -> Option<Duration> {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_calls_since_the_last_look_by_the_time_since_it() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut rates = Rates::begin(begun);
        rates.look(at(100), [("A.B", 50)]);
        assert_eq!((rates.per_second("A.B"), rates.over()), (None, None), "too soon");
        rates.look(at(1000), [("A.B", 500)]);
        assert_eq!(rates.per_second("A.B"), Some(500.0));
        rates.look(at(1500), [("A.B", 9999)]);
        assert_eq!(rates.per_second("A.B"), Some(500.0), "somebody else looked just now");
        rates.look(at(3000), [("A.B", 1500), ("A.New", 8)]);
        assert_eq!((rates.per_second("A.B"), rates.per_second("A.New")), (Some(500.0), Some(4.0)));
        assert_eq!(rates.over(), Some(Duration::from_secs(2)));
        assert_eq!(rates.per_second("A.None"), None);
    }
}
