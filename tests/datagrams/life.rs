//! How conversations begin and end.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use netrpc::{CallOptions, Client, ConnectionState, Error, Ledger, Semantics, Server};
use tokio::{net::UdpSocket, sync::oneshot, time::Instant};

use crate::{
    Setup, add,
    common::{
        lossy::{Faults, Lossy},
        soon,
    },
    dial, socket,
};

#[tokio::test]
async fn a_port_that_is_closed_is_known_at_once() {
    let (closed, addr) = socket().await;
    drop(closed);
    let error = soon(Client::dial_udp(addr)).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && !error.may_have_run(), "{error:?}");
    let text = error.chain().to_string();
    assert!(text.contains(&format!("udp:{addr}")) && text.contains("refused"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_is_given_up_when_the_time_is_over() {
    let (_silent, addr) = socket().await;
    let begun = Instant::now();
    let builder = Client::builder().connect_timeout(Duration::from_secs(3));
    let error = builder.dial_udp(addr).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 3);
}

/// A greeting that is lost is said again.
#[tokio::test(start_paused = true)]
async fn a_client_gets_through_to_a_server_though_half_of_the_tries_fail() {
    let setup = Setup::new().await;
    let faults = Faults { lost: 30, ..Faults::default() };
    for seed in 0..20 {
        let lossy = Lossy::to(setup.addr, faults, seed).await;
        let builder = Client::builder().connect_timeout(Duration::from_secs(600));
        let client = builder.dial_udp(lossy.addr).await.unwrap();
        client.state_changed(ConnectionState::Connecting).await;
        assert_eq!(client.state(), ConnectionState::Connected);
    }
}

/// What is on the way to a server that is not there any more is unknown; the client goes on when it is back.
#[tokio::test]
async fn a_server_that_is_gone_is_noticed_and_the_next_one_found() {
    let (at, addr) = socket().await;
    let serve = |socket: UdpSocket| {
        let setup = Setup {
            server: Server::builder().ledger(Ledger::volatile()).build(),
            tally: Default::default(),
            addr,
        };
        setup.server.register(setup.tally.clone()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = setup.server.serve_datagrams(socket).unwrap();
        let serving = tokio::spawn(serve.grace(Duration::ZERO).with_graceful_shutdown(async {
            let _ = stopped.await;
        }));
        (setup, stop, serving)
    };
    let (first, stop, serving) = serve(at);
    let client = Client::builder()
        .reconnect(netrpc::Reconnect::new().seed(7).first_delay(Duration::from_millis(5)))
        .dial_udp(addr)
        .await
        .unwrap();
    add(&client, 1).await.unwrap();
    let slow = client.go::<_, u64>("Tally.Slow", &(2u64, 600_000u64));
    while first.tally.runs(2) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    soon(serving).await.unwrap();
    let error = soon(slow).await.unwrap_err();
    assert!(error.may_have_run(), "{error:?}");

    // Nobody is there: the system says so, and what is sent is not answered.
    let client = client.with(CallOptions::new().timeout(Duration::from_secs(20)));
    let error = soon(add(&client, 3)).await.unwrap_err();
    assert!(matches!(error, Error::Shutdown { .. }), "{error:?}");

    let waiting = client.with(CallOptions::new().semantics(Semantics::AtLeastOnce));
    let call = waiting.go::<_, u64>("Tally.Add", &4u64);
    let again = UdpSocket::bind(addr).await.unwrap();
    let (second, _stop, _serving) = serve(again);
    assert_eq!(soon(call).await.unwrap(), 5);
    assert_eq!((first.tally.runs(4), second.tally.runs(4)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_answers_what_has_begun_and_takes_nothing_new() {
    let setup = Setup::new().await;
    let (socket, addr) = socket().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = setup.server.serve_datagrams(socket).unwrap().with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(serve);
    let lossy =
        Lossy::to(addr, Faults { lost: 30, doubled: 20, delay: 20, ..Faults::default() }, 46).await;
    let options = CallOptions::new().semantics(Semantics::AtLeastOnce);
    let builder = Client::builder().connect_timeout(Duration::from_secs(100));
    let client = builder.dial_udp(lossy.addr).await.unwrap().with(options);
    let slow = client.go::<_, u64>("Tally.Slow", &(1u64, 8000u64));
    while setup.tally.runs(1) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let text = Client::builder().dial_udp(addr).await.unwrap_err().chain().to_string();
    assert!(text.contains("the server is shutting down"), "{text}");
    assert_eq!(slow.await.unwrap(), 1, "it had begun");
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_cancels_its_handler_and_closing_a_client_all_of_them() {
    let setup = Setup::new().await;
    let client = dial(setup.addr).await;
    let calls: Vec<_> =
        (0..3u64).map(|n| client.go::<_, u64>("Tally.Slow", &(n, 1_000_000u64))).collect();
    let moment = || tokio::time::sleep(Duration::from_millis(100));
    moment().await;
    assert_eq!((setup.tally.total(), setup.tally.cancelled()), (3, 0));
    let mut calls = calls.into_iter();
    drop(calls.next());
    moment().await;
    assert_eq!(setup.tally.cancelled(), 1);
    client.close().await;
    moment().await;
    assert_eq!((setup.tally.cancelled(), setup.server.connections()), (3, 0));
    for call in calls {
        assert!(call.await.unwrap_err().may_have_run());
    }
}

/// A client that is done says goodbye, and what it has detached is done yet.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_leaves_in_peace() {
    let setup = Setup::new().await;
    let client = dial(setup.addr).await;
    client.go::<_, u64>("Tally.Slow", &(1u64, 500u64)).detach();
    drop(client);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((setup.tally.runs(1), setup.tally.cancelled()), (1, 0));
    assert_eq!(setup.server.connections(), 0);
}

/// A question for a sign of life is asked again: that it was lost says nothing about the client.
#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_idle_outlives_a_lossy_way() {
    let second = Duration::from_secs(1);
    let server = Server::builder().keep_alive(second, 20 * second).idle_timeout(Duration::MAX);
    let setup = Setup::of(server.build()).await;
    let lossy = Lossy::to(setup.addr, Faults { lost: 15, ..Faults::default() }, 50).await;
    let client = dial(lossy.addr).await;
    let client = client.with(CallOptions::new().semantics(Semantics::AtLeastOnce));
    add(&client, 1).await.unwrap();
    for _ in 0..100 {
        tokio::time::sleep(30 * second).await;
        assert_eq!(setup.server.connections(), 1);
    }
    let lost = lossy.done.lost.load(Relaxed);
    assert!(lost > 20, "{lost} questions and answers were lost");
    lossy.cut(true);
    tokio::time::sleep(30 * second).await;
    assert_eq!(setup.server.connections(), 0, "who never answers is gone");
}

/// A client that says nothing for long has no conversation any more, and begins another.
#[tokio::test(start_paused = true)]
async fn a_conversation_that_nobody_uses_ends_and_the_next_call_begins_another() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, Faults::default(), 47).await;
    let client = dial(lossy.addr).await;
    add(&client, 1).await.unwrap();
    assert_eq!(setup.server.connections(), 1);
    lossy.cut(true); // the goodbye does not arrive
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(setup.server.connections(), 0, "nothing is kept of who is gone");
    lossy.cut(false);
    let client = client.with(CallOptions::new().semantics(Semantics::AtMostOnce));
    assert_eq!(add(&client, 2).await.unwrap(), 3);
    assert_eq!(setup.tally.runs(2), 1);
}
