//! Frames → bytes, written in place.

use thiserror::Error;

use super::{
    HEADER_LEN, Header, Kind,
    checksum::{self, checksum},
    header::CHECKSUM_LEN,
};

/// A frame longer than its sender's limit was not written (`[frame.limit]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a frame's payload of {length} bytes is over the limit of {limit}")]
pub struct FrameTooLarge {
    /// Bytes of payload it would have had.
    pub length: usize,
    /// The largest payload allowed.
    pub limit: u32,
}

/// A frame that was begun: where it starts in the output buffer.
#[derive(Debug)]
#[must_use = "a frame that is not finished has a header of zeros"]
pub struct FrameStart {
    at: usize,
}

impl FrameStart {
    /// Takes back the frame and everything written after it began.
    pub fn abandon(self, out: &mut Vec<u8>) {
        out.truncate(self.at);
    }

    /// Bytes of payload written so far.
    #[inline]
    pub fn payload_len(&self, out: &[u8]) -> usize {
        out.len() - self.at - HEADER_LEN
    }

    /// Ends the frame but for its number: everything after this is its payload, of which the first
    /// `head_len` bytes are the head. What takes long, the checksum of a long payload, is done here.
    ///
    /// # Errors
    ///
    /// If the payload is longer than `max_frame` bytes; `out` is then as it was before the frame
    /// began.
    ///
    /// # Panics
    ///
    /// As [`finish`].
    #[inline]
    pub fn measure(
        self,
        out: &mut Vec<u8>,
        head_len: u16,
        max_frame: u32,
    ) -> Result<MeasuredFrame, FrameTooLarge> {
        let mut measured = self.measured(out, head_len, max_frame)?;
        measured.sum =
            (measured.length >= LONG).then(|| checksum(&out[measured.at + HEADER_LEN..]));
        Ok(measured)
    }

    /// The same of a frame whose payload goes on with `apart`, which lies elsewhere.
    ///
    /// # Errors
    ///
    /// As [`measure`](Self::measure).
    ///
    /// # Panics
    ///
    /// As [`finish`].
    pub fn measure_apart(
        self,
        out: &mut Vec<u8>,
        apart: &[u8],
        head_len: u16,
        max_frame: u32,
    ) -> Result<MeasuredFrame, FrameTooLarge> {
        let length = self.payload_len(out) + apart.len();
        let mut measured = self.measured(out, head_len, max_frame)?;
        let Some(length) = u32::try_from(length).ok().filter(|length| *length <= max_frame) else {
            out.truncate(measured.at);
            return Err(FrameTooLarge { length, limit: max_frame });
        };
        measured.length = length;
        let sum = checksum(&out[measured.at + HEADER_LEN..]);
        measured.sum = Some(checksum::append(sum, apart));
        Ok(measured)
    }

    #[inline]
    fn measured(
        self,
        out: &mut Vec<u8>,
        head_len: u16,
        max_frame: u32,
    ) -> Result<MeasuredFrame, FrameTooLarge> {
        let length = self.payload_len(out);
        assert!(usize::from(head_len) <= length, "the head is a part of the payload");
        let Some(length) = u32::try_from(length).ok().filter(|length| *length <= max_frame) else {
            self.abandon(out);
            return Err(FrameTooLarge { length, limit: max_frame });
        };
        Ok(MeasuredFrame { at: self.at, length, head_len, sum: None })
    }
}

/// From here on it is faster to put the checksums of header and payload together than to count the
/// payload's again, and worth it where others wait meanwhile.
const LONG: u32 = 32 * 1024;

/// A frame that has everything but its number.
#[derive(Debug)]
#[must_use = "a frame that is not sealed has a header of zeros"]
pub struct MeasuredFrame {
    at: usize,
    length: u32,
    head_len: u16,
    /// The payload's checksum, of one that is long or does not lie here.
    sum: Option<u32>,
}

impl MeasuredFrame {
    /// How many bytes of the payload are the head.
    pub fn head_len(&self) -> u16 {
        self.head_len
    }

