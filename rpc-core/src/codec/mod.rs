//! Bodies ↔ serde types: MessagePack by field name, bytes at the speed of a copy.
//!
//! The encoding is that of [rmp-serde](https://docs.rs/rmp-serde), which reads what is written here
//! and writes what is read here: the tests compare the two. This one takes half the instructions, and
//! has what a protocol between strangers needs:
//!
//! - Structs are maps from field name to value, and enum variants go by name, so that a peer one
//!   version older or newer still reads them (`[body.names]`).
//! - A sequence of `u8` is MessagePack `bin` without an annotation (`[body.bytes]`):
//!   `Vec<u8>`, `&[u8]`, `[u8; N]`, at any depth. `&[u8]` and `&str` borrow from the body.
//! - A body is exactly one value, nested at most [`MAX_DEPTH`] deep (`[body.one]`,
//!   `[body.depth]`), and what it claims about lengths reserves nothing (`[body.lengths]`).
//!
//! ```
//! use netrpc_core::codec;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Put<'a> { key: &'a str, value: Vec<u8> }
//!
//! let put = Put { key: "k", value: vec![0, 1, 255] };
//! let mut body = Vec::new();
//! codec::encode(&mut body, &put)?;
//! assert_eq!(body, b"\x82\xa3key\xa1k\xa5value\xc4\x03\x00\x01\xff");
//! assert_eq!(codec::decode::<Put>(&body)?, put);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What serde cannot do
//!
//! - `Some(None)` and `Some(())` look like `None`.
//! - In types that serde buffers before it knows their form (`untagged`, `flatten`, internally
//!   tagged), `Vec<u8>` works, at 32 bytes of memory for each byte; a borrowed `&[u8]` does not.

mod bytes;
mod decoder;
mod encoder;
mod extension;
mod fail;
mod format;
#[cfg(feature = "go")]
pub mod go;
mod msgpack;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use format::Format;

use encoder::Encoder;

/// How deep arrays and maps may be nested in a body; an enum variant with data is a map.
///
/// Each level costs a few stack frames on both sides, and the peer chooses how many there are.
pub const MAX_DEPTH: usize = 64;

/// The cause of an encoding or decoding error, whichever layer it came from.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Appends `value` to `out` in MessagePack.
///
/// ```
/// let mut body = b"already here".to_vec();
/// netrpc_core::codec::encode(&mut body, "hi")?;
/// assert_eq!(body, b"already here\xa2hi");
/// # Ok::<(), netrpc_core::codec::EncodeError>(())
/// ```
///
/// # Errors
///
/// If the value is nested too deep, or its `Serialize` fails or contradicts itself; `out` is then
/// as it was.
pub fn encode<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    let start = out.len();
    match value.serialize(Encoder::new(out)) {
        Ok(_) => Ok(()),
        Err(error) => {
            out.truncate(start);
            Err(error.into())
        }
    }
}

/// Appends what comes before `len` bytes that are to follow: together they are what
/// [`encode`] makes of a `Vec<u8>`.
///
/// # Errors
///
/// If there are too many for MessagePack.
pub(crate) fn begin_bytes(out: &mut Vec<u8>, len: usize) -> Result<(), EncodeError> {
    Ok(msgpack::write::bin_len(out, len)?)
}

/// Reads the value that `bytes` are, all of them; strings and bytes are borrowed where `T` can.
///
/// ```
/// let name: &str = netrpc_core::codec::decode(b"\xa2hi")?;
/// assert_eq!(name, "hi");
/// # Ok::<(), netrpc_core::codec::DecodeError>(())
/// ```
///
/// # Errors
///
/// If the bytes are not one whole value, or the value is not a `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    decode_or(bytes, |error| error)
}

/// The same; an error goes straight to what is to become of it. Each result with another error would have
/// the value moved.
#[inline]
pub(crate) fn decode_or<'de, T: Deserialize<'de>, E>(
    bytes: &'de [u8],
    why: impl FnOnce(DecodeError) -> E,
) -> Result<T, E> {
    if bytes.is_empty() {
        return Err(why(DecodeError::Empty));
    }
    match decoder::decode(bytes) {
        Ok(value) => Ok(value),
        Err(fail) => Err(why(fail.into())),
    }
}

/// A value cannot be encoded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Its `Serialize` failed, or gave another number of elements than it had announced.
    #[error("the value cannot be encoded")]
    Value(#[source] Cause),
}

/// A body is not the value that was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes at all; even `()` takes one.
    #[error("the body is empty where a value was expected")]
    Empty,
    /// The bytes end before the value does.
    #[error("the body ends in the middle of its value")]
    Truncated,
    /// The value ends before the bytes do.
    #[error("the body goes on after its value")]
    Trailing,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It is a value, but not of the type asked for.
    #[error("the body does not have the form that was expected")]
    Mismatch(#[source] Cause),
}
