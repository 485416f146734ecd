//! A call's encoded arguments, and the buffer its reply is encoded into.

use std::{error::Error, mem};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[cfg(feature = "go")]
use crate::codec::go::json;
use crate::{
    codec::{self, DecodeError, Format},
    error::chain,
    fault::{Fault, FaultCode},
    wire::{FrameBytes, FrameHere},
};

/// A call's arguments as they came off the wire.
///
/// It owns (a share of) the buffer they were read into, so that arguments can borrow from it.
#[derive(Debug, Default)]
pub struct Body {
    bytes: FrameBytes,
    format: Format,
    /// What arguments borrow that JSON does not have as it is; in no other format.
    #[cfg(feature = "go")]
    loan: Option<Box<json::Loan>>,
}

impl Body {
    /// Arguments in this format.
    #[inline]
    pub fn new(bytes: impl Into<FrameBytes>, format: Format) -> Self {
        Body {
            bytes: bytes.into(),
            #[cfg(feature = "go")]
            loan: matches!(format, Format::Json).then(Box::default),
            format,
        }
    }

    /// Takes the arguments of a frame to where others were, in MessagePack.
    #[inline]
    pub fn refill(&mut self, frame: FrameHere<'_>) {
        frame.take_body_to(&mut self.bytes);
        if !matches!(self.format, Format::MessagePack) {
            *self = Body::new(mem::take(&mut self.bytes), Format::MessagePack);
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
        match &self.format {
            Format::MessagePack => codec::decode_or(&self.bytes, bad_arguments),
            #[cfg(feature = "go")]
            _ => self.decode_foreign(),
        }
    }

    /// The same of what a Go program has sent.
    #[cfg(feature = "go")]
    #[inline(never)]
    fn decode_foreign<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Fault> {
        let decoded = match &self.loan {
            Some(loan) => json::decode_with(&self.bytes, loan),
            None => self.format.decode(&self.bytes),
        };
        decoded.map_err(bad_arguments)
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

#[cold]
fn bad_arguments(error: DecodeError) -> Fault {
    // Where serde says what it expected, that is all a caller needs.
    let reason = error.source().unwrap_or(&error);
    let text = format!("the arguments are not what the method takes: {}", chain(reason));
    Fault::with_code(FaultCode::BadArguments, text)
}

/// From here on the bytes of a reply stay in the buffer they are in, if the driver can send them from there:
/// a checksum of two parts and a slot more in a vectored write cost as much as to copy half of that.
const APART: usize = 32 * 1024;

/// The buffer a reply is encoded into: what the driver has put there stays in front.
#[derive(Debug, Default)]
pub struct ReplyBuf {
    bytes: Vec<u8>,
    format: Format,
    /// What comes behind the bytes, if it may lie apart from them.
    apart: Option<Vec<u8>>,
}

impl ReplyBuf {
    /// Encodes replies in this format at the end of `bytes`.
    #[inline]
    pub fn new(bytes: Vec<u8>, format: Format) -> Self {
        ReplyBuf { bytes, format, apart: None }
    }

    /// Empties it for another reply, in this format; the end of a long one may lie apart.
    #[inline]
    pub fn restart(&mut self, format: &Format) {
        self.bytes.clear();
        if !matches!((&self.format, format), (Format::MessagePack, Format::MessagePack)) {
            self.format = format.clone();
        }
        match &self.apart {
            Some(apart) if apart.is_empty() => {}
            _ => self.apart = Some(Vec::new()),
        }
    }

    /// Encodes a reply that is not needed afterwards, as [`encode`](Self::encode) does. Many bytes are not
    /// copied where they may lie apart.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[inline]
    pub fn encode_owned<R: Serialize>(&mut self, reply: R) -> Result<(), Fault> {
        let bytes = match castaway::cast!(reply, Vec<u8>) {
            Ok(bytes) => bytes,
            Err(reply) => return self.encode(&reply),
        };
        if let (Some(apart), Format::MessagePack) = (&mut self.apart, &self.format)
            && bytes.len() >= APART
            && codec::begin_bytes(&mut self.bytes, bytes.len()).is_ok()
        {
            *apart = bytes;
            return Ok(());
        }
        self.encode(&bytes)
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

    /// What has been written so far, but for what lies apart.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All that has been written, if nothing lies apart.
    #[inline]
    pub fn whole(&self) -> Option<&[u8]> {
        self.apart.as_ref().is_none_or(Vec::is_empty).then_some(&self.bytes)
    }

    /// The same, to be changed.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The buffer with all that has been written.
    #[inline]
    pub fn into_bytes(mut self) -> Vec<u8> {
        let (mut bytes, apart) = self.take_parts();
        bytes.extend_from_slice(&apart);
        bytes
    }

    /// Takes the buffer with what has been written to it, and what comes behind that.
    pub fn take_parts(&mut self) -> (Vec<u8>, Vec<u8>) {
        (mem::take(&mut self.bytes), self.apart.take().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bytes_stay_where_they_are_if_they_may() {
        let bytes: Vec<u8> = (0..APART).map(|n| (n >> 3) as u8).collect();
        let whole = |bytes: &Vec<u8>| {
            let mut reply = ReplyBuf::new(b"head".to_vec(), Format::MessagePack);
            reply.encode(bytes).unwrap();
            reply.into_bytes()
        };
        let buffer = || ReplyBuf::new(b"head".to_vec(), Format::MessagePack);
        let in_parts = || {
            let mut reply = ReplyBuf::new(b"what was before".to_vec(), Format::default());
            reply.restart(&Format::MessagePack);
            reply.bytes_mut().extend_from_slice(b"head");
            reply
        };

        let mut reply = in_parts();
        let given = bytes.clone();
        let address = given.as_ptr();
        reply.encode_owned(given).unwrap();
        assert_eq!(reply.whole(), None);
        let (head, apart) = reply.take_parts();
        assert_eq!(apart, bytes);
        assert_eq!(apart.as_ptr(), address);
        assert_eq!([head, apart].concat(), whole(&bytes));

        let mut reply = in_parts();
        reply.encode_owned(bytes.clone()).unwrap();
        assert_eq!(
            reply.into_bytes(),
            whole(&bytes),
            "whoever wants them in one piece gets them so"
        );

        let few = bytes[..APART - 1].to_vec();
        for (mut reply, bytes) in [(in_parts(), &few), (buffer(), &bytes)] {
            reply.encode_owned(bytes.clone()).unwrap();
            assert_eq!(reply.whole(), Some(&*whole(bytes)));
            let (head, apart) = reply.take_parts();
            assert_eq!((head, apart), (whole(bytes), Vec::new()));
        }

        let mut reply = in_parts();
        reply.encode_owned(vec!["not bytes"; APART]).unwrap();
        assert!(reply.take_parts().1.is_empty());
    }
}
