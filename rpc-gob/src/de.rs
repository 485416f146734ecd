//! gob's bytes → serde values, as the types on the wire say.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
        VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer, U64Deserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::{
    bytes,
    error::{DecodeError, Undecodable},
    names,
    shape::Marshaler,
    types::{Field, Kind, Plan, PlanRef, Struct, Type, Types},
    walk::{self, Concrete, NO_FIELD},
    wire::{self, MAX_DEPTH, Reader},
    zero::Zero,
};

type Result<T, E = Undecodable> = std::result::Result<T, E>;

/// How often a value is read again because of fields that its sender does not know, each time
/// knowing of one more; then all of them are known at once.
const MAX_ATTEMPTS: usize = 8;

impl Types {
    /// Reads the value that `bytes` are, all of them: the id of its type and itself, as they came
    /// in a [`Message::Value`](crate::Message::Value).
    ///
    /// Strings and bytes are borrowed where `T` can.
    ///
    /// ```
    /// use netrpc_gob::Types;
    ///
    /// assert_eq!(Types::default().decode::<&str>(b"\x0C\x00\x02hi")?, "hi");
    /// # Ok::<(), netrpc_gob::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the bytes are not one whole value of a type that the stream has defined, or the value is
    /// not a `T`.
    pub fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, DecodeError> {
        self.decode_seed(bytes, std::marker::PhantomData)
    }

    /// Like [`Types::decode`], for what is only known at run time how to decode.
    ///
    /// The seed is used again where a field is missing that has no default.
    ///
    /// ```
    /// use netrpc_gob::Types;
    /// use std::marker::PhantomData;
    ///
    /// assert_eq!(Types::default().decode_seed(b"\x0C\x00\x02hi", PhantomData::<&str>)?, "hi");
    /// # Ok::<(), netrpc_gob::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`Types::decode`].
    pub fn decode_seed<'de, S: DeserializeSeed<'de> + Clone>(
        &self,
        bytes: &'de [u8],
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        let attempt = Attempt::default();
        loop {
            match self.attempt(bytes, seed.clone(), &attempt) {
                Err(Undecodable::Missing(field)) if attempt.learn(field) => {}
                Err(error) => return Err(error.into()),
                Ok(value) => {
                    if !attempt.missing.borrow().is_empty() {
                        attempt.keep();
                    }
                    return Ok(value);
                }
            }
        }
    }

    #[inline]
    fn attempt<'t, 'de, S: DeserializeSeed<'de>>(
        &'t self,
        bytes: &'de [u8],
        seed: S,
        attempt: &Attempt<'t>,
    ) -> Result<S::Value> {
        let mut reader = Reader::new(bytes);
        let id = reader.id()?;
        if id < 0 {
            return Err(DecodeError::Malformed("a definition where a value was expected").into());
        }
        walk::skip_single(self, id, &mut reader)?;
        let value = seed.deserialize(ValueDecoder {
            types: self,
            attempt,
            reader: &mut reader,
            id,
            depth: MAX_DEPTH,
            wrappers: MAX_DEPTH,
            is_root: true,
        })?;
        if reader.rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing.into()) }
    }
}

/// A field of a Rust struct that the struct on the wire does not have.
#[derive(Clone, Copy)]
struct Missing<'t> {
    of: &'t Struct,
    targets: &'static [&'static str],
    name: &'static str,
}

