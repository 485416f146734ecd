//! Bodies as Go has them: JSON, and the MessagePack of HashiCorp's programs.
//!
//! The golden bytes were written by Go 1.19's `encoding/json` and by
//! `github.com/hashicorp/go-msgpack` 0.5.5 with a `codec.MsgpackHandle{}`, from the Go types and
//! values that stand beside them; the same programs read what is written here.
#![cfg(feature = "go")]

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
};

use netrpc_core::codec::{
    DecodeError, EncodeError, MAX_DEPTH,
    go::{Fed, MAX_SCAN_DEPTH, ScanError, json, msgpack},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::IgnoredAny,
    ser::SerializeSeq,
};

fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = Vec::new();
    json::encode(&mut out, value).expect("it can be encoded");
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn to_msgpack<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    msgpack::encode(&mut out, value).expect("it can be encoded");
    out
}

fn from_json<'de, T: Deserialize<'de>>(text: &'de str) -> T {
    match json::decode(text.as_bytes()) {
        Ok(value) => value,
        Err(error) => panic!("{text}: {error:?}"),
    }
}

fn from_msgpack<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> T {
    match msgpack::decode(bytes) {
        Ok(value) => value,
        Err(error) => panic!("{bytes:02x?}: {error:?}"),
    }
}

fn json_error<T: DeserializeOwned + Debug>(text: impl AsRef<[u8]>) -> String {
    chain(&json::decode::<T>(text.as_ref()).unwrap_err())
}

fn msgpack_error<T: DeserializeOwned + Debug>(bytes: &[u8]) -> String {
    chain(&msgpack::decode::<T>(bytes).unwrap_err())
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// In both formats, there and back.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = to_json(value);
    assert_eq!(&from_json::<T>(&text), value, "{text}");
    let mut scanner = json::Scanner::new();
    let fed = scanner.feed(text.as_bytes()).unwrap();
    assert_eq!(fed.taken, text.len());
    assert!(scanner.is_whole());

    let bytes = to_msgpack(value);
    assert_eq!(&from_msgpack::<T>(&bytes), value, "{bytes:02x?}");
    let mut scanner = msgpack::Scanner::new();
    assert_eq!(scanner.feed(&bytes).unwrap(), Fed { taken: bytes.len(), done: true });
}

/// These bytes in both formats, and the value from them.
#[track_caller]
fn crosses<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, text: &str, bytes: &str) {
    assert_eq!(to_json(&value), text);
    assert_eq!(to_msgpack(&value), hex(bytes));
    round_trip(&value);
}

/// These bytes from Go, and the value from them; what we write may differ in spelling.
#[track_caller]
fn comes_from_go<T: DeserializeOwned + PartialEq + Debug>(value: T, text: &str, bytes: &str) {
    assert_eq!(from_json::<T>(text), value);
    assert_eq!(from_msgpack::<T>(&hex(bytes)), value);
}

// ---- Kinds ----------------------------------------------------------------------------------

#[test]
fn integers_are_written_as_go_writes_them() {
    for (value, bytes) in [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "cc80"),
        (255, "ccff"),
        (256, "cd0100"),
        (65535, "cdffff"),
        (65536, "ce00010000"),
        (4294967295, "ceffffffff"),
        (4294967296, "cf0000000100000000"),
        (i64::MAX, "cf7fffffffffffffff"),
        (-1, "ff"),
        (-32, "e0"),
        (-33, "d0df"),
        (-128, "d080"),
        (-129, "d1ff7f"),
        (-32768, "d18000"),
        (-32769, "d2ffff7fff"),
        (-2147483648, "d280000000"),
        (-2147483649, "d3ffffffff7fffffff"),
        (i64::MIN, "d38000000000000000"),
    ] {
        crosses(value, &value.to_string(), bytes);
        crosses(i128::from(value), &value.to_string(), bytes);
    }
    crosses(u64::MAX, "18446744073709551615", "cfffffffffffffffff");
    crosses(u128::from(u64::MAX), "18446744073709551615", "cfffffffffffffffff");
    crosses((7u8, 7u16, 7u32, -7i8, -7i16, -7i32), "[7,7,7,-7,-7,-7]", "96 07 07 07 f9 f9 f9");
}

#[test]
fn integers_out_of_range_are_refused() {
    assert!(json_error::<i64>("9223372036854775808").contains("invalid value"));
    assert!(json_error::<u64>("18446744073709551616").contains("expected u64"));
    assert!(json_error::<u64>("-1").contains("expected u64"));
    assert!(json_error::<u8>("256").contains("expected u8"));
    assert!(json_error::<i32>("1.0").contains("expected i32"), "as Go");
    assert!(json_error::<i32>("1e2").contains("expected i32"), "as Go");
    assert!(msgpack_error::<u8>(&hex("cd0100")).contains("expected u8"));
    assert!(msgpack_error::<u64>(&hex("ff")).contains("expected u64"));
    assert_eq!(from_json::<i32>("-0"), 0, "as Go");

    let mut out = b"kept".to_vec();
    for wide in [i128::from(i64::MIN) - 1, i128::from(u64::MAX) + 1] {
        let error = json::encode(&mut out, &vec![wide]).unwrap_err();
        assert!(chain(&error).contains("more than the 64 bits"), "{}", chain(&error));
        msgpack::encode(&mut out, &vec![wide]).unwrap_err();
    }
    json::encode(&mut out, &u128::MAX).unwrap_err();
    assert_eq!(out, b"kept");
}

#[test]
fn floats_cross() {
    crosses(1.5f32, "1.5", "ca3fc00000");
    crosses(1.5f64, "1.5", "cb3ff8000000000000");
    crosses(0.1f64, "0.1", "cb3fb999999999999a");
    crosses(0.1f32, "0.1", "ca3dcccccd");
    comes_from_go(1e21, "1e+21", "cb444b1ae4d6e2ef50");
    comes_from_go(1e-7, "1e-7", "cb3e7ad7f29abcaf48");
    comes_from_go(3.0, "3", "03");
    assert_eq!(from_json::<f64>("-0").to_bits(), (-0.0f64).to_bits());
    for value in [f64::MIN_POSITIVE, f64::MAX, 5e-324, 123456789.12345679, -1e300, 1e23] {
        round_trip(&value);
    }
    // A float that JSON writes without a point is one that Go's integers take.
    assert_eq!(from_json::<f64>("18446744073709551616"), 18446744073709551616.0);
}

#[test]
fn floats_that_json_has_not_are_errors_in_gos_words() {
    let mut out = Vec::new();
    for (value, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf")] {
        for error in [
            json::encode(&mut out, &vec![0.0, value]).unwrap_err(),
            json::encode(&mut out, &(value as f32)).unwrap_err(),
        ] {
            assert!(chain(&error).ends_with(&format!("json: unsupported value: {name}")));
        }
        let again: f64 = from_msgpack(&to_msgpack(&value));
        assert_eq!(again.is_nan(), value.is_nan());
        assert_eq!(again.is_infinite(), value.is_infinite());
    }
    assert!(out.is_empty());
    assert!(json_error::<f64>("1e400").contains("out of range"));
    assert!(json_error::<f32>("1e39").contains("out of range"));
    assert!(msgpack_error::<f32>(&to_msgpack(&1e39)).contains("out of range"));
    assert_eq!(from_json::<(IgnoredAny, u8)>("[1e400,1]").1, 1, "nobody looks at it");
}

