//! How many bytes one of netrpc's calls sends each way.

use anyhow::{Context, Result};
use netrpc::{Client, Server};
use tokio::{
    io::{copy_bidirectional, duplex},
    runtime::Builder,
};

use crate::system::{Caller, netrpc::Arith, std_net::Sizes};

/// Of `Arith.Multiply`, without what a connection begins and ends with.
pub fn multiply() -> Result<Sizes> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (once, twice) = runtime.block_on(async { anyhow::Ok((sent(1).await?, sent(2).await?)) })?;
    let bytes = |twice: u64, once: u64| {
        let bytes = twice.checked_sub(once).context("a call sends bytes")?;
        anyhow::Ok(usize::try_from(bytes)?)
    };
    Ok(Sizes { request: bytes(twice.0, once.0)?, reply: bytes(twice.1, once.1)? })
}

/// The bytes both ways of a connection that makes so many calls.
async fn sent(calls: usize) -> Result<(u64, u64)> {
    const BUFFER: usize = 64 * 1024;
    let server = Server::new();
    server.register(Arith)?;
    let (near, mut near_end) = duplex(BUFFER);
    let (mut far_end, far) = duplex(BUFFER);
    let served = tokio::spawn(async move { server.serve_conn(far).await });
    let copied = tokio::spawn(async move { copy_bidirectional(&mut near_end, &mut far_end).await });
    let mut client = Client::new(near);
    for _ in 0..calls {
        client.multiply(6, 7).await?;
    }
    drop(client);
    served.await??;
    Ok(copied.await??)
}
