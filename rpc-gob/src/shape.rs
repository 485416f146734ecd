//! The types that a value turns out to have while it is being written.
//!
//! serde names no types, so they are gathered from the values: a [`Shape`] is what is known of one,
//! and [`Shapes`] holds those of one value. Two structs of one name with the same fields are one
//! struct, whose fields are what either of them knows; so a tree has as many types as its Rust
//! type, however deep it is.

use std::{collections::VecDeque, fmt::Write as _};

use crate::{
    error::{EncodeError, Unencodable},
    guess::Memo,
    schema,
    wire::write_uint,
};

/// The most types that one value may have.
const MAX_SHAPES: usize = 4096;

/// A type, as far as it is known; a small number, so that equal types are found by comparing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape(u32);

impl Shape {
    /// A `None`: of any type.
    pub(crate) const NONE: Shape = Shape(0);
    /// A sequence of no elements.
    pub(crate) const EMPTY_SEQ: Shape = Shape(1);
    /// A map of no entries.
    pub(crate) const EMPTY_MAP: Shape = Shape(2);
    /// An array of no elements.
    pub(crate) const EMPTY_ARRAY: Shape = Shape(3);
    /// Something that there is none of and whose type had to be guessed: a struct, most likely.
    pub(crate) const GUESSED: Shape = Shape(4);
    pub(crate) const BOOL: Shape = Shape(5);
    /// A `u8` that is not part of anything yet: alone it is a [`Shape::UINT`], but a sequence of
    /// them is [`Shape::BYTES`].
    pub(crate) const BYTE: Shape = Shape(6);
    pub(crate) const INT: Shape = Shape(7);
    pub(crate) const UINT: Shape = Shape(8);
    pub(crate) const FLOAT: Shape = Shape(9);
    pub(crate) const BYTES: Shape = Shape(10);
    pub(crate) const STRING: Shape = Shape(11);
    pub(crate) const COMPLEX: Shape = Shape(12);
    /// The first that is an index into [`Shapes::forms`], and the offset of those indices.
    const FIRST_FORM: u32 = 13;

    /// Whether there is more to learn before it can be sent.
    #[inline]
    pub(crate) fn is_vague(self) -> bool {
        self.0 <= Shape::EMPTY_ARRAY.0
    }

    /// Whether it is the same in every value, and known.
    pub(crate) fn is_basic(self) -> bool {
        !self.is_vague() && self.form().is_none() && self != Shape::GUESSED
    }

    #[inline]
    fn form(self) -> Option<usize> {
        self.0.checked_sub(Shape::FIRST_FORM).map(|index| index as usize)
    }

    /// A byte that did not become part of a sequence of bytes.
    #[inline]
    pub(crate) fn alone(self) -> Shape {
        if self == Shape::BYTE { Shape::UINT } else { self }
    }
}

/// How a Go type marshals itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Marshaler {
    /// `GobEncoder`.
    Gob,
    /// `encoding.BinaryMarshaler`.
    Binary,
    /// `encoding.TextMarshaler`.
    Text,
}

/// A type made of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Slice(Shape),
    Array(u64, Shape),
    Map(Shape, Shape),
    /// An index into [`Shapes::structs`].
    Struct(usize),
    Marshaled(Marshaler, &'static str),
}

/// A struct, or an enum: a struct of which one field is set.
struct Struct {
    name: &'static str,
    /// Type parameters: what tells `Page<User>` from `Page<Order>` while both are empty.
    parameters: &'static str,
    is_enum: bool,
    /// Its fields in [`Shapes::fields`].
    first: usize,
    len: usize,
    shape: Shape,
}

/// A field of a struct, or a variant of an enum.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// Its number, from 0. An enum has those of the variants that there were.
    pub(crate) index: u32,
    pub(crate) shape: Shape,
}

/// An element of a tuple that may have to become a field.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// Where it ends in the output.
    pub(crate) end: usize,
    /// A struct leaves it out.
    pub(crate) zero: bool,
    /// Its Rust type.
    pub(crate) hint: &'static str,
}

/// How a struct is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static str,
}

impl Name {
    #[inline]
    fn is(&self, of: &Struct) -> bool {
        same(self.name, of.name) && same(self.parameters, of.parameters)
    }
}

/// Equality of strings that are most often the very same.
#[inline]
pub(crate) fn same(a: &'static str, b: &'static str) -> bool {
    a.len() == b.len() && (a.as_ptr() == b.as_ptr() || a == b)
}

