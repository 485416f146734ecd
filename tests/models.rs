//! Clients and servers as they are, under every order of steps that a model checker thinks of.
//!
//! ```sh
//! RUSTFLAGS="--cfg netrpc_shuttle" cargo test --target-dir target/models --test models
//! ```
//!
//! Locks, atomics, tasks and threads are shuttle's then; the code between them is what is shipped. Each
//! model is run many times, each time in another order. A wake-up that is lost leaves everybody waiting,
//! which shuttle reports; and all that is asserted holds in every order. `NETRPC_MODEL_RUNS` says how
//! many orders; a failure prints the schedule that leads to it.
#![cfg(netrpc_shuttle)]

use std::{
    env,
    future::{Future, pending, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use netrpc::{Client, Error, Listener, Peer, Server, service};
use netrpc_core::{
    Cancellation,
    fault::FaultCode,
    service::{MethodStats, Registry},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};
use shuttle::{
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};
use tokio::io::{DuplexStream, duplex};

/// Runs a model in many orders: half of them at random, half by few changes of who goes first, which
/// finds what takes one unlikely step.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let runs = env::var("NETRPC_MODEL_RUNS").map_or(300, |text| text.parse().expect("a number"));
    // Timers are set and never ring: the clock stands still.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    // It outlives the wakers of timers that nobody has taken back.
    let runtime: &'static _ = Box::leak(Box::new(runtime));
    let _entered = runtime.enter();
    let mut config = shuttle::Config::new();
    config.stack_size = 0x40_000;
    let model = Arc::new(model);
    let again = model.clone();
    shuttle::Runner::new(RandomScheduler::new(runs), config.clone()).run(move || model());
    shuttle::Runner::new(PctScheduler::new(3, runs), config).run(move || again());
}

struct Steps {
    ran: AtomicU64,
}

#[service]
impl Steps {
    fn quick(&self, n: u64, reply: &mut u64) {
        self.ran.fetch_add(1, SeqCst);
        *reply = n + 1;
    }

    /// Takes so many steps in which others may go on: long enough, in some orders, to be taken over.
    fn long(&self, n: u64, reply: &mut u64) {
        self.ran.fetch_add(1, SeqCst);
        for _ in 0..n {
            thread::yield_now();
        }
        *reply = n + 1;
    }

    async fn later(&self, n: u64, reply: &mut u64) {
        self.ran.fetch_add(1, SeqCst);
        for _ in 0..n {
            shuttle::future::yield_now().await;
        }
        *reply = n + 1;
    }

    #[method(blocking)]
    fn pooled(&self, n: u64, reply: &mut u64) {
        self.long(n, reply);
    }

    async fn never(&self, _n: u64, _reply: &mut u64) {
        pending::<()>().await;
    }
}

fn serve() -> (Server, Arc<Steps>) {
    let steps = Arc::new(Steps { ran: AtomicU64::new(0) });
    let server = Server::new();
    server.register(steps.clone()).expect("a name of its own");
    (server, steps)
}

/// A client of `server` over a pipe that is soon full.
fn connect(server: &Server) -> Client {
    let (ours, theirs) = duplex(64);
    let server = server.clone();
    netrpc::sync::spawn(async move {
        let _ = server.serve_conn(theirs).await;
    });
    Client::new(ours)
}

/// A listener that takes one connection.
struct One(Option<DuplexStream>);

impl Listener for One {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.take() {
            Some(stream) => Ok((stream, Peer::Stream)),
            None => pending().await,
        }
    }
}

/// Ends the connection, and waits until everything else has ended.
fn part(server: &Server, client: Client) {
    block_on(client.close());
    drop(client);
    netrpc::sync::idle();
    assert_eq!(server.connections(), 0);
}

fn call(client: &Client, method: &'static str, n: u64) -> Result<u64, Error> {
    block_on(client.call(method, &n))
}

#[test]
fn every_call_is_answered_whoever_drives_the_connection() {
    check(|| {
        let (server, steps) = serve();
        let client = connect(&server);
        let callers = ["Steps.Long", "Steps.Pooled"].map(|method| {
            let client = client.clone();
            thread::spawn(move || {
                for n in [20, 0] {
                    assert_eq!(call(&client, method, n).expect("answered"), n + 1);
                }
            })
        });
        assert_eq!(call(&client, "Steps.Later", 3).expect("answered"), 4);
        assert_eq!(call(&client, "Steps.Quick", 4).expect("answered"), 5);
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        assert_eq!(steps.ran.load(SeqCst), 6);
        part(&server, client);
    });
}

