//! What Go has, in the MessagePack that its old codecs read.

use super::super::{
    super::{fail::Fail, msgpack::write},
    encoder::{Kind, Writer, miscounted},
};

/// [`Writer`] of MessagePack.
pub(super) struct MessagePack;

#[inline]
fn raw_length(out: &mut Vec<u8>, len: usize) -> Result<(), Fail> {
    write::length(out, len, 0xA0, 32, 0xDA)
}

#[inline]
fn collection_length(out: &mut Vec<u8>, kind: Kind, len: usize) -> Result<(), Fail> {
    match kind {
        Kind::Seq => write::array_len(out, len),
        Kind::Map => write::map_len(out, len),
    }
}

impl Writer for MessagePack {
    const KEYS_ARE_TEXT: bool = false;
    const HUMAN_READABLE: bool = false;

    #[inline]
    fn nil(out: &mut Vec<u8>) {
        out.push(write::NIL);
    }

    #[inline]
    fn bool(out: &mut Vec<u8>, value: bool) {
        write::bool(out, value);
    }

    #[inline]
    fn int(out: &mut Vec<u8>, value: i64) {
        write::int(out, value);
    }

    #[inline]
    fn uint(out: &mut Vec<u8>, value: u64) {
        write::uint(out, value);
    }

    #[inline]
    fn f32(out: &mut Vec<u8>, value: f32) -> Result<(), Fail> {
        write::f32(out, value);
        Ok(())
    }

    #[inline]
    fn f64(out: &mut Vec<u8>, value: f64) -> Result<(), Fail> {
        write::f64(out, value);
        Ok(())
    }

    #[inline]
    fn text(out: &mut Vec<u8>, value: &str) -> Result<(), Fail> {
        MessagePack::bytes(out, value.as_bytes())
    }

    #[inline]
    fn bytes(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Fail> {
        raw_length(out, value.len())?;
        out.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn byte_stream(
        out: &mut Vec<u8>,
        len: usize,
        value: impl Iterator<Item = u8>,
    ) -> Result<(), Fail> {
        raw_length(out, len)?;
        let start = out.len();
        out.extend(value);
        let given = out.len() - start;
        if given == len { Ok(()) } else { Err(miscounted(len, given)) }
    }

    #[inline]
    fn open(out: &mut Vec<u8>, kind: Kind, len: Option<usize>) -> Result<(), Fail> {
        match len {
            Some(len) => collection_length(out, kind, len),
            None => Ok(()),
        }
    }

    #[inline]
    fn separate(_out: &mut Vec<u8>, _count: usize) {}

    #[inline]
    fn assign(_out: &mut Vec<u8>) {}

    #[inline]
    fn close(
        out: &mut Vec<u8>,
        kind: Kind,
        start: usize,
        len: Option<usize>,
        count: usize,
    ) -> Result<(), Fail> {
        if len.is_none() {
            // The header, which could only be written after the elements, goes before them.
            let end = out.len();
            collection_length(out, kind, count)?;
            out[start..].rotate_left(end - start);
        }
        Ok(())
    }
}
