//! Cutting values out of a stream that does not say how long they are.

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::go::{Fed, ScanError, json, msgpack};

/// Finds where a value ends.
pub(super) trait Scan: Default {
    fn feed(&mut self, chunk: &[u8]) -> Result<Fed, ScanError>;
}

impl Scan for json::Scanner {
    fn feed(&mut self, chunk: &[u8]) -> Result<Fed, ScanError> {
        self.feed(chunk)
    }
}

impl Scan for msgpack::Scanner {
    fn feed(&mut self, chunk: &[u8]) -> Result<Fed, ScanError> {
        self.feed(chunk)
    }
}

/// Cuts values out of a stream, reading every byte once, however they arrive.
#[derive(Debug)]
pub(super) struct Cutter<S> {
    scanner: S,
    /// Bytes at the front of the input that the scanner has seen.
    seen: usize,
    /// Bytes of the value that were discarded: it is over the limit.
    discarded: usize,
    max: usize,
}

/// A value that was cut out.
#[derive(Debug)]
pub(super) enum Cut {
    Whole(Bytes),
    /// It had so many bytes, and they were discarded.
    Oversized(usize),
}

impl<S: Scan> Cutter<S> {
    /// For values of up to `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Cutter { scanner: S::default(), seen: 0, discarded: 0, max }
    }

    /// Takes the next value off the front of `input`, or `None` until more has arrived.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Cut>, ScanError> {
        let Fed { taken, done } = self.scanner.feed(&input[self.seen..])?;
        self.seen += taken;
        if self.discarded > 0 || self.seen > self.max {
            input.advance(self.seen);
            self.discarded += std::mem::take(&mut self.seen);
        }
        if !done {
            return Ok(None);
        }
        self.scanner = S::default();
        let (seen, discarded) = (self.seen, self.discarded);
        (self.seen, self.discarded) = (0, 0);
        if discarded > 0 {
            return Ok(Some(Cut::Oversized(discarded)));
        }
        Ok(Some(Cut::Whole(input.split_to(seen).freeze())))
    }

    /// Whether a value has begun that has not ended.
    pub(super) fn is_mid_value(&self) -> bool {
        self.seen + self.discarded > 0
    }

    /// The limit of the next value.
    pub(super) fn limit(&mut self, max: usize) {
        self.max = max;
    }
}
