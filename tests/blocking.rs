//! The client for threads without a runtime.
#![cfg(feature = "blocking")]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use netrpc::{CallOptions, Context, Error, Server, blocking::Client, service};
use tokio::sync::Semaphore;

struct Gate {
    open: Semaphore,
    begun: mpsc::Sender<u64>,
    cancelled: Arc<AtomicBool>,
}

#[service]
impl Gate {
    fn echo(&self, cx: &Context, n: u64, reply: &mut u64) {
        cx.set_reply_metadata("kind", "echo");
        *reply = n;
    }

    async fn pass(&self, n: u64, reply: &mut u64) {
        self.begun.send(n).expect("the test waits for it");
        self.open.acquire().await.expect("never closed").forget();
        *reply = n;
    }

    #[method(no_cancel)]
    async fn watch(&self, cx: &Context, n: u64, _reply: &mut ()) {
        self.begun.send(n).expect("the test waits for it");
        cx.cancelled().await;
        self.cancelled.store(true, Ordering::SeqCst);
        self.begun.send(n).expect("the test waits for it");
    }
}

/// A server in a runtime of its own, which the test's threads have no part in.
struct Setup {
    addr: SocketAddr,
    gate: Arc<Gate>,
    begun: mpsc::Receiver<u64>,
    _runtime: tokio::runtime::Runtime,
}

impl Setup {
    fn new() -> Self {
        let (send, begun) = mpsc::channel();
        let cancelled = Arc::default();
        let gate = Arc::new(Gate { open: Semaphore::new(0), begun: send, cancelled });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = Server::new();
        server.register(gate.clone()).unwrap();
        let addr = runtime.block_on(common::listen(&server));
        Setup { addr, gate, begun, _runtime: runtime }
    }

    fn begun(&self) -> u64 {
        self.begun.recv_timeout(Duration::from_secs(20)).expect("the handler begins")
    }
}

#[test]
fn call_and_go_without_a_runtime() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    assert_eq!(client.call::<_, u64>("Gate.Echo", &7).unwrap(), 7);
    let calls: Vec<_> = (0..100).map(|n| client.go::<_, u64>("Gate.Echo", &n)).collect();
    for (n, call) in (0..).zip(calls) {
        assert_eq!(call.wait().unwrap(), n);
    }
    let (n, metadata) = client.go::<_, u64>("Gate.Echo", &1).wait_with_metadata().unwrap();
    assert_eq!((n, metadata.get("kind")), (1, Some("echo")));
    let error = client.call::<_, u64>("Gate.Nope", &7).unwrap_err();
    assert_eq!(error.to_string(), "rpc: can't find method Gate.Nope");
}

#[test]
fn a_call_is_sent_before_anybody_waits_for_it() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let call = client.go::<_, u64>("Gate.Pass", &5);
    assert_eq!(setup.begun(), 5);
    setup.gate.open.add_permits(1);
    assert_eq!(call.wait().unwrap(), 5);
}

#[test]
fn waiting_for_a_while_keeps_the_call() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let mut call = client.go::<_, u64>("Gate.Pass", &5);
    setup.begun();
    assert!(call.wait_timeout(Duration::from_millis(20)).is_none());
    assert!(call.wait_timeout(Duration::ZERO).is_none());
    setup.gate.open.add_permits(1);
    assert_eq!(call.wait_timeout(Duration::from_secs(20)).unwrap().unwrap(), 5);
    assert!(setup.begun.try_recv().is_err(), "it has run once");
}

#[test]
fn a_dropped_call_is_cancelled_at_once() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let call = client.go::<_, ()>("Gate.Watch", &1);
    setup.begun();
    drop(call);
    setup.begun();
    assert!(setup.gate.cancelled.load(Ordering::SeqCst));
}

