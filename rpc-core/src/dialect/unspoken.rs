//! What stands for the dialects where the crate was built without them: types without values.

use bytes::BytesMut;

use super::{Answered, Arrived, DialectError, Language};
use crate::codec::Format;

/// A served connection in a foreign language; there is none without the feature `go`.
#[derive(Debug)]
pub enum ServerDialect {}

impl ServerDialect {
    /// `None`: it would need the feature `go`.
    pub fn new(_: Language, _max_frame: u32) -> Option<Self> {
        None
    }

    /// See the feature `go`.
    ///
    /// # Errors
    /// None.
    pub fn next(&mut self, _: &mut BytesMut) -> Result<Option<Arrived<'_>>, DialectError> {
        match *self {}
    }

    /// See the feature `go`.
    pub fn is_mid_request(&self, _: &[u8]) -> bool {
        match *self {}
    }

    /// See the feature `go`.
    pub fn format(&self) -> Format {
        match *self {}
    }

    /// See the feature `go`.
    pub fn translate(&mut self, _: &[u8], _: &mut Vec<u8>) {
        match *self {}
    }

    /// See the feature `go`.
    pub fn complain(&self, _: &str, _: &mut Vec<u8>) {
        match *self {}
    }
}

/// A client's connection in a foreign language; there is none without the feature `go`.
#[derive(Debug)]
pub enum ClientDialect {}

impl ClientDialect {
    /// `None`: it would need the feature `go`.
    pub fn new(_: Language, _max_frame: u32) -> Option<Self> {
        None
    }

    /// See the feature `go`.
    ///
    /// # Errors
    /// None.
    pub fn next(&mut self, _: &mut BytesMut) -> Result<Option<Answered>, DialectError> {
        match *self {}
    }

    /// See the feature `go`.
    pub fn format(&self) -> Format {
        match *self {}
    }

    /// See the feature `go`.
    pub fn translate(&mut self, _: &[u8], _: &mut Vec<u8>, _: &mut Vec<Answered>) {
        match *self {}
    }
}
