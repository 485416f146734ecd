//! A serde value as Go sees it, in either format.
//!
//! What is the same in JSON and in MessagePack is here: names, bytes, `struct{}`, depth. How each
//! of them is spelt is the format's ([`Writer`]).

use std::{any::type_name, fmt::Display, marker::PhantomData};

use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct,
    SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
    Serializer,
};

use super::{
    super::{EncodeError, MAX_DEPTH, bytes::ByteProbe, fail::Fail},
    names::with_go_name,
};

/// How a format spells what Go has.
pub(super) trait Writer {
    /// A map's keys are strings, whatever they are in Go.
    const KEYS_ARE_TEXT: bool;
    /// Whether types that have a text and a binary form are written as text.
    const HUMAN_READABLE: bool;

    fn nil(out: &mut Vec<u8>);
    fn bool(out: &mut Vec<u8>, value: bool);
    fn int(out: &mut Vec<u8>, value: i64);
    fn uint(out: &mut Vec<u8>, value: u64);
    fn f32(out: &mut Vec<u8>, value: f32) -> Result<(), Fail>;
    fn f64(out: &mut Vec<u8>, value: f64) -> Result<(), Fail>;
    fn text(out: &mut Vec<u8>, value: &str) -> Result<(), Fail>;
    fn bytes(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fail>;

    /// `len` bytes that are not in one place.
    fn byte_stream(
        out: &mut Vec<u8>,
        len: usize,
        value: impl Iterator<Item = u8>,
    ) -> Result<(), Fail>;

    /// Begins a collection of `len` elements, if that is known.
    fn open(out: &mut Vec<u8>, kind: Kind, len: Option<usize>) -> Result<(), Fail>;
    /// Comes before an element or a key that has `count` before it.
    fn separate(out: &mut Vec<u8>, count: usize);
    /// Comes between a key and its value.
    fn assign(out: &mut Vec<u8>);
    /// Ends a collection that began at `start` of the output.
    fn close(
        out: &mut Vec<u8>,
        kind: Kind,
        start: usize,
        len: Option<usize>,
        count: usize,
    ) -> Result<(), Fail>;
}

/// What a collection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Seq,
    Map,
}

/// Appends `value` to `out`.
pub(super) fn encode<W: Writer, T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), EncodeError> {
    let start = out.len();
    let encoder = Encoder { out: &mut *out, depth: MAX_DEPTH, format: PhantomData::<W> };
    encoder.write(value).map_err(|fail| {
        out.truncate(start);
        fail.into()
    })
}

/// Writes one value.
struct Encoder<'o, W> {
    out: &'o mut Vec<u8>,
    /// Levels of nesting that this value may still open.
    depth: usize,
    format: PhantomData<W>,
}

impl<'o, W: Writer> Encoder<'o, W> {
    #[inline]
    fn write<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fail> {
        if is_unit::<T>() { self.empty_struct() } else { value.serialize(self) }
    }

    /// Go's `struct{}`.
    #[inline]
    fn empty_struct(self) -> Result<(), Fail> {
        self.collection(Kind::Map, Some(0))?.finish()
    }

    /// For a value inside this one.
    #[inline]
    fn inner(&mut self) -> Encoder<'_, W> {
        Encoder { out: self.out, depth: self.depth, format: PhantomData }
    }

    #[inline]
    fn collection(mut self, kind: Kind, len: Option<usize>) -> Result<Collection<'o, W>, Fail> {
        self.depth = self.depth.checked_sub(1).ok_or_else(Fail::too_deep)?;
        let start = self.out.len();
        W::open(self.out, kind, len)?;
        Ok(Collection { encoder: self, kind, start, len, count: 0, variant: None, bytes: None })
    }

    /// The collection that is the data of a variant, inside the map that says which one it is.
    #[inline]
    fn variant(
        self,
        name: &'static str,
        kind: Kind,
        len: usize,
    ) -> Result<Collection<'o, W>, Fail> {
        let mut map = self.collection(Kind::Map, Some(1))?;
        map.name(name)?;
        let variant = map.start;
        Ok(Collection { variant: Some(variant), ..map.encoder.collection(kind, Some(len))? })
    }

    fn wide<T>(self, value: T) -> Result<(), Fail>
    where
        T: Copy + Display + TryInto<i64> + TryInto<u64>,
    {
        match (value.try_into(), value.try_into()) {
            (_, Ok(value)) => self.serialize_u64(value),
            (Ok(value), _) => self.serialize_i64(value),
            _ => Err(Fail::new(format_args!("{value} has more than the 64 bits of Go's integers"))),
        }
    }
}

