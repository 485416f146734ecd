//! The rules of `docs/WIRE.md`, one by one, on recorded and on made-up bytes.

mod vectors;

use std::{collections::BTreeSet, time::Duration};

use bytes::BytesMut;
use netrpc_core::{
    Metadata,
    metadata::MetadataError,
    wire::{
        self, Encoding, FaultBody, FaultCode, Foreign, Frame, FrameDecoder, FrameTooLarge,
        GoAwayBody, GoAwayCode, HEADER_LEN, HeadError, Header, Incoming, Kind, MAX_MESSAGE,
        MAX_METHOD_NAME, MalformedBody, Preface, ReplyHead, RequestFields, RequestHead,
        Unacceptable, WireError, WriteHeadError,
    },
};
use vectors::{decode_all, decode_one, frame, raw_frame};

const LIMIT: u32 = 1 << 20;
const ARGS: &[u8] = b"\x82\xa1A\x07\xa1B\x08";

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("tenant", "blue");
    metadata.insert("trace", [0x4b, 0xf9]);
    metadata
}

fn request(seq: u64, fields: &RequestFields<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    let head_len = wire::write_request_head(&mut out, "Arith.Multiply", fields).unwrap();
    out.extend_from_slice(ARGS);
    wire::finish(&mut out, start, Kind::Request, head_len, seq, LIMIT).unwrap();
    out
}

/// A request's head with these fields after the name.
fn head(fields: &[u8]) -> Vec<u8> {
    [b"\x03A.B", fields].concat()
}

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag][..], &u16::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
}

fn entry(key: &[u8], value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap().to_le_bytes();
    [&[u8::try_from(key.len()).unwrap()][..], key, &len, value].concat()
}

// ---- the document itself ----------------------------------------------------------------------

/// A rule that no test cites is not checked, and a rule that does not exist explains nothing.
#[test]
fn rules_and_citations_match() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect(path);
    let names = |text: &str, open: &str, close: &str| -> BTreeSet<String> {
        text.split(open)
            .skip(1)
            .filter_map(|rest| rest.split_once(close).map(|(name, _)| name.to_owned()))
            .filter(|name| name.contains('.') && !name.contains(' '))
            .collect()
    };
    let rules = names(&read("docs/WIRE.md"), "**`[", "]`**");
    assert!(rules.len() > 40, "the rules were not found: {rules:?}");

    let cited_in = |dir: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(format!("{root}/{dir}")).expect(dir);
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .flat_map(|path| names(&std::fs::read_to_string(path).unwrap(), "`[", "]`"))
            .collect()
    };
    let mut tests = cited_in("rpc-core/tests");
    tests.extend(cited_in("tests"));
    tests.extend(cited_in("tests/datagrams"));
    tests.extend(cited_in("tests/tracked"));
    let untested: Vec<_> = rules.difference(&tests).collect();
    assert!(untested.is_empty(), "no test cites {untested:?}");

    let mut cited = tests;
    for dir in [
        "rpc-core/src",
        "rpc-core/src/wire",
        "rpc-core/src/codec",
        "rpc-core/src/datagram",
        "src/client",
        "src/server",
        "src/server/tracked",
        "src/datagram",
    ] {
        cited.extend(cited_in(dir));
    }
    let unknown: Vec<_> = cited.difference(&rules).collect();
    assert!(unknown.is_empty(), "docs/WIRE.md has no {unknown:?}");
}

// ---- preface ----------------------------------------------------------------------------------

/// `[preface.layout]`
#[test]
fn the_preface_is_the_recorded_one() {
    assert_eq!(Preface::OURS.to_bytes()[..], vectors::preface());
    assert_eq!(Preface::parse(&vectors::preface()), Ok(Some(Preface::OURS)));
    assert_eq!(Preface::OURS.accept(), Ok(Encoding::MessagePack));
    let odd = Preface { version: 2, encoding: 3, features: 0x0504 };
    assert_eq!(odd.to_bytes(), *b"\xC1NRP\x02\x03\x04\x05");
    assert_eq!(Preface::parse(&odd.to_bytes()), Ok(Some(odd)));
}

/// `[preface.magic]`
#[test]
fn a_foreign_byte_is_found_as_soon_as_it_is_there() {
    let ours = Preface::OURS.to_bytes();
    for len in 0..ours.len() {
        assert_eq!(Preface::parse(&ours[..len]), Ok(None));
    }
    for at in 0..4 {
        let mut bytes = ours[..=at].to_vec();
        bytes[at] ^= 0x20;
        let foreign = Preface::parse(&bytes).unwrap_err();
        assert_eq!(foreign.bytes(), bytes);
    }
}

