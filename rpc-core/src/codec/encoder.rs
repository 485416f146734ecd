//! rmp-serde's `Serializer` with names, bytes and limits.

use rmp_serde::encode::Error;
use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{MAX_DEPTH, bytes::ByteProbe};

/// What writes the values: rmp-serde, straight into the output buffer.
type Writer<'o> = rmp_serde::Serializer<&'o mut Vec<u8>>;

/// What a value turned out to be.
///
/// Every `Serialize` must return what the serializer's method returned, so a sequence learns from
/// its elements whether they are bytes without running any of them twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// A `u8` and nothing around it.
    Byte(u8),
    /// Anything else.
    Value,
}

/// Writes one value.
pub(super) struct Encoder<'w, 'o> {
    writer: &'w mut Writer<'o>,
    /// Levels of nesting that this value may still open.
    depth: usize,
    /// The value is an element of a sequence that so far holds bytes only: a `u8` is written bare.
    bare_byte: bool,
}

impl<'w, 'o> Encoder<'w, 'o> {
    #[inline]
    pub(super) fn new(writer: &'w mut Writer<'o>) -> Self {
        Encoder { writer, depth: MAX_DEPTH, bare_byte: false }
    }

    /// One level down.
    #[inline]
    fn enter(self) -> Result<Self, Error> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Encoder { depth, ..self }),
            None => Err(Error::DepthLimitExceeded),
        }
    }

    /// For a value inside this one.
    #[inline]
    fn inner(&mut self) -> Encoder<'_, 'o> {
        Encoder { writer: self.writer, depth: self.depth, bare_byte: false }
    }

    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        self.writer.get_mut()
    }

    #[inline]
    fn array_len(&mut self, len: usize) -> Result<(), Error> {
        check_len(len)?;
        // The header only: the elements are ours to write.
        self.writer.serialize_tuple_struct("", len).map(drop)
    }

    #[inline]
    fn map_len(&mut self, len: usize) -> Result<(), Error> {
        check_len(len)?;
        self.writer.serialize_map(Some(len)).map(drop)
    }

    /// rmp-serde writes `bin` headers only together with the bytes, and those are not in one place.
    #[inline]
    fn bin_len(&mut self, len: usize) -> Result<(), Error> {
        check_len(len)?;
        let [b0, b1, b2, b3] = (len as u32).to_be_bytes();
        match len {
            0..=0xFF => self.out().extend_from_slice(&[0xC4, b3]),
            0x100..=0xFFFF => self.out().extend_from_slice(&[0xC5, b2, b3]),
            _ => self.out().extend_from_slice(&[0xC6, b0, b1, b2, b3]),
        }
        Ok(())
    }

    /// Opens the map of one entry that a variant with data is.
    #[inline]
    fn variant(self, name: &'static str) -> Result<Self, Error> {
        let mut encoder = self.enter()?;
        encoder.map_len(1)?;
        encoder.writer.serialize_str(name)?;
        Ok(encoder)
    }

    #[inline]
    fn elements(self, len: Option<usize>) -> Result<Elements<'w, 'o>, Error> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        if let Some(len) = len {
            encoder.array_len(len)?;
        }
        Ok(Elements { encoder, start, len, count: 0, form: Form::Undecided })
    }

    #[inline]
    fn fields(self, len: usize) -> Result<Fields<'w, 'o>, Error> {
        let mut encoder = self.enter()?;
        encoder.map_len(len)?;
        Ok(Fields { encoder, len, count: 0 })
    }
}

/// MessagePack counts with 32 bits, and rmp-serde would cut off the rest.
#[inline]
fn check_len(len: usize) -> Result<(), Error> {
    match u32::try_from(len) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::custom("a string, sequence or map has at most 4294967295 elements")),
    }
}

#[cold]
fn miscounted(announced: usize, given: usize) -> Error {
    Error::custom(format_args!("its `Serialize` announced {announced} elements and gave {given}"))
}

/// Values that rmp-serde writes as we want them.
macro_rules! write_scalars {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<Wrote, Error> {
            self.writer.$method(value)?;
            Ok(Wrote::Value)
        }
    )*};
}

