//! A ledger and its store, behind one lock: the same to a server whether anything is kept or not.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::{
    Ask, Change, Decision, KeptSession, Ledger, LedgerLimits, Release, Store, StoreFailed, Writes,
};
use crate::{
    semantics::{Domain, Epoch, SessionId},
    sync::{Mutex, MutexGuard},
};

/// What a server does with what its ledger releases; asked without a lock, from any thread.
pub trait Act<C, W>: Send + Sync + 'static {
    /// Does it. Two releases may come in another order than they were made: a call that is released to
    /// run is to be [started](Ledger::start) right before.
    fn act(&self, release: Release<C, W>);

    /// The store has failed: nothing can be answered any more, and the server is to end. Told once.
    fn failed(&self, error: &StoreFailed);
}

/// A ledger, its store if it has one, and whoever acts on what it releases.
///
/// ```
/// use std::{sync::{Arc, mpsc}, time::Instant};
/// use netrpc_core::{
///     ledger::{Act, Ask, Book, Class, LedgerLimits, Release, StoreFailed},
///     semantics::{Domain, Epoch, Grant, Series, SeriesLimits, Secret, Semantics},
/// };
///
/// # type Releases = Release<&'static str, u32>;
/// struct Post(mpsc::Sender<Releases>);
/// impl Act<&'static str, u32> for Post {
///     fn act(&self, release: Releases) { self.0.send(release).unwrap() }
///     fn failed(&self, error: &StoreFailed) { panic!("{error}") }
/// }
///
/// # fn f(now: Instant) -> Result<(), Box<dyn std::error::Error>> {
/// let (post, released) = mpsc::channel();
/// let book = Book::volatile(Domain(1), Epoch(1), LedgerLimits::default(), Post(post));
/// book.with(|ledger| ledger.open(now, Secret::new(*b"sixteen letters!"), None, 7))?.unwrap();
/// let Release::Granted { grant, waiter: 7 } = released.recv()? else { panic!() };
///
/// let mut client = Series::new(now, grant, SeriesLimits::default());
/// let xid = client.begin(now).unwrap();
/// let fingerprint = grant.secret.fingerprint("Bank.Debit", b"\x07");
/// let stamp = client.stamp(now, xid.seq, 1, Semantics::AtMostOnce, fingerprint);
/// let ask = Ask { stamp: &stamp, owner: None, class: Some(Class::Recorded), is_overloaded: false };
/// book.admit(now, &ask, || ("debit 7", 8))?;
/// assert_eq!(released.recv()?, Release::Run { xid, call: "debit 7" });
/// # Ok(())
/// # }
/// ```
pub struct Book<C, W, A> {
    shared: Arc<Shared<C, W, A>>,
}

struct Shared<C, W, A> {
    ledger: Mutex<Ledger<C, W>>,
    store: Option<Arc<dyn Store>>,
    act: A,
    failed: OnceLock<StoreFailed>,
}

impl<C, W, A> Clone for Book<C, W, A> {
    fn clone(&self) -> Self {
        Book { shared: self.shared.clone() }
    }
}

impl<C, W, A> std::fmt::Debug for Book<C, W, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

