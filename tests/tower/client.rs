//! Layers under a client's calls.

use std::{
    future::{Future, Ready, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrpc::{
    CallOptions, Client, ClientBuilder, Context, Error, Fault, Refusal, Server,
    middleware::client::{Next, Request, Response},
    service,
};
use tokio::{sync::Semaphore, time::Instant};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    layer::layer_fn,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    service_fn,
    timeout::TimeoutLayer,
};

use crate::common::soon;

#[derive(Clone)]
struct Mill {
    began: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[service]
impl Mill {
    fn add(&self, (a, b): (i64, i64), reply: &mut i64) {
        self.began.fetch_add(1, Ordering::SeqCst);
        *reply = a + b;
    }

    /// Ends when the test lets it.
    async fn gated(&self, n: i64, reply: &mut i64) {
        self.began.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        *reply = n;
    }

    fn metadata(&self, cx: &Context, key: String, reply: &mut Option<String>) {
        *reply = cx.metadata().get(&key).map(str::to_owned);
        cx.set_reply_metadata("by", "the handler");
    }

    /// Succeeds at the third time.
    fn third(&self, (): (), reply: &mut i64) -> Result<(), Fault> {
        match self.began.fetch_add(1, Ordering::SeqCst) {
            2.. => *reply = 3,
            _ => return Err(Fault::overloaded("come again")),
        }
        Ok(())
    }
}

struct Fixture {
    client: Client,
    mill: Mill,
    /// Ends the connection when it is dropped.
    server: tokio::task::JoinHandle<()>,
}

impl Fixture {
    fn began(&self) -> usize {
        self.mill.began.load(Ordering::SeqCst)
    }

    async fn begun(&self, n: usize) {
        while self.began() < n {
            tokio::task::yield_now().await;
        }
    }
}

fn mill(builder: ClientBuilder) -> Fixture {
    let mill = Mill { began: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let server = Server::new();
    server.register(mill.clone()).unwrap();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let _ = server.serve_conn(theirs).await;
    });
    Fixture { client: builder.connect(ours), mill, server }
}

async fn add(client: &Client, a: i64, b: i64) -> Result<i64, Error> {
    soon(client.call("Mill.Add", &(a, b))).await
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A layer that does with each call what `f` does.
fn around<F, A>(
    f: F,
) -> impl Layer<Next, Service: Service<Request, Response = Response, Error = Error, Future: Send> + Send>
+ Send
+ Sync
where
    F: Fn(Next, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response, Error>> + Send + 'static,
{
    layer_fn(move |next: Next| {
        let f = f.clone();
        service_fn(move |request: Request| f(next.clone(), request))
    })
}

/// Sends what a layer stands before.
async fn send(mut next: Next, request: Request) -> Result<Response, Error> {
    next.ready().await?.call(request).await
}

#[tokio::test]
async fn call_and_go_and_stubs_pass_the_layers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let layer = around(move |next, request: Request| {
        sees.lock().unwrap().push(request.full_name().to_owned());
        send(next, request)
    });
    let mill = mill(Client::builder().layer(layer));
    assert_eq!(add(&mill.client, 1, 2).await.unwrap(), 3);
    assert_eq!(soon(mill.client.go::<_, i64>("Mill.Add", &(2, 3))).await.unwrap(), 5);
    assert_eq!(soon(MillClient::new(mill.client.clone()).add(&(3, 4))).await.unwrap(), 7);
    let error = soon(mill.client.call::<_, i64>("Mill.Nope", &())).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::UnknownMethod, .. }), "{error:?}");
    assert_eq!(*seen.lock().unwrap(), ["Mill.Add", "Mill.Add", "Mill.Add", "Mill.Nope"]);
}

#[tokio::test]
async fn what_go_has_started_goes_on_by_itself_until_it_is_dropped() {
    let mill = mill(Client::builder().layer(TimeoutLayer::new(Duration::from_secs(60))));
    let waits = mill.client.go::<_, i64>("Mill.Gated", &1i64);
    mill.client.go::<_, i64>("Mill.Gated", &2i64).detach();
    mill.begun(2).await;
    drop(mill.client.go::<_, i64>("Mill.Gated", &3i64));
    mill.mill.gate.add_permits(2);
    assert_eq!(soon(waits).await.unwrap(), 1);
    settle().await;
    assert_eq!(mill.mill.gate.available_permits(), 0, "the detached one has run");
    let began = mill.began();
    let dropped = mill.client.go::<_, i64>("Mill.Gated", &4i64);
    mill.begun(began + 1).await;
    drop(dropped);
    settle().await;
    mill.mill.gate.add_permits(1);
    settle().await;
    assert_eq!(mill.mill.gate.available_permits(), 1, "its handler was cancelled");
}

