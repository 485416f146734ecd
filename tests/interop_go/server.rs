//! Our servers: one for everything, one with another path, one that speaks gob only,
//! and one that takes little.

use std::{future::pending, net::SocketAddr};

use anyhow::Result;
use netrpc::{Protocol, Server, ServerBuilder};
use tokio::net::TcpListener;

use super::services;

/// Servers that live as long as the test.
pub struct OurServers {
    /// The one for everything.
    pub server: Server,
    pub addr: SocketAddr,
    /// Another path leads to its services.
    pub other: SocketAddr,
    /// It speaks gob only.
    pub restricted: SocketAddr,
    /// It takes 10,000 bytes.
    pub limited: SocketAddr,
}

impl OurServers {
    pub async fn start() -> Result<Self> {
        let (server, addr) = serve(builder()).await?;
        let (_, other) = serve(builder().http_path("/other/rpc")).await?;
        let (_, restricted) = serve(builder().protocols([Protocol::Gob])).await?;
        let (_, limited) = serve(builder().max_frame(10_000)).await?;
        Ok(OurServers { server, addr, other, restricted, limited })
    }
}

/// What the cases need.
pub fn builder() -> ServerBuilder {
    Server::builder().max_frame(64 << 20)
}

/// Serves all services on loopback until the runtime ends.
pub async fn serve(builder: ServerBuilder) -> Result<(Server, SocketAddr)> {
    serve_until(builder, pending()).await
}

/// The same until `end`, and then until all calls are done.
pub async fn serve_until(
    builder: ServerBuilder,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(Server, SocketAddr)> {
    let server = builder.build();
    services::register(&server)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener).with_graceful_shutdown(end));
    Ok((server, addr))
}
