//! What type a thing would have of which there is none: `Vec::<String>::new()` has no element to ask.
//!
//! serde does not say either, but the Rust type is known by name where it is a type parameter, and
//! [`type_name`](std::any::type_name) is good enough for what it is used for here: the standard
//! containers and primitives are recognised, and everything else is taken for a struct, which Go
//! reads as any struct.

use crate::{
    error::{EncodeError, Unencodable},
    shape::{Field, Name, Shape, Shapes},
    wire::MAX_DEPTH,
};

/// The names of a tuple's elements, where it has to be a struct.
pub(crate) const TUPLE_FIELDS: [&str; 64] = [
    "F0", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "F13", "F14",
    "F15", "F16", "F17", "F18", "F19", "F20", "F21", "F22", "F23", "F24", "F25", "F26", "F27",
    "F28", "F29", "F30", "F31", "F32", "F33", "F34", "F35", "F36", "F37", "F38", "F39", "F40",
    "F41", "F42", "F43", "F44", "F45", "F46", "F47", "F48", "F49", "F50", "F51", "F52", "F53",
    "F54", "F55", "F56", "F57", "F58", "F59", "F60", "F61", "F62", "F63",
];

/// What `vague` is, according to the Rust type `name`.
#[cold]
pub(crate) fn complete(
    shapes: &mut Shapes,
    vague: Shape,
    name: &'static str,
) -> Result<Shape, Unencodable> {
    let guess = Names::new(name).parse(shapes)?;
    // Of a newtype there is the name only, but what is in it has been seen.
    if guess != Shape::GUESSED
        && let Some(shape) = shapes.join(vague, guess)?
        && !shape.is_vague()
    {
        return Ok(shape);
    }
    match vague {
        Shape::EMPTY_SEQ => shapes.slice(Shape::GUESSED),
        Shape::EMPTY_MAP => shapes.map(Shape::STRING, Shape::GUESSED),
        Shape::EMPTY_ARRAY => shapes.array(0, Shape::GUESSED),
        _ => Ok(Shape::GUESSED),
    }
}

/// Whether the Rust type `name` may be a struct, if there is a value of it.
#[cold]
pub(crate) fn may_be_struct(shapes: &mut Shapes, name: &'static str) -> Result<bool, Unencodable> {
    Ok(Names::new(name).parse(shapes)? == Shape::GUESSED)
}

/// What a field of the Rust type `name` would be if it were not `vague`: only if that is certain,
/// because there is no harm in not knowing it. What is certain is made of the standard containers
/// and primitives, and of nothing that may have a `Serialize` of its own.
#[inline]
pub(crate) fn certain(
    shapes: &mut Shapes,
    vague: Shape,
    name: &'static str,
) -> Result<Shape, Unencodable> {
    let known = shapes.memos.iter().find(|(of, _)| std::ptr::eq(*of, name));
    match known.map(|(_, memo)| *memo) {
        Some(Memo::Uncertain) => Ok(vague),
        Some(Memo::Basic(shape)) => Ok(shape),
        Some(Memo::Slice(element)) => shapes.slice(element),
        Some(Memo::Other) => Ok(parse_certain(shapes, name)?.unwrap_or(vague)),
        None => learn(shapes, vague, name),
    }
}

/// What is known of a type by its name, from one value to the next, in which shapes have other
/// numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Memo {
    Uncertain,
    Basic(Shape),
    /// Of something basic.
    Slice(Shape),
    /// To be parsed again.
    Other,
}

/// How many types are kept in mind; the oldest is forgotten.
const MAX_MEMOS: usize = 64;

#[cold]
fn learn(shapes: &mut Shapes, vague: Shape, name: &'static str) -> Result<Shape, Unencodable> {
    let shape = parse_certain(shapes, name)?;
    let memo = match shape {
        None => Memo::Uncertain,
        Some(shape) if shape.is_basic() => Memo::Basic(shape),
        Some(shape) => match shapes.element(shape) {
            Some(element) if element.is_basic() => Memo::Slice(element),
            _ => Memo::Other,
        },
    };
    if shapes.memos.len() == MAX_MEMOS {
        shapes.memos.pop_front();
    }
    shapes.memos.push_back((name, memo));
    Ok(shape.unwrap_or(vague))
}

fn parse_certain(shapes: &mut Shapes, name: &'static str) -> Result<Option<Shape>, Unencodable> {
    let mut names = Names::new(name);
    let shape = names.parse(shapes)?.alone();
    Ok((names.is_certain && !shape.is_vague()).then_some(shape))
}

