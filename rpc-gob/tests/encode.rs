//! What type a value has on the wire, and what cannot be sent.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
};

use common::hex;
use netrpc_gob::{Decoder, EncodeError, Encoder, Limits, detached, from_slice, to_vec};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser::SerializeSeq as _};

/// The messages of a stream, without their lengths.
fn messages(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = stream;
    let mut messages = Vec::new();
    while let Some((len, after)) = rest.split_first() {
        let (message, after) = after.split_at(usize::from(*len));
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

/// How many definitions there are in a stream.
fn definitions(stream: &[u8]) -> usize {
    messages(stream).iter().filter(|message| message[0] == 0xFF && message[1] % 2 == 1).count()
}

fn round<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) -> Vec<u8> {
    let gob = to_vec(&value).unwrap_or_else(|error| panic!("{value:?}: {error:?}"));
    let back: T = from_slice(&gob).unwrap_or_else(|error| panic!("{error:?}: {}", hex(&gob)));
    assert_eq!(back, value);
    gob
}

#[track_caller]
fn refused<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = b"before".to_vec();
    let error = detached::encode(&mut out, value).expect_err("it cannot be expressed");
    assert_eq!(out, b"before");
    error.to_string()
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default, Clone)]
struct Fields {
    a: i64,
    list: Vec<Item>,
    map: BTreeMap<String, Item>,
    option: Option<Item>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default, Clone)]
struct Item {
    n: u8,
}

#[test]
fn a_field_whose_type_is_not_known_holds_its_place_until_it_is() {
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    let mut values = vec![
        Fields { a: 1, ..Fields::default() },
        Fields { a: 2, list: vec![Item { n: 1 }], ..Fields::default() },
        Fields { a: 3, option: Some(Item { n: 0 }), ..Fields::default() },
        Fields { a: 4, map: BTreeMap::from([("k".into(), Item { n: 1 })]), ..Fields::default() },
    ];
    values.extend(values.clone());
    values.reverse();
    values.swap(0, 3);
    let mut counts = Vec::new();
    for value in &values {
        encoder.encode(value, &mut stream).unwrap();
        counts.push(definitions(&stream));
    }
    // Fields and as much of Item, []Item and map[string]Item as it takes.
    assert!(
        counts.is_sorted() && counts[3..].iter().all(|count| *count == counts[3]),
        "{counts:?}"
    );
    let placeholder = b"\x01\x01_\x01\x02\x00";
    let first = &messages(&stream)[0];
    assert_eq!(first.windows(6).filter(|bytes| bytes == placeholder).count(), 3, "{}", hex(first));

    let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    for value in &values {
        assert_eq!(&decoder.decode::<Fields>(&mut input).unwrap(), value);
    }
}

#[test]
fn a_struct_of_which_nothing_is_known_has_no_fields() {
    #[derive(Serialize)]
    struct List {
        items: Vec<Item>,
    }
    // Go refuses one that has only such as it does not know.
    let gob = to_vec(&List { items: vec![] }).unwrap();
    assert_eq!(messages(&gob)[0], b"\xFF\x81\x03\x01\x01\x04List\x01\xFF\x82\x00\x00\x00");
}

#[test]
fn a_type_gets_wider_once_for_each_field_at_most() {
    #[derive(Serialize)]
    struct Wide<'a>(#[serde(serialize_with = "fields")] &'a [bool]);

    fn fields<S: Serializer>(set: &&[bool], serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let mut out = serializer.serialize_struct("Wide", 10)?;
        for (name, set) in NAMES.iter().zip(*set) {
            out.serialize_field(name, &Maybe(*set))?;
        }
        out.end()
    }

    struct Maybe(bool);

    impl Serialize for Maybe {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 { serializer.serialize_i8(1) } else { serializer.serialize_none() }
        }
    }

    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    for pattern in (0..1024).chain(0..1024) {
        let set: Vec<bool> = (0..10).map(|bit| pattern >> bit & 1 == 1).collect();
        encoder.encode(&Wide(&set), &mut stream).unwrap();
    }
    assert!(definitions(&stream) <= 11, "{}", definitions(&stream));
}

