//! Calls over datagrams that get lost, doubled, delayed and changed.
#![cfg(feature = "macros")]
#![allow(unreachable_pub)] // helpers are in files of their own

#[path = "../common/mod.rs"]
mod common;

mod life;
mod limits;
mod raw;
#[cfg(feature = "sim")]
mod simulated;
mod way;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use netrpc::{Client, Error, Ledger, Reconnect, Server, service};
use tokio::net::UdpSocket;

/// Counts how often each call has run.
#[derive(Default)]
struct Tally {
    runs: Mutex<HashMap<u64, u32>>,
    total: AtomicU64,
    cancelled: Arc<AtomicU64>,
}

#[service]
impl Tally {
    fn add(&self, n: u64, reply: &mut u64) {
        self.note(n);
        *reply = n + 1;
    }

    async fn slow(&self, (n, ms): (u64, u64), reply: &mut u64) {
        /// Counts handlers that are dropped before they are done.
        struct Dropped(Option<Arc<AtomicU64>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                if let Some(cancelled) = &self.0 {
                    cancelled.fetch_add(1, Relaxed);
                }
            }
        }
        self.note(n);
        let mut dropped = Dropped(Some(self.cancelled.clone()));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        dropped.0 = None;
        *reply = n;
    }

    fn fill(&self, length: usize, reply: &mut Vec<u8>) {
        reply.resize(length, 7);
    }

    fn length(&self, bytes: Vec<u8>, reply: &mut usize) {
        *reply = bytes.len();
    }
}

impl Tally {
    fn note(&self, n: u64) {
        *self.runs.lock().unwrap().entry(n).or_default() += 1;
        self.total.fetch_add(1, Relaxed);
    }

    fn runs(&self, n: u64) -> u32 {
        self.runs.lock().unwrap().get(&n).copied().unwrap_or(0)
    }

    fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    fn cancelled(&self) -> u64 {
        self.cancelled.load(Relaxed)
    }
}

/// A server that serves datagrams on loopback.
struct Setup {
    server: Server,
    tally: Arc<Tally>,
    addr: SocketAddr,
}

impl Setup {
    async fn new() -> Self {
        Self::of(Server::builder().ledger(Ledger::volatile()).build()).await
    }

    async fn of(server: Server) -> Self {
        let tally = Arc::new(Tally::default());
        server.register(tally.clone()).unwrap();
        let (socket, addr) = socket().await;
        tokio::spawn(server.serve_datagrams(socket).unwrap());
        Setup { server, tally, addr }
    }
}

/// A socket on loopback.
async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// A client whose random choices are the same in each run.
async fn dial(addr: SocketAddr) -> Client {
    let builder = Client::builder().reconnect(Reconnect::new().seed(7));
    builder.dial_udp(addr).await.unwrap()
}

async fn add(client: &Client, n: u64) -> Result<u64, Error> {
    client.call("Tally.Add", &n).await
}
