//! What can go wrong with a value, and with a stream.

use std::{borrow::Cow, fmt};

use serde::{de, ser};
use thiserror::Error;

use crate::wire::MAX_DEPTH;

/// The cause of an error, in words.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) Cow<'static, str>);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Text {}

/// A value cannot be encoded.
///
/// ```
/// use netrpc_gob::{EncodeError, to_vec};
///
/// assert!(matches!(to_vec(&[Some(1), None]), Err(EncodeError::Nil)));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It has a `None` where gob has no way to leave a value out.
    #[error(
        "gob has no nil: `None` can be left out of a struct, but not out of a sequence, a map or \
         a variant, nor be a value of its own (hint: wrap it in a struct with one field)"
    )]
    Nil,
    /// The elements of a sequence, array or map are not of one type.
    #[error("gob has one type for all elements: {0}")]
    Mixed(String),
    /// A number has more than 64 bits.
    #[error("gob has no integers of more than 64 bits, and {0} needs them")]
    TooWide(String),
    /// The value has, or the stream would have, more types than anything sane.
    #[error("more than {0} types")]
    TooManyTypes(usize),
    /// What was given as a detached value is none.
    #[error("not a detached value")]
    NotDetached,
    /// Its `Serialize` failed, or gave another number of elements than it had announced.
    #[error("the value cannot be encoded")]
    Value(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An [`EncodeError`] on its way through serde, in one word.
#[derive(Debug)]
pub(crate) struct Unencodable(pub(crate) Box<EncodeError>);

impl From<EncodeError> for Unencodable {
    #[cold]
    fn from(error: EncodeError) -> Self {
        Unencodable(Box::new(error))
    }
}

impl fmt::Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unencodable {}

impl ser::Error for Unencodable {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        EncodeError::Value(Box::new(Text(text.to_string().into()))).into()
    }
}

/// Bytes are not the value that was asked for.
///
/// ```
/// use netrpc_gob::{DecodeError, from_slice, to_vec};
///
/// let error = from_slice::<u8>(&to_vec(&300)?).unwrap_err();
/// let DecodeError::Mismatch(cause) = error else { panic!("{error}") };
/// assert_eq!(cause.to_string(), "300 does not fit u8");
/// # Ok::<(), netrpc_gob::EncodeError>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes at all.
    #[error("there are no bytes where a value was expected")]
    Empty,
    /// The bytes end before the value does, or before an element that it claims to have.
    #[error("the value is cut off")]
    Truncated,
    /// The value ends before the bytes do.
    #[error("the bytes go on after their value")]
    Trailing,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It is longer than [`Limits::message`](crate::Limits::message) allows.
    #[error("the value takes {0} bytes, more than are allowed")]
    TooLong(u64),
    /// It has a type that the stream has not defined.
    #[error("the stream has not defined type {0}")]
    UnknownType(i32),
    /// No Go program sends this.
    #[error("not gob: {0}")]
    Malformed(&'static str),
    /// It is a value, but not of the type asked for.
    #[error("the value does not have the form that was expected")]
    Mismatch(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream it came on is broken.
    #[error("the stream is broken")]
    Stream(#[source] StreamError),
}

/// A [`DecodeError`] on its way through serde.
#[derive(Debug)]
pub(crate) enum Undecodable {
    /// A field that the sender does not know; the value may be read again with it zero.
    Missing(&'static str),
    Error(Box<DecodeError>),
    /// The type is another one than was asked for, and where: fields, the innermost first.
    Mismatch(Box<Mismatch>),
}

#[derive(Debug)]
pub(crate) struct Mismatch {
    path: String,
    text: String,
}

impl Undecodable {
    #[cold]
    pub(crate) fn mismatch(text: impl Into<String>) -> Self {
        Undecodable::Mismatch(Box::new(Mismatch { path: String::new(), text: text.into() }))
    }

    /// Says in which field it happened.
    #[cold]
    pub(crate) fn within(mut self, field: &str) -> Self {
        if let Undecodable::Mismatch(mismatch) = &mut self {
            let dot = if mismatch.path.is_empty() { "" } else { "." };
            mismatch.path.insert_str(0, dot);
            mismatch.path.insert_str(0, field);
        }
        self
    }
}

impl From<DecodeError> for Undecodable {
    #[cold]
    fn from(error: DecodeError) -> Self {
        Undecodable::Error(Box::new(error))
    }
}

impl From<Undecodable> for DecodeError {
    #[cold]
    fn from(error: Undecodable) -> Self {
        let text = match error {
            Undecodable::Error(error) => return *error,
            Undecodable::Missing(field) => format!("missing field `{field}`"),
            Undecodable::Mismatch(mismatch) if mismatch.path.is_empty() => mismatch.text,
            Undecodable::Mismatch(mismatch) => format!("{}: {}", mismatch.path, mismatch.text),
        };
        DecodeError::Mismatch(Box::new(Text(text.into())))
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undecodable::Missing(field) => write!(f, "missing field `{field}`"),
            Undecodable::Error(error) => error.fmt(f),
            Undecodable::Mismatch(mismatch) => f.write_str(&mismatch.text),
        }
    }
}

impl std::error::Error for Undecodable {}

impl de::Error for Undecodable {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Undecodable::mismatch(text.to_string())
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Undecodable::Missing(field)
    }
}

/// A stream of messages cannot be read any further.
///
/// Values that are merely wrong are no such error; see [`DecodeError`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// No Go program sends this.
    #[error("not a gob stream: {0}")]
    Malformed(&'static str),
    /// A type was defined twice.
    #[error("the stream defines type {0} twice")]
    DefinedTwice(i32),
    /// There are more definitions, or longer ones, than [`Limits`](crate::Limits) allow.
    #[error("the stream defines more types than are allowed")]
    TooManyTypes,
    /// A value that goes on through several messages is longer than
    /// [`Limits::message`](crate::Limits::message) allows.
    #[error("a value in several messages is longer than is allowed")]
    TooLong,
}
