//! Streams as they arrive: in pieces, too long, broken.

mod common;

use bytes::BytesMut;
use common::unhex;
use netrpc_gob::{DecodeError, Decoder, Encoder, Limits, Message, StreamError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Item {
    name: String,
    data: Vec<u8>,
}

fn item(n: usize) -> Item {
    Item { name: format!("item {n}"), data: vec![n as u8; n] }
}

/// All golden values, each a stream; those in interfaces take several messages.
fn golden() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = include_str!("vectors/golden.hex").lines();
    lines.map(|line| line.split_once(": ").expect("a name")).map(|(name, gob)| (name, unhex(gob)))
}

fn values(decoder: &mut Decoder, buf: &mut BytesMut) -> Vec<bytes::Bytes> {
    let mut values = Vec::new();
    while let Some(message) = decoder.next(buf).expect("a good stream") {
        let Message::Value { bytes, .. } = message else { panic!("{message:?}") };
        values.push(bytes);
    }
    values
}

#[test]
fn bytes_that_arrive_one_by_one() {
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    for n in 0..5 {
        encoder.encode(&item(n * 100), &mut stream).unwrap();
    }
    for size in [1, 2, 3, 7, 100, 10_000] {
        let (mut decoder, mut buf, mut seen) = (Decoder::new(Limits::new()), BytesMut::new(), 0);
        for piece in stream.chunks(size) {
            buf.extend_from_slice(piece);
            for bytes in values(&mut decoder, &mut buf) {
                let back: Item = decoder.types().decode(&bytes).unwrap();
                assert_eq!(back, item(seen * 100));
                seen += 1;
            }
        }
        assert_eq!((seen, buf.len()), (5, 0));
    }
}

#[test]
fn a_value_in_several_messages_that_arrive_byte_by_byte() {
    for (name, stream) in golden() {
        let mut whole = Decoder::new(Limits::new());
        let at_once = values(&mut whole, &mut BytesMut::from(stream.as_slice()));
        assert_eq!(at_once.len(), 1, "{name}");

        let (mut decoder, mut buf, mut seen) =
            (Decoder::new(Limits::new()), BytesMut::new(), vec![]);
        for byte in &stream {
            buf.extend_from_slice(&[*byte]);
            seen.extend(values(&mut decoder, &mut buf));
        }
        assert_eq!(seen, at_once, "{name}");
        assert_eq!(decoder.types().len(), whole.types().len(), "{name}");
        decoder.types().decode::<serde::de::IgnoredAny>(&seen[0]).unwrap();
    }
}

#[test]
fn values_are_cut_from_the_buffer() {
    let mut stream = Vec::new();
    Encoder::new().encode(&vec![7_u8; 1000], &mut stream).unwrap();
    let mut buf = BytesMut::from(stream.as_slice());
    let range = buf.as_ptr_range();
    let bytes = values(&mut Decoder::new(Limits::new()), &mut buf).remove(0);
    assert!(range.contains(&bytes.as_ptr()));
}

#[test]
fn a_value_is_decoded_elsewhere_while_the_stream_goes_on() {
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    encoder.encode(&item(1), &mut stream).unwrap();
    encoder.encode(&vec![item(2)], &mut stream).unwrap();
    let (mut decoder, mut buf) = (Decoder::new(Limits::new()), BytesMut::from(stream.as_slice()));
    let Some(Message::Value { bytes, .. }) = decoder.next(&mut buf).unwrap() else { panic!() };
    let types = decoder.types().clone();
    let Some(Message::Value { bytes: more, type_id }) = decoder.next(&mut buf).unwrap() else {
        panic!();
    };
    assert_eq!((types.len(), decoder.types().len()), (1, 2));
    assert_eq!(types.decode::<Item>(&bytes).unwrap(), item(1));
    assert_eq!(decoder.types().decode::<Vec<Item>>(&more).unwrap(), [item(2)]);
    let error = types.decode::<Vec<Item>>(&more).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownType(id) if id == type_id));
}

#[test]
fn a_value_that_is_too_long_is_passed_over() {
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    for n in [10, 5000, 20] {
        encoder.encode(&item(n), &mut stream).unwrap();
    }
    for size in [1, 100, 10_000] {
        let mut decoder = Decoder::new(Limits::new().message(1000));
        let (mut buf, mut seen) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(size) {
            buf.extend_from_slice(piece);
            while let Some(message) = decoder.next(&mut buf).unwrap() {
                seen.push(message);
            }
            assert!(buf.len() < 1000 + size, "nothing of it is kept");
        }
        let [
            Message::Value { bytes: a, .. },
            Message::Oversized { length },
            Message::Value { bytes: b, .. },
        ] = seen.as_slice()
        else {
            panic!("{seen:?}");
        };
        assert_eq!(decoder.types().decode::<Item>(a).unwrap(), item(10));
        assert_eq!(decoder.types().decode::<Item>(b).unwrap(), item(20));
        assert!((5000..5050).contains(length));
    }
    let (mut decoder, mut input) = (Decoder::new(Limits::new().message(1000)), stream.as_slice());
    assert_eq!(decoder.decode::<Item>(&mut input).unwrap(), item(10));
    assert!(matches!(decoder.decode::<Item>(&mut input), Err(DecodeError::TooLong(_))));
    assert_eq!(decoder.decode::<Item>(&mut input).unwrap(), item(20));
}

