//! The typed stub: its constructors, its three ways to a method, its names.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use netrpc::{Call, CallOptions, Error, Server, TypedMethod, service};
use serde::{Deserialize, Serialize};

use crate::{connect, serve};

#[derive(Serialize, Deserialize)]
pub(crate) struct Args {
    a: i64,
    b: i64,
}

struct Arith;

#[service]
impl Arith {
    /// Multiplies two numbers.
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }

    fn length(&self, text: &str, reply: &mut usize) {
        *reply = text.len();
    }

    async fn forever(&self, _: (), reply: &mut ()) {
        std::future::pending::<()>().await;
        *reply = ();
    }
}

#[tokio::test]
async fn a_method_can_be_called_started_and_named() {
    let stub = ArithClient::new(serve!(Arith));
    let args = Args { a: 6, b: 7 };
    assert_eq!(stub.multiply(&args).await.unwrap(), 42);
    let call: Call<i64> = stub.multiply_go(&args);
    assert_eq!(call.await.unwrap(), 42);

    const MULTIPLY: TypedMethod<Args, i64> = ArithClient::MULTIPLY;
    let client = stub.client().clone();
    assert_eq!(client.call(MULTIPLY, &args).await.unwrap(), 42);
    assert_eq!(client.go(ArithClient::LENGTH, "hello").await.unwrap(), 5);
    assert_eq!(ArithClient::MULTIPLY.name(), "Arith.Multiply");
}

#[tokio::test]
async fn calls_of_a_stub_finish_in_any_order() {
    let stub = ArithClient::new(serve!(Arith));
    let mut calls: FuturesUnordered<_> =
        (0..100).map(|a| stub.multiply_go(&Args { a, b: 2 })).collect();
    let mut sum = 0;
    while let Some(reply) = calls.next().await {
        sum += reply.unwrap();
    }
    assert_eq!(sum, 9900);
}

#[tokio::test]
async fn a_stub_can_be_cloned_sent_and_shown() {
    let stub = ArithClient::new(serve!(Arith));
    let other = stub.clone();
    let args = Args { a: 6, b: 7 };
    assert_eq!(
        tokio::spawn(async move { other.multiply(&args).await }).await.unwrap().unwrap(),
        42
    );
    assert!(format!("{stub:?}").starts_with("ArithClient"), "{stub:?}");
}

#[tokio::test]
async fn a_stub_calls_a_service_of_another_name() {
    let server = Server::new();
    server.register_name("newServer.Arith", Arith).unwrap();
    let client = connect(&server);
    let stub = ArithClient::with_name(client.clone(), "newServer.Arith");
    let args = Args { a: 6, b: 7 };
    assert_eq!(stub.multiply(&args).await.unwrap(), 42);
    assert_eq!(stub.multiply_go(&args).await.unwrap(), 42);
    assert_eq!(stub.with(CallOptions::new()).multiply(&args).await.unwrap(), 42);
    let error = ArithClient::new(client).multiply(&args).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc: can't find service Arith.Multiply");
}

#[tokio::test(start_paused = true)]
async fn the_options_of_a_stub_are_those_of_its_calls() {
    let stub = ArithClient::new(serve!(Arith));
    let hasty = stub.with(CallOptions::new().timeout(Duration::from_millis(10)));
    let error = hasty.forever().await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stub_dials() {
    let server = Server::new();
    server.register(Arith).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener));
    let stub = ArithClient::dial(addr).await.unwrap();
    assert_eq!(stub.multiply(&Args { a: 6, b: 7 }).await.unwrap(), 42);
}

struct Quiet;

#[service(client = false)]
impl Quiet {
    // Names that a stub would have of its own.
    fn dial(&self, _: (), reply: &mut u8) {
        *reply = 1;
    }

    fn get(&self, _: (), reply: &mut u8) {
        *reply = 2;
    }

    fn get_go(&self, _: (), reply: &mut u8) {
        *reply = 3;
    }
}

struct Loud;

#[service(client = "Caller", vis = "pub(crate)")]
impl Loud {
    fn get(&self, _: (), reply: &mut u8) {
        *reply = 4;
    }
}

#[tokio::test]
async fn a_stub_can_be_left_out_and_renamed() {
    let server = Server::new();
    server.register(Quiet).unwrap();
    server.register(Loud).unwrap();
    let client = connect(&server);
    for (method, reply) in [("Quiet.Dial", 1), ("Quiet.Get", 2), ("Quiet.GetGo", 3)] {
        assert_eq!(client.call::<_, u8>(method, &()).await.unwrap(), reply);
    }
    assert_eq!(Caller::new(client).get().await.unwrap(), 4);
}
