//! The recorded bytes, and what tests do with frames.
#![allow(dead_code)] // each test file uses what it needs

use bytes::BytesMut;
use netrpc_core::wire::{Frame, FrameDecoder, Incoming, WireError};

/// Name and hexadecimal text of every recorded frame.
pub(crate) const FRAMES: [(&str, &str); 22] = [
    ("request", include_str!("request.hex")),
    ("request-deadline", include_str!("request-deadline.hex")),
    ("request-metadata", include_str!("request-metadata.hex")),
    ("request-full", include_str!("request-full.hex")),
    ("reply", include_str!("reply.hex")),
    ("reply-metadata", include_str!("reply-metadata.hex")),
    ("fault", include_str!("fault.hex")),
    ("fault-detail", include_str!("fault-detail.hex")),
    ("cancel", include_str!("cancel.hex")),
    ("ping", include_str!("ping.hex")),
    ("pong", include_str!("pong.hex")),
    ("go-away", include_str!("go-away.hex")),
    ("request-stamp", include_str!("request-stamp.hex")),
    ("reply-standing", include_str!("reply-standing.hex")),
    ("fault-standing", include_str!("fault-standing.hex")),
    ("session-open", include_str!("session-open.hex")),
    ("session-resume", include_str!("session-resume.hex")),
    ("session-close", include_str!("session-close.hex")),
    ("session-granted", include_str!("session-granted.hex")),
    ("session-closed", include_str!("session-closed.hex")),
    ("ack", include_str!("ack.hex")),
    ("ack-confirmed", include_str!("ack-confirmed.hex")),
];

/// The recorded preface.
pub(crate) fn preface() -> Vec<u8> {
    parse_hex(include_str!("preface.hex"))
}

/// One recorded frame.
pub(crate) fn frame(name: &str) -> Vec<u8> {
    let (_, hex) = FRAMES.iter().find(|(known, _)| *known == name).expect("a recorded frame");
    parse_hex(hex)
}

/// All recorded frames.
pub(crate) fn frames() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    FRAMES.iter().map(|(name, hex)| (*name, parse_hex(hex)))
}

fn parse_hex(text: &str) -> Vec<u8> {
    text.lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
        .map(|digits| u8::from_str_radix(digits, 16).expect("two hexadecimal digits"))
        .collect()
}

/// Everything that comes out of `bytes`, up to the first error.
pub(crate) fn decode_all(bytes: &[u8], max_frame: u32) -> (Vec<Incoming>, Option<WireError>) {
    let mut decoder = FrameDecoder::new(max_frame);
    let mut buf = BytesMut::from(bytes);
    let mut found = Vec::new();
    loop {
        match decoder.next(&mut buf) {
            Ok(Some(incoming)) => found.push(incoming),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

/// The one frame that `bytes` are.
pub(crate) fn decode_one(bytes: &[u8]) -> Frame {
    match decode_all(bytes, u32::MAX) {
        (found, None) => match <[Incoming; 1]>::try_from(found) {
            Ok([Incoming::Frame(frame)]) => frame,
            other => panic!("not one frame: {other:?}"),
        },
        (_, Some(error)) => panic!("{error}"),
    }
}

/// A frame with any header fields, its checksum right: what a peer of another version might send.
pub(crate) fn raw_frame(kind: u8, flags: u8, head_len: u16, seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut checked = Vec::new();
    checked.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    checked.extend_from_slice(&[kind, flags]);
    checked.extend_from_slice(&head_len.to_le_bytes());
    checked.extend_from_slice(&seq.to_le_bytes());
    checked.extend_from_slice(payload);
    [&crc32c::crc32c(&checked).to_le_bytes()[..], &checked].concat()
}
