//! Bytes that arrive in pieces, damaged, or from someone who means harm.

mod vectors;

use bytes::BytesMut;
use netrpc_core::{
    codec,
    wire::{
        self, FaultBody, FrameDecoder, GoAwayBody, HEADER_LEN, Incoming, Kind, Preface, ReplyHead,
        RequestFields, RequestHead, WireError,
    },
};
use proptest::{collection::vec, prelude::*};
use vectors::{decode_all, frames, raw_frame};

/// Feeds `bytes` in pieces of these sizes, again and again, and takes out what there is each time.
fn decode_in_pieces(
    bytes: &[u8],
    max_frame: u32,
    sizes: impl IntoIterator<Item = usize>,
) -> (Vec<Incoming>, Option<WireError>) {
    let mut decoder = FrameDecoder::new(max_frame);
    let mut buf = BytesMut::new();
    let mut found = Vec::new();
    let mut left = bytes;
    for size in sizes {
        let (piece, rest) = left.split_at(size.min(left.len()));
        left = rest;
        buf.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buf) {
                Ok(Some(incoming)) => found.push(incoming),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        if left.is_empty() {
            break;
        }
    }
    assert!(left.is_empty(), "there were not enough pieces");
    (found, None)
}

fn all_frames() -> Vec<u8> {
    frames().flat_map(|(_, bytes)| bytes).collect()
}

/// `[frame.header]`: where a read ends says nothing.
#[test]
fn frames_are_the_same_however_they_are_cut() {
    let bytes = all_frames();
    for max_frame in [u32::MAX, 30] {
        let whole = decode_all(&bytes, max_frame);
        assert_eq!((whole.0.len(), &whole.1), (frames().count(), &None));
        for size in 1..=HEADER_LEN + 2 {
            assert_eq!(decode_in_pieces(&bytes, max_frame, std::iter::repeat(size)), whole);
        }
        for cut in 0..bytes.len() {
            assert_eq!(decode_in_pieces(&bytes, max_frame, [cut, bytes.len()]), whole);
        }
    }
}

/// An end of the stream is a goodbye between frames, and a loss within one.
#[test]
fn a_decoder_knows_whether_it_is_in_the_middle_of_a_frame() {
    for max_frame in [u32::MAX, 1] {
        for (name, bytes) in frames() {
            for len in 0..=bytes.len() {
                let mut decoder = FrameDecoder::new(max_frame);
                let mut buf = BytesMut::from(&bytes[..len]);
                let found = decoder.next(&mut buf).unwrap();
                let whole = len == bytes.len();
                assert_eq!(found.is_some(), whole, "{name}, {len} bytes");
                let midway = len > 0 && !whole;
                assert_eq!(decoder.is_mid_frame(&buf), midway, "{name}, {len} bytes");
            }
        }
    }
}

/// `[frame.crc]`: one flipped bit is always found. (So are any two or three, and any burst of up to
/// 32 bits; that is CRC-32C's promise, not ours.)
#[test]
fn no_flipped_bit_goes_unnoticed() {
    for (name, sent) in frames() {
        for max_frame in [u32::MAX, 30] {
            for bit in 0..sent.len() * 8 {
                let mut bytes = sent.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                // The length may have become greater: let there be more to read, so that an error
                // is not put off. The flips of its high bits would take gigabytes.
                let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
                if length < 1 << 16 {
                    bytes.resize(bytes.len() + length as usize, 0);
                }
                let (found, error) = decode_all(&bytes, max_frame);
                assert!(found.is_empty(), "{name}, bit {bit}: {found:?}");
                assert!(error.is_some() || length >= 1 << 16, "{name}, bit {bit}");
            }
        }
    }
}

/// `[frame.crc]` `[frame.broken]`: a stream with a hole is not read on.
#[test]
fn no_lost_byte_goes_unnoticed() {
    let bytes = all_frames();
    let whole = decode_all(&bytes, u32::MAX).0;
    for at in 0..bytes.len() {
        let mut holed = bytes.clone();
        holed.remove(at);
        let (found, _) = decode_all(&holed, u32::MAX);
        assert!(found.len() < whole.len(), "byte {at}");
        assert_eq!(found, whole[..found.len()], "byte {at}");
    }
}

