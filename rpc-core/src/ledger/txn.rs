//! What a handler reads and writes in the ledger's own store.

use std::fmt;

use super::{StoreFailed, Writes};

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// A store that handlers can write into, so that what they write is kept together with what their calls
/// have come to.
pub trait Transactions: Send + Sync {
    /// Begins to write, when whoever else does has done so: one does at a time. It blocks for that long.
    ///
    /// # Errors
    /// If the store has failed.
    fn begin(&self) -> Result<Box<dyn Transaction>, StoreFailed>;
}

/// A handler's reads and writes; it sees its own. Dropped, it leaves nothing behind.
pub trait Transaction: fmt::Debug + Send {
    /// The value of a key.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed>;

    /// The keys of a table from `from` up to (and without) `to`, and their values, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn range(&self, table: &str, from: &[u8], to: &[u8]) -> Result<Vec<KeyValue>, StoreFailed>;

    /// Sets the value of a key.
    fn put(&mut self, table: &str, key: &[u8], value: &[u8]);

    /// Takes a key out.
    fn delete(&mut self, table: &str, key: &[u8]);

    /// The writes as the store takes them with the outcome of a call.
    fn into_writes(self: Box<Self>) -> Writes;
}
