//! Where a log's bytes are.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::log::OpenError;

/// What a log is written to: a file, or something that fails when it is told to.
pub trait Medium: std::fmt::Debug + Send {
    /// Everything that is there.
    ///
    /// # Errors
    /// What the system says.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Appends bytes; they are safe after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// What the system says; any part of the bytes may be there then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until everything that was appended would survive a crash.
    ///
    /// # Errors
    /// What the system says; it is not known then what would.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts other bytes in the place of all that are there, at once: after a crash it is the old or the new.
    ///
    /// # Errors
    /// What the system says.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A file that is locked against other processes, by another beside it: `client.log.lock`.
#[derive(Debug)]
pub struct FileMedium {
    path: PathBuf,
    file: File,
    /// Held until the log is dropped. It stays when the log is replaced.
    _lock: File,
}

impl FileMedium {
    /// Opens a file, which is made if it is not there.
    ///
    /// # Errors
    /// If another process has it open, or the system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let failed = |cause| OpenError::Failed { path: path.to_owned(), cause };
        let options = || {
            let mut options = File::options();
            options.create(true).truncate(false).read(true).append(true);
            options
        };
        let lock = options().open(beside(path, ".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let is_new = !path.try_exists().map_err(failed)?;
        let file = options().open(path).map_err(failed)?;
        if is_new {
            sync_folder(path).map_err(failed)?;
        }
        Ok(FileMedium { path: path.to_owned(), file, _lock: lock })
    }
}

impl Medium for FileMedium {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let new = beside(&self.path, ".new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_folder(&self.path)?;
        self.file = File::options().append(true).open(&self.path)?;
        Ok(())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A file's name is durable when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Elsewhere a folder cannot be opened, and need not be synced.
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}