/// Whether the Rust type is an `Option`.
pub(crate) fn is_option(name: &str) -> bool {
    name.starts_with("core::option::Option<")
}

/// The type parameters of the Rust type `name`, seen through what serde sees through.
#[inline]
pub(crate) fn parameters(name: &'static str) -> &'static str {
    if name.ends_with('>') { generic_parameters(name) } else { "" }
}

fn generic_parameters(mut name: &'static str) -> &'static str {
    loop {
        name = name.trim_start_matches('&').trim_start_matches("mut ");
        let Some((path, _)) = name.split_once('<') else { return "" };
        if !is_transparent(last_segment(path)) {
            return &name[path.len()..];
        }
        name = &name[path.len() + 1..name.len() - 1];
        // `Cow<'_, T>`
        if let Some(rest) = name.strip_prefix('\'') {
            name = rest.split_once(", ").map_or("", |(_, name)| name);
        }
        if !name.ends_with('>') {
            return "";
        }
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit_once("::").map_or(path, |(_, segment)| segment)
}

/// Types that serde writes as what is in them.
fn is_transparent(segment: &str) -> bool {
    matches!(
        segment,
        "Box"
            | "Rc"
            | "Arc"
            | "Cow"
            | "Option"
            | "Cell"
            | "RefCell"
            | "Mutex"
            | "RwLock"
            | "Reverse"
            | "Wrapping"
            | "Saturating"
            | "NonZero"
    )
}

/// Whether a type of that path is the standard library's.
fn is_standard(path: &str) -> bool {
    match path.split_once("::") {
        None => true,
        Some((root, _)) => matches!(root, "alloc" | "core" | "std"),
    }
}

/// Reads a type's name as the compiler writes it.
struct Names {
    rest: &'static str,
    depth: usize,
    /// There was nothing but types of the standard library.
    is_certain: bool,
}

impl Names {
    fn new(name: &'static str) -> Self {
        Names { rest: name, depth: MAX_DEPTH, is_certain: true }
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn parse(&mut self, shapes: &mut Shapes) -> Result<Shape, Unencodable> {
        self.depth = self.depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        let shape = self.parse_type(shapes)?;
        self.depth += 1;
        Ok(shape)
    }

    fn parse_type(&mut self, shapes: &mut Shapes) -> Result<Shape, Unencodable> {
        while self.eat("&") || self.eat("mut ") {}
        if self.eat("[") {
            let element = self.parse(shapes)?;
            if !self.eat("; ") {
                self.eat("]");
                return sequence(shapes, element);
            }
            let (len, rest) = self.rest.split_once(']').unwrap_or(("0", ""));
            self.rest = rest;
            return shapes.array(len.parse().unwrap_or(0), element.alone());
        }
        if self.eat("(") {
            return self.parse_tuple(shapes);
        }
        let end = self.rest.find(['<', '>', ',', ']', ')', ';']).unwrap_or(self.rest.len());
        let (path, rest) = self.rest.split_at(end);
        self.rest = rest;
        let mut parameters = Vec::new();
        if self.eat("<") {
            while !self.rest.is_empty() && !self.eat(">") {
                // A lifetime.
                if self.rest.starts_with('\'') {
                    let end = self.rest.find([',', '>']).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                } else {
                    parameters.push(self.parse(shapes)?);
                }
                // `dyn Trait<A = B>` and the like are beyond this; they are no data either.
                if !self.eat(", ") && !self.rest.starts_with('>') {
                    self.rest = "";
                }
            }
        }
        let segment = last_segment(path);
        self.is_certain &= is_standard(path);
        Ok(match (segment, parameters.as_slice()) {
            ("bool", []) => Shape::BOOL,
            ("u8", []) => Shape::BYTE,
            ("u16" | "u32" | "u64" | "u128" | "usize", []) => Shape::UINT,
            ("i8" | "i16" | "i32" | "i64" | "i128" | "isize", []) => Shape::INT,
            ("f32" | "f64", []) => Shape::FLOAT,
            ("str" | "String" | "char" | "Path" | "PathBuf", []) => Shape::STRING,
            ("Bytes" | "ByteBuf" | "BytesMut" | "ByteArray", []) => Shape::BYTES,
            ("Option", [inner]) => inner.alone(),
            (segment, [inner]) if is_transparent(segment) => *inner,
            (
                "Vec" | "VecDeque" | "LinkedList" | "BinaryHeap" | "BTreeSet" | "HashSet"
                | "IndexSet",
                [element, ..],
            ) => sequence(shapes, *element)?,
            ("HashMap" | "BTreeMap" | "IndexMap", [key, value, ..]) => {
                shapes.map(key.alone(), value.alone())?
            }
            _ => {
                self.is_certain = false;
                Shape::GUESSED
            }
        })
    }

    fn parse_tuple(&mut self, shapes: &mut Shapes) -> Result<Shape, Unencodable> {
        // Whether it is an array depends on its values.
        self.is_certain = false;
        let mut elements = Vec::new();
        while !self.rest.is_empty() && !self.eat(")") {
            elements.push(self.parse(shapes)?.alone());
            if !self.eat(", ") {
                self.eat(",");
            }
        }
        match elements.first() {
            None => Ok(Shape::GUESSED),
            Some(first) if elements.iter().all(|element| element == first) => {
                shapes.array(elements.len(), *first)
            }
            Some(_) => {
                let base = shapes.open.len();
                let fields = TUPLE_FIELDS.iter().zip(0..).zip(elements);
                shapes.open.extend(fields.map(|((name, index), shape)| Field {
                    name,
                    index,
                    shape,
                }));
                shapes.close_struct(Name { name: "", parameters: "" }, base)
            }
        }
    }
}

fn sequence(shapes: &mut Shapes, element: Shape) -> Result<Shape, Unencodable> {
    if element == Shape::BYTE { Ok(Shape::BYTES) } else { shapes.slice(element) }
}

#[cfg(test)]
mod tests {
    use std::{
        any::type_name,
        borrow::Cow,
        collections::{BTreeMap, HashMap, HashSet, VecDeque},
        rc::Rc,
    };

    use super::*;

    fn described(name: &'static str) -> String {
        let mut shapes = Shapes::default();
        let shape = Names::new(name).parse(&mut shapes).unwrap().alone();
        let mut out = Vec::new();
        shapes.write_schema(shape, &mut out);
        out.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    struct Own;
    #[allow(dead_code)]
    struct Generic<'a, T>(&'a T);

    #[test]
    fn names_of_the_standard_types() {
        assert_eq!(described(type_name::<Vec<String>>()), "0806");
        assert_eq!(described(type_name::<Vec<u8>>()), "05");
        assert_eq!(described(type_name::<&[Option<u8>]>()), "0803");
        assert_eq!(described(type_name::<HashMap<String, Vec<i32>>>()), "0a060802");
        assert_eq!(described(type_name::<BTreeMap<Cow<'static, str>, Rc<f32>>>()), "0a0604");
        assert_eq!(described(type_name::<VecDeque<HashSet<bool>>>()), "080801");
        assert_eq!(described(type_name::<[[u8; 4]; 2]>()), "0902090403");
        assert_eq!(described(type_name::<&mut (u16, usize)>()), "090203");
        assert_eq!(described(type_name::<(i8,)>()), "090102");
        assert_eq!(
            described(type_name::<(i8, char)>()),
            "0b00000202463002024631".to_owned() + "06"
        );
        assert_eq!(described(type_name::<Vec<Own>>()), "080b000000");
        assert_eq!(described(type_name::<Vec<Generic<'static, Vec<u8>>>>()), "080b000000");
        assert_eq!(described(type_name::<Vec<()>>()), "080b000000");
        assert_eq!(described(type_name::<Vec<Box<dyn Fn(i32) -> Vec<u8>>>>()), "080b000000");
    }

    #[test]
    fn parameters_behind_pointers() {
        assert_eq!(parameters(type_name::<Own>()), "");
        assert_eq!(parameters(type_name::<Box<Own>>()), "");
        assert_eq!(parameters(type_name::<&Rc<Cow<'static, str>>>()), "");
        assert_eq!(parameters(type_name::<&Box<Generic<'static, i32>>>()), "<'_, i32>");
        assert_eq!(parameters(type_name::<Option<Rc<Vec<i32>>>>()), "<i32>");
    }

    #[test]
    fn names_that_are_not_names_are_taken_for_structs_without_a_panic() {
        for name in
            ["", "<", "Vec<", "Vec<<", "[", "[u8; ", "(", "(((", "Vec<u8", "&", "a::<b>", ">"]
        {
            described(name);
        }
    }
}
