//! Bodies ↔ serde types.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Appends `value` to `out`.
///
/// # Errors
///
/// If the value cannot be encoded; `out` is then as it was.
pub fn encode<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    let start = out.len();
    let mut encoder = rmp_serde::Serializer::new(&mut *out)
        .with_struct_map()
        .with_bytes(rmp_serde::config::BytesMode::ForceAll);
    value.serialize(&mut encoder).map_err(|error| {
        out.truncate(start);
        EncodeError { source: error }
    })
}

/// Reads a value from a body.
///
/// # Errors
///
/// If the body is not a `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice(bytes).map_err(|error| DecodeError { source: error })
}

/// A value cannot be encoded.
#[derive(Debug, Error)]
#[error("the value cannot be encoded")]
pub struct EncodeError {
    source: rmp_serde::encode::Error,
}

/// A body is not what was expected.
#[derive(Debug, Error)]
#[error("the body cannot be decoded")]
pub struct DecodeError {
    source: rmp_serde::decode::Error,
}
