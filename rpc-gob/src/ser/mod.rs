//! serde values → gob's bytes, and the types that they turn out to have.
//!
//! Both at once: every part is written where it belongs and says of what type it was, and what it is
//! part of joins the types of its parts.

mod elements;
mod entries;
mod fields;
mod tuple;
mod value;

use std::any::type_name;

use serde::ser::Error as _;

use crate::{
    error::{EncodeError, Unencodable},
    guess,
    shape::{Shape, Shapes},
    wire::write_uint,
};

pub(crate) use value::ValueEncoder;

type Result<T, E = Unencodable> = std::result::Result<T, E>;

/// What a value turned out to be.
///
/// Every `Serialize` must return what the serializer's method returned, so a compound learns from
/// its parts what they are without running any of them twice.
pub(crate) struct Wrote {
    pub(crate) shape: Shape,
    /// A struct leaves it out.
    pub(super) zero: bool,
    /// If the shape is vague: the innermost Rust type that is known of it, or nothing.
    pub(super) hint: &'static str,
}

impl Wrote {
    #[inline]
    pub(super) fn new(shape: Shape, zero: bool) -> Self {
        Wrote { shape, zero, hint: "" }
    }
}

/// Where values go.
pub(crate) struct Sink<'o> {
    pub(crate) out: &'o mut Vec<u8>,
    pub(crate) shapes: &'o mut Shapes,
}

impl Sink<'_> {
    /// The type of something that is sent.
    #[inline]
    pub(crate) fn settle<T: ?Sized>(&mut self, wrote: &Wrote) -> Result<Shape> {
        if wrote.shape.is_vague() {
            self.complete(wrote.shape, wrote.hint, type_name::<T>())
        } else {
            Ok(wrote.shape.alone())
        }
    }

    #[cold]
    fn complete(&mut self, shape: Shape, hint: &'static str, name: &'static str) -> Result<Shape> {
        match shape {
            Shape::NONE => Err(EncodeError::Nil.into()),
            _ => {
                let name = if hint.is_empty() { name } else { hint };
                guess::complete(self.shapes, shape, name)
            }
        }
    }

    #[inline]
    pub(super) fn join(&mut self, known: &mut Shape, shape: Shape) -> Result<()> {
        if *known == shape { Ok(()) } else { self.join_different(known, shape) }
    }

    #[cold]
    fn join_different(&mut self, known: &mut Shape, shape: Shape) -> Result<()> {
        match self.shapes.join(*known, shape)? {
            Some(joined) => {
                *known = joined;
                Ok(())
            }
            None => Err(self.shapes.mixed(*known, shape)),
        }
    }
}

/// The type of all elements so far.
pub(crate) struct Kind {
    pub(super) shape: Shape,
    /// As in [`Wrote`].
    pub(super) hint: &'static str,
}

impl Kind {
    pub(super) const UNKNOWN: Kind = Kind { shape: Shape::NONE, hint: "" };

    /// Takes another element's type into account; the first's, if `count` is 0.
    #[inline]
    pub(super) fn join<T: ?Sized>(
        &mut self,
        sink: &mut Sink<'_>,
        count: usize,
        wrote: Wrote,
    ) -> Result<()> {
        if wrote.shape.is_vague() {
            self.hint = if wrote.hint.is_empty() { type_name::<T>() } else { wrote.hint };
            if wrote.shape == Shape::NONE {
                return Err(EncodeError::Nil.into());
            }
        }
        if count == 0 {
            self.shape = wrote.shape;
            Ok(())
        } else {
            sink.join(&mut self.shape, wrote.shape)
        }
    }

    pub(super) fn settle(&self, sink: &mut Sink<'_>) -> Result<Shape> {
        sink.settle::<()>(&Wrote { shape: self.shape, zero: false, hint: self.hint })
    }
}

/// Checks the number of elements, or writes it before them.
#[inline]
fn count(out: &mut Vec<u8>, start: usize, len: Option<usize>, count: usize) -> Result<()> {
    match len {
        Some(len) if len == count => {}
        Some(len) => return Err(miscounted(len, count)),
        None => {
            let end = out.len();
            write_uint(out, count as u64);
            out[start..].rotate_left(end - start);
        }
    }
    Ok(())
}

#[cold]
fn miscounted(announced: usize, given: usize) -> Unencodable {
    Unencodable::custom(format_args!(
        "its `Serialize` announced {announced} elements and gave {given}"
    ))
}

/// serde has a trait for each shape of sequence and of struct; they are written alike.
macro_rules! write_compound {
    ($($writer:ident: $trait:ident :: $method:ident($($name:ident: $key:ty)?) $({$skip:item})?;)*) => {$(
        impl $trait for $writer<'_, '_> {
            type Ok = Wrote;
            type Error = Unencodable;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $key,)? value: &T) -> Result<()> {
                self.write($($name,)? value)
            }

            $($skip)?

            #[inline]
            fn end(self) -> Result<Wrote> {
                self.finish()
            }
        }
    )*};
}

use write_compound;
