//! Go's programs, played back from recordings: their clients to our server, their servers to our
//! client. Nothing here needs Go; `tests/vectors/README.md` says how the recordings were made.
#![cfg(all(feature = "macros", feature = "go"))]

mod common;

use std::{collections::HashMap, path::PathBuf};

use bytes::BytesMut;
use common::{Raw, listen, soon};
use netrpc::{Client, Error, Server, SyncPolicy, Wire, service};
use netrpc_core::codec::go::msgpack::{self, Scanner};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Arith;

#[derive(Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
struct Quotient {
    quo: i64,
    rem: i64,
}

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }

    fn divide(&self, args: Args, reply: &mut Quotient) -> Result<(), &'static str> {
        if args.b == 0 {
            return Err("divide by zero");
        }
        *reply = Quotient { quo: args.a / args.b, rem: args.a % args.b };
        Ok(())
    }
}

struct Words;

#[derive(Serialize, Deserialize)]
struct WordArgs {
    text: String,
}

#[service]
impl Words {
    fn word_count(&self, args: WordArgs, reply: &mut HashMap<String, i64>) {
        for word in args.text.split_whitespace() {
            *reply.entry(word.to_owned()).or_default() += 1;
        }
    }
}

struct Str;

#[service]
impl Str {
    fn echo(&self, text: String, reply: &mut String) {
        *reply = text;
    }
}

/// Answers come in the order of the calls, as in the recordings, where one was made after the other.
fn server() -> Server {
    let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
    server.register(Arith).unwrap();
    server.register(Words).unwrap();
    server.register(Str).unwrap();
    server
}

fn recorded(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let path = path.join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The names of all recordings that begin so.
fn names(prefix: &str) -> Vec<String> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<_> = files
        .filter_map(|file| file.to_str()?.strip_suffix(".c2s.hex").map(str::to_owned))
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Plays a client's side to our server and gives what it answers.
async fn played_to_server(bytes: &[u8]) -> Vec<u8> {
    let mut raw = Raw::new(TcpStream::connect(listen(&server()).await).await.unwrap());
    raw.send(bytes).await;
    // As a Go client may: its half is closed, and the answers still come.
    raw.io.shutdown().await.unwrap();
    soon(raw.rest()).await
}

/// Every value in a gob stream. The numbers of types differ from process to process; values and names
/// do not.
fn gob_values(stream: &[u8]) -> Vec<Value> {
    let mut decoder = netrpc_gob::Decoder::new(netrpc_gob::Limits::new());
    let mut input = BytesMut::from(stream);
    let mut values = Vec::new();
    while let Some(message) = decoder.next(&mut input).unwrap() {
        let netrpc_gob::Message::Value { bytes, .. } = message else { panic!("{message:?}") };
        values.push(decoder.types().decode(&bytes).unwrap());
    }
    assert!(input.is_empty(), "whole values");
    values
}

#[tokio::test]
async fn go_clients_that_speak_gob_get_what_their_own_server_says() {
    let names = names("gob");
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let answer = gob_values(&played_to_server(&recorded(&format!("{name}.c2s"))).await);
        let expected = gob_values(&recorded(&format!("{name}.s2c")));
        if name == "gob-bad-body" {
            // In our words, and with the connection alive.
            let error = answer[0]["Error"].as_str().unwrap();
            assert!(error.contains("no field"), "{error}");
            assert_eq!(answer[1..], expected[1..], "{name}");
            continue;
        }
        assert_eq!(answer, expected, "{name}");
    }
}

#[tokio::test]
async fn go_clients_that_speak_json_get_what_their_own_server_says() {
    let names = names("jsonrpc");
    assert!(names.len() >= 16, "{names:?}");
    for name in names {
        let answer = played_to_server(&recorded(&format!("{name}.c2s"))).await;
        let answer = String::from_utf8(answer).unwrap();
        let expected = String::from_utf8(recorded(&format!("{name}.s2c"))).unwrap();
        match name.as_str() {
            // Go's server closes the connection without a word.
            "jsonrpc-raw-malformed" => {
                let answer: Value = serde_json::from_str(&answer).unwrap();
                let error = answer["error"].as_str().unwrap();
                assert!(answer["id"].is_null() && error.contains("JSON-RPC"), "{error}");
            }
            // Go's text is one of encoding/json.
            "jsonrpc-raw-2.0" => {
                let text = "jsonrpc: params is not an array of one value";
                assert_eq!(answer, format!("{{\"id\":1,\"result\":null,\"error\":\"{text}\"}}\n"));
            }
            _ => assert_eq!(answer, expected, "{name}"),
        }
    }
}

