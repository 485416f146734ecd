//! TLS, with the feature `tls`: nothing is sent or taken that is not encrypted, and nobody is believed
//! to be who he says without proof.
//!
//! ```
//! # use netrpc::{service, Client, Server};
//! # struct Arith;
//! # #[service]
//! # impl Arith {
//! #     fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) { *reply = a * b; }
//! # }
//! use netrpc::tls::{Source, TlsClientConfig, TlsServerConfig};
//!
//! # #[tokio::main]
//! # async fn main() -> anyhow::Result<()> {
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//! # let authority = certificate.clone();
//! let tls = TlsServerConfig::builder()
//!     .certificate(Source::bytes(certificate), Source::bytes(key)) // or `Source::file("server.pem")`
//!     .build()?;
//! let server = Server::builder().tls(&tls).build();
//! # server.register(Arith)?;
//! # let listener = tokio::net::TcpListener::bind("localhost:0").await?;
//! # let port = listener.local_addr()?.port();
//! # tokio::spawn(server.serve(listener));
//!
//! let tls = TlsClientConfig::builder().roots(Source::bytes(authority)).build()?;
//! let client = Client::builder().tls(&tls).dial(("localhost", port)).await?;
//! let product: i64 = client.call("Arith.Multiply", &(7, 8)).await?;
//! # assert_eq!(product, 56);
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | version | TLS 1.3 only: every Go since 1.12 and every Rust speaks it, nothing can be talked down to something weaker, and client certificates do not cross in the clear |
//! | a client verifies | the chain up to a root it trusts, the dates, and the name it has dialled; this cannot be switched off |
//! | a server verifies | clients' certificates, if it is told to ([`TlsServerConfigBuilder::require_client_certificates`]); [`Context::peer_identity`](crate::Context::peer_identity) says who it is |
//! | without TLS | a server that has TLS serves nobody in the clear, on no listener and no stream |
//! | protocol name | `netrpc/1` by ALPN, if both sides name any; a browser is refused, a Go program that names none is not |
//! | replay | early data (0-RTT) is off, so that nobody can send a recorded call again |
//! | sessions | resumed for an hour or so, except where clients prove who they are: there each connection is verified anew |
//! | key log | never; `SSLKEYLOGFILE` is not looked at |
//!
//! Whatever else one needs, one's own [`rustls`] configuration has: [`TlsServerConfig::from_rustls`],
//! [`TlsClientConfig::from_rustls`].

mod accept;
mod client;
mod connect;
mod error;
mod explain;
mod names;
mod server;
mod source;
mod stream;

use std::sync::{Arc, LazyLock};

pub use tokio_rustls::rustls;

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider};

pub(crate) use accept::accept;
pub use client::{TlsClientConfig, TlsClientConfigBuilder};
pub(crate) use connect::{Secured, Tls};
pub use error::TlsError;
pub use server::{TlsServerConfig, TlsServerConfigBuilder};
pub use source::Source;
pub(crate) use stream::Stream;

/// How the protocol is called in ALPN.
///
/// It keeps a connection that was meant for another service of the same name from being taken for
/// one of ours, and the other way round (ALPACA).
pub const ALPN: &[u8] = b"netrpc/1";

/// What is spoken.
static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The cryptography: ours, whatever else in the process has installed as its default.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}
