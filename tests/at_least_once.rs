//! Calls that may run twice: sent again until they are answered, and no more often than an outage bears.

mod common;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{
    Raw,
    network::{Listening, Network},
    soon,
};
use netrpc::{CallOptions, Client, Error, Fault, Reconnect, Refusal, Semantics, Server, service};
use netrpc_core::wire::{self, FaultCode, Kind};
use tokio::{sync::Semaphore, time::Instant};

/// Counts how often each call has begun, and lets it end when it may.
struct Gate {
    begun: Semaphore,
    open: Semaphore,
    runs: Mutex<HashMap<u64, u32>>,
}

#[service]
impl Gate {
    async fn pass(&self, n: u64, reply: &mut u64) {
        *self.runs.lock().unwrap().entry(n).or_default() += 1;
        self.begun.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
        *reply = n;
    }

    fn refuse(&self, (): ()) -> Result<(), Fault> {
        Err(Fault::new("no"))
    }
}

struct Setup {
    network: Network,
    gate: Arc<Gate>,
}

impl Setup {
    fn new() -> Self {
        let (begun, open) = (Semaphore::new(0), Semaphore::new(0));
        let gate = Arc::new(Gate { begun, open, runs: Mutex::default() });
        Setup { network: Network::default(), gate }
    }

    fn listen(&self) -> Listening {
        let server = Server::builder().max_calls(10_000).build();
        server.register(self.gate.clone()).unwrap();
        self.network.listen(&server)
    }

    async fn client(&self) -> Client {
        let builder = Client::builder().reconnect(Reconnect::new().seed(7));
        let client = builder.connect_with(self.network.clone()).await.unwrap();
        client.with(CallOptions::new().semantics(Semantics::AtLeastOnce))
    }

    async fn begun(&self, calls: u32) {
        self.gate.begun.acquire_many(calls).await.unwrap().forget();
    }

    fn runs(&self, n: u64) -> u32 {
        self.gate.runs.lock().unwrap().get(&n).copied().unwrap_or(0)
    }
}

/// Reply lost: the method runs again.
#[tokio::test(start_paused = true)]
async fn a_call_whose_reply_is_lost_runs_again_until_it_is_answered() {
    let setup = Setup::new();
    let mut listening = setup.listen();
    let client = setup.client().await;
    let started = client.go::<_, u64>("Gate.Pass", &1);
    let called = tokio::spawn({
        let client = client.clone();
        async move { client.call::<_, u64>("Gate.Pass", &2).await }
    });
    let waiting = tokio::spawn(started);
    for _ in 0..3 {
        soon(setup.begun(2)).await;
        listening.kill().await;
        listening = setup.listen();
    }
    soon(setup.begun(2)).await;
    setup.gate.open.add_permits(2);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), 1);
    assert_eq!(soon(called).await.unwrap().unwrap(), 2);
    assert_eq!([1, 2].map(|n| setup.runs(n)), [4, 4]);
}

/// The same of a call that nobody awaits.
#[tokio::test(start_paused = true)]
async fn a_detached_call_is_sent_again_too() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.client().await;
    client.go::<_, u64>("Gate.Pass", &1).detach();
    soon(setup.begun(1)).await;
    listening.kill().await;
    let _listening = setup.listen();
    soon(setup.begun(1)).await;
    assert_eq!(setup.runs(1), 2);
}

/// Request lost, server crash before it ran: nothing has run, and then it runs.
#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_server_runs_when_there_is_one() {
    let setup = Setup::new();
    setup.listen().kill().await;
    let builder = Client::builder().reconnect(Reconnect::new().seed(7).lazy(true));
    let client = builder.connect_with(setup.network.clone()).await.unwrap();
    let client = client.with(CallOptions::new().semantics(Semantics::AtLeastOnce));
    let calling = tokio::spawn(async move { client.call::<_, u64>("Gate.Pass", &1).await });
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(setup.network.attempts().len() > 3, "it was tried");
    let _listening = setup.listen();
    setup.gate.open.add_permits(1);
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
    assert_eq!(setup.runs(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_too_much_to_do_is_asked_again_ever_later() {
    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.client().await;
    let calling = tokio::spawn(async move { client.call::<_, u64>("Gate.Pass", &1).await });
    let mut raw = Raw::new(incoming.recv().await.unwrap());
    raw.greet().await;
    let mut asked = Vec::new();
    for attempt in 0..7 {
        let request = raw.frame().await.unwrap();
        assert_eq!(request.kind, Kind::Request);
        asked.push(Instant::now());
        let mut out = Vec::new();
        if attempt == 6 {
            let start = wire::begin(&mut out);
            out.push(1);
            wire::finish(&mut out, start, Kind::Reply, 0, request.seq, u32::MAX).unwrap();
        } else {
            wire::write_fault(&mut out, request.seq, FaultCode::Overloaded, "busy", b"", 1 << 20);
        }
        raw.send(&out).await;
    }
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
    let took = asked[6] - asked[0];
    let ceilings: u64 = (0..6).map(|failures| 25 << failures).sum();
    assert!(took > Duration::ZERO && took <= Duration::from_millis(ceilings + 10), "{took:?}");
}

/// Partition past the deadline: unknown, also if the last attempt never left.
#[tokio::test(start_paused = true)]
async fn the_deadline_bounds_it_and_an_earlier_attempt_is_not_forgotten() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.client().await;
    let client = client.with(CallOptions::new().timeout(Duration::from_secs(5)));
    let begun = Instant::now();
    let calling = tokio::spawn(async move { client.call::<_, u64>("Gate.Pass", &1).await });
    soon(setup.begun(1)).await;
    listening.kill().await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(setup.runs(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_take_back_that_an_earlier_attempt_may_have_run() {
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.client().await;
    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.call::<_, u64>("Gate.Pass", &1).await }
    });
    soon(setup.begun(1)).await;
    listening.kill().await;
    // Another version of the server, which has no such service.
    let _listening = setup.network.listen(&Server::new());
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)) && error.may_have_run(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the outcome of the call is unknown: it may have run before this: rpc: can't find service Gate.Pass"
    );
    let error = client.call::<_, u64>("Gate.Pass", &1).await.unwrap_err();
    let refused = matches!(error, Error::Refused { refusal: Refusal::UnknownService, .. });
    assert!(refused && !error.may_have_run(), "the first attempt: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_an_answer() {
    let setup = Setup::new();
    let _listening = setup.listen();
    let client = setup.client().await;
    let error = client.call::<_, ()>("Gate.Refuse", &()).await.unwrap_err();
    assert!(matches!(error, Error::Method(_)), "{error:?}");
    let error = client.call::<_, ()>("Gate.Nope", &()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::UnknownMethod, .. }), "{error:?}");
}

