//! Whether anybody counts.

use std::cell::Cell;

use metrics::{Gauge, Histogram, IntoF64};

/// A zero that notes whether anybody wants it.
///
/// The facade does not tell whether there is a recorder, but only a handle with one behind it asks for
/// its value.
struct Zero<'a>(&'a Cell<bool>);

impl IntoF64 for Zero<'_> {
    fn into_f64(self) -> f64 {
        self.0.set(true);
        0.0
    }
}

/// Whether there is a recorder behind this handle. To add zero changes nothing.
pub(super) fn counts(gauge: &Gauge) -> bool {
    let asked = Cell::new(false);
    gauge.increment(Zero(&asked));
    asked.get()
}

/// Whether there is a recorder behind this handle. To record something no times changes nothing.
pub(super) fn measures(histogram: &Histogram) -> bool {
    let asked = Cell::new(false);
    histogram.record_many(Zero(&asked), 0);
    asked.get()
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::DebuggingRecorder;

    use super::*;

    #[test]
    fn a_recorder_is_seen_and_does_not_see_it_was_looked_for() {
        assert!(!counts(&Gauge::noop()) && !measures(&Histogram::noop()));
        let recorder = DebuggingRecorder::new();
        let seen = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || {
            assert!(counts(&metrics::gauge!("g")) && measures(&metrics::histogram!("h")));
        });
        for (key, _, _, value) in seen.snapshot().into_vec() {
            use metrics_util::debugging::DebugValue::{Counter, Gauge, Histogram};
            match value {
                Gauge(value) => assert_eq!(value.into_inner(), 0.0),
                Histogram(values) => assert!(values.is_empty()),
                Counter(_) => panic!("{key:?}"),
            }
        }
    }
}
