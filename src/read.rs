//! Reading a stream into a buffer that frames are cut from.

use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room that a read is given at least.
const ROOM: usize = 8 * 1024;

/// The largest buffer that is kept while nothing is in it.
const KEEP: usize = 64 * 1024;

/// Reads once, appending to `input`: 0 is the end of the stream.
///
/// Memory grows with what has arrived, never with what a peer claims: the buffer doubles.
pub(crate) fn poll_read<IO: AsyncRead + Unpin>(
    io: &mut IO,
    input: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if input.capacity() - input.len() < ROOM / 2 {
        input.reserve(ROOM.max(input.len()));
    }
    pin!(io.read_buf(input)).poll(cx)
}

/// Gives a large buffer back once it is empty.
pub(crate) fn settle(input: &mut BytesMut) {
    if input.is_empty() && input.capacity() > KEEP {
        *input = BytesMut::new();
    }
}
