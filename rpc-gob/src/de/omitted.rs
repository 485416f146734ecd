//! What was left out because it is zero, and is wanted all the same.

use serde::{Deserializer, de::Visitor, forward_to_deserialize_any};

use super::{
    Result,
    value::{Asked, visit_bytes},
};
use crate::{
    error::Undecodable,
    types::{Kind, Type, Types},
    zero::Zero,
};

/// A field that was left out, for those who do not say what it should be: zero, or nil.
pub(super) struct Omitted<'t> {
    pub(super) types: &'t Types,
    pub(super) id: i32,
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
