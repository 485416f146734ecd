//! What the attackers say, in each language.

use netrpc::Wire;
use netrpc_core::{
    codec::go,
    wire::{self, FaultCode, FrameDecoder, GoAwayCode, Incoming, Kind, Preface},
};
use serde::Serialize;

use super::services::{Args, List};
use crate::common::{Random, encoded, request};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    Native,
    Gob,
    Json,
    Msgpack,
    Http,
}

use Language::{Gob, Http, Json, Msgpack, Native};

impl Language {
    pub const ALL: [Language; 5] = [Native, Gob, Json, Msgpack, Http];

    pub fn name(self) -> &'static str {
        match self {
            Native => "native",
            Gob => "gob",
            Json => "jsonrpc",
            Msgpack => "msgpack",
            Http => "http",
        }
    }

    /// What a client of ours speaks it with.
    pub fn wire(self) -> Wire {
        match self {
            Native => Wire::Native,
            Gob | Http => Wire::Gob,
            Json => Wire::JsonRpc,
            Msgpack => Wire::MsgpackRpc,
        }
    }

    /// What is said before the first call.
    pub fn greeting(self) -> Vec<u8> {
        match self {
            Native => Preface::OURS.to_bytes().to_vec(),
            Http => b"CONNECT /_goRPC_ HTTP/1.0\n\n".to_vec(),
            Gob | Json | Msgpack => Vec::new(),
        }
    }
}

/// One side of a connection: gob has to know what was said before.
pub struct Speaker {
    language: Language,
    gob: netrpc_gob::Encoder,
}

/// A gob request's header.
#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "ServiceMethod")]
    method: &'a str,
    #[serde(rename = "Seq")]
    seq: u64,
}

impl Speaker {
    pub fn new(language: Language) -> Self {
        Speaker { language, gob: netrpc_gob::Encoder::new() }
    }

