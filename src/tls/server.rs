//! A server's side: its certificate, and whom it lets prove what.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    ALPN, Source, TlsError, VERSIONS, provider,
    rustls::{
        self, RootCertStore, ServerConfig,
        server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

/// A server's TLS: its certificate, and whether clients have one.
///
/// Cloning is cheap, and all clones are the same configuration: one given to a
/// [`Server`](crate::Server), another kept to [`reload`](Self::reload) it.
///
/// ```
/// # fn main() -> anyhow::Result<()> {
/// use netrpc::{Server, tls::{Source, TlsServerConfig}};
///
/// # let dir = std::env::temp_dir().join(format!("netrpc-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # std::fs::write(dir.join("server.pem"), made.cert.pem())?;
/// # std::fs::write(dir.join("server.key"), made.signing_key.serialize_pem())?;
/// # std::fs::write(dir.join("clients-ca.pem"), made.cert.pem())?;
/// let file = |name: &str| Source::file(dir.join(name));
/// let tls = TlsServerConfig::builder()
///     .certificate(file("server.pem"), file("server.key"))
///     .require_client_certificates(file("clients-ca.pem"))
///     .build()?;
/// let server = Server::builder().tls(&tls).build();
/// // … and when the files have been replaced, at a signal or once a day:
/// tls.reload()?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsServerConfig {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` if the user has made the configuration.
    recipe: Option<TlsServerConfigBuilder>,
    /// For connections that begin now; locked to be read or replaced, no longer.
    current: Mutex<Arc<ServerConfig>>,
}

impl TlsServerConfig {
    /// A configuration to be made from certificates.
    pub fn builder() -> TlsServerConfigBuilder {
        TlsServerConfigBuilder { certificate: None, clients: Clients::Unasked, revoked: None }
    }

    /// A configuration that somebody else has made, used as it is.
    ///
    /// What the [module](super) promises is then up to it.
    pub fn from_rustls(config: impl Into<Arc<ServerConfig>>) -> Self {
        let inner = Inner { recipe: None, current: Mutex::new(config.into()) };
        TlsServerConfig { inner: Arc::new(inner) }
    }

    /// Reads certificates, key and authorities again where they came from: connections that begin
    /// from now on get the new ones, those that exist go on with theirs. Sessions of before are
    /// not resumed.
    ///
    /// It reads files, and waits for them.
    ///
    /// # Errors
    /// What is wrong with the new ones; the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Some(recipe) = &self.inner.recipe else {
            let help = "this configuration was made by `from_rustls`: give a new one to `replace`";
            return Err(TlsError::new(help));
        };
        self.replace(recipe.read()?);
        Ok(())
    }

    /// Replaces what [`from_rustls`](Self::from_rustls) was given, for connections that begin from now
    /// on.
    pub fn replace(&self, config: impl Into<Arc<ServerConfig>>) {
        let before = std::mem::replace(&mut *self.inner.current.lock(), config.into());
        drop(before); // not under the lock
    }

    /// What a connection that begins now gets.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.inner.current.lock().clone()
    }
}

impl fmt::Debug for TlsServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerConfig").field("from", &self.inner.recipe).finish_non_exhaustive()
    }
}

/// Says what a [`TlsServerConfig`] is made from.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct TlsServerConfigBuilder {
    /// The chain, and the key of its first.
    certificate: Option<(Source, Source)>,
    clients: Clients,
    revoked: Option<Source>,
}

/// What is asked of clients.
#[derive(Debug, Clone)]
enum Clients {
    Unasked,
    /// A certificate of one of these authorities, if they have one.
    Asked(Source),
    /// The same, or they are not served.
    Required(Source),
}

impl TlsServerConfigBuilder {
    /// The server's certificate, those of its issuers behind it, and its private key.
    pub fn certificate(mut self, chain: Source, key: Source) -> Self {
        self.certificate = Some((chain, key));
        self
    }

    /// Serves only clients with a certificate that one of these authorities has issued: mutual TLS.
    /// Handlers see whose it is in [`Context::peer_identity`](crate::Context::peer_identity).
    pub fn require_client_certificates(mut self, authorities: Source) -> Self {
        self.clients = Clients::Required(authorities);
        self
    }

    /// The same for clients that have a certificate; those without are served too, and have no
    /// identity. A certificate that is not in order is no better than here: it is refused.
    pub fn accept_client_certificates(mut self, authorities: Source) -> Self {
        self.clients = Clients::Asked(authorities);
        self
    }

    /// Refuses clients whose certificate is on one of these lists. Where an authority in the chain has
    /// no list here, or one that is out of date, nobody can be sure, and its clients are refused.
    pub fn revocation_lists(mut self, lists: Source) -> Self {
        self.revoked = Some(lists);
        self
    }

    /// Reads everything, and makes sure that it fits together.
    ///
    /// # Errors
    /// What is missing, cannot be read, or does not fit.
    pub fn build(self) -> Result<TlsServerConfig, TlsError> {
        let current = Mutex::new(Arc::new(self.read()?));
        Ok(TlsServerConfig { inner: Arc::new(Inner { recipe: Some(self), current }) })
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let (chain, key) = self.certificate.as_ref().ok_or_else(|| {
            TlsError::new("a server needs a certificate: TlsServerConfigBuilder::certificate")
        })?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| TlsError::because("TLS 1.3 is not there", error))?;
        let builder = match self.verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain.certificates()?, key.key()?)
            .map_err(|error| TlsError::because(misfit(&error, chain, key), error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        if !matches!(self.clients, Clients::Unasked) {
            // Who resumes a session proves only that he was verified once.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let (authorities, required) = match &self.clients {
            Clients::Unasked if self.revoked.is_some() => {
                return Err(TlsError::new(
                    "revocation lists are for clients' certificates, and none are asked for: \
                     TlsServerConfigBuilder::require_client_certificates",
                ));
            }
            Clients::Unasked => return Ok(None),
            Clients::Asked(authorities) => (authorities, false),
            Clients::Required(authorities) => (authorities, true),
        };
        let mut roots = RootCertStore::empty();
        authorities.roots(&mut roots)?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        if let Some(revoked) = &self.revoked {
            builder =
                builder.with_crls(revoked.revocation_lists()?).enforce_revocation_expiration();
        }
        if !required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| {
            TlsError::because("clients' certificates cannot be verified", error)
        })?;
        Ok(Some(verifier))
    }
}

/// What is wrong with a certificate and its key.
pub(super) fn misfit(error: &rustls::Error, chain: &Source, key: &Source) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("the key in {key} is not that of the certificate in {chain}")
        }
        _ => format!("the certificate in {chain} cannot be used with the key in {key}"),
    }
}
