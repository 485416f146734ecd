//! What a handler can know of a call that must not run twice, and do about it.

use thiserror::Error;

use crate::{
    error::chain,
    fault::{Fault, FaultCode},
    ledger::{KeyValue, StoreFailed, Transaction},
    semantics::Xid,
    sync::Mutex,
};

/// A call's identity, and its transaction if it has one; the driver's side.
#[derive(Debug)]
pub struct TrackedCall {
    xid: Xid,
    /// Locked to take it out or put it back only.
    transaction: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    /// There is none, for this reason.
    Empty(NoTxn),
    /// Nobody uses it.
    Free(Box<dyn Transaction>),
    /// A guard has it.
    Lent,
}

impl TrackedCall {
    /// A call without a transaction, for this reason.
    pub fn new(xid: Xid, reason: NoTxn) -> Self {
        TrackedCall { xid, transaction: Mutex::new(Slot::Empty(reason)) }
    }

    /// The handler is about to run, and writes here.
    pub fn begin(&self, transaction: Box<dyn Transaction>) {
        *self.transaction.lock() = Slot::Free(transaction);
    }

    /// The handler has ended: its transaction, unless there is none, or something that the handler has left
    /// behind still uses it; then nothing is kept of it.
    ///
    /// # Errors
    /// If it is still used.
    pub fn end(&self) -> Result<Option<Box<dyn Transaction>>, NoTxn> {
        let mut slot = self.transaction.lock();
        match std::mem::replace(&mut *slot, Slot::Empty(NoTxn::Ended)) {
            Slot::Empty(_) => Ok(None),
            Slot::Free(transaction) => Ok(Some(transaction)),
            Slot::Lent => Err(NoTxn::InUse),
        }
    }

    /// The call's identity.
    pub fn xid(&self) -> Xid {
        self.xid
    }

    /// The transaction, for as long as the guard is there.
    pub(crate) fn txn(&self) -> Result<Txn<'_>, NoTxn> {
        let mut slot = self.transaction.lock();
        match std::mem::replace(&mut *slot, Slot::Lent) {
            Slot::Free(transaction) => Ok(Txn { call: self, transaction: Some(transaction) }),
            Slot::Lent => Err(NoTxn::InUse),
            Slot::Empty(reason) => {
                *slot = Slot::Empty(reason);
                Err(reason)
            }
        }
    }
}

/// Reads and writes in the ledger's own store, of a method that is `#[method(exactly_once)]`; from
/// [`Context::txn`](crate::Context::txn).
///
/// What is written is seen by what reads after it, here and in later guards of the same call, and is kept
/// when the call is answered with its reply: in one step with that, so that after a crash both are there or
/// neither is. If the handler fails or panics, its writes are gone, and nobody else's.
///
/// Only one handler of a server writes at a time, from before it begins until it has ended. So keep it
/// short, wait for nothing slow, and call no other such method of the same server: it would wait for
/// itself.
#[derive(Debug)]
pub struct Txn<'a> {
    call: &'a TrackedCall,
    /// `None` when it is dropped.
    transaction: Option<Box<dyn Transaction>>,
}

impl Txn<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn get(&self, table: &str, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, StoreFailed> {
        self.inner().get(table, key.as_ref())
    }

    /// The keys of a table from `from` up to (and without) `to`, and their values, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn range(
        &self,
        table: &str,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<Vec<KeyValue>, StoreFailed> {
        self.inner().range(table, from.as_ref(), to.as_ref())
    }

    /// Sets the value of a key.
    pub fn put(&mut self, table: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let transaction = self.transaction.as_mut().expect("it is not dropped");
        transaction.put(table, key.as_ref(), value.as_ref());
    }

    /// Takes a key out.
    pub fn delete(&mut self, table: &str, key: impl AsRef<[u8]>) {
        let transaction = self.transaction.as_mut().expect("it is not dropped");
        transaction.delete(table, key.as_ref());
    }

    fn inner(&self) -> &dyn Transaction {
        &**self.transaction.as_ref().expect("it is not dropped")
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        let late = {
            let mut slot = self.call.transaction.lock();
            if let Slot::Lent = &*slot {
                *slot = Slot::Free(transaction);
                return;
            }
            transaction
        };
        // The call has ended without it.
        drop(late);
    }
}

/// Why a handler has no [`Txn`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NoTxn {
    /// Its method is not declared so, or is called under less.
    #[error(
        "this call writes nothing into the ledger's store: its method is not #[method(exactly_once)]"
    )]
    NotDeclared,
    /// The server's `CompletionStore` remembers what it does.
    #[error("what this method has done is remembered by the server's CompletionStore")]
    Elsewhere,
    /// Another guard of the same call is there.
    #[error("the call's transaction is in use: drop the other guard first")]
    InUse,
    /// The handler has ended.
    #[error("the call has ended")]
    Ended,
}

impl From<NoTxn> for Fault {
    fn from(reason: NoTxn) -> Self {
        Fault::with_code(FaultCode::Failed, reason.to_string())
    }
}

impl From<StoreFailed> for Fault {
    fn from(failed: StoreFailed) -> Self {
        Fault::with_code(FaultCode::Failed, chain(&failed).to_string())
    }
}
