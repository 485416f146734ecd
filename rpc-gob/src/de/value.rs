//! One value, of any type.

use std::{any::type_name, fmt};

use serde::{
    Deserializer,
    de::{
        Visitor,
        value::{BorrowedStrDeserializer, U64Deserializer},
    },
};

use super::{
    Result,
    attempt::Attempt,
    fields::{Fields, Named, Planned, Positional},
    parts::{Elements, Entries},
    variant::{Data, Unit},
};
use crate::{
    bytes,
    error::{DecodeError, Undecodable},
    names,
    shape::Marshaler,
    types::{Kind, Struct, Target, Type, Types},
    walk::{self, Concrete},
    wire::{self, MAX_DEPTH, Reader},
};

/// Reads one value.
pub(super) struct ValueDecoder<'t, 'r, 'de> {
    pub(super) types: &'t Types,
    pub(super) attempt: &'r Attempt<'t>,
    pub(super) reader: &'r mut Reader<'de>,
    /// Its type on the wire.
    pub(super) id: i32,
    /// Levels of nesting that it may still open.
    pub(super) depth: usize,
    /// Options and newtypes that it may still consist of before it reads anything: a type like
    /// `struct Chain(Option<Box<Chain>>)` never would.
    pub(super) wrappers: usize,
    /// Nothing is around it.
    pub(super) is_root: bool,
}

