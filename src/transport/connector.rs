//! How a client connects, and connects again.

use std::{future::Future, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{Address, Target};
use crate::Error;

#[diagnostic::on_unimplemented(
    message = "`{Self}` does not connect to anything",
    label = "give a `netrpc::Tcp`, or a closure: `|| tokio::net::TcpStream::connect(addr)`"
)]
/// Something that connects to a server: over TCP, over a Unix socket, or in a way of your own.
///
/// A client asks it for a stream each time it connects. A function that returns a future of a stream is
/// one, and a connector can wrap another, as TLS does:
///
/// ```
/// use std::{future::Future, io};
///
/// use netrpc::{Client, Connector, Tcp};
/// use tokio::{io::BufStream, net::TcpStream};
///
/// struct Buffered<C>(C);
///
/// impl<C: Connector> Connector for Buffered<C> {
///     type Stream = BufStream<C::Stream>;
///
///     async fn connect(&self) -> io::Result<Self::Stream> {
///         Ok(BufStream::new(self.0.connect().await?))
///     }
///
///     fn target(&self) -> String {
///         self.0.target()
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let addr = listener.local_addr()?;
/// let client = Client::builder().connect_with(Buffered(Tcp::new(addr))).await?;
/// let other = Client::builder().connect_with(move || TcpStream::connect(addr)).await?;
/// # Ok(())
/// # }
/// ```
pub trait Connector: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects once.
    ///
    /// # Errors
    /// What kept it from doing so. An error of the kind [`InvalidInput`](io::ErrorKind::InvalidInput)
    /// says that no other try will do better.
    ///
    /// # Cancel safety
    /// The future is dropped when the client's
    /// [`connect_timeout`](crate::ClientBuilder::connect_timeout) is over.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Where to, as errors name it.
    fn target(&self) -> String {
        "the server".to_owned()
    }

    /// The name or IP address that the server's certificate has to be for, where TLS is asked for and
    /// no other name is set; `None` if there is no one name.
    fn server_name(&self) -> Option<String> {
        None
    }
}

impl<F, Connecting, IO> Connector for F
where
    F: Fn() -> Connecting + Send + Sync + 'static,
    Connecting: Future<Output = io::Result<IO>> + Send,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = IO;

    fn connect(&self) -> impl Future<Output = io::Result<IO>> + Send {
        self()
    }
}

/// How long connecting may take, names and all addresses included, unless it is set.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What each address gets of the time at least.
const FAIR_SHARE: Duration = Duration::from_secs(2);

/// Longer than anybody waits, and short enough to be added to any time.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Connects over TCP, to the first address that answers.
///
/// A name is resolved anew at every attempt. Where it has several addresses, each is given its share of the
/// time that remains, and 2 s at least, as Go does it: one that swallows packets does not use up the time of
/// the others.
#[derive(Debug, Clone)]
pub struct Tcp {
    target: Target,
    timeout: Duration,
}

impl Tcp {
    /// Connects to this address, within 10 s.
    pub fn new(addr: impl Address) -> Self {
        Tcp { target: addr.target(), timeout: CONNECT_TIMEOUT }
    }

    /// How long an attempt may take, all addresses together; 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where to.
    pub fn address(&self) -> &Target {
        &self.target
    }
}

impl Connector for Tcp {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let late = || too_late(self.timeout);
        let end = Instant::now() + self.timeout.min(FOR_EVER);
        let addrs = timeout_at(end, self.target.resolve()).await.map_err(|_| late())??;
        let mut failed = None;
        for (tried, addr) in addrs.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(share(left, addrs.len() - tried), TcpStream::connect(addr)).await {
                Ok(Ok(stream)) => {
                    // Batches are made by us; waiting for the peer's acknowledgement of the last one
                    // is pure loss.
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(late()),
            }
        }
        Err(failed.unwrap_or_else(late))
    }

    fn target(&self) -> String {
        self.target.to_string()
    }

    fn server_name(&self) -> Option<String> {
        match (self.target.host(), self.target.addrs()) {
            (Some(host), _) => Some(host.to_owned()),
            (None, [addr]) => Some(addr.ip().to_string()),
            (None, _) => None,
        }
    }
}

/// How long the next of `addrs` addresses may take where so much time is left for all.
fn share(left: Duration, addrs: usize) -> Duration {
    (left / u32::try_from(addrs).unwrap_or(u32::MAX)).max(FAIR_SHARE.min(left))
}

/// Connects over a Unix socket.
#[cfg(unix)]
#[derive(Debug, Clone)]
pub struct Unix {
    path: std::path::PathBuf,
}

#[cfg(unix)]
impl Unix {
    /// Connects to the socket at this path.
    pub fn new(path: impl Into<std::path::PathBuf>) -> Self {
        Unix { path: path.into() }
    }
}

#[cfg(unix)]
impl Connector for Unix {
    type Stream = tokio::net::UnixStream;

    async fn connect(&self) -> io::Result<Self::Stream> {
        tokio::net::UnixStream::connect(&self.path).await
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }
}

/// Opens a tunnel with HTTP `CONNECT` on another connector's stream, as Go's `rpc.DialHTTP` does.
#[cfg(feature = "go")]
#[derive(Debug, Clone)]
pub struct HttpConnect<C> {
    inner: C,
    path: String,
}

#[cfg(feature = "go")]
impl<C: Connector> HttpConnect<C> {
    /// On Go's path, `/_goRPC_`.
    pub fn new(inner: C) -> Self {
        Self::with_path(inner, netrpc_core::dialect::http::DEFAULT_PATH)
    }

    /// On another path.
    pub fn with_path(inner: C, path: impl Into<String>) -> Self {
        HttpConnect { inner, path: path.into() }
    }
}

#[cfg(feature = "go")]
impl<C: Connector> Connector for HttpConnect<C> {
    type Stream = C::Stream;

    async fn connect(&self) -> io::Result<C::Stream> {
        use netrpc_core::dialect::http;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let mut stream = self.inner.connect().await?;
        stream.write_all(http::write_request(&self.path).as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        loop {
            // One byte at a time: what is behind the answer is not ours to read.
            answer.push(stream.read_u8().await?);
            if let Some(opened) = http::read_answer(&answer) {
                return opened.map(|_| stream).map_err(io::Error::other);
            }
        }
    }

    fn target(&self) -> String {
        self.inner.target()
    }

    fn server_name(&self) -> Option<String> {
        self.inner.server_name()
    }
}

/// Connects once, within a time.
pub(crate) async fn connect<C: Connector>(
    connector: &C,
    within: Duration,
) -> Result<C::Stream, Error> {
    let connected = match timeout(within, connector.connect()).await {
        Ok(connected) => connected,
        Err(_) => Err(too_late(within)),
    };
    connected.map_err(|cause| Error::Connect { addr: connector.target(), cause })
}

fn too_late(within: Duration) -> io::Error {
    let text =
        format!("it took longer than {} s (ClientBuilder::connect_timeout)", within.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_swallows_packets_leaves_time_for_the_others() {
        let seconds = Duration::from_secs;
        assert_eq!(share(seconds(10), 1), seconds(10), "the last one gets all that is left");
        assert_eq!(share(seconds(10), 4), Duration::from_millis(2500));
        assert_eq!(share(seconds(10), 100), FAIR_SHARE, "less would be too little for any");
        assert_eq!(share(seconds(1), 100), seconds(1), "and no more than there is");
    }
}
