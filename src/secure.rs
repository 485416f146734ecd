//! What stands between a stream and who uses it: TLS, where its owner has said so. Without the feature
//! `tls` it is nothing, and costs nothing.

use netrpc_core::{Caller, error::Disconnected};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Connector;
#[cfg(feature = "tls")]
use crate::tls::{self, TlsClientConfig, TlsServerConfig};

/// A stream, encrypted or not.
#[cfg(feature = "tls")]
pub(crate) type Stream<IO> = tls::Stream<IO>;
/// A stream.
#[cfg(not(feature = "tls"))]
pub(crate) type Stream<IO> = IO;

/// A connector, whose streams are encrypted or not.
#[cfg(feature = "tls")]
pub(crate) type Secured<C> = tls::Secured<C>;
/// A connector.
#[cfg(not(feature = "tls"))]
pub(crate) type Secured<C> = C;

/// A stream as it is.
pub(crate) fn in_the_clear<IO>(io: IO) -> Stream<IO> {
    #[cfg(feature = "tls")]
    return Stream::Plain(io);
    #[cfg(not(feature = "tls"))]
    return io;
}

/// What a server's connections begin with.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerTls {
    #[cfg(feature = "tls")]
    config: Option<TlsServerConfig>,
}

/// Why a connection is not served, and what its peer is sent.
pub(crate) struct TurnedAway {
    pub(crate) cause: Disconnected,
    pub(crate) farewell: Vec<u8>,
}

impl ServerTls {
    #[cfg(feature = "tls")]
    pub(crate) fn new(config: TlsServerConfig) -> Self {
        ServerTls { config: Some(config) }
    }

    /// Whether nothing is served in the clear.
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.config.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// Encrypts a stream that is in the clear, and finds out who is at its other end.
    ///
    /// # Errors
    /// If the peer does not want TLS, or does it wrong, or has not proved what it must.
    pub(crate) async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: &mut Stream<IO>,
        caller: &mut Caller,
    ) -> Result<(), TurnedAway> {
        #[cfg(feature = "tls")]
        if let Some(config) = &self.config {
            caller.identity = tls::accept(config, io).await?;
        }
        #[cfg(not(feature = "tls"))]
        let _ = (io, caller);
        Ok(())
    }
}

/// What a client's connections begin with.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientTls {
    #[cfg(feature = "tls")]
    config: Option<TlsClientConfig>,
}

impl ClientTls {
    #[cfg(feature = "tls")]
    pub(crate) fn new(config: TlsClientConfig) -> Self {
        ClientTls { config: Some(config) }
    }

    /// Whether nothing is sent in the clear.
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.config.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// A connector of streams like this; inside, our own protocol is spoken or another.
    pub(crate) fn connector<C: Connector>(&self, inner: C, native: bool) -> Secured<C> {
        #[cfg(feature = "tls")]
        return Secured::new(inner, self.tls(native));
        #[cfg(not(feature = "tls"))]
        {
            let _ = native;
            inner
        }
    }

    /// A stream like this, over one that is connected already.
    pub(crate) fn stream<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: IO,
        native: bool,
    ) -> Stream<IO> {
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls(native) {
            return tls.secure(io);
        }
        let _ = native;
        in_the_clear(io)
    }

    #[cfg(feature = "tls")]
    fn tls(&self, native: bool) -> Option<tls::Tls> {
        self.config.clone().map(|config| tls::Tls { config, native })
    }
}
