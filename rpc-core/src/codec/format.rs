//! What a connection's bodies are encoded in.

#[cfg(feature = "go")]
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DecodeError, EncodeError};

/// What a connection's bodies are encoded in: MessagePack on our own, something else on one with a
/// Go program.
///
/// Handlers cannot tell: a [`Body`](crate::service::Body) knows its format, and the reply is encoded
/// in the same.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Format {
    /// MessagePack, structs by field name: [`encode`](super::encode) and [`decode`](super::decode).
    #[default]
    MessagePack,
    /// Go's gob, with the types that the peer has described so far. What is encoded carries a
    /// description of its own, for [`netrpc_gob::Encoder::write_detached`].
    #[cfg(feature = "go")]
    Gob(Arc<netrpc_gob::Types>),
    /// JSON as Go's `encoding/json` has it: [`go::json`](super::go::json).
    #[cfg(feature = "go")]
    Json,
    /// MessagePack as HashiCorp's programs have it: [`go::msgpack`](super::go::msgpack).
    #[cfg(feature = "go")]
    GoMessagePack,
}

impl Format {
    /// Appends `value` to `out`.
    ///
    /// # Errors
    /// If the value has no form in this format; `out` is then as it was.
    #[inline]
    pub fn encode<T: Serialize + ?Sized>(
        &self,
        out: &mut Vec<u8>,
        value: &T,
    ) -> Result<(), EncodeError> {
        match self {
            Format::MessagePack => super::encode(out, value),
            #[cfg(feature = "go")]
            Format::Gob(_) => netrpc_gob::detached::encode(out, value)
                .map_err(|error| EncodeError::Value(error.into())),
            #[cfg(feature = "go")]
            Format::Json => super::go::json::encode(out, value),
            #[cfg(feature = "go")]
            Format::GoMessagePack => super::go::msgpack::encode(out, value),
        }
    }

    /// Reads the value that `bytes` are, all of them; borrows from them where `T` can.
    ///
    /// # Errors
    /// If the bytes are not one whole value, or the value is not a `T`.
    #[inline]
    pub fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, DecodeError> {
        match self {
            Format::MessagePack => super::decode(bytes),
            #[cfg(feature = "go")]
            Format::Gob(types) => types.decode(bytes).map_err(from_gob),
            #[cfg(feature = "go")]
            Format::Json => super::go::json::decode(bytes),
            #[cfg(feature = "go")]
            Format::GoMessagePack => super::go::msgpack::decode(bytes),
        }
    }
}

/// The same error in our words, where there are some: said once, not around its own.
#[cfg(feature = "go")]
#[cold]
fn from_gob(error: netrpc_gob::DecodeError) -> DecodeError {
    match error {
        netrpc_gob::DecodeError::Mismatch(cause) => DecodeError::Mismatch(cause),
        error => DecodeError::Mismatch(error.into()),
    }
}
