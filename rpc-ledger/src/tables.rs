//! What lies where in the file.
//!
//! ```text
//! meta      name              → format u32 │ domain u128 │ epoch u64 │ next session u64
//! sessions  session           → secret, 16 bytes │ incarnation u32 │ owner: 0, or 1 and UTF-8
//! floors    session           → floor u64
//! calls     (session, seq)    → fingerprint, 16 bytes │ 0                                started
//!                                                     │ 1 or 2 │ head_len u32 │ head │ body   a reply, a fault
//!                                                     │ 3                                an answer not kept
//!                                                     │ 4                                unknown
//! data      (table, key)      → what a handler has written
//! ```
//!
//! Numbers are little-endian, but for keys, which redb orders. The format number changes with any of
//! this.

use bytes::Bytes;
use netrpc_core::{
    ledger::{Answer, Change, KeptCall, KeptSession, Outcome, Owner},
    semantics::{Fingerprint, Incarnation, Secret, SessionId},
};
use redb::{ReadableTable, StorageError, Table, TableDefinition, WriteTransaction};

use crate::error::Misshapen;

/// The format of the files that this version writes.
pub(crate) const FORMAT: u32 = 1;

pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("netrpc.meta");
pub(crate) const SESSIONS: TableDefinition<'_, u64, &[u8]> =
    TableDefinition::new("netrpc.sessions");
pub(crate) const FLOORS: TableDefinition<'_, u64, u64> = TableDefinition::new("netrpc.floors");
pub(crate) const CALLS: TableDefinition<'_, (u64, u64), &[u8]> =
    TableDefinition::new("netrpc.calls");
pub(crate) const DATA: TableDefinition<'_, (&str, &[u8]), &[u8]> =
    TableDefinition::new("netrpc.data");

pub(crate) const META_FORMAT: &str = "format";
pub(crate) const META_DOMAIN: &str = "domain";
pub(crate) const META_EPOCH: &str = "epoch";
pub(crate) const META_NEXT: &str = "next session";

const STARTED: u8 = 0;
const REPLY: u8 = 1;
const FAULT: u8 = 2;
const DROPPED: u8 = 3;
const UNKNOWN: u8 = 4;

/// The tables of a transaction that changes the ledger.
pub(crate) struct Tables<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    sessions: Table<'t, u64, &'static [u8]>,
    floors: Table<'t, u64, u64>,
    calls: Table<'t, (u64, u64), &'static [u8]>,
    data: Table<'t, (&'static str, &'static [u8]), &'static [u8]>,
    /// Reused between records.
    record: Vec<u8>,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::TableError> {
        Ok(Tables {
            meta: transaction.open_table(META)?,
            sessions: transaction.open_table(SESSIONS)?,
            floors: transaction.open_table(FLOORS)?,
            calls: transaction.open_table(CALLS)?,
            data: transaction.open_table(DATA)?,
            record: Vec::new(),
        })
    }

    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), StorageError> {
        match change {
            Change::Opened { session, secret, owner } => {
                let next = (session.0 + 1).to_le_bytes();
                self.meta.insert(META_NEXT, &next[..])?;
                self.insert_session(*session, secret, Incarnation(0), owner.as_ref())
            }
            Change::Resumed { session, incarnation } => {
                let Some(kept) = self.session(*session)? else { return Ok(()) };
                self.insert_session(*session, &kept.secret, *incarnation, kept.owner.as_ref())
            }
            Change::Closed { session } => {
                self.sessions.remove(session.0)?;
                self.floors.remove(session.0)?;
                self.calls.retain_in((session.0, 0)..=(session.0, u64::MAX), |_, _| false)
            }
            Change::Started { session, seq, fingerprint } => {
                self.insert_call(*session, *seq, fingerprint, None)
            }
            Change::Completed { session, seq, fingerprint, outcome } => {
                self.insert_call(*session, *seq, fingerprint, Some(outcome))
            }
            Change::Withdrawn { session, seq } => self.calls.remove((session.0, *seq)).map(drop),
            Change::Floor { session, floor } => {
                self.floors.insert(session.0, *floor)?;
                self.calls.retain_in((session.0, 0)..=(session.0, *floor), |_, _| false)
            }
        }
    }

    pub(crate) fn put(
        &mut self,
        table: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        match value {
            Some(value) => self.data.insert((table, key), value)?,
            None => self.data.remove((table, key))?,
        };
        Ok(())
    }

    fn session(&self, session: SessionId) -> Result<Option<KeptSession>, StorageError> {
        let Some(record) = self.sessions.get(session.0)? else { return Ok(None) };
        let kept = read_session(session, record.value(), 0);
        kept.map(Some).map_err(|misshapen| StorageError::Corrupted(misshapen.to_string()))
    }

    fn insert_session(
        &mut self,
        session: SessionId,
        secret: &Secret,
        incarnation: Incarnation,
        owner: Option<&Owner>,
    ) -> Result<(), StorageError> {
        self.record.clear();
        self.record.extend_from_slice(secret.bytes());
        self.record.extend_from_slice(&incarnation.0.to_le_bytes());
        self.record.push(u8::from(owner.is_some()));
        self.record.extend_from_slice(owner.map_or(&[], |owner| owner.as_bytes()));
        self.sessions.insert(session.0, &self.record[..]).map(drop)
    }

    fn insert_call(
        &mut self,
        session: SessionId,
        seq: u64,
        fingerprint: &Fingerprint,
        outcome: Option<&Outcome>,
    ) -> Result<(), StorageError> {
        self.record.clear();
        self.record.extend_from_slice(&fingerprint.0);
        match outcome {
            None => self.record.push(STARTED),
            Some(Outcome::Dropped) => self.record.push(DROPPED),
            Some(Outcome::Unknown) => self.record.push(UNKNOWN),
            Some(Outcome::Answer(Answer { is_fault, head, body })) => {
                self.record.push(if *is_fault { FAULT } else { REPLY });
                self.record.extend_from_slice(&(head.len() as u32).to_le_bytes());
                self.record.extend_from_slice(head);
                self.record.extend_from_slice(body);
            }
        }
        self.calls.insert((session.0, seq), &self.record[..]).map(drop)
    }
}

