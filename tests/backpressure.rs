//! What a client keeps is bounded, whatever its server does and however fast its callers are.

mod common;

use std::time::Duration;

use allocation_counter::measure;
use common::{Raw, encoded, poll_once, soon};
use netrpc::{Call, Client, Disconnected, Error};
use netrpc_core::wire::{self, Kind};
use tokio::{
    io::{DuplexStream, duplex},
    time::{Instant, timeout},
};

const PIPE: usize = 64 * 1024;

/// A client, and its server to be played by hand.
async fn setup(builder: netrpc::ClientBuilder) -> (Client, Raw<DuplexStream>) {
    let (ours, theirs) = duplex(PIPE);
    let client = builder.connect(ours);
    let mut server = Raw::new(theirs);
    server.greet().await;
    (client, server)
}

/// The bytes of a reply.
fn reply<T: serde::Serialize + ?Sized>(seq: u64, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    out.extend_from_slice(&encoded(value));
    wire::finish(&mut out, start, Kind::Reply, 0, seq, u32::MAX).expect("no limit");
    out
}

/// The numbers of the next requests.
async fn requests(server: &mut Raw<DuplexStream>, n: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < n {
        let frame = soon(server.frame()).await.expect("a request");
        assert_eq!(frame.kind, Kind::Request);
        seqs.push(frame.seq);
    }
    seqs
}

fn go<R: serde::de::DeserializeOwned>(client: &Client, n: u64) -> Call<R> {
    client.go("Any.Method", &n)
}

