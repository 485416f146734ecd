//! One thread that commits what waits, in groups: an `fsync` each, however many wait.

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

/// The thread, and what waits for it.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    id: ThreadId,
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

impl Committer {
    pub(crate) fn start(database: Arc<Database>, pending: Arc<Pending>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), waits: Condvar::new() });
        let at_work = shared.clone();
        let thread = thread::Builder::new()
            .name("netrpc-ledger".to_owned())
            .spawn(move || at_work.run(&database, &pending))?;
        Ok(Committer { shared, id: thread.thread().id(), thread: Some(thread) })
    }

    /// Has a batch kept; the order of these calls is the order on disk.
    pub(crate) fn push(&self, batch: Batch) {
        let refused = {
            let mut queue = self.shared.queue.lock();
            match (&queue.failed, queue.closing) {
                (Some(failed), _) => (batch.done, failed.clone()),
                (None, true) => (batch.done, failed(Closed)),
                (None, false) => {
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
        if let Some(thread) = self.thread.take().filter(|_| thread::current().id() != self.id) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, database: &Database, pending: &Pending) {
        while let Some(group) = self.next_group() {
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
            if let Err(failed) = result {
                // What it held is not known: an fsync that has failed is not tried again.
                return self.refuse_all(&failed);
            }
        }
    }

    /// Waits for something to commit; `None` when there never will be.
    fn next_group(&self) -> Option<Vec<Batch>> {
        let mut queue = self.queue.lock();
        loop {
            if !queue.batches.is_empty() {
                let group = queue.batches.len().min(GROUP);
                return Some(queue.batches.drain(..group).collect());
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
