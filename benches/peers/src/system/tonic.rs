//! tonic with prost, with its own defaults.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{self, server::TcpIncoming},
};

use super::{Caller, Peer};

use generated::{arith_client::ArithClient, arith_server};

/// tonic.
pub enum Tonic {}

/// What `build.rs` has written.
#[allow(unused_qualifications)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.Arith.rs"));
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Factors {
    #[prost(int64, tag = "1")]
    a: i64,
    #[prost(int64, tag = "2")]
    b: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Product {
    #[prost(int64, tag = "1")]
    product: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Time {
    #[prost(uint64, tag = "1")]
    nanoseconds: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}

struct Arith;

#[tonic::async_trait]
impl arith_server::Arith for Arith {
    async fn multiply(&self, request: Request<Factors>) -> Result<Response<Product>, Status> {
        let Factors { a, b } = request.into_inner();
        Ok(Response::new(Product { product: a.wrapping_mul(b) }))
    }

    async fn echo(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn block(&self, request: Request<Time>) -> Result<Response<Nothing>, Status> {
        let time = Duration::from_nanos(request.into_inner().nanoseconds);
        thread::sleep(time); // what this handler is for
        Ok(Response::new(Nothing {}))
    }
}

impl Peer for Tonic {
    type Client = ArithClient<transport::Channel>;

    async fn serve(listener: TcpListener) -> Result<()> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let service = arith_server::ArithServer::new(Arith);
        transport::Server::builder().add_service(service).serve_with_incoming(incoming).await?;
        Ok(())
    }

    async fn connect(addr: SocketAddr) -> Result<Self::Client> {
        Ok(ArithClient::connect(format!("http://{addr}")).await?)
    }
}

impl Caller for ArithClient<transport::Channel> {
    async fn multiply(&mut self, a: i64, b: i64) -> Result<i64> {
        Ok(ArithClient::multiply(self, Factors { a, b }).await?.into_inner().product)
    }

    async fn echo(&mut self, payload: &Bytes) -> Result<usize> {
        let payload = Payload { bytes: payload.clone() };
        Ok(ArithClient::echo(self, payload).await?.into_inner().bytes.len())
    }

    async fn block(&mut self, time: Duration) -> Result<()> {
        let time = Time { nanoseconds: u64::try_from(time.as_nanos())? };
        ArithClient::block(self, time).await?;
        Ok(())
    }
}
