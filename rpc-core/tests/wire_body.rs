//! The rules of `docs/WIRE.md` for bodies: what types look like on the wire, and what they survive.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt::Debug,
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
};

use netrpc_core::codec::{self, DecodeError, EncodeError, MAX_DEPTH};
use proptest::{collection::vec, prelude::*};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
    ser::{SerializeSeq, SerializeStruct, SerializeTuple},
};

fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = b"before".to_vec();
    codec::encode(&mut out, value).unwrap();
    out.split_off(6)
}

#[track_caller]
#[allow(clippy::needless_pass_by_value)] // the calls read better
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) -> Vec<u8> {
    let body = encode(&value);
    let back: T = codec::decode(&body).unwrap_or_else(|error| panic!("{error:?} in {body:02x?}"));
    assert_eq!(back, value, "{body:02x?}");
    body
}

/// The error and its causes, as a person reads them.
fn text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", text(source)),
        None => error.to_string(),
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Args {
    #[serde(rename = "A")]
    a: i64,
    #[serde(rename = "B")]
    b: i64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum Shape {
    Point,
    Circle(f64),
    Blob(Vec<u8>),
    Rect(u32, u32),
    Rgb(u8, u8, u8),
    Named { name: String, raw: Vec<u8> },
}

// ---- one value --------------------------------------------------------------------------------

/// `[body.one]`
#[test]
fn a_body_is_one_whole_value() {
    let body = encode(&Args { a: 7, b: 8 });
    assert_eq!(body, b"\x82\xa1A\x07\xa1B\x08");
    for len in 0..body.len() {
        let error = codec::decode::<Args>(&body[..len]).unwrap_err();
        match len {
            0 => assert!(matches!(error, DecodeError::Empty)),
            _ => assert!(matches!(error, DecodeError::Truncated), "{error:?}"),
        }
    }
    for extra in [&b"\xC0"[..], b"\x91", b"\xC1", b"\xDB\xFF\xFF\xFF\xFF"] {
        let error = codec::decode::<Args>(&[&body, extra].concat()).unwrap_err();
        assert!(matches!(error, DecodeError::Trailing), "{error:?}");
    }
    assert!(matches!(codec::decode::<()>(b""), Err(DecodeError::Empty)));
    assert!(matches!(codec::decode::<Option<u8>>(b""), Err(DecodeError::Empty)));
    assert_eq!(round_trip(()), b"\xC0");
}

/// A handler's mistake in one reply must not end up in another's.
#[test]
fn a_value_that_cannot_be_encoded_leaves_no_trace() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("the printer is on fire"))
        }
    }
    let mut out = b"before".to_vec();
    let error = codec::encode(&mut out, &("some", vec![1u8, 2], Fails)).unwrap_err();
    assert_eq!(out, b"before");
    assert_eq!(text(&error), "the value cannot be encoded: the printer is on fire");
}

/// It would be written so that nothing behind it can be read.
#[test]
fn a_value_that_miscounts_its_parts_is_refused() {
    struct Lies(usize);
    impl Serialize for Lies {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 == 0 {
                let mut fields = serializer.serialize_struct("Lies", 2)?;
                fields.serialize_field("only", &1)?;
                fields.end()
            } else {
                let mut elements = serializer.serialize_seq(Some(self.0))?;
                elements.serialize_element(&1u8)?;
                elements.serialize_element(&1u8)?;
                elements.end()
            }
        }
    }
    for (lie, expected) in
        [(0, "2 elements and gave 1"), (1, "1 elements and gave 2"), (3, "3 elements and gave 2")]
    {
        let error = codec::encode(&mut Vec::new(), &Lies(lie)).unwrap_err();
        assert!(text(&error).ends_with(expected), "{}", text(&error));
    }
    assert_eq!(encode(&Lies(2)), b"\xC4\x02\x01\x01");
}

