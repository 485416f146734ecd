//! JSON as Go's `encoding/json` reads and writes it: the bodies of `net/rpc/jsonrpc`.
//!
//! [`encode`] and [`decode`] are for values, [`Scanner`] finds where one ends in a stream. What
//! crosses how is said [one module up](super).

mod loan;
mod reader;
mod scanner;
mod text;
mod writer;

use serde::{Deserialize, Serialize};

use super::{
    super::{DecodeError, EncodeError},
    decoder, encoder,
};

pub use loan::Loan;
pub use scanner::Scanner;

/// Appends `value` to `out` in JSON, on one line.
///
/// ```
/// use netrpc_core::codec::go::json;
///
/// let mut body = Vec::new();
/// json::encode(&mut body, &("grüß", 1.5, [1u8, 2], vec![1u8, 2], None::<i32>))?;
/// assert_eq!(body, r#"["grüß",1.5,[1,2],"AQI=",null]"#.as_bytes());
/// # Ok::<(), netrpc_core::codec::EncodeError>(())
/// ```
///
/// # Errors
///
/// If the value is nested too deep, has a number in it that JSON has not (NaN, infinities) or that
/// Go has not (of more than 64 bits), or a map's key that is neither string nor integer; or if its
/// `Serialize` fails or contradicts itself. `out` is then as it was.
pub fn encode<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    encoder::encode::<writer::Json, T>(out, value)
}

/// Reads the value that `bytes` are, all of them but white space around it.
///
/// A `&str` is borrowed if there are no escapes in it, and a `&[u8]` cannot be;
/// [`decode_with`] can lend both.
///
/// ```
/// use netrpc_core::codec::go::json;
///
/// let (name, bytes, none): (&str, Vec<u8>, i32) = json::decode(br#" ["hi", "AQI=", null] "#)?;
/// assert_eq!((name, bytes, none), ("hi", vec![1, 2], 0));
/// # Ok::<(), netrpc_core::codec::DecodeError>(())
/// ```
///
/// # Errors
///
/// If the bytes are not one whole value, or the value is not a `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    if bytes.iter().all(|byte| reader::is_space(*byte)) {
        return Err(DecodeError::Empty);
    }
    decoder::decode(|| reader::Json::new(bytes, None))
}

/// The same, where what a `T` borrows and JSON does not have as it is (text with escapes, bytes) is
/// borrowed from `loan`.
///
/// ```
/// use netrpc_core::codec::go::json;
///
/// let loan = json::Loan::default();
/// let (text, bytes): (&str, &[u8]) = json::decode_with(br#"["a \u003c b", "AQI="]"#, &loan)?;
/// assert_eq!((text, bytes), ("a < b", &[1, 2][..]));
/// # Ok::<(), netrpc_core::codec::DecodeError>(())
/// ```
///
/// # Errors
///
/// As [`decode`].
pub fn decode_with<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    loan: &'de Loan,
) -> Result<T, DecodeError> {
    decode(bytes).or_else(|error| {
        decoder::decode(|| reader::Json::new(bytes, Some(loan))).map_err(|_| error)
    })
}