#[test]
fn standard_types_are_known_by_their_names() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
    struct Known {
        a: Option<String>,
        b: Vec<i64>,
        c: HashMap<String, Vec<u8>>,
        d: Option<Box<f32>>,
        e: Vec<u8>,
    }
    let empty = round(Known::default());
    let all = messages(&empty);
    assert!(!all[0].windows(3).any(|bytes| bytes == b"\x01\x01_"), "{}", hex(&all[0]));
    let full = Known {
        a: Some("a".into()),
        b: vec![1],
        c: HashMap::from([("k".into(), vec![1])]),
        d: Some(Box::new(0.5)),
        e: vec![1],
    };
    let full = messages(&round(full));
    assert_eq!(all[..all.len() - 1], full[..full.len() - 1], "the definitions are the same");
}

#[test]
fn nothing_of_a_type_is_of_the_type_that_it_has_in_rust() {
    // Of each the definition is the same as if there were something.
    fn same<T: Serialize + ?Sized>(empty: &T, full: &T) {
        let (empty, full) = (messages(&to_vec(empty).unwrap()), messages(&to_vec(full).unwrap()));
        assert_eq!(empty.split_last().unwrap().1, full.split_last().unwrap().1);
        let id = |messages: &[Vec<u8>]| messages.last().unwrap()[..2].to_vec();
        assert!(empty.len() == 1 || id(&empty) == id(&full));
    }
    same::<Vec<String>>(&vec![], &vec!["a".into()]);
    same::<[f64]>(&[], &[1.0]);
    same::<Vec<Vec<bool>>>(&vec![vec![]], &vec![vec![true]]);
    same(&HashMap::from([("k", Vec::<u16>::new())]), &HashMap::from([("k", vec![1_u16])]));
    same::<BTreeMap<String, i64>>(&BTreeMap::new(), &BTreeMap::from([("k".into(), 1)]));
    same::<BTreeSet<(u8, u8)>>(&BTreeSet::new(), &BTreeSet::from([(1, 2)]));
    same::<Vec<Option<&str>>>(&vec![], &vec![Some("a")]);
    same::<[Vec<Box<u32>>; 2]>(&[vec![], vec![]], &[vec![Box::new(1)], vec![]]);

    #[derive(Serialize)]
    struct Newtype(Vec<String>);
    same(&Newtype(vec![]), &Newtype(vec!["a".into()]));
    same(&vec![Newtype(vec![])], &vec![Newtype(vec!["a".into()])]);
    same(&Some(Newtype(vec![])), &Some(Newtype(vec!["a".into()])));

    // A type of one's own is taken for a struct.
    let gob = to_vec(&Vec::<Item>::new()).unwrap();
    assert!(messages(&gob)[1].starts_with(b"\xFF\x81\x03\x01\x02\xFF\x82\x00"), "{}", hex(&gob));
}

#[test]
fn some_zero_is_sent_and_none_is_not() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Options {
        a: Option<i64>,
        b: Option<String>,
        c: Option<Vec<i64>>,
        d: Option<()>,
        e: Option<bool>,
    }
    let zeros = Options {
        a: Some(0),
        b: Some(String::new()),
        c: Some(vec![]),
        d: Some(()),
        e: Some(false),
    };
    assert!(round(zeros).ends_with(b"\x01\x00\x01\x00\x01\x00\x01\x00\x01\x00\x00"));
    let gob = round(Options { a: None, b: None, c: None, d: None, e: None });
    assert!(gob.ends_with(b"\x03\xFF\x82\x00"));
}

#[test]
fn negative_zero_is_no_zero() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Floats {
        a: f64,
        b: f32,
    }
    let back: Floats = from_slice(&to_vec(&Floats { a: -0.0, b: -0.0 }).unwrap()).unwrap();
    assert!(back.a.is_sign_negative() && back.b.is_sign_negative());
    round(Floats { a: f64::MAX, b: f32::MIN_POSITIVE });
}

