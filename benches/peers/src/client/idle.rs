//! Connections that have made one call each and then stay open.

use std::{net::SocketAddr, time::Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::{
    link,
    system::{Caller, Peer},
    workload::{Findings, Workload},
};

/// Opens the connections of `workload` once the driver says so, and gives them back with what it
/// has found. One is there before: what is needed once belongs to no connection.
pub(super) fn hold<P: Peer>(
    runtime: &Runtime,
    addr: SocketAddr,
    workload: &Workload,
    payload: &Bytes,
) -> Result<(Findings, Vec<P::Client>)> {
    let open = || {
        runtime.block_on(async {
            let mut client = P::connect(addr).await?;
            if payload.is_empty() {
                client.multiply(6, 7).await?;
            } else {
                client.echo(payload).await?;
            }
            anyhow::Ok(client)
        })
    };
    let mut clients = Vec::with_capacity(1 + workload.connections);
    clients.push(open()?);
    link::say("warm")?;
    link::listen()?;
    let began = Instant::now();
    for _ in 0..workload.connections {
        clients.push(open()?);
    }
    let findings = Findings {
        calls: workload.connections as u64,
        seconds: began.elapsed().as_secs_f64(),
        ..Findings::default()
    };
    link::say("over")?;
    Ok((findings, clients))
}
