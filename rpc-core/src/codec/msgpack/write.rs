//! MessagePack's forms, written.

use super::super::fail::Fail;

pub(in super::super) const NIL: u8 = 0xC0;

/// A truth value.
#[inline]
pub(in super::super) fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(0xC2 | u8::from(value));
}

/// An integer, in the shortest form that has room for it.
#[inline]
pub(in super::super) fn int(out: &mut Vec<u8>, value: i64) {
    match value {
        0.. => uint(out, value as u64),
        -0x20..0 => out.push(value as u8),
        -0x80..-0x20 => out.extend_from_slice(&[0xD0, value as u8]),
        -0x8000..-0x80 => {
            let [b0, b1] = (value as i16).to_be_bytes();
            out.extend_from_slice(&[0xD1, b0, b1]);
        }
        -0x8000_0000..-0x8000 => {
            let [b0, b1, b2, b3] = (value as i32).to_be_bytes();
            out.extend_from_slice(&[0xD2, b0, b1, b2, b3]);
        }
        _ => eight(out, 0xD3, value.to_be_bytes()),
    }
}

/// An integer, in the shortest form that has room for it.
#[inline]
pub(in super::super) fn uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7F => out.push(value as u8),
        0x80..=0xFF => out.extend_from_slice(&[0xCC, value as u8]),
        0x100..=0xFFFF => {
            let [b0, b1] = (value as u16).to_be_bytes();
            out.extend_from_slice(&[0xCD, b0, b1]);
        }
        0x1_0000..=0xFFFF_FFFF => {
            let [b0, b1, b2, b3] = (value as u32).to_be_bytes();
            out.extend_from_slice(&[0xCE, b0, b1, b2, b3]);
        }
        _ => eight(out, 0xCF, value.to_be_bytes()),
    }
}

/// A float of 32 bits.
#[inline]
pub(in super::super) fn f32(out: &mut Vec<u8>, value: f32) {
    let [b0, b1, b2, b3] = value.to_be_bytes();
    out.extend_from_slice(&[0xCA, b0, b1, b2, b3]);
}

/// A float of 64 bits.
#[inline]
pub(in super::super) fn f64(out: &mut Vec<u8>, value: f64) {
    eight(out, 0xCB, value.to_be_bytes());
}

/// A marker and eight bytes.
#[inline]
fn eight(out: &mut Vec<u8>, marker: u8, [b0, b1, b2, b3, b4, b5, b6, b7]: [u8; 8]) {
    out.extend_from_slice(&[marker, b0, b1, b2, b3, b4, b5, b6, b7]);
}

/// A string, or the name of a field or a variant.
#[inline]
pub(in super::super) fn text(out: &mut Vec<u8>, value: &str) -> Result<(), Fail> {
    match value.len() {
        len @ 0x20..=0xFF => out.extend_from_slice(&[0xD9, len as u8]),
        len => length(out, len, 0xA0, 0x20, 0xDA)?,
    }
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

/// What comes before so many bytes.
#[inline]
pub(in super::super) fn bin_len(out: &mut Vec<u8>, len: usize) -> Result<(), Fail> {
    match len {
        0..=0xFF => out.extend_from_slice(&[0xC4, len as u8]),
        _ => length(out, len, 0, 0, 0xC5)?,
    }
    Ok(())
}

/// What comes before so many elements.
#[inline]
pub(in super::super) fn array_len(out: &mut Vec<u8>, len: usize) -> Result<(), Fail> {
    length(out, len, 0x90, 0x10, 0xDC)
}

/// What comes before so many entries.
#[inline]
pub(in super::super) fn map_len(out: &mut Vec<u8>, len: usize) -> Result<(), Fail> {
    length(out, len, 0x80, 0x10, 0xDE)
}

/// What comes before the data of an extension type: its length, its type.
pub(in super::super) fn ext_len(out: &mut Vec<u8>, len: usize, tag: i8) -> Result<(), Fail> {
    match len {
        1 | 2 | 4 | 8 | 16 => out.push(0xD4 + len.trailing_zeros() as u8),
        0..=0xFF => out.extend_from_slice(&[0xC7, len as u8]),
        _ => length(out, len, 0, 0, 0xC8)?,
    }
    out.push(tag as u8);
    Ok(())
}

/// The length of a string or a collection: in the marker `fixed` if it is less than `below`, else
/// in 16 or 32 bits behind the marker `wide` or the one after it.
#[inline]
pub(in super::super) fn length(
    out: &mut Vec<u8>,
    len: usize,
    fixed: u8,
    below: usize,
    wide: u8,
) -> Result<(), Fail> {
    if len < below {
        out.push(fixed | len as u8);
        return Ok(());
    }
    let [b0, b1, b2, b3] = u32::try_from(len).map_err(too_long)?.to_be_bytes();
    if len <= 0xFFFF {
        out.extend_from_slice(&[wide, b2, b3]);
    } else {
        out.extend_from_slice(&[wide + 1, b0, b1, b2, b3]);
    }
    Ok(())
}

/// MessagePack counts with 32 bits.
#[cold]
fn too_long<E>(_: E) -> Fail {
    Fail::new("a string, sequence or map has at most 4294967295 elements")
}
