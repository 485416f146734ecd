//! The rules of `docs/WIRE.md` on calls that run once: stamps, standings, frames about sessions.

mod vectors;

use std::time::Duration;

use netrpc_core::{
    semantics::{
        Domain, Epoch, Grant, Incarnation, Secret, Semantics, SessionId, Stamp, Standing, Xid,
    },
    wire::{
        self, AckFrame, FaultBody, FaultCode, HeadError, Kind, MalformedSession, ReplyHead,
        RequestFields, RequestHead, SessionFrame, SessionKey,
    },
};
use proptest::{collection::vec, prelude::*};
use vectors::{decode_one, frame};

const LIMIT: u32 = 1 << 20;
const DOMAIN: Domain = Domain(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF);
const EPOCH: Epoch = Epoch(0x0102_0304_0506_0708);
const SESSION: SessionId = SessionId(7);
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);
const METHOD: &str = "Arith.Multiply";
const ARGS: &[u8] = b"\x82\xa1A\x07\xa1B\x08";

fn secret() -> Secret {
    Secret::new(*b"sixteen letters!")
}

/// The stamp of the recorded request.
fn stamp() -> Stamp {
    let stamp = Stamp {
        xid: Xid { domain: DOMAIN, session: SESSION, seq: 3 },
        epoch: EPOCH,
        incarnation: Incarnation(1),
        ack: 2,
        attempt: 2,
        semantics: Semantics::AtMostOnce,
        fingerprint: secret().fingerprint(METHOD, ARGS),
        proof: 0,
    };
    stamp.proved(&secret())
}

/// The standing of the recorded reply.
fn standing() -> Standing {
    Standing {
        xid: stamp().xid,
        epoch: EPOCH,
        floor: 2,
        lease_left: HALF_AN_HOUR,
        retry_after: Duration::ZERO,
        is_final: true,
        is_replayed: true,
    }
}

fn key() -> SessionKey {
    SessionKey { domain: DOMAIN, session: SESSION, secret: secret() }
}

/// Every recorded session frame, with its number.
fn session_frames() -> [(&'static str, u64, SessionFrame); 5] {
    let grant = Grant {
        domain: DOMAIN,
        epoch: EPOCH,
        session: SESSION,
        incarnation: Incarnation(1),
        secret: secret(),
        is_durable: true,
        window: 512,
        lease: HALF_AN_HOUR,
        floor: 2,
    };
    [
        ("session-open", 1, SessionFrame::Open),
        ("session-resume", 2, SessionFrame::Resume(key())),
        ("session-close", 3, SessionFrame::Close(key())),
        ("session-granted", 2, SessionFrame::Granted(grant)),
        ("session-closed", 3, SessionFrame::Closed),
    ]
}

fn ack_frames() -> [(&'static str, u64, AckFrame); 2] {
    let (domain, session, incarnation) = (DOMAIN, SESSION, Incarnation(1));
    let proof = secret().prove_ack(domain, incarnation, 3);
    let lease_left = HALF_AN_HOUR;
    [
        ("ack", 4, AckFrame::Acknowledge { domain, session, ack: 3, incarnation, proof }),
        (
            "ack-confirmed",
            4,
            AckFrame::Confirmed { domain, session, epoch: EPOCH, floor: 3, lease_left },
        ),
    ]
}

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag][..], &u16::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
}

/// A request's head with this stamp.
fn head(value: &[u8]) -> Vec<u8> {
    [b"\x03A.B", &field(3, value)[..]].concat()
}

fn stamp_bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(wire::write_stamp(&mut bytes, &stamp()), 83);
    bytes.split_off(3)
}

/// `[stamp.layout]` `[stamp.fingerprint]` `[stamp.proof]`
#[test]
fn a_stamped_request_is_the_recorded_one() {
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    let head_len = wire::write_request_head(&mut out, METHOD, &RequestFields::default()).unwrap()
        + wire::write_stamp(&mut out, &stamp());
    out.extend_from_slice(ARGS);
    wire::finish(&mut out, start, Kind::Request, head_len, 6, LIMIT).unwrap();
    assert_eq!(out, frame("request-stamp"));

    let recorded = decode_one(&frame("request-stamp"));
    let head = RequestHead::parse(recorded.head()).unwrap();
    let found = head.stamp.unwrap().decode();
    assert_eq!((head.method, found), (METHOD, stamp()));
    assert!(found.is_proved(&secret()));
    assert!(RequestHead::parse(b"\x03A.B").unwrap().stamp.is_none());
}

