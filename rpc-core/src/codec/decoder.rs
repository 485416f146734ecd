//! A serde value from MessagePack, within bounds.
//!
//! serde deserialises by a dialogue: the type hands a visitor to the deserializer, the deserializer
//! answers with what it found, the visitor asks for the parts. What the type asked for matters in
//! few places: bytes and sequences pass for each other ([`Asked`]), and the names of a struct's
//! fields are looked up where they lie ([`Input::name`]).

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor, value::BorrowedStrDeserializer,
};

use super::{
    MAX_DEPTH, bytes, extension,
    fail::Fail,
    msgpack::read::{Input, Integer},
};

/// Reads the value that `bytes` are, all of them.
#[inline]
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Fail> {
    let mut input = Input::new(bytes);
    let value = T::deserialize(Decoder { input: &mut input, bounds: Bounds::NEW })?;
    if input.left.is_empty() { Ok(value) } else { Err(Fail::trailing()) }
}

/// How much further a value may go.
#[derive(Clone, Copy)]
struct Bounds {
    /// Levels of nesting that it may still open.
    depth: u8,
    /// Options and newtypes that it may still consist of before it reads anything: a type like
    /// `struct Chain(Option<Box<Chain>>)` never would.
    wrappers: u8,
}

impl Bounds {
    const NEW: Bounds = {
        assert!(MAX_DEPTH <= u8::MAX as usize);
        Bounds { depth: MAX_DEPTH as u8, wrappers: MAX_DEPTH as u8 }
    };

    #[inline]
    fn enter(self) -> Result<Bounds, Fail> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Bounds { depth, ..Bounds::NEW }),
            None => Err(Fail::too_deep()),
        }
    }

    #[inline]
    fn enter_wrapper(self) -> Result<Bounds, Fail> {
        match self.wrappers.checked_sub(1) {
            Some(wrappers) => Ok(Bounds { wrappers, ..self }),
            None => Err(Fail::too_deep()),
        }
    }
}

/// What a visitor asked for, as far as one thing may have to pass for another: MessagePack has `bin`
/// for bytes and arrays for sequences (`[body.bytes-any]`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whatever there is, or something that is neither.
    Any,
    /// Whatever there is, and nobody will look at it.
    Nothing,
    /// Bytes.
    Bytes,
    /// A sequence.
    Seq,
}

/// Reads one value.
struct Decoder<'r, 'de> {
    input: &'r mut Input<'de>,
    bounds: Bounds,
}

