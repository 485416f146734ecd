//! A serde value from what Go sent, in either format.
//!
//! What is the same in JSON and in MessagePack is here: names, bytes, `nil`, fields that were left
//! out, enums, depth. The format takes its values apart into [`Token`]s ([`Reader`]).

use std::borrow::Cow;

use netrpc_gob::zero::Zero;
use serde::{
    de::{
        Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IgnoredAny,
        MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
        value::{
            BorrowedStrDeserializer, CowStrDeserializer, SeqDeserializer, U64Deserializer,
            UnitDeserializer,
        },
    },
    forward_to_deserialize_any,
};

use super::{
    super::{
        DecodeError, MAX_DEPTH, bytes,
        fail::{Fail, Missing},
        msgpack::read::Integer,
    },
    names,
};

/// How a format is taken apart.
pub(super) trait Reader<'de>: Sized {
    /// Whether types that have a text and a binary form are read as text.
    const HUMAN_READABLE: bool;

    /// Reads a value, or the beginning of a collection.
    fn token(&mut self) -> Result<Token<'de>, Fail>;
    /// Reads the next value if it is an integer that is written plainly.
    fn integer(&mut self) -> Integer;
    /// Reads the next value if it is nil.
    fn take_nil(&mut self) -> Result<bool, Fail>;
    /// Whether there is another element or key; if so, goes to where it begins.
    fn more(&mut self, open: &mut Open) -> Result<bool, Fail>;
    /// Goes from a key to where its value begins.
    fn assign(&mut self) -> Result<(), Fail>;
    /// Succeeds if there is nothing after what was read.
    fn end(&mut self) -> Result<(), Fail>;

    /// Lends bytes that were made from what was read; gives them back if it has no place for them.
    fn lend(&self, bytes: Vec<u8>) -> Result<&'de [u8], Vec<u8>> {
        Err(bytes)
    }

    /// The bytes that a string means; `None` if it is no way to write bytes.
    fn bytes_of(text: &str) -> Option<Vec<u8>>;
    /// The number or truth value that a key means; `None` if keys are what they are.
    fn key(text: &str) -> Option<Token<'static>>;
}

/// A value, or the beginning of a collection.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'de> {
    Nil,
    Bool(bool),
    /// Less than zero.
    Int(i64),
    Uint(u64),
    F32(f32),
    F64(f64),
    /// A zero to integers; only floats have another.
    MinusZero,
    /// A number that no type here has room for.
    Huge,
    /// Text, which may mean bytes.
    Text(Cow<'de, str>),
    /// Text or bytes: the sender did not say which.
    Raw(&'de [u8]),
    Bytes(&'de [u8]),
    Seq(Open),
    Map(Open),
    /// A MessagePack extension type, which nothing here has a use for.
    Extension,
}

/// A collection of which the beginning was read.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) struct Open {
    /// How many elements or entries are left, where that is known from the beginning.
    pub(super) left: Option<usize>,
    pub(super) is_map: bool,
    /// Nothing of it has been read.
    pub(super) is_first: bool,
}

/// Missing fields that are found one at a time, a decoding for each, before a struct is given all
/// that it is missing at once.
///
/// Only while each is known by name does a `#[serde(default = "…")]` beside it still count; but to
/// leave fields out costs a sender nothing, and us a decoding for each.
const ONE_AT_A_TIME: usize = 8;

/// Decodings after which it is the type that is at fault. Beyond [`ONE_AT_A_TIME`], only structs
/// with a `flatten` in them need any: those do not say which fields they have.
const MAX_MISSING: usize = 64;

/// Reads the value of which `open` makes a reader.
///
/// A field that was not sent is the type's to supply, and only where it does not is the value zero,
/// as in Go. serde does not say beforehand which of the two a field is, so the value is decoded
/// again with what was learnt from the failure.
pub(super) fn decode<'de, R: Reader<'de>, T: Deserialize<'de>>(
    open: impl Fn() -> R,
) -> Result<T, DecodeError> {
    let mut missing = Vec::new();
    loop {
        let supply = Supply { known: &missing, all: missing.len() >= ONE_AT_A_TIME };
        let fail = match read(&mut open(), &supply) {
            Ok(value) => return Ok(value),
            Err(fail) => fail,
        };
        match fail.missing() {
            Some(field)
                if field.of.is_some()
                    && !missing.contains(&field)
                    && missing.len() < MAX_MISSING =>
            {
                missing.push(field);
            }
            _ => return Err(fail.into()),
        }
    }
}

