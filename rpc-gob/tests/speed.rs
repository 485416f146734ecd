//! How long it takes: `cargo test -p netrpc-gob --release --test speed -- --ignored --nocapture`.
//!
//! Not a benchmark with statistics; enough to see when something has become slow.

use std::{hint::black_box, time::Instant};

use netrpc_gob::{Decoder, Encoder, Limits, Message, detached};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct User {
    user_id: u64,
    name: String,
    email: Option<String>,
    tags: Vec<String>,
    parent: Option<Box<User>>,
    scores: Vec<f64>,
}

fn measure(name: &str, mut work: impl FnMut()) {
    let rounds = |n: u32, work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..n).for_each(|_| work());
        start.elapsed()
    };
    let once = rounds(10, &mut work) / 10;
    let n = (50_000_000 / once.as_nanos().max(10)).clamp(10, 5_000_000) as u32;
    let best = (0..5).map(|_| rounds(n, &mut work) / n).min().unwrap_or_default();
    println!("{name:40} {best:>12.1?}");
}

fn both<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    encoder.encode(value, &mut out).unwrap();
    measure(&format!("{name}: encode"), || {
        out.clear();
        encoder.encode(black_box(value), &mut out).unwrap();
    });
    let mut blob = Vec::new();
    measure(&format!("{name}: detached::encode"), || {
        blob.clear();
        detached::encode(&mut blob, black_box(value)).unwrap();
    });
    measure(&format!("{name}: write_detached"), || {
        out.clear();
        encoder.write_detached(black_box(&blob), &mut out).unwrap();
    });

    let mut decoder = Decoder::new(Limits::new());
    let mut all = Vec::new();
    Encoder::new().encode(value, &mut all).unwrap();
    assert_eq!(&decoder.decode::<T>(&mut all.as_slice()).unwrap(), value);
    let mut buf = bytes::BytesMut::from(&out[..]);
    let message = decoder.next(&mut buf).unwrap();
    let Some(Message::Value { bytes, .. }) = message else { panic!("no value") };
    let types = decoder.types().clone();
    measure(&format!("{name}: Types::decode"), || {
        black_box(types.decode::<T>(black_box(&bytes)).unwrap());
    });
    measure(&format!("{name}: Decoder::decode"), || {
        black_box(decoder.decode::<T>(&mut black_box(out.as_slice())).unwrap());
    });
}

#[test]
#[ignore = "measures"]
fn figures() {
    both("struct{A,B int64}", &Args { a: 7, b: 8 });
    both("int64", &56_i64);
    both("16 bytes", &vec![7_u8; 16]);
    both("1 MiB of bytes", &vec![7_u8; 1 << 20]);
    let mebibyte = vec![7_u8; 1 << 20];
    let mut copy = Vec::with_capacity(1 << 20);
    measure("1 MiB of bytes: memcpy", || {
        copy.clear();
        copy.extend_from_slice(black_box(&mebibyte));
        black_box(&copy);
    });
    measure("1 MiB of bytes: a new Vec", || drop(black_box(mebibyte.clone())));
    let user = User {
        user_id: 7,
        name: "gopher".into(),
        email: None,
        tags: vec!["a".into(), "b".into()],
        parent: None,
        scores: vec![1.0, 2.5],
    };
    both("a struct of six fields", &user);
    both("1000 of them", &vec![user; 1000]);
    both("1000 int64", &(0..1000_i64).collect::<Vec<_>>());
}