impl<'t, 'de> ValueDecoder<'t, '_, 'de> {
    #[inline]
    fn kind(&self) -> Result<Kind<'t>> {
        Ok(self.types.kind(self.id)?)
    }

    #[inline]
    fn enter(self) -> Result<Self> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(ValueDecoder { depth, wrappers: MAX_DEPTH, is_root: false, ..self }),
            None => Err(DecodeError::TooDeep.into()),
        }
    }

    #[inline]
    fn enter_wrapper(self) -> Result<Self> {
        match self.wrappers.checked_sub(1) {
            Some(wrappers) => Ok(ValueDecoder { wrappers, ..self }),
            None => Err(DecodeError::TooDeep.into()),
        }
    }

    /// For a value inside this one.
    #[inline]
    pub(super) fn inner(&mut self, id: i32) -> ValueDecoder<'t, '_, 'de> {
        ValueDecoder {
            types: self.types,
            attempt: self.attempt,
            reader: self.reader,
            id,
            depth: self.depth,
            wrappers: MAX_DEPTH,
            is_root: false,
        }
    }

    /// What is in an interface, and what that is called; `None` if it is nil.
    fn concrete(self) -> Result<Option<(&'de [u8], Self)>> {
        let name = self.reader.bytes()?;
        if name.is_empty() {
            return Ok(None);
        }
        loop {
            match walk::read_concrete(self.reader)? {
                // The decoder has got it already.
                Concrete::Definition(..) => drop(self.reader.uint()?),
                Concrete::Value(id) => {
                    walk::skip_single(self.types, id, self.reader)?;
                    return Ok(Some((name, ValueDecoder { id, ..self.enter()? })));
                }
            }
        }
    }

    /// The value itself, if it is in an interface; `None` if that is nil.
    #[inline]
    fn open(self) -> Result<Option<Self>> {
        if self.id == wire::INTERFACE {
            return Ok(self.concrete()?.map(|(_, concrete)| concrete));
        }
        Ok(Some(self))
    }

    /// The whole of what is asked for in most cases.
    fn any<V: Visitor<'de>>(self, asked: Asked, visitor: V) -> Result<V::Value> {
        match self.kind()? {
            Kind::Bool => visitor.visit_bool(self.reader.bool()?),
            Kind::Int => visitor.visit_i64(self.reader.int()?),
            Kind::Uint => visitor.visit_u64(self.reader.uint()?),
            Kind::Float => visitor.visit_f64(self.reader.float()?),
            Kind::Complex => {
                let element = wire::FLOAT;
                self.elements(element, 2, visitor)
            }
            Kind::String => {
                let text = self.reader.bytes()?;
                visit_text(text, asked, visitor)
            }
            Kind::Bytes => {
                let bytes = self.reader.bytes()?;
                visit_bytes(bytes, asked, visitor)
            }
            Kind::Defined(Type::Marshaled(Marshaler::Text)) => {
                let text = self.reader.bytes()?;
                visit_text(text, asked, visitor)
            }
            Kind::Defined(Type::Marshaled(_)) => {
                let bytes = self.reader.bytes()?;
                if asked == Asked::Text {
                    return visit_text(bytes, asked, visitor);
                }
                visit_bytes(bytes, asked, visitor)
            }
            Kind::Interface => match self.concrete()? {
                Some((_, concrete)) => concrete.any(asked, visitor),
                None => visitor.visit_unit(),
            },
            Kind::Defined(Type::Array { element, len }) => {
                let count = self.reader.count()?;
                if count as u64 != *len {
                    return Err(DecodeError::Malformed("an array of another length").into());
                }
                self.elements(*element, count, visitor)
            }
            Kind::Defined(Type::Slice { element }) => {
                let count = self.reader.count()?;
                self.elements(*element, count, visitor)
            }
            Kind::Defined(Type::Map { key, value }) => self.entries(*key, *value, &[], visitor),
            Kind::Defined(Type::Struct(of)) => {
                let mut decoder = self.enter()?;
                let mut access = Named::new(of, decoder.inner(0))?;
                let visited = visitor.visit_map(&mut access)?;
                access.fields.finish()?;
                Ok(visited)
            }
        }
    }

    fn entries<V: Visitor<'de>>(
        self,
        key: i32,
        value: i32,
        targets: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let left = self.reader.count()?;
        let mut decoder = self.enter()?;
        let decoder = decoder.inner(key);
        let mut access = Entries { decoder, key, value, left, half: false, targets };
        let visited = visitor.visit_map(&mut access)?;
        access.finish()?;
        Ok(visited)
    }

    fn elements<V: Visitor<'de>>(self, of: i32, count: usize, visitor: V) -> Result<V::Value> {
        let mut decoder = self.enter()?;
        let mut access = Elements { decoder: decoder.inner(of), left: count };
        let visited = visitor.visit_seq(&mut access)?;
        match access.left {
            0 => Ok(visited),
            left => Err(Undecodable::mismatch(format!(
                "{count} elements where {} were expected",
                count - left
            ))),
        }
    }

    pub(super) fn tuple<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Some(opened) = self.open()? else { return visitor.visit_unit() };
        match opened.kind()? {
            Kind::Defined(Type::Struct(of)) => {
                let mut decoder = opened.enter()?;
                let mut access = Positional { fields: Fields::new(of, decoder.inner(0))? };
                let visited = visitor.visit_seq(&mut access)?;
                access.fields.finish()?;
                Ok(visited)
            }
            _ => opened.any(Asked::Seq, visitor),
        }
    }

    /// An integer of `bits` bits.
    fn integer<V: Visitor<'de>>(self, wanted: Integer, visitor: V) -> Result<V::Value> {
        let Some(opened) = self.open()? else { return visitor.visit_unit() };
        match opened.kind()? {
            Kind::Int => {
                let value = opened.reader.int()?;
                let fits = match wanted.bits {
                    _ if wanted.is_signed || value >= 0 => {
                        let bits = wanted.bits - u32::from(wanted.is_signed);
                        bits >= 63 || (value ^ (value >> 63)) >> bits == 0
                    }
                    _ => false,
                };
                if fits { visitor.visit_i64(value) } else { Err(wanted.refuse(value)) }
            }
            Kind::Uint => {
                let value = opened.reader.uint()?;
                let bits = wanted.bits - u32::from(wanted.is_signed);
                let fits = bits >= 64 || value >> bits == 0;
                if fits { visitor.visit_u64(value) } else { Err(wanted.refuse(value)) }
            }
            _ => opened.any(Asked::Any, visitor),
        }
    }
}