#[test]
fn a_wrong_value_leaves_the_stream_usable() {
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    encoder.encode("text", &mut stream).unwrap();
    encoder.encode(&item(3), &mut stream).unwrap();
    // A value of an unknown type, and one that goes on for too long.
    stream.extend_from_slice(&[3, 0xFF, 0xFE, 0]);
    stream.extend_from_slice(&[4, 4, 0, 1, 1]);
    encoder.encode(&item(4), &mut stream).unwrap();
    let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    assert!(matches!(decoder.decode::<u8>(&mut input), Err(DecodeError::Mismatch(_))));
    assert_eq!(decoder.decode::<Item>(&mut input).unwrap(), item(3));
    assert!(matches!(decoder.decode::<Item>(&mut input), Err(DecodeError::UnknownType(127))));
    assert!(matches!(decoder.decode::<i64>(&mut input), Err(DecodeError::Trailing)));
    assert_eq!(decoder.decode::<Item>(&mut input).unwrap(), item(4));
    assert!(matches!(decoder.decode::<Item>(&mut input), Err(DecodeError::Empty)));
}

#[test]
fn what_is_cut_off_can_be_read_when_there_is_more() {
    for (name, stream) in golden() {
        let mut decoder = Decoder::new(Limits::new());
        let mut from = 0;
        for end in 0..stream.len() {
            let mut input = &stream[from..end];
            let error = decoder.decode::<serde::de::IgnoredAny>(&mut input).expect_err(name);
            assert!(
                matches!(error, DecodeError::Truncated | DecodeError::Empty),
                "{name}: {error}"
            );
            from = end - input.len();
        }
        let mut input = &stream[from..];
        decoder.decode::<serde::de::IgnoredAny>(&mut input).expect(name);
    }
}

#[track_caller]
fn broken(limits: Limits, stream: &[u8]) -> StreamError {
    let mut decoder = Decoder::new(limits);
    let mut buf = BytesMut::from(stream);
    loop {
        match decoder.next(&mut buf) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing was found to be wrong"),
            Err(error) => {
                assert_eq!(decoder.next(&mut buf), Err(error.clone()), "it stays broken");
                return error;
            }
        }
    }
}

#[test]
fn streams_that_no_go_program_sends() {
    let malformed = |stream: &[u8]| {
        let error = broken(Limits::new(), stream);
        assert!(matches!(error, StreamError::Malformed(_)), "{error}");
    };
    // No type; an integer of 16 bytes; an id of 64 bits; an id that the message is too short for.
    malformed(&[0]);
    malformed(&[0xF0]);
    malformed(&[9, 0xF8, 1, 2, 3, 4, 5, 6, 7, 8]);
    malformed(&[1, 0xFE]);
    // A definition of what is built in, one cut off, one that is followed by something, two in one.
    malformed(b"\x0C\x03\x02\x01\x02\xFF\x82\x00\x01\x04\x00\x00\x00");
    malformed(b"\x05\xFF\x81\x02\x01\x02");
    malformed(b"\x0D\xFF\x81\x02\x01\x02\xFF\x82\x00\x01\x04\x00\x00\x00");
    malformed(b"\x0E\xFF\x81\x02\x01\x02\xFF\x82\x00\x00\x01\x01\x00\x00\x00");
    malformed(b"\x04\xFF\x81\x00\x00");

    let slice = b"\x0C\xFF\x81\x02\x01\x02\xFF\x82\x00\x01\x04\x00\x00";
    let twice = [slice.as_slice(), slice].concat();
    assert_eq!(broken(Limits::new(), &twice), StreamError::DefinedTwice(65));
    assert_eq!(broken(Limits::new().types(0), slice), StreamError::TooManyTypes);
    assert_eq!(broken(Limits::new().definitions(11), slice), StreamError::TooManyTypes);
    // A definition that is said to be of 8 GiB, of which nothing need arrive.
    let long = [b"\xFB\x02\x00\x00\x00\x00", &slice[1..]].concat();
    assert_eq!(broken(Limits::new(), &long), StreamError::TooManyTypes);
}

#[test]
fn a_value_in_several_messages_that_is_too_long() {
    let (_, stream) = golden().find(|(name, _)| *name == "[]any").expect("it is there");
    assert_eq!(broken(Limits::new().message(100), &stream), StreamError::TooLong);
    assert_eq!(broken(Limits::new().types(2), &stream), StreamError::TooManyTypes);
}

#[test]
fn errors_are_short_and_have_sources() {
    let error = DecodeError::Stream(StreamError::DefinedTwice(65));
    assert_eq!(error.to_string(), "the stream is broken");
    let source = std::error::Error::source(&error).expect("a source");
    assert_eq!(source.to_string(), "the stream defines type 65 twice");
}
