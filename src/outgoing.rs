//! Frames on their way out of a connection.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// Frames from this size on keep their own buffer: copying them would cost more than the slot of a
/// vectored write (nothing is gained by one below 16 KiB).
const LARGE: usize = 16 * 1024;

/// The largest buffer that is kept for the next batch once everything is written.
const KEEP: usize = 64 * 1024;

/// Buffers per vectored write.
const SLICES: usize = 16;

/// A queue of whole frames: small ones share a buffer, large ones keep theirs.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// What goes before the tail: large frames, and tails that have become large. None is empty.
    chunks: VecDeque<Vec<u8>>,
    /// Small frames, one after the other. Kept for the next batch when it is written.
    tail: Vec<u8>,
    /// Bytes of the first chunk, or of the tail if there is none, that are written already.
    written: usize,
    /// Bytes that are not.
    len: usize,
    /// Whether the stream may keep some of those it was given until it is flushed.
    unflushed: bool,
}

impl Outgoing {
    /// Bytes that are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the peer has been sent everything: nothing waits here, nor in the stream itself.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && !self.unflushed
    }

    /// Whether an idle connection would keep memory here.
    pub(crate) fn holds_memory(&self) -> bool {
        self.is_empty() && (self.tail.capacity() > 0 || self.chunks.capacity() > 0)
    }

    /// Gives memory back, unless something is in it.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Outgoing::default();
        }
    }

    /// Appends what `write` writes; for small frames.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let tail = self.tail();
        let before = tail.len();
        write(tail);
        let added = tail.len() - before;
        self.len += added;
    }

    /// Appends a frame. A large one is taken, and an empty buffer left; a small one is copied.
    #[inline]
    pub(crate) fn push(&mut self, frame: &mut Vec<u8>) {
        self.len += frame.len();
        if frame.len() < LARGE {
            self.tail().extend_from_slice(frame);
            frame.clear();
        } else {
            self.end_tail();
            self.chunks.push_back(std::mem::take(frame));
        }
    }

    /// Takes everything from `other`.
    pub(crate) fn append(&mut self, other: &mut Outgoing) {
        if self.len == 0 {
            std::mem::swap(self, other);
            // Each stays with its own stream.
            std::mem::swap(&mut self.unflushed, &mut other.unflushed);
            return;
        }
        debug_assert_eq!(other.written, 0, "what is being written stays where it is");
        other.len = 0;
        for mut chunk in other.chunks.drain(..) {
            self.push(&mut chunk);
        }
        self.push(&mut other.tail);
    }

    /// Hands everything over, in pieces of whole frames.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        debug_assert_eq!(self.written, 0, "what is being written stays where it is");
        self.chunks.drain(..).for_each(|chunk| take(&chunk));
        if !self.tail.is_empty() {
            take(&self.tail);
            self.clear_tail();
        }
        self.len = 0;
    }

    /// Writes as much as `io` takes: `Ready` once nothing is left, here or in `io`.
    ///
    /// `progress` counts every byte handed over, also when the call ends `Pending` or failed.
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
        progress: &mut u64,
    ) -> Poll<io::Result<()>> {
        while self.len > 0 {
            let io = Pin::new(&mut *io);
            let n = match self.chunks.front() {
                None => ready!(io.poll_write(cx, &self.tail[self.written..]))?,
                Some(chunk) if !io.is_write_vectored() => {
                    ready!(io.poll_write(cx, &chunk[self.written..]))?
                }
                Some(_) => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let used = self.slices(&mut slices);
                    ready!(io.poll_write_vectored(cx, &slices[..used]))?
                }
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *progress += n as u64;
            self.advance(n);
            self.unflushed = true;
        }
        // A socket has nothing to flush; TLS, and whatever else buffers, may.
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The buffer that small frames are appended to.
    #[inline]
    fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.len() >= LARGE {
            self.end_tail();
        }
        &mut self.tail
    }

    /// What comes now goes behind the tail.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail));
        }
    }

    /// The tail is written: its buffer is for the next batch, unless it is too large to keep.
    fn clear_tail(&mut self) {
        if self.tail.capacity() > KEEP {
            self.tail = Vec::new();
        } else {
            self.tail.clear();
        }
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.written;
        let mut used = 0;
        let tail = (!self.tail.is_empty()).then_some(&self.tail);
        for (slice, chunk) in slices.iter_mut().zip(self.chunks.iter().chain(tail)) {
            *slice = IoSlice::new(&chunk[skip..]);
            skip = 0;
            used += 1;
        }
        used
    }

    fn advance(&mut self, mut n: usize) {
        self.len -= n;
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.len() - self.written;
            if n < left {
                self.written += n;
                return;
            }
            n -= left;
            self.written = 0;
            self.chunks.pop_front();
        }
        self.written += n;
        if self.written == self.tail.len() {
            self.written = 0;
            self.clear_tail();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes a few bytes at a time.
    struct Sip {
        taken: Vec<u8>,
        at_once: usize,
        vectored: bool,
        /// How often it is not done yet when it is to flush.
        sluggish: usize,
        /// Bytes that it has taken and not flushed.
        held: usize,
    }

    impl Sip {
        fn new(at_once: usize, vectored: bool) -> Self {
            Sip { taken: Vec::new(), at_once, vectored, sluggish: 0, held: 0 }
        }
    }

    impl AsyncWrite for Sip {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = self.at_once.min(bytes.len());
            self.held += n;
            self.taken.extend_from_slice(&bytes[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut left = self.at_once;
            for slice in slices {
                let n = left.min(slice.len());
                self.taken.extend_from_slice(&slice[..n]);
                left -= n;
            }
            self.held += self.at_once - left;
            Poll::Ready(Ok(self.at_once - left))
        }

        fn is_write_vectored(&self) -> bool {
            self.vectored
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.sluggish > 0 {
                self.sluggish -= 1;
                return Poll::Pending;
            }
            self.held = 0;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frames() -> Vec<Vec<u8>> {
        let sizes = [1, 20, LARGE - 1, LARGE, 3, 5 * LARGE, LARGE + 1, 7, 9, KEEP + LARGE, 2];
        sizes.iter().zip(1u8..).map(|(size, byte)| vec![byte; *size]).collect()
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_writer_takes() {
        for at_once in [1, 7, LARGE, usize::MAX] {
            for vectored in [false, true] {
                let mut sip = Sip::new(at_once, vectored);
                let mut cx = Context::from_waker(Waker::noop());
                let (mut queue, mut other) = (Outgoing::default(), Outgoing::default());
                let mut expected = Vec::new();
                let mut progress = 0;
                for (n, mut frame) in frames().into_iter().chain(frames()).enumerate() {
                    expected.extend_from_slice(&frame);
                    other.push(&mut frame);
                    assert!(frame.is_empty());
                    if n % 3 == 0 {
                        queue.append(&mut other);
                    }
                    if n % 5 == 0 {
                        let done = queue.poll_write(&mut sip, &mut cx, &mut progress);
                        assert!(matches!(done, Poll::Ready(Ok(()))));
                    }
                }
                queue.append(&mut other);
                assert!(other.is_empty());
                let done = queue.poll_write(&mut sip, &mut cx, &mut progress);
                assert!(matches!(done, Poll::Ready(Ok(()))));
                assert!(queue.is_empty());
                assert_eq!(progress, expected.len() as u64);
                assert!(sip.taken == expected, "at once {at_once}, vectored {vectored}");
                assert!(queue.chunks.is_empty());
                let kept = queue.tail.capacity();
                assert!(kept <= KEEP, "{kept} bytes kept");
            }
        }
    }

    #[test]
    fn what_the_stream_holds_back_is_not_written_yet() {
        let mut sip = Sip { sluggish: 2, ..Sip::new(3, true) };
        let mut cx = Context::from_waker(Waker::noop());
        let (mut queue, mut other) = (Outgoing::default(), Outgoing::default());
        let mut progress = 0;
        queue.push(&mut b"hello".to_vec());
        assert!(queue.poll_write(&mut sip, &mut cx, &mut progress).is_pending());
        assert_eq!((queue.len(), sip.held, progress), (0, 5, 5));
        assert!(!queue.is_empty(), "it is to be asked again");
        // More joins meanwhile, into the buffers of the other queue.
        other.push(&mut b" world".to_vec());
        queue.append(&mut other);
        assert!(other.is_empty() && !queue.is_empty());
        assert!(queue.poll_write(&mut sip, &mut cx, &mut progress).is_pending());
        assert!(queue.poll_write(&mut sip, &mut cx, &mut progress).is_ready());
        assert!(queue.is_empty());
        assert_eq!((sip.held, &*sip.taken, progress), (0, &b"hello world"[..], 11));
    }
}
