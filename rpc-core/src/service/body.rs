//! A call's encoded arguments, and the buffer its reply is encoded into.

#[cfg(feature = "go")]
use std::sync::OnceLock;
use std::{error::Error, mem};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[cfg(feature = "go")]
use crate::codec::go::json;
use crate::{
    codec::Format,
    error::chain,
    fault::{Fault, FaultCode},
    wire::FrameBytes,
};

/// A call's arguments as they came off the wire.
///
/// It owns (a share of) the buffer they were read into, so that arguments can borrow from it.
#[derive(Debug)]
pub struct Body {
    bytes: FrameBytes,
    format: Format,
    /// What arguments borrow that JSON does not have as it is.
    #[cfg(feature = "go")]
    loan: OnceLock<Box<json::Loan>>,
}

impl Body {
    /// Arguments in this format.
    #[inline]
    pub fn new(bytes: impl Into<FrameBytes>, format: Format) -> Self {
        Body {
            bytes: bytes.into(),
            format,
            #[cfg(feature = "go")]
            loan: OnceLock::new(),
        }
    }

    /// Moves a small body out of the buffer it was read into, which is kept as long as any part of it is
    /// ([`Frame::detach`](crate::wire::Frame::detach)).
    pub fn detach(&mut self) {
        /// The buffer has no more than sixteen times as much.
        const LARGE: usize = 16 * 1024;
        self.bytes = mem::take(&mut self.bytes).detach(LARGE);
    }

    /// What they are encoded in, and the reply to them.
    #[inline]
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Decodes the arguments, borrowing from the body where `T` can.
    ///
    /// # Errors
    /// A fault for the caller if they are not a `T`; the handler has not run then.
    #[inline]
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Fault> {
        let decoded = match &self.format {
            #[cfg(feature = "go")]
            Format::Json => json::decode_with(&self.bytes, self.loan.get_or_init(Box::default)),
            format => format.decode(&self.bytes),
        };
        decoded.map_err(|error| {
            // Where serde says what it expected, that is all a caller needs.
            let reason = error.source().unwrap_or(&error);
            let text = format!("the arguments are not what the method takes: {}", chain(reason));
            Fault::with_code(FaultCode::BadArguments, text)
        })
    }

    /// The encoded bytes, and what they are encoded in.
    pub fn into_parts(self) -> (Bytes, Format) {
        (self.bytes.into(), self.format)
    }

    /// The encoded bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The buffer a reply is encoded into: what the driver has put there stays in front.
#[derive(Debug, Default)]
pub struct ReplyBuf {
    bytes: Vec<u8>,
    format: Format,
}

impl ReplyBuf {
    /// Encodes replies in this format at the end of `bytes`.
    #[inline]
    pub fn new(bytes: Vec<u8>, format: Format) -> Self {
        ReplyBuf { bytes, format }
    }

    /// Encodes the reply. A handler does so once, last.
    ///
    /// # Errors
    /// A fault for the caller if `reply` cannot be encoded; the method has run then.
    #[inline]
    pub fn encode<R: Serialize + ?Sized>(&mut self, reply: &R) -> Result<(), Fault> {
        self.format
            .encode(&mut self.bytes, reply)
            .map_err(|error| Fault::with_code(FaultCode::BadReply, chain(&error).to_string()))
    }

    /// What has been written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to be changed.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The buffer with all that has been written.
    #[inline]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
