//! Connections of Go's net/rpc, as they were recorded: read, and written again byte by byte.

mod common;

use std::{collections::BTreeMap, fmt::Debug, path::Path};

use common::{hex, unhex};
use netrpc_gob::{Decoder, Encoder, Limits, Message};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Request {
    service_method: String,
    seq: u64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Response {
    service_method: String,
    seq: u64,
    error: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Quotient {
    quo: i64,
    rem: i64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct WordArgs {
    text: String,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct WrongArgs {
    x: String,
}

fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    unhex(&std::fs::read_to_string(path).expect("a recording"))
}

/// The stream with its ids, all of two bytes, numbered in the order in which they are first used.
fn renumbered(stream: &[u8]) -> Vec<u8> {
    let mut out = stream.to_vec();
    let mut ids = Vec::new();
    for at in 1..out.len() {
        if out[at - 1] == 0xFF {
            // Negative ones are odd, and one less.
            let (id, is_negative) = (out[at].div_ceil(2), out[at] % 2);
            let known = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                ids.push(id);
                ids.len() - 1
            });
            out[at] = 2 * (65 + known as u8) - is_negative;
        }
    }
    out
}

/// A recording, read while what is read is written again.
struct Recording {
    stream: Vec<u8>,
    buf: bytes::BytesMut,
    decoder: Decoder,
    encoder: Encoder,
    written: Vec<u8>,
}

impl Recording {
    fn open(name: &str) -> Self {
        let stream = recorded(name);
        Recording {
            buf: bytes::BytesMut::from(stream.as_slice()),
            stream,
            decoder: Decoder::new(Limits::new()),
            encoder: Encoder::new(),
            written: Vec::new(),
        }
    }

    fn expect<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, value: T) {
        let message = self.decoder.next(&mut self.buf).expect("a good stream");
        let Some(Message::Value { bytes, .. }) = message else { panic!("{message:?}") };
        assert_eq!(self.decoder.types().decode::<T>(&bytes).expect("a good value"), value);
        self.encoder.encode(&value, &mut self.written).expect("it can be encoded");
    }

    fn end(mut self) {
        assert_eq!(self.decoder.next(&mut self.buf), Ok(None));
        assert!(self.buf.is_empty());
        assert_eq!(hex(&renumbered(&self.written)), hex(&renumbered(&self.stream)));
    }
}

fn request(method: &str, seq: u64) -> Request {
    Request { service_method: method.into(), seq }
}

fn response(method: &str, seq: u64, error: &str) -> Response {
    Response { service_method: method.into(), seq, error: error.into() }
}

const MULTIPLY: &str = "Arith.Multiply";

#[test]
fn multiply() {
    for name in ["gob-multiply", "gob2proc-multiply"] {
        let mut client = Recording::open(&format!("{name}.c2s.hex"));
        client.expect(request(MULTIPLY, 0));
        client.expect(Args { a: 7, b: 8 });
        // Here the ids are the same as well.
        assert_eq!(hex(&client.written), hex(&client.stream));
        client.end();

        let mut server = Recording::open(&format!("{name}.s2c.hex"));
        server.expect(response(MULTIPLY, 0, ""));
        server.expect(56_i64);
        server.end();
    }
}

#[test]
fn multiply_twice() {
    for name in ["gob-multiply-twice", "gob2proc-multiply-twice"] {
        let mut client = Recording::open(&format!("{name}.c2s.hex"));
        client.expect(request(MULTIPLY, 0));
        client.expect(Args { a: 7, b: 8 });
        client.expect(request(MULTIPLY, 1));
        client.expect(Args { a: -3, b: 0 });
        client.end();

        let mut server = Recording::open(&format!("{name}.s2c.hex"));
        server.expect(response(MULTIPLY, 0, ""));
        server.expect(56_i64);
        server.expect(response(MULTIPLY, 1, ""));
        server.expect(0_i64);
        server.end();
    }
}

