//! How a client connects, and what it allows its server and its callers.

use std::{path::Path, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use super::Client;
use crate::{
    CallOptions, Error,
    transport::{self, Address},
};

/// The limits of one client's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientLimits {
    pub(super) max_frame: u32,
    pub(super) queued_bytes: usize,
    pub(super) handshake: Duration,
}

/// Configures a [`Client`] before it connects.
///
/// ```no_run
/// # use netrpc::{CallOptions, Client, Error};
/// # use std::time::Duration;
/// # async fn f() -> Result<(), Error> {
/// let client = Client::builder()
///     .max_frame(64 << 20)
///     .options(CallOptions::new().timeout(Duration::from_secs(2)))
///     .dial("localhost:1234")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it dials"]
pub struct ClientBuilder {
    limits: ClientLimits,
    options: CallOptions,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        let limits = ClientLimits {
            max_frame: netrpc_core::wire::DEFAULT_MAX_FRAME,
            queued_bytes: 16 << 20,
            handshake: Duration::from_secs(5),
        };
        ClientBuilder { limits, options: CallOptions::new() }
    }

    /// The largest request or reply, in bytes; 4 MiB unless set.
    ///
    /// A longer request fails with [`Error::TooLarge`] and is not sent; a longer reply is discarded
    /// as it arrives, and its call alone fails with [`Error::ReplyLost`].
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.limits.max_frame = bytes;
        self
    }

    /// How many bytes of requests may wait to be sent; 16 MiB unless set.
    ///
    /// While more wait, [`Client::call`] waits, and [`Client::go`], which cannot, fails with
    /// [`Error::QueueFull`].
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.limits.queued_bytes = bytes;
        self
    }

    /// How long the server may take to say that it speaks netrpc; 5 s unless set.
    ///
    /// The client does not wait for it: its first calls are on their way already, and are lost if
    /// the time is over.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handshake = timeout;
        self
    }

    /// The options of every call, where [`Client::with`] does not say otherwise.
    pub fn options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Connects over TCP; Go's `rpc.Dial("tcp", addr)`.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection.
    pub async fn dial(self, addr: impl Address) -> Result<Client, Error> {
        let stream = transport::dial(addr).await?;
        Ok(self.connect(stream))
    }

    /// Connects over a Unix socket; Go's `rpc.Dial("unix", path)`.
    ///
    /// # Errors
    /// [`Error::Connect`] if nobody listens there.
    #[cfg(unix)]
    pub async fn dial_unix(self, path: impl AsRef<Path>) -> Result<Client, Error> {
        let stream = transport::dial_unix(path.as_ref()).await?;
        Ok(self.connect(stream))
    }

    /// Speaks over a stream that is connected already; Go's `rpc.NewClient(conn)`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect<IO>(self, stream: IO) -> Client
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Client::start(stream, self.limits, self.options)
    }
}