fn read<'de, R: Reader<'de>, T: Deserialize<'de>>(
    reader: &mut R,
    supply: &Supply<'_>,
) -> Result<T, Fail> {
    let rules = Rules { depth: DEPTH, wrappers: DEPTH, supply };
    let value = T::deserialize(Decoder { reader, rules, is_key: false })?;
    reader.end()?;
    Ok(value)
}

/// Which of the fields that were not sent are supplied as zero.
struct Supply<'m> {
    known: &'m [Missing],
    /// And all others, of types that say which fields they have.
    all: bool,
}

/// [`MAX_DEPTH`], small: what holds for a value is copied for every value.
const DEPTH: u8 = {
    assert!(MAX_DEPTH <= u8::MAX as usize);
    MAX_DEPTH as u8
};

/// What holds for a value because of where it is.
#[derive(Clone, Copy)]
struct Rules<'m> {
    /// Levels of nesting that it may still open.
    depth: u8,
    /// Options and newtypes that it may still consist of before it reads anything: a type like
    /// `struct Chain(Option<Box<Chain>>)` never would.
    wrappers: u8,
    supply: &'m Supply<'m>,
}

impl Rules<'_> {
    #[inline]
    fn enter(self) -> Result<Self, Fail> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Rules { depth, wrappers: DEPTH, ..self }),
            None => Err(Fail::too_deep()),
        }
    }

    #[inline]
    fn enter_wrapper(self) -> Result<Self, Fail> {
        match self.wrappers.checked_sub(1) {
            Some(wrappers) => Ok(Rules { wrappers, ..self }),
            None => Err(Fail::too_deep()),
        }
    }
}

/// What a visitor asked for, as far as one thing may have to pass for another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whatever there is.
    Any,
    /// Whatever there is, and nobody will look at it.
    Nothing,
    Bool,
    Int,
    Float32,
    Float64,
    Text,
    Bytes,
    Seq,
    Unit,
}

/// Reads one value.
struct Decoder<'r, R> {
    reader: &'r mut R,
    rules: Rules<'r>,
    /// It is a map's key.
    is_key: bool,
}

impl<'r, R> Decoder<'r, R> {
    /// The value, asked for by what is inside an option or a newtype.
    #[inline]
    fn unwrapped(self) -> Result<Self, Fail> {
        Ok(Decoder { rules: self.rules.enter_wrapper()?, ..self })
    }

