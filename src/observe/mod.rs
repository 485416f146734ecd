//! What is told of calls and connections to whoever has asked: counts, spans, metrics.
//!
//! A call that is served has a [`ServedCall`] from before anything may refuse it until its answer is
//! made, a call that is made a [`MadeCall`] from `go` until its outcome is known, and a connection on
//! either side an [`ObservedConnection`]. Each ends exactly once, whatever happens: who drops a call has
//! abandoned it.
//!
//! This module is all that the rest knows of; without the features there is nothing behind it but
//! the counts of the debug page.

mod connection;
mod here;
mod made;
#[cfg(feature = "metrics")]
mod metrics;
mod served;
#[cfg(feature = "trace")]
mod span;

pub(crate) use connection::{ObservedConnection, refused_connection};
pub(crate) use here::Here;
pub(crate) use made::{ClientObserver, MadeCall};
pub(crate) use served::{Arrival, ServedCall, ServerObserver};

/// A limit was met, the one of this name: a method of `ServerBuilder` or `ClientBuilder`.
pub(crate) fn limit(name: &'static str) {
    let _ = name;
    #[cfg(feature = "metrics")]
    metrics::limit(name);
}

/// A client has sent something again, because its answer is late and datagrams get lost.
pub(crate) fn datagram_again() {
    #[cfg(feature = "metrics")]
    metrics::datagram_again();
}

/// The name of a method that there is not. What peers call methods is no label.
#[cfg(any(feature = "trace", feature = "metrics"))]
const OTHER: &str = "_OTHER";

/// The outcomes that are no errors' [`kind`](crate::Error::kind): the reply came,
#[cfg(any(feature = "trace", feature = "metrics"))]
const OK: &str = "ok";

/// nobody is there to answer a call that is served,
#[cfg(any(feature = "trace", feature = "metrics"))]
const ABANDONED: &str = "abandoned";

/// the handle of a call was dropped,
#[cfg(any(feature = "trace", feature = "metrics"))]
const DROPPED: &str = "dropped";

/// or detached, and what comes of it will not be known here.
#[cfg(any(feature = "trace", feature = "metrics"))]
const DETACHED: &str = "detached";