/// What has been learnt from failing to read a value.
#[derive(Default)]
struct Attempt<'t> {
    /// The last struct that was read to its end and has not got all fields.
    last: Cell<Option<(&'t Struct, &'static [&'static str])>>,
    /// Fields that have no default: they are zero.
    missing: RefCell<Vec<Missing<'t>>>,
}

impl<'t> Attempt<'t> {
    /// Whether it is worth trying again, after a field was missed.
    #[cold]
    fn learn(&self, name: &'static str) -> bool {
        let Some((of, targets)) = self.last.take() else { return false };
        let mut missing = self.missing.borrow_mut();
        if missing.len() > MAX_ATTEMPTS
            || !targets.contains(&name)
            || self.knows(&missing, of, targets, name)
        {
            return false;
        }
        missing.push(Missing { of, targets, name });
        true
    }

    fn knows(
        &self,
        missing: &[Missing<'t>],
        of: &Struct,
        targets: &'static [&'static str],
        name: &str,
    ) -> bool {
        missing.len() > MAX_ATTEMPTS
            || missing.iter().any(|known| {
                std::ptr::eq(known.of, of)
                    && std::ptr::eq(known.targets, targets)
                    && known.name == name
            })
    }

    /// The next of `targets` from `from` on that is to be zero although the sender does not know it.
    #[inline]
    fn next_missing(
        &self,
        of: &'t Struct,
        targets: &'static [&'static str],
        plan: &Plan,
        from: &mut usize,
    ) -> Option<&'static str> {
        if plan.is_complete { None } else { self.find_missing(of, targets, plan, from) }
    }

    fn find_missing(
        &self,
        of: &'t Struct,
        targets: &'static [&'static str],
        plan: &Plan,
        from: &mut usize,
    ) -> Option<&'static str> {
        if let Some(missing) = plan.missing.get() {
            let name = missing.get(*from).copied();
            *from += 1;
            return name;
        }
        let missing = self.missing.borrow();
        while let Some(name) = targets.get(*from).filter(|_| !missing.is_empty()) {
            let is_known = plan.of.contains(&(*from as u32));
            *from += 1;
            if !is_known && self.knows(&missing, of, targets, name) {
                return Some(name);
            }
        }
        self.last.set(Some((of, targets)));
        None
    }

    /// Keeps what it took several attempts to find out.
    #[cold]
    fn keep(&self) {
        let missing = self.missing.borrow();
        for Missing { of, targets, .. } in &*missing {
            of.learn(targets, |name| self.knows(&missing, of, targets, name));
        }
    }
}

/// Reads one value.
struct ValueDecoder<'t, 'r, 'de> {
    types: &'t Types,
    attempt: &'r Attempt<'t>,
    reader: &'r mut Reader<'de>,
    /// Its type on the wire.
    id: i32,
    /// Levels of nesting that it may still open.
    depth: usize,
    /// Options and newtypes that it may still consist of before it reads anything: a type like
    /// `struct Chain(Option<Box<Chain>>)` never would.
    wrappers: usize,
    /// Nothing is around it.
    is_root: bool,
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
    fn inner(&mut self, id: i32) -> ValueDecoder<'t, '_, 'de> {
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

    fn elements<V: Visitor<'de>>(
        self,
        of: i32,
        count: usize,
        visitor: V,
    ) -> Result<V::Value> {
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

    fn tuple<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
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
enum Asked {
    /// Whatever there is, or something that is none of them.
    Any,
    Bytes,
    Seq,
    Text,
}

fn visit_bytes<'de, V: Visitor<'de>>(bytes: &'de [u8], asked: Asked, visitor: V) -> Result<V::Value> {
    match asked {
        Asked::Any if !bytes::is_buffering::<V>() => visitor.visit_borrowed_bytes(bytes),
        Asked::Bytes => visitor.visit_borrowed_bytes(bytes),
        Asked::Text => visit_text(bytes, asked, visitor),
        Asked::Any | Asked::Seq => bytes::visit_as_seq(visitor, bytes),
    }
}

/// A string, which in Go need not be UTF-8.
fn visit_text<'de, V: Visitor<'de>>(bytes: &'de [u8], asked: Asked, visitor: V) -> Result<V::Value> {
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
                let plan = of.plan(targets);
                // As in Go, where a struct that is part of another may be all zero.
                if opened.is_root && plan.get().is_foreign {
                    return Err(no_field_in_common(of, targets));
                }
                let mut decoder = opened.enter()?;
                let fields = Fields::new(of, decoder.inner(0))?;
                let mut access = Planned { fields, plan, targets, missing: 0, is_sent: false };
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
                    Err(_) => Err(Undecodable::mismatch(format!("{index} is no variant of {name}"))),
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

/// The elements of a slice or an array.
struct Elements<'t, 'r, 'de> {
    decoder: ValueDecoder<'t, 'r, 'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let id = self.decoder.id;
        seed.deserialize(self.decoder.inner(id)).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map.
struct Entries<'t, 'r, 'de> {
    decoder: ValueDecoder<'t, 'r, 'de>,
    key: i32,
    value: i32,
    left: usize,
    /// A value comes next.
    half: bool,
    /// The fields of the struct that its keys stand for, if any.
    targets: &'static [&'static str],
}

