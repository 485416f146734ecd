//! A client's side: whom it trusts, and who it is.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    ALPN, Source, TlsError, VERSIONS, provider,
    rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier, pki_types::ServerName},
    server::misfit,
};

/// A client's TLS: whom it trusts, and the certificate by which it proves who it is, if it has one.
///
/// Cloning is cheap, and all clones are the same configuration.
///
/// ```no_run
/// # async fn f() -> anyhow::Result<()> {
/// use netrpc::{Client, tls::{Source, TlsClientConfig}};
///
/// let tls = TlsClientConfig::builder()
///     .roots(Source::file("ca.pem")) // whom to trust; without it, whom this machine trusts
///     .certificate(Source::file("client.pem"), Source::file("client.key")) // if servers ask for it
///     .build()?;
/// let client = Client::builder().tls(&tls).dial("db.internal:1234").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsClientConfig {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` if the user has made the configuration.
    recipe: Option<TlsClientConfigBuilder>,
    server_name: Option<ServerName<'static>>,
    /// For connections that begin now; locked to be read or replaced, no longer.
    current: Mutex<Made>,
}

#[derive(Clone)]
struct Made {
    native: Arc<ClientConfig>,
    /// The same without the name of our protocol, for Go's: a server would hold us to it.
    foreign: Arc<ClientConfig>,
}

impl TlsClientConfig {
    /// A configuration to be made from certificates.
    pub fn builder() -> TlsClientConfigBuilder {
        TlsClientConfigBuilder {
            roots: Vec::new(),
            system_roots: false,
            certificate: None,
            server_name: None,
        }
    }

    /// A configuration that somebody else has made, used as it is.
    ///
    /// What the [module](super) promises is then up to it, verification included.
    pub fn from_rustls(config: impl Into<Arc<ClientConfig>>) -> Self {
        let native = config.into();
        let made = Made { foreign: native.clone(), native };
        let inner = Inner { recipe: None, server_name: None, current: Mutex::new(made) };
        TlsClientConfig { inner: Arc::new(inner) }
    }

    /// The same with a server's name: the one that its certificate has to be for, whatever is dialled.
    ///
    /// # Errors
    /// If it is neither a DNS name nor an IP address.
    pub fn with_server_name(&self, name: &str) -> Result<Self, TlsError> {
        let inner = Inner {
            recipe: self.inner.recipe.clone(),
            server_name: Some(server_name(name)?),
            current: Mutex::new(self.inner.current.lock().clone()),
        };
        Ok(TlsClientConfig { inner: Arc::new(inner) })
    }

    /// Reads certificates, key and roots again where they came from, for connections that begin from
    /// now on: a client that reconnects does so with the new ones.
    ///
    /// It reads files, and waits for them.
    ///
    /// # Errors
    /// What is wrong with the new ones; the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Some(recipe) = &self.inner.recipe else {
            return Err(TlsError::new(
                "this configuration was made by `from_rustls`, and there is nothing to read again",
            ));
        };
        let made = recipe.read()?;
        let before = std::mem::replace(&mut *self.inner.current.lock(), made);
        drop(before); // not under the lock
        Ok(())
    }

    /// What a connection that begins now gets.
    pub(super) fn current(&self, native: bool) -> Arc<ClientConfig> {
        let made = self.inner.current.lock();
        if native { made.native.clone() } else { made.foreign.clone() }
    }

    /// The name that was set.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.inner.server_name.as_ref()
    }
}

impl fmt::Debug for TlsClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientConfig")
            .field("from", &self.inner.recipe)
            .field("server_name", &self.inner.server_name)
            .finish_non_exhaustive()
    }
}

/// Says what a [`TlsClientConfig`] is made from.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct TlsClientConfigBuilder {
    roots: Vec<Source>,
    system_roots: bool,
    /// The chain, and the key of its first.
    certificate: Option<(Source, Source)>,
    server_name: Option<String>,
}

impl TlsClientConfigBuilder {
    /// Trusts these authorities, and no others unless said: a company's own, usually. A certificate
    /// that signs itself is its own authority.
    pub fn roots(mut self, authorities: Source) -> Self {
        self.roots.push(authorities);
        self
    }

    /// Trusts whom this machine trusts, as is done anyway where no [`roots`](Self::roots) are given.
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are, as for OpenSSL and Go.
    pub fn system_roots(mut self) -> Self {
        self.system_roots = true;
        self
    }

    /// This client's certificate, those of its issuers behind it, and its private key: what it shows
    /// to servers that ask for it.
    pub fn certificate(mut self, chain: Source, key: Source) -> Self {
        self.certificate = Some((chain, key));
        self
    }

    /// The name that servers' certificates have to be for; the host that is dialled unless set. For
    /// a server that is reached by another name, or over a stream that has none.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads everything, and makes sure that it fits together.
    ///
    /// # Errors
    /// What cannot be read, or does not fit.
    pub fn build(self) -> Result<TlsClientConfig, TlsError> {
        let server_name = self.server_name.as_deref().map(server_name).transpose()?;
        let current = Mutex::new(self.read()?);
        Ok(TlsClientConfig { inner: Arc::new(Inner { recipe: Some(self), server_name, current }) })
    }

    fn read(&self) -> Result<Made, TlsError> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(self.trusted()?.into(), provider())
                .build()
                .map_err(|error| TlsError::because("no server could be verified", error))?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| TlsError::because("TLS 1.3 is not there", error))?
            .with_webpki_verifier(verifier);
        let mut foreign = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.certificates()?, key.key()?)
                .map_err(|error| TlsError::because(misfit(&error, chain, key), error))?,
        };
        foreign.enable_sni = true;
        let mut native = foreign.clone();
        native.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Made { native: Arc::new(native), foreign: Arc::new(foreign) })
    }

    fn trusted(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        for roots in &self.roots {
            roots.roots(&mut store)?;
        }
        if self.system_roots || self.roots.is_empty() {
            // One of them that is damaged is not reason enough to trust nobody.
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                let help = "no authority that this machine trusts was found: name some with \
                            TlsClientConfigBuilder::roots";
                return Err(match found.errors.into_iter().next() {
                    Some(error) => TlsError::because(help, error),
                    None => TlsError::new(help),
                });
            }
        }
        Ok(store)
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|error| {
        TlsError::because(format!("{name:?} is no name a certificate could be for"), error)
    })
}
