//! Go's zero value of whatever serde asks for.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{
        self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
        Visitor, value::StrDeserializer, value::U32Deserializer,
    },
};

/// Answers everything it is asked for with Go's zero value.
///
/// Go's formats leave out what is zero, and Go reads what was left out as zero. Where a field did
/// not come, a format for Go hands its type to this deserializer.
///
/// | asked for | answer |
/// |---|---|
/// | a number, `bool`, `char` | `0`, `false`, `'\0'` |
/// | a string, bytes, a sequence, a map | empty |
/// | an option | `None` |
/// | a struct | every field zero |
/// | a tuple, an array | every element zero |
/// | an enum | its first variant, with zero data |
/// | anything | unit |
///
/// ```
/// use netrpc_gob::zero::Zero;
/// use serde::{Deserialize, de::value::Error};
///
/// #[derive(Deserialize, Debug, PartialEq)]
/// struct User { id: u64, name: String, tags: Vec<String>, parent: Option<Box<User>> }
///
/// let user = User::deserialize(Zero::<Error>::new())?;
/// assert_eq!(user, User { id: 0, name: String::new(), tags: vec![], parent: None });
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// What a type's own `Deserialize` says to a zero: `NonZeroU8` refuses it. A type without an end,
/// such as `struct Endless(Box<Endless>)`, is refused 64 levels down.
pub struct Zero<E> {
    /// Levels of nesting that the value may still open.
    depth: u8,
    error: PhantomData<fn() -> E>,
}

impl<E> Zero<E> {
    /// A zero of any type, with errors of type `E`.
    ///
    /// ```
    /// use netrpc_gob::zero::Zero;
    /// use serde::{Deserialize, de::value::Error};
    ///
    /// assert_eq!(<(bool, String)>::deserialize(Zero::<Error>::new())?, (false, String::new()));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn new() -> Self {
        Zero { depth: 64, error: PhantomData }
    }
}

impl<E: de::Error> Zero<E> {
    #[inline]
    fn enter(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Zero { depth, ..self }),
            None => Err(E::custom("the type has no zero value: it contains itself without an end")),
        }
    }
}

impl<E> Default for Zero<E> {
    fn default() -> Self {
        Zero::new()
    }
}

impl<E> Clone for Zero<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Zero<E> {}

impl<E> fmt::Debug for Zero<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Zero")
    }
}

impl<'de, E: de::Error> IntoDeserializer<'de, E> for Zero<E> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! answer {
    ($($method:ident: $visit:ident($($zero:expr)?);)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            visitor.$visit($($zero)?)
        }
    )*};
}

impl<'de, E: de::Error> Deserializer<'de> for Zero<E> {
    type Error = E;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    answer! {
        deserialize_any: visit_unit();
        deserialize_ignored_any: visit_unit();
        deserialize_unit: visit_unit();
        deserialize_option: visit_none();
        deserialize_bool: visit_bool(false);
        deserialize_i8: visit_i8(0);
        deserialize_i16: visit_i16(0);
        deserialize_i32: visit_i32(0);
        deserialize_i64: visit_i64(0);
        deserialize_i128: visit_i128(0);
        deserialize_u8: visit_u8(0);
        deserialize_u16: visit_u16(0);
        deserialize_u32: visit_u32(0);
        deserialize_u64: visit_u64(0);
        deserialize_u128: visit_u128(0);
        deserialize_f32: visit_f32(0.0);
        deserialize_f64: visit_f64(0.0);
        deserialize_char: visit_char('\0');
        deserialize_str: visit_borrowed_str("");
        deserialize_string: visit_borrowed_str("");
        deserialize_identifier: visit_borrowed_str("");
        deserialize_bytes: visit_borrowed_bytes(&[]);
        deserialize_byte_buf: visit_borrowed_bytes(&[]);
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self.enter()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_seq(Elements { zero: self.enter()?, left: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, E> {
        visitor.visit_seq(Elements { zero: self.enter()?, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, E> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_map(Fields { zero: self.enter()?, left: &[] })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_map(Fields { zero: self.enter()?, left: fields })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_enum(First(self.enter()?))
    }
}

/// Zeros of one tuple.
struct Elements<E> {
    zero: Zero<E>,
    left: usize,
}

impl<'de, E: de::Error> SeqAccess<'de> for Elements<E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, E> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                seed.deserialize(self.zero).map(Some)
            }
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A zero for each name that is left.
struct Fields<E> {
    zero: Zero<E>,
    left: &'static [&'static str],
}

impl<'de, E: de::Error> MapAccess<'de> for Fields<E> {
    type Error = E;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, E> {
        let Some((name, left)) = self.left.split_first() else { return Ok(None) };
        self.left = left;
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, E> {
        seed.deserialize(self.zero)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

/// The variant that an enum declares first.
struct First<E>(Zero<E>);

impl<'de, E: de::Error> EnumAccess<'de> for First<E> {
    type Error = E;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), E> {
        Ok((seed.deserialize(U32Deserializer::new(0))?, self))
    }
}

impl<'de, E: de::Error> VariantAccess<'de> for First<E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, E> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, E> {
        self.0.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        self.0.deserialize_struct("", fields, visitor)
    }
}
