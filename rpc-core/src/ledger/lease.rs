//! A session on the server's side: whose it is, how long it lives, and its calls.

use std::time::{Duration, Instant};

use super::{
    change::{Answer, KeptSession, Outcome, Owner},
    window::Window,
};
use crate::semantics::{Fingerprint, Incarnation, Secret};

/// A session that has not ended.
#[derive(Debug)]
pub(super) struct Lease<C, W> {
    pub(super) secret: Secret,
    pub(super) owner: Option<Owner>,
    pub(super) incarnation: Incarnation,
    /// When its client was heard last.
    pub(super) touched: Instant,
    pub(super) calls: Window<Entry<C, W>>,
    /// The floor that is kept: nothing up to it can come back. At most the calls' floor.
    pub(super) kept_floor: u64,
    /// Calls that have been accepted and have no outcome.
    pub(super) busy: usize,
    /// Of those, how many were given up while they ran. They are in no slot, and take one each.
    pub(super) orphans: u64,
    /// Whether the calls that the store remembers are here.
    pub(super) is_resident: bool,
    /// Who waits for the session to be granted.
    pub(super) opening: Option<W>,
    /// Who waits for a floor to be kept.
    pub(super) confirming: Option<W>,
}

/// A call above its session's floor.
#[derive(Debug)]
pub(super) struct Entry<C, W> {
    pub(super) fingerprint: Fingerprint,
    pub(super) state: State<C, W>,
}

/// How far a call has come.
///
/// ```text
///            kept             start            complete            kept
///  Accepted ──────▶ Ready ──────────▶ Running ──────────▶ Ending ──────▶ Ended
///                     │ withdraw       │    │ interrupted    ▲
///                     ▼         undone │    ▼                │ resolved
///                    gone ◀────────────┘   Interrupted ──▶ Resolving ──▶ Accepted
/// ```
#[derive(Debug)]
pub(super) enum State<C, W> {
    /// Its start is being recorded.
    Accepted { call: C, waiter: W },
    /// It may start.
    Ready { waiter: W },
    /// Its handler runs.
    Running { waiter: W },
    /// It has an outcome, which is being recorded as `kept`.
    Ending { outcome: Outcome, kept: Outcome, waiter: W },
    /// Its outcome is recorded.
    Ended(Outcome),
    /// It was running when the server ended, or its handler did not get to its end.
    Interrupted,
    /// Somebody is asked how far it had come.
    Resolving { call: C, waiter: W },
}

impl<C, W> Lease<C, W> {
    pub(super) fn new(now: Instant, secret: Secret, owner: Option<Owner>, opening: W) -> Self {
        Lease {
            secret,
            owner,
            incarnation: Incarnation(0),
            touched: now,
            calls: Window::new(0),
            kept_floor: 0,
            busy: 0,
            orphans: 0,
            is_resident: true,
            opening: Some(opening),
            confirming: None,
        }
    }

    /// What a store remembers of it, with its whole time before it.
    pub(super) fn restored(now: Instant, kept: KeptSession) -> Self {
        let KeptSession { secret, owner, incarnation, floor, session: _ } = kept;
        Lease {
            secret,
            owner,
            incarnation,
            touched: now,
            calls: Window::new(floor),
            kept_floor: floor,
            busy: 0,
            orphans: 0,
            is_resident: false,
            opening: None,
            confirming: None,
        }
    }

    /// Whether it was granted, and nothing was heard of it since.
    pub(super) fn is_unused(&self) -> bool {
        let is_new = self.incarnation == Incarnation(0) && self.calls.floor() == 0;
        is_new && self.calls.len() == 0 && self.busy == 0 && self.opening.is_none()
    }

    /// Whether `owner` is whose it is.
    pub(super) fn is_of(&self, owner: Option<&Owner>) -> bool {
        self.owner.is_none() || self.owner.as_ref() == owner
    }

    /// How long it lives without traffic; all of `lease` while a call runs.
    pub(super) fn left(&self, now: Instant, lease: Duration) -> Duration {
        if self.busy > 0 {
            return lease;
        }
        lease.saturating_sub(now.saturating_duration_since(self.touched))
    }
}

impl<C, W> State<C, W> {
    /// Bytes that are kept of its answer.
    pub(super) fn len(&self) -> usize {
        match self {
            State::Ended(outcome) => outcome.len(),
            State::Ending { outcome, .. } => outcome.len(),
            State::Accepted { .. }
            | State::Ready { .. }
            | State::Running { .. }
            | State::Interrupted
            | State::Resolving { .. } => 0,
        }
    }
}

/// What is remembered of an answer that may be too large.
pub(super) fn kept_of(answer: &Answer, limit: usize, keep_large: bool) -> Outcome {
    if answer.len() > limit && !keep_large {
        return Outcome::Dropped;
    }
    Outcome::Answer(answer.clone())
}
