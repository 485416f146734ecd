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
const SLICES: usize = 32;

/// A queue of whole frames: small ones share a buffer, large ones keep theirs.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// What goes before the tail. None is empty.
    chunks: VecDeque<Chunk>,
    /// Small frames, one after the other. Kept for the next batch when it is written.
    tail: Vec<u8>,
    /// Bytes of the first chunk, or of the tail if there is none, that are written already.
    written: usize,
    /// Bytes that are not.
    len: usize,
    /// Whether the stream may keep some of those it was given until it is flushed.
    unflushed: bool,
    /// If small frames may go before large ones.
    passing: Option<Passing>,
}

/// What is written in one go, between others.
#[derive(Debug)]
struct Chunk {
    /// The beginning of a frame whose rest came in a buffer of its own; mostly empty.
    head: Vec<u8>,
    bytes: Vec<u8>,
    /// One large frame; small ones that have become many, else.
    large: bool,
}

impl Chunk {
    fn len(&self) -> usize {
        self.head.len() + self.bytes.len()
    }

    /// Its two parts without the first `skip` bytes.
    fn parts(&self, skip: usize) -> [&[u8]; 2] {
        let in_head = skip.min(self.head.len());
        [&self.head[in_head..], &self.bytes[skip - in_head..]]
    }
}

/// How far small frames have gone before large ones.
#[derive(Debug, Default)]
struct Passing {
    /// Bytes of small frames that have passed since the last large one was written.
    passed: usize,
}

