//! Where a value ends, in a stream that does not say so.

use thiserror::Error;

/// How deep a value may be nested for its end to be found. One that is nested deeper than
/// [`MAX_DEPTH`](super::super::MAX_DEPTH) cannot be decoded, which is an error of one call; one that is
/// deeper than this ends its connection.
pub const MAX_SCAN_DEPTH: usize = 10_000;

/// What a scanner made of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// How many bytes of the chunk belong to the value; all of them, unless it is complete.
    pub taken: usize,
    /// Whether the value is complete.
    pub done: bool,
}

/// The bytes are no value that could be read: the peer's fault, and the stream is lost.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanError {
    /// They cannot be the beginning of a value.
    #[error("malformed at byte {at}")]
    Malformed {
        /// How many bytes of the value came before.
        at: u64,
    },
    /// It is nested too deep.
    #[error("nested deeper than {MAX_SCAN_DEPTH} levels")]
    TooDeep,
}