async fn failed<R>(mut call: Call<R>) -> Error
where
    R: serde::de::DeserializeOwned + std::fmt::Debug,
{
    match poll_once(&mut call).await {
        std::task::Poll::Ready(outcome) => outcome.unwrap_err(),
        std::task::Poll::Pending => panic!("it was taken"),
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_server_does_not_answer_are_bounded() {
    let (client, mut server) = setup(Client::builder().max_calls(100)).await;
    let mut calls: Vec<Call<u64>> = (0..100).map(|n| go(&client, n)).collect();
    let seqs = requests(&mut server, 100).await;
    let error = failed(go::<u64>(&client, 100)).await;
    assert!(matches!(error, Error::TooManyCalls { in_flight: 100, limit: 100 }), "{error:?}");
    assert!(!error.may_have_run());

    // Those who can wait do.
    let mut called = Box::pin(client.call::<_, u64>("Any.Method", &101));
    let mut ready = Box::pin(client.ready());
    assert!(poll_once(&mut called).await.is_pending());
    assert!(poll_once(&mut ready).await.is_pending());
    let nothing = timeout(Duration::from_secs(5), server.frame()).await;
    assert!(nothing.is_err(), "nothing is sent: {nothing:?}");

    // Room is made by an answer that is taken, or by a call that is given up.
    server.send(&reply(seqs[0], &7)).await;
    assert_eq!(calls.remove(0).await.unwrap(), 7);
    soon(&mut ready).await.unwrap();
    assert!(poll_once(&mut called).await.is_pending());
    let seq = requests(&mut server, 1).await[0];
    assert!(poll_once(&mut Box::pin(client.ready())).await.is_pending());
    drop(calls.pop());
    soon(client.ready()).await.unwrap();
    assert_eq!(soon(server.frame()).await.unwrap().kind, Kind::Cancel);
    server.send(&reply(seq, &8)).await;
    assert_eq!(soon(called).await.unwrap(), 8);
}

/// Whoever holds them all has only to take them; to wait would be for ever.
#[tokio::test(start_paused = true)]
async fn answers_that_only_the_caller_can_take_are_an_error_and_not_a_wait() {
    let (client, mut server) = setup(Client::builder().max_calls(10)).await;
    let calls: Vec<Call<u64>> = (0..10).map(|n| go(&client, n)).collect();
    for seq in requests(&mut server, 10).await {
        server.send(&reply(seq, &1)).await;
    }
    let error = soon(client.ready()).await.unwrap_err();
    assert!(matches!(error, Error::TooManyCalls { in_flight: 10, limit: 10 }), "{error:?}");
    assert!(matches!(failed(go::<u64>(&client, 1)).await, Error::TooManyCalls { .. }));
    // A call that is awaited takes its own reply.
    let mut called = Box::pin(client.call::<_, u64>("Any.Method", &1));
    assert!(poll_once(&mut called).await.is_pending());
    let seq = requests(&mut server, 1).await[0];
    server.send(&reply(seq, &2)).await;
    assert_eq!(soon(called).await.unwrap(), 2);
    for call in calls {
        assert_eq!(call.await.unwrap(), 1);
    }
    soon(client.ready()).await.unwrap();
}

#[test]
fn a_million_calls_at_once_stay_within_their_bounds() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.unwrap();
    let (client, _server) = runtime.block_on(setup(Client::builder()));
    let mut calls = Vec::with_capacity(70_000);
    let mut refused = 0;
    let counted = measure(|| {
        runtime.block_on(async {
            for n in 0..1_000_000u64 {
                let mut call = go::<u64>(&client, n);
                if n < 70_000 || n % 1000 == 0 {
                    match poll_once(&mut call).await {
                        std::task::Poll::Ready(outcome) => {
                            let error = outcome.unwrap_err();
                            let full = matches!(
                                error,
                                Error::TooManyCalls { .. } | Error::QueueFull { .. }
                            );
                            assert!(full, "{error:?}");
                            refused += 1;
                        }
                        std::task::Poll::Pending => calls.push(call),
                    }
                }
            }
        });
    });
    assert!(refused > 4000, "{refused}");
    assert_eq!(calls.len(), 65_536, "ClientBuilder::max_calls");
    // Queued: some 40 bytes each; in the table: some 130; and doubled while they grow.
    assert!(counted.bytes_max < 40 << 20, "{} bytes at once", counted.bytes_max);
    println!("{} KiB at once", counted.bytes_max >> 10);
}

#[tokio::test(start_paused = true)]
async fn replies_that_nobody_takes_stay_with_the_server() {
    let (client, mut server) = setup(Client::builder().max_unread_bytes(128 * 1024)).await;
    let big = "x".repeat(16 * 1024);
    let calls: Vec<Call<String>> = (0..40).map(|n| go(&client, n)).collect();
    let seqs = requests(&mut server, 40).await;
    let mut sent = 0;
    for seq in &seqs {
        let frame = reply(*seq, &big);
        if timeout(Duration::from_secs(1), server.send(&frame)).await.is_err() {
            break;
        }
        sent += 1;
    }
    // The limit, what a read takes more than that, and what lies in the pipe.
    assert!((8..8 + 16 + 5).contains(&sent), "{sent} replies of 16 KiB were taken");
    let error = failed(go::<String>(&client, 1)).await;
    assert!(matches!(error, Error::TooMuchUnread { limit: 131_072, .. }), "{error:?}");
    assert!(matches!(client.ready().await, Err(Error::TooMuchUnread { .. })));

    let taken = async {
        let mut got = 0;
        for call in calls.into_iter().take(sent) {
            got += call.await.unwrap().len();
        }
        got
    };
    assert_eq!(soon(taken).await, sent * 16 * 1024);
    soon(client.ready()).await.unwrap();
}

/// The reply that is awaited may be behind all those that nobody takes.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_awaited_is_not_held_up_by_replies_that_are_not() {
    let (client, mut server) = setup(Client::builder().max_unread_bytes(32 * 1024)).await;
    let calls: Vec<Call<String>> = (0..50).map(|n| go(&client, n)).collect();
    let seqs = requests(&mut server, 50).await;
    let answering = tokio::spawn(async move {
        for seq in seqs.into_iter().rev() {
            server.send(&reply(seq, &"y".repeat(16 * 1024))).await;
        }
        server
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!answering.is_finished(), "nobody awaits anything: they stay there");
    // In the order in which they were made, against that of the answers.
    for call in calls {
        assert_eq!(soon(call).await.unwrap().len(), 16 * 1024);
    }
    let mut server = soon(answering).await.unwrap();
    let called = tokio::spawn(async move { client.call::<_, u64>("Any.Method", &1).await });
    let seq = requests(&mut server, 1).await[0];
    server.send(&reply(seq, &3)).await;
    assert_eq!(soon(called).await.unwrap().unwrap(), 3);
}

/// A small reply does not keep the buffer it was read into.
#[test]
fn small_replies_that_lie_long_cost_what_they_have() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (client, mut server) = runtime.block_on(setup(Client::builder()));
    let mut kept: Vec<Call<u64>> = Vec::with_capacity(1000);
    let counted = measure(|| {
        runtime.block_on(async {
            // One that nobody takes, and behind it so much that its buffer is full.
            for n in 0..1000 {
                kept.push(go(&client, n));
                let seq = requests(&mut server, 1).await[0];
                let mut awaited = Box::pin(client.call::<_, String>("Any.Method", &n));
                assert!(poll_once(&mut awaited).await.is_pending());
                let other = requests(&mut server, 1).await[0];
                let mut frames = reply(seq, &n);
                frames.extend(reply(other, &"z".repeat(30_000)));
                server.send(&frames).await;
                soon(awaited).await.unwrap();
            }
        });
    });
    println!("{} KiB kept", counted.bytes_current >> 10);
    assert!(counted.bytes_current < 8 << 20, "{} bytes kept", counted.bytes_current);
    runtime.block_on(async {
        for (n, call) in (0..).zip(kept) {
            assert_eq!(soon(call).await.unwrap(), n);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_is_given_up() {
    let (client, mut server) = setup(Client::builder()).await;
    let body = "x".repeat(1 << 20);
    let begun = Instant::now();
    let mut calls: Vec<Call<u64>> = (0..3).map(|_| client.go("Any.Method", &body)).collect();
    // Whatever it takes begins the time anew.
    for _ in 0..5 {
        assert!(timeout(Duration::from_secs(25), &mut calls[2]).await.is_err());
        let mut some = [0; 8 * 1024];
        tokio::io::AsyncReadExt::read_exact(&mut server.io, &mut some).await.unwrap();
    }
    for (n, call) in calls.into_iter().enumerate() {
        let error = timeout(Duration::from_secs(40), call).await.expect("it is given up");
        let Err(Error::Shutdown { may_have_run, cause }) = error else { panic!("{error:?}") };
        assert!(matches!(*cause, Disconnected::NotReading(_)), "{cause:?}");
        assert!(!may_have_run, "call {n} has not left whole");
    }
    assert_eq!(begun.elapsed().as_secs(), 5 * 25 + 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_waits_no_longer_for_a_server_that_does_not_read() {
    let (client, mut server) = setup(Client::builder()).await;
    client.go::<_, u64>("Any.Method", &"x".repeat(1 << 20)).detach();
    drop(client);
    tokio::time::sleep(Duration::from_secs(35)).await;
    let got = soon(server.rest()).await;
    assert!(got.len() < 100 * 1024, "{} bytes, and then the end", got.len());
}