/// The text says what was there and what was wanted.
#[test]
fn a_body_of_another_type_says_so() {
    fn mismatch<T: DeserializeOwned + Debug>(value: &impl Serialize) -> String {
        let error = codec::decode::<T>(&encode(value)).unwrap_err();
        assert!(matches!(error, DecodeError::Mismatch(_)), "{error:?}");
        text(&error)
            .strip_prefix("the body does not have the form that was expected: ")
            .unwrap()
            .to_owned()
    }
    assert_eq!(mismatch::<i64>(&"seven"), r#"invalid type: string "seven", expected i64"#);
    assert_eq!(mismatch::<u8>(&300), "invalid value: integer `300`, expected u8");
    assert_eq!(mismatch::<String>(&7), "invalid type: integer `7`, expected a string");
    assert_eq!(mismatch::<Args>(&7), "invalid type: integer `7`, expected struct Args");
    assert_eq!(mismatch::<Args>(&BTreeMap::from([("A", 1)])), "missing field `B`");
    assert_eq!(mismatch::<bool>(&vec![1u16]), "invalid type: sequence, expected a boolean");
    assert_eq!(
        mismatch::<Vec<u8>>(&"seven"),
        r#"invalid type: string "seven", expected a sequence"#
    );
    assert_eq!(
        mismatch::<[u8; 4]>(&[1u8; 5]),
        "invalid length 5, expected a sequence of 4 elements"
    );
    assert_eq!(mismatch::<[u8; 4]>(&[1u8; 3]), "invalid length 3, expected an array of length 4");
    assert!(mismatch::<Shape>(&"Sphere").starts_with("unknown variant `Sphere`, expected one of"));
    let error = codec::decode::<String>(b"\xA2\xFF\xFE").unwrap_err();
    assert!(text(&error).contains("not UTF-8"), "{}", text(&error));
}

// ---- names ------------------------------------------------------------------------------------

/// `[body.names]`
#[test]
fn peers_of_other_versions_read_each_other() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct New {
        #[serde(default = "seven")]
        c: u32,
        #[serde(rename = "B")]
        b: i64,
        nested: Option<Box<New>>,
        #[serde(rename = "A")]
        a: i64,
        blob: Vec<u8>,
    }
    fn seven() -> u32 {
        7
    }
    let new = New { c: 1, b: 8, nested: None, a: 7, blob: vec![1; 300] };
    let read: Args = codec::decode(&encode(&new)).unwrap();
    assert_eq!(read, Args { a: 7, b: 8 });

    #[derive(Serialize)]
    struct Old {
        #[serde(rename = "A")]
        a: i64,
        #[serde(rename = "B")]
        b: i64,
        blob: &'static [u8],
    }
    let read: New = codec::decode(&encode(&Old { a: 7, b: 8, blob: b"xy" })).unwrap();
    assert_eq!(read, New { c: 7, b: 8, nested: None, a: 7, blob: b"xy".to_vec() });

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[serde(rename = "A")]
        _a: i64,
    }
    let error = codec::decode::<Strict>(&encode(&Args::default())).unwrap_err();
    assert!(text(&error).contains("unknown field `B`"), "{}", text(&error));
}

/// `[body.names]`
#[test]
fn variants_go_by_name() {
    assert_eq!(round_trip(Shape::Point), b"\xa5Point");
    assert_eq!(round_trip(Shape::Rect(1, 300)), b"\x81\xa4Rect\x92\x01\xcd\x01\x2c");
    assert_eq!(round_trip(Shape::Rgb(1, 2, 255)), b"\x81\xa3Rgb\xc4\x03\x01\x02\xff");
    assert_eq!(round_trip(Shape::Blob(vec![9])), b"\x81\xa4Blob\xc4\x01\x09");
    let named = Shape::Named { name: "n".into(), raw: vec![0, 200] };
    assert_eq!(round_trip(named), b"\x81\xa5Named\x82\xa4name\xa1n\xa3raw\xc4\x02\x00\xc8");
    round_trip(Shape::Circle(1.5));
    round_trip(Shape::Blob(vec![]));
    round_trip(vec![Shape::Point, Shape::Rgb(0, 0, 0), Shape::Point]);
    round_trip(HashMap::from([("k".to_owned(), Shape::Point)]));
    round_trip(Ok::<Vec<u8>, String>(vec![1, 2]));
    round_trip(Err::<Vec<u8>, String>("no".into()));
    // As a map, as some others write it.
    assert_eq!(codec::decode::<Shape>(b"\x81\xa5Point\xC0").unwrap(), Shape::Point);
}

