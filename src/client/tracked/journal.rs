//! A client's log, written by one at a time for all who wait.
//!
//! Entries are queued in the order in which they have to be on disk, and a call may be sent when its entry is.
//! Whoever finds nobody writing starts somebody: it takes what is queued, writes and syncs that, and looks again.
//! So those who call while the disk is busy share its next turn.

use std::{
    error::Error as StdError,
    sync::{Arc, Weak},
    time::Duration,
};

use netrpc_core::{
    Error,
    semantics::{Grant, Xid},
};
use netrpc_log::{Log, LogFailed, Place, Session};
use tokio::sync::Notify;

use super::sessions::{Said, Sessions};
use crate::sync::{Handle as Runtime, Mutex};

/// How long what is settled may wait for a call to be written with.
const SETTLING: Duration = Duration::from_secs(1);

/// Who waits for the disk when a client's log is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LogSync {
    /// A thread of the runtime's for what blocks.
    #[default]
    Thread,
    /// A task: for logs whose medium does not block, as in a simulation.
    Inline,
}

/// The log of a client, and who writes it.
pub(super) struct Journal {
    this: Weak<Journal>,
    sessions: Weak<Sessions>,
    runtime: Runtime,
    sync: LogSync,
    writing: Mutex<Writing>,
    /// Told when more is safe, or nothing will be any more.
    safe: Notify,
}

/// What the lock protects.
struct Writing {
    /// Taken by whoever writes.
    log: Option<Log>,
    entries: Vec<Entry>,
    /// Of those, how many settle a call.
    settling: usize,
    /// How many entries there were, ever.
    queued: u64,
    /// How many of them are on disk.
    safe: u64,
    /// Somebody is to look at what is settled, in a while.
    is_scheduled: bool,
    failed: Option<LogFailed>,
    /// Nothing is written any more, and the file is let go of …
    is_closed: bool,
    /// … which has happened.
    is_gone: bool,
}

/// What is to be written.
enum Entry {
    Session(Session),
    Call { seq: u64, tag: Arc<[u8]>, method: Box<str>, body: Vec<u8> },
    Settled(Place),
}

