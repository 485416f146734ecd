//! A client that connects again: when it does, what it sends again, and what it never does.

mod common;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{
    Raw,
    network::{Listening, Network},
    poll_once, soon,
};
use netrpc::{
    Call, CallOptions, Client, ClientBuilder, ConnectionState, Disconnected, Error, Reconnect,
    Refusal, Server, service,
};
use netrpc_core::wire::{self, GoAwayCode, Kind, Preface};
use tokio::{sync::Semaphore, time::Instant};

/// Counts how often each call has run.
#[derive(Default)]
struct Counter {
    runs: Mutex<HashMap<u64, u64>>,
}

/// The same with calls that wait until they may go on.
struct Gate {
    begun: Semaphore,
    open: Semaphore,
}

#[service]
impl Counter {
    fn run(&self, id: u64, reply: &mut u64) {
        *self.runs.lock().unwrap().entry(id).or_default() += 1;
        *reply = id;
    }
}

#[service]
impl Gate {
    async fn pass(&self, n: u64, reply: &mut u64) {
        self.begun.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
        *reply = n;
    }
}

struct Setup {
    network: Network,
    counter: Arc<Counter>,
    gate: Arc<Gate>,
}

impl Setup {
    fn new() -> Self {
        let gate = Gate { begun: Semaphore::new(0), open: Semaphore::new(0) };
        Setup { network: Network::default(), counter: Arc::default(), gate: Arc::new(gate) }
    }

    fn server(&self) -> Server {
        let server = Server::new();
        server.register(self.counter.clone()).unwrap();
        server.register(self.gate.clone()).unwrap();
        server
    }

    fn listen(&self) -> Listening {
        self.network.listen(&self.server())
    }

    fn builder() -> ClientBuilder {
        Client::builder().reconnect(Reconnect::new().seed(7))
    }

    async fn client(&self) -> Client {
        Self::builder().connect_with(self.network.clone()).await.unwrap()
    }

    /// A client whose calls wait.
    async fn waiting_client(&self) -> Client {
        self.client().await.with(CallOptions::new().wait_for_ready(true))
    }

    fn runs(&self, id: u64) -> u64 {
        self.counter.runs.lock().unwrap().get(&id).copied().unwrap_or(0)
    }
}

async fn run(client: &Client, id: u64) -> Result<u64, Error> {
    client.call("Counter.Run", &id).await
}

fn cause(error: &Error) -> &Disconnected {
    match error {
        Error::Shutdown { cause, .. } => cause,
        other => panic!("not lost with its connection: {other:?}"),
    }
}