#[test]
fn bytes_are_bytes_wherever_they_are() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Byte(u8);
    assert_eq!(round(vec![1_u8, 200]), [5, 10, 0, 2, 1, 200]);
    assert_eq!(to_vec(&BTreeSet::from([1_u8, 200])).unwrap(), [5, 10, 0, 2, 1, 200]);
    assert_eq!(to_vec(&[Byte(200), Byte(1)][..]).unwrap(), [5, 10, 0, 2, 200, 1]);
    // As in Go, where a pointer to a byte is none.
    assert_eq!(messages(&round(vec![Some(1_u8), Some(200)]))[1], b"\xFF\x82\x00\x02\x01\xFF\xC8");

    /// A byte now and then.
    #[derive(Clone, Copy)]
    struct Sometimes(u16);

    impl Serialize for Sometimes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match u8::try_from(self.0) {
                Ok(byte) => serializer.serialize_u8(byte),
                Err(_) => serializer.serialize_u16(self.0),
            }
        }
    }
    let expected = to_vec(&vec![1_u16, 200, 300, 2]).unwrap();
    let [a, b, c, d] = [1, 200, 300, 2].map(Sometimes);
    assert_eq!(to_vec(&vec![a, b, c, d]).unwrap(), expected);

    struct OneByOne([Sometimes; 4]);

    impl Serialize for OneByOne {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(None)?;
            for element in &self.0 {
                seq.serialize_element(element)?;
            }
            seq.end()
        }
    }
    assert_eq!(to_vec(&OneByOne([a, b, c, d])).unwrap(), expected);
}

#[test]
fn sequences_of_unknown_length() {
    struct Count(u32);

    impl Serialize for Count {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..self.0).filter(|n| n % 2 == 0))
        }
    }
    for n in [0, 1, 10, 1000] {
        let back: Vec<u32> = from_slice(&to_vec(&Count(n)).unwrap()).unwrap();
        assert_eq!(back, (0..n).step_by(2).collect::<Vec<_>>());
    }

    struct Lies;

    impl Serialize for Lies {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(2))?;
            seq.serialize_element(&1)?;
            seq.end()
        }
    }
    assert_eq!(refused(&Lies), "the value cannot be encoded");
}

#[test]
fn tuples_are_arrays_if_they_can_be() {
    assert!(to_vec(&(1_i8, 2_i64)).unwrap().starts_with(&to_vec(&[1_i64, 2]).unwrap()));
    round((1_u8, "a".to_owned(), vec![1_i64], (2_i8, 3_i8), 0.0, String::new()));
    round((0_i64, Some(5_i64), None::<i64>));
    round((0_i64, None::<i64>, Some(0_i64)));
    round((vec![(1, "a".to_owned()), (0, String::new())],));
    round((Some(vec![1_i64]), vec!["a".to_owned()]));
    // An Option among others is what it is, be it set or not.
    let definitions = |gob: Vec<u8>| {
        let mut all = messages(&gob);
        all.pop();
        all
    };
    assert_eq!(definitions(round((1_i64, Some(2_i64)))), definitions(round((1_i64, None::<i64>))),);
    assert!(refused(&[Some(1), None]).starts_with("gob has no nil"));
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Tuple(i64, String, Option<Box<Tuple>>);
    round(Tuple(1, "a".into(), Some(Box::new(Tuple(0, String::new(), None)))));
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct NoFields();
    assert!(round(NoFields()).ends_with(b"\x03\xFF\x82\x00"));
    round([[1_i64, 2], [3, 4]]);
    round(<[i64; 0]>::default());
}

