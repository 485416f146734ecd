//! A server's memory of calls that must not run twice, as its owner configures it.

mod completion;
mod random;

use std::{fmt, sync::Arc, time::Duration};

use netrpc_core::{
    ledger::{KeptSession, LedgerLimits, Store, StoreFailed},
    semantics::SessionId,
};
#[cfg(feature = "durable")]
pub use netrpc_ledger::OpenError;

pub(crate) use completion::LookUp;
pub use completion::{Completion, CompletionStore};
pub(crate) use random::Random;

/// What a server remembers of calls, so that none runs twice: given to it with
/// [`ServerBuilder::ledger`](crate::ServerBuilder::ledger).
///
/// A call under [`Semantics::AtMostOnce`](crate::Semantics::AtMostOnce) carries a number by which the
/// ledger knows it again, on whatever connection it comes: the first runs, and whoever asks again gets the
/// same answer. A server without a ledger refuses such calls.
///
/// ```
/// use netrpc::{Ledger, Server};
/// use std::time::Duration;
///
/// let ledger = Ledger::volatile().lease(Duration::from_secs(600));
/// let server = Server::builder().ledger(ledger).build();
/// ```
///
/// | | what a crash of the server leaves |
/// |---|---|
/// | [`volatile`](Self::volatile) | nothing: no call runs again, and what became of those that ran is unknown |
/// | `open` (feature `durable`), [`with_store`](Self::with_store) | all that was answered, and what was running |
///
/// | limit | default | what happens at the limit |
/// |---|---|---|
/// | [`lease`](Self::lease) | 30 min | a session that was not heard of for so long ends, and its calls are forgotten |
/// | [`window`](Self::window) | 512 | further calls of the session are to be asked again later |
/// | [`max_sessions`](Self::max_sessions) | 100,000 | the oldest that was never used makes room, else no more are opened until others end |
/// | [`max_bytes`](Self::max_bytes) | 256 MiB | new calls are to be asked again later |
/// | [`max_kept_reply`](Self::max_kept_reply) | 64 KiB | a longer reply is answered once and not kept |
///
/// What is said to be asked again later has not run, and nothing is remembered of it. A call that is
/// remembered is never forgotten to make room for another.
pub struct Ledger {
    pub(crate) kind: Kind,
    pub(crate) limits: LedgerLimits,
    pub(crate) seed: Option<u64>,
    pub(crate) completions: Option<Arc<dyn LookUp>>,
}

pub(crate) enum Kind {
    /// In memory.
    Volatile,
    /// In a store that survives the server, with the sessions it remembers and the number of the next.
    Kept { store: Arc<dyn Store>, sessions: (Vec<KeptSession>, SessionId) },
}

impl Ledger {
    /// A ledger in memory, which ends with the server.
    pub fn volatile() -> Self {
        Self::new(Kind::Volatile)
    }

    /// A ledger that is kept in `store`, and goes on where that stopped.
    ///
    /// A store has one server at a time.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn with_store(store: Arc<dyn Store>) -> Result<Self, StoreFailed> {
        let sessions = store.sessions()?;
        Ok(Self::new(Kind::Kept { store, sessions }))
    }

    /// A ledger in a file, which is made if it is not there: it goes on where the server before stopped,
    /// however that ended.
    ///
    /// A call that was running when the server crashed is not run again, unless its method is
    /// `#[method(exactly_once)]` or a [`CompletionStore`] says that it has done nothing. One process has the
    /// file open at a time. If the disk fails, the server ends: [`Serve`](crate::Serve) ends, all
    /// connections are closed, and nothing more is answered.
    ///
    /// It blocks the thread while it reads.
    ///
    /// # Errors
    /// If another process has it open, a newer version has written it, it is something else or is
    /// corrupted, or the disk fails.
    #[cfg(feature = "durable")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), &netrpc_ledger::OpenOptions::new())
    }

    /// The same of a file that comes from a backup: it becomes another ledger, without sessions.
    ///
    /// What happened after the backup was made is not in it. A client that went on as if nothing had been
    /// would run calls again that have run; so it is told that its calls are of another ledger. What
    /// handlers have written stays.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "durable")]
    pub fn open_restored(path: impl AsRef<std::path::Path>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), &netrpc_ledger::OpenOptions::new().restored(true))
    }

    #[cfg(feature = "durable")]
    fn open_with(
        path: &std::path::Path,
        options: &netrpc_ledger::OpenOptions,
    ) -> Result<Self, OpenError> {
        let store = options.open(path)?;
        Self::with_store(Arc::new(store))
            .map_err(|failed| OpenError::Failed { path: path.to_owned(), cause: failed.into() })
    }

    fn new(kind: Kind) -> Self {
        Ledger { kind, limits: LedgerLimits::default(), seed: None, completions: None }
    }

    /// How long a session lives without traffic; 30 minutes unless set.
    ///
    /// A client that was away for longer opens another, and what became of calls it had not heard of is
    /// unknown to it. No session ends while one of its calls runs.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.limits.lease = lease;
        self
    }

    /// How many calls of one session are remembered that its client has not acknowledged; 512 unless set,
    /// at least 1.
    pub fn window(mut self, calls: u32) -> Self {
        self.limits.window = calls.max(1);
        self
    }

    /// How many sessions there may be at once; 100,000 unless set.
    ///
    /// Where there are as many, a session that was opened and never used ends when another is opened.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.limits.sessions = sessions;
        self
    }

    /// How many bytes of answers that nobody has acknowledged are kept, with 128 for each call; 256 MiB
    /// unless set.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// The largest reply that is kept, in bytes; 64 KiB unless set.
    ///
    /// Whoever asks again for a call whose reply was larger is told that it ran.
    pub fn max_kept_reply(mut self, bytes: usize) -> Self {
        self.limits.reply = bytes;
        self
    }

    /// When those ask again who are told to; 50 ms unless set.
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.limits.retry_after = time;
        self
    }

    /// Whoever remembers what calls have done, besides the ledger: see [`CompletionStore`].
    pub fn completions(mut self, completions: impl CompletionStore) -> Self {
        self.completions = Some(Arc::new(completions));
        self
    }

    /// Makes everything random come from this seed: for simulations, and for nothing else. Whoever knows
    /// it can speak for every session.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Ledger");
        match &self.kind {
            Kind::Volatile => debug.field("store", &"volatile"),
            Kind::Kept { store, .. } => debug.field("store", store),
        };
        debug.field("limits", &self.limits).finish_non_exhaustive()
    }
}
