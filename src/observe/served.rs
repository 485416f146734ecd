//! A call that is served.

use std::sync::Arc;

use netrpc_core::{
    CallId, Fault, Peer,
    service::{Entry, Recording, Registry},
    trace::TraceContext,
};

#[cfg(feature = "metrics")]
use super::metrics;
#[cfg(feature = "trace")]
use super::span::ServedSpan;
use crate::client::now;
#[cfg(feature = "trace")]
use crate::trace::Propagation;

/// Whom a server tells of its calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerObserver {
    #[cfg(feature = "trace")]
    pub(super) propagation: Propagation,
}

impl ServerObserver {
    /// It takes a context of another kind along.
    #[cfg(feature = "trace")]
    pub(crate) fn propagate(&mut self, propagation: Propagation) {
        self.propagation = propagation;
    }

    /// Has the methods of now counted, if there is somebody to count for; asked whenever a service is
    /// registered or a connection begins.
    pub(crate) fn attach(&self, registry: &Registry) {
        let _ = registry;
        #[cfg(feature = "metrics")]
        metrics::observe(registry);
    }

    /// A call was refused that has not begun: its method, if it is one, the head of its request, and the
    /// answer.
    pub(crate) fn refused(&self, entry: Option<&Arc<Entry>>, arrival: Arrival<'_>, fault: &Fault) {
        let _ = (entry, arrival, fault);
        #[cfg(feature = "trace")]
        ServedSpan::begin(self, entry, arrival).finish(Err(fault.code()));
        #[cfg(feature = "metrics")]
        metrics::refused(entry, fault.code().kind());
    }
}

/// What is known of a request besides its method.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "trace"), allow(dead_code))] // it is for spans
pub(crate) struct Arrival<'a> {
    pub(crate) id: CallId,
    pub(crate) peer: &'a Peer,
    /// The head of its frame; empty for that of a Go program.
    pub(crate) head: &'a [u8],
}

/// A call that is served, from before anything may refuse it.
///
/// One that is dropped was abandoned: nobody is there to answer it.
#[derive(Debug)]
#[must_use = "a call that is dropped at once was abandoned"]
pub(crate) struct ServedCall {
    /// If calls are counted, and this is one of a method.
    recording: Option<Recording>,
    #[cfg(feature = "metrics")]
    unknown: bool,
    #[cfg(feature = "trace")]
    span: ServedSpan,
}

impl ServedCall {
    /// A call of `entry` begins, or of a method that there is not.
    #[inline]
    pub(crate) fn begin(
        observer: &ServerObserver,
        registry: &Registry,
        entry: Option<&Arc<Entry>>,
        arrival: Arrival<'_>,
    ) -> Self {
        let _ = (observer, arrival);
        ServedCall {
            recording: entry.and_then(|entry| registry.recording(entry, now)),
            #[cfg(feature = "metrics")]
            unknown: entry.is_none(),
            #[cfg(feature = "trace")]
            span: ServedSpan::begin(observer, entry, arrival),
        }
    }

    /// Its place in a trace, if it has a span of its own.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        #[cfg(feature = "trace")]
        return self.span.context().cloned();
        #[cfg(not(feature = "trace"))]
        None
    }

    /// Runs the handler, or a part of it: events in it are the call's, and calls that it makes are its
    /// children.
    #[inline]
    pub(crate) fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        #[cfg(feature = "trace")]
        return self.span.enter(run);
        #[cfg(not(feature = "trace"))]
        run()
    }

    /// It is answered: with a reply, or with this fault. Told once.
    #[inline]
    pub(crate) fn finish(&mut self, outcome: Result<(), &Fault>) {
        let outcome = outcome.map_err(Fault::code);
        // Mostly there is none, and nothing is to be moved.
        if self.recording.is_some()
            && let Some(recording) = self.recording.take()
        {
            recording.finish(now(), outcome);
        }
        #[cfg(feature = "metrics")]
        if let (true, Err(code)) = (self.unknown, outcome) {
            metrics::refused(None, code.kind());
        }
        #[cfg(feature = "trace")]
        self.span.finish(outcome);
    }
}
