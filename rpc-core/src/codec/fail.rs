//! Why a value cannot be written or read.

use std::fmt;

use serde::{de, ser};

use super::{DecodeError, EncodeError};

/// What goes through serde as the error of every format here, both ways.
///
/// It is one word, because every part of a value is a result with it.
#[derive(Debug)]
pub(super) struct Fail(Box<Reason>);

/// What went wrong.
#[derive(Debug)]
pub(super) enum Reason {
    /// The bytes end before the value does.
    Truncated,
    /// The value ends before the bytes do.
    Trailing,
    /// It is nested too deep.
    TooDeep,
    /// A field was not sent, and its type has nothing to put there.
    Missing(Missing),
    /// Anything else, in words.
    Other(String),
}

/// A field that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) field: &'static str,
    /// The visitor that missed it, by the name of its type; `None` until the error has reached it.
    pub(super) of: Option<&'static str>,
}

impl Fail {
    /// In words of our own.
    #[cold]
    pub(super) fn new(text: impl fmt::Display) -> Self {
        Reason::Other(text.to_string()).into()
    }

    #[cold]
    pub(super) fn truncated() -> Self {
        Reason::Truncated.into()
    }

    #[cold]
    pub(super) fn trailing() -> Self {
        Reason::Trailing.into()
    }

    #[cold]
    pub(super) fn too_deep() -> Self {
        Reason::TooDeep.into()
    }

    /// The field that was not sent, if that is what went wrong.
    #[cfg(feature = "go")]
    pub(super) fn missing(&self) -> Option<Missing> {
        match *self.0 {
            Reason::Missing(missing) => Some(missing),
            _ => None,
        }
    }

    /// The same, from a visitor of this name, unless it came from another before.
    #[cfg(feature = "go")]
    #[cold]
    pub(super) fn missed_by(mut self, visitor: &'static str) -> Self {
        if let Reason::Missing(Missing { of, .. }) = &mut *self.0 {
            of.get_or_insert(visitor);
        }
        self
    }
}

impl From<Reason> for Fail {
    #[cold]
    fn from(reason: Reason) -> Self {
        Fail(Box::new(reason))
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::Truncated => f.write_str("it ends too early"),
            Reason::Trailing => f.write_str("it goes on after its end"),
            Reason::TooDeep => f.write_str("nested too deep"),
            Reason::Missing(missing) => write!(f, "missing field `{}`", missing.field),
            Reason::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Fail {}

impl ser::Error for Fail {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fail::new(text)
    }
}

impl de::Error for Fail {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fail::new(text)
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Reason::Missing(Missing { field, of: None }).into()
    }
}

impl From<Fail> for EncodeError {
    #[cold]
    fn from(fail: Fail) -> Self {
        match *fail.0 {
            Reason::TooDeep => EncodeError::TooDeep,
            _ => EncodeError::Value(fail.into()),
        }
    }
}

impl From<Fail> for DecodeError {
    #[cold]
    fn from(fail: Fail) -> Self {
        match *fail.0 {
            Reason::Truncated => DecodeError::Truncated,
            Reason::Trailing => DecodeError::Trailing,
            Reason::TooDeep => DecodeError::TooDeep,
            Reason::Missing(_) | Reason::Other(_) => DecodeError::Mismatch(fail.into()),
        }
    }
}