#[test]
fn a_server_that_shuts_down_answers_or_refuses_every_call_and_ends() {
    check(|| {
        let (server, steps) = serve();
        let (ours, theirs) = duplex(64);
        let client = Client::new(ours);
        let stop = Cancellation::new();
        let signal = stop.clone();
        let serving = server.serve(One(Some(theirs)));
        let serving = serving.with_graceful_shutdown(async move { signal.cancelled().await });
        let served = netrpc::sync::spawn(serving);
        let caller = thread::spawn(move || {
            let mut answered = 0;
            for method in ["Steps.Long", "Steps.Later", "Steps.Pooled"] {
                match call(&client, method, 2) {
                    Ok(reply) => {
                        assert_eq!(reply, 3);
                        answered += 1;
                    }
                    Err(error) => assert!(!error.may_have_run(), "{error:?}"),
                }
            }
            block_on(client.close());
            answered
        });
        stop.cancel();
        let answered = caller.join().expect("no panic");
        block_on(served).expect("no panic");
        assert_eq!(steps.ran.load(SeqCst), answered, "what ran was answered");
        netrpc::sync::idle();
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_client_that_closes_ends_every_call() {
    check(|| {
        let (server, _steps) = serve();
        let client = connect(&server);
        let callers = ["Steps.Never", "Steps.Long"].map(|method| {
            let client = client.clone();
            thread::spawn(move || match call(&client, method, 1) {
                Ok(reply) => assert_eq!((method, reply), ("Steps.Long", 2)),
                Err(error) => assert!(matches!(error, Error::Shutdown { .. }), "{error:?}"),
            })
        });
        block_on(client.close());
        assert!(matches!(call(&client, "Steps.Quick", 1), Err(Error::Shutdown { .. })));
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        part(&server, client);
    });
}

#[test]
fn callers_wait_for_room_and_all_get_it() {
    check(|| {
        let (server, steps) = serve();
        let (ours, theirs) = duplex(64);
        let client = Client::builder().max_queued_bytes(1).connect(ours);
        let serving = server.clone();
        netrpc::sync::spawn(async move {
            let _ = serving.serve_conn(theirs).await;
        });
        let callers = [1u64, 2, 3].map(|n| {
            let client = client.clone();
            thread::spawn(move || {
                assert_eq!(call(&client, "Steps.Quick", n).expect("answered"), n + 1);
            })
        });
        callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
        assert_eq!(steps.ran.load(SeqCst), 3);
        part(&server, client);
    });
}

#[test]
fn a_call_that_is_dropped_leaves_the_others_alone() {
    check(|| {
        let (server, _steps) = serve();
        let client = connect(&server);
        let other = client.clone();
        let dropping = thread::spawn(move || {
            for method in ["Steps.Never", "Steps.Later", "Steps.Pooled"] {
                let call = other.go::<_, u64>(method, &2);
                thread::yield_now();
                drop(call);
            }
        });
        assert_eq!(call(&client, "Steps.Long", 5).expect("answered"), 6);
        assert_eq!(call(&client, "Steps.Later", 1).expect("answered"), 2);
        dropping.join().expect("no panic");
        part(&server, client);
    });
}

#[test]
fn a_connection_that_is_aborted_cancels_its_handlers() {
    check(|| {
        let (server, _steps) = serve();
        let (ours, theirs) = duplex(64);
        let client = Client::new(ours);
        let serving = server.clone();
        let served = netrpc::sync::spawn(async move {
            let mut serving = pin!(serving.serve_conn(theirs));
            // It is dropped after a few looks.
            for _ in 0..3 {
                let polled = poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    return;
                }
                shuttle::future::yield_now().await;
            }
        });
        let error = call(&client, "Steps.Never", 1).expect_err("nobody answers");
        assert!(matches!(error, Error::Shutdown { .. }), "{error:?}");
        block_on(served).expect("no panic");
        part(&server, client);
    });
}

#[test]
fn whoever_waits_for_a_cancellation_is_told() {
    check(|| {
        let token = Cancellation::new();
        let listeners = [0, 1].map(|_| {
            let token = token.clone();
            thread::spawn(move || block_on(token.cancelled()))
        });
        let fickle = thread::spawn({
            let token = token.clone();
            move || {
                let mut listening = pin!(token.cancelled());
                let mut cx = TaskContext::from_waker(Waker::noop());
                if listening.as_mut().poll(&mut cx) == Poll::Pending {
                    thread::yield_now();
                }
            }
        });
        token.cancel();
        assert!(token.is_cancelled());
        listeners.into_iter().for_each(|listener| listener.join().expect("no panic"));
        fickle.join().expect("no panic");
    });
}

struct Other;

#[service]
impl Other {
    fn one(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }
}

#[test]
fn a_table_is_at_least_as_new_as_its_version() {
    check(|| {
        let registry = Arc::new(Registry::new());
        let writers = ["A", "B"].map(|name| {
            let registry = registry.clone();
            thread::spawn(move || registry.register(name, &Arc::new(Other)).is_ok())
        });
        let twice = thread::spawn({
            let registry = registry.clone();
            move || registry.register("A", &Arc::new(Other)).is_ok()
        });
        let mut seen = 0;
        for _ in 0..4 {
            // As a connection does it.
            let version = registry.version();
            let services = registry.snapshot().services().len() as u64;
            assert!(services >= version, "{services} services at version {version}");
            assert!(version >= seen, "versions grow");
            seen = version;
        }
        let [first, second] = writers.map(|writer| writer.join().expect("no panic"));
        let twice = twice.join().expect("no panic");
        // Of those who wanted one name, one has it.
        assert!(second && first != twice, "{first} {second} {twice}");
        assert_eq!(registry.version(), 2);
        assert_eq!(registry.snapshot().services(), ["A", "B"]);
    });
}

#[test]
fn counts_are_exact_once_all_is_counted() {
    check(|| {
        let stats = Arc::new(MethodStats::default());
        let calls = [0u32, 1, 2].map(|kind| {
            let stats = stats.clone();
            thread::spawn(move || {
                stats.begin();
                match kind {
                    0 => stats.finish(Duration::from_micros(3), Ok(())),
                    1 => stats.finish(Duration::from_micros(5), Err(FaultCode::Method)),
                    _ => stats.abandon(),
                }
            })
        });
        let between = stats.snapshot();
        assert!(between.errors.total() <= between.calls && between.calls <= 3, "{between:?}");
        assert!(between.in_flight <= 3, "{between:?}");
        calls.into_iter().for_each(|call| call.join().expect("no panic"));
        let now = stats.snapshot();
        assert_eq!((now.calls, now.errors.total(), now.in_flight), (3, 2, 0));
        assert_eq!(now.latency.expect("some").max, Duration::from_micros(5));
    });
}
