//! The fields by which a call is known again: a request's stamp, an answer's standing.

use std::time::Duration;

use super::{HeadError, field};
use crate::semantics::{Domain, Epoch, PROVABLE_LEN, SessionId, Stamp, Standing, Xid};

/// Bytes of a stamp (`[stamp.layout]`).
const STAMP_LEN: usize = PROVABLE_LEN + 8;
/// Bytes of a standing (`[standing.layout]`).
const STANDING_LEN: usize = 65;
/// The bits of a standing's last byte.
const FINAL: u8 = 1;
const REPLAYED: u8 = 2;

/// A stamp as it lies in a request's head: checked, not copied.
///
/// Whether its proof is right only the ledger knows.
///
/// ```text
///  0        16         24    32      40    48            52        54          55  56            72      80
///  ┌────────┬──────────┬─────┬───────┬─────┬─────────────┬─────────┬───────────┬───┬─────────────┬───────┐
///  │ domain │ session  │ seq │ epoch │ ack │ incarnation │ attempt │ semantics │ 0 │ fingerprint │ proof │
///  └────────┴──────────┴─────┴───────┴─────┴─────────────┴─────────┴───────────┴───┴─────────────┴───────┘
///    u128     u64        u64   u64     u64   u32           u16       u8          u8  16 bytes      u64
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawStamp<'a> {
    /// Of a known semantics.
    bytes: &'a [u8; STAMP_LEN],
}

impl<'a> RawStamp<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Result<RawStamp<'a>, HeadError> {
        let malformed = |reason| HeadError::Value { tag: field::STAMP, reason };
        let bytes = value.try_into().map_err(|_| malformed("a stamp has 80 bytes"))?;
        let raw = RawStamp { bytes };
        raw.read().ok_or(malformed("no call with these semantics is stamped"))?;
        Ok(raw)
    }

    /// What it says.
    pub fn decode(&self) -> Stamp {
        self.read().expect("it was read when it was parsed")
    }

    fn read(&self) -> Option<Stamp> {
        let (provable, proof) = self.bytes.split_first_chunk::<PROVABLE_LEN>()?;
        Stamp::from_bytes(provable, u64::from_le_bytes(proof.try_into().ok()?))
    }
}

/// Appends a request's stamp and returns how many bytes it takes: between the head that
/// [`write_request_head`](super::write_request_head) has written and the body, and counted with the head.
///
/// ```
/// use netrpc_core::{
///     semantics::{Domain, Epoch, Fingerprint, Incarnation, Semantics, SessionId, Stamp, Xid},
///     wire::{self, RequestFields, RequestHead},
/// };
///
/// let stamp = Stamp {
///     xid: Xid { domain: Domain(1), session: SessionId(2), seq: 3 },
///     epoch: Epoch(4),
///     incarnation: Incarnation(0),
///     ack: 2,
///     attempt: 1,
///     semantics: Semantics::AtMostOnce,
///     fingerprint: Fingerprint([0; 16]),
///     proof: 0,
/// };
/// let mut head = Vec::new();
/// let head_len = wire::write_request_head(&mut head, "Bank.Debit", &RequestFields::default())?
///     + wire::write_stamp(&mut head, &stamp);
/// assert_eq!(usize::from(head_len), head.len());
/// assert_eq!(RequestHead::parse(&head)?.stamp.unwrap().decode(), stamp);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
///
/// If the stamp's semantics are such as are not stamped.
pub fn write_stamp(out: &mut Vec<u8>, stamp: &Stamp) -> u16 {
    out.push(field::STAMP);
    out.extend_from_slice(&(STAMP_LEN as u16).to_le_bytes());
    out.extend_from_slice(&stamp.provable());
    out.extend_from_slice(&stamp.proof.to_le_bytes());
    3 + STAMP_LEN as u16
}

/// A standing as it lies in the head of a reply or a fault: checked, not copied.
///
/// ```text
///  0        16         24    32      40      48           56            64      65
///  ┌────────┬──────────┬─────┬───────┬───────┬────────────┬─────────────┬───────┐
///  │ domain │ session  │ seq │ epoch │ floor │ lease_left │ retry_after │ flags │
///  └────────┴──────────┴─────┴───────┴───────┴────────────┴─────────────┴───────┘
///    u128     u64        u64   u64     u64     u64 µs       u64 µs        u8
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawStanding<'a> {
    bytes: &'a [u8; STANDING_LEN],
}

impl<'a> RawStanding<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Result<RawStanding<'a>, HeadError> {
        let reason = "a standing has 65 bytes";
        let bytes =
            value.try_into().map_err(|_| HeadError::Value { tag: field::STANDING, reason })?;
        Ok(RawStanding { bytes })
    }

    /// What it says.
    pub fn decode(&self) -> Standing {
        let domain = *self.bytes.first_chunk().expect("within the standing");
        let number = |at: usize| {
            u64::from_le_bytes(*self.bytes[at..].first_chunk().expect("within the standing"))
        };
        let flags = self.bytes[STANDING_LEN - 1];
        Standing {
            xid: Xid {
                domain: Domain(u128::from_le_bytes(domain)),
                session: SessionId(number(16)),
                seq: number(24),
            },
            epoch: Epoch(number(32)),
            floor: number(40),
            lease_left: Duration::from_micros(number(48)),
            retry_after: Duration::from_micros(number(56)),
            is_final: flags & FINAL != 0,
            is_replayed: flags & REPLAYED != 0,
        }
    }
}

/// Appends the standing of a call to the head of its answer and returns how many bytes it takes, to be
/// counted with the head.
pub fn write_standing(out: &mut Vec<u8>, standing: &Standing) -> u16 {
    let Standing { xid, epoch, floor, lease_left, retry_after, is_final, is_replayed } = *standing;
    out.push(field::STANDING);
    out.extend_from_slice(&(STANDING_LEN as u16).to_le_bytes());
    out.extend_from_slice(&xid.domain.0.to_le_bytes());
    for number in [
        xid.session.0,
        xid.seq,
        epoch.0,
        floor,
        field::micros(lease_left),
        field::micros(retry_after),
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push((u8::from(is_final) * FINAL) | (u8::from(is_replayed) * REPLAYED));
    3 + STANDING_LEN as u16
}
