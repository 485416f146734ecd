//! The ids of traces and spans: bytes that are not all zero, written as lower-case hexadecimal.

use std::{fmt, num::NonZero};

/// Bytes of a trace's id.
const TRACE: usize = size_of::<u128>();

/// Bytes of a span's id.
const SPAN: usize = size_of::<u64>();

/// A trace's id: the same in every call that follows from one beginning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(NonZero<u128>);

impl TraceId {
    /// An id of these bytes; `None` if all are zero. Whoever begins a trace takes random ones.
    pub fn from_bytes(bytes: [u8; TRACE]) -> Option<Self> {
        NonZero::new(u128::from_be_bytes(bytes)).map(TraceId)
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; TRACE] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span's id within its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(NonZero<u64>);

impl SpanId {
    /// An id of these bytes; `None` if all are zero. Whoever opens a span takes random ones.
    pub fn from_bytes(bytes: [u8; SPAN]) -> Option<Self> {
        NonZero::new(u64::from_be_bytes(bytes)).map(SpanId)
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; SPAN] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
