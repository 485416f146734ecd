//! Bytes from strangers: no panic, no hang, no memory for what is only claimed.

mod common;
#[allow(unreachable_pub, reason = "a fuzz target calls it")]
mod feed;

use std::path::Path;

use common::{Rng, unhex};
use feed::feed;
use netrpc_gob::{DecodeError, Decoder, Limits, from_slice};
use serde::{Deserialize, de::IgnoredAny};

/// So many times `few`, for those who have the time (`NETRPC_ROUNDS`).
fn rounds(few: usize) -> usize {
    let times = std::env::var("NETRPC_ROUNDS").ok().and_then(|times| times.parse().ok());
    few * times.unwrap_or(1)
}

/// Streams that Go wrote.
fn streams() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut streams = Vec::new();
    for file in std::fs::read_dir(dir).expect("a directory") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        match path.file_name().and_then(|name| name.to_str()) {
            Some("golden.hex") => {
                let lines = text.lines().filter_map(|line| line.split_once(": "));
                streams.extend(lines.map(|(_, gob)| unhex(gob)));
            }
            Some(name) if name.ends_with(".hex") => streams.push(unhex(&text)),
            _ => {}
        }
    }
    streams.sort();
    assert!(streams.len() > 80);
    streams
}

#[test]
fn streams_that_are_cut_off_anywhere() {
    for stream in streams() {
        for end in 0..=stream.len() {
            feed(&stream[..end]);
        }
    }
}

#[test]
fn streams_that_are_changed_anywhere() {
    let streams = streams();
    let mut rng = Rng(7);
    for stream in &streams {
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] = match rng.below(4) {
                0 => 0,
                1 => 0xFF,
                2 => stream[at].wrapping_add(1),
                _ => rng.next() as u8,
            };
            feed(&changed);
        }
    }
    for _ in 0..rounds(10_000) {
        let mut changed = streams[rng.below(streams.len())].clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(changed.len());
            match rng.below(4) {
                0 => changed[at] = rng.next() as u8,
                1 => changed.insert(at, rng.next() as u8),
                2 => changed.truncate(at.max(1)),
                _ => {
                    let other = &streams[rng.below(streams.len())];
                    changed.splice(at..at, other[rng.below(other.len())..].iter().copied());
                }
            }
        }
        feed(&changed);
    }
}

#[test]
fn bytes_that_are_no_stream() {
    let mut rng = Rng(8);
    for _ in 0..rounds(20_000) {
        let len = rng.below(64);
        let bytes: Vec<u8> = (0..len)
            .map(|_| if rng.one_in(2) { rng.below(20) as u8 } else { rng.next() as u8 })
            .collect();
        feed(&bytes);
    }
}

/// The most memory that was allocated at once.
fn peak(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

/// A definition of type 65, and a message of it.
fn stream(definition: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![definition.len() as u8 + 2, 0xFF, 0x81];
    out.extend_from_slice(definition);
    out.push(value.len() as u8 + 2);
    out.extend_from_slice(&[0xFF, 0x82]);
    out.extend_from_slice(value);
    out
}

const SLICE_OF_INT: &[u8] = &[2, 1, 2, 0xFF, 0x82, 0, 1, 4, 0, 0];
const SLICE_OF_ITSELF: &[u8] = &[2, 1, 2, 0xFF, 0x82, 0, 1, 0xFF, 0x82, 0, 0];
const ARRAY_OF_ITSELF: &[u8] = &[1, 1, 2, 0xFF, 0x82, 0, 1, 0xFF, 0x82, 1, 2, 0, 0];
const MAP_OF_INT: &[u8] = &[4, 1, 2, 0xFF, 0x82, 0, 1, 4, 1, 4, 0, 0];
const STRUCT_OF_ITSELF: &[u8] = &[3, 1, 2, 0xFF, 0x82, 0, 1, 1, 1, 1, b'A', 1, 0xFF, 0x82, 0, 0, 0];
const EMPTY_STRUCT: &[u8] = &[3, 1, 2, 0xFF, 0x82, 0, 0, 0];
const SLICE_OF_ANY: &[u8] = &[2, 1, 2, 0xFF, 0x82, 0, 1, 16, 0, 0];

#[test]
fn lengths_that_are_only_claimed() {
    // 2^63 elements, entries, bytes.
    let huge = &[0, 0xF8, 0x80, 0, 0, 0, 0, 0, 0, 0];
    for definition in [SLICE_OF_INT, MAP_OF_INT, SLICE_OF_ITSELF, SLICE_OF_ANY] {
        let stream = stream(definition, huge);
        assert!(peak(|| feed(&stream)) < 1 << 20);
        let error = from_slice::<Vec<i64>>(&stream).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated | DecodeError::Mismatch(_)), "{error:?}");
    }
    for id in [10, 12] {
        let mut stream = vec![11, id];
        stream.extend_from_slice(huge);
        assert!(peak(|| feed(&stream)) < 1 << 20);
        assert!(matches!(from_slice::<Vec<u8>>(&stream), Err(DecodeError::Truncated)));
    }
    // Messages of 8 GiB and of 2^64 - 1 bytes.
    for stream in [
        b"\xFB\x02\x00\x00\x00\x00\x0A".as_slice(),
        b"\xF8\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x0A",
        b"\xF8\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x81",
    ] {
        assert!(peak(|| feed(stream)) < 1 << 20);
        assert!(from_slice::<IgnoredAny>(stream).is_err());
    }
}

