//! How many calls a whole server runs at once.
//!
//! Calls that are done on the spot are not counted: there are no more of them than threads. One over the
//! limit is refused and not kept waiting: it would wait for the calls of others, and while it did, the
//! quick ones behind it, which need no room here.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use netrpc_core::{Fault, fault::FaultCode};

use crate::observe;

/// The calls of a server that run elsewhere than on their connection's task.
#[derive(Debug)]
pub(super) struct Capacity {
    limit: usize,
    running: AtomicUsize,
}

/// A place for one call, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Capacity>);

impl Capacity {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Capacity { limit, running: AtomicUsize::new(0) })
    }

    /// Whether a connection that has `own` calls running must not start another; there are so many
    /// connections.
    ///
    /// The last quarter is for those that have less than their share: who has taken much leaves room for
    /// who has taken little. It may be exceeded by as many calls as start at the same time, which is one
    /// for each worker.
    pub(super) fn refuses(&self, own: usize, connections: impl FnOnce() -> usize) -> Option<Fault> {
        let running = self.running.load(Relaxed);
        if running < self.limit - self.limit / 4 {
            return None;
        }
        self.refuses_late(running, own, connections())
    }

    #[cold]
    fn refuses_late(&self, running: usize, own: usize, connections: usize) -> Option<Fault> {
        let limit = self.limit;
        let share = (limit / connections.max(1)).max(1);
        if running < limit && own < share {
            return None;
        }
        observe::limit("max_server_calls");
        let text = format!(
            "the server runs {running} calls, its limit is {limit} (ServerBuilder::max_server_calls)"
        );
        Some(Fault::with_code(FaultCode::Overloaded, text))
    }

    /// Counts a call.
    pub(super) fn take(self: &Arc<Self>) -> Slot {
        self.running.fetch_add(1, Relaxed);
        Slot(self.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_taken_much_leaves_room_for_who_has_taken_little() {
        let capacity = Capacity::new(100);
        let connections = || 10;
        let mut slots: Vec<_> = (0..74).map(|_| capacity.take()).collect();
        assert_eq!(capacity.refuses(74, || unreachable!("far from the limit")), None);
        slots.push(capacity.take());
        assert!(capacity.refuses(75, connections).is_some());
        assert!(capacity.refuses(10, connections).is_some(), "a tenth is its share");
        assert_eq!(capacity.refuses(9, connections), None);
        slots.extend((0..25).map(|_| capacity.take()));
        let fault = capacity.refuses(0, connections).expect("there is no room at all");
        assert_eq!(fault.code(), FaultCode::Overloaded);
        assert!(fault.message().contains("its limit is 100"), "{}", fault.message());
        slots.truncate(80);
        assert_eq!(capacity.refuses(0, connections), None);
        drop(slots);
        assert_eq!(capacity.running.load(Relaxed), 0);
    }

    #[test]
    fn more_connections_than_calls_have_one_each() {
        let capacity = Capacity::new(4);
        let slots: Vec<_> = (0..3).map(|_| capacity.take()).collect();
        assert_eq!(capacity.refuses(0, || 1000), None);
        assert!(capacity.refuses(1, || 1000).is_some());
        drop(slots);
    }
}