    /// A whole request.
    pub fn call<A: Serialize + ?Sized>(&mut self, seq: u64, method: &str, args: &A) -> Vec<u8> {
        match self.language {
            Native => request(seq, method, &encoded(args)),
            Gob | Http => {
                let mut out = self.begin(seq, method);
                self.gob.encode(args, &mut out).expect("gob has a form for it");
                out
            }
            Json => {
                let mut body = Vec::new();
                go::json::encode(&mut body, args).expect("JSON has a form for it");
                let body = String::from_utf8(body).expect("JSON");
                format!(r#"{{"method":"{method}","params":[{body}],"id":{seq}}}"#).into_bytes()
            }
            Msgpack => {
                let mut out = self.begin(seq, method);
                go::msgpack::encode(&mut out, args).expect("MessagePack has a form for it");
                out
            }
        }
    }

    /// A request up to its body, which is said to be of the caller's making; in our own protocol a
    /// request has to be whole.
    fn begin(&mut self, seq: u64, method: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let header = Request { method, seq };
        match self.language {
            Gob | Http => self.gob.encode(&header, &mut out).expect("gob has a form for it"),
            Msgpack => go::msgpack::encode(&mut out, &header).expect("so has MessagePack"),
            Json => out = format!(r#"{{"method":"{method}","id":{seq},"params":["#).into_bytes(),
            Native => unreachable!("its requests have a checksum"),
        }
        out
    }

    /// A request whose body are these bytes.
    pub fn raw(&mut self, seq: u64, method: &str, body: &[u8]) -> Vec<u8> {
        if self.language == Native {
            return request(seq, method, body);
        }
        let mut out = self.begin(seq, method);
        out.extend_from_slice(body);
        if self.language == Json {
            out.extend_from_slice(b"]}");
        }
        out
    }
}

pub fn multiply(speaker: &mut Speaker, seq: u64) -> Vec<u8> {
    speaker.call(seq, "Arith.Multiply", &Args { a: 6, b: 7 })
}

/// A call by itself, with what comes before it.
fn first_call(language: Language, method: &str, body: &[u8]) -> Vec<u8> {
    let mut out = language.greeting();
    out.extend(Speaker::new(language).raw(1, method, body));
    out
}

const FOUR_GIB: [u8; 4] = u32::MAX.to_be_bytes();

/// Beginnings of conversations that promise more than they hold, one for each field that has a length.
pub fn claims(language: Language) -> Vec<Vec<u8>> {
    let mut claims = match language {
        Native => native_claims(),
        Gob => gob_claims(&[]),
        Http => {
            let mut claims = vec![
                b"CONNECT /_goRPC_ HTTP/1.0\r\nContent-Length: 4294967295\r\n\r\n".to_vec(),
                b"POST / HTTP/1.1\r\nContent-Length: 4294967295\r\n\r\nx".to_vec(),
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx".to_vec(),
                [b"CONNECT /", &*vec![b'a'; 8000]].concat(),
            ];
            claims.extend(gob_claims(&Http.greeting()));
            claims
        }
        // It has no lengths; long things are another attack.
        Json => Vec::new(),
        Msgpack => Vec::new(),
    };
    if let Native | Msgpack = language {
        for method in ["String.Text", "Bytes.Text", "Int64s.Text", "Ages.Text", "Dynamic.Text"] {
            for kind in msgpack_claims() {
                claims.push(first_call(language, method, &kind));
            }
        }
    }
    if language == Msgpack {
        // A header may be of any kind too, and has a text in it.
        claims.extend(msgpack_claims());
        for kind in msgpack_claims() {
            claims.push([b"\x82\xadServiceMethod", &*kind].concat());
            claims.push([b"\x82\xa3Seq", &*kind].concat());
        }
    }
    claims
}

/// The beginnings of values that claim four billion bytes or elements: `str`, `bin`, array, map, `ext`.
fn msgpack_claims() -> Vec<Vec<u8>> {
    let ends = [&b""[..], b"\x01\x02"];
    let kinds = [0xDB, 0xC6, 0xDD, 0xDF, 0xC9];
    let claim = |kind: u8, end: &[u8]| [&[kind], &FOUR_GIB[..], end].concat();
    ends.iter().flat_map(|end| kinds.map(|kind| claim(kind, end))).collect()
}

fn native_claims() -> Vec<Vec<u8>> {
    let framed = |kind: Kind, head: &[u8], body: &[u8]| {
        let mut out = Vec::new();
        let start = wire::begin(&mut out);
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        let head = u16::try_from(head.len()).expect("a short head");
        wire::finish(&mut out, start, kind, head, 1, u32::MAX).expect("no limit");
        out
    };
    let mut claims = Vec::new();
    // A frame's length: all it can be, and just what is allowed.
    for length in [u32::MAX, wire::DEFAULT_MAX_FRAME] {
        for kind in 1..=9 {
            let mut frame = framed(Kind::Request, b"\x0eArith.Multiply", &[0; 100]);
            frame[4..8].copy_from_slice(&length.to_le_bytes());
            frame[8] = kind;
            claims.push(frame);
        }
    }
    // A head's length, beyond its frame; then those of a name, a field, a key and a value.
    let mut long_head = framed(Kind::Request, b"", b"\x0eArith.Multiply");
    long_head[10..12].copy_from_slice(&u16::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&long_head[4..]);
    long_head[..4].copy_from_slice(&crc.to_le_bytes());
    claims.push(long_head);
    for head in [
        &b"\xffAri"[..],
        b"\x0eArith.Multiply\x01\xff\xff",
        b"\x0eArith.Multiply\x02\xff\xff\x01",
        b"\x0eArith.Multiply\x02\x03\x00\xffab",
        b"\x0eArith.Multiply\x02\x05\x00\x01k\xff\xffv",
        b"\x0eArith.Multiply\xff\xff\xff",
    ] {
        claims.push(framed(Kind::Request, head, b"\xc0"));
    }
    // A message's length, in a fault and in a go-away, which a server may be sent too.
    for kind in [Kind::Fault, Kind::GoAway] {
        claims.push(framed(kind, b"", b"\x01\x00\xff\xff\xff\xffno"));
    }
    claims.into_iter().map(|claim| [&Native.greeting(), &*claim].concat()).collect()
}

/// A gob number.
fn gob_uint(n: u64) -> Vec<u8> {
    if n < 128 {
        return vec![n as u8];
    }
    let bytes = n.to_be_bytes();
    let used = &bytes[n.leading_zeros() as usize / 8..];
    [&[(used.len() as u8).wrapping_neg()], used].concat()
}

fn gob_claims(greeting: &[u8]) -> Vec<Vec<u8>> {
    let mut claims = Vec::new();
    let mut claim = |parts: &[&[u8]]| claims.push([&[greeting], parts].concat().concat());
    for length in [u64::MAX, u64::from(u32::MAX), (1 << 30) - 1, 4 << 20] {
        let length = gob_uint(length);
        // A message's length, at the beginning and as that of a body.
        claim(&[&length, b"\xff\x81\x03\x01"]);
        let mut speaker = Speaker::new(Gob);
        claim(&[&speaker.begin(1, "String.Text"), &length, b"\x0c\x00"]);
        // A text's and a byte slice's, in a message that has an end.
        for (method, id) in [("String.Text", 0x0C), ("Bytes.Text", 0x0A)] {
            let value = [&[id, 0x00], &*length, b"ab"].concat();
            let mut speaker = Speaker::new(Gob);
            let header = speaker.begin(1, method);
            claim(&[&header, &gob_uint(value.len() as u64), &value]);
        }
        // A slice's and a map's: the count of the value is replaced behind the type's definition.
        let mut speaker = Speaker::new(Gob);
        let slice = speaker.call(1, "Int64s.Text", &[1i64]);
        let (before, id) = without_value(&slice, &[0x00, 0x01, 0x02]);
        let value = [&id, &b"\x00"[..], &length, b"\x02"].concat();
        claim(&[&before, &gob_uint(value.len() as u64), &value]);
        let mut speaker = Speaker::new(Gob);
        let ages = std::collections::BTreeMap::from([("a", 1i64)]);
        let map = speaker.call(1, "Ages.Text", &ages);
        let (before, id) = without_value(&map, &[0x00, 0x01, 0x01, b'a', 0x02]);
        let value = [&id, &b"\x00"[..], &length, b"\x01a\x02"].concat();
        claim(&[&before, &gob_uint(value.len() as u64), &value]);
        // The name in a definition: wireType{StructT: {CommonType{Name: …
        let definition = [b"\xff\x81\x03\x01\x01", &*length, b"x"].concat();
        claim(&[&gob_uint(definition.len() as u64), &definition]);
        // … and its count of fields.
        let definition = [b"\xff\x81\x03\x01\x01\x01X\x01\xff\x82\x00\x01", &*length].concat();
        claim(&[&gob_uint(definition.len() as u64), &definition]);
    }
    claims
}

/// A stream without its last message, which ends with `value`; and that message's type.
fn without_value(stream: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let without = stream.strip_suffix(value).expect("it ends with its value");
    // The first type that a stream defines beside the header's has a number of two bytes.
    let (before, message) = without.split_at(without.len() - 3);
    assert_eq!(usize::from(message[0]), 2 + value.len(), "its length is in front of it");
    (before.to_vec(), message[1..].to_vec())
}

/// A call whose arguments are nested so deep.
pub fn deep(language: Language, depth: usize) -> Vec<Vec<u8>> {
    let repeated = |open: &[u8], middle: &[u8], close: &[u8]| {
        [&*open.repeat(depth), middle, &*close.repeat(depth)].concat()
    };
    let methods = ["Int64s.Text", "Ages.Text", "Dynamic.Text", "Tree.Length"];
    match language {
        Native | Msgpack => methods
            .iter()
            .flat_map(|method| {
                let list = repeated(b"\x91", b"\xc0", b"");
                let map = repeated(b"\x81\xa1a", b"\xc0", b"");
                let tail = repeated(b"\x81\xa4Tail", b"\xc0", b"");
                [list, map, tail].map(|body| first_call(language, method, &body))
            })
            .collect(),
        Json => methods
            .iter()
            .flat_map(|method| {
                let list = repeated(b"[", b"", b"]");
                let map = repeated(br#"{"a":"#, b"0", b"}");
                let tail = repeated(br#"{"Tail":"#, b"null", b"}");
                [list, map, tail].map(|body| first_call(language, method, &body))
            })
            .collect(),
        Gob | Http => {
            let mut out = language.greeting();
            let tail = Some(Box::new(List { head: "b".to_owned(), tail: None }));
            let list = List { head: "a".to_owned(), tail };
            let mut speaker = Speaker::new(language);
            let whole = speaker.call(1, "Tree.Length", &list);
            let short = b"\x01\x01a\x01\x01\x01b\x00\x00";
            let (before, id) = without_value(&whole, short);
            out.extend(before);
            let value = [&*id, &repeated(b"\x02", b"", b"\x00"), b"\x00"].concat();
            out.extend(gob_uint(value.len() as u64));
            out.extend(value);
            vec![out]
        }
    }
}

/// The beginning of a request that never ends, and what it goes on with for ever.
pub fn endless(language: Language) -> (Vec<u8>, Vec<u8>) {
    let go_on = vec![b'a'; 1 << 16];
    let begin = match language {
        Native => {
            let mut header = request(1, "String.Text", b"");
            header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
            [Native.greeting(), header].concat()
        }
        Gob => {
            let mut speaker = Speaker::new(Gob);
            let header = speaker.begin(1, "String.Text");
            [header, gob_uint((1 << 30) - 1), vec![0x0C, 0x00], gob_uint((1 << 30) - 8)].concat()
        }
        Json => br#"{"method":"String.Text","id":1,"params":[""#.to_vec(),
        Msgpack => first_call(Msgpack, "String.Text", &[&[0xDB], &FOUR_GIB[..]].concat()),
        Http => b"CONNECT /_goRPC_ HTTP/1.0\r\nX: ".to_vec(),
    };
    (begin, go_on)
}

/// Valid frames, in an order that makes no sense. `None` at the end: it has said goodbye.
pub fn disorder(random: &mut Random) -> Vec<u8> {
    let mut out = Native.greeting();
    for _ in 0..1 + random.below(12) {
        let seq = random.next() % 3;
        match random.below(12) {
            0 => wire::write_cancel(&mut out, seq),
            1 => wire::write_ping(&mut out, seq),
            2 => wire::write_pong(&mut out, seq),
            3 => wire::write_go_away(&mut out, GoAwayCode::ShuttingDown, "bye"),
            4 => wire::write_fault(&mut out, seq, FaultCode::Method, "no", b"\xc0", 1000),
            5 => out.extend(Preface::OURS.to_bytes()),
            6 => out.extend(request(seq, "Gate.Wait", &encoded("k"))),
            7 => out.extend(request(seq, "No.Such", &encoded("k"))),
            8 => {
                // A reply, a session frame, an acknowledgement, one of a kind that nobody knows.
                let mut frame = request(seq, "Arith.Multiply", &encoded(&1));
                frame[8] = [2, 8, 9, 200][random.below(4)];
                let crc = crc32c::crc32c(&frame[4..]);
                frame[..4].copy_from_slice(&crc.to_le_bytes());
                out.extend(frame);
            }
            _ => out.extend(request(seq, "Arith.Multiply", &encoded(&Args { a: 6, b: 7 }))),
        }
    }
    out
}

/// What an answer says, for people.
pub fn said(mut bytes: &[u8]) -> String {
    if let Some(rest) = bytes.strip_prefix(&Preface::OURS.to_bytes()) {
        bytes = rest;
        let mut decoder = FrameDecoder::new(u32::MAX);
        let mut input = bytes.into();
        while let Ok(Some(Incoming::Frame(frame))) = decoder.next(&mut input) {
            let body = frame.body();
            match frame.kind {
                Kind::GoAway => {
                    if let Ok(body) = wire::GoAwayBody::parse(&body) {
                        return format!("go-away: {}", body.message);
                    }
                }
                Kind::Fault => {
                    if let Ok(body) = wire::FaultBody::parse(&body) {
                        return format!("fault: {}", body.message);
                    }
                }
                Kind::Reply => return "a reply".to_owned(),
                Kind::Pong => return "pongs".to_owned(),
                _ => {}
            }
        }
        return "its preface".to_owned();
    }
    let text = bytes.split(|byte| !(b' '..=b'~').contains(byte)).max_by_key(|text| text.len());
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
