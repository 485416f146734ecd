//! Go's gob format for serde: values and whole streams, both ways, without I/O.
//!
//! gob is how Go programs write their values for other Go programs, and what `net/rpc` speaks. A
//! stream defines each type once, under a number, and then sends values of it.
//!
//! ```
//! use netrpc_gob::{Decoder, Encoder, Limits};
//! use serde::{Deserialize, Serialize};
//!
//! // type User struct { UserID uint; Name string; Tags []string; Boss *User }
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct User {
//!     #[serde(rename = "UserID")]
//!     user_id: u64,
//!     name: String,
//!     tags: Vec<String>,
//!     boss: Option<Box<User>>,
//! }
//!
//! let user = User { user_id: 7, name: "gopher".into(), tags: vec![], boss: None };
//! let (mut encoder, mut stream) = (Encoder::new(), Vec::new());
//! encoder.encode(&user, &mut stream)?;
//! encoder.encode(&user, &mut stream)?;
//!
//! let (mut decoder, mut input) = (Decoder::new(Limits::new()), stream.as_slice());
//! assert_eq!(decoder.decode::<User>(&mut input)?, user);
//! assert_eq!(decoder.decode::<User>(&mut input)?, user);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Encoder`] and [`Decoder`] are the two sides of a stream; [`to_vec`] and [`from_slice`] are
//!   for one value alone.
//! - [`detached`] encodes values that are put on a stream later, by whichever thread has it.
//! - [`Types::decode`] decodes values away from the stream that they came on.
//! - [`time`], [`complex`] and [`marshaled`] are for Go types that serde has no word for.
//! - [`names`] and [`zero`] are what other formats need to speak with Go.
//!
//! # What is what in Go
//!
//! The receiver's type need not be the sender's. Go wants integers, unsigned integers, floats and
//! strings to be what they are, whatever their width, and reads fields by name.
//!
//! | Rust | gob, and what Go reads it as |
//! |---|---|
//! | `bool`; `i8`…`i128`; `u8`…`u128`; `f32`, `f64` | `bool`; `int`…; `uint`…; `float` |
//! | `str`, `char` | `string`, not `rune` |
//! | `Vec<u8>` and other sequences of `u8`, bytes | `[]byte` |
//! | sequences | `[]T` |
//! | maps | `map[K]V` |
//! | structs | `struct`, fields under [`names::go_name`] |
//! | newtypes, `Some(x)`, pointers | what is in them; in a struct, `*T` will do |
//! | `None` in a struct | nil, the field is left out |
//! | arrays, and tuples whose elements are of one type in gob | `[n]T` |
//! | other tuples | `struct { F0 T; F1 U; … }` |
//! | `()`, unit structs, `None` of a struct at the top | `struct{}`, which Go reads as any struct, all zero |
//! | variants without data | `string`, the variant's name |
//! | variants with data | `struct { Circle *Circle; Square *Square; … }`, one of them set |
//!
//! Decoding goes by the type on the wire and takes more: integers of any width and sign if they fit,
//! strings as bytes and bytes as strings, structs as maps and as tuples, maps as structs, enums by
//! number as well (Go's `iota`), numbers as `char`. A value in an interface is read as if it stood
//! there itself; as an enum's variant, if that is called like the type under which Go knows it.
//! [`deserialize_any`](serde::Deserializer::deserialize_any) works for all, so that `untagged` and
//! `flatten` do; but these match names as they were sent, and need `rename_all = "PascalCase"`.
//!
//! # What is zero
//!
//! Go leaves out fields that are zero, and so do we: `0`, `false`, `""`, an empty sequence or map.
//! `Some(0)` is sent, which a Go program reads as a pointer to 0 but cannot send itself. When
//! decoding, a field that
//!
//! - was left out is zero ([`zero::Zero`]), whatever default it has in serde;
//! - the sender does not know has its default in serde, or is zero if it has none.
//!
//! A struct that has no field in common with what was sent is an error, as in Go, unless there are
//! no fields in one of them.
//!
//! # Types that cannot be seen
//!
//! serde says of what type a value is and nothing of what it could have been: an empty sequence, map
//! or `None` does not say what it is empty of. What is made of the standard library's containers and
//! primitives is known all the same, by its name in Rust. Otherwise
//!
//! - a *field* keeps its place without a name until there is a value of it ([`Encoder`]). Go refuses
//!   a struct in which it finds no field that it knows, which may happen if it has become another
//!   one since;
//! - an empty sequence in another place, such as `Vec::<User>::new()` at the top, is taken to be one
//!   of structs, which Go reads as any struct. If `User` is a newtype around a string, or an enum,
//!   Go expects strings and refuses it: put it into a struct's field, where it is left out.
//!
//! # What cannot be sent
//!
//! - `None` in a sequence, a map, an array or a variant, and alone, unless it is of a struct: there is no
//!   nil in gob.
//! - Elements of several types, so JSON values, `flatten`, and variants with and without data side
//!   by side: gob has one type for all elements. There are no interfaces in what we send.
//! - Integers of more than 64 bits; values nested deeper than [`MAX_DEPTH`].
//! - `Some(None)` looks like `None`.
//! - A struct whose `Serialize` leaves out fields without a word is another struct each time; those
//!   of `skip_serializing_if` keep their place.
//!
//! # Strangers
//!
//! A decoder allocates nothing for a length that is only claimed, and no element takes less than a
//! byte. What a stream may define, how long a message may be and how deep a value is bounded
//! ([`Limits`], [`MAX_DEPTH`]); a value that is wrong or too long concerns nobody but itself. What is
//! left out takes no bytes, so that a value in memory may be larger than its message by as much as
//! its structs are.

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
