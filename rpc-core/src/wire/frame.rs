//! A frame that arrived whole.

use bytes::Bytes;

use super::{FrameBytes, Kind};

/// A frame that arrived whole and unchanged.
///
/// Made only by [`FrameDecoder`](super::FrameDecoder), so its checksum was right and its head lies
/// within its payload. A payload of more than a few bytes shares the buffer it was read into: keeping the
/// frame keeps that buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The call it is about, or a ping's token.
    pub seq: u64,
    /// `head_len <= payload.len()`
    head_len: u16,
    payload: FrameBytes,
}

impl Frame {
    /// `head_len` must not exceed the payload: the decoder has checked.
    #[inline]
    pub(super) fn new(kind: Kind, seq: u64, head_len: u16, payload: FrameBytes) -> Frame {
        debug_assert!(usize::from(head_len) <= payload.len());
        Frame { kind, seq, head_len, payload }
    }

    /// A place for a frame, with nothing in it.
    pub const PLACE: Frame =
        Frame { kind: Kind::Reply, seq: 0, head_len: 0, payload: FrameBytes::NONE };

    /// Makes it another, of which `write` writes the payload.
    #[inline]
    pub(super) fn fill(
        &mut self,
        kind: Kind,
        seq: u64,
        head_len: u16,
        write: impl FnOnce(&mut FrameBytes),
    ) {
        self.kind = kind;
        self.seq = seq;
        self.head_len = head_len;
        write(&mut self.payload);
        debug_assert!(usize::from(head_len) <= self.payload.len());
    }

    /// A frame with nothing in its head, for what arrived in another protocol.
    #[cfg(feature = "go")]
    pub(crate) fn bare(kind: Kind, seq: u64, body: Bytes) -> Frame {
        Frame { kind, seq, head_len: 0, payload: body.into() }
    }

    /// What the frame says about the call: a method's name, fields.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.payload[..usize::from(self.head_len)]
    }

    /// The arguments, the reply or the fault, to be kept: a share of the frame's buffer, or a copy if they
    /// are few bytes.
    pub fn body(&self) -> Bytes {
        self.clone().into_body().into()
    }

    /// The same as [`body`](Self::body), borrowed.
    #[inline]
    pub fn body_slice(&self) -> &[u8] {
        &self.payload[usize::from(self.head_len)..]
    }

    /// The body alone, in the frame's memory.
    #[inline]
    pub fn into_body(mut self) -> FrameBytes {
        self.payload.advance(usize::from(self.head_len));
        self.payload
    }

    /// The same frame, if need be in memory of its own: to be asked of one that is going to be kept, and
    /// may be the only small one left of a large buffer.
    pub fn detach(self) -> Frame {
        /// The buffer that frames are read into has no more than four times as much.
        const LARGE: usize = 64 * 1024;
        Frame { payload: self.payload.detach(LARGE), ..self }
    }

    /// Head and body together.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}
