//! A host's disk: what a power failure leaves of it is what was synced, and any part of what was not.

use std::{collections::BTreeMap, io};

use super::{Counts, Random, host::Identity, world::Acts};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A host's disk, which outlives its software; from [`Host::disk`](super::Host::disk).
///
/// It takes no time. Who wants it to sleeps; `tokio::time` is the simulation's.
#[derive(Debug, Clone)]
pub struct Disk {
    here: Identity,
}

/// A file on a host's disk; it is made when something is written to it.
///
/// What is written is read at once. It survives [`Crash::Kill`](super::Crash::Kill) in any case, and
/// [`Crash::PowerLoss`](super::Crash::PowerLoss) when it was [synced](Self::sync) afterwards. Of a write that
/// was not, a power failure leaves all, nothing, or some of its sectors of 512 bytes.
///
/// ```
/// use netrpc::sim::{Crash, Simulation};
///
/// let mut sim = Simulation::new(1);
/// sim.host("store", |host| async move {
///     let file = host.disk().file("book");
///     if host.life() == 1 {
///         file.write(0, b"kept")?;
///         file.sync()?;
///         file.write(0, b"lost")?;
///     } else {
///         let found = file.read_all()?;
///         assert!(found == b"kept" || found == b"lost", "a sector is written whole");
///     }
///     std::future::pending().await
/// });
/// sim.run("operator", |host| async move {
///     host.network().crash("store", Crash::PowerLoss);
///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     host.network().restart("store");
///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     Ok(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Debug, Clone)]
pub struct File {
    here: Identity,
    name: String,
}

/// The files of a host.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<String, Content>,
    lies: bool,
}

#[derive(Debug, Default)]
struct Content {
    /// What survives.
    durable: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// What has not been synced.
    unsynced: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    At(usize, Vec<u8>),
    Length(usize),
    /// A sync that was acknowledged, and was not done.
    Promised,
}

/// How many syncs a disk is late that lies.
const LATE: usize = 8;

impl Disk {
    pub(super) fn new(here: Identity) -> Self {
        Disk { here }
    }

    /// A file by its name.
    pub fn file(&self, name: &str) -> File {
        File { here: self.here.clone(), name: name.to_owned() }
    }
}

impl File {
    /// How many bytes there are.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn len(&self) -> io::Result<u64> {
        self.with(|content, _| Ok(content.current.len() as u64))
    }

    /// Whether there is nothing.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from this place on.
    ///
    /// # Errors
    /// If there are not as many bytes, or the host has crashed.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|content, _| {
            let start = offset as usize;
            let there = content.current.get(start..start + out.len());
            out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    /// Everything that is there.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        self.with(|content, _| Ok(content.current.clone()))
    }

    /// Writes at this place; there are zeros between the end and it.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|content, _| {
            content.write(offset as usize, data);
            Ok(())
        })
    }

    /// Writes at the end.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn append(&self, data: &[u8]) -> io::Result<()> {
        self.change(|content, _| {
            content.write(content.current.len(), data);
            Ok(())
        })
    }

    /// Cuts off what is beyond this length, or fills up to it with zeros.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(|content, _| {
            content.current.resize(length as usize, 0);
            content.unsynced.push(Write::Length(length as usize));
            Ok(())
        })
    }

    /// Has everything that was written survive from now on.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn sync(&self) -> io::Result<()> {
        self.change(|content, lies| {
            if lies {
                content.promise();
            } else {
                content.sync();
            }
            Ok(())
        })
    }

    /// Puts other bytes in the place of all that are there, at once and for good: as writing to another file,
    /// syncing that, and giving it this one's name.
    ///
    /// # Errors
    /// If the host has crashed.
    pub fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.change(|content, _| {
            *content =
                Content { durable: bytes.to_vec(), current: bytes.to_vec(), unsynced: Vec::new() };
            Ok(())
        })
    }

    /// Changes it, if the host does not crash before.
    fn change<T>(&self, f: impl FnOnce(&mut Content, bool) -> io::Result<T>) -> io::Result<T> {
        self.here.shared.with(|world| self.here.act(world, Acts::Disk))?;
        self.with(f)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Content, bool) -> io::Result<T>) -> io::Result<T> {
        self.here.shared.with(|world| {
            self.here.check(world)?;
            let files = &mut world.machines[self.here.host].files;
            let content = match files.files.get_mut(&self.name) {
                Some(content) => content,
                None => files.files.entry(self.name.clone()).or_default(),
            };
            f(content, files.lies)
        })
    }
}