/// `[stamp.layout]` `[head.malformed]`
#[test]
fn a_stamp_has_its_length_and_known_semantics() {
    let good = stamp_bytes();
    for len in (0..good.len()).chain([good.len() + 1, 1000]) {
        let mut bytes = good.clone();
        bytes.resize(len, 0);
        let error = RequestHead::parse(&head(&bytes)).unwrap_err();
        assert!(matches!(error, HeadError::Value { tag: 3, .. }), "{len}: {error}");
        assert_eq!(error.fault_code(), FaultCode::IllFormed);
    }
    for semantics in 0..=u8::MAX {
        let mut bytes = good.clone();
        bytes[54] = semantics;
        let parsed = RequestHead::parse(&head(&bytes)).map(|head| head.stamp.unwrap().decode());
        match semantics {
            2 => assert_eq!(parsed.unwrap().semantics, Semantics::AtMostOnce),
            3 => assert_eq!(parsed.unwrap().semantics, Semantics::ExactlyOnce),
            _ => assert!(matches!(parsed.unwrap_err(), HeadError::Value { tag: 3, .. })),
        }
    }
    let mut bytes = good;
    bytes[55] = 0xFF;
    let parsed = RequestHead::parse(&head(&bytes)).unwrap().stamp.unwrap().decode();
    assert_eq!(parsed, stamp(), "the byte after the semantics is ignored");
}

/// `[stamp.proof]`: whoever does not know the secret can change nothing.
#[test]
fn no_bit_of_a_stamp_can_be_changed_by_others() {
    let good = stamp_bytes();
    for bit in (0..good.len() * 8).filter(|bit| bit / 8 != 55) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let head = head(&bytes);
        let Ok(parsed) = RequestHead::parse(&head) else { continue };
        assert!(!parsed.stamp.unwrap().decode().is_proved(&secret()), "bit {bit}");
    }
}

/// `[standing.layout]`
#[test]
fn a_standing_is_the_recorded_one() {
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    let head_len = wire::write_standing(&mut out, &standing());
    out.push(56);
    wire::finish(&mut out, start, Kind::Reply, head_len, 6, LIMIT).unwrap();
    assert_eq!(out, frame("reply-standing"));
    let recorded = decode_one(&frame("reply-standing"));
    let head = ReplyHead::parse(recorded.head()).unwrap();
    assert_eq!(head.standing.unwrap().decode(), standing());

    let mut value = out[wire::HEADER_LEN + 3..].to_vec();
    value.truncate(65);
    value[64] = 0xFC | 1;
    let fields = field(4, &value);
    let parsed = ReplyHead::parse(&fields).unwrap().standing.unwrap().decode();
    assert_eq!((parsed.is_final, parsed.is_replayed), (true, false), "other flags are ignored");
    for len in (0..65).chain([66]) {
        value.resize(len, 0);
        let error = ReplyHead::parse(&field(4, &value)).unwrap_err();
        assert!(matches!(error, HeadError::Value { tag: 4, .. }), "{error}");
    }
}

/// `[standing.layout]` `[fault.layout]` `[fault.fit]`
#[test]
fn a_fault_can_say_how_its_session_stands() {
    let retry_after = Duration::from_millis(50);
    let not_now = Standing { retry_after, is_final: false, is_replayed: false, ..standing() };
    let write = |message: &str, detail: &[u8], limit| {
        let mut out = Vec::new();
        let what = (FaultCode::AskAgain, message, detail);
        wire::write_fault_standing(&mut out, 6, what, limit, &not_now);
        out
    };
    assert_eq!(write("ask again", b"", LIMIT), frame("fault-standing"));
    for limit in [0, 256, 300, LIMIT] {
        let bytes = write(&"long ".repeat(100), &[1; 200], limit);
        assert!(bytes.len() <= wire::HEADER_LEN + limit.max(256) as usize);
        let found = decode_one(&bytes);
        let head = ReplyHead::parse(found.head()).unwrap();
        assert_eq!(head.standing.unwrap().decode(), not_now);
        let fault = FaultBody::parse(found.body_slice()).unwrap();
        assert_eq!(
            (fault.code, fault.message.ends_with('…')),
            (FaultCode::AskAgain, limit < LIMIT)
        );
    }
}

/// `[session.layout]` `[session.answer]`
#[test]
fn session_frames_are_the_recorded_ones() {
    for (name, seq, said) in session_frames() {
        let mut out = Vec::new();
        wire::write_session(&mut out, seq, &said);
        assert_eq!(out, frame(name), "{name}");
        let found = decode_one(&out);
        assert_eq!((found.kind, found.seq), (Kind::Session, seq));
        assert_eq!(SessionFrame::parse(found.body_slice()), Ok(said), "{name}");
        assert_eq!(
            said.asks(),
            matches!(name, "session-open" | "session-resume" | "session-close")
        );
    }
}

