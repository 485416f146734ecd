//! MessagePack as HashiCorp's programs have it: the bodies of `net-rpc-msgpackrpc`.
//!
//! That is MessagePack as it was before it told text from bytes: what is sent has neither `str 8`
//! nor `bin` in it, only `raw`, which later became `str`. What is received may have both, as
//! programs with newer codecs send.
//!
//! [`encode`] and [`decode`] are for values, [`Scanner`] finds where one ends in a stream. What
//! crosses how is said [one module up](super).

mod reader;
mod scanner;
mod writer;

use serde::{Deserialize, Serialize};

use super::{
    super::{DecodeError, EncodeError},
    decoder, encoder,
};

pub use scanner::Scanner;

/// Appends `value` to `out` in MessagePack.
///
/// ```
/// use netrpc_core::codec::go::msgpack;
///
/// let mut body = Vec::new();
/// msgpack::encode(&mut body, &("hi", vec![0u8, 255], [1u8, 2], None::<i32>))?;
/// assert_eq!(body, b"\x94\xa2hi\xa2\x00\xff\x92\x01\x02\xc0");
/// # Ok::<(), netrpc_core::codec::EncodeError>(())
/// ```
///
/// # Errors
///
/// If the value is nested too deep, has an integer in it of more than 64 bits, or if its
/// `Serialize` fails or contradicts itself. `out` is then as it was.
pub fn encode<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    encoder::encode::<writer::MessagePack, T>(out, value)
}

/// Reads the value that `bytes` are, all of them; strings and bytes are borrowed where `T` can.
///
/// ```
/// use netrpc_core::codec::go::msgpack;
///
/// let (name, bytes): (&str, &[u8]) = msgpack::decode(b"\x92\xa2hi\xa2\x00\xff")?;
/// assert_eq!((name, bytes), ("hi", &[0, 255][..]));
/// # Ok::<(), netrpc_core::codec::DecodeError>(())
/// ```
///
/// # Errors
///
/// If the bytes are not one whole value, or the value is not a `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    decoder::decode(|| reader::MessagePack::new(bytes))
}
