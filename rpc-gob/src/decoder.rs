//! The receiving side of a stream: bytes that arrive become messages.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use serde::Deserialize;

use crate::{
    error::{DecodeError, StreamError},
    types::{Type, Types},
    walk::{self, Stop, Walk},
    wire::{self, Reader},
};

/// What a stream may ask of its reader.
///
/// Nothing is allocated because of a length that is only claimed; these limit what arrives.
///
/// ```
/// use netrpc_gob::Limits;
///
/// let limits = Limits::new().message(1 << 20);
/// assert_eq!((limits.message, limits.types), (1 << 20, 10_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that a value's message may have; a longer one is passed over.
    ///
    /// A value takes up more memory than its message, because zero fields are left out of that.
    pub message: u64,
    /// The most types that the stream may define.
    pub types: usize,
    /// The most bytes that all definitions may have together.
    pub definitions: u64,
}

impl Limits {
    /// 16 MiB a message, 10,000 types, 1 MiB of definitions.
    ///
    /// ```
    /// assert_eq!(netrpc_gob::Limits::new().definitions, 1 << 20);
    /// ```
    pub fn new() -> Self {
        Limits { message: 16 << 20, types: 10_000, definitions: 1 << 20 }
    }

    /// Sets the most bytes that a value's message may have.
    ///
    /// ```
    /// assert_eq!(netrpc_gob::Limits::new().message(1024).message, 1024);
    /// ```
    #[must_use]
    pub fn message(self, bytes: u64) -> Self {
        Limits { message: bytes, ..self }
    }

    /// Sets the most types that the stream may define.
    ///
    /// ```
    /// assert_eq!(netrpc_gob::Limits::new().types(100).types, 100);
    /// ```
    #[must_use]
    pub fn types(self, types: usize) -> Self {
        Limits { types, ..self }
    }

    /// Sets the most bytes that all definitions may have together.
    ///
    /// ```
    /// assert_eq!(netrpc_gob::Limits::new().definitions(4096).definitions, 4096);
    /// ```
    #[must_use]
    pub fn definitions(self, bytes: u64) -> Self {
        Limits { definitions: bytes, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}

/// What a stream brought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A value.
    Value {
        /// The id of its type on this stream, which means nothing elsewhere.
        type_id: i32,
        /// Its type's id and itself, for [`Types::decode`].
        bytes: Bytes,
    },
    /// A value that is longer than [`Limits::message`]; its bytes are dropped as they arrive.
    Oversized {
        /// How many bytes its message claims to have.
        length: u64,
    },
}

/// Reads the messages of one stream.
///
/// It does no I/O: put what arrives into a buffer and ask for the [`next`](Decoder::next) message.
/// Definitions of types are not messages to it; it keeps them in [`types`](Decoder::types), with
/// which values are decoded, here or elsewhere.
///
/// ```
/// use netrpc_gob::{Decoder, Limits, Message};
///
/// let mut decoder = Decoder::new(Limits::new());
/// let mut buf = bytes::BytesMut::new();
/// let mut values = Vec::new();
/// for arrived in [b"\x05\x0C".as_slice(), b"\x00\x02h", b"i\x03\x02\x00\x01"] {
///     buf.extend_from_slice(arrived);
///     while let Some(message) = decoder.next(&mut buf)? {
///         let Message::Value { bytes, .. } = message else { continue };
///         values.push(bytes);
///     }
/// }
/// assert_eq!(decoder.types().decode::<&str>(&values[0])?, "hi");
/// assert_eq!(decoder.types().decode::<bool>(&values[1])?, true);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    types: Arc<Types>,
    limits: Limits,
    /// Bytes of definitions so far.
    definitions: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A message begins.
    Ready,
    /// So many bytes of a message are of no interest.
    Passing(u64),
    /// A value goes on in the next message, which begins at `end`.
    Spanning(Span),
    Failed(StreamError),
}

#[derive(Debug)]
struct Span {
    walk: Walk,
    type_id: i32,
    /// Where the value begins, and where its messages end so far.
    start: usize,
    end: usize,
}

/// What the beginning of some bytes is.
enum Frame {
    /// Not enough to know.
    Incomplete,
    /// So many bytes are done with.
    Done(usize),
    /// A value between the two.
    Value { type_id: i32, start: usize, end: usize },
    /// A message that begins there and is longer than it may be.
    Oversized { start: usize, length: u64 },
}

impl Decoder {
    /// A decoder for a new stream.
    ///
    /// ```
    /// let decoder = netrpc_gob::Decoder::new(netrpc_gob::Limits::new());
    /// assert!(decoder.types().is_empty());
    /// ```
    pub fn new(limits: Limits) -> Self {
        Decoder { types: Arc::default(), limits, definitions: 0, state: State::Ready }
    }

