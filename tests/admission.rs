//! Who gets in: how many connections there may be, and what becomes of one too many.

mod common;

use std::{io, time::Duration};

use common::{Raw, encoded, soon};
use netrpc::{Client, Disconnected, Error, Listener, Peer, Server, service};
use netrpc_core::wire::{FaultCode, GoAwayBody, GoAwayCode, Kind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
    sync::{mpsc, oneshot},
};

struct Echo;

#[service]
impl Echo {
    fn number(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }
}

/// A listener on which the test connects from wherever it wants.
struct Scripted(mpsc::UnboundedReceiver<(DuplexStream, Peer)>);

impl Listener for Scripted {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
struct Connect(mpsc::UnboundedSender<(DuplexStream, Peer)>);

impl Connect {
    fn from(&self, addr: &str) -> DuplexStream {
        self.peer(Peer::Tcp(addr.parse().expect("an address")))
    }

    fn peer(&self, peer: Peer) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        self.0.send((theirs, peer)).expect("it listens");
        ours
    }
}

fn scripted() -> (Connect, Scripted) {
    let (connect, listener) = mpsc::unbounded_channel();
    (Connect(connect), Scripted(listener))
}

fn serve(server: &Server) -> Connect {
    server.register(Echo).expect("it is the first");
    let (connect, listener) = scripted();
    tokio::spawn(server.serve(listener));
    connect
}

async fn is_served(stream: DuplexStream) -> Client {
    let client = Client::new(stream);
    assert_eq!(soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap(), 7);
    client
}

/// What a peer is told that has said nothing yet.
async fn is_refused(stream: DuplexStream) -> String {
    let mut raw = Raw::new(stream);
    soon(raw.expect_preface()).await;
    let frame = soon(raw.frame()).await.expect("a go-away");
    assert_eq!(frame.kind, Kind::GoAway);
    let body = GoAwayBody::parse(frame.body_slice()).unwrap();
    assert_eq!(body.code, GoAwayCode::TooManyConnections);
    assert!(soon(raw.frame()).await.is_none(), "and is closed");
    body.message.to_owned()
}

async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// `[close.full]`
#[tokio::test(start_paused = true)]
async fn an_address_has_its_share_and_others_have_theirs() {
    let server = Server::builder().max_connections_per_peer(2).build();
    let connect = serve(&server);
    let first = is_served(connect.from("10.0.0.1:1")).await;
    let _second = is_served(connect.from("10.0.0.1:2")).await;
    let text = is_refused(connect.from("[::ffff:10.0.0.1]:3")).await;
    assert!(text.contains("limit is 2 (ServerBuilder::max_connections_per_peer)"), "{text}");
    for elsewhere in ["10.0.0.2:1", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", "[2001:db8::2]:1"] {
        // It stays connected: nobody hears of it if the client is dropped.
        std::mem::forget(is_served(connect.from(elsewhere)).await);
    }
    is_refused(connect.from("[2001:db8::ffff:3]:1")).await;
    for _ in 0..5 {
        std::mem::forget(is_served(connect.peer(Peer::Unix(None))).await);
    }
    let before = server.connections();
    first.close().await;
    until(|| server.connections() < before).await;
    is_served(connect.from("10.0.0.1:4")).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_takes_a_place_until_its_time_is_over() {
    let server = Server::builder().max_connections(1).build();
    let connect = serve(&server);
    let silent = connect.from("10.0.0.1:1");
    let text = is_refused(connect.from("10.0.0.2:1")).await;
    assert!(text.contains("limit is 1 (ServerBuilder::max_connections)"), "{text}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(server.connections(), 0);
    is_served(connect.from("10.0.0.2:1")).await;
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refused_connections_costs_a_bounded_number_of_tasks() {
    let server = Server::builder().max_connections(1).build();
    let connect = serve(&server);
    let client = is_served(connect.from("10.0.0.1:1")).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    // They read nothing, so none of them could be seen off quickly.
    let mut flood: Vec<_> = (0..5000).map(|_| connect.from("10.0.0.2:1")).collect();
    let mut most = 0;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        most = most.max(tasks() - before);
    }
    assert!((1..=64).contains(&most), "{most} tasks");
    assert_eq!(server.connections(), 1);
    // The last one is told no less than the first.
    is_refused(flood.pop().unwrap()).await;
    is_refused(flood.swap_remove(0)).await;
    assert_eq!(client.call::<_, u64>("Echo.Number", &8).await.unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_handed_over_counts_and_can_be_refused() {
    let server = Server::builder().max_connections(1).build();
    let connect = serve(&server);
    let client = is_served(connect.from("10.0.0.1:1")).await;
    let (ours, theirs) = duplex(1024);
    let refused = soon(server.serve_conn(theirs)).await.unwrap_err();
    assert!(
        matches!(*refused, Disconnected::TooManyConnections { limit: 1, of_peer: false }),
        "{refused}"
    );
    is_refused(ours).await;
    client.close().await;
    until(|| server.connections() == 0).await;
    let (ours, theirs) = duplex(1024);
    let serving = tokio::spawn(async move { server.serve_conn(theirs).await });
    is_served(ours).await.close().await;
    soon(serving).await.unwrap().unwrap();
}

/// A connection that nobody has accepted when the server is told to stop would be broken by closing the
/// listener; its client could not know whether the call it has sent along has run.
#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_to_be_accepted_when_the_server_stops_is_told_so() {
    let server = Server::new();
    server.register(Echo).unwrap();
    let (connect, listener) = scripted();
    let mut waiting: Vec<_> = (0..10).map(|_| Raw::new(connect.from("10.0.0.1:1"))).collect();
    let (stop, stopped) = oneshot::channel::<()>();
    stop.send(()).unwrap();
    let serving = tokio::spawn(server.serve(listener).with_graceful_shutdown(async {
        let _ = stopped.await;
    }));
    for raw in &mut waiting {
        soon(raw.greet()).await;
        raw.request(1, "Echo.Number", &encoded(&1)).await;
        let mut kinds = Vec::new();
        while kinds.len() < 3 {
            let frame = soon(raw.frame()).await.expect("a go-away, a ping and a fault");
            if frame.kind == Kind::Fault {
                let body = frame.body();
                let fault = netrpc_core::wire::FaultBody::parse(&body).unwrap();
                assert_eq!(fault.code, FaultCode::ShuttingDown);
            }
            kinds.push(frame.kind);
        }
        for kind in [Kind::GoAway, Kind::Ping, Kind::Fault] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
    }
    drop(waiting);
    soon(serving).await.unwrap();
    assert_eq!(server.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_peer_that_keeps_talking_gets_its_answer_and_no_more_time() {
    let server = Server::builder().max_connections(0).build();
    let connect = serve(&server);
    let (mut read, mut write) = tokio::io::split(connect.from("10.0.0.1:1"));
    let talking = tokio::spawn(async move {
        let mut said = 0u64;
        while write.write_all(&[0; 1000]).await.is_ok() {
            said += 1000;
        }
        said
    });
    let begun = tokio::time::Instant::now();
    let mut told = Vec::new();
    soon(read.read_to_end(&mut told)).await.unwrap();
    assert!(told.len() > 28, "{told:?}");
    // What it says is read and thrown away, for a second: time is paused as long as it speaks.
    talking.abort();
    let _ = talking.await;
    assert!(begun.elapsed() <= Duration::from_secs(2));
    let error = Client::new(connect.from("10.0.0.1:2"));
    let error = soon(error.call::<_, u64>("Echo.Number", &1)).await.unwrap_err();
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::GoAway { code: GoAwayCode::TooManyConnections, .. }));
}
