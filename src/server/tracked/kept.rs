//! A call until it may run.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use netrpc_core::{
    CallId, Caller, Cancellation, Extensions, ledger::Class, semantics::Xid, wire::Frame,
};

use super::{
    super::{
        Shared,
        capacity::Slot,
        connection::{Connection, Stream},
        passage::Target,
        workers::Workers,
    },
    Tracked, Waiter,
    call::Call,
};

/// What is kept of a call until it may run. It knows where it came from and does not live there.
pub(in crate::server) struct Kept {
    /// Not the server itself: it has the ledger, which has this.
    pub(super) server: Weak<Shared>,
    pub(super) workers: Arc<Workers>,
    pub(super) id: CallId,
    pub(super) caller: Arc<Caller>,
    pub(super) extensions: Option<Arc<Extensions>>,
    pub(super) target: Target,
    /// How it is recorded.
    pub(super) class: Class,
    pub(super) frame: Frame,
    pub(super) deadline: Option<Instant>,
    pub(super) cancellation: Cancellation,
    /// Among the calls that the server runs.
    pub(super) slot: Slot,
    /// Who waits, if the ledger does not know of the call.
    pub(super) waiter: Option<Waiter>,
}

impl Kept {
    pub(super) fn new<IO: Stream>(
        connection: &Connection<IO>,
        (frame, target, deadline): (Frame, Target, Option<Instant>),
        class: Class,
        cancellation: Cancellation,
    ) -> Box<Self> {
        let CallId { connection: number, .. } = connection.plain.call_id();
        Box::new(Kept {
            server: Arc::downgrade(&connection.server),
            workers: connection.workers.clone(),
            id: CallId { connection: number, seq: frame.seq },
            caller: connection.caller.clone(),
            extensions: connection.extensions.clone(),
            target,
            class,
            frame: frame.detach(),
            deadline,
            cancellation,
            slot: connection.server.capacity.take(),
            waiter: None,
        })
    }

    /// Has it run, in a task of its own.
    pub(super) fn run(self, tracked: Arc<Tracked>, xid: Xid) {
        // Without a server there is nobody who could answer.
        let Some(server) = self.server.upgrade() else { return };
        let handle = self.workers.handle().clone();
        let (call, arrival) = Call::new(tracked, server, xid, self);
        handle.spawn(call.arrive(arrival));
    }
}