/// The values of a MessagePack stream, maps without regard to order.
fn msgpack_values(stream: &[u8]) -> Vec<Value> {
    let mut rest = stream;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let fed = Scanner::default().feed(rest).unwrap();
        assert!(fed.done, "whole values");
        values.push(msgpack::decode(&rest[..fed.taken]).unwrap());
        rest = &rest[fed.taken..];
    }
    values
}

#[tokio::test]
async fn programs_with_messagepack_get_what_their_own_server_says() {
    for (prefix, at_least) in [("hashicorp", 8), ("ugorji", 8)] {
        let names = names(prefix);
        assert!(names.len() >= at_least, "{names:?}");
        for name in names {
            let answer = played_to_server(&recorded(&format!("{name}.c2s"))).await;
            let expected = recorded(&format!("{name}.s2c"));
            if prefix == "hashicorp" {
                assert_eq!(answer, expected, "{name}: to the byte");
            }
            assert_eq!(msgpack_values(&answer), msgpack_values(&expected), "{name}");
        }
    }
}

#[tokio::test]
async fn http_clients_get_what_go_says() {
    let answer = played_to_server(&recorded("http-connect-multiply.c2s")).await;
    let expected = recorded("http-connect-multiply.s2c");
    let head = b"HTTP/1.0 200 Connected to Go RPC\n\n";
    let (answer, expected) = (answer.strip_prefix(head), expected.strip_prefix(head));
    assert_eq!(gob_values(answer.unwrap()), gob_values(expected.unwrap()));

    for name in ["http-get-405", "http-connect-404"] {
        let answer = String::from_utf8(played_to_server(&recorded(&format!("{name}.c2s"))).await);
        let expected = String::from_utf8(recorded(&format!("{name}.s2c")));
        let (answer, expected) = (answer.unwrap(), expected.unwrap());
        let parts = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            (head.lines().next().unwrap().to_owned(), body.trim_end().to_owned())
        };
        assert_eq!(parts(&answer), parts(&expected), "{name}");
    }
}

/// What a recorded server said, answer by answer.
fn answers(wire: Wire, said: &[u8]) -> Vec<Vec<u8>> {
    match wire {
        Wire::JsonRpc => said.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        Wire::Gob => {
            let (mut ends, mut at, mut values) = (Vec::new(), 0, 0);
            while at < said.len() {
                // All messages of the recordings are shorter than 128 bytes, and so their types'
                // numbers have one byte or two: `ff` and one more.
                let length = usize::from(said[at]);
                let id = if said[at + 1] == 0xFF { said[at + 2] } else { said[at + 1] };
                at += 1 + length;
                // An odd one is negative, and defines a type.
                values += usize::from(id % 2 == 0);
                if id % 2 == 0 && values % 2 == 0 {
                    ends.push(at);
                }
            }
            cut(said, &ends)
        }
        _ => {
            let (mut ends, mut at, mut values) = (Vec::new(), 0, 0);
            while at < said.len() {
                at += Scanner::default().feed(&said[at..]).unwrap().taken;
                values += 1;
                if values % 2 == 0 {
                    ends.push(at);
                }
            }
            cut(said, &ends)
        }
    }
}

fn cut(bytes: &[u8], ends: &[usize]) -> Vec<Vec<u8>> {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).map(|(start, end)| bytes[*start..*end].to_vec()).collect()
}

/// A server that answers what was recorded, whatever it is asked; gives what it was asked, and what
/// the recorded one was.
async fn play_to_client(
    wire: Wire,
    name: &str,
    calls: impl AsyncFnOnce(Client),
) -> (Vec<u8>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (said, expected) = (recorded(&format!("{name}.s2c")), recorded(&format!("{name}.c2s")));
    let http = name.starts_with("http");
    let head = if http { said.windows(2).position(|end| end == b"\n\n").unwrap() + 2 } else { 0 };
    let (head, said) = said.split_at(head);
    let mut answers = answers(wire, said);
    assert!(!answers.is_empty());
    if http {
        answers.insert(0, head.to_vec());
    }
    let go = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        // Room for a whole request: what is read at once is one.
        let mut heard = Vec::with_capacity(64 * 1024);
        for answer in answers {
            assert!(io.read_buf(&mut heard).await.unwrap() > 0, "one call after the other");
            io.write_all(&answer).await.unwrap();
        }
        io.read_to_end(&mut heard).await.unwrap();
        heard
    });
    let client = match http {
        true => Client::dial_http(addr).await.unwrap(),
        false => Client::builder().wire(wire).dial(addr).await.unwrap(),
    };
    calls(client).await;
    (soon(go).await.unwrap(), expected)
}