impl<'w, 'o> Serializer for Encoder<'w, 'o> {
    type Ok = Wrote;
    type Error = Error;
    type SerializeSeq = Elements<'w, 'o>;
    type SerializeTuple = Elements<'w, 'o>;
    type SerializeTupleStruct = Elements<'w, 'o>;
    type SerializeTupleVariant = Elements<'w, 'o>;
    type SerializeMap = Entries<'w, 'o>;
    type SerializeStruct = Fields<'w, 'o>;
    type SerializeStructVariant = Fields<'w, 'o>;

    write_scalars! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_unit_struct: &'static str,
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_u8(mut self, value: u8) -> Result<Wrote, Error> {
        if self.bare_byte {
            self.out().push(value);
        } else {
            self.writer.serialize_u8(value)?;
        }
        Ok(Wrote::Byte(value))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<Wrote, Error> {
        check_len(value.len())?;
        self.writer.serialize_str(value)?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<Wrote, Error> {
        check_len(value.len())?;
        self.writer.serialize_bytes(value)?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_none(self) -> Result<Wrote, Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Wrote, Error> {
        value.serialize(self.inner())?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<Wrote, Error> {
        self.writer.serialize_unit()?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Wrote, Error> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<Wrote, Error> {
        if name == rmp_serde::MSGPACK_EXT_STRUCT_NAME {
            self.writer.serialize_newtype_struct(name, value)?;
        } else {
            value.serialize(self.inner())?;
        }
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Wrote, Error> {
        value.serialize(self.variant(variant)?.inner())?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'w, 'o>, Error> {
        self.elements(len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Elements<'w, 'o>, Error> {
        self.elements(Some(len))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Elements<'w, 'o>, Error> {
        self.elements(Some(len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'w, 'o>, Error> {
        self.variant(variant)?.elements(Some(len))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'w, 'o>, Error> {
        let mut encoder = self.enter()?;
        let start = encoder.out().len();
        if let Some(len) = len {
            encoder.map_len(len)?;
        }
        Ok(Entries { encoder, start, len, count: 0 })
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Fields<'w, 'o>, Error> {
        self.fields(len)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'w, 'o>, Error> {
        self.variant(variant)?.fields(len)
    }

    /// Where `Vec`, slices and the other collections come in, and so where bytes are many.
    #[inline]
    fn collect_seq<I>(self, items: I) -> Result<Wrote, Error>
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
            match elements.form {
                Form::Bytes(_) => elements.write_bytes(items)?,
                Form::Undecided | Form::Values => {
                    for item in items {
                        item.serialize(elements.encoder.inner())?;
                        elements.count += 1;
                    }
                }
            }
        }
        elements.finish()
    }
}

/// How the elements of a sequence are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// There has been none yet.
    Undecided,
    /// All were `u8`, and lie bare in the output from here on.
    Bytes(usize),
    /// MessagePack values.
    Values,
}

/// Writes a sequence: an array, or `bin` as long as every element is a `u8` (`[body.bytes]`).
pub(super) struct Elements<'w, 'o> {
    encoder: Encoder<'w, 'o>,
    /// Where the sequence begins in the output.
    start: usize,
    /// `None`: there is no header yet.
    len: Option<usize>,
    count: usize,
    form: Form,
}

impl Elements<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Error> {
        let mut encoder = self.encoder.inner();
        encoder.bare_byte = matches!(self.form, Form::Bytes(_));
        let wrote = element.serialize(encoder)?;
        match (self.form, wrote) {
            (Form::Values, _) | (Form::Bytes(_), Wrote::Byte(_)) => {}
            (Form::Undecided, Wrote::Value) => self.form = Form::Values,
            (Form::Undecided, Wrote::Byte(byte)) => self.become_bytes(byte)?,
            (Form::Bytes(from), Wrote::Value) => self.become_values(from)?,
        }
        self.count += 1;
        Ok(())
    }

    /// The first element was a byte: begin again, as `bin`.
    #[inline]
    fn become_bytes(&mut self, first: u8) -> Result<(), Error> {
        let Elements { encoder, start, len, .. } = self;
        encoder.out().truncate(*start);
        if let Some(len) = *len {
            encoder.bin_len(len)?;
        }
        self.form = Form::Bytes(encoder.out().len());
        encoder.out().push(first);
        Ok(())
    }

    /// The element just written was no byte, although all before it were: make values of those.
    #[cold]
    fn become_values(&mut self, from: usize) -> Result<(), Error> {
        let Elements { encoder, start, len, count, .. } = self;
        let tail = encoder.out().split_off(from);
        let (bytes, value) = tail.split_at(*count);
        encoder.out().truncate(*start);
        if let Some(len) = *len {
            encoder.array_len(len)?;
        }
        for byte in bytes {
            encoder.writer.serialize_u8(*byte)?;
        }
        encoder.out().extend_from_slice(value);
        self.form = Form::Values;
        Ok(())
    }

    /// Writes the elements after a first that was a byte, in a loop of which the compiler makes a
    /// copy of memory if they are bytes by type.
    #[inline]
    fn write_bytes<I>(&mut self, items: I) -> Result<(), Error>
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
    fn finish(mut self) -> Result<Wrote, Error> {
        match self.len {
            Some(len) if len == self.count => {}
            Some(len) => return Err(miscounted(len, self.count)),
            None => {
                let (start, end) = (self.start, self.encoder.out().len());
                match self.form {
                    Form::Bytes(_) => self.encoder.bin_len(self.count)?,
                    Form::Undecided | Form::Values => self.encoder.array_len(self.count)?,
                }
                bring_forward(self.encoder.out(), start, end);
            }
        }
        Ok(Wrote::Value)
    }
}

/// Moves the header, which could only be written after its elements, to before them.
fn bring_forward(out: &mut [u8], start: usize, header: usize) {
    out[start..].rotate_left(header - start);
}

/// Writes a map.
pub(super) struct Entries<'w, 'o> {
    encoder: Encoder<'w, 'o>,
    /// Where the map begins in the output.
    start: usize,
    /// `None`: there is no header yet.
    len: Option<usize>,
    /// Keys so far.
    count: usize,
}

impl Entries<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.encoder.inner()).map(drop)
    }

    #[inline]
    fn finish(mut self) -> Result<Wrote, Error> {
        match self.len {
            Some(len) if len == self.count => {}
            Some(len) => return Err(miscounted(len, self.count)),
            None => {
                let (start, end) = (self.start, self.encoder.out().len());
                self.encoder.map_len(self.count)?;
                bring_forward(self.encoder.out(), start, end);
            }
        }
        Ok(Wrote::Value)
    }
}

/// Writes a struct, as a map from its fields' names (`[body.names]`).
pub(super) struct Fields<'w, 'o> {
    encoder: Encoder<'w, 'o>,
    len: usize,
    count: usize,
}

impl Fields<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.encoder.writer.serialize_str(name)?;
        value.serialize(self.encoder.inner()).map(drop)
    }

    #[inline]
    fn finish(self) -> Result<Wrote, Error> {
        if self.len == self.count {
            Ok(Wrote::Value)
        } else {
            Err(miscounted(self.len, self.count))
        }
    }
}

/// serde has a trait for each shape of sequence and of struct; they are written alike.
macro_rules! write_compound {
    ($($writer:ident: $trait:ident :: $method:ident($($name:ident: $key:ty)?);)*) => {$(
        impl $trait for $writer<'_, '_> {
            type Ok = Wrote;
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $key,)? value: &T) -> Result<(), Error> {
                self.write($($name,)? value)
            }

            #[inline]
            fn end(self) -> Result<Wrote, Error> {
                self.finish()
            }
        }
    )*};
}

write_compound! {
    Elements: SerializeSeq::serialize_element();
    Elements: SerializeTuple::serialize_element();
    Elements: SerializeTupleStruct::serialize_field();
    Elements: SerializeTupleVariant::serialize_field();
    Fields: SerializeStruct::serialize_field(name: &'static str);
    Fields: SerializeStructVariant::serialize_field(name: &'static str);
}

impl SerializeMap for Entries<'_, '_> {
    type Ok = Wrote;
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.count += 1;
        self.write(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.write(value)
    }

    #[inline]
    fn end(self) -> Result<Wrote, Error> {
        self.finish()
    }
}
