//! The cases about values: each must come back as it was, and Go must say of it what we say. They are those
//! of `tests/go/values.go`.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, ensure};
use netrpc::Error;
use netrpc_gob::{complex::Complex, time::GoTime};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    client::Conn,
    matrix::Protocol,
    text::{Text, digest, noise},
    types::*,
};

/// The numbers around which encodings change their width.
const SIGNED: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    -(1 << 32) - 1,
    -(1 << 32),
    -(1 << 31) - 1,
    -(1 << 31),
    -(1 << 24) - 1,
    -32769,
    -32768,
    -129,
    -128,
    -65,
    -64,
    -33,
    -32,
    -1,
    0,
    1,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX - 1,
    i64::MAX,
];

const UNSIGNED: &[u64] = &[
    0,
    1,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 53) + 1,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// The numbers that a `T` can be.
fn fitting<W: Copy, T: TryFrom<W>>(numbers: &[W]) -> Vec<T> {
    numbers.iter().filter_map(|number| T::try_from(*number).ok()).collect()
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// A map of any kind from keys and values of whatever makes them.
fn map<K, V, M: FromIterator<(K, V)>, const N: usize>(
    entries: [(impl Into<K>, impl Into<V>); N],
) -> M {
    entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

pub async fn bools(c: Conn) -> Result<()> {
    c.same("Bool", &[true, false]).await
}

pub async fn signed_integers(c: Conn) -> Result<()> {
    c.same("Int", SIGNED).await?;
    c.same::<i8>("Int8", &fitting(SIGNED)).await?;
    c.same::<i16>("Int16", &fitting(SIGNED)).await?;
    c.same::<i32>("Int32", &fitting(SIGNED)).await?;
    c.same("Int64", SIGNED).await?;
    c.same("Int64s", &[SIGNED.to_vec()]).await
}

pub async fn unsigned_integers(c: Conn) -> Result<()> {
    c.same("Uint", UNSIGNED).await?;
    c.same::<u8>("Uint8", &fitting(UNSIGNED)).await?;
    c.same::<u16>("Uint16", &fitting(UNSIGNED)).await?;
    c.same::<u32>("Uint32", &fitting(UNSIGNED)).await?;
    c.same("Uint64", UNSIGNED).await
}

pub async fn floats(c: Conn) -> Result<()> {
    let mut numbers = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        0.5,
        0.1,
        0.1 + 0.2,
        1.0 / 3.0,
        17.0,
        -17.5,
        std::f64::consts::PI,
        1e20,
        1e21,
        1e-6,
        1e-7,
        9_007_199_254_740_994.0,
        123_456_789.123_456_79,
        f64::MAX,
        f64::MIN,
        5e-324,
        f64::MIN_POSITIVE,
        2.225_073_858_507_201e-308,
    ];
    let mut singles = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        1.0 / 3.0,
        16_777_216.0,
        1e21,
        1e-7,
        f32::MAX,
        f32::MIN,
        1e-45,
        f32::MIN_POSITIVE,
    ];
    c.same("Float64", &numbers).await?;
    c.same("Float32", &singles).await?;
    // And some of all the others.
    let mut state = 1u64;
    for _ in 0..2000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.extend(Some(f64::from_bits(state)).filter(|number| number.is_finite()));
        singles
            .extend(Some(f32::from_bits((state >> 32) as u32)).filter(|number| number.is_finite()));
    }
    c.same("Float64s", &[numbers]).await?;
    c.same("Float32s", &[singles]).await
}

pub async fn floats_not_finite(c: Conn) -> Result<()> {
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    c.same("Float64", &numbers).await?;
    c.same("Float32", &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).await?;
    c.same("Float64s", &[numbers.to_vec()]).await
}

pub async fn string_values(c: Conn) -> Result<()> {
    let mut texts = strings([
        "",
        "a",
        "Grüße, 世界 🎈",
        "\x00\x01\x1f\x7f",
        "\"quoted\" \\ / \n\r\t",
        "<a href='x'>&amp;</a>",
        "\u{2028}\u{2029}\u{feff}\u{ffff}\u{10ffff}",
        "e\u{301}",
    ]);
    texts.push("é世🎈x".repeat(60_000));
    for length in [15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536] {
        texts.push("x".repeat(length));
    }
    c.same("String", &texts).await?;
    c.expect("String.Echo", "borrowed", &"borrowed".to_owned()).await?;
    c.same("Strings", &[texts]).await
}

