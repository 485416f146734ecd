//! What a ledger has to remember, and whoever remembers it.

use std::{any::Any, fmt, sync::Arc};

use bytes::Bytes;

use super::Transactions;
use crate::semantics::{Domain, Epoch, Fingerprint, Incarnation, Secret, SessionId};

/// One step of a ledger. What is *kept* survives the server, if its [`Store`] does.
///
/// A step that is not kept has not happened: nothing is said about it to anyone before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A session was opened.
    Opened {
        /// Its number; no later session has one as small.
        session: SessionId,
        /// What its owner proves with.
        secret: Secret,
        /// Whose it is, if the connection knew.
        owner: Option<Owner>,
    },
    /// A session was resumed.
    Resumed {
        /// Its number.
        session: SessionId,
        /// From now on.
        incarnation: Incarnation,
    },
    /// A session is over; nothing of it is remembered.
    Closed {
        /// Its number.
        session: SessionId,
    },
    /// A call is about to run.
    Started {
        /// Whose.
        session: SessionId,
        /// Which.
        seq: u64,
        /// What it says.
        fingerprint: Fingerprint,
    },
    /// A call that was to run did not begin, and has gone as if it had never come.
    Withdrawn {
        /// Whose.
        session: SessionId,
        /// Which.
        seq: u64,
    },
    /// A call has an outcome.
    Completed {
        /// Whose.
        session: SessionId,
        /// Which.
        seq: u64,
        /// What it said.
        fingerprint: Fingerprint,
        /// What is answered to it from now on.
        outcome: Outcome,
    },
    /// Calls up to `floor` are forgotten, in the same step in which the floor is remembered.
    Floor {
        /// Whose.
        session: SessionId,
        /// Up to where.
        floor: u64,
    },
}

impl Change {
    /// The session it is about.
    pub const fn session(&self) -> SessionId {
        match self {
            Change::Opened { session, .. }
            | Change::Resumed { session, .. }
            | Change::Closed { session }
            | Change::Started { session, .. }
            | Change::Withdrawn { session, .. }
            | Change::Completed { session, .. }
            | Change::Floor { session, .. } => *session,
        }
    }
}

/// Whose a session is, as the connection's authentication says.
pub type Owner = Arc<str>;

/// What a call has come to, as it is answered to whoever asks again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The method's reply, or the fault it ended with.
    Answer(Answer),
    /// It ended; its answer was too large to be kept.
    Dropped,
    /// It was interrupted by a crash, and nobody could tell how far it had come.
    Unknown,
}

impl Outcome {
    /// Bytes that are kept of it.
    pub fn len(&self) -> usize {
        match self {
            Outcome::Answer(answer) => answer.len(),
            Outcome::Dropped | Outcome::Unknown => 0,
        }
    }

    /// Whether nothing is kept of it but its kind.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The answer to a call: a reply's frame, or a fault's, without what belongs to one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whether it is a fault.
    pub is_fault: bool,
    /// The fields of its head that the handler has set.
    pub head: Bytes,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Its bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a store remembers of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptSession {
    /// Its number.
    pub session: SessionId,
    /// What its owner proves with.
    pub secret: Secret,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// How often it was resumed.
    pub incarnation: Incarnation,
    /// Calls up to this one are forgotten.
    pub floor: u64,
}

/// What a store remembers of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptCall {
    /// Which.
    pub seq: u64,
    /// What it says.
    pub fingerprint: Fingerprint,
    /// What it has come to; `None` if it was running.
    pub outcome: Option<Outcome>,
}

/// Told when changes are kept, or why they are not.
pub type Done = Box<dyn FnOnce(Result<(), StoreFailed>) + Send>;

/// What a handler has written into the store itself, in the store's own form.
pub type Writes = Box<dyn Any + Send>;

/// Whoever remembers a ledger's changes across the server's end: a database.
///
/// [`Book`](super::Book) drives it: changes are given to it under the ledger's lock, so that their order
/// is the ledger's, and back to the ledger when `done` says so.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The domain of what it holds.
    fn domain(&self) -> Domain;

    /// The server's life: another number than ever before.
    fn epoch(&self) -> Epoch;

    /// The sessions it remembers, and the number of the next.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn sessions(&self) -> Result<(Vec<KeptSession>, SessionId), StoreFailed>;

    /// The calls of a session above its floor, in order, as they were when the server started.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn recall(&self, session: SessionId) -> Result<Vec<KeptCall>, StoreFailed>;

    /// Keeps the changes, and the writes with them: all or none, in the order in which `keep` is called.
    ///
    /// It does not wait, and calls `done` once, from a thread of its own. After one failure everything
    /// fails: what was kept is not known, so that nothing may be answered any more.
    fn keep(&self, changes: Arc<[Change]>, writes: Option<Writes>, done: Done);

    /// How handlers write into it; `None` if they cannot.
    fn transactions(&self) -> Option<&dyn Transactions> {
        None
    }
}

/// A store has failed. It stays so: what it holds is known again only after a restart.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger's store has failed, and answers nothing any more")]
pub struct StoreFailed {
    /// What the store said.
    #[source]
    pub cause: Arc<dyn std::error::Error + Send + Sync>,
}
