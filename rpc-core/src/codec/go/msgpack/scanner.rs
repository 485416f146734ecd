//! Where a MessagePack value ends.

use super::super::scan::{Fed, MAX_SCAN_DEPTH, ScanError};

/// Finds the end of a MessagePack value in bytes that arrive little by little, looking at each once
/// and at those in strings and bytes not at all.
///
/// Feed it consecutive chunks; whether they are kept until the value is complete or dropped because
/// there are too many of them is the driver's business. What the value claims about lengths
/// reserves nothing, and [`needed`](Scanner::needed) tells early what it will at least come to.
///
/// ```
/// use netrpc_core::codec::go::msgpack::Scanner;
///
/// let mut scanner = Scanner::new();
/// assert!(!scanner.feed(b"\x82\xa3Seq\x00\xadServ")?.done);
/// assert_eq!(scanner.needed(), 9 + 1, "the rest of the key, and a value");
/// let fed = scanner.feed(b"iceMethod\xa9Arith.Add\x82")?;
/// assert!(fed.done);
/// assert_eq!(fed.taken, 19, "the rest is another value's");
/// # Ok::<(), netrpc_core::codec::go::ScanError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    /// Bytes that belong to the value so far.
    taken: u64,
    /// A marker and the length behind it, as far as they are there.
    header: [u8; 5],
    header_len: usize,
    /// Bytes of a scalar, a string or an extension to come.
    skip: u64,
    /// How many values are left in each collection that is open, the one begun included.
    open: Vec<u64>,
    done: bool,
    failed: Option<ScanError>,
}

impl Scanner {
    /// Before a value.
    pub fn new() -> Self {
        Scanner::default()
    }

    /// Looks at the bytes that follow those of the last time.
    ///
    /// # Errors
    ///
    /// If the bytes are not MessagePack, or are nested too deep; then and from then on.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Fed, ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut at = 0;
        while at < chunk.len() && !self.done {
            if self.skip > 0 {
                let there = self.skip.min((chunk.len() - at) as u64);
                at += there as usize;
                self.skip -= there;
                if self.skip == 0 {
                    self.end_value();
                }
                continue;
            }
            self.header[self.header_len] = chunk[at];
            self.header_len += 1;
            at += 1;
            if self.header_len > length_bytes(self.header[0]) {
                self.begin_value().map_err(|error| {
                    let error =
                        error.unwrap_or(ScanError::Malformed { at: self.taken + at as u64 - 1 });
                    self.failed = Some(error);
                    error
                })?;
            }
        }
        self.taken += at as u64;
        Ok(Fed { taken: at, done: self.done })
    }

    /// The same for one growing buffer: where in it the value ends, once it does.
    ///
    /// # Errors
    ///
    /// As [`feed`](Scanner::feed).
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, ScanError> {
        let seen = usize::try_from(self.taken).unwrap_or(usize::MAX).min(buffer.len());
        let fed = self.feed(&buffer[seen..])?;
        Ok(fed.done.then_some(seen + fed.taken))
    }

    /// How many bytes of what it was fed belong to the value.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the value is complete.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// How many bytes it takes at the least to complete the value, by its own account.
    pub fn needed(&self) -> u64 {
        if self.done {
            return 0;
        }
        let current = match self.header_len {
            0 => self.skip.max(1),
            len => (1 + length_bytes(self.header[0]) - len) as u64,
        };
        // Each collection counts the value that is being read; that is in `current`.
        self.open.iter().map(|left| left - 1).sum::<u64>() + current
    }

    /// Acts on a whole header.
    ///
    /// # Errors
    ///
    /// `None` if it is malformed.
    #[inline]
    fn begin_value(&mut self) -> Result<(), Option<ScanError>> {
        let [marker, length @ ..] = &self.header[..self.header_len] else { return Err(None) };
        let length = length.iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
        let (skip, values) = match *marker {
            0x00..=0x7F | 0xC0 | 0xC2 | 0xC3 | 0xE0..=0xFF => (0, None),
            0x80..=0x8F => (0, Some(u64::from(marker & 0x0F) * 2)),
            0x90..=0x9F => (0, Some(u64::from(marker & 0x0F))),
            0xA0..=0xBF => (u64::from(marker & 0x1F), None),
            0xC1 => return Err(None),
            0xCC | 0xD0 => (1, None),
            0xCD | 0xD1 => (2, None),
            0xCA | 0xCE | 0xD2 => (4, None),
            0xCB | 0xCF | 0xD3 => (8, None),
            0xC4..=0xC6 | 0xD9..=0xDB => (length, None),
            // An extension has a type before its data.
            0xC7..=0xC9 => (1 + length, None),
            0xD4..=0xD8 => (1 + (1 << (marker - 0xD4)), None),
            0xDC | 0xDD => (0, Some(length)),
            0xDE | 0xDF => (0, Some(length * 2)),
        };
        self.header_len = 0;
        self.skip = skip;
        if values.is_some() && self.open.len() == MAX_SCAN_DEPTH {
            return Err(Some(ScanError::TooDeep));
        }
        match values {
            Some(values) if values > 0 => self.open.push(values),
            _ if skip == 0 => self.end_value(),
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn end_value(&mut self) {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        self.done = true;
    }
}

/// How many bytes of length are behind a marker.
#[inline]
fn length_bytes(marker: u8) -> usize {
    match marker {
        0xC4 | 0xC7 | 0xD9 => 1,
        0xC5 | 0xC8 | 0xDA | 0xDC | 0xDE => 2,
        0xC6 | 0xC9 | 0xDB | 0xDD | 0xDF => 4,
        _ => 0,
    }
}