#[test]
fn strings_are_raw() {
    crosses(String::new(), r#""""#, "a0");
    for (len, head) in [
        (31, "bf"),
        (32, "da0020"),
        (255, "da00ff"),
        (256, "da0100"),
        (65535, "daffff"),
        (65536, "db00010000"),
    ] {
        let text = "x".repeat(len);
        let bytes = [hex(head), text.clone().into_bytes()].concat();
        assert_eq!(to_msgpack(&text), bytes);
        assert_eq!(to_msgpack(&vec![b'x'; len]), bytes, "bytes are the same");
        assert_eq!(from_msgpack::<&str>(&bytes), text);
        assert_eq!(from_msgpack::<&[u8]>(&bytes), text.as_bytes());
        assert_eq!(from_msgpack::<Vec<u8>>(&bytes), text.as_bytes());
        round_trip(&text);
    }
    crosses('ß', r#""ß""#, "a2c39f");
    crosses(true, "true", "c3");
    crosses(false, "false", "c2");
    crosses("grüß\n\"\\\u{1}".to_owned(), r#""grüß\n\"\\\u0001""#, "aa 6772c3bcc39f 0a 22 5c 01");
}

#[test]
fn strings_of_the_new_specification_are_read() {
    assert_eq!(from_msgpack::<String>(b"\xd9\x02hi"), "hi");
    assert_eq!(from_msgpack::<&str>(b"\xc4\x02hi"), "hi", "bin");
    assert_eq!(from_msgpack::<String>(b"\xc5\x00\x02hi"), "hi");
    assert_eq!(from_msgpack::<char>(b"\xc4\x01x"), 'x');
    assert_eq!(from_msgpack::<&[u8]>(b"\xd9\x02\xff\xfe"), b"\xff\xfe");
    assert_eq!(from_msgpack::<&[u8]>(b"\xc6\x00\x00\x00\x02\xff\xfe"), b"\xff\xfe");
    assert_eq!(from_msgpack::<Point>(b"\x82\xc4\x01X\x01\xd9\x01Y\x02"), Point { x: 1, y: 2 });
    assert_eq!(from_msgpack::<Shape>(b"\xc4\x03Dot"), Shape::Dot);
    assert!(msgpack_error::<String>(b"\xa2\xff\xfe").contains("expected a string"));
    assert!(msgpack_error::<String>(b"\xc4\x02\xff\xfe").contains("expected a string"));
}

#[test]
fn strings_of_json_are_utf8_and_escapes_are_read() {
    assert_eq!(from_json::<String>(r#""\u0041\ud83d\ude00\/\b\f\n\r\t""#), "A😀/\u{8}\u{c}\n\r\t");
    assert_eq!(from_json::<&str>(r#""borrowed ß""#), "borrowed ß");
    assert_eq!(from_json::<Cow<'_, str>>(r#""\"""#), "\"");
    assert!(json_error::<String>(b"\"\xff\"").contains("not UTF-8"));
    assert!(json_error::<String>(r#""\ud800""#).contains("malformed JSON"));
    assert!(json_error::<String>(r#""\x""#).contains("malformed JSON"));
    assert!(json_error::<String>("\"\n\"").contains("control character"));
    assert!(json_error::<IgnoredAny>(b"{\"\xff\":1}").contains("not UTF-8"), "looked at or not");
}

#[test]
fn bytes_are_bytes_wherever_they_are() {
    crosses(vec![0u8, 255, 0x80], r#""AP+A""#, "a3 00ff80");
    crosses(Vec::<u8>::new(), r#""""#, "a0");
    crosses(vec![vec![1u8], vec![]], r#"["AQ==",""]"#, "92 a101 a0");
    crosses(Some(vec![1u8]), r#""AQ==""#, "a101");
    crosses(Box::<[u8]>::from([1u8]), r#""AQ==""#, "a101");
    crosses(BTreeSet::from([2u8, 1]), r#""AQI=""#, "a2 0102");
    crosses([1u8, 2, 255], "[1,2,255]", "93 01 02 ccff");
    crosses((1u8, 2u8), "[1,2]", "92 01 02");
    // Of other integers it is a list, whatever their values.
    crosses(vec![1i8, 2], "[1,2]", "92 01 02");
    crosses(Vec::<u16>::new(), "[]", "90");

    // Go's codec has `[3]byte` as raw, its JSON as numbers.
    comes_from_go([1u8, 2, 255], "[1,2,255]", "a30102ff");
    comes_from_go((1u8, 2u8), r#""AQI=""#, "a20102");
    comes_from_go(vec![1u8, 2], "[1,2]", "92 01 02");
    comes_from_go(vec![1u8, 2], r#""AQI=""#, "c4 02 01 02");
    comes_from_go(Vec::<u8>::new(), "[]", "90");
    comes_from_go(Vec::<u8>::new(), "null", "c0");
    assert_eq!(from_json::<Vec<u8>>("\"AA\\nE=\""), [0, 1], "as Go");
    assert_eq!(from_json::<Vec<u8>>("\"AAF=\""), [0, 1], "as Go");
    assert!(json_error::<Vec<u8>>(r#""AAE""#).contains("base64"), "as Go");
    assert!(json_error::<Vec<u8>>(r#""-_==""#).contains("base64"));
    assert!(json_error::<[u8; 2]>(r#""AQID""#).contains("invalid length"));
    assert!(msgpack_error::<[u8; 2]>(b"\xa3abc").contains("invalid length"));
    assert!(msgpack_error::<[u8; 2]>(b"\x93\x01\x02\x03").contains("more in it"));
    assert!(msgpack_error::<Vec<u8>>(b"\x91\xcd\x01\x00").contains("expected u8"));
}

#[test]
fn a_string_is_no_sequence_but_of_bytes() {
    assert!(json_error::<Vec<i32>>(r#""AQI=""#).contains("invalid type"));
    assert!(json_error::<Vec<String>>(r#""hello!""#).contains("expected a sequence"));
    assert!(json_error::<Vec<serde_json::Value>>(r#""AQI=""#).contains("invalid type"));
    assert!(msgpack_error::<Vec<i32>>(b"\xa2ab").contains("invalid type"));
    assert!(msgpack_error::<Vec<i32>>(b"\xc4\x02ab").contains("invalid type"));
    assert!(msgpack_error::<Point>(b"\xa2ab").contains("invalid type"));
}

/// `serialize_bytes`, as `bytes::Bytes` does; and `serialize_seq`, as collections that do not come
/// with serde may.
#[test]
fn bytes_that_come_another_way_are_bytes() {
    struct AsBytes(&'static [u8]);
    impl Serialize for AsBytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    assert_eq!(to_json(&AsBytes(&[1, 2])), r#""AQI=""#);
    assert_eq!(to_msgpack(&AsBytes(&[1, 2])), hex("a20102"));

    struct OneByOne(Vec<u8>, bool, Option<usize>);
    impl Serialize for OneByOne {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(self.2)?;
            for byte in &self.0 {
                seq.serialize_element(byte)?;
            }
            if self.1 {
                seq.serialize_element("and")?;
                seq.serialize_element(&7u8)?;
            }
            seq.end()
        }
    }
    for len in [None, Some(2)] {
        assert_eq!(to_json(&OneByOne(vec![1, 2], false, len)), r#""AQI=""#);
        assert_eq!(to_msgpack(&OneByOne(vec![1, 2], false, len)), hex("a20102"));
        let len = len.map(|len| len + 2);
        assert_eq!(to_json(&OneByOne(vec![1, 2], true, len)), r#"[1,2,"and",7]"#);
        assert_eq!(to_msgpack(&OneByOne(vec![1, 2], true, len)), hex("940102 a3616e64 07"));
    }
    let mut out = b"kept".to_vec();
    for wrong in [OneByOne(vec![1], false, Some(2)), OneByOne(vec![1], true, Some(2))] {
        json::encode(&mut out, &wrong).unwrap_err();
        msgpack::encode(&mut out, &wrong).unwrap_err();
    }
    assert_eq!(out, b"kept");
}

#[test]
fn bytes_borrow_from_messagepack_and_cannot_from_json() {
    #[derive(Deserialize, Debug)]
    struct Borrowed<'a> {
        #[serde(borrow)]
        bytes: &'a [u8],
        text: &'a str,
        #[serde(borrow)]
        texts: Vec<&'a str>,
    }
    let body = b"\x83\xa5Bytes\xa2\xff\x00\xa4Text\xa1x\xa5Texts\x91\xa1y";
    let value: Borrowed<'_> = from_msgpack(body);
    assert_eq!(value.bytes, [255, 0]);
    assert_eq!((value.text, value.texts[0]), ("x", "y"));
    let within = |part: &[u8]| body.as_ptr_range().contains(&part.as_ptr());
    assert!(within(value.bytes) && within(value.text.as_bytes()));

    let error = json::decode::<Borrowed<'_>>(br#"{"Bytes":"AA==","Text":"x"}"#).unwrap_err();
    assert!(chain(&error).contains("take a `Vec<u8>`"), "{}", chain(&error));
    let empty: Borrowed<'_> = from_json(r#"{"Bytes":null,"Text":"x","Texts":["y"]}"#);
    assert_eq!((empty.bytes, empty.text, &empty.texts[..]), (&[][..], "x", &["y"][..]));
    let empty: Borrowed<'_> = from_msgpack(b"\x81\xa5Bytes\x90");
    assert_eq!((empty.bytes, empty.text), (&[][..], ""));
}

#[test]
fn collections_cross() {
    crosses(Vec::<i32>::new(), "[]", "90");
    crosses(vec![0; 15], "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "9f 000000000000000000000000000000");
    assert_eq!(to_msgpack(&vec![0; 16])[..4], hex("dc001000"));
    assert_eq!(to_msgpack(&vec![0; 65536])[..6], hex("dd0001000000"));
    round_trip(&vec![0; 65536]);
    let map: BTreeMap<i32, i32> = (0..16).map(|n| (n, n)).collect();
    assert_eq!(to_msgpack(&map)[..4], hex("de001000"));
    round_trip(&map);
    let map: BTreeMap<i32, i32> = (0..65536).map(|n| (n, n)).collect();
    assert_eq!(to_msgpack(&map)[..6], hex("df0001000000"));
    crosses(BTreeMap::from([("a".to_owned(), vec![1, 2])]), r#"{"a":[1,2]}"#, "81 a161 92 01 02");
    crosses(BTreeMap::from([(-7, "x".to_owned())]), r#"{"-7":"x"}"#, "81 f9 a178");
    crosses((1, "x".to_owned(), false), r#"[1,"x",false]"#, "93 01 a178 c2");
    round_trip(&HashMap::from([("k".to_owned(), vec![Some(1), None])]));
}

#[test]
fn a_maps_keys_may_be_what_go_makes_strings_of() {
    round_trip(&BTreeMap::from([(u64::MAX, 1), (0, 2)]));
    round_trip(&BTreeMap::from([(i64::MIN, 1), (0, 2)]));
    round_trip(&BTreeMap::from([(i128::from(i64::MIN), 1)]));
    round_trip(&BTreeMap::from([(true, 1), (false, 2)]));
    round_trip(&BTreeMap::from([('x', 1)]));
    round_trip(&BTreeMap::from([(String::from("a\"\n"), 1)]));
    #[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Id(u32);
    round_trip(&BTreeMap::from([(Id(7), 1)]));
    #[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Color {
        Red,
    }
    round_trip(&BTreeMap::from([(Color::Red, 1)]));
    assert_eq!(to_json(&BTreeMap::from([(Id(7), Color::Red)])), r#"{"7":"Red"}"#);

    let mut out = Vec::new();
    for error in [
        json::encode(&mut out, &BTreeMap::from([((1, 2), 3)])).unwrap_err(),
        json::encode(&mut out, &BTreeMap::from([(None::<u8>, 3)])).unwrap_err(),
        json::encode(&mut out, &BTreeMap::from([(vec![1u8], 3)])).unwrap_err(),
    ] {
        assert!(chain(&error).contains("a map's key"), "{}", chain(&error));
    }
    assert!(out.is_empty());
    assert!(json_error::<BTreeMap<i32, i32>>(r#"{"x":1}"#).contains("expected i32"));
    assert!(json_error::<BTreeMap<u8, i32>>(r#"{"256":1}"#).contains("expected u8"));
    assert!(json_error::<BTreeMap<i32, i32>>(r#"{"1 ":1}"#).contains("expected i32"));
    assert!(json_error::<BTreeMap<i32, i32>>(r#"{1:1}"#).contains("expected a key"));
    assert!(json_error::<BTreeMap<String, i32>>(r#"{null:1}"#).contains("expected a key"));
    // A value that is a string is no number, though a key is.
    assert!(json_error::<BTreeMap<i32, i32>>(r#"{"1":"1"}"#).contains("expected i32"));
}

#[test]
fn nothing_is_gos_empty_struct() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Unit;
    crosses((), "{}", "80");
    crosses(Unit, "{}", "80");
    crosses(vec![(), ()], "[{},{}]", "92 80 80");
    crosses(((), Some(()), None::<()>), "[{},{},null]", "93 80 80 c0");
    crosses(Ok::<(), ()>(()), r#"{"Ok":{}}"#, "81 a24f6b 80");
    assert_eq!(to_json(&vec![serde_json::Value::Null]), "[null]", "which is not `()`");
    comes_from_go((), "null", "c0");
    comes_from_go(Unit, r#"{"A":1,"B":{"C":[2]}}"#, "82 a141 01 a142 81 a143 91 02");
    assert!(json_error::<()>("5").contains("expected unit"));
    crosses(None::<i32>, "null", "c0");
    crosses(Some(0), "0", "00");
}

// ---- Structs and enums ----------------------------------------------------------------------

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Point {
    x: i64,
    y: i64,
}

/// In Go:
///
/// ```go
/// type Point struct{ X, Y int }
/// type Empty struct{}
/// type Everything struct {
///     B bool; I8 int8; I64 int64; U8 uint8; U64 uint64; F32 float32; F64 float64
///     Text string; Bytes []byte; Fixed [4]byte; List []int; Nums map[string][]int
///     ByNum map[int]string; Inner Point; Ptr, NilPtr *Point; Unit Empty; UserId string
/// }
/// ```
#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Everything {
    b: bool,
    i8: i8,
    i64: i64,
    u8: u8,
    u64: u64,
    f32: f32,
    f64: f64,
    text: String,
    bytes: Vec<u8>,
    fixed: [u8; 4],
    list: Vec<i32>,
    nums: BTreeMap<String, Vec<i32>>,
    by_num: BTreeMap<i32, String>,
    inner: Point,
    ptr: Option<Box<Point>>,
    nil_ptr: Option<Box<Point>>,
    unit: (),
    user_id: String,
}

fn everything() -> Everything {
    Everything {
        b: true,
        i8: -128,
        i64: i64::MIN,
        u8: 255,
        u64: u64::MAX,
        f32: 1.5,
        f64: -0.25,
        text: "grüß\n\"".into(),
        bytes: vec![0, 255, 0x80],
        fixed: [1, 2, 3, 255],
        list: vec![1, 200, -200],
        nums: BTreeMap::from([("a".into(), vec![1])]),
        by_num: BTreeMap::from([(7, "x".into())]),
        inner: Point { x: 3, y: 4 },
        ptr: Some(Box::new(Point { x: 5, y: 6 })),
        nil_ptr: None,
        unit: (),
        user_id: "u".into(),
    }
}

const EVERYTHING: [&str; 2] = [
    r#"{"B":true,"I8":-128,"I64":-9223372036854775808,"U8":255,"U64":18446744073709551615,"F32":1.5,"F64":-0.25,"Text":"grüß\n\"","Bytes":"AP+A","Fixed":[1,2,3,255],"List":[1,200,-200],"Nums":{"a":[1]},"ByNum":{"7":"x"},"Inner":{"X":3,"Y":4},"Ptr":{"X":5,"Y":6},"NilPtr":null,"Unit":{},"UserId":"u"}"#,
    "de0012a142c3a542794e756d8107a178a54279746573a300ff80a3463332ca3fc00000a3463634cbbfd0000000000000a54669786564a4010203ffa3493634d38000000000000000a24938d080a5496e6e657282a15803a15904a44c6973749301ccc8d1ff38a64e696c507472c0a44e756d7381a1619101a350747282a15805a15906a454657874a86772c3bcc39f0a22a3553634cfffffffffffffffffa25538ccffa4556e697480a6557365724964a175",
];

const ZERO_EVERYTHING: [&str; 2] = [
    r#"{"B":false,"I8":0,"I64":0,"U8":0,"U64":0,"F32":0,"F64":0,"Text":"","Bytes":null,"Fixed":[0,0,0,0],"List":null,"Nums":null,"ByNum":null,"Inner":{"X":0,"Y":0},"Ptr":null,"NilPtr":null,"Unit":{},"UserId":""}"#,
    "de0012a142c2a542794e756dc0a54279746573c0a3463332ca00000000a3463634cb0000000000000000a54669786564a400000000a349363400a2493800a5496e6e657282a15800a15900a44c697374c0a64e696c507472c0a44e756d73c0a3507472c0a454657874a0a355363400a2553800a4556e697480a6557365724964a0",
];

#[test]
fn structs_cross_under_gos_names() {
    crosses(Point { x: 1, y: -2 }, r#"{"X":1,"Y":-2}"#, "82 a158 01 a159 fe");
    comes_from_go(everything(), EVERYTHING[0], EVERYTHING[1]);
    assert_eq!(to_json(&everything()), EVERYTHING[0]);
    round_trip(&everything());
}

#[test]
fn gos_zero_value_is_ours() {
    comes_from_go(Everything::default(), ZERO_EVERYTHING[0], ZERO_EVERYTHING[1]);
    comes_from_go(Everything::default(), "{}", "80");
    comes_from_go(Everything::default(), "null", "c0");
}

#[test]
fn names_are_matched_regardless_of_case_and_underscores() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Names {
        user_id: i32,
        #[serde(rename = "URL")]
        url: i32,
        #[serde(rename = "big_endian", alias = "BE")]
        endian: i32,
        r#type: i32,
    }
    let names = Names { user_id: 1, url: 2, endian: 3, r#type: 4 };
    assert_eq!(to_json(&names), r#"{"UserId":1,"URL":2,"BigEndian":3,"Type":4}"#);
    round_trip(&names);
    for text in [
        r#"{"UserID":1,"Url":2,"bigendian":3,"type":4}"#,
        r#"{"user_id":1,"url":2,"BE":3,"TYPE":4,"Unknown":[{"x":null}]}"#,
    ] {
        assert_eq!(from_json::<Names>(text), names);
    }
    assert_eq!(from_json::<Names>(r#"{"URL":2}"#).url, 2);
    let by_index = hex("84 00 01 01 02 02 03 04 04");
    assert_eq!(from_msgpack::<Names>(&by_index).url, 2, "serde's own, for structs keyed by number");
    let as_array = hex("94 01 02 03 04");
    assert_eq!(from_msgpack::<Names>(&as_array), names, "`codec:\",toarray\"`");
}

#[test]
fn two_names_for_one_field_are_an_error() {
    assert!(json_error::<Point>(r#"{"X":1,"x":2,"Y":3}"#).contains("duplicate field `x`"));
    assert!(msgpack_error::<Point>(b"\x82\xa1X\x01\xa1X\x01").contains("duplicate field `x`"));
}

#[test]
fn unknown_names_are_refused_where_the_type_says_so() {
    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        a: i32,
    }
    assert_eq!(from_json::<Strict>(r#"{"A":1}"#), Strict { a: 1 });
    assert!(json_error::<Strict>(r#"{"A":1,"B":2}"#).contains("unknown field `B`"));
    assert!(json_error::<Strict>(r#"{"\u0042":2}"#).contains("unknown field `B`"));
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Shape {
    Dot,
    Circle(f64),
    Line(Point, Point),
    Text { font_size: u8, the_text: String },
}

#[test]
fn enums_cross() {
    crosses(Shape::Dot, r#""Dot""#, "a3446f74");
    crosses(Shape::Circle(1.5), r#"{"Circle":1.5}"#, "81 a6436972636c65 cb3ff8000000000000");
    crosses(
        Shape::Line(Point { x: 1, y: 2 }, Point { x: 3, y: 4 }),
        r#"{"Line":[{"X":1,"Y":2},{"X":3,"Y":4}]}"#,
        "81 a44c696e65 92 82a15801a15902 82a15803a15904",
    );
    crosses(
        Shape::Text { font_size: 9, the_text: "x".into() },
        r#"{"Text":{"FontSize":9,"TheText":"x"}}"#,
        "81 a454657874 82 a8466f6e7453697a65 09 a754686554657874 a178",
    );
    round_trip(&vec![Shape::Dot, Shape::Circle(0.0), Shape::Dot]);
    // As Go's constants are.
    comes_from_go(Shape::Dot, "0", "00");
    comes_from_go(Shape::Dot, r#"{"Dot":null}"#, "81 a3446f74 c0");
    comes_from_go(Shape::Dot, r#"{"Dot":{}}"#, "81 a3446f74 80");
    comes_from_go(
        Shape::Text { font_size: 0, the_text: "x".into() },
        r#"{"Text":{"thetext":"x","font_size":null}}"#,
        "81 a454657874 81 a754686554657874 a178",
    );
    for (text, expected) in [
        ("1", "newtype variant"),
        ("9", "invalid value"),
        ("-1", "invalid type"),
        (r#""Circle""#, "newtype variant"),
        (r#""Square""#, "unknown variant"),
        ("{}", "exactly one variant"),
        (r#"{"Dot":null,"Circle":1}"#, "exactly one variant"),
        ("[]", "invalid type"),
        ("true", "invalid type"),
    ] {
        assert!(json_error::<Shape>(text).contains(expected), "{}", json_error::<Shape>(text));
    }
}

#[test]
fn newtypes_and_options_are_what_is_in_them() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Meters(f64);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Key(Vec<u8>);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Wrapped(Option<Point>);
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Pair(u8, String);
    crosses(Meters(1.5), "1.5", "cb3ff8000000000000");
    crosses(Key(vec![1]), r#""AQ==""#, "a101");
    crosses(Wrapped(Some(Point { x: 1, y: 2 })), r#"{"X":1,"Y":2}"#, "82a15801a15902");
    crosses(Wrapped(None), "null", "c0");
    crosses(Pair(1, "x".into()), r#"[1,"x"]"#, "92 01 a178");
    comes_from_go(Pair(0, String::new()), "null", "c0");
    comes_from_go(Meters(0.0), "null", "c0");
}

#[test]
fn an_option_that_would_never_read_anything_ends() {
    #[derive(Deserialize, Debug)]
    struct Chain(#[allow(dead_code)] Option<Box<Chain>>);
    assert!(matches!(json::decode::<Chain>(b"1"), Err(DecodeError::TooDeep)));
    assert!(matches!(msgpack::decode::<Chain>(b"\x01"), Err(DecodeError::TooDeep)));
}

#[test]
fn what_serde_buffers_crosses_with_names_that_fit() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Untagged {
        Number(i32),
        #[serde(rename_all = "PascalCase")]
        Named {
            first_name: String,
            at: Option<Point>,
        },
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(tag = "Kind", rename_all_fields = "PascalCase")]
    enum Tagged {
        Full { some_text: String },
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Flat {
        #[serde(rename = "Id")]
        id: i32,
        #[serde(flatten)]
        rest: BTreeMap<String, i32>,
    }
    round_trip(&vec![Untagged::Number(1), Untagged::Named { first_name: "x".into(), at: None }]);
    crosses(
        Tagged::Full { some_text: "x".into() },
        r#"{"Kind":"Full","SomeText":"x"}"#,
        "82 a44b696e64 a446756c6c a8536f6d6554657874 a178",
    );
    crosses(
        Flat { id: 1, rest: BTreeMap::from([("some_key".into(), 2)]) },
        r#"{"Id":1,"some_key":2}"#,
        "82 a24964 01 a8736f6d655f6b6579 02",
    );
    comes_from_go(
        Flat { id: 0, rest: BTreeMap::from([("x".into(), 2)]) },
        r#"{"x":2}"#,
        "81 a178 02",
    );
    // Bytes that are not text can only be bytes.
    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Either {
        Bytes(Vec<u8>),
    }
    assert_eq!(from_msgpack::<Either>(b"\xc4\x01a"), Either::Bytes(vec![b'a']));
    assert_eq!(from_msgpack::<Either>(b"\xa1\xff"), Either::Bytes(vec![255]));
}

#[test]
fn anything_is_read_as_what_it_is() {
    let value: serde_json::Value = from_json(r#"{"a":[1,-2,1.5,"x",null,true]}"#);
    assert_eq!(value, serde_json::json!({"a": [1, -2, 1.5, "x", null, true]}));
    assert_eq!(to_json(&value), r#"{"a":[1,-2,1.5,"x",null,true]}"#);
    let value: serde_json::Value = from_msgpack(&to_msgpack(&value));
    assert_eq!(value, serde_json::json!({"a": [1, -2, 1.5, "x", null, true]}));
    assert_eq!(from_msgpack::<(IgnoredAny, i32)>(&hex("92 d6 ff 00000000 01")).1, 1);
    assert!(msgpack_error::<i32>(&hex("d6 ff 00000000")).contains("extension type"));
}

// ---- Missing, nil and zero ------------------------------------------------------------------

#[test]
fn nil_is_zero_wherever_something_was_expected() {
    macro_rules! zero {
        ($($type:ty = $zero:expr),* $(,)?) => {$(
            let zero = || -> $type { $zero };
            assert_eq!(from_json::<$type>("null"), zero());
            assert_eq!(from_msgpack::<$type>(b"\xc0"), zero());
            assert_eq!(from_json::<($type, u8)>("[null,7]"), (zero(), 7));
            assert_eq!(from_json::<BTreeMap<u8, $type>>(r#"{"1":null}"#)[&1], zero());
            assert_eq!(from_msgpack::<Vec<$type>>(b"\x91\xc0"), [zero()]);
        )*};
    }
    zero! {
        bool = false, i8 = 0, i16 = 0, i32 = 0, i64 = 0, i128 = 0, u8 = 0, u16 = 0, u32 = 0,
        u64 = 0, u128 = 0, f32 = 0.0, f64 = 0.0, char = '\0', String = String::new(),
        Vec<u8> = vec![], Vec<i32> = vec![], [u8; 2] = [0, 0], (u8, String) = (0, String::new()),
        BTreeMap<String, i32> = BTreeMap::new(), Point = Point::default(), () = (),
        Option<i32> = None, Option<Vec<u8>> = None, &str = "", Box<Point> = Box::default(),
    }
    assert_eq!(from_json::<&[u8]>("null"), b"");
}

fn five() -> i32 {
    5
}

#[derive(Deserialize, PartialEq, Debug)]
struct Partly {
    required: i32,
    #[serde(default = "five")]
    five: i32,
    #[serde(default)]
    default: i32,
    option: Option<i32>,
    text: String,
    inner: Point,
}

#[test]
fn a_field_that_was_not_sent_is_serdes_default_or_else_zero() {
    let partly = Partly {
        required: 0,
        five: 5,
        default: 0,
        option: None,
        text: String::new(),
        inner: Point::default(),
    };
    comes_from_go(partly, "{}", "80");
    let partly: Vec<Partly> =
        from_json(r#"[{"Required":1,"Text":"x"},{"Five":6,"Inner":{"Y":2}},null]"#);
    assert_eq!((partly[0].required, partly[0].five, &*partly[0].text), (1, 5, "x"));
    assert_eq!((partly[1].required, partly[1].five), (0, 6));
    assert_eq!(partly[1].inner, Point { x: 0, y: 2 });
    assert_eq!(partly[2].text, "");
}

/// More fields than are found one at a time; defaults beside them do not count then.
#[test]
fn many_fields_that_were_not_sent_are_zero() {
    #[derive(Deserialize, PartialEq, Debug, Default)]
    struct Many {
        a: i32,
        b: i32,
        c: i32,
        d: i32,
        e: i32,
        f: i32,
        g: i32,
        h: i32,
        i: i32,
        j: i32,
        k: i32,
        last: Option<String>,
    }
    comes_from_go(Many::default(), "{}", "80");
    comes_from_go(Many { k: 1, ..Many::default() }, r#"{"K":1}"#, "81 a14b 01");
    let many: Vec<Many> = from_json(r#"[{},{"A":1,"last":"x"},{"B":2}]"#);
    assert_eq!((many[1].a, many[1].last.as_deref(), many[2].b), (1, Some("x"), 2));

    #[derive(Deserialize, PartialEq, Debug, Default)]
    struct Flat {
        a: i32,
        b: i32,
        c: i32,
        d: i32,
        e: i32,
        f: i32,
        g: i32,
        h: i32,
        i: i32,
        j: i32,
        #[serde(flatten)]
        rest: BTreeMap<String, i32>,
    }
    let flat: Vec<Flat> = from_json(r#"[{},{"a":1,"x":2}]"#);
    assert_eq!(flat[0], Flat::default());
    assert_eq!((flat[1].a, &flat[1].rest), (1, &BTreeMap::from([("x".into(), 2)])));
}

#[test]
fn fields_that_zero_cannot_fill_are_an_error() {
    #[derive(Debug)]
    struct Never;
    impl<'de> Deserialize<'de> for Never {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::missing_field("never"))
        }
    }
    #[derive(Deserialize, Debug)]
    #[allow(dead_code)]
    struct Outer {
        inner: Never,
    }
    assert!(json_error::<Outer>("{}").contains("missing field `never`"));
    assert!(json_error::<Never>("{}").contains("missing field `never`"));
    assert!(msgpack_error::<Vec<Outer>>(b"\x91\x80").contains("missing field `never`"));
}

// ---- Recorded bodies ------------------------------------------------------------------------

/// Bodies of recorded connections between Go programs: `net/rpc/jsonrpc`, HashiCorp's
/// `net-rpc-msgpackrpc` and ugorji's codec.
#[test]
fn recorded_bodies_are_read() {
    #[derive(Deserialize, Serialize, PartialEq, Debug)]
    struct Args {
        a: i64,
        b: i64,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    struct Text {
        text: String,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Request {
        seq: u64,
        service_method: String,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Response {
        error: String,
        seq: u64,
        service_method: String,
    }
    crosses(Args { a: 7, b: 8 }, r#"{"A":7,"B":8}"#, "82 a141 07 a142 08");
    comes_from_go(Args { a: 0, b: 0 }, r#"{"X":"x"}"#, "81 a158 a178");
    comes_from_go(Text { text: "go go".into() }, r#"{"Text":"go go"}"#, "81a454657874a5676f20676f");
    comes_from_go(BTreeMap::from([("go".to_owned(), 2)]), r#"{"go":2}"#, "81a2676f02");
    comes_from_go(String::new(), "null", "c0");

    let request = Request { seq: 0, service_method: "Words.WordCount".into() };
    let hashicorp = "82a353657100ad536572766963654d6574686f64af576f7264732e576f7264436f756e74";
    let ugorji = "82ad536572766963654d6574686f64af576f7264732e576f7264436f756e74a353657100";
    assert_eq!(to_msgpack(&request), hex(hashicorp), "as HashiCorp's writes it");
    assert_eq!(from_msgpack::<Request>(&hex(hashicorp)), request);
    assert_eq!(from_msgpack::<Request>(&hex(ugorji)), request);
    let response =
        Response { error: "divide by zero".into(), seq: 0, service_method: "Arith.Divide".into() };
    let hashicorp = "83a54572726f72ae646976696465206279207a65726fa353657100ad536572766963654d6574686f64ac41726974682e446976696465";
    assert_eq!(to_msgpack(&response), hex(hashicorp), "as HashiCorp's writes it");
    assert_eq!(from_msgpack::<Response>(&hex(hashicorp)), response);
}

// ---- Limits and hostile bytes ---------------------------------------------------------------

/// A list of lists, this many levels of them.
#[derive(Debug, PartialEq)]
struct Nested(usize);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => serializer.collect_seq([0i32; 0]),
            levels => serializer.collect_seq([Nested(levels - 1)]),
        }
    }
}

#[test]
fn nesting_ends_at_64_levels() {
    let (mut text, mut bytes) = (Vec::new(), Vec::new());
    json::encode(&mut text, &Nested(MAX_DEPTH)).unwrap();
    msgpack::encode(&mut bytes, &Nested(MAX_DEPTH)).unwrap();
    json::decode::<IgnoredAny>(&text).unwrap();
    json::decode::<serde_json::Value>(&text).unwrap();
    msgpack::decode::<IgnoredAny>(&bytes).unwrap();
    msgpack::Scanner::new().feed(&bytes).unwrap();

    let (mut out, deeper) = (b"kept".to_vec(), Nested(MAX_DEPTH + 1));
    assert!(matches!(json::encode(&mut out, &deeper), Err(EncodeError::TooDeep)));
    assert!(matches!(msgpack::encode(&mut out, &deeper), Err(EncodeError::TooDeep)));
    assert_eq!(out, b"kept");
    let deeper = ["[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1)].concat();
    assert!(matches!(json::decode::<IgnoredAny>(deeper.as_bytes()), Err(DecodeError::TooDeep)));
    assert!(matches!(
        json::decode::<serde_json::Value>(r#"{"a":"#.repeat(65).as_bytes()),
        Err(DecodeError::TooDeep)
    ));
    for level in [&b"\x91"[..], b"\x81\x01"] {
        let deeper = level.repeat(MAX_DEPTH + 2);
        assert!(matches!(msgpack::decode::<IgnoredAny>(&deeper), Err(DecodeError::TooDeep)));
        // Its end can be found, so that it costs nobody but its caller.
        assert!(msgpack::Scanner::new().feed(&deeper).is_ok());
        let deepest = level.repeat(MAX_SCAN_DEPTH + 1);
        assert_eq!(msgpack::Scanner::new().feed(&deepest), Err(ScanError::TooDeep));
    }
    // An enum with data is a level, an empty struct as well.
    #[derive(Serialize, Deserialize, Debug)]
    enum Tree {
        Leaf(()),
        Node(Box<Tree>),
    }
    let tree = |levels| (0..levels).fold(Tree::Leaf(()), |tree, _| Tree::Node(Box::new(tree)));
    let fits = tree(MAX_DEPTH - 2);
    json::decode::<Tree>(to_json(&fits).as_bytes()).unwrap();
    msgpack::decode::<Tree>(&to_msgpack(&fits)).unwrap();
    assert!(matches!(json::encode(&mut out, &tree(MAX_DEPTH - 1)), Err(EncodeError::TooDeep)));
    // The stack holds where the type does not end.
    json::decode::<serde_json::Value>("[".repeat(1 << 20).as_bytes()).unwrap_err();
    msgpack::decode::<serde_json::Value>(&[0x91; 1 << 20]).unwrap_err();
}

#[test]
fn a_body_is_one_value() {
    assert!(matches!(json::decode::<i32>(b""), Err(DecodeError::Empty)));
    assert!(matches!(json::decode::<i32>(b" \r\n\t"), Err(DecodeError::Empty)));
    assert!(matches!(msgpack::decode::<i32>(b""), Err(DecodeError::Empty)));
    assert_eq!(from_json::<i32>(" \r\n\t1 \n"), 1);
    assert!(matches!(json::decode::<i32>(b"1 2"), Err(DecodeError::Trailing)));
    assert!(matches!(json::decode::<i32>(b"1x"), Err(DecodeError::Trailing)));
    assert!(matches!(json::decode::<Vec<i32>>(b"[1]]"), Err(DecodeError::Trailing)));
    assert!(matches!(msgpack::decode::<i32>(b"\x01\x02"), Err(DecodeError::Trailing)));
    let (text, bytes) = (to_json(&everything()), to_msgpack(&everything()));
    for end in 1..text.len() {
        let cut = json::decode::<Everything>(&text.as_bytes()[..end]);
        assert!(matches!(cut, Err(DecodeError::Truncated)), "{} {cut:?}", &text[..end.min(3)]);
        json::decode::<IgnoredAny>(&text.as_bytes()[..end]).unwrap_err();
    }
    for end in 1..bytes.len() {
        let cut = msgpack::decode::<Everything>(&bytes[..end]);
        assert!(matches!(cut, Err(DecodeError::Truncated)), "{end} {cut:?}");
        msgpack::decode::<IgnoredAny>(&bytes[..end]).unwrap_err();
    }
}

#[test]
fn claims_about_lengths_are_not_believed() {
    for claim in ["dd ffffffff", "df ffffffff", "df 80000000", "dc ffff 01", "9f 00", "81 00"] {
        let body = hex(claim);
        assert!(matches!(msgpack::decode::<Vec<u64>>(&body), Err(DecodeError::Truncated)));
        assert!(matches!(msgpack::decode::<IgnoredAny>(&body), Err(DecodeError::Truncated)));
        assert!(matches!(msgpack::decode::<BTreeMap<u8, u8>>(&body), Err(DecodeError::Truncated)));
    }
    for claim in ["db ffffffff", "c6 ffffffff", "c9 ffffffff", "d9 ff", "d8 00 00"] {
        assert!(matches!(msgpack::decode::<Vec<u8>>(&hex(claim)), Err(DecodeError::Truncated)));
        assert!(matches!(msgpack::decode::<String>(&hex(claim)), Err(DecodeError::Truncated)));
        assert!(matches!(msgpack::decode::<IgnoredAny>(&hex(claim)), Err(DecodeError::Truncated)));
    }
    // Each level of a nest of claims is believed no more than what is left.
    let nest: Vec<u8> = std::iter::repeat_n(hex("dd 00001000"), 63).flatten().collect();
    msgpack::decode::<serde_json::Value>(&nest).unwrap_err();
}

#[test]
fn malformed_bytes_are_told_where() {
    assert!(msgpack_error::<IgnoredAny>(b"\xc1").contains("c1 means nothing"));
    for (text, at) in [
        ("[1 2]", "`,` or `]` at byte 3"),
        (r#"{"a" 1}"#, "`:` at byte 5"),
        (r#"{"a":1 "b":2}"#, "`,` or `}` at byte 7"),
        ("[1,]", "a value at byte 3"),
        (r#"{"a":1,}"#, "a key at byte 7"),
        ("{,}", "a key at byte 1"),
        ("[,]", "a value at byte 1"),
        ("nul!", "null at byte 0"),
        ("GET / HTTP/1.0", "a value at byte 0"),
        ("-x", "a digit at byte 1"),
        ("1.x", "a digit at byte 2"),
        ("1e+x", "a digit at byte 3"),
        (".5", "a value at byte 0"),
        ("+1", "a value at byte 0"),
        ("'a'", "a value at byte 0"),
    ] {
        let error = json_error::<serde_json::Value>(text);
        assert!(error.contains(at), "{text}: {error}");
    }
}

/// xorshift64*: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Changes, drops, doubles or inserts some bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>, alphabet: &[u8]) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1));
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = self.next() as u8,
                1 if at < bytes.len() => bytes[at] = self.pick(alphabet),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.insert(at, self.pick(alphabet)),
                _ => bytes.truncate(at),
            }
        }
    }

    /// Any value, this deep at the most.
    fn value(&mut self, depth: usize) -> serde_json::Value {
        let kinds = if depth == 0 { 6 } else { 8 };
        match self.below(kinds) {
            0 => serde_json::Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => (self.next() >> self.below(64)).into(),
            3 => ((self.next() as i64) >> self.below(64)).into(),
            4 => f64::from((self.next() as i16) >> self.below(16)).mul_add(0.25, 0.125).into(),
            5 => self.text().into(),
            6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => (0..self.below(4)).map(|_| (self.text(), self.value(depth - 1))).collect(),
        }
    }

    fn text(&mut self) -> String {
        let alphabet = ['a', 'B', '_', '"', '\\', 'ß', '😀', '\n', '\u{0}', ' ', '}', ']'];
        (0..self.below(6)).map(|_| self.pick(&alphabet)).collect()
    }
}

const JSON_ALPHABET: &[u8] = br#"{}[]",:0123456789-+.eEtruefalsn\ ux"#;
const MSGPACK_ALPHABET: &[u8] =
    b"\x00\x81\x91\xa1\xc0\xc1\xc2\xc4\xc7\xca\xcf\xd0\xd4\xd9\xda\xdb\xdc\xdd\xde\xdf\xff\x82\x92";

/// What serde_json makes of a text, for comparison. Its floats may be off in the last place.
fn is_alike(ours: &serde_json::Value, theirs: &serde_json::Value) -> bool {
    use serde_json::Value::*;
    match (ours, theirs) {
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_alike(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && is_alike(a.1, b.1))
        }
        (Number(a), Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= b.abs() * 1e-15
        }
        (a, b) => a == b,
    }
}

#[test]
fn json_is_what_serde_json_takes_for_it() {
    let mut random = Random(0x6A73_6F6E);
    let (mut same, mut wrong) = (0, 0);
    for _ in 0..40_000 {
        let mut text = serde_json::to_vec(&random.value(4)).unwrap();
        if random.below(4) > 0 {
            random.mutate(&mut text, JSON_ALPHABET);
        }
        let theirs = serde_json::from_slice::<serde_json::Value>(&text);
        let ours = json::decode::<serde_json::Value>(&text);
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert!(is_alike(ours, theirs), "{}: {ours}", String::from_utf8_lossy(&text));
                assert_eq!(to_json(ours), serde_json::to_string(ours).unwrap());
                same += 1;
            }
            (Err(_), Err(_)) => wrong += 1,
            _ => panic!("{}: {ours:?}, {theirs:?}", String::from_utf8_lossy(&text)),
        }
        // What can be read, the scanner finds the end of.
        if ours.is_ok() {
            let mut scanner = json::Scanner::new();
            let fed = scanner.feed(&text).unwrap();
            assert!(scanner.is_whole(), "{}", String::from_utf8_lossy(&text));
            assert!(text[fed.taken..].iter().all(u8::is_ascii_whitespace));
        }
    }
    assert!(same > 8_000 && wrong > 8_000, "{same} {wrong}");
}

#[test]
fn hostile_json_is_read_or_refused() {
    let mut random = Random(0x686F_7374);
    let seed = to_json(&everything()).into_bytes();
    for _ in 0..40_000 {
        let mut text = match random.below(3) {
            0 => (0..random.below(40)).map(|_| random.pick(JSON_ALPHABET)).collect(),
            1 => (0..random.below(40)).map(|_| random.next() as u8).collect(),
            _ => seed.clone(),
        };
        random.mutate(&mut text, JSON_ALPHABET);
        let _ = json::decode::<Everything>(&text);
        let _ = json::decode::<Vec<Partly>>(&text);
        let _ = json::decode::<Shape>(&text);
        let _ = json::decode::<BTreeMap<i32, Vec<u8>>>(&text);
        let _ = json::decode::<(Cow<'_, str>, Option<Vec<u8>>)>(&text);
        if json::decode::<IgnoredAny>(&text).is_ok() {
            assert!(json::Scanner::new().feed(&text).is_ok());
        }
        agree(&mut random, &text, json::Scanner::new, json::Scanner::feed, json::Scanner::taken);
    }
}

#[test]
fn hostile_messagepack_is_read_or_refused() {
    let mut random = Random(0x6D73_6770);
    let seed = to_msgpack(&everything());
    let mut whole = 0;
    for _ in 0..60_000 {
        let mut bytes = match random.below(4) {
            0 => (0..random.below(40)).map(|_| random.pick(MSGPACK_ALPHABET)).collect(),
            1 => (0..random.below(40)).map(|_| random.next() as u8).collect(),
            2 => to_msgpack(&random.value(4)),
            _ => seed.clone(),
        };
        random.mutate(&mut bytes, MSGPACK_ALPHABET);
        let _ = msgpack::decode::<Everything>(&bytes);
        let _ = msgpack::decode::<Vec<Partly>>(&bytes);
        let _ = msgpack::decode::<Shape>(&bytes);
        let _ = msgpack::decode::<BTreeMap<i32, Vec<u8>>>(&bytes);
        let _ = msgpack::decode::<(Cow<'_, str>, Option<&[u8]>)>(&bytes);
        // The scanner and the decoder find the same end.
        let mut scanner = msgpack::Scanner::new();
        let fed = scanner.feed(&bytes);
        match (msgpack::decode::<IgnoredAny>(&bytes), fed) {
            (Ok(_), Ok(Fed { taken, done: true })) => {
                assert_eq!(taken, bytes.len());
                whole += 1;
            }
            (Err(DecodeError::Trailing), Ok(Fed { taken, done: true })) => {
                assert!(taken < bytes.len());
                msgpack::decode::<IgnoredAny>(&bytes[..taken]).unwrap();
            }
            (Err(DecodeError::Truncated), Ok(Fed { taken, done: false })) => {
                assert_eq!(taken, bytes.len());
                assert!(scanner.needed() > 0);
            }
            (Err(DecodeError::Empty), Ok(_)) if bytes.is_empty() => {}
            // A claim that cannot be true ends the decoder before the scanner comes to what is
            // wrong.
            (Err(DecodeError::Truncated), Err(_)) => {}
            (Err(DecodeError::TooDeep), _) => {}
            (Err(DecodeError::Mismatch(_)), Err(ScanError::Malformed { .. })) => {}
            (decoded, scanned) => panic!("{bytes:02x?}: {decoded:?} {scanned:?}"),
        }
        let new = msgpack::Scanner::new;
        agree(&mut random, &bytes, new, msgpack::Scanner::feed, msgpack::Scanner::taken);
    }
    assert!(whole > 5_000, "{whole}");
}

// ---- Scanners -------------------------------------------------------------------------------

/// A scanner fed in chunks comes to the same end as one fed at once.
fn agree<S>(
    random: &mut Random,
    bytes: &[u8],
    new: impl Fn() -> S,
    feed: impl Fn(&mut S, &[u8]) -> Result<Fed, ScanError>,
    taken: impl Fn(&S) -> u64,
) {
    let mut at_once = new();
    let expected = feed(&mut at_once, bytes);
    for largest in [1, 2, 7, 30] {
        let mut scanner = new();
        let (mut at, mut last) = (0, Ok(Fed { taken: 0, done: false }));
        while at < bytes.len() {
            let end = bytes.len().min(at + 1 + random.below(largest));
            last = feed(&mut scanner, &bytes[at..end]);
            let Ok(fed) = last else { break };
            at += fed.taken;
            if fed.done {
                break;
            }
            assert_eq!(at, end, "all of the chunk, or the value is complete");
        }
        match (expected, last) {
            (Ok(expected), Ok(fed)) => {
                assert_eq!((at, fed.done), (expected.taken, expected.done));
                assert_eq!(taken(&scanner), taken(&at_once));
            }
            (Err(expected), Err(error)) => {
                assert_eq!(error, expected);
                assert_eq!(feed(&mut scanner, b"1"), Err(error), "from then on");
            }
            (expected, last) => panic!("{bytes:02x?}: {expected:?} {last:?}"),
        }
    }
}

#[test]
fn values_that_follow_one_another_are_told_apart() {
    let mut random = Random(0x7363_616E);
    for _ in 0..2_000 {
        let values: Vec<_> = (0..4).map(|_| random.value(4)).collect();
        let texts: Vec<Vec<u8>> =
            values.iter().map(|value| [b" \n", &*to_json(value).into_bytes()].concat()).collect();
        let stream = texts.concat();
        let mut left = &stream[..];
        for text in &texts {
            let mut scanner = json::Scanner::new();
            let fed = scanner.feed(left).unwrap();
            assert!(scanner.is_whole());
            assert_eq!(&left[..fed.taken], text);
            left = &left[fed.taken..];
        }
        let bodies: Vec<_> = values.iter().map(to_msgpack).collect();
        let stream = bodies.concat();
        let mut left = &stream[..];
        for body in &bodies {
            let mut scanner = msgpack::Scanner::new();
            let fed = scanner.feed(left).unwrap();
            assert_eq!((&left[..fed.taken], fed.done), (&body[..], true));
            assert_eq!(scanner.needed(), 0);
            left = &left[fed.taken..];
        }
        // What is said to be needed never is too much.
        let mut scanner = msgpack::Scanner::new();
        for at in 0..bodies[0].len() {
            let left = (bodies[0].len() - at) as u64;
            assert!((1..=left).contains(&scanner.needed()), "{} of {left}", scanner.needed());
            scanner.feed(&bodies[0][at..at + 1]).unwrap();
        }
    }
}

#[test]
fn a_growing_buffer_is_not_scanned_twice() {
    let request = b"{\"method\":\"A.B\",\"params\":[\"}\\\"\"],\"id\":0}";
    let stream = [&request[..], b"\n{\"next"].concat();
    let mut scanner = json::Scanner::new();
    for end in 0..request.len() {
        assert_eq!(scanner.scan(&stream[..end]), Ok(None));
        assert_eq!(scanner.taken(), end as u64);
    }
    assert_eq!(scanner.scan(&stream), Ok(Some(request.len())));
    assert_eq!(scanner.scan(&stream), Ok(Some(request.len())), "and again");

    let body = to_msgpack(&everything());
    let mut scanner = msgpack::Scanner::new();
    assert_eq!(scanner.scan(&body[..10]), Ok(None));
    assert_eq!(scanner.scan(&body), Ok(Some(body.len())));
    assert_eq!(scanner.feed(b"\x01"), Ok(Fed { taken: 0, done: true }));
}

#[test]
fn what_cannot_begin_a_value_is_refused_at_once() {
    for (text, at) in [
        ("GET / HTTP/1.0", 0),
        (" \n]", 2),
        ("{id:1}", 1),
        ("{1:1}", 1),
        ("{,", 1),
        ("[,", 1),
        ("[1,]", 3),
        ("{\"a\":1,}", 7),
        ("{\"a\",", 4),
        ("{\"a\":}", 5),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("[\"\n", 2),
        ("[\"\\x", 3),
        ("trve", 2),
        ("[1 2", 3),
        ("\u{feff}{}", 0),
    ] {
        let mut scanner = json::Scanner::new();
        assert_eq!(scanner.feed(text.as_bytes()), Err(ScanError::Malformed { at }), "{text}");
        assert_eq!(scanner.feed(b"{}"), Err(ScanError::Malformed { at }), "from then on");
    }
    let mut scanner = msgpack::Scanner::new();
    assert_eq!(scanner.feed(b"\x92\x01\xc1"), Err(ScanError::Malformed { at: 2 }));
    assert_eq!(scanner.feed(b"\x01"), Err(ScanError::Malformed { at: 2 }), "from then on");
}

#[test]
fn an_envelope_may_be_around_a_body() {
    let body = to_json(&Nested(MAX_DEPTH));
    let request = format!(r#"{{"params":[{body}]}}"#);
    assert!(json::Scanner::new().feed(request.as_bytes()).unwrap().done);
    let deepest = "[".repeat(MAX_SCAN_DEPTH + 1);
    assert_eq!(json::Scanner::new().feed(deepest.as_bytes()), Err(ScanError::TooDeep));
}

#[test]
fn numbers_end_where_something_else_begins() {
    let mut scanner = json::Scanner::new();
    assert_eq!(scanner.feed(b"12"), Ok(Fed { taken: 2, done: false }));
    assert!(scanner.is_whole());
    assert_eq!(scanner.feed(b"3 "), Ok(Fed { taken: 1, done: true }));
    let mut scanner = json::Scanner::new();
    scanner.feed(b"[12").unwrap();
    assert!(!scanner.is_whole());
}

/// Four gigabytes that never come cost nothing, and those that do are not looked at.
#[test]
fn what_is_dropped_as_it_arrives_needs_no_memory() {
    let mut scanner = msgpack::Scanner::new();
    scanner.feed(&hex("92 db ffffffff")).unwrap();
    assert_eq!(scanner.needed(), 0xFFFF_FFFF + 1);
    let chunk = vec![0xC1; 1 << 20];
    for _ in 0..4095 {
        assert_eq!(scanner.feed(&chunk), Ok(Fed { taken: 1 << 20, done: false }));
    }
    let fed = scanner.feed(&chunk[1..]).unwrap();
    assert_eq!((fed.taken, fed.done), ((1 << 20) - 1, false));
    assert_eq!(scanner.needed(), 1);
    assert!(scanner.feed(b"\x00").unwrap().done);
    assert_eq!(scanner.taken(), 6 + 0xFFFF_FFFF + 1);

    let mut scanner = msgpack::Scanner::new();
    scanner.feed(&hex("dd ffffffff df ffffffff")).unwrap();
    assert_eq!(scanner.needed(), 0xFFFF_FFFE + 2 * 0xFFFF_FFFF);
}