impl<C, W, A> Book<C, W, A>
where
    C: Send + 'static,
    W: Send + 'static,
    A: Act<C, W>,
{
    /// A ledger that ends with the server.
    pub fn volatile(domain: Domain, epoch: Epoch, limits: LedgerLimits, act: A) -> Self {
        Self::new(Ledger::volatile(domain, epoch, limits), None, act)
    }

    /// A ledger that goes on where `store` stopped.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn durable(
        now: Instant,
        store: Arc<dyn Store>,
        limits: LedgerLimits,
        act: A,
    ) -> Result<Self, StoreFailed> {
        let sessions = store.sessions()?;
        Ok(Self::restored(now, store, sessions, limits, act))
    }

    /// The same with the [sessions](Store::sessions) that were read from the store before.
    pub fn restored(
        now: Instant,
        store: Arc<dyn Store>,
        (sessions, next): (Vec<KeptSession>, SessionId),
        limits: LedgerLimits,
        act: A,
    ) -> Self {
        let (domain, epoch) = (store.domain(), store.epoch());
        let ledger = Ledger::durable(now, domain, epoch, limits, sessions, next);
        Self::new(ledger, Some(store), act)
    }

    fn new(ledger: Ledger<C, W>, store: Option<Arc<dyn Store>>, act: A) -> Self {
        let ledger = Mutex::new(ledger);
        Book { shared: Arc::new(Shared { ledger, store, act, failed: OnceLock::new() }) }
    }

    /// Does something to the ledger, has its changes kept, and acts on what it releases.
    ///
    /// # Errors
    /// If the store has failed; nothing is done then.
    pub fn with<T>(&self, f: impl FnOnce(&mut Ledger<C, W>) -> T) -> Result<T, StoreFailed> {
        self.with_writes(None, f)
    }

    /// As [`with`](Self::with), with what a handler has written into the store: it is kept together with
    /// the changes that `f` makes, or not at all.
    ///
    /// # Errors
    /// If the store has failed; nothing is done then.
    pub fn with_writes<T>(
        &self,
        writes: Option<Writes>,
        f: impl FnOnce(&mut Ledger<C, W>) -> T,
    ) -> Result<T, StoreFailed> {
        if let Some(failed) = self.shared.failed.get() {
            return Err(failed.clone());
        }
        Ok(self.shared.turn(writes, f))
    }

    /// What is done with a call: [`Ledger::admit`], which never is [`Decision::Recall`] here.
    ///
    /// # Errors
    /// If the store has failed.
    pub fn admit(
        &self,
        now: Instant,
        ask: &Ask<'_>,
        call: impl FnOnce() -> (C, W),
    ) -> Result<Decision<W>, StoreFailed> {
        let mut call = Some(call);
        let mut admit = || {
            self.with(|ledger| ledger.admit(now, ask, || (call.take().expect("it is made once"))()))
        };
        let decision = admit()?;
        let (Decision::Recall, Some(store)) = (&decision, &self.shared.store) else {
            return Ok(decision);
        };
        // Not under the lock: it reads. If two do it at once, the second has done it in vain.
        let session = ask.stamp.xid.session;
        let calls = store.recall(session).inspect_err(|failed| self.shared.fail(failed))?;
        self.with(|ledger| ledger.recalled(session, calls))?;
        admit()
    }

    /// Why nothing is answered any more.
    pub fn failure(&self) -> Option<&StoreFailed> {
        self.shared.failed.get()
    }
}

impl<C, W, A> Shared<C, W, A>
where
    C: Send + 'static,
    W: Send + 'static,
    A: Act<C, W>,
{
    fn turn<T>(
        self: &Arc<Self>,
        writes: Option<Writes>,
        f: impl FnOnce(&mut Ledger<C, W>) -> T,
    ) -> T {
        let mut ledger = self.ledger.lock();
        let value = f(&mut ledger);
        self.finish(ledger, writes);
        value
    }

    fn were_kept(self: &Arc<Self>, changes: &[Change]) {
        let mut ledger = self.ledger.lock();
        ledger.kept(changes);
        self.finish(ledger, None);
    }

    /// Has what a turn has changed kept, and acts on what it has released.
    fn finish(self: &Arc<Self>, mut ledger: MutexGuard<'_, Ledger<C, W>>, writes: Option<Writes>) {
        let changes = ledger.changes();
        if let Some(store) = &self.store
            && !(changes.is_empty() && writes.is_none())
        {
            let changes: Arc<[_]> = changes.into();
            let (kept, shared) = (changes.clone(), self.clone());
            let done = move |result: Result<(), StoreFailed>| match result {
                Ok(()) => shared.were_kept(&kept),
                Err(failed) => shared.fail(&failed),
            };
            // Under the lock, so that the store's order is the ledger's.
            store.keep(changes, writes, Box::new(done));
        }
        let released: Vec<_> = ledger.released().collect();
        drop(ledger);
        for release in released {
            self.act.act(release);
        }
    }

    fn fail(&self, failed: &StoreFailed) {
        if self.failed.set(failed.clone()).is_ok() {
            self.act.failed(failed);
        }
    }
}
