//! The trace that a call is part of: W3C's *Trace Context*, and whatever else a program may use.
//!
//! With the feature `trace` each call has a [`tracing`] span on either side, and its place in a trace
//! travels in its metadata as [`traceparent` and `tracestate`](https://www.w3.org/TR/trace-context-1/).
//! Calls that a handler makes while it runs are children of the call it serves, by themselves: on the
//! spot, on the thread pool, and at every poll of an asynchronous one. What a handler spawns is elsewhere,
//! and takes the context along with [`within`]:
//!
//! ```
//! # use netrpc::{Client, Context, trace};
//! # async fn handler(client: Client) {
//! if let Some(context) = trace::current() {
//!     let later = async move { client.call::<_, ()>("Mailer.Send", &"late").await };
//!     tokio::spawn(trace::within(context, later));
//! }
//! # }
//! ```
//!
//! A call outside any trace begins one if a subscriber wants its span. Where none does, a trace that
//! has come in goes on as it came.
//!
//! # OpenTelemetry
//!
//! `tracing-opentelemetry` gives spans ids of its own, which ours know nothing of. A [`Propagator`] hands
//! its context on in place of ours.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pub use netrpc_core::trace::{
    SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, TraceParentError, TraceState,
    TraceStateError,
};
use rand::RngExt as _;

use crate::Metadata;

/// Carries a trace context of another kind than ours between the spans of this program and the
/// metadata of its calls.
///
/// Set one with `ServerBuilder::propagator` and `ClientBuilder::propagator`. Spans have no `trace_id`,
/// `span_id` and `parent_id` of ours then.
///
/// For `tracing-opentelemetry` it is
///
/// ```ignore
/// use netrpc::{Metadata, trace::Propagator};
/// use opentelemetry::{global, propagation::{Extractor, Injector}};
/// use tracing::Span;
/// use tracing_opentelemetry::OpenTelemetrySpanExt as _;
///
/// struct OpenTelemetry;
///
/// impl Propagator for OpenTelemetry {
///     fn extract(&self, metadata: &Metadata, span: &Span) {
///         let parent = global::get_text_map_propagator(|it| it.extract(&Entries(metadata)));
///         let _ = span.set_parent(parent);
///     }
///
///     fn inject(&self, span: &Span, metadata: &mut Metadata) {
///         let context = span.context();
///         global::get_text_map_propagator(|it| it.inject_context(&context, &mut Slots(metadata)));
///     }
/// }
///
/// struct Entries<'a>(&'a Metadata);
///
/// impl Extractor for Entries<'_> {
///     fn get(&self, key: &str) -> Option<&str> {
///         self.0.get(key)
///     }
///
///     fn keys(&self) -> Vec<&str> {
///         self.0.iter().map(|(key, _)| key).collect()
///     }
/// }
///
/// struct Slots<'a>(&'a mut Metadata);
///
/// impl Injector for Slots<'_> {
///     fn set(&mut self, key: &str, value: String) {
///         self.0.insert(key, value);
///     }
/// }
/// ```
pub trait Propagator: Send + Sync + 'static {
    /// A call has come with this metadata and is served in this span, which nobody has entered yet: its
    /// caller's is to be its parent.
    fn extract(&self, metadata: &Metadata, span: &tracing::Span);

    /// A call is about to be made in this span: its metadata is to say so.
    ///
    /// Metadata that is over its limits then is sent as it was.
    fn inject(&self, span: &tracing::Span, metadata: &mut Metadata);
}

/// The propagator of a server or a client, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Propagation(Option<Arc<dyn Propagator>>);

impl Propagation {
    pub(crate) fn by(propagator: impl Propagator) -> Self {
        Propagation(Some(Arc::new(propagator)))
    }

    pub(crate) fn get(&self) -> Option<&dyn Propagator> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Propagation(of its owner)" } else { "Propagation" })
    }
}

thread_local! {
    /// Where what runs on this thread stands, while it runs.
    static CURRENT: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// The context that calls made here and now are children of: that of the call whose handler runs, or
/// what [`within`] or [`enter`] were given.
pub fn current() -> Option<TraceContext> {
    let context = CURRENT.take();
    CURRENT.set(context.clone());
    context
}

/// Runs `f` so that calls made in it are children of `context`.
///
/// ```
/// use netrpc::trace;
///
/// let context = trace::begin();
/// trace::enter(context.clone(), || assert_eq!(trace::current(), Some(context)));
/// assert_eq!(trace::current(), None);
/// ```
pub fn enter<T>(context: TraceContext, f: impl FnOnce() -> T) -> T {
    /// Puts back what was there before, also after a panic.
    struct Restore(Option<TraceContext>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(context)));
    f()
}

/// The future of the same: calls made in it are children of `context`, wherever it is polled.
pub fn within<F: Future>(context: TraceContext, future: F) -> Within<F> {
    Within { context, future: Box::pin(future) }
}

/// The future of [`within`].
#[must_use = "futures do nothing unless polled"]
pub struct Within<F> {
    context: TraceContext,
    // Boxed: to project a pin takes `unsafe`, which is not had here.
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Within { context, future } = &mut *self;
        enter(context.clone(), || future.as_mut().poll(cx))
    }
}

impl<F> fmt::Debug for Within<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("context", &self.context).finish_non_exhaustive()
    }
}

/// A new trace, with random ids, that is recorded: for those who want several calls in one trace, and are
/// not in one.
pub fn begin() -> TraceContext {
    TraceContext::new(new_trace(), new_span(), true)
}

fn new_trace() -> TraceId {
    // Zeros only is no id, and will not happen.
    std::iter::repeat_with(|| TraceId::from_bytes(rand::rng().random()))
        .find_map(|id| id)
        .expect("it goes on for ever")
}

fn new_span() -> SpanId {
    std::iter::repeat_with(|| SpanId::from_bytes(rand::rng().random()))
        .find_map(|id| id)
        .expect("it goes on for ever")
}

/// A span that begins now, as a child of `parent` if there is one.
pub(crate) fn child_of(parent: Option<&TraceContext>) -> TraceContext {
    match parent {
        Some(parent) => parent.child(new_span()),
        None => begin(),
    }
}
