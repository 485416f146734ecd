//! What a value may be decoded as, and what a field is that was not sent.

mod common;

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use netrpc_gob::{DecodeError, Decoder, Encoder, Limits, from_slice, to_vec};
use serde::{Deserialize, Serialize, de::IgnoredAny};

fn text(error: DecodeError) -> String {
    match error {
        DecodeError::Mismatch(cause) => cause.to_string(),
        error => error.to_string(),
    }
}

#[track_caller]
fn refused<'de, T: Deserialize<'de> + Debug>(gob: &'de [u8]) -> String {
    text(from_slice::<T>(gob).expect_err("it is no such value"))
}

#[test]
fn integers_of_any_width_if_they_fit() {
    let gob = to_vec(&300).unwrap();
    assert_eq!(from_slice::<u16>(&gob).unwrap(), 300);
    assert_eq!(from_slice::<i128>(&gob).unwrap(), 300);
    assert_eq!(from_slice::<u128>(&gob).unwrap(), 300);
    assert_eq!(from_slice::<f64>(&gob).unwrap(), 300.0);
    assert_eq!(refused::<u8>(&gob), "300 does not fit u8");
    assert_eq!(refused::<i8>(&gob), "300 does not fit i8");
    let gob = to_vec(&-129).unwrap();
    assert_eq!(refused::<i8>(&gob), "-129 does not fit i8");
    assert_eq!(refused::<u64>(&gob), "-129 does not fit u64");
    assert_eq!(refused::<u128>(&gob), "-129 does not fit u128");
    assert_eq!(from_slice::<i16>(&gob).unwrap(), -129);
    let gob = to_vec(&u64::MAX).unwrap();
    assert_eq!(refused::<i64>(&gob), "18446744073709551615 does not fit i64");
    assert_eq!(from_slice::<i128>(&gob).unwrap(), i128::from(u64::MAX));
    for value in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
        let gob = to_vec(&value).unwrap();
        assert_eq!(from_slice::<i64>(&gob).unwrap(), value);
        assert_eq!(from_slice::<i32>(&gob).ok(), i32::try_from(value).ok());
        assert_eq!(from_slice::<u64>(&gob).ok(), u64::try_from(value).ok());
    }
    for value in [0, 127, 128, 255, 256, u64::MAX] {
        let gob = to_vec(&value).unwrap();
        assert_eq!(from_slice::<u8>(&gob).ok(), u8::try_from(value).ok());
        assert_eq!(from_slice::<i8>(&gob).ok(), i8::try_from(value).ok());
    }
}

#[test]
fn floats() {
    assert_eq!(from_slice::<f32>(&to_vec(&0.5).unwrap()).unwrap(), 0.5);
    assert_eq!(refused::<f32>(&to_vec(&1e300).unwrap()), "1e300 does not fit f32");
    assert_eq!(from_slice::<f32>(&to_vec(&f64::INFINITY).unwrap()).unwrap(), f32::INFINITY);
    refused::<i64>(&to_vec(&1.0).unwrap());
}

#[test]
fn strings_and_bytes_are_borrowed() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Put<'a> {
        key: &'a str,
        #[serde(borrow)]
        cow: Cow<'a, str>,
        value: &'a [u8],
    }
    let put = Put { key: "k", cow: "c".into(), value: &[1, 2] };
    let gob = to_vec(&put).unwrap();
    let back: Put<'_> = from_slice(&gob).unwrap();
    assert_eq!(back, put);
    assert!(
        matches!(back.cow, Cow::Borrowed(_)) && gob.as_ptr_range().contains(&back.key.as_ptr())
    );
    let empty = Put { key: "", cow: "".into(), value: &[] };
    assert_eq!(from_slice::<Put<'_>>(&to_vec(&empty).unwrap()).unwrap(), empty);

    let text = to_vec("hi").unwrap();
    assert_eq!(from_slice::<&[u8]>(&text).unwrap(), b"hi");
    assert_eq!(from_slice::<Vec<u8>>(&text).unwrap(), b"hi");
    assert_eq!(from_slice::<char>(&to_vec("h").unwrap()).unwrap(), 'h');
    let bytes = to_vec(&b"hi".to_vec()).unwrap();
    assert_eq!(from_slice::<&str>(&bytes).unwrap(), "hi");
    assert_eq!(from_slice::<String>(&bytes).unwrap(), "hi");
    assert_eq!(from_slice::<Vec<u32>>(&bytes).unwrap(), [104, 105]);
    assert_eq!(from_slice::<[u8; 2]>(&bytes).unwrap(), *b"hi");
    assert_eq!(refused::<[u8; 1]>(&bytes), "2 bytes where 1 were expected");
    refused::<[u8; 3]>(&bytes);
    let not_text = to_vec(&vec![0xFF_u8]).unwrap();
    assert_eq!(refused::<String>(&not_text), "a string that is not UTF-8");
}