#[test]
fn enums() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    enum Shape {
        Empty(()),
        Circle { radius: f64 },
        Square(f64),
        Rectangle(f64, f64),
        Mixed(i64, String),
        Many(Vec<Shape>),
        Maybe(Option<i64>),
    }
    let shapes = vec![
        Shape::Empty(()),
        Shape::Circle { radius: 0.0 },
        Shape::Square(0.0),
        Shape::Rectangle(1.0, 0.0),
        Shape::Mixed(1, "a".into()),
        Shape::Many(vec![]),
        Shape::Many(vec![Shape::Square(1.0), Shape::Many(vec![Shape::Empty(())])]),
        Shape::Maybe(Some(0)),
    ];
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    for shape in &shapes {
        round(shape.clone());
        encoder.encode(shape, &mut stream).unwrap();
    }
    round(shapes.clone());
    round(BTreeMap::from([("a".to_owned(), shapes.clone())]));
    let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    for shape in &shapes {
        assert_eq!(&decoder.decode::<Shape>(&mut input).unwrap(), shape);
    }
    assert!(refused(&Shape::Maybe(None)).starts_with("gob has no nil"));

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    enum Both {
        Unit,
        Data(i64),
    }
    round(Both::Unit);
    round(Both::Data(0));
    assert_eq!(
        refused(&[Both::Unit, Both::Data(1)]),
        "gob has one type for all elements: variants of `Both` without data are strings in Go and \
         those with data are structs (hint: give every variant data, `()` at least: `Variant(())`)"
    );
    refused(&vec![Both::Data(1), Both::Unit]);
    refused(&BTreeMap::from([(1, Both::Unit), (2, Both::Data(1))]));
    // Apart they are two types of one stream.
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    encoder.encode(&Some(Both::Unit), &mut stream).unwrap();
    encoder.encode(&(1, Both::Data(1)), &mut stream).unwrap();
    encoder.encode(&(1, Both::Unit), &mut stream).unwrap();
    round(Result::<i64, String>::Ok(0));
    round(Result::<i64, String>::Err("e".into()));
}

#[test]
fn what_is_of_several_types_cannot_be_sent() {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Json {
        Int(i64),
        Text(&'static str),
        List(Vec<Json>),
    }
    assert_eq!(
        refused(&vec![Json::Int(1), Json::Text("a")]),
        "gob has one type for all elements: found `int` and `string`"
    );
    assert_eq!(
        refused(&vec![Json::List(vec![Json::Int(1)]), Json::List(vec![Json::Text("a")])]),
        "gob has one type for all elements: found `[]int` and `[]string`"
    );
    refused(&vec![Json::List(vec![]), Json::Int(1)]);
    refused(&HashMap::from([(1, Json::Int(1)), (2, Json::Text("a"))]));
    refused(&[Json::Int(1), Json::Text("a")]);
    to_vec(&vec![Json::List(vec![]), Json::List(vec![Json::Int(1)])]).unwrap();
    // Not of one type in Rust, and none of them a sequence in Go: a struct.
    to_vec(&(Json::Int(1), "a")).unwrap();
}

#[test]
fn what_gob_has_no_room_for() {
    assert!(
        matches!(to_vec(&u128::MAX), Err(EncodeError::TooWide(n)) if n == u128::MAX.to_string())
    );
    assert!(matches!(to_vec(&i128::MIN), Err(EncodeError::TooWide(_))));
    assert!(matches!(to_vec(&vec![Some(1), None]), Err(EncodeError::Nil)));
    assert!(matches!(to_vec(&BTreeMap::from([(1, None::<i64>)])), Err(EncodeError::Nil)));

    struct Deep(usize);

    impl Serialize for Deep {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(usize::from(self.0 > 0)))?;
            if self.0 > 0 {
                seq.serialize_element(&Deep(self.0 - 1))?;
            }
            seq.end()
        }
    }
    to_vec(&Deep(63)).unwrap();
    assert!(matches!(to_vec(&Deep(64)), Err(EncodeError::TooDeep)));
}