/// The types of one value, and the fields of the structs that are being written.
#[derive(Default)]
pub(crate) struct Shapes {
    forms: Vec<Form>,
    structs: Vec<Struct>,
    fields: Vec<Field>,
    /// Fields so far of the structs that are open, the outermost first.
    pub(crate) open: Vec<Field>,
    /// The elements so far of the tuples that are open.
    pub(crate) marks: Vec<Mark>,
    /// What has been learnt from the names of types, which holds for all values.
    pub(crate) memos: VecDeque<(&'static str, Memo)>,
    /// Where each struct is in the schema that is being written.
    places: Vec<u32>,
}

impl Shapes {
    pub(crate) fn clear(&mut self) {
        self.forms.clear();
        self.structs.clear();
        self.fields.clear();
        self.open.clear();
        self.marks.clear();
    }

    /// Whether it has grown beyond what is worth keeping for the next value.
    pub(crate) fn is_large(&self) -> bool {
        self.fields.capacity().max(self.open.capacity()).max(self.marks.capacity()) > 4096
            || self.forms.capacity() > 4096
    }

    fn intern(&mut self, form: Form) -> Result<Shape, Unencodable> {
        let index = match self.forms.iter().rposition(|known| *known == form) {
            Some(index) => index,
            None => {
                self.forms.push(form);
                self.forms.len() - 1
            }
        };
        if index >= MAX_SHAPES {
            return Err(EncodeError::TooManyTypes(MAX_SHAPES).into());
        }
        Ok(Shape(Shape::FIRST_FORM + index as u32))
    }

    /// What it is a slice of, if it is one.
    pub(crate) fn element(&self, shape: Shape) -> Option<Shape> {
        match self.forms[shape.form()?] {
            Form::Slice(element) => Some(element),
            _ => None,
        }
    }

    pub(crate) fn slice(&mut self, element: Shape) -> Result<Shape, Unencodable> {
        self.intern(Form::Slice(element))
    }

    pub(crate) fn array(&mut self, len: usize, element: Shape) -> Result<Shape, Unencodable> {
        self.intern(Form::Array(len as u64, element))
    }

    pub(crate) fn map(&mut self, key: Shape, value: Shape) -> Result<Shape, Unencodable> {
        self.intern(Form::Map(key, value))
    }

    pub(crate) fn marshaled(
        &mut self,
        marshaler: Marshaler,
        name: &'static str,
    ) -> Result<Shape, Unencodable> {
        self.intern(Form::Marshaled(marshaler, name))
    }

    /// The struct whose fields are [`Shapes::open`] from `base` on, which it takes from there.
    #[inline]
    pub(crate) fn close_struct(&mut self, name: Name, base: usize) -> Result<Shape, Unencodable> {
        let given = &self.open[base..];
        for known in &self.structs {
            if !known.is_enum && known.len == given.len() && name.is(known) {
                let mut fields = self.fields[known.first..][..known.len].iter().zip(given);
                if fields.all(|(known, given)| {
                    known.shape == given.shape && same(known.name, given.name)
                }) {
                    let shape = known.shape;
                    self.open.truncate(base);
                    return Ok(shape);
                }
            }
        }
        self.learn_struct(name, base)
    }

    /// A struct that is new, or that knows more than before.
    #[cold]
    fn learn_struct(&mut self, name: Name, base: usize) -> Result<Shape, Unencodable> {
        'structs: for index in 0..self.structs.len() {
            let Struct { is_enum, first, len, shape, .. } = self.structs[index];
            if is_enum || len != self.open.len() - base || !name.is(&self.structs[index]) {
                continue;
            }
            let mut joined = Vec::with_capacity(len);
            for at in 0..len {
                let (known, given) = (self.fields[first + at], self.open[base + at]);
                if !same(known.name, given.name) {
                    continue 'structs;
                }
                match self.join_fields(known.shape, given.shape)? {
                    Some(shape) => joined.push(shape),
                    None => continue 'structs,
                }
            }
            for (field, shape) in self.fields[first..].iter_mut().zip(joined) {
                field.shape = shape;
            }
            self.open.truncate(base);
            return Ok(shape);
        }
        let first = self.fields.len();
        self.fields.extend(self.open.drain(base..));
        self.add_struct(name, false, first)
    }

    /// A struct of the fields from `first` on.
    fn add_struct(
        &mut self,
        name: Name,
        is_enum: bool,
        first: usize,
    ) -> Result<Shape, Unencodable> {
        let shape = self.intern(Form::Struct(self.structs.len()))?;
        let Name { name, parameters } = name;
        let len = self.fields.len() - first;
        self.structs.push(Struct { name, parameters, is_enum, first, len, shape });
        Ok(shape)
    }

