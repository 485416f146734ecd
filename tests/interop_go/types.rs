//! The types of both sides; those of Go are in `tests/go/types.go`.

use std::collections::{BTreeMap, HashMap};

use netrpc_gob::{complex::Complex, time::GoTime};
use serde::{Deserialize, Serialize};

use super::text::Text;

/// Structs with their description. A field's name in the description is Go's.
macro_rules! structs {
    ($(
        $(#[$about:meta])*
        $name:ident { $($(#[$attribute:meta])* $field:ident as $go:ident: $type:ty,)* }
    )*) => {$(
        #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
        $(#[$about])*
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)*
        }

        impl Text for $name {
            fn describe(&self, out: &mut String) {
                let fields: &[(&str, &dyn Text)] = &[$((stringify!($go), &self.$field),)*];
                out.push('(');
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(name);
                    out.push(':');
                    value.describe(out);
                }
                out.push(')');
            }
        }
    )*};
}

/// Types around another, which is all that crosses.
macro_rules! newtypes {
    ($($name:ident($of:ty) $(: $($also:ident)*)?;)*) => {$(
        #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize $($(, $also)*)?)]
        pub struct $name(pub $of);

        impl Text for $name {
            fn describe(&self, out: &mut String) {
                self.0.describe(out);
            }
        }
    )*};
}

newtypes! {
    Celsius(f64);
    Label(String): Eq Hash;
    Level(u8);
    Labels(Vec<Label>);
    Board(HashMap<Label, Celsius>);
}

structs! {
    Named {
        celsius as Celsius: Celsius,
        label as Label: Label,
        level as Level: Level,
        labels as Labels: Labels,
        board as Board: Board,
    }

    #[derive(Eq, Hash, PartialOrd, Ord, Copy)]
    Point { x as X: i64, y as Y: i64, }

    /// Structs in all places.
    Nested {
        title as Title: String,
        origin as Origin: Point,
        path as Path: Vec<Point>,
        by_name as ByName: HashMap<String, Point>,
        far as Far: Option<Point>,
        matrix as Matrix: Vec<Vec<f64>>,
        inner as Inner: Inner,
    }

    Inner { deep as Deep: Deep, }

    Deep { value as Value: i32, }

    /// What Go embeds is a field of that name to gob.
    Derived { base as Base: Base, extra as Extra: String, }

    Base { #[serde(rename = "ID")] id as ID: i64, name as Name: String, }

    /// To JSON and MessagePack its fields are in line. serde's `flatten` knows no names but those written.
    #[serde(rename_all = "PascalCase")]
    Flattened { #[serde(flatten)] base as Base: FlatBase, extra as Extra: String, }

    #[serde(rename_all = "PascalCase")]
    FlatBase { #[serde(rename = "ID")] id as ID: i64, name as Name: String, }

    Pointers {
        int as Int: Option<i64>,
        string as String: Option<String>,
        bool as Bool: Option<bool>,
        point as Point: Option<Point>,
        list as List: Option<Vec<i64>>,
    }

    Links { up as Up: Option<Point>, down as Down: Option<Box<Links>>, }

    /// Its fields are left out where Go's are zero.
    Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        number as Number: Option<i64>,
        #[serde(skip_serializing_if = "String::is_empty")]
        word as Word: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        list as List: Vec<i64>,
        last as Last: i64,
    }

    /// Without fields, as [`Unit`] is.
    Braces {}

    /// Names that Go capitalises otherwise.
    User {
        #[serde(rename = "UserID")]
        user_id as UserID: i64,
        #[serde(rename = "HTTPServer")]
        http_server as HTTPServer: String,
        is_admin as IsAdmin: bool,
        name as Name: String,
    }

    /// The same for one who only receives it.
    LaxUser {
        user_id as UserID: i64,
        http_server as HTTPServer: String,
        is_admin as IsAdmin: bool,
        name as Name: String,
    }

    /// What the server has; the next three are what a client of another version may have.
    Record {
        a as A: i64,
        b as B: String,
        c as C: Vec<i64>,
        d as D: HashMap<String, bool>,
        e as E: Option<Point>,
    }

    RecordFewer { a as A: i64, c as C: Vec<i64>, }

    RecordMore {
        a as A: i64,
        b as B: String,
        c as C: Vec<i64>,
        d as D: HashMap<String, bool>,
        e as E: Option<Point>,
        f as F: f64,
        g as G: Option<Nested>,
        h as H: HashMap<i64, Vec<String>>,
        i as I: [Point; 2],
    }

    RecordReordered {
        e as E: Option<Point>,
        d as D: HashMap<String, bool>,
        c as C: Vec<i64>,
        b as B: String,
        a as A: i64,
    }

    Node { value as Value: i64, left as Left: Option<Box<Node>>, right as Right: Option<Box<Node>>, }

    List { head as Head: String, tail as Tail: Option<Box<List>>, }

    Dir { name as Name: String, entries as Entries: Vec<Dir>, links as Links: BTreeMap<String, Dir>, }

    Everything {
        bool as Bool: bool,
        int as Int: i64,
        int8 as Int8: i8,
        int16 as Int16: i16,
        int32 as Int32: i32,
        int64 as Int64: i64,
        uint as Uint: u64,
        uint8 as Uint8: u8,
        uint16 as Uint16: u16,
        uint32 as Uint32: u32,
        uint64 as Uint64: u64,
        float32 as Float32: f32,
        float64 as Float64: f64,
        string as String: String,
        bytes as Bytes: Vec<u8>,
        list as List: Vec<i64>,
        table as Table: HashMap<String, i64>,
        array as Array: [i64; 3],
        point as Point: Point,
        far as Far: Option<Point>,
    }

    Circle { radius as Radius: f64, }

    Square { side as Side: f64, }

    Moment { label as Label: String, at as At: GoTime, }

    Args { a as A: i64, b as B: i64, }

    Reply { c as C: i64, }

    /// Nothing that a method of ours looks for.
    Wrong { x as X: String, }
}

/// Go's string constants.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Color {
    #[default]
    Red,
    Green,
    DarkBlue,
}

impl Text for Color {
    fn describe(&self, out: &mut String) {
        format!("{self:?}").describe(out);
    }
}

/// Go's constants that are numbers.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Grade {
    #[default]
    Bad,
    Fair,
    Good,
}

impl Text for Grade {
    fn describe(&self, out: &mut String) {
        (self.clone() as i64).describe(out);
    }
}

/// A Go struct of pointers, one of which is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    Circle(Circle),
    Square(Square),
}

impl Default for Shape {
    fn default() -> Self {
        Shape::Circle(Circle::default())
    }
}

impl Text for Shape {
    fn describe(&self, out: &mut String) {
        let (circle, square) = match self {
            Shape::Circle(circle) => (Some(circle), None),
            Shape::Square(square) => (None, Some(square)),
        };
        out.push_str(&format!("(Circle:{} Square:{})", circle.text(), square.text()));
    }
}

/// A Go struct with an `interface{}` that holds a point, if anything.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Carton {
    pub label: String,
    pub content: Option<Point>,
}