/// `[session.layout]` `[session.ack-proof]`
#[test]
fn acknowledgement_frames_are_the_recorded_ones() {
    for (name, seq, said) in ack_frames() {
        let mut out = Vec::new();
        wire::write_ack(&mut out, seq, &said);
        assert_eq!(out, frame(name), "{name}");
        let found = decode_one(&out);
        assert_eq!((found.kind, found.seq), (Kind::Acknowledgement, seq));
        assert_eq!(AckFrame::parse(found.body_slice()), Ok(said), "{name}");
        assert_eq!(said.asks(), name == "ack");
    }
}

/// `[session.layout]` `[session.unknown]`
#[test]
fn a_session_frame_is_as_long_as_what_it_says() {
    let bodies = |frames: &[&str]| -> Vec<Vec<u8>> {
        frames.iter().map(|name| decode_one(&frame(name)).body_slice().to_vec()).collect()
    };
    let sessions = bodies(&session_frames().map(|(name, ..)| name));
    let acks = bodies(&ack_frames().map(|(name, ..)| name));
    let session = |body: &[u8]| SessionFrame::parse(body).err();
    let ack = |body: &[u8]| AckFrame::parse(body).err();
    let check = |bodies: &[Vec<u8>], parse: &dyn Fn(&[u8]) -> Option<MalformedSession>| {
        for body in bodies {
            for length in (1..body.len()).chain([body.len() + 1]) {
                let mut cut = body.clone();
                cut.resize(length, 0);
                let error = parse(&cut).expect("it is of another length");
                assert_eq!(error, MalformedSession::Length { number: body[0], length });
                assert_eq!(error.fault_code(), FaultCode::IllFormed);
            }
        }
        for number in (0..=u8::MAX).filter(|it| bodies.iter().all(|body| body[0] != *it)) {
            let error = parse(&[number, 1, 2]).expect("it is unknown");
            assert_eq!(error, MalformedSession::Unknown(number));
            assert_eq!(error.fault_code(), FaultCode::Unsupported);
        }
        assert_eq!(parse(b""), Some(MalformedSession::Empty));
    };
    check(&sessions, &session);
    check(&acks, &ack);
}

proptest! {
    /// `[session.layout]` `[head.malformed]`: parsers return.
    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..120), number in 0u8..7) {
        let _ = SessionFrame::parse(&bytes);
        let _ = AckFrame::parse(&bytes);
        let body = [&[number][..], &bytes].concat();
        let _ = SessionFrame::parse(&body);
        let _ = AckFrame::parse(&body);
        let request = head(&bytes);
        let _ = RequestHead::parse(&request).map(|head| head.stamp.map(|it| it.decode()));
        let reply = field(4, &bytes);
        let _ = ReplyHead::parse(&reply).map(|head| head.standing.map(|it| it.decode()));
    }

    /// `[stamp.layout]` `[standing.layout]`
    #[test]
    fn stamps_and_standings_round_trip(
        numbers in vec(any::<u64>(), 8),
        small in any::<(u32, u16, bool, bool)>(),
        fingerprint in any::<[u8; 16]>(),
    ) {
        let xid = Xid {
            domain: Domain(u128::from(numbers[0]) << 64 | u128::from(numbers[1])),
            session: SessionId(numbers[2]),
            seq: numbers[3],
        };
        let (incarnation, attempt, is_final, is_replayed) = small;
        let stamp = Stamp {
            xid,
            epoch: Epoch(numbers[4]),
            incarnation: Incarnation(incarnation),
            ack: numbers[5],
            attempt,
            semantics: Semantics::ExactlyOnce,
            fingerprint: netrpc_core::semantics::Fingerprint(fingerprint),
            proof: numbers[6],
        };
        let mut out = b"\x03A.B".to_vec();
        wire::write_stamp(&mut out, &stamp);
        prop_assert_eq!(RequestHead::parse(&out).unwrap().stamp.unwrap().decode(), stamp);
        let standing = Standing {
            xid,
            epoch: stamp.epoch,
            floor: stamp.ack,
            lease_left: Duration::from_micros(numbers[6]),
            retry_after: Duration::from_micros(numbers[7]),
            is_final,
            is_replayed,
        };
        let mut out = Vec::new();
        wire::write_standing(&mut out, &standing);
        prop_assert_eq!(ReplyHead::parse(&out).unwrap().standing.unwrap().decode(), standing);
    }
}
