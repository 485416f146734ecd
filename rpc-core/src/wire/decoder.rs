//! Bytes as they arrive → frames.

use bytes::{Buf, BytesMut};
use thiserror::Error;

use super::{Frame, FrameBytes, HEADER_LEN, Header, Kind, checksum, header::CHECKSUM_LEN};

/// How many bytes are worth reading at once, however little of a frame has arrived.
const READ_AHEAD: usize = 8 * 1024;

/// What the decoder found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// A whole frame.
    Frame(Frame),
    /// A frame longer than the limit went by; its payload was discarded, its checksum was right.
    ///
    /// The call it was about can be failed without giving up the connection (`[frame.limit]`).
    Oversized {
        /// What the frame was.
        kind: Kind,
        /// The call it was about.
        seq: u64,
        /// Bytes of payload it had.
        length: u32,
    },
}

/// What lies at the front of the buffer.
#[derive(Debug)]
pub enum Looked<'b> {
    /// A whole frame.
    Frame(FrameHere<'b>),
    /// See [`Incoming::Oversized`].
    Oversized {
        /// What the frame was.
        kind: Kind,
        /// The call it was about.
        seq: u64,
        /// Bytes of payload it had.
        length: u32,
    },
}

/// A whole frame that lies at the front of the buffer it arrived in; one that is not taken lies there still.
#[derive(Debug)]
pub struct FrameHere<'b> {
    buf: &'b mut BytesMut,
    kind: Kind,
    header: Header,
}

impl FrameHere<'_> {
    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The call it is about, or a ping's token.
    #[inline]
    pub fn seq(&self) -> u64 {
        self.header.seq
    }

    /// What it says about the call.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.buf[HEADER_LEN..][..usize::from(self.header.head_len)]
    }

    /// Takes it.
    #[inline]
    pub fn take(self) -> Frame {
        let payload = FrameBytes::take(self.buf, HEADER_LEN, self.header.length as usize);
        Frame::new(self.kind, self.header.seq, self.header.head_len, payload)
    }

    /// Takes it to where it is wanted; there, and not first elsewhere, because it is not small.
    #[inline]
    pub fn take_to(self, place: &mut Frame) {
        let FrameHere { buf, kind, header: Header { seq, head_len, length, .. } } = self;
        place.fill(kind, seq, head_len, |payload| payload.refill(buf, HEADER_LEN, length as usize));
    }

    /// Takes its body to where it is wanted, and drops the rest.
    #[inline]
    pub fn take_body_to(self, place: &mut FrameBytes) {
        let Header { head_len, length, .. } = self.header;
        let head_len = usize::from(head_len);
        place.refill(self.buf, HEADER_LEN + head_len, length as usize - head_len);
    }
}

/// The stream of frames is broken, and the connection with it.
///
/// There is no way to find the next frame after one of these: close the connection, after a
/// go-away that says why.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are not those that were sent (`[frame.crc]`).
    #[error(
        "a frame's checksum is {computed:08x} where its header says {expected:08x} (kind {kind}, call {seq}, \
         {length} bytes): it was changed on the way, or the peer does not write frames as this protocol does"
    )]
    Checksum {
        /// The kind the header claims.
        kind: u8,
        /// The call the header claims.
        seq: u64,
        /// The length the header claims.
        length: u32,
        /// The checksum in the header.
        expected: u32,
        /// The checksum of what arrived.
        computed: u32,
    },
    /// The head does not fit in the frame (`[frame.head]`).
    #[error(
        "a frame of {length} bytes claims a head of {head_len}: the peer does not write frames as this protocol does"
    )]
    HeadOverrun {
        /// The length the header claims.
        length: u32,
        /// The head's length the header claims.
        head_len: u16,
    },
}

