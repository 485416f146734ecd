//! What a frame carries.

use std::{fmt, ops::Deref};

use bytes::{Buf, Bytes, BytesMut};

/// The most bytes that are copied into a [`FrameBytes`]. A copy costs less than to count another user of the
/// buffer, and one less when it is dropped; and the numbers and names of most calls are not more.
pub(super) const FEW: usize = 32;

/// Bytes of a frame: few are copies, many share the buffer they were read into.
#[derive(Clone)]
pub struct FrameBytes(Held);

#[derive(Clone)]
enum Held {
    /// `start <= end <= FEW`: what lies between them. What lies behind is anything.
    Few {
        start: u8,
        end: u8,
        words: Words,
    },
    Many(Bytes),
}

/// Words, as those of [`Bytes`] are: so they are moved as words, and in registers where they are moved at once. (A
/// move in other pieces than what was just stored in has to wait for the stores.)
type Words = [u64; FEW / 8];

/// These bytes, read one word at a time, into registers.
#[inline]
fn words_of(bytes: &[u8; FEW]) -> Words {
    let (words, _) = bytes.as_chunks();
    [words[0], words[1], words[2], words[3]].map(u64::from_ne_bytes)
}

impl FrameBytes {
    pub(super) const NONE: FrameBytes =
        FrameBytes(Held::Few { start: 0, end: 0, words: [0; FEW / 8] });

    /// Takes `len` bytes off the front of `buf`, and lets go of `skip` before them.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub(super) fn take(buf: &mut BytesMut, skip: usize, len: usize) -> Self {
        // The length is known to the compiler: a few moves.
        match buf[skip..].first_chunk() {
            Some(more) if len <= FEW => {
                let words = words_of(more);
                buf.advance(skip + len);
                FrameBytes(Held::Few { start: 0, end: len as u8, words })
            }
            _ => Self::take_otherwise(buf, skip, len),
        }
    }

    /// [Takes](Self::take) the bytes to where others were.
    #[inline]
    pub(super) fn refill(&mut self, buf: &mut BytesMut, skip: usize, len: usize) {
        if let (Held::Few { start, end, words }, Some(more)) =
            (&mut self.0, buf[skip..].first_chunk())
            && len <= FEW
        {
            (*start, *end, *words) = (0, len as u8, words_of(more));
            buf.advance(skip + len);
        } else {
            *self = Self::take_otherwise(buf, skip, len);
        }
    }

    /// The same of many bytes, and of few behind which there is not much.
    fn take_otherwise(buf: &mut BytesMut, skip: usize, len: usize) -> Self {
        if len <= FEW {
            let mut words = Words::default();
            bytemuck::bytes_of_mut(&mut words)[..len].copy_from_slice(&buf[skip..skip + len]);
            buf.advance(skip + len);
            return FrameBytes(Held::Few { start: 0, end: len as u8, words });
        }
        // The header goes along and is cut off afterwards: that is 9 ns less than to advance `buf`
        // past it first.
        let mut bytes = buf.split_to(skip + len).freeze();
        bytes.advance(skip);
        FrameBytes(Held::Many(bytes))
    }

    /// Lets go of the first `n`.
    ///
    /// # Panics
    /// If there are not as many.
    #[inline]
    pub(super) fn advance(&mut self, n: usize) {
        match &mut self.0 {
            Held::Few { start, end, .. } => {
                let left = usize::from(*end - *start);
                assert!(n <= left, "{n} of {left} bytes");
                *start += n as u8;
            }
            Held::Many(bytes) => bytes.advance(n),
        }
    }

    /// The same, if need be in memory of their own: to be asked of bytes that are going to be kept, and may
    /// be the only ones left of a large buffer. From `large` on they share it still.
    pub(crate) fn detach(self, large: usize) -> Self {
        match self.0 {
            Held::Many(bytes) if bytes.len() < large => {
                FrameBytes(Held::Many(Bytes::copy_from_slice(&bytes)))
            }
            held => FrameBytes(held),
        }
    }
}

impl Default for FrameBytes {
    fn default() -> Self {
        FrameBytes::NONE
    }
}

impl Deref for FrameBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Few { start, end, words } => {
                &bytemuck::bytes_of(words)[usize::from(*start)..usize::from(*end)]
            }
            Held::Many(bytes) => bytes,
        }
    }
}

impl From<Bytes> for FrameBytes {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        FrameBytes(Held::Many(bytes))
    }
}

impl From<FrameBytes> for Bytes {
    fn from(bytes: FrameBytes) -> Self {
        match bytes.0 {
            Held::Few { .. } => Bytes::copy_from_slice(&bytes),
            Held::Many(bytes) => bytes,
        }
    }
}

impl PartialEq for FrameBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for FrameBytes {}

impl fmt::Debug for FrameBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the length, and however little lies behind.
    #[test]
    fn few_bytes_and_many_are_taken_alike() {
        let sent: Vec<u8> = (0..=255).collect();
        for len in [0, 1, FEW - 1, FEW, FEW + 1, 200] {
            for behind in [0, 1, 50] {
                let mut buf = BytesMut::from(&sent[..3 + len + behind]);
                let mut taken = FrameBytes::take(&mut buf, 3, len);
                assert_eq!(*taken, sent[3..3 + len]);
                assert_eq!(*buf, sent[3 + len..3 + len + behind]);
                assert_eq!(*taken.clone().detach(usize::MAX), *taken);
                let half = len / 2;
                taken.advance(half);
                assert_eq!(*taken, sent[3 + half..3 + len]);
                assert_eq!(Bytes::from(taken), sent[3 + half..3 + len]);
            }
        }
    }

    #[test]
    fn only_many_bytes_keep_their_buffer() {
        let mut buf = BytesMut::from(&[7; 200][..]);
        let address = buf.as_ptr();
        let few = FrameBytes::take(&mut buf, 0, FEW);
        let many = FrameBytes::take(&mut buf, 0, FEW + 1);
        assert_ne!(few.as_ptr(), address);
        assert_eq!(many.as_ptr(), address.wrapping_add(FEW));
        assert_eq!(many.clone().detach(FEW + 1).as_ptr(), many.as_ptr());
        assert_ne!(many.clone().detach(FEW + 2).as_ptr(), many.as_ptr());
    }

    #[test]
    #[should_panic(expected = "2 of 1 bytes")]
    fn no_more_are_let_go_of_than_there_are() {
        FrameBytes::take(&mut BytesMut::from(&[7][..]), 0, 1).advance(2);
    }
}