pub async fn byte_values(c: Conn) -> Result<()> {
    let mut lists = vec![vec![], vec![0], vec![255], (0..=255).collect()];
    for length in [15, 16, 31, 32, 127, 128, 255, 257, 65535, 65536] {
        lists.push(noise(length));
    }
    c.same("Bytes", &lists).await?;
    c.expect("Bytes.Echo", &[1u8, 2][..], &vec![1u8, 2]).await?;
    c.same("Chunks", &[lists]).await?;
    let mebibyte = noise(1 << 20);
    let back: Vec<u8> = c.client.call("Bytes.Echo", &mebibyte).await?;
    ensure!(back == mebibyte, "{} bytes of 1 MiB", back.len());
    let counted: String = c.client.call("Blob.Digest", &mebibyte).await?;
    ensure!(counted == digest(&mebibyte), "{counted}");
    let made: Vec<u8> = c.client.call("Blob.Make", &(1i64 << 20)).await?;
    ensure!(made == mebibyte, "{} bytes of 1 MiB", made.len());
    Ok(())
}

pub async fn named_types(c: Conn) -> Result<()> {
    let label = |text: &str| Label(text.to_owned());
    let board = Board([(label("Rome"), Celsius(31.5)), (label("Oslo"), Celsius(-4.0))].into());
    let named = Named {
        celsius: Celsius(36.6),
        label: label("fever"),
        level: Level(7),
        labels: Labels(vec![label("x")]),
        board: board.clone(),
    };
    c.same("Celsius", &[Celsius(-273.15), Celsius(0.0)]).await?;
    c.same("Label", &[label("ß"), label("")]).await?;
    c.same("Level", &[Level(0), Level(255)]).await?;
    c.same("Labels", &[Labels(vec![label("a"), label(""), label("b")])]).await?;
    c.same("Board", &[board]).await?;
    c.same("Named", &[named, Named::default()]).await
}

pub async fn slices(c: Conn) -> Result<()> {
    c.same("Bools", &[vec![true, false, true]]).await?;
    c.same("Int8s", &[vec![-128i8, 0, 127]]).await?;
    c.same("Uint16s", &[vec![0u16, 255, 65535]]).await?;
    c.same("Strings", &[strings(["", "b", "ü"])]).await?;
    c.same("Rows", &[vec![vec![1i64, 2], vec![], vec![3]]]).await?;
    c.same("Chunks", &[vec![vec![1u8], vec![], vec![255, 0]]]).await?;
    c.same("Points", &[vec![Point { x: 1, y: 2 }, Point::default(), Point { x: 0, y: -1 }]]).await
}

pub async fn arrays(c: Conn) -> Result<()> {
    c.same("Triple", &[[1i64, 0, -1], [0; 3]]).await?;
    c.same("Two", &[["".to_owned(), "b".to_owned()]]).await?;
    c.same("Address", &[[127u8, 0, 0, 1]]).await?;
    c.same("Grid", &[[[1i64, 2], [0, 4]]]).await
}

pub async fn maps(c: Conn) -> Result<()> {
    let places: HashMap<String, Point> =
        map([("origin", Point::default()), ("far", Point { x: 1 << 40, y: -1 << 40 })]);
    c.same::<HashMap<String, i64>>("Ages", &[map([("", 0), ("Ann", 41), ("Jürgen", -1)])]).await?;
    c.same::<BTreeMap<i64, String>>(
        "Names",
        &[map([(i64::MIN, "least"), (-1, ""), (0, "zero"), (i64::MAX, "most")])],
    )
    .await?;
    c.same::<HashMap<u8, bool>>("Flags", &[map([(0, true), (255, false)])]).await?;
    c.same::<HashMap<String, Vec<String>>>(
        "Routes",
        &[map([("a", strings(["b", "c"])), ("d", strings([""]))])],
    )
    .await?;
    let table = |entries: &[(&str, i64)]| -> BTreeMap<String, i64> {
        entries.iter().map(|(name, number)| (name.to_string(), *number)).collect()
    };
    let tables: HashMap<String, BTreeMap<String, i64>> =
        map([("x", table(&[("y", 1), ("z", 0)])), ("w", table(&[("", -9)]))]);
    c.same("Tables", &[tables]).await?;
    c.same("Places", &[places]).await
}

