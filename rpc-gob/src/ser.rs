//! serde values → gob's bytes, and the types that they turn out to have.

use std::any::type_name;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::{
    bytes::ByteProbe,
    error::{EncodeError, Unencodable},
    guess::{self, TUPLE_FIELDS},
    marshaled,
    schema::MAX_VARIANT,
    shape::{Field, Mark, Marshaler, Name, Shape, Shapes, same},
    wire::{MAX_DEPTH, write_bytes, write_float, write_int, write_uint},
};

type Result<T, E = Unencodable> = std::result::Result<T, E>;

/// What a value turned out to be.
///
/// Every `Serialize` must return what the serializer's method returned, so a compound learns from
/// its parts what they are without running any of them twice.
pub(crate) struct Wrote {
    pub(crate) shape: Shape,
    /// A struct leaves it out.
    zero: bool,
    /// If the shape is vague: the innermost Rust type that is known of it, or nothing.
    hint: &'static str,
}

impl Wrote {
    #[inline]
    fn new(shape: Shape, zero: bool) -> Self {
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
    fn join(&mut self, known: &mut Shape, shape: Shape) -> Result<()> {
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

/// Writes one value.
pub(crate) struct ValueEncoder<'s, 'o> {
    sink: &'s mut Sink<'o>,
    /// Levels of nesting that this value may still open.
    depth: usize,
    /// The value is an element of a sequence that so far holds bytes only: a `u8` is written bare.
    bare_byte: bool,
    /// The Rust type of the value, or of what is around it.
    of: &'static str,
}

impl<'s, 'o> ValueEncoder<'s, 'o> {
    #[inline]
    pub(crate) fn new<T: ?Sized>(sink: &'s mut Sink<'o>) -> Self {
        ValueEncoder { sink, depth: MAX_DEPTH, bare_byte: false, of: type_name::<T>() }
    }

    /// One level down.
    #[inline]
    fn enter(self) -> Result<Self> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(ValueEncoder { depth, ..self }),
            None => Err(EncodeError::TooDeep.into()),
        }
    }

    /// For a value inside this one.
    #[inline]
    fn inner<T: ?Sized>(&mut self) -> ValueEncoder<'_, 'o> {
        ValueEncoder {
            sink: self.sink,
            depth: self.depth,
            bare_byte: false,
            of: type_name::<T>(),
        }
    }

    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        self.sink.out
    }

    #[inline]
    fn int(self, value: i64) -> Result<Wrote> {
        write_int(self.sink.out, value);
        Ok(Wrote::new(Shape::INT, value == 0))
    }

    #[inline]
    fn uint(self, value: u64) -> Result<Wrote> {
        write_uint(self.sink.out, value);
        Ok(Wrote::new(Shape::UINT, value == 0))
    }

    #[inline]
    fn named(&self, name: &'static str) -> Name {
        Name { name, parameters: guess::parameters(self.of) }
    }

    /// Opens a variant with data: a struct with one field.
    #[inline]
    fn variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<(Self, Variant)> {
        if index > MAX_VARIANT {
            return Err(Unencodable::custom("an enum has too many variants"));
        }
        let variant = Variant { of: self.named(name), name: variant, index };
        let mut encoder = self.enter()?;
        write_uint(encoder.out(), u64::from(index) + 1);
        Ok((encoder, variant))
    }

