//! Go's gob format for serde: values and whole streams, both ways, without I/O.

mod bytes;
pub mod complex;
mod de;
mod decoder;
mod definitions;
pub mod detached;
mod encoder;
mod error;
mod guess;
pub mod marshaled;
pub mod names;
mod schema;
mod ser;
mod shape;
pub mod time;
mod types;
mod walk;
mod wire;
pub mod zero;

use serde::{Deserialize, Serialize};

pub use decoder::{Decoder, Limits, Message};
pub use encoder::Encoder;
pub use error::{DecodeError, EncodeError, StreamError};
pub use types::Types;
pub use wire::MAX_DEPTH;

/// Encodes one value as a stream of its own: definitions of its types, and itself.
///
/// ```
/// assert_eq!(netrpc_gob::to_vec("hi")?, b"\x05\x0C\x00\x02hi");
/// # Ok::<(), netrpc_gob::EncodeError>(())
/// ```
///
/// # Errors
///
/// If the value cannot be expressed in gob, or its `Serialize` fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    Encoder::new().encode(value, &mut out)?;
    Ok(out)
}

/// Decodes a stream of one value; strings and bytes are borrowed where `T` can.
///
/// ```
/// assert_eq!(netrpc_gob::from_slice::<&str>(b"\x05\x0C\x00\x02hi")?, "hi");
/// # Ok::<(), netrpc_gob::DecodeError>(())
/// ```
///
/// # Errors
///
/// If the bytes are not one whole value, or the value is not a `T`.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut rest = bytes;
    let value = Decoder::new(Limits::new().message(u64::MAX)).decode(&mut rest)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing) }
}