/// A call's entry: how many entries are on disk when it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Journal {
    pub(super) fn new(
        log: Log,
        sync: LogSync,
        runtime: Runtime,
        sessions: Weak<Sessions>,
    ) -> Arc<Journal> {
        let writing = Writing {
            log: Some(log),
            entries: Vec::new(),
            settling: 0,
            queued: 0,
            safe: 0,
            is_scheduled: false,
            failed: None,
            is_closed: false,
            is_gone: false,
        };
        let (writing, safe) = (Mutex::new(writing), Notify::new());
        Arc::new_cyclic(|this| Journal {
            this: this.clone(),
            sessions,
            runtime,
            sync,
            writing,
            safe,
        })
    }

    /// Calls are made in this session from now on.
    pub(super) fn session(&self, grant: &Grant) {
        let Grant { domain, session, incarnation, secret, .. } = *grant;
        self.queue(Entry::Session(Session { domain, session, incarnation, secret }));
    }

    /// A call is about to be made; it may be sent when it is [safe](Self::is_safe).
    pub(super) fn call(&self, xid: Xid, said: &Said<'_>) -> Ticket {
        let Said { tag, method, body } = *said;
        let (tag, method, body) = (tag.clone(), method.into(), body.to_vec());
        self.queue(Entry::Call { seq: xid.seq, tag, method, body })
    }

    /// A call is settled; its sessions are told when that is on disk, which is soon if `now`.
    pub(super) fn settle(&self, xid: Xid, now: bool) {
        let Xid { domain, session, seq } = xid;
        self.queue(Entry::Settled(Place { domain, session, seq }));
        if now {
            return self.write();
        }
        let Some(this) = self.this.upgrade() else { return };
        if std::mem::replace(&mut self.writing.lock().is_scheduled, true) {
            return;
        }
        drop(self.runtime.spawn(async move {
            tokio::time::sleep(SETTLING).await;
            this.writing.lock().is_scheduled = false;
            this.write();
        }));
    }

    /// How many calls are settled and not known to be on disk.
    pub(super) fn settling(&self) -> usize {
        self.writing.lock().settling
    }

    /// Why nothing is written any more.
    pub(super) fn failure(&self) -> Option<Error> {
        let failed = self.writing.lock().failed.clone()?;
        Some(log_error(failed, false))
    }

    /// Waits until an entry is on disk.
    ///
    /// # Errors
    /// If that is not known.
    pub(super) async fn is_safe(&self, ticket: Ticket) -> Result<(), Error> {
        self.write();
        loop {
            let told = self.safe.notified();
            {
                let writing = self.writing.lock();
                if writing.safe >= ticket.0 {
                    return Ok(());
                }
                if let Some(failed) = &writing.failed {
                    return Err(log_error(failed.clone(), true));
                }
            }
            told.await;
        }
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// As [`is_safe`](Self::is_safe).
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let all = Ticket(self.writing.lock().queued);
        self.is_safe(all).await
    }

    /// Writes what is queued, and lets go of the file.
    pub(super) async fn close(&self) {
        let _ = self.flush().await;
        loop {
            let told = self.safe.notified();
            let log = {
                let mut writing = self.writing.lock();
                writing.is_closed = true;
                writing.log.take()
            };
            // Not under the lock. Whoever has it closes it.
            if log.is_some() || self.writing.lock().is_gone {
                self.writing.lock().is_gone = true;
                return;
            }
            told.await;
        }
    }

    fn queue(&self, entry: Entry) -> Ticket {
        let mut writing = self.writing.lock();
        writing.settling += usize::from(matches!(entry, Entry::Settled(_)));
        writing.entries.push(entry);
        writing.queued += 1;
        Ticket(writing.queued)
    }

    /// Sees to it that what is queued is written.
    pub(super) fn write(&self) {
        let Some(this) = self.this.upgrade() else { return };
        let log = {
            let mut writing = self.writing.lock();
            if writing.entries.is_empty() {
                return;
            }
            // Whoever has it looks again.
            let Some(log) = writing.log.take() else { return };
            log
        };
        match self.sync {
            LogSync::Thread => drop(self.runtime.spawn_blocking(move || this.write_all(log))),
            LogSync::Inline => drop(self.runtime.spawn(async move {
                // Those who call now share it.
                tokio::task::yield_now().await;
                this.write_all(log);
            })),
        }
    }

    /// Writes until nothing is queued.
    fn write_all(&self, mut log: Log) {
        loop {
            let entries = {
                let mut writing = self.writing.lock();
                match writing.is_closed {
                    true => None,
                    false if writing.entries.is_empty() || writing.failed.is_some() => {
                        writing.log = Some(log);
                        return;
                    }
                    false => Some(std::mem::take(&mut writing.entries)),
                }
            };
            let Some(entries) = entries else {
                drop(log); // not under the lock
                self.writing.lock().is_gone = true;
                return self.safe.notify_waiters();
            };
            let count = entries.len() as u64;
            let mut settled = Vec::new();
            for entry in entries {
                match entry {
                    Entry::Session(session) => log.session(session),
                    Entry::Call { seq, tag, method, body } => log.call(seq, &tag, &method, &body),
                    Entry::Settled(place) => {
                        log.settle(place);
                        settled.push(place);
                    }
                }
            }
            let synced = log.sync();
            {
                let mut writing = self.writing.lock();
                writing.settling -= settled.len();
                match synced {
                    Ok(()) => writing.safe += count,
                    Err(failed) => {
                        writing.failed = Some(failed);
                        settled.clear();
                    }
                }
            }
            self.safe.notify_waiters();
            if let (false, Some(sessions)) = (settled.is_empty(), self.sessions.upgrade()) {
                sessions.are_settled(settled.into_iter().map(xid));
            }
        }
    }
}

fn xid(place: Place) -> Xid {
    let Place { domain, session, seq } = place;
    Xid { domain, session, seq }
}

/// The error of a log.
pub(in crate::client) fn log_error(
    cause: impl StdError + Send + Sync + 'static,
    may_have_run: bool,
) -> Error {
    Error::Log { may_have_run, cause: cause.into() }
}
