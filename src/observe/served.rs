//! A call that is served.

use std::sync::Arc;

use netrpc_core::{
    CallId, Caller, Fault,
    service::{Entry, Recording, Registry},
};

use crate::client::now;

/// Whom a server tells of its calls.
#[derive(Debug)]
pub(crate) struct ServerObserver {}

impl ServerObserver {
    pub(crate) fn new() -> Self {
        ServerObserver {}
    }
}

/// A call that is served, from before anything may refuse it.
///
/// One that is dropped was abandoned: nobody is there to answer it.
#[derive(Debug)]
#[must_use = "a call that is dropped at once was abandoned"]
pub(crate) struct ServedCall {
    /// If calls are counted.
    recording: Option<Recording>,
}

impl ServedCall {
    /// A call of `entry` by this peer begins, with this head of a request; that of a Go program is empty.
    pub(crate) fn begin(
        _observer: &ServerObserver,
        registry: &Registry,
        entry: &Arc<Entry>,
        (_id, _caller, _head): (CallId, &Arc<Caller>, &[u8]),
    ) -> Self {
        ServedCall { recording: registry.recording(entry, now) }
    }

    /// Runs the handler, or a part of it: events in it are the call's, and calls that it makes are its
    /// children.
    pub(crate) fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        run()
    }

    /// It is answered: with a reply, or with this fault.
    pub(crate) fn finish(self, outcome: Result<(), &Fault>) {
        if let Some(recording) = self.recording {
            recording.finish(now(), outcome.map_err(Fault::code));
        }
    }
}
