//! Layers before a server's handlers.

use std::{
    convert::Infallible,
    future::{Future, Ready, pending, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use netrpc::{
    CallInfo, CallOptions, Client, Context, Error, Fault, Refusal, Server, ServerBuilder,
    middleware::server::{Next, Request, Response},
    service,
};
use netrpc_core::wire::{self, FaultCode, Kind, RequestFields};
use tokio::{sync::Semaphore, time::Instant};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    buffer::BufferLayer,
    layer::layer_fn,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    service_fn,
    timeout::TimeoutLayer,
};

use crate::common::{Raw, dial, encoded, listen, pipe, poll_once, request, request_with, soon};

#[derive(Default)]
struct Counts {
    began: AtomicUsize,
    ended: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Counts {
    fn began(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    fn begin(&self) {
        self.began.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
    }

    fn end(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

struct Mill {
    counts: Arc<Counts>,
    gate: Arc<Semaphore>,
}

#[service]
impl Mill {
    fn add(&self, (a, b): (i64, i64), reply: &mut i64) {
        self.counts.begin();
        *reply = a + b;
        self.counts.end();
    }

    /// Ends when the test lets it.
    async fn gated(&self, n: i64, reply: &mut i64) {
        self.counts.begin();
        self.gate.acquire().await.unwrap().forget();
        *reply = n;
        self.counts.end();
    }

    #[method(no_cancel)]
    async fn gated_to_the_end(&self, n: i64, reply: &mut i64) {
        self.gated(n, reply).await;
    }

    async fn sleep(&self, ms: u64, reply: &mut u64) {
        self.counts.begin();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        *reply = ms;
        self.counts.end();
    }

    fn metadata(&self, cx: &Context, key: String, reply: &mut Option<String>) {
        self.counts.begin();
        *reply = cx.metadata().get(&key).map(str::to_owned);
        cx.set_reply_metadata("by", "the handler");
        self.counts.end();
    }

    fn extension(&self, cx: &Context, (): (), reply: &mut Option<u8>) {
        *reply = cx.extension::<u8>().copied();
    }

    fn fails(&self, (): (), _reply: &mut i64) -> Result<(), Fault> {
        self.counts.begin();
        Err(Fault::new("no").with_detail(&7))
    }

    fn panics(&self, (): (), _reply: &mut i64) {
        panic!("in the mill");
    }

    #[method(blocking)]
    fn thread(&self, (): (), reply: &mut String) {
        *reply = std::thread::current().name().unwrap_or_default().to_owned();
    }
}

struct Fixture {
    server: Server,
    counts: Arc<Counts>,
    gate: Arc<Semaphore>,
}

fn mill(builder: ServerBuilder) -> Fixture {
    let (counts, gate) = (Arc::new(Counts::default()), Arc::new(Semaphore::new(0)));
    let server = builder.build();
    server.register(Mill { counts: counts.clone(), gate: gate.clone() }).unwrap();
    Fixture { server, counts, gate }
}

async fn add(client: &Client, a: i64, b: i64) -> Result<i64, Error> {
    soon(client.call("Mill.Add", &(a, b))).await
}

/// Lets everything run that can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Waits until so many handlers have begun.
async fn began(counts: &Counts, n: usize) {
    while counts.began() < n {
        tokio::task::yield_now().await;
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Fault>> + Send>>;

/// A layer that does with each call what `f` does.
fn around<F, A>(
    f: F,
) -> impl Layer<Next, Service: Service<Request, Response = Response, Error = Fault, Future: Send> + Send>
+ Send
+ Sync
where
    F: Fn(Next, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    layer_fn(move |next: Next| {
        let f = f.clone();
        service_fn(move |request: Request| f(next.clone(), request))
    })
}

/// Runs what is behind a layer.
async fn run(mut next: Next, request: Request) -> Result<Response, Fault> {
    next.ready().await?.call(request).await
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_a_handler_and_its_caller_knows_that_it_may_have_run() {
    let mill = mill(Server::builder().layer(TimeoutLayer::new(Duration::from_secs(1))));
    let client = pipe(&mill.server);
    let begun = Instant::now();
    let error = client.call::<_, u64>("Mill.Sleep", &5000u64).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!(client.call::<_, u64>("Mill.Sleep", &500u64).await.unwrap(), 500);
    assert_eq!((mill.counts.began(), mill.counts.ended()), (2, 1), "the first was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_timed_out_before_its_handler_began_never_runs() {
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .layer(BufferLayer::new(16))
        .concurrency_limit(1);
    let mill = mill(Server::builder().layer(stack));
    let client = pipe(&mill.server);
    let first = client.go::<_, i64>("Mill.GatedToTheEnd", &1i64);
    began(&mill.counts, 1).await;
    let error = client.call::<_, i64>("Mill.Gated", &2i64).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    let error = first.await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    mill.gate.add_permits(2);
    settle().await;
    assert_eq!((mill.counts.began(), mill.counts.ended()), (1, 1), "the promise is kept");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_one_for_all_connections() {
    let layer = RateLimitLayer::new(3, Duration::from_secs(1));
    let mill = mill(Server::builder().layer(layer));
    let clients = [pipe(&mill.server), pipe(&mill.server), pipe(&mill.server)];
    let begun = Instant::now();
    let calls = (0..9).map(|n| clients[n % 3].go::<_, i64>("Mill.Add", &(n, 1)));
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), n as i64 + 1);
    }
    let took = begun.elapsed();
    assert!(Duration::from_secs(2) <= took && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_is_one_for_all_connections() {
    let mill = mill(Server::builder().layer(ConcurrencyLimitLayer::new(2)));
    let clients = [pipe(&mill.server), pipe(&mill.server), pipe(&mill.server)];
    let begun = Instant::now();
    let calls = (0..8).map(|n| clients[n % 3].go::<_, u64>("Mill.Sleep", &100u64));
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 100);
    }
    assert_eq!(mill.counts.most.load(Ordering::SeqCst), 2);
    assert_eq!(begun.elapsed(), Duration::from_millis(400));
}

#[tokio::test]
async fn what_is_shed_has_not_run_and_may_be_tried_again() {
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(1);
    // In one stack, or as two layers: whether what is behind is ready is known all the way.
    let builders = [
        Server::builder().layer(stack),
        Server::builder().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1)),
    ];
    for builder in builders {
        let mill = mill(builder);
        let client = dial(&mill.server).await;
        let runs = client.go::<_, i64>("Mill.Gated", &1i64);
        began(&mill.counts, 1).await;
        for _ in 0..3 {
            let error = add(&dial(&mill.server).await, 1, 2).await.unwrap_err();
            let shed = matches!(error, Error::Refused { refusal: Refusal::Overloaded, .. });
            assert!(shed && !error.may_have_run(), "{error:?}");
        }
        assert_eq!(mill.counts.began(), 1);
        mill.gate.add_permits(1);
        assert_eq!(soon(runs).await.unwrap(), 1);
        assert_eq!(add(&client, 1, 2).await.unwrap(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stack_from_the_shelf_serves_many_connections_at_once() {
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(60))
        .layer(BufferLayer::new(64))
        .rate_limit(1_000_000, Duration::from_secs(1))
        .concurrency_limit(3);
    let mill = mill(Server::builder().layer(stack).layer(ConcurrencyLimitLayer::new(100)));
    let addr = listen(&mill.server).await;
    let tasks = (0..8).map(|task: i64| {
        tokio::spawn(async move {
            let client = Client::dial(addr).await.unwrap();
            for n in 0..100 {
                assert_eq!(add(&client, task, n).await.unwrap(), task + n);
                if n % 10 == 0 {
                    assert_eq!(soon(client.call::<_, u64>("Mill.Sleep", &1u64)).await.unwrap(), 1);
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(mill.counts.ended(), 8 * 110);
    assert!(mill.counts.most.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn where_a_handler_runs_does_not_change() {
    let mill = mill(Server::builder().layer(ServiceBuilder::new().map_request(|r: Request| r)));
    let client = dial(&mill.server).await;
    let thread: String = soon(client.call("Mill.Thread", &())).await.unwrap();
    assert!(thread.starts_with("tokio-"), "on the pool: {thread}");
    let error = soon(client.call::<_, i64>("Mill.Panics", &())).await.unwrap_err();
    assert!(matches!(&error, Error::Panicked(text) if text == "in the mill"), "{error:?}");
    let error = soon(client.call::<_, i64>("Mill.Fails", &())).await.unwrap_err();
    assert_eq!((error.to_string(), error.detail()), ("no".to_owned(), Some(7)));
    let error = soon(client.call::<_, i64>("Mill.Nope", &())).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc: can't find method Mill.Nope");
    let error = soon(client.call::<_, i64>("Mill.Add", &"text")).await.unwrap_err();
    assert!(!error.may_have_run(), "{error:?}");
}

/// Panics where it is told to.
#[derive(Clone)]
struct Panicky<S>(S);

impl<S: Service<Request, Response = Response, Error = Fault>> Service<Request> for Panicky<S>
where
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Fault;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Fault>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Answer {
        let at = request.metadata().get("at").unwrap_or_default().to_owned();
        assert!(at != "call", "in the layer's call");
        let inner = self.0.call(request);
        Box::pin(async move {
            let response = inner.await?;
            assert!(at != "future", "in the layer's future");
            Ok(response)
        })
    }
}

#[tokio::test]
async fn a_layer_that_panics_is_an_error_of_its_call_alone() {
    let mill = mill(Server::builder().layer(layer_fn(Panicky::<Next>)));
    let client = dial(&mill.server).await;
    for at in ["call", "future"] {
        let told = client.with(CallOptions::new().metadata("at", at));
        let waits = client.go::<_, i64>("Mill.Gated", &1i64);
        let error = add(&told, 1, 2).await.unwrap_err();
        let text = format!("a check or layer panicked: in the layer's {at}");
        assert!(matches!(&error, Error::Server(told) if *told == text), "{error:?}");
        assert_eq!(add(&client, 1, 2).await.unwrap(), 3);
        mill.gate.add_permits(1);
        assert_eq!(soon(waits).await.unwrap(), 1);
    }
}

/// Never ready.
struct Never(Next);

impl Service<Request> for Never {
    type Response = Response;
    type Error = Fault;
    type Future = <Next as Service<Request>>::Future;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Fault>> {
        Poll::Pending
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_never_is_ready_ends_no_connection_and_no_promise() {
    let mill = mill(Server::builder().layer(layer_fn(Never)));
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = mill.server.clone();
    tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut raw = Raw::new(ours);
    raw.greet().await;
    let begun = Instant::now();
    for seq in 1..4 {
        let deadline = Some(Duration::from_secs(seq));
        let fields = RequestFields { deadline, metadata: None };
        raw.send(&request_with(seq, "Mill.Add", &fields, &encoded(&(1, 2)))).await;
    }
    raw.request(9, "Mill.Add", &encoded(&(1, 2))).await;
    for seq in 1..4 {
        assert_eq!(raw.fault(seq).await.0, FaultCode::Expired, "it has not run");
        assert_eq!(begun.elapsed(), Duration::from_secs(seq));
    }
    let mut out = Vec::new();
    wire::write_cancel(&mut out, 9);
    raw.send(&out).await;
    assert_eq!(raw.fault(9).await.0, FaultCode::Cancelled);
    assert_eq!(mill.counts.began(), 0);
}

#[tokio::test]
async fn a_layer_can_answer_without_the_handler() {
    let layer = around(|next, request: Request| async move {
        match request.full_name() {
            "Mill.Add" => {
                let (a, b): (i64, i64) = request.decode()?;
                request.answer(&(a * b))
            }
            "Mill.Virtual" => request.answer("there is no such method"),
            _ => run(next, request).await,
        }
    });
    let mill = mill(Server::builder().layer(layer));
    let client = dial(&mill.server).await;
    assert_eq!(add(&client, 6, 7).await.unwrap(), 42);
    let text: String = soon(client.call("Mill.Virtual", &())).await.unwrap();
    assert_eq!(text, "there is no such method");
    assert_eq!(mill.counts.began(), 0);
    let none: Option<String> = soon(client.call("Mill.Metadata", "k")).await.unwrap();
    assert_eq!((none, mill.counts.began()), (None, 1));
}

#[tokio::test]
async fn a_call_whose_handler_runs_twice_is_answered_once() {
    let layer = around(|next, request: Request| async move {
        let first = run(next.clone(), request.clone()).await;
        assert!(first.is_ok());
        run(next, request).await
    });
    let mill = mill(Server::builder().layer(layer));
    let mut raw = Raw::dial(listen(&mill.server).await).await;
    raw.request(1, "Mill.Add", &encoded(&(1, 2))).await;
    assert_eq!(soon(raw.reply::<i64>(1)).await, 3);
    // Nothing comes after it but what is asked for next.
    raw.request(2, "Mill.Add", &encoded(&(2, 3))).await;
    assert_eq!(soon(raw.reply::<i64>(2)).await, 5);
    assert_eq!(mill.counts.ended(), 4);
}

#[tokio::test]
async fn metadata_and_extensions_change_on_the_way() {
    let outer = around(|next, mut request: Request| async move {
        assert_eq!(request.metadata_mut().remove("internal"), Some(b"forged".to_vec()));
        request.metadata_mut().insert("internal", "true");
        request.insert_extension(1u8);
        let mut response = run(next, request).await?;
        assert_eq!(response.metadata().get("by"), Some("the handler"));
        response.metadata_mut().insert("seen by", "a layer");
        Ok(response)
    });
    let inner = around(|next, mut request: Request| async move {
        assert_eq!(request.extension::<u8>(), Some(&1), "the first is the outermost");
        request.insert_extension(2u8);
        run(next, request).await
    });
    let mill = mill(Server::builder().layer(outer).layer(inner));
    let client = dial(&mill.server).await.with(CallOptions::new().metadata("internal", "forged"));
    let call = client.go::<_, Option<String>>("Mill.Metadata", "internal").with_metadata();
    let (seen, back) = soon(call).await.unwrap();
    assert_eq!(seen.as_deref(), Some("true"));
    assert_eq!((back.get("by"), back.get("seen by")), (Some("the handler"), Some("a layer")));
}

#[tokio::test]
async fn what_a_layer_leaves_the_handler_finds() {
    let layer = around(|next, mut request: Request| async move {
        request.insert_extension(7u8);
        run(next, request).await
    });
    let mill = mill(Server::builder().layer(layer));
    let found: Option<u8> =
        soon(dial(&mill.server).await.call("Mill.Extension", &())).await.unwrap();
    assert_eq!(found, Some(7));
}

#[tokio::test]
async fn a_handler_that_is_not_done_when_its_call_is_answered_keeps_the_slot() {
    let layer = around(|next, request: Request| async move {
        if request.full_name() != "Mill.Gated" {
            return run(next, request).await;
        }
        let early = request.answer(&0i64);
        tokio::spawn(run(next, request));
        settle().await;
        early
    });
    let mill = mill(Server::builder().max_calls(1).layer(layer));
    let mut raw = Raw::dial(listen(&mill.server).await).await;
    raw.send(&request(1, "Mill.Gated", &encoded(&5))).await;
    raw.send(&request(2, "Mill.Add", &encoded(&(1, 2)))).await;
    assert_eq!(soon(raw.reply::<i64>(1)).await, 0);
    let mut out = Vec::new();
    wire::write_ping(&mut out, 7);
    raw.send(&out).await;
    let frame = soon(raw.frame()).await.unwrap();
    assert_eq!((frame.kind, frame.seq), (Kind::Pong, 7), "no answer to the second call");
    assert_eq!((mill.counts.began(), mill.counts.ended()), (1, 0));
    mill.gate.add_permits(1);
    assert_eq!(soon(raw.reply::<i64>(2)).await, 3);
    assert_eq!(mill.counts.ended(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_not_to_be_cancelled_goes_on_when_a_layer_drops_it() {
    let mill = mill(Server::builder().layer(TimeoutLayer::new(Duration::from_secs(1))));
    let client = pipe(&mill.server);
    let error = client.call::<_, i64>("Mill.GatedToTheEnd", &1i64).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!((mill.counts.began(), mill.counts.ended()), (1, 0));
    mill.gate.add_permits(1);
    settle().await;
    assert_eq!(mill.counts.ended(), 1);
}

#[tokio::test]
async fn no_handler_begins_after_its_call_was_answered() {
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    let layer = around(move |next, request: Request| {
        let answer = request.answer(&0i64);
        *keeps.lock().unwrap() = Some((next, request));
        ready(answer)
    });
    let mill = mill(Server::builder().max_calls(1).layer(layer));
    let client = dial(&mill.server).await;
    assert_eq!(add(&client, 1, 2).await.unwrap(), 0);
    let (next, request) = kept.lock().unwrap().take().unwrap();
    let late = run(next, request).await.unwrap_err();
    assert_eq!(late.code(), FaultCode::Cancelled);
    assert_eq!(mill.counts.began(), 0);
    assert_eq!(add(&client, 1, 2).await.unwrap(), 0, "what a layer keeps takes no slot");
}

#[derive(Debug)]
struct Odd;

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an odd day")
    }
}

impl std::error::Error for Odd {}

/// An error around another.
#[derive(Debug)]
struct Around(Fault);

impl std::fmt::Display for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("around")
    }
}

impl std::error::Error for Around {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn an_error_of_a_layer_reaches_the_caller_as_what_it_is() {
    type Failed = Box<dyn std::error::Error + Send + Sync>;
    let layer = layer_fn(|_: Next| {
        service_fn(|request: Request| {
            let failed: Failed = match request.metadata().get("how") {
                Some("fault") => Fault::denied("not on Mondays").into(),
                Some("around") => Around(Fault::unauthenticated("who is it?")).into(),
                _ => Odd.into(),
            };
            ready(Err::<Response, Failed>(failed))
        })
    });
    let mill = mill(Server::builder().layer(layer));
    let client = dial(&mill.server).await;
    let how = |how: &str| client.with(CallOptions::new().metadata("how", how));
    let error = add(&how("fault"), 1, 2).await.unwrap_err();
    let denied = matches!(error, Error::Refused { refusal: Refusal::Denied, .. });
    assert!(denied && error.to_string() == "not on Mondays", "{error:?}");
    let error = add(&how("around"), 1, 2).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Unauthenticated, .. }), "{error:?}");
    let error = add(&how("else"), 1, 2).await.unwrap_err();
    assert!(matches!(&error, Error::Server(text) if text == "an odd day"), "{error:?}");
    assert!(error.may_have_run(), "nobody knows");
}

#[tokio::test]
async fn an_answer_does_not_promise_what_is_not_so() {
    let layer = around(|next, request: Request| async move {
        let refuse = request.metadata().get("refuse").is_some();
        let response = run(next, request).await;
        if refuse { Err(Fault::overloaded("too late to say so")) } else { response }
    });
    let mill = mill(Server::builder().layer(layer));
    let client = dial(&mill.server).await.with(CallOptions::new().metadata("refuse", ""));
    let error = add(&client, 1, 2).await.unwrap_err();
    assert!(matches!(&error, Error::Server(text) if text == "too late to say so"), "{error:?}");
    assert!(error.may_have_run() && mill.counts.ended() == 1);
    // What could not begin, the layer may refuse.
    let error = soon(client.call::<_, i64>("Mill.Add", &"text")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Overloaded, .. }), "{error:?}");
}

#[tokio::test]
async fn a_layer_that_calls_what_is_not_ready_is_told_so() {
    // Two layers: the handlers alone are always ready.
    let hasty = layer_fn(|mut next: Next| service_fn(move |request: Request| next.call(request)));
    let patient = around(run);
    let mill = mill(Server::builder().layer(hasty).layer(patient));
    let error = add(&dial(&mill.server).await, 1, 2).await.unwrap_err();
    let told = matches!(&error, Error::Server(text) if text.contains("before that was ready"));
    assert!(told, "{error:?}");
}

/// Tries three times.
#[derive(Clone)]
struct Thrice(usize);

impl Policy<Request, Response, Fault> for Thrice {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request,
        result: &mut Result<Response, Fault>,
    ) -> Option<Ready<()>> {
        self.0 += 1;
        (result.is_err() && self.0 < 3).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn a_layer_can_try_again() {
    let mill = mill(Server::builder().layer(RetryLayer::new(Thrice(0))));
    let client = dial(&mill.server).await;
    let error = soon(client.call::<_, i64>("Mill.Fails", &())).await.unwrap_err();
    assert_eq!((error.to_string(), mill.counts.began()), ("no".to_owned(), 3));
    assert_eq!(add(&client, 1, 2).await.unwrap(), 3);
    assert_eq!(mill.counts.began(), 4);
}

#[tokio::test]
async fn checks_come_before_layers() {
    let check = |call: CallInfo| async move {
        match call.metadata().get("token") {
            Some(_) => Ok(1u8),
            None => Err(Fault::unauthenticated("show a token")),
        }
    };
    let seen = Arc::new(AtomicUsize::new(0));
    let sees = seen.clone();
    let layer = around(move |next, request: Request| {
        sees.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.info().extension::<u8>(), Some(&1));
        run(next, request)
    });
    let mill = mill(Server::builder().layer(layer).authorize(check));
    let client = dial(&mill.server).await;
    let error = add(&client, 1, 2).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Unauthenticated, .. }), "{error:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    let client = client.with(CallOptions::new().metadata("token", "7"));
    assert_eq!(add(&client, 1, 2).await.unwrap(), 3);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_waits_in_a_layer_is_cancelled_like_any_other() {
    let layer = around(|next, request: Request| async move {
        if request.metadata().get("wait").is_some() {
            return pending().await;
        }
        run(next, request).await
    });
    let mill = mill(Server::builder().max_calls(1).layer(layer));
    let client = dial(&mill.server).await;
    let waits = client.with(CallOptions::new().metadata("wait", ""));
    let waits = waits.go::<_, i64>("Mill.Add", &(1, 2));
    let mut next = client.go::<_, i64>("Mill.Add", &(3, 4));
    settle().await;
    assert!(poll_once(&mut next).await.is_pending());
    drop(waits);
    assert_eq!(soon(next).await.unwrap(), 7);
    assert_eq!(mill.counts.began(), 1);
}

#[cfg(feature = "go")]
#[tokio::test]
async fn go_programs_pass_layers_too() {
    use netrpc::{Protocol, Wire};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Reply {
        by: String,
    }

    let layer = around(|next, request: Request| async move {
        assert_ne!(request.info().protocol(), Protocol::Native);
        match request.full_name() {
            "Mill.Virtual" => {
                let asked: i64 = request.decode()?;
                request.answer(&Reply { by: format!("a layer, asked for {asked}") })
            }
            "Mill.Fails" => Err(Fault::denied("not here")),
            _ => run(next, request).await,
        }
    });
    let stack = ServiceBuilder::new().concurrency_limit(1).layer(layer);
    let mill = mill(Server::builder().layer(stack));
    mill.gate.add_permits(100);
    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let server = mill.server.clone();
        tokio::spawn(async move { server.serve_conn(theirs).await });
        let client = Client::builder().wire(wire).connect(ours);
        for n in 0..3 {
            assert_eq!(soon(client.call::<_, i64>("Mill.Gated", &n)).await.unwrap(), n);
            let reply: Reply = soon(client.call("Mill.Virtual", &n)).await.unwrap();
            assert_eq!(reply.by, format!("a layer, asked for {n}"), "{wire:?}");
            let error = soon(client.call::<_, i64>("Mill.Fails", &())).await.unwrap_err();
            assert_eq!(error.to_string(), "not here", "{wire:?}");
        }
    }
}

/// Layers whose services cannot fail, or are not `Clone`, are layers.
#[test]
fn any_error_will_do() {
    struct Unclonable(Next);

    impl Service<Request> for Unclonable {
        type Response = Response;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
            let _ = &self.0;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request) -> Self::Future {
            Box::pin(pending())
        }
    }
    let builder = Server::builder().layer(layer_fn(Unclonable));
    assert!(format!("{builder:?}").contains("layers: 1"), "{builder:?}");
    drop((builder.clone().build(), builder.build()));
}