/// `[body.names]`
#[test]
fn serde_attributes_work() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(tag = "op", rename_all = "snake_case")]
    enum Tagged {
        Put { key: String, value: Vec<u8> },
        Get { key: String },
        Args(Args),
        Nothing,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(tag = "t", content = "c")]
    enum Adjacent {
        One(Vec<u8>),
        Two(u8, u8),
        Three,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Untagged {
        Number(i64),
        Text(String),
        Args(Args),
        Blob(Vec<u8>),
        Pair(String, Vec<u8>),
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Flat {
        before: u8,
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        others: BTreeMap<String, Vec<u8>>,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Inner {
        blob: Vec<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        none: Option<u8>,
        some: Option<u8>,
    }

    for blob in [vec![], vec![1], vec![200; 40]] {
        round_trip(Tagged::Put { key: "k".into(), value: blob.clone() });
        round_trip(Adjacent::One(blob.clone()));
        round_trip(Untagged::Blob(blob.clone()));
        round_trip(Untagged::Pair("p".into(), blob.clone()));
        round_trip(Flat {
            before: 1,
            inner: Inner { blob: blob.clone(), none: None, some: Some(9) },
            others: (0..20).map(|i| (format!("key {i:02}"), blob.clone())).collect(),
        });
    }
    round_trip(vec![
        Tagged::Get { key: "k".into() },
        Tagged::Args(Args::default()),
        Tagged::Nothing,
    ]);
    round_trip(vec![Adjacent::Two(1, 2), Adjacent::Three]);
    round_trip(vec![
        Untagged::Number(-1),
        Untagged::Text("t".into()),
        Untagged::Args(Args::default()),
    ]);
    // The first is a byte, and the sequence begins as one of bytes.
    round_trip(vec![Untagged::Text("t".into()), Untagged::Number(1)]);
}

// ---- bytes ------------------------------------------------------------------------------------

/// `[body.bytes]`
#[test]
fn bytes_are_bin_wherever_they_are() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Newtype(Vec<u8>);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Deep {
        list: Vec<Vec<u8>>,
        option: Option<Vec<u8>>,
        boxed: Box<[u8]>,
        array: [u8; 32],
        tuple: (u8, u8, u8),
        newtype: Newtype,
        map: BTreeMap<Vec<u8>, [u8; 1]>,
    }
    assert_eq!(round_trip(vec![1u8, 200]), b"\xC4\x02\x01\xC8");
    assert_eq!(round_trip([1u8, 200]), b"\xC4\x02\x01\xC8");
    assert_eq!(round_trip((1u8, 200u8)), b"\xC4\x02\x01\xC8");
    assert_eq!(round_trip(Some(vec![7u8])), b"\xC4\x01\x07");
    assert_eq!(round_trip(VecDeque::from([7u8])), b"\xC4\x01\x07");
    assert_eq!(round_trip(BTreeSet::from([7u8])), b"\xC4\x01\x07");
    assert_eq!(round_trip(vec![NonZeroU8::MIN]), b"\xC4\x01\x01");
    assert_eq!(encode(&[1u8, 200][..]), b"\xC4\x02\x01\xC8");
    assert_eq!(encode(&Box::<[u8]>::from([7])), b"\xC4\x01\x07");
    round_trip(Deep {
        list: vec![vec![], vec![1], vec![255; 1000]],
        option: Some(vec![]),
        boxed: [1, 2, 3].into(),
        array: [200; 32],
        tuple: (1, 2, 255),
        newtype: Newtype(vec![9; 70_000]),
        map: [(vec![1, 2], [3]), (vec![], [4])].into(),
    });
    for len in [0, 1, 255, 256, 65_535, 65_536, 3 << 20] {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        let body = round_trip(bytes.clone());
        assert!(body.ends_with(&bytes) && body.len() <= bytes.len() + 5);
    }
    // Not by what the integers are, but by their type.
    assert_eq!(round_trip(vec![1i8, 2]), b"\x92\x01\x02");
    assert_eq!(round_trip(vec![1u16, 2]), b"\x92\x01\x02");
    assert_eq!(round_trip(vec![Some(1u8), None]), b"\x92\x01\xC0");
    assert_eq!(round_trip((1u8, 2u16)), b"\x92\x01\x02");
    assert_eq!(round_trip((1u8, 200u8, "x".to_owned())), b"\x93\x01\xCC\xC8\xA1x");
}

/// `[body.bytes]`
#[test]
fn bytes_and_text_are_borrowed_from_the_body() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Put<'a> {
        key: &'a str,
        value: &'a [u8],
        #[serde(borrow)]
        more: Option<&'a [u8]>,
    }
    for value in [&b""[..], b"\x00\xff", &[7; 300]] {
        let put = Put { key: "k", value, more: Some(value) };
        let body = encode(&put);
        let read: Put<'_> = codec::decode(&body).unwrap();
        assert_eq!(read, put);
        if !value.is_empty() {
            let inside = body.as_ptr_range();
            assert!(inside.contains(&read.value.as_ptr()) && inside.contains(&read.key.as_ptr()));
        }
    }
}