impl Entries<'_, '_, '_> {
    /// Skips what the visitor has not asked for.
    fn finish(&mut self) -> Result<()> {
        let ValueDecoder { types, .. } = self.decoder;
        loop {
            if self.half {
                walk::skip(types, self.value, self.decoder.reader)?;
                self.half = false;
            }
            let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
            self.left = left;
            walk::skip(types, self.key, self.decoder.reader)?;
            self.half = true;
        }
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.half = true;
        if self.targets.is_empty() {
            return seed.deserialize(self.decoder.inner(self.key)).map(Some);
        }
        let sent = self.decoder.reader.text()?;
        let name = names::find(self.targets, sent).unwrap_or(sent);
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        self.half = false;
        seed.deserialize(self.decoder.inner(self.value))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The fields of a struct on the wire, in their order.
struct Fields<'t, 'r, 'de> {
    of: &'t Struct,
    decoder: ValueDecoder<'t, 'r, 'de>,
    /// The field that comes next is at this place; none does, if it is beyond them.
    sent: usize,
    /// The field to look at next.
    next: usize,
}

/// The number of no field.
const END: usize = usize::MAX;

impl<'t, 'r, 'de> Fields<'t, 'r, 'de> {
    #[inline]
    fn new(of: &'t Struct, decoder: ValueDecoder<'t, 'r, 'de>) -> Result<Self> {
        let mut fields = Fields { of, decoder, sent: END, next: 0 };
        fields.advance()?;
        Ok(fields)
    }

    /// Reads which field comes next, after the one before has been read.
    #[inline]
    fn advance(&mut self) -> Result<()> {
        let distance = self.decoder.reader.uint()?;
        if distance == 0 {
            self.sent = END;
            return Ok(());
        }
        // Before the first, `sent` is the number before 0.
        let sent = usize::try_from(distance).ok().and_then(|distance| match self.sent {
            END => distance.checked_sub(1),
            sent => sent.checked_add(distance),
        });
        match sent {
            Some(sent) if sent < self.of.fields.len() => {
                self.sent = sent;
                Ok(())
            }
            _ => Err(NO_FIELD.into()),
        }
    }

    /// The field that comes next.
    fn sent(&self) -> Option<&'t Field> {
        self.of.fields.get(self.sent)
    }

    /// Reads the field that comes next.
    #[inline]
    fn read<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let Some(field) = self.of.fields.get(self.sent) else { return Err(NO_FIELD.into()) };
        let value = seed
            .deserialize(self.decoder.inner(field.id))
            .map_err(|error| error.within(&field.name))?;
        self.advance()?;
        Ok(value)
    }

    fn skip(&mut self) -> Result<()> {
        let Some(field) = self.of.fields.get(self.sent) else { return Err(NO_FIELD.into()) };
        walk::skip(self.decoder.types, field.id, self.decoder.reader)?;
        self.advance()
    }

    /// Skips what the visitor has not asked for.
    #[inline]
    fn finish(&mut self) -> Result<()> {
        while self.sent != END {
            self.skip()?;
        }
        Ok(())
    }
}

/// The fields of a struct, under the names that they have in Rust.
struct Planned<'t, 'r, 'de> {
    fields: Fields<'t, 'r, 'de>,
    plan: PlanRef<'t>,
    targets: &'static [&'static str],
    /// How many of the targets have been looked at, whether they are missing.
    missing: usize,
    /// Whether the field whose value is next was sent; it is zero otherwise.
    is_sent: bool,
}

impl<'de> MapAccess<'de> for &mut Planned<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let plan = self.plan.get();
        while let Some(target) = plan.of.get(self.fields.next) {
            let is_sent = self.fields.sent == self.fields.next;
            self.fields.next += 1;
            if let Some(name) = self.targets.get(*target as usize) {
                self.is_sent = is_sent;
                return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
            }
            if is_sent {
                self.fields.skip()?;
            }
        }
        let attempt = self.fields.decoder.attempt;
        match attempt.next_missing(self.fields.of, self.targets, plan, &mut self.missing) {
            Some(name) => {
                self.is_sent = false;
                seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        if self.is_sent { self.fields.read(seed) } else { seed.deserialize(Zero::new()) }
    }
}

/// The fields of a struct, under the names that were sent.
struct Named<'t, 'r, 'de> {
    fields: Fields<'t, 'r, 'de>,
    /// The type of the field whose value is next, if that was left out.
    omitted: Option<i32>,
}

impl<'t, 'r, 'de> Named<'t, 'r, 'de> {
    fn new(of: &'t Struct, decoder: ValueDecoder<'t, 'r, 'de>) -> Result<Self> {
        Ok(Named { fields: Fields::new(of, decoder)?, omitted: None })
    }
}