    #[inline]
    fn read<'de, V: Visitor<'de>>(self, asked: Asked, visitor: V) -> Result<V::Value, Fail>
    where
        R: Reader<'de>,
    {
        match self.reader.token()? {
            Token::Text(text) => match (asked, text) {
                (Asked::Bool | Asked::Int | Asked::Float32 | Asked::Float64, text)
                    if self.is_key =>
                {
                    match R::key(&text) {
                        Some(token) => visit_number(token, asked, visitor),
                        None => visitor.visit_str(&text),
                    }
                }
                (Asked::Bytes, text) => match self.reader.lend(bytes_of::<R>(&text, &visitor)?) {
                    Ok(lent) => visitor.visit_borrowed_bytes(lent),
                    Err(bytes) => visit_bytes(bytes, visitor),
                },
                (Asked::Seq, text) => visit_as_seq(&bytes_of::<R>(&text, &visitor)?, visitor),
                (_, Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
                (_, Cow::Owned(text)) => visitor.visit_string(text),
            },
            Token::Raw(raw) => match asked {
                Asked::Bytes => visitor.visit_borrowed_bytes(raw),
                Asked::Seq => visit_as_seq(raw, visitor),
                _ => match str::from_utf8(raw) {
                    Ok(text) => visitor.visit_borrowed_str(text),
                    Err(_) => visit_any_bytes(raw, visitor),
                },
            },
            Token::Bytes(bytes) => match asked {
                Asked::Bytes => visitor.visit_borrowed_bytes(bytes),
                Asked::Seq => visit_as_seq(bytes, visitor),
                Asked::Text => match str::from_utf8(bytes) {
                    Ok(text) => visitor.visit_borrowed_str(text),
                    Err(_) => visitor.visit_borrowed_bytes(bytes),
                },
                _ => visit_any_bytes(bytes, visitor),
            },
            Token::Seq(open) => self.visit_seq(open, asked, visitor),
            Token::Map(open) if asked == Asked::Unit => {
                self.visit_map(open, None, IgnoredAny)?;
                visitor.visit_unit()
            }
            Token::Map(open) => self.visit_map(open, None, visitor),
            Token::Extension if asked == Asked::Nothing => visitor.visit_unit(),
            Token::Extension => {
                Err(Fail::invalid_type(Unexpected::Other("extension type"), &visitor))
            }
            scalar => visit_number(scalar, asked, visitor),
        }
    }

    #[inline]
    fn visit_seq<'de, V: Visitor<'de>>(
        self,
        open: Open,
        asked: Asked,
        visitor: V,
    ) -> Result<V::Value, Fail>
    where
        R: Reader<'de>,
    {
        let rules = self.rules.enter()?;
        let mut elements = Elements { reader: self.reader, rules, open, at: At::Between };
        // The sequence of no elements might have been one of bytes.
        if asked == Asked::Bytes && !elements.advance()? {
            return visitor.visit_borrowed_bytes(&[]);
        }
        let value = visitor.visit_seq(&mut elements)?;
        if elements.advance()? { Err(left_over("sequence")) } else { Ok(value) }
    }

    /// `fields`: those of a struct, by which names are matched.
    #[inline]
    fn visit_map<'de, V: Visitor<'de>>(
        self,
        open: Open,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fail>
    where
        R: Reader<'de>,
    {
        let rules = self.rules.enter()?;
        let of = std::any::type_name::<V>();
        let Supply { known, all } = *rules.supply;
        let lacks = (all && fields.is_some()) || known.iter().any(|missing| missing.of == Some(of));
        let supply = lacks.then_some(rules.supply);
        let names = Names { fields, supply, sent: Vec::new(), of };
        let mut entries =
            Entries { reader: self.reader, rules, open, at: At::Between, names, is_zero: false };
        let value = visitor.visit_map(&mut entries).map_err(|fail| fail.missed_by(of))?;
        if entries.advance()? { Err(left_over("map")) } else { Ok(value) }
    }
}

#[cold]
fn left_over(collection: &str) -> Fail {
    Fail::new(format_args!("the {collection} has more in it than was expected"))
}

#[inline]
fn visit_number<'de, V: Visitor<'de>>(
    token: Token<'_>,
    asked: Asked,
    visitor: V,
) -> Result<V::Value, Fail> {
    match token {
        Token::Bool(value) => visitor.visit_bool(value),
        Token::Int(value) => visitor.visit_i64(value),
        Token::Uint(value) => visitor.visit_u64(value),
        Token::F32(value) => visitor.visit_f32(value),
        Token::F64(value) => {
            if asked == Asked::Float32 && value.is_finite() && (value as f32).is_infinite() {
                return Err(Fail::new(format_args!("{value:e} is out of range for an f32")));
            }
            visitor.visit_f64(value)
        }
        Token::MinusZero if asked == Asked::Int => visitor.visit_u64(0),
        Token::MinusZero => visitor.visit_f64(-0.0),
        Token::Huge if asked != Asked::Nothing => Err(Fail::new("a number that is out of range")),
        _ => visitor.visit_unit(),
    }
}

/// Shows bytes to a visitor that asked for anything.
///
/// What serde buffers as bytes it later refuses to give to `Vec<u8>`.
#[inline]
fn visit_any_bytes<'de, V: Visitor<'de>>(bytes: &'de [u8], visitor: V) -> Result<V::Value, Fail> {
    if bytes::is_buffering::<V>() {
        visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
    } else {
        visitor.visit_borrowed_bytes(bytes)
    }
}

/// Shows bytes that a string meant to a visitor that asked for bytes.
fn visit_bytes<'de, V: Visitor<'de>>(bytes: Vec<u8>, visitor: V) -> Result<V::Value, Fail> {
    visitor.visit_byte_buf(bytes).map_err(|fail: Fail| {
        if fail.to_string().ends_with("a borrowed byte array") {
            return Fail::new(
                "bytes cannot be borrowed from JSON, where they are base64: take a `Vec<u8>` \
                 instead of a `&[u8]`",
            );
        }
        fail
    })
}

fn bytes_of<'de, R: Reader<'de>>(text: &str, wanted: &dyn Expected) -> Result<Vec<u8>, Fail> {
    R::bytes_of(text)
        .ok_or_else(|| Fail::new(format_args!("expected {wanted}, or base64 if it is of bytes")))
}

/// Shows bytes to a visitor that expects a sequence.
#[inline]
fn visit_as_seq<'de, V: Visitor<'de>>(bytes: &[u8], visitor: V) -> Result<V::Value, Fail> {
    if let Some(value) = bytes::copy_into_vec::<V>(bytes) {
        return Ok(value);
    }
    let mut elements = SeqDeserializer::<_, Fail>::new(bytes.iter().map(|byte| Byte(*byte)));
    let value = visitor.visit_seq(&mut elements)?;
    elements.end()?;
    Ok(value)
}

/// One of bytes: nothing but a `u8`, so that a string is not taken for a sequence of other numbers.
struct Byte(u8);

impl<'de> serde::de::IntoDeserializer<'de, Fail> for Byte {
    type Deserializer = Self;

    #[inline]
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Byte {
    type Error = Fail;

    #[cold]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        Err(Fail::invalid_type(Unexpected::Other("string or bytes"), &visitor))
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_u8(self.0)
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_u8(self.0)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

macro_rules! read_integer {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
            match self.reader.integer() {
                Integer::Uint(value) => visitor.visit_u64(value),
                Integer::Int(value) => visitor.visit_i64(value),
                Integer::Other if self.reader.take_nil()? => {
                    Zero::<Fail>::new().$method(visitor)
                }
                Integer::Other => self.read(Asked::Int, visitor),
            }
        }
    )*};
}

/// Values that are zero where Go sent nil.
macro_rules! read_or_zero {
    ($($method:ident($($hint:ident: $type:ty),*) as $asked:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($hint: $type,)* visitor: V) -> Result<V::Value, Fail> {
            if self.reader.take_nil()? {
                return Zero::<Fail>::new().$method($($hint,)* visitor);
            }
            self.read(Asked::$asked, visitor)
        }
    )*};
}