#[test]
fn elements_of_no_bytes() {
    // 2^60 elements of a type that takes a byte each, as every type does.
    let definition = &[2, 1, 2, 0xFF, 0x82, 0, 1, 0xFF, 0x84, 0, 0];
    let mut stream = stream(definition, &[0, 0xF8, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    let mut other = vec![EMPTY_STRUCT.len() as u8 + 2, 0xFF, 0x83];
    other.extend_from_slice(EMPTY_STRUCT);
    stream.splice(0..0, other);
    assert!(peak(|| feed(&stream)) < 1 << 20);
    assert!(matches!(from_slice::<Vec<()>>(&stream), Err(DecodeError::Truncated)));
    assert!(matches!(from_slice::<IgnoredAny>(&stream), Err(DecodeError::Truncated)));
}

#[test]
fn values_that_are_nested_too_deep() {
    #[derive(Deserialize, Debug)]
    #[allow(dead_code)]
    struct A {
        #[serde(default)]
        a: Option<Box<A>>,
    }
    #[derive(Deserialize, Debug)]
    #[serde(transparent)]
    #[allow(dead_code)]
    struct List(Vec<List>);

    let deep = |definition, prefix: &[u8], level: u8, levels: usize, end: &[u8]| {
        stream(definition, &[prefix, &vec![level; levels], end].concat())
    };
    let slices = deep(SLICE_OF_ITSELF, &[0], 1, 60, &[0]);
    from_slice::<List>(&slices).unwrap();
    from_slice::<IgnoredAny>(&slices).unwrap();
    for stream in
        [deep(SLICE_OF_ITSELF, &[0], 1, 70, &[0]), deep(ARRAY_OF_ITSELF, &[0], 1, 100, &[])]
    {
        assert!(matches!(from_slice::<List>(&stream), Err(DecodeError::TooDeep)));
        assert!(matches!(from_slice::<IgnoredAny>(&stream), Err(DecodeError::TooDeep)));
        feed(&stream);
    }
    let structs = deep(STRUCT_OF_ITSELF, &[], 1, 40, &[0; 41]);
    from_slice::<A>(&structs).unwrap();
    let structs = deep(STRUCT_OF_ITSELF, &[], 1, 100, &[0; 20]);
    assert!(matches!(from_slice::<A>(&structs), Err(DecodeError::TooDeep)));
    assert!(matches!(from_slice::<IgnoredAny>(&structs), Err(DecodeError::TooDeep)));
    feed(&structs);

    // Interfaces in interfaces, a hundred thousand of them.
    let level = [1, b'x', 16, 1, 0];
    let mut message = vec![16, 0];
    message.extend(level.iter().copied().cycle().take(level.len() * 100_000));
    let mut stream = vec![0xFD];
    stream.extend_from_slice(&(message.len() as u32).to_be_bytes()[1..]);
    stream.extend_from_slice(&message);
    assert!(matches!(from_slice::<i64>(&stream), Err(DecodeError::TooDeep)));
    assert!(from_slice::<IgnoredAny>(&stream).is_err());
    feed(&stream);
}

#[test]
fn more_definitions_than_are_allowed() {
    let (mut decoder, mut buf) = (Decoder::new(Limits::new().types(50)), bytes::BytesMut::new());
    let mut error = None;
    for id in 65_u8..127 {
        let definition = [10, 0xFF, 2 * id - 1, 2, 1, 2, 2, 0, 1, 4, 0, 0];
        buf.extend_from_slice(&definition);
        buf[0] = definition.len() as u8 - 1;
        error = decoder.next(&mut buf).err();
        if error.is_some() {
            break;
        }
    }
    assert_eq!(error, Some(netrpc_gob::StreamError::TooManyTypes));
    assert_eq!(decoder.types().len(), 50);
}

/// Each value makes the decoder look for all of the Rust struct's fields, which the sender has
/// chosen not to know, and each of its definitions is another type.
#[test]
fn fields_that_are_missing_do_not_make_it_slow() {
    #[derive(Deserialize, Debug)]
    #[allow(dead_code)]
    struct Wide {
        a: Vec<Wide>,
        b: Vec<u8>,
        c: String,
        d: i64,
        e: i64,
        f: i64,
        g: i64,
        h: i64,
        i: i64,
        j: i64,
        k: i64,
        l: i64,
    }
    // Fifteen thousand structs, of which only the field A is known, and is empty.
    let definition = &[2, 1, 2, 0xFF, 0x82, 0, 1, 0xFF, 0x84, 0, 0];
    let mut bytes = stream(definition, &[]);
    bytes.truncate(definition.len() + 3);
    let other = [3, 1, 2, 0xFF, 0x84, 0, 1, 1, 1, 1, b'A', 1, 0xFF, 0x82, 0, 0, 0];
    bytes.extend_from_slice(&[other.len() as u8 + 2, 0xFF, 0x83]);
    bytes.extend_from_slice(&other);
    let mut message = vec![0xFF, 0x82, 0, 0xFE, 0x3A, 0x98];
    message.resize(message.len() + 15_000, 0);
    bytes.push(0xFE);
    bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&message);
    let start = std::time::Instant::now();
    assert_eq!(from_slice::<Vec<Wide>>(&bytes).unwrap().len(), 15_000);
    assert!(start.elapsed().as_secs() < 5);
}
