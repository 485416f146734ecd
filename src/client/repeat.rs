//! A call that is sent again although it may have run: because its caller says that it may run twice, or
//! because the server sees to it that it does not.

use std::{sync::Arc, time::Duration};

use netrpc_core::{
    Error, Fault,
    backoff::{Backoff, Schedule},
    fault::FaultCode,
    semantics::{Budget, BudgetLimits, Semantics, retry},
};

use super::now;
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
    pub(super) fn call(&self, semantics: Semantics) -> Repeat {
        self.budget.lock().called(now());
        Repeat { semantics, schedule: self.schedule(), may_have_run: false }
    }

    /// When to try again what is no call.
    pub(super) fn schedule(&self) -> Schedule {
        // Those who fail together do not wait the same time.
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let seed = self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Schedule::new(BACKOFF, seed)
    }
}

/// A call's way of being sent again.
pub(super) struct Repeat {
    semantics: Semantics,
    schedule: Schedule,
    /// Whether an attempt may have run.
    may_have_run: bool,
}

impl Repeat {
    pub(super) fn may_have_run(&self) -> bool {
        self.may_have_run
    }

    /// An attempt has been made of which nothing is known here.
    pub(super) fn doubt(&mut self) {
        self.may_have_run = true;
    }

    /// What becomes of the call after this.
    pub(super) fn next(&mut self, failure: retry::Failure) -> retry::Next {
        let next = retry::after(self.semantics, failure, self.may_have_run);
        self.may_have_run |= matches!(failure, retry::Failure::Lost | retry::Failure::Pending);
        next
    }

    /// Waits before the call is sent again: as the backoff says, or the server if that is longer, and until
    /// there is budget for it.
    pub(super) fn pause(
        &mut self,
        allowance: Arc<Allowance>,
        retry_after: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut schedule = self.schedule.clone();
        self.schedule.next_delay();
        async move {
            loop {
                tokio::time::sleep(schedule.next_delay().max(retry_after)).await;
                if allowance.budget.lock().resend(now()) {
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