pub async fn maps_odd_keys(c: Conn) -> Result<()> {
    c.same::<HashMap<bool, String>>("ByBool", &[map([(true, "yes"), (false, "")])]).await?;
    let origin = Point::default();
    c.same::<BTreeMap<Point, String>>(
        "ByPoint",
        &[map([(Point { x: 1, y: 2 }, "a"), (origin, "origin")])],
    )
    .await
}

fn nested() -> Nested {
    Nested {
        title: "trip".to_owned(),
        origin: Point { x: 1, y: 2 },
        path: vec![Point::default(), Point { x: 3, y: 4 }],
        by_name: map([("home", Point { x: 5, y: 6 }), ("nowhere", Point::default())]),
        far: Some(Point { x: 7, y: 8 }),
        matrix: vec![vec![1.5, 0.0], vec![-2.0]],
        inner: Inner { deep: Deep { value: 9 } },
    }
}

pub async fn nested_structs(c: Conn) -> Result<()> {
    let hardly = Nested { title: "hardly anything".to_owned(), ..Nested::default() };
    c.same("Point", &[Point { x: 3, y: -4 }, Point { x: 0, y: 1 }]).await?;
    c.same("Nested", &[nested(), hardly]).await
}

pub async fn embedded_as_field(c: Conn) -> Result<()> {
    let derived = |id, name: &str, extra: &str| Derived {
        base: Base { id, name: name.to_owned() },
        extra: extra.to_owned(),
    };
    c.same("Derived", &[derived(5, "base", "extra"), derived(0, "", "no base"), derived(1, "", "")])
        .await
}

pub async fn embedded_flattened(c: Conn) -> Result<()> {
    let flattened = |id, name: &str, extra: &str| Flattened {
        base: FlatBase { id, name: name.to_owned() },
        extra: extra.to_owned(),
    };
    let some = [flattened(5, "base", "extra"), flattened(0, "", "no base"), flattened(1, "", "")];
    c.same("Flattened", &some).await
}

pub async fn pointers(c: Conn) -> Result<()> {
    let all = Pointers {
        int: Some(-5),
        string: Some("word".to_owned()),
        bool: Some(true),
        point: Some(Point { x: 1, y: 0 }),
        list: Some(vec![0, 1]),
    };
    let int = Pointers { int: Some(-5), ..Pointers::default() };
    let zero_point = Pointers { point: Some(Point::default()), ..Pointers::default() };
    c.same("Pointers", &[Pointers::default(), int, all, zero_point]).await
}

pub async fn pointers_to_zero(c: Conn) -> Result<()> {
    let sent = Pointers {
        int: Some(0),
        string: Some(String::new()),
        bool: Some(false),
        ..Pointers::default()
    };
    if c.protocol.is_gob() {
        // Go leaves out what is zero, also what is pointed to.
        return c.expect("Pointers.Echo", &sent, &Pointers::default()).await;
    }
    c.same("Pointers", &[sent]).await
}

/// Nothing of theirs is there that would say what type it is.
pub async fn pointers_to_structs(c: Conn) -> Result<()> {
    let up = Links { up: Some(Point { x: 1, y: 2 }), ..Links::default() };
    let down = Links { down: Some(Box::new(up.clone())), ..Links::default() };
    let none = Links { down: Some(Box::default()), ..Links::default() };
    c.same("Links", &[Links::default(), up, down, none]).await
}

/// What is nil in one element may not be so in the next.
pub async fn pointers_in_collections(c: Conn) -> Result<()> {
    let none = Pointers::default;
    let list = vec![
        none(),
        Pointers { int: Some(5), ..none() },
        Pointers { point: Some(Point { x: 1, y: 2 }), ..none() },
        Pointers { list: Some(vec![7]), string: Some("x".to_owned()), ..none() },
        none(),
    ];
    let named = [("none", none()), ("one", list[1].clone()), ("other", list[3].clone())];
    let node = |value, left: Option<Node>| Node { value, left: left.map(Box::new), right: None };
    c.same("PointersList", &[list, vec![none()], vec![]]).await?;
    c.same::<HashMap<String, Pointers>>("PointersMap", &[map(named)]).await?;
    c.same("Nodes", &[vec![node(1, None), node(2, Some(node(3, None))), Node::default()]]).await
}

pub async fn skipped_fields(c: Conn) -> Result<()> {
    let some = [
        Sparse::default(),
        Sparse { last: 1, ..Sparse::default() },
        Sparse { word: "w".to_owned(), ..Sparse::default() },
        Sparse { number: Some(2), word: "w".to_owned(), list: vec![3], last: 4 },
    ];
    c.same("Sparse", &some).await?;
    c.same("SparseList", &[some.to_vec()]).await
}

