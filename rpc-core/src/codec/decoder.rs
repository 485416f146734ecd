//! rmp-serde's `Deserializer` with bytes as sequences, and limits.
//!
//! serde deserialises by a dialogue: the type hands a visitor to the deserializer, the deserializer
//! answers with what it found, the visitor asks for the parts. To be asked for every part, this
//! deserializer puts itself between the two, all the way down: it wraps the visitor
//! ([`Watched`]), which wraps what the visitor is shown ([`Parts`], [`Variant`]), which wraps the
//! seeds of the parts ([`Seed`]), which find themselves before a [`Decoder`] again.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{MAX_DEPTH, bytes};

/// The error of a body that is nested too deep, whatever error type it passes through.
pub(super) const TOO_DEEP: &str = "nested too deep";

/// What reads the values: rmp-serde, straight from the body.
pub(super) type Reader<'de> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'de, [u8]>>;

/// Whether there is anything in the body behind what was read.
pub(super) fn has_more(reader: &mut Reader<'_>) -> bool {
    /// Takes whatever is there, without reading it.
    struct Anything;

    impl<'de> Visitor<'de> for Anything {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }

        fn visit_none<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_some<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
            Ok(())
        }
    }

    // An option is the one thing that rmp-serde recognises by its first byte alone.
    reader.deserialize_option(Anything).is_ok()
}

/// How much further a value may go.
#[derive(Clone, Copy)]
struct Bounds {
    /// Levels of nesting that it may still open.
    depth: usize,
    /// Options and newtypes that it may still consist of before it reads anything: a type like
    /// `struct Chain(Option<Box<Chain>>)` never would.
    wrappers: usize,
    /// Bytes in the body: no sequence in it has more elements, whatever it claims
    /// (`[body.lengths]`).
    body: usize,
}

impl Bounds {
    #[inline]
    fn enter<E: Error>(self) -> Result<Bounds, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Bounds { depth, wrappers: MAX_DEPTH, ..self }),
            None => Err(E::custom(TOO_DEEP)),
        }
    }

    #[inline]
    fn enter_wrapper<E: Error>(self) -> Result<Bounds, E> {
        match self.wrappers.checked_sub(1) {
            Some(wrappers) => Ok(Bounds { wrappers, ..self }),
            None => Err(E::custom(TOO_DEEP)),
        }
    }
}

/// What a visitor asked for, as far as bytes and sequences go: MessagePack has `bin` for the one and
/// arrays for the other, and one has to pass for the other (`[body.bytes-any]`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whatever there is, or something that is neither.
    Any,
    /// Bytes.
    Bytes,
    /// A sequence.
    Seq,
}

/// Reads one value.
pub(super) struct Decoder<D> {
    reader: D,
    bounds: Bounds,
}

impl<'r, 'de> Decoder<&'r mut Reader<'de>> {
    #[inline]
    pub(super) fn new(reader: &'r mut Reader<'de>, body: usize) -> Self {
        Decoder { reader, bounds: Bounds { depth: MAX_DEPTH, wrappers: MAX_DEPTH, body } }
    }
}

impl<D> Decoder<D> {
    #[inline]
    fn watch<V>(&self, visitor: V, asked: Asked) -> Watched<V> {
        Watched { visitor, asked, bounds: self.bounds }
    }
}

/// 128 bits have no form of their own in MessagePack; rmp-serde makes `bin` of them and has to be asked
/// for them by name.
macro_rules! read_by_name {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.reader.$method(visitor)
        }
    )*};
}

