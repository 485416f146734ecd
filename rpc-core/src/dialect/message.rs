//! What arrives in a foreign language, in our terms.

use bytes::Bytes;

use crate::{fault::Fault, wire::Frame};

/// A request.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Our number of the call.
    pub seq: u64,
    /// The method's full name as the caller wrote it.
    pub method: &'a str,
    /// Its arguments.
    pub body: ArrivedBody,
    /// Bytes that are kept besides them until the call is answered.
    pub kept: usize,
}

/// A request's arguments, if they are there.
#[derive(Debug)]
pub enum ArrivedBody {
    /// A request frame with an empty head.
    Whole(Frame),
    /// They had so many bytes, more than the limit, and were discarded.
    Oversized(usize),
    /// They are none: if there is such a method, this is its answer.
    Broken(Fault),
}

/// The answer to a call.
#[derive(Debug)]
pub struct Answered {
    /// Our number of the call.
    pub seq: u64,
    /// What it is.
    pub answer: ForeignAnswer,
}

/// What a server answered.
#[derive(Debug)]
pub enum ForeignAnswer {
    /// A reply, in the dialect's [`format`](super::ClientDialect::format).
    Reply(Bytes),
    /// An error.
    Fault(Fault),
    /// A reply of so many bytes, more than the limit; it was discarded.
    Oversized(usize),
}