#[test]
fn top_level_none_is_an_empty_struct_where_one_could_be_expected() {
    assert_eq!(to_vec(&None::<Item>).unwrap(), to_vec(&()).unwrap());
    assert!(matches!(to_vec(&None::<i64>), Err(EncodeError::Nil)));
    assert!(matches!(to_vec(&None::<String>), Err(EncodeError::Nil)));
    assert!(matches!(to_vec(&None::<Vec<Item>>), Err(EncodeError::Nil)));
    round(None::<Item>);
    round(Some(Item { n: 0 }));
    round(Some(0));
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Unit;
    round(Unit);
    round(Some(Unit));
}

#[test]
fn recursive_types_are_defined_once() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    struct Tree {
        value: i64,
        children: Vec<Tree>,
        by_name: BTreeMap<String, Tree>,
        left: Option<Box<Tree>>,
    }
    let mut tree = Tree { value: 1, children: vec![], by_name: BTreeMap::new(), left: None };
    for value in 0..10 {
        let mut next = tree.clone();
        next.value = value;
        next.by_name.clear();
        match value % 3 {
            0 => next.children = vec![tree.clone(), tree],
            1 => next.left = Some(Box::new(tree)),
            _ => next.by_name = BTreeMap::from([("k".into(), tree)]),
        }
        tree = next;
        tree.children.truncate(2);
    }
    let gob = to_vec(&tree).unwrap();
    assert_eq!(from_slice::<Tree>(&gob).unwrap(), tree);
    let mut decoder = Decoder::new(Limits::new());
    decoder.decode::<Tree>(&mut gob.as_slice()).unwrap();
    // Tree, []Tree, map[string]Tree.
    assert_eq!(decoder.types().len(), 3);

    // Two that contain each other.
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct A {
        b: Option<Box<B>>,
        c: Option<Box<B>>,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct B {
        a: Vec<A>,
        n: i64,
    }
    let b = |a: Vec<A>| Some(Box::new(B { a, n: 1 }));
    let leaf = A { b: None, c: b(vec![]) };
    let gob = round(A { b: b(vec![leaf, A { b: b(vec![]), c: None }]), c: None });
    let mut decoder = Decoder::new(Limits::new());
    decoder.decode::<A>(&mut gob.as_slice()).unwrap();
    assert_eq!(decoder.types().len(), 3);
}

#[test]
fn generic_types_are_told_apart() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    struct Page<T> {
        items: Vec<T>,
        total: u64,
    }
    let page = |items: Vec<i64>| Page { items, total: 1 };
    round(Page { items: vec![page(vec![1]), page(vec![])], total: 2 });
    round(Page { items: vec![Page { items: vec![page(vec![1])], total: 1 }], total: 2 });

    // Also while they are empty.
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    encoder.encode(&Page { items: vec![Item { n: 1 }], total: 1 }, &mut stream).unwrap();
    let known = stream.len();
    encoder.encode(&Page { items: Vec::<Fields>::new(), total: 1 }, &mut stream).unwrap();
    assert_eq!(definitions(&stream[known..]), 1);
    encoder.encode(&Page { items: Vec::<Item>::new(), total: 1 }, &mut stream).unwrap();
    let known = stream.len();
    encoder.encode(&Box::new(Page { items: vec![Item { n: 1 }], total: 1 }), &mut stream).unwrap();
    assert_eq!(definitions(&stream[known..]), 0);
    // Two of one name that have nothing to do with each other.
    mod other {
        #[derive(serde::Serialize)]
        pub(crate) struct Item {
            pub(crate) n: String,
        }
    }
    let known = stream.len();
    encoder.encode(&(Item { n: 1 }, other::Item { n: "a".into() }), &mut stream).unwrap();
    encoder.encode(&(other::Item { n: "a".into() }, Item { n: 1 }), &mut stream).unwrap();
    assert_eq!(definitions(&stream[known..]), 3);
}

