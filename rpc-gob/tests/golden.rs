//! Values of every kind, against Go's bytes for them; and Go, if it is here, against ours.
//!
//! `tests/vectors/golden.hex` is what `tests/go/golden.go` prints.

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    io::Write as _,
    process::{Command, Stdio},
};

use common::{Scratch, build_go, has_go, hex, unhex};
use netrpc_gob::{complex::Complex, from_slice, time::GoTime, to_vec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize, PartialEq, Debug, Default, Clone)]
struct Args {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Empty {}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Pair(String, i64);

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Everything {
    flag: bool,
    small: i8,
    byte: u8,
    big: u64,
    ratio: f32,
    name: String,
    data: Vec<u8>,
    #[serde(rename = "UserID")]
    user_id: u32,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Nested {
    args: Args,
    ptr: Option<Args>,
    list: Vec<Args>,
    map: BTreeMap<String, Args>,
    two: [Args; 2],
    num: Option<i64>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Tree {
    value: i64,
    children: Vec<Tree>,
    left: Option<Box<Tree>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Link {
    value: i64,
    next: Option<Box<Link>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Color {
    Green,
    Red,
}

/// Go numbers them.
#[derive(Deserialize, PartialEq, Debug)]
enum Weekday {
    Sunday,
    Monday,
    Tuesday,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Shape {
    Circle { radius: f64 },
    Square(f64),
    Line(f64, f64),
}

/// What Go registers by its name.
#[derive(Deserialize, PartialEq, Debug)]
enum Registered {
    Circle(Circle),
    Square { side: f64 },
    Inner { shape: Box<Registered> },
}

#[derive(Deserialize, PartialEq, Debug)]
struct Circle {
    radius: f64,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Any<T> {
    name: String,
    shape: T,
    last: i64,
}

/// Whatever is in it.
#[derive(Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Anything {
    Int(i64),
    Text(String),
    #[serde(rename_all = "PascalCase")]
    Circle {
        radius: f64,
    },
    #[serde(rename_all = "PascalCase")]
    Square {
        side: f64,
    },
    Ints(Vec<i64>),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Times {
    created: GoTime,
    updated: GoTime,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename = "$gob.GobEncoder:Int")]
struct Big(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename = "$gob.BinaryMarshaler:URL")]
struct Url(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
struct Page {
    items: Vec<String>,
    next: Option<Box<Page>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Lists {
    names: Vec<Vec<String>>,
    by_key: BTreeMap<String, Vec<i64>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Unexported {
    shown: i64,
}

/// How much of what we write is what Go writes.
#[derive(Clone, Copy, PartialEq)]
enum Ours {
    /// All of it.
    Same,
    /// The value; Go gives types in structs a name of which we know nothing, or in it more fields.
    SameValue,
    /// Nothing, but Go reads it.
    Read,
}
use Ours::{Read, Same, SameValue};

struct Golden {
    go: HashMap<String, Vec<u8>>,
    ours: Vec<(&'static str, Vec<u8>, Ours)>,
    decoded: usize,
}

impl Golden {
    fn decode<T: DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        let bytes = &self.go[name];
        let decoded: T = from_slice(bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(decoded, *value, "{name}: {}", hex(bytes));
        self.decoded += 1;
    }

    fn encode<T>(&mut self, name: &'static str, ours: Ours, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let bytes = to_vec(&value).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(from_slice::<T>(&bytes).expect("ours"), value, "{name}");
        self.ours.push((name, bytes, ours));
    }

    fn both<T>(&mut self, name: &'static str, ours: Ours, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.decode(name, &value);
        self.encode(name, ours, value);
    }
}

fn tree(value: i64, children: Vec<Tree>, left: Option<Tree>) -> Tree {
    Tree { value, children, left: left.map(Box::new) }
}

fn golden() -> Golden {
    let text = include_str!("vectors/golden.hex");
    let go = text.lines().map(|line| {
        let (name, bytes) = line.split_once(": ").expect("a name and bytes");
        (name.to_owned(), unhex(bytes))
    });
    let mut all = Golden { go: go.collect(), ours: Vec::new(), decoded: 0 };

    all.both("true", Same, true);
    all.both("false", Same, false);
    all.both("int 0", Same, 0_i8);
    all.both("int 7", Same, 7_i16);
    all.both("int -1", Same, -1_i32);
    all.both("int 63", Same, 63_i64);
    all.both("int 64", Same, 64_i64);
    all.both("int -64", Same, -64_i64);
    all.both("int -65", Same, -65_i64);
    all.both("int max", Same, i64::MAX);
    all.both("int min", Same, i64::MIN);
    all.both("int min", Same, i128::from(i64::MIN));
    all.both("int8 min", Same, i8::MIN);
    all.decode("int 7", &7_u8);
    all.both("uint 0", Same, 0_u8);
    all.both("uint 127", Same, 127_u8);
    all.both("uint 128", Same, 128_u8);
    all.both("uint 128", Same, 128_u32);
    all.both("uint max", Same, u64::MAX);
    all.both("uint max", Same, u128::from(u64::MAX));
    all.decode("uint 127", &127_i8);
    all.both("float 0", Same, 0.0);
    all.both("float 1.5", Same, 1.5);
    all.both("float 17", Same, 17.0_f32);
    all.both("float -0", Same, -0.0);
    assert!(from_slice::<f64>(&all.go["float -0"]).unwrap().is_sign_negative());
    all.both("float inf", Same, f64::INFINITY);
    all.both("float -inf", Same, f32::NEG_INFINITY);
    assert!(from_slice::<f64>(&all.go["float NaN"]).unwrap().is_nan());
    assert!(from_slice::<f32>(&all.go["float NaN"]).unwrap().is_nan());
    all.ours.push(("float NaN", to_vec(&f64::NAN).unwrap(), Read));
    all.both("float least", Same, f64::from_bits(1));
    all.both("float32 0.1", Same, 0.1_f32);
    all.both("complex", Same, Complex { re: 1.5, im: -2.0 });
    all.decode("complex", &(1.5, -2.0));
    all.both("string empty", Same, String::new());
    all.both("string hi", Same, "hi".to_owned());
    all.both("string utf8", Same, "日本".to_owned());
    all.decode("string not utf8", &vec![0xFF_u8, 0xFE]);
    all.decode("string not utf8", &serde_bytes::ByteBuf::from([0xFF, 0xFE]));
    all.both("bytes empty", Same, serde_bytes::ByteBuf::new());
    all.both("bytes", Same, vec![0_u8, 1, 127, 128, 255]);
    all.both("bytes", Same, serde_bytes::ByteBuf::from([0, 1, 127, 128, 255]));
    all.decode("bytes", &[0_u8, 1, 127, 128, 255]);
    all.decode("rune", &'ß');
    all.both("[]int", Same, vec![1_i64, -2, 3]);
    all.decode("[]int", &[1_i8, -2, 3]);
    all.decode("[]int", &(1_i8, -2_i64, 3_u16));
    all.both("[]int empty", Same, Vec::<i32>::new());
    all.both("[]uint16", Same, vec![1_u16, 65535]);
    all.both("[]string", Same, vec!["a".to_owned(), String::new(), "b".to_owned()]);
    all.both("[]bool", Same, vec![true, false]);
    all.both("[]float64", Same, vec![0.0, 0.5]);
    all.both("[][]byte", Same, vec![vec![1_u8], vec![], vec![2, 3]]);
    all.both("[][]int", Same, vec![vec![1_i64], vec![], vec![2, 3]]);
    all.both("[3]int", Same, [0_i32, 1, 0]);
    all.both("[3]int", Same, (0_i32, 1_i8, 0_i64));
    all.both("[4]byte", Same, [0_u8, 1, 128, 255]);
    all.both("map", Same, HashMap::from([("go".to_owned(), 2_i64)]));
    all.both("map empty", Same, HashMap::<String, i64>::new());
    all.both("map of lists", Same, BTreeMap::from([(-1, vec!["a".to_owned(), "b".to_owned()])]));
    all.both("map of bool", Same, BTreeMap::from([(true, 1_u8)]));
    all.both("args", Same, Args { a: 7, b: 8 });
    all.decode("args", &(7, 8));
    all.decode("args", &BTreeMap::from([("A".to_owned(), 7), ("B".to_owned(), 8)]));
    all.decode("args", &());
    all.both("args zero", Same, Args::default());
    all.decode("args zero", &(0, 0));
    all.decode("args zero", &BTreeMap::from([("A".to_owned(), 0), ("B".to_owned(), 0)]));
    all.both("args b", Same, Args { a: 0, b: -3 });
    let args = |a, b| Args { a, b };
    all.both("[]args", Same, vec![args(1, 2), args(0, 0), args(0, 3)]);
    all.both("empty", Same, Empty {});
    all.both("pair", Same, Pair("a".into(), 1));
    all.decode("pair", &("a".to_owned(), 1));
    let everything = Everything {
        flag: true,
        small: -128,
        byte: 255,
        big: u64::MAX,
        ratio: 0.25,
        name: "n".into(),
        data: vec![1],
        user_id: 7,
    };
    all.both("everything", Same, everything);
    all.both("everything zero", Same, Everything::default());
    let nested = Nested {
        args: args(1, 2),
        ptr: Some(args(3, 0)),
        list: vec![args(4, 5)],
        map: BTreeMap::from([("k".into(), args(6, 7))]),
        two: [args(0, 0), args(8, 9)],
        num: Some(1),
    };
    all.both("nested", SameValue, nested);
    all.both("nested zero", SameValue, Nested::default());
    let of_tree = tree(
        1,
        vec![tree(2, vec![], None), tree(3, vec![tree(4, vec![], None)], None)],
        Some(tree(5, vec![], Some(tree(6, vec![], None)))),
    );
    all.both("tree", SameValue, of_tree);
    let link = |value, next: Option<Link>| Link { value, next: next.map(Box::new) };
    all.both("link", Same, link(1, Some(link(2, Some(link(3, None))))));
    all.both("color", Same, Color::Red);
    all.decode("weekday", &Weekday::Tuesday);
    all.both("shape circle", SameValue, Shape::Circle { radius: 2.0 });
    all.both("shape square", SameValue, Shape::Square(3.0));
    all.both("shape line", SameValue, Shape::Line(1.0, 0.0));

    fn any<T>(shape: T) -> Any<T> {
        Any { name: "n".into(), shape, last: 1 }
    }
    all.decode("any nil", &any(None::<i64>));
    all.decode("any nil", &any(()));
    all.decode("any int", &any(7_u8));
    all.decode("any int", &any(Some(7_i64)));
    all.decode("any string", &any("s".to_owned()));
    all.decode("any circle", &any(Circle { radius: 2.0 }));
    all.decode("any circle", &any(Registered::Circle(Circle { radius: 2.0 })));
    all.decode("any circle", &any(BTreeMap::from([("Radius".to_owned(), 2.0)])));
    all.decode("any circle", &any(()));
    let inner = |shape| Registered::Inner { shape: Box::new(shape) };
    all.decode("any any", &any(inner(Registered::Circle(Circle { radius: 2.0 }))));
    all.decode("any any any", &any(inner(inner(Registered::Square { side: 3.0 }))));
    all.decode(
        "[]any",
        &vec![
            Anything::Int(1),
            Anything::Text("a".into()),
            Anything::Circle { radius: 2.0 },
            Anything::Square { side: 3.0 },
            Anything::Circle { radius: 4.0 },
            Anything::Ints(vec![5]),
        ],
    );

    let time = |seconds, nanoseconds, offset| GoTime { seconds, nanoseconds, offset };
    all.both("time utc", Same, time(1_700_000_000, 5, None));
    all.both("time zone", Same, time(1_700_000_000, 0, Some(3600)));
    all.both("time seconds", Same, time(1_700_000_000, 0, Some(12_601)));
    all.decode("times", &Times { created: time(1, 2, None), updated: GoTime::default() });
    let times = Times { created: time(1, 2, None), updated: GoTime::default() };
    all.encode("times", Read, times);
    all.both("big", SameValue, Big(vec![3, 1, 0, 0, 0, 0, 0]));
    all.both("url", SameValue, Url(b"https://go.dev/".to_vec()));
    all.decode("url", &"https://go.dev/".to_owned());
    let page = |items: &[&str], next: Option<Page>| Page {
        items: items.iter().map(|item| (*item).to_owned()).collect(),
        next: next.map(Box::new),
    };
    all.both("page", SameValue, page(&["a"], Some(page(&[], Some(page(&["b"], None))))));
    all.both("page empty", SameValue, Page::default());
    let lists = Lists {
        names: vec![vec![], vec!["a".into()]],
        by_key: BTreeMap::from([("k".into(), vec![])]),
    };
    all.both("lists", SameValue, lists);
    all.both("unexported", Same, Unexported { shown: 1 });
    all
}

/// The last message of a stream, after the definitions.
fn last_message(mut stream: &[u8]) -> &[u8] {
    loop {
        let (len, start) = match stream[0] {
            short @ ..128 => (usize::from(short), 1),
            long => {
                let count = usize::from(long.wrapping_neg());
                let len = stream[1..=count].iter().fold(0, |len, byte| len << 8 | *byte as usize);
                (len, 1 + count)
            }
        };
        let end = start + len;
        if end == stream.len() {
            return stream;
        }
        stream = &stream[end..];
    }
}

#[test]
fn what_go_wrote_is_read_and_what_we_write_is_what_go_wrote() {
    let all = golden();
    assert!(all.decoded > all.go.len());
    for (name, ours, how) in &all.ours {
        let go = &all.go[*name];
        match how {
            Same => assert_eq!(hex(ours), hex(go), "{name}"),
            SameValue => {
                // After the id, of which there may be more in Go.
                let value = |stream| last_message(stream).split_at(3).1.to_vec();
                assert_eq!(hex(&value(ours)), hex(&value(go)), "{name}");
            }
            Read => {}
        }
    }
}

#[test]
fn go_still_writes_the_same_and_reads_what_we_write() {
    if !has_go("the golden test") {
        return;
    }
    let scratch = Scratch::new("golden");
    let program = build_go(&scratch.0, "golden.go");
    let printed = Command::new(&program).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&printed.stdout), include_str!("vectors/golden.hex"));

    let all = golden();
    let mut child = Command::new(&program)
        .arg("check")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let lines: String =
        all.ours.iter().map(|(name, ours, _)| format!("{name}: {}\n", hex(ours))).collect();
    let mut stdin = child.stdin.take().expect("stdin is piped");
    std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let answers = child.wait_with_output().expect("the program runs").stdout;
    let expected: String = all.ours.iter().map(|(name, ..)| format!("{name}: ok\n")).collect();
    assert_eq!(String::from_utf8_lossy(&answers), expected);
}
