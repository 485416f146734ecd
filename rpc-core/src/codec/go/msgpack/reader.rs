//! MessagePack, taken apart: the old specification and the new.

use super::super::{
    super::{
        fail::Fail,
        msgpack::read::{Input, Integer},
    },
    decoder::{Open, Reader, Token},
};

/// [`Reader`] of MessagePack.
pub(super) struct MessagePack<'de> {
    input: Input<'de>,
}

impl<'de> MessagePack<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        MessagePack { input: Input::new(bytes) }
    }

    #[inline]
    fn raw(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.input.take(len).map(Token::Raw)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<Token<'de>, Fail> {
        self.input.take(len).map(Token::Bytes)
    }

    /// A collection; each of its elements takes a byte at least, so that it cannot have more than
    /// there are bytes.
    #[inline]
    fn open(&mut self, len: usize, is_map: bool) -> Result<Open, Fail> {
        let len = self.input.claimed(len, if is_map { 2 } else { 1 })?;
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
        self.input.take(1)?;
        self.input.take(len)?;
        Ok(Token::Extension)
    }
}

impl<'de> Reader<'de> for MessagePack<'de> {
    const HUMAN_READABLE: bool = false;

    #[inline]
    fn token(&mut self) -> Result<Token<'de>, Fail> {
        match self.input.integer() {
            Integer::Uint(value) => return Ok(Token::Uint(value)),
            Integer::Int(value) => return Ok(Token::Int(value)),
            Integer::Other => {}
        }
        let [marker] = self.input.array()?;
        Ok(match marker {
            // Integers that are not all there.
            0x00..=0x7F | 0xCC..=0xD3 | 0xE0..=0xFF => return Err(Fail::truncated()),
            0x80..=0x8F => self.map(usize::from(marker & 0x0F))?,
            0x90..=0x9F => self.seq(usize::from(marker & 0x0F))?,
            0xA0..=0xBF => self.raw(usize::from(marker & 0x1F))?,
            0xC0 => Token::Nil,
            0xC1 => return Err(Fail::new("malformed MessagePack: the marker c1 means nothing")),
            0xC2 => Token::Bool(false),
            0xC3 => Token::Bool(true),
            0xC4 => {
                let len = self.input.length::<1>()?;
                self.bytes(len)?
            }
            0xC5 => {
                let len = self.input.length::<2>()?;
                self.bytes(len)?
            }
            0xC6 => {
                let len = self.input.length::<4>()?;
                self.bytes(len)?
            }
            0xC7 => {
                let len = self.input.length::<1>()?;
                self.extension(len)?
            }
            0xC8 => {
                let len = self.input.length::<2>()?;
                self.extension(len)?
            }
            0xC9 => {
                let len = self.input.length::<4>()?;
                self.extension(len)?
            }
            0xCA => Token::F32(f32::from_be_bytes(self.input.array()?)),
            0xCB => Token::F64(f64::from_be_bytes(self.input.array()?)),
            0xD4..=0xD8 => self.extension(1 << (marker - 0xD4))?,
            0xD9 => {
                let len = self.input.length::<1>()?;
                self.raw(len)?
            }
            0xDA => {
                let len = self.input.length::<2>()?;
                self.raw(len)?
            }
            0xDB => {
                let len = self.input.length::<4>()?;
                self.raw(len)?
            }
            0xDC => {
                let len = self.input.length::<2>()?;
                self.seq(len)?
            }
            0xDD => {
                let len = self.input.length::<4>()?;
                self.seq(len)?
            }
            0xDE => {
                let len = self.input.length::<2>()?;
                self.map(len)?
            }
            0xDF => {
                let len = self.input.length::<4>()?;
                self.map(len)?
            }
        })
    }

    #[inline]
    fn integer(&mut self) -> Integer {
        self.input.integer()
    }

    #[inline]
    fn take_nil(&mut self) -> Result<bool, Fail> {
        self.input.nil()
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
        if self.input.left.is_empty() { Ok(()) } else { Err(Fail::trailing()) }
    }

    fn bytes_of(_text: &str) -> Option<Vec<u8>> {
        None
    }

    fn key(_text: &str) -> Option<Token<'static>> {
        None
    }
}
