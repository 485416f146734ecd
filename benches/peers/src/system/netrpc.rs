//! netrpc itself, as its users write it.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use netrpc::{Client, Server, service};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{Caller, Peer};

/// This project.
pub enum Netrpc {}

/// The arguments of `Arith.Multiply`, as in the example of Go's package.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Args {
    pub a: i64,
    pub b: i64,
}

/// The service.
pub struct Arith;

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a.wrapping_mul(args.b);
    }

    fn echo(&self, payload: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(payload);
    }

    fn block(&self, time: Duration, _: &mut ()) {
        thread::sleep(time); // what this handler is for
    }
}

impl Peer for Netrpc {
    type Client = Client;

    async fn serve(listener: TcpListener) -> Result<()> {
        // Loopback is one address, and more than 1000 connections come from it.
        let server = Server::builder().max_connections_per_peer(10_000).build();
        server.register(Arith)?;
        server.serve(listener).await;
        Ok(())
    }

    async fn connect(addr: SocketAddr) -> Result<Client> {
        Ok(Client::dial(addr).await?)
    }
}

impl Caller for Client {
    async fn multiply(&mut self, a: i64, b: i64) -> Result<i64> {
        Ok(self.call("Arith.Multiply", &Args { a, b }).await?)
    }

    async fn echo(&mut self, payload: &Bytes) -> Result<usize> {
        let reply: Bytes = self.call("Arith.Echo", payload).await?;
        Ok(reply.len())
    }

    async fn block(&mut self, time: Duration) -> Result<()> {
        Ok(self.call("Arith.Block", &time).await?)
    }
}