/// `[body.bytes-any]`
#[test]
fn bytes_and_sequences_of_integers_pass_for_each_other() {
    let arrays: [&[u8]; 3] =
        [b"\x93\x01\x02\x7f", b"\xdc\x00\x03\xcc\x01\xcd\x00\x02\x7f", b"\xc4\x03\x01\x02\x7f"];
    for array in arrays {
        assert_eq!(codec::decode::<Vec<u8>>(array).unwrap(), [1, 2, 127]);
        assert_eq!(codec::decode::<[u8; 3]>(array).unwrap(), [1, 2, 127]);
        assert_eq!(codec::decode::<Vec<i64>>(array).unwrap(), [1, 2, 127]);
        assert_eq!(codec::decode::<(u8, i32, f64)>(array).unwrap(), (1, 2, 127.0));
        assert_eq!(codec::decode::<Bytes>(array).unwrap(), Bytes(vec![1, 2, 127]));
    }
    for empty in [&b"\x90"[..], b"\xdc\x00\x00", b"\xdd\x00\x00\x00\x00", b"\xc4\x00"] {
        assert_eq!(codec::decode::<&[u8]>(empty).unwrap(), b"");
        assert_eq!(codec::decode::<Vec<u8>>(empty).unwrap(), b"");
        assert_eq!(codec::decode::<Vec<String>>(empty).unwrap(), [""; 0]);
        assert_eq!(codec::decode::<Bytes>(empty).unwrap(), Bytes(vec![]));
    }
    assert!(codec::decode::<Vec<u8>>(b"\x91\xcd\x01\x00").is_err());
    assert_eq!(encode(&Bytes(vec![])), b"\xc4\x00");
}

/// What `serde_bytes` does, and `bytes::Bytes`: it asks for bytes and says so when encoded.
#[derive(PartialEq, Debug)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

/// A visitor that asks for whatever there is and can tell bytes from a list is told.
#[test]
fn a_type_that_takes_anything_is_told_bytes_from_lists() {
    #[derive(PartialEq, Debug)]
    enum Value {
        Bytes(Vec<u8>),
        List(Vec<Value>),
        Number(u64),
    }
    impl<'de> Deserialize<'de> for Value {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct ValueVisitor;
            impl<'de> Visitor<'de> for ValueVisitor {
                type Value = Value;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("anything")
                }
                fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                    Ok(Value::Number(number))
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
                    Ok(Value::Bytes(bytes.to_vec()))
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                    let mut list = Vec::new();
                    while let Some(element) = seq.next_element()? {
                        list.push(element);
                    }
                    Ok(Value::List(list))
                }
            }
            deserializer.deserialize_any(ValueVisitor)
        }
    }
    let value: Value = codec::decode(&encode(&(vec![1u8, 2], vec![3u16]))).unwrap();
    let expected = [Value::Bytes(vec![1, 2]), Value::List(vec![Value::Number(3)])];
    assert_eq!(value, Value::List(expected.into()));
}

/// A visitor of one's own sees every byte, even if what it makes of them is a `Vec<u8>`.
#[test]
fn the_short_cut_for_vectors_is_taken_by_serdes_visitor_alone() {
    #[derive(PartialEq, Debug)]
    struct Doubled(Vec<u8>);
    impl<'de> Deserialize<'de> for Doubled {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct VecVisitor;
            impl<'de> Visitor<'de> for VecVisitor {
                type Value = Vec<u8>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes to double")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                    let mut bytes = Vec::new();
                    while let Some(byte) = seq.next_element::<u8>()? {
                        bytes.push(2 * byte);
                    }
                    Ok(bytes)
                }
            }
            deserializer.deserialize_seq(VecVisitor).map(Doubled)
        }
    }
    assert_eq!(codec::decode::<Doubled>(&encode(&[1u8, 2])).unwrap(), Doubled(vec![2, 4]));
}

