//! What a client remembers of its calls, and when that is on disk.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use netrpc_core::semantics::{Domain, Incarnation, Secret, SessionId};
use thiserror::Error;

use crate::{
    medium::{FileMedium, Medium},
    record::{self, MAGIC, Record},
};

/// A client's log. What is written down is on disk after the next [`sync`](Self::sync).
///
/// One process has it open at a time. Calls that are settled are swept out when they outweigh the others.
#[derive(Debug)]
pub struct Log {
    medium: Box<dyn Medium>,
    /// The session that calls are made in.
    session: Option<Session>,
    /// Calls that are not settled, in the order in which they were made.
    pending: BTreeMap<u64, Call>,
    /// Where in `pending` each is.
    places: BTreeMap<Place, u64>,
    made: u64,
    /// The highest number in the session.
    newest: u64,
    /// Records that are not handed to the medium yet.
    unwritten: Vec<u8>,
    /// Bytes that the medium has.
    written: u64,
    /// Bytes of all that are safe.
    synced: u64,
    /// Bytes of records of calls that are pending.
    live: u64,
    failed: Option<LogFailed>,
}

/// A session, as a client needs it to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// Where it is known.
    pub domain: Domain,
    /// Its number.
    pub session: SessionId,
    /// Which incarnation of the client this is.
    pub incarnation: Incarnation,
    /// What the client proves with that it is the session's.
    pub secret: Secret,
}

/// A call that was written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The domain it was made in.
    pub domain: Domain,
    /// The session it was made in.
    pub session: SessionId,
    /// Its number there.
    pub seq: u64,
    /// What its maker knows it by.
    pub tag: Vec<u8>,
    /// The method's name.
    pub method: String,
    /// The encoded arguments.
    pub body: Vec<u8>,
}

/// Which call: its number, in its session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The session's domain.
    pub domain: Domain,
    /// The session.
    pub session: SessionId,
    /// The call's number there.
    pub seq: u64,
}

impl Call {
    /// Which call it is.
    pub fn place(&self) -> Place {
        Place { domain: self.domain, session: self.session, seq: self.seq }
    }

    /// About as many bytes as its record has.
    fn weight(&self) -> u64 {
        (self.tag.len() + self.method.len() + self.body.len()) as u64 + 64
    }
}

/// Why a log cannot be opened. Nothing in it was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("another process has the log open: {path} (a log belongs to one client at a time)")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is a file of something else, or of another format.
    #[error("{path} is not a log of this version: it begins with {found:02x?}")]
    NotALog {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// Something that was safe on disk is not what was written.
    #[error(
        "the log {path} is damaged at byte {at}, which had been safe: this is not a crash's work, and calls \
         may be missing"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: usize,
    },
    /// The system has refused something.
    #[error("the log {path} cannot be opened")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: io::Error,
    },
}

/// A log cannot be written any more. What is on disk is known when it is opened again.
#[derive(Clone, Debug, Error)]
#[error("the client's log cannot be written: no call that was not on disk may be sent")]
pub struct LogFailed {
    /// What the system said.
    #[source]
    pub cause: Arc<io::Error>,
}

/// The longest tag, in bytes.
const MAX_TAG: usize = u16::MAX as usize;
/// The longest name of a method, in bytes.
const MAX_METHOD: usize = u8::MAX as usize;
/// Bytes that a log may have before it is looked at whether it is worth sweeping.
const SWEEP: u64 = 1 << 20;