async fn state(client: &Client, wanted: ConnectionState) {
    let mut state = client.state();
    while state != wanted {
        state = client.state_changed(state).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_is_found_again() {
    let setup = Setup::new();
    let mut listening = setup.listen();
    let client = setup.client().await;
    for id in 0..20 {
        assert_eq!(run(&client, id).await.unwrap(), id);
        assert_eq!(client.state(), ConnectionState::Connected);
        assert!(!client.is_closed());
        listening.kill().await;
        state(&client, ConnectionState::Idle).await;
        listening = setup.listen();
    }
    assert_eq!(setup.network.connected(), 20, "a connection is made when a call needs it");
}

#[tokio::test(start_paused = true)]
async fn without_it_a_client_is_one_connection() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = Client::builder().connect_with(setup.network.clone()).await.unwrap();
    run(&client, 1).await.unwrap();
    assert_eq!(client.state(), ConnectionState::Connected);
    listening.kill().await;
    state(&client, ConnectionState::Closed).await;
    let _listening = setup.listen();
    let error = run(&client, 2).await.unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: false, .. }), "{error:?}");
    assert_eq!(setup.network.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_connection_that_cannot_be_made_is_an_error_of_dial() {
    let setup = Setup::new();
    let error = Setup::builder().connect_with(setup.network.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to memory");
    assert_eq!(setup.network.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_fail_fast_while_the_server_cannot_be_reached() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.client().await;
    run(&client, 1).await.unwrap();
    listening.kill().await;
    state(&client, ConnectionState::Idle).await;

    // Nothing is known against the server yet: the attempt is waited for.
    let error = run(&client, 2).await.unwrap_err();
    assert!(!error.may_have_run());
    assert!(matches!(cause(&error), Disconnected::Unreachable { .. }), "{error:?}");
    assert!(error.chain().to_string().contains("cannot connect to memory: "), "{}", error.chain());

    // Then something is.
    assert_eq!(client.state(), ConnectionState::Failing);
    let (now, attempts) = (Instant::now(), setup.network.attempts().len());
    for error in [run(&client, 3).await, client.go("Counter.Run", &4).await] {
        assert!(matches!(cause(&error.unwrap_err()), Disconnected::Unreachable { .. }));
    }
    assert_eq!((Instant::now(), setup.network.attempts().len()), (now, attempts));

    // The attempts go on without calls.
    let _listening = setup.listen();
    state(&client, ConnectionState::Connected).await;
    assert_eq!(run(&client, 5).await.unwrap(), 5);
    assert_eq!(setup.counter.runs.lock().unwrap().len(), 2, "no call was sent later");
}

#[tokio::test(start_paused = true)]
async fn attempts_follow_each_other_ever_more_slowly() {
    let waits = async |seed| {
        let setup = Setup::new();
        let lazy = Reconnect::new().seed(seed).lazy(true);
        let client = Client::builder().reconnect(lazy).connect_with(setup.network.clone());
        let client = client.await.unwrap();
        assert!(run(&client, 1).await.is_err());
        tokio::time::sleep(Duration::from_secs(600)).await;
        let attempts = setup.network.attempts();
        attempts.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    };
    let first = waits(1).await;
    for (failures, wait) in (1..).zip(&first) {
        let ceiling = Duration::from_millis(100 << failures).min(Duration::from_secs(30));
        assert!(*wait <= ceiling + Duration::from_millis(1), "{failures}: {wait:?}");
    }
    let n = first.len();
    assert!((20..80).contains(&n), "{n} attempts in 10 minutes: about one every 15 s");
    assert_eq!(first, waits(1).await, "equal seeds");
    assert_ne!(first, waits(2).await, "other seeds");
}

#[tokio::test(start_paused = true)]
async fn those_who_lose_a_server_together_do_not_come_back_together() {
    let setup = Setup::new();
    let listening = setup.listen();
    let mut clients = Vec::new();
    for seed in 0..50 {
        let builder = Client::builder().reconnect(Reconnect::new().seed(seed));
        clients.push(builder.connect_with(setup.network.clone()).await.unwrap());
    }
    for client in &clients {
        run(client, 1).await.unwrap();
    }
    soon(listening.drain()).await.unwrap();
    let _next = setup.listen();
    let lost = Instant::now();
    let calls: Vec<Call<u64>> = clients.iter().map(|client| client.go("Counter.Run", &2)).collect();
    for call in calls {
        soon(call).await.unwrap();
    }
    let again = setup.network.attempts().split_off(50);
    assert_eq!(again.len(), 50);
    let after: Vec<_> = again.iter().map(|at| (*at - lost).as_millis()).collect();
    let in_quarter = |n| after.iter().filter(|ms| **ms / 25 == n).count();
    assert!((0..4).all(|n| in_quarter(n) > 5), "within 100 ms: {after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_sent_when_the_server_is_there() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.waiting_client().await;
    state(&client, ConnectionState::Connected).await;
    listening.kill().await;
    state(&client, ConnectionState::Idle).await;
    let started = client.go::<_, u64>("Counter.Run", &1);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { run(&client, 2).await }
    });
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(client.state(), ConnectionState::Failing);
    assert!(setup.network.attempts().len() > 10, "it has tried");
    let _listening = setup.listen();
    assert_eq!(waiting.await.unwrap().unwrap(), 2);
    assert_eq!(started.await.unwrap(), 1);
    assert_eq!((setup.runs(1), setup.runs(2)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_timeout() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.waiting_client().await;
    state(&client, ConnectionState::Connected).await;
    listening.kill().await;
    state(&client, ConnectionState::Idle).await;
    let hasty = client.with(CallOptions::new().timeout(Duration::from_secs(5)));
    let begun = Instant::now();
    let started = hasty.go::<_, u64>("Counter.Run", &1);
    let error = run(&hasty, 2).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    let error = started.await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    let _listening = setup.listen();
    assert_eq!(run(&client, 3).await.unwrap(), 3);
    assert_eq!((setup.runs(1), setup.runs(2)), (0, 0), "they are not sent later");
}

/// Time spent waiting is not given to the server.
#[tokio::test(start_paused = true)]
async fn the_server_is_told_the_time_that_is_left_when_the_call_is_sent() {
    let setup = Setup::new();
    let lazy = Reconnect::new().seed(7).lazy(true);
    let client =
        Client::builder().reconnect(lazy).connect_with(setup.network.clone()).await.unwrap();
    let client =
        client.with(CallOptions::new().wait_for_ready(true).timeout(Duration::from_secs(100)));
    let begun = Instant::now();
    let calls = [client.go::<_, u64>("Counter.Run", &1), client.go::<_, u64>("Counter.Run", &2)];
    let polling = tokio::spawn(futures_util::future::join_all(calls));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let mut incoming = setup.network.listen_raw();
    let mut raw = Raw::new(incoming.recv().await.unwrap());
    raw.greet().await;
    for _ in 0..2 {
        let frame = raw.frame().await.unwrap();
        let head = wire::RequestHead::parse(frame.head()).unwrap();
        let (left, waited) = (head.deadline.unwrap(), begun.elapsed());
        assert!(waited > Duration::from_secs(40), "{waited:?}");
        let off = (left + waited).abs_diff(Duration::from_secs(100));
        assert!(off < Duration::from_millis(5), "{left:?} left after {waited:?}");
    }
    drop(raw);
    assert!(polling.await.unwrap().iter().all(|outcome| outcome.is_err()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_run_is_never_sent_again() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.waiting_client().await;
    let started = client.go::<_, u64>("Gate.Pass", &1);
    let called = tokio::spawn({
        let client = client.clone();
        async move { client.call::<_, u64>("Gate.Pass", &2).await }
    });
    setup.gate.begun.acquire_many(2).await.unwrap().forget();
    listening.kill().await;
    let _listening = setup.listen();
    setup.gate.open.add_permits(2);
    for error in [started.await.unwrap_err(), called.await.unwrap().unwrap_err()] {
        assert!(matches!(error, Error::Shutdown { may_have_run: true, .. }), "{error:?}");
    }
    assert_eq!(run(&client, 3).await.unwrap(), 3);
    assert_eq!(setup.gate.begun.available_permits(), 0, "it has begun no second time");
}

/// A listener's system takes connections that its program never sees: a restart that cuts them must not
/// make their calls ones that may have run.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_server_has_said_that_it_is_there() {
    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.waiting_client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { run(&client, 1).await }
    });
    let mut cut = Raw::new(incoming.recv().await.unwrap());
    let mut preface = [0; wire::PREFACE_LEN];
    tokio::io::AsyncReadExt::read_exact(&mut cut.io, &mut preface).await.unwrap();
    assert_eq!(Preface::parse(&preface), Ok(Some(Preface::OURS)));
    assert!(!call.is_finished());
    let _listening = setup.listen();
    assert!(cut.rest_within(Duration::from_secs(1)).await.is_empty(), "and no request");
    drop(cut);
    assert_eq!(call.await.unwrap().unwrap(), 1);
    assert_eq!(setup.runs(1), 1);
}

/// `[close.goaway]`
#[tokio::test(start_paused = true)]
async fn after_a_go_away_new_calls_go_elsewhere_and_old_ones_are_answered() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.client().await;
    let old = client.go::<_, u64>("Gate.Pass", &1);
    setup.gate.begun.acquire().await.unwrap().forget();
    let drained = listening.drain();
    state(&client, ConnectionState::Idle).await;
    let _next = setup.listen();
    assert_eq!(run(&client, 2).await.unwrap(), 2, "also one that does not wait");
    assert!(!drained.is_finished(), "the old one has a call to answer");
    setup.gate.open.add_permits(1);
    assert_eq!(old.await.unwrap(), 1);
    soon(drained).await.unwrap();
    assert_eq!(setup.network.connected(), 2);
    assert_eq!(client.state(), ConnectionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_server_refuses_because_it_shuts_down_is_sent_again() {
    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.waiting_client().await;
    let mut raw = Raw::new(incoming.recv().await.unwrap());
    raw.greet().await;
    let eager = client.with(CallOptions::new().wait_for_ready(false));
    let started = client.go::<_, u64>("Counter.Run", &1);
    let mut refused = eager.go::<_, u64>("Counter.Run", &2);
    let called = tokio::spawn({
        let client = client.clone();
        async move { run(&client, 3).await }
    });
    let _next = setup.listen();
    for _ in 0..3 {
        let request = raw.frame().await.unwrap();
        assert_eq!(request.kind, Kind::Request);
        let mut fault = Vec::new();
        let code = wire::FaultCode::ShuttingDown;
        wire::write_fault(&mut fault, request.seq, code, "going", &[], u32::MAX);
        raw.send(&fault).await;
    }
    assert_eq!((started.await.unwrap(), called.await.unwrap().unwrap()), (1, 3));
    let error = (&mut refused).await.unwrap_err();
    let refused = matches!(error, Error::Refused { refusal: Refusal::ShuttingDown, .. });
    assert!(refused, "this one does not wait: {error:?}");
    assert_eq!((setup.runs(1), setup.runs(2), setup.runs(3)), (1, 0, 1));
    assert!(raw.frame().await.is_none(), "nothing more came here");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_no_room_is_asked_again_later() {
    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.waiting_client().await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { run(&client, 1).await }
    });
    let begun = Instant::now();
    for _ in 0..8 {
        let mut raw = Raw::new(incoming.recv().await.unwrap());
        let mut refusal = Preface::OURS.to_bytes().to_vec();
        wire::write_go_away(&mut refusal, GoAwayCode::TooManyConnections, "full");
        raw.send(&refusal).await;
        let sent = raw.rest_within(Duration::from_secs(1)).await;
        assert!(Preface::OURS.to_bytes().starts_with(&sent), "the call is kept: {sent:?}");
    }
    assert!(begun.elapsed() > Duration::from_secs(3), "ever more slowly: {:?}", begun.elapsed());
    let _listening = setup.listen();
    assert_eq!(call.await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn close_is_for_ever_and_ends_an_attempt() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.waiting_client().await;
    let draining = client.go::<_, u64>("Gate.Pass", &1);
    setup.gate.begun.acquire().await.unwrap().forget();
    let _drained = listening.drain();
    state(&client, ConnectionState::Idle).await;
    let waiting = client.go::<_, u64>("Counter.Run", &2);
    let mut called = Box::pin(run(&client, 3));
    assert!(poll_once(&mut called).await.is_pending());
    assert_eq!(client.state(), ConnectionState::Connecting);
    soon(client.close()).await;
    soon(client.close()).await;
    assert_eq!(client.state(), ConnectionState::Closed);
    assert!(client.is_closed());
    let attempts = setup.network.attempts().len();
    let _listening = setup.listen();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let lost = [draining.await, waiting.await, called.await, run(&client, 4).await];
    for (outcome, may_have_run) in lost.into_iter().zip([true, false, false, false]) {
        let error = outcome.unwrap_err();
        assert_eq!(error.may_have_run(), may_have_run);
        assert!(matches!(cause(&error), Disconnected::Closed | Disconnected::GoAway { .. }));
    }
    assert_eq!(setup.network.attempts().len(), attempts, "it makes no connection any more");
    assert_eq!(setup.counter.runs.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_stops_trying() {
    let setup = Setup::new();
    let lazy = Reconnect::new().lazy(true);
    let client =
        Client::builder().reconnect(lazy).connect_with(setup.network.clone()).await.unwrap();
    assert_eq!(client.state(), ConnectionState::Idle);
    assert!(run(&client, 1).await.is_err());
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let attempts = setup.network.attempts().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(setup.network.attempts().len(), attempts);
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_is_sent_again_too() {
    let setup = Setup::new();
    let lazy = Reconnect::new().lazy(true);
    let client =
        Client::builder().reconnect(lazy).connect_with(setup.network.clone()).await.unwrap();
    let client = client.with(CallOptions::new().wait_for_ready(true));
    client.go::<_, u64>("Counter.Run", &1).detach();
    client.go::<_, u64>("Counter.Run", &2).detach();
    drop(client.go::<_, u64>("Counter.Run", &3));
    drop(client);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(setup.network.attempts().len() > 5);
    let _listening = setup.listen();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((setup.runs(1), setup.runs(2), setup.runs(3)), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_succeed_is_not_waited_for() {
    let never = Client::builder()
        .reconnect(Reconnect::new().lazy(true))
        .options(CallOptions::new().wait_for_ready(true));
    let client = never.dial("localhost").await.unwrap();
    let error = soon(run(&client, 1)).await.unwrap_err();
    assert!(error.chain().to_string().contains("the port is missing"), "{}", error.chain());

    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.waiting_client().await;
    let mut http = Raw::new(incoming.recv().await.unwrap());
    http.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = soon(run(&client, 1)).await.unwrap_err();
    assert!(matches!(cause(&error), Disconnected::NotNetrpc(_)), "{error:?}");
}

#[cfg(feature = "go")]
#[tokio::test(start_paused = true)]
async fn each_connection_to_a_go_server_begins_anew() {
    use netrpc::Wire;

    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let setup = Setup::new();
        let mut listening = setup.listen();
        let client = Setup::builder().wire(wire).connect_with(setup.network.clone()).await.unwrap();
        let client = client.with(CallOptions::new().wait_for_ready(true));
        for id in 0..5 {
            assert_eq!(run(&client, id).await.unwrap(), id, "{wire:?}");
            let call = client.go::<_, u64>("Counter.Run", &(100 + id));
            assert_eq!(call.await.unwrap(), 100 + id, "{wire:?}");
            listening.kill().await;
            state(&client, ConnectionState::Idle).await;
            let call = client.go::<_, u64>("Counter.Run", &(200 + id));
            listening = setup.listen();
            assert_eq!(call.await.unwrap(), 200 + id, "{wire:?}");
        }
    }
}

/// The first connection is a raw one that ends, the second too: both begin with `CONNECT`.
#[cfg(feature = "go")]
#[tokio::test]
async fn a_connection_over_http_is_made_again_over_http() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let tunnel = async || {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; "CONNECT /calls HTTP/1.0".len()];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head, b"CONNECT /calls HTTP/1.0");
        stream.write_all(b"HTTP/1.0 200 Connected to Go RPC\n\n").await.unwrap();
        stream
    };
    let quick = Reconnect::new().first_delay(Duration::from_millis(1)).seed(7);
    let options = CallOptions::new().wait_for_ready(true);
    let dialling =
        Client::builder().reconnect(quick).options(options).dial_http_path(addr, "/calls");
    let (client, stream) = tokio::join!(dialling, tunnel());
    let client = client.unwrap();
    drop(stream);
    soon(state(&client, ConnectionState::Idle)).await;
    let call = client.go::<_, u64>("Counter.Run", &7);
    let mut stream = soon(tunnel()).await;
    assert!(soon(stream.read_u8()).await.is_ok(), "the call comes behind it");
    drop((stream, call));
}

/// Servers drain and others take their place, on the same address, while many call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_call() {
    const RESTARTS: usize = 40;
    const CALLERS: u64 = 16;
    let setup = Setup::new();
    let bind = async |addr: std::net::SocketAddr| loop {
        match tokio::net::TcpListener::bind(addr).await {
            Ok(listener) => break listener,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        }
        tokio::task::yield_now().await;
    };
    let mut listener = bind(([127, 0, 0, 1], 0).into()).await;
    let addr = listener.local_addr().unwrap();
    let clients = async |n: u64| {
        let quick = Reconnect::new().first_delay(Duration::from_millis(5)).seed(n);
        let options = CallOptions::new().wait_for_ready(true).timeout(Duration::from_secs(60));
        Client::builder().reconnect(quick).options(options).dial(addr).await.unwrap()
    };
    let (stop, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = Vec::new();
    for n in 0..CALLERS {
        let (stop, next) = (stop.clone(), next.clone());
        let client = clients(n / 4).await;
        callers.push(tokio::spawn(async move {
            while stop.load(Ordering::SeqCst) == 0 {
                let ids = [(); 8].map(|()| next.fetch_add(1, Ordering::SeqCst));
                let calls = ids.map(|id| client.go::<_, u64>("Counter.Run", &id));
                assert_eq!(run(&client, 1 << 40 | ids[0]).await.unwrap(), 1 << 40 | ids[0]);
                for (id, call) in ids.into_iter().zip(calls) {
                    assert_eq!(call.await.unwrap(), id);
                }
            }
        }));
    }
    let mut drained = Vec::new();
    for _ in 0..RESTARTS {
        let before = next.load(Ordering::SeqCst);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serve = setup.server().serve(listener).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        drained.push(tokio::spawn(serve.into_future()));
        soon(async {
            while next.load(Ordering::SeqCst) < before + 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        stop.send(()).unwrap();
        listener = soon(bind(addr)).await;
    }
    tokio::spawn(setup.server().serve(listener).into_future());
    stop.store(1, Ordering::SeqCst);
    for caller in callers {
        soon(caller).await.unwrap();
    }
    for drained in drained {
        soon(drained).await.unwrap();
    }
    let runs = setup.counter.runs.lock().unwrap();
    let calls = next.load(Ordering::SeqCst);
    assert!(calls >= 200 * RESTARTS as u64, "{calls}");
    assert!((0..calls).all(|id| runs.get(&id) == Some(&1)), "each has run once");
    assert!(runs.values().all(|runs| *runs == 1));
}
