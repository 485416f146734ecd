//! gob's bytes → serde values, as the types on the wire say.
//!
//! serde deserialises by a dialogue: a type asks for what it would like, and is shown what there is.
//! What there is a [`ValueDecoder`] knows from the type on the wire; parts are shown by the accesses
//! of [`parts`], [`fields`] and [`variant`], whose seeds find themselves before a [`ValueDecoder`]
//! again.

mod attempt;
mod fields;
mod omitted;
mod parts;
mod value;
mod variant;

use std::marker::PhantomData;

use serde::{Deserialize, de::DeserializeSeed};

use crate::{
    error::{DecodeError, Undecodable},
    types::Types,
    walk,
    wire::{MAX_DEPTH, Reader},
};

use attempt::Attempt;
use value::ValueDecoder;

type Result<T, E = Undecodable> = std::result::Result<T, E>;

impl Types {
    /// Reads the value that `bytes` are, all of them: the id of its type and itself, as they came
    /// in a [`Message::Value`](crate::Message::Value).
    ///
    /// Strings and bytes are borrowed where `T` can.
    ///
    /// ```
    /// use netrpc_gob::Types;
    ///
    /// assert_eq!(Types::default().decode::<&str>(b"\x0C\x00\x02hi")?, "hi");
    /// # Ok::<(), netrpc_gob::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the bytes are not one whole value of a type that the stream has defined, or the value is
    /// not a `T`.
    pub fn decode<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, DecodeError> {
        self.decode_seed(bytes, PhantomData)
    }

    /// Like [`Types::decode`], for what is only known at run time how to decode.
    ///
    /// The seed is used again where a field is missing that has no default.
    ///
    /// ```
    /// use netrpc_gob::Types;
    /// use std::marker::PhantomData;
    ///
    /// assert_eq!(Types::default().decode_seed(b"\x0C\x00\x02hi", PhantomData::<&str>)?, "hi");
    /// # Ok::<(), netrpc_gob::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`Types::decode`].
    pub fn decode_seed<'de, S: DeserializeSeed<'de> + Clone>(
        &self,
        bytes: &'de [u8],
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        let attempt = Attempt::default();
        loop {
            match self.attempt(bytes, seed.clone(), &attempt) {
                Err(Undecodable::Missing(field)) if attempt.learn(field) => {}
                Err(error) => return Err(error.into()),
                Ok(value) => {
                    attempt.keep();
                    return Ok(value);
                }
            }
        }
    }

    #[inline]
    fn attempt<'t, 'de, S: DeserializeSeed<'de>>(
        &'t self,
        bytes: &'de [u8],
        seed: S,
        attempt: &Attempt<'t>,
    ) -> Result<S::Value> {
        let mut reader = Reader::new(bytes);
        let id = reader.id()?;
        if id < 0 {
            return Err(DecodeError::Malformed("a definition where a value was expected").into());
        }
        walk::skip_single(self, id, &mut reader)?;
        let value = seed.deserialize(ValueDecoder {
            types: self,
            attempt,
            reader: &mut reader,
            id,
            depth: MAX_DEPTH,
            wrappers: MAX_DEPTH,
            is_root: true,
        })?;
        if reader.rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing.into()) }
    }
}