/// An integer type.
#[derive(Clone, Copy)]
struct Integer {
    bits: u32,
    is_signed: bool,
}

impl Integer {
    #[cold]
    fn refuse(self, value: impl fmt::Display) -> Undecodable {
        let sign = if self.is_signed { 'i' } else { 'u' };
        Undecodable::mismatch(format!("{value} does not fit {sign}{}", self.bits))
    }
}

/// What a visitor asked for, as far as bytes, strings and sequences go, of which one may have to
/// pass for the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whatever there is, or something that is none of them.
    Any,
    Bytes,
    Seq,
    Text,
}

pub(super) fn visit_bytes<'de, V: Visitor<'de>>(
    bytes: &'de [u8],
    asked: Asked,
    visitor: V,
) -> Result<V::Value> {
    match asked {
        Asked::Any if !bytes::is_buffering::<V>() => visitor.visit_borrowed_bytes(bytes),
        Asked::Bytes => visitor.visit_borrowed_bytes(bytes),
        Asked::Text => visit_text(bytes, asked, visitor),
        Asked::Any | Asked::Seq => bytes::visit_as_seq(visitor, bytes),
    }
}

/// A string, which in Go need not be UTF-8.
fn visit_text<'de, V: Visitor<'de>>(
    bytes: &'de [u8],
    asked: Asked,
    visitor: V,
) -> Result<V::Value> {
    match asked {
        Asked::Bytes => visitor.visit_borrowed_bytes(bytes),
        Asked::Seq => bytes::visit_as_seq(visitor, bytes),
        Asked::Any | Asked::Text => match std::str::from_utf8(bytes) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(_) if asked == Asked::Text => {
                Err(Undecodable::mismatch("a string that is not UTF-8"))
            }
            Err(_) => visitor.visit_borrowed_bytes(bytes),
        },
    }
}

macro_rules! read_integers {
    ($($method:ident: $bits:literal $is_signed:literal;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.integer(Integer { bits: $bits, is_signed: $is_signed }, visitor)
        }
    )*};
}

