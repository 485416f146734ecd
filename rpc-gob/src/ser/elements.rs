//! Sequences.

use serde::ser::{Serialize, SerializeSeq};

use super::{Kind, Result, ValueEncoder, Wrote, count, write_compound};
use crate::{bytes::ByteProbe, error::Unencodable, shape::Shape, wire::write_uint};

/// How the elements of a sequence are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// There has been none yet.
    Undecided,
    /// All were `u8`, and lie bare in the output from here on.
    Bytes(usize),
    Values,
}

/// Writes a sequence: a slice, or bytes as long as every element is a `u8`.
pub(crate) struct Elements<'s, 'o> {
    pub(super) encoder: ValueEncoder<'s, 'o>,
    /// Where the sequence begins in the output.
    pub(super) start: usize,
    /// `None`: its number is not written yet.
    pub(super) len: Option<usize>,
    pub(super) count: usize,
    pub(super) form: Form,
    pub(super) element: Kind,
}

impl Elements<'_, '_> {
    #[inline]
    pub(super) fn write<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<()> {
        let mut encoder = self.encoder.inner::<T>();
        encoder.bare_byte = matches!(self.form, Form::Bytes(_));
        let mut wrote = element.serialize(encoder)?;
        match self.form {
            Form::Undecided if wrote.shape == Shape::BYTE => self.become_bytes(),
            Form::Undecided => self.form = Form::Values,
            Form::Bytes(from) if wrote.shape != Shape::BYTE => self.become_values(from),
            Form::Bytes(_) => {}
            Form::Values => wrote.shape = wrote.shape.alone(),
        }
        self.element.join::<T>(self.encoder.sink, self.count, wrote)?;
        self.count += 1;
        Ok(())
    }

    /// The first element was a byte, which ends its gob form as well; from here on without that.
    #[inline]
    fn become_bytes(&mut self) {
        let out = self.encoder.out();
        let byte = out.pop().unwrap_or_default();
        if byte >= 128 {
            out.pop();
        }
        self.form = Form::Bytes(out.len());
        out.push(byte);
    }

    /// The element just written was no byte, although all before it were: make values of those.
    #[cold]
    fn become_values(&mut self, from: usize) {
        let out = self.encoder.out();
        let tail = out.split_off(from);
        let (bytes, value) = tail.split_at(self.count);
        for byte in bytes {
            write_uint(out, u64::from(*byte));
        }
        out.extend_from_slice(value);
        self.form = Form::Values;
        self.element.shape = self.element.shape.alone();
    }

    /// Writes the elements after a first that was a byte, in a loop of which the compiler makes a
    /// copy of memory if they are bytes by type.
    #[inline]
    pub(super) fn write_bytes<I>(&mut self, items: I) -> Result<()>
    where
        I: Iterator,
        I::Item: Serialize,
    {
        // Those that are no bytes, by position; a zero holds their place. Of a type that is a byte
        // only sometimes, such as an untagged enum.
        let mut others = Vec::new();
        let out = self.encoder.out();
        let from = out.len();
        out.extend(items.enumerate().map(|(at, item)| {
            item.serialize(ByteProbe).unwrap_or_else(|_| {
                others.push((at, item));
                0
            })
        }));
        if others.is_empty() {
            self.count += out.len() - from;
            return Ok(());
        }
        let bytes = out.split_off(from);
        let mut others = others.into_iter().peekable();
        for (at, byte) in bytes.iter().enumerate() {
            match others.next_if(|(other, _)| *other == at) {
                Some((_, item)) => self.write(&item)?,
                None => self.write(byte)?,
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn finish(mut self) -> Result<Wrote> {
        count(self.encoder.out(), self.start, self.len, self.count)?;
        Ok(match self.form {
            Form::Undecided => Wrote::new(Shape::EMPTY_SEQ, true),
            Form::Bytes(_) => Wrote::new(Shape::BYTES, false),
            Form::Values => {
                let element = self.element.settle(self.encoder.sink)?;
                Wrote::new(self.encoder.sink.shapes.slice(element)?, false)
            }
        })
    }
}

write_compound! {
    Elements: SerializeSeq::serialize_element();
}
