//! Go's own tests of `net/rpc/jsonrpc`, one for each.
//!
//! | Go's test | here |
//! |---|---|
//! | `TestServerNoParams` | [`no_params`] |
//! | `TestServerEmptyMessage` | [`an_empty_message`] |
//! | `TestServer` | [`ids_are_echoed`] |
//! | `TestClient` | [`a_client`] |
//! | `TestBuiltinTypes` | [`builtin_types`] |
//! | `TestMalformedInput` | [`malformed_input`] |
//! | `TestMalformedOutput` | [`malformed_output`] |
//! | `TestServerErrorHasNullResult` | [`an_error_has_no_result`] |
//! | `TestUnexpectedError` | [`a_stream_that_breaks`] |
#![cfg(all(feature = "macros", feature = "go"))]

mod common;

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use common::soon;
use netrpc::{Client, Disconnected, Error, Server, Wire, service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, ReadBuf,
};

#[derive(Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
struct Reply {
    c: i64,
}

struct Arith;

#[service]
impl Arith {
    fn add(&self, args: Args, reply: &mut Reply) {
        reply.c = args.a + args.b;
    }

    fn mul(&self, args: Args, reply: &mut Reply) {
        reply.c = args.a * args.b;
    }

    fn div(&self, args: Args, reply: &mut Reply) -> Result<(), &'static str> {
        reply.c = args.a.checked_div(args.b).ok_or("divide by zero")?;
        Ok(())
    }
}

struct BuiltinTypes;

#[service]
impl BuiltinTypes {
    fn map(&self, i: i64, reply: &mut HashMap<i64, i64>) {
        reply.insert(i, i);
    }

    fn slice(&self, i: i64, reply: &mut Vec<i64>) {
        reply.push(i);
    }

    fn array(&self, i: i64, reply: &mut [i64; 1]) {
        reply[0] = i;
    }
}

fn server() -> Server {
    let server = Server::new();
    server.register(Arith).unwrap();
    server.register(BuiltinTypes).unwrap();
    server
}

/// A stream to a server, that is read line by line.
fn raw() -> BufReader<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let _ = server().serve_conn(theirs).await;
    });
    BufReader::new(ours)
}

async fn ask(raw: &mut BufReader<DuplexStream>, request: &str) -> Value {
    raw.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    soon(raw.read_line(&mut line)).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

fn client() -> Client {
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let _ = server().serve_conn(theirs).await;
    });
    Client::builder().wire(Wire::JsonRpc).connect(ours)
}

/// `TestServerNoParams`
#[tokio::test]
async fn no_params() {
    let answer = ask(&mut raw(), r#"{"method": "Arith.Add", "id": "123"}"#).await;
    assert_eq!(answer["error"], "jsonrpc: request body missing params");
    assert_eq!(answer["id"], "123");
}

/// `TestServerEmptyMessage`
#[tokio::test]
async fn an_empty_message() {
    let answer = ask(&mut raw(), "{}").await;
    assert_eq!(answer["error"], "rpc: service/method request ill-formed: ");
}

/// `TestServer`
#[tokio::test]
async fn ids_are_echoed() {
    let mut raw = raw();
    for i in 0..10 {
        let request = format!(
            r#"{{"method": "Arith.Add", "id": "\u000{i}", "params": [{{"A": {i}, "B": {}}}]}}"#,
            i + 1
        );
        let answer = ask(&mut raw, &request).await;
        let id = char::from_u32(i).unwrap().to_string();
        assert_eq!(answer, json!({"id": id, "result": {"C": 2 * i + 1}, "error": null}));
    }
}

/// `TestClient`
#[tokio::test]
async fn a_client() {
    let client = client();
    let args = Args { a: 7, b: 8 };
    assert_eq!(client.call::<_, Reply>("Arith.Add", &args).await.unwrap(), Reply { c: 15 });
    assert_eq!(client.call::<_, Reply>("Arith.Mul", &args).await.unwrap(), Reply { c: 56 });
    let mul = client.go::<_, Reply>("Arith.Mul", &args);
    let add = client.go::<_, Reply>("Arith.Add", &args);
    assert_eq!(add.await.unwrap(), Reply { c: 15 });
    assert_eq!(mul.await.unwrap(), Reply { c: 56 });
    let error = client.call::<_, Reply>("Arith.Div", &Args { a: 7, b: 0 }).await.unwrap_err();
    assert_eq!(error.fault().unwrap().message(), "divide by zero");
}

/// `TestBuiltinTypes`
#[tokio::test]
async fn builtin_types() {
    let client = client();
    let map: HashMap<i64, i64> = client.call("BuiltinTypes.Map", &7).await.unwrap();
    assert_eq!(map, HashMap::from([(7, 7)]));
    let slice: Vec<i64> = client.call("BuiltinTypes.Slice", &7).await.unwrap();
    assert_eq!(slice, [7]);
    let array: [i64; 1] = client.call("BuiltinTypes.Array", &7).await.unwrap();
    assert_eq!(array, [7]);
}

/// `TestMalformedInput`
#[tokio::test]
async fn malformed_input() {
    let (mut ours, theirs) = tokio::io::duplex(4096);
    ours.write_all(b"{id:1}").await.unwrap();
    let server = server();
    let (ended, _) = tokio::join!(server.serve_conn(theirs), async {
        // Go's client would be gone; one that stays is told, and then closed.
        let mut raw = BufReader::new(ours);
        let mut line = String::new();
        soon(raw.read_line(&mut line)).await.unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["id"].is_null() && answer["error"].is_string(), "{answer}");
        line.clear();
        assert_eq!(soon(raw.read_line(&mut line)).await.unwrap(), 0);
    });
    let ended = ended.unwrap_err();
    assert!(matches!(*ended, Disconnected::Foreign(_)), "{ended:?}");
}

