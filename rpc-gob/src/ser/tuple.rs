//! Tuples and arrays.

use std::any::type_name;

use serde::ser::{Serialize, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant};

use super::{Kind, Result, ValueEncoder, Wrote, fields::Variant, miscounted, write_compound};
use crate::{
    error::{EncodeError, Unencodable},
    guess::{self, TUPLE_FIELDS},
    shape::{Field, Mark, Name, Shape, Shapes, same},
    wire::write_uint,
};

/// Writes a tuple: an array if all its elements are of one type, a struct otherwise.
///
/// It is written as an array until it ends, because that is what the long ones are.
pub(crate) struct Tuple<'s, 'o> {
    pub(super) encoder: ValueEncoder<'s, 'o>,
    /// Where its number of elements begins in the output, and where they do.
    pub(super) start: usize,
    pub(super) body: usize,
    pub(super) len: usize,
    pub(super) count: usize,
    pub(super) name: Name,
    /// The variant whose data it is.
    pub(super) variant: Option<Variant>,
    /// Where its elements begin in [`Shapes::open`] and [`Shapes::marks`]; the first few are there,
    /// in case that it is a struct.
    pub(super) open: usize,
    pub(super) marks: usize,
    pub(super) element: Kind,
    /// All are of one Rust type: it is `[T; n]`, or as good as that.
    pub(super) same_type: bool,
    pub(super) has_option: bool,
    pub(super) mixed: Option<Unencodable>,
    pub(super) nil: bool,
}

impl Tuple<'_, '_> {
    pub(super) fn write<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<()> {
        let of = type_name::<T>();
        let before = if self.count == 0 { of } else { self.element.hint };
        self.same_type &= same(of, before);
        self.has_option |= guess::is_option(of);
        let mut wrote = element.serialize(self.encoder.inner::<T>())?;
        wrote.shape = wrote.shape.alone();

        let Shapes { open, marks, .. } = &mut *self.encoder.sink.shapes;
        if let Some(name) = TUPLE_FIELDS.get(self.count) {
            open.push(Field { name, index: self.count as u32, shape: wrote.shape });
            let hint = if wrote.hint.is_empty() { of } else { wrote.hint };
            marks.push(Mark { end: self.encoder.sink.out.len(), zero: wrote.zero, hint });
        }
        if wrote.shape == Shape::NONE {
            self.nil = true;
        } else if self.mixed.is_none() && !self.nil {
            self.mixed = self.element.join::<T>(self.encoder.sink, self.count, wrote).err();
        }
        self.element.hint = of;
        self.count += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Wrote> {
        let Tuple { len, count, open, marks, .. } = self;
        if len != count {
            return Err(miscounted(len, count));
        }
        let is_array = self.same_type || !(self.has_option || self.nil || self.mixed.is_some());
        let wrote = if count == 0 && !self.name.name.is_empty() {
            Wrote::new(self.become_struct()?, false)
        } else if count == 0 {
            Wrote::new(Shape::EMPTY_ARRAY, false)
        } else if is_array {
            if self.nil {
                return Err(EncodeError::Nil.into());
            }
            if let Some(mixed) = self.mixed {
                return Err(mixed);
            }
            let element = self.element.settle(self.encoder.sink)?;
            Wrote::new(self.encoder.sink.shapes.array(count, element)?, false)
        } else {
            Wrote::new(self.become_struct()?, false)
        };
        let shapes = &mut *self.encoder.sink.shapes;
        shapes.open.truncate(open);
        shapes.marks.truncate(marks);
        match self.variant {
            Some(variant) => {
                let shape = self.encoder.sink.settle::<()>(&wrote)?;
                variant.finish(self.encoder.sink, shape)
            }
            None => Ok(wrote),
        }
    }

    fn become_struct(&mut self) -> Result<Shape> {
        if self.count > TUPLE_FIELDS.len() {
            return Err(self.mixed.take().unwrap_or_else(|| EncodeError::Nil.into()));
        }
        let sink = &mut *self.encoder.sink;
        let elements = sink.out.split_off(self.body);
        sink.out.truncate(self.start);
        let (mut from, mut last) = (0, 0);
        for at in 0..self.count {
            let Mark { end, zero, hint } = sink.shapes.marks[self.marks + at];
            let end = end - self.body;
            let shape = sink.shapes.open[self.open + at].shape;
            if zero && shape.is_vague() {
                sink.shapes.open[self.open + at].shape = guess::certain(sink.shapes, shape, hint)?;
            } else if !zero {
                write_uint(sink.out, (at + 1 - last) as u64);
                last = at + 1;
                sink.out.extend_from_slice(&elements[from..end]);
                let shape = sink.settle::<()>(&Wrote { shape, zero, hint })?;
                sink.shapes.open[self.open + at].shape = shape;
            }
            from = end;
        }
        sink.out.push(0);
        sink.shapes.close_struct(self.name, self.open)
    }
}

write_compound! {
    Tuple: SerializeTuple::serialize_element();
    Tuple: SerializeTupleStruct::serialize_field();
    Tuple: SerializeTupleVariant::serialize_field();
}