#[test]
fn fields_that_are_skipped_keep_their_place() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
    struct Skipping {
        #[serde(skip_serializing_if = "String::is_empty", default)]
        a: String,
        #[serde(skip)]
        b: i64,
        c: i64,
    }
    let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    for a in ["", "a", ""] {
        encoder.encode(&Skipping { a: a.into(), b: 0, c: 1 }, &mut stream).unwrap();
    }
    assert_eq!(definitions(&stream), 2, "one without, one with");
    let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
    for a in ["", "a", ""] {
        let back: Skipping = decoder.decode(&mut input).unwrap();
        assert_eq!(back, Skipping { a: a.into(), b: 0, c: 1 });
    }
}

#[test]
fn a_blob_is_good_for_any_stream_and_in_any_order() {
    let values: Vec<Fields> = (0..20)
        .map(|n| Fields {
            a: n,
            list: vec![Item { n: 1 }; (n % 3) as usize],
            option: (n % 4 == 0).then_some(Item { n: n as u8 }),
            ..Fields::default()
        })
        .collect();
    let blobs: Vec<Vec<u8>> = values
        .iter()
        .map(|value| {
            let mut blob = Vec::new();
            detached::encode(&mut blob, value).unwrap();
            blob
        })
        .collect();
    for step in [1, 3, 7, 9] {
        let order: Vec<usize> = (0..20).map(|at| at * step % 20).collect();
        let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
        for at in &order {
            encoder.write_detached(&blobs[*at], &mut stream).unwrap();
        }
        let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
        for at in &order {
            assert_eq!(decoder.decode::<Fields>(&mut input).unwrap(), values[*at]);
        }
    }
}

#[test]
fn what_is_no_blob_is_refused_and_changes_nothing() {
    let (mut encoder, mut out) = (Encoder::new(), b"before".to_vec());
    let mut blob = Vec::new();
    detached::encode(&mut blob, &Fields { list: vec![Item { n: 1 }], ..Fields::default() })
        .unwrap();
    for len in 0..4 + usize::from(blob[0]) {
        let error = encoder.write_detached(&blob[..len], &mut out).unwrap_err();
        assert!(matches!(error, EncodeError::NotDetached));
    }
    for at in 4..4 + usize::from(blob[0]) {
        let mut blob = blob.clone();
        for byte in [0, 8, 13, 0xFF] {
            blob[at] = byte;
            let mut out = Vec::new();
            if Encoder::new().write_detached(&blob, &mut out).is_err() {
                assert!(out.is_empty());
            }
        }
    }
    assert_eq!(out, b"before");
    encoder.write_detached(&blob, &mut out).unwrap();
}

#[test]
fn more_types_than_are_remembered() {
    /// Nested so deep, in ways of which there are many.
    struct Ways(u32);

    impl Serialize for Ways {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                0 => serializer.serialize_bool(true),
                n if n % 2 == 0 => serializer.collect_seq([Ways(n / 2)]),
                n => serializer.collect_map([(true, Ways(n / 2))]),
            }
        }
    }
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let mut failed = None;
    for n in 0..20_000 {
        out.clear();
        if let Err(error) = encoder.encode(&Ways(n), &mut out) {
            assert!(out.is_empty());
            failed = Some((n, error));
            break;
        }
    }
    let (n, error) = failed.expect("there is a limit");
    assert!(matches!(error, EncodeError::TooManyTypes(_)), "{error:?}");
    assert!(n > 9000, "{n}");
    // What is known is still known.
    encoder.encode(&Ways(5000), &mut out).unwrap();
    encoder.encode(&1, &mut out).unwrap();
}

#[test]
fn a_value_that_is_encoded_while_another_is() {
    struct Outer;

    impl Serialize for Outer {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&to_vec(&Item { n: 7 }).expect("it can be"))
        }
    }
    let inner: serde_bytes::ByteBuf = from_slice(&to_vec(&Outer).unwrap()).unwrap();
    assert_eq!(from_slice::<Item>(&inner).unwrap(), Item { n: 7 });
}