/// Cuts the bytes that arrive into frames.
///
/// It owns no buffer: the caller reads into one and hands it over again and again. Nothing is
/// reserved because a header claims a length, and of a frame longer than the limit nothing is kept
/// (`[frame.limit]`). Frames of unknown kind are skipped, after their checksum was found right
/// (`[frame.unknown-kind]`).
///
/// ```
/// use bytes::BytesMut;
/// use netrpc_core::wire::{self, FrameDecoder, Incoming, Kind};
///
/// let mut sent = Vec::new();
/// wire::write_ping(&mut sent, 42);
///
/// let mut decoder = FrameDecoder::new(wire::DEFAULT_MAX_FRAME);
/// let mut arrived = BytesMut::from(&sent[..7]);
/// assert_eq!(decoder.next(&mut arrived)?, None);
/// assert!(decoder.is_mid_frame(&arrived));
///
/// arrived.extend_from_slice(&sent[7..]);
/// let Some(Incoming::Frame(ping)) = decoder.next(&mut arrived)? else { panic!() };
/// assert_eq!((ping.kind, ping.seq), (Kind::Ping, 42));
/// assert!(!decoder.is_mid_frame(&arrived));
/// # Ok::<(), wire::WireError>(())
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    max_frame: u32,
    /// A frame whose payload is being discarded as it arrives.
    skip: Option<Box<Skip>>,
    /// What is counted already of the checksum of a long frame that is arriving.
    counted: Option<Counted>,
}

/// The checksum of the beginning of the frame at the front of the buffer.
#[derive(Clone, Copy, Debug)]
struct Counted {
    crc: u32,
    /// How much of the buffer that is, the bytes of the checksum itself included.
    end: usize,
}

/// As much as this is counted as it arrives, while it is still in the processor's cache.
const COUNT_AHEAD: usize = 32 * 1024;

/// A payload that nobody wants, only checked.
#[derive(Debug)]
struct Skip {
    header: Header,
    /// Payload bytes still to come.
    left: usize,
    /// The checksum so far.
    crc: u32,
}

impl FrameDecoder {
    /// A decoder that accepts payloads of up to `max_frame` bytes.
    pub fn new(max_frame: u32) -> FrameDecoder {
        FrameDecoder { max_frame, skip: None, counted: None }
    }

    /// Takes the next frame off the front of `buf`, or `None` until more bytes have arrived.
    ///
    /// After `None`, everything in `buf` belongs to a frame that is not whole yet, and stays there; after an
    /// error, the buffer's contents mean nothing.
    ///
    /// # Errors
    ///
    /// [`WireError`]: the stream is broken for good.
    #[inline]
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Incoming>, WireError> {
        Ok(self.look(buf)?.map(|looked| match looked {
            Looked::Frame(frame) => Incoming::Frame(frame.take()),
            Looked::Oversized { kind, seq, length } => Incoming::Oversized { kind, seq, length },
        }))
    }

