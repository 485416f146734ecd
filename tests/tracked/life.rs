//! Calls whose runtime ends, and servers that do.

use std::time::Duration;

use netrpc::{Ledger, Server};
use netrpc_core::wire::FaultCode;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::{
    calls::Fixture,
    common::{
        soon,
        tracked::{Asking, peer},
    },
};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_call_whose_runtime_ends_is_not_run_again() {
    let fixture = Fixture::new();
    let first = runtime();
    let (grant, asking) = first.block_on(async {
        let mut peer = peer(&fixture.server).await;
        let grant = peer.open().await;
        let asking = Asking::new(&grant, 1, "Counter.Wait", &());
        peer.send(&asking.frame(1)).await;
        fixture.has_begun().await;
        (grant, asking)
    });
    first.shutdown_timeout(Duration::from_secs(20));
    runtime().block_on(async {
        let mut peer = peer(&fixture.server).await;
        for wire_seq in [1, 2] {
            let unknown = soon(peer.ask(wire_seq, &asking)).await;
            assert_eq!(unknown.code(), FaultCode::OutcomeUnknown);
            assert!(unknown.standing.is_final);
        }
        // The session goes on, and so does its end.
        let next = Asking::new(&grant, 2, "Counter.Increment", &());
        assert_eq!(soon(peer.ask(3, &next)).await.reply::<usize>(), 2);
    });
    assert_eq!(fixture.runs(), 2);
}

#[test]
fn a_blocking_handler_that_outlives_its_runtime_is_not_run_again() {
    let fixture = Fixture::new();
    let first = runtime();
    let asking = first.block_on(async {
        let mut peer = peer(&fixture.server).await;
        let grant = peer.open().await;
        let asking = Asking::new(&grant, 1, "Counter.Block", &());
        peer.send(&asking.frame(1)).await;
        fixture.has_begun().await;
        asking
    });
    first.shutdown_background();
    runtime().block_on(async {
        let mut peer = peer(&fixture.server).await;
        // It runs yet, so whoever asks waits.
        peer.send(&asking.frame(1)).await;
        while fixture.server.ledger_stats().unwrap().joined == 0 {
            tokio::task::yield_now().await;
        }
        fixture.gate.add_permits(1);
        let unknown = soon(peer.answered(1)).await;
        assert_eq!(unknown.code(), FaultCode::Pending, "its task is gone, which had its answer");
        assert!(!unknown.standing.is_final);
        assert_eq!(soon(peer.ask(2, &asking)).await.code(), FaultCode::OutcomeUnknown);
    });
    assert_eq!(fixture.runs(), 1);
}

#[test]
fn sessions_end_in_time_when_the_runtime_of_their_timer_has_ended() {
    let ledger = Ledger::volatile().lease(Duration::from_millis(20));
    let fixture = Fixture::with(Server::builder().ledger(ledger));
    let first = runtime();
    let grant = first.block_on(async { peer(&fixture.server).await.open().await });
    first.shutdown_timeout(Duration::from_secs(20));
    runtime().block_on(async {
        let mut peer = peer(&fixture.server).await;
        // Another timer, which ends the session before too.
        peer.open().await;
        while fixture.server.ledger_stats().unwrap().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asking = Asking::new(&grant, 1, "Counter.Increment", &());
        assert_eq!(soon(peer.ask(1, &asking)).await.code(), FaultCode::SessionExpired);
    });
}

#[tokio::test]
async fn a_server_that_has_shut_down_can_serve_again() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serve = fixture.server.serve(listener).with_graceful_shutdown(std::future::ready(()));
    soon(serve).await;
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(1, &asking)).await.reply::<usize>(), 1);
}

#[tokio::test]
async fn a_ledger_tells_what_it_has_done() {
    let fixture = Fixture::new();
    assert_eq!(Server::new().ledger_stats(), None);
    let mut first = peer(&fixture.server).await;
    let grant = first.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    for wire_seq in 1..=3 {
        soon(first.ask(wire_seq, &asking)).await;
    }
    first.send(&Asking::new(&grant, 2, "Counter.Wait", &()).frame(4)).await;
    fixture.has_begun().await;
    let mut second = peer(&fixture.server).await;
    second.send(&Asking::new(&grant, 2, "Counter.Wait", &()).frame(1)).await;
    soon(first.answered(4)).await;
    soon(first.ask(5, &Asking::new(&grant, 1, "Counter.Fail", &()))).await;
    let stats = fixture.server.ledger_stats().unwrap();
    assert_eq!((stats.sessions, stats.calls), (1, 2));
    assert_eq!((stats.accepted, stats.replayed, stats.joined), (2, 2, 1));
    assert_eq!((stats.refused, stats.interrupted), (1, 0));
    assert!(stats.bytes > 2 * 128);
}
