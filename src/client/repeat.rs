//! A call that is sent again although it may have run, because its caller says that it may run twice.

use std::{sync::Arc, time::Duration};

use netrpc_core::{
    Error, Fault,
    backoff::{Backoff, Schedule},
    fault::FaultCode,
    semantics::{Budget, BudgetLimits, Semantics, retry},
};

use super::{line::Line, now};
use crate::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Before a call is sent again it waits up to 25 ms, twice that after each failure, and never more
/// than 5 s.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(25), Duration::from_secs(5));

/// What the calls of a client may send again.
pub(super) struct Allowance {
    /// Locked for single questions only.
    budget: Mutex<Budget>,
    seed: u64,
    calls: AtomicU64,
}

impl Allowance {
    pub(super) fn new(seed: u64) -> Self {
        let budget = Mutex::new(Budget::new(now(), BudgetLimits::default()));
        Allowance { budget, seed, calls: AtomicU64::new(0) }
    }

    /// A call is made that may be sent again.
    pub(super) fn call(&self) -> Repeat {
        self.budget.lock().called(now());
        // Those who fail together do not wait the same time.
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let seed = self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Repeat { schedule: Schedule::new(BACKOFF, seed), may_have_run: false }
    }
}

/// A call's way of being sent again.
pub(super) struct Repeat {
    schedule: Schedule,
    /// Whether an attempt may have run.
    may_have_run: bool,
}

impl Repeat {
    pub(super) fn may_have_run(&self) -> bool {
        self.may_have_run
    }

    /// Whether the call is sent again after this.
    pub(super) fn again(&mut self, failure: retry::Failure) -> bool {
        let next = retry::after(Semantics::AtLeastOnce, failure, self.may_have_run);
        self.may_have_run |= failure == retry::Failure::Lost;
        next == retry::Next::Again
    }

    /// Waits before the call is sent again: as the backoff says, and until there is budget for it.
    pub(super) fn pause(&mut self, line: Arc<Line>) -> impl Future<Output = ()> + Send + 'static {
        let mut schedule = self.schedule.clone();
        self.schedule.next_delay();
        async move {
            loop {
                tokio::time::sleep(schedule.next_delay()).await;
                if line.allowance().budget.lock().resend(now()) {
                    return;
                }
            }
        }
    }
}

/// The error of a call of which an earlier attempt may have run: no later one can take that back.
pub(super) fn doubt(error: Error) -> Error {
    match error {
        error if error.may_have_run() => error,
        Error::Deadline { .. } => Error::Deadline { may_have_run: true },
        Error::Shutdown { cause, .. } => Error::Shutdown { may_have_run: true, cause },
        error => {
            let text = format!("it may have run before this: {}", error.chain());
            Error::OutcomeUnknown(Fault::with_code(FaultCode::OutcomeUnknown, text))
        }
    }
}