/// What may have parts, and what may turn out to be something else: rmp-serde says what it found
/// instead only if it is asked for anything.
macro_rules! read_any {
    ($($method:ident($($hint:ty),*) as $asked:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $(_: $hint,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.watch(visitor, Asked::$asked);
            self.reader.deserialize_any(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Decoder<D> {
    type Error = D::Error;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    read_by_name! {
        deserialize_i128 deserialize_u128
    }

    read_any! {
        deserialize_any() as Any;
        deserialize_bool() as Any;
        deserialize_i8() as Any;
        deserialize_i16() as Any;
        deserialize_i32() as Any;
        deserialize_i64() as Any;
        deserialize_u8() as Any;
        deserialize_u16() as Any;
        deserialize_u32() as Any;
        deserialize_u64() as Any;
        deserialize_f32() as Any;
        deserialize_f64() as Any;
        deserialize_char() as Any;
        deserialize_str() as Any;
        deserialize_string() as Any;
        deserialize_identifier() as Any;
        deserialize_bytes() as Bytes;
        deserialize_byte_buf() as Bytes;
        deserialize_unit() as Any;
        deserialize_ignored_any() as Any;
        deserialize_map() as Any;
        deserialize_struct(&'static str, &'static [&'static str]) as Seq;
        deserialize_seq() as Seq;
        deserialize_tuple(usize) as Seq;
        deserialize_tuple_struct(&'static str, usize) as Seq;
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.watch(visitor, Asked::Any);
        self.reader.deserialize_option(visitor)
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.watch(visitor, Asked::Any);
        self.reader.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.watch(visitor, Asked::Any);
        self.reader.deserialize_newtype_struct(name, visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.watch(visitor, Asked::Any);
        self.reader.deserialize_enum(name, variants, visitor)
    }
}

/// A visitor whose parts are read within bounds.
struct Watched<V> {
    visitor: V,
    asked: Asked,
    bounds: Bounds,
}

macro_rules! visit_scalars {
    ($($method:ident: $type:ty,)*) => {$(
        #[inline]
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    visit_scalars! {
        visit_bool: bool,
        visit_i8: i8,
        visit_i16: i16,
        visit_i32: i32,
        visit_i64: i64,
        visit_i128: i128,
        visit_u8: u8,
        visit_u16: u16,
        visit_u32: u32,
        visit_u64: u64,
        visit_u128: u128,
        visit_f32: f32,
        visit_f64: f64,
        visit_char: char,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_byte_buf: Vec<u8>,
    }

    #[inline]
    fn visit_borrowed_bytes<E: Error>(self, value: &'de [u8]) -> Result<V::Value, E> {
        match self.asked {
            Asked::Any if !bytes::is_buffering::<V>() => self.visitor.visit_borrowed_bytes(value),
            Asked::Bytes => self.visitor.visit_borrowed_bytes(value),
            Asked::Any | Asked::Seq => bytes::visit_as_seq(self.visitor, value),
        }
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Decoder { reader, bounds: self.bounds.enter_wrapper()? })
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, reader: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Decoder { reader, bounds: self.bounds.enter_wrapper()? })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        // The sequence of no elements might have been one of bytes.
        if self.asked == Asked::Bytes && access.size_hint() == Some(0) {
            return self.visitor.visit_borrowed_bytes(&[]);
        }
        self.visitor.visit_seq(Parts { access, bounds: self.bounds.enter()? })
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Parts { access, bounds: self.bounds.enter()? })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Variant { access, bounds: self.bounds })
    }
}

/// A part's seed, whose parts are read within bounds.
struct Seed<S> {
    seed: S,
    bounds: Bounds,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Decoder { reader, bounds: self.bounds })
    }
}

/// The parts of a sequence or a map.
struct Parts<A> {
    access: A,
    bounds: Bounds,
}

impl<A> Parts<A> {
    #[inline]
    fn seed<S>(&self, seed: S) -> Seed<S> {
        Seed { seed, bounds: self.bounds }
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Parts<A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.access.next_element_seed(self.seed(seed))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.access.size_hint().map(|claimed| claimed.min(self.bounds.body))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Parts<A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.access.next_key_seed(self.seed(seed))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.access.next_value_seed(self.seed(seed))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.access.size_hint().map(|claimed| claimed.min(self.bounds.body))
    }
}

/// A variant of an enum: a name, and a level down if there is data with it.
struct Variant<A> {
    access: A,
    bounds: Bounds,
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Variant<A> {
    type Error = A::Error;
    type Variant = Variant<A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let Variant { access, bounds } = self;
        let (name, access) = access.variant_seed(Seed { seed, bounds })?;
        Ok((name, Variant { access, bounds }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Variant<A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.access.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.access.newtype_variant_seed(Seed { seed, bounds: self.bounds.enter()? })
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let bounds = self.bounds.enter()?;
        self.access.tuple_variant(len, Watched { visitor, asked: Asked::Seq, bounds })
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let bounds = self.bounds.enter()?;
        self.access.struct_variant(fields, Watched { visitor, asked: Asked::Seq, bounds })
    }
}
