//! TLS: what crosses is encrypted, whoever proves nothing is not believed, and what is wrong is said.
//!
//! The tests make their certificates.
#![allow(unreachable_pub)] // their helpers are in files of their own

#[path = "../common/mod.rs"]
mod common;

mod authority;
mod calls;
mod errors;
#[cfg(feature = "go")]
mod go;
mod hostile;
mod identity;
mod reload;

use std::net::SocketAddr;

use authority::{Authority, Pair};
use netrpc::{
    Client, Context, Fault, Server, service,
    tls::{TlsClientConfig, TlsServerConfig},
};
use tokio::{io::DuplexStream, net::TcpListener};

struct Echo;

#[service]
impl Echo {
    fn bytes(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(bytes);
    }

    fn number(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }

    /// Whose certificate the caller has shown.
    fn who(&self, cx: &Context, (): (), reply: &mut String) -> Result<(), Fault> {
        let identity = cx.peer_identity().ok_or_else(|| Fault::new("somebody"))?;
        *reply = identity.to_string();
        Ok(())
    }

    async fn forever(&self, (): (), _: &mut ()) {
        std::future::pending::<()>().await;
    }
}

/// A server of `tls`, with nothing changed but what `change` does.
fn server(tls: &TlsServerConfig) -> Server {
    let server = Server::builder().tls(tls).build();
    server.register(Echo).unwrap();
    server
}

/// The TLS of a server named `localhost` that asks clients for nothing.
fn plain_server(authority: &Authority) -> TlsServerConfig {
    let (certificate, key) = authority.issue("localhost").sources();
    TlsServerConfig::builder().certificate(certificate, key).build().unwrap()
}

/// The TLS of a server named `localhost` that wants to know its clients.
fn mutual_server(authority: &Authority, clients: &Authority) -> TlsServerConfig {
    let (certificate, key) = authority.issue("localhost").sources();
    let builder = TlsServerConfig::builder().certificate(certificate, key);
    builder.require_client_certificates(clients.root()).build().unwrap()
}

/// The TLS of a client that trusts this authority alone.
fn trusting(authority: &Authority) -> TlsClientConfig {
    TlsClientConfig::builder().roots(authority.root()).build().unwrap()
}

/// The same with a certificate.
fn known(authority: &Authority, pair: &Pair) -> TlsClientConfig {
    let (certificate, key) = pair.sources();
    let builder = TlsClientConfig::builder().roots(authority.root()).certificate(certificate, key);
    builder.build().unwrap()
}

/// Dials a server by the name `localhost`.
async fn dial(addr: SocketAddr, tls: &TlsClientConfig) -> Result<Client, netrpc::Error> {
    Client::builder().tls(tls).dial(("localhost", addr.port())).await
}

/// Serves on a port of the address that `localhost` is.
async fn listen(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("localhost:0").await.expect("a loopback port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(server.serve(listener));
    addr
}

/// A pipe to a server, in memory.
fn pipe(server: &Server) -> (DuplexStream, tokio::task::JoinHandle<Served>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = server.clone();
    (ours, tokio::spawn(async move { server.serve_conn(theirs).await }))
}

/// What became of a connection.
type Served = Result<(), std::sync::Arc<netrpc::Disconnected>>;

/// How a connection ended that did not end well, in words.
fn how_it_ended(served: Result<Served, tokio::task::JoinError>) -> String {
    let cause = served.expect("it does not panic").expect_err("it did not end well");
    netrpc_core::error::chain(&*cause).to_string()
}

async fn is_alive(client: &Client) {
    assert_eq!(common::soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap(), 7);
}