#[test]
fn an_error_is_followed_by_an_empty_struct() {
    for name in ["gob-error-reply", "gob2proc-error-reply"] {
        let mut client = Recording::open(&format!("{name}.c2s.hex"));
        client.expect(request("Arith.Divide", 0));
        client.expect(Args { a: 7, b: 0 });
        client.expect(request(MULTIPLY, 1));
        client.expect(Args { a: 7, b: 8 });
        client.end();

        let mut server = Recording::open(&format!("{name}.s2c.hex"));
        server.expect(response("Arith.Divide", 0, "divide by zero"));
        server.expect(());
        server.expect(response(MULTIPLY, 1, ""));
        server.expect(56_i64);
        server.end();
    }
    let server = recorded("gob2proc-error-reply.s2c.hex");
    let mut again = Recording::open("gob2proc-error-reply.s2c.hex");
    again.expect(response("Arith.Divide", 0, "divide by zero"));
    again.expect(None::<Quotient>);
    assert!(server.starts_with(&again.written), "what is not there is the same empty struct");
}

#[test]
fn a_struct_as_reply() {
    let mut client = Recording::open("gob-divide-ok.c2s.hex");
    client.expect(request("Arith.Divide", 0));
    client.expect(Args { a: 17, b: 5 });
    client.end();

    let mut server = Recording::open("gob-divide-ok.s2c.hex");
    server.expect(response("Arith.Divide", 0, ""));
    server.expect(Quotient { quo: 3, rem: 2 });
    server.end();
}

#[test]
fn a_map_as_reply() {
    let mut client = Recording::open("gob-wordcount.c2s.hex");
    client.expect(request("Words.WordCount", 0));
    client.expect(WordArgs { text: "go go".into() });
    client.end();

    let mut server = Recording::open("gob-wordcount.s2c.hex");
    server.expect(response("Words.WordCount", 0, ""));
    server.expect(BTreeMap::from([("go".to_owned(), 2_i64)]));
    server.end();
}

#[test]
fn an_argument_that_has_nothing_in_common() {
    let mut client = Recording::open("gob-bad-body.c2s.hex");
    client.expect(request(MULTIPLY, 0));
    client.expect(WrongArgs { x: "x".into() });
    client.expect(request(MULTIPLY, 1));
    client.expect(Args { a: 7, b: 8 });
    client.end();

    let mut server = Recording::open("gob-bad-body.s2c.hex");
    let error = "gob: type mismatch: no fields matched compiling decoder for Args";
    server.expect(response(MULTIPLY, 0, error));
    server.expect(());
    server.expect(response(MULTIPLY, 1, ""));
    server.expect(56_i64);
    server.end();
}

#[test]
fn methods_that_are_not_there() {
    let cases = [
        ("gob-ill-formed-name", "NoDot", "rpc: service/method request ill-formed: NoDot", false),
        ("gob-unknown-method", "Arith.Nope", "rpc: can't find method Arith.Nope", true),
        ("gob2proc-unknown-method", "Arith.Nope", "rpc: can't find method Arith.Nope", true),
        ("gob-unknown-service", "Nowhere.Nope", "rpc: can't find service Nowhere.Nope", false),
    ];
    for (name, method, error, goes_on) in cases {
        let mut client = Recording::open(&format!("{name}.c2s.hex"));
        client.expect(request(method, 0));
        client.expect(Args { a: 7, b: 8 });
        let mut server = Recording::open(&format!("{name}.s2c.hex"));
        server.expect(response(method, 0, error));
        server.expect(());
        if goes_on {
            client.expect(request(MULTIPLY, 1));
            client.expect(Args { a: 7, b: 8 });
            server.expect(response(MULTIPLY, 1, ""));
            server.expect(56_i64);
        }
        client.end();
        server.end();
    }
}

#[test]
fn every_recording_is_tested() {
    let source = include_str!("recorded.rs");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for file in std::fs::read_dir(dir).expect("a directory") {
        let file = file.expect("a file").file_name().into_string().expect("a name");
        if let Some((name, _)) = file
            .split_once('.')
            .filter(|(_, kind)| kind.ends_with("c.hex") || kind.ends_with("s.hex"))
        {
            assert!(source.contains(&format!("\"{name}")), "{name}");
        }
    }
}