    #[inline]
    fn elements(self, len: Option<usize>) -> Result<Elements<'s, 'o>> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        if let Some(len) = len {
            write_uint(encoder.out(), len as u64);
        }
        Ok(Elements {
            encoder,
            start,
            len,
            count: 0,
            form: Form::Undecided,
            element: Kind::UNKNOWN,
        })
    }

    #[inline]
    fn tuple(self, name: Name, len: usize, variant: Option<Variant>) -> Result<Tuple<'s, 'o>> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        write_uint(encoder.out(), len as u64);
        let open = encoder.sink.shapes.open.len();
        let marks = encoder.sink.shapes.marks.len();
        Ok(Tuple {
            start,
            body: encoder.out().len(),
            encoder,
            len,
            count: 0,
            name,
            variant,
            open,
            marks,
            element: Kind::UNKNOWN,
            same_type: true,
            has_option: false,
            mixed: None,
            nil: false,
        })
    }

    #[inline]
    fn fields(self, name: Name, len: usize, variant: Option<Variant>) -> Result<Fields<'s, 'o>> {
        let encoder = self.enter()?;
        let open = encoder.sink.shapes.open.len();
        Ok(Fields { encoder, name, len, count: 0, last: 0, open, variant })
    }

    /// A newtype whose name is an instruction to this format.
    #[cold]
    fn special<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Result<Wrote> {
        let start = self.out().len();
        let wrote = value.serialize(self.inner::<T>())?;
        let marshaler = marshaled::PREFIXES
            .into_iter()
            .find_map(|(marshaler, prefix)| Some((marshaler, name.strip_prefix(prefix)?)));
        match marshaler {
            Some((marshaler, name)) if matches!(wrote.shape, Shape::BYTES | Shape::EMPTY_SEQ) => {
                let shape = self.sink.shapes.marshaled(marshaler, name)?;
                Ok(Wrote::new(shape, false))
            }
            Some((Marshaler::Text, name)) if wrote.shape == Shape::STRING => {
                let shape = self.sink.shapes.marshaled(Marshaler::Text, name)?;
                Ok(Wrote::new(shape, false))
            }
            Some(_) => Err(Unencodable::custom("what a Go type marshals itself to is bytes")),
            None if name == crate::complex::NAME => {
                if wrote.shape != self.sink.shapes.array(2, Shape::FLOAT)? {
                    return Err(Unencodable::custom("a complex number is two floats"));
                }
                // The number of elements.
                self.out().remove(start);
                Ok(Wrote::new(Shape::COMPLEX, false))
            }
            None => Ok(wrote),
        }
    }
}

#[cold]
fn miscounted(announced: usize, given: usize) -> Unencodable {
    Unencodable::custom(format_args!(
        "its `Serialize` announced {announced} elements and gave {given}"
    ))
}

macro_rules! write_integers {
    ($($method:ident: $type:ty as $kind:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<Wrote> {
            self.$kind(value.into())
        }
    )*};
}

impl<'s, 'o> Serializer for ValueEncoder<'s, 'o> {
    type Ok = Wrote;
    type Error = Unencodable;
    type SerializeSeq = Elements<'s, 'o>;
    type SerializeTuple = Tuple<'s, 'o>;
    type SerializeTupleStruct = Tuple<'s, 'o>;
    type SerializeTupleVariant = Tuple<'s, 'o>;
    type SerializeMap = Entries<'s, 'o>;
    type SerializeStruct = Fields<'s, 'o>;
    type SerializeStructVariant = Fields<'s, 'o>;

