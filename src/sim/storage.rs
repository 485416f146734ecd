//! What outlives a crash of calls that run once: a ledger, and a client's log, on a host's disk.

use std::{io, sync::Arc, time::Duration};

use netrpc_core::{error::chain, ledger::Store, semantics::Domain};
use netrpc_ledger::{OpenOptions, StorageBackend};
use netrpc_log::{Log, Medium};

use super::{File, Host};
use crate::Ledger;

/// How long a disk takes to commit a group, in the simulation's time.
const COMMIT: std::ops::Range<Duration> = Duration::from_millis(1)..Duration::from_millis(12);

impl Host {
    /// A ledger in a file on the host's disk, for [`ServerBuilder::ledger`](crate::ServerBuilder::ledger).
    ///
    /// It is the same as [`Ledger::open`] makes, but has no thread: a task of the host commits what waits, and
    /// takes 1 to 11 ms of the simulation's time for each group.
    ///
    /// # Errors
    /// If the file cannot be opened, which is a fault of this crate's: power failures leave it so that it can.
    ///
    /// # Panics
    /// Outside the host's software.
    pub fn ledger(&self, file: &str) -> io::Result<Ledger> {
        let ledger = Ledger::with_store(self.store(file)?).map_err(io::Error::other)?;
        Ok(ledger.seed(self.seed()))
    }

    /// The store of such a ledger, for whoever wants to see what it is given; for [`Ledger::with_store`].
    ///
    /// # Errors
    /// As [`ledger`](Self::ledger).
    ///
    /// # Panics
    /// As [`ledger`](Self::ledger).
    pub fn store(&self, file: &str) -> io::Result<Arc<dyn Store>> {
        let mut random = self.random();
        let domain = u128::from(random.number()) << 64 | u128::from(random.number());
        let options = OpenOptions::new().domain(Domain(domain));
        let (store, stepper) = options
            .open_stepped(self.disk().file(file), file)
            .map_err(|error| io::Error::other(chain(&error).to_string()))?;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(random.time(COMMIT)).await;
                stepper.step();
            }
        });
        Ok(Arc::new(store))
    }
}

impl Host {
    /// A client's log in a file on the host's disk, for
    /// [`ClientBuilder::log_with`](crate::ClientBuilder::log_with) and
    /// [`LogSync::Inline`](crate::LogSync::Inline).
    ///
    /// # Errors
    /// If the file cannot be opened, which is a fault of this crate's: power failures leave it so that it can.
    pub fn log(&self, file: &str) -> io::Result<Log> {
        let opened = Log::open_medium(self.disk().file(file), file);
        opened.map_err(|error| io::Error::other(chain(&error).to_string()))
    }
}

impl Medium for File {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.read_all()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        File::append(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        File::sync(self)
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        File::replace(self, bytes)
    }
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        File::len(self)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        File::read(self, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        File::write(self, offset, data)
    }
}
