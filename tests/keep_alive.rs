//! A client notices that its server is gone without a word.

mod common;

use std::time::Duration;

use common::{Raw, encoded, network::Network};
use netrpc::{Client, ClientBuilder, Disconnected, Error, Reconnect, Server, service};
use netrpc_core::wire::{self, Kind};
use tokio::{
    io::{DuplexStream, duplex},
    time::{Instant, timeout},
};

struct Echo;

#[service]
impl Echo {
    fn echo(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }
}

async fn setup(builder: ClientBuilder) -> (Client, Raw<DuplexStream>) {
    let (ours, theirs) = duplex(4096);
    let client = builder.connect(ours);
    let mut server = Raw::new(theirs);
    server.greet().await;
    (client, server)
}

async fn next(server: &mut Raw<DuplexStream>) -> wire::Frame {
    timeout(Duration::from_secs(3600), server.frame()).await.expect("in an hour").expect("a frame")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_no_sign_of_life_is_given_up() {
    let (client, mut server) = setup(Client::builder()).await;
    let begun = Instant::now();
    let call = client.go::<_, u64>("Echo.Echo", &1);
    assert_eq!(next(&mut server).await.kind, Kind::Request);
    assert_eq!(next(&mut server).await.kind, Kind::Ping);
    assert_eq!(begun.elapsed().as_secs(), 30);
    let error = call.await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 50);
    assert!(error.may_have_run());
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::Silent(_)), "{cause:?}");
    assert!(client.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_call_may_take_as_long_as_it_likes_while_its_server_lives() {
    let (client, mut server) = setup(Client::builder()).await;
    let call = client.go::<_, u64>("Echo.Echo", &1);
    let seq = next(&mut server).await.seq;
    let begun = Instant::now();
    for _ in 0..100 {
        let ping = next(&mut server).await;
        assert_eq!(ping.kind, Kind::Ping);
        let mut pong = Vec::new();
        wire::write_pong(&mut pong, ping.seq);
        server.send(&pong).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(100 * 30));
    let mut reply = Vec::new();
    let start = wire::begin(&mut reply);
    reply.extend_from_slice(&encoded(&5));
    wire::finish(&mut reply, start, Kind::Reply, 0, seq, u32::MAX).unwrap();
    server.send(&reply).await;
    assert_eq!(call.await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_owes_nothing_is_asked_only_if_that_is_wanted() {
    let hour = Duration::from_secs(3600);
    let (client, mut server) = setup(Client::builder()).await;
    drop(client.go::<_, u64>("Echo.Echo", &1));
    assert_eq!(next(&mut server).await.kind, Kind::Request);
    assert_eq!(next(&mut server).await.kind, Kind::Cancel);
    assert!(timeout(hour, server.frame()).await.is_err());
    assert!(!client.is_closed());

    let (never, mut server) = setup(Client::builder().no_keep_alive()).await;
    let _call = never.go::<_, u64>("Echo.Echo", &1);
    assert_eq!(next(&mut server).await.kind, Kind::Request);
    assert!(timeout(hour, server.frame()).await.is_err());

    let often = Client::builder()
        .keep_alive(Duration::from_secs(3), Duration::from_secs(1))
        .keep_alive_while_idle(true);
    let (idle, mut server) = setup(often).await;
    let begun = Instant::now();
    assert_eq!(next(&mut server).await.kind, Kind::Ping);
    let mut state = idle.state();
    while state == netrpc::ConnectionState::Connected {
        state = idle.state_changed(state).await;
    }
    assert!((4..=7).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reconnects_leaves_a_dead_server() {
    let network = Network::default();
    let mut incoming = network.listen_raw();
    let builder = Client::builder().reconnect(Reconnect::new().seed(1));
    let client = builder.connect_with(network.clone()).await.unwrap();
    let mut dead = Raw::new(incoming.recv().await.unwrap());
    dead.greet().await;
    let error = client.call::<_, u64>("Echo.Echo", &1).await.unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: true, .. }), "{error:?}");
    let server = Server::new();
    server.register(Echo).unwrap();
    let _listening = network.listen(&server);
    assert_eq!(client.call::<_, u64>("Echo.Echo", &2).await.unwrap(), 2);
    assert_eq!(network.connected(), 2);
}
