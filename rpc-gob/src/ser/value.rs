//! One value, of any type.

use std::any::type_name;

use serde::ser::{Error as _, Serialize, Serializer};

use super::{
    Kind, Result, Sink, Wrote,
    elements::{Elements, Form},
    entries::Entries,
    fields::{Fields, Variant},
    tuple::Tuple,
};
use crate::{
    complex,
    error::{EncodeError, Unencodable},
    guess, marshaled,
    schema::MAX_VARIANT,
    shape::{Marshaler, Name, Shape},
    wire::{MAX_DEPTH, write_bytes, write_float, write_int, write_uint},
};

/// Writes one value.
pub(crate) struct ValueEncoder<'s, 'o> {
    pub(super) sink: &'s mut Sink<'o>,
    /// Levels of nesting that this value may still open.
    pub(super) depth: usize,
    /// The value is an element of a sequence that so far holds bytes only: a `u8` is written bare.
    pub(super) bare_byte: bool,
    /// The Rust type of the value, or of what is around it.
    pub(super) of: &'static str,
}

impl<'s, 'o> ValueEncoder<'s, 'o> {
    #[inline]
    pub(crate) fn new<T: ?Sized>(sink: &'s mut Sink<'o>) -> Self {
        ValueEncoder { sink, depth: MAX_DEPTH, bare_byte: false, of: type_name::<T>() }
    }

    /// One level down.
    #[inline]
    fn enter(self) -> Result<Self> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(ValueEncoder { depth, ..self }),
            None => Err(EncodeError::TooDeep.into()),
        }
    }

    /// For a value inside this one.
    #[inline]
    pub(super) fn inner<T: ?Sized>(&mut self) -> ValueEncoder<'_, 'o> {
        ValueEncoder { sink: self.sink, depth: self.depth, bare_byte: false, of: type_name::<T>() }
    }

    #[inline]
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.sink.out
    }

    #[inline]
    fn int(self, value: i64) -> Result<Wrote> {
        write_int(self.sink.out, value);
        Ok(Wrote::new(Shape::INT, value == 0))
    }

    #[inline]
    fn uint(self, value: u64) -> Result<Wrote> {
        write_uint(self.sink.out, value);
        Ok(Wrote::new(Shape::UINT, value == 0))
    }

    #[inline]
    fn named(&self, name: &'static str) -> Name {
        Name { name, parameters: guess::parameters(self.of) }
    }

    /// Opens a variant with data: a struct with one field.
    #[inline]
    fn variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(Self, Variant)> {
        if index > MAX_VARIANT {
            return Err(Unencodable::custom("an enum has too many variants"));
        }
        let variant = Variant { of: self.named(name), name: variant, index };
        let mut encoder = self.enter()?;
        write_uint(encoder.out(), u64::from(index) + 1);
        Ok((encoder, variant))
    }

    #[inline]
    fn elements(self, len: Option<usize>) -> Result<Elements<'s, 'o>> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        if let Some(len) = len {
            write_uint(encoder.out(), len as u64);
        }
        Ok(Elements {
            encoder,
            start,
            len,
            count: 0,
            form: Form::Undecided,
            element: Kind::UNKNOWN,
        })
    }

    #[inline]
    fn tuple(self, name: Name, len: usize, variant: Option<Variant>) -> Result<Tuple<'s, 'o>> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        write_uint(encoder.out(), len as u64);
        let open = encoder.sink.shapes.open.len();
        let marks = encoder.sink.shapes.marks.len();
        Ok(Tuple {
            start,
            body: encoder.out().len(),
            encoder,
            len,
            count: 0,
            name,
            variant,
            open,
            marks,
            element: Kind::UNKNOWN,
            same_type: true,
            has_option: false,
            mixed: None,
            nil: false,
        })
    }

    #[inline]
    fn fields(self, name: Name, len: usize, variant: Option<Variant>) -> Result<Fields<'s, 'o>> {
        let encoder = self.enter()?;
        let open = encoder.sink.shapes.open.len();
        Ok(Fields { encoder, name, len, count: 0, last: 0, open, variant })
    }

    /// A newtype whose name is an instruction to this format.
    #[cold]
    fn special<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Result<Wrote> {
        let start = self.out().len();
        let wrote = value.serialize(self.inner::<T>())?;
        let marshaler = marshaled::PREFIXES
            .into_iter()
            .find_map(|(marshaler, prefix)| Some((marshaler, name.strip_prefix(prefix)?)));
        match marshaler {
            Some((marshaler, name)) if matches!(wrote.shape, Shape::BYTES | Shape::EMPTY_SEQ) => {
                let shape = self.sink.shapes.marshaled(marshaler, name)?;
                Ok(Wrote::new(shape, false))
            }
            Some((Marshaler::Text, name)) if wrote.shape == Shape::STRING => {
                let shape = self.sink.shapes.marshaled(Marshaler::Text, name)?;
                Ok(Wrote::new(shape, false))
            }
            Some(_) => Err(Unencodable::custom("what a Go type marshals itself to is bytes")),
            None if name == complex::NAME => {
                if wrote.shape != self.sink.shapes.array(2, Shape::FLOAT)? {
                    return Err(Unencodable::custom("a complex number is two floats"));
                }
                // The number of elements.
                self.out().remove(start);
                Ok(Wrote::new(Shape::COMPLEX, false))
            }
            None => Ok(wrote),
        }
    }
}