/// A session from its record.
pub(crate) fn read_session(
    session: SessionId,
    record: &[u8],
    floor: u64,
) -> Result<KeptSession, Misshapen> {
    let parse = || {
        let (secret, rest) = record.split_first_chunk::<16>()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (owned, name) = rest.split_first()?;
        let owner = match owned {
            0 => None,
            _ => Some(std::str::from_utf8(name).ok()?.into()),
        };
        let incarnation = Incarnation(u32::from_le_bytes(*incarnation));
        Some(KeptSession { session, secret: Secret::new(*secret), owner, incarnation, floor })
    };
    parse().ok_or(Misshapen("sessions"))
}

/// A call from its record.
pub(crate) fn read_call(seq: u64, record: &[u8]) -> Result<KeptCall, Misshapen> {
    let parse = || {
        let (fingerprint, rest) = record.split_first_chunk()?;
        let (state, rest) = rest.split_first()?;
        let outcome = match *state {
            STARTED => None,
            DROPPED => Some(Outcome::Dropped),
            UNKNOWN => Some(Outcome::Unknown),
            state @ (REPLY | FAULT) => {
                let (head_len, rest) = rest.split_first_chunk()?;
                let (head, body) = rest.split_at_checked(u32::from_le_bytes(*head_len) as usize)?;
                Some(Outcome::Answer(Answer {
                    is_fault: state == FAULT,
                    head: Bytes::copy_from_slice(head),
                    body: Bytes::copy_from_slice(body),
                }))
            }
            _ => return None,
        };
        Some(KeptCall { seq, fingerprint: Fingerprint(*fingerprint), outcome })
    };
    parse().ok_or(Misshapen("calls"))
}

/// A number from the meta table.
pub(crate) fn read_number<const N: usize>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<[u8; N]>, StorageError> {
    let record = meta.get(name)?;
    Ok(record.and_then(|record| record.value().try_into().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_cut_is_not_taken_for_another() {
        let answer = |is_fault| {
            let (head, body) = (Bytes::from_static(b"head"), Bytes::from_static(b"body"));
            Some(Outcome::Answer(Answer { is_fault, head, body }))
        };
        let outcomes =
            [None, answer(false), answer(true), Some(Outcome::Dropped), Some(Outcome::Unknown)];
        let database = redb::Database::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .unwrap();
        let transaction = database.begin_write().unwrap();
        let mut tables = Tables::open(&transaction).unwrap();
        let fingerprint = Fingerprint([5; 16]);
        for outcome in outcomes {
            tables.insert_call(SessionId(1), 2, &fingerprint, outcome.as_ref()).unwrap();
            let record = tables.record.clone();
            let call = KeptCall { seq: 2, fingerprint, outcome };
            assert_eq!(read_call(2, &record).unwrap(), call);
            // The body is the rest: only what lies before it shows that something is missing.
            for len in 0..record.len().min(16 + 1 + 4 + 4) {
                assert!(read_call(2, &record[..len]).map_or(true, |found| found != call));
            }
            let mut other = record;
            other[16] = 9;
            assert!(read_call(2, &other).is_err());
        }
        for owner in [None, Some(Owner::from("alice"))] {
            let secret = Secret::new([7; 16]);
            let incarnation = Incarnation(3);
            tables.insert_session(SessionId(4), &secret, incarnation, owner.as_ref()).unwrap();
            let kept = KeptSession { session: SessionId(4), secret, owner, incarnation, floor: 6 };
            assert_eq!(read_session(SessionId(4), &tables.record, 6).unwrap(), kept);
            assert!(read_session(SessionId(4), &tables.record[..20], 6).is_err());
        }
    }
}
