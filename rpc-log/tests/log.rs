//! What a client finds in its log after a crash.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use netrpc_core::semantics::{Domain, Incarnation, Secret, SessionId};
use netrpc_log::{Call, Log, Medium, OpenError, Place, Session};
use proptest::prelude::*;

const DOMAIN: Domain = Domain(9);

fn session(number: u64) -> Session {
    let secret = Secret::new([number as u8; 16]);
    Session { domain: DOMAIN, session: SessionId(number), incarnation: Incarnation(0), secret }
}

fn place(session: u64, seq: u64) -> Place {
    Place { domain: DOMAIN, session: SessionId(session), seq }
}

/// A medium of which a crash keeps what was synced, and of the rest what it likes.
#[derive(Clone, Debug, Default)]
struct Tape(Arc<Mutex<Reel>>);

#[derive(Debug, Default)]
struct Reel {
    synced: Vec<u8>,
    current: Vec<u8>,
    fails: bool,
    replaced: usize,
}

impl Tape {
    /// What is left after a crash: what was synced, and the first bytes of the rest, the last of them wrong.
    fn crash(&self, more: usize, wrong: bool) -> Tape {
        let reel = self.0.lock().unwrap();
        let mut left = reel.synced.clone();
        let rest = &reel.current[reel.synced.len().min(reel.current.len())..];
        left.extend_from_slice(&rest[..more.min(rest.len())]);
        if wrong && left.len() > reel.synced.len() {
            *left.last_mut().unwrap() ^= 0x55;
        }
        let reel = Reel { synced: left.clone(), current: left, ..Reel::default() };
        Tape(Arc::new(Mutex::new(reel)))
    }

    fn open(&self) -> Result<Log, OpenError> {
        Log::open_medium(self.clone(), "tape")
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().current.clone()
    }
}

impl Reel {
    fn check(&self) -> io::Result<()> {
        if self.fails { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl Medium for Tape {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.bytes())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut reel = self.0.lock().unwrap();
        reel.check()?;
        reel.current.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut reel = self.0.lock().unwrap();
        reel.check()?;
        reel.synced = reel.current.clone();
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut reel = self.0.lock().unwrap();
        reel.check()?;
        reel.current = bytes.to_vec();
        reel.synced = bytes.to_vec();
        reel.replaced += 1;
        Ok(())
    }
}

fn pending(log: &Log) -> Vec<(u64, Vec<u8>)> {
    log.pending().map(|call| (call.seq, call.tag.clone())).collect()
}

#[test]
fn calls_that_are_not_settled_are_found_again_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.log");
    let mut log = Log::open(&path).unwrap();
    assert_eq!((log.current(), log.newest()), (None, 0));
    log.session(session(1));
    log.call(1, b"one", "A.B", b"\x01");
    log.call(2, b"two", "A.B", b"\x02");
    log.settle(place(1, 1));
    log.settle(place(1, 77));
    log.sync().unwrap();
    drop(log);
    let mut log = Log::open(&path).unwrap();
    assert_eq!((log.current(), log.newest()), (Some(&session(1)), 2));
    let calls: Vec<Call> = log.pending().cloned().collect();
    let expected = Call {
        domain: DOMAIN,
        session: SessionId(1),
        seq: 2,
        tag: b"two".to_vec(),
        method: "A.B".to_owned(),
        body: vec![2],
    };
    assert_eq!(calls, [expected]);
    // Another incarnation goes on with the numbers, another session begins anew and forgets no call.
    let resumed = Session { incarnation: Incarnation(1), ..session(1) };
    log.session(resumed);
    assert_eq!((log.current(), log.newest()), (Some(&resumed), 2));
    log.session(session(5));
    log.call(1, b"new", "A.B", b"");
    log.sync().unwrap();
    drop(log);
    let log = Log::open(&path).unwrap();
    assert_eq!((log.current(), log.newest()), (Some(&session(5)), 1));
    assert_eq!(pending(&log), [(2, b"two".to_vec()), (1, b"new".to_vec())]);
}

#[test]
fn a_log_belongs_to_one_client_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.log");
    let log = Log::open(&path).unwrap();
    let error = Log::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(log);
    Log::open(&path).unwrap();
}

#[test]
fn what_is_no_log_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text");
    for text in [&b"something else"[..], b"NRPLOG\0\x02 of a newer format", b"N?"] {
        fs::write(&path, text).unwrap();
        let error = Log::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), text);
    }
    let error = Log::open(dir.path().join("no/such/folder")).unwrap_err();
    assert!(matches!(error, OpenError::Failed { .. }), "{error}");
}

