//! A stream that may be encrypted.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Connect, TlsStream};

use super::explain::{Side, in_words, of_beginning, of_handshake};

/// A stream, encrypted where its owner has said so.
///
/// What is boxed keeps a stream in the clear as small as it is.
pub(crate) enum Stream<IO> {
    /// Its owner wants no TLS.
    Plain(IO),
    /// This side's part in the handshake is over. Whether the server is content with it, a client learns
    /// only when something comes: TLS 1.3 does not say.
    Tls {
        io: Box<TlsStream<IO>>,
        /// Whether something has come.
        heard: bool,
    },
    /// A client's stream whose handshake is still to be done, by whoever reads or writes first.
    Connecting(Box<Connect<IO>>),
    /// There will be none: why, until that is told.
    Failed(Option<io::Error>),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream<IO> {
    /// A stream whose handshake is over on this side.
    pub(super) fn tls(io: TlsStream<IO>) -> Self {
        Stream::Tls { io: Box::new(io), heard: false }
    }

    /// Ready when bytes can pass.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) | Stream::Tls { .. } => Poll::Ready(Ok(())),
            Stream::Connecting(connecting) => match ready!(Pin::new(&mut **connecting).poll(cx)) {
                Ok(stream) => {
                    *self = Stream::tls(stream.into());
                    Poll::Ready(Ok(()))
                }
                Err(error) => {
                    *self = Stream::Failed(None);
                    Poll::Ready(Err(of_handshake(error, Side::Client)))
                }
            },
            Stream::Failed(why) => {
                Poll::Ready(Err(why.take().unwrap_or(io::ErrorKind::NotConnected.into())))
            }
        }
    }
}

/// Polls the stream inside, once there is one.
macro_rules! forward {
    ($stream:ident, $cx:ident, $io:ident => $polled:expr) => {
        loop {
            match &mut *$stream {
                Stream::Plain(io) => {
                    let $io = Pin::new(io);
                    return $polled;
                }
                Stream::Tls { io, heard } => {
                    let (side, heard) = (Side::of(io), *heard);
                    let $io = Pin::new(&mut **io);
                    return $polled.map_err(|error| explained(error, side, heard));
                }
                Stream::Connecting(_) | Stream::Failed(_) => ready!($stream.poll_ready($cx))?,
            }
        }
    };
}

#[cold]
fn explained(error: io::Error, side: Side, heard: bool) -> io::Error {
    match (side, heard) {
        (Side::Client, false) => of_beginning(error),
        _ => in_words(error, side),
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<IO> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            match &mut *self {
                Stream::Plain(io) => return Pin::new(io).poll_read(cx, buf),
                Stream::Tls { io, heard } => {
                    let read = Pin::new(&mut **io).poll_read(cx, buf);
                    *heard |= buf.filled().len() > before;
                    return read.map_err(|error| explained(error, Side::of(io), *heard));
                }
                Stream::Connecting(_) | Stream::Failed(_) => ready!(self.poll_ready(cx))?,
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<IO> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, cx, io => io.poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, cx, io => io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls { .. } | Stream::Connecting(_) | Stream::Failed(_) => true,
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, cx, io => io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, cx, io => io.poll_shutdown(cx))
    }
}
