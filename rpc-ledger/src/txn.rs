//! What a handler writes into the ledger's file, to be kept with its outcome.
//!
//! One handler writes at a time, from [`begin`](crate::DiskStore::begin) until its writes are handed over
//! or dropped: that is what makes them serializable. It does not wait for the disk: what is handed over
//! is seen by the next handler at once, and if it is never committed, nothing is any more.

use std::{collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use netrpc_core::ledger::{KeyValue, StoreFailed, Transaction, Writes};
use parking_lot::{Condvar, Mutex};
use redb::ReadableDatabase;

use crate::{error::failed, store::Inner, tables::DATA};

/// A place in the file that handlers write to: a table and a key in it.
type Place = (String, Vec<u8>);

/// A handler's reads and writes; it sees its own.
///
/// Dropped, it leaves nothing behind. Its writes are kept together with the outcome of its call, or, by
/// [`commit`](Self::commit), on their own.
///
/// Only one is there at a time: keep it short, and wait for nothing slow with one in hand.
pub struct Txn {
    store: Arc<Inner>,
    writes: BTreeMap<Place, Option<Vec<u8>>>,
    turn: Turn,
}

impl Txn {
    pub(crate) fn begin(store: Arc<Inner>) -> Self {
        let turn = Turn::take(store.pending.clone());
        Txn { store, writes: BTreeMap::new(), turn }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        let place = (table.to_owned(), key.to_vec());
        if let Some(value) = self.writes.get(&place) {
            return Ok(value.clone());
        }
        // Before the file: what is committed in between leaves the first after it is in the second.
        if let Some(value) = self.store.pending.get(&place) {
            return Ok(value);
        }
        let read = self.store.database.begin_read().map_err(failed)?;
        let data = read.open_table(DATA).map_err(failed)?;
        let value = data.get((table, key)).map_err(failed)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// The keys of a table from `from` up to (and without) `to`, and their values, in order.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn range(&self, table: &str, from: &[u8], to: &[u8]) -> Result<Vec<KeyValue>, StoreFailed> {
        if from >= to {
            return Ok(Vec::new());
        }
        let pending = self.store.pending.range(table, from, to);
        let read = self.store.database.begin_read().map_err(failed)?;
        let data = read.open_table(DATA).map_err(failed)?;
        let mut found = BTreeMap::new();
        for entry in data.range((table, from)..(table, to)).map_err(failed)? {
            let (place, value) = entry.map_err(failed)?;
            found.insert(place.value().1.to_vec(), Some(value.value().to_vec()));
        }
        found.extend(pending);
        let ours = self.writes.range(places(table, from, to));
        found.extend(ours.map(|((_, key), value)| (key.clone(), value.clone())));
        Ok(found.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }

    /// Sets the value of a key.
    pub fn put(&mut self, table: &str, key: &[u8], value: &[u8]) {
        self.writes.insert((table.to_owned(), key.to_vec()), Some(value.to_vec()));
    }

    /// Takes a key out.
    pub fn delete(&mut self, table: &str, key: &[u8]) {
        self.writes.insert((table.to_owned(), key.to_vec()), None);
    }

    /// Has the writes kept on their own, and waits for it.
    ///
    /// # Errors
    /// If the store has failed; whether they are kept is then known after a restart.
    pub fn commit(self) -> Result<(), StoreFailed> {
        let store = self.store.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let done = Box::new(move |result| {
            let _ = tell.send(result);
        });
        store.keep(Arc::new([]), Some(self.into_writes()), done);
        told.recv().unwrap_or_else(|_| Err(failed(crate::error::Closed)))
    }

    /// The writes as [`Book::with_writes`](netrpc_core::ledger::Book::with_writes) takes them, to be
    /// kept with the outcome of a call.
    pub fn into_writes(self) -> Writes {
        Box::new(self)
    }

    /// Lets the next handler see the writes; it begins when the turn is dropped.
    pub(crate) fn hand_over(self) -> (Written, Turn) {
        let Txn { writes, turn, store } = self;
        let version = store.pending.add(&writes);
        (Written { version, writes }, turn)
    }
}

impl Transaction for Txn {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        Txn::get(self, table, key)
    }

    fn range(&self, table: &str, from: &[u8], to: &[u8]) -> Result<Vec<KeyValue>, StoreFailed> {
        Txn::range(self, table, from, to)
    }

    fn put(&mut self, table: &str, key: &[u8], value: &[u8]) {
        Txn::put(self, table, key, value);
    }

    fn delete(&mut self, table: &str, key: &[u8]) {
        Txn::delete(self, table, key);
    }

    fn into_writes(self: Box<Self>) -> Writes {
        Txn::into_writes(*self)
    }
}

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn").field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

/// Writes on their way to the disk.
pub(crate) struct Written {
    version: u64,
    writes: BTreeMap<Place, Option<Vec<u8>>>,
}

impl Written {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Place, &Option<Vec<u8>>)> {
        self.writes.iter()
    }
}

/// What was handed over and is not in the file yet, and whose turn it is to write.
#[derive(Default)]
pub(crate) struct Pending {
    state: Mutex<State>,
    /// Told when a turn ends.
    turn_ended: Condvar,
}

#[derive(Default)]
struct State {
    is_taken: bool,
    version: u64,
    /// The last value of each place, and the version that wrote it.
    values: BTreeMap<Place, (u64, Option<Vec<u8>>)>,
}

impl Pending {
    fn get(&self, place: &Place) -> Option<Option<Vec<u8>>> {
        self.state.lock().values.get(place).map(|(_, value)| value.clone())
    }

    fn range(&self, table: &str, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let state = self.state.lock();
        let range = state.values.range(places(table, from, to));
        range.map(|((_, key), (_, value))| (key.clone(), value.clone())).collect()
    }

    fn add(&self, writes: &BTreeMap<Place, Option<Vec<u8>>>) -> u64 {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        for (place, value) in writes {
            state.values.insert(place.clone(), (version, value.clone()));
        }
        version
    }

    /// These writes are in the file.
    pub(crate) fn settle(&self, written: &Written) {
        let mut state = self.state.lock();
        for place in written.writes.keys() {
            if state.values.get(place).is_some_and(|(version, _)| *version == written.version) {
                state.values.remove(place);
            }
        }
    }
}

fn places(table: &str, from: &[u8], to: &[u8]) -> (Bound<Place>, Bound<Place>) {
    let place = |key: &[u8]| (table.to_owned(), key.to_vec());
    (Bound::Included(place(from)), Bound::Excluded(place(to)))
}

/// The right to write, until it is dropped; on whatever thread.
pub(crate) struct Turn(Arc<Pending>);

impl Turn {
    fn take(pending: Arc<Pending>) -> Self {
        let mut state = pending.state.lock();
        while state.is_taken {
            pending.turn_ended.wait(&mut state);
        }
        state.is_taken = true;
        drop(state);
        Turn(pending)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state.lock().is_taken = false;
        self.0.turn_ended.notify_one();
    }
}