#[tokio::test]
async fn calls_of_go_in_layers_are_bounded_like_those_on_the_connection() {
    let builder = Client::builder().max_calls(2).layer(ConcurrencyLimitLayer::new(1));
    let mill = mill(builder);
    let first = mill.client.go::<_, i64>("Mill.Gated", &1i64);
    let second = mill.client.go::<_, i64>("Mill.Gated", &2i64);
    let third = soon(mill.client.go::<_, i64>("Mill.Gated", &3i64)).await.unwrap_err();
    assert!(matches!(third, Error::TooManyCalls { in_flight: 2, limit: 2 }), "{third:?}");
    let mut ready = Box::pin(mill.client.ready());
    settle().await;
    assert!(crate::common::poll_once(&mut ready).await.is_pending());
    mill.mill.gate.add_permits(3);
    assert_eq!((soon(first).await.unwrap(), soon(second).await.unwrap()), (1, 2));
    soon(ready).await.unwrap();
    assert_eq!(soon(mill.client.go::<_, i64>("Mill.Gated", &4i64)).await.unwrap(), 4);
}

#[tokio::test]
async fn metadata_changes_on_the_way_there_and_back() {
    let layer = around(|next, mut request: Request| async move {
        request.metadata_mut().insert("token", "secret");
        let mut response = send(next, request).await?;
        response.metadata_mut().insert("seen by", "a layer");
        Ok(response)
    });
    let mill = mill(Client::builder().layer(layer));
    let call = mill.client.go::<_, Option<String>>("Mill.Metadata", "token").with_metadata();
    let (seen, back) = soon(call).await.unwrap();
    assert_eq!(seen.as_deref(), Some("secret"));
    assert_eq!((back.get("by"), back.get("seen by")), (Some("the handler"), Some("a layer")));
}

