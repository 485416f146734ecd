//! A store without a thread.

mod common;

use std::sync::Arc;

use common::{Disk, keep, remembered};
use netrpc_core::{
    ledger::{Change, Store},
    semantics::{Domain, Secret, SessionId},
};
use netrpc_ledger::{DiskStore, OpenOptions, Stepper};

fn open(disk: &Disk) -> (DiskStore, Stepper) {
    let options = OpenOptions::new().domain(Domain(7));
    options.open_stepped(disk.clone(), "simulated").expect("it can be opened")
}

fn opened(session: u64) -> Arc<[Change]> {
    let session = SessionId(session);
    Arc::new([Change::Opened { session, secret: Secret::new([1; 16]), owner: None }])
}

#[test]
fn nothing_is_kept_before_a_step_and_then_all_that_waited_with_one_sync() {
    let disk = Disk::default();
    let (store, stepper) = open(&disk);
    assert_eq!((store.domain(), stepper.step()), (Domain(7), 0));
    let told: Vec<_> = (1..=3).map(|session| keep(&store, opened(session))).collect();
    assert_eq!(stepper.waiting(), 3);
    assert!(told.iter().all(|told| told.try_recv().is_err()), "nobody is told yet");
    assert!(remembered(&store).0.is_empty());
    let before = disk.syncs();
    assert_eq!((stepper.step(), stepper.waiting()), (3, 0));
    let needed = disk.syncs() - before;
    assert!(told.iter().all(|told| told.try_recv().unwrap().is_ok()), "told on this thread");
    assert_eq!(remembered(&store).0.len(), 3);
    let told = keep(&store, opened(4));
    stepper.step();
    assert!(told.try_recv().unwrap().is_ok());
    assert!((1..=2).contains(&needed), "however many they are: {needed}");
    drop((store, stepper));
    let (store, _) = open(&disk);
    assert_eq!((remembered(&store).0.len(), store.domain()), (4, Domain(7)));
}

#[test]
fn after_a_failed_step_everything_fails() {
    let disk = Disk::default();
    let (store, stepper) = open(&disk);
    let told = keep(&store, opened(1));
    disk.fail_sync_after(0);
    assert_eq!(stepper.step(), 1);
    assert!(told.try_recv().unwrap().is_err());
    assert!(store.begin().is_err());
    let told = keep(&store, opened(2));
    assert!(told.try_recv().is_err(), "whoever gives may hold what is wanted to be told");
    assert_eq!(stepper.step(), 1);
    assert!(told.try_recv().unwrap().is_err());
}