impl Outgoing {
    /// One in which small frames go before large ones that are not begun yet: nobody is to wait for what he
    /// has not asked for.
    ///
    /// A large frame is passed by no more bytes than it has itself, so while both wait, each kind has at
    /// least half of the stream; and a small frame waits for the large one that is being written, and then
    /// for at most one more for each time as many bytes of small ones are before it. Small frames keep
    /// their order, and so do large ones.
    pub(crate) fn small_first() -> Self {
        Outgoing { passing: Some(Passing::default()), ..Outgoing::default() }
    }

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
            let passing = self.passing.take();
            *self = Outgoing { passing, ..Outgoing::default() };
        }
    }

    /// Appends what `write` writes; for small frames.
    #[inline]
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let tail = self.tail();
        let before = tail.len();
        write(tail);
        let added = tail.len() - before;
        self.len += added;
    }

    /// Whether a frame of so many bytes is small.
    #[inline]
    pub(crate) fn is_small(len: usize) -> bool {
        len < LARGE
    }

    /// Appends a frame. A large one is taken, and an empty buffer left; a small one is copied.
    #[inline]
    pub(crate) fn push(&mut self, frame: &mut Vec<u8>) {
        if Self::is_small(frame.len()) {
            self.len += frame.len();
            self.tail().extend_from_slice(frame);
            frame.clear();
        } else {
            self.push_large(Vec::new(), std::mem::take(frame));
        }
    }

    /// Appends a large frame that lies in two buffers.
    pub(crate) fn push_large(&mut self, head: Vec<u8>, bytes: Vec<u8>) {
        self.end_tail();
        self.push_chunk(Chunk { head, bytes, large: true });
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        self.len += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Takes everything from `other`.
    pub(crate) fn append(&mut self, other: &mut Outgoing) {
        debug_assert_eq!(other.written, 0, "what is being written stays where it is");
        if self.len == 0 {
            // Each stays with its own stream.
            std::mem::swap(&mut self.chunks, &mut other.chunks);
            std::mem::swap(&mut self.tail, &mut other.tail);
            self.len = std::mem::take(&mut other.len);
            return;
        }
        other.len = 0;
        for chunk in other.chunks.drain(..) {
            self.end_tail();
            self.push_chunk(chunk);
        }
        if other.tail.len() < LARGE {
            self.push(&mut other.tail);
        } else {
            self.end_tail();
            let bytes = std::mem::take(&mut other.tail);
            self.push_chunk(Chunk { head: Vec::new(), bytes, large: false });
        }
    }

    /// Hands everything over, in pieces of whole frames.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        debug_assert_eq!(self.written, 0, "what is being written stays where it is");
        for Chunk { mut head, bytes, .. } in self.chunks.drain(..) {
            if head.is_empty() {
                take(&bytes);
            } else {
                head.extend_from_slice(&bytes);
                take(&head);
            }
        }
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
            if !self.chunks.is_empty() {
                self.let_pass();
            }
            let io = Pin::new(&mut *io);
            let n = match self.chunks.front() {
                None => ready!(io.poll_write(cx, &self.tail[self.written..]))?,
                Some(chunk) if !io.is_write_vectored() => {
                    let [head, bytes] = chunk.parts(self.written);
                    ready!(io.poll_write(cx, if head.is_empty() { bytes } else { head }))?
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
            let bytes = std::mem::take(&mut self.tail);
            self.chunks.push_back(Chunk { head: Vec::new(), bytes, large: false });
        }
    }

    /// Moves small frames before the first large one that is not begun, if there is one and they may.
    fn let_pass(&mut self) {
        let Some(Passing { passed }) = &mut self.passing else { return };
        let begun = usize::from(self.written > 0);
        let waits = (begun..).zip(self.chunks.range(begun..)).find(|(_, chunk)| chunk.large);
        let Some((mut at, large)) = waits else { return };
        let limit = large.len();
        let mut look = at + 1;
        while let Some(chunk) = self.chunks.get(look) {
            if !chunk.large {
                if *passed + chunk.len() > limit {
                    return; // nor may what comes behind it
                }
                *passed += chunk.len();
                if let Some(small) = self.chunks.remove(look) {
                    self.chunks.insert(at, small);
                    at += 1;
                }
            }
            look += 1;
        }
        if !self.tail.is_empty() && *passed + self.tail.len() <= limit {
            *passed += self.tail.len();
            let bytes = std::mem::take(&mut self.tail);
            self.chunks.insert(at, Chunk { head: Vec::new(), bytes, large: false });
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
        let first = self.chunks.iter().take(1).flat_map(|chunk| chunk.parts(self.written));
        let others = self.chunks.iter().skip(1).flat_map(|chunk| chunk.parts(0));
        let parts = first.chain(others).chain([&self.tail[..]]).filter(|part| !part.is_empty());
        let mut used = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
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
            if let (true, Some(Passing { passed })) = (chunk.large, &mut self.passing) {
                *passed = 0;
            }
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

    /// What is written when each write takes so many bytes, and frames come in between.
    fn written(queue: &mut Outgoing, at_once: usize, rounds: usize) -> Vec<u8> {
        let mut sip = Sip::new(at_once, true);
        let mut cx = Context::from_waker(Waker::noop());
        let mut progress = 0;
        for _ in 0..rounds {
            let mut one = Once { inner: &mut sip, left: 1 };
            let _ = queue.poll_write(&mut one, &mut cx, &mut progress);
        }
        sip.taken
    }

    /// Takes one write, and then no more.
    struct Once<'a> {
        inner: &'a mut Sip,
        left: usize,
    }

    impl AsyncWrite for Once<'_> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.left == 0 {
                return Poll::Pending;
            }
            self.left -= 1;
            Pin::new(&mut *self.inner).poll_write(cx, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn runs(bytes: &[u8]) -> Vec<(u8, usize)> {
        bytes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    #[test]
    fn a_small_frame_waits_for_the_large_one_that_is_begun_and_for_no_other() {
        let mut queue = Outgoing::small_first();
        for large in [1, 2, 3] {
            queue.push(&mut vec![large; 4 * LARGE]);
        }
        let mut taken = written(&mut queue, LARGE, 1); // the first is begun
        queue.push(&mut vec![7; 10]);
        queue.write(|out| out.push(8));
        taken.extend(written(&mut queue, LARGE, 100));
        let expected = [(1, 4 * LARGE), (7, 10), (8, 1), (2, 4 * LARGE), (3, 4 * LARGE)];
        assert_eq!(runs(&taken), expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_large_frame_is_passed_by_as_many_bytes_as_it_has_and_no_more() {
        let mut queue = Outgoing::small_first();
        for large in [1, 2] {
            queue.push(&mut vec![large; 2 * LARGE]);
        }
        let mut taken = Vec::new();
        // As much again comes before each write.
        for small in 10..30 {
            queue.push(&mut vec![small; LARGE / 2]);
            taken.extend(written(&mut queue, LARGE / 2, 1));
        }
        taken.extend(written(&mut queue, LARGE, 100));
        let runs = runs(&taken);
        let at = |frame| runs.iter().position(|(byte, _)| *byte == frame).expect("it was sent");
        assert_eq!((at(1), at(2)), (4, 9), "{runs:?}");
        let small: Vec<_> = runs.iter().filter(|(byte, _)| *byte >= 10).collect();
        assert!(small.is_sorted(), "{small:?}");
        assert_eq!(small.len(), 20);
    }

    #[test]
    fn requests_keep_their_order_whatever_their_length() {
        let mut queue = Outgoing::default();
        queue.push(&mut vec![1; LARGE]);
        queue.push(&mut vec![2; LARGE]);
        queue.push(&mut vec![3; 1]);
        let taken = written(&mut queue, usize::MAX, 10);
        assert_eq!(runs(&taken), [(1, LARGE), (2, LARGE), (3, 1)]);
    }

    #[test]
    fn a_frame_in_two_buffers_stays_in_one_piece() {
        for at_once in [1, 5, LARGE, usize::MAX] {
            let mut queue = Outgoing::small_first();
            queue.push_large(vec![1; 3], vec![2; LARGE]);
            let mut taken = written(&mut queue, at_once, 1);
            queue.push(&mut vec![7; 10]);
            queue.push_large(vec![3; 3], vec![4; LARGE]);
            taken.extend(written(&mut queue, at_once, 3 * LARGE));
            assert_eq!(runs(&taken), [(1, 3), (2, LARGE), (7, 10), (3, 3), (4, LARGE)]);
            assert_eq!((queue.len(), queue.is_empty()), (0, true));
        }
        let mut queue = Outgoing::small_first();
        queue.push_large(vec![1; 3], vec![2; LARGE]);
        let mut pieces = Vec::new();
        queue.drain(|piece| pieces.push(piece.len()));
        assert_eq!(pieces, [3 + LARGE]);
    }
}
