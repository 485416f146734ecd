//! A call that is made.

use std::borrow::Cow;
#[cfg(feature = "trace")]
use std::sync::Arc;

use netrpc_core::Metadata;

use super::ObservedConnection;
#[cfg(feature = "metrics")]
use super::metrics::{ClientMetrics, Counting};
#[cfg(feature = "trace")]
use super::span::MadeSpan;
#[cfg(feature = "trace")]
use crate::trace::Propagation;
use crate::{CallOptions, Error};

/// Whom a client tells of its calls. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientObserver {
    #[cfg(feature = "trace")]
    pub(super) place: Arc<Place>,
    #[cfg(feature = "metrics")]
    metrics: ClientMetrics,
}

/// What the spans of a client's calls have in common.
#[cfg(feature = "trace")]
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Where it calls, as far as it knows.
    pub(super) server: Option<String>,
    pub(super) propagation: Propagation,
}

impl ClientObserver {
    /// It calls this address.
    pub(crate) fn calls(&mut self, server: String) {
        #[cfg(feature = "trace")]
        {
            Arc::make_mut(&mut self.place).server = Some(server);
        }
        #[cfg(not(feature = "trace"))]
        drop(server);
    }

    /// It hands on a context of another kind.
    #[cfg(feature = "trace")]
    pub(crate) fn propagate(&mut self, propagation: Propagation) {
        Arc::make_mut(&mut self.place).propagation = propagation;
    }

    /// A connection of the client begins.
    pub(crate) fn connected(&self) -> ObservedConnection {
        #[cfg(feature = "metrics")]
        self.metrics.attach();
        ObservedConnection::dialled()
    }
}

/// A call that is made, from `go` until its outcome is known.
///
/// One that is dropped was given up by its caller; the default is of no call.
#[derive(Debug, Default)]
pub(crate) struct MadeCall {
    #[cfg(feature = "trace")]
    span: MadeSpan,
    #[cfg(feature = "metrics")]
    counting: Option<Counting>,
}

impl MadeCall {
    /// A call of this method begins.
    #[inline]
    pub(crate) fn begin(observer: &ClientObserver, method: &str, options: &CallOptions) -> Self {
        let _ = (observer, method, options);
        MadeCall {
            #[cfg(feature = "trace")]
            span: MadeSpan::begin(observer, method, &options.metadata),
            #[cfg(feature = "metrics")]
            counting: observer.metrics.count(method),
        }
    }

    /// The metadata to send with it: the caller's, and its place in the trace.
    #[inline]
    pub(crate) fn metadata<'a>(&self, callers: &'a Metadata) -> Cow<'a, Metadata> {
        #[cfg(feature = "trace")]
        return self.span.metadata(callers);
        #[cfg(not(feature = "trace"))]
        Cow::Borrowed(callers)
    }

    /// Its outcome is known.
    #[inline]
    pub(crate) fn finish<R>(self, outcome: Result<R, &Error>) {
        let outcome = outcome.map(drop);
        let _ = outcome;
        #[cfg(feature = "trace")]
        self.span.finish(outcome);
        #[cfg(feature = "metrics")]
        if let Some(counting) = self.counting {
            counting.finish(outcome.map_err(Error::kind));
        }
    }

    /// It goes on, and nobody here will know its outcome.
    pub(crate) fn detach(self) {
        #[cfg(feature = "trace")]
        self.span.detach();
        #[cfg(feature = "metrics")]
        if let Some(counting) = self.counting {
            counting.detach();
        }
    }
}
