//! Why a value cannot be written or read.

use std::fmt;

use serde::{de, ser};

use super::super::{DecodeError, EncodeError};

/// What goes through serde as the error of both formats, both ways.
#[derive(Debug)]
pub(super) enum Fail {
    /// The bytes end before the value does.
    Truncated,
    /// The value ends before the bytes do.
    Trailing,
    /// It is nested too deep.
    TooDeep,
    /// A field was not sent, and its type has nothing to put there.
    Missing(Missing),
    /// Anything else, in words.
    Other(Box<str>),
}

/// A field that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) field: &'static str,
    /// The visitor that missed it, by the name of its type; `None` until the error has reached it.
    pub(super) of: Option<&'static str>,
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fail::Truncated => f.write_str("it ends too early"),
            Fail::Trailing => f.write_str("it goes on after its end"),
            Fail::TooDeep => f.write_str("nested too deep"),
            Fail::Missing(missing) => write!(f, "missing field `{}`", missing.field),
            Fail::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Fail {}

impl ser::Error for Fail {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fail::Other(text.to_string().into())
    }
}

impl de::Error for Fail {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fail::Other(text.to_string().into())
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Fail::Missing(Missing { field, of: None })
    }
}

impl Fail {
    #[cold]
    pub(super) fn new(text: impl fmt::Display) -> Self {
        Fail::Other(text.to_string().into())
    }
}

impl From<Fail> for EncodeError {
    #[cold]
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::TooDeep => EncodeError::TooDeep,
            fail => EncodeError::Value(fail.into()),
        }
    }
}

impl From<Fail> for DecodeError {
    #[cold]
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Truncated => DecodeError::Truncated,
            Fail::Trailing => DecodeError::Trailing,
            Fail::TooDeep => DecodeError::TooDeep,
            fail @ (Fail::Missing(_) | Fail::Other(_)) => DecodeError::Mismatch(fail.into()),
        }
    }
}