    write_integers! {
        serialize_i8: i8 as int;
        serialize_i16: i16 as int;
        serialize_i32: i32 as int;
        serialize_i64: i64 as int;
        serialize_u16: u16 as uint;
        serialize_u32: u32 as uint;
        serialize_u64: u64 as uint;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<Wrote> {
        self.sink.out.push(u8::from(value));
        Ok(Wrote::new(Shape::BOOL, !value))
    }

    fn serialize_i128(self, value: i128) -> Result<Wrote> {
        match i64::try_from(value) {
            Ok(value) => self.int(value),
            Err(_) => Err(EncodeError::TooWide(value.to_string()).into()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<Wrote> {
        match u64::try_from(value) {
            Ok(value) => self.uint(value),
            Err(_) => Err(EncodeError::TooWide(value.to_string()).into()),
        }
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<Wrote> {
        if self.bare_byte {
            self.sink.out.push(value);
        } else {
            write_uint(self.sink.out, value.into());
        }
        Ok(Wrote::new(Shape::BYTE, value == 0))
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<Wrote> {
        self.serialize_f64(value.into())
    }

    /// Go leaves -0 out of a struct like 0, and reads it if it is there; so it is there.
    #[inline]
    fn serialize_f64(self, value: f64) -> Result<Wrote> {
        write_float(self.sink.out, value);
        Ok(Wrote::new(Shape::FLOAT, value.to_bits() == 0))
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<Wrote> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<Wrote> {
        write_bytes(self.sink.out, value.as_bytes());
        Ok(Wrote::new(Shape::STRING, value.is_empty()))
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<Wrote> {
        write_bytes(self.sink.out, value);
        Ok(Wrote::new(Shape::BYTES, value.is_empty()))
    }

    #[inline]
    fn serialize_none(self) -> Result<Wrote> {
        Ok(Wrote::new(Shape::NONE, true))
    }

    /// A struct does not leave it out, zero or not: a pointer to zero in Go.
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Wrote> {
        let mut wrote = value.serialize(self.inner::<T>())?;
        wrote.shape = wrote.shape.alone();
        wrote.zero = wrote.shape == Shape::NONE;
        if wrote.hint.is_empty() {
            wrote.hint = type_name::<T>();
        }
        Ok(wrote)
    }

    #[inline]
    fn serialize_unit(self) -> Result<Wrote> {
        self.serialize_unit_struct("")
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<Wrote> {
        self.fields(Name { name, parameters: "" }, 0, None)?.finish()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Wrote> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Wrote> {
        if name.starts_with('$') {
            return self.special(name, value);
        }
        let mut wrote = value.serialize(ValueEncoder { of: type_name::<T>(), ..self })?;
        if wrote.hint.is_empty() {
            wrote.hint = type_name::<T>();
        }
        Ok(wrote)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Wrote> {
        let (mut encoder, variant) = self.variant(name, index, variant)?;
        let wrote = value.serialize(encoder.inner::<T>())?;
        let shape = encoder.sink.settle::<T>(&wrote)?;
        variant.finish(encoder.sink, shape)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'s, 'o>> {
        self.elements(len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Tuple<'s, 'o>> {
        let name = self.named("");
        self.tuple(name, len, None)
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Tuple<'s, 'o>> {
        let name = self.named(name);
        self.tuple(name, len, None)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Tuple<'s, 'o>> {
        let (encoder, of) = self.variant(name, index, variant)?;
        let name = encoder.named(variant);
        encoder.tuple(name, len, Some(of))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'s, 'o>> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        if let Some(len) = len {
            write_uint(encoder.out(), len as u64);
        }
        Ok(Entries {
            encoder,
            start,
            len,
            count: 0,
            key: Kind::UNKNOWN,
            value: Kind::UNKNOWN,
        })
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'s, 'o>> {
        let name = self.named(name);
        self.fields(name, len, None)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'s, 'o>> {
        let (encoder, of) = self.variant(name, index, variant)?;
        let name = encoder.named(variant);
        encoder.fields(name, len, Some(of))
    }

    /// Where `Vec`, slices and the other collections come in, and so where bytes are many.
    #[inline]
    fn collect_seq<I>(self, items: I) -> Result<Wrote>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let mut items = items.into_iter();
        let len = match items.size_hint() {
            (low, Some(high)) if low == high => Some(low),
            _ => None,
        };
        let mut elements = self.elements(len)?;
        if let Some(first) = items.next() {
            elements.write(&first)?;
            if let Form::Bytes(_) = elements.form {
                elements.write_bytes(items)?;
            } else {
                for item in items {
                    elements.write(&item)?;
                }
            }
        }
        elements.finish()
    }
}

/// The type of all elements so far.
struct Kind {
    shape: Shape,
    /// As in [`Wrote`].
    hint: &'static str,
}

impl Kind {
    const UNKNOWN: Kind = Kind { shape: Shape::NONE, hint: "" };

    /// Takes another element's type into account; the first's, if `count` is 0.
    #[inline]
    fn join<T: ?Sized>(&mut self, sink: &mut Sink<'_>, count: usize, wrote: Wrote) -> Result<()> {
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

    fn settle(&self, sink: &mut Sink<'_>) -> Result<Shape> {
        sink.settle::<()>(&Wrote { shape: self.shape, zero: false, hint: self.hint })
    }
}

/// How the elements of a sequence are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// There has been none yet.
    Undecided,
    /// All were `u8`, and lie bare in the output from here on.
    Bytes(usize),
    Values,
}

/// Writes a sequence: a slice, or bytes as long as every element is a `u8`.
pub(crate) struct Elements<'s, 'o> {
    encoder: ValueEncoder<'s, 'o>,
    /// Where the sequence begins in the output.
    start: usize,
    /// `None`: its number is not written yet.
    len: Option<usize>,
    count: usize,
    form: Form,
    element: Kind,
}

impl Elements<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<()> {
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
    fn write_bytes<I>(&mut self, items: I) -> Result<()>
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
    fn finish(mut self) -> Result<Wrote> {
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

/// Writes a tuple: an array if all its elements are of one type, a struct otherwise.
///
/// It is written as an array until it ends, because that is what the long ones are.
pub(crate) struct Tuple<'s, 'o> {
    encoder: ValueEncoder<'s, 'o>,
    /// Where its number of elements begins in the output, and where they do.
    start: usize,
    body: usize,
    len: usize,
    count: usize,
    name: Name,
    /// The variant whose data it is.
    variant: Option<Variant>,
    /// Where its elements begin in [`Shapes::open`] and [`Shapes::marks`]; the first few are there,
    /// in case that it is a struct.
    open: usize,
    marks: usize,
    element: Kind,
    /// All are of one Rust type: it is `[T; n]`, or as good as that.
    same_type: bool,
    has_option: bool,
    mixed: Option<Unencodable>,
    nil: bool,
}

impl Tuple<'_, '_> {
    fn write<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<()> {
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

    fn finish(mut self) -> Result<Wrote> {
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

/// Writes a map.
pub(crate) struct Entries<'s, 'o> {
    encoder: ValueEncoder<'s, 'o>,
    /// Where the map begins in the output.
    start: usize,
    /// `None`: its number is not written yet.
    len: Option<usize>,
    /// Values so far.
    count: usize,
    key: Kind,
    value: Kind,
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

/// Writes a struct: the number of each field that is not zero, as its distance from the one before.
pub(crate) struct Fields<'s, 'o> {
    encoder: ValueEncoder<'s, 'o>,
    name: Name,
    len: usize,
    count: usize,
    /// The number, from 1, of the last field that was written.
    last: usize,
    /// Where its fields begin in [`Shapes::open`].
    open: usize,
    /// The variant whose data it is.
    variant: Option<Variant>,
}

impl Fields<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
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

    fn skip(&mut self, name: &'static str) {
        let (index, shape) = (self.count as u32, Shape::NONE);
        self.encoder.sink.shapes.open.push(Field { name, index, shape });
        self.count += 1;
        // It was not announced either.
        self.len += 1;
    }

    #[inline]
    fn finish(mut self) -> Result<Wrote> {
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
    of: Name,
    name: &'static str,
    index: u32,
}

impl Variant {
    fn finish(self, sink: &mut Sink<'_>, shape: Shape) -> Result<Wrote> {
        let Variant { of, name, index } = self;
        sink.out.push(0);
        Ok(Wrote::new(sink.shapes.variant(of, Field { name, index, shape })?, false))
    }
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

write_compound! {
    Elements: SerializeSeq::serialize_element();
    Tuple: SerializeTuple::serialize_element();
    Tuple: SerializeTupleStruct::serialize_field();
    Tuple: SerializeTupleVariant::serialize_field();
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
