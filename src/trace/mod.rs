//! The trace that a call is part of: W3C's *Trace Context*, and whatever else a program may use.
//!
//! A call says its place in a trace in its metadata, as
//! [`traceparent` and `tracestate`](https://www.w3.org/TR/trace-context-1/);
//! [`Context::trace`](crate::Context::trace) reads it, and
//! [`CallOptions::trace`](crate::CallOptions::trace) writes it.
//!
//! With the feature `trace` each call has a `tracing` span on either side, and the rest is done by
//! itself. Calls that a handler makes while it runs are children of the call it serves: on the spot, on
//! the thread pool, and at every poll of an asynchronous one. What a handler spawns is elsewhere, and
//! takes its context along with `within`. A call outside any trace begins one if a subscriber wants its
//! span. Where none does, a trace that has come in goes on as it came.
//!
//! # OpenTelemetry
//!
//! `tracing-opentelemetry` gives spans ids of its own, which ours know nothing of. A `Propagator` hands
//! its context on in place of ours.

#[cfg(feature = "trace")]
mod propagator;
#[cfg(feature = "trace")]
mod scope;

pub use netrpc_core::trace::{
    SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, TraceParentError, TraceState,
    TraceStateError,
};

#[cfg(feature = "trace")]
pub(crate) use propagator::Propagation;
#[cfg(feature = "trace")]
pub use propagator::Propagator;
#[cfg(feature = "trace")]
pub(crate) use scope::child_of;
#[cfg(feature = "trace")]
pub use scope::{Within, begin, current, enter, within};