impl Content {
    fn write(&mut self, start: usize, data: &[u8]) {
        put(&mut self.current, start, data);
        self.unsynced.push(Write::At(start, data.to_vec()));
    }

    fn sync(&mut self) {
        self.settle(self.unsynced.len());
    }

    /// Has the first of what was not synced survive.
    fn settle(&mut self, writes: usize) {
        for write in self.unsynced.drain(..writes) {
            match write {
                Write::At(start, data) => put(&mut self.durable, start, &data),
                Write::Length(length) => self.durable.resize(length, 0),
                Write::Promised => {}
            }
        }
    }

    /// Where the promises are, and behind each.
    fn promises(&self) -> Vec<usize> {
        let writes = self.unsynced.iter().enumerate();
        writes.filter(|(_, it)| matches!(it, Write::Promised)).map(|(at, _)| at + 1).collect()
    }

    fn promise(&mut self) {
        self.unsynced.push(Write::Promised);
        let promises = self.promises();
        if promises.len() > LATE {
            self.settle(promises[0]);
        }
    }
}

fn put(bytes: &mut Vec<u8>, start: usize, data: &[u8]) {
    if bytes.len() < start + data.len() {
        bytes.resize(start + data.len(), 0);
    }
    bytes[start..start + data.len()].copy_from_slice(data);
}

impl Files {
    pub(super) fn lie(&mut self, lies: bool) {
        self.lies = lies;
    }

    /// Leaves what was synced, and any part of what was not.
    pub(super) fn lose_power(&mut self, random: &mut Random, counts: &mut Counts) {
        for content in self.files.values_mut() {
            let promises = content.promises();
            if !promises.is_empty() {
                // What was promised last is lost, and everything since.
                let kept = random.below(promises.len() as u64) as usize;
                content.settle(if kept == 0 { 0 } else { promises[kept - 1] });
                counts.writes_lost += content.unsynced.len() as u64;
                content.unsynced.clear();
            }
            let Content { durable, current, unsynced } = content;
            for write in unsynced.drain(..) {
                let fate = random.below(4);
                if fate == 0 {
                    counts.writes_lost += 1;
                    continue;
                }
                match write {
                    Write::Promised => {}
                    Write::Length(length) => durable.resize(length, 0),
                    Write::At(start, data) if fate == 1 => put(durable, start, &data),
                    Write::At(start, data) => {
                        let kept = tear(start, &data, random);
                        if kept.is_empty() {
                            counts.writes_lost += 1;
                            continue;
                        }
                        counts.writes_torn += u64::from(kept.len() < data.len());
                        put(durable, start + kept.start, &data[kept]);
                    }
                }
            }
            current.clone_from(durable);
        }
    }
}

/// The part of a write that is left: some whole sectors in a row.
fn tear(start: usize, data: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let sectors = (start % SECTOR + data.len()).div_ceil(SECTOR);
    let mut border = || random.below(sectors as u64 + 1) as usize;
    let (one, other) = (border(), border());
    // Sectors lie where the disk has them, not where the write begins.
    let place = |sector: usize| (sector * SECTOR).saturating_sub(start % SECTOR).min(data.len());
    place(one.min(other))..place(one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_torn_where_the_sectors_of_the_disk_end() {
        let mut random = Random::new(3);
        let data = vec![1; 1500];
        let mut lengths = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let kept = tear(100, &data, &mut random);
            assert!(
                kept.is_empty() || kept.start == 0 || (kept.start + 100).is_multiple_of(SECTOR)
            );
            assert!(kept.is_empty() || kept.end == 1500 || (kept.end + 100).is_multiple_of(SECTOR));
            lengths.insert(kept.len());
        }
        assert!(lengths.contains(&0) && lengths.contains(&1500) && lengths.len() > 5);
    }

    #[test]
    fn what_was_synced_is_left_and_of_the_rest_anything() {
        let (mut whole, mut none) = (0, 0);
        for seed in 0..200 {
            let mut files = Files::default();
            let content = files.files.entry("a".to_owned()).or_default();
            content.write(0, b"synced");
            content.sync();
            content.write(6, b" and not");
            assert_eq!(content.current, b"synced and not");
            files.lose_power(&mut Random::new(seed), &mut Counts::default());
            match &files.files["a"].current[..] {
                b"synced and not" => whole += 1,
                b"synced" => none += 1,
                other => panic!("less than a sector is torn: {other:?}"),
            }
        }
        assert!(whole > 20 && none > 20, "{whole} {none}");
    }
}
