//! How far calls have come: what starts, ends, is given up, and what is kept of it.

use std::time::Instant;

use super::{
    Answer, Change, ENTRY_BYTES, KeptCall, Ledger, Outcome,
    lease::{Entry, State, kept_of},
};
use crate::semantics::{Grant, SessionId, Xid};

/// What a ledger has for its driver to do.
#[derive(PartialEq, Eq, Debug)]
pub enum Release<C, W> {
    /// Run the call: [`Ledger::start`] it right before.
    Run {
        /// Which.
        xid: Xid,
        /// What was kept of it.
        call: C,
    },
    /// Answer a call for the first time.
    Answer {
        /// Which.
        xid: Xid,
        /// Who waits.
        waiter: W,
        /// What it has come to.
        outcome: Outcome,
    },
    /// Nobody asks about a call any more: it was given up before it had an outcome.
    GivenUp {
        /// Which.
        xid: Xid,
        /// What was kept of it, if it has not begun. It never will.
        call: Option<C>,
        /// Who waits, if anyone still listens.
        waiter: W,
    },
    /// A session is granted.
    Granted {
        /// What its owner needs to know.
        grant: Grant,
        /// Who waits.
        waiter: W,
    },
    /// A floor is kept: nothing up to it can ever begin.
    Confirmed {
        /// Whose.
        session: SessionId,
        /// Up to where.
        floor: u64,
        /// Who waits.
        waiter: W,
    },
    /// Whoever waited for a session to be granted or ended waits for nothing any more.
    Superseded {
        /// Who.
        waiter: W,
    },
    /// Nobody could tell yet how far a call had come that was interrupted: it is to be asked for again.
    Unresolved {
        /// Which.
        xid: Xid,
        /// What was kept of it.
        call: C,
        /// Who waits.
        waiter: W,
    },
}

/// What is done with an answer that is larger than [`LedgerLimits::reply`](super::LedgerLimits::reply).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LargeReply {
    /// It is answered once and not kept: who asks again is told that.
    #[default]
    Drop,
    /// It is kept like any other.
    Keep,
}

/// How far an interrupted call had come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// It had ended, with this answer.
    Done(Answer),
    /// It had no effect, and can run now.
    NotDone,
    /// Nobody can tell, ever.
    Unknown,
    /// Nobody can tell now.
    NotNow,
}

impl<C, W> Ledger<C, W> {
    /// Whether the call may begin now; it is running if so. Asked right before its handler runs: a
    /// call that was given up meanwhile never begins.
    #[must_use]
    pub fn start(&mut self, xid: Xid) -> bool {
        let Some(entry) = self.entry(xid.session, xid.seq) else { return false };
        replace(&mut entry.state, |state| match state {
            State::Ready { waiter } => (State::Running { waiter }, true),
            other => (other, false),
        })
    }

    /// The call was released to run and will not: it goes, as if it had never come. Whoever waits
    /// is to be told that by the driver.
    pub fn withdraw(&mut self, xid: Xid) -> Option<W> {
        let lease = self.leases.get_mut(&xid.session)?;
        if !matches!(lease.calls.get_mut(xid.seq)?.state, State::Ready { .. }) {
            return None;
        }
        let State::Ready { waiter } = lease.calls.remove(xid.seq)?.state else {
            unreachable!("seen just now");
        };
        lease.busy -= 1;
        self.bytes -= ENTRY_BYTES;
        self.note(Change::Withdrawn { session: xid.session, seq: xid.seq });
        Some(waiter)
    }

    /// The call, started before, has had no effect and promises so: it goes, as if it had never come.
    /// Whoever waits is to be told that by the driver.
    pub fn undone(&mut self, now: Instant, xid: Xid) -> Option<W> {
        let Some(entry) = self.entry(xid.session, xid.seq) else {
            self.orphan_ended(now, xid);
            return None;
        };
        if !matches!(entry.state, State::Running { .. }) {
            return None;
        }
        let lease = self.leases.get_mut(&xid.session)?;
        let State::Running { waiter } = lease.calls.remove(xid.seq)?.state else {
            unreachable!("seen just now");
        };
        self.idle(now, xid.session);
        self.bytes -= ENTRY_BYTES;
        self.note(Change::Withdrawn { session: xid.session, seq: xid.seq });
        Some(waiter)
    }