#[test]
fn many_threads_share_one_connection() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    std::thread::scope(|scope| {
        // One that waits long must not keep the others from being served.
        let slow = scope.spawn(|| client.call::<_, u64>("Gate.Pass", &99));
        setup.begun();
        for thread in 0..8u64 {
            let client = client.clone();
            scope.spawn(move || {
                for n in 0..200 {
                    let n = thread << 32 | n;
                    assert_eq!(client.call::<_, u64>("Gate.Echo", &n).unwrap(), n);
                }
            });
        }
        setup.gate.open.add_permits(1);
        assert_eq!(slow.join().unwrap().unwrap(), 99);
    });
}

/// Runs what waits in a client on a thread of its own. What comes of it is to be waited for by `recv`: the thread
/// itself would wait for ever if nobody drove the connection.
fn elsewhere<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> mpsc::Receiver<std::thread::Result<T>> {
    let (send, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        send.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)))
    });
    outcome
}

fn recv<T>(outcome: &mpsc::Receiver<T>) -> T {
    outcome.recv_timeout(Duration::from_secs(20)).expect("somebody drives the connection")
}

#[test]
fn a_thread_that_leaves_hands_the_connection_over() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let (send, answered) = mpsc::channel();
    for n in 0..4u64 {
        let (client, send) = (client.clone(), send.clone());
        std::thread::spawn(move || {
            assert_eq!(client.call::<_, u64>("Gate.Pass", &n).unwrap(), n);
            send.send(n).unwrap();
        });
        assert_eq!(setup.begun(), n);
    }
    // One of them drives; sooner or later it is the one that leaves.
    let mut all: Vec<_> = (0..4)
        .map(|_| {
            setup.gate.open.add_permits(1);
            recv(&answered)
        })
        .collect();
    all.sort();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[test]
fn a_handle_is_waited_for_while_other_threads_come_and_go() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let call = client.go::<_, u64>("Gate.Pass", &99);
    assert_eq!(setup.begun(), 99);
    let waiting = elsewhere(move || call.wait());
    for n in 0..200 {
        let hasty = client.with(CallOptions::new().timeout(Duration::from_micros(n)));
        let _ = hasty.call::<_, u64>("Gate.Echo", &n);
        client.go::<_, u64>("Gate.Echo", &n).detach();
        drop(client.go::<_, u64>("Gate.Echo", &n));
        assert_eq!(client.call::<_, u64>("Gate.Echo", &n).unwrap(), n);
    }
    setup.gate.open.add_permits(1);
    assert_eq!(recv(&waiting).unwrap().unwrap(), 99);
}

/// A reply whose reader panics.
#[derive(Debug)]
struct Explosive;

impl<'de> serde::Deserialize<'de> for Explosive {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("of the caller's own")
    }
}

#[test]
fn a_caller_that_panics_over_its_reply_leaves_the_others_served() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let driving = client.clone();
    let driving = elsewhere(move || driving.call::<_, Explosive>("Gate.Pass", &1u64).map(drop));
    assert_eq!(setup.begun(), 1);
    let other = client.clone();
    let other = elsewhere(move || other.call::<_, u64>("Gate.Pass", &2));
    assert_eq!(setup.begun(), 2);
    setup.gate.open.add_permits(2);
    let panicked = recv(&driving).unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&"of the caller's own"));
    assert_eq!(recv(&other).unwrap().unwrap(), 2);
    assert_eq!(client.call::<_, u64>("Gate.Echo", &3).unwrap(), 3);
}

#[test]
fn timeouts_and_the_end() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let hasty = client.with(CallOptions::new().timeout(Duration::from_millis(20)));
    let error = hasty.call::<_, u64>("Gate.Pass", &1).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    let pending = client.go::<_, u64>("Gate.Pass", &1);
    client.close();
    assert!(matches!(pending.wait().unwrap_err(), Error::Shutdown { may_have_run: true, .. }));
    let error = client.call::<_, u64>("Gate.Echo", &1).unwrap_err();
    assert_eq!(error.to_string(), "connection is shut down");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(Client::dial(nobody).unwrap_err(), Error::Connect { .. }));
}

#[test]
fn a_client_can_be_dropped_anywhere() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let call = client.go::<_, u64>("Gate.Pass", &5);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move { drop((client, call)) });
}