pub async fn structs_without_fields(c: Conn) -> Result<()> {
    c.same("Unit", &[Unit]).await?;
    c.same("Braces", &[Braces {}]).await?;
    c.alive().await
}

pub async fn newtypes_of_bytes(c: Conn) -> Result<()> {
    c.same("Hash", &[Hash::default(), Hash([255; 20])]).await
}

pub async fn dynamic_values(c: Conn) -> Result<()> {
    let value = serde_json::json!({
        "user_id": 1.5, "Nested": {"a": [null, true, "text", {}]}, "": 7, "list": [],
    });
    let serde_json::Value::Object(value) = value else { unreachable!("it is an object") };
    c.same::<HashMap<String, serde_json::Value>>("Dynamic", &[value.into_iter().collect()]).await
}

fn tree(depth: i64) -> Option<Box<Node>> {
    (depth > 0).then(|| {
        let right = tree(depth - 2 + depth % 2);
        Box::new(Node { value: depth, left: tree(depth - 1), right })
    })
}

pub async fn recursive_structs(c: Conn) -> Result<()> {
    let list = (0..25).fold(None, |tail, i| Some(Box::new(List { head: i.to_string(), tail })));
    let named = |name: &str| Dir { name: name.to_owned(), ..Dir::default() };
    let dir = Dir {
        entries: vec![Dir { entries: vec![named("ssh")], ..named("etc") }, named("tmp")],
        links: map([("up", named("/"))]),
        ..named("/")
    };
    let big = *tree(7).expect("it is deep");
    let one = Node { value: 1, ..Node::default() };
    let right = Node { right: Some(Box::default()), ..Node::default() };
    c.same("Node", &[Node::default(), one, right, big.clone()]).await?;
    c.same("List", &[*list.expect("25 elements")]).await?;
    c.same("Dir", &[dir, Dir::default()]).await?;
    c.expect("Tree.Sum", &big, &big.sum()).await?;
    c.expect("Tree.Mirror", &big, &big.mirror()).await
}

pub fn record() -> Record {
    Record {
        a: -1,
        b: "b".to_owned(),
        c: vec![1, 2],
        d: map([("yes", true), ("no", false)]),
        e: Some(Point { x: 3, y: 4 }),
    }
}

/// Sends what another version of the program has, and asks for it.
async fn crossed<T>(c: &Conn, sent: T, arrives: &Record, back: &T) -> Result<()>
where
    T: Serialize + DeserializeOwned + Text,
{
    c.expect("Record.Text", &sent, &arrives.text()).await?;
    c.expect("Record.Echo", &sent, arrives).await?;
    c.expect("Record.Echo", &sent, back).await?;
    c.expect("Record.Echo", &record(), back).await
}

pub async fn fewer_fields(c: Conn) -> Result<()> {
    let Record { a, c: list, .. } = record();
    let fewer = RecordFewer { a, c: list.clone() };
    let arrives = Record { a, c: list, ..Record::default() };
    crossed(&c, fewer.clone(), &arrives, &fewer).await
}

pub async fn more_fields(c: Conn) -> Result<()> {
    let record = record();
    let back = RecordMore {
        a: record.a,
        b: record.b.clone(),
        c: record.c.clone(),
        d: record.d.clone(),
        e: record.e,
        ..RecordMore::default()
    };
    let more = RecordMore {
        f: 1.5,
        g: Some(nested()),
        h: map([(1, strings(["x"]))]),
        i: [Point { x: 1, y: 2 }, Point { x: 3, y: 4 }],
        ..back.clone()
    };
    crossed(&c, more, &record, &back).await
}

pub async fn reordered_fields(c: Conn) -> Result<()> {
    let record = record();
    let reordered = RecordReordered {
        e: record.e,
        d: record.d.clone(),
        c: record.c.clone(),
        b: record.b.clone(),
        a: record.a,
    };
    crossed(&c, reordered.clone(), &record, &reordered).await
}

fn user() -> User {
    User {
        user_id: 12,
        http_server: "example.org".to_owned(),
        is_admin: true,
        name: "Ann".to_owned(),
    }
}

pub async fn field_names(c: Conn) -> Result<()> {
    c.same("User", &[user(), User::default()]).await
}

pub async fn field_names_in_rust(c: Conn) -> Result<()> {
    let back: LaxUser = c.call("User.Echo", &user()).await?;
    ensure!(back.text() == user().text(), "{}", back.text());
    Ok(())
}

