//! Go's own tests of `net/rpc`, one for each row; those of `net/rpc/jsonrpc` are in `jsonrpc.rs`.
//!
//! | Go's test | here |
//! |---|---|
//! | `TestRPC` | [`calls_errors_and_names`], [`another_name_and_another_server`] |
//! | `TestHTTP` | [`http_on_the_default_and_another_path`] |
//! | `TestTCPClose` | [`a_client_that_is_closed`] |
//! | `TestBuiltinTypes` | [`builtin_types`] |
//! | `TestServeRequest` | [`one_request_by_hand`] |
//! | `TestRegistrationError` | [`registering_twice`]; wrong shapes do not compile: `tests/ui` |
//! | `TestSendDeadlock`, `TestClientWriteError` | [`a_writer_that_fails`] |
//! | `TestCountMallocs`, `TestCountMallocsOverHTTP` | `tests/allocations.rs`; behind `CONNECT` is the same stream |
//! | `TestErrorAfterClientClose` | [`calls_after_close`] |
//! | `TestAcceptExitAfterListenerClose` | [`serving_ends_when_told_to`] |
//! | `TestShutdown` | [`half_close_in_mid_call`] |
//! | `TestCloseCodec` | [`a_read_error_closes_the_stream`] |
//! | `TestGobError` | [`a_reply_that_cannot_be_encoded`] |
//! | `BenchmarkEndToEnd`, `…HTTP`, `…Async`, `…AsyncHTTP` | `benches/end_to_end.rs`; with Go's client, in `tests/interop_go.rs` |

mod common;

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll},
};

use common::{Raw, dial, encoded, listen, soon};
use netrpc::{Client, Disconnected, Error, Refusal, Server, service};
use netrpc_core::wire::{self, FaultCode, GoAwayCode};
use serde::{Deserialize, Serialize, Serializer, ser};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpListener,
    sync::Semaphore,
};

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Reply {
    c: i64,
}

struct Arith {
    calls: AtomicUsize,
    /// What [`Arith::wait`] waits for.
    gate: Arc<Semaphore>,
}

impl Arith {
    fn new() -> Self {
        Arith { calls: AtomicUsize::new(0), gate: Arc::new(Semaphore::new(0)) }
    }
}

#[service]
impl Arith {
    fn add(&self, args: Args, reply: &mut Reply) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        reply.c = args.a + args.b;
    }

    fn mul(&self, args: Args, reply: &mut Reply) {
        reply.c = args.a * args.b;
    }

    fn div(&self, args: Args, reply: &mut Reply) -> Result<(), String> {
        if args.b == 0 {
            return Err("divide by zero".to_owned());
        }
        reply.c = args.a / args.b;
        Ok(())
    }

    fn string(&self, args: Args, reply: &mut String) {
        *reply = format!("{}+{}={}", args.a, args.b, args.a + args.b);
    }

    fn scan(&self, text: &str, reply: &mut Reply) -> anyhow::Result<()> {
        reply.c = text.parse()?;
        Ok(())
    }

    async fn wait(&self, (): (), reply: &mut i64) {
        let permit = self.gate.acquire().await;
        permit.expect("never closed").forget();
        *reply = 7;
    }
}

struct BuiltinTypes;

#[service]
impl BuiltinTypes {
    fn map(&self, (): (), reply: &mut HashMap<i64, i64>) {
        reply.insert(8, 9);
    }

    fn slice(&self, n: i64, reply: &mut Vec<i64>) {
        reply.push(n);
    }

    fn array(&self, n: i64, reply: &mut [i64; 1]) {
        reply[0] = n;
    }
}

/// A reply that has a way to be encoded, which fails.
#[derive(Default, Deserialize)]
struct Broken;

impl Serialize for Broken {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("out of ink"))
    }
}

struct Printer;

#[service]
impl Printer {
    fn print(&self, (): (), _reply: &mut Broken) {}

    fn page(&self, (): (), reply: &mut i64) {
        *reply = 1;
    }
}

fn server() -> Server {
    let server = Server::new();
    server.register(Arith::new()).expect("a new name");
    server
}