/// Whether `T` is `u8`, as in Go's `[]byte`.
///
/// Asked by name: serde gives a type parameter no other way to tell. No type but the primitive has
/// a name without a path.
#[inline]
fn is_byte<T: ?Sized>() -> bool {
    matches!(type_name::<T>(), "u8" | "&u8" | "&&u8" | "&mut u8")
}

/// Whether `T` is `()`, which to serde is the same as the null of a `serde_json::Value`.
#[inline]
fn is_unit<T: ?Sized>() -> bool {
    matches!(type_name::<T>(), "()" | "&()")
}

/// The byte that a value is of which [`is_byte`] holds.
#[inline]
fn byte<T: Serialize + ?Sized>(value: &T) -> u8 {
    value.serialize(ByteProbe).unwrap_or_default()
}

macro_rules! write_scalars {
    ($($method:ident: $type:ty => $write:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Fail> {
            W::$write(self.out, value.into());
            Ok(())
        }
    )*};
}

impl<'o, W: Writer> Serializer for Encoder<'o, W> {
    type Ok = ();
    type Error = Fail;
    type SerializeSeq = Collection<'o, W>;
    type SerializeTuple = Collection<'o, W>;
    type SerializeTupleStruct = Collection<'o, W>;
    type SerializeTupleVariant = Collection<'o, W>;
    type SerializeMap = Collection<'o, W>;
    type SerializeStruct = Collection<'o, W>;
    type SerializeStructVariant = Collection<'o, W>;

    #[inline]
    fn is_human_readable(&self) -> bool {
        W::HUMAN_READABLE
    }

    write_scalars! {
        serialize_bool: bool => bool;
        serialize_i8: i8 => int;
        serialize_i16: i16 => int;
        serialize_i32: i32 => int;
        serialize_i64: i64 => int;
        serialize_u8: u8 => uint;
        serialize_u16: u16 => uint;
        serialize_u32: u32 => uint;
        serialize_u64: u64 => uint;
    }

