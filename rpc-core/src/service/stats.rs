//! What is counted of a method while it serves, for the page that shows it.

use std::{fmt, sync::OnceLock, time::Duration};

use histogram::{AtomicHistogram, Config};

use crate::{
    fault::FaultCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Powers of two: sixteen buckets to each doubling, so a bucket's middle is at most a thirty-second
/// part off, up to 2⁴² ns, which is more than an hour: 624 buckets, 5 KB.
const PRECISION: u8 = 4;
const LONGEST: u8 = 42;

const BUCKETS: Config = match Config::new(PRECISION, LONGEST) {
    Ok(config) => config,
    Err(_) => panic!("the powers are in order"),
};

/// What is counted of one method: how often it was called, how that ended, how long it took.
///
/// Many threads may count at once: each count is a few relaxed atomic additions. There is nothing
/// behind it until the first call [begins](Self::begin), and some 5 KB from then on. Time is an
/// argument.
///
/// A driver need not call these; a [`Recording`](super::Recording) does, and cannot forget to.
///
/// ```
/// use netrpc_core::{fault::FaultCode, service::MethodStats};
/// use std::time::Duration;
///
/// let stats = MethodStats::default();
/// stats.begin();
/// stats.begin();
/// stats.begin();
/// stats.finish(Duration::from_micros(70), Ok(()));
/// stats.finish(Duration::from_millis(3), Err(FaultCode::Method));
///
/// let now = stats.snapshot();
/// assert_eq!((now.calls, now.errors.total(), now.in_flight), (2, 1, 1));
/// assert_eq!(now.latency.unwrap().max, Duration::from_millis(3));
/// ```
#[derive(Default)]
pub struct MethodStats {
    counted: OnceLock<Box<Counted>>,
}

struct Counted {
    in_flight: AtomicU64,
    succeeded: AtomicU64,
    /// By [`kind`].
    failed: [AtomicU64; KINDS],
    /// Of calls that have finished, in nanoseconds.
    took: AtomicHistogram,
    took_longest: AtomicU64,
    took_in_all: AtomicU64,
}

/// What a call that fails counts as; the fields of [`ErrorCounts`], in order.
const KINDS: usize = 4;
const GIVEN_UP: usize = 2;

/// Without a `_` arm, so that whoever adds a code says what it counts as.
fn kind(code: FaultCode) -> usize {
    use FaultCode::*;
    match code {
        Method => 0,
        Panicked => 1,
        DeadlineExceeded | Cancelled => GIVEN_UP,
        IllFormed | UnknownService | UnknownMethod | BadArguments | BadReply | Expired
        | Overloaded | ShuttingDown | Unsupported | ReplyTooLarge | RequestTooLarge
        | Unauthenticated | Denied | Failed | WrongDomain | WrongEpoch | SessionExpired
        | SessionUnknown | Fenced | Stale | XidMisuse | NotYours | Pending | OutcomeUnknown
        | ReplyDropped | AskAgain | Other(_) => 3,
    }
}

impl MethodStats {
    /// A call begins.
    pub fn begin(&self) {
        self.counted().in_flight.fetch_add(1, Relaxed);
    }

    /// A call that has [begun](Self::begin) is answered, after so long.
    pub fn finish(&self, took: Duration, outcome: Result<(), FaultCode>) {
        let counted = self.counted();
        counted.count(outcome);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // It cannot be out of range.
        let _ = counted.took.increment(took.min((1 << LONGEST) - 1));
        // Nearly always it is not the longest, and a load is cheaper than an exchange.
        if took > counted.took_longest.load(Relaxed) {
            counted.took_longest.fetch_max(took, Relaxed);
        }
        counted.took_in_all.fetch_add(took, Relaxed);
    }

    /// A call that has [begun](Self::begin) ends without an answer, because its task was dropped:
    /// it counts as given up, and its time does not count.
    pub fn abandon(&self) {
        self.counted().count(Err(FaultCode::Cancelled));
    }

    /// The counts of now.
    ///
    /// They are read one after the other while others count on, so a call that ends meanwhile may
    /// be in one and not yet in the next.
    pub fn snapshot(&self) -> MethodSnapshot {
        self.counted.get().map_or_else(MethodSnapshot::default, |counted| counted.snapshot())
    }

    fn counted(&self) -> &Counted {
        self.counted.get_or_init(|| {
            Box::new(Counted {
                in_flight: AtomicU64::new(0),
                succeeded: AtomicU64::new(0),
                failed: Default::default(),
                took: AtomicHistogram::with_config(&BUCKETS),
                took_longest: AtomicU64::new(0),
                took_in_all: AtomicU64::new(0),
            })
        })
    }
}

impl fmt::Debug for MethodStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl Counted {
    fn count(&self, outcome: Result<(), FaultCode>) {
        let ended = match outcome {
            Ok(()) => &self.succeeded,
            Err(code) => &self.failed[kind(code)],
        };
        ended.fetch_add(1, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    fn snapshot(&self) -> MethodSnapshot {
        let [method, panics, given_up, other] = self.failed.each_ref().map(|n| n.load(Relaxed));
        let errors = ErrorCounts { method, panics, given_up, other };
        MethodSnapshot {
            // A sum, and not a count of its own, so that there are never more errors than calls.
            calls: self.succeeded.load(Relaxed) + errors.total(),
            errors,
            in_flight: self.in_flight.load(Relaxed),
            latency: self.latency(),
        }
    }

    fn latency(&self) -> Option<Latency> {
        let took = self.took.load();
        let max = self.took_longest.load(Relaxed);
        let at = |quantile| {
            let bucket = took.quantile_bucket(quantile).ok().flatten()?;
            // The middle is the least wrong; but the longest is known exactly.
            let middle = bucket.start() + (bucket.end() - bucket.start()) / 2;
            Some(Duration::from_nanos(middle.min(max)))
        };
        let measured: u64 = took.as_slice().iter().sum();
        Some(Latency {
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            max: Duration::from_nanos(max),
            mean: Duration::from_nanos(self.took_in_all.load(Relaxed) / measured),
        })
    }
}

/// What was counted of one method, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MethodSnapshot {
    /// How many calls have ended, in whatever way.
    pub calls: u64,
    /// How many of them in an error.
    pub errors: ErrorCounts,
    /// How many calls have begun and not ended.
    pub in_flight: u64,
    /// How long those took that were answered; `None` if none was.
    pub latency: Option<Latency>,
}

/// The calls of a method that ended in an error, by who or what ended them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ErrorCounts {
    /// The method returned it.
    pub method: u64,
    /// The method panicked.
    pub panics: u64,
    /// Nobody waited any longer: the deadline passed, or the caller cancelled or left.
    pub given_up: u64,
    /// Everything else: arguments or replies that are not what they should be, limits, a shutdown.
    pub other: u64,
}

impl ErrorCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        let ErrorCounts { method, panics, given_up, other } = self;
        method + panics + given_up + other
    }
}