macro_rules! write_integers {
    ($($method:ident: $type:ty as $kind:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<Wrote> {
            self.$kind(value.into())
        }
    )*};
}

impl<'s, 'o> Serializer for ValueEncoder<'s, 'o> {
    type Ok = Wrote;
    type Error = Unencodable;
    type SerializeSeq = Elements<'s, 'o>;
    type SerializeTuple = Tuple<'s, 'o>;
    type SerializeTupleStruct = Tuple<'s, 'o>;
    type SerializeTupleVariant = Tuple<'s, 'o>;
    type SerializeMap = Entries<'s, 'o>;
    type SerializeStruct = Fields<'s, 'o>;
    type SerializeStructVariant = Fields<'s, 'o>;

    write_integers! {
        serialize_i8: i8 as int;
        serialize_i16: i16 as int;
        serialize_i32: i32 as int;
        serialize_i64: i64 as int;
        serialize_u16: u16 as uint;
        serialize_u32: u32 as uint;
        serialize_u64: u64 as uint;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<Wrote> {
        self.sink.out.push(u8::from(value));
        Ok(Wrote::new(Shape::BOOL, !value))
    }

    fn serialize_i128(self, value: i128) -> Result<Wrote> {
        match i64::try_from(value) {
            Ok(value) => self.int(value),
            Err(_) => Err(EncodeError::TooWide(value.to_string()).into()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<Wrote> {
        match u64::try_from(value) {
            Ok(value) => self.uint(value),
            Err(_) => Err(EncodeError::TooWide(value.to_string()).into()),
        }
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<Wrote> {
        if self.bare_byte {
            self.sink.out.push(value);
        } else {
            write_uint(self.sink.out, value.into());
        }
        Ok(Wrote::new(Shape::BYTE, value == 0))
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<Wrote> {
        self.serialize_f64(value.into())
    }

    /// Go leaves -0 out of a struct like 0, and reads it if it is there; so it is there.
    #[inline]
    fn serialize_f64(self, value: f64) -> Result<Wrote> {
        write_float(self.sink.out, value);
        Ok(Wrote::new(Shape::FLOAT, value.to_bits() == 0))
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<Wrote> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<Wrote> {
        write_bytes(self.sink.out, value.as_bytes());
        Ok(Wrote::new(Shape::STRING, value.is_empty()))
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<Wrote> {
        write_bytes(self.sink.out, value);
        Ok(Wrote::new(Shape::BYTES, value.is_empty()))
    }

    #[inline]
    fn serialize_none(self) -> Result<Wrote> {
        Ok(Wrote::new(Shape::NONE, true))
    }

    /// A struct does not leave it out, zero or not: a pointer to zero in Go.
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Wrote> {
        let mut wrote = value.serialize(self.inner::<T>())?;
        wrote.shape = wrote.shape.alone();
        wrote.zero = wrote.shape == Shape::NONE;
        if wrote.hint.is_empty() {
            wrote.hint = type_name::<T>();
        }
        Ok(wrote)
    }

    #[inline]
    fn serialize_unit(self) -> Result<Wrote> {
        self.serialize_unit_struct("")
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<Wrote> {
        self.fields(Name { name, parameters: "" }, 0, None)?.finish()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Wrote> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Wrote> {
        if name.starts_with('$') {
            return self.special(name, value);
        }
        let mut wrote = value.serialize(ValueEncoder { of: type_name::<T>(), ..self })?;
        if wrote.hint.is_empty() {
            wrote.hint = type_name::<T>();
        }
        Ok(wrote)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Wrote> {
        let (mut encoder, variant) = self.variant(name, index, variant)?;
        let wrote = value.serialize(encoder.inner::<T>())?;
        let shape = encoder.sink.settle::<T>(&wrote)?;
        variant.finish(encoder.sink, shape)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'s, 'o>> {
        self.elements(len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Tuple<'s, 'o>> {
        let name = self.named("");
        self.tuple(name, len, None)
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Tuple<'s, 'o>> {
        let name = self.named(name);
        self.tuple(name, len, None)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Tuple<'s, 'o>> {
        let (encoder, of) = self.variant(name, index, variant)?;
        let name = encoder.named(variant);
        encoder.tuple(name, len, Some(of))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'s, 'o>> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        if let Some(len) = len {
            write_uint(encoder.out(), len as u64);
        }
        Ok(Entries { encoder, start, len, count: 0, key: Kind::UNKNOWN, value: Kind::UNKNOWN })
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'s, 'o>> {
        let name = self.named(name);
        self.fields(name, len, None)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'s, 'o>> {
        let (encoder, of) = self.variant(name, index, variant)?;
        let name = encoder.named(variant);
        encoder.fields(name, len, Some(of))
    }

    /// Where `Vec`, slices and the other collections come in, and so where bytes are many.
    #[inline]
    fn collect_seq<I>(self, items: I) -> Result<Wrote>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let mut items = items.into_iter();
        let len = match items.size_hint() {
            (low, Some(high)) if low == high => Some(low),
            _ => None,
        };
        let mut elements = self.elements(len)?;
        if let Some(first) = items.next() {
            elements.write(&first)?;
            if let Form::Bytes(_) = elements.form {
                elements.write_bytes(items)?;
            } else {
                for item in items {
                    elements.write(&item)?;
                }
            }
        }
        elements.finish()
    }
}
