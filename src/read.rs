//! Reading a stream into a buffer that frames are cut from.

use std::{
    future::Future,
    io,
    ops::{Deref, DerefMut},
    pin::pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use netrpc_core::wire::{HEADER_LEN, Header};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for a read on a connection with a call now and then: 4 KiB were most of what an idle one was resident
/// with, and of what a thousand of them had to fetch into the processor's caches.
const FIRST: usize = 1024;

/// Room for a read, once one has taken half of the first room, and at most. A read that fills it doubles it: the
/// larger the batch, the fewer the wake-ups on both sides.
const ROOM: (usize, usize) = (4 * 1024, 256 * 1024);

/// The bytes that have arrived and are not decoded yet.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: BytesMut,
    /// How much the next read is offered, about.
    room: usize,
    /// The most that has lain here at once: for a frame of that length the peer gets the memory at
    /// once, because it has filled as much before.
    proven: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Input { bytes: BytesMut::new(), room: FIRST, proven: 0 }
    }

    /// Reads once: 0 is the end of the stream.
    ///
    /// Memory grows with what has arrived, never with what a peer claims.
    pub(crate) fn poll_read<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let wanted = self.missing().min(self.proven);
        let bytes = &mut self.bytes;
        let spare = bytes.capacity() - bytes.len();
        if spare < wanted.max(self.room / 2) {
            bytes.reserve(self.room.max(bytes.len()).max(wanted));
        }
        let offered = bytes.capacity() - bytes.len();
        let polled = pin!(io.read_buf(bytes)).poll(cx);
        if let Poll::Ready(Ok(n)) = &polled {
            if *n == offered {
                self.room = (self.room * 2).min(ROOM.1);
            }
            if *n > FIRST / 2 {
                self.room = self.room.max(ROOM.0);
            }
        }
        self.proven = self.proven.max(bytes.len());
        polled
    }

    /// What a frame that has begun lacks, if its header is to be believed.
    fn missing(&self) -> usize {
        let header = self.bytes.first_chunk().map(Header::from_bytes);
        let frame = header.map_or(0, |header| HEADER_LEN + header.length as usize);
        frame.saturating_sub(self.bytes.len())
    }

    /// Whether an idle connection would keep memory here.
    pub(crate) fn holds_memory(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Gives memory back, unless something is in it.
    pub(crate) fn release(&mut self) {
        if self.bytes.is_empty() {
            *self = Input::new();
        }
    }
}

impl Deref for Input {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for Input {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Reads what there is, and takes it.
    fn read(input: &mut Input, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(input.poll_read(&mut bytes, &mut cx).is_ready());
            input.clear();
        }
    }

    #[test]
    fn room_follows_what_comes() {
        let mut input = Input::new();
        for _ in 0..1000 {
            read(&mut input, &[1; 60]);
            assert!(input.capacity() <= FIRST, "a small message now and then");
        }
        read(&mut input, &[1; FIRST]);
        read(&mut input, &[1]);
        assert_eq!(input.room, ROOM.0, "a batch");
        read(&mut input, &vec![1; 10 * ROOM.1]);
        assert_eq!(input.room, ROOM.1, "a stream");
        input.release();
        assert_eq!((input.capacity(), input.room), (0, FIRST));
    }
}
