//! Where a JSON value ends.

use super::super::scan::{Fed, MAX_SCAN_DEPTH, ScanError};
use super::text;

/// Finds the end of a JSON value in bytes that arrive little by little, looking at each once.
///
/// Feed it consecutive chunks; whether they are kept until the value is complete or dropped because
/// there are too many of them is the driver's business. White space before the value belongs to it.
///
/// What it accepts is JSON but for the inside of its strings and numbers, which reading the value
/// will check: brackets, commas and colons are where they have to be.
///
/// ```
/// use netrpc_core::codec::go::json::Scanner;
///
/// let mut scanner = Scanner::new();
/// assert!(!scanner.feed(br#" {"method":"Arith."#)?.done);
/// let fed = scanner.feed(b"Add\"}\n{")?;
/// assert!(fed.done);
/// assert_eq!(fed.taken, 5, "the rest is another value's");
/// assert_eq!(scanner.taken(), 18 + 5);
/// # Ok::<(), netrpc_core::codec::go::ScanError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scanner {
    state: State,
    /// Bytes that belong to the value so far.
    taken: u64,
    /// The collections that are open, the innermost last.
    open: Vec<Collection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collection {
    Array,
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value.
    Value,
    /// Before a value, or the end of an array that has none.
    FirstElement,
    /// Before a key.
    Key,
    /// Before a key, or the end of an object that has none.
    FirstKey,
    /// Before the colon behind a key.
    Colon,
    /// Behind a value that is not the outermost.
    Behind,
    /// In a string.
    String {
        is_key: bool,
    },
    /// In a string, behind a backslash.
    Escape {
        is_key: bool,
    },
    /// In a number, which ends where something else begins.
    Number,
    /// In `true`, `false` or `null`, with these bytes to come.
    Literal(&'static [u8]),
    /// Behind the outermost value.
    Done,
    Failed(ScanError),
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner::new()
    }
}

impl Scanner {
    /// Before a value.
    pub fn new() -> Self {
        Scanner { state: State::Value, taken: 0, open: Vec::new() }
    }

    /// Looks at the bytes that follow those of the last time.
    ///
    /// A number that is no part of anything ends only with the byte behind it; see
    /// [`is_whole`](Scanner::is_whole) for where the stream ends.
    ///
    /// # Errors
    ///
    /// If the bytes are not JSON, or are nested too deep; then and from then on.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Fed, ScanError> {
        let mut at = 0;
        while at < chunk.len() && self.state != State::Done {
            if let State::String { is_key } = self.state {
                // Most bytes are in strings, and nothing is to be done about most of them.
                let Some(special) = text::special(&chunk[at..]) else {
                    at = chunk.len();
                    break;
                };
                at += special + 1;
                match chunk[at - 1] {
                    b'"' if is_key => self.state = State::Colon,
                    b'"' => self.end_value(),
                    b'\\' => self.state = State::Escape { is_key },
                    _ => return Err(self.malformed(at - 1)),
                }
                continue;
            }
            if self.state == State::Number {
                let is_behind =
                    |byte: &u8| !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let Some(behind) = chunk[at..].iter().position(is_behind) else {
                    at = chunk.len();
                    break;
                };
                at += behind;
                self.end_value();
                continue;
            }
            self.step(chunk[at], at)?;
            at += 1;
        }
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        self.taken += at as u64;
        Ok(Fed { taken: at, done: self.is_done() })
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
        self.state == State::Done
    }

    /// Whether the value is complete if nothing follows: it is, or it is a number.
    pub fn is_whole(&self) -> bool {
        self.is_done() || (self.open.is_empty() && self.state == State::Number)
    }

    #[cold]
    fn fail(&mut self, error: ScanError) -> ScanError {
        self.state = State::Failed(error);
        error
    }

    #[cold]
    fn malformed(&mut self, at: usize) -> ScanError {
        self.fail(ScanError::Malformed { at: self.taken + at as u64 })
    }

    /// Looks at a byte that is not plain text in a string, nor behind the first of a number.
    #[inline]
    fn step(&mut self, byte: u8, at: usize) -> Result<(), ScanError> {
        match (self.state, byte) {
            (State::Literal([next]), _) if byte == *next => self.end_value(),
            (State::Literal([next, rest @ ..]), _) if byte == *next => {
                self.state = State::Literal(rest);
            }
            (
                State::Escape { is_key },
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u',
            ) => {
                self.state = State::String { is_key };
            }
            (State::Literal(_) | State::Escape { .. }, _) => return Err(self.malformed(at)),
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (State::Value | State::FirstElement, b'{') => self.enter(State::FirstKey)?,
            (State::Value | State::FirstElement, b'[') => self.enter(State::FirstElement)?,
            (State::Value | State::FirstElement, b'"') => {
                self.state = State::String { is_key: false };
            }
            (State::Value | State::FirstElement, b'-' | b'0'..=b'9') => self.state = State::Number,
            (State::Value | State::FirstElement, b't') => self.state = State::Literal(b"rue"),
            (State::Value | State::FirstElement, b'f') => self.state = State::Literal(b"alse"),
            (State::Value | State::FirstElement, b'n') => self.state = State::Literal(b"ull"),
            (State::FirstElement, b']') => self.leave(),
            (State::Key | State::FirstKey, b'"') => self.state = State::String { is_key: true },
            (State::FirstKey, b'}') => self.leave(),
            (State::Colon, b':') => self.state = State::Value,
            (State::Behind, b',') if self.in_object() => self.state = State::Key,
            (State::Behind, b',') => self.state = State::Value,
            (State::Behind, b'}') if self.in_object() => self.leave(),
            (State::Behind, b']') if !self.in_object() => self.leave(),
            (State::Failed(error), _) => return Err(error),
            _ => return Err(self.malformed(at)),
        }
        Ok(())
    }

    fn in_object(&self) -> bool {
        self.open.last() == Some(&Collection::Object)
    }

    fn enter(&mut self, first: State) -> Result<(), ScanError> {
        if self.open.len() == MAX_SCAN_DEPTH {
            return Err(self.fail(ScanError::TooDeep));
        }
        let is_object = first == State::FirstKey;
        self.open.push(if is_object { Collection::Object } else { Collection::Array });
        self.state = first;
        Ok(())
    }

    fn leave(&mut self) {
        self.open.pop();
        self.end_value();
    }

    fn end_value(&mut self) {
        self.state = if self.open.is_empty() { State::Done } else { State::Behind };
    }
}