/// Go's `TestRPC`.
#[tokio::test]
async fn calls_errors_and_names() {
    let client = dial(&server()).await;
    let args = Args { a: 7, b: 8 };

    let reply: Reply = client.call("Arith.Add", &args).await.unwrap();
    assert_eq!(reply.c, 15);

    let unknown = client.call::<_, Reply>("Arith.BadOperation", &args).await.unwrap_err();
    assert_eq!(unknown.to_string(), "rpc: can't find method Arith.BadOperation");
    assert!(matches!(unknown, Error::Refused { refusal: Refusal::UnknownMethod, .. }));
    let unknown = client.call::<_, Reply>("Arith.Unknown", &args).await.unwrap_err();
    assert!(!unknown.may_have_run());
    let unknown = client.call::<_, Reply>("Nope.M", &args).await.unwrap_err();
    assert_eq!(unknown.to_string(), "rpc: can't find service Nope.M");
    for (name, text) in [
        ("NoDot", "rpc: service/method request ill-formed: NoDot"),
        (".", "rpc: can't find service ."),
        (".M", "rpc: can't find service .M"),
        ("Arith.", "rpc: can't find method Arith."),
        ("", "rpc: service/method request ill-formed: "),
    ] {
        let ill_formed = client.call::<_, Reply>(name, &args).await.unwrap_err();
        assert_eq!(ill_formed.to_string(), text);
    }

    // Out of order.
    let mul = client.go::<_, Reply>("Arith.Mul", &args);
    let add = client.go::<_, Reply>("Arith.Add", &args);
    assert_eq!(add.await.unwrap().c, 15);
    assert_eq!(mul.await.unwrap().c, 56);

    let zero = client.call::<_, Reply>("Arith.Div", &Args { a: 7, b: 0 }).await.unwrap_err();
    assert_eq!(zero.to_string(), "divide by zero");
    assert!(zero.fault().is_some() && zero.may_have_run());

    // The wrong type, on the server's side and on this.
    let wrong = client.call::<_, Reply>("Arith.Add", "seven").await.unwrap_err();
    assert!(matches!(wrong, Error::Refused { refusal: Refusal::BadArguments, .. }), "{wrong:?}");
    let wrong = client.call::<_, String>("Arith.Add", &args).await.unwrap_err();
    assert!(matches!(wrong, Error::Decode(_)), "{wrong:?}");

    let scanned: Reply = client.call("Arith.Scan", "123").await.unwrap();
    assert_eq!(scanned.c, 123);
    let text: String = client.call("Arith.String", &args).await.unwrap();
    assert_eq!(text, "7+8=15");
    for name in ["Arith.Add", "Arith.add"].iter().map(ToString::to_string) {
        let by_any_string: Reply = client.call(name, &args).await.unwrap();
        assert_eq!(by_any_string.c, 15);
    }
    let by_rust_name: Reply = client.call("Arith.add", &args).await.unwrap();
    assert_eq!(by_rust_name.c, 15);
}

/// Go's `TestRPC`, the parts with `newServer.Arith`.
#[tokio::test]
async fn another_name_and_another_server() {
    let one = server();
    one.register_name("newServer.Arith", Arith::new()).unwrap();
    let two = server();
    let args = Args { a: 7, b: 8 };
    let reply: Reply = dial(&one).await.call("newServer.Arith.Add", &args).await.unwrap();
    assert_eq!(reply.c, 15);
    let text = dial(&two).await.call::<_, Reply>("newServer.Arith.Add", &args).await.unwrap_err();
    assert_eq!(text.to_string(), "rpc: can't find service newServer.Arith.Add");
}

/// Go's `TestHTTP`, and `TestTCPClose` over HTTP.
#[cfg(feature = "go")]
#[tokio::test]
async fn http_on_the_default_and_another_path() {
    let client = Client::dial_http(listen(&server()).await).await.unwrap();
    let elsewhere = Server::builder().http_path("/foo").build();
    elsewhere.register(Arith::new()).unwrap();
    let builder = Client::builder();
    let other = builder.dial_http_path(listen(&elsewhere).await, "/foo").await.unwrap();
    for client in [client, other] {
        let reply: Reply = soon(client.call("Arith.Add", &Args { a: 7, b: 8 })).await.unwrap();
        assert_eq!(reply.c, 15);
        let wrong = soon(client.call::<_, Reply>("Arith.Nope", &())).await.unwrap_err();
        assert_eq!(wrong.fault().unwrap().message(), "rpc: can't find method Arith.Nope");
        client.close().await;
        assert!(client.is_closed());
    }
}

/// Go's `TestTCPClose`.
#[tokio::test]
async fn a_client_that_is_closed() {
    let server = server();
    let client = dial(&server).await;
    let _: Reply = client.call("Arith.Add", &Args { a: 1, b: 1 }).await.unwrap();
    client.close().await;
    client.close().await;
    assert!(client.is_closed());
}

/// Go's `TestBuiltinTypes`.
#[tokio::test]
async fn builtin_types() {
    let server = Server::new();
    server.register(BuiltinTypes).unwrap();
    let client = dial(&server).await;
    let map: HashMap<i64, i64> = client.call("BuiltinTypes.Map", &()).await.unwrap();
    assert_eq!(map, HashMap::from([(8, 9)]));
    let slice: Vec<i64> = client.call("BuiltinTypes.Slice", &7).await.unwrap();
    assert_eq!(slice, [7]);
    let array: [i64; 1] = client.call("BuiltinTypes.Array", &7).await.unwrap();
    assert_eq!(array, [7]);
}

