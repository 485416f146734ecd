//! What a head says besides a method's name.
//!
//! ```text
//!  0     1     3             3 + len
//!  ┌─────┬─────┬─────────────┐
//!  │ tag │ len │    value    │  … until the head ends
//!  └─────┴─────┴─────────────┘
//! ```

use std::time::Duration;

use thiserror::Error;

use super::{FaultCode, RawStamp, RawStanding};
use crate::metadata::{self, Metadata, MetadataError};

/// Microseconds until the call's deadline, u64.
const DEADLINE: u8 = 1;
/// Keys and values.
const METADATA: u8 = 2;
/// A request's identity, and what its sender knows.
pub(super) const STAMP: u8 = 3;
/// What an answer says of its call's session.
pub(super) const STANDING: u8 = 4;
/// Unknown tags from here on may be skipped; those below ask for something that matters.
const OPTIONAL: u8 = 0x80;
/// The call may run more than once.
const REPEATABLE: u8 = 0x80;

/// A head cannot be acted on. The call it is about fails; the connection lives (`[head.malformed]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The head ends within its method's name, or within a field.
    #[error("the head ends in the middle of {0}")]
    Short(&'static str),
    /// The method's name is empty or not UTF-8.
    #[error("the method's name is empty or not UTF-8")]
    Name,
    /// A field occurs twice.
    #[error("field {0} occurs twice")]
    Repeated(u8),
    /// A field of known tag has a value that is not of its form.
    #[error("the value of field {tag} is malformed: {reason}")]
    Value {
        /// The field.
        tag: u8,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A field asks for something that this version does not know and must not ignore
    /// (`[field.critical]`).
    #[error("field {0} is critical and not supported by this version")]
    Unsupported(u8),
}

impl HeadError {
    /// The code of the fault that answers a request with such a head.
    pub const fn fault_code(&self) -> FaultCode {
        match self {
            HeadError::Short(_)
            | HeadError::Name
            | HeadError::Repeated(_)
            | HeadError::Value { .. } => FaultCode::IllFormed,
            HeadError::Unsupported(_) => FaultCode::Unsupported,
        }
    }
}

/// The fields of a head.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Fields<'a> {
    pub(super) deadline: Option<Duration>,
    pub(super) metadata: RawMetadata<'a>,
    pub(super) stamp: Option<RawStamp<'a>>,
    pub(super) standing: Option<RawStanding<'a>>,
}

impl<'a> Fields<'a> {
    /// Reads fields until the head ends.
    pub(super) fn parse(mut head: &'a [u8]) -> Result<Fields<'a>, HeadError> {
        let mut fields = Fields::default();
        let mut unsupported = None;
        // A bit per tag: a repetition is malformed even where the tag is unknown.
        let mut seen = [0u64; 4];
        while let Some((&tag, rest)) = head.split_first() {
            let (len, rest) = rest.split_first_chunk().ok_or(HeadError::Short("a field"))?;
            let (value, rest) = rest
                .split_at_checked(u16::from_le_bytes(*len).into())
                .ok_or(HeadError::Short("a field"))?;
            head = rest;
            let (word, bit) = (usize::from(tag / 64), 1 << (tag % 64));
            if seen[word] & bit != 0 {
                return Err(HeadError::Repeated(tag));
            }
            seen[word] |= bit;
            match tag {
                DEADLINE => fields.deadline = Some(parse_deadline(value)?),
                METADATA => fields.metadata = RawMetadata::parse(value)?,
                STAMP => fields.stamp = Some(RawStamp::parse(value)?),
                STANDING => fields.standing = Some(RawStanding::parse(value)?),
                OPTIONAL.. => {}
                // Not returned at once, so that malformed heads are malformed in any order.
                _ => unsupported = unsupported.or(Some(tag)),
            }
        }
        unsupported.map_or(Ok(fields), |tag| Err(HeadError::Unsupported(tag)))
    }
}

fn parse_deadline(value: &[u8]) -> Result<Duration, HeadError> {
    let micros = value
        .try_into()
        .map_err(|_| HeadError::Value { tag: DEADLINE, reason: "a deadline has 8 bytes" })?;
    Ok(Duration::from_micros(u64::from_le_bytes(micros)))
}

/// Appends a deadline: whole microseconds, rounded down, so that time is never made.
pub(super) fn write_deadline(out: &mut Vec<u8>, remaining: Duration) {
    out.push(DEADLINE);
    out.extend_from_slice(&8u16.to_le_bytes());
    out.extend_from_slice(&micros(remaining).to_le_bytes());
}

/// Whole microseconds, rounded down.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Replaces the deadline in the fields of a head that was written here, if it has one.
pub(super) fn rewrite_deadline(mut fields: &mut [u8], remaining: Duration) {
    let micros = u64::try_from(remaining.as_micros()).unwrap_or(u64::MAX);
    while let Some(([tag, low, high], rest)) = fields.split_first_chunk_mut() {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((value, rest)) = rest.split_at_mut_checked(len) else { return };
        if *tag == DEADLINE && len == 8 {
            return value.copy_from_slice(&micros.to_le_bytes());
        }
        fields = rest;
    }
}

/// Appends the word that a call may run more than once, and gives its length.
pub(super) fn write_repeatable(out: &mut Vec<u8>) -> u16 {
    out.extend_from_slice(&[REPEATABLE, 0, 0]);
    3
}

/// Whether these fields say that their call may be sent again: because it may run twice, or because it is known
/// again.
pub(super) fn is_repeatable(mut fields: &[u8]) -> bool {
    while let Some(([tag, low, high], rest)) = fields.split_first_chunk() {
        if matches!(*tag, REPEATABLE | STAMP) {
            return true;
        }
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        fields = rest.get(len..).unwrap_or_default();
    }
    false
}

/// Appends metadata that was checked before, and is not empty.
pub(super) fn write_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.push(METADATA);
    // Checked: encoded_len is at most MAX_BYTES, and so is every value.
    out.extend_from_slice(&(metadata.encoded_len() as u16).to_le_bytes());
    for (key, value) in metadata {
        out.push(key.len() as u8);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value);
    }
}

