//! The ledger's file: opened, locked, and what it remembers.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use netrpc_core::{
    ledger::{
        Change, Done, KeptCall, KeptSession, Store, StoreFailed, Transaction, Transactions, Writes,
    },
    semantics::{Domain, Epoch, SessionId},
};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
};

use crate::{
    committer::{Batch, Committer, Stepper},
    error::{OpenError, failed},
    tables::{
        CALLS, DATA, FLOORS, FORMAT, META, META_DOMAIN, META_EPOCH, META_FORMAT, META_NEXT,
        SESSIONS, read_call, read_number, read_session,
    },
    txn::{Pending, Txn},
};

/// A ledger in a file: a [`Store`].
///
/// One server has it open at a time; cloning gives another handle to the same. When the last is dropped,
/// what has been given to it is kept first.
#[derive(Clone)]
pub struct DiskStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    // Before the database, which it writes to until it is dropped.
    committer: Committer,
    pub(crate) database: Arc<Database>,
    pub(crate) pending: Arc<Pending>,
    domain: Domain,
    epoch: Epoch,
}

/// How a ledger's file is opened.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until something is opened with them"]
pub struct OpenOptions {
    restored: bool,
    domain: Option<Domain>,
}

impl OpenOptions {
    /// A file that is made if it is not there.
    pub fn new() -> Self {
        Self::default()
    }

    /// The file comes from a backup: it becomes another domain, without sessions.
    ///
    /// What happened after the backup was made is not in it. A client that went on as if nothing had
    /// been would run calls again that have run; so it is told that its calls are of another domain.
    /// What handlers have written stays.
    pub fn restored(mut self, restored: bool) -> Self {
        self.restored = restored;
        self
    }

    /// The domain of a file that is made; a random one unless set. For simulations, which have to be the same
    /// each time: two files must never have the same.
    pub fn domain(mut self, domain: Domain) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// If another process has it open, a newer version has written it, it is something else or is
    /// corrupted, or the disk fails.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DiskStore, OpenError> {
        let path = path.as_ref();
        let is_new = !path.try_exists().map_err(|error| OpenError::failed(path, error))?;
        let database = Database::builder().create(path).map_err(|error| refused(path, error))?;
        if is_new {
            // The file is durable, and its name is not before its folder is: redb leaves that to us.
            sync_folder(path).map_err(|error| OpenError::failed(path, error))?;
        }
        self.finish(database, path)
    }

    /// Opens a ledger on something else than a file: a simulated disk, say. `name` stands for its path in
    /// errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_backend(
        &self,
        backend: impl StorageBackend,
        name: impl Into<PathBuf>,
    ) -> Result<DiskStore, OpenError> {
        let path = name.into();
        let database = Database::builder()
            .create_with_backend(backend)
            .map_err(|error| refused(&path, error))?;
        self.finish(database, &path)
    }

    /// As [`open_backend`](Self::open_backend), but without a thread: what is given to the store is kept when
    /// the [`Stepper`] is told to. For simulations, in which everything happens in one order.
    ///
    /// [`Txn::commit`], which waits, is of no use on the thread that steps.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stepped(
        &self,
        backend: impl StorageBackend,
        name: impl Into<PathBuf>,
    ) -> Result<(DiskStore, Stepper), OpenError> {
        let path = name.into();
        let database = Database::builder()
            .create_with_backend(backend)
            .map_err(|error| refused(&path, error))?;
        let (domain, epoch) = self.begin_life(&database, &path)?;
        let (database, pending) = (Arc::new(database), Arc::new(Pending::default()));
        let (committer, stepper) = Committer::stepped(database.clone(), pending.clone());
        let inner = Inner { committer, database, pending, domain, epoch };
        Ok((DiskStore { inner: Arc::new(inner) }, stepper))
    }

    fn finish(&self, database: Database, path: &Path) -> Result<DiskStore, OpenError> {
        let (domain, epoch) = self.begin_life(&database, path)?;
        let database = Arc::new(database);
        let pending = Arc::new(Pending::default());
        let committer = Committer::start(database.clone(), pending.clone())
            .map_err(|error| OpenError::failed(path, error))?;
        Ok(DiskStore { inner: Arc::new(Inner { committer, database, pending, domain, epoch }) })
    }

    /// Sees whether it is a ledger that this version can go on with, and begins another epoch.
    fn begin_life(&self, database: &Database, path: &Path) -> Result<(Domain, Epoch), OpenError> {
        let other = |error: redb::Error| OpenError::failed(path, error);
        let mut transaction = database.begin_write().map_err(|error| other(error.into()))?;
        transaction.set_quick_repair(true);
        let has_tables = {
            let mut tables = transaction.list_tables().map_err(|error| other(error.into()))?;
            tables.next().is_some()
        };
        let begun = {
            let mut meta = transaction.open_table(META).map_err(|error| other(error.into()))?;
            let number = |name| read_number::<8>(&meta, name).map_err(|error| other(error.into()));
            let format = read_number::<4>(&meta, META_FORMAT).map_err(|e| other(e.into()))?;
            let format = format.map(u32::from_le_bytes);
            let known = match format {
                None if has_tables => {
                    let reason = "it is a database of something else".to_owned();
                    return Err(OpenError::NotALedger { path: path.to_owned(), reason });
                }
                None => None,
                Some(found) if found > FORMAT => {
                    return Err(OpenError::Newer { path: path.to_owned(), found });
                }
                Some(_) => read_number(&meta, META_DOMAIN).map_err(|error| other(error.into()))?,
            };
            let epoch = number(META_EPOCH)?.map_or(0, u64::from_le_bytes) + 1;
            let domain = match known {
                Some(domain) if !self.restored => u128::from_le_bytes(domain),
                None if format.is_some() => {
                    let reason = "it does not say of which domain it is".to_owned();
                    return Err(OpenError::Corrupted { path: path.to_owned(), reason });
                }
                _ => self.domain.map_or_else(|| random(path), |domain| Ok(domain.0))?,
            };
            let mut set = |name, value: &[u8]| {
                meta.insert(name, value).map(drop).map_err(|error| other(error.into()))
            };
            set(META_FORMAT, &FORMAT.to_le_bytes())?;
            set(META_DOMAIN, &domain.to_le_bytes())?;
            set(META_EPOCH, &epoch.to_le_bytes())?;
            (Domain(domain), Epoch(epoch))
        };
        {
            let mut sessions = transaction.open_table(SESSIONS).map_err(|e| other(e.into()))?;
            let mut floors = transaction.open_table(FLOORS).map_err(|e| other(e.into()))?;
            let mut calls = transaction.open_table(CALLS).map_err(|e| other(e.into()))?;
            transaction.open_table(DATA).map_err(|error| other(error.into()))?;
            if self.restored {
                sessions.retain(|_, _| false).map_err(|error| other(error.into()))?;
                floors.retain(|_, _| false).map_err(|error| other(error.into()))?;
                calls.retain(|_, _| false).map_err(|error| other(error.into()))?;
            }
        }
        transaction.commit().map_err(|error| other(error.into()))?;
        Ok(begun)
    }
}