    /// The enum of that name, of which this is a variant.
    pub(crate) fn variant(&mut self, name: Name, variant: Field) -> Result<Shape, Unencodable> {
        for index in 0..self.structs.len() {
            let Struct { is_enum, first, len, shape, .. } = self.structs[index];
            if !is_enum || !name.is(&self.structs[index]) {
                continue;
            }
            let variants = &self.fields[first..][..len];
            match variants.binary_search_by_key(&variant.index, |known| known.index) {
                Ok(at) => {
                    let known = variants[at];
                    if known.shape == variant.shape {
                        return Ok(shape);
                    }
                    if let Some(joined) = self.join_fields(known.shape, variant.shape)? {
                        self.fields[first + at].shape = joined;
                        return Ok(shape);
                    }
                }
                Err(at) => {
                    let moved = self.fields.len();
                    self.fields.extend_from_within(first..first + at);
                    self.fields.push(variant);
                    self.fields.extend_from_within(first + at..first + len);
                    self.structs[index].first = moved;
                    self.structs[index].len = len + 1;
                    return Ok(shape);
                }
            }
        }
        let first = self.fields.len();
        self.fields.push(variant);
        self.add_struct(name, true, first)
    }

    /// The type of a field that two structs know; one that is not sent may be of any type.
    fn join_fields(&mut self, a: Shape, b: Shape) -> Result<Option<Shape>, Unencodable> {
        if a == b || b.is_vague() {
            Ok(Some(a))
        } else if a.is_vague() {
            Ok(Some(b))
        } else {
            self.join(a, b)
        }
    }

    /// The type that both are of, where both are sent.
    pub(crate) fn join(&mut self, a: Shape, b: Shape) -> Result<Option<Shape>, Unencodable> {
        if a == b || b == Shape::GUESSED {
            return Ok(Some(a));
        }
        if a == Shape::GUESSED {
            return Ok(Some(b));
        }
        if b.is_vague() && !a.is_vague() {
            return self.join(b, a);
        }
        let form = |shape: Shape| shape.form().map(|index| self.forms[index]);
        let (elements, make): (_, fn(&mut Self, Shape) -> _) = match (a, form(a), form(b)) {
            (Shape::EMPTY_SEQ, _, Some(Form::Slice(_))) => return Ok(Some(b)),
            (Shape::EMPTY_SEQ, ..) if b == Shape::BYTES => return Ok(Some(b)),
            (Shape::EMPTY_MAP, _, Some(Form::Map(..))) => return Ok(Some(b)),
            (Shape::EMPTY_ARRAY, _, Some(Form::Array(0, _))) => return Ok(Some(b)),
            (_, Some(Form::Slice(a)), Some(Form::Slice(b))) => ((a, b), Self::slice),
            (_, Some(Form::Array(len, a)), Some(Form::Array(also, b))) if len == also => {
                let joined = self.join(a, b)?;
                return joined.map(|element| self.intern(Form::Array(len, element))).transpose();
            }
            (_, Some(Form::Map(a, value_a)), Some(Form::Map(b, value_b))) => {
                let Some(key) = self.join(a, b)? else { return Ok(None) };
                let Some(value) = self.join(value_a, value_b)? else { return Ok(None) };
                return self.map(key, value).map(Some);
            }
            _ => return Ok(None),
        };
        let joined = self.join(elements.0, elements.1)?;
        joined.map(|element| make(self, element)).transpose()
    }

    /// Whether all values of this type begin with the number of a field.
    pub(crate) fn is_struct(&self, shape: Shape) -> bool {
        match shape.form() {
            Some(index) => matches!(self.forms[index], Form::Struct(_)),
            None => matches!(shape, Shape::NONE | Shape::GUESSED),
        }
    }

    /// Says why two types cannot be one.
    #[cold]
    pub(crate) fn mixed(&self, a: Shape, b: Shape) -> Unencodable {
        let data = [(a, b), (b, a)].into_iter().find_map(|(unit, data)| {
            let Form::Struct(index) = self.forms[data.form()?] else { return None };
            let data = &self.structs[index];
            (unit == Shape::STRING && data.is_enum).then_some(data.name)
        });
        EncodeError::Mixed(match data {
            Some(name) => format!(
                "variants of `{name}` without data are strings in Go and those with data are \
                 structs (hint: give every variant data, `()` at least: `Variant(())`)"
            ),
            None => format!("found `{}` and `{}`", self.describe(a), self.describe(b)),
        })
        .into()
    }

