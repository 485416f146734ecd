//! A ledger's store with somebody beside it who forgets nothing, and with protections that can be switched off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use netrpc_core::{
    ledger::{Change, Done, KeptCall, KeptSession, Store, StoreFailed, Transactions, Writes},
    semantics::{Domain, Epoch, Incarnation, SessionId, Xid},
};

use crate::{
    record::{Record, Tag},
    scenario::Without,
};

/// Calls of a session that the ledger may keep.
pub(crate) const WINDOW: u32 = 16;

/// What the store was given in all its lives, and has said to be safe.
#[derive(Clone)]
pub(crate) struct Witness {
    record: Record,
    sessions: Arc<Mutex<BTreeMap<u64, Session>>>,
}

#[derive(Default)]
struct Session {
    floor: u64,
    incarnation: u32,
    /// It was resumed by somebody who has a copy of its client's log.
    is_taken: bool,
    calls: BTreeSet<u64>,
}

impl Witness {
    pub(crate) fn new(record: Record) -> Self {
        Witness { record, sessions: Arc::default() }
    }

    /// A store begins another life.
    fn opened(&self, kept: &[KeptSession]) {
        let known = self.sessions.lock().expect("nobody panics");
        for (id, session) in &*known {
            let found = kept.iter().find(|kept| kept.session.0 == *id);
            let Some(KeptSession { floor, incarnation: Incarnation(incarnation), .. }) = found
            else {
                self.record.broken(format!("session {id} is forgotten"));
                continue;
            };
            if *floor < session.floor {
                let before = session.floor;
                self.record.broken(format!(
                    "a crash lowers session {id}'s floor from {before} to {floor}"
                ));
            }
            if *incarnation < session.incarnation {
                self.record.broken(format!("a crash takes back that session {id} was resumed"));
            }
        }
    }

    /// Something is safe.
    fn kept(&self, change: &Change) {
        let mut sessions = self.sessions.lock().expect("nobody panics");
        let id = change.session().0;
        if let Change::Closed { .. } = change {
            sessions.remove(&id);
            return;
        }
        let session = sessions.entry(id).or_default();
        match *change {
            Change::Opened { .. } | Change::Closed { .. } => {}
            Change::Resumed { incarnation, .. } => {
                if incarnation.0 <= session.incarnation {
                    self.record.broken(format!("session {id} is resumed as {incarnation:?} again"));
                }
                session.incarnation = incarnation.0;
                session.is_taken = self.record.is_copied();
            }
            Change::Started { seq, .. } | Change::Completed { seq, .. } => {
                if seq <= session.floor {
                    self.record.broken(format!("call {seq} of session {id} is below its floor"));
                }
                session.calls.insert(seq);
                if session.calls.len() > WINDOW as usize {
                    let calls = session.calls.len();
                    self.record.broken(format!("session {id} has {calls} calls in the tables"));
                }
            }
            Change::Withdrawn { seq, .. } => {
                session.calls.remove(&seq);
            }
            Change::Floor { floor, .. } => {
                if floor < session.floor {
                    self.record.broken(format!("session {id}'s floor falls to {floor}"));
                }
                session.floor = floor;
                session.calls.retain(|seq| *seq > floor);
            }
        }
    }

    /// A handler begins.
    pub(crate) fn runs(&self, xid: Xid, tag: Tag) {
        let sessions = self.sessions.lock().expect("nobody panics");
        let session = sessions.get(&xid.session.0);
        if session.is_some_and(|session| session.is_taken) && self.record.is_late(tag) {
            self.record.broken(format!("{xid} is of an older incarnation, and runs"));
        }
        let floor = session.map_or(0, |session| session.floor);
        if xid.seq <= floor {
            self.record.broken(format!("{xid} was given up, and runs after that"));
        }
    }

    fn calls_up_to(&self, session: SessionId, floor: u64) -> Vec<u64> {
        let sessions = self.sessions.lock().expect("nobody panics");
        let calls = sessions.get(&session.0).map(|session| session.calls.range(..=floor).copied());
        calls.into_iter().flatten().collect()
    }
}

/// A store, and who watches it.
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    witness: Witness,
    without: Without,
}

impl Watched {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        witness: Witness,
        without: Without,
    ) -> Result<Arc<Self>, StoreFailed> {
        witness.opened(&store.sessions()?.0);
        Ok(Arc::new(Watched { store, witness, without }))
    }

    /// What is really kept of a change.
    fn sabotaged(&self, change: &Change) -> Vec<Change> {
        match (self.without, change) {
            (Without::Starts, Change::Started { .. })
            | (Without::Outcomes, Change::Completed { .. })
            | (Without::Fencing, Change::Resumed { .. }) => Vec::new(),
            // What lies below it is forgotten, and the floor is not remembered.
            (Without::Floors, Change::Floor { session, floor }) => {
                let calls = self.witness.calls_up_to(*session, *floor).into_iter();
                calls.map(|seq| Change::Withdrawn { session: *session, seq }).collect()
            }
            _ => vec![change.clone()],
        }
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").field(&self.store).finish()
    }
}

impl Store for Watched {
    fn domain(&self) -> Domain {
        self.store.domain()
    }

    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn sessions(&self) -> Result<(Vec<KeptSession>, SessionId), StoreFailed> {
        self.store.sessions()
    }

    fn recall(&self, session: SessionId) -> Result<Vec<KeptCall>, StoreFailed> {
        self.store.recall(session)
    }

    fn keep(&self, changes: Arc<[Change]>, writes: Option<Writes>, done: Done) {
        let really: Vec<_> = changes.iter().flat_map(|change| self.sabotaged(change)).collect();
        let witness = self.witness.clone();
        let told: Done = Box::new(move |result| {
            if result.is_ok() {
                changes.iter().for_each(|change| witness.kept(change));
            }
            done(result);
        });
        self.store.keep(really.into(), writes, told);
    }

    fn transactions(&self) -> Option<&dyn Transactions> {
        self.store.transactions()
    }
}