#[test]
fn sequences_have_as_many_elements_as_they_should() {
    let gob = to_vec(&vec![1, 2, 3]).unwrap();
    assert_eq!(from_slice::<(i8, u8, i64)>(&gob).unwrap(), (1, 2, 3));
    assert_eq!(refused::<[i64; 2]>(&gob), "3 elements where 2 were expected");
    refused::<[i64; 4]>(&gob);
    refused::<String>(&gob);
    refused::<BTreeMap<i64, i64>>(&gob);
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Old {
    a: i64,
    gone: Vec<Gone>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Gone {
    x: BTreeMap<String, Vec<f64>>,
}

fn ten() -> i64 {
    10
}

#[derive(Deserialize, PartialEq, Debug)]
struct New {
    added: String,
    a: i64,
    list: Vec<i64>,
    inner: Inner,
    choice: Choice,
    #[serde(default = "ten")]
    ten: i64,
    option: Option<i64>,
}

#[derive(Deserialize, PartialEq, Debug, Default)]
struct Inner {
    deep: [bool; 2],
}

#[derive(Deserialize, PartialEq, Debug)]
enum Choice {
    First,
    Second,
}

#[test]
fn what_the_sender_does_not_know_is_zero_unless_it_has_a_default() {
    let old = Old { a: 7, gone: vec![Gone { x: BTreeMap::from([("k".into(), vec![1.0])]) }] };
    let new = New {
        added: String::new(),
        a: 7,
        list: vec![],
        inner: Inner::default(),
        choice: Choice::First,
        ten: 10,
        option: None,
    };
    let gob = to_vec(&old).unwrap();
    assert_eq!(from_slice::<New>(&gob).unwrap(), new);
    let gob = to_vec(&vec![old]).unwrap();
    assert_eq!(from_slice::<Vec<New>>(&gob).unwrap(), [new]);
    // The second of a stream is read at once.
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    for a in 0..3 {
        encoder.encode(&Old { a, gone: vec![] }, &mut stream).unwrap();
    }
    let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    for a in 0..3 {
        let new = decoder.decode::<New>(&mut input).unwrap();
        assert_eq!((new.a, new.ten), (a, 10));
    }
}

/// Bug: what one struct had been found to lack was taken for what another of the same field names
/// lacks, which has a default for it, or asks for more.
#[test]
fn structs_that_differ_in_their_defaults_only() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Both {
        a: i64,
        ten: i64,
        more: i64,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    struct One {
        a: i64,
        #[serde(default = "ten")]
        ten: i64,
        more: i64,
    }
    let gob = to_vec(&Old { a: 1, gone: vec![] }).unwrap();
    let (mut decoder, mut buf) =
        (Decoder::new(Limits::new()), bytes::BytesMut::from(gob.as_slice()));
    let Ok(Some(netrpc_gob::Message::Value { bytes, .. })) = decoder.next(&mut buf) else {
        panic!("no value");
    };
    for _ in 0..2 {
        let one = decoder.types().decode::<One>(&bytes).unwrap();
        assert_eq!(one, One { a: 1, ten: 10, more: 0 });
        let both = decoder.types().decode::<Both>(&bytes).unwrap();
        assert_eq!(both, Both { a: 1, ten: 0, more: 0 });
    }
}

#[test]
fn what_the_sender_knows_and_left_out_is_zero_despite_a_default() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct WithDefault {
        #[serde(default = "ten")]
        a: i64,
    }
    let gob = to_vec(&Old::default()).unwrap();
    assert_eq!(from_slice::<WithDefault>(&gob).unwrap().a, 0);
}

#[test]
fn many_fields_that_the_sender_does_not_know() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Many {
        a: i64,
        b: i64,
        c: i64,
        d: i64,
        e: i64,
        f: i64,
        g: i64,
        h: i64,
        i: i64,
        j: i64,
        k: String,
    }
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    encoder.encode(&Old { a: 1, gone: vec![] }, &mut stream).unwrap();
    encoder.encode(&Old { a: 2, gone: vec![] }, &mut stream).unwrap();
    let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    for a in 1..3 {
        assert_eq!(decoder.decode::<Many>(&mut input).unwrap().a, a);
    }
}