macro_rules! read_any {
    ($($method:ident as $asked:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.any(Asked::$asked, visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDecoder<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    read_integers! {
        deserialize_i8: 8 true;
        deserialize_i16: 16 true;
        deserialize_i32: 32 true;
        deserialize_i64: 64 true;
        deserialize_i128: 128 true;
        deserialize_u8: 8 false;
        deserialize_u16: 16 false;
        deserialize_u32: 32 false;
        deserialize_u64: 64 false;
        deserialize_u128: 128 false;
    }

    read_any! {
        deserialize_any as Any;
        deserialize_bool as Any;
        deserialize_f64 as Any;
        deserialize_str as Text;
        deserialize_string as Text;
        deserialize_identifier as Any;
        deserialize_bytes as Bytes;
        deserialize_byte_buf as Bytes;
        deserialize_seq as Seq;
        deserialize_map as Any;
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Some(opened) = self.open()? else { return visitor.visit_unit() };
        match opened.kind()? {
            Kind::Float => {
                let value = opened.reader.float()?;
                if value.is_finite() && value.abs() > f64::from(f32::MAX) {
                    return Err(Undecodable::mismatch(format!("{value:e} does not fit f32")));
                }
                visitor.visit_f64(value)
            }
            _ => opened.any(Asked::Any, visitor),
        }
    }

    /// A `rune` is a number in Go.
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Some(opened) = self.open()? else { return visitor.visit_unit() };
        match opened.kind()? {
            Kind::Int => {
                let value = opened.reader.int()?;
                match u32::try_from(value).ok().and_then(char::from_u32) {
                    Some(value) => visitor.visit_char(value),
                    None => Err(Undecodable::mismatch(format!("{value} does not fit char"))),
                }
            }
            _ => opened.any(Asked::Text, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.kind()? {
            Kind::Interface => match self.concrete()? {
                Some((_, concrete)) => visitor.visit_some(concrete),
                None => visitor.visit_none(),
            },
            // `struct{}{}`, which is sent where there is nothing to send.
            Kind::Defined(Type::Struct(of))
                if self.is_root && of.name.is_empty() && of.fields.is_empty() =>
            {
                walk::skip(self.types, self.id, self.reader)?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self.enter_wrapper()?),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Some(opened) = self.open()? else { return visitor.visit_unit() };
        match opened.kind()? {
            Kind::Defined(Type::Struct(_)) => {
                walk::skip(opened.types, opened.id, opened.reader)?;
                visitor.visit_unit()
            }
            _ => opened.any(Asked::Any, visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self.enter_wrapper()?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.tuple(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.tuple(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        targets: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let Some(opened) = self.open()? else { return visitor.visit_unit() };
        match opened.kind()? {
            Kind::Defined(Type::Struct(of)) => {
                let target = Target { fields: targets, visitor: type_name::<V>() };
                let plan = of.plan(target);
                // As in Go, where a struct that is part of another may be all zero.
                if opened.is_root && plan.get().is_foreign {
                    return Err(no_field_in_common(of, targets));
                }
                let mut decoder = opened.enter()?;
                let fields = Fields::new(of, decoder.inner(0))?;
                let mut access = Planned { fields, plan, target, missing: 0, is_sent: false };
                let visited = visitor.visit_map(&mut access)?;
                access.fields.finish()?;
                Ok(visited)
            }
            Kind::Defined(Type::Map { key, value }) if *key == wire::STRING => {
                opened.entries(*key, *value, targets, visitor)
            }
            _ => opened.any(Asked::Any, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.kind()? {
            Kind::String | Kind::Bytes => {
                let sent = self.reader.text()?;
                let variant = names::find(variants, sent).unwrap_or(sent);
                visitor.visit_enum(Unit(BorrowedStrDeserializer::new(variant)))
            }
            Kind::Int => {
                let index = self.reader.int()?;
                match u64::try_from(index) {
                    Ok(index) => visitor.visit_enum(Unit(U64Deserializer::new(index))),
                    Err(_) => {
                        Err(Undecodable::mismatch(format!("{index} is no variant of {name}")))
                    }
                }
            }
            Kind::Uint => {
                let index = self.reader.uint()?;
                visitor.visit_enum(Unit(U64Deserializer::new(index)))
            }
            Kind::Defined(Type::Struct(of)) => {
                let mut decoder = self.enter()?;
                let mut set = Fields::new(of, decoder.inner(0))?;
                let Some(field) = set.sent() else {
                    return Err(Undecodable::mismatch(format!("no variant of {name} is set")));
                };
                let variant = names::find(variants, &field.name).unwrap_or(&field.name);
                let data = set.decoder.inner(field.id);
                let visited = visitor
                    .visit_enum(Data { name: variant, data })
                    .map_err(|error| error.within(&field.name))?;
                set.advance()?;
                match set.sent() {
                    None => Ok(visited),
                    Some(_) => Err(Undecodable::mismatch(format!(
                        "more than one variant of {name} is set"
                    ))),
                }
            }
            Kind::Interface => match self.concrete()? {
                Some((sent, concrete)) => {
                    // `main.Circle`
                    let sent = std::str::from_utf8(sent).unwrap_or_default();
                    let of = sent.rsplit_once('.').map_or(sent, |(_, of)| of);
                    match names::find(variants, of) {
                        Some(name) => visitor.visit_enum(Data { name, data: concrete }),
                        None => concrete.deserialize_enum(name, variants, visitor),
                    }
                }
                None => visitor.visit_unit(),
            },
            _ => self.any(Asked::Any, visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        walk::skip(self.types, self.id, self.reader)?;
        visitor.visit_unit()
    }
}

#[cold]
fn no_field_in_common(of: &Struct, targets: &[&str]) -> Undecodable {
    let sent: Vec<&str> = of.fields.iter().map(|field| &*field.name).collect();
    Undecodable::mismatch(format!(
        "no fields matched: `{}` has {}, and {} were expected",
        of.name,
        sent.join(", "),
        targets.join(", ")
    ))
}