/// `[frame.limit]` `[frame.claims]`: of 100 MB nothing is kept.
#[test]
fn an_oversized_frame_goes_by_without_being_kept() {
    const LENGTH: usize = 100_000_000;
    let piece = [0x5A; 64 * 1024];
    let header = {
        let mut header = vec![];
        header.extend_from_slice(&(LENGTH as u32).to_le_bytes());
        header.extend_from_slice(&[Kind::Request.to_u8(), 0, 9, 0]);
        header.extend_from_slice(&77u64.to_le_bytes());
        let mut crc = crc32c::crc32c(&header);
        let mut left = LENGTH;
        while left > 0 {
            let here = left.min(piece.len());
            crc = crc32c::crc32c_append(crc, &piece[..here]);
            left -= here;
        }
        [&crc.to_le_bytes()[..], &header].concat()
    };
    let mut decoder = FrameDecoder::new(1 << 20);
    let mut buf = BytesMut::with_capacity(2 * piece.len());
    buf.extend_from_slice(&header);
    assert_eq!(decoder.next(&mut buf), Ok(None));
    let mut left = LENGTH;
    let oversized = loop {
        let here = left.min(piece.len());
        left -= here;
        buf.extend_from_slice(&piece[..here]);
        let found = decoder.next(&mut buf).unwrap();
        assert!(buf.is_empty() && buf.capacity() <= 2 * piece.len());
        if let Some(found) = found {
            break found;
        }
        assert!(decoder.is_mid_frame(&buf) && decoder.needed(&buf) <= 8 * 1024);
    };
    assert_eq!(left, 0);
    let expected = Incoming::Oversized { kind: Kind::Request, seq: 77, length: LENGTH as u32 };
    assert_eq!(oversized, expected);
    assert!(!decoder.is_mid_frame(&buf));
}

/// A frame as a peer might send it, and what should come of it.
#[derive(Clone, Debug)]
struct Sent {
    kind: u8,
    seq: u64,
    head_len: u16,
    payload: Vec<u8>,
}

fn sent() -> impl Strategy<Value = Sent> {
    (0u8..12, any::<u64>(), any::<u16>(), vec(any::<u8>(), 0..200)).prop_map(
        |(kind, seq, head_len, payload)| {
            let head_len = head_len % (payload.len() as u16 + 1);
            Sent { kind, seq, head_len, payload }
        },
    )
}

const MAX_FRAME: u32 = 100;