#[test]
fn nothing_in_common_is_an_error_as_in_go() {
    #[derive(Serialize)]
    struct WrongArgs {
        x: i64,
    }
    let gob = to_vec(&WrongArgs { x: 1 }).unwrap();
    assert_eq!(
        refused::<Inner>(&gob),
        "no fields matched: `WrongArgs` has X, and deep were expected"
    );
    assert_eq!(from_slice::<()>(&gob).unwrap(), ());
    // Nothing at all is anything.
    assert_eq!(from_slice::<Inner>(&to_vec(&()).unwrap()).unwrap(), Inner::default());
}

#[test]
fn fields_are_found_whatever_their_case() {
    #[derive(Serialize)]
    #[allow(non_snake_case)]
    struct Go {
        UserID: i64,
        UserName: &'static str,
        id: i64,
        ID: i64,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    struct Rust {
        user_name: String,
        #[serde(alias = "Whatever")]
        user_id: i64,
        id: i64,
    }
    let gob = to_vec(&Go { UserID: 1, UserName: "n", id: 2, ID: 3 }).unwrap();
    let rust: Rust = from_slice(&gob).unwrap();
    assert_eq!(rust, Rust { user_name: "n".into(), user_id: 1, id: 2 });
    #[derive(Deserialize, PartialEq, Debug)]
    struct Aliased {
        #[serde(alias = "UserName", alias = "name")]
        called: String,
        missing: i64,
    }
    let aliased: Aliased = from_slice(&gob).unwrap();
    assert_eq!(aliased, Aliased { called: "n".into(), missing: 0 });
}

#[test]
fn structs_as_maps_and_maps_as_structs() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Args {
        a: i64,
        long_name: i64,
    }
    let args = Args { a: 0, long_name: 2 };
    let map: BTreeMap<String, i64> = from_slice(&to_vec(&args).unwrap()).unwrap();
    assert_eq!(map, BTreeMap::from([("A".into(), 0), ("LongName".into(), 2)]));
    let map = BTreeMap::from([("a", 0), ("LongName", 2), ("Other", 3)]);
    assert_eq!(from_slice::<Args>(&to_vec(&map).unwrap()).unwrap(), args);
    assert_eq!(from_slice::<Args>(&to_vec(&vec![0, 2]).unwrap()).unwrap(), args);
}

#[test]
fn what_serde_buffers() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(rename_all = "PascalCase")]
    struct Flat {
        a: i64,
        #[serde(flatten)]
        more: More,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(rename_all = "PascalCase")]
    struct More {
        b: i64,
        bytes: Vec<u8>,
    }
    #[derive(Serialize)]
    struct Sent {
        a: i64,
        b: i64,
        bytes: Vec<u8>,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Untagged {
        Text(String),
        Bytes(Vec<u8>),
        More(More),
    }
    for bytes in [vec![], vec![1, 200]] {
        let gob = to_vec(&Sent { a: 1, b: 0, bytes: bytes.clone() }).unwrap();
        let more = || More { b: 0, bytes: bytes.clone() };
        assert_eq!(from_slice::<Flat>(&gob).unwrap(), Flat { a: 1, more: more() });
        assert_eq!(from_slice::<Untagged>(&gob).unwrap(), Untagged::More(more()));
    }
    let gob = to_vec(&vec![1_u8]).unwrap();
    assert_eq!(from_slice::<Untagged>(&gob).unwrap(), Untagged::Bytes(vec![1]));
    assert_eq!(from_slice::<Untagged>(&to_vec("a").unwrap()).unwrap(), Untagged::Text("a".into()));
}

#[test]
fn enums_by_name_and_number() {
    assert_eq!(from_slice::<Choice>(&to_vec("Second").unwrap()).unwrap(), Choice::Second);
    assert_eq!(from_slice::<Choice>(&to_vec("SECOND").unwrap()).unwrap(), Choice::Second);
    assert_eq!(from_slice::<Choice>(&to_vec(&1).unwrap()).unwrap(), Choice::Second);
    assert_eq!(from_slice::<Choice>(&to_vec(&0_u8).unwrap()).unwrap(), Choice::First);
    assert!(refused::<Choice>(&to_vec("Third").unwrap()).contains("unknown variant `Third`"));
    assert!(refused::<Choice>(&to_vec(&2).unwrap()).contains("variant index"));
    assert_eq!(refused::<Choice>(&to_vec(&-1).unwrap()), "-1 is no variant of Choice");
    refused::<Choice>(&to_vec(&1.0).unwrap());

    #[derive(Deserialize, PartialEq, Debug)]
    enum Shape {
        Circle(f64),
        Nothing,
    }
    #[derive(Serialize)]
    struct Go {
        circle: Option<f64>,
        nothing: Option<()>,
    }
    let gob = to_vec(&Go { circle: Some(0.0), nothing: None }).unwrap();
    assert_eq!(from_slice::<Shape>(&gob).unwrap(), Shape::Circle(0.0));
    let gob = to_vec(&Go { circle: None, nothing: Some(()) }).unwrap();
    assert_eq!(from_slice::<Shape>(&gob).unwrap(), Shape::Nothing);
    let gob = to_vec(&Go { circle: Some(1.0), nothing: Some(()) }).unwrap();
    assert_eq!(refused::<Shape>(&gob), "more than one variant of Shape is set");
    let gob = to_vec(&Go { circle: None, nothing: None }).unwrap();
    assert_eq!(refused::<Shape>(&gob), "no variant of Shape is set");
    assert_eq!(
        refused::<Shape>(&to_vec("Circle").unwrap()),
        "the variant has data in Rust and came without"
    );
}

