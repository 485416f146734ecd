//! What is on disk after the power has failed at any moment.

mod common;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use common::{Disk, Kept, Random, keep, remembered};
use netrpc_core::{
    ledger::{Answer, Change, KeptCall, KeptSession, Outcome, Owner, Store},
    semantics::{Fingerprint, Incarnation, Secret, SessionId},
};
use netrpc_ledger::DiskStore;

/// What a store should remember: the naive one.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    sessions: BTreeMap<u64, KeptSession>,
    calls: BTreeMap<(u64, u64), KeptCall>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        let id = change.session().0;
        match change.clone() {
            Change::Opened { session, secret, owner } => {
                let (incarnation, floor) = (Incarnation(0), 0);
                let kept = KeptSession { session, secret, owner, incarnation, floor };
                self.sessions.insert(id, kept);
            }
            Change::Resumed { incarnation, .. } => {
                self.sessions.get_mut(&id).unwrap().incarnation = incarnation;
            }
            Change::Closed { .. } => {
                self.sessions.remove(&id);
                self.calls.retain(|(session, _), _| *session != id);
            }
            Change::Started { seq, fingerprint, .. } => {
                self.calls.insert((id, seq), KeptCall { seq, fingerprint, outcome: None });
            }
            Change::Completed { seq, fingerprint, outcome, .. } => {
                let outcome = Some(outcome);
                self.calls.insert((id, seq), KeptCall { seq, fingerprint, outcome });
            }
            Change::Withdrawn { seq, .. } => {
                self.calls.remove(&(id, seq));
            }
            Change::Floor { floor, .. } => {
                self.sessions.get_mut(&id).unwrap().floor = floor;
                self.calls.retain(|(session, seq), _| *session != id || *seq > floor);
            }
        }
    }

    fn of(store: &DiskStore) -> Self {
        let (sessions, calls) = remembered(store);
        let calls = calls
            .into_iter()
            .flat_map(|(id, calls)| calls.into_iter().map(move |call| ((id.0, call.seq), call)));
        Model {
            sessions: sessions.into_iter().map(|kept| (kept.session.0, kept)).collect(),
            calls: calls.collect(),
        }
    }

    /// Something that can happen next.
    fn next(&self, random: &mut Random, newest: &mut u64) -> Change {
        let open: Vec<_> = self.sessions.values().collect();
        if open.len() < 2 || random.below(20) == 0 {
            *newest += 1;
            let owner = (random.below(2) == 0).then(|| Owner::from("alice"));
            let secret = Secret::new([*newest as u8; 16]);
            return Change::Opened { session: SessionId(*newest), secret, owner };
        }
        let KeptSession { session, incarnation, floor, .. } = *open[random.below(open.len())];
        let seq = floor + 1 + random.below(6) as u64;
        let fingerprint = Fingerprint([seq as u8; 16]);
        match random.below(30) {
            0 => Change::Closed { session },
            1 => Change::Resumed { session, incarnation: Incarnation(incarnation.0 + 1) },
            2 => Change::Withdrawn { session, seq },
            3..8 => Change::Floor { session, floor: seq },
            8..18 => Change::Started { session, seq, fingerprint },
            _ => {
                let body = Bytes::from(vec![seq as u8; random.below(3000)]);
                let answer = Answer { is_fault: random.below(2) == 0, head: Bytes::new(), body };
                let outcome = match random.below(6) {
                    0 => Outcome::Dropped,
                    1 => Outcome::Unknown,
                    _ => Outcome::Answer(answer),
                };
                Change::Completed { session, seq, fingerprint, outcome }
            }
        }
    }
}

