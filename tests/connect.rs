//! How a client connects: addresses, connectors, and what is said when it cannot.

mod common;

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrpc::{Address, Client, Connector, Error, Server, Target, Tcp, service};
use tokio::io::{DuplexStream, duplex};

struct Echo;

#[service]
impl Echo {
    fn echo(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }
}

fn server() -> Server {
    let server = Server::new();
    server.register(Echo).unwrap();
    server
}

async fn refusal(addr: impl Address) -> (String, io::ErrorKind) {
    match Client::dial(addr).await.unwrap_err() {
        error @ Error::Connect { .. } => {
            let text = error.chain().to_string();
            let Error::Connect { cause, .. } = error else { unreachable!("just matched") };
            (text, cause.kind())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_one_is_told_what_it_lacks() {
    let cases = [
        ("localhost", "the port is missing: write \"localhost:1234\", with the server's own"),
        ("localhost:", "the port is missing: write \"localhost:1234\", with the server's own"),
        ("::1", "the port is missing: write \"[::1]:1234\", with the server's own"),
        (":1234", "the host is missing: write \"localhost:1234\""),
        ("localhost:http", "the port is a number from 0 to 65535, not \"http\""),
        ("localhost:65536", "the port is a number from 0 to 65535, not \"65536\""),
    ];
    for (addr, help) in cases {
        let said = refusal(addr).await;
        assert_eq!(
            said,
            (format!("cannot connect to {addr}: {help}"), io::ErrorKind::InvalidInput)
        );
    }
    let none: [SocketAddr; 0] = [];
    assert_eq!(refusal(&none[..]).await.1, io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_address_has_many_forms() {
    let addr = common::listen(&server()).await;
    let port = addr.port();
    let targets: [Target; 7] = [
        addr.target(),
        addr.to_string().target(),
        format!("localhost:{port}").target(),
        ("localhost", port).target(),
        ("127.0.0.1", port).target(),
        (addr.ip(), port).target(),
        vec![addr].target(),
    ];
    for target in targets {
        let client = Client::dial(&target).await.unwrap();
        assert_eq!(client.call::<_, u64>("Echo.Echo", &1).await.unwrap(), 1, "{target}");
    }
    assert_eq!("localhost:1".target().host(), Some("localhost"));
    assert_eq!(addr.target().addrs(), [addr]);
    assert_eq!(addr.target().to_string(), addr.to_string());
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let addr = common::listen(&server()).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    assert!(Client::dial(nobody).await.is_err());
    let client = Client::dial(&[nobody, addr][..]).await.unwrap();
    assert_eq!(client.call::<_, u64>("Echo.Echo", &1).await.unwrap(), 1);
}

/// Connects to a server in this process.
struct InMemory {
    server: Server,
    connected: Arc<AtomicUsize>,
}

impl Connector for InMemory {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        self.connected.fetch_add(1, Ordering::SeqCst);
        let (ours, theirs) = duplex(4096);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve_conn(theirs).await });
        Ok(ours)
    }
}

#[tokio::test]
async fn a_transport_of_ones_own_is_a_connector() {
    let connected = Arc::new(AtomicUsize::new(0));
    let connector = InMemory { server: server(), connected: connected.clone() };
    let client = Client::builder().connect_with(connector).await.unwrap();
    assert_eq!(client.call::<_, u64>("Echo.Echo", &1).await.unwrap(), 1);
    assert_eq!(connected.load(Ordering::SeqCst), 1);
    let failing = || async { Err::<DuplexStream, _>(io::Error::other("no carrier")) };
    let error = Client::builder().connect_with(failing).await.unwrap_err();
    assert_eq!(error.chain().to_string(), "cannot connect to the server: no carrier");
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_no_longer_than_it_may() {
    let begun = tokio::time::Instant::now();
    let never = || pending::<io::Result<DuplexStream>>();
    let error = Client::builder().connect_with(never).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert!(!error.may_have_run());
    assert_eq!(
        error.chain().to_string(),
        "cannot connect to the server: it took longer than 10 s (ClientBuilder::connect_timeout)"
    );
    let begun = tokio::time::Instant::now();
    let hasty = Client::builder().connect_timeout(Duration::from_millis(1500));
    let Error::Connect { cause, .. } = hasty.connect_with(never).await.unwrap_err() else {
        panic!("it cannot have connected");
    };
    assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed(), Duration::from_millis(1500));
}

#[cfg(feature = "go")]
#[tokio::test]
async fn a_tunnel_is_a_connector_around_another() {
    let addr = common::listen(&server()).await;
    let tunnel = netrpc::HttpConnect::new(Tcp::new(addr));
    let client = Client::builder().connect_with(tunnel).await.unwrap();
    assert_eq!(client.call::<_, u64>("Echo.Echo", &1).await.unwrap(), 1);
    let elsewhere = netrpc::HttpConnect::with_path(Tcp::new(addr), "/elsewhere");
    let error = Client::builder().connect_with(elsewhere).await.unwrap_err();
    assert!(error.chain().to_string().contains("404"), "{}", error.chain());
}