#[test]
fn in_a_runtime_it_says_what_to_use_instead() {
    let setup = Setup::new();
    let client = Client::dial(setup.addr).unwrap();
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        setup._runtime.block_on(async { client.call::<_, u64>("Gate.Echo", &1) })
    }));
    let text = *called.unwrap_err().downcast::<&str>().expect("a text");
    assert!(text.contains("use netrpc::Client here"), "{text}");
    assert_eq!(client.call::<_, u64>("Gate.Echo", &1).unwrap(), 1);
}

#[cfg(unix)]
#[test]
fn unix_sockets() {
    let setup = Setup::new();
    let path = std::env::temp_dir().join(format!("netrpc-blocking-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let server = Server::new();
    server.register(setup.gate.clone()).unwrap();
    setup._runtime.block_on(async {
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(server.serve(listener));
    });
    let client = Client::dial_unix(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(client.call::<_, u64>("Gate.Echo", &7).unwrap(), 7);
}

#[test]
fn it_connects_again_while_somebody_waits_in_it() {
    use netrpc::{ConnectionState, Reconnect};

    let serve = |addr: SocketAddr| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = Server::new();
        let gate =
            Gate { open: Semaphore::new(0), begun: mpsc::channel().0, cancelled: Arc::default() };
        server.register(gate).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(addr)).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(async move { server.serve(listener).await });
        (runtime, addr)
    };
    let (first, addr) = serve(([127, 0, 0, 1], 0).into());
    let builder = netrpc::Client::builder()
        .reconnect(Reconnect::new())
        .options(CallOptions::new().wait_for_ready(true).timeout(Duration::from_secs(20)));
    let client = Client::dial_with(builder, addr).unwrap();
    assert_eq!(client.call::<_, u64>("Gate.Echo", &1).unwrap(), 1);
    drop(first);
    let hasty = client.with(CallOptions::new().timeout(Duration::from_millis(300)));
    let error = hasty.call::<_, u64>("Gate.Echo", &2).unwrap_err();
    assert!(!error.may_have_run(), "{error:?}");
    assert_ne!(client.state(), ConnectionState::Connected);
    let (_second, _) = serve(addr);
    let call = client.go::<_, u64>("Gate.Echo", &3);
    assert_eq!(call.wait().unwrap(), 3);
    assert_eq!(client.call::<_, u64>("Gate.Echo", &4).unwrap(), 4);
    assert_eq!(client.state(), ConnectionState::Connected);
    client.close();
    assert!(client.call::<_, u64>("Gate.Echo", &5).is_err());
    assert_eq!(client.state(), ConnectionState::Closed);
}

#[test]
fn a_connection_that_is_replaced_still_brings_the_answers_it_owes() {
    use netrpc::Reconnect;
    use tokio::{net::TcpListener, sync::oneshot};

    let setup = Setup::new();
    let (runtime, gate) = (&setup._runtime, &setup.gate);
    let server = Server::new();
    server.register(gate.clone()).unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.serve(listener).with_graceful_shutdown(async { drop(stopped.await) });
    let serving = runtime.spawn(serving);
    let client = Client::dial_with(netrpc::Client::builder().reconnect(Reconnect::new()), addr);
    let client = client.unwrap().with(CallOptions::new().wait_for_ready(true));

    let owed = client.go::<_, u64>("Gate.Pass", &5);
    assert_eq!(setup.begun(), 5);
    stop.send(()).unwrap();
    // Until the first server does not listen any more.
    let listener = runtime.block_on(async {
        loop {
            match TcpListener::bind(addr).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let next = Server::new();
    next.register(gate.clone()).unwrap();
    runtime.spawn(async move { next.serve(listener).await });
    assert_eq!(client.call::<_, u64>("Gate.Echo", &6).unwrap(), 6);
    assert!(!serving.is_finished(), "it waits for its own call");
    gate.open.add_permits(1);
    assert_eq!(owed.wait().unwrap(), 5);
    assert_eq!(client.call::<_, u64>("Gate.Echo", &7).unwrap(), 7);
}
