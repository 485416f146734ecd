//! Which files are ledgers, and what becomes of them when they are opened.

mod common;

use std::fs;

use common::keep;
use netrpc_core::{
    ledger::{Change, Store},
    semantics::{Secret, SessionId},
};
use netrpc_ledger::{DiskStore, OpenError, OpenOptions};
use redb::{Database, TableDefinition};

fn opened(session: u64) -> [Change; 1] {
    let secret = Secret::new([1; 16]);
    [Change::Opened { session: SessionId(session), secret, owner: None }]
}

#[test]
fn the_domain_stays_and_every_life_has_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let mut lives = Vec::new();
    for _ in 0..3 {
        let store = DiskStore::open(&path).unwrap();
        lives.push((store.domain(), store.epoch().0));
    }
    assert!(lives.iter().all(|(domain, _)| *domain == lives[0].0));
    assert_eq!(lives.iter().map(|(_, epoch)| *epoch).collect::<Vec<_>>(), [1, 2, 3]);
    let other = DiskStore::open(dir.path().join("other")).unwrap();
    assert_ne!(other.domain(), lives[0].0);
}

#[test]
fn a_ledger_belongs_to_one_server_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let store = DiskStore::open(&path).unwrap();
    keep(&store, opened(1)).recv().unwrap().unwrap();
    let error = DiskStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another process has the ledger open"), "{error}");
    assert_eq!(store.sessions().unwrap().0.len(), 1, "nothing is lost");
    drop(store);
    assert_eq!(DiskStore::open(&path).unwrap().sessions().unwrap().0.len(), 1);
}

#[test]
fn a_ledger_of_a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    drop(DiskStore::open(&path).unwrap());
    let set_format = |format: u32| {
        const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("netrpc.meta");
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("format", &format.to_le_bytes()[..]).unwrap();
        drop(meta);
        transaction.commit().unwrap();
    };
    set_format(2);
    let error = DiskStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, .. }), "{error}");
    assert!(error.to_string().contains("knows formats up to 1"), "{error}");
    set_format(1);
    let store = DiskStore::open(&path).unwrap();
    assert_eq!(store.epoch().0, 2, "the refused opening changed nothing");
}

#[test]
fn what_is_no_ledger_is_not_made_one() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "not a ledger, but a text. ".repeat(1000)).unwrap();
    let error = DiskStore::open(&text).unwrap_err();
    assert!(matches!(error, OpenError::NotALedger { .. }), "{error:?}");
    assert!(fs::read(&text).unwrap().starts_with(b"not a ledger"), "it was not changed");

    let database = dir.path().join("database");
    {
        const OTHER: TableDefinition<'_, u64, u64> = TableDefinition::new("somebody's");
        let other = Database::create(&database).unwrap();
        let transaction = other.begin_write().unwrap();
        transaction.open_table(OTHER).unwrap().insert(1, 1).unwrap();
        transaction.commit().unwrap();
    }
    let error = DiskStore::open(&database).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("a database of something else"), "{text}");

    let error = DiskStore::open(dir.path().join("no/such/folder")).unwrap_err();
    assert!(matches!(error, OpenError::Failed { .. }), "{error}");
}

#[test]
fn a_backup_that_is_restored_is_another_domain() {
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("ledger"), dir.path().join("backup"));
    let store = DiskStore::open(&path).unwrap();
    keep(&store, opened(1)).recv().unwrap().unwrap();
    let mut txn = store.begin().unwrap();
    txn.put("accounts", b"alice", b"100");
    txn.commit().unwrap();
    let domain = store.domain();
    drop(store);
    fs::copy(&path, &backup).unwrap();

    let restored = OpenOptions::new().restored(true).open(&backup).unwrap();
    assert_ne!(restored.domain(), domain);
    let (sessions, next) = restored.sessions().unwrap();
    assert_eq!((sessions, next), (vec![], SessionId(2)), "no session number comes again");
    let balance = restored.begin().unwrap().get("accounts", b"alice").unwrap();
    assert_eq!(balance.as_deref(), Some(&b"100"[..]));
    let minted = restored.domain();
    drop(restored);
    assert_eq!(DiskStore::open(&backup).unwrap().domain(), minted, "once");
}

#[test]
fn a_ledger_whose_bytes_were_changed_is_not_trusted_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let store = DiskStore::open(&path).unwrap();
    for session in 1..200 {
        keep(&store, opened(session)).recv().unwrap().unwrap();
    }
    drop(store);
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() / 3]).unwrap();
    let error = DiskStore::open(&path).unwrap_err();
    assert!(!error.to_string().is_empty());
    fs::write(&path, &good).unwrap();
    assert_eq!(DiskStore::open(&path).unwrap().sessions().unwrap().0.len(), 199);
}
