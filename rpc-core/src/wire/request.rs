//! What a request says besides its arguments.
//!
//! ```text
//!  0          1          1 + name_len
//!  ┌──────────┬──────────┬────────────────────┐
//!  │ name_len │   name   │ fields, if any     │
//!  └──────────┴──────────┴────────────────────┘
//! ```

use std::time::Duration;

use thiserror::Error;

use super::{
    HeadError, RawMetadata, RawStamp,
    field::{self, Fields},
};
use crate::metadata::{Metadata, MetadataError};

/// The longest method name, in bytes of UTF-8 (`[request.name]`).
pub const MAX_METHOD_NAME: usize = u8::MAX as usize;

/// A request's head, borrowed from its frame.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method's name, as `Arith.Multiply`; 1 to 255 bytes.
    pub method: &'a str,
    /// How long the caller was going to wait when it sent the request; `None` for ever.
    pub deadline: Option<Duration>,
    /// What the caller sends along with its arguments.
    pub metadata: RawMetadata<'a>,
    /// By what the call is known again, if it must not run twice.
    pub stamp: Option<RawStamp<'a>>,
}

impl<'a> RequestHead<'a> {
    /// Reads a request frame's head.
    ///
    /// # Errors
    ///
    /// If the head cannot be acted on: answer the call with a fault of
    /// [`HeadError::fault_code`]; the connection lives.
    #[inline]
    pub fn parse(head: &'a [u8]) -> Result<RequestHead<'a>, HeadError> {
        RawHead::split(head)?.parse()
    }
}

/// A request's head of which nothing was read but where its name ends.
///
/// Who knows all names there are can look this one up as it came: a name that is found is UTF-8, and
/// to find that out of one that is not would take longer than to look it up.
#[derive(Clone, Copy, Debug)]
pub struct RawHead<'a> {
    name: &'a [u8],
    fields: &'a [u8],
}

impl<'a> RawHead<'a> {
    /// Finds the name.
    ///
    /// # Errors
    ///
    /// If the head ends before its name does.
    #[inline]
    pub fn split(head: &'a [u8]) -> Result<RawHead<'a>, HeadError> {
        let short = HeadError::Short("the method's name");
        let (&len, rest) = head.split_first().ok_or(short)?;
        let (name, fields) = rest.split_at_checked(len.into()).ok_or(short)?;
        Ok(RawHead { name, fields })
    }

    /// The method's name; it may be anything.
    #[inline]
    pub fn name(self) -> &'a [u8] {
        self.name
    }

    /// Whether the request may be sent again although it may have run: because it may run twice
    /// (`[field.repeatable]`), or because a stamp says which call it is.
    pub fn is_repeatable(self) -> bool {
        field::is_repeatable(self.fields)
    }

    /// Whether it says nothing but the name.
    #[inline]
    pub fn is_bare(self) -> bool {
        self.fields.is_empty()
    }

    /// Reads it whole.
    ///
    /// # Errors
    ///
    /// As [`RequestHead::parse`].
    #[inline]
    pub fn parse(self) -> Result<RequestHead<'a>, HeadError> {
        let method = std::str::from_utf8(self.name).map_err(|_| HeadError::Name)?;
        if method.is_empty() {
            return Err(HeadError::Name);
        }
        self.parse_as(method)
    }

    /// Reads it whole, but for the name, which is known to be that of `method`.
    ///
    /// # Errors
    ///
    /// As [`RequestHead::parse`].
    #[inline]
    pub fn parse_as(self, method: &'a str) -> Result<RequestHead<'a>, HeadError> {
        if self.fields.is_empty() {
            let metadata = RawMetadata::default();
            return Ok(RequestHead { method, deadline: None, metadata, stamp: None });
        }
        let Fields { deadline, metadata, stamp, standing: _ } = Fields::parse(self.fields)?;
        Ok(RequestHead { method, deadline, metadata, stamp })
    }
}