/// Sequences whose elements are bytes at first and then are not, by every way into the encoder.
#[test]
fn a_sequence_may_cease_to_be_one_of_bytes() {
    use Item::{Byte, List, Text};

    #[derive(Clone, Copy)]
    enum Item {
        Byte(u8),
        Text(&'static str),
        List(&'static [Item]),
    }
    impl Serialize for Item {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Byte(byte) => serializer.serialize_u8(*byte),
                Text(text) => serializer.serialize_str(text),
                List(items) => items.serialize(serializer),
            }
        }
    }
    struct BySeq(Vec<Item>, bool);
    impl Serialize for BySeq {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(self.1.then_some(self.0.len()))?;
            self.0.iter().try_for_each(|item| seq.serialize_element(item))?;
            seq.end()
        }
    }
    struct ByTuple(Vec<Item>);
    impl Serialize for ByTuple {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(self.0.len())?;
            self.0.iter().try_for_each(|item| tuple.serialize_element(item))?;
            tuple.end()
        }
    }
    struct ByFilter(Vec<Item>);
    impl Serialize for ByFilter {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.0.iter().filter(|_| true))
        }
    }
    let cases: [(&[Item], &[u8]); 7] = [
        (&[], b"\x90"),
        (&[Byte(1), Byte(200)], b"\xC4\x02\x01\xC8"),
        (&[Byte(200), Text("x")], b"\x92\xCC\xC8\xA1x"),
        (&[Text("x"), Byte(200)], b"\x92\xA1x\xCC\xC8"),
        (&[Byte(1), Text("x"), Byte(200), Text("y")], b"\x94\x01\xA1x\xCC\xC8\xA1y"),
        (&[Byte(1), List(&[Byte(2), Byte(3)]), Byte(4)], b"\x93\x01\xC4\x02\x02\x03\x04"),
        (&[List(&[Byte(2), Text("x")]), Byte(4)], b"\x92\x92\x02\xA1x\x04"),
    ];
    for (items, expected) in cases {
        assert_eq!(encode(items), expected);
        assert_eq!(encode(&BySeq(items.to_vec(), true)), expected);
        assert_eq!(encode(&BySeq(items.to_vec(), false)), expected);
        assert_eq!(encode(&ByTuple(items.to_vec())), expected);
        assert_eq!(encode(&ByFilter(items.to_vec())), expected);
    }
    let long: Vec<Item> = (0..70_000).map(|i| Byte(i as u8)).collect();
    let expected = encode(&long);
    assert_eq!(expected[..5], *b"\xC6\x00\x01\x11\x70");
    assert_eq!(encode(&BySeq(long.clone(), false)), expected);
    assert_eq!(encode(&ByFilter(long.clone())), expected);
    assert_eq!(encode(&ByTuple(long.clone())), expected);
    let mixed = [&long[..], &[Text("x")]].concat();
    let expected = encode(&mixed);
    assert_eq!(expected[..5], *b"\xDD\x00\x01\x11\x71");
    assert_eq!(encode(&BySeq(mixed.clone(), true)), expected);
    assert_eq!(encode(&ByFilter(mixed)), expected);
}

/// To find out whether a sequence is one of bytes by encoding its first element twice would break
/// types that can be encoded once.
#[test]
fn no_value_is_encoded_twice() {
    struct Once(Cell<u32>);
    impl Serialize for Once {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 1);
            serializer.serialize_u32(self.0.get())
        }
    }
    let once = || Once(Cell::new(0));
    assert_eq!(encode(&vec![once(), once()]), b"\x92\x01\x01");
    assert_eq!(encode(&(once(), once())), b"\x92\x01\x01");
    assert_eq!(encode(&(7u8, once())), b"\x92\x07\x01");
}

// ---- other types ------------------------------------------------------------------------------

/// `[body.integers]`
#[test]
fn integers_are_sent_short_and_read_in_any_width() {
    assert_eq!(round_trip(7u64), b"\x07");
    assert_eq!(round_trip(-1i64), b"\xFF");
    assert_eq!(round_trip(200u64), b"\xCC\xC8");
    assert_eq!(round_trip(i64::MIN).len(), 9);
    for number in [i64::MIN, -70_000, -129, -33, -32, -1, 0, 127, 128, 255, 256, 65_536, i64::MAX] {
        round_trip(number);
    }
    round_trip(u64::MAX);
    round_trip((i128::MIN, u128::MAX));
    let sevens: [&[u8]; 9] = [
        b"\x07",
        b"\xcc\x07",
        b"\xcd\x00\x07",
        b"\xce\x00\x00\x00\x07",
        b"\xcf\x00\x00\x00\x00\x00\x00\x00\x07",
        b"\xd0\x07",
        b"\xd1\x00\x07",
        b"\xd2\x00\x00\x00\x07",
        b"\xd3\x00\x00\x00\x00\x00\x00\x00\x07",
    ];
    for seven in sevens {
        assert_eq!(codec::decode::<u8>(seven).unwrap(), 7);
        assert_eq!(codec::decode::<i64>(seven).unwrap(), 7);
        assert_eq!(codec::decode::<f64>(seven).unwrap(), 7.0);
    }
    assert!(codec::decode::<u64>(b"\xFF").is_err());
}

