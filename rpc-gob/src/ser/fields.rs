//! Structs, and variants with data.

use std::any::type_name;

use serde::ser::{Error as _, Serialize, SerializeStruct, SerializeStructVariant};

use super::{Result, Sink, ValueEncoder, Wrote, miscounted, write_compound};
use crate::{
    error::Unencodable,
    guess,
    schema::MAX_VARIANT,
    shape::{Field, Name, Shape},
    wire::write_uint,
};

/// Writes a struct: the number of each field that is not zero, as its distance from the one before.
pub(crate) struct Fields<'s, 'o> {
    pub(super) encoder: ValueEncoder<'s, 'o>,
    pub(super) name: Name,
    pub(super) len: usize,
    pub(super) count: usize,
    /// The number, from 1, of the last field that was written.
    pub(super) last: usize,
    /// Where its fields begin in [`Shapes::open`](crate::shape::Shapes::open).
    pub(super) open: usize,
    /// The variant whose data it is.
    pub(super) variant: Option<Variant>,
}

impl Fields<'_, '_> {
    #[inline]
    pub(super) fn write<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        let start = self.encoder.out().len();
        let index = self.count;
        self.count += 1;
        let distance = (self.count - self.last) as u64;
        write_uint(self.encoder.out(), distance);
        let wrote = value.serialize(self.encoder.inner::<T>())?;
        let shape = if wrote.zero {
            self.encoder.out().truncate(start);
            if wrote.shape.is_vague() {
                let of = if wrote.hint.is_empty() { type_name::<T>() } else { wrote.hint };
                guess::certain(self.encoder.sink.shapes, wrote.shape, of)?
            } else {
                wrote.shape.alone()
            }
        } else {
            self.last = self.count;
            self.encoder.sink.settle::<T>(&wrote)?
        };
        let index = index as u32;
        self.encoder.sink.shapes.open.push(Field { name, index, shape });
        Ok(())
    }

    pub(super) fn skip(&mut self, name: &'static str) {
        let (index, shape) = (self.count as u32, Shape::NONE);
        self.encoder.sink.shapes.open.push(Field { name, index, shape });
        self.count += 1;
        // It was not announced either.
        self.len += 1;
    }

    #[inline]
    pub(super) fn finish(mut self) -> Result<Wrote> {
        if self.len != self.count {
            return Err(miscounted(self.len, self.count));
        }
        if self.count > MAX_VARIANT as usize {
            return Err(Unencodable::custom("a struct has too many fields"));
        }
        self.encoder.out().push(0);
        let shape = self.encoder.sink.shapes.close_struct(self.name, self.open)?;
        match self.variant {
            Some(variant) => variant.finish(self.encoder.sink, shape),
            None => Ok(Wrote::new(shape, false)),
        }
    }
}

/// A variant whose data is being written.
pub(crate) struct Variant {
    pub(super) of: Name,
    pub(super) name: &'static str,
    pub(super) index: u32,
}

impl Variant {
    pub(super) fn finish(self, sink: &mut Sink<'_>, shape: Shape) -> Result<Wrote> {
        let Variant { of, name, index } = self;
        sink.out.push(0);
        Ok(Wrote::new(sink.shapes.variant(of, Field { name, index, shape })?, false))
    }
}

write_compound! {
    Fields: SerializeStruct::serialize_field(name: &'static str) {
        fn skip_field(&mut self, name: &'static str) -> Result<()> {
            self.skip(name);
            Ok(())
        }
    };
    Fields: SerializeStructVariant::serialize_field(name: &'static str) {
        fn skip_field(&mut self, name: &'static str) -> Result<()> {
            self.skip(name);
            Ok(())
        }
    };
}
