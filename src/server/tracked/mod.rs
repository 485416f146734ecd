//! Calls that run at most once: the server's ledger, and what becomes of what it releases.
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Tracked`] | `mod` | the ledger, and who acts on its releases |
//! | requests with a stamp, questions about sessions | `ask` | their way from a connection to the ledger |
//! | [`Waiter`] | `waiter` | whoever waits for an answer, which may be gone |
//! | [`Kept`] | `kept` | a call until it may run |
//! | [`Call`] | `call` | a call that runs: begun at most once, answered once |
//! | its handler | `handle` | where it runs |
//! | interrupted calls | `resolve` | who knows how far they had come |
//! | its method's demands | `demand` | what it insists on, and what can be promised |
//! | answers | `answer` | frames that say how their session stands |
//! | sessions' ends | `expiry` | a timer |
//!
//! Such a call does not live on its connection. Who sent it waits for its outcome, and may be gone when
//! there is one; a cancel, a lost connection, or a deadline that passes stop the waiting and not the call.
//! A deadline keeps it from beginning, as a check's refusal does: then nothing is remembered of it.
//!
//! Locks: the ledger's is taken last, and nothing is called with it held. What it releases is acted on by
//! whoever was there when it was released, on any thread: an act never waits, and never runs a handler.

mod answer;
mod ask;
pub(super) mod call;
pub(super) mod demand;
mod expiry;
mod handle;
mod kept;
mod resolve;
mod waiter;

use std::sync::{Arc, Weak};

use netrpc_core::{
    Cancellation, Fault, Identity,
    ledger::{
        Act, Answer, Book, Decision, KeyValue, LedgerLimits, LedgerStats, Outcome, Owner, Release,
        Store, StoreFailed, Transaction, Writes,
    },
    semantics::{SessionId, Standing, Xid},
    service::Entry,
    tracked::NoTxn,
    wire::{self, AckFrame, SessionFrame},
};
use tokio::sync::{Notify, OwnedMutexGuard};

use self::{kept::Kept, waiter::Waiter};
use super::{Shared, passage::Target};
use crate::{
    client::now,
    ledger::{Kind, Ledger, LookUp, Random},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// The ledger of a server.
pub(super) struct Tracked {
    book: Book<Box<Kept>, Waiter, Acting>,
    limits: LedgerLimits,
    random: Random,
    /// What the ledger is kept in, if in anything.
    store: Option<Arc<dyn Store>>,
    /// Whose turn it is to write into that: a handler at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Who remembers what calls have done that do not write into it.
    completions: Option<Arc<dyn LookUp>>,
    /// Calls that have been released to run, and have not ended.
    running: AtomicUsize,
    /// Told when one of them has, or an outcome is kept.
    ended: Notify,
    /// Whether a task waits for the end of sessions.
    expiring: AtomicBool,
    /// Set when the store has failed.
    failed: Cancellation,
    /// Set when nobody needs the timer any more.
    dropped: Cancellation,
}

/// Acts on what the ledger releases.
struct Acting {
    tracked: Weak<Tracked>,
    server: Weak<Shared>,
}

impl Tracked {
    pub(super) fn new(ledger: Ledger, server: Weak<Shared>) -> Arc<Self> {
        let Ledger { kind, limits, seed, completions } = ledger;
        let random = Random::new(seed);
        let store = match &kind {
            Kind::Volatile => None,
            Kind::Kept { store, .. } => Some(store.clone()),
        };
        Arc::new_cyclic(|tracked| {
            let acting = Acting { tracked: tracked.clone(), server };
            let book = match kind {
                Kind::Volatile => Book::volatile(random.domain(), random.epoch(), limits, acting),
                Kind::Kept { store, sessions } => {
                    Book::restored(now(), store, sessions, limits, acting)
                }
            };
            Tracked {
                book,
                limits,
                random,
                store,
                turn: Arc::default(),
                completions,
                running: AtomicUsize::new(0),
                ended: Notify::new(),
                expiring: AtomicBool::new(false),
                failed: Cancellation::new(),
                dropped: Cancellation::new(),
            }
        })
    }

    /// Waits until the store has failed.
    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Why nothing is answered any more.
    pub(super) fn failure(&self) -> Option<&StoreFailed> {
        self.book.failure()
    }

    /// What the ledger has, and has done.
    pub(super) fn stats(&self) -> Option<LedgerStats> {
        self.book.with(|ledger| ledger.stats()).ok()
    }

    /// Lets no new call run from now on.
    pub(super) fn drain(&self) {
        let _ = self.book.with(netrpc_core::ledger::Ledger::drain);
    }

    /// Lets new calls run again.
    pub(super) fn reopen(&self) {
        let _ = self.book.with(netrpc_core::ledger::Ledger::reopen);
    }

    /// Waits until no call runs, and what has run is recorded.
    pub(super) async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            let running = self.running.load(Ordering::Acquire) > 0;
            // What has failed does not get any further.
            if !running && self.book.with(|ledger| ledger.is_idle()).unwrap_or(true) {
                return;
            }
            ended.await;
        }
    }

    /// How many calls run, or are about to.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Who remembers what calls of this method have done, if anybody does besides the ledger.
    fn completions_of(&self, method: &str) -> Option<&Arc<dyn LookUp>> {
        self.completions.as_ref().filter(|completions| completions.covers(method))
    }

    /// A transaction of the store, if it has such. `turn` ends with it.
    fn transaction(&self, turn: OwnedMutexGuard<()>) -> Option<Begun> {
        let transactions = self.store.as_ref()?.transactions()?;
        let begun = transactions.begin();
        Some(begun.map(|inner| Box::new(Turned { inner, _turn: turn }) as Box<dyn Transaction>))
    }

    /// Why a handler has no transaction, if it has none.
    fn no_txn(&self, target: &Target) -> NoTxn {
        let of_others = |entry: &Arc<Entry>| self.completions_of(entry.full_name()).is_some();
        if target.as_ref().is_ok_and(of_others) { NoTxn::Elsewhere } else { NoTxn::NotDeclared }
    }

    /// How the session of a call stands; `None` if nothing may be said any more.
    fn standing(&self, xid: Xid) -> Option<Standing> {
        self.book.with(|ledger| ledger.standing(now(), xid)).ok()
    }

    /// The same for one who is to ask again.
    fn standing_again(&self, xid: Xid) -> Option<Standing> {
        let standing = self.standing(xid)?;
        let retry_after = self.limits.retry_after;
        Some(Standing { is_final: false, retry_after, ..standing })
    }

    /// Tells whoever waits for a call what it has come to.
    fn answer(&self, waiter: &Waiter, xid: Xid, outcome: &Outcome) {
        if let Some(standing) = self.standing(xid) {
            waiter.say(|out, seq, max| answer::outcome(out, seq, outcome, &standing, max));
        }
    }

    /// Tells somebody that a call runs, and that there is another way to learn its outcome.
    fn pending(&self, waiter: &Waiter, xid: Xid) {
        if let Some(standing) = self.standing_again(xid) {
            let fault = answer::pending();
            waiter.say(|out, seq, max| answer::fault(out, seq, &fault, &standing, max));
        }
    }

    fn confirmed(&self, waiter: &Waiter, session: SessionId, floor: u64) {
        let said = self.book.with(|ledger| {
            let xid = Xid { domain: ledger.domain(), session, seq: 0 };
            ledger.standing(now(), xid)
        });
        let Ok(Standing { xid: Xid { domain, .. }, epoch, lease_left, .. }) = said else { return };
        let frame = AckFrame::Confirmed { domain, session, epoch, floor, lease_left };
        waiter.say(|out, seq, _| wire::write_ack(out, seq, &frame));
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.dropped.cancel();
    }
}

impl Act<Box<Kept>, Waiter> for Acting {
    fn act(&self, release: Release<Box<Kept>, Waiter>) {
        let Some(tracked) = self.tracked.upgrade() else { return };
        match release {
            Release::Run { xid, call } => call.run(tracked, xid),
            Release::Answer { xid, waiter, outcome } => {
                tracked.answer(&waiter, xid, &outcome);
                tracked.ended.notify_waiters();
            }
            Release::GivenUp { xid, call, waiter } => {
                drop(call);
                if let Some(standing) = tracked.standing_again(xid) {
                    let fault = super::call::cancelled();
                    waiter.say(|out, seq, max| answer::fault(out, seq, &fault, &standing, max));
                }
                tracked.ended.notify_waiters();
            }
            Release::Granted { grant, waiter } => {
                waiter.say(|out, seq, _| {
                    wire::write_session(out, seq, &SessionFrame::Granted(grant));
                });
            }
            Release::Confirmed { session, floor, waiter } => {
                tracked.confirmed(&waiter, session, floor);
            }
            Release::Superseded { waiter } => waiter.refuse(&answer::superseded()),
            Release::Unresolved { xid, call, waiter } => {
                drop(call);
                tracked.pending(&waiter, xid);
                tracked.ended.notify_waiters();
            }
        }
    }

    fn failed(&self, error: &StoreFailed) {
        let cause = netrpc_core::error::chain(error);
        tracing::error!(%cause, "the ledger has failed: the server ends, and answers nothing more");
        if let Some(tracked) = self.tracked.upgrade() {
            tracked.failed.cancel();
            tracked.ended.notify_waiters();
        }
        if let Some(server) = self.server.upgrade() {
            server.connections.live().iter().for_each(|connection| connection.abort());
        }
    }
}

type Begun = Result<Box<dyn Transaction>, StoreFailed>;

/// A transaction, and the turn to have one.
#[derive(Debug)]
struct Turned {
    inner: Box<dyn Transaction>,
    _turn: OwnedMutexGuard<()>,
}

impl Transaction for Turned {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        self.inner.get(table, key)
    }

    fn range(&self, table: &str, from: &[u8], to: &[u8]) -> Result<Vec<KeyValue>, StoreFailed> {
        self.inner.range(table, from, to)
    }

    fn put(&mut self, table: &str, key: &[u8], value: &[u8]) {
        self.inner.put(table, key, value);
    }

    fn delete(&mut self, table: &str, key: &[u8]) {
        self.inner.delete(table, key);
    }

    /// The next has its turn then, and waits no longer than until the store has these.
    fn into_writes(self: Box<Self>) -> Writes {
        self.inner.into_writes()
    }
}

/// Whose the sessions of a peer are that has proved to be this: its names stay when its certificate is
/// replaced.
pub(super) fn owner_of(identity: &Identity) -> Owner {
    let of = |kind: &str, names: &[String]| names.first().map(|name| format!("{kind}:{name}"));
    let named = of("uri", identity.uris())
        .or_else(|| of("dns", identity.dns_names()))
        .or_else(|| of("email", identity.emails()))
        .or_else(|| identity.common_name().map(|name| format!("cn:{name}")))
        .or_else(|| identity.ip_addresses().first().map(|addr| format!("ip:{addr}")));
    let bytes = || identity.certificate().iter().map(|byte| format!("{byte:02x}"));
    named.unwrap_or_else(|| bytes().collect()).into()
}

/// A fault as the ledger keeps it.
pub(crate) fn fault_answer(fault: &Fault) -> Answer {
    answer::of_fault(fault, wire::DEFAULT_MAX_FRAME)
}

/// What the ledger decides about a call.
type Decided = Decision<Waiter>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_belongs_to_a_name_and_not_to_a_certificate() {
        let of = |identity: Identity| owner_of(&identity).to_string();
        let before = || Identity::new(vec![1, 0xAB]);
        assert_eq!(of(before().with_dns_name("a.internal")), "dns:a.internal");
        // Its successor's is the same.
        assert_eq!(of(Identity::new(vec![2]).with_dns_name("a.internal")), "dns:a.internal");
        let uri = before().with_dns_name("a.internal").with_uri("spiffe://a");
        assert_eq!(of(uri), "uri:spiffe://a");
        // A name of another kind is another name.
        assert_eq!(of(before().with_common_name("uri:spiffe://a")), "cn:uri:spiffe://a");
        assert_eq!(of(before().with_email("a@b")), "email:a@b");
        assert_eq!(of(before().with_ip_address([10, 0, 0, 1].into())), "ip:10.0.0.1");
        // Without a name it is the certificate's.
        assert_eq!(of(before()), "01ab");
    }
}
