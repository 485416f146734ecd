//! The bytes of a log, and which of them can be trusted.
//!
//! ```text
//!  0          8
//!  ┌──────────┬────────┬────────┬───
//!  │ NRPLOG 1 │ record │ record │ …
//!  └──────────┴────────┴────────┴───
//!
//!  0        4        8        16     17
//!  ┌────────┬────────┬────────┬──────┬─────────┐
//!  │ crc32c │ length │ synced │ kind │ payload │          a record; little-endian
//!  └────────┴────────┴────────┴──────┴─────────┘
//!    u32      u32      u64      u8     `length` bytes
//!
//!  1 session   domain u128 │ session u64 │ incarnation u32 │ secret, 16 bytes
//!  2 call      domain u128 │ session u64 │ seq u64 │ tag_len u16 │ tag │ name_len u8 │ name │ body
//!  3 settled   domain u128 │ session u64 │ seq u64
//! ```
//!
//! `synced` is how much of the log was safe when the record was written. A crash can leave anything behind
//! that, also a record that is whole after one that is not, and it does not matter: nothing of it was
//! acted on. But a record that says that the damaged place had been safe proves that this is no
//! crash's work.

use netrpc_core::semantics::{Domain, Incarnation, Secret, SessionId};

use crate::log::{Call, Place, Session};

/// What every log begins with; the last byte is its format.
pub(crate) const MAGIC: [u8; 8] = *b"NRPLOG\0\x01";
const HEADER: usize = 17;

const SESSION: u8 = 1;
const CALL: u8 = 2;
const SETTLED: u8 = 3;

/// One entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Record {
    Session(Session),
    Call(Call),
    Settled(Place),
}

/// What a log holds.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) records: Vec<Record>,
    /// Bytes up to which everything is whole.
    pub(crate) whole: usize,
}

/// A place in a log that was safe and is not what was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) at: usize,
}

impl Record {
    /// Appends the record, written when `synced` bytes were safe.
    pub(crate) fn write(&self, out: &mut Vec<u8>, synced: u64) {
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&synced.to_le_bytes());
        match self {
            Record::Session(Session { domain, session, incarnation, secret }) => {
                out.push(SESSION);
                out.extend_from_slice(&domain.0.to_le_bytes());
                out.extend_from_slice(&session.0.to_le_bytes());
                out.extend_from_slice(&incarnation.0.to_le_bytes());
                out.extend_from_slice(secret.bytes());
            }
            Record::Call(call) => {
                out.push(CALL);
                write_place(out, call.place());
                // `Log::call` has seen that both fit.
                out.extend_from_slice(&(call.tag.len() as u16).to_le_bytes());
                out.extend_from_slice(&call.tag);
                out.push(call.method.len() as u8);
                out.extend_from_slice(call.method.as_bytes());
                out.extend_from_slice(&call.body);
            }
            Record::Settled(place) => {
                out.push(SETTLED);
                write_place(out, *place);
            }
        }
        let length = (out.len() - start - HEADER) as u32;
        out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    fn parse(kind: u8, payload: &[u8]) -> Option<Record> {
        let mut fields = Fields(payload);
        let record = match kind {
            SESSION => Record::Session(Session {
                domain: Domain(u128::from_le_bytes(fields.bytes()?)),
                session: SessionId(u64::from_le_bytes(fields.bytes()?)),
                incarnation: Incarnation(u32::from_le_bytes(fields.bytes()?)),
                secret: Secret::new(fields.bytes()?),
            }),
            CALL => {
                let Place { domain, session, seq } = fields.place()?;
                let tag_len = u16::from_le_bytes(fields.bytes()?);
                let tag = fields.take(tag_len.into())?.to_vec();
                let [name_len] = fields.bytes()?;
                let method = std::str::from_utf8(fields.take(name_len.into())?).ok()?.to_owned();
                let body = std::mem::take(&mut fields.0).to_vec();
                Record::Call(Call { domain, session, seq, tag, method, body })
            }
            SETTLED => Record::Settled(fields.place()?),
            _ => return None,
        };
        fields.0.is_empty().then_some(record)
    }
}

fn write_place(out: &mut Vec<u8>, place: Place) {
    out.extend_from_slice(&place.domain.0.to_le_bytes());
    out.extend_from_slice(&place.session.0.to_le_bytes());
    out.extend_from_slice(&place.seq.to_le_bytes());
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place {
            domain: Domain(u128::from_le_bytes(self.bytes()?)),
            session: SessionId(u64::from_le_bytes(self.bytes()?)),
            seq: u64::from_le_bytes(self.bytes()?),
        })
    }
}

/// Reads what lies behind the magic.
///
/// # Errors
/// If something that was safe is damaged.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scan, Damaged> {
    let mut records = Vec::new();
    let mut whole = MAGIC.len().min(bytes.len());
    while let Some((record, _, len)) = next(&bytes[whole..]) {
        records.push(record);
        whole += len;
    }
    // Is there a witness that what is broken here was safe?
    let witness = (whole + 1..bytes.len())
        .any(|at| next(&bytes[at..]).is_some_and(|(_, synced, _)| synced > whole as u64));
    if witness { Err(Damaged { at: whole }) } else { Ok(Scan { records, whole }) }
}

/// The record at the front, how much was safe when it was written, and its length; `None` if it is not whole.
fn next(bytes: &[u8]) -> Option<(Record, u64, usize)> {
    let header = bytes.first_chunk::<HEADER>()?;
    let [crc, length] = [0, 4]
        .map(|at| u32::from_le_bytes(*header[at..].first_chunk().expect("within the header")));
    let synced = u64::from_le_bytes(*header[8..].first_chunk().expect("within the header"));
    let end = HEADER.checked_add(length as usize)?;
    let checked = bytes.get(4..end)?;
    if crc32c::crc32c(checked) != crc {
        return None;
    }
    Some((Record::parse(header[16], &bytes[HEADER..end])?, synced, end))
}
