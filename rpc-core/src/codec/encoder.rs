//! MessagePack from a serde value, with names, bytes and limits.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{MAX_DEPTH, bytes::ByteProbe, extension, fail::Fail, msgpack::write};

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
pub(super) struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    /// Levels of nesting that this value may still open.
    depth: u8,
    /// The value is an element of a sequence that so far holds bytes only: a `u8` is written bare.
    bare_byte: bool,
}

impl<'o> Encoder<'o> {
    #[inline]
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        const {
            assert!(MAX_DEPTH <= u8::MAX as usize);
        }
        Encoder { out, depth: MAX_DEPTH as u8, bare_byte: false }
    }

    /// One level down.
    #[inline]
    fn enter(self) -> Result<Self, Fail> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Encoder { depth, ..self }),
            None => Err(Fail::too_deep()),
        }
    }

    /// For a value inside this one.
    #[inline]
    fn inner(&mut self) -> Encoder<'_> {
        Encoder { out: self.out, depth: self.depth, bare_byte: false }
    }

    /// Opens the map of one entry that a variant with data is.
    #[inline]
    fn variant(self, name: &'static str) -> Result<Self, Fail> {
        let encoder = self.enter()?;
        write::map_len(encoder.out, 1)?;
        write::text(encoder.out, name)?;
        Ok(encoder)
    }

    #[inline]
    fn elements(self, len: Option<usize>) -> Result<Elements<'o>, Fail> {
        let encoder = self.enter()?;
        let start = encoder.out.len();
        if let Some(len) = len {
            write::array_len(encoder.out, len)?;
        }
        Ok(Elements { encoder, start, len, count: 0, form: Form::Undecided })
    }

    #[inline]
    fn fields(self, len: usize) -> Result<Fields<'o>, Fail> {
        let encoder = self.enter()?;
        write::map_len(encoder.out, len)?;
        Ok(Fields { encoder, len, count: 0 })
    }
}

#[cold]
fn miscounted(announced: usize, given: usize) -> Fail {
    Fail::new(format_args!("its `Serialize` announced {announced} elements and gave {given}"))
}

/// Values that are written alike but for their width.
macro_rules! write_scalars {
    ($($method:ident: $type:ty => $form:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<Wrote, Fail> {
            write::$form(self.out, value.into());
            Ok(Wrote::Value)
        }
    )*};
}

impl<'o> Serializer for Encoder<'o> {
    type Ok = Wrote;
    type Error = Fail;
    type SerializeSeq = Elements<'o>;
    type SerializeTuple = Elements<'o>;
    type SerializeTupleStruct = Elements<'o>;
    type SerializeTupleVariant = Elements<'o>;
    type SerializeMap = Entries<'o>;
    type SerializeStruct = Fields<'o>;
    type SerializeStructVariant = Fields<'o>;

    write_scalars! {
        serialize_bool: bool => bool;
        serialize_i8: i8 => int;
        serialize_i16: i16 => int;
        serialize_i32: i32 => int;
        serialize_i64: i64 => int;
        serialize_u16: u16 => uint;
        serialize_u32: u32 => uint;
        serialize_u64: u64 => uint;
        serialize_f32: f32 => f32;
        serialize_f64: f64 => f64;
    }

    fn serialize_i128(self, value: i128) -> Result<Wrote, Fail> {
        self.serialize_bytes(&value.to_be_bytes())
    }

