//! A call that is made.

use std::borrow::Cow;

use netrpc_core::Metadata;

use crate::{CallOptions, Error};

/// Whom a client tells of its calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientObserver {}

/// A call that is made, from `go` until its outcome is known.
///
/// One that is dropped was given up by its caller; the default is of no call.
#[derive(Debug, Default)]
pub(crate) struct MadeCall {}

impl MadeCall {
    /// A call of this method begins.
    pub(crate) fn begin(_observer: &ClientObserver, _method: &str, _options: &CallOptions) -> Self {
        MadeCall {}
    }

    /// The metadata to send with it: the caller's, and its place in the trace.
    pub(crate) fn metadata<'a>(&self, callers: &'a Metadata) -> Cow<'a, Metadata> {
        Cow::Borrowed(callers)
    }

    /// Its outcome is known.
    pub(crate) fn finish<R>(self, outcome: Result<R, &Error>) {
        let _ = outcome;
    }

    /// It goes on, and nobody here will know its outcome.
    pub(crate) fn detach(self) {}
}
