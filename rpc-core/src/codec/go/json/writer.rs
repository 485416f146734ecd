//! What Go has, in JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::super::{
    super::fail::Fail,
    encoder::{Kind, Writer},
};

/// [`Writer`] of JSON.
pub(super) struct Json;

/// As serde_json writes it: what to escape in a string, and the shortest form of a float.
fn plain(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Fail> {
    serde_json::to_writer(out, value).map_err(Fail::new)
}

fn finite(value: f64) -> Result<(), Fail> {
    if value.is_finite() {
        return Ok(());
    }
    let name = match value {
        f64::INFINITY => "+Inf",
        f64::NEG_INFINITY => "-Inf",
        _ => "NaN",
    };
    // In the words of Go's `encoding/json`.
    Err(Fail::new(format_args!("json: unsupported value: {name}")))
}

impl Writer for Json {
    const KEYS_ARE_TEXT: bool = true;
    const HUMAN_READABLE: bool = true;

    #[inline]
    fn nil(out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }

    #[inline]
    fn bool(out: &mut Vec<u8>, value: bool) {
        out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn int(out: &mut Vec<u8>, value: i64) {
        // Writing an integer to a `Vec` does not fail.
        let _ = plain(out, &value);
    }

    #[inline]
    fn uint(out: &mut Vec<u8>, value: u64) {
        // Writing an integer to a `Vec` does not fail.
        let _ = plain(out, &value);
    }

    #[inline]
    fn f32(out: &mut Vec<u8>, value: f32) -> Result<(), Fail> {
        finite(value.into())?;
        plain(out, &value)
    }

    #[inline]
    fn f64(out: &mut Vec<u8>, value: f64) -> Result<(), Fail> {
        finite(value)?;
        plain(out, &value)
    }

    #[inline]
    fn text(out: &mut Vec<u8>, value: &str) -> Result<(), Fail> {
        plain(out, value)
    }

    fn bytes(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fail> {
        let too_long = || Fail::new("too many bytes for base64");
        let len = base64::encoded_len(value.len(), true).ok_or_else(too_long)?;
        out.push(b'"');
        let start = out.len();
        out.resize(start + len, 0);
        STANDARD.encode_slice(value, &mut out[start..]).map_err(Fail::new)?;
        out.push(b'"');
        Ok(())
    }

    #[inline]
    fn byte_stream(
        out: &mut Vec<u8>,
        _len: usize,
        value: impl Iterator<Item = u8>,
    ) -> Result<(), Fail> {
        Json::bytes(out, &value.collect::<Vec<u8>>())
    }

    #[inline]
    fn open(out: &mut Vec<u8>, kind: Kind, _len: Option<usize>) -> Result<(), Fail> {
        out.push(match kind {
            Kind::Seq => b'[',
            Kind::Map => b'{',
        });
        Ok(())
    }

    #[inline]
    fn separate(out: &mut Vec<u8>, count: usize) {
        if count > 0 {
            out.push(b',');
        }
    }

    #[inline]
    fn assign(out: &mut Vec<u8>) {
        out.push(b':');
    }

    #[inline]
    fn close(
        out: &mut Vec<u8>,
        kind: Kind,
        _start: usize,
        _len: Option<usize>,
        _count: usize,
    ) -> Result<(), Fail> {
        out.push(match kind {
            Kind::Seq => b']',
            Kind::Map => b'}',
        });
        Ok(())
    }
}
