//! tarpc with bincode over TCP, as its own examples set it up.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use futures_util::StreamExt;
use tarpc::{
    client, context,
    serde_transport::Transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
};
use tokio::net::TcpListener;

use super::{Caller, Peer, tcp};

/// tarpc.
pub enum Tarpc {}

#[tarpc::service]
pub trait Arith {
    async fn multiply(a: i64, b: i64) -> i64;
    async fn echo(payload: Bytes) -> Bytes;
    async fn block(time: Duration);
}

#[derive(Clone)]
struct Server;

impl Arith for Server {
    async fn multiply(self, _: context::Context, a: i64, b: i64) -> i64 {
        a.wrapping_mul(b)
    }

    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }

    async fn block(self, _: context::Context, time: Duration) {
        thread::sleep(time); // what this handler is for
    }
}

impl Peer for Tarpc {
    type Client = ArithClient;

    async fn serve(listener: TcpListener) -> Result<()> {
        loop {
            let stream = tcp::accept(&listener).await?;
            let channel = BaseChannel::with_defaults(Transport::from((stream, Bincode::default())));
            tokio::spawn(channel.execute(Server.serve()).for_each(async |response| {
                tokio::spawn(response);
            }));
        }
    }

    async fn connect(addr: SocketAddr) -> Result<ArithClient> {
        let transport = Transport::from((tcp::dial(addr).await?, Bincode::default()));
        Ok(ArithClient::new(client::Config::default(), transport).spawn())
    }
}

impl Caller for ArithClient {
    async fn multiply(&mut self, a: i64, b: i64) -> Result<i64> {
        Ok(ArithClient::multiply(self, context::current(), a, b).await?)
    }

    async fn echo(&mut self, payload: &Bytes) -> Result<usize> {
        Ok(ArithClient::echo(self, context::current(), payload.clone()).await?.len())
    }

    async fn block(&mut self, time: Duration) -> Result<()> {
        Ok(ArithClient::block(self, context::current(), time).await?)
    }
}