/// The answer of a server that says this, whatever it is asked.
async fn answer_of(server: &'static str) -> Result<Reply, Error> {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let client = Client::builder().wire(Wire::JsonRpc).connect(ours);
    tokio::spawn(async move {
        let mut request = [0; 4096];
        let _ = tokio::io::AsyncReadExt::read(&mut theirs, &mut request).await;
        theirs.write_all(server.as_bytes()).await.unwrap();
        // Until the client has gone.
        let _ = tokio::io::AsyncReadExt::read(&mut theirs, &mut request).await;
    });
    soon(client.call("Arith.Add", &Args { a: 7, b: 8 })).await
}

/// `TestMalformedOutput`
///
/// Go's client takes a result of `null` for malformed, and its connection is lost with it. But `null` is
/// what Go's server sends for a nil slice or map, so it is their zero value here.
#[tokio::test]
async fn malformed_output() {
    let null = answer_of(r#"{"id":0,"result":null,"error":null}"#).await;
    assert_eq!(null.unwrap(), Reply::default());
    let nothing = answer_of(r#"{"id":0,"error":null}"#).await.unwrap_err();
    assert!(matches!(nothing, Error::ReplyLost(_)), "{nothing:?}");
    let other = answer_of(r#"{"id":0,"result":"fifteen","error":null}"#).await.unwrap_err();
    assert!(matches!(other, Error::Decode(_)), "{other:?}");
    let no_text = answer_of(r#"{"id":0,"result":null,"error":{"code":-1}}"#).await.unwrap_err();
    assert_eq!(no_text.fault().unwrap().message(), r#"invalid error {"code":-1}"#);
    let empty = answer_of(r#"{"id":0,"result":null,"error":""}"#).await.unwrap_err();
    assert_eq!(empty.fault().unwrap().message(), "unspecified error");
    for broken in ["{id:0}", "]", "{\"id\":0,\"result\":}", "what", "{\"id\":\"x\"}"] {
        let lost = answer_of(broken).await.unwrap_err();
        let Error::Shutdown { may_have_run: true, cause } = &lost else { panic!("{lost:?}") };
        assert!(matches!(**cause, Disconnected::Foreign(_)), "{broken}: {cause:?}");
    }
}

/// `TestServerErrorHasNullResult`
#[tokio::test]
async fn an_error_has_no_result() {
    let mut raw = raw();
    let request = r#"{"method": "Arith.Div", "id": "123", "params": [{"A": 1}]}"#;
    let answer = ask(&mut raw, request).await;
    assert_eq!(answer, json!({"id": "123", "result": null, "error": "divide by zero"}));
}

/// `TestUnexpectedError`
#[tokio::test]
async fn a_stream_that_breaks() {
    /// Fails when it is read.
    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("unexpected error!")))
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    let ended = soon(server().serve_conn(Broken)).await.unwrap_err();
    assert!(matches!(*ended, Disconnected::Io(_)), "{ended:?}");
    assert!(netrpc_core::error::chain(&*ended).to_string().ends_with("unexpected error!"));
}