pub async fn zero_values(c: Conn) -> Result<()> {
    c.same("Bool", &[false]).await?;
    c.same("Int64", &[0i64]).await?;
    c.same("Uint8", &[0u8]).await?;
    c.same("Float64", &[0f64]).await?;
    c.same("String", &[String::new()]).await?;
    c.same("Point", &[Point::default()]).await?;
    c.same("Triple", &[[0i64; 3]]).await?;
    c.same("Points", &[vec![Point::default(); 2]]).await?;
    c.same("Nested", &[Nested::default()]).await?;
    c.same("Record", &[Record::default()]).await?;
    c.same("Everything", &[Everything::default()]).await
}

pub async fn every_kind_of_field(c: Conn) -> Result<()> {
    let everything = Everything {
        bool: true,
        int: i64::MIN,
        int8: i8::MIN,
        int16: i16::MIN,
        int32: i32::MIN,
        int64: i64::MAX,
        uint: u64::MAX,
        uint8: u8::MAX,
        uint16: u16::MAX,
        uint32: u32::MAX,
        uint64: 1 << 63,
        float32: -0.1,
        float64: std::f64::consts::PI,
        string: "text".to_owned(),
        bytes: vec![0, 255],
        list: vec![5, 0, -5],
        table: map([("k", 6)]),
        array: [0, 7, 0],
        point: Point { x: 8, y: 9 },
        far: Some(Point { x: 10, y: 11 }),
    };
    c.same("Everything", &[everything]).await
}

pub async fn empty_collections(c: Conn) -> Result<()> {
    c.same("Strings", &[Vec::<String>::new()]).await?;
    c.same("Bytes", &[Vec::<u8>::new()]).await?;
    c.same("Points", &[Vec::<Point>::new()]).await?;
    c.same("Ages", &[HashMap::<String, i64>::new()]).await?;
    c.same("Names", &[BTreeMap::<i64, String>::new()]).await?;
    c.same("Rows", &[Vec::<Vec<i64>>::new()]).await?;
    c.same("Routes", &[HashMap::<String, Vec<String>>::new()]).await
}

pub async fn empty_nested(c: Conn) -> Result<()> {
    let routes: HashMap<String, Vec<String>> =
        map([("none", strings([])), ("one", strings(["x"]))]);
    c.same("Routes", &[routes, map([("none", strings([]))])]).await?;
    let tables: HashMap<String, BTreeMap<String, i64>> = map([("none", BTreeMap::new())]);
    c.same("Tables", &[tables]).await?;
    c.same("Rows", &[vec![Vec::<i64>::new(); 2]]).await?;
    c.same("Chunks", &[vec![Vec::<u8>::new(); 2]]).await?;
    c.same("Record", &[Record { e: Some(Point::default()), ..Record::default() }]).await?;
    c.same("Nested", &[Nested { matrix: vec![vec![]; 2], ..Nested::default() }]).await?;
    let dir =
        Dir { entries: vec![Dir::default()], links: map([("", Dir::default())]), ..Dir::default() };
    c.same("Dir", &[dir]).await
}

/// Go's own servers avoid them, and Go's handlers need not.
pub async fn nil_replies(c: Conn) -> Result<()> {
    c.expect("Nil.Strings", &(), &Vec::<String>::new()).await?;
    c.expect("Nil.Ages", &(), &HashMap::<String, i64>::new()).await?;
    c.expect("Nil.Bytes", &(), &Vec::<u8>::new()).await?;
    c.alive().await
}

pub async fn nothing(c: Conn) -> Result<()> {
    c.expect("Nothing.Nothing", &(), &()).await?;
    c.expect("Nothing.Answer", &(), &42i64).await?;
    c.expect("Nothing.Discard", &7i64, &()).await?;
    c.alive().await
}

pub async fn arrays_are_tuples(c: Conn) -> Result<()> {
    c.expect("Pair.Array", &(3i64, -4i64), &(-4i64, 3i64)).await
}

pub async fn structs_are_tuples(c: Conn) -> Result<()> {
    for (a, b) in [(7, 8), (7, 0), (0, 8), (0, 0)] {
        c.expect("Pair.Struct", &Args { a, b }, &(b, a)).await?;
    }
    Ok(())
}

pub async fn string_constants(c: Conn) -> Result<()> {
    c.same("Color", &[Color::Red, Color::Green, Color::DarkBlue]).await
}