impl DiskStore {
    /// Opens a ledger's file, which is made if it is not there.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<DiskStore, OpenError> {
        OpenOptions::new().open(path)
    }

    /// Begins to write into the file, when whoever else does has done so.
    ///
    /// It blocks the thread for that long; a thread that has a [`Txn`] in hand would wait for itself.
    ///
    /// # Errors
    /// If the store has failed.
    pub fn begin(&self) -> Result<Txn, StoreFailed> {
        let txn = Txn::begin(self.inner.clone());
        self.inner.committer.failed().map_or(Ok(txn), Err)
    }
}

impl Inner {
    pub(crate) fn keep(&self, changes: Arc<[Change]>, writes: Option<Writes>, done: Done) {
        let handed = writes.map(|writes| {
            let txn: Box<Txn> = writes.downcast().expect("what a Txn of this crate has made");
            txn.hand_over()
        });
        let (written, turn) = handed.unzip();
        self.committer.push(Batch { changes, written, done });
        // Only now: whoever writes next is to be committed next.
        drop(turn);
    }

    fn read_sessions(&self) -> Result<(Vec<KeptSession>, SessionId), redb::Error> {
        let read = self.database.begin_read()?;
        let next = read_number(&read.open_table(META)?, META_NEXT)?;
        let (sessions, floors) = (read.open_table(SESSIONS)?, read.open_table(FLOORS)?);
        let mut floors = floors.iter()?.peekable();
        let mut kept = Vec::new();
        for entry in sessions.iter()? {
            let (session, record) = entry?;
            let session = SessionId(session.value());
            // Both tables are in order.
            let mut floor = 0;
            while let Some(next) =
                floors.next_if(|next| next.as_ref().map_or(true, |(of, _)| of.value() <= session.0))
            {
                let (of, value) = next?;
                if of.value() == session.0 {
                    floor = value.value();
                }
            }
            let session = read_session(session, record.value(), floor);
            kept.push(session.map_err(|error| redb::Error::Corrupted(error.to_string()))?);
        }
        Ok((kept, SessionId(next.map_or(1, u64::from_le_bytes))))
    }

    fn read_calls(&self, session: SessionId) -> Result<Vec<KeptCall>, redb::Error> {
        let calls = self.database.begin_read()?.open_table(CALLS)?;
        let mut kept = Vec::new();
        for entry in calls.range((session.0, 0)..=(session.0, u64::MAX))? {
            let (place, record) = entry?;
            let call = read_call(place.value().1, record.value());
            kept.push(call.map_err(|error| redb::Error::Corrupted(error.to_string()))?);
        }
        Ok(kept)
    }
}

impl Store for DiskStore {
    fn domain(&self) -> Domain {
        self.inner.domain
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    fn sessions(&self) -> Result<(Vec<KeptSession>, SessionId), StoreFailed> {
        self.inner.read_sessions().map_err(failed)
    }

    fn recall(&self, session: SessionId) -> Result<Vec<KeptCall>, StoreFailed> {
        self.inner.read_calls(session).map_err(failed)
    }

    fn keep(&self, changes: Arc<[Change]>, writes: Option<Writes>, done: Done) {
        self.inner.keep(changes, writes, done);
    }

    fn transactions(&self) -> Option<&dyn Transactions> {
        Some(self)
    }
}

impl Transactions for DiskStore {
    fn begin(&self) -> Result<Box<dyn Transaction>, StoreFailed> {
        Ok(Box::new(DiskStore::begin(self)?))
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("domain", &self.inner.domain)
            .field("epoch", &self.inner.epoch)
            .field("failed", &self.inner.committer.failed().is_some())
            .finish_non_exhaustive()
    }
}

fn random(path: &Path) -> Result<u128, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::failed(path, error))?;
    Ok(u128::from_le_bytes(bytes))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Elsewhere a folder cannot be opened, and need not be synced.
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Locked { path }
        }
        DatabaseError::UpgradeRequired(format) => {
            let reason =
                format!("its store is of format {format}, which this version does not know");
            OpenError::NotALedger { path, reason }
        }
        DatabaseError::Storage(StorageError::Corrupted(reason)) => {
            OpenError::Corrupted { path, reason }
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == std::io::ErrorKind::InvalidData =>
        {
            OpenError::NotALedger { path, reason: error.to_string() }
        }
        error => OpenError::failed(&path, error),
    }
}