    /// The types that the stream has defined so far.
    ///
    /// ```
    /// use netrpc_gob::{Decoder, Limits};
    ///
    /// let decoder = Decoder::new(Limits::new());
    /// assert_eq!(decoder.types().decode::<u8>(&[6, 0, 7])?, 7);
    /// # Ok::<(), netrpc_gob::DecodeError>(())
    /// ```
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// Takes the next message from the beginning of `buf`, if it is there.
    ///
    /// `None` means that more bytes must arrive; those that are there stay, unless they are of a
    /// message that is passed over. A value's bytes are cut from `buf`, not copied.
    ///
    /// ```
    /// use netrpc_gob::{Decoder, Limits, Message};
    ///
    /// let mut decoder = Decoder::new(Limits::new());
    /// // Eight gigabytes, of bytes.
    /// let mut buf = bytes::BytesMut::from(b"\xFB\x02\x00\x00\x00\x00\x0A".as_slice());
    /// assert_eq!(decoder.next(&mut buf)?, Some(Message::Oversized { length: 8 << 30 }));
    /// assert_eq!(decoder.next(&mut buf)?, None);
    /// assert!(buf.is_empty());
    /// # Ok::<(), netrpc_gob::StreamError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is no gob stream, or one that defines more types than it may; then it is so for
    /// ever, because what follows cannot be understood. That a value is wrong is found when it is
    /// decoded, and does not concern the stream.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Message>, StreamError> {
        loop {
            match self.frame(buf)? {
                Frame::Incomplete => return Ok(None),
                Frame::Done(len) => buf.advance(len),
                Frame::Value { type_id, start, end } => {
                    buf.advance(start);
                    let bytes = buf.split_to(end - start).freeze();
                    return Ok(Some(Message::Value { type_id, bytes }));
                }
                Frame::Oversized { start, length } => {
                    buf.advance(start);
                    return Ok(Some(Message::Oversized { length }));
                }
            }
        }
    }

    /// Reads a value from the beginning of `input`, which afterwards begins behind it.
    ///
    /// Strings and bytes are borrowed where `T` can.
    ///
    /// ```
    /// use netrpc_gob::{Decoder, Encoder, Limits};
    ///
    /// let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    /// encoder.encode(&("a", 1), &mut stream)?;
    /// encoder.encode(&("b", 2), &mut stream)?;
    ///
    /// let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    /// assert_eq!(decoder.decode::<(&str, i64)>(&mut input)?, ("a", 1));
    /// assert_eq!(decoder.decode::<(&str, i64)>(&mut input)?, ("b", 2));
    /// assert!(input.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the value is not a `T`, or is longer than it may be: `input` then begins behind it, and
    /// the next can be read. If `input` is empty or ends before the value does: it can be read
    /// again when there is more. If the stream is broken.
    pub fn decode<'de, T: Deserialize<'de>>(
        &mut self,
        input: &mut &'de [u8],
    ) -> Result<T, DecodeError> {
        let mut was_empty = input.is_empty();
        loop {
            match self.frame(input).map_err(DecodeError::Stream)? {
                Frame::Incomplete if was_empty => return Err(DecodeError::Empty),
                Frame::Incomplete => return Err(DecodeError::Truncated),
                Frame::Done(len) => *input = &input[len..],
                Frame::Value { start, end, .. } => {
                    let value = &input[start..end];
                    *input = &input[end..];
                    return self.types.decode(value);
                }
                Frame::Oversized { start, length } => {
                    *input = &input[start..];
                    return Err(DecodeError::TooLong(length));
                }
            }
            // Definitions alone are no value.
            was_empty = false;
        }
    }

    /// Looks at the beginning of `buf`.
    fn frame(&mut self, buf: &[u8]) -> Result<Frame, StreamError> {
        let frame = match &mut self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Ready => self.begin(buf),
            State::Passing(left) => {
                let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                *left -= passed as u64;
                if *left == 0 {
                    self.state = State::Ready;
                }
                return Ok(if passed == 0 { Frame::Incomplete } else { Frame::Done(passed) });
            }
            State::Spanning(_) => self.go_on(buf),
        };
        if let Err(error) = &frame {
            self.state = State::Failed(error.clone());
        }
        frame
    }

    /// A message begins.
    fn begin(&mut self, buf: &[u8]) -> Result<Frame, StreamError> {
        let mut reader = Reader::new(buf);
        let Some(length) = read(&mut reader, Reader::uint)? else { return Ok(Frame::Incomplete) };
        let start = buf.len() - reader.rest.len();
        if let Some(message) = usize::try_from(length).ok().and_then(|end| reader.rest.get(..end)) {
            reader.rest = message;
        }
        let is_whole = reader.rest.len() as u64 == length;
        let type_id = match read(&mut reader, Reader::id)? {
            Some(type_id) => type_id,
            None if is_whole => {
                return Err(StreamError::Malformed("a message without a type"));
            }
            None => return Ok(Frame::Incomplete),
        };
        if type_id < 0 {
            return self.define(-type_id, length, is_whole, start, reader);
        }
        if length > self.limits.message {
            self.state = State::Passing(length);
            return Ok(Frame::Oversized { start, length });
        }
        if !is_whole {
            return Ok(Frame::Incomplete);
        }
        let end = start + length as usize;
        let may_define = self.types.has_interface || type_id == wire::INTERFACE;
        if may_define && walk::skip_single(&self.types, type_id, &mut reader).is_ok() {
            let span = Span { walk: Walk::new(type_id), type_id, start, end };
            return self.walk(span, reader);
        }
        Ok(Frame::Value { type_id, start, end })
    }

    /// A message that is a definition.
    fn define(
        &mut self,
        id: i32,
        length: u64,
        is_whole: bool,
        start: usize,
        mut reader: Reader<'_>,
    ) -> Result<Frame, StreamError> {
        self.check_definitions(length)?;
        if !is_whole {
            return Ok(Frame::Incomplete);
        }
        let definition = read_definition(&mut reader)?;
        self.add(id, definition, length)?;
        Ok(Frame::Done(start + length as usize))
    }

    fn check_definitions(&self, length: u64) -> Result<(), StreamError> {
        let definitions = self.definitions.saturating_add(length);
        if definitions > self.limits.definitions || self.types.len() >= self.limits.types {
            return Err(StreamError::TooManyTypes);
        }
        Ok(())
    }

    fn add(&mut self, id: i32, definition: Type, length: u64) -> Result<(), StreamError> {
        self.check_definitions(length)?;
        self.definitions += length;
        Arc::make_mut(&mut self.types).define(id, definition)
    }

    /// A value goes on in another message.
    fn go_on(&mut self, buf: &[u8]) -> Result<Frame, StreamError> {
        let State::Spanning(span) = &mut self.state else { return Ok(Frame::Incomplete) };
        let Some(more) = buf.get(span.end..) else { return Ok(Frame::Incomplete) };
        let mut reader = Reader::new(more);
        let Some(length) = read(&mut reader, Reader::uint)? else { return Ok(Frame::Incomplete) };
        let total = (span.end - span.start) as u64;
        if total.saturating_add(length) > self.limits.message {
            return Err(StreamError::TooLong);
        }
        let length = length as usize;
        if reader.rest.len() < length {
            return Ok(Frame::Incomplete);
        }
        let whole = more.len() - reader.rest.len() + length;
        let State::Spanning(mut span) = std::mem::replace(&mut self.state, State::Ready) else {
            return Ok(Frame::Incomplete);
        };
        span.end += whole;
        self.walk(span, Reader::new(&more[..whole]))
    }

    /// Takes the definitions out of a value; the message that `reader` is at may not be its last.
    fn walk(&mut self, mut span: Span, mut reader: Reader<'_>) -> Result<Frame, StreamError> {
        loop {
            let before = reader.rest.len();
            match span.walk.go_on(&self.types, &mut reader) {
                Ok(Stop::Definition(id, definition)) => {
                    let length = before - reader.rest.len();
                    self.add(id, definition, length as u64)?;
                }
                Ok(Stop::MoreMessages) => {
                    self.state = State::Spanning(span);
                    return Ok(Frame::Done(0));
                }
                // That a value is wrong is found again when it is decoded.
                Ok(Stop::End) | Err(_) => {
                    let Span { type_id, start, end, .. } = span;
                    return Ok(Frame::Value { type_id, start, end });
                }
            }
        }
    }
}

/// What can be read of an integer that may not have arrived yet.
fn read<'de, T>(
    reader: &mut Reader<'de>,
    read: impl FnOnce(&mut Reader<'de>) -> Result<T, DecodeError>,
) -> Result<Option<T>, StreamError> {
    match read(reader) {
        Ok(value) => Ok(Some(value)),
        Err(DecodeError::Malformed(what)) => Err(StreamError::Malformed(what)),
        Err(_) => Ok(None),
    }
}

fn read_definition(reader: &mut Reader<'_>) -> Result<Type, StreamError> {
    match Type::read(reader) {
        Ok(definition) if reader.rest.is_empty() => Ok(definition),
        Ok(_) => Err(StreamError::Malformed("a definition that its message goes on after")),
        Err(DecodeError::Malformed(what)) => Err(StreamError::Malformed(what)),
        Err(_) => Err(StreamError::Malformed("a definition that is cut off")),
    }
}