/// `[preface.magic]`
#[test]
fn a_foreign_peer_is_named_for_whoever_mixed_up_the_ports() {
    let cases: [(&[u8], Foreign, &str); 12] = [
        (
            b"GET / HTTP/1.1\r\n",
            Foreign::Http,
            r#"the peer speaks HTTP, not netrpc (it sent "GET / HT")"#,
        ),
        (b"G", Foreign::Http, r#"the peer speaks HTTP, not netrpc (it sent "G")"#),
        (
            b"HTTP/1.0 400 Bad Request",
            Foreign::Http,
            r#"the peer speaks HTTP, not netrpc (it sent "HTTP/1.0")"#,
        ),
        (
            b"PRI * HTTP/2.0\r\n",
            Foreign::Http,
            r#"the peer speaks HTTP, not netrpc (it sent "PRI * HT")"#,
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
            Foreign::Tls,
            r#"the peer speaks TLS, and this connection is not encrypted (it sent "\x16\x03\x01\x02\x00\x01\x00\x01")"#,
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x0a",
            Foreign::Tls,
            r#"the peer speaks TLS, and this connection is not encrypted (it sent "\x15\x03\x03\x00\x02\x02\n")"#,
        ),
        (
            b"SSH-2.0-OpenSSH",
            Foreign::Ssh,
            r#"the peer speaks SSH, not netrpc (it sent "SSH-2.0-")"#,
        ),
        (
            b" {\"method\":",
            Foreign::Json,
            r#"the peer speaks JSON, not netrpc's own protocol (it sent " {\"metho")"#,
        ),
        (
            b"\x37\xff\x81\x03\x01\x01\x07Request",
            Foreign::Gob,
            r#"the peer speaks Go's gob, not netrpc's own protocol (it sent "7\xff\x81\x03\x01\x01\x07R")"#,
        ),
        (b"hello", Foreign::Unknown, r#"the peer does not speak netrpc (it sent "hello")"#),
        (b"\xC1NRQ", Foreign::Unknown, r#"the peer does not speak netrpc (it sent "\xc1NRQ")"#),
        (b"GOAL", Foreign::Unknown, r#"the peer does not speak netrpc (it sent "GOAL")"#),
    ];
    for (bytes, guess, text) in cases {
        let foreign = Preface::parse(bytes).unwrap_err();
        assert_eq!(foreign.guess(), guess, "{text}");
        assert_eq!(foreign.to_string(), text);
    }
}

/// `[preface.version]` `[preface.encoding]`
#[test]
fn another_version_or_encoding_is_read_and_refused_with_its_go_away() {
    let refusal = |version, encoding| {
        let sent = Preface { version, encoding, features: 0 }.to_bytes();
        let refusal = Preface::parse(&sent).unwrap().unwrap().accept().unwrap_err();
        (refusal, refusal.go_away().to_u16())
    };
    assert_eq!(refusal(2, 1), (Unacceptable::Version(2), 3));
    assert_eq!(refusal(0, 9), (Unacceptable::Version(0), 3)); // what 9 means is up to version 0
    assert_eq!(refusal(1, 2), (Unacceptable::Encoding(2), 4));
}

/// `[preface.features]`
#[test]
fn unknown_features_do_not_matter() {
    assert_eq!(Preface::OURS.features, 0);
    let eager = Preface { features: 0xFFFF, ..Preface::OURS };
    let peer = Preface::parse(&eager.to_bytes()).unwrap().unwrap();
    assert_eq!(peer.accept(), Ok(Encoding::MessagePack));
}

// ---- frames -----------------------------------------------------------------------------------

/// `[frame.header]`
#[test]
fn every_recorded_frame_is_written_as_recorded() {
    let deadline = Some(Duration::from_millis(1500));
    let trailers = metadata();
    let metadata = Some(&trailers);
    let mut written: Vec<(&str, Vec<u8>)> = vec![
        ("request", request(1, &RequestFields::default())),
        ("request-deadline", request(2, &RequestFields { deadline, metadata: None })),
        ("request-metadata", request(3, &RequestFields { deadline: None, metadata })),
    ];
    let mut write = |name, write: &dyn Fn(&mut Vec<u8>)| {
        // Behind something else, as in an output buffer.
        let mut out = b"before".to_vec();
        write(&mut out);
        written.push((name, out.split_off(6)));
    };
    write("reply", &|out| {
        let start = wire::begin(out);
        out.push(56);
        wire::finish(out, start, Kind::Reply, 0, 1, LIMIT).unwrap();
    });
    write("reply-metadata", &|out| {
        let start = wire::begin(out);
        let head_len = wire::write_reply_head(out, &trailers).unwrap();
        out.push(56);
        wire::finish(out, start, Kind::Reply, head_len, 3, LIMIT).unwrap();
    });
    write("fault", &|out| {
        wire::write_fault(out, 1, FaultCode::Method, "divide by zero", b"", LIMIT);
    });
    write("fault-detail", &|out| {
        let detail = b"\x81\xa7balance\xf9";
        wire::write_fault(out, 5, FaultCode::Method, "account overdrawn", detail, LIMIT);
    });
    write("cancel", &|out| wire::write_cancel(out, 2));
    write("ping", &|out| wire::write_ping(out, 0x0123_4567_89AB_CDEF));
    write("pong", &|out| wire::write_pong(out, 0x0123_4567_89AB_CDEF));
    write("go-away", &|out| {
        wire::write_go_away(out, GoAwayCode::ShuttingDown, "restarting for an update");
    });

    for (name, bytes) in &written {
        assert_eq!(bytes, &frame(name), "{name}");
    }
    let kinds: BTreeSet<u8> = written.iter().map(|(_, bytes)| bytes[8]).collect();
    // Those about sessions are in `wire_session.rs`.
    let kinds = kinds.into_iter().chain([8, 9]);
    assert!(kinds.eq(Kind::ALL.map(Kind::to_u8)), "every kind was written");
}

/// `[frame.header]` `[frame.symmetry]` `[frame.seq]`
#[test]
fn every_recorded_frame_is_read_as_recorded() {
    for (name, bytes) in vectors::frames() {
        let header = Header::from_bytes(bytes.first_chunk().unwrap());
        let frame = decode_one(&bytes);
        assert_eq!(bytes.len(), HEADER_LEN + header.length as usize, "{name}");
        assert_eq!(Some(frame.kind), Kind::from_u8(header.kind), "{name}");
        assert_eq!(frame.seq, header.seq, "{name}");
        assert_eq!(frame.head().len(), usize::from(header.head_len), "{name}");
        assert_eq!([frame.head(), frame.body_slice()].concat(), bytes[HEADER_LEN..], "{name}");
        assert_eq!(frame.body(), frame.body_slice(), "{name}");
        assert_eq!(*frame.clone().into_body(), *frame.body_slice(), "{name}");
    }
    for (name, seq) in [("request", 1), ("request-deadline", 2), ("request-metadata", 3)] {
        let frame = decode_one(&frame(name));
        assert_eq!((frame.kind, frame.seq, frame.body_slice()), (Kind::Request, seq, ARGS));
        assert_eq!(RequestHead::parse(frame.head()).unwrap().method, "Arith.Multiply");
    }
}

/// `[frame.seq]`
#[test]
fn any_number_names_a_call() {
    for seq in [0, 1, u64::from(u32::MAX) + 1, u64::MAX] {
        let mut out = Vec::new();
        wire::write_cancel(&mut out, seq);
        assert_eq!(decode_one(&out).seq, seq);
    }
}

/// `[frame.flags]`
#[test]
fn flags_are_sent_as_zero_and_ignored() {
    for (name, bytes) in vectors::frames() {
        assert_eq!(bytes[9], 0, "{name}");
    }
    let flagged = decode_one(&raw_frame(1, 0xFF, 4, 9, b"\x03A.B\xC0"));
    assert_eq!(flagged, decode_one(&raw_frame(1, 0, 4, 9, b"\x03A.B\xC0")));
}

/// `[frame.crc]` `[frame.broken]`
#[test]
fn a_wrong_checksum_breaks_the_connection_and_says_what_arrived() {
    let mut bytes = frame("request");
    let right = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    bytes[0] ^= 1;
    let (found, error) = decode_all(&bytes, LIMIT);
    assert!(found.is_empty());
    let expected = right ^ 1;
    let checksum = WireError::Checksum { kind: 1, seq: 1, length: 22, expected, computed: right };
    assert_eq!(error, Some(checksum));
    let text = error.unwrap().to_string();
    assert!(text.contains("kind 1, call 1, 22 bytes"), "{text}");
}

/// `[frame.head]` `[frame.broken]`
#[test]
fn a_head_longer_than_its_frame_breaks_the_connection() {
    let (found, error) = decode_all(&raw_frame(1, 0, 5, 9, b"\x03A.B"), LIMIT);
    assert!(found.is_empty());
    assert_eq!(error, Some(WireError::HeadOverrun { length: 4, head_len: 5 }));
    let whole = decode_one(&raw_frame(1, 0, 4, 9, b"\x03A.B"));
    assert_eq!((whole.head(), whole.body_slice()), (&b"\x03A.B"[..], &b""[..]));
}

/// `[frame.unknown-kind]`
#[test]
fn unknown_kinds_are_skipped_after_their_checksum() {
    for kind in (0..=u8::MAX).filter(|kind| Kind::from_u8(*kind).is_none()) {
        let unknown = raw_frame(kind, 0, 2, 7, b"whatever");
        let bytes = [&unknown[..], &unknown, &frame("ping")].concat();
        let (found, error) = decode_all(&bytes, 4); // smaller than the unknown frame
        assert_eq!((found.len(), error), (1, None), "kind {kind}");

        let mut broken = unknown;
        *broken.last_mut().unwrap() ^= 1;
        let (found, error) = decode_all(&[&broken[..], &frame("ping")].concat(), LIMIT);
        assert!(found.is_empty() && matches!(error, Some(WireError::Checksum { .. })));
    }
}

/// `[frame.limit]`
#[test]
fn a_frame_over_the_limit_fails_its_call_and_the_next_is_read() {
    for (kind, seq) in [(Kind::Request, 5), (Kind::Reply, 6)] {
        let large = raw_frame(kind.to_u8(), 0, 3, seq, &[7; 101]);
        let bytes = [&large[..], &frame("cancel")].concat();
        let (found, error) = decode_all(&bytes, 100);
        assert_eq!(found[0], Incoming::Oversized { kind, seq, length: 101 });
        assert!(matches!(&found[1], Incoming::Frame(Frame { kind: Kind::Cancel, seq: 2, .. })));
        assert_eq!((found.len(), error), (2, None));
        assert_eq!(decode_all(&bytes, 101).0.len(), 2);
        assert!(matches!(decode_all(&bytes, 101).0[0], Incoming::Frame(_)));

        let mut broken = large;
        broken[50] ^= 1;
        assert!(matches!(decode_all(&broken, 100), (found, Some(_)) if found.is_empty()));
    }
}

/// `[frame.limit]`
#[test]
fn no_side_sends_what_it_would_not_accept() {
    let mut out = b"before".to_vec();
    let start = wire::begin(&mut out);
    out.extend_from_slice(&[0; 101]);
    assert_eq!(start.payload_len(&out), 101);
    let refused = wire::finish(&mut out, start, Kind::Reply, 0, 1, 100).unwrap_err();
    assert_eq!(refused, FrameTooLarge { length: 101, limit: 100 });
    assert_eq!(refused.to_string(), "a frame's payload of 101 bytes is over the limit of 100");
    assert_eq!(out, b"before");

    let start = wire::begin(&mut out);
    out.extend_from_slice(b"changed my mind");
    start.abandon(&mut out);
    assert_eq!(out, b"before");
}

/// `[frame.claims]`
#[test]
fn room_is_made_for_what_arrives_not_for_what_is_claimed() {
    let decoder = FrameDecoder::new(u32::MAX);
    let mut claim = raw_frame(1, 0, 0, 1, b"");
    claim[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decoder.needed(b""), HEADER_LEN);
    assert_eq!(decoder.needed(&claim[..7]), HEADER_LEN - 7);
    assert_eq!(decoder.needed(&claim), 8 * 1024);
    claim.resize(100_000, 0);
    assert_eq!(decoder.needed(&claim), 100_000);

    let small = frame("request");
    assert_eq!(decoder.needed(&small[..21]), small.len() - 21);
    assert_eq!(decoder.needed(&small), 0);
    assert_eq!(FrameDecoder::new(3).needed(&claim), 0, "what is discarded needs no room");
}

/// `[frame.crc]`
#[test]
fn a_long_frame_is_checked_however_it_arrives() {
    let payload: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let sent = [raw_frame(2, 0, 0, 1, &payload), raw_frame(2, 0, 0, 2, b"and one more")].concat();
    let first = HEADER_LEN + payload.len();
    for piece in [1000, 33_000, 100_000, 299_999, sent.len()] {
        for wrong in [None, Some(first / 2), Some(first - 1)] {
            let mut decoder = FrameDecoder::new(1 << 20);
            let (mut buf, mut frames, mut error) = (BytesMut::new(), Vec::new(), None);
            let mut sent = sent.clone();
            if let Some(at) = wrong {
                sent[at] ^= 0x10;
            }
            for piece in sent.chunks(piece) {
                buf.extend_from_slice(piece);
                while error.is_none() {
                    match decoder.next(&mut buf) {
                        Ok(Some(Incoming::Frame(frame))) => frames.push(frame),
                        Ok(Some(other)) => panic!("{other:?}"),
                        Ok(None) => break,
                        Err(broken) => error = Some(broken),
                    }
                }
            }
            match wrong {
                None => {
                    assert_eq!(error, None);
                    let bodies: Vec<_> = frames.iter().map(|frame| frame.body_slice()).collect();
                    assert_eq!(bodies, [&payload[..], b"and one more"]);
                }
                Some(_) => assert!(
                    matches!(error, Some(WireError::Checksum { seq: 1, .. })) && frames.is_empty(),
                    "{error:?}, in pieces of {piece}"
                ),
            }
        }
    }
}

/// `[frame.crc]`
#[test]
fn a_frame_is_the_same_in_one_buffer_or_two_and_numbered_early_or_late() {
    for len in [0, 1, 40, 20_000, 100_000] {
        let payload: Vec<u8> = (0..len).map(|n| ((n * 7) >> 3) as u8).collect();
        let whole = {
            let mut out = b"before".to_vec();
            let start = wire::begin(&mut out);
            out.extend_from_slice(&payload);
            wire::finish(&mut out, start, Kind::Request, 0, 9, 1 << 20).unwrap();
            out
        };
        let mut out = b"before".to_vec();
        let start = wire::begin(&mut out);
        out.extend_from_slice(&payload);
        let measured = start.measure(&mut out, 0, 1 << 20).unwrap();
        assert_eq!((measured.payload(&out), measured.head_len()), (&payload[..], 0));
        measured.seal(&mut out, Kind::Request, 9);
        assert!(out == whole, "{len} bytes, numbered late");

        let (here, apart) = payload.split_at(payload.len() / 3);
        let mut out = b"before".to_vec();
        let start = wire::begin(&mut out);
        out.extend_from_slice(here);
        let measured = start.measure_apart(&mut out, apart, 0, 1 << 20).unwrap();
        measured.seal(&mut out, Kind::Request, 9);
        out.extend_from_slice(apart);
        assert!(out == whole, "{len} bytes, in two buffers");
    }
    // `[frame.limit]`
    let mut out = b"before".to_vec();
    let start = wire::begin(&mut out);
    out.extend_from_slice(b"four");
    let too_large = start.measure_apart(&mut out, b"and more", 0, 11).unwrap_err();
    assert_eq!((too_large.length, too_large.limit), (12, 11));
    assert_eq!(out, b"before");
}

/// `[frame.claims]`
#[test]
fn a_buffer_grown_as_told_holds_the_frame_and_never_twice_what_arrived() {
    let sent = raw_frame(2, 0, 0, 1, &vec![7; 1_000_000]);
    let mut decoder = FrameDecoder::new(1_000_000);
    let mut buf = BytesMut::new();
    let mut left = &sent[..];
    loop {
        if let Some(incoming) = decoder.next(&mut buf).unwrap() {
            assert!(matches!(incoming, Incoming::Frame(frame) if frame.body().len() == 1_000_000));
            break;
        }
        buf.reserve(decoder.needed(&buf));
        assert!(buf.capacity() <= 2 * buf.len() + 16 * 1024, "{} {}", buf.capacity(), buf.len());
        let room = (buf.capacity() - buf.len()).min(left.len());
        buf.extend_from_slice(&left[..room]);
        left = &left[room..];
    }
    assert!(!decoder.is_mid_frame(&buf));
}

// ---- heads ------------------------------------------------------------------------------------

/// `[request.name]`
#[test]
fn a_name_has_1_to_255_bytes() {
    let longest = "é".repeat(127) + "x";
    assert_eq!(longest.len(), MAX_METHOD_NAME);
    for name in ["x", "Arith.Multiply", &longest] {
        let mut out = Vec::new();
        let len = wire::write_request_head(&mut out, name, &RequestFields::default()).unwrap();
        assert_eq!(usize::from(len), out.len());
        let head = RequestHead::parse(&out).unwrap();
        assert_eq!((head.method, head.deadline, head.metadata.is_empty()), (name, None, true));
    }
    for name in [String::new(), longest + "y"] {
        let mut out = b"before".to_vec();
        let refused = wire::write_request_head(&mut out, &name, &RequestFields::default());
        assert_eq!(refused, Err(WriteHeadError::Name { length: name.len() }));
        assert_eq!(out, b"before");
    }
}

/// `[head.malformed]`
#[test]
fn a_malformed_head_is_the_fault_of_its_call_alone() {
    let deadline = field(1, &[0; 8]);
    let cases: [(&[u8], HeadError); 10] = [
        (b"", HeadError::Short("the method's name")),
        (b"\x04A.B", HeadError::Short("the method's name")),
        (b"\x00", HeadError::Name),
        (b"\x02\xFF\xFE", HeadError::Name),
        (b"\x03A.B\x01", HeadError::Short("a field")),
        (b"\x03A.B\x01\x08", HeadError::Short("a field")),
        (&head(&deadline[..10]), HeadError::Short("a field")),
        (&head(&field(1, &[0; 7])), HeadError::Value { tag: 1, reason: "a deadline has 8 bytes" }),
        (
            &head(&field(2, b"\x01")),
            HeadError::Value { tag: 2, reason: "it ends in the middle of an entry" },
        ),
        // A head that is malformed and asks for the unknown is malformed.
        (&head(&[&field(9, b"")[..], b"\x01"].concat()), HeadError::Short("a field")),
    ];
    for (head, expected) in cases {
        let bytes = [raw_frame(1, 0, head.len() as u16, 3, head), frame("ping")].concat();
        let (found, error) = decode_all(&bytes, LIMIT);
        assert_eq!((found.len(), error), (2, None), "the connection goes on: {expected}");
        let Incoming::Frame(request) = &found[0] else { panic!("{found:?}") };
        assert_eq!(RequestHead::parse(request.head()).unwrap_err(), expected);
        assert_eq!(expected.fault_code(), FaultCode::IllFormed);
    }
}

/// `[field.layout]`
#[test]
fn fields_come_in_any_order() {
    let [deadline, metadata] = [field(1, &7u64.to_le_bytes()), field(2, &entry(b"key", b"value"))];
    for fields in [[&deadline[..], &metadata], [&metadata, &deadline]] {
        let head = head(&fields.concat());
        let head = RequestHead::parse(&head).unwrap();
        assert_eq!(head.deadline, Some(Duration::from_micros(7)));
        assert!(head.metadata.iter().eq([("key", &b"value"[..])]));
    }
}

/// `[field.once]`
#[test]
fn a_field_occurs_once() {
    for (tag, value) in [(1, &[0; 8][..]), (2, b""), (64, b""), (200, b""), (255, b"x")] {
        let twice = head(&[field(tag, value), field(tag, value)].concat());
        assert_eq!(RequestHead::parse(&twice).unwrap_err(), HeadError::Repeated(tag));
    }
    let all: Vec<u8> = (0x80..=0xFF).flat_map(|tag| field(tag, b"")).collect();
    assert!(RequestHead::parse(&head(&all)).is_ok());
}

/// `[field.critical]` `[field.optional]`
#[test]
fn unknown_fields_are_refused_below_128_and_skipped_from_there_on() {
    for tag in (0..=u8::MAX).filter(|tag| !matches!(tag, 1..=4)) {
        let fields = [field(tag, b"value"), field(1, &7u64.to_le_bytes())].concat();
        let request = head(&fields);
        let (request, reply) = (RequestHead::parse(&request), ReplyHead::parse(&fields));
        if tag < 128 {
            let unsupported = HeadError::Unsupported(tag);
            assert_eq!(unsupported.fault_code(), FaultCode::Unsupported);
            assert_eq!(request.unwrap_err(), unsupported);
            assert_eq!(reply.unwrap_err(), unsupported);
        } else {
            assert_eq!(request.unwrap().deadline, Some(Duration::from_micros(7)));
            assert!(reply.is_ok());
        }
    }
}

/// `[field.deadline]`
#[test]
fn a_deadline_is_microseconds_rounded_down() {
    let cases = [
        (Duration::ZERO, 0),
        (Duration::from_nanos(999), 0),
        (Duration::from_nanos(1_999), 1),
        (Duration::from_millis(1500), 1_500_000),
        (Duration::MAX, u64::MAX),
    ];
    for (remaining, micros) in cases {
        let fields = RequestFields { deadline: Some(remaining), metadata: None };
        let mut out = Vec::new();
        wire::write_request_head(&mut out, "A.B", &fields).unwrap();
        assert_eq!(out, head(&field(1, &u64::to_le_bytes(micros))));
        let head = RequestHead::parse(&out).unwrap();
        assert_eq!(head.deadline, Some(Duration::from_micros(micros)));
    }
    let recorded = decode_one(&frame("request-deadline"));
    let head = RequestHead::parse(recorded.head()).unwrap();
    assert_eq!(head.deadline, Some(Duration::from_millis(1500)));
}

/// `[field.metadata]`
#[test]
fn metadata_arrives_in_the_order_it_was_set() {
    for name in ["request-metadata", "request-full", "reply-metadata"] {
        let recorded = decode_one(&frame(name));
        let raw = match recorded.kind {
            Kind::Request => RequestHead::parse(recorded.head()).unwrap().metadata,
            _ => ReplyHead::parse(recorded.head()).unwrap().metadata,
        };
        assert!(raw.iter().eq([("tenant", &b"blue"[..]), ("trace", &[0x4b, 0xf9])]), "{name}");
        assert_eq!(raw.decode(), metadata(), "{name}");
    }
    let none = head(&field(2, b""));
    assert!(RequestHead::parse(&none).unwrap().metadata.is_empty());
}

/// `[metadata.limits]`
#[test]
fn metadata_over_its_limits_is_neither_sent_nor_accepted() {
    let send = |metadata: &Metadata| {
        let mut out = b"before".to_vec();
        let fields = RequestFields { deadline: None, metadata: Some(metadata) };
        match wire::write_request_head(&mut out, "A.B", &fields) {
            Ok(_) => Ok(out.split_off(6)),
            Err(error) => {
                assert_eq!(out, b"before");
                Err(error)
            }
        }
    };
    let receive = |entries: &[u8]| {
        let head = head(&field(2, entries));
        RequestHead::parse(&head).map(|head| head.metadata.decode())
    };
    let malformed = |reason| Err(HeadError::Value { tag: 2, reason });

    let mut entries: Metadata = (0..64).map(|i| (format!("key {i}"), b"value")).collect();
    let sent = send(&entries).unwrap();
    assert_eq!(RequestHead::parse(&sent).unwrap().metadata.decode(), entries);
    entries.insert("one more", "value");
    let too_many = MetadataError::TooManyEntries { entries: 65 };
    assert_eq!(send(&entries), Err(WriteHeadError::Metadata(too_many)));
    let raw: Vec<u8> = entries.iter().flat_map(|(k, v)| entry(k.as_bytes(), v)).collect();
    assert_eq!(receive(&raw), malformed("metadata has at most 64 entries"));

    let mut large = Metadata::new();
    large.insert("key", vec![7; 16 * 1024 - 6]);
    assert_eq!(large.encoded_len(), 16 * 1024);
    assert_eq!(RequestHead::parse(&send(&large).unwrap()).unwrap().metadata.decode(), large);
    large.insert("key", vec![7; 16 * 1024 - 5]);
    let too_large = MetadataError::TooLarge { bytes: 16 * 1024 + 1 };
    assert_eq!(send(&large), Err(WriteHeadError::Metadata(too_large)));
    let raw = entry(b"key", &[7; 16 * 1024 - 5]);
    assert_eq!(receive(&raw), malformed("metadata is at most 16 KiB"));

    for key in [String::new(), "x".repeat(256)] {
        let length = key.len();
        let refused = send(&[(key, "value")].into_iter().collect());
        assert_eq!(refused, Err(WriteHeadError::Metadata(MetadataError::Key { length })));
    }
    assert!(send(&[("x".repeat(255), "value")].into_iter().collect()).is_ok());
    assert_eq!(receive(&entry(b"", b"value")), malformed("a key is empty"));
    assert!(receive(&entry(&[b'x'; 255], b"value")).is_ok());
}

/// `[metadata.keys]`
#[test]
fn a_key_occurs_once_and_is_text() {
    let receive = |entries: &[u8]| {
        let head = head(&field(2, entries));
        RequestHead::parse(&head).map(|head| head.metadata.decode())
    };
    let malformed = |reason| Err(HeadError::Value { tag: 2, reason });
    let twice = [entry(b"a", b"1"), entry(b"b", b"2"), entry(b"a", b"1")].concat();
    assert_eq!(receive(&twice), malformed("a key occurs twice"));
    assert_eq!(receive(&entry(b"\xFF", b"")), malformed("a key is not UTF-8"));
    let cases = [entry(b"Key", b"1"), entry(b"key", b"\xFF\x00")].concat();
    let metadata = receive(&cases).unwrap();
    assert_eq!((metadata.get("Key"), metadata.get("key")), (Some("1"), None));
    assert_eq!(metadata.get_bytes("key"), Some(&[0xFF, 0][..]));
}

// ---- replies, faults, go-aways ----------------------------------------------------------------

/// `[reply.body]`
#[test]
fn a_reply_is_its_body() {
    for name in ["reply", "reply-metadata"] {
        let reply = decode_one(&frame(name));
        assert_eq!(netrpc_core::codec::decode::<i64>(reply.body_slice()).unwrap(), 56);
    }
}

/// `[fault.layout]`
#[test]
fn a_fault_is_a_code_a_message_and_a_detail() {
    let fault = decode_one(&frame("fault-detail"));
    let body = FaultBody::parse(fault.body_slice()).unwrap();
    let detail = &b"\x81\xa7balance\xf9"[..];
    let expected = FaultBody { code: FaultCode::Method, message: "account overdrawn", detail };
    assert_eq!(body, expected);
    assert_eq!(FaultBody::parse(b"\x01\x00\0\0\0\0").unwrap().message, "");

    let body = fault.body_slice();
    for length in 0..6 + expected.message.len() {
        let short = Err(MalformedBody::Short { length });
        assert_eq!(FaultBody::parse(&body[..length]), short);
    }
    assert_eq!(FaultBody::parse(b"\x01\x00\x01\0\0\0\xFF"), Err(MalformedBody::Utf8));
    let boast = b"\x01\x00\xFF\xFF\xFF\xFFx";
    assert_eq!(FaultBody::parse(boast), Err(MalformedBody::Short { length: 7 }));
}

/// `[fault.codes]` `[fault.ran]`
#[test]
fn fault_codes_have_their_numbers_and_their_promises() {
    let table = [
        (FaultCode::Method, 1, true),
        (FaultCode::IllFormed, 2, false),
        (FaultCode::UnknownService, 3, false),
        (FaultCode::UnknownMethod, 4, false),
        (FaultCode::BadArguments, 5, false),
        (FaultCode::BadReply, 6, true),
        (FaultCode::Panicked, 7, true),
        (FaultCode::Expired, 8, false),
        (FaultCode::DeadlineExceeded, 9, true),
        (FaultCode::Cancelled, 10, true),
        (FaultCode::Overloaded, 11, false),
        (FaultCode::ShuttingDown, 12, false),
        (FaultCode::Unsupported, 13, false),
        (FaultCode::ReplyTooLarge, 14, true),
        (FaultCode::RequestTooLarge, 15, false),
        (FaultCode::Unauthenticated, 16, false),
        (FaultCode::Denied, 17, false),
        (FaultCode::Failed, 18, true),
        (FaultCode::WrongDomain, 32, false),
        (FaultCode::WrongEpoch, 33, false),
        (FaultCode::SessionExpired, 34, false),
        (FaultCode::SessionUnknown, 35, false),
        (FaultCode::Fenced, 36, false),
        (FaultCode::Stale, 37, false),
        (FaultCode::XidMisuse, 38, false),
        (FaultCode::NotYours, 39, false),
        (FaultCode::Pending, 40, true),
        (FaultCode::OutcomeUnknown, 41, true),
        (FaultCode::ReplyDropped, 42, true),
        (FaultCode::AskAgain, 43, false),
        (FaultCode::Other(0), 0, true),
        (FaultCode::Other(999), 999, true),
    ];
    for (code, number, may_have_run) in table {
        assert_eq!((code.to_u16(), FaultCode::from_u16(number)), (number, code));
        assert_eq!(code.may_have_run(), may_have_run, "{code:?}");
    }
    for number in 0..=u16::MAX {
        assert_eq!(FaultCode::from_u16(number).to_u16(), number);
    }
}

/// `[fault.fit]`
#[test]
fn a_fault_always_goes_out() {
    let write = |message: &str, detail: &[u8], limit| {
        let mut out = Vec::new();
        wire::write_fault(&mut out, 1, FaultCode::Method, message, detail, limit);
        decode_one(&out).into_body()
    };
    // Cut at a character: the limit falls into the middle of an é.
    let long = "é".repeat(MAX_MESSAGE);
    let body = write(&long, b"\xC0", LIMIT);
    let fault = FaultBody::parse(&body).unwrap();
    let kept = fault.message.strip_suffix('…').unwrap();
    assert!(fault.message.len() <= MAX_MESSAGE && fault.message.len() > MAX_MESSAGE - 2);
    assert!(long.starts_with(kept));
    assert_eq!(fault.detail, b"\xC0");

    let exact = "x".repeat(MAX_MESSAGE);
    assert_eq!(FaultBody::parse(&write(&exact, b"", LIMIT)).unwrap().message, exact);

    let message = "x".repeat(50);
    for (detail, limit, kept) in [(44, 100, 44), (45, 100, 0), (9, 65, 9), (9, 64, 0)] {
        let body = write(&message, &vec![1; detail], limit);
        let fault = FaultBody::parse(&body).unwrap();
        assert_eq!((fault.message, fault.detail.len()), (&message[..], kept));
        assert!(body.len() <= limit as usize);
    }
    let body = write(&long, b"", 0);
    assert!(body.len() <= 64 && FaultBody::parse(&body).unwrap().message.ends_with('…'));
}

/// `[cancel.effect]` `[ping.token]`
#[test]
fn cancels_pings_and_pongs_need_no_payload_and_may_have_one() {
    for kind in [Kind::Cancel, Kind::Ping, Kind::Pong] {
        for payload in [&b""[..], b"extra"] {
            let frame = decode_one(&raw_frame(kind.to_u8(), 0, 0, 77, payload));
            assert_eq!((frame.kind, frame.seq), (kind, 77));
        }
    }
    let ping = decode_one(&frame("ping"));
    let mut answer = Vec::new();
    wire::write_pong(&mut answer, ping.seq);
    assert_eq!(answer, frame("pong"));
}

/// `[goaway.layout]`
#[test]
fn a_go_away_is_laid_out_as_a_fault() {
    let recorded = decode_one(&frame("go-away"));
    let expected =
        GoAwayBody { code: GoAwayCode::ShuttingDown, message: "restarting for an update" };
    assert_eq!(recorded.seq, 0);
    assert_eq!(GoAwayBody::parse(recorded.body_slice()), Ok(expected));
    let more = [recorded.body_slice(), b"later versions may say more"].concat();
    assert_eq!(GoAwayBody::parse(&more), Ok(expected));
    assert_eq!(GoAwayBody::parse(b"\x01"), Err(MalformedBody::Short { length: 1 }));
}

/// `[goaway.codes]`
#[test]
fn go_away_codes_have_their_numbers() {
    let named = [
        GoAwayCode::ShuttingDown,
        GoAwayCode::ProtocolError,
        GoAwayCode::VersionNotSupported,
        GoAwayCode::EncodingNotSupported,
        GoAwayCode::TooManyConnections,
        GoAwayCode::Idle,
        GoAwayCode::Refused,
        GoAwayCode::TooFast,
        GoAwayCode::TooSlow,
        GoAwayCode::Aged,
    ];
    for (number, code) in (1..).zip(named) {
        assert_eq!((code.to_u16(), GoAwayCode::from_u16(number)), (number, code));
    }
    for number in 0..=u16::MAX {
        assert_eq!(GoAwayCode::from_u16(number).to_u16(), number);
    }
    assert_eq!(GoAwayCode::from_u16(200), GoAwayCode::Other(200));
}

/// `[goaway.none]`
#[test]
fn some_go_aways_promise_that_nothing_has_run() {
    let promise = (0..=u16::MAX).filter(|number| GoAwayCode::from_u16(*number).nothing_ran());
    assert_eq!(promise.collect::<Vec<_>>(), [3, 4, 5, 7]);
}
