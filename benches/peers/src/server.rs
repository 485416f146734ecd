//! The server process: serves until its standard input ends.

use std::{fmt, process, thread};

use anyhow::{Result, bail};
use clap::ValueEnum;
use tokio::{net::TcpListener, runtime::Builder};

use crate::{
    allocations::allocations,
    link,
    system::{Peer, System, floor, netrpc, std_net, tarpc, tonic},
};

/// The threads of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flavor {
    /// As many workers as there are CPUs: what `#[tokio::main]` gives
    Default,
    /// One worker
    OneWorker,
    /// A current-thread runtime
    CurrentThread,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavor::Default => "default",
            Flavor::OneWorker => "1 worker",
            Flavor::CurrentThread => "current-thread",
        })
    }
}

/// Serves on a port of its own choice and prints its address; answers every line of the driver
/// with the number of its allocations.
pub fn run(system: System, flavor: Flavor) -> Result<()> {
    thread::spawn(|| {
        while matches!(link::listen(), Ok(true)) && link::say(&allocations().to_string()).is_ok() {}
        process::exit(0);
    });
    match system {
        System::Std => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            link::say(&listener.local_addr()?.to_string())?;
            std_net::serve(&listener)
        }
        System::Pipelined => serve::<floor::Pipelined>(flavor),
        System::Naive => serve::<floor::Naive>(flavor),
        System::Netrpc => serve::<netrpc::Netrpc>(flavor),
        System::Tarpc => serve::<tarpc::Tarpc>(flavor),
        System::Tonic => serve::<tonic::Tonic>(flavor),
        System::Go => bail!("Go's server is a program of its own"),
    }
}

fn serve<P: Peer>(flavor: Flavor) -> Result<()> {
    let mut builder = match flavor {
        Flavor::Default | Flavor::OneWorker => Builder::new_multi_thread(),
        Flavor::CurrentThread => Builder::new_current_thread(),
    };
    if flavor == Flavor::OneWorker {
        builder.worker_threads(1);
    }
    builder.enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        link::say(&listener.local_addr()?.to_string())?;
        // Connections are accepted on a worker, as in a program whose `main` does other things.
        tokio::spawn(P::serve(listener)).await?
    })
}
