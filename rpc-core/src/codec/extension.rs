//! MessagePack's extension types, by the convention of rmp-serde: a newtype struct of this name
//! around an `i8` and bytes.

use serde::{
    de::{
        DeserializeSeed, Deserializer, Error as _, SeqAccess, Unexpected, Visitor,
        value::I8Deserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    bytes, decoder,
    fail::Fail,
    msgpack::{read::Input, write},
};

/// What the struct is called.
pub(super) const NAME: &str = "_ExtStruct";

/// Makes an extension type of the pair that `out` ends with from `start` on.
pub(super) fn wrap(out: &mut Vec<u8>, start: usize) -> Result<(), Fail> {
    let pair = out.split_off(start);
    let (tag, data): (i8, &[u8]) = decoder::decode(&pair)
        .map_err(|_| Fail::new("an extension type is a pair of an `i8` and bytes"))?;
    write::ext_len(out, data.len(), tag)?;
    out.extend_from_slice(data);
    Ok(())
}

/// Reads one, behind its marker.
pub(super) fn read<'de>(marker: u8, input: &mut Input<'de>) -> Result<Extension<'de>, Fail> {
    let len = match marker {
        0xC7 => input.length::<1>()?,
        0xC8 => input.length::<2>()?,
        0xC9 => input.length::<4>()?,
        0xD4..=0xD8 => 1 << (marker - 0xD4),
        _ => {
            let found = Unexpected::Other("another value");
            return Err(Fail::invalid_type(found, &"an extension type"));
        }
    };
    let [tag] = input.array()?;
    Ok(Extension { tag: tag as i8, data: input.take(len)?, parts: 0 })
}

/// An extension type that was read.
pub(super) struct Extension<'de> {
    tag: i8,
    data: &'de [u8],
    /// How many of the two were asked for.
    parts: u8,
}

impl<'de> Extension<'de> {
    /// Shows it to a visitor, unless nobody will look at it.
    pub(super) fn visit<V: Visitor<'de>>(
        self,
        ignored: bool,
        visitor: V,
    ) -> Result<V::Value, Fail> {
        if ignored { visitor.visit_unit() } else { visitor.visit_newtype_struct(self) }
    }
}

impl<'de> Deserializer<'de> for Extension<'de> {
    type Error = Fail;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_seq(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de> SeqAccess<'de> for Extension<'de> {
    type Error = Fail;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fail> {
        self.parts += 1;
        match self.parts {
            1 => seed.deserialize(I8Deserializer::new(self.tag)).map(Some),
            2 => seed.deserialize(Data(self.data)).map(Some),
            _ => {
                self.parts = 2;
                Ok(None)
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(usize::from(2 - self.parts))
    }
}

/// The bytes of an extension type.
struct Data<'de>(&'de [u8]);

impl<'de> Deserializer<'de> for Data<'de> {
    type Error = Fail;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fail> {
        bytes::visit_as_seq(visitor, self.0)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fail> {
        bytes::visit_as_seq(visitor, self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct tuple_struct map struct enum identifier ignored_any
    }
}