impl<'de, R: Reader<'de>> Deserializer<'de> for Decoder<'_, R> {
    type Error = Fail;

    #[inline]
    fn is_human_readable(&self) -> bool {
        R::HUMAN_READABLE
    }

    read_integer! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    read_or_zero! {
        deserialize_bool() as Bool;
        deserialize_f32() as Float32;
        deserialize_f64() as Float64;
        deserialize_char() as Text;
        deserialize_str() as Text;
        deserialize_string() as Text;
        deserialize_identifier() as Text;
        deserialize_bytes() as Bytes;
        deserialize_byte_buf() as Bytes;
        deserialize_unit() as Unit;
        deserialize_unit_struct(name: &'static str) as Unit;
        deserialize_seq() as Seq;
        deserialize_tuple(len: usize) as Seq;
        deserialize_tuple_struct(name: &'static str, len: usize) as Seq;
        deserialize_map() as Any;
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.read(Asked::Any, visitor)
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        self.read(Asked::Nothing, visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        if self.reader.take_nil()? {
            visitor.visit_none()
        } else {
            visitor.visit_some(self.unwrapped()?)
        }
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        visitor.visit_newtype_struct(self.unwrapped()?)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        match self.reader.token()? {
            Token::Nil => Zero::<Fail>::new().deserialize_struct(name, fields, visitor),
            Token::Map(open) => self.visit_map(open, Some(fields), visitor),
            // Go's codec has structs that are arrays of their fields.
            Token::Seq(open) => self.visit_seq(open, Asked::Any, visitor),
            token => Err(Fail::invalid_type(describe(&token), &visitor)),
        }
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        match self.reader.token()? {
            Token::Nil => Zero::<Fail>::new().deserialize_enum(name, variants, visitor),
            Token::Text(text) => visitor.visit_enum(CowStrDeserializer::new(text)),
            Token::Raw(text) | Token::Bytes(text) => {
                visitor.visit_enum(BorrowedStrDeserializer::new(utf8(text)?))
            }
            // Go's enums are constants of an integer type.
            Token::Uint(index) => visitor.visit_enum(Index(index)),
            Token::Map(open) => {
                let rules = self.rules.enter()?;
                visitor.visit_enum(Variant { reader: self.reader, rules, open })
            }
            token => Err(Fail::invalid_type(describe(&token), &visitor)),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fail> {
    str::from_utf8(bytes).map_err(|_| Fail::new("a name that is not UTF-8"))
}

/// What was found where something else was expected.
fn describe<'t>(token: &'t Token<'_>) -> Unexpected<'t> {
    match token {
        Token::Nil => Unexpected::Unit,
        Token::Bool(value) => Unexpected::Bool(*value),
        Token::Int(value) => Unexpected::Signed(*value),
        Token::Uint(value) => Unexpected::Unsigned(*value),
        Token::F32(value) => Unexpected::Float(f64::from(*value)),
        Token::F64(value) => Unexpected::Float(*value),
        Token::MinusZero => Unexpected::Float(-0.0),
        Token::Huge => Unexpected::Other("number out of range"),
        Token::Text(text) => Unexpected::Str(text),
        Token::Raw(raw) => match str::from_utf8(raw) {
            Ok(text) => Unexpected::Str(text),
            Err(_) => Unexpected::Bytes(raw),
        },
        Token::Bytes(bytes) => Unexpected::Bytes(bytes),
        Token::Seq(_) => Unexpected::Seq,
        Token::Map(_) => Unexpected::Map,
        Token::Extension => Unexpected::Other("extension type"),
    }
}

/// Where the reader is in a collection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Behind an element, or the beginning.
    Between,
    /// Before an element.
    Element,
    /// Behind the last.
    End,
}

impl At {
    /// Goes to the next element; whether there is one.
    #[inline]
    fn advance<'de, R: Reader<'de>>(
        &mut self,
        reader: &mut R,
        open: &mut Open,
    ) -> Result<bool, Fail> {
        if *self == At::Between {
            *self = if reader.more(open)? { At::Element } else { At::End };
        }
        Ok(*self == At::Element)
    }
}

/// The elements of a sequence.
struct Elements<'r, R> {
    reader: &'r mut R,
    rules: Rules<'r>,
    open: Open,
    at: At,
}

impl<'de, R: Reader<'de>> Elements<'_, R> {
    #[inline]
    fn advance(&mut self) -> Result<bool, Fail> {
        self.at.advance(self.reader, &mut self.open)
    }
}

impl<'de, R: Reader<'de>> SeqAccess<'de> for Elements<'_, R> {
    type Error = Fail;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fail> {
        if !self.advance()? {
            return Ok(None);
        }
        self.at = At::Between;
        seed.deserialize(Decoder { reader: self.reader, rules: self.rules, is_key: false })
            .map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.open.left
    }
}

/// The entries of a map or a struct, and then those that were not sent.
struct Entries<'r, R> {
    reader: &'r mut R,
    rules: Rules<'r>,
    open: Open,
    at: At,
    names: Names<'r>,
    /// The value is one that was not sent.
    is_zero: bool,
}

/// What the keys of a map are called in Rust.
struct Names<'m> {
    /// The fields that they mean, if it is a struct's.
    fields: Option<&'static [&'static str]>,
    /// Which are added at the end; `None`: not even those that were sent are remembered.
    supply: Option<&'m Supply<'m>>,
    sent: Vec<&'static str>,
    /// The visitor that is shown them.
    of: &'static str,
}