    /// Finds the next frame at the front of `buf`, to be looked at before it is taken; `None` as
    /// [`next`](Self::next) has it.
    ///
    /// # Errors
    ///
    /// As `next`.
    #[inline]
    pub fn look<'b>(&mut self, buf: &'b mut BytesMut) -> Result<Option<Looked<'b>>, WireError> {
        loop {
            if self.skip.is_some() {
                match self.discard(buf)? {
                    Some(Skipped::Oversized { kind, seq, length }) => {
                        return Ok(Some(Looked::Oversized { kind, seq, length }));
                    }
                    Some(Skipped::Unknown) => continue,
                    None => return Ok(None),
                }
            }
            let Some(bytes) = buf.first_chunk::<HEADER_LEN>() else { return Ok(None) };
            let header = Header::from_bytes(bytes);
            if u32::from(header.head_len) > header.length {
                return Err(WireError::HeadOverrun {
                    length: header.length,
                    head_len: header.head_len,
                });
            }
            let Some(kind) = self.wanted(&header) else {
                let crc = checksum::checksum(&bytes[CHECKSUM_LEN..]);
                buf.advance(HEADER_LEN);
                let left = header.length as usize;
                self.skip = Some(Box::new(Skip { header, left, crc }));
                continue;
            };
            let length = header.length as usize;
            if buf.len() - HEADER_LEN < length {
                if length >= COUNT_AHEAD {
                    self.count(buf);
                }
                return Ok(None);
            }
            let end = HEADER_LEN + length;
            let crc = match self.counted.take() {
                None => checksum::checksum(&buf[CHECKSUM_LEN..end]),
                Some(counted) => checksum::append(counted.crc, &buf[counted.end..end]),
            };
            check(&header, crc)?;
            return Ok(Some(Looked::Frame(FrameHere { buf, kind, header })));
        }
    }

    /// The frame at the front of `buf`, if one lies there whole and nothing else is to be done before it, as
    /// it mostly is; else [`look`](Self::look) says what there is.
    // As a result of a call it would lie in memory, to be read in other pieces than it was just written in.
    #[inline(always)]
    pub fn at_hand<'b>(&self, buf: &'b mut BytesMut) -> Option<FrameHere<'b>> {
        if self.skip.is_some() || self.counted.is_some() {
            return None;
        }
        let header = Header::from_bytes(buf.first_chunk()?);
        let kind = self.wanted(&header)?;
        let frame = buf.get(..HEADER_LEN + header.length as usize)?;
        let sound = u32::from(header.head_len) <= header.length
            && checksum::checksum(&frame[CHECKSUM_LEN..]) == header.crc;
        sound.then_some(FrameHere { buf, kind, header })
    }

    /// How many more bytes the caller should make room for; 0 if [`next`](Self::next) would get on
    /// without.
    ///
    /// This is what the frame at the front lacks, but never more than has already arrived of it
    /// (or 8 KiB): a peer that claims a length gets no memory for the claim. The buffer doubles
    /// until the frame is whole.
    pub fn needed(&self, buf: &[u8]) -> usize {
        if let Some(skip) = &self.skip {
            return skip.left.saturating_sub(buf.len()).min(READ_AHEAD);
        }
        let Some(header) = buf.first_chunk::<HEADER_LEN>() else {
            return HEADER_LEN - buf.len();
        };
        let header = Header::from_bytes(header);
        if self.wanted(&header).is_none() {
            return 0;
        }
        let missing = (header.length as usize).saturating_sub(buf.len() - HEADER_LEN);
        missing.min(buf.len().max(READ_AHEAD))
    }

    /// Whether a frame has begun that has not ended: an end of the stream now is a loss, not a
    /// goodbye.
    ///
    /// To be asked after [`next`](Self::next) returned `None`, with the same buffer.
    pub fn is_mid_frame(&self, buf: &[u8]) -> bool {
        self.skip.is_some() || !buf.is_empty()
    }

    /// What the frame is, unless its payload is to be discarded.
    #[inline]
    fn wanted(&self, header: &Header) -> Option<Kind> {
        if header.length > self.max_frame { None } else { Kind::from_u8(header.kind) }
    }

    /// Counts what has arrived of a long frame: all that there is belongs to it.
    #[cold]
    fn count(&mut self, buf: &[u8]) {
        let Counted { crc, end } = self.counted.unwrap_or(Counted { crc: 0, end: CHECKSUM_LEN });
        if buf.len() - end >= COUNT_AHEAD {
            self.counted =
                Some(Counted { crc: checksum::append(crc, &buf[end..]), end: buf.len() });
        }
    }

    /// Discards what has arrived of the unwanted payload; `None` if there is more to come.
    #[cold]
    fn discard(&mut self, buf: &mut BytesMut) -> Result<Option<Skipped>, WireError> {
        let Some(skip) = &mut self.skip else { return Ok(Some(Skipped::Unknown)) };
        let here = skip.left.min(buf.len());
        skip.crc = checksum::append(skip.crc, &buf[..here]);
        skip.left -= here;
        buf.advance(here);
        if skip.left > 0 {
            return Ok(None);
        }
        let (header, crc) = (skip.header, skip.crc);
        self.skip = None;
        check(&header, crc)?;
        Ok(Some(match Kind::from_u8(header.kind) {
            Some(kind) => Skipped::Oversized { kind, seq: header.seq, length: header.length },
            None => Skipped::Unknown,
        }))
    }
}

/// What was discarded.
enum Skipped {
    /// Something to tell the receiver about.
    Oversized { kind: Kind, seq: u64, length: u32 },
    /// Something that this version has no name for.
    Unknown,
}

#[inline]
fn check(header: &Header, computed: u32) -> Result<(), WireError> {
    if header.crc == computed {
        return Ok(());
    }
    Err(WireError::Checksum {
        kind: header.kind,
        seq: header.seq,
        length: header.length,
        expected: header.crc,
        computed,
    })
}