impl Log {
    /// Opens a log, which is made if it is not there. What a crash has left half written at its end is
    /// cut off: it was not on disk when it mattered.
    ///
    /// # Errors
    /// If another process has it open, it is something else, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Log, OpenError> {
        let path = path.as_ref();
        let medium = FileMedium::open(path)?;
        Self::open_medium(medium, path)
    }

    /// Opens a log on something else than a file. `name` stands for its path in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_medium(
        mut medium: impl Medium + 'static,
        name: impl Into<PathBuf>,
    ) -> Result<Log, OpenError> {
        let path = name.into();
        let failed = |cause| OpenError::Failed { path: path.clone(), cause };
        let bytes = medium.read().map_err(failed)?;
        let common = bytes.len().min(MAGIC.len());
        if bytes[..common] != MAGIC[..common] {
            return Err(OpenError::NotALog { path, found: bytes[..common].to_vec() });
        }
        let record::Scan { records, whole } = record::scan(&bytes)
            .map_err(|damaged| OpenError::Damaged { path: path.clone(), at: damaged.at })?;
        let mut log = Log {
            medium: Box::new(medium),
            session: None,
            pending: BTreeMap::new(),
            places: BTreeMap::new(),
            made: 0,
            newest: 0,
            unwritten: Vec::new(),
            written: whole as u64,
            synced: whole as u64,
            live: 0,
            failed: None,
        };
        for record in records {
            log.apply(record);
        }
        if bytes.len() < MAGIC.len() || whole < bytes.len() {
            // Nothing is ever appended behind what a crash has left.
            log.sweep().map_err(failed)?;
        }
        // What is read may have been written and never synced.
        log.medium.sync().map_err(failed)?;
        Ok(log)
    }

    /// The session that calls are made in.
    pub fn current(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The highest number that was given in that session.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Calls that are not settled, in the order in which they were made; those of an earlier session too,
    /// whose outcome nobody will ever know.
    pub fn pending(&self) -> impl Iterator<Item = &Call> {
        self.pending.values()
    }

    /// Calls are made in this session from now on: another one, or another incarnation of it.
    pub fn session(&mut self, session: Session) {
        self.write(Record::Session(session));
    }

    /// Writes a call down. It may be sent when that is [on disk](Self::sync).
    ///
    /// # Panics
    /// If there is no session, the tag has more than 65,535 bytes, or the method's name more than 255: the
    /// caller's mistake.
    pub fn call(&mut self, seq: u64, tag: &[u8], method: &str, body: &[u8]) {
        let Session { domain, session, .. } = self.session.expect("a call is made in a session");
        assert!(tag.len() <= MAX_TAG, "a tag has at most {MAX_TAG} bytes");
        assert!(method.len() <= MAX_METHOD, "a method's name has at most {MAX_METHOD} bytes");
        let (tag, method, body) = (tag.to_vec(), method.to_owned(), body.to_vec());
        self.write(Record::Call(Call { domain, session, seq, tag, method, body }));
    }

    /// A call's outcome is consumed. It may be acknowledged when that is [on disk](Self::sync).
    pub fn settle(&mut self, place: Place) {
        if self.places.contains_key(&place) {
            self.write(Record::Settled(place));
        }
    }

    /// Waits until everything that was written down would survive a crash.
    ///
    /// # Errors
    /// If it would not, or it is not known: from then on always.
    pub fn sync(&mut self) -> Result<(), LogFailed> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.try_sync().map_err(|cause| {
            let failed = LogFailed { cause: Arc::new(cause) };
            self.failed = Some(failed.clone());
            failed
        })
    }

    fn try_sync(&mut self) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if self.written > SWEEP && self.written > 2 * self.live {
            self.unwritten.clear();
            return self.sweep();
        }
        self.medium.append(&self.unwritten)?;
        self.written += self.unwritten.len() as u64;
        self.unwritten.clear();
        self.medium.sync()?;
        self.synced = self.written;
        Ok(())
    }

    /// Writes anew what is still needed.
    fn sweep(&mut self) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        let start = MAGIC.len() as u64;
        if let Some(session) = self.session {
            // Its newest number must be known also when that call is settled.
            let place =
                Place { domain: session.domain, session: session.session, seq: self.newest };
            Record::Session(session).write(&mut bytes, start);
            Record::Settled(place).write(&mut bytes, start);
        }
        for call in self.pending.values() {
            Record::Call(call.clone()).write(&mut bytes, start);
        }
        self.medium.replace(&bytes)?;
        self.written = bytes.len() as u64;
        self.synced = self.written;
        Ok(())
    }

    fn write(&mut self, record: Record) {
        record.write(&mut self.unwritten, self.synced);
        self.apply(record);
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Session(session) => {
                let same = self
                    .session
                    .is_some_and(|it| (it.domain, it.session) == (session.domain, session.session));
                if !same {
                    self.newest = 0;
                }
                self.session = Some(session);
            }
            Record::Call(call) => {
                self.note_number(call.place());
                self.live += call.weight();
                self.made += 1;
                self.places.insert(call.place(), self.made);
                self.pending.insert(self.made, call);
            }
            Record::Settled(place) => {
                self.note_number(place);
                if let Some(made) = self.places.remove(&place)
                    && let Some(call) = self.pending.remove(&made)
                {
                    self.live -= call.weight();
                }
            }
        }
    }

    fn note_number(&mut self, place: Place) {
        let is_current =
            self.session.is_some_and(|it| (it.domain, it.session) == (place.domain, place.session));
        if is_current {
            self.newest = self.newest.max(place.seq);
        }
    }
}
