//! What the fuzz targets do with arbitrary bytes: the decoders and connection machines, through their
//! public faces. Nothing may panic, and what the bytes claim may not cost more memory than they are.
//!
//! The targets in `fuzz_targets/` hand these to libFuzzer; `tests/fuzzing.rs` runs the same on
//! recorded streams with a seeded mutator, on any toolchain.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use netrpc_core::{
    codec::{self, Format, go},
    datagram::{self, Framed, Prelude, Receipts, Sort, frames},
    dialect::{
        ArrivedBody, ClientDialect, ForeignAnswer, Language, ServerDialect, Sniffed, http, sniff,
    },
    fault::FaultCode,
    wire::{self, FrameDecoder, Incoming, Kind, Preface, RequestFields},
};
use serde::{Deserialize, Serialize};

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("gob", gob),
    ("json", json),
    ("msgpack", msgpack),
    ("sniff", sniffing),
    ("server", server),
    ("client", client),
    ("native", native),
    ("datagram", datagram),
];

/// A type with everything in it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Everything {
    a: i64,
    small: u8,
    text: String,
    bytes: Vec<u8>,
    maybe: Option<Box<Everything>>,
    many: Vec<Everything>,
    by_name: HashMap<String, Vec<i32>>,
    by_number: BTreeMap<i64, bool>,
    pair: (u16, f32),
    kind: Kinds,
}

/// An enum of every shape.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Kinds {
    /// Without data.
    #[default]
    Plain,
    /// With one value.
    One(String),
    /// With two.
    Two(i8, i8),
    /// With fields.
    Named { x: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Args<'a> {
    #[serde(default)]
    a: &'a str,
    #[serde(default)]
    b: i64,
}

/// Asks `decode` for values of many types.
macro_rules! decode_all {
    ($decode:expr) => {{
        let _ = $decode.map(|it: Everything| it.many.len());
        let _ = $decode.map(|it: Args<'_>| it.b);
        let _ = $decode.map(|it: serde_json::Value| it.is_null());
        let _ = $decode.map(|it: Vec<u8>| it.len());
        let _ = $decode.map(|it: Vec<Vec<()>>| it.len());
        let _ = $decode.map(|it: (i8, u16)| it.0);
        let _ = $decode.map(|it: &str| it.len());
        let _ = $decode.map(|it: Kinds| it == Kinds::Plain);
    }};
}

/// Hands `bytes` over in pieces whose sizes the bytes themselves choose.
fn in_pieces(bytes: &[u8], mut take: impl FnMut(&[u8]) -> bool) {
    let mut rest = bytes;
    let mut sizes = bytes.iter().cycle();
    while !rest.is_empty() {
        let size = usize::from(*sizes.next().expect("there is one")).clamp(1, rest.len());
        let (piece, more) = rest.split_at(size);
        rest = more;
        if !take(piece) {
            return;
        }
    }
}

/// A gob stream, and every value in it.
pub fn gob(data: &[u8]) {
    let limits = netrpc_gob::Limits::new().message(1 << 16);
    let mut decoder = netrpc_gob::Decoder::new(limits);
    let mut input = BytesMut::new();
    in_pieces(data, |piece| {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(netrpc_gob::Message::Value { bytes: value, .. })) => {
                    let types = decoder.types();
                    decode_all!(types.decode(&value));
                }
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    });
}

/// Where a value ends must not depend on how it arrives.
macro_rules! scan {
    ($scanner:ty, $data:expr) => {{
        let at_once = <$scanner>::default().feed($data).ok();
        let mut scanner = <$scanner>::default();
        let mut taken = 0;
        let mut in_bits = None;
        let mut failed = false;
        in_pieces($data, |piece| match scanner.feed(piece) {
            Ok(fed) => {
                taken += fed.taken;
                in_bits = Some((taken, fed.done));
                !fed.done
            }
            Err(_) => {
                failed = true;
                false
            }
        });
        match at_once {
            Some(fed) if !$data.is_empty() => {
                assert!(!failed, "it fails in pieces only");
                assert_eq!(in_bits, Some((fed.taken, fed.done)));
            }
            Some(_) => {}
            None => assert!(failed, "it fails at once only"),
        }
        at_once.filter(|fed| fed.done).map(|fed| fed.taken)
    }};
}

