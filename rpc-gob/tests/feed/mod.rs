//! Everything that bytes from a stranger can be given to. The body of a fuzz target: it uses the
//! public API only, and whatever the bytes are it must not panic, hang or allocate much.

use std::collections::BTreeMap;

use bytes::BytesMut;
use netrpc_gob::{
    Decoder, Encoder, Limits, Message, Types, complex::Complex, detached, from_slice, time::GoTime,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

/// One field of each kind that there is.
#[derive(Serialize, Deserialize, Debug, Default, PartialEq)]
#[serde(default)]
struct Everything {
    a: i64,
    b: u8,
    name: String,
    data: Vec<u8>,
    list: Vec<Everything>,
    map: BTreeMap<String, Vec<i64>>,
    two: [f64; 2],
    args: (i8, String),
    left: Option<Box<Everything>>,
    time: GoTime,
    complex: Complex,
}

#[derive(Serialize, Deserialize, Debug)]
#[allow(dead_code)]
enum Shape {
    Circle { radius: f64 },
    Square(f64),
    Line(f64, f64),
    Red,
    Inner { shape: Box<Shape> },
}

#[derive(Deserialize, Debug)]
#[allow(dead_code)]
struct Required {
    service_method: String,
    seq: u64,
    error: Box<str>,
    value: Vec<Required>,
    shape: Shape,
    children: Vec<Required>,
}

/// Whatever there is.
#[derive(Serialize, Deserialize, Debug)]
#[serde(untagged)]
enum Any {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
}

fn decode(types: &Types, bytes: &[u8]) {
    let _ = types.decode::<IgnoredAny>(bytes);
    let _ = types.decode::<()>(bytes);
    let _ = types.decode::<&str>(bytes);
    let _ = types.decode::<Vec<u8>>(bytes);
    let _ = types.decode::<u16>(bytes);
    let _ = types.decode::<f32>(bytes);
    let _ = types.decode::<Option<char>>(bytes);
    let _ = types.decode::<Vec<Vec<i64>>>(bytes);
    let _ = types.decode::<BTreeMap<String, i64>>(bytes);
    let _ = types.decode::<(i64, String)>(bytes);
    let _ = types.decode::<Required>(bytes);
    let _ = types.decode::<GoTime>(bytes);
    let _ = types.decode::<Complex>(bytes);
    if let Ok(shape) = types.decode::<Shape>(bytes) {
        let _ = netrpc_gob::to_vec(&shape);
    }
    if let Ok(any) = types.decode::<Any>(bytes) {
        let _ = netrpc_gob::to_vec(&any);
    }
    if let Ok(everything) = types.decode::<Everything>(bytes) {
        // What was read can be written, and read again.
        if let Ok(gob) = netrpc_gob::to_vec(&everything) {
            let again = from_slice::<Everything>(&gob).expect("we wrote it");
            // NaN is not itself.
            assert!(again == everything || format!("{everything:?}").contains("NaN"));
        }
    }
}

/// Gives `data` to all that reads.
pub fn feed(data: &[u8]) {
    let limits = Limits::new().message(1 << 16).types(100).definitions(1 << 14);

    // A stream, in pieces of a length that the data says.
    let size = 1 + usize::from(data.first().copied().unwrap_or_default());
    let (mut decoder, mut buf) = (Decoder::new(limits), BytesMut::new());
    'stream: for piece in data.chunks(size) {
        buf.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buf) {
                Ok(Some(Message::Value { bytes, .. })) => decode(decoder.types(), &bytes),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }

    // The same at once.
    let (mut decoder, mut input) = (Decoder::new(limits), data);
    loop {
        let before = input.len();
        let decoded = decoder.decode::<IgnoredAny>(&mut input);
        if input.is_empty() || (decoded.is_err() && input.len() == before) {
            break;
        }
    }

    // A value of whatever types the stream above had.
    decode(decoder.types(), data);
    let _ = from_slice::<Any>(data);

    // A blob.
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    if encoder.write_detached(data, &mut out).is_err() {
        assert!(out.is_empty());
    }
    let mut blob = Vec::new();
    detached::encode(&mut blob, data).expect("bytes can be encoded");
    encoder.write_detached(&blob, &mut out).expect("it is a blob");
}
