//! One service over TCP and over UDP at once, and what UDP asks of a call.
//!
//! ```text
//! cargo run --example datagrams
//! ```
//!
//! prints
//!
//! ```text
//! over TCP: 56
//! over UDP: 56
//! every third datagram is lost now
//! 20 deposits were answered, and the balance is 20
//! each ran once, though datagrams were lost
//! a text of 5000 bytes does not fit: it was not sent, and has not run
//! ```
//!
//! A call over UDP is one datagram, and so is its reply. Datagrams get lost: here by a relay between the client and
//! the server. Under `Semantics::Maybe` a call whose request or reply was lost ends with its deadline, and nobody
//! knows whether it has run. Under `AtMostOnce` it is sent again under the same number until it is answered, and the
//! server, which keeps a ledger, runs it once.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use netrpc::{CallOptions, Client, Error, Ledger, Semantics, Server, service};
use tokio::net::{TcpListener, UdpSocket};

#[derive(Default)]
struct Bank {
    balance: AtomicU64,
}

#[service]
impl Bank {
    fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) {
        *reply = a * b;
    }

    fn deposit(&self, amount: u64, balance: &mut u64) {
        *balance = self.balance.fetch_add(amount, Relaxed) + amount;
    }

    fn note(&self, text: String, length: &mut usize) {
        *length = text.len();
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bank = Arc::new(Bank::default());
    let server = Server::builder().ledger(Ledger::volatile()).build();
    server.register(bank.clone())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let tcp = listener.local_addr()?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let udp = socket.local_addr()?;
    tokio::spawn(server.serve(listener));
    tokio::spawn(server.serve_datagrams(socket)?);

    let client = Client::dial(tcp).await?;
    println!("over TCP: {}", client.call::<_, i64>("Bank.Multiply", &(7, 8)).await?);
    let client = Client::dial_udp(udp).await?;
    println!("over UDP: {}", client.call::<_, i64>("Bank.Multiply", &(7, 8)).await?);

    let (relay, lost) = lossy(udp).await?;
    println!("every third datagram is lost now");
    let client = Client::dial_udp(relay).await?;
    let options = CallOptions::new().semantics(Semantics::AtMostOnce);
    let client = client.with(options.timeout(Duration::from_secs(60)));
    let deposits: Vec<_> = (0..20).map(|_| client.go::<_, u64>("Bank.Deposit", &1u64)).collect();
    let mut answered = 0;
    for deposit in deposits {
        deposit.await?;
        answered += 1;
    }
    let balance = bank.balance.load(Relaxed);
    println!("{answered} deposits were answered, and the balance is {balance}");
    assert!(lost.load(Relaxed) > 0);
    println!("each ran once, though datagrams were lost");

    let error = client.call::<_, usize>("Bank.Note", &"x".repeat(5000)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)) && !error.may_have_run());
    println!("a text of 5000 bytes does not fit: it was not sent, and has not run");
    Ok(())
}

/// A way to the server on which every third datagram is lost, and how many were.
async fn lossy(server: SocketAddr) -> anyhow::Result<(SocketAddr, Arc<AtomicU64>)> {
    let relay = UdpSocket::bind("127.0.0.1:0").await?;
    let addr = relay.local_addr()?;
    let lost = Arc::new(AtomicU64::new(0));
    let count = lost.clone();
    tokio::spawn(async move {
        let (mut client, mut number) = (server, 0);
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = relay.recv_from(&mut datagram).await {
            number += 1;
            let to = if from == server { client } else { server };
            if from != server {
                client = from;
            }
            if number % 3 == 0 {
                count.fetch_add(1, Relaxed);
            } else {
                let _ = relay.send_to(&datagram[..length], to).await;
            }
        }
    });
    Ok((addr, lost))
}
