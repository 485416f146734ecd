//! What the tests share: a disk that crashes, and a generator of numbers.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part

use std::{
    io,
    sync::{Arc, mpsc},
};

use netrpc_core::{
    ledger::{Change, KeptCall, KeptSession, Store, StoreFailed},
    semantics::SessionId,
};
use netrpc_ledger::{DiskStore, OpenOptions, StorageBackend};
use parking_lot::Mutex;

/// A small generator of numbers: xorshift64*, by Marsaglia and Vigna.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) as usize % end.max(1)
    }
}

/// A disk that keeps only what was synced, and of the rest what it likes.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What survives.
    durable: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// What has not been synced.
    unsynced: Vec<Write>,
    syncs: usize,
    /// The sync that fails, and every operation from then on.
    fails_at: Option<usize>,
    broken: bool,
    /// Whether syncs are acknowledged and not done.
    lies: bool,
}

#[derive(Clone, Debug)]
enum Write {
    At(u64, Vec<u8>),
    Len(u64),
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

impl Disk {
    pub fn syncs(&self) -> usize {
        self.state.lock().syncs
    }

    /// Lets the sync after `more` others fail.
    pub fn fail_sync_after(&self, more: usize) {
        let mut state = self.state.lock();
        state.fails_at = Some(state.syncs + more);
    }

    /// Acknowledges syncs from now on, and does none.
    pub fn lie(&self) {
        self.state.lock().lies = true;
    }

    /// The power fails: this disk does nothing any more, and the one that is given has what was synced
    /// and any part of what was not, torn between sectors.
    pub fn crash(&self, random: &mut Random) -> Disk {
        let mut state = self.state.lock();
        state.broken = true;
        let mut image = state.durable.clone();
        for write in &state.unsynced {
            match write {
                _ if random.below(2) == 0 => {}
                Write::Len(len) => image.resize(*len as usize, 0),
                Write::At(offset, data) => {
                    let sectors = data.len().div_ceil(SECTOR);
                    let (first, last) = (random.below(sectors + 1), random.below(sectors + 1));
                    let from = (first.min(last) * SECTOR).min(data.len());
                    let to = (first.max(last) * SECTOR).min(data.len());
                    let start = *offset as usize + from;
                    let end = *offset as usize + to;
                    if image.len() < end {
                        image.resize(end, 0);
                    }
                    image[start..end].copy_from_slice(&data[from..to]);
                }
            }
        }
        let state = State { durable: image.clone(), current: image, ..State::default() };
        Disk { state: Arc::new(Mutex::new(state)) }
    }

    pub fn open(&self) -> DiskStore {
        OpenOptions::new().open_backend(self.clone(), "simulated").expect("it can be opened")
    }
}

fn broken() -> io::Error {
    io::Error::other("the disk is broken")
}

impl State {
    fn check(&self) -> io::Result<()> {
        if self.broken { Err(broken()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        state.check()?;
        let offset = offset as usize;
        let data = state.current.get(offset..offset + out.len());
        out.copy_from_slice(data.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        state.current.resize(len as usize, 0);
        state.unsynced.push(Write::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        if state.fails_at == Some(state.syncs) {
            state.broken = true;
            return Err(broken());
        }
        state.syncs += 1;
        if !state.lies {
            state.durable = state.current.clone();
            state.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        let end = offset as usize + data.len();
        if state.current.len() < end {
            state.current.resize(end, 0);
        }
        state.current[offset as usize..end].copy_from_slice(data);
        state.unsynced.push(Write::At(offset, data.to_vec()));
        Ok(())
    }
}

/// What will be said of changes.
pub type Kept = mpsc::Receiver<Result<(), StoreFailed>>;

/// Gives changes to a store.
pub fn keep(store: &DiskStore, changes: impl Into<Arc<[Change]>>) -> Kept {
    let (tell, told) = mpsc::channel();
    store.keep(changes.into(), None, Box::new(move |result| tell.send(result).unwrap()));
    told
}

/// Everything that a store remembers.
pub fn remembered(store: &DiskStore) -> (Vec<KeptSession>, Vec<(SessionId, Vec<KeptCall>)>) {
    let (sessions, _) = store.sessions().unwrap();
    let ids = sessions.iter().map(|kept| kept.session);
    let calls = ids.map(|id| (id, store.recall(id).unwrap())).collect();
    (sessions, calls)
}
