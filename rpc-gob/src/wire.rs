//! gob's integers, and reading them from a slice.
//!
//! ```text
//! uint < 128         one byte
//! uint               256 - n, then n bytes, most significant first
//! int                uint, shifted left; the lowest bit says that the others are inverted
//! float              uint of the IEEE bits, bytes reversed
//! string, bytes      uint length, bytes
//! ```

use crate::error::DecodeError;

/// Ids that every stream knows without a definition.
pub(crate) const BOOL: i32 = 1;
pub(crate) const INT: i32 = 2;
pub(crate) const UINT: i32 = 3;
pub(crate) const FLOAT: i32 = 4;
pub(crate) const BYTES: i32 = 5;
pub(crate) const STRING: i32 = 6;
pub(crate) const COMPLEX: i32 = 7;
pub(crate) const INTERFACE: i32 = 8;
/// The first id that a stream may define; Go's own begin here and ours one later, as Go's do.
pub(crate) const FIRST_DEFINED: i32 = 64;

/// How deep values and types may be nested.
///
/// Each level costs a few stack frames on both sides, and the peer chooses how many there are.
pub const MAX_DEPTH: usize = 64;

#[inline]
pub(crate) fn write_uint(out: &mut Vec<u8>, value: u64) {
    if value < 128 {
        out.push(value as u8);
    } else {
        write_long(out, value);
    }
}

#[inline]
fn write_long(out: &mut Vec<u8>, value: u64) {
    let skipped = value.leading_zeros() as usize / 8;
    let mut bytes = [0; 9];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    bytes[skipped] = (skipped as u8).wrapping_sub(8);
    out.extend_from_slice(&bytes[skipped..]);
}

#[inline]
pub(crate) fn write_int(out: &mut Vec<u8>, value: i64) {
    write_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[inline]
pub(crate) fn write_float(out: &mut Vec<u8>, value: f64) {
    write_uint(out, value.to_bits().swap_bytes());
}

#[inline]
pub(crate) fn write_bytes(out: &mut Vec<u8>, value: &[u8]) {
    write_uint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// What is left of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'de> {
    pub(crate) rest: &'de [u8],
}

impl<'de> Reader<'de> {
    #[inline]
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Reader { rest: bytes }
    }

    #[inline]
    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((first, rest)) if *first < 128 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            Some((first, rest)) => self.long(*first, rest),
            None => Err(DecodeError::Truncated),
        }
    }

    #[inline]
    fn long(&mut self, first: u8, rest: &'de [u8]) -> Result<u64, DecodeError> {
        let len = usize::from(first.wrapping_neg());
        if len > 8 {
            return Err(DecodeError::Malformed("an integer of more than 64 bits"));
        }
        let Some((bytes, rest)) = rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated);
        };
        self.rest = rest;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_bits(self.uint()?.swap_bytes()))
    }

    #[inline]
    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.uint()? != 0)
    }

    /// A type's id; negative where its definition follows.
    #[inline]
    pub(crate) fn id(&mut self) -> Result<i32, DecodeError> {
        match i32::try_from(self.int()?) {
            // Its negative must be an id as well.
            Ok(id) if id != i32::MIN => Ok(id),
            _ => Err(DecodeError::Malformed("a type id of more than 32 bits")),
        }
    }

    /// A length, and that many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'de [u8], DecodeError> {
        let len = self.uint()?;
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(DecodeError::Truncated),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'de str, DecodeError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| DecodeError::Malformed("a name that is not UTF-8"))
    }

    /// A number of elements, of which each takes a byte at least.
    #[inline]
    pub(crate) fn count(&mut self) -> Result<usize, DecodeError> {
        let count = self.uint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length() {
        let mut values: Vec<u64> = (0..64).map(|bit| 1 << bit).collect();
        values.extend((0..64).map(|bit| (1u64 << bit) - 1));
        values.push(u64::MAX);
        for value in values {
            let mut out = Vec::new();
            write_uint(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.uint().unwrap(), value);
            assert!(reader.rest.is_empty());

            for value in [value as i64, !(value as i64)] {
                let mut out = Vec::new();
                write_int(&mut out, value);
                assert_eq!(Reader::new(&out).int().unwrap(), value);
            }
        }
    }

    #[test]
    fn bytes_as_in_the_documentation_of_go() {
        let bytes = |write: fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        assert_eq!(bytes(|out| write_uint(out, 7)), [7]);
        assert_eq!(bytes(|out| write_uint(out, 256)), [0xFE, 1, 0]);
        assert_eq!(bytes(|out| write_int(out, -129)), [0xFE, 1, 1]);
        assert_eq!(bytes(|out| write_int(out, 65)), [0xFF, 0x82]);
        assert_eq!(bytes(|out| write_float(out, 17.0)), [0xFE, 0x31, 0x40]);
    }
}