pub async fn integer_constants(c: Conn) -> Result<()> {
    c.expect("Grade.Echo", &0i64, &Grade::Bad).await?;
    c.expect("Grade.Echo", &2i64, &Grade::Good).await
}

pub async fn sum_types(c: Conn) -> Result<()> {
    let square = |side| Shape::Square(Square { side });
    let some = [Shape::Circle(Circle { radius: 1.5 }), square(2.0), square(0.0)];
    c.same("Shape", &some).await?;
    c.same("Shapes", &[some.to_vec()]).await
}

pub async fn interfaces_in_replies(c: Conn) -> Result<()> {
    let full = Carton { label: "full".to_owned(), content: Some(Point { x: 1, y: 2 }) };
    c.expect("Carton.Of", "", &Carton::default()).await?;
    c.expect("Carton.Of", "full", &full).await
}

pub async fn times(c: Conn) -> Result<()> {
    if c.protocol == Protocol::JsonRpc {
        for text in
            ["2021-12-31T23:59:59.123456789Z", "1907-01-01T00:00:00+02:00", "0001-01-01T00:00:00Z"]
        {
            c.expect("TimeText.Echo", text, &text.to_owned()).await?;
        }
        return Ok(());
    }
    let time = |seconds, offset| GoTime { seconds, nanoseconds: 123_456_789, offset };
    let some = [
        time(1_640_995_199, None),
        time(-1_958_004_801, None),
        time(1_640_995_199, Some(7200)),
        time(1_640_995_199, Some(3601)),
        GoTime::default(),
    ];
    c.same("Time", &some).await?;
    let moment = |label: &str, at| Moment { label: label.to_owned(), at };
    c.same("Moment", &[moment("now", some[0]), moment("never", GoTime::default())]).await
}

pub async fn complex(c: Conn) -> Result<()> {
    let some = [(1.5, -2.0), (0.0, 0.0), (0.0, 1.0), (f64::INFINITY, f64::NAN)];
    c.same("Complex", &some.map(|(re, im)| Complex { re, im })).await
}

pub async fn marshals_itself(c: Conn) -> Result<()> {
    c.same("URL", &[Url(b"https://example.org/a?b=c#d".to_vec()), Url(vec![])]).await
}

pub async fn long_collections(c: Conn) -> Result<()> {
    let numbers: Vec<i64> = (0..20_000).map(|i: i64| i * i * i - (1 << 40)).collect();
    let table: HashMap<String, i64> = (0..20_000).map(|i| (format!("key {i}"), -i)).collect();
    c.same("Int64s", &[numbers]).await?;
    c.same("Ages", &[table]).await
}

/// Sends numbers as other types than the server's, which they fit.
pub async fn widths_of_integers(c: Conn) -> Result<()> {
    c.expect("Int8.Echo", &-5i64, &-5i64).await?;
    c.expect("Int64.Echo", &-5i8, &-5i16).await?;
    c.expect("Uint8.Echo", &200u64, &200u32).await?;
    c.expect("Uint64.Echo", &200u8, &200u16).await?;
    c.expect("Float64.Echo", &1.5f32, &1.5f32).await?;
    c.expect("Float32.Echo", &1.5f64, &1.5f64).await?;
    c.expect("Int8s.Echo", &vec![1i64, -2], &vec![1i32, -2]).await
}

/// Both ways: what does not fit is an error of its call.
pub async fn overflowing_integers(c: Conn) -> Result<()> {
    c.refused("Int8.Echo", &128i64, "").await?;
    c.refused("Uint8.Echo", &256u64, "").await?;
    c.refused("Int8s.Echo", &vec![1i64, -129, 2], "").await?;
    let error = c.client.call::<_, i8>("Int64.Echo", &128i64).await.err();
    ensure!(matches!(error, Some(Error::Decode(_))), "{error:?}");
    c.alive().await
}

/// To Go it is a string like any other; to Rust it cannot be one.
pub async fn string_not_in_utf8(c: Conn) -> Result<()> {
    let reply = c.client.call::<_, String>("Faults.NotUTF8", &()).await;
    match (c.protocol, &reply) {
        (Protocol::JsonRpc, Ok(text)) => ensure!(text == "a\u{fffd}z", "{text:?}"),
        (Protocol::JsonRpc, Err(_)) | (_, Ok(_)) => anyhow::bail!("{reply:?}"),
        (_, Err(error)) => ensure!(matches!(error, Error::Decode(_)), "{error:?}"),
    }
    c.alive().await
}
