//! A call that is counted, and by whom.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Entry;
use crate::{
    fault::FaultCode,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

/// Whoever is told of the calls of one method, besides its [`MethodStats`](super::MethodStats).
///
/// It is told on the path of every call, so it does not block and does not allocate.
pub trait Observer: Send + Sync {
    /// A call begins.
    fn began(&self);

    /// A call that has begun is answered, after so long.
    fn finished(&self, took: Duration, outcome: Result<(), FaultCode>);

    /// A call that has begun ends without an answer.
    fn abandoned(&self);
}

/// Who is told of the calls of a server; a relaxed load to know that nobody is.
#[derive(Debug, Default)]
pub(super) struct Audience(AtomicU8);

/// Each method's [`MethodStats`](super::MethodStats).
pub(super) const STATS: u8 = 1;

/// Each method's [`Observer`], if it has one.
pub(super) const OBSERVERS: u8 = 2;

impl Audience {
    pub(super) fn set(&self, who: u8, on: bool) {
        if on {
            self.0.fetch_or(who, Relaxed);
        } else {
            self.0.fetch_and(!who, Relaxed);
        }
    }

    pub(super) fn has(&self, who: u8) -> bool {
        self.0.load(Relaxed) & who != 0
    }

    /// A call of `entry` begins: tells whoever is there, asking `now` only then.
    #[inline]
    pub(super) fn recording(
        &self,
        entry: &Arc<Entry>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Recording> {
        let told = self.0.load(Relaxed);
        if told == 0 {
            return None;
        }
        let counted = told & STATS != 0;
        let observed = told & OBSERVERS != 0 && entry.observer().is_some();
        (counted || observed).then(|| Recording::begin(entry, counted, observed, now()))
    }
}

/// A call that is being counted: finished once, whatever happens.
///
/// One that is dropped was abandoned.
#[must_use = "a call that is dropped at once was abandoned"]
pub struct Recording {
    entry: Arc<Entry>,
    begun: Instant,
    counted: bool,
    /// Whether its observer was told of its beginning: one that has come since is not told of its end.
    observed: bool,
    finished: bool,
}

impl Recording {
    fn begin(entry: &Arc<Entry>, counted: bool, observed: bool, now: Instant) -> Self {
        if counted {
            entry.stats().begin();
        }
        let recording =
            Recording { entry: entry.clone(), begun: now, counted, observed, finished: false };
        if let Some(observer) = recording.observer() {
            observer.began();
        }
        recording
    }

    /// It is answered now: with a reply, or with a fault of this code.
    pub fn finish(mut self, now: Instant, outcome: Result<(), FaultCode>) {
        self.finished = true;
        let took = now.saturating_duration_since(self.begun);
        if self.counted {
            self.entry.stats().finish(took, outcome);
        }
        if let Some(observer) = self.observer() {
            observer.finished(took, outcome);
        }
    }

    fn observer(&self) -> Option<&dyn Observer> {
        self.entry.observer().filter(|_| self.observed)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if self.counted {
            self.entry.stats().abandon();
        }
        if let Some(observer) = self.observer() {
            observer.abandoned();
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("entry", &self.entry)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}
