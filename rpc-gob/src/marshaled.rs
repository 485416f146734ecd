//! Go types that marshal themselves, `time.Time` and `big.Int` among them: to gob, a name and bytes.
//!
//! They arrive as those bytes. To send one, give the bytes a newtype whose serde name begins with
//! [`GOB_ENCODER`], [`BINARY_MARSHALER`] or [`TEXT_MARSHALER`], according to which of Go's
//! interfaces the type implements (the first, if several), and ends with its Go name. Other formats
//! see the bytes.
//!
//! ```
//! use netrpc_gob::{from_slice, to_vec};
//! use serde::{Deserialize, Serialize};
//!
//! // `url.URL` is a `BinaryMarshaler`: its text.
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! #[serde(rename = "$gob.BinaryMarshaler:URL")]
//! struct Url(#[serde(with = "serde_bytes")] Vec<u8>);
//!
//! let url = Url(b"https://go.dev/".to_vec());
//! assert_eq!(from_slice::<Url>(&to_vec(&url)?)?, url);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::shape::Marshaler;

/// How the serde name of a newtype begins that stands for a Go type which implements
/// `gob.GobEncoder`, such as `time.Time` and `big.Int`.
pub const GOB_ENCODER: &str = "$gob.GobEncoder:";

/// How the serde name of a newtype begins that stands for a Go type which implements
/// `encoding.BinaryMarshaler`, such as `url.URL`.
pub const BINARY_MARSHALER: &str = "$gob.BinaryMarshaler:";

/// How the serde name of a newtype begins that stands for a Go type which implements
/// `encoding.TextMarshaler`; no released Go uses it for gob.
pub const TEXT_MARSHALER: &str = "$gob.TextMarshaler:";

pub(crate) const PREFIXES: [(Marshaler, &str); 3] = [
    (Marshaler::Gob, GOB_ENCODER),
    (Marshaler::Binary, BINARY_MARSHALER),
    (Marshaler::Text, TEXT_MARSHALER),
];
