//! A frame that arrived whole.

use bytes::Bytes;

use super::Kind;

/// A frame that arrived whole and unchanged.
///
/// Made only by [`FrameDecoder`](super::FrameDecoder), so its checksum was right and its head lies
/// within its payload. The payload shares the buffer it was read into: keeping a small frame keeps
/// that buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The call it is about, or a ping's token.
    pub seq: u64,
    /// `head_len <= payload.len()`
    head_len: u16,
    payload: Bytes,
}

impl Frame {
    /// `head_len` must not exceed the payload: the decoder has checked.
    #[inline]
    pub(super) fn new(kind: Kind, seq: u64, head_len: u16, payload: Bytes) -> Frame {
        debug_assert!(usize::from(head_len) <= payload.len());
        Frame { kind, seq, head_len, payload }
    }

    /// A frame with nothing in its head, for what arrived in another protocol.
    #[cfg(feature = "go")]
    pub(crate) fn bare(kind: Kind, seq: u64, body: Bytes) -> Frame {
        Frame { kind, seq, head_len: 0, payload: body }
    }

    /// What the frame says about the call: a method's name, fields.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.payload[..usize::from(self.head_len)]
    }

    /// The arguments, the reply or the fault, sharing the frame's buffer.
    pub fn body(&self) -> Bytes {
        self.payload.slice(usize::from(self.head_len)..)
    }

    /// The same as [`body`](Self::body), borrowed.
    #[inline]
    pub fn body_slice(&self) -> &[u8] {
        &self.payload[usize::from(self.head_len)..]
    }

    /// The body alone, without counting another reference to the buffer as
    /// [`body`](Self::body) does.
    #[inline]
    pub fn into_body(mut self) -> Bytes {
        bytes::Buf::advance(&mut self.payload, usize::from(self.head_len));
        self.payload
    }

    /// The same frame, if need be in memory of its own: to be asked of one that is going to be kept, and
    /// may be the only small one left of a large buffer.
    pub fn detach(self) -> Frame {
        /// The buffer that frames are read into has no more than four times as much.
        const LARGE: usize = 64 * 1024;
        if self.payload.len() >= LARGE {
            return self;
        }
        Frame { payload: Bytes::copy_from_slice(&self.payload), ..self }
    }

    /// Head and body together.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}
