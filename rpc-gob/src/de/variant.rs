//! Variants of enums: names, numbers, and structs of which one field is set.

use serde::{
    Deserializer as _,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
        value::{StrDeserializer, UnitDeserializer},
    },
};

use super::{Result, value::ValueDecoder};
use crate::{error::Undecodable, walk};

/// A variant without data, by name or number.
pub(super) struct Unit<D>(pub(super) D);

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

pub(super) struct NoData;

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
pub(super) struct Data<'n, 't, 'r, 'de> {
    pub(super) name: &'n str,
    pub(super) data: ValueDecoder<'t, 'r, 'de>,
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