/// A JSON value.
pub fn json(data: &[u8]) {
    let end = scan!(go::json::Scanner, data);
    decode_all!(go::json::decode(data));
    if let Ok(it) = go::json::decode::<Everything>(data) {
        assert!(end.is_some(), "what can be decoded has an end");
        again(&it, go::json::encode, |bytes| go::json::decode(bytes).ok());
    }
}

/// A MessagePack value.
pub fn msgpack(data: &[u8]) {
    let end = scan!(go::msgpack::Scanner, data);
    decode_all!(go::msgpack::decode(data));
    decode_all!(codec::decode(data));
    if let Ok(it) = go::msgpack::decode::<Everything>(data) {
        assert_eq!(end, Some(data.len()), "what can be decoded has an end, and it is there");
        again(&it, go::msgpack::encode, |bytes| go::msgpack::decode(bytes).ok());
    }
    if let Ok(it) = codec::decode::<Everything>(data) {
        again(&it, codec::encode, |bytes| codec::decode(bytes).ok());
    }
}

/// What was decoded can be encoded, unless it has no form there, and is then the same.
fn again<E>(
    it: &Everything,
    encode: fn(&mut Vec<u8>, &Everything) -> Result<(), E>,
    decode: fn(&[u8]) -> Option<Everything>,
) {
    let mut bytes = Vec::new();
    if encode(&mut bytes, it).is_ok() {
        let same = decode(&bytes).expect("it was encoded just now");
        // A float that is no number is not itself.
        if !format!("{it:?}").contains("NaN") {
            assert_eq!(&same, it);
        }
    }
}

/// A connection's first bytes.
pub fn sniffing(data: &[u8]) {
    let mut decided = Sniffed::Undecided;
    for len in 0..=data.len().min(100) {
        let sniffed = sniff(&data[..len]);
        assert!(decided == Sniffed::Undecided || sniffed == decided, "a change of mind");
        decided = sniffed;
    }
    match http::read_request(data, http::DEFAULT_PATH) {
        http::Request::Connect(len) => assert!(len <= data.len()),
        http::Request::Refused(answer) => assert!(answer.starts_with("HTTP/1.0 4")),
        http::Request::Undecided => {}
    }
    if let Some(Ok(len)) = http::read_answer(data) {
        assert!(len <= data.len());
    }
}

const LANGUAGES: [Language; 3] = [Language::Gob, Language::JsonRpc, Language::MsgpackRpc];

/// A foreign client's side of a connection: the first byte chooses the language.
pub fn server(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let language = LANGUAGES[usize::from(*first) % LANGUAGES.len()];
    let mut dialect = ServerDialect::new(language, 1 << 12).expect("it was built with them");
    let (mut input, mut out) = (BytesMut::new(), Vec::new());
    let mut calls = 0;
    in_pieces(data, |piece| {
        input.extend_from_slice(piece);
        loop {
            let arrived = match dialect.next(&mut input) {
                Ok(Some(arrived)) => arrived,
                Ok(None) => return true,
                Err(error) => {
                    dialect.complain(&error.to_string(), &mut out);
                    return false;
                }
            };
            let seq = arrived.seq;
            assert_eq!(seq, calls, "each call has a number of its own");
            calls += 1;
            let body = match arrived.body {
                ArrivedBody::Whole(frame) => Some(frame.into_body()),
                ArrivedBody::Oversized(_) | ArrivedBody::Broken(_) => None,
            };
            let format = dialect.format();
            let it = body.map(|body| format.decode::<Everything>(&body));
            let frames = answer(seq, &format, it.and_then(Result::ok));
            let before = out.len();
            dialect.translate(&frames, &mut out);
            assert!(out.len() > before, "every call has an answer");
        }
    });
}

/// The frame that answers a call.
fn answer(seq: u64, format: &Format, reply: Option<Everything>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(reply) = reply {
        let start = wire::begin(&mut out);
        if format.encode(&mut out, &reply).is_ok() {
            wire::finish(&mut out, start, Kind::Reply, 0, seq, u32::MAX).expect("no limit");
            return out;
        }
        out.clear();
    }
    wire::write_fault(&mut out, seq, FaultCode::Method, "no", &[], u32::MAX);
    out
}