/// Appends to a request's head that its call may run more than once, and returns how many bytes that takes: as
/// [`write_stamp`](super::write_stamp) does. What brings the request may then send it again
/// (`[field.repeatable]`).
pub fn write_repeatable(out: &mut Vec<u8>) -> u16 {
    field::write_repeatable(out)
}

/// What a request's head can say besides the method's name; nothing by default.
#[derive(Clone, Copy, Default, Debug)]
pub struct RequestFields<'a> {
    /// How long the caller is going to wait from now on.
    ///
    /// Sent as whole microseconds, rounded down.
    pub deadline: Option<Duration>,
    /// What to send along with the arguments.
    pub metadata: Option<&'a Metadata>,
}

/// A request's head cannot be written: the caller's mistake, found before anything is sent.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WriteHeadError {
    /// The method's name is empty, or longer than its length byte can say.
    #[error("a method's name has 1 to {MAX_METHOD_NAME} bytes, this one has {length}")]
    Name {
        /// Bytes in the name.
        length: usize,
    },
    /// The metadata is over one of its limits.
    #[error("the call's metadata cannot be sent")]
    Metadata(#[from] MetadataError),
}

/// Appends a request's head and returns how many bytes it has, for [`finish`](super::finish).
///
/// ```
/// use std::time::Duration;
/// use netrpc_core::wire::{self, RequestFields, RequestHead};
///
/// let fields = RequestFields { deadline: Some(Duration::from_millis(250)), ..Default::default() };
/// let mut head = Vec::new();
/// wire::write_request_head(&mut head, "Arith.Multiply", &fields)?;
///
/// let head = RequestHead::parse(&head)?;
/// assert_eq!(head.method, "Arith.Multiply");
/// assert_eq!(head.deadline, Some(Duration::from_millis(250)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If the name or the metadata is over its limits; nothing is appended then.
#[inline]
pub fn write_request_head(
    out: &mut Vec<u8>,
    method: &str,
    fields: &RequestFields<'_>,
) -> Result<u16, WriteHeadError> {
    let name_len = match u8::try_from(method.len()) {
        Ok(len @ 1..) => len,
        _ => return Err(WriteHeadError::Name { length: method.len() }),
    };
    let metadata = fields.metadata.filter(|metadata| !metadata.is_empty());
    if let Some(metadata) = metadata {
        metadata.check()?;
    }
    let start = out.len();
    out.push(name_len);
    out.extend_from_slice(method.as_bytes());
    if let Some(remaining) = fields.deadline {
        field::write_deadline(out, remaining);
    }
    if let Some(metadata) = metadata {
        field::write_metadata(out, metadata);
    }
    // 1 + 255 of name, 11 of deadline, 3 + 16 Ki of metadata: far from 64 Ki.
    Ok((out.len() - start) as u16)
}

/// Replaces the deadline in a request's head, if it has one: for a request that was written a while
/// ago and is sent only now.
pub fn rewrite_deadline(head: &mut [u8], remaining: Duration) {
    let Some((&mut name_len, rest)) = head.split_first_mut() else { return };
    let Some((_, fields)) = rest.split_at_mut_checked(name_len.into()) else { return };
    field::rewrite_deadline(fields, remaining);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_replaced_wherever_it_stands() {
        let mut metadata = Metadata::new();
        metadata.insert("key", "value");
        for deadline in [None, Some(Duration::from_secs(1))] {
            for metadata in [None, Some(&metadata)] {
                let mut head = Vec::new();
                let fields = RequestFields { deadline, metadata };
                write_request_head(&mut head, "Arith.Multiply", &fields).unwrap();
                rewrite_deadline(&mut head, Duration::from_millis(7));
                let parsed = RequestHead::parse(&head).unwrap();
                assert_eq!(parsed.deadline, deadline.map(|_| Duration::from_millis(7)));
                assert_eq!(parsed.metadata.decode(), metadata.cloned().unwrap_or_default());
            }
        }
        for len in 0..30 {
            rewrite_deadline(&mut vec![len; len.into()], Duration::ZERO); // whatever it is
        }
    }
}
