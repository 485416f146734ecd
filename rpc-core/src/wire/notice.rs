//! A number and a text for people: the layout that fault and go-away bodies share.
//!
//! ```text
//!  0      2             6               6 + message_len
//!  ┌──────┬─────────────┬───────────────┬──────┐
//!  │ code │ message_len │ message UTF-8 │ rest │
//!  └──────┴─────────────┴───────────────┴──────┘
//! ```

use thiserror::Error;

/// The longest message, in bytes, that is sent with a fault or a go-away: 16 KiB.
///
/// A longer one is cut at a character and ends in `…` (`[fault.fit]`): a text for people must
/// not be the reason why a call gets no answer.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// The body of a fault or a go-away does not follow its layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MalformedBody {
    /// It ends before its message does.
    #[error("the body of {length} bytes ends before its message does")]
    Short {
        /// Bytes in the body.
        length: usize,
    },
    /// Its message is not UTF-8.
    #[error("the body's message is not UTF-8")]
    Utf8,
}

/// Splits a body into its code, its message and what follows.
pub(super) fn parse(body: &[u8]) -> Result<(u16, &str, &[u8]), MalformedBody> {
    let short = MalformedBody::Short { length: body.len() };
    let (code, rest) = body.split_first_chunk().ok_or(short)?;
    let (len, rest) = rest.split_first_chunk().ok_or(short)?;
    let (message, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(short)?;
    let message = std::str::from_utf8(message).map_err(|_| MalformedBody::Utf8)?;
    Ok((u16::from_le_bytes(*code), message, rest))
}

/// Appends a code and a message of at most `limit` bytes, or of [`MAX_MESSAGE`] if that is less.
pub(super) fn write(out: &mut Vec<u8>, code: u16, message: &str, limit: usize) {
    const CUT: &str = "…";
    let limit = limit.min(MAX_MESSAGE);
    let (message, cut) = if message.len() <= limit {
        (message, "")
    } else {
        let end = (0..=limit.saturating_sub(CUT.len()))
            .rev()
            .find(|end| message.is_char_boundary(*end))
            .unwrap_or(0);
        (&message[..end], if limit < CUT.len() { "" } else { CUT })
    };
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&((message.len() + cut.len()) as u32).to_le_bytes());
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(cut.as_bytes());
}
