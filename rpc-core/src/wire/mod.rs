//! Bytes ↔ frames: the native protocol, to the byte.
//!
//! `docs/WIRE.md` is the specification; the names in brackets here and in the tests
//! (`[frame.crc]`) are its rules.
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Preface`] | `preface` | the eight bytes both sides send first, and guessing who sent others |
//! | [`Header`], [`Kind`], [`Frame`] | `header`, `kind`, `frame` | the 20 bytes before every payload, and a payload's two halves |
//! | [`FrameBytes`] | `bytes` | a payload's memory: its own if it is small, else the buffer it was read into |
//! | [`FrameDecoder`] | `decoder` | bytes as they arrive → frames |
//! | [`FrameStart`] | `write` | frames → bytes, in place |
//! | [`RequestHead`], [`ReplyHead`] | `request`, `field` | what a head says |
//! | [`RawStamp`], [`RawStanding`] | `stamp` | the fields by which a call is known again |
//! | [`SessionFrame`], [`AckFrame`] | `session` | what is said about a session rather than a call |
//! | [`FaultBody`], [`GoAwayBody`] | `fault`, `go_away` | a number, a text, and why |
//!
//! A frame is written straight into the output buffer and decoded straight out of the input
//! buffer: no intermediate value owns its bytes.
//!
//! ```
//! use bytes::BytesMut;
//! use netrpc_core::wire::{self, FrameDecoder, Incoming, Kind, RequestFields, RequestHead};
//!
//! let mut out = Vec::new();
//! let frame = wire::begin(&mut out);
//! let head_len = wire::write_request_head(&mut out, "Arith.Multiply", &RequestFields::default())?;
//! out.extend_from_slice(b"\x82\xa1A\x07\xa1B\x08"); // {"A": 7, "B": 8}
//! wire::finish(&mut out, frame, Kind::Request, head_len, 1, 1 << 20)?;
//!
//! let mut arrived = BytesMut::from(&out[..]);
//! let Some(Incoming::Frame(frame)) = FrameDecoder::new(1 << 20).next(&mut arrived)? else {
//!     unreachable!("the whole frame is there");
//! };
//! assert_eq!(frame.seq, 1);
//! assert_eq!(RequestHead::parse(frame.head())?.method, "Arith.Multiply");
//! assert_eq!(frame.body_slice(), b"\x82\xa1A\x07\xa1B\x08");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not here: what a frame *means* (that is `session` and `pending`), and what a body holds (that
//! is [`codec`](crate::codec)).

mod bytes;
mod checksum;
mod decoder;
mod fault;
mod field;
mod frame;
mod go_away;
mod header;
mod kind;
mod notice;
mod preface;
mod request;
mod session;
mod stamp;
mod write;

pub use bytes::FrameBytes;
pub(crate) use checksum::{append as append_checksum, checksum as checksum_of};
pub use decoder::{FrameDecoder, FrameHere, Incoming, Looked, WireError};
pub use fault::{FaultBody, FaultCode, write_fault, write_fault_standing};
pub use field::{HeadError, RawMetadata, RawMetadataIter, ReplyHead, write_reply_head};
pub use frame::Frame;
pub use go_away::{GoAwayBody, GoAwayCode, write_go_away};
#[cfg(feature = "go")]
pub(crate) use header::frames;
pub use header::{HEADER_LEN, Header};
pub use kind::Kind;
pub use notice::{MAX_MESSAGE, MalformedBody};
pub use preface::{Encoding, Foreign, NotNetrpc, PREFACE_LEN, Preface, Unacceptable, VERSION};
pub use request::{
    MAX_METHOD_NAME, RawHead, RequestFields, RequestHead, WriteHeadError, rewrite_deadline,
    write_repeatable, write_request_head,
};
pub use session::{AckFrame, MalformedSession, SessionFrame, SessionKey, write_ack, write_session};
pub use stamp::{RawStamp, RawStanding, write_stamp, write_standing};
pub use write::{
    FrameStart, FrameTooLarge, MeasuredFrame, begin, finish, write_cancel, write_ping, write_pong,
    write_reply,
};

/// The largest payload, in bytes, that a side accepts and sends unless it is told otherwise: 4 MiB.
pub const DEFAULT_MAX_FRAME: u32 = 4 << 20;
