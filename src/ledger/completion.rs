//! Services that keep what they do in a database of their own.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use netrpc_core::{
    Fault,
    codec::{self, EncodeError},
    ledger::{Answer, Resolution},
    semantics::Xid,
};
use serde::Serialize;

use crate::server::fault_answer;

/// Whoever remembers what calls have done: the database of a service, which records each call in the
/// transaction that has its effect. Given to a server with [`Ledger::completions`](super::Ledger::completions).
///
/// A handler takes [`Context::xid`](crate::Context::xid) and writes that with its reply, in the same
/// transaction as everything else it does. If the server crashes while it runs, and the call is asked for
/// again, the store is asked whether that was committed. So the call runs exactly once, with any
/// database that has transactions: `create table calls (xid text primary key, reply blob)` is enough.
///
/// ```
/// use netrpc::{Completion, CompletionStore, Ledger, Xid};
/// # struct Database;
/// # impl Database {
/// #     async fn balance_after(&self, _: &str) -> std::io::Result<Option<i64>> { Ok(Some(7)) }
/// # }
///
/// struct Bank {
///     database: Database,
/// }
///
/// impl CompletionStore for Bank {
///     async fn look_up(&self, xid: Xid, method: &str) -> Completion {
///         match self.database.balance_after(&xid.to_string()).await {
///             Ok(Some(balance)) => Completion::done(&balance).unwrap_or(Completion::Unknown),
///             Ok(None) => Completion::NotDone,
///             Err(_) => Completion::NotNow,
///         }
///     }
///
///     fn covers(&self, method: &str) -> bool {
///         method.starts_with("Bank.")
///     }
/// }
///
/// # fn f(database: Database) {
/// let ledger = Ledger::volatile().completions(Bank { database });
/// # }
/// ```
pub trait CompletionStore: Send + Sync + 'static {
    /// How far a call had come that was running when the server ended.
    ///
    /// [`Completion::NotDone`] has it run: it must be known that nothing of it was committed, and that
    /// nothing of it will be.
    fn look_up(&self, xid: Xid, method: &str) -> impl Future<Output = Completion> + Send;

    /// Whether calls of this method (`Bank.Debit`) are remembered here: all are, unless this says otherwise.
    ///
    /// Such a method can be called under `ExactlyOnce`, and has no [`Context::txn`](crate::Context::txn).
    fn covers(&self, method: &str) -> bool {
        let _ = method;
        true
    }
}

/// How far an interrupted call had come.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Completion {
    /// It had ended, with this.
    Done(CompletedCall),
    /// It had no effect, and can run now.
    NotDone,
    /// Nobody can tell, ever: its caller is told so.
    Unknown,
    /// Nobody can tell now: its caller is told to ask again.
    NotNow,
}

/// What a call has come to; made by [`Completion::done`] and [`Completion::failed`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompletedCall(Completed);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Completed {
    Reply(Bytes),
    Fault(Fault),
}

impl Completion {
    /// It had ended with this reply, the one that its handler gave.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn done<R: Serialize + ?Sized>(reply: &R) -> Result<Self, EncodeError> {
        let mut body = Vec::new();
        codec::encode(&mut body, reply)?;
        Ok(Completion::Done(CompletedCall(Completed::Reply(body.into()))))
    }

    /// It had ended with this error.
    pub fn failed(fault: Fault) -> Self {
        Completion::Done(CompletedCall(Completed::Fault(fault)))
    }
}

/// [`CompletionStore`] without its types.
pub(crate) trait LookUp: Send + Sync {
    fn look_up<'a>(&'a self, xid: Xid, method: &'a str) -> LookingUp<'a>;
    fn covers(&self, method: &str) -> bool;
}

pub(crate) type LookingUp<'a> = Pin<Box<dyn Future<Output = Resolution> + Send + 'a>>;

impl<S: CompletionStore> LookUp for S {
    fn look_up<'a>(&'a self, xid: Xid, method: &'a str) -> LookingUp<'a> {
        Box::pin(async move {
            match CompletionStore::look_up(self, xid, method).await {
                Completion::Done(CompletedCall(Completed::Reply(body))) => {
                    Resolution::Done(Answer { is_fault: false, head: Bytes::new(), body })
                }
                Completion::Done(CompletedCall(Completed::Fault(fault))) => {
                    Resolution::Done(fault_answer(&fault))
                }
                Completion::NotDone => Resolution::NotDone,
                Completion::Unknown => Resolution::Unknown,
                Completion::NotNow => Resolution::NotNow,
            }
        })
    }

    fn covers(&self, method: &str) -> bool {
        CompletionStore::covers(self, method)
    }
}