    fn serialize_u128(self, value: u128) -> Result<Wrote, Fail> {
        self.serialize_bytes(&value.to_be_bytes())
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<Wrote, Fail> {
        if self.bare_byte {
            self.out.push(value);
        } else {
            write::uint(self.out, value.into());
        }
        Ok(Wrote::Byte(value))
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<Wrote, Fail> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<Wrote, Fail> {
        write::text(self.out, value)?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<Wrote, Fail> {
        write::bin_len(self.out, value.len())?;
        self.out.extend_from_slice(value);
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_none(self) -> Result<Wrote, Fail> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Wrote, Fail> {
        value.serialize(self.inner())?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<Wrote, Fail> {
        self.out.push(write::NIL);
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<Wrote, Fail> {
        write::array_len(self.out, 0)?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Wrote, Fail> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<Wrote, Fail> {
        let start = self.out.len();
        value.serialize(self.inner())?;
        if name == extension::NAME {
            extension::wrap(self.out, start)?;
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
    ) -> Result<Wrote, Fail> {
        value.serialize(self.variant(variant)?.inner())?;
        Ok(Wrote::Value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'o>, Fail> {
        self.elements(len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Elements<'o>, Fail> {
        self.elements(Some(len))
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Elements<'o>, Fail> {
        self.elements(Some(len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'o>, Fail> {
        self.variant(variant)?.elements(Some(len))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'o>, Fail> {
        let encoder = self.enter()?;
        let start = encoder.out.len();
        if let Some(len) = len {
            write::map_len(encoder.out, len)?;
        }
        Ok(Entries { encoder, start, len, count: 0 })
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Fields<'o>, Fail> {
        self.fields(len)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'o>, Fail> {
        self.variant(variant)?.fields(len)
    }

    /// Where `Vec`, slices and the other collections come in, and so where bytes are many.
    #[inline]
    fn collect_seq<I>(self, items: I) -> Result<Wrote, Fail>
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
pub(super) struct Elements<'o> {
    encoder: Encoder<'o>,
    /// Where the sequence begins in the output.
    start: usize,
    /// `None`: there is no header yet.
    len: Option<usize>,
    count: usize,
    form: Form,
}

impl Elements<'_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Fail> {
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
    fn become_bytes(&mut self, first: u8) -> Result<(), Fail> {
        let Elements { encoder, start, len, .. } = self;
        encoder.out.truncate(*start);
        if let Some(len) = *len {
            write::bin_len(encoder.out, len)?;
        }
        self.form = Form::Bytes(encoder.out.len());
        encoder.out.push(first);
        Ok(())
    }

    /// The element just written was no byte, although all before it were: make values of those.
    #[cold]
    fn become_values(&mut self, from: usize) -> Result<(), Fail> {
        let Elements { encoder, start, len, count, .. } = self;
        let tail = encoder.out.split_off(from);
        let (bytes, value) = tail.split_at(*count);
        encoder.out.truncate(*start);
        if let Some(len) = *len {
            write::array_len(encoder.out, len)?;
        }
        for byte in bytes {
            write::uint(encoder.out, (*byte).into());
        }
        encoder.out.extend_from_slice(value);
        self.form = Form::Values;
        Ok(())
    }

    /// Writes the elements after a first that was a byte, in a loop of which the compiler makes a
    /// copy of memory if they are bytes by type.
    #[inline]
    fn write_bytes<I>(&mut self, items: I) -> Result<(), Fail>
    where
        I: Iterator,
        I::Item: Serialize,
    {
        // Those that are no bytes, by position; a zero holds their place. Of a type that is a byte
        // only sometimes, such as an untagged enum.
        let mut others = Vec::new();
        let out = &mut *self.encoder.out;
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
    fn finish(self) -> Result<Wrote, Fail> {
        match self.len {
            Some(len) if len == self.count => {}
            Some(len) => return Err(miscounted(len, self.count)),
            None => {
                let (start, end) = (self.start, self.encoder.out.len());
                match self.form {
                    Form::Bytes(_) => write::bin_len(self.encoder.out, self.count)?,
                    Form::Undecided | Form::Values => {
                        write::array_len(self.encoder.out, self.count)?;
                    }
                }
                bring_forward(self.encoder.out, start, end);
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
pub(super) struct Entries<'o> {
    encoder: Encoder<'o>,
    /// Where the map begins in the output.
    start: usize,
    /// `None`: there is no header yet.
    len: Option<usize>,
    /// Keys so far.
    count: usize,
}

impl Entries<'_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fail> {
        value.serialize(self.encoder.inner()).map(drop)
    }

    #[inline]
    fn finish(self) -> Result<Wrote, Fail> {
        match self.len {
            Some(len) if len == self.count => {}
            Some(len) => return Err(miscounted(len, self.count)),
            None => {
                let (start, end) = (self.start, self.encoder.out.len());
                write::map_len(self.encoder.out, self.count)?;
                bring_forward(self.encoder.out, start, end);
            }
        }
        Ok(Wrote::Value)
    }
}

/// Writes a struct, as a map from its fields' names (`[body.names]`).
pub(super) struct Fields<'o> {
    encoder: Encoder<'o>,
    len: usize,
    count: usize,
}

impl Fields<'_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Fail> {
        self.count += 1;
        write::text(self.encoder.out, name)?;
        value.serialize(self.encoder.inner()).map(drop)
    }

    #[inline]
    fn finish(self) -> Result<Wrote, Fail> {
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
        impl $trait for $writer<'_> {
            type Ok = Wrote;
            type Error = Fail;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $key,)? value: &T) -> Result<(), Fail> {
                self.write($($name,)? value)
            }

            #[inline]
            fn end(self) -> Result<Wrote, Fail> {
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

impl SerializeMap for Entries<'_> {
    type Ok = Wrote;
    type Error = Fail;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fail> {
        self.count += 1;
        self.write(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fail> {
        self.write(value)
    }

    #[inline]
    fn end(self) -> Result<Wrote, Fail> {
        self.finish()
    }
}