/// What a thousand calls lose at once comes back little by little.
#[tokio::test(start_paused = true)]
async fn an_outage_is_not_amplified() {
    const CALLS: u32 = 1000;
    let setup = Setup::new();
    let listening = setup.listen();
    let client = setup.client().await;
    let calling: Vec<_> =
        (0..u64::from(CALLS)).map(|n| tokio::spawn(client.go::<_, u64>("Gate.Pass", &n))).collect();
    soon(setup.begun(CALLS)).await;
    listening.kill().await;
    let _listening = setup.listen();
    setup.gate.open.add_permits(2 * CALLS as usize);
    let lost = Instant::now();
    let mut done = 0;
    for call in calling {
        call.await.unwrap().unwrap();
        done += 1;
        // A fifth of them, a hundred from the start, and ten a second.
        let allowed = CALLS / 5 + 100 + 10 * (lost.elapsed().as_secs() as u32 + 10);
        let again: u32 = setup.gate.runs.lock().unwrap().values().map(|runs| runs - 1).sum();
        assert!(again <= allowed, "{again} after {:?}", lost.elapsed());
    }
    assert_eq!(done, CALLS);
    assert!(lost.elapsed() > Duration::from_secs(30), "{:?}", lost.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_of_one_connection_says_that_it_cannot() {
    let setup = Setup::new();
    let _listening = setup.listen();
    let client = Client::builder().connect_with(setup.network.clone()).await.unwrap();
    let client = client.with(CallOptions::new().semantics(Semantics::AtLeastOnce));
    for error in [
        client.call::<_, u64>("Gate.Pass", &1).await.unwrap_err(),
        client.go::<_, u64>("Gate.Pass", &1).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("ClientBuilder::reconnect"), "{error}");
        assert!(!error.may_have_run());
    }
    let maybe = client.with(CallOptions::new().semantics(Semantics::Maybe));
    setup.gate.open.add_permits(1);
    assert_eq!(maybe.call::<_, u64>("Gate.Pass", &1).await.unwrap(), 1);
}

/// The preface has no checksum. Of a server that is known a wrong one is taken for a loss, of another for what it
/// says.
#[tokio::test(start_paused = true)]
async fn bits_of_a_known_servers_first_bytes_that_are_flipped_are_a_loss() {
    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.client().await;
    let calling = tokio::spawn(async move { client.call::<_, u64>("Gate.Pass", &1).await });
    let mut raw = Raw::new(incoming.recv().await.unwrap());
    raw.greet().await;
    raw.frame().await.unwrap();
    for flipped in [1, 4, 5] {
        drop(raw);
        raw = Raw::new(soon(incoming.recv()).await.unwrap());
        let mut preface = wire::Preface::OURS.to_bytes();
        preface[flipped] ^= 0x10;
        raw.send(&preface).await;
        raw.rest().await;
    }
    drop(raw);
    raw = Raw::new(soon(incoming.recv()).await.unwrap());
    raw.greet().await;
    let request = raw.frame().await.unwrap();
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    out.push(1);
    wire::finish(&mut out, start, Kind::Reply, 0, request.seq, u32::MAX).unwrap();
    raw.send(&out).await;
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);

    let setup = Setup::new();
    let mut incoming = setup.network.listen_raw();
    let client = setup.client().await;
    let calling = tokio::spawn(async move { client.call::<_, u64>("Gate.Pass", &1).await });
    let mut raw = Raw::new(incoming.recv().await.unwrap());
    tokio::time::sleep(Duration::from_millis(1)).await; // the call waits for it
    raw.send(b"SSH-2.0-OpenSSH").await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: false, .. }), "{error:?}");
}
