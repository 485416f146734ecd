//! The elements of sequences and the entries of maps.

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, value::BorrowedStrDeserializer};

use super::{Result, value::ValueDecoder};
use crate::{error::Undecodable, names, walk};

/// The elements of a slice or an array.
pub(super) struct Elements<'t, 'r, 'de> {
    pub(super) decoder: ValueDecoder<'t, 'r, 'de>,
    pub(super) left: usize,
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let id = self.decoder.id;
        seed.deserialize(self.decoder.inner(id)).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map.
pub(super) struct Entries<'t, 'r, 'de> {
    pub(super) decoder: ValueDecoder<'t, 'r, 'de>,
    pub(super) key: i32,
    pub(super) value: i32,
    pub(super) left: usize,
    /// A value comes next.
    pub(super) half: bool,
    /// The fields of the struct that its keys stand for, if any.
    pub(super) targets: &'static [&'static str],
}

impl Entries<'_, '_, '_> {
    /// Skips what the visitor has not asked for.
    pub(super) fn finish(&mut self) -> Result<()> {
        let ValueDecoder { types, .. } = self.decoder;
        loop {
            if self.half {
                walk::skip(types, self.value, self.decoder.reader)?;
                self.half = false;
            }
            let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
            self.left = left;
            walk::skip(types, self.key, self.decoder.reader)?;
            self.half = true;
        }
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, '_, 'de> {
    type Error = Undecodable;

    #[inline]
    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.half = true;
        if self.targets.is_empty() {
            return seed.deserialize(self.decoder.inner(self.key)).map(Some);
        }
        let sent = self.decoder.reader.text()?;
        let name = names::find(self.targets, sent).unwrap_or(sent);
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        self.half = false;
        seed.deserialize(self.decoder.inner(self.value))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}
