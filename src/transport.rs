//! Sockets: the only place that names them.

mod address;
mod connector;

use std::{future::Future, io, time::Duration};

use netrpc_core::Peer;
use socket2::{SockRef, TcpKeepalive};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

pub use address::{Address, Target};
#[cfg(feature = "go")]
pub use connector::HttpConnect;
#[cfg(unix)]
pub use connector::Unix;
pub(crate) use connector::{CONNECT_TIMEOUT, connect};
pub use connector::{Connector, Tcp};

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
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive());
        Ok((stream, Peer::Tcp(addr)))
    }
}

/// How the system finds out that a silent peer is gone, a Go program's for one, that cannot be asked in its
/// own language: it asks after a minute and gives up when it was asked for some minutes in vain.
fn keep_alive() -> TcpKeepalive {
    let keep_alive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    let keep_alive = keep_alive.with_interval(Duration::from_secs(20));
    keep_alive
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_asks_whether_a_silent_peer_is_still_there() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = Listener::accept(&mut listener).await.unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}