    /// The type as it is written in Go.
    fn describe(&self, shape: Shape) -> String {
        let mut text = String::new();
        self.write_description(shape, &mut text);
        text
    }

    fn write_description(&self, shape: Shape, text: &mut String) {
        let Some(index) = shape.form() else {
            text.push_str(match shape {
                Shape::NONE => "nil",
                Shape::EMPTY_SEQ => "[]?",
                Shape::EMPTY_MAP => "map[?]?",
                Shape::EMPTY_ARRAY => "[0]?",
                Shape::BOOL => "bool",
                Shape::INT => "int",
                Shape::BYTE | Shape::UINT => "uint",
                Shape::FLOAT => "float64",
                Shape::BYTES => "[]byte",
                Shape::STRING => "string",
                Shape::COMPLEX => "complex128",
                _ => "struct{}",
            });
            return;
        };
        match self.forms[index] {
            Form::Slice(element) => {
                text.push_str("[]");
                self.write_description(element, text);
            }
            Form::Array(len, element) => {
                let _ = write!(text, "[{len}]");
                self.write_description(element, text);
            }
            Form::Map(key, value) => {
                text.push_str("map[");
                self.write_description(key, text);
                text.push(']');
                self.write_description(value, text);
            }
            Form::Struct(index) if self.structs[index].name.is_empty() => text.push_str("struct"),
            Form::Struct(index) => text.push_str(self.structs[index].name),
            Form::Marshaled(_, name) => text.push_str(name),
        }
    }

    /// Appends the description of `root` that [`schema`] reads.
    pub(crate) fn write_schema(&mut self, root: Shape, out: &mut Vec<u8>) {
        self.places.clear();
        self.places.resize(self.structs.len(), u32::MAX);
        let mut places = std::mem::take(&mut self.places);
        self.write_shape(root, out, &mut places, &mut 0);
        self.places = places;
    }

    fn write_shape(&self, shape: Shape, out: &mut Vec<u8>, places: &mut [u32], next: &mut u32) {
        let Some(index) = shape.form() else {
            return match shape {
                Shape::BOOL => out.push(schema::BOOL),
                Shape::INT => out.push(schema::INT),
                Shape::BYTE | Shape::UINT => out.push(schema::UINT),
                Shape::FLOAT => out.push(schema::FLOAT),
                Shape::BYTES => out.push(schema::BYTES),
                Shape::STRING => out.push(schema::STRING),
                Shape::COMPLEX => out.push(schema::COMPLEX),
                Shape::GUESSED => {
                    *next += 1;
                    out.extend_from_slice(schema::EMPTY_STRUCT);
                }
                _ => out.push(schema::UNKNOWN),
            };
        };
        match self.forms[index] {
            Form::Slice(element) => {
                out.push(schema::SLICE);
                self.write_shape(element, out, places, next);
            }
            Form::Array(len, element) => {
                out.push(schema::ARRAY);
                write_uint(out, len);
                self.write_shape(element, out, places, next);
            }
            Form::Map(key, value) => {
                out.push(schema::MAP);
                self.write_shape(key, out, places, next);
                self.write_shape(value, out, places, next);
            }
            Form::Marshaled(marshaler, name) => {
                out.push(match marshaler {
                    Marshaler::Gob => schema::GOB_ENCODER,
                    Marshaler::Binary => schema::BINARY_MARSHALER,
                    Marshaler::Text => schema::TEXT_MARSHALER,
                });
                write_text(out, name);
            }
            Form::Struct(index) if places[index] != u32::MAX => {
                out.push(schema::AGAIN);
                write_uint(out, u64::from(places[index]));
            }
            Form::Struct(index) => {
                places[index] = *next;
                *next += 1;
                let Struct { name, parameters, is_enum, first, len, .. } = self.structs[index];
                out.push(if is_enum { schema::ENUM } else { schema::STRUCT });
                write_text(out, name);
                write_text(out, parameters);
                write_uint(out, len as u64);
                for field in &self.fields[first..][..len] {
                    if is_enum {
                        write_uint(out, u64::from(field.index));
                    }
                    write_text(out, field.name);
                    self.write_shape(field.shape, out, places, next);
                }
            }
        }
    }
}

#[inline]
fn write_text(out: &mut Vec<u8>, text: &str) {
    write_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
