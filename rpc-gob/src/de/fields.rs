//! The fields of structs: by the names that they have here, by those that were sent, by position.

use serde::de::{
    DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, value::BorrowedStrDeserializer,
};

use super::{Result, omitted::Omitted, value::ValueDecoder};
use crate::{
    error::Undecodable,
    types::{Field, PlanRef, Struct, Target},
    walk::{self, NO_FIELD},
    zero::Zero,
};

/// The fields of a struct on the wire, in their order.
pub(super) struct Fields<'t, 'r, 'de> {
    pub(super) of: &'t Struct,
    pub(super) decoder: ValueDecoder<'t, 'r, 'de>,
    /// The field that comes next is at this place; none does, if it is beyond them.
    pub(super) sent: usize,
    /// The field to look at next.
    pub(super) next: usize,
}

/// The number of no field.
const END: usize = usize::MAX;

impl<'t, 'r, 'de> Fields<'t, 'r, 'de> {
    #[inline]
    pub(super) fn new(of: &'t Struct, decoder: ValueDecoder<'t, 'r, 'de>) -> Result<Self> {
        let mut fields = Fields { of, decoder, sent: END, next: 0 };
        fields.advance()?;
        Ok(fields)
    }

    /// Reads which field comes next, after the one before has been read.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<()> {
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
    pub(super) fn sent(&self) -> Option<&'t Field> {
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
    pub(super) fn finish(&mut self) -> Result<()> {
        while self.sent != END {
            self.skip()?;
        }
        Ok(())
    }
}

/// The fields of a struct, under the names that they have in Rust.
pub(super) struct Planned<'t, 'r, 'de> {
    pub(super) fields: Fields<'t, 'r, 'de>,
    pub(super) plan: PlanRef<'t>,
    pub(super) target: Target,
    /// How many of the target's fields have been looked at, whether they are missing.
    pub(super) missing: usize,
    /// Whether the field whose value is next was sent; it is zero otherwise.
    pub(super) is_sent: bool,
}

impl<'de> MapAccess<'de> for &mut Planned<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let plan = self.plan.get();
        while let Some(target) = plan.of.get(self.fields.next) {
            let is_sent = self.fields.sent == self.fields.next;
            self.fields.next += 1;
            if let Some(name) = self.target.fields.get(*target as usize) {
                self.is_sent = is_sent;
                return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
            }
            if is_sent {
                self.fields.skip()?;
            }
        }
        let attempt = self.fields.decoder.attempt;
        match attempt.next_missing(self.fields.of, self.target, plan, &mut self.missing) {
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
pub(super) struct Named<'t, 'r, 'de> {
    pub(super) fields: Fields<'t, 'r, 'de>,
    /// The type of the field whose value is next, if that was left out.
    pub(super) omitted: Option<i32>,
}

impl<'t, 'r, 'de> Named<'t, 'r, 'de> {
    pub(super) fn new(of: &'t Struct, decoder: ValueDecoder<'t, 'r, 'de>) -> Result<Self> {
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
pub(super) struct Positional<'t, 'r, 'de> {
    pub(super) fields: Fields<'t, 'r, 'de>,
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