impl<'de> Decoder<'_, 'de> {
    /// The value, asked for by what is inside an option or a newtype.
    #[inline]
    fn unwrapped(self) -> Result<Self, Fail> {
        Ok(Decoder { bounds: self.bounds.enter_wrapper()?, ..self })
    }

    /// Reads whatever there is.
    fn any<V: Visitor<'de>>(self, asked: Asked, visitor: V) -> Result<V::Value, Fail> {
        let input = self.input;
        match input.integer() {
            Integer::Uint(value) => return visitor.visit_u64(value),
            Integer::Int(value) => return visitor.visit_i64(value),
            Integer::Other => {}
        }
        let [marker] = input.array()?;
        let (len, form) = match marker {
            // Integers that are not all there.
            0x00..=0x7F | 0xCC..=0xD3 | 0xE0..=0xFF => return Err(Fail::truncated()),
            0x80..=0x8F => (usize::from(marker & 0x0F), Form::Map),
            0x90..=0x9F => (usize::from(marker & 0x0F), Form::Seq),
            0xA0..=0xBF => (usize::from(marker & 0x1F), Form::Text),
            0xC0 => return visitor.visit_unit(),
            0xC1 => return Err(Fail::new("malformed MessagePack: the marker c1 means nothing")),
            0xC2 => return visitor.visit_bool(false),
            0xC3 => return visitor.visit_bool(true),
            0xC4 => (input.length::<1>()?, Form::Bin),
            0xC5 => (input.length::<2>()?, Form::Bin),
            0xC6 => (input.length::<4>()?, Form::Bin),
            0xC7..=0xC9 | 0xD4..=0xD8 => {
                return extension::read(marker, input)?.visit(asked == Asked::Nothing, visitor);
            }
            0xCA => return visitor.visit_f32(f32::from_be_bytes(input.array()?)),
            0xCB => return visitor.visit_f64(f64::from_be_bytes(input.array()?)),
            0xD9 => (input.length::<1>()?, Form::Text),
            0xDA => (input.length::<2>()?, Form::Text),
            0xDB => (input.length::<4>()?, Form::Text),
            0xDC => (input.length::<2>()?, Form::Seq),
            0xDD => (input.length::<4>()?, Form::Seq),
            0xDE => (input.length::<2>()?, Form::Map),
            0xDF => (input.length::<4>()?, Form::Map),
        };
        let bounds = self.bounds;
        match form {
            Form::Text => visit_text(input.take(len)?, asked, visitor),
            Form::Bin => visit_bytes(input.take(len)?, asked, visitor),
            Form::Seq => {
                let left = input.claimed(len, 1)?;
                Decoder { input, bounds }.seq(left, asked, visitor)
            }
            Form::Map => {
                let left = input.claimed(len, 2)?;
                Decoder { input, bounds }.map(left, &[], visitor)
            }
        }
    }

    /// The elements of a sequence.
    #[inline]
    fn seq<V: Visitor<'de>>(self, left: usize, asked: Asked, visitor: V) -> Result<V::Value, Fail> {
        let bounds = self.bounds.enter()?;
        // The sequence of no elements might have been one of bytes.
        if asked == Asked::Bytes && left == 0 {
            return visitor.visit_borrowed_bytes(&[]);
        }
        let mut elements = Elements { input: self.input, bounds, left };
        let value = visitor.visit_seq(&mut elements)?;
        if elements.left == 0 { Ok(value) } else { Err(left_over("sequence")) }
    }

    /// The entries of a map, or of a struct with these fields.
    #[inline]
    fn map<V: Visitor<'de>>(
        self,
        left: usize,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        let bounds = self.bounds.enter()?;
        let mut entries = Entries { input: self.input, bounds, left, fields, at: 0 };
        let value = visitor.visit_map(&mut entries)?;
        if entries.left == 0 { Ok(value) } else { Err(left_over("map")) }
    }

    /// An integer, which the visitor wants, or whatever there is instead.
    #[inline]
    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        match self.input.integer() {
            Integer::Uint(value) => visitor.visit_u64(value),
            Integer::Int(value) => visitor.visit_i64(value),
            Integer::Other => self.any(Asked::Any, visitor),
        }
    }

    /// The 16 bytes of a large integer, or any smaller one.
    fn large_integer<V: Visitor<'de>>(
        self,
        visitor: V,
        visit: impl FnOnce(V, [u8; 16]) -> Result<V::Value, Fail>,
    ) -> Result<V::Value, Fail> {
        if let [0xC4, 16, left @ ..] = self.input.left {
            self.input.left = left;
            return visit(visitor, self.input.array()?);
        }
        self.integer(visitor)
    }
}

/// What a length is the length of.
enum Form {
    Text,
    Bin,
    Seq,
    Map,
}

#[cold]
fn left_over(collection: &str) -> Fail {
    Fail::new(format_args!("the {collection} has more in it than was expected"))
}

/// Shows a string to a visitor: as bytes, if it is not UTF-8 and the visitor takes those.
#[inline]
fn visit_text<'de, V: Visitor<'de>>(
    text: &'de [u8],
    asked: Asked,
    visitor: V,
) -> Result<V::Value, Fail> {
    if asked == Asked::Nothing {
        return visitor.visit_unit();
    }
    match str::from_utf8(text) {
        Ok(text) => visitor.visit_borrowed_str(text),
        Err(error) => visit_bytes(text, asked, visitor)
            .map_err(|_| Fail::new(format_args!("a string that is not UTF-8: {error}"))),
    }
}

/// Shows bytes to a visitor.
#[inline]
fn visit_bytes<'de, V: Visitor<'de>>(
    bytes: &'de [u8],
    asked: Asked,
    visitor: V,
) -> Result<V::Value, Fail> {
    match asked {
        // What serde buffers as bytes it later refuses to give to `Vec<u8>`.
        Asked::Any if bytes::is_buffering::<V>() => bytes::visit_as_seq(visitor, bytes),
        Asked::Any | Asked::Bytes => visitor.visit_borrowed_bytes(bytes),
        Asked::Seq => bytes::visit_as_seq(visitor, bytes),
        Asked::Nothing => visitor.visit_unit(),
    }
}

