//! MessagePack, taken apart: the old specification and the new.

use super::super::{
    decoder::{Integer, Open, Reader, Token},
    fail::Fail,
};

/// [`Reader`] of MessagePack.
pub(super) struct MessagePack<'de> {
    /// What has not been read.
    left: &'de [u8],
}

impl<'de> MessagePack<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        MessagePack { left: bytes }
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8], Fail> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(Fail::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fail> {
        let (taken, left) = self.left.split_first_chunk().ok_or(Fail::Truncated)?;
        self.left = left;
        Ok(*taken)
    }

    /// A length that is behind the marker.
    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Fail> {
        let bytes: [u8; N] = self.array()?;
        Ok(bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    #[inline]
    fn raw(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.take(len).map(Token::Raw)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.take(len).map(Token::Bytes)
    }

    /// A collection; each of its elements takes a byte at least, so that it cannot have more than
    /// there are bytes.
    #[inline]
    fn open(&mut self, len: usize, is_map: bool) -> Result<Open, Fail> {
        if len > self.left.len() >> u8::from(is_map) {
            return Err(Fail::Truncated);
        }
        Ok(Open { left: Some(len), is_map, is_first: true })
    }

    #[inline]
    fn seq(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.open(len, false).map(Token::Seq)
    }

    #[inline]
    fn map(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.open(len, true).map(Token::Map)
    }

    /// An extension: a type, and data of this length.
    fn extension(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.take(1)?;
        self.take(len)?;
        Ok(Token::Extension)
    }
}

#[inline]
fn signed(value: impl Into<i64>) -> Integer {
    let value = value.into();
    u64::try_from(value).map_or(Integer::Int(value), Integer::Uint)
}

impl<'de> Reader<'de> for MessagePack<'de> {
    const HUMAN_READABLE: bool = false;

    #[inline]
    fn token(&mut self) -> Result<Token<'de>, Fail> {
        match self.integer() {
            Integer::Uint(value) => return Ok(Token::Uint(value)),
            Integer::Int(value) => return Ok(Token::Int(value)),
            Integer::Other => {}
        }
        let [marker] = self.array()?;
        Ok(match marker {
            // Integers that are not all there.
            0x00..=0x7F | 0xCC..=0xD3 | 0xE0..=0xFF => return Err(Fail::Truncated),
            0x80..=0x8F => self.map(usize::from(marker & 0x0F))?,
            0x90..=0x9F => self.seq(usize::from(marker & 0x0F))?,
            0xA0..=0xBF => self.raw(usize::from(marker & 0x1F))?,
            0xC0 => Token::Nil,
            0xC1 => return Err(Fail::new("malformed MessagePack: the marker c1 means nothing")),
            0xC2 => Token::Bool(false),
            0xC3 => Token::Bool(true),
            0xC4 => {
                let len = self.length::<1>()?;
                self.bytes(len)?
            }
            0xC5 => {
                let len = self.length::<2>()?;
                self.bytes(len)?
            }
            0xC6 => {
                let len = self.length::<4>()?;
                self.bytes(len)?
            }
            0xC7 => {
                let len = self.length::<1>()?;
                self.extension(len)?
            }
            0xC8 => {
                let len = self.length::<2>()?;
                self.extension(len)?
            }
            0xC9 => {
                let len = self.length::<4>()?;
                self.extension(len)?
            }
            0xCA => Token::F32(f32::from_be_bytes(self.array()?)),
            0xCB => Token::F64(f64::from_be_bytes(self.array()?)),
            0xD4..=0xD8 => self.extension(1 << (marker - 0xD4))?,
            0xD9 => {
                let len = self.length::<1>()?;
                self.raw(len)?
            }
            0xDA => {
                let len = self.length::<2>()?;
                self.raw(len)?
            }
            0xDB => {
                let len = self.length::<4>()?;
                self.raw(len)?
            }
            0xDC => {
                let len = self.length::<2>()?;
                self.seq(len)?
            }
            0xDD => {
                let len = self.length::<4>()?;
                self.seq(len)?
            }
            0xDE => {
                let len = self.length::<2>()?;
                self.map(len)?
            }
            0xDF => {
                let len = self.length::<4>()?;
                self.map(len)?
            }
        })
    }

    #[inline]
    fn integer(&mut self) -> Integer {
        let (value, left) = match *self.left {
            [marker @ 0x00..=0x7F, ref left @ ..] => (Integer::Uint(marker.into()), left),
            [marker @ 0xE0..=0xFF, ref left @ ..] => (signed(marker as i8), left),
            [0xCC, value, ref left @ ..] => (Integer::Uint(value.into()), left),
            [0xCD, b0, b1, ref left @ ..] => {
                (Integer::Uint(u16::from_be_bytes([b0, b1]).into()), left)
            }
            [0xCE, b0, b1, b2, b3, ref left @ ..] => {
                (Integer::Uint(u32::from_be_bytes([b0, b1, b2, b3]).into()), left)
            }
            [0xCF, b0, b1, b2, b3, b4, b5, b6, b7, ref left @ ..] => {
                let value = u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
                (Integer::Uint(value), left)
            }
            [0xD0, value, ref left @ ..] => (signed(value as i8), left),
            [0xD1, b0, b1, ref left @ ..] => (signed(i16::from_be_bytes([b0, b1])), left),
            [0xD2, b0, b1, b2, b3, ref left @ ..] => {
                (signed(i32::from_be_bytes([b0, b1, b2, b3])), left)
            }
            [0xD3, b0, b1, b2, b3, b4, b5, b6, b7, ref left @ ..] => {
                (signed(i64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7])), left)
            }
            _ => return Integer::Other,
        };
        self.left = left;
        value
    }

    #[inline]
    fn take_nil(&mut self) -> Result<bool, Fail> {
        match self.left {
            [] => Err(Fail::Truncated),
            [0xC0, left @ ..] => {
                self.left = left;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    #[inline]
    fn more(&mut self, open: &mut Open) -> Result<bool, Fail> {
        match open.left {
            None | Some(0) => Ok(false),
            Some(left) => {
                open.left = Some(left - 1);
                Ok(true)
            }
        }
    }

    #[inline]
    fn assign(&mut self) -> Result<(), Fail> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fail> {
        if self.left.is_empty() { Ok(()) } else { Err(Fail::Trailing) }
    }

    fn bytes_of(_text: &str) -> Option<Vec<u8>> {
        None
    }

    fn key(_text: &str) -> Option<Token<'static>> {
        None
    }
}
