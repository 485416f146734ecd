//! What handlers write into the ledger's file.

mod common;

use std::{collections::BTreeMap, thread};

use common::Disk;
use proptest::prelude::*;

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()))
}

#[test]
fn a_transaction_sees_its_own_writes_and_a_dropped_one_leaves_nothing() {
    let store = Disk::default().open();
    let mut txn = store.begin().unwrap();
    txn.put("t", b"a", b"1");
    assert_eq!(txn.get("t", b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(txn.get("u", b"a").unwrap(), None, "another table");
    drop(txn);
    let mut txn = store.begin().unwrap();
    assert_eq!(txn.get("t", b"a").unwrap(), None);
    txn.put("t", b"a", b"2");
    txn.commit().unwrap();
    let mut txn = store.begin().unwrap();
    txn.delete("t", b"a");
    assert_eq!(txn.get("t", b"a").unwrap(), None);
    drop(txn);
    assert_eq!(store.begin().unwrap().get("t", b"a").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn transactions_on_many_threads_are_as_if_one_after_another() {
    const THREADS: usize = 8;
    const EACH: u64 = 50;
    let store = Disk::default().open();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let mut txn = store.begin().unwrap();
                    let counter = number(txn.get("counters", b"it").unwrap());
                    txn.put("counters", b"it", &(counter + 1).to_le_bytes());
                    // Before it is on disk the next has seen it.
                    txn.commit().unwrap();
                }
            });
        }
    });
    let counter = number(store.begin().unwrap().get("counters", b"it").unwrap());
    assert_eq!(counter, THREADS as u64 * EACH);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Against the naive model: a map, and a copy of it in each transaction.
    #[test]
    fn it_behaves_like_a_map(
        transactions in prop::collection::vec(
            (prop::collection::vec((0u8..3, 0u8..12), 1..12), any::<bool>()),
            1..12,
        ),
    ) {
        let disk = Disk::default();
        let store = disk.open();
        let mut model = BTreeMap::new();
        let mut value = 0u8;
        for (operations, commits) in transactions {
            let mut txn = store.begin().unwrap();
            let mut copy = model.clone();
            for (operation, key) in operations {
                match operation {
                    0 => {
                        value = value.wrapping_add(1);
                        txn.put("t", &[key], &[value]);
                        copy.insert(vec![key], vec![value]);
                    }
                    1 => {
                        txn.delete("t", &[key]);
                        copy.remove(&vec![key]);
                    }
                    _ => {
                        let expected = copy.get(&vec![key]).cloned();
                        prop_assert_eq!(txn.get("t", &[key]).unwrap(), expected);
                        let range = copy.range(vec![key]..vec![key.max(6)]);
                        let range: Vec<_> = if key < 6 {
                            range.map(|(key, value)| (key.clone(), value.clone())).collect()
                        } else {
                            Vec::new()
                        };
                        prop_assert_eq!(txn.range("t", &[key], &[6]).unwrap(), range);
                    }
                }
            }
            if commits {
                txn.commit().unwrap();
                model = copy;
            }
        }
        drop(store);
        let store = disk.crash(&mut common::Random::new(1)).open();
        let all = store.begin().unwrap().range("t", &[], &[255]).unwrap();
        prop_assert!(all.into_iter().eq(model));
    }
}
