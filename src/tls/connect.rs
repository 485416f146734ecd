//! A client's handshake.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{
    Stream, TlsClientConfig,
    explain::{Side, of_handshake},
    rustls::pki_types::ServerName,
};
use crate::Connector;

/// A connector whose streams are encrypted if its client has TLS: all of them, at every attempt.
pub(crate) struct Secured<C> {
    inner: C,
    tls: Option<Tls>,
}

/// A client's TLS, and what it speaks inside.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: TlsClientConfig,
    /// Whether it is our own protocol.
    pub(crate) native: bool,
}

impl<C: Connector> Secured<C> {
    pub(crate) fn new(inner: C, tls: Option<Tls>) -> Self {
        Secured { inner, tls }
    }
}

impl<C: Connector> Connector for Secured<C> {
    type Stream = Stream<C::Stream>;

    async fn connect(&self) -> io::Result<Self::Stream> {
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(self.inner.connect().await?));
        };
        let name = tls.server_name(self.inner.server_name())?;
        let io = self.inner.connect().await?;
        match tls.connector().connect(name, io).await {
            Ok(stream) => Ok(Stream::tls(stream.into())),
            Err(error) => Err(of_handshake(error, Side::Client)),
        }
    }

    fn target(&self) -> String {
        self.inner.target()
    }

    fn server_name(&self) -> Option<String> {
        self.inner.server_name()
    }
}

impl Tls {
    /// Encrypts a stream that is connected already, as soon as it is used.
    pub(crate) fn secure<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO) -> Stream<IO> {
        match self.server_name(None) {
            Ok(name) => Stream::Connecting(Box::new(self.connector().connect(name, io))),
            Err(error) => Stream::Failed(Some(error)),
        }
    }

    fn connector(&self) -> TlsConnector {
        self.config.current(self.native).into()
    }

    /// The name the server's certificate has to be for.
    fn server_name(&self, dialled: Option<String>) -> io::Result<ServerName<'static>> {
        if let Some(name) = self.config.server_name() {
            return Ok(name.clone());
        }
        let help = "set TlsClientConfigBuilder::server_name";
        let Some(dialled) = dialled else {
            let text =
                format!("nothing says which name the server's certificate has to be for: {help}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        ServerName::try_from(dialled.clone()).map_err(|_| {
            let text = format!("no certificate can be for {dialled:?}: {help}");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }
}