#[test]
fn the_usual_types_round_trip() {
    round_trip("text".to_owned());
    round_trip('ß');
    round_trip((1.5f32, -2.5f64, f64::INFINITY, true));
    round_trip(Some(Some(7)));
    round_trip::<Option<u8>>(None);
    round_trip((vec![Some("a".to_owned()), None], ((), [(); 3])));
    round_trip(BTreeMap::from(
        [((1u8, 2u8), "pair"), ((3, 4), "pair")].map(|(k, v)| (k, v.to_owned())),
    ));
    round_trip(HashMap::from([(u64::MAX, vec![1u8])]));
    round_trip(BTreeMap::from([("", BTreeMap::<u8, ()>::new())].map(|(k, v)| (k.to_owned(), v))));
    round_trip(std::time::Duration::new(7, 9));
    round_trip(std::time::SystemTime::UNIX_EPOCH);
    for address in ["127.0.0.1", "::1", "200.200.200.200"] {
        round_trip(address.parse::<IpAddr>().unwrap());
        round_trip(SocketAddr::new(address.parse().unwrap(), 65_535));
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Unit;
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Tuple(u8, Unit, Option<Box<Tuple>>);
    assert_eq!(round_trip(Unit), b"\x90");
    round_trip(Tuple(1, Unit, Some(Box::new(Tuple(2, Unit, None)))));
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(transparent)]
    struct Transparent(u8);
    assert_eq!(round_trip(vec![Transparent(7)]), b"\xC4\x01\x07");
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Newtype(u8);
    round_trip(vec![Newtype(7)]);
}

/// MessagePack's extension types, by rmp-serde's convention.
#[test]
fn extension_types_pass() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(rename = "_ExtStruct")]
    struct Ext((i8, Bytes));
    let body = round_trip(Ext((-5, Bytes(vec![1, 2, 3]))));
    assert_eq!(body, b"\xC7\x03\xFB\x01\x02\x03");
    assert!(codec::decode::<IgnoredAny>(&body).is_ok());
}

// ---- bounds -----------------------------------------------------------------------------------

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Tree {
    Leaf,
    Newtype(Box<Tree>),
    List(Vec<Tree>),
    Struct { next: Option<Box<Tree>> },
}

/// `[body.depth]`
#[test]
fn nesting_ends_at_64() {
    type Wrap = fn(Tree) -> Tree;
    let wraps: [(Wrap, usize); 3] = [
        (|tree| Tree::Newtype(Box::new(tree)), 1),
        (|tree| Tree::List(vec![tree]), 2),
        (|tree| Tree::Struct { next: Some(Box::new(tree)) }, 2),
    ];
    for (wrap, levels) in wraps {
        let nested = |times: usize| (0..times).fold(Tree::Leaf, |tree, _| wrap(tree));
        round_trip(nested(MAX_DEPTH / levels));
        let error = codec::encode(&mut Vec::new(), &nested(MAX_DEPTH / levels + 1)).unwrap_err();
        assert!(matches!(error, EncodeError::TooDeep));
        assert_eq!(error.to_string(), "the value is nested deeper than 64 levels");
    }
    let arrays = |depth: usize| [vec![0x91; depth], vec![0xC0]].concat();
    assert!(codec::decode::<IgnoredAny>(&arrays(MAX_DEPTH)).is_ok());
    let error = codec::decode::<IgnoredAny>(&arrays(MAX_DEPTH + 1)).unwrap_err();
    assert!(matches!(error, DecodeError::TooDeep), "{error:?}");
    assert_eq!(error.to_string(), "the body is nested deeper than 64 levels");
    // Bytes nest nothing.
    let bytes = |depth: usize| [vec![0x91; depth], vec![0xC4, 1, 7]].concat();
    assert!(codec::decode::<IgnoredAny>(&bytes(MAX_DEPTH)).is_ok());
}