impl Names<'_> {
    /// The field that a key means.
    #[inline]
    fn find(&mut self, sent: &str) -> Option<&'static str> {
        let found = match self.fields {
            Some(fields) => names::find(fields, sent),
            None => self.known().find(|field| *field == sent),
        };
        if self.supply.is_some() {
            self.sent.extend(found);
        }
        found
    }

    /// The next field that was not sent and is to be supplied.
    fn missing(&mut self) -> Option<&'static str> {
        let all = self.fields.filter(|_| self.supply.is_some_and(|supply| supply.all));
        let all = all.into_iter().flatten().copied();
        let field = self.known().chain(all).find(|field| !self.sent.contains(field))?;
        self.sent.push(field);
        Some(field)
    }

    /// The fields that the visitor is known to miss.
    fn known(&self) -> impl Iterator<Item = &'static str> {
        let known = self.supply.map_or(&[][..], |supply| supply.known);
        let of = self.of;
        known.iter().filter(move |missing| missing.of == Some(of)).map(|missing| missing.field)
    }
}

impl<'de, R: Reader<'de>> Entries<'_, R> {
    #[inline]
    fn advance(&mut self) -> Result<bool, Fail> {
        self.at.advance(self.reader, &mut self.open)
    }

    /// Reads the name of a field.
    #[inline]
    fn field<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fail> {
        let token = self.reader.token()?;
        let sent: Cow<'de, str> = match token {
            Token::Text(text) => text,
            Token::Raw(text) | Token::Bytes(text) => utf8(text)?.into(),
            Token::Uint(index) => return seed.deserialize(U64Deserializer::new(index)),
            Token::Nil => return seed.deserialize(UnitDeserializer::new()),
            token => return Err(Fail::invalid_type(describe(&token), &"the name of a field")),
        };
        match (self.names.find(&sent), sent) {
            (Some(field), _) => seed.deserialize(BorrowedStrDeserializer::new(field)),
            (None, Cow::Borrowed(sent)) => seed.deserialize(BorrowedStrDeserializer::new(sent)),
            (None, sent) => seed.deserialize(CowStrDeserializer::new(sent)),
        }
    }
}

