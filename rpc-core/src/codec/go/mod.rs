//! Bodies ↔ serde types as Go programs have them: JSON-RPC's and HashiCorp's MessagePack.
//!
//! The same Rust types that cross to other Rust programs cross to Go, with Go's conventions:
//!
//! | Rust | Go | [`json`] | [`msgpack`] |
//! |---|---|---|---|
//! | a struct's field `user_id` | `UserId` | `"UserId"` | `UserId` |
//! | `Vec<u8>`, `&[u8]` | `[]byte` | base64 | raw |
//! | `[T; N]`, tuples | `[N]T` | array | array |
//! | `None` | a nil pointer | `null` | nil |
//! | `()`, unit structs | `struct{}` | `{}` | an empty map |
//! | unit variants | a string | `"Name"` | `Name` |
//! | other variants | a map of one entry | `{"Name":…}` | the same |
//! | `char` | a string | | |
//!
//! What is read may differ from what is written, where Go's own codecs read more than they write:
//!
//! - A name is matched regardless of case and underscores, as
//!   [`names::find`](netrpc_gob::names::find) does. Two names that mean one field are an error.
//! - Nil is Go's zero value wherever something else was expected: its slices and maps are nil until
//!   something is put in.
//! - A field that was not sent is what `#[serde(default)]` says, else Go's zero value.
//! - A variant may be a number, as Go's constants are; bytes may be an array of numbers; and in
//!   MessagePack, strings may be `bin` and bytes may be `str`.
//!
//! Depth is limited as everywhere else ([`MAX_DEPTH`](super::MAX_DEPTH)), a body is exactly one
//! value, and what it claims about lengths reserves nothing.
//!
//! ```
//! use netrpc_core::codec::go::{json, msgpack};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct User { user_id: u32, tags: Vec<String>, key: Vec<u8> }
//!
//! let user = User { user_id: 7, tags: vec![], key: vec![0, 255] };
//! let mut body = Vec::new();
//! json::encode(&mut body, &user)?;
//! assert_eq!(body, br#"{"UserId":7,"Tags":[],"Key":"AP8="}"#);
//! assert_eq!(json::decode::<User>(&body)?, user);
//!
//! let mut body = Vec::new();
//! msgpack::encode(&mut body, &user)?;
//! assert_eq!(body, b"\x83\xa6UserId\x07\xa4Tags\x90\xa3Key\xa2\x00\xff");
//! assert_eq!(msgpack::decode::<User>(&body)?, user);
//!
//! let user: User = json::decode(br#"{"USERID":7,"tags":null}"#)?;
//! assert_eq!(user, User { user_id: 7, tags: vec![], key: vec![] });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What cannot be carried
//!
//! - A field name that begins with a small letter, as Go's tags may say (`json:"user_id"`): it
//!   crosses as `UserId`. (Reading is no problem.)
//! - Types that serde buffers before it knows their form (`untagged`, internally and adjacently
//!   tagged enums, `flatten`) are asked for by names that are not theirs to choose: fields inside
//!   them are matched exactly as sent (`#[serde(rename_all = "PascalCase")]` makes both ends
//!   agree), tags cross like field names, and bytes inside them come as the strings that they are
//!   on the wire. Maps, and structs with a `flatten` in them, keep their keys.
//! - A field with a `#[serde(alias = "…")]` that is sent by that name in one element and not at all
//!   in another has to have a `#[serde(default)]`.
//! - Integers of more than 64 bits, and in JSON the numbers that are none (NaN, infinities).
//! - `Some(None)` and `None` look alike, as everywhere.

mod decoder;
mod encoder;
pub mod json;
pub mod msgpack;
mod names;
mod scan;

pub use scan::{Fed, MAX_SCAN_DEPTH, ScanError};
