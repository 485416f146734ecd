//! The sending side of a stream: which types it has defined, and as what.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use crate::{
    definitions::Definitions,
    detached,
    error::EncodeError,
    schema::Schema,
    wire::{write_int, write_uint},
};

/// The most schemas that are remembered, and bytes of them; others are resolved anew each time.
const MAX_CACHED: usize = 1024;
const MAX_CACHED_BYTES: usize = 1 << 20;

/// Writes the messages of one stream.
///
/// It keeps which types the stream has defined. A value of a new type is preceded by its
/// definition; of a type that has been sent before, it costs a look-up and a copy.
///
/// ```
/// use netrpc_gob::Encoder;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Args { a: i64, b: i64 }
///
/// let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
/// encoder.encode(&Args { a: 7, b: 8 }, &mut stream)?;
/// let first = stream.len();
/// encoder.encode(&Args { a: -3, b: 0 }, &mut stream)?;
/// assert!(stream.starts_with(b"\x1E\xFF\x81\x03\x01\x01\x04Args\x01\xFF\x82\x00"));
/// assert_eq!(stream[first..], [0x05, 0xFF, 0x82, 0x01, 0x05, 0x00]);
/// # Ok::<(), netrpc_gob::EncodeError>(())
/// ```
///
/// # Types that become known later
///
/// A field that is `None`, or an empty sequence or map, does not say what type it would have. It
/// keeps its number, under the name `_`, which Go skips. When a later value knows more, the struct
/// is defined once more, under a new id; so a struct is defined at most once for each of its fields
/// and once again.
#[derive(Default)]
pub struct Encoder {
    /// What a schema is called on this stream. Those that were there before a type got wider keep
    /// the id that they had: it is still good for them.
    cache: HashMap<Box<[u8]>, i32>,
    cached_bytes: usize,
    definitions: Definitions,
    /// Definitions and the beginning of a message, before they are put before its value.
    head: Vec<u8>,
}

impl Encoder {
    /// An encoder for a new stream.
    ///
    /// ```
    /// let mut stream = Vec::new();
    /// netrpc_gob::Encoder::new().encode(&true, &mut stream)?;
    /// assert_eq!(stream, [3, 2, 0, 1]);
    /// # Ok::<(), netrpc_gob::EncodeError>(())
    /// ```
    pub fn new() -> Self {
        Encoder::default()
    }

    /// Appends `value` to `out`, after definitions of such types as it needs and the stream has not
    /// seen.
    ///
    /// All that it appends must be sent, before anything else that this encoder appends.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// let mut stream = Vec::new();
    /// netrpc_gob::Encoder::new().encode(&BTreeMap::from([("go", 2)]), &mut stream)?;
    /// let definition = b"\x0E\xFF\x81\x04\x01\x02\xFF\x82\x00\x01\x0C\x01\x04\x00\x00";
    /// let value = b"\x08\xFF\x82\x00\x01\x02go\x04";
    /// assert_eq!(stream, [definition.as_slice(), value].concat());
    /// # Ok::<(), netrpc_gob::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the value cannot be expressed in gob, or its `Serialize` fails; `out` and the stream are
    /// then as they were.
    pub fn encode<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        detached::encode(out, value)?;
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let (schema, body) = detached::split(&out[start..])?;
        let body_at = out.len() - body.len();
        let written = self.write_head(schema, body.len(), &mut head);
        match written {
            Ok(()) => {
                detached::make_room(out, body_at, start + head.len());
                out[start..][..head.len()].copy_from_slice(&head);
            }
            Err(_) => out.truncate(start),
        }
        self.head = head;
        written
    }

    /// Appends the value of `blob`, which [`detached::encode`] has made, to `out`, after definitions
    /// of such types as it needs and the stream has not seen.
    ///
    /// ```
    /// use netrpc_gob::{Encoder, detached};
    ///
    /// let mut blob = Vec::new();
    /// detached::encode(&mut blob, &[1.5, -1.5])?;
    /// let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
    /// encoder.write_detached(&blob, &mut stream)?;
    ///
    /// let mut same = Vec::new();
    /// Encoder::new().encode(&[1.5, -1.5], &mut same)?;
    /// assert_eq!(stream, same);
    /// # Ok::<(), netrpc_gob::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotDetached`] if the blob is none; [`EncodeError::TooManyTypes`] if the stream
    /// has more types than one should have. `out` and the stream are then as they were.
    pub fn write_detached(&mut self, blob: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let value = self.write_detached_head(blob, out)?;
        out.extend_from_slice(value);
        Ok(())
    }

    /// Like [`Encoder::write_detached`], but leaves it to the caller to append the value: the part
    /// of `blob` that it returns.
    ///
    /// For large values that should not be copied once more.
    ///
    /// ```
    /// use netrpc_gob::{Encoder, detached};
    ///
    /// let mut blob = Vec::new();
    /// detached::encode(&mut blob, "hi")?;
    /// let mut head = Vec::new();
    /// let value = Encoder::new().write_detached_head(&blob, &mut head)?;
    /// assert_eq!((head.as_slice(), value), (b"\x05\x0C".as_slice(), b"\x00\x02hi".as_slice()));
    /// # Ok::<(), netrpc_gob::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`Encoder::write_detached`].
    pub fn write_detached_head<'b>(
        &mut self,
        blob: &'b [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'b [u8], EncodeError> {
        let (schema, value) = detached::split(blob)?;
        self.write_head(schema, value.len(), out)?;
        Ok(value)
    }

    /// Appends what comes before a value.
    #[inline]
    fn write_head(
        &mut self,
        schema: &[u8],
        value: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let id = match self.cache.get(schema) {
            Some(id) => *id,
            None => self.resolve(schema, out)?,
        };
        let id_len = if id < 64 { 1 } else { int_len(id) };
        write_uint(out, (id_len + value) as u64);
        write_int(out, id.into());
        Ok(())
    }

    /// What a schema is called that is not in the cache, and such definitions as that takes.
    #[cold]
    fn resolve(&mut self, schema: &[u8], out: &mut Vec<u8>) -> Result<i32, EncodeError> {
        let parsed = Schema::parse(schema)?;
        let id = self.definitions.define(&parsed, out)?;
        let bytes = self.cached_bytes + schema.len();
        if self.cache.len() < MAX_CACHED && bytes <= MAX_CACHED_BYTES {
            self.cached_bytes = bytes;
            self.cache.insert(schema.into(), id);
        }
        Ok(id)
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("types", &self.definitions.len()).finish_non_exhaustive()
    }
}

/// How many bytes the id of a defined type takes.
fn int_len(id: i32) -> usize {
    if id < 128 { 2 } else { 3 }
}