#[tokio::test(start_paused = true)]
async fn limits_from_the_shelf_hold_for_all_clones() {
    let stack = ServiceBuilder::new()
        .layer(RateLimitLayer::new(3, Duration::from_secs(1)))
        .layer(ConcurrencyLimitLayer::new(2));
    let mill = mill(Client::builder().layer(stack));
    let clients = [mill.client.clone(), mill.client.with(CallOptions::new()), mill.client.clone()];
    let begun = Instant::now();
    let calls = (0..9).map(|n| clients[n % 3].go::<_, i64>("Mill.Add", &(n, 1)));
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), n as i64 + 1);
    }
    let took = begun.elapsed();
    assert!(Duration::from_secs(2) <= took && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn what_is_shed_was_not_sent() {
    let builder =
        Client::builder().layer(LoadShedLayer::new()).layer(ConcurrencyLimitLayer::new(1));
    let mill = mill(builder);
    let waits = mill.client.go::<_, i64>("Mill.Gated", &1i64);
    mill.begun(1).await;
    let error = add(&mill.client, 1, 2).await.unwrap_err();
    assert!(matches!(error, Error::Layer { may_have_run: false, .. }), "{error:?}");
    assert_eq!(
        error.chain().to_string(),
        "a layer of the client ended the call: service overloaded"
    );
    mill.mill.gate.add_permits(1);
    assert_eq!(soon(waits).await.unwrap(), 1);
    assert_eq!(mill.began(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_a_layer_knows_whether_the_call_was_sent() {
    let stack =
        ServiceBuilder::new().timeout(Duration::from_secs(1)).buffer(8).concurrency_limit(1);
    let mill = mill(Client::builder().layer(stack));
    let first = mill.client.go::<_, i64>("Mill.Gated", &1i64);
    mill.begun(1).await;
    let error = mill.client.call::<_, i64>("Mill.Add", &(1, 2)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    let error = first.await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    settle().await;
    assert_eq!(mill.began(), 1, "the promise is kept");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_call_holds_for_its_layers() {
    let layer = around(|_, _| pending());
    let mill = mill(Client::builder().layer(layer));
    let hasty = mill.client.with(CallOptions::new().timeout(Duration::from_secs(3)));
    let begun = Instant::now();
    let error = hasty.call::<_, i64>("Mill.Add", &(1, 2)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

/// Tries again while the server has too much to do.
#[derive(Clone)]
struct Again;

impl Policy<Request, Response, Error> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request,
        result: &mut Result<Response, Error>,
    ) -> Option<Ready<()>> {
        matches!(result, Err(error) if !error.may_have_run()).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn a_layer_can_send_again_what_has_not_run() {
    let mill = mill(Client::builder().layer(RetryLayer::new(Again)));
    assert_eq!(soon(mill.client.call::<_, i64>("Mill.Third", &())).await.unwrap(), 3);
    assert_eq!(mill.began(), 3);
}

#[tokio::test]
async fn an_error_does_not_promise_what_is_not_so() {
    let layer = around(|next, request: Request| async move {
        assert!(send(next.clone(), request.clone()).await.is_ok());
        let (sent, mut again) = (request.clone(), request);
        again.set_body(b"\xc1".to_vec());
        drop(sent);
        // The server refuses the second, and says truly that it has not run.
        send(next, again).await
    });
    let mill = mill(Client::builder().layer(layer));
    let error = add(&mill.client, 1, 2).await.unwrap_err();
    let Error::Layer { may_have_run: true, cause } = &error else { panic!("{error:?}") };
    assert!(cause.is::<Error>(), "{cause:?}");
    assert_eq!(mill.began(), 1);
}

#[tokio::test]
async fn nothing_is_sent_after_the_caller_has_its_answer() {
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    let layer = around(move |next, request| {
        *keeps.lock().unwrap() = Some((next, request));
        ready(Err(Error::TooLarge("for a layer".to_owned())))
    });
    let mill = mill(Client::builder().layer(layer));
    let error = add(&mill.client, 1, 2).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)) && !error.may_have_run());
    let (next, request) = kept.lock().unwrap().take().unwrap();
    let error = send(next, request).await.unwrap_err();
    assert!(matches!(error, Error::Layer { .. }), "{error:?}");
    settle().await;
    assert_eq!(mill.began(), 0);
}

#[tokio::test]
async fn a_layer_that_panics_in_a_task_is_an_error_of_its_call_alone() {
    let layer = around(|next, request: Request| async move {
        assert!(request.full_name() != "Mill.Gated", "no gates");
        send(next, request).await
    });
    let mill = mill(Client::builder().layer(layer));
    let error = soon(mill.client.go::<_, i64>("Mill.Gated", &1i64)).await.unwrap_err();
    assert!(matches!(error, Error::Layer { may_have_run: true, .. }), "{error:?}");
    assert_eq!(add(&mill.client, 1, 2).await.unwrap(), 3);
}

#[tokio::test]
async fn a_client_is_a_service() {
    let mill = mill(Client::builder());
    let request = mill.client.request("Mill.Add", &(20, 22)).unwrap();
    let service = ServiceBuilder::new()
        .timeout(Duration::from_secs(20))
        .concurrency_limit(1)
        .service(mill.client.clone());
    let response = soon(service.oneshot(request)).await.unwrap();
    assert_eq!(response.decode::<i64>().unwrap(), 42);
    let error = response.decode::<String>().unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error:?}");

    let request = mill.client.request("Mill.Add", &(1, 2)).unwrap();
    mill.server.abort();
    let error = soon(mill.client.clone().oneshot(request)).await.unwrap_err();
    assert!(matches!(error, Error::Shutdown { .. }), "{error:?}");
}

#[cfg(feature = "go")]
#[tokio::test]
async fn layers_are_under_calls_of_go_servers_too() {
    use netrpc::Wire;

    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let stack = ServiceBuilder::new().concurrency_limit(1).timeout(Duration::from_secs(20));
        let mill = mill(Client::builder().wire(wire).layer(stack));
        mill.mill.gate.add_permits(2);
        assert_eq!(soon(mill.client.call::<_, i64>("Mill.Gated", &5)).await.unwrap(), 5);
        assert_eq!(soon(mill.client.go::<_, i64>("Mill.Gated", &6)).await.unwrap(), 6);
        let error = soon(mill.client.call::<_, i64>("Mill.Nope", &5)).await.unwrap_err();
        assert_eq!(error.to_string(), "rpc: can't find method Mill.Nope", "{wire:?}");
    }
}

#[cfg(feature = "blocking")]
#[test]
fn the_blocking_client_passes_layers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mill = Mill { began: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let server = Server::new();
    server.register(mill).unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(server.serve(listener));
    let builder = Client::builder().layer(TimeoutLayer::new(Duration::from_secs(20)));
    let client = netrpc::blocking::Client::dial_with(builder, addr).unwrap();
    assert_eq!(client.call::<_, i64>("Mill.Add", &(1, 2)).unwrap(), 3);
    assert_eq!(client.go::<_, i64>("Mill.Add", &(2, 3)).wait().unwrap(), 5);
}
