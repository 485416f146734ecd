//! The same from threads without a runtime, over TCP that is cut.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use netrpc::{CallOptions, Client, Error, Reconnect, Semantics, Server, blocking};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::Notify,
};

use crate::{
    bank::{Bank, volatile},
    common::listen,
};

/// A server behind something that cuts its connections.
struct Setup {
    runtime: Runtime,
    bank: Arc<Bank>,
    addr: SocketAddr,
    cut: Arc<Notify>,
}

impl Setup {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let bank = Bank::new();
        let cut = Arc::new(Notify::new());
        let addr = runtime.block_on(between(&volatile(&bank), cut.clone()));
        Setup { runtime, bank, addr, cut }
    }

    fn client(&self, semantics: Semantics) -> blocking::Client {
        let soon = Duration::from_millis(10);
        let reconnect = Reconnect::new().first_delay(soon).max_delay(soon);
        let options = CallOptions::new().semantics(semantics).timeout(Duration::from_secs(60));
        let builder = Client::builder().reconnect(reconnect).options(options);
        blocking::Client::dial_with(builder, self.addr).unwrap()
    }

    fn begun(&self, calls: u32) {
        self.runtime.block_on(self.bank.begun(calls));
    }
}

/// Listens for `server`, and cuts all connections when it is told to.
async fn between(server: &Server, cut: Arc<Notify>) -> SocketAddr {
    let server = listen(server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(server).await.unwrap();
            let cut = cut.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = cut.notified() => {}
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                }
            });
        }
    });
    addr
}

/// A call, and one of a handle, whose connection is cut while they run: they run once, or again.
#[test]
fn calls_outlive_their_connection() {
    for (semantics, runs) in [(Semantics::AtMostOnce, 1), (Semantics::AtLeastOnce, 2)] {
        let setup = Setup::new();
        let client = setup.client(semantics);
        let going = client.go::<_, u64>("Bank.Pass", &1);
        let called = thread::spawn({
            let client = client.clone();
            move || client.call::<_, u64>("Bank.Pass", &2)
        });
        setup.begun(2);
        setup.cut.notify_waiters();
        if runs == 2 {
            // One is sent again by the thread that waits for it, the other when somebody does.
            setup.begun(1);
            setup.bank.open.add_permits(1);
        }
        setup.bank.open.add_permits(2);
        assert_eq!(called.join().unwrap().unwrap(), 2);
        setup.bank.open.add_permits(2);
        assert_eq!(going.wait().unwrap(), 1);
        assert_eq!([1, 2].map(|n| setup.bank.runs(n)), [runs; 2], "{semantics:?}");
    }
}

#[test]
fn a_handle_is_given_up_or_detached() {
    let setup = Setup::new();
    let client = setup.client(Semantics::AtMostOnce);
    assert_eq!(client.call::<_, u64>("Bank.Debit", &1).unwrap(), 1);
    let mut kept = client.go::<_, u64>("Bank.Pass", &2);
    client.go::<_, u64>("Bank.Pass", &3).detach();
    drop(client.go::<_, u64>("Bank.Pass", &4));
    assert!(kept.wait_timeout(Duration::from_millis(20)).is_none());
    setup.bank.open.add_permits(3);
    assert_eq!(kept.wait().unwrap(), 2);
    // What was detached has left, and runs some time.
    while setup.bank.runs(3) == 0 {
        setup.begun(1);
    }
    // What was dropped may have begun; none has run twice.
    assert_eq!([1, 2, 3].map(|n| setup.bank.runs(n)), [1, 1, 1]);
    assert!(setup.bank.runs(4) <= 1);
    client.close();
    let error = client.call::<_, u64>("Bank.Debit", &5).unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: false, .. }), "{error:?}");
}

/// A log, from threads without a runtime: a client that is closed with a call under way, and the next.
#[cfg(feature = "durable")]
#[test]
fn a_log_is_recovered_without_a_runtime() {
    use crate::{common::Raw, script};
    use netrpc_core::wire::{self, Kind, SessionFrame};

    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("blocking-{}.log", std::process::id()));
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    // A server that answers the second of two calls, and all later.
    runtime.spawn(async move {
        let mut answers = false;
        loop {
            let mut raw = Raw::new(listener.accept().await.unwrap().0);
            raw.greet().await;
            while let Some(frame) = raw.answer().await {
                let mut out = Vec::new();
                match frame.kind {
                    Kind::Session => {
                        let granted = SessionFrame::Granted(script::grant());
                        wire::write_session(&mut out, frame.seq, &granted);
                    }
                    Kind::Request if answers => {
                        let head = wire::RequestHead::parse(frame.head()).unwrap();
                        let standing = script::standing(head.stamp.unwrap().decode().xid);
                        let start = wire::begin(&mut out);
                        let head_len = wire::write_standing(&mut out, &standing);
                        out.push(7);
                        wire::finish(&mut out, start, Kind::Reply, head_len, frame.seq, u32::MAX)
                            .unwrap();
                    }
                    Kind::Request => answers = true,
                    _ => {}
                }
                raw.send(&out).await;
            }
        }
    });
    let client = || {
        let options = CallOptions::new().semantics(Semantics::ExactlyOnce).tag("an order");
        let builder = Client::builder().log(&path).options(options);
        blocking::Client::dial_with(builder, addr).unwrap()
    };
    let before = client();
    assert_eq!(before.recovered().count(), 0);
    let mut unanswered = before.go::<_, u64>("Bank.Debit", &1);
    assert!(unanswered.wait_timeout(Duration::from_millis(20)).is_none());
    let (outcome, receipt) = before.go::<_, u64>("Bank.Debit", &2).wait_with_receipt();
    assert_eq!(outcome.unwrap(), 7);
    receipt.settle();
    before.close();
    drop((unanswered, before));

    let after = client();
    let recovered: Vec<_> = after.recovered().collect();
    assert_eq!(recovered.len(), 1);
    for call in recovered {
        assert_eq!((call.tag(), call.method()), (&b"an order"[..], "Bank.Debit"));
        let (outcome, receipt) = call.outcome::<u64>();
        assert_eq!(outcome.unwrap(), 7);
        receipt.settle();
    }
    after.close();
    let _ = std::fs::remove_file(path);
}