    /// The call, started before, did not get to its end: how far it came is to be found out when it is
    /// asked for again, as after a crash. Whoever waits is to be told that by the driver.
    pub fn interrupted(&mut self, now: Instant, xid: Xid) -> Option<W> {
        let Some(entry) = self.entry(xid.session, xid.seq) else {
            self.orphan_ended(now, xid);
            return None;
        };
        let waiter = replace(&mut entry.state, |state| match state {
            State::Running { waiter } => (State::Interrupted, Some(waiter)),
            other => (other, None),
        });
        if waiter.is_some() {
            self.idle(now, xid.session);
        }
        waiter
    }

    /// The call, started before, has ended with this answer. Whoever waits is released with it when it
    /// is kept.
    pub fn complete(&mut self, now: Instant, xid: Xid, answer: Answer, large: LargeReply) {
        let kept = kept_of(&answer, self.limits.reply, large == LargeReply::Keep);
        let running = |state: &State<C, W>| matches!(state, State::Running { .. });
        self.end(now, xid, running, Outcome::Answer(answer), kept);
    }

    /// How far an interrupted call had come, as [`Decision::Resolve`](super::Decision::Resolve) asks.
    pub fn resolved(&mut self, now: Instant, xid: Xid, resolution: Resolution) {
        let (session, seq) = (xid.session, xid.seq);
        let resolving = |state: &State<C, W>| matches!(state, State::Resolving { .. });
        match resolution {
            Resolution::Done(answer) => {
                let outcome = Outcome::Answer(answer);
                return self.end(now, xid, resolving, outcome.clone(), outcome);
            }
            Resolution::Unknown => {
                return self.end(now, xid, resolving, Outcome::Unknown, Outcome::Unknown);
            }
            Resolution::NotDone | Resolution::NotNow => {}
        }
        let Some(entry) = self.entry(session, seq) else {
            return self.orphan_ended(now, xid);
        };
        let fingerprint = entry.fingerprint;
        if resolution == Resolution::NotDone {
            let is_accepted = replace(&mut entry.state, |state| match state {
                State::Resolving { call, waiter } => (State::Accepted { call, waiter }, true),
                other => (other, false),
            });
            if is_accepted {
                self.note(Change::Started { session, seq, fingerprint });
            }
            return;
        }
        let put_off = replace(&mut entry.state, |state| match state {
            State::Resolving { call, waiter } => (State::Interrupted, Some((call, waiter))),
            other => (other, None),
        });
        if let Some((call, waiter)) = put_off {
            self.idle(now, session);
            self.releases.push(Release::Unresolved { xid, call, waiter });
        }
    }

    /// The calls of a session that only the store remembered.
    pub fn recalled(&mut self, session: SessionId, calls: Vec<KeptCall>) {
        let Some(lease) = self.leases.get_mut(&session) else { return };
        if std::mem::replace(&mut lease.is_resident, true) {
            return;
        }
        let floor = lease.calls.floor();
        for KeptCall { seq, fingerprint, outcome } in calls {
            if seq <= floor {
                continue;
            }
            let state = outcome.map_or(State::Interrupted, State::Ended);
            self.bytes += ENTRY_BYTES + state.len();
            lease.calls.insert(seq, Entry { fingerprint, state });
        }
    }

    /// Changes that were [taken](Self::changes) are kept.
    pub fn kept(&mut self, changes: &[Change]) {
        for change in changes {
            self.apply(change);
        }
    }

    /// The call has an outcome, if it was in such a state as may have one.
    fn end(
        &mut self,
        now: Instant,
        xid: Xid,
        may_end: impl Fn(&State<C, W>) -> bool,
        outcome: Outcome,
        kept: Outcome,
    ) {
        let (session, seq) = (xid.session, xid.seq);
        let Some(entry) = self.entry(session, seq) else {
            return self.orphan_ended(now, xid);
        };
        if !may_end(&entry.state) {
            return;
        }
        let fingerprint = entry.fingerprint;
        let (remembered, bytes) = (kept.clone(), outcome.len());
        replace(&mut entry.state, |state| match state {
            State::Running { waiter } | State::Resolving { waiter, .. } => {
                (State::Ending { outcome, kept, waiter }, ())
            }
            other => (other, ()),
        });
        self.bytes += bytes;
        self.touch(now, session);
        self.note(Change::Completed { session, seq, fingerprint, outcome: remembered });
    }