#[test]
fn an_error_says_where() {
    #[derive(Serialize)]
    struct Outer<T> {
        list: Vec<T>,
    }
    #[derive(Deserialize, Debug)]
    #[allow(dead_code)]
    struct Read {
        list: Vec<Deeper>,
    }
    #[derive(Deserialize, Serialize, Debug)]
    struct Deeper {
        n: u8,
    }
    #[derive(Serialize)]
    struct Sent {
        n: i64,
    }
    let gob = to_vec(&Outer { list: vec![Sent { n: 300 }] }).unwrap();
    assert_eq!(refused::<Read>(&gob), "List.N: 300 does not fit u8");
}

#[test]
fn what_is_not_asked_for_is_skipped() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Little {
        last: i64,
    }
    #[derive(Serialize)]
    struct Much {
        a: (i64, String, Vec<BTreeMap<String, [f64; 2]>>),
        b: Option<Box<Much>>,
        c: netrpc_gob::complex::Complex,
        d: netrpc_gob::time::GoTime,
        last: i64,
    }
    let much = |b| Much {
        a: (1, "a".into(), vec![BTreeMap::from([("k".into(), [1.0, 2.0])])]),
        b,
        c: netrpc_gob::complex::Complex { re: 1.0, im: 2.0 },
        d: netrpc_gob::time::GoTime::default(),
        last: 7,
    };
    let gob = to_vec(&much(Some(Box::new(much(None))))).unwrap();
    assert_eq!(from_slice::<Little>(&gob).unwrap(), Little { last: 7 });
    from_slice::<IgnoredAny>(&gob).unwrap();
    assert_eq!(from_slice::<()>(&gob).unwrap(), ());
}

#[test]
fn an_option_is_there_unless_it_is_not() {
    assert_eq!(from_slice::<Option<i64>>(&to_vec(&0).unwrap()).unwrap(), Some(0));
    assert_eq!(from_slice::<Option<Option<i64>>>(&to_vec(&0).unwrap()).unwrap(), Some(Some(0)));

    #[derive(Deserialize, Debug)]
    struct Chain(#[allow(dead_code)] Option<Box<Chain>>);
    assert!(matches!(from_slice::<Chain>(&to_vec(&0).unwrap()), Err(DecodeError::TooDeep)));
}

#[test]
fn zero_of_everything() {
    use netrpc_gob::zero::Zero;
    use serde::de::value::Error;

    #[derive(Deserialize, Debug, PartialEq)]
    enum First {
        Data {
            n: (u8, Option<Box<First>>),
            list: Vec<First>,
        },
        #[allow(dead_code)]
        Other,
    }
    let zero = First::deserialize(Zero::<Error>::new()).unwrap();
    assert_eq!(zero, First::Data { n: (0, None), list: vec![] });

    #[derive(Deserialize, Debug)]
    struct Endless(#[allow(dead_code)] Box<Endless>);
    assert!(Endless::deserialize(Zero::<Error>::new()).is_err());
    #[derive(Deserialize, Debug)]
    #[allow(dead_code)]
    struct Fork {
        left: Box<Fork>,
        right: Box<Fork>,
    }
    assert!(Fork::deserialize(Zero::<Error>::new()).is_err());
    assert!(std::num::NonZeroU8::deserialize(Zero::<Error>::new()).is_err());
    assert_eq!(<[char; 2]>::deserialize(Zero::<Error>::new()).unwrap(), ['\0'; 2]);
    let map = BTreeMap::<String, i64>::deserialize(Zero::<Error>::new()).unwrap();
    assert!(map.is_empty());
}
