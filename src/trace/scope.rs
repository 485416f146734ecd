//! Where what runs on a thread stands.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use rand::RngExt as _;

use super::{SpanId, TraceContext, TraceId};

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

/// The future of the same: calls made in it are children of `context`, wherever it is polled. So what a
/// handler spawns takes its trace along:
///
/// ```
/// # use netrpc::{Client, Context, trace};
/// # async fn handler(client: Client) {
/// if let Some(context) = trace::current() {
///     let later = async move { client.call::<_, ()>("Mailer.Send", &"late").await };
///     tokio::spawn(trace::within(context, later));
/// }
/// # }
/// ```
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
