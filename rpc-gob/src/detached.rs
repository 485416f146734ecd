//! Values encoded before it is known on which stream they go, and in which order.
//!
//! What a message looks like depends on what was sent before it: a type is defined once. So what
//! many threads encode cannot be messages; it is a blob that has its own description of its type,
//! and becomes a message, by [`Encoder::write_detached`](crate::Encoder::write_detached), when it
//! is put on the stream.
//!
//! ```text
//! u32, little-endian   length of the schema
//! schema               the value's type; equal types have equal schemas
//! value                in gob, without its type's id
//! ```
//!
//! ```
//! use netrpc_gob::{Encoder, detached};
//!
//! let mut blob = Vec::new();
//! detached::encode(&mut blob, "hi")?;
//! let mut stream = Vec::new();
//! Encoder::new().write_detached(&blob, &mut stream)?;
//! assert_eq!(stream, b"\x05\x0C\x00\x02hi");
//! # Ok::<(), netrpc_gob::EncodeError>(())
//! ```

use std::cell::Cell;

use serde::Serialize;

use crate::{
    error::EncodeError,
    guess::may_be_struct,
    ser::{Sink, ValueEncoder},
    shape::{Shape, Shapes},
};

/// Length of the schema's length.
const PREFIX: usize = 4;

/// What is kept from one value to the next.
#[derive(Default)]
struct Scratch {
    shapes: Shapes,
    schema: Vec<u8>,
    /// Bytes between the prefix and the value, the last time; the same again, most likely, and then
    /// the value need not be moved.
    gap: usize,
}

thread_local! {
    /// Empty while a value is being encoded, so that one inside another begins anew.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Appends `value` and its type to `out`, for any stream.
///
/// ```
/// use netrpc_gob::{Encoder, detached};
///
/// let blobs: Vec<Vec<u8>> = std::thread::scope(|scope| {
///     let encode = |n: i64| {
///         let mut blob = Vec::new();
///         detached::encode(&mut blob, &n).map(|()| blob)
///     };
///     let threads: Vec<_> = (1..4).map(|n| scope.spawn(move || encode(n))).collect();
///     threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<_, _>>()
/// })?;
///
/// let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
/// for blob in &blobs {
///     encoder.write_detached(blob, &mut stream)?;
/// }
/// assert_eq!(stream, [3, 4, 0, 2, 3, 4, 0, 4, 3, 4, 0, 6]);
/// # Ok::<(), netrpc_gob::EncodeError>(())
/// ```
///
/// # Errors
///
/// If the value cannot be expressed in gob, or its `Serialize` fails; `out` is then as it was.
pub fn encode<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    scratch.shapes.clear();
    let start = out.len();
    let encoded = encode_with(&mut scratch, out, value);
    if encoded.is_err() {
        out.truncate(start);
    }
    if !scratch.shapes.is_large() {
        SCRATCH.set(Some(scratch));
    }
    encoded
}

#[inline]
fn encode_with<T: Serialize + ?Sized>(
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), EncodeError> {
    let Scratch { shapes, schema, gap } = scratch;
    let prefix = out.len();
    let after_prefix = prefix + PREFIX;
    let body = after_prefix + *gap;
    out.resize(body, 0);
    let mut sink = Sink { out, shapes };
    let wrote = value.serialize(ValueEncoder::new::<T>(&mut sink)).map_err(|error| *error.0)?;
    let root = match wrote.shape {
        // There is no nil. What Go sends where there is nothing to send is an empty struct, which it
        // reads as any other, but as nothing else.
        Shape::NONE => {
            let name = std::any::type_name::<T>();
            if !may_be_struct(sink.shapes, name).map_err(|error| *error.0)? {
                return Err(EncodeError::Nil);
            }
            sink.out.push(0);
            Shape::GUESSED
        }
        _ => sink.settle::<T>(&wrote).map_err(|error| *error.0)?,
    };

    schema.clear();
    shapes.write_schema(root, schema);
    let single = !shapes.is_struct(root);
    let needed = schema.len() + usize::from(single);
    if needed != *gap {
        make_room(out, body, after_prefix + needed);
        *gap = needed.min(1 << 10);
    }
    let Ok(len) = u32::try_from(schema.len()) else { return Err(EncodeError::TooManyTypes(0)) };
    out[prefix..after_prefix].copy_from_slice(&len.to_le_bytes());
    out[after_prefix..][..schema.len()].copy_from_slice(schema);
    if single {
        // What is no struct is preceded by the number of the field that it is not.
        out[after_prefix + schema.len()] = 0;
    }
    Ok(())
}

/// Moves what begins at `from` to `to`, bytes in between being of no importance.
pub(crate) fn make_room(out: &mut Vec<u8>, from: usize, to: usize) {
    let end = out.len();
    if to > from {
        out.resize(end + to - from, 0);
        out.copy_within(from..end, to);
    } else {
        out.copy_within(from..end, to);
        out.truncate(end + to - from);
    }
}

/// The schema and the value of a blob.
pub(crate) fn split(blob: &[u8]) -> Result<(&[u8], &[u8]), EncodeError> {
    let (prefix, rest) = blob.split_first_chunk().ok_or(EncodeError::NotDetached)?;
    let len = u32::from_le_bytes(*prefix) as usize;
    rest.split_at_checked(len).ok_or(EncodeError::NotDetached)
}
