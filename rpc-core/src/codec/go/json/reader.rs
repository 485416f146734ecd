//! JSON, taken apart.
//!
//! Not by serde_json: whether it shows a number to a visitor as a number or as a map depends on a
//! feature that any crate in a program may turn on, and its errors are texts.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig},
};

use super::super::{
    super::{fail::Fail, msgpack::read::Integer},
    decoder::{Open, Reader, Token},
};
use super::{loan::Loan, text};

/// The base64 that Go reads: padded, and whatever the bits that are left over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// [`Reader`] of JSON.
pub(super) struct Json<'de> {
    bytes: &'de [u8],
    /// How many of the bytes have been read.
    at: usize,
    /// Where what is not there as it is can be borrowed.
    loan: Option<&'de Loan>,
}

#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'de> Json<'de> {
    pub(super) fn new(bytes: &'de [u8], loan: Option<&'de Loan>) -> Self {
        Json { bytes, at: 0, loan }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte that is not white space; it is not read.
    #[inline]
    fn next(&mut self) -> Result<u8, Fail> {
        while let Some(byte) = self.peek() {
            if !is_space(byte) {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Fail::truncated())
    }

    #[cold]
    fn malformed(&self, expected: &str) -> Fail {
        Fail::new(format_args!("malformed JSON: expected {expected} at byte {}", self.at))
    }

    /// Reads what begins at a byte that only `literal` begins with.
    #[inline]
    fn literal(&mut self, literal: &'static str) -> Result<(), Fail> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else if literal.as_bytes().starts_with(rest) {
            Err(Fail::truncated())
        } else {
            Err(self.malformed(literal))
        }
    }

    /// Reads a string, from its opening quote on.
    #[inline]
    fn string(&mut self) -> Result<Cow<'de, str>, Fail> {
        let quote = self.at;
        let mut end = quote + 1;
        let mut has_escapes = false;
        loop {
            let rest = self.bytes.get(end..).unwrap_or_default();
            end += text::special(rest).ok_or_else(Fail::truncated)?;
            match self.bytes[end] {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    end += 2;
                }
                _ => {
                    self.at = end;
                    return Err(self.malformed("an escape for the control character"));
                }
            }
        }
        self.at = end + 1;
        if has_escapes {
            let text = serde_json::from_slice(&self.bytes[quote..=end]);
            let text = text.map(|text| match self.loan {
                Some(loan) => Cow::Borrowed(loan.text(text)),
                None => Cow::Owned(text),
            });
            return text.map_err(|error| {
                Fail::new(format_args!("malformed JSON: {error} of the string at byte {quote}"))
            });
        }
        let text = str::from_utf8(&self.bytes[quote + 1..end]);
        text.map(Cow::Borrowed).map_err(|_| {
            Fail::new(format_args!("malformed JSON: the string at byte {quote} is not UTF-8"))
        })
    }

    /// Reads digits, at least one; what they mean, if 64 bits can hold it.
    #[inline]
    fn digits(&mut self) -> Result<Option<u64>, Fail> {
        let start = self.at;
        let mut value = Some(0_u64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            let append = |value: u64| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
            value = value.and_then(append);
        }
        match self.peek() {
            _ if self.at > start => Ok(value),
            Some(_) => Err(self.malformed("a digit")),
            None => Err(Fail::truncated()),
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Token<'static>, Fail> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let integer = match self.peek() {
            Some(b'0') => {
                self.at += 1;
                Some(0)
            }
            _ => self.digits()?,
        };
        match (self.peek(), integer) {
            (Some(b'.' | b'e' | b'E'), _) => self.float(start),
            (_, Some(0)) if is_negative => Ok(Token::MinusZero),
            (_, Some(value)) if !is_negative => Ok(Token::Uint(value)),
            (_, Some(value)) => match 0_i64.checked_sub_unsigned(value) {
                Some(value) => Ok(Token::Int(value)),
                None => self.float(start),
            },
            (_, None) => self.float(start),
        }
    }

    /// Reads a number on from behind its integer part.
    fn float(&mut self, start: usize) -> Result<Token<'static>, Fail> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        // Nothing but ASCII was read.
        let text = str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::F64(value)),
            _ => Ok(Token::Huge),
        }
    }
}

