//! Spans: one a call on either side, open while it runs, with its outcome, and in its caller's trace.
#![cfg(all(feature = "trace", feature = "macros"))]

#[path = "tracing/capture.rs"]
mod capture;
mod common;

use std::{future::pending, sync::Arc, time::Duration};

use capture::{Capture, Seen};
use common::{Raw, encoded, listen, pipe, request, request_with, soon};
use netrpc::{
    CallInfo, CallOptions, Client, ConnectionState, Context, Error, Fault, Metadata, Reconnect,
    Server, SyncPolicy, service,
    trace::{self, Propagator, TraceContext},
};
use netrpc_core::wire::RequestFields;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
};

/// Each test registers it under a name of its own, so that its spans can be told from others'.
#[derive(Default)]
struct Work {
    /// Where it calls on, if it does.
    next: Option<Client>,
    /// Told when a handler runs that does not end by itself.
    runs: Arc<Notify>,
}

#[service]
impl Work {
    fn quick(&self, cx: &Context, (): (), reply: &mut Option<String>) {
        tracing::info!("in the quick handler");
        *reply = cx.trace().map(|trace| trace.to_string());
    }

    async fn slow(&self, (): (), reply: &mut u64) {
        tracing::info!("before");
        tokio::time::sleep(Duration::from_millis(5)).await;
        tracing::info!("after");
        *reply = 1;
    }

    #[method(blocking)]
    fn pool(&self, (): (), reply: &mut u64) {
        tracing::info!("on the pool");
        *reply = 1;
    }

    fn fails(&self, (): (), _reply: &mut u64) -> Result<(), Fault> {
        Err(Fault::new("no"))
    }

    fn panics(&self, (): (), _reply: &mut u64) {
        panic!("as it should");
    }

    async fn never(&self, (): (), _reply: &mut u64) {
        self.runs.notify_one();
        pending::<()>().await;
    }

    async fn detached(&self, (): (), reply: &mut u64) {
        tokio::task::yield_now().await;
        *reply = 1;
    }

    /// Where it stands, and all that it calls.
    async fn on(&self, (): (), reply: &mut Vec<String>) -> Result<(), Error> {
        reply.extend(trace::current().map(|trace| trace.to_string()));
        tokio::task::yield_now().await;
        if let Some(next) = &self.next {
            let further: Vec<String> = next.call("Last.On", &()).await?;
            reply.extend(further);
        }
        Ok(())
    }

    /// Calls on from the spot.
    fn spot(&self, (): (), _reply: &mut u64) {
        self.next.as_ref().expect("there is one").go::<_, u64>("FromSpot.Pool", &()).detach();
    }

    /// Calls on from the pool.
    #[method(blocking)]
    fn pooled(&self, (): (), _reply: &mut u64) {
        self.next.as_ref().expect("there is one").go::<_, u64>("FromPool.Pool", &()).detach();
    }

