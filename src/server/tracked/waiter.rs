//! Whoever waits for an answer.

use std::sync::{Arc, Weak};

use netrpc_core::Fault;

use super::super::{
    answer,
    connection::{Connection, Stream},
};

/// A connection that waits for an answer, by the number of its question. It may have ended.
pub(in crate::server) struct Waiter {
    connection: Weak<dyn Hears>,
    seq: u64,
}

/// A connection, as those see it who have an answer for it.
trait Hears: Send + Sync {
    /// Takes the frame that answers `seq`.
    fn hear(&self, seq: u64, frame: &mut Vec<u8>);
    /// The largest it can take.
    fn max_frame(&self) -> u32;
}

impl<IO: Stream> Hears for Connection<IO> {
    fn hear(&self, seq: u64, frame: &mut Vec<u8>) {
        self.post(seq, frame);
    }

    fn max_frame(&self) -> u32 {
        self.server.limits.max_frame
    }
}

impl Waiter {
    pub(super) fn new<IO: Stream>(connection: &Arc<Connection<IO>>, seq: u64) -> Self {
        // In two steps: only the second changes the type.
        let connection: Weak<Connection<IO>> = Arc::downgrade(connection);
        Waiter { connection, seq }
    }

    /// Gives it the frame that `write` writes: with this number, and of no more than so many bytes.
    pub(super) fn say(&self, write: impl FnOnce(&mut Vec<u8>, u64, u32)) {
        let Some(connection) = self.connection.upgrade() else { return };
        let mut frame = Vec::new();
        write(&mut frame, self.seq, connection.max_frame());
        connection.hear(self.seq, &mut frame);
    }

    /// Answers a question about a session, which is not granted.
    pub(super) fn refuse(&self, fault: &Fault) {
        self.say(|out, seq, max_frame| answer::write_fault(out, seq, fault, max_frame));
    }
}
