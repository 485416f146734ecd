//! One request through layers is one call, however often they send it.

use std::{
    future::{Future, Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use netrpc::{
    CallOptions, Client, ClientBuilder, Error, Reconnect, Semantics,
    middleware::client::{Next, Request, Response},
};
use netrpc_core::wire::Kind;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, layer::layer_fn, retry::Policy, service_fn,
};

use crate::{
    bank::{Bank, call, volatile},
    common::soon,
    net::{Fate, Net, Way},
};

/// Sends a call again after any error, so often.
#[derive(Clone)]
struct Stubborn {
    left: usize,
    sent: Arc<AtomicUsize>,
}

impl<E> Policy<Request, Response, E> for Stubborn {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request, result: &mut Result<Response, E>) -> Option<Ready<()>> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if result.is_ok() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

fn stubborn(left: usize) -> (Stubborn, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    (Stubborn { left, sent: sent.clone() }, sent)
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

fn builder(semantics: Semantics) -> ClientBuilder {
    let options = CallOptions::new().semantics(semantics);
    Client::builder().reconnect(Reconnect::new().seed(7)).options(options)
}

async fn setup(builder: ClientBuilder) -> (Arc<Bank>, Net, Client) {
    let bank = Bank::new();
    let net = Net::new(&volatile(&bank));
    let client = builder.connect_with(net.clone()).await.unwrap();
    (bank, net, client)
}

/// The usual pair: each attempt has its time, and is followed by another.
#[tokio::test(start_paused = true)]
async fn a_layer_that_tries_again_asks_for_the_same_call() {
    let (policy, sent) = stubborn(100);
    let layers = ServiceBuilder::new().retry(policy).timeout(Duration::from_millis(500));
    let (bank, net, client) = setup(builder(Semantics::AtMostOnce).layer(layers)).await;
    let calling = tokio::spawn({
        let client = client.clone();
        async move { call(&client, "Bank.Pass", 1).await }
    });
    bank.begun(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    net.cut();
    tokio::time::sleep(Duration::from_secs(2)).await;
    bank.open.add_permits(1);
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
    assert!(sent.load(Ordering::SeqCst) >= 8, "it was sent again");
    assert_eq!(bank.runs(1), 1);
    // A handle's call too.
    let going = client.go::<_, u64>("Bank.Pass", &2);
    bank.begun(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    bank.open.add_permits(1);
    assert_eq!(soon(going).await.unwrap(), 2);
    assert_eq!(bank.runs(2), 1);
}

/// The same around a client, and an error of the method: it is the call's outcome, and stays it.
#[tokio::test(start_paused = true)]
async fn a_service_around_a_client_asks_for_the_same_call() {
    let (bank, net, client) = setup(builder(Semantics::AtMostOnce)).await;
    let (policy, sent) = stubborn(3);
    let request = client.request("Bank.Refuse", &1u64).unwrap();
    let service = ServiceBuilder::new().retry(policy).service(client.clone());
    let error = soon(service.oneshot(request)).await.unwrap_err();
    assert!(matches!(error, Error::Method(_)), "{error:?}");
    assert_eq!((sent.load(Ordering::SeqCst), bank.runs(1)), (4, 1));
    // Each request is a call of its own.
    for n in 2..4 {
        let request = client.request("Bank.Debit", &2u64).unwrap();
        assert_eq!(
            soon(client.clone().oneshot(request)).await.unwrap().decode::<u64>().unwrap(),
            2
        );
        assert_eq!(bank.runs(2), n - 1);
    }
    // And one that is sent again after its outcome gets that.
    let request = client.request("Bank.Debit", &4u64).unwrap();
    for _ in 0..3 {
        net.cut();
        let response = soon(client.clone().oneshot(request.clone())).await.unwrap();
        assert_eq!(response.decode::<u64>().unwrap(), 4);
    }
    assert_eq!(bank.runs(4), 1);
}

#[tokio::test(start_paused = true)]
async fn copies_that_are_sent_at_once_are_one_call() {
    let hedge = around(|next: Next, request: Request| async move {
        let all = (0..5).map(|_| next.clone().oneshot(request.clone()));
        let mut answers = join_all(all).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        answers.pop().unwrap()
    });
    let (bank, _net, client) = setup(builder(Semantics::AtMostOnce).layer(hedge)).await;
    assert_eq!(call(&client, "Bank.Debit", 1).await.unwrap(), 1);
    assert_eq!(bank.runs(1), 1);
    let maybe = client.with(CallOptions::new().semantics(Semantics::Maybe));
    assert_eq!(call(&maybe, "Bank.Debit", 2).await.unwrap(), 2);
    assert_eq!(bank.runs(2), 5, "they were all sent");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_not_sent_again_with_other_arguments() {
    let meddling = around(|mut next: Next, mut request: Request| async move {
        let first = next.ready().await?.call(request.clone()).await?;
        assert_eq!(first.decode::<u64>()?, 1);
        request.set_body(crate::common::encoded(&2u64));
        next.ready().await?.call(request).await
    });
    let (bank, _net, client) = setup(builder(Semantics::AtMostOnce).layer(meddling)).await;
    let error = call(&client, "Bank.Debit", 1).await.unwrap_err();
    assert!(matches!(error, Error::Layer { may_have_run: true, .. }), "{error:?}");
    assert!(
        error.chain().to_string().ends_with("again, with other arguments"),
        "{}",
        error.chain()
    );
    assert_eq!([1, 2].map(|n| bank.runs(n)), [1, 0]);
}

/// What a layer gives up is given up when the request is gone: it never begins afterwards.
#[tokio::test(start_paused = true)]
async fn a_call_that_layers_give_up_is_settled() {
    let layers = ServiceBuilder::new().timeout(Duration::from_secs(5));
    let (bank, net, client) = setup(builder(Semantics::AtMostOnce).layer(layers)).await;
    call(&client, "Bank.Debit", 0).await.unwrap();
    net.once(Way::FromClient, Kind::Request, Fate::Hold);
    let error = call(&client, "Bank.Debit", 1).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    net.release();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((net.counts().held, bank.runs(1)), (1, 0));
}

/// Calls that may run twice pass layers as they are.
#[tokio::test(start_paused = true)]
async fn a_call_that_may_run_twice_is_sent_again_behind_layers() {
    let layers = ServiceBuilder::new().concurrency_limit(10);
    let (bank, net, client) = setup(builder(Semantics::AtLeastOnce).layer(layers)).await;
    let calling = tokio::spawn({
        let client = client.clone();
        async move { call(&client, "Bank.Pass", 1).await }
    });
    let going = client.go::<_, u64>("Bank.Pass", &2);
    for _ in 0..2 {
        bank.begun(2).await;
        net.cut();
    }
    bank.begun(2).await;
    bank.open.add_permits(2);
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
    assert_eq!(soon(going).await.unwrap(), 2);
    assert_eq!([1, 2].map(|n| bank.runs(n)), [3, 3]);
}