/// A foreign server's side of a connection, after three calls.
pub fn client(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let language = LANGUAGES[usize::from(*first) % LANGUAGES.len()];
    let mut dialect = ClientDialect::new(language, 1 << 12).expect("it was built with them");
    let mut frames = Vec::new();
    for seq in [7, 1 << 40, u64::MAX] {
        let start = wire::begin(&mut frames);
        let head = wire::write_request_head(&mut frames, "A.M", &RequestFields::default());
        let head_len = head.expect("a short name");
        dialect.format().encode(&mut frames, "what").expect("text has a form everywhere");
        wire::finish(&mut frames, start, Kind::Request, head_len, seq, u32::MAX).expect("no limit");
    }
    let (mut out, mut failed) = (Vec::new(), Vec::new());
    dialect.translate(&frames, &mut out, &mut failed);
    assert!(!out.is_empty() && failed.is_empty());
    let mut input = BytesMut::new();
    let mut answers = Vec::new();
    in_pieces(data, |piece| {
        input.extend_from_slice(piece);
        loop {
            match dialect.next(&mut input) {
                Ok(Some(answered)) => {
                    assert!(!answers.contains(&answered.seq), "one answer a call");
                    answers.push(answered.seq);
                    if let ForeignAnswer::Reply(body) = answered.answer {
                        let format = dialect.format();
                        decode_all!(format.decode(&body));
                    }
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    });
}

/// Our own protocol: a preface, frames, and what is in them.
pub fn native(data: &[u8]) {
    let _ = Preface::parse(data).map(|preface| preface.map(Preface::accept));
    let mut decoder = FrameDecoder::new(1 << 12);
    let mut input = BytesMut::new();
    in_pieces(data, |piece| {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(Incoming::Frame(frame))) => {
                    let body: Bytes = frame.body();
                    let _ = wire::RequestHead::parse(frame.head())
                        .map(|head| head.stamp.map(|stamp| stamp.decode()));
                    let _ = wire::ReplyHead::parse(frame.head())
                        .map(|head| head.standing.map(|standing| standing.decode()));
                    let _ = wire::SessionFrame::parse(&body);
                    let _ = wire::AckFrame::parse(&body);
                    let _ = wire::FaultBody::parse(&body);
                    let _ = wire::GoAwayBody::parse(&body);
                    decode_all!(codec::decode(&body));
                }
                Ok(Some(Incoming::Oversized { length, .. })) => assert!(length > 1 << 12),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    });
}

/// A datagram, as it came; and one of which only what follows the prelude came from somebody else.
pub fn datagram(data: &[u8]) {
    if let Ok((prelude, body)) = Prelude::parse(data) {
        contents(body);
        let mut again = data.to_vec();
        prelude.seal(&mut again);
        let same = Prelude::parse(&again);
        assert_eq!(same, Ok((prelude, body)), "what is read is what would be written");
    }
    let mut made = Prelude::room();
    made.extend_from_slice(data);
    let sort = Sort::ALL[data.len() % Sort::ALL.len()];
    let prelude = Prelude { sort, number: data.len() as u32, conversation: 1, pass: 2 };
    prelude.seal(&mut made);
    let (read, body) = Prelude::parse(&made).expect("it is whole");
    assert!(read == prelude && body == data);
    contents(body);
    // An answer that is too long, or is cut off, becomes one that fits.
    for most in [300, 1148] {
        let mut fitting = Vec::new();
        datagram::fit(&mut fitting, data, most);
        assert!(fitting.len() <= wire::HEADER_LEN + most as usize);
        if data.len() >= wire::HEADER_LEN {
            let framed = Framed::first(&fitting).expect("a whole frame");
            assert_eq!(framed.kind, Some(Kind::Fault));
        }
    }
}

/// What follows a prelude.
fn contents(body: &[u8]) {
    let mut all = frames(body);
    let mut length = 0;
    for framed in all.by_ref() {
        assert_eq!(framed.bytes, &body[length..length + framed.bytes.len()], "one after the other");
        length += framed.bytes.len();
        let _ = wire::RawHead::split(framed.head()).map(wire::RawHead::is_repeatable);
    }
    assert_eq!(all.is_whole(), length == body.len());
    assert_eq!(Receipts::new(body).count(), body.len() / 12);
}
