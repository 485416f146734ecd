//! A value's type in bytes: canonical, so that equal types have equal bytes, and without ids, so
//! that it may be written before it is known on which stream.
//!
//! ```text
//! type     00                                         not known, a field that is not sent
//!          01 bool  02 int  03 uint  04 float  05 []byte  06 string  07 complex
//!          08 type                                    slice
//!          09 len type                                array
//!          0a type type                               map
//!          0b text text n { text type } × n           struct: name, type parameters, fields
//!          0c text text n { index text type } × n     enum: the variants that there were
//!          0d n                                       the nth struct or enum from the beginning
//!          0e text | 0f text | 10 text                GobEncoder, Binary-, TextMarshaler
//! text     len, bytes                                 all numbers as gob's uint
//! ```

use crate::{
    error::EncodeError,
    shape::Marshaler,
    wire::{self, MAX_DEPTH, Reader},
};

pub(crate) const UNKNOWN: u8 = 0;
pub(crate) const BOOL: u8 = wire::BOOL as u8;
pub(crate) const INT: u8 = wire::INT as u8;
pub(crate) const UINT: u8 = wire::UINT as u8;
pub(crate) const FLOAT: u8 = wire::FLOAT as u8;
pub(crate) const BYTES: u8 = wire::BYTES as u8;
pub(crate) const STRING: u8 = wire::STRING as u8;
pub(crate) const COMPLEX: u8 = wire::COMPLEX as u8;
pub(crate) const SLICE: u8 = 8;
pub(crate) const ARRAY: u8 = 9;
pub(crate) const MAP: u8 = 10;
pub(crate) const STRUCT: u8 = 11;
pub(crate) const ENUM: u8 = 12;
pub(crate) const AGAIN: u8 = 13;
pub(crate) const GOB_ENCODER: u8 = 14;
pub(crate) const BINARY_MARSHALER: u8 = 15;
pub(crate) const TEXT_MARSHALER: u8 = 16;

/// `struct{}`.
pub(crate) const EMPTY_STRUCT: &[u8] = &[STRUCT, 0, 0, 0];

/// A type, as read.
#[derive(Debug)]
pub(crate) enum Type<'s> {
    Basic(u8),
    Slice(Box<Type<'s>>),
    Array(u64, Box<Type<'s>>),
    Map(Box<Type<'s>>, Box<Type<'s>>),
    /// An index into [`Schema::structs`].
    Struct(usize),
    Marshaled(Marshaler, &'s str),
}

#[derive(Debug)]
pub(crate) struct Struct<'s> {
    pub(crate) name: &'s str,
    pub(crate) parameters: &'s str,
    pub(crate) is_enum: bool,
    pub(crate) fields: Vec<Field<'s>>,
}

#[derive(Debug)]
pub(crate) struct Field<'s> {
    pub(crate) index: u32,
    pub(crate) name: &'s str,
    /// `None`: no value of it is ever sent.
    pub(crate) of: Option<Type<'s>>,
}

#[derive(Debug)]
pub(crate) struct Schema<'s> {
    pub(crate) root: Type<'s>,
    /// In the order in which they begin.
    pub(crate) structs: Vec<Struct<'s>>,
}

impl<'s> Schema<'s> {
    pub(crate) fn parse(bytes: &'s [u8]) -> Result<Self, EncodeError> {
        let mut parser = Parser { reader: Reader::new(bytes), structs: Vec::new() };
        match parser.parse(MAX_DEPTH * 4) {
            Some(Some(root)) if parser.reader.rest.is_empty() => {
                Ok(Schema { root, structs: parser.structs })
            }
            _ => Err(EncodeError::NotDetached),
        }
    }
}

struct Parser<'s> {
    reader: Reader<'s>,
    structs: Vec<Struct<'s>>,
}

impl<'s> Parser<'s> {
    /// `None`: this is no schema. `Some(None)`: the type is not known.
    fn parse(&mut self, depth: usize) -> Option<Option<Type<'s>>> {
        let depth = depth.checked_sub(1)?;
        let (tag, rest) = self.reader.rest.split_first()?;
        self.reader.rest = rest;
        Some(Some(match *tag {
            UNKNOWN => return Some(None),
            BOOL..=COMPLEX => Type::Basic(*tag),
            SLICE => Type::Slice(Box::new(self.parse(depth)??)),
            ARRAY => Type::Array(self.reader.uint().ok()?, Box::new(self.parse(depth)??)),
            MAP => Type::Map(Box::new(self.parse(depth)??), Box::new(self.parse(depth)??)),
            STRUCT => self.parse_struct(depth, false)?,
            ENUM => self.parse_struct(depth, true)?,
            AGAIN => {
                let index = usize::try_from(self.reader.uint().ok()?).ok()?;
                (index < self.structs.len()).then_some(Type::Struct(index))?
            }
            GOB_ENCODER => Type::Marshaled(Marshaler::Gob, self.reader.text().ok()?),
            BINARY_MARSHALER => Type::Marshaled(Marshaler::Binary, self.reader.text().ok()?),
            TEXT_MARSHALER => Type::Marshaled(Marshaler::Text, self.reader.text().ok()?),
            _ => return None,
        }))
    }

    fn parse_struct(&mut self, depth: usize, is_enum: bool) -> Option<Type<'s>> {
        let (name, parameters) = (self.reader.text().ok()?, self.reader.text().ok()?);
        let index = self.structs.len();
        self.structs.push(Struct { name, parameters, is_enum, fields: Vec::new() });
        let mut fields: Vec<Field<'s>> = Vec::new();
        for number in 0..self.reader.count().ok()? {
            let number = if is_enum { self.reader.uint().ok()? } else { number as u64 };
            let number = u32::try_from(number).ok().filter(|index| *index <= MAX_VARIANT)?;
            if fields.last().is_some_and(|last| last.index >= number) {
                return None;
            }
            let name = self.reader.text().ok()?;
            let of = self.parse(depth)?;
            fields.push(Field { index: number, name, of });
        }
        self.structs[index].fields = fields;
        Some(Type::Struct(index))
    }
}

/// The greatest number that a variant or a field may have: its enum's definition has a field for
/// each before it.
pub(crate) const MAX_VARIANT: u32 = 4095;