impl<'de> MapAccess<'de> for &mut Named<'_, '_, 'de> {
    type Error = Undecodable;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let of = self.fields.of;
        while let Some(field) = of.fields.get(self.fields.next) {
            let is_sent = self.fields.sent == self.fields.next;
            self.fields.next += 1;
            if field.is_placeholder() {
                if is_sent {
                    self.fields.skip()?;
                }
                continue;
            }
            self.omitted = (!is_sent).then_some(field.id);
            return seed.deserialize((*field.name).into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        match self.omitted {
            Some(id) => seed.deserialize(Omitted { types: self.fields.decoder.types, id }),
            None => self.fields.read(seed),
        }
    }
}

/// The fields of a struct, by their position.
struct Positional<'t, 'r, 'de> {
    fields: Fields<'t, 'r, 'de>,
}

impl<'de> SeqAccess<'de> for &mut Positional<'_, '_, 'de> {
    type Error = Undecodable;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(field) = self.fields.of.fields.get(self.fields.next) else { return Ok(None) };
        let is_sent = self.fields.sent == self.fields.next;
        self.fields.next += 1;
        if is_sent {
            return self.fields.read(seed).map(Some);
        }
        let types = self.fields.decoder.types;
        seed.deserialize(Omitted { types, id: field.id }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.of.fields.len() - self.fields.next)
    }
}

/// A field that was left out, for those who do not say what it should be: zero, or nil.
struct Omitted<'t> {
    types: &'t Types,
    id: i32,
}

macro_rules! forward_to_zero {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value> {
            Zero::new().$method($($argument,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Omitted<'_> {
    type Error = Undecodable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let zero = Zero::<Undecodable>::new();
        match self.types.kind(self.id) {
            Ok(Kind::Bool) => visitor.visit_bool(false),
            Ok(Kind::Int) => visitor.visit_i64(0),
            Ok(Kind::Uint) => visitor.visit_u64(0),
            Ok(Kind::Float) => visitor.visit_f64(0.0),
            Ok(Kind::String) => visitor.visit_borrowed_str(""),
            Ok(Kind::Bytes) => visit_bytes(&[], Asked::Any, visitor),
            Ok(Kind::Complex) => zero.deserialize_tuple(2, visitor),
            Ok(Kind::Defined(Type::Slice { .. })) => zero.deserialize_seq(visitor),
            Ok(Kind::Defined(Type::Map { .. })) => zero.deserialize_map(visitor),
            // Of these only a pointer is left out.
            Ok(Kind::Interface | Kind::Defined(_)) | Err(_) => visitor.visit_unit(),
        }
    }

    forward_to_zero! {
        deserialize_option();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }

    forward_to_deserialize_any! { identifier ignored_any }
}

/// A variant without data, by name or number.
struct Unit<D>(D);

impl<'de, D> EnumAccess<'de> for Unit<D>
where
    D: IntoDeserializer<'de, Undecodable>,
{
    type Error = Undecodable;
    type Variant = NoData;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, NoData)> {
        Ok((seed.deserialize(self.0.into_deserializer())?, NoData))
    }
}

struct NoData;

impl NoData {
    #[cold]
    fn refuse<T>(self) -> Result<T> {
        Err(Undecodable::custom("the variant has data in Rust and came without"))
    }
}

impl<'de> VariantAccess<'de> for NoData {
    type Error = Undecodable;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        // `()` is no data.
        seed.deserialize(UnitDeserializer::new()).or_else(|_: Undecodable| self.refuse())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value> {
        self.refuse()
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value> {
        self.refuse()
    }
}

/// A variant with data.
struct Data<'n, 't, 'r, 'de> {
    name: &'n str,
    data: ValueDecoder<'t, 'r, 'de>,
}

impl<'t, 'r, 'de> EnumAccess<'de> for Data<'_, 't, 'r, 'de> {
    type Error = Undecodable;
    type Variant = ValueDecoder<'t, 'r, 'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant)> {
        Ok((seed.deserialize(StrDeserializer::<Undecodable>::new(self.name))?, self.data))
    }
}

impl<'de> VariantAccess<'de> for ValueDecoder<'_, '_, 'de> {
    type Error = Undecodable;

    fn unit_variant(self) -> Result<()> {
        Ok(walk::skip(self.types, self.id, self.reader)?)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.tuple(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_struct("", fields, visitor)
    }
}