/// `[body.depth]`: a million levels, by everything that nests, into everything that recurses.
#[test]
fn no_nesting_overflows_the_stack() {
    /// Never reads anything: an option in a newtype in a box.
    #[derive(Deserialize, Debug)]
    struct Chain(#[allow(dead_code)] Option<Box<Chain>>);
    #[derive(Deserialize, Debug)]
    #[serde(untagged)]
    enum Either {
        #[allow(dead_code)]
        List(Vec<Either>),
        #[allow(dead_code)]
        Number(u8),
    }
    fn refuses<T: DeserializeOwned + Debug>(body: &[u8]) {
        let error = codec::decode::<T>(body).unwrap_err();
        assert!(matches!(error, DecodeError::TooDeep), "{error:?}");
    }
    let patterns: [&[u8]; 7] = [
        b"\x91",
        b"\xdc\x00\x01",
        b"\x81\xA4List",
        b"\x81\xA4List\x91",
        b"\x81\xA7Newtype",
        b"\x81\xA6Struct\x81\xA4next",
        b"\xdd\x00\x00\x00\x01",
    ];
    for pattern in patterns {
        let body = pattern.repeat(1_000_000);
        refuses::<IgnoredAny>(&body);
        match codec::decode::<Tree>(&body).unwrap_err() {
            DecodeError::TooDeep => {}
            DecodeError::Mismatch(_) => assert!(pattern[0] != 0x81 || pattern.ends_with(b"List")),
            error => panic!("{error:?}"),
        }
    }
    refuses::<Tree>(&b"\x81\xA7Newtype".repeat(1_000_000));
    refuses::<Tree>(&b"\x81\xA4List\x91".repeat(1_000_000));
    refuses::<Tree>(&b"\x81\xA6Struct\x81\xA4next".repeat(1_000_000));
    refuses::<Either>(&b"\x91".repeat(1_000_000));
    refuses::<Chain>(b"\x07");
}

/// `[body.lengths]`
#[test]
fn a_claimed_length_reserves_nothing() {
    /// What a collection would reserve.
    #[derive(Debug)]
    struct Hint(Option<usize>);
    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct HintVisitor;
            impl<'de> Visitor<'de> for HintVisitor {
                type Value = Hint;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence or map")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Hint, A::Error> {
                    let hint = seq.size_hint();
                    while seq.next_element::<IgnoredAny>().is_ok_and(|element| element.is_some()) {}
                    HINT.set(hint);
                    Ok(Hint(hint))
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Hint, A::Error> {
                    let hint = map.size_hint();
                    HINT.set(hint);
                    while map
                        .next_entry::<IgnoredAny, IgnoredAny>()
                        .is_ok_and(|entry| entry.is_some())
                    {}
                    Ok(Hint(hint))
                }
            }
            deserializer.deserialize_any(HintVisitor)
        }
    }
    thread_local!(static HINT: Cell<Option<usize>> = const { Cell::new(None) });

    for claim in [
        &b"\xdd\xff\xff\xff\xff\x01\x02"[..],
        b"\xdf\xff\xff\xff\xff\x01\x02",
        b"\xdc\xff\xff\x01\x02\x03\x04",
    ] {
        HINT.set(None);
        assert!(matches!(codec::decode::<Hint>(claim), Err(DecodeError::Truncated)));
        assert_eq!(HINT.get(), None, "the type is not even asked what to make of it");
    }
    for (claim, hint) in [(&b"\xdd\0\0\0\x02\x01\x02"[..], 2), (b"\xdf\0\0\0\x01\x01\x02", 1)] {
        assert_eq!(codec::decode::<Hint>(claim).unwrap().0, Some(hint));
    }
    assert_eq!(codec::decode::<Hint>(b"\x93\x01\x02\x03").unwrap().0, Some(3));
    // Bytes and text are cut from the body, or not at all.
    for claim in [b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"] {
        assert!(matches!(codec::decode::<Vec<u8>>(claim), Err(DecodeError::Truncated)));
        assert!(matches!(codec::decode::<String>(claim), Err(DecodeError::Truncated)));
    }
    assert!(matches!(
        codec::decode::<Vec<u64>>(b"\xdd\xff\xff\xff\xff"),
        Err(DecodeError::Truncated)
    ));
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Everything {
    numbers: (i8, u16, i32, u64, Option<i64>),
    text: String,
    bytes: Vec<u8>,
    lists: Vec<(Vec<u8>, Vec<i8>)>,
    map: BTreeMap<String, Shape>,
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Point),
        any::<u32>().prop_map(|r| Shape::Circle(r.into())),
        vec(any::<u8>(), 0..20).prop_map(Shape::Blob),
        any::<(u32, u32)>().prop_map(|(w, h)| Shape::Rect(w, h)),
        any::<(u8, u8, u8)>().prop_map(|(r, g, b)| Shape::Rgb(r, g, b)),
        ("\\PC{0,9}", vec(any::<u8>(), 0..300)).prop_map(|(name, raw)| Shape::Named { name, raw }),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    let lists = vec((vec(any::<u8>(), 0..9), vec(any::<i8>(), 0..9)), 0..9);
    let map = prop::collection::btree_map("\\PC{0,9}", shape(), 0..9);
    (any::<(i8, u16, i32, u64, Option<i64>)>(), "\\PC{0,40}", vec(any::<u8>(), 0..400), lists, map)
        .prop_map(|(numbers, text, bytes, lists, map)| Everything {
            numbers,
            text,
            bytes,
            lists,
            map,
        })
}

