//! The ledger's rules, one by one, and then all of them under crashes.

mod model;
mod procedure;
mod sessions;
mod states;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::{
    semantics::{Fingerprint, Incarnation, Secret, Semantics},
    testing::now as start,
};

type TestLedger = Ledger<&'static str, u32>;
type TestRelease = Release<&'static str, u32>;

const DOMAIN: Domain = Domain(77);
const EPOCH: Epoch = Epoch(5);
const SECRET: Secret = Secret::new([7; 16]);
const SESSION: SessionId = SessionId(1);
const PRINT: Fingerprint = Fingerprint([1; 16]);

fn limits() -> LedgerLimits {
    LedgerLimits { window: 4, reply: 8, bytes: 10_000, ..LedgerLimits::default() }
}

fn xid(seq: u64) -> Xid {
    Xid { domain: DOMAIN, session: SESSION, seq }
}

/// Call `seq` as its client stamps it.
fn stamp(seq: u64) -> Stamp {
    Stamp {
        xid: xid(seq),
        epoch: EPOCH,
        incarnation: Incarnation(0),
        ack: 0,
        attempt: 1,
        semantics: Semantics::AtMostOnce,
        fingerprint: PRINT,
        proof: 0,
    }
    .proved(&SECRET)
}

/// Call `seq` with one thing changed, and proved again.
fn changed(seq: u64, change: impl FnOnce(&mut Stamp)) -> Stamp {
    let mut stamp = stamp(seq);
    change(&mut stamp);
    stamp.proved(&SECRET)
}

fn ask(ledger: &mut TestLedger, stamp: &Stamp) -> Decision<u32> {
    ask_at(ledger, start(), stamp)
}

fn ask_at(ledger: &mut TestLedger, now: Instant, stamp: &Stamp) -> Decision<u32> {
    let ask = Ask { stamp, owner: None, class: Some(Class::Recorded), is_overloaded: false };
    ledger.admit(now, &ask, || ("call", 9))
}

/// A ledger with session 1 open, and everything kept and released.
fn open(is_durable: bool) -> TestLedger {
    let mut ledger = match is_durable {
        true => Ledger::durable(start(), DOMAIN, EPOCH, limits(), [], SessionId(1)),
        false => Ledger::volatile(DOMAIN, EPOCH, limits()),
    };
    assert_eq!(ledger.open(start(), SECRET, None, 0), Ok(SESSION));
    assert_eq!(keep(&mut ledger).len(), usize::from(is_durable));
    let [Release::Granted { grant, waiter: 0 }] = &released(&mut ledger)[..] else {
        panic!("a session is granted");
    };
    assert_eq!((grant.session, grant.is_durable, grant.floor), (SESSION, is_durable, 0));
    ledger
}

/// Has all changes kept, and gives them.
fn keep(ledger: &mut TestLedger) -> Vec<Change> {
    let changes = ledger.changes();
    ledger.kept(&changes);
    changes
}

fn released(ledger: &mut TestLedger) -> Vec<TestRelease> {
    ledger.released().collect()
}

fn answer(text: &'static str) -> Answer {
    Answer { is_fault: false, head: Bytes::new(), body: Bytes::from_static(text.as_bytes()) }
}

fn complete(ledger: &mut TestLedger, seq: u64, text: &'static str) {
    ledger.complete(start(), xid(seq), answer(text), LargeReply::Drop);
}

/// Call `seq` from its arrival to its end.
fn run(ledger: &mut TestLedger, seq: u64, text: &'static str) {
    assert_eq!(ask(ledger, &stamp(seq)), Decision::Accepted);
    keep(ledger);
    assert!(ledger.start(xid(seq)));
    complete(ledger, seq, text);
    keep(ledger);
    released(ledger);
}

/// What a store would know of the session at a restart.
fn kept_session(floor: u64) -> KeptSession {
    let incarnation = Incarnation(0);
    KeptSession { session: SESSION, secret: SECRET, owner: None, incarnation, floor }
}

/// A ledger after a restart, with the session and its calls.
fn restarted(floor: u64, calls: &[(u64, Option<Outcome>)]) -> TestLedger {
    let sessions = [kept_session(floor)];
    let epoch = Epoch(EPOCH.0 + 1);
    let mut ledger = Ledger::durable(start(), DOMAIN, epoch, limits(), sessions, SessionId(2));
    let calls = calls.iter().cloned();
    let calls = calls.map(|(seq, outcome)| KeptCall { seq, fingerprint: PRINT, outcome });
    ledger.recalled(SESSION, calls.collect());
    ledger
}

const LEASE: Duration = Duration::from_secs(30 * 60);
