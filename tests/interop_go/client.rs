//! What the cases of our client have in common: the server they are about, calls, comparisons.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use netrpc::{Client, ClientBuilder, Error, Wire};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    matrix::Protocol,
    mortal::Mortal,
    text::{Text, brief},
    types::{Args, Reply},
};

/// The server that the cases are about, and those to be run.
#[derive(Clone)]
pub struct Target {
    pub protocol: Protocol,
    pub addr: SocketAddr,
    pub cases: Arc<[&'static str]>,
    /// The server, if it can be ended.
    pub mortal: Option<Arc<Mortal>>,
}

impl Target {
    pub fn builder(&self) -> ClientBuilder {
        let builder = Client::builder().max_frame(64 << 20).max_queued_bytes(64 << 20);
        match self.protocol {
            Protocol::Gob => builder.wire(Wire::Gob),
            Protocol::JsonRpc => builder.wire(Wire::JsonRpc),
            Protocol::Msgpack => builder.wire(Wire::MsgpackRpc),
            Protocol::Http => builder,
        }
    }

    pub async fn dial(&self) -> Result<Conn> {
        let builder = self.builder();
        let client = match self.protocol {
            Protocol::Http => builder.dial_http(self.addr).await?,
            _ => builder.dial(self.addr).await?,
        };
        Ok(Conn { client, protocol: self.protocol })
    }
}

/// A connection.
#[derive(Clone)]
pub struct Conn {
    pub client: Client,
    pub protocol: Protocol,
}

impl Conn {
    pub async fn call<A, R>(&self, method: &str, args: &A) -> Result<R>
    where
        A: Serialize + Text + ?Sized,
        R: DeserializeOwned,
    {
        let reply = self.client.call(method, args).await;
        reply
            .map_err(|error| anyhow::anyhow!("{}", error.chain()))
            .with_context(|| format!("{method}({})", brief(&args.text())))
    }

    /// Calls a method and compares its reply.
    pub async fn expect<A, R>(&self, method: &str, args: &A, want: &R) -> Result<()>
    where
        A: Serialize + Text + ?Sized,
        R: DeserializeOwned + Text,
    {
        let got: R = self.call(method, args).await?;
        ensure!(
            got.text() == want.text(),
            "{method}({}) = {}, want {}",
            brief(&args.text()),
            brief(&got.text()),
            brief(&want.text())
        );
        Ok(())
    }

    /// Echoes values and has them described by the service for their type.
    pub async fn same<T>(&self, service: &str, values: &[T]) -> Result<()>
    where
        T: Serialize + DeserializeOwned + Text,
    {
        for value in values {
            self.expect(&format!("{service}.Echo"), value, value).await?;
            self.expect(&format!("{service}.Text"), value, &value.text()).await?;
        }
        Ok(())
    }

    /// Calls a method that fails on the server, and compares the error; any text will do if none is wanted.
    /// Then the connection goes on.
    pub async fn refused<A>(&self, method: &str, args: &A, want: &str) -> Result<()>
    where
        A: Serialize + Text + ?Sized,
    {
        let error = self.client.call::<_, Reply>(method, args).await.err();
        // A Go server has nothing but words for what went wrong.
        let Some(Error::Method(fault)) = &error else {
            bail!("{method}({}): {error:?}", brief(&args.text()));
        };
        ensure!(
            !fault.message().is_empty() && (want.is_empty() || fault.message() == want),
            "{method}({}): {:?}, want {want:?}",
            brief(&args.text()),
            fault.message()
        );
        self.alive().await.with_context(|| format!("after {method}({})", brief(&args.text())))
    }

    /// The connection can be used.
    pub async fn alive(&self) -> Result<()> {
        self.expect("Arith.Add", &Args { a: 7, b: 8 }, &Reply { c: 15 }).await
    }

    /// A key of gates that no other case on this server has.
    pub fn key(&self, name: &str) -> String {
        static KEYS: AtomicUsize = AtomicUsize::new(0);
        let number = KEYS.fetch_add(1, Ordering::Relaxed);
        format!("{name} ours {} {number} ", self.protocol)
    }

    /// Returns when so many calls wait at gates whose keys begin so.
    pub async fn waiting(&self, prefix: &str, many: impl std::ops::RangeBounds<i64>) -> Result<()> {
        while !many.contains(&self.call("Gate.Waiting", prefix).await?) {}
        Ok(())
    }
}
