//! Sockets: the only place that names them.

use std::{fmt::Debug, future::Future, io};

#[cfg(feature = "go")]
use netrpc_core::dialect::http;
use netrpc_core::{Error, Peer};
#[cfg(feature = "go")]
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, ToSocketAddrs},
};

#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a listener",
    label = "bind one first: `tokio::net::TcpListener::bind(addr).await?`"
)]
/// Something that takes connections: a TCP or a Unix listener, or one of your own.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Takes the next connection.
    ///
    /// # Errors
    /// What kept it from doing so. The server reports it, waits a while, and tries again.
    ///
    /// # Cancel safety
    /// Must be cancel safe: a server that shuts down drops the future.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, addr) = TcpListener::accept(self).await?;
        // Batches are made by us; waiting for the peer's acknowledgement of the last one is pure
        // loss. A connection that is gone already fails when it is read.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::Tcp(addr)))
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        let (stream, addr) = UnixListener::accept(self).await?;
        let path = addr.as_pathname().map(Into::into);
        Ok((stream, Peer::Unix(path)))
    }
}

/// What can be dialled: `"localhost:1234"`, `("localhost", 1234)`, a socket address, several of them.
///
/// Implemented for everything that tokio can resolve and that an error message can show.
pub trait Address: ToSocketAddrs + Debug {}

impl<A: ToSocketAddrs + Debug + ?Sized> Address for A {}

/// Connects over TCP to the first address that answers.
pub(crate) async fn dial(addr: impl Address) -> Result<TcpStream, Error> {
    let text = text(&addr);
    let stream =
        TcpStream::connect(addr).await.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    stream.map_err(|cause| Error::Connect { addr: text, cause })
}

/// An address as an error message shows it.
pub(crate) fn text(addr: &impl Address) -> String {
    format!("{addr:?}").replace('"', "")
}

/// Asks an HTTP server to make `stream` a connection for calls.
#[cfg(feature = "go")]
pub(crate) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
) -> io::Result<()> {
    stream.write_all(http::write_request(path).as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        // One byte at a time: what is behind the answer is not ours to read.
        answer.push(stream.read_u8().await?);
        if let Some(opened) = http::read_answer(&answer) {
            return opened.map(drop).map_err(io::Error::other);
        }
    }
}

/// Connects over a Unix socket.
#[cfg(unix)]
pub(crate) async fn dial_unix(path: &std::path::Path) -> Result<UnixStream, Error> {
    UnixStream::connect(path)
        .await
        .map_err(|cause| Error::Connect { addr: path.display().to_string(), cause })
}
