//! What is told of calls and connections to whoever has asked: counts, spans, metrics.
//!
//! A call that is served has a [`ServedCall`] from before anything may refuse it until its answer is
//! made, a call that is made a [`MadeCall`] from `go` until its outcome is known. Both end exactly once,
//! whatever happens: who drops one has abandoned its call.

mod made;
mod served;

pub(crate) use made::{ClientObserver, MadeCall};
pub(crate) use served::{ServedCall, ServerObserver};

/// A limit was met, the one of this name: a method of `ServerBuilder` or `ClientBuilder`.
pub(crate) fn limit(name: &'static str) {
    let _ = name;
}