/// Anything that MessagePack can say, taken apart by serde.
#[derive(PartialEq, Debug)]
enum Any {
    Nil,
    Bool(bool),
    Integer(i128),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Any>),
    Map(Vec<(Any, Any)>),
    Extension(Vec<Any>),
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVisitor;
        impl<'de> Visitor<'de> for AnyVisitor {
            type Value = Any;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any::Nil)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(Any::Integer(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any::Integer(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                Ok(Any::Float(value.to_bits()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Any, E> {
                Ok(Any::Text(value.to_owned()))
            }
            fn visit_bytes<E>(self, value: &[u8]) -> Result<Any, E> {
                Ok(Any::Bytes(value.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(Any::List(list))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Any::Map(entries))
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Any, D::Error> {
                Vec::deserialize(inner).map(Any::Extension)
            }
        }
        deserializer.deserialize_any(AnyVisitor)
    }
}

/// What rmp-serde makes of a whole body.
fn theirs<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(body));
    let value = T::deserialize(&mut reader).map_err(|error| error.to_string())?;
    if reader.position() == body.len() as u64 { Ok(value) } else { Err("trailing".to_owned()) }
}

/// Bodies as MessagePack's forms are distributed: half of their bytes begin something.
fn forms() -> impl Strategy<Value = Vec<u8>> {
    let markers = prop_oneof![
        0x80u8..0x84,
        0x90u8..0x94,
        0xA0u8..0xA4,
        0xC0u8..=0xDF,
        Just(0x00),
        Just(0x02),
        any::<u8>()
    ];
    vec(markers, 1..60)
}

/// Integers, lengths and floats at both sides of where their forms change.
#[test]
fn every_form_is_the_one_that_others_write() {
    fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        let body = encode(value);
        assert_eq!(body, rmp_serde::to_vec_named(value).unwrap());
        assert_eq!(&codec::decode::<T>(&body).unwrap(), value);
    }
    for shift in 0..64 {
        for offset in [-34i64, -33, -32, -2, -1, 0, 1] {
            let number = (1i64 << shift).wrapping_add(offset);
            same(&number);
            same(&number.wrapping_neg());
            same(&(number as u64));
            same(&(number as i32));
            same(&(number as i16));
            same(&(number as u16));
            same(&(number as i8));
            same(&(number as f32));
            same(&(number as f64 / 3.0));
        }
    }
    for len in [0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 65_535, 65_536, 65_537] {
        same(&"x".repeat(len));
        same(&vec![true; len]);
        same(&(0..len as u32).map(|n| (n, false)).collect::<BTreeMap<u32, bool>>());
        let bytes = Bytes(vec![7; len]);
        assert_eq!(encode(&bytes), rmp_serde::to_vec(&bytes).unwrap());
    }
    for len in [0, 1, 2, 3, 4, 8, 15, 16, 17, 255, 256, 65_535, 65_536] {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        #[serde(rename = "_ExtStruct")]
        struct Ext((i8, Bytes));
        same(&Ext((-7, Bytes(vec![9; len]))));
    }
}

proptest! {
    /// `[body.one]` `[body.names]` `[body.bytes]`
    #[test]
    fn any_value_round_trips(value in everything()) {
        let body = round_trip(value.clone());
        // rmp-serde reads what we write...
        prop_assert_eq!(&rmp_serde::from_slice::<Everything>(&body).unwrap(), &value);
        // ...and we read what it writes, however it writes bytes, with names and without.
        for foreign in [rmp_serde::to_vec(&value).unwrap(), rmp_serde::to_vec_named(&value).unwrap()] {
            prop_assert_eq!(&codec::decode::<Everything>(&foreign).unwrap(), &value);
        }
    }

    /// `[body.one]`
    #[test]
    fn whatever_it_says_is_read_as_others_read_it(body in forms()) {
        match (codec::decode::<Any>(&body), theirs::<Any>(&body)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
        }
        prop_assert_eq!(codec::decode::<IgnoredAny>(&body).is_ok(), theirs::<IgnoredAny>(&body).is_ok());
    }

    /// `[body.one]`
    #[test]
    fn a_damaged_value_is_what_others_take_it_for(
        value in everything(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = encode(&value);
        for (at, byte) in damage {
            *at.get_mut(&mut body) = byte;
        }
        match (codec::decode::<Everything>(&body), theirs::<Everything>(&body)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}")),
            (Err(_), Err(_)) => {}
            // They take more bytes than a tuple has room for, and leave the rest.
            (Err(error), Ok(_)) => prop_assert!(text(&error).contains("invalid length"), "{error:?}"),
            // They do not take a string for bytes where a sequence was expected.
            (Ok(_), Err(theirs)) => prop_assert!(theirs.contains("invalid utf8"), "{theirs}"),
        }
    }

    /// `[body.one]`
    #[test]
    fn a_damaged_value_is_survived(
        value in everything(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = encode(&value);
        *at.get_mut(&mut body) = byte;
        let _ = codec::decode::<Everything>(&body);
        let _ = codec::decode::<IgnoredAny>(&body);
        let cut = cut.index(body.len());
        prop_assert!(codec::decode::<Everything>(&encode(&value)[..cut]).is_err());
    }
}
