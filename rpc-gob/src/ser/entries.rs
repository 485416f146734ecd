//! Maps.

use serde::ser::{Serialize, SerializeMap};

use super::{Kind, Result, ValueEncoder, Wrote, count};
use crate::{error::Unencodable, shape::Shape};

/// Writes a map.
pub(crate) struct Entries<'s, 'o> {
    pub(super) encoder: ValueEncoder<'s, 'o>,
    /// Where the map begins in the output.
    pub(super) start: usize,
    /// `None`: its number is not written yet.
    pub(super) len: Option<usize>,
    /// Values so far.
    pub(super) count: usize,
    pub(super) key: Kind,
    pub(super) value: Kind,
}

impl Entries<'_, '_> {
    #[inline]
    fn finish(mut self) -> Result<Wrote> {
        count(self.encoder.out(), self.start, self.len, self.count)?;
        if self.count == 0 {
            return Ok(Wrote::new(Shape::EMPTY_MAP, true));
        }
        let key = self.key.settle(self.encoder.sink)?;
        let value = self.value.settle(self.encoder.sink)?;
        Ok(Wrote::new(self.encoder.sink.shapes.map(key, value)?, false))
    }
}

impl SerializeMap for Entries<'_, '_> {
    type Ok = Wrote;
    type Error = Unencodable;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        let mut wrote = key.serialize(self.encoder.inner::<T>())?;
        wrote.shape = wrote.shape.alone();
        self.key.join::<T>(self.encoder.sink, self.count, wrote)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let mut wrote = value.serialize(self.encoder.inner::<T>())?;
        wrote.shape = wrote.shape.alone();
        self.value.join::<T>(self.encoder.sink, self.count, wrote)?;
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<Wrote> {
        self.finish()
    }
}