/// How long a method's calls took.
///
/// `max` and `mean` are exact. The percentiles are at most 3.2 % off, or a nanosecond; beyond an
/// hour and thirteen minutes they cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// Half of the calls took no longer.
    pub p50: Duration,
    /// Nine of ten took no longer.
    pub p90: Duration,
    /// Ninety-nine of a hundred took no longer.
    pub p99: Duration,
    /// The longest of all.
    pub max: Duration,
    /// The sum, divided by their number.
    pub mean: Duration,
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn what_was_never_called_holds_nothing_and_says_so() {
        let stats = MethodStats::default();
        assert_eq!(stats.snapshot(), MethodSnapshot::default());
        assert!(stats.counted.get().is_none());
    }

    #[test]
    fn its_histogram_is_five_kilobytes() {
        assert_eq!(BUCKETS.total_buckets() * size_of::<u64>(), 4992);
    }

    #[test]
    fn every_end_of_a_call_is_counted_as_what_it_is() {
        let stats = MethodStats::default();
        let ends = [
            Ok(()),
            Err(FaultCode::Method),
            Err(FaultCode::Panicked),
            Err(FaultCode::DeadlineExceeded),
            Err(FaultCode::Cancelled),
            Err(FaultCode::BadArguments),
            Err(FaultCode::ReplyTooLarge),
            Err(FaultCode::from_u16(999)),
        ];
        for _ in 0..ends.len() + 2 {
            stats.begin();
        }
        for end in ends {
            stats.finish(Duration::from_nanos(7), end);
        }
        stats.abandon();
        let now = stats.snapshot();
        let errors = ErrorCounts { method: 1, panics: 1, given_up: 3, other: 3 };
        assert_eq!((now.calls, now.errors, now.in_flight), (9, errors, 1));
        let seven = Duration::from_nanos(7);
        let all_seven = Latency { p50: seven, p90: seven, p99: seven, max: seven, mean: seven };
        assert_eq!(now.latency, Some(all_seven));
    }

    #[test]
    fn only_abandoned_calls_have_no_latency() {
        let stats = MethodStats::default();
        stats.begin();
        stats.abandon();
        assert_eq!((stats.snapshot().calls, stats.snapshot().latency), (1, None));
    }

    #[test]
    fn a_call_longer_than_the_histogram_is_its_own_maximum() {
        let stats = MethodStats::default();
        stats.begin();
        stats.finish(Duration::from_secs(86_400), Ok(()));
        let latency = stats.snapshot().latency.unwrap();
        assert_eq!(latency.max, Duration::from_secs(86_400));
        assert!(latency.p50 > Duration::from_secs(3600), "{latency:?}");
    }

    proptest! {
        #[test]
        fn percentiles_are_within_the_error_they_promise(
            // Spread over the powers of two, as latencies are, and not over the numbers.
            mut took in vec(
                (0u32..41, any::<u64>()).prop_map(|(power, n)| n % (2 << power)),
                1..400,
            )
        ) {
            let stats = MethodStats::default();
            for &nanos in &took {
                stats.begin();
                stats.finish(Duration::from_nanos(nanos), Ok(()));
            }
            took.sort_unstable();
            let latency = stats.snapshot().latency.unwrap();
            let ranks = [(latency.p50, 0.5), (latency.p90, 0.9), (latency.p99, 0.99)];
            for (shown, quantile) in ranks {
                let rank = (quantile * took.len() as f64).ceil() as usize;
                let exact = took[rank.max(1) - 1];
                let off = (shown.as_nanos() as u64).abs_diff(exact);
                prop_assert!(off <= 1 + exact / 31, "{shown:?} for {exact} ns at {quantile}");
            }
            prop_assert_eq!(latency.max, Duration::from_nanos(*took.last().unwrap()));
            prop_assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99);
            prop_assert!(latency.p99 <= latency.max);
        }
    }
}
