//! The end of a server: in peace, by force, and under errors that must not end it.

mod common;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Raw, encoded, poll_once, soon};
use netrpc::{Client, Disconnected, Error, Listener, Peer, Refusal, Server, service};
use netrpc_core::wire::{FaultCode, GoAwayCode, Kind};
use tokio::{
    io::{DuplexStream, duplex},
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};

struct Gate {
    begun: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Arc<Self> {
        let none = || Arc::new(Semaphore::new(0));
        Arc::new(Gate { begun: none(), open: none() })
    }

    async fn begun(&self) {
        soon(self.begun.acquire()).await.unwrap().forget();
    }
}

#[service]
impl Gate {
    async fn pass(&self, n: u64, reply: &mut u64) {
        self.begun.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
        *reply = n;
    }

    fn echo(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }
}

fn server(gate: &Arc<Gate>) -> Server {
    let server = Server::new();
    server.register(gate.clone()).unwrap();
    server
}

/// `[close.goaway]`
#[tokio::test]
async fn a_graceful_shutdown_answers_what_has_begun_and_refuses_the_rest() {
    let gate = Gate::new();
    let server = server(&gate);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener).with_graceful_shutdown(async {
        let _ = stopped.await;
    }));
    let client = Client::dial(addr).await.unwrap();
    let idle = Client::dial(addr).await.unwrap();
    assert_eq!(idle.call::<_, u64>("Gate.Echo", &1).await.unwrap(), 1);
    let call = client.go::<_, u64>("Gate.Pass", &7);
    gate.begun().await;
    let mut raw = Raw::dial(addr).await;

    stop.send(()).unwrap();
    let told = raw.frame().await.unwrap();
    assert_eq!(told.kind, Kind::GoAway);
    raw.request(1, "Gate.Echo", &encoded(&1)).await;
    assert_eq!(raw.fault(1).await.0, FaultCode::ShuttingDown, "it is refused, not lost");
    drop(raw);
    soon(async {
        while !client.is_closed() || !idle.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = client.call::<_, u64>("Gate.Echo", &1).await.unwrap_err();
    assert!(!error.may_have_run(), "{error:?}");
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::GoAway { code: GoAwayCode::ShuttingDown, .. }));
    assert!(Client::dial(addr).await.is_err(), "nobody listens any more");
    assert!(!serving.is_finished(), "a call still runs");

    gate.open.add_permits(1);
    assert_eq!(soon(call).await.unwrap(), 7);
    soon(serving).await.unwrap();
    assert_eq!(server.connections(), 0);
}

/// A listener that gives what the test puts in.
struct Scripted(mpsc::UnboundedReceiver<io::Result<DuplexStream>>);

impl Listener for Scripted {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(accepted) => accepted.map(|stream| (stream, Peer::Stream)),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_finish_within_the_grace_are_cancelled() {
    let gate = Gate::new();
    let (connect, listener) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = server(&gate).serve(Scripted(listener)).grace(Duration::from_secs(3));
    let serving = tokio::spawn(serve.with_graceful_shutdown(async {
        let _ = stopped.await;
    }));
    let (ours, theirs) = duplex(1024);
    connect.send(Ok(theirs)).unwrap();
    let client = Client::new(ours);
    let call = client.go::<_, u64>("Gate.Pass", &7);
    gate.begun().await;
    let told = tokio::time::Instant::now();
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert_eq!(told.elapsed().as_secs(), 3);
    let error = call.await.unwrap_err();
    assert!(error.may_have_run(), "{error:?}");
    assert_eq!(Arc::strong_count(&gate.open), 1, "the handler is gone");
}

#[tokio::test(start_paused = true)]
async fn accept_errors_are_waited_out() {
    let gate = Gate::new();
    let (connect, listener) = mpsc::unbounded_channel();
    tokio::spawn(server(&gate).serve(Scripted(listener)));
    let no_descriptors_left = || io::Error::from_raw_os_error(24);
    for _ in 0..12 {
        connect.send(Err(no_descriptors_left())).unwrap();
    }
    // The peer's own failure is not waited for.
    connect.send(Err(io::ErrorKind::ConnectionAborted.into())).unwrap();
    let (ours, theirs) = duplex(1024);
    connect.send(Ok(theirs)).unwrap();
    let begun = tokio::time::Instant::now();
    let client = Client::builder().handshake_timeout(Duration::from_secs(60)).connect(ours);
    assert_eq!(client.call::<_, u64>("Gate.Echo", &1).await.unwrap(), 1);
    // 5 ms, doubling, up to a second: 5 + 10 + … + 640 ms, then four seconds.
    assert_eq!(begun.elapsed().as_millis(), 1275 + 4 * 1000);
}

#[tokio::test]
async fn a_server_that_vanishes_leaves_every_call_with_one_honest_error() {
    let gate = Gate::new();
    let server = server(&gate);
    let (ours, theirs) = duplex(1024);
    let mut serving = Box::pin(server.serve_conn(theirs));
    let client = Client::new(ours);
    let calls: Vec<_> = (0..10u64).map(|n| client.go::<_, u64>("Gate.Pass", &n)).collect();
    for _ in 0..10 {
        tokio::select! {
            _ = &mut serving => unreachable!("it waits for its calls"),
            () = gate.begun() => {}
        }
    }
    drop(serving);
    for call in calls {
        let error = soon(call).await.unwrap_err();
        assert!(matches!(error, Error::Shutdown { may_have_run: true, .. }), "{error:?}");
    }
    let error = client.call::<_, u64>("Gate.Echo", &1).await.unwrap_err();
    assert!(!error.may_have_run());
}

#[test]
fn a_runtime_that_ends_leaves_no_call_waiting() {
    let gate = Gate::new();
    let server = server(&gate);
    let ours = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let theirs = tokio::runtime::Runtime::new().unwrap();
    let client = theirs.block_on(async { common::dial(&server).await });
    let mut call = client.go::<_, u64>("Gate.Pass", &1);
    theirs.block_on(gate.begun());
    drop(theirs);
    let error = ours.block_on(soon(&mut call)).unwrap_err();
    assert!(error.may_have_run(), "{error:?}");
    let error = ours.block_on(client.call::<_, u64>("Gate.Pass", &1)).unwrap_err();
    let Error::Shutdown { may_have_run: false, cause } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::Runtime | Disconnected::Eof), "{cause:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn services_can_be_registered_while_serving() {
    let gate = Gate::new();
    let server = server(&gate);
    let client = common::dial(&server).await;
    let error = client.call::<_, u64>("Late.Echo", &1).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::UnknownService, .. }));
    server.register_name("Late", gate.clone()).unwrap();
    assert_eq!(client.call::<_, u64>("Late.Echo", &1).await.unwrap(), 1);
    assert_eq!(server.services(), ["Gate", "Late"]);
}

