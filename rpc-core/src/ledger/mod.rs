//! The server's memory of calls: which have come, which run, and what was answered.
//!
//! A call whose caller wants it run at most once carries a [`Stamp`]. The ledger knows it again by that,
//! however often and on whatever connection it comes: the first runs, the others wait for its outcome
//! or get it. The scheme is that of the RPC literature (transaction ids, a table of replies,
//! cumulative acknowledgements), with completion records as in RIFL (Lee et al., SOSP '15).
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Ledger`] | `mod`, `admit`, `progress`, `sessions` | the tables and the rules; pure, like every machine here |
//! | [`Change`], [`Store`] | `change` | what has to be remembered, and by whom |
//! | [`Transaction`] | `txn` | what handlers write beside it |
//! | [`Refusal`], [`Later`] | `refusal` | why a call does not run |
//! | [`Book`] | `book` | a ledger and its store, behind one lock |
//! | sessions, calls | `lease`, `window` | one client's part of the tables |
//!
//! Calling contract: every method that takes `&mut self` may leave [`Release`]s, which the driver takes
//! with [`released`](Ledger::released) and acts on when the ledger's lock is free, and
//! [`Change`]s, which it takes with [`changes`](Ledger::changes) and gives to the store *before* the
//! lock is free. When they are kept, it gives them to [`kept`](Ledger::kept). Where nothing outlives
//! the server, changes count as kept at once, and there are none to be taken. [`Book`] does all this.
//!
//! `C` is what the driver keeps of a call until it may run, `W` what it keeps of whoever waits for the
//! outcome.

mod admit;
mod book;
mod change;
mod lease;
mod progress;
mod refusal;
mod sessions;
#[cfg(test)]
mod tests;
mod txn;
mod window;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use rustc_hash::FxBuildHasher;

pub use admit::{Ask, Class, Decision};
pub use book::{Act, Book};
pub use change::{
    Answer, Change, Done, KeptCall, KeptSession, Outcome, Owner, Store, StoreFailed, Writes,
};
pub use progress::{LargeReply, Release, Resolution};
pub use refusal::{Later, Refusal};
pub use sessions::SessionClaim;
pub use txn::{KeyValue, Transaction, Transactions};

use lease::{Entry, Lease};

use crate::semantics::{Domain, Epoch, SessionId, Stamp, Standing, Xid};

/// What a ledger keeps at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerLimits {
    /// How long a session lives without traffic; 30 minutes unless set.
    pub lease: Duration,
    /// Calls of a session that are kept apart, beyond its floor; 512 unless set.
    pub window: u32,
    /// Sessions at once; 100,000 unless set.
    pub sessions: usize,
    /// Bytes of answers that nobody has acknowledged, with 128 for each call; 256 MiB unless set.
    pub bytes: usize,
    /// The largest answer that is kept whatever its method says; 64 KiB unless set.
    pub reply: usize,
    /// When those are told to ask again who are told to; 50 ms unless set.
    pub retry_after: Duration,
}

impl Default for LedgerLimits {
    fn default() -> Self {
        LedgerLimits {
            lease: Duration::from_secs(30 * 60),
            window: 512,
            sessions: 100_000,
            bytes: 256 << 20,
            reply: 64 << 10,
            retry_after: Duration::from_millis(50),
        }
    }
}

/// What a ledger has, and what it has done since its server began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct LedgerStats {
    /// Sessions that have not ended.
    pub sessions: usize,
    /// Calls that are remembered of them: those that run, and those that were answered and not
    /// acknowledged. Of a session that was not heard of since the server began it is not known.
    pub calls: usize,
    /// What is counted of these, in bytes.
    pub bytes: usize,
    /// Calls that were seen for the first time, and accepted.
    pub accepted: u64,
    /// Requests that got the answer of an earlier one.
    pub replayed: u64,
    /// Requests that found their call running, and waited for its outcome.
    pub joined: u64,
    /// Requests about calls that were interrupted by a crash.
    pub interrupted: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// What a call is counted as beyond its answer.
const ENTRY_BYTES: usize = 128;

/// A server's memory of the calls of all its sessions.
#[derive(Debug)]
pub struct Ledger<C, W> {
    limits: LedgerLimits,
    domain: Domain,
    epoch: Epoch,
    /// Whether changes are to be kept by somebody before they count.
    is_durable: bool,
    /// The next session's number: one that is smaller and not here has ended.
    next_session: u64,
    leases: HashMap<SessionId, Lease<C, W>, FxBuildHasher>,
    /// Every session once, by when it may end at the earliest.
    ends: VecDeque<(Instant, SessionId)>,
    /// What is counted of all calls in the tables.
    bytes: usize,
    is_draining: bool,
    /// What has become of requests.
    stats: LedgerStats,
    /// Sessions in the order in which they were opened; those at the front may be used by now, or gone.
    unused: VecDeque<SessionId>,
    /// To be kept. Empty unless the ledger is durable.
    changes: Vec<Change>,
    /// To be acted on.
    releases: Vec<Release<C, W>>,
}

impl<C, W> Ledger<C, W> {
    /// A ledger that ends with the server.
    pub fn volatile(domain: Domain, epoch: Epoch, limits: LedgerLimits) -> Self {
        Ledger {
            limits,
            domain,
            epoch,
            is_durable: false,
            next_session: 1,
            leases: HashMap::default(),
            ends: VecDeque::new(),
            bytes: 0,
            is_draining: false,
            stats: LedgerStats::default(),
            unused: VecDeque::new(),
            changes: Vec::new(),
            releases: Vec::new(),
        }
    }

    /// A ledger whose changes are kept, with the sessions that its store remembers: all have their whole
    /// time before them again.
    pub fn durable(
        now: Instant,
        domain: Domain,
        epoch: Epoch,
        limits: LedgerLimits,
        sessions: impl IntoIterator<Item = KeptSession>,
        next_session: SessionId,
    ) -> Self {
        let mut ledger = Ledger { is_durable: true, ..Self::volatile(domain, epoch, limits) };
        ledger.next_session = next_session.0.max(1);
        for kept in sessions {
            ledger.next_session = ledger.next_session.max(kept.session.0 + 1);
            ledger.ends.push_back((now + limits.lease, kept.session));
            ledger.leases.insert(kept.session, Lease::restored(now, kept));
        }
        ledger
    }

    /// The domain.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// The server's life.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether it survives the server.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Lets no new call run from now on; those that have been accepted go on.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Lets new calls run again: the server serves on.
    pub fn reopen(&mut self) {
        self.is_draining = false;
    }

    /// What there is to do, in order.
    pub fn released(&mut self) -> impl Iterator<Item = Release<C, W>> + '_ {
        self.releases.drain(..)
    }

    /// What is to be kept, in order.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// What the answer to a call says of its session.
    pub fn standing(&self, now: Instant, xid: Xid) -> Standing {
        let lease = self.leases.get(&xid.session);
        Standing {
            xid,
            epoch: self.epoch,
            floor: lease.map_or(0, |lease| lease.kept_floor),
            lease_left: lease.map_or(Duration::ZERO, |lease| lease.left(now, self.limits.lease)),
            retry_after: Duration::ZERO,
            is_final: true,
            is_replayed: false,
        }
    }

    /// Sessions that have not ended.
    pub fn sessions(&self) -> usize {
        self.leases.len()
    }

    /// What it has, and what it has done. It looks at every call.
    pub fn stats(&self) -> LedgerStats {
        let calls = self.leases.values().map(|lease| lease.calls.len()).sum();
        LedgerStats { sessions: self.leases.len(), calls, bytes: self.bytes, ..self.stats }
    }

    /// Whether no call has been accepted that has no outcome yet, handlers that were given up included.
    pub fn is_idle(&self) -> bool {
        self.leases.values().all(|lease| lease.busy == 0)
    }

    /// What is counted of the calls in the tables, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A change that has to be kept before it counts; where nothing is, it counts at once.
    fn note(&mut self, change: Change) {
        if self.is_durable {
            self.changes.push(change);
        } else {
            self.apply(&change);
        }
    }

    fn entry(&mut self, session: SessionId, seq: u64) -> Option<&mut Entry<C, W>> {
        self.leases.get_mut(&session)?.calls.get_mut(seq)
    }
}
