//! What is done with a call that has come, in the order in which it is decided.

use std::time::Instant;

use super::{
    Change, ENTRY_BYTES, Entry, Later, Ledger, Outcome, Owner, Refusal, Stamp, lease::State,
};

/// How a method's outcome is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Its start before it runs, and its outcome before that is answered.
    Recorded,
    /// Its outcome alone, together with what it has written into the ledger's own store: if that is
    /// not there, neither is the effect.
    Transactional,
}

/// A call that has come.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What it carries.
    pub stamp: &'a Stamp,
    /// Whose the connection is.
    pub owner: Option<&'a Owner>,
    /// How its method is recorded; `None` if there is no such method, or it does not take such calls.
    pub class: Option<Class>,
    /// Whether the server has too much to do for another call.
    pub is_overloaded: bool,
}

/// What is done with a call.
#[derive(PartialEq, Eq, Debug)]
pub enum Decision<W> {
    /// It is accepted: it will be released to run, and whoever waits will be released with its outcome.
    Accepted,
    /// It is being run already. Whoever asked waits from now on, and whoever waited before does not any
    /// more: tell both that it is pending, as far as they listen to more than one answer.
    Joined {
        /// Who waited until now.
        displaced: W,
    },
    /// It has ended: this is its outcome.
    Replay(Outcome),
    /// It was running when the server ended: find out how far it had come, and tell
    /// [`Ledger::resolved`]. Whoever asked waits.
    Resolve,
    /// The session is remembered by the store alone: give its calls to [`Ledger::recalled`], and
    /// [`admit`](Ledger::admit) the call again.
    Recall,
    /// It has no class, and has not been seen before: refuse it. It is not recorded.
    NoMethod,
    /// It does not run.
    Refused(Refusal),
}

impl<C, W> Ledger<C, W> {
    /// What is done with a call. `call` makes what is kept of it until it may run, and whoever waits for
    /// its outcome; it is asked only if either is kept.
    pub fn admit(
        &mut self,
        now: Instant,
        ask: &Ask<'_>,
        call: impl FnOnce() -> (C, W),
    ) -> Decision<W> {
        let decision = self.decide(now, ask, call);
        let count = match decision {
            Decision::Accepted => Some(&mut self.stats.accepted),
            Decision::Joined { .. } => Some(&mut self.stats.joined),
            Decision::Replay(_) => Some(&mut self.stats.replayed),
            Decision::Resolve => Some(&mut self.stats.interrupted),
            Decision::NoMethod | Decision::Refused(_) => Some(&mut self.stats.refused),
            Decision::Recall => None,
        };
        if let Some(count) = count {
            *count += 1;
        }
        match decision {
            // Whoever sent these does not speak for the session, or not sense.
            Decision::Refused(
                Refusal::WrongDomain
                | Refusal::WrongEpoch
                | Refusal::Expired
                | Refusal::Unknown
                | Refusal::NotYours
                | Refusal::Fenced
                | Refusal::Misuse,
            )
            | Decision::Recall => {}
            Decision::Refused(Refusal::Stale | Refusal::Later(_))
            | Decision::Accepted
            | Decision::Joined { .. }
            | Decision::Replay(_)
            | Decision::Resolve
            | Decision::NoMethod => {
                let Stamp { xid, ack, .. } = *ask.stamp;
                self.raise_floor(xid.session, ack.min(xid.seq.saturating_sub(1)));
                self.touch(now, xid.session);
            }
        }
        decision
    }

    fn decide(
        &mut self,
        now: Instant,
        ask: &Ask<'_>,
        call: impl FnOnce() -> (C, W),
    ) -> Decision<W> {
        let Ask { stamp, owner, class, is_overloaded } = *ask;
        let Stamp { xid, fingerprint, .. } = *stamp;
        if xid.domain != self.domain {
            return Decision::Refused(Refusal::WrongDomain);
        }
        if !self.is_durable && stamp.epoch != self.epoch {
            return Decision::Refused(Refusal::WrongEpoch);
        }
        let Some(lease) = self.leases.get_mut(&xid.session) else {
            let ended = xid.session.0 < self.next_session;
            return Decision::Refused(if ended { Refusal::Expired } else { Refusal::Unknown });
        };
        if !stamp.is_proved(&lease.secret) || !lease.is_of(owner) {
            return Decision::Refused(Refusal::NotYours);
        }
        if stamp.incarnation != lease.incarnation {
            return Decision::Refused(Refusal::Fenced);
        }
        if xid.seq <= lease.calls.floor() {
            // What is final must still be so after a crash.
            let is_kept = xid.seq <= lease.kept_floor;
            let later = Refusal::Later(Later::Settling);
            return Decision::Refused(if is_kept { Refusal::Stale } else { later });
        }
        if !lease.is_resident {
            return Decision::Recall;
        }
        if let Some(entry) = lease.calls.get_mut(xid.seq) {
            if entry.fingerprint != fingerprint {
                return Decision::Refused(Refusal::Misuse);
            }
            return match &mut entry.state {
                State::Accepted { waiter, .. }
                | State::Ready { waiter }
                | State::Running { waiter }
                | State::Ending { waiter, .. }
                | State::Resolving { waiter, .. } => {
                    let displaced = std::mem::replace(waiter, call().1);
                    Decision::Joined { displaced }
                }
                State::Ended(outcome) => Decision::Replay(outcome.clone()),
                State::Interrupted => {
                    let (call, waiter) = call();
                    entry.state = State::Resolving { call, waiter };
                    lease.busy += 1;
                    Decision::Resolve
                }
            };
        }
        let later = if lease.left(now, self.limits.lease).is_zero() {
            Some(Later::LeaseOver)
        } else if self.is_draining {
            Some(Later::Draining)
        } else if is_overloaded {
            Some(Later::Overloaded)
        } else if xid.seq - lease.calls.floor() + lease.orphans > u64::from(self.limits.window) {
            Some(Later::Window)
        } else if self.bytes + ENTRY_BYTES > self.limits.bytes {
            Some(Later::Full)
        } else {
            None
        };
        if let Some(later) = later {
            return Decision::Refused(Refusal::Later(later));
        }
        let Some(class) = class else { return Decision::NoMethod };
        let (call, waiter) = call();
        lease.calls.insert(xid.seq, Entry { fingerprint, state: State::Accepted { call, waiter } });
        lease.busy += 1;
        self.bytes += ENTRY_BYTES;
        let started = Change::Started { session: xid.session, seq: xid.seq, fingerprint };
        match class {
            Class::Recorded => self.note(started),
            Class::Transactional => self.apply(&started),
        }
        Decision::Accepted
    }
}