/// Go's `TestServeRequest`: frames by hand, also without a body.
#[tokio::test]
async fn one_request_by_hand() {
    let mut raw = Raw::dial(listen(&server()).await).await;
    raw.request(0, "Arith.Add", &encoded(&Args { a: 7, b: 8 })).await;
    assert_eq!(raw.reply::<Reply>(0).await, Reply { c: 15 });
    raw.request(9, "Arith.Add", &[]).await;
    let (code, text) = raw.fault(9).await;
    assert_eq!(code, FaultCode::BadArguments, "{text}");
    raw.request(10, "Arith.Add", &encoded(&Args { a: 1, b: 1 })).await;
    assert_eq!(raw.reply::<Reply>(10).await, Reply { c: 2 }, "the connection lives");
}

/// Go's `TestRegistrationError`, as far as it is not the compiler's.
#[test]
fn registering_twice() {
    let server = server();
    let error = server.register(Arith::new()).unwrap_err();
    assert_eq!(error.to_string(), "rpc: service already defined: Arith");
    let error = server.register_name("", Arith::new()).unwrap_err();
    assert!(error.to_string().contains("no service name"), "{error}");
    server.register_name(&"x".repeat(200), Arith::new()).unwrap();
    let error = server.register_name(&"x".repeat(256), Arith::new()).unwrap_err();
    assert!(error.to_string().contains("longer than 255 bytes"), "{error}");
    assert_eq!(server.services().len(), 2);
}

/// A stream that cannot be written to, and never has anything to read.
struct WriteFails;

impl AsyncRead for WriteFails {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for WriteFails {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::Error::other("fake write failure")))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Go's `TestSendDeadlock` and `TestClientWriteError`.
#[tokio::test]
async fn a_writer_that_fails() {
    let client = Client::new(WriteFails);
    for attempt in 0..2 {
        let error = soon(client.call::<_, Reply>("Arith.Add", &Args { a: 7, b: 8 })).await;
        let error = error.unwrap_err();
        let Error::Shutdown { may_have_run: false, cause } = &error else {
            panic!("attempt {attempt}: {error:?}");
        };
        assert!(
            matches!(&**cause, Disconnected::Io(error) if error.to_string() == "fake write failure")
        );
    }
}

/// Go's `TestErrorAfterClientClose`.
#[tokio::test]
async fn calls_after_close() {
    let client = dial(&server()).await;
    client.close().await;
    let error = client.call::<_, Reply>("Arith.Add", &Args { a: 7, b: 9 }).await.unwrap_err();
    assert_eq!(error.to_string(), "connection is shut down");
    assert!(!error.may_have_run());
}

/// Go's `TestAcceptExitAfterListenerClose`.
#[tokio::test]
async fn serving_ends_when_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server().serve(listener).with_graceful_shutdown(async {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    soon(serving).await.unwrap();
}

/// Go's `TestShutdown`, `[close.half]`: the reply to a call still arrives when the client has closed
/// its half.
#[tokio::test]
async fn half_close_in_mid_call() {
    let (server, arith) = (Server::new(), Arc::new(Arith::new()));
    server.register(arith.clone()).unwrap();
    let mut raw = Raw::dial(listen(&server).await).await;
    raw.request(1, "Arith.Wait", &encoded(&())).await;
    let mut goodbye = Vec::new();
    wire::write_go_away(&mut goodbye, GoAwayCode::ShuttingDown, "no more calls");
    raw.send(&goodbye).await;
    raw.io.shutdown().await.unwrap();
    arith.gate.add_permits(1);
    assert_eq!(soon(raw.reply::<i64>(1)).await, 7);
    assert_eq!(soon(raw.frame()).await, None, "and then the server is done too");
}

/// Go's `TestCloseCodec`: a stream that breaks is let go of.
#[tokio::test]
async fn a_read_error_closes_the_stream() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let client = Client::new(ours);
    let mut peer = Raw::new(theirs);
    peer.greet().await;
    let call = client.go::<_, i64>("Arith.Wait", &());
    assert!(peer.frame().await.is_some(), "the request");
    let mut reply = common::request(0, "x.y", &[]);
    reply[8] ^= 0x40; // another kind than the checksum was made for
    peer.send(&reply).await;
    let error = soon(call).await.unwrap_err();
    assert!(
        matches!(&error, Error::Shutdown { may_have_run: true, cause } if matches!(**cause, Disconnected::Protocol(_))),
        "{error:?}"
    );
    assert_eq!(peer.rest().await, [0; 0], "the client has closed its end");
}

/// Go's `TestGobError`, where Go closes the connection and we do not.
#[tokio::test]
async fn a_reply_that_cannot_be_encoded() {
    let server = Server::new();
    server.register(Printer).unwrap();
    let client = dial(&server).await;
    let error = client.call::<_, ()>("Printer.Print", &()).await.unwrap_err();
    assert!(matches!(&error, Error::ReplyLost(text) if text.contains("out of ink")), "{error:?}");
    assert!(error.may_have_run());
    assert_eq!(client.call::<_, i64>("Printer.Page", &()).await.unwrap(), 1);
}