    /// Calls on from a task of its own.
    fn spawned(&self, (): (), _reply: &mut u64) {
        let next = self.next.clone().expect("there is one");
        let later = async move { next.call::<_, u64>("FromTask.Pool", &()).await };
        tokio::spawn(trace::within(trace::current().expect("there is one"), later));
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A server of work under this name.
fn serving(name: &str, work: Work) -> Server {
    let server = Server::new();
    server.register_name(name, work).unwrap();
    server
}

/// A client of a server of work under this name.
fn client(name: &str) -> Client {
    pipe(&serving(name, Work::default()))
}

/// The spans of a method, once so many of them are closed: others close them.
async fn closed(capture: &Capture, method: &str, spans: usize) -> Vec<Seen> {
    soon(async {
        loop {
            let seen = capture.of(method);
            if seen.iter().filter(|seen| seen.closed > 0).count() >= spans {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

/// Both spans of the one call of a method, once they are closed, the client's first.
async fn both(capture: &Capture, method: &str) -> (Seen, Seen) {
    closed(capture, method, 2).await;
    let (client, server) = (capture.one("rpc.client", method), capture.one("rpc.server", method));
    for seen in [&client, &server] {
        assert_eq!((seen.closed, &*seen.again), (1, &[][..]), "{seen:?}");
        let failed = seen.status() != "ok" && seen.status() != "detached";
        assert_eq!(seen.get("otel.status_code"), if failed { "ERROR" } else { "" }, "{seen:?}");
        assert_eq!(seen.get("error.type"), if failed { seen.status() } else { "" }, "{seen:?}");
    }
    assert_eq!(server.get("parent_id"), client.get("span_id"), "{server:?}");
    (client, server)
}

#[tokio::test]
async fn a_call_is_one_span_on_either_side_and_they_are_parent_and_child() {
    let capture = Capture::install();
    let addr = listen(&serving("Plain", Work::default())).await;
    let client = Client::dial(addr).await.unwrap();
    let seen: Option<String> = client.call("Plain.Quick", &()).await.unwrap();
    let (client, server) = both(&capture, "Plain.Quick").await;
    assert_eq!((client.status(), server.status()), ("ok", "ok"));
    assert_eq!((client.get("otel.kind"), server.get("otel.kind")), ("client", "server"));
    assert_eq!(client.get("otel.name"), "Plain.Quick");
    assert_eq!(server.get("otel.name"), "Plain.Quick");
    assert_eq!(client.get("server.address"), "127.0.0.1");
    assert_eq!(client.get("server.port"), addr.port().to_string());
    assert!(server.get("network.peer.address").starts_with("127.0.0.1:"), "{server:?}");
    assert_eq!(client.get("parent_id"), "", "it begins the trace");
    assert_eq!(server.get("trace_id"), client.get("trace_id"));
    assert_eq!(server.get("parent_id"), client.get("span_id"));
    assert_ne!(server.get("span_id"), client.get("span_id"));
    assert_eq!(server.events, ["in the quick handler"]);
    let (trace, span) = (server.get("trace_id"), server.get("span_id"));
    assert_eq!(seen, Some(format!("00-{trace}-{span}-01")), "what Context::trace says");
}

#[tokio::test]
async fn a_client_tells_when_it_loses_its_server_and_finds_it_again() {
    let capture = Capture::install();
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let quick = Reconnect::new().first_delay(Duration::from_millis(1)).lazy(true).seed(7);
    let options = CallOptions::new().wait_for_ready(true);
    let client = Client::builder().reconnect(quick).options(options).dial(addr).await.unwrap();
    let call = async || soon(client.call::<_, u64>("Work.Slow", &())).await.unwrap();
    for _ in 0..2 {
        let server = Server::new();
        server.register(Work::default()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.serve(listener).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serving.into_future());
        assert_eq!(call().await, 1);
        stop.send(()).unwrap();
        soon(serving).await.unwrap();
        // Nobody is there for a while.
        let mut state = client.state();
        let waiting = client.go::<_, u64>("Work.Slow", &());
        while state != ConnectionState::Failing {
            state = soon(client.state_changed(state)).await;
        }
        drop(waiting);
        listener = TcpListener::bind(addr).await.unwrap();
    }
    let told = capture.told_of(&addr.to_string());
    for (text, times) in [("connected", 2), ("connection lost", 2)] {
        assert_eq!(told.iter().filter(|told| *told == text).count(), times, "{told:?}");
    }
    assert!(told.iter().any(|told| told == "cannot connect, and tries again"), "{told:?}");
}

#[tokio::test]
async fn events_are_in_the_span_wherever_the_handler_runs() {
    let capture = Capture::install();
    let client = client("Where");
    let _: u64 = client.call("Where.Slow", &()).await.unwrap();
    let _: u64 = client.call("Where.Pool", &()).await.unwrap();
    assert_eq!(both(&capture, "Where.Slow").await.1.events, ["before", "after"]);
    assert_eq!(both(&capture, "Where.Pool").await.1.events, ["on the pool"]);
}

#[tokio::test]
async fn every_end_of_a_call_is_an_outcome() {
    let capture = Capture::install();
    let client = client("Ends");
    let method = |name: &str| format!("Ends.{name}");
    for (name, status) in [("Fails", "method"), ("Panics", "panicked")] {
        client.call::<_, u64>(&*method(name), &()).await.unwrap_err();
        let (made, served) = both(&capture, &method(name)).await;
        assert_eq!((made.status(), served.status()), (status, status));
        assert_eq!(made.get("netrpc.may_have_run"), "true");
    }
    client.go::<_, u64>("Ends.Detached", &()).detach();
    let (made, served) = both(&capture, "Ends.Detached").await;
    assert_eq!((made.status(), served.status()), ("detached", "ok"));

    client.call::<_, u64>("Ends.Slow", &"not what it takes").await.unwrap_err();
    let (made, served) = both(&capture, "Ends.Slow").await;
    assert_eq!((made.status(), served.status()), ("bad_arguments", "bad_arguments"));
    assert_eq!(made.get("netrpc.may_have_run"), "false");
}

#[tokio::test]
async fn a_dropped_call_is_dropped_here_and_cancelled_there() {
    let capture = Capture::install();
    let runs = Arc::new(Notify::new());
    let client = pipe(&serving("Drops", Work { runs: runs.clone(), ..Work::default() }));
    let call = client.go::<_, u64>("Drops.Never", &());
    soon(runs.notified()).await;
    drop(call);
    let (made, served) = both(&capture, "Drops.Never").await;
    assert_eq!((made.status(), served.status()), ("dropped", "cancelled"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_an_outcome_on_both_sides() {
    let capture = Capture::install();
    let hasty = client("Hasty").with(CallOptions::new().timeout(Duration::from_millis(5)));
    hasty.call::<_, u64>("Hasty.Never", &()).await.unwrap_err();
    let (made, served) = both(&capture, "Hasty.Never").await;
    assert_eq!(made.status(), "deadline_exceeded");
    // Whichever timer is first: the caller's cancels.
    assert!(["deadline_exceeded", "cancelled"].contains(&served.status()), "{served:?}");
}

#[tokio::test]
async fn a_lost_connection_is_an_outcome_on_both_sides() {
    let capture = Capture::install();
    let runs = Arc::new(Notify::new());
    let client = pipe(&serving("Lost", Work { runs: runs.clone(), ..Work::default() }));
    let call = client.go::<_, u64>("Lost.Never", &());
    soon(runs.notified()).await;
    client.close().await;
    call.await.unwrap_err();
    let (made, served) = both(&capture, "Lost.Never").await;
    assert_eq!((made.status(), served.status()), ("shutdown", "cancelled"));
    assert_eq!(made.get("netrpc.may_have_run"), "true");
    let late = client.call::<_, u64>("Lost.Slow", &()).await.unwrap_err();
    assert!(!late.may_have_run());
    let made = capture.one("rpc.client", "Lost.Slow");
    assert_eq!((made.status(), made.get("netrpc.may_have_run")), ("shutdown", "false"));
}

#[tokio::test]
async fn a_refused_call_has_spans_and_what_a_peer_calls_a_method_is_not_their_name() {
    let capture = Capture::install();
    let client = client("Here");
    client.call::<_, u64>("Here.\u{1b}[31mNot", &()).await.unwrap_err();
    let made = capture.one("rpc.client", "Here.\u{1b}[31mNot");
    assert_eq!((made.status(), made.closed), ("unknown_method", 1));
    let others = closed(&capture, "_OTHER", 1).await;
    let served = others.iter().find(|seen| seen.get("parent_id") == made.get("span_id")).unwrap();
    assert_eq!((served.status(), served.closed), ("unknown_method", 1));
    assert_eq!(served.get("rpc.method_original"), r#""Here.\u{1b}[31mNot""#, "escaped");
}

#[tokio::test]
async fn a_check_that_refuses_is_within_the_span() {
    let capture = Capture::install();
    let server = Server::builder()
        .authorize(|_: CallInfo| async {
            tracing::info!("in the check");
            tokio::task::yield_now().await;
            tracing::info!("still in it");
            Err::<(), _>(Fault::denied("not you"))
        })
        .build();
    server.register_name("Guarded", Work::default()).unwrap();
    pipe(&server).call::<_, u64>("Guarded.Pool", &()).await.unwrap_err();
    let (made, served) = both(&capture, "Guarded.Pool").await;
    assert_eq!((made.status(), served.status()), ("denied", "denied"));
    assert_eq!(served.events, ["in the check", "still in it"]);
}

#[tokio::test]
async fn behind_a_check_a_handler_is_in_the_span_too() {
    let capture = Capture::install();
    let server = Server::builder().authorize(|_: CallInfo| async { Ok::<_, Fault>(()) }).build();
    server.register_name("Checked", Work::default()).unwrap();
    let client = pipe(&server);
    let _: u64 = client.call("Checked.Pool", &()).await.unwrap();
    let _: u64 = client.call("Checked.Slow", &()).await.unwrap();
    assert_eq!(both(&capture, "Checked.Pool").await.1.events, ["on the pool"]);
    assert_eq!(both(&capture, "Checked.Slow").await.1.events, ["before", "after"]);
}

#[tokio::test]
async fn calls_that_a_handler_makes_are_in_its_trace() {
    let capture = Capture::install();
    let last = client("Last");
    let first = pipe(&serving("First", Work { next: Some(last), ..Work::default() }));
    let seen: Vec<String> = first.call("First.On", &()).await.unwrap();
    let (begins, serves) = both(&capture, "First.On").await;
    let (made, served) = both(&capture, "Last.On").await;
    assert_eq!(made.get("parent_id"), serves.get("span_id"));
    assert_eq!(made.within, Some("rpc.server"), "a child for the subscriber, too");
    let trace = begins.get("trace_id");
    let place = |seen: &Seen| format!("00-{trace}-{}-01", seen.get("span_id"));
    assert_eq!(seen, [place(&serves), place(&served)]);
}

/// Calls on from somewhere: the trace and the parent are those of the call whose handler did.
async fn handed_on(policy: SyncPolicy, name: &'static str, method: &str, next: &str, end: &str) {
    let capture = Capture::install();
    let server = Server::builder().sync_policy(policy).build();
    server.register_name(name, Work { next: Some(client(next)), ..Work::default() }).unwrap();
    let client = pipe(&server);
    let _: u64 = client.call(method, &()).await.unwrap();
    let (_, by) = both(&capture, method).await;
    let (made, served) = both(&capture, end).await;
    assert_eq!(made.get("parent_id"), by.get("span_id"));
    assert_eq!(served.get("trace_id"), by.get("trace_id"));
}

#[tokio::test]
async fn a_synchronous_handler_hands_its_trace_on_from_the_spot() {
    handed_on(SyncPolicy::Inline, "A", "A.Spot", "FromSpot", "FromSpot.Pool").await;
}

#[tokio::test]
async fn a_blocking_handler_hands_its_trace_on_from_the_pool() {
    handed_on(SyncPolicy::Auto, "B", "B.Pooled", "FromPool", "FromPool.Pool").await;
}

#[tokio::test]
async fn what_a_handler_spawns_takes_its_trace_along() {
    handed_on(SyncPolicy::Inline, "C", "C.Spawned", "FromTask", "FromTask.Pool").await;
}

#[tokio::test]
async fn a_call_is_in_the_trace_that_its_caller_says() {
    let capture = Capture::install();
    let context: TraceContext = PARENT.replace("-01", "-00").parse().unwrap();
    let context = context.with_state("congo=t61".parse().unwrap());
    let client = client("Said");
    let said = client.with(CallOptions::new().trace(&context));
    let seen: Option<String> = said.call("Said.Quick", &()).await.unwrap();
    let (made, served) = both(&capture, "Said.Quick").await;
    assert_eq!((made.get("trace_id"), made.get("parent_id")), (TRACE, "00f067aa0ba902b7"));
    assert_eq!(seen, Some(format!("00-{TRACE}-{}-00", served.get("span_id"))), "not sampled");

    let call = async { client.call::<_, u64>("Said.Pool", &()).await };
    trace::within(context, call).await.unwrap();
    let (made, served) = both(&capture, "Said.Pool").await;
    assert_eq!((made.get("trace_id"), made.get("parent_id")), (TRACE, "00f067aa0ba902b7"));
    assert_eq!(served.get("trace_id"), TRACE);
    assert_eq!(trace::current(), None);
}

#[tokio::test]
async fn a_peers_trace_that_means_nothing_begins_another() {
    let capture = Capture::install();
    let addr = listen(&serving("Raw", Work::default())).await;
    let mut raw = Raw::dial(addr).await;
    let mut metadata: Metadata =
        [("traceparent", PARENT.replace("-00f", "_00f"))].into_iter().collect();
    let fields = RequestFields { metadata: Some(&metadata), ..Default::default() };
    raw.send(&request_with(1, "Raw.Quick", &fields, &encoded(&()))).await;
    let _: Option<String> = raw.reply(1).await;
    metadata.insert("traceparent", PARENT);
    let fields = RequestFields { metadata: Some(&metadata), ..Default::default() };
    raw.send(&request_with(2, "Raw.Quick", &fields, &encoded(&()))).await;
    let _: Option<String> = raw.reply(2).await;
    raw.send(&request(3, "Raw.Quick", &encoded(&()))).await;
    let _: Option<String> = raw.reply(3).await;
    let seen = closed(&capture, "Raw.Quick", 3).await;
    let ids: Vec<_> =
        seen.iter().map(|seen| (seen.get("trace_id"), seen.get("parent_id"))).collect();
    assert_eq!(ids[1], (TRACE, "00f067aa0ba902b7"));
    for (trace, parent) in [ids[0], ids[2]] {
        assert_eq!((trace.len(), parent), (32, ""));
        assert_ne!(trace, TRACE);
    }
}

/// Hands a name on, as a system with ids of its own would.
struct Named;

impl Propagator for Named {
    fn extract(&self, metadata: &Metadata, span: &tracing::Span) {
        span.record("rpc.method_original", metadata.get("caller").unwrap_or("nobody"));
    }

    fn inject(&self, span: &tracing::Span, metadata: &mut Metadata) {
        metadata.insert("caller", span.metadata().expect("it is open").name());
    }
}

#[tokio::test]
async fn a_propagator_of_ones_own_takes_the_place_of_ours() {
    let capture = Capture::install();
    let server = Server::builder().propagator(Named).build();
    server.register_name("Own", Work::default()).unwrap();
    let addr = listen(&server).await;
    let client = Client::builder().propagator(Named).dial(addr).await.unwrap();
    let seen: Option<String> = client.call("Own.Quick", &()).await.unwrap();
    assert_eq!(seen, None, "there is no traceparent");
    closed(&capture, "Own.Quick", 2).await;
    let (made, served) =
        (capture.one("rpc.client", "Own.Quick"), capture.one("rpc.server", "Own.Quick"));
    assert_eq!(served.get("rpc.method_original"), "rpc.client");
    for seen in [made, served] {
        assert_eq!(
            (seen.get("trace_id"), seen.get("span_id"), seen.get("parent_id")),
            ("", "", "")
        );
        assert_eq!((seen.status(), seen.closed), ("ok", 1));
    }
}

#[tokio::test]
async fn a_trace_never_makes_a_call_fail() {
    Capture::install();
    let many = (0..64)
        .map(|i| (i.to_string(), ""))
        .fold(CallOptions::new(), |options, (key, value)| options.metadata(key, value));
    let client = client("Full").with(many);
    // There is no room for one entry more.
    let _: u64 = client.call("Full.Pool", &()).await.unwrap();
}

#[cfg(feature = "go")]
#[tokio::test]
async fn a_protocol_of_go_has_spans_and_no_trace() {
    let capture = Capture::install();
    let addr = listen(&serving("Gob", Work::default())).await;
    let client = Client::builder().wire(netrpc::Wire::Gob).dial(addr).await.unwrap();
    let call = async { client.call::<_, u64>("Gob.Fails", &0u8).await };
    trace::within(PARENT.parse().unwrap(), call).await.unwrap_err();
    closed(&capture, "Gob.Fails", 2).await;
    let (made, served) =
        (capture.one("rpc.client", "Gob.Fails"), capture.one("rpc.server", "Gob.Fails"));
    assert_eq!(made.get("trace_id"), TRACE);
    assert_ne!(served.get("trace_id"), TRACE);
}