/// The head of a reply or a fault: no name, and of the fields only these mean something.
#[derive(Clone, Copy, Default, Debug)]
pub struct ReplyHead<'a> {
    /// What the handler sends along with its reply.
    pub metadata: RawMetadata<'a>,
    /// What is said of the session, if the call was stamped.
    pub standing: Option<RawStanding<'a>>,
}

impl<'a> ReplyHead<'a> {
    /// Reads a reply's or a fault's head.
    ///
    /// # Errors
    ///
    /// If the head cannot be acted on: the call has failed, the connection lives.
    pub fn parse(head: &'a [u8]) -> Result<ReplyHead<'a>, HeadError> {
        if head.is_empty() {
            return Ok(ReplyHead::default());
        }
        let Fields { metadata, standing, .. } = Fields::parse(head)?;
        Ok(ReplyHead { metadata, standing })
    }
}

/// Appends a reply's head and returns how many bytes it has, for [`finish`](super::finish); 0 if
/// there is no metadata.
///
/// # Errors
///
/// If the metadata is over its limits; nothing is appended then.
pub fn write_reply_head(out: &mut Vec<u8>, metadata: &Metadata) -> Result<u16, MetadataError> {
    if metadata.is_empty() {
        return Ok(0);
    }
    metadata.check()?;
    let start = out.len();
    write_metadata(out, metadata);
    // 3 + 16 Ki of metadata at most.
    Ok((out.len() - start) as u16)
}

/// Metadata as it lies in a head: checked, not copied.
///
/// Most handlers never look at it, so it is decoded when it is asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RawMetadata<'a> {
    /// Whole entries, within the limits, no key twice.
    bytes: &'a [u8],
}

impl<'a> RawMetadata<'a> {
    fn parse(value: &'a [u8]) -> Result<RawMetadata<'a>, HeadError> {
        let malformed = |reason| HeadError::Value { tag: METADATA, reason };
        if value.len() > metadata::MAX_BYTES {
            return Err(malformed("metadata is at most 16 KiB"));
        }
        let mut keys = [""; metadata::MAX_ENTRIES];
        let mut count = 0;
        let mut rest = value;
        while !rest.is_empty() {
            let (key, _, tail) =
                split_entry(rest).ok_or(malformed("it ends in the middle of an entry"))?;
            rest = tail;
            let key = std::str::from_utf8(key).map_err(|_| malformed("a key is not UTF-8"))?;
            if key.is_empty() {
                return Err(malformed("a key is empty"));
            }
            if keys[..count].contains(&key) {
                return Err(malformed("a key occurs twice"));
            }
            *keys.get_mut(count).ok_or(malformed("metadata has at most 64 entries"))? = key;
            count += 1;
        }
        Ok(RawMetadata { bytes: value })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The entries, in the order in which they were sent.
    pub fn iter(&self) -> RawMetadataIter<'a> {
        RawMetadataIter { rest: self.bytes }
    }

    /// A copy that owns its entries.
    pub fn decode(&self) -> Metadata {
        self.iter().collect()
    }
}

impl<'a> IntoIterator for RawMetadata<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = RawMetadataIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The entries of [`RawMetadata`], in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct RawMetadataIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RawMetadataIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value, rest) = split_entry(self.rest)?;
        self.rest = rest;
        // RawMetadata::parse has seen that keys are UTF-8.
        Some((std::str::from_utf8(key).unwrap_or_default(), value))
    }
}

/// Splits off one entry: key, value, the rest.
fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&key_len, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_at_checked(key_len.into())?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(u16::from_le_bytes(*value_len).into())?;
    Some((key, value, rest))
}
