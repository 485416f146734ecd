//! The client process: does what its workload says, and tells the driver what it has found.

mod blocking;
mod idle;
mod load;

use std::net::SocketAddr;

use anyhow::{Result, bail};
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::{
    link,
    system::{Peer, System, floor, netrpc, tarpc, tonic},
    workload::{Findings, Workload},
};

/// Does what `workload` says with a server at `addr`.
pub fn run(system: System, addr: SocketAddr, workload: &Workload) -> Result<()> {
    match system {
        System::Netrpc if workload.blocking.is_some() => blocking::netrpc(addr, workload),
        System::Std => blocking::std_net(addr, workload),
        System::Pipelined => drive::<floor::Pipelined>(addr, workload),
        System::Naive => drive::<floor::Naive>(addr, workload),
        System::Netrpc => drive::<netrpc::Netrpc>(addr, workload),
        System::Tarpc => drive::<tarpc::Tarpc>(addr, workload),
        System::Tonic => drive::<tonic::Tonic>(addr, workload),
        System::Go => bail!("Go's client is a program of its own"),
    }
}

fn drive<P: Peer>(addr: SocketAddr, workload: &Workload) -> Result<()> {
    let runtime = Runtime::new()?;
    // What an echo sends; its content does not matter.
    let payload = Bytes::from(vec![0x5a; workload.payload]);
    if workload.idle {
        let (findings, _clients) = idle::hold::<P>(&runtime, addr, workload, &payload)?;
        report(&findings)
    } else {
        report(&load::measure::<P>(&runtime, addr, workload, &payload)?)
    }
}

/// Tells the driver, and stays until it has seen what this process has used.
fn report(findings: &Findings) -> Result<()> {
    link::say(&serde_json::to_string(findings)?)?;
    link::listen()?;
    Ok(())
}