macro_rules! read_integers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
            self.integer(visitor)
        }
    )*};
}

macro_rules! read_any {
    ($($method:ident($($hint:ty),*) as $asked:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $(_: $hint,)* visitor: V) -> Result<V::Value, Fail> {
            self.any(Asked::$asked, visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Decoder<'_, 'de> {
    type Error = Fail;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    read_integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    read_any! {
        deserialize_any() as Any;
        deserialize_bool() as Any;
        deserialize_f32() as Any;
        deserialize_f64() as Any;
        deserialize_char() as Any;
        deserialize_str() as Any;
        deserialize_string() as Any;
        deserialize_identifier() as Any;
        deserialize_bytes() as Bytes;
        deserialize_byte_buf() as Bytes;
        deserialize_unit() as Any;
        deserialize_ignored_any() as Nothing;
        deserialize_map() as Any;
        deserialize_seq() as Seq;
        deserialize_tuple(usize) as Seq;
        deserialize_tuple_struct(&'static str, usize) as Seq;
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.large_integer(visitor, |visitor, value| visitor.visit_i128(i128::from_be_bytes(value)))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.large_integer(visitor, |visitor, value| visitor.visit_u128(u128::from_be_bytes(value)))
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.input.nil()? { visitor.visit_none() } else { visitor.visit_some(self.unwrapped()?) }
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        // An empty array, as it is sent, or nil.
        if let [0x90, left @ ..] = self.input.left {
            self.input.left = left;
            return visitor.visit_unit();
        }
        self.any(Asked::Any, visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        if name == extension::NAME {
            let [marker] = self.input.array()?;
            return extension::read(marker, self.input)?.visit(false, visitor);
        }
        visitor.visit_newtype_struct(self.unwrapped()?)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        match self.input.map()? {
            Some(left) => self.map(left, fields, visitor),
            // Some write structs as arrays.
            None => self.any(Asked::Seq, visitor),
        }
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        let Decoder { input, bounds } = self;
        let has_data = match input.map()? {
            Some(1) => true,
            Some(_) => return Err(Fail::new("an enum is a map of exactly one variant")),
            None => false,
        };
        visitor.visit_enum(Variant { input, bounds, variants, has_data })
    }
}

/// The elements of a sequence.
struct Elements<'r, 'de> {
    input: &'r mut Input<'de>,
    bounds: Bounds,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Fail;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fail> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(Decoder { input: self.input, bounds: self.bounds }).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map or a struct.
struct Entries<'r, 'de> {
    input: &'r mut Input<'de>,
    bounds: Bounds,
    left: usize,
    /// What the struct's are called.
    fields: &'static [&'static str],
    /// The one that comes next, if they come in order.
    at: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Fail;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fail> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        if let Some((at, field)) = self.input.name(self.fields, self.at) {
            self.at = at + 1;
            return seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some);
        }
        seed.deserialize(Decoder { input: self.input, bounds: self.bounds }).map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fail> {
        seed.deserialize(Decoder { input: self.input, bounds: self.bounds })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant of an enum: a name, and a level down if there is data with it.
struct Variant<'r, 'de> {
    input: &'r mut Input<'de>,
    bounds: Bounds,
    variants: &'static [&'static str],
    has_data: bool,
}

impl<'r, 'de> Variant<'r, 'de> {
    /// The data, that of a variant of this kind.
    #[inline]
    fn data(self, kind: &str) -> Result<Decoder<'r, 'de>, Fail> {
        if !self.has_data {
            return Err(Fail::invalid_type(Unexpected::UnitVariant, &kind));
        }
        Ok(Decoder { input: self.input, bounds: self.bounds.enter()? })
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Fail;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fail> {
        let name = match self.input.name(self.variants, 0) {
            Some((_, name)) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            None => seed.deserialize(Decoder { input: self.input, bounds: self.bounds }),
        };
        Ok((name?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Fail;

    #[inline]
    fn unit_variant(self) -> Result<(), Fail> {
        if self.has_data && !self.input.nil()? {
            return Err(Fail::new("a variant without data came with some"));
        }
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fail> {
        seed.deserialize(self.data("newtype variant")?)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fail> {
        self.data("tuple variant")?.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        self.data("struct variant")?.deserialize_struct("", fields, visitor)
    }
}
