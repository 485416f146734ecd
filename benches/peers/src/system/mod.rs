//! The systems: what each of them is called, and what the measurement asks of it.

pub mod floor;
pub mod go;
pub mod netrpc;
pub mod std_net;
pub mod tarpc;
mod tcp;
pub mod tonic;

use std::{fmt, future::Future, net::SocketAddr, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use clap::ValueEnum;
use tokio::net::TcpListener;

/// What is measured. The first one that takes part in a scenario is what its ratios refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum System {
    /// Length-prefixed echo on tokio TCP, one write per batch: what ratios refer to
    Pipelined,
    /// The same with one write per message
    Naive,
    /// Ping-pong on `std::net`: what the ratios of `blocking` refer to
    Std,
    /// This project
    Netrpc,
    /// tarpc with bincode
    Tarpc,
    /// tonic with prost
    Tonic,
    /// Go's net/rpc with gob, both ends in Go
    Go,
}

impl System {
    /// Whether it is measured even if it is not asked for: ratios refer to it.
    pub fn is_reference(self) -> bool {
        matches!(self, System::Pipelined | System::Std)
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Pipelined => "pipelined floor",
            System::Naive => "naive floor",
            System::Std => "std::net",
            System::Netrpc => "netrpc",
            System::Tarpc => "tarpc",
            System::Tonic => "tonic",
            System::Go => "Go net/rpc",
        })
    }
}

/// A system whose two ends run on tokio.
pub trait Peer: 'static {
    /// The client's end of a connection.
    type Client: Caller;

    /// Serves `listener` until the process ends.
    fn serve(listener: TcpListener) -> impl Future<Output = Result<()>> + Send;

    /// Opens one connection of its own.
    fn connect(addr: SocketAddr) -> impl Future<Output = Result<Self::Client>> + Send;
}

/// A caller's handle on a connection, which its clones share.
pub trait Caller: Clone + Send + Sync + 'static {
    /// `Arith.Multiply`.
    fn multiply(&mut self, a: i64, b: i64) -> impl Future<Output = Result<i64>> + Send;

    /// Sends `payload` and gives the length of what comes back.
    fn echo(&mut self, payload: &Bytes) -> impl Future<Output = Result<usize>> + Send;

    /// Calls a handler that blocks its thread for `time`.
    fn block(&mut self, time: Duration) -> impl Future<Output = Result<()>> + Send;
}
