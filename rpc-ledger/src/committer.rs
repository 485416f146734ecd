//! One thread that commits what waits, in groups: an `fsync` each, however many wait. Or no thread, and somebody
//! who steps.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, JoinHandle, ThreadId},
};

use netrpc_core::ledger::{Change, Done, StoreFailed};
use parking_lot::{Condvar, Mutex};
use redb::Database;

use crate::{
    error::{Closed, failed},
    tables::Tables,
    txn::{Pending, Written},
};

/// Batches in one commit; more wait for the next.
const GROUP: usize = 4096;

/// What is to be kept together.
pub(crate) struct Batch {
    pub(crate) changes: Arc<[Change]>,
    pub(crate) written: Option<Written>,
    pub(crate) done: Done,
}

/// The thread, if there is one, and what waits for it.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    id: Option<ThreadId>,
}

/// Commits what a store was given, when it is told to: in place of the store's thread, where there must be
/// none because everything happens in one order.
///
/// From [`OpenOptions::open_stepped`](crate::OpenOptions::open_stepped).
pub struct Stepper {
    shared: Arc<Shared>,
    database: Arc<Database>,
    pending: Arc<Pending>,
}

impl Stepper {
    /// Commits what waits, as one group, and tells whoever waited, on this thread. Gives how many batches of
    /// changes there were.
    pub fn step(&self) -> usize {
        let (group, failed) = {
            let mut queue = self.shared.queue.lock();
            (queue.take_group(), queue.failed.clone())
        };
        let batches = group.len();
        match failed {
            Some(failed) => group.into_iter().for_each(|batch| (batch.done)(Err(failed.clone()))),
            None if group.is_empty() => {}
            None => {
                self.shared.commit(&self.database, &self.pending, group);
            }
        }
        batches
    }

    /// How many batches of changes wait.
    pub fn waiting(&self) -> usize {
        self.shared.queue.lock().batches.len()
    }
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

struct Shared {
    queue: Mutex<Queue>,
    /// Told when something waits, or nothing will any more.
    waits: Condvar,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// Why nothing is kept any more.
    failed: Option<StoreFailed>,
    closing: bool,
}

impl Queue {
    fn take_group(&mut self) -> Vec<Batch> {
        let group = self.batches.len().min(GROUP);
        self.batches.drain(..group).collect()
    }
}

impl Committer {
    pub(crate) fn start(database: Arc<Database>, pending: Arc<Pending>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), waits: Condvar::new() });
        let at_work = shared.clone();
        let thread = thread::Builder::new()
            .name("netrpc-ledger".to_owned())
            .spawn(move || at_work.run(&database, &pending))?;
        Ok(Committer { shared, id: Some(thread.thread().id()), thread: Some(thread) })
    }

    /// One without a thread.
    pub(crate) fn stepped(database: Arc<Database>, pending: Arc<Pending>) -> (Self, Stepper) {
        let shared = Arc::new(Shared { queue: Mutex::default(), waits: Condvar::new() });
        let stepper = Stepper { shared: shared.clone(), database, pending };
        (Committer { shared, id: None, thread: None }, stepper)
    }

    /// Has a batch kept; the order of these calls is the order on disk.
    pub(crate) fn push(&self, batch: Batch) {
        let refused = {
            let mut queue = self.shared.queue.lock();
            match (&queue.failed, queue.closing) {
                (Some(failed), _) if self.id.is_some() => (batch.done, failed.clone()),
                (None, true) => (batch.done, failed(Closed)),
                // Who steps tells of a failure, too.
                (Some(_), _) | (None, false) => {
                    queue.batches.push_back(batch);
                    self.shared.waits.notify_one();
                    return;
                }
            }
        };
        // Not here: whoever pushes may hold what `done` wants.
        let (done, failed) = refused;
        if thread::Builder::new().spawn(move || done(Err(failed))).is_err() {
            tracing::error!("no thread to say that the ledger's store has failed");
        }
    }

    /// Why nothing is kept any more.
    pub(crate) fn failed(&self) -> Option<StoreFailed> {
        self.shared.queue.lock().failed.clone()
    }
}

impl Drop for Committer {
    /// Waits until what has been pushed is kept.
    fn drop(&mut self) {
        self.shared.queue.lock().closing = true;
        self.shared.waits.notify_one();
        // The last to let go may be a `done`, on the thread itself.
        let is_it = self.id == Some(thread::current().id());
        if let Some(thread) = self.thread.take().filter(|_| !is_it) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, database: &Database, pending: &Pending) {
        while let Some(group) = self.next_group() {
            if !self.commit(database, pending, group) {
                return;
            }
        }
    }

    /// Commits a group and tells whoever waits for it; `false` if nothing will be kept any more.
    fn commit(&self, database: &Database, pending: &Pending, group: Vec<Batch>) -> bool {
        let result = commit(database, &group);
        if let Err(failed) = &result {
            let cause = netrpc_core::error::chain(failed);
            tracing::error!(%cause, "the ledger cannot be written: nothing is answered any more");
            self.queue.lock().failed = Some(failed.clone());
        }
        for Batch { written, done, .. } in group {
            if let (Some(written), Ok(())) = (written, &result) {
                pending.settle(&written);
            }
            done(result.clone());
        }
        if let Err(failed) = &result {
            // What it held is not known: an fsync that has failed is not tried again.
            self.refuse_all(failed);
        }
        result.is_ok()
    }

    /// Waits for something to commit; `None` when there never will be.
    fn next_group(&self) -> Option<Vec<Batch>> {
        let mut queue = self.queue.lock();
        loop {
            let group = queue.take_group();
            if !group.is_empty() {
                return Some(group);
            }
            if queue.closing {
                return None;
            }
            self.waits.wait(&mut queue);
        }
    }

    fn refuse_all(&self, failed: &StoreFailed) {
        let left = std::mem::take(&mut self.queue.lock().batches);
        for batch in left {
            (batch.done)(Err(failed.clone()));
        }
    }
}

fn commit(database: &Database, group: &[Batch]) -> Result<(), StoreFailed> {
    let mut transaction = database.begin_write().map_err(failed)?;
    // Else a restart after a crash looks through the whole file: seconds for a million calls.
    transaction.set_quick_repair(true);
    {
        let mut tables = Tables::open(&transaction).map_err(failed)?;
        for batch in group {
            for change in &*batch.changes {
                tables.apply(change).map_err(failed)?;
            }
            for ((table, key), value) in batch.written.iter().flat_map(Written::iter) {
                tables.put(table, key, value.as_deref()).map_err(failed)?;
            }
        }
    }
    transaction.commit().map_err(failed)
}
