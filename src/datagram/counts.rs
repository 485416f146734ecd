//! What has come and gone.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What has become of a server's datagrams: [`Server::datagram_counts`](crate::Server::datagram_counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DatagramCounts {
    /// Datagrams that were received, whatever they were.
    pub received: u64,
    /// Those among them that were none of netrpc's, or had changed on their way.
    pub strays: u64,
    /// Those that had come before.
    pub duplicates: u64,
    /// Those that were thrown away because their peer had too much waiting.
    pub dropped: u64,
    /// Requests that had come before in another datagram, and whose calls still ran.
    pub repeated: u64,
    /// Datagrams that were sent.
    pub sent: u64,
    /// Those that could not be: the system had no room, or did not want them.
    pub unsent: u64,
}

/// The same while it is being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) strays: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) unsent: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> DatagramCounts {
        DatagramCounts {
            received: self.received.load(Relaxed),
            strays: self.strays.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            sent: self.sent.load(Relaxed),
            unsent: self.unsent.load(Relaxed),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
