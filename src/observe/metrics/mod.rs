//! What is counted, for the recorder of the `metrics` facade.
//!
//! Handles are made once and kept: those of a method when it is registered or first called, those of a
//! side when its first connection begins. Where there is no recorder yet there is nothing to keep, and it
//! is asked for again when the next service is registered or the next connection begins.

mod client;
mod link;
mod method;
mod names;
mod recorder;

use std::sync::Arc;

use metrics::{Label, SharedString, counter};
use netrpc_core::service::{Entry, Registry};

pub(super) use client::{ClientMetrics, Counting};
pub(super) use link::Link;
pub(super) use names::Side;

use super::OTHER;
use method::MethodMetrics;
use names::{AGAIN, LIMITS, REFUSED, SYSTEM};

/// Has a server's methods counted, as far as there is a recorder.
pub(super) fn observe(registry: &Registry) {
    registry.observe(|entry| {
        let metrics = MethodMetrics::new(Side::Server, entry.full_name().to_owned())?;
        Some(Box::new(metrics))
    });
}

/// A call has ended that has not begun. What a peer calls a method is not a label, unless it is one.
pub(super) fn refused(entry: Option<&Arc<Entry>>, kind: &'static str) {
    let method = match entry {
        Some(entry) => SharedString::from(entry.full_name().to_owned()),
        None => SharedString::const_str(OTHER),
    };
    let mut labels = vec![SYSTEM, Label::new("rpc.method", method)];
    let names = Side::Server.names();
    counter!(names.started, labels.iter()).increment(1);
    labels.push(Label::new("rpc.response.status_code", kind));
    counter!(names.finished, labels.iter()).increment(1);
}

/// A connection was sent away.
pub(super) fn refused_connection(kind: &'static str) {
    counter!(REFUSED, "reason" => kind).increment(1);
}

/// A limit was met.
pub(super) fn limit(name: &'static str) {
    counter!(LIMITS, "limit" => name).increment(1);
}

/// A client has sent something again.
pub(super) fn datagram_again() {
    counter!(AGAIN).increment(1);
}
