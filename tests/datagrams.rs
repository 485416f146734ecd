//! Calls over datagrams that get lost, doubled, delayed and changed.

mod common;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use common::lossy::{Faults, Lossy};
use futures_util::future::join_all;
use netrpc::{CallOptions, Client, Error, Reconnect, Semantics, Server, service};
use tokio::net::UdpSocket;

/// Counts how often each call has run.
#[derive(Default)]
struct Tally {
    runs: Mutex<HashMap<u64, u32>>,
    total: AtomicU64,
}

#[service]
impl Tally {
    fn add(&self, n: u64, reply: &mut u64) {
        *self.runs.lock().unwrap().entry(n).or_default() += 1;
        self.total.fetch_add(1, Relaxed);
        *reply = n + 1;
    }

    async fn slow(&self, (n, ms): (u64, u64), reply: &mut u64) {
        *self.runs.lock().unwrap().entry(n).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(ms)).await;
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
    fn runs(&self, n: u64) -> u32 {
        self.runs.lock().unwrap().get(&n).copied().unwrap_or(0)
    }
}

struct Setup {
    server: Server,
    tally: Arc<Tally>,
    addr: std::net::SocketAddr,
}

impl Setup {
    async fn new() -> Self {
        let server = Server::new();
        let tally = Arc::new(Tally::default());
        server.register(tally.clone()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        tokio::spawn(server.serve_datagrams(socket).unwrap());
        Setup { server, tally, addr }
    }

    async fn client(&self, lossy: &Lossy) -> Client {
        let builder = Client::builder().reconnect(Reconnect::new().seed(7));
        builder.dial_udp(lossy.addr).await.unwrap()
    }
}

async fn add(client: &Client, n: u64) -> Result<u64, Error> {
    client.call("Tally.Add", &n).await
}

const BAD: Faults = Faults { lost: 20, doubled: 10, delay: 30, changed: 2 };

#[tokio::test(start_paused = true)]
async fn the_same_service_is_served_over_tcp_and_udp() {
    let setup = Setup::new().await;
    let over_udp = Client::dial_udp(setup.addr).await.unwrap();
    let over_tcp = common::dial(&setup.server).await;
    assert_eq!(over_udp.call::<_, u64>("Tally.Add", &1u64).await.unwrap(), 2);
    assert_eq!(over_tcp.call::<_, u64>("Tally.Add", &1u64).await.unwrap(), 2);
    assert_eq!(setup.tally.runs(1), 2);
    assert_eq!(setup.server.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn under_at_least_once_every_call_is_answered_over_a_bad_way() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, BAD, 42).await;
    let client = setup.client(&lossy).await;
    let client = client.with(CallOptions::new().semantics(Semantics::AtLeastOnce).no_timeout());
    let calls = (0..200u64).map(|n| add(&client, n));
    let replies = join_all(calls).await;
    for (n, reply) in (0..).zip(replies) {
        assert_eq!(reply.unwrap(), n + 1);
        assert!(setup.tally.runs(n) >= 1);
    }
    assert!(setup.tally.total.load(Relaxed) > 200, "some have run again");
    assert!(setup.server.datagram_counts().duplicates > 0);
}

#[tokio::test(start_paused = true)]
async fn under_maybe_what_is_lost_is_reported_as_unknown_and_nothing_runs_twice() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, BAD, 43).await;
    let client = setup.client(&lossy).await;
    let client = client.with(CallOptions::new().timeout(Duration::from_secs(5)));
    let mut replies = Vec::new();
    for few in (0..200u64).collect::<Vec<_>>().chunks(5) {
        replies.extend(join_all(few.iter().map(|n| add(&client, *n))).await);
    }
    let (mut answered, mut unknown) = (0, 0);
    for (n, reply) in (0..).zip(replies) {
        match reply {
            Ok(reply) => {
                assert_eq!((reply, setup.tally.runs(n)), (n + 1, 1));
                answered += 1;
            }
            Err(Error::Deadline { may_have_run: true }) => {
                assert!(setup.tally.runs(n) <= 1);
                unknown += 1;
            }
            Err(error) => {
                assert!(!error.may_have_run(), "{error}");
                assert_eq!(setup.tally.runs(n), 0);
            }
        }
    }
    assert!(answered > 80 && unknown > 20, "{answered} answered, {unknown} unknown");
    assert!(setup.server.datagram_counts().duplicates > 0);
}