    /// A call that was given up while it ran has ended.
    fn orphan_ended(&mut self, now: Instant, xid: Xid) {
        if let Some(lease) = self.leases.get_mut(&xid.session)
            && xid.seq <= lease.calls.floor()
            && lease.orphans > 0
        {
            lease.orphans -= 1;
            self.idle(now, xid.session);
        }
    }

    /// One call fewer of a session is busy, whose time begins anew.
    fn idle(&mut self, now: Instant, session: SessionId) {
        self.touch(now, session);
        if let Some(lease) = self.leases.get_mut(&session) {
            lease.busy -= 1;
        }
    }

    /// A change is kept, or need not be.
    pub(super) fn apply(&mut self, change: &Change) {
        match *change {
            Change::Opened { session, .. } | Change::Resumed { session, .. } => {
                self.granted(session);
            }
            Change::Floor { session, floor } => self.floor_kept(session, floor),
            // They have gone already.
            Change::Closed { .. } | Change::Withdrawn { .. } => {}
            Change::Started { session, seq, .. } => {
                let xid = Xid { domain: self.domain, session, seq };
                let Some(entry) = self.entry(session, seq) else { return };
                let call = replace(&mut entry.state, |state| match state {
                    State::Accepted { call, waiter } => (State::Ready { waiter }, Some(call)),
                    other => (other, None),
                });
                self.releases.extend(call.map(|call| Release::Run { xid, call }));
            }
            Change::Completed { session, seq, .. } => {
                let xid = Xid { domain: self.domain, session, seq };
                let Some(lease) = self.leases.get_mut(&session) else { return };
                let Some(entry) = lease.calls.get_mut(seq) else { return };
                let before = entry.state.len();
                let ended = replace(&mut entry.state, |state| match state {
                    State::Ending { outcome, kept, waiter } => {
                        (State::Ended(kept), Some((outcome, waiter)))
                    }
                    other => (other, None),
                });
                let after = entry.state.len();
                if let Some((outcome, waiter)) = ended {
                    lease.busy -= 1;
                    self.bytes = self.bytes - before + after;
                    self.releases.push(Release::Answer { xid, waiter, outcome });
                }
            }
        }
    }

    /// Forgets the calls up to `floor`: what has not begun never will.
    pub(super) fn raise_floor(&mut self, session: SessionId, floor: u64) {
        let Ledger { leases, releases, bytes, domain, .. } = self;
        let Some(lease) = leases.get_mut(&session) else { return };
        if floor <= lease.calls.floor() {
            return;
        }
        let (busy, orphans) = (&mut lease.busy, &mut lease.orphans);
        lease.calls.raise(floor, |seq, entry| {
            *bytes -= ENTRY_BYTES + entry.state.len();
            let xid = Xid { domain: *domain, session, seq };
            let (call, waiter) = match entry.state {
                State::Ended(_) | State::Interrupted => return,
                State::Accepted { call, waiter } => {
                    *busy -= 1;
                    (Some(call), waiter)
                }
                State::Ready { waiter } | State::Ending { waiter, .. } => {
                    *busy -= 1;
                    (None, waiter)
                }
                // Its handler still runs, and it keeps its place until that has ended.
                State::Running { waiter } => {
                    *orphans += 1;
                    (None, waiter)
                }
                State::Resolving { call, waiter } => {
                    *orphans += 1;
                    (Some(call), waiter)
                }
            };
            releases.push(Release::GivenUp { xid, call, waiter });
        });
        self.note(Change::Floor { session, floor });
    }
}

/// Replaces a state by what `next` makes of it, and gives what else it makes.
fn replace<C, W, T>(
    state: &mut State<C, W>,
    next: impl FnOnce(State<C, W>) -> (State<C, W>, T),
) -> T {
    // The placeholder is never seen: `next` cannot panic between here and there.
    let (new, value) = next(std::mem::replace(state, State::Interrupted));
    *state = new;
    value
}