impl<'de, R: Reader<'de>> MapAccess<'de> for Entries<'_, R> {
    type Error = Fail;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fail> {
        if self.advance()? {
            if self.names.fields.is_some() || self.names.supply.is_some() {
                return self.field(seed).map(Some);
            }
            let key = Decoder { reader: self.reader, rules: self.rules, is_key: true };
            return seed.deserialize(key).map(Some);
        }
        match self.names.missing() {
            Some(field) => {
                self.is_zero = true;
                seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some)
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fail> {
        if self.is_zero {
            return seed.deserialize(Zero::<Fail>::new());
        }
        self.reader.assign()?;
        self.at = At::Between;
        seed.deserialize(Decoder { reader: self.reader, rules: self.rules, is_key: false })
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.open.left
    }
}

/// A variant by its number.
struct Index(u64);

impl<'de> EnumAccess<'de> for Index {
    type Error = Fail;
    type Variant = NoData;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, NoData), Fail> {
        Ok((seed.deserialize(U64Deserializer::<Fail>::new(self.0))?, NoData))
    }
}

/// A variant that came without data.
struct NoData;

impl NoData {
    #[cold]
    fn refuse<T>(self, expected: &str) -> Result<T, Fail> {
        Err(Fail::invalid_type(Unexpected::UnitVariant, &expected))
    }
}

impl<'de> VariantAccess<'de> for NoData {
    type Error = Fail;

    fn unit_variant(self) -> Result<(), Fail> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, Fail> {
        self.refuse("newtype variant")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Fail> {
        self.refuse("tuple variant")
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fail> {
        self.refuse("struct variant")
    }
}

/// A variant with data: a map of one entry.
struct Variant<'r, R> {
    reader: &'r mut R,
    rules: Rules<'r>,
    open: Open,
}

impl<'r, R> Variant<'r, R> {
    /// Reads the data, and the end of the map around it.
    #[inline]
    fn data<'de, T>(
        mut self,
        read: impl FnOnce(Decoder<'_, R>) -> Result<T, Fail>,
    ) -> Result<T, Fail>
    where
        R: Reader<'de>,
    {
        self.reader.assign()?;
        let rules = self.rules;
        let value = read(Decoder { reader: self.reader, rules, is_key: false })?;
        if self.reader.more(&mut self.open)? { Err(one_variant()) } else { Ok(value) }
    }
}

#[cold]
fn one_variant() -> Fail {
    Fail::new("an enum is a map of exactly one variant")
}

impl<'de, R: Reader<'de>> EnumAccess<'de> for Variant<'_, R> {
    type Error = Fail;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Self), Fail> {
        if !self.reader.more(&mut self.open)? {
            return Err(one_variant());
        }
        let key = Decoder { reader: self.reader, rules: self.rules, is_key: true };
        Ok((seed.deserialize(key)?, self))
    }
}

impl<'de, R: Reader<'de>> VariantAccess<'de> for Variant<'_, R> {
    type Error = Fail;

    #[inline]
    fn unit_variant(self) -> Result<(), Fail> {
        self.data(|data| IgnoredAny::deserialize(data).map(drop))
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fail> {
        self.data(|data| seed.deserialize(data))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fail> {
        self.data(|data| data.deserialize_tuple(len, visitor))
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fail> {
        self.data(|data| data.deserialize_struct("", fields, visitor))
    }
}
