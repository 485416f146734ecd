//! What Go has, in the MessagePack that its old codecs read.

use super::super::{
    encoder::{Kind, Writer, miscounted},
    fail::Fail,
};

/// [`Writer`] of MessagePack.
pub(super) struct MessagePack;

/// The length of a string or a collection: in the marker `fixed` if it is less than `below`, else
/// in 16 or 32 bits behind the marker `wide` or the one after it.
#[inline]
fn length(out: &mut Vec<u8>, len: usize, fixed: u8, below: usize, wide: u8) -> Result<(), Fail> {
    let too_long = |_| Fail::new("a string, sequence or map has at most 4294967295 elements");
    let [b0, b1, b2, b3] = u32::try_from(len).map_err(too_long)?.to_be_bytes();
    if len < below {
        out.push(fixed | b3);
    } else if len <= 0xFFFF {
        out.extend_from_slice(&[wide, b2, b3]);
    } else {
        out.extend_from_slice(&[wide + 1, b0, b1, b2, b3]);
    }
    Ok(())
}

#[inline]
fn raw_length(out: &mut Vec<u8>, len: usize) -> Result<(), Fail> {
    length(out, len, 0xA0, 32, 0xDA)
}

#[inline]
fn collection_length(out: &mut Vec<u8>, kind: Kind, len: usize) -> Result<(), Fail> {
    match kind {
        Kind::Seq => length(out, len, 0x90, 16, 0xDC),
        Kind::Map => length(out, len, 0x80, 16, 0xDE),
    }
}

/// A marker and what belongs to it.
#[inline]
fn marked<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}

impl Writer for MessagePack {
    const KEYS_ARE_TEXT: bool = false;
    const HUMAN_READABLE: bool = false;

    #[inline]
    fn nil(out: &mut Vec<u8>) {
        out.push(0xC0);
    }

    #[inline]
    fn bool(out: &mut Vec<u8>, value: bool) {
        out.push(0xC2 | u8::from(value));
    }

    #[inline]
    fn int(out: &mut Vec<u8>, value: i64) {
        match value {
            0.. => MessagePack::uint(out, value as u64),
            -0x20..0 => out.push(value as u8),
            -0x80..-0x20 => marked(out, 0xD0, (value as i8).to_be_bytes()),
            -0x8000..-0x80 => marked(out, 0xD1, (value as i16).to_be_bytes()),
            -0x8000_0000..-0x8000 => marked(out, 0xD2, (value as i32).to_be_bytes()),
            _ => marked(out, 0xD3, value.to_be_bytes()),
        }
    }

    #[inline]
    fn uint(out: &mut Vec<u8>, value: u64) {
        match value {
            0..=0x7F => out.push(value as u8),
            0x80..=0xFF => marked(out, 0xCC, (value as u8).to_be_bytes()),
            0x100..=0xFFFF => marked(out, 0xCD, (value as u16).to_be_bytes()),
            0x1_0000..=0xFFFF_FFFF => marked(out, 0xCE, (value as u32).to_be_bytes()),
            _ => marked(out, 0xCF, value.to_be_bytes()),
        }
    }

    #[inline]
    fn f32(out: &mut Vec<u8>, value: f32) -> Result<(), Fail> {
        marked(out, 0xCA, value.to_be_bytes());
        Ok(())
    }

    #[inline]
    fn f64(out: &mut Vec<u8>, value: f64) -> Result<(), Fail> {
        marked(out, 0xCB, value.to_be_bytes());
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