proptest! {
    /// `[frame.header]` `[frame.limit]` `[frame.unknown-kind]`: the decoder against a model that
    /// sees every frame whole.
    #[test]
    fn any_frames_in_any_pieces(
        sent in vec(sent(), 0..12),
        sizes in vec(1usize..300, 1..20),
    ) {
        let mut bytes = Vec::new();
        for frame in &sent {
            bytes.extend(raw_frame(frame.kind, 0, frame.head_len, frame.seq, &frame.payload));
        }
        let (found, error) = decode_in_pieces(&bytes, MAX_FRAME, sizes.into_iter().cycle());
        prop_assert_eq!(error, None);
        let expected: Vec<_> = sent.iter().filter(|frame| Kind::from_u8(frame.kind).is_some()).collect();
        prop_assert_eq!(found.len(), expected.len());
        for (found, sent) in found.iter().zip(expected) {
            let kind = Kind::from_u8(sent.kind).unwrap();
            match found {
                Incoming::Frame(frame) => {
                    prop_assert!(sent.payload.len() <= MAX_FRAME as usize);
                    prop_assert_eq!((frame.kind, frame.seq), (kind, sent.seq));
                    prop_assert_eq!(frame.head(), &sent.payload[..sent.head_len.into()]);
                    prop_assert_eq!(frame.body_slice(), &sent.payload[sent.head_len.into()..]);
                }
                Incoming::Oversized { kind: found, seq, length } => {
                    prop_assert!(*length > MAX_FRAME);
                    prop_assert_eq!((*found, *seq, *length as usize), (kind, sent.seq, sent.payload.len()));
                }
            }
        }
    }

    /// `[frame.broken]` `[frame.claims]`
    #[test]
    fn any_bytes_in_any_pieces_are_survived(
        bytes in vec(any::<u8>(), 0..600),
        sizes in vec(1usize..100, 1..10),
    ) {
        let whole = decode_all(&bytes, MAX_FRAME);
        prop_assert_eq!(decode_in_pieces(&bytes, MAX_FRAME, sizes.into_iter().cycle()), whole);
        for len in 0..bytes.len() {
            prop_assert!(FrameDecoder::new(u32::MAX).needed(&bytes[..len]) <= len.max(8 * 1024));
        }
    }

    /// `[head.malformed]` `[fault.layout]` `[goaway.layout]` `[preface.magic]`: parsers return.
    #[test]
    fn any_bytes_are_survived_by_every_parser(bytes in vec(any::<u8>(), 0..300)) {
        let _ = RequestHead::parse(&bytes).map(|head| head.metadata.decode());
        let _ = ReplyHead::parse(&bytes).map(|head| head.metadata.decode());
        let _ = FaultBody::parse(&bytes);
        let _ = GoAwayBody::parse(&bytes);
        let _ = Preface::parse(&bytes).map_err(|foreign| foreign.to_string());
        let _ = codec::decode::<Vec<u8>>(&bytes);
        let _ = codec::decode::<(String, Option<i8>)>(&bytes);
        let _ = codec::decode::<serde::de::IgnoredAny>(&bytes);
    }

    /// `[head.malformed]`: damage within a good head is noticed or harmless, but never a panic.
    #[test]
    fn damaged_heads_are_survived(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for (_, bytes) in frames() {
            let mut payload = bytes[HEADER_LEN..].to_vec();
            if payload.is_empty() {
                continue;
            }
            *at.get_mut(&mut payload) = byte;
            let _ = RequestHead::parse(&payload).map(|head| head.metadata.decode());
            let _ = ReplyHead::parse(&payload).map(|head| head.metadata.decode());
            let _ = FaultBody::parse(&payload);
            let _ = GoAwayBody::parse(&payload);
        }
    }

    /// `[request.name]` `[field.deadline]` `[field.metadata]`
    #[test]
    fn heads_round_trip(
        method in "\\PC{1,60}",
        micros in prop::option::of(any::<u64>()),
        entries in vec(("\\PC{1,20}", vec(any::<u8>(), 0..100)), 0..20),
    ) {
        let deadline = micros.map(std::time::Duration::from_micros);
        let metadata = entries.into_iter().collect();
        let fields = RequestFields { deadline, metadata: Some(&metadata) };
        let mut out = Vec::new();
        let len = wire::write_request_head(&mut out, &method, &fields).unwrap();
        prop_assert_eq!(usize::from(len), out.len());
        let head = RequestHead::parse(&out).unwrap();
        prop_assert_eq!((head.method, head.deadline), (&method[..], deadline));
        prop_assert_eq!(head.metadata.decode(), metadata);
    }

    /// `[fault.layout]` `[fault.fit]`
    #[test]
    fn faults_round_trip(
        code in any::<u16>(),
        message in "\\PC{0,200}",
        detail in vec(any::<u8>(), 0..200),
        limit in 0u32..400,
    ) {
        let code = wire::FaultCode::from_u16(code);
        let mut out = Vec::new();
        wire::write_fault(&mut out, 9, code, &message, &detail, limit);
        let frame = vectors::decode_one(&out);
        let fault = FaultBody::parse(frame.body_slice()).unwrap();
        prop_assert!(frame.body_slice().len() <= limit.max(64) as usize);
        prop_assert_eq!(fault.code, code);
        prop_assert!(fault.message == message
            || message.starts_with(fault.message.strip_suffix('…').unwrap()));
        prop_assert!(fault.detail == detail || fault.detail.is_empty());
    }
}