#[test]
fn what_a_crash_has_cut_is_cut_off_wherever_it_was_cut() {
    let tape = Tape::default();
    let mut log = tape.open().unwrap();
    log.session(session(1));
    log.call(1, b"one", "A.B", b"body");
    log.sync().unwrap();
    let synced = tape.bytes().len();
    log.call(2, b"two", "A.B", b"body");
    log.settle(place(1, 1));
    // Handed over, and not synced: the second sync fails.
    let mut unsynced = Tape(Arc::new(Mutex::new(Reel::default())));
    unsynced.replace(&tape.bytes()).unwrap();
    log.sync().unwrap();
    unsynced.append(&tape.bytes()[synced..]).unwrap();
    let rest = tape.bytes().len() - synced;
    let mut found = std::collections::BTreeSet::new();
    for more in 0..=rest {
        for wrong in [false, true] {
            let left = unsynced.crash(more, wrong);
            let mut log = left.open().unwrap();
            found.insert(pending(&log).into_iter().map(|(seq, _)| seq).collect::<Vec<_>>());
            // It goes on, and what it writes then is found.
            log.call(9, b"nine", "A.B", b"");
            log.sync().unwrap();
            drop(log);
            let log = left.open().unwrap();
            assert_eq!(log.pending().last().unwrap().seq, 9);
        }
    }
    let expected = [vec![1], vec![1, 2], vec![2]];
    assert!(found.iter().eq(expected.iter()), "{found:?}");
}

#[test]
fn damage_to_what_was_safe_is_told_from_a_crash() {
    let tape = Tape::default();
    let mut log = tape.open().unwrap();
    log.session(session(1));
    for seq in 1..=3 {
        log.call(seq, b"tag", "A.B", b"body");
        log.sync().unwrap();
    }
    let good = tape.bytes();
    let last = {
        // Where the last record begins: nothing proves that it had been safe.
        let mut log = Tape::default();
        let mut again = log.open().unwrap();
        again.session(session(1));
        for seq in 1..=2 {
            again.call(seq, b"tag", "A.B", b"body");
        }
        again.sync().unwrap();
        log.read().unwrap().len()
    };
    for at in 8..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let mut damaged = Tape::default();
        damaged.replace(&bytes).unwrap();
        match damaged.open() {
            Err(OpenError::Damaged { at: found, .. }) => {
                assert!(found <= at && at < last, "byte {at}, found at {found}");
                assert_eq!(damaged.bytes(), bytes, "it was not changed");
            }
            Ok(log) => {
                assert!(at >= last, "byte {at} was safe");
                assert_eq!(log.pending().count(), 2);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_full_disk_is_the_end() {
    let tape = Tape::default();
    let mut log = tape.open().unwrap();
    log.session(session(1));
    log.sync().unwrap();
    log.call(1, b"one", "A.B", b"");
    tape.0.lock().unwrap().fails = true;
    let error = log.sync().unwrap_err();
    assert_eq!(error.cause.kind(), io::ErrorKind::StorageFull);
    tape.0.lock().unwrap().fails = false;
    assert!(log.sync().is_err(), "a sync that has failed is not tried again");
    drop(log);
    assert_eq!(tape.open().unwrap().pending().count(), 0);
}

#[test]
fn a_log_of_settled_calls_is_swept() {
    let tape = Tape::default();
    let mut log = tape.open().unwrap();
    log.session(session(1));
    log.call(1, b"kept", "A.B", b"");
    for seq in 2..=4000 {
        log.call(seq, b"tag", "A.B", &[0; 1000]);
        log.settle(place(1, seq));
        log.sync().unwrap();
    }
    assert!(tape.bytes().len() < 3 << 20, "{}", tape.bytes().len());
    assert!(tape.0.lock().unwrap().replaced > 1);
    drop(log);
    let log = tape.crash(0, false).open().unwrap();
    assert_eq!((pending(&log), log.newest()), (vec![(1, b"kept".to_vec())], 4000));
    assert_eq!(log.current(), Some(&session(1)));
}

proptest! {
    /// Against the naive model: a list. What was synced is there; of the rest, a first part.
    #[test]
    fn it_behaves_like_a_list(
        operations in prop::collection::vec((0u8..8, 1u64..30), 1..60),
        more in 0usize..2000,
        wrong in any::<bool>(),
    ) {
        let tape = Tape::default();
        let mut log = tape.open().unwrap();
        let (mut now, mut seq) = (1, 0);
        log.session(session(now));
        log.sync().unwrap();
        let mut model: Vec<(u64, u64)> = Vec::new();
        for (operation, pick) in operations {
            match operation {
                0 if pick == 1 => {
                    now += 1;
                    seq = 0;
                    log.session(session(now));
                }
                0..5 => {
                    seq += 1;
                    log.call(seq, &pick.to_le_bytes(), "A.B", &vec![0; pick as usize * 7]);
                    model.push((now, seq));
                }
                5..7 if !model.is_empty() => {
                    let (of, seq) = model.remove(pick as usize % model.len());
                    log.settle(place(of, seq));
                }
                _ => log.sync().unwrap(),
            }
        }
        log.sync().unwrap();
        drop(log);
        let log = tape.crash(more, wrong).open().unwrap();
        let found: Vec<_> = log.pending().map(|call| (call.session.0, call.seq)).collect();
        prop_assert_eq!(found, model);
        prop_assert_eq!((log.current(), log.newest()), (Some(&session(now)), seq));
    }
}