impl Text for Carton {
    fn describe(&self, out: &mut String) {
        let content = self.content.map_or("nil".to_owned(), |point| point.text());
        out.push_str(&format!("(Label:{} Content:{content})", self.label.text()));
    }
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit;

impl Text for Unit {
    fn describe(&self, out: &mut String) {
        out.push_str("()");
    }
}

/// Bytes in a type of their own, as many as anybody likes or as many as there are.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hash(pub [u8; 20]);

impl Text for Hash {
    fn describe(&self, out: &mut String) {
        self.0.describe(out);
    }
}

/// Go's `url.URL`, which marshals itself: its text.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "$gob.BinaryMarshaler:URL")]
pub struct Url(pub Vec<u8>);

impl Text for Url {
    fn describe(&self, out: &mut String) {
        out.push_str(&String::from_utf8_lossy(&self.0));
    }
}

impl Text for Complex {
    fn describe(&self, out: &mut String) {
        [self.re, self.im].describe(out);
    }
}

impl Text for GoTime {
    fn describe(&self, out: &mut String) {
        let GoTime { seconds, nanoseconds, offset } = self;
        out.push_str(&format!("{seconds}.{nanoseconds:09}{:+}", offset.unwrap_or(0)));
    }
}

impl Node {
    pub fn sum(&self) -> i64 {
        let of = |node: &Option<Box<Node>>| node.as_ref().map_or(0, |node| node.sum());
        self.value + of(&self.left) + of(&self.right)
    }

    pub fn mirror(&self) -> Node {
        let of = |node: &Option<Box<Node>>| node.as_ref().map(|node| Box::new(node.mirror()));
        Node { value: self.value, left: of(&self.right), right: of(&self.left) }
    }
}