    fn serialize_i128(self, value: i128) -> Result<(), Fail> {
        self.wide(value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Fail> {
        self.wide(value)
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), Fail> {
        W::f32(self.out, value)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Fail> {
        W::f64(self.out, value)
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), Fail> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Fail> {
        W::text(self.out, value)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fail> {
        W::bytes(self.out, value)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Fail> {
        W::nil(self.out);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fail> {
        self.write(value)
    }

    /// What is nothing and not `()`.
    #[inline]
    fn serialize_unit(self) -> Result<(), Fail> {
        self.serialize_none()
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fail> {
        self.empty_struct()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Fail> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fail> {
        self.write(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fail> {
        let mut map = self.collection(Kind::Map, Some(1))?;
        map.name(variant)?;
        map.encoder.inner().write(value)?;
        map.finish()
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Fail> {
        self.collection(Kind::Seq, len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Fail> {
        self.collection(Kind::Seq, Some(len))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Fail> {
        self.collection(Kind::Seq, Some(len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Fail> {
        self.variant(variant, Kind::Seq, len)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Fail> {
        self.collection(Kind::Map, len)
    }

    #[inline]
    fn serialize_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, Fail> {
        self.collection(Kind::Map, Some(len))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Fail> {
        self.variant(variant, Kind::Map, len)
    }

    /// Where `Vec`, slices and the other collections come in, and so where bytes are many.
    #[inline]
    fn collect_seq<I>(self, items: I) -> Result<(), Fail>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let items = items.into_iter();
        let len = match items.size_hint() {
            (low, Some(high)) if low == high => Some(low),
            _ => None,
        };
        if is_byte::<I::Item>() {
            // A loop of which the compiler makes a copy of memory.
            let bytes = items.map(|item| byte(&item));
            return match len {
                Some(len) => W::byte_stream(self.out, len, bytes),
                None => W::bytes(self.out, &bytes.collect::<Vec<u8>>()),
            };
        }
        let mut elements = self.collection(Kind::Seq, len)?;
        for item in items {
            elements.element(&item)?;
        }
        elements.finish()
    }
}

/// Writes a sequence, a map or a struct.
struct Collection<'o, W> {
    encoder: Encoder<'o, W>,
    kind: Kind,
    /// Where it begins in the output.
    start: usize,
    len: Option<usize>,
    /// Elements or keys so far.
    count: usize,
    /// Where the map around it begins that says of which variant it is the data.
    variant: Option<usize>,
    /// The elements of a sequence that come one by one and are bytes.
    bytes: Option<Vec<u8>>,
}

impl<W: Writer> Collection<'_, W> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fail> {
        W::separate(self.encoder.out, self.count);
        self.count += 1;
        self.encoder.inner().write(value)
    }

    /// A key that is a name, and what comes between it and its value.
    #[inline]
    fn name(&mut self, name: &str) -> Result<(), Fail> {
        W::separate(self.encoder.out, self.count);
        self.count += 1;
        W::text(self.encoder.out, name)?;
        W::assign(self.encoder.out);
        Ok(())
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Result<(), Fail> {
        with_go_name(field, |name| self.name(name))?;
        self.encoder.inner().write(value)
    }

    #[inline]
    fn finish(self) -> Result<(), Fail> {
        let Collection { encoder, kind, start, len, count, variant, bytes } = self;
        if let Some(len) = len
            && len != count
        {
            return Err(miscounted(len, count));
        }
        if let Some(bytes) = bytes {
            encoder.out.truncate(start);
            W::bytes(encoder.out, &bytes)?;
        } else {
            W::close(encoder.out, kind, start, len, count)?;
        }
        match variant {
            Some(start) => W::close(encoder.out, Kind::Map, start, Some(1), 1),
            None => Ok(()),
        }
    }
}

#[cold]
pub(super) fn miscounted(announced: usize, given: usize) -> Fail {
    Fail::custom(format_args!("its `Serialize` announced {announced} elements and gave {given}"))
}

impl<W: Writer> SerializeSeq for Collection<'_, W> {
    type Ok = ();
    type Error = Fail;

    /// Bytes are held back until the last of them: not every sequence comes by `collect_seq`.
    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fail> {
        let is_byte = is_byte::<T>();
        if is_byte && (self.count == 0 || self.bytes.is_some()) {
            self.bytes.get_or_insert_default().push(byte(value));
            self.count += 1;
            return Ok(());
        }
        if let Some(bytes) = self.bytes.take() {
            self.count = 0;
            for byte in bytes {
                self.element(&byte)?;
            }
        }
        self.element(value)
    }

    #[inline]
    fn end(self) -> Result<(), Fail> {
        self.finish()
    }
}

/// serde has a trait for each shape of sequence and of struct; they are written alike.
macro_rules! write_compound {
    ($($trait:ident :: $method:ident($($name:ident: $key:ty)?) by $write:ident;)*) => {$(
        impl<W: Writer> $trait for Collection<'_, W> {
            type Ok = ();
            type Error = Fail;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $key,)? value: &T) -> Result<(), Fail> {
                self.$write($($name,)? value)
            }

            #[inline]
            fn end(self) -> Result<(), Fail> {
                self.finish()
            }
        }
    )*};
}

write_compound! {
    SerializeTuple::serialize_element() by element;
    SerializeTupleStruct::serialize_field() by element;
    SerializeTupleVariant::serialize_field() by element;
    SerializeStruct::serialize_field(name: &'static str) by field;
    SerializeStructVariant::serialize_field(name: &'static str) by field;
}

impl<W: Writer> SerializeMap for Collection<'_, W> {
    type Ok = ();
    type Error = Fail;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fail> {
        if !W::KEYS_ARE_TEXT {
            return self.element(key);
        }
        W::separate(self.encoder.out, self.count);
        self.count += 1;
        key.serialize(TextKey { out: self.encoder.out, format: PhantomData::<W> })
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fail> {
        W::assign(self.encoder.out);
        self.encoder.inner().write(value)
    }

    #[inline]
    fn end(self) -> Result<(), Fail> {
        self.finish()
    }
}

/// Writes a map's key where keys are text: strings, and what Go makes strings of.
struct TextKey<'o, W> {
    out: &'o mut Vec<u8>,
    format: PhantomData<W>,
}

#[cold]
fn no_key() -> Fail {
    Fail::new("a map's key must be a string or an integer")
}

macro_rules! display_keys {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, value: $type) -> Result<(), Fail> {
            W::text(self.out, &value.to_string())
        }
    )*};
}

macro_rules! refuse_keys {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$ok, Fail> {
            Err(no_key())
        }
    )*};
}

impl<W: Writer> Serializer for TextKey<'_, W> {
    type Ok = ();
    type Error = Fail;
    type SerializeSeq = Impossible<(), Fail>;
    type SerializeTuple = Impossible<(), Fail>;
    type SerializeTupleStruct = Impossible<(), Fail>;
    type SerializeTupleVariant = Impossible<(), Fail>;
    type SerializeMap = Impossible<(), Fail>;
    type SerializeStruct = Impossible<(), Fail>;
    type SerializeStructVariant = Impossible<(), Fail>;

    fn is_human_readable(&self) -> bool {
        W::HUMAN_READABLE
    }

    display_keys! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Fail> {
        W::text(self.out, value)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Fail> {
        W::text(self.out, variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fail> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fail> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Fail> {
        Err(no_key())
    }

    refuse_keys! {
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}
