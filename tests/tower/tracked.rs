//! Layers before calls that must not run twice.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrpc::{
    Fault, Ledger, Server, ServerBuilder,
    middleware::server::{Next, Request, Response},
    service,
};
use netrpc_core::wire::FaultCode;
use tokio::sync::Semaphore;
use tower::{
    Service, ServiceExt,
    layer::layer_fn,
    retry::{Policy, RetryLayer},
    service_fn,
    timeout::TimeoutLayer,
};

use crate::common::{
    soon,
    tracked::{Asking, peer},
};

struct Mill {
    runs: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[service]
impl Mill {
    fn grind(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
    }

    fn fail(&self, (): (), _reply: &mut usize) -> Result<(), Fault> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        Err(Fault::new(format!("no, for the {run}. time")))
    }

    fn busy_at_first(&self, (): (), reply: &mut usize) -> Result<(), Fault> {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if *reply == 1 { Err(Fault::overloaded("not now")) } else { Ok(()) }
    }

    async fn wait(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.gate.acquire().await.unwrap().forget();
    }

    #[method(no_cancel)]
    async fn wait_to_the_end(&self, (): (), reply: &mut usize) {
        self.wait((), reply).await;
    }
}

struct Fixture {
    server: Server,
    runs: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

fn mill(builder: ServerBuilder) -> Fixture {
    let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let server = builder.ledger(Ledger::volatile()).build();
    server.register(Mill { runs: runs.clone(), gate: gate.clone() }).unwrap();
    Fixture { server, runs, gate }
}

impl Fixture {
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
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
async fn a_layer_that_tries_again_does_not_make_a_call_run_twice() {
    let mill = mill(Server::builder().layer(RetryLayer::new(Thrice(0))));
    let mut peer = peer(&mill.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Mill.Fail", &());
    for wire_seq in [1, 2] {
        let failed = soon(peer.ask(wire_seq, &asking)).await;
        assert_eq!((failed.code(), failed.text()), (FaultCode::Method, "no, for the 1. time"));
    }
    assert_eq!(mill.runs(), 1);
}

#[tokio::test]
async fn a_layer_can_try_again_what_has_had_no_effect() {
    let mill = mill(Server::builder().layer(RetryLayer::new(Thrice(0))));
    let mut peer = peer(&mill.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Mill.BusyAtFirst", &());
    assert_eq!(soon(peer.ask(1, &asking)).await.reply::<usize>(), 2);
    assert!(soon(peer.ask(2, &asking)).await.standing.is_replayed);
}

#[tokio::test]
async fn what_a_layer_answers_is_an_outcome_and_what_it_refuses_is_none() {
    let seen = Arc::new(AtomicUsize::new(0));
    let sees = seen.clone();
    let layer = layer_fn(move |next: Next| {
        let sees = sees.clone();
        service_fn(move |request: Request| {
            let (mut next, turn) = (next.clone(), sees.fetch_add(1, Ordering::SeqCst));
            async move {
                match turn {
                    0 => Err(Fault::overloaded("the layer has too much to do")),
                    1 => request.answer(&77usize),
                    _ => next.ready().await?.call(request).await,
                }
            }
        })
    });
    let mill = mill(Server::builder().layer(layer));
    let mut peer = peer(&mill.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Mill.Grind", &());
    let refused = soon(peer.ask(1, &asking)).await;
    assert_eq!(refused.code(), FaultCode::Overloaded);
    assert!(!refused.standing.is_final);
    for wire_seq in [2, 3] {
        assert_eq!(soon(peer.ask(wire_seq, &asking)).await.reply::<usize>(), 77);
    }
    assert_eq!((mill.runs(), seen.load(Ordering::SeqCst)), (0, 2));
    let next = Asking::new(&grant, 2, "Mill.Grind", &());
    assert_eq!(soon(peer.ask(4, &next)).await.reply::<usize>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_a_layer_gives_up_is_not_run_again() {
    let mill = mill(Server::builder().layer(TimeoutLayer::new(Duration::from_secs(1))));
    let mut peer = peer(&mill.server).await;
    let grant = peer.open().await;
    for (seq, method) in [(1, "Mill.Wait"), (2, "Mill.WaitToTheEnd")] {
        let asking = Asking::new(&grant, seq, method, &());
        for wire_seq in [seq, 10 + seq] {
            let late = soon(peer.ask(wire_seq, &asking)).await;
            assert_eq!(late.code(), FaultCode::DeadlineExceeded, "it may have run");
            assert!(late.standing.is_final);
        }
    }
    assert_eq!(mill.runs(), 2);
    mill.gate.add_permits(1);
    tokio::task::yield_now().await;
    while mill.gate.available_permits() > 0 {
        // Only the one that goes on to its end takes it.
        tokio::task::yield_now().await;
    }
}