/// The calls of one recording, and what their callers must get.
async fn calls(client: Client, kind: &str) {
    let multiply = async |a, b| client.call::<_, i64>("Arith.Multiply", &Args { a, b }).await;
    let fault = |error: Error| match error {
        Error::Method(fault) => fault.message().to_owned(),
        other => panic!("{other:?}"),
    };
    match kind {
        "multiply" => assert_eq!(multiply(7, 8).await.unwrap(), 56),
        "multiply-twice" => {
            assert_eq!(multiply(7, 8).await.unwrap(), 56);
            assert_eq!(multiply(-3, 0).await.unwrap(), 0);
        }
        "divide-ok" => {
            let quotient: Quotient =
                client.call("Arith.Divide", &Args { a: 17, b: 5 }).await.unwrap();
            assert_eq!(quotient, Quotient { quo: 3, rem: 2 });
        }
        "error-reply" => {
            let failed = client.call::<_, Quotient>("Arith.Divide", &Args { a: 7, b: 0 }).await;
            assert_eq!(fault(failed.unwrap_err()), "divide by zero");
            assert_eq!(multiply(7, 8).await.unwrap(), 56);
        }
        "unknown-method" => {
            let failed = client.call::<_, i64>("Arith.Nope", &Args { a: 7, b: 8 }).await;
            assert_eq!(fault(failed.unwrap_err()), "rpc: can't find method Arith.Nope");
            assert_eq!(multiply(7, 8).await.unwrap(), 56);
        }
        "unknown-service" => {
            let failed = client.call::<_, i64>("Nowhere.Nope", &Args { a: 7, b: 8 }).await;
            assert_eq!(fault(failed.unwrap_err()), "rpc: can't find service Nowhere.Nope");
        }
        "ill-formed-name" => {
            let failed = client.call::<_, i64>("NoDot", &Args { a: 7, b: 8 }).await;
            let text = "rpc: service/method request ill-formed: NoDot";
            assert_eq!(fault(failed.unwrap_err()), text);
        }
        "wordcount" => {
            let args = WordArgs { text: "go go".to_owned() };
            let counts: HashMap<String, i64> = client.call("Words.WordCount", &args).await.unwrap();
            assert_eq!(counts, HashMap::from([("go".to_owned(), 2)]));
        }
        other => panic!("no calls for {other}"),
    }
}

const KINDS: [&str; 8] = [
    "multiply",
    "multiply-twice",
    "divide-ok",
    "error-reply",
    "unknown-method",
    "unknown-service",
    "ill-formed-name",
    "wordcount",
];

#[tokio::test]
async fn our_client_asks_as_go_clients_do_and_understands_their_servers() {
    let mut played = 0;
    for (prefix, wire) in [
        ("gob", Wire::Gob),
        ("gob2proc", Wire::Gob),
        ("jsonrpc", Wire::JsonRpc),
        ("hashicorp-v055", Wire::MsgpackRpc),
        ("ugorji-gorpc", Wire::MsgpackRpc),
    ] {
        let names = names(prefix);
        for kind in KINDS {
            let name = format!("{prefix}-{kind}");
            if !names.contains(&name) {
                continue;
            }
            played += 1;
            let (asked, expected) =
                soon(play_to_client(wire, &name, async |client| calls(client, kind).await)).await;
            match wire {
                Wire::Gob => assert_eq!(gob_values(&asked), gob_values(&expected), "{name}"),
                Wire::JsonRpc => assert_eq!(
                    String::from_utf8(asked).unwrap(),
                    String::from_utf8(expected).unwrap(),
                    "{name}"
                ),
                _ => assert_eq!(msgpack_values(&asked), msgpack_values(&expected), "{name}"),
            }
        }
    }
    assert!(played >= 30, "{played}");

    let (asked, expected) =
        soon(play_to_client(Wire::Gob, "http-connect-multiply", async |client| {
            calls(client, "multiply").await;
        }))
        .await;
    let head = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
    let values = |bytes: &[u8]| gob_values(bytes.strip_prefix(head).unwrap());
    assert_eq!(values(&asked), values(&expected));
}