    /// The payload, in the buffer that it was written to.
    ///
    /// # Panics
    ///
    /// As [`seal`](Self::seal).
    pub fn payload<'o>(&self, out: &'o [u8]) -> &'o [u8] {
        &out[self.at + HEADER_LEN..][..self.length as usize]
    }

    /// Fills in the header that [`begin`] left room for.
    ///
    /// # Panics
    ///
    /// If `out` was shortened since: a bug of the caller.
    #[inline]
    pub fn seal(&self, out: &mut [u8], kind: Kind, seq: u64) {
        let MeasuredFrame { at, length, head_len, sum } = *self;
        let header = Header { crc: 0, length, kind: kind.to_u8(), flags: 0, head_len, seq };
        match sum {
            None => seal(&mut out[at..], header),
            Some(sum) => seal_long(&mut out[at..], header, sum),
        }
    }
}

/// Writes the header before a payload that has this checksum.
#[cold]
fn seal_long(frame: &mut [u8], header: Header, payload: u32) {
    seal(&mut frame[..HEADER_LEN], header);
    let Some((sum, _)) = frame.split_first_chunk_mut::<CHECKSUM_LEN>() else { return };
    *sum = checksum::join(u32::from_le_bytes(*sum), payload, header.length).to_le_bytes();
}

/// Begins a frame at the end of `out`; write its head, then its body, then [`finish`] it.
#[inline]
pub fn begin(out: &mut Vec<u8>) -> FrameStart {
    let at = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    FrameStart { at }
}

/// Ends a frame: everything after `start` is its payload, of which the first `head_len` bytes are
/// the head. Fills in the header that [`begin`] left room for.
///
/// # Errors
///
/// If the payload is longer than `max_frame` bytes; `out` is then as it was before the frame
/// began.
///
/// # Panics
///
/// If `head_len` is more than was written, or `out` was shortened to before `start`: a bug of
/// the caller.
#[inline]
pub fn finish(
    out: &mut Vec<u8>,
    start: FrameStart,
    kind: Kind,
    head_len: u16,
    seq: u64,
    max_frame: u32,
) -> Result<(), FrameTooLarge> {
    start.measured(out, head_len, max_frame)?.seal(out, kind, seq);
    Ok(())
}

/// Appends a reply that says nothing besides its body. One that is short is written more quickly so than by
/// [`begin`] and [`finish`] elsewhere and copied from there.
///
/// # Errors
///
/// If the body is longer than `max_frame` bytes; nothing is appended then.
#[inline]
pub fn write_reply(
    out: &mut Vec<u8>,
    seq: u64,
    body: &[u8],
    max_frame: u32,
) -> Result<(), FrameTooLarge> {
    let length = body.len();
    let Some(length) = u32::try_from(length).ok().filter(|length| *length <= max_frame) else {
        return Err(FrameTooLarge { length, limit: max_frame });
    };
    let kind = Kind::Reply.to_u8();
    let header = Header { crc: 0, length, kind, flags: 0, head_len: 0, seq };
    out.extend_from_slice(&sealed(header, body).to_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// The header of a frame with this payload, but for its checksum; and with it.
#[inline]
fn sealed(header: Header, payload: &[u8]) -> Header {
    Header { crc: checksum::of_words(&header.checked(), payload), ..header }
}

/// Writes the header over the room that `frame` begins with; its checksum is that of what lies behind it.
#[inline]
fn seal(frame: &mut [u8], header: Header) {
    let (room, payload) = frame.split_at_mut(HEADER_LEN);
    room.copy_from_slice(&sealed(header, payload).to_bytes());
}

/// Writes a frame that has no payload.
fn write_bare(out: &mut Vec<u8>, kind: Kind, seq: u64) {
    let start = begin(out);
    seal(
        &mut out[start.at..],
        Header { crc: 0, length: 0, kind: kind.to_u8(), flags: 0, head_len: 0, seq },
    );
}

/// Writes a cancel: the caller no longer waits for the call `seq` (`[cancel.effect]`).
pub fn write_cancel(out: &mut Vec<u8>, seq: u64) {
    write_bare(out, Kind::Cancel, seq);
}

/// Writes a ping with an opaque token.
pub fn write_ping(out: &mut Vec<u8>, token: u64) {
    write_bare(out, Kind::Ping, token);
}

/// Writes the answer to a ping: the same token (`[ping.token]`).
pub fn write_pong(out: &mut Vec<u8>, token: u64) {
    write_bare(out, Kind::Pong, token);
}