#[tokio::test]
async fn concurrent_registrations_of_one_name_have_one_winner() {
    let server = Server::new();
    let won = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..50 {
                    if server.register_name(&format!("S{n}"), Gate::new()).is_ok() {
                        won.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(won.load(Ordering::SeqCst), 50);
    assert_eq!(server.services().len(), 50);
    let client = common::dial(&server).await;
    for n in 0..50 {
        assert_eq!(client.call::<_, u64>(&format!("S{n}.Echo"), &n).await.unwrap(), n);
    }
}

#[tokio::test]
async fn serving_begins_when_awaited() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut serve = server(&Gate::new()).serve(listener);
    assert!(poll_once(&mut serve).await.is_pending());
    let client = Client::dial(addr).await.unwrap();
    let mut call = client.go::<_, u64>("Gate.Echo", &1);
    let reply = tokio::select! {
        () = &mut serve => unreachable!("nobody told it to end"),
        reply = soon(&mut call) => reply,
    };
    assert_eq!(reply.unwrap(), 1);
}

struct Counting(AtomicUsize);

#[service]
impl Counting {
    fn quick(&self, n: u64, reply: &mut u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
        *reply = n;
    }

    async fn slow(&self, n: u64, reply: &mut u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        *reply = n;
    }
}

/// `[close.goaway]`: what a rolling restart needs. Every call is answered, or was not begun and its caller
/// knows that, whatever was on its way when the server was told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shuts_down_under_load_loses_no_call() {
    let mut refused = 0;
    for _ in 0..10 {
        let counting = Arc::new(Counting(AtomicUsize::new(0)));
        let server = Server::new();
        server.register(counting.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(listener).with_graceful_shutdown(async {
            let _ = stopped.await;
        }));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut callers = Vec::new();
        for n in 0..64u64 {
            let (client, answered) = (Client::dial(addr).await.unwrap(), answered.clone());
            callers.push(tokio::spawn(async move {
                let method = if n % 2 == 0 { "Counting.Quick" } else { "Counting.Slow" };
                loop {
                    match client.call::<_, u64>(method, &n).await {
                        Ok(reply) => assert_eq!(reply, n),
                        Err(error) => return error,
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        while answered.load(Ordering::Relaxed) < 1000 {
            tokio::task::yield_now().await;
        }
        stop.send(()).unwrap();
        for caller in callers {
            let error = soon(caller).await.unwrap();
            assert!(!error.may_have_run(), "{error:?}");
            refused += usize::from(matches!(error, Error::Refused { .. }));
        }
        soon(serving).await.unwrap();
        let (ran, answered) =
            (counting.0.load(Ordering::Relaxed), answered.load(Ordering::Relaxed));
        assert_eq!(ran, answered, "each that ran was answered");
    }
    println!("{refused} calls were on their way");
}