/// A run up to a crash; then what is remembered is what was given up to some moment that is no earlier than
/// the last acknowledgement. Gives how many batches were given, acknowledged, and found.
fn crash_once(seed: u64, fails: bool, lies: bool) -> Result<[usize; 3], String> {
    let mut random = Random::new(seed);
    let disk = Disk::default();
    let store = disk.open();
    let mut model = Model::default();
    let mut states = vec![model.clone()];
    let (mut newest, mut waiting, mut acknowledged) = (0, VecDeque::<Kept>::new(), 0);
    if fails {
        disk.fail_sync_after(random.below(40));
    }
    if lies {
        disk.lie();
    }
    let mut failed = false;
    for _ in 0..10 + random.below(60) {
        let changes: Vec<_> = (0..1 + random.below(3))
            .map(|_| {
                let change = model.next(&mut random, &mut newest);
                model.apply(&change);
                change
            })
            .collect();
        waiting.push_back(keep(&store, changes));
        states.push(model.clone());
        // Some wait, so that others are committed together.
        while !failed && waiting.len() > random.below(6) {
            let kept = waiting.pop_front().expect("it waits").recv().expect("it is told");
            failed = kept.is_err();
            acknowledged += usize::from(kept.is_ok());
        }
        if failed {
            break;
        }
    }
    let disk = disk.crash(&mut random);
    // After a failure everything fails; before one, what was still waiting may be kept.
    for kept in waiting {
        match kept.recv().expect("it is told") {
            Ok(()) if failed => return Err("something was kept after a failure".to_owned()),
            Ok(()) => acknowledged += 1,
            Err(_) => failed = true,
        }
    }
    if failed && store.begin().is_ok() {
        return Err("a failed store lets handlers write".to_owned());
    }
    drop(store);
    let found = Model::of(&disk.open());
    let at = states.iter().rposition(|state| *state == found);
    match at {
        Some(at) if at >= acknowledged => Ok([states.len() - 1, acknowledged, at]),
        at => {
            Err(format!("{acknowledged} batches were acknowledged, those up to {at:?} are there"))
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_and_nothing_is_there_by_halves() {
    let (mut lost, mut beyond) = (0, 0);
    for seed in 1..=60 {
        let [given, acknowledged, found] =
            crash_once(seed, false, false).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        lost += usize::from(found < given);
        beyond += usize::from(found > acknowledged);
    }
    assert!(lost > 0, "no crash has lost anything: {lost}, {beyond}");
}

#[test]
fn a_sync_that_fails_is_the_end() {
    let mut failed = 0;
    for seed in 1..=60 {
        let [given, acknowledged, _] =
            crash_once(seed, true, false).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        failed += usize::from(acknowledged < given);
    }
    assert!(failed > 20, "{failed} runs have seen a failure");
}

/// The control: on a disk that lies about its syncs the check finds what is missing.
#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    let result =
        std::panic::catch_unwind(|| (1..=30).all(|seed| crash_once(seed, false, true).is_ok()));
    assert!(!matches!(result, Ok(true)), "nothing was missing without a sync");
}

#[test]
fn what_waits_is_committed_together() {
    let disk = Disk::default();
    let store = disk.open();
    let opened = |session| {
        let secret = Secret::new([1; 16]);
        [Change::Opened { session: SessionId(session), secret, owner: None }]
    };
    let before = disk.syncs();
    let kept: Vec<_> = (1..=1000).map(|session| keep(&store, opened(session))).collect();
    kept.into_iter().for_each(|kept| kept.recv().unwrap().unwrap());
    let syncs = disk.syncs() - before;
    assert!(syncs < 500, "1000 batches took {syncs} syncs");
    assert_eq!(store.sessions().unwrap().0.len(), 1000);
}

#[test]
fn a_store_that_is_dropped_keeps_what_it_was_given() {
    let disk = Disk::default();
    let store = disk.open();
    let secret = Secret::new([1; 16]);
    let kept: Vec<_> = (1..=100)
        .map(|id| keep(&store, [Change::Opened { session: SessionId(id), secret, owner: None }]))
        .collect();
    drop(store);
    assert!(kept.into_iter().all(|kept| kept.recv().unwrap().is_ok()));
    let again = disk.crash(&mut Random::new(1)).open();
    assert_eq!(again.sessions().unwrap().0.len(), 100);
}

#[test]
fn an_outcome_and_its_effect_are_there_together_or_not_at_all() {
    let (mut both, mut neither) = (0, 0);
    for seed in 1..=60 {
        let mut random = Random::new(seed);
        let disk = Disk::default();
        let store = disk.open();
        let secret = Secret::new([1; 16]);
        let session = SessionId(1);
        keep(&store, [Change::Opened { session, secret, owner: None }]).recv().unwrap().unwrap();
        disk.fail_sync_after(random.below(6));
        for seq in 1..=4u64 {
            let Ok(mut txn) = store.begin() else { break };
            let Ok(counter) = txn.get("counters", b"it") else { break };
            let counter = counter.map_or(0, |it| u64::from_le_bytes(it.try_into().unwrap()));
            txn.put("counters", b"it", &(counter + 1).to_le_bytes());
            let fingerprint = Fingerprint([0; 16]);
            let outcome = Outcome::Dropped;
            let completed = Change::Completed { session, seq, fingerprint, outcome };
            let (tell, told) = std::sync::mpsc::channel();
            let done = Box::new(move |result: Result<(), _>| {
                let _ = tell.send(result.is_ok());
            });
            store.keep(Arc::new([completed]), Some(txn.into_writes()), done);
            if random.below(2) == 0 {
                let _ = told.recv();
            }
        }
        let disk = disk.crash(&mut random);
        drop(store);
        let again = disk.open();
        let counter = again.begin().unwrap().get("counters", b"it").unwrap();
        let counter = counter.map_or(0, |it| u64::from_le_bytes(it.try_into().unwrap()));
        assert_eq!(again.recall(session).unwrap().len() as u64, counter, "seed {seed}");
        both += usize::from(counter > 0);
        neither += usize::from(counter < 4);
    }
    assert!(both > 10 && neither > 10, "{both} {neither}");
}