impl<'de> Reader<'de> for Json<'de> {
    const HUMAN_READABLE: bool = true;

    #[inline]
    fn token(&mut self) -> Result<Token<'de>, Fail> {
        let open = |is_map| Open { left: None, is_map, is_first: true };
        match self.next()? {
            b'"' => self.string().map(Token::Text),
            b'{' => {
                self.at += 1;
                Ok(Token::Map(open(true)))
            }
            b'[' => {
                self.at += 1;
                Ok(Token::Seq(open(false)))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true").map(|()| Token::Bool(true)),
            b'f' => self.literal("false").map(|()| Token::Bool(false)),
            b'n' => self.literal("null").map(|()| Token::Nil),
            _ => Err(self.malformed("a value")),
        }
    }

    #[inline]
    fn integer(&mut self) -> Integer {
        /// No integer of so few digits is too large for 64 bits and a sign.
        const DIGITS: usize = 18;
        let Ok(first) = self.next() else { return Integer::Other };
        let digits = &self.bytes[self.at + usize::from(first == b'-')..];
        let mut value = 0;
        let mut len = 0;
        while let Some(digit @ b'0'..=b'9') = digits.get(len)
            && len < DIGITS
        {
            value = value * 10 + i64::from(digit - b'0');
            len += 1;
        }
        // A zero at the beginning is alone, and what goes on is a number of another kind.
        let is_plain = len > 0 && (digits[0] != b'0' || (len == 1 && first != b'-'));
        if !is_plain || matches!(digits.get(len), Some(b'0'..=b'9' | b'.' | b'e' | b'E')) {
            return Integer::Other;
        }
        self.at = self.bytes.len() - digits.len() + len;
        if first == b'-' { Integer::Int(-value) } else { Integer::Uint(value as u64) }
    }

    #[inline]
    fn take_nil(&mut self) -> Result<bool, Fail> {
        if self.next()? != b'n' {
            return Ok(false);
        }
        self.literal("null").map(|()| true)
    }

    #[inline]
    fn more(&mut self, open: &mut Open) -> Result<bool, Fail> {
        let is_first = std::mem::replace(&mut open.is_first, false);
        let end = if open.is_map { b'}' } else { b']' };
        let next = self.next()?;
        if next == end {
            self.at += 1;
            return Ok(false);
        }
        if !is_first {
            if next != b',' {
                return Err(self.malformed(if open.is_map { "`,` or `}`" } else { "`,` or `]`" }));
            }
            self.at += 1;
        }
        if open.is_map && self.next()? != b'"' {
            return Err(self.malformed("a key"));
        }
        Ok(true)
    }

    #[inline]
    fn assign(&mut self) -> Result<(), Fail> {
        if self.next()? != b':' {
            return Err(self.malformed("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fail> {
        match self.next() {
            Ok(_) => Err(Fail::trailing()),
            Err(_) => Ok(()),
        }
    }

    fn lend(&self, bytes: Vec<u8>) -> Result<&'de [u8], Vec<u8>> {
        match self.loan {
            Some(loan) => Ok(loan.bytes(bytes)),
            None => Err(bytes),
        }
    }

    fn bytes_of(text: &str) -> Option<Vec<u8>> {
        // Go's decoder does not see the ends of lines.
        let in_lines = |_| BASE64.decode(text.replace(['\r', '\n'], ""));
        BASE64.decode(text).or_else(in_lines).ok()
    }

    fn key(text: &str) -> Option<Token<'static>> {
        let mut reader = Json::new(text.as_bytes(), None);
        let token = match reader.peek()? {
            b'-' | b'0'..=b'9' => reader.number().ok()?,
            b't' => reader.literal("true").map(|()| Token::Bool(true)).ok()?,
            b'f' => reader.literal("false").map(|()| Token::Bool(false)).ok()?,
            _ => return None,
        };
        (reader.at == text.len()).then_some(token)
    }
}
