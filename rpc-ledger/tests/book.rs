//! A ledger whose store is a file, across the server's death.

mod common;

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Disk, Random};
use netrpc_core::{
    ledger::{
        Act, Answer, Ask, Book, Class, Decision, LargeReply, LedgerLimits, Outcome, Refusal,
        Release, Resolution, SessionClaim, StoreFailed,
    },
    semantics::{Grant, Secret, Semantics, Series, SeriesLimits, Stamp},
};
use netrpc_ledger::DiskStore;

type Released = Release<&'static str, u32>;

struct Post(mpsc::Sender<Released>, mpsc::Sender<()>);

impl Act<&'static str, u32> for Post {
    fn act(&self, release: Released) {
        let _ = self.0.send(release);
    }

    fn failed(&self, _: &StoreFailed) {
        let _ = self.1.send(());
    }
}

struct Server {
    book: Book<&'static str, u32, Post>,
    released: mpsc::Receiver<Released>,
    failed: mpsc::Receiver<()>,
    store: DiskStore,
}

impl Server {
    fn start(disk: &Disk) -> Server {
        let store = disk.open();
        let ((tell, released), (tell_failed, failed)) = (mpsc::channel(), mpsc::channel());
        let post = Post(tell, tell_failed);
        let limits = LedgerLimits::default();
        let book = Book::durable(now(), Arc::new(store.clone()), limits, post).unwrap();
        Server { book, released, failed, store }
    }

    fn next(&self) -> Released {
        self.released.recv_timeout(Duration::from_secs(20)).expect("something is released")
    }

    fn granted(&self) -> Grant {
        match self.next() {
            Release::Granted { grant, .. } => grant,
            other => panic!("{other:?}"),
        }
    }

    fn ask(&self, stamp: &Stamp, class: Class) -> Decision<u32> {
        let ask = Ask { stamp, owner: None, class: Some(class), is_overloaded: false };
        self.book.admit(now(), &ask, || ("debit", 1)).unwrap()
    }
}

fn now() -> Instant {
    Instant::now()
}

fn answer(text: &'static str) -> Answer {
    Answer { is_fault: false, head: Bytes::new(), body: Bytes::from_static(text.as_bytes()) }
}

const SECRET: Secret = Secret::new([7; 16]);

fn client(server: &Server) -> Series {
    server.book.with(|ledger| ledger.open(now(), SECRET, None, 0)).unwrap().unwrap();
    Series::new(now(), server.granted(), SeriesLimits::default())
}

fn stamp(client: &mut Series, seq: u64) -> Stamp {
    let fingerprint = SECRET.fingerprint("Bank.Debit", b"7");
    client.stamp(now(), seq, 1, Semantics::ExactlyOnce, fingerprint)
}

/// Runs the next call of a client to its end; gives its number.
fn run(server: &Server, client: &mut Series) -> u64 {
    let xid = client.begin(now()).unwrap();
    assert_eq!(server.ask(&stamp(client, xid.seq), Class::Recorded), Decision::Accepted);
    assert_eq!(server.next(), Release::Run { xid, call: "debit" });
    assert!(server.book.with(|ledger| ledger.start(xid)).unwrap());
    server
        .book
        .with(|ledger| ledger.complete(now(), xid, answer("done"), LargeReply::Drop))
        .unwrap();
    let outcome = Outcome::Answer(answer("done"));
    assert_eq!(server.next(), Release::Answer { xid, waiter: 1, outcome });
    xid.seq
}

#[test]
fn a_call_that_was_answered_is_answered_again_after_a_crash() {
    let disk = Disk::default();
    let server = Server::start(&disk);
    let mut client = client(&server);
    let seq = run(&server, &mut client);
    let disk = disk.crash(&mut Random::new(1));

    let server = Server::start(&disk);
    let replay = Decision::Replay(Outcome::Answer(answer("done")));
    assert_eq!(server.ask(&stamp(&mut client, seq), Class::Recorded), replay);
    client.settle(seq);
    run(&server, &mut client);
    let disk = disk.crash(&mut Random::new(2));
    let server = Server::start(&disk);
    let mut stale = stamp(&mut client, seq);
    stale.ack = 0;
    let stale = stale.proved(&SECRET);
    let refused = Decision::Refused(Refusal::Stale);
    assert_eq!(
        server.ask(&stale, Class::Recorded),
        refused,
        "the floor answers where the entry has gone"
    );
}

#[test]
fn a_call_that_was_interrupted_runs_again_only_if_somebody_knows_that_it_has_not_run() {
    for (seed, resolution) in [(1, Resolution::Unknown), (2, Resolution::NotDone)] {
        let disk = Disk::default();
        let server = Server::start(&disk);
        let mut client = client(&server);
        let xid = client.begin(now()).unwrap();
        let stamp = stamp(&mut client, xid.seq);
        server.ask(&stamp, Class::Recorded);
        server.next();
        assert!(server.book.with(|ledger| ledger.start(xid)).unwrap());
        let disk = disk.crash(&mut Random::new(seed));

        let server = Server::start(&disk);
        assert_eq!(server.ask(&stamp, Class::Recorded), Decision::Resolve);
        server.book.with(|ledger| ledger.resolved(now(), xid, resolution.clone())).unwrap();
        let expected = match resolution {
            Resolution::NotDone => Release::Run { xid, call: "debit" },
            _ => Release::Answer { xid, waiter: 1, outcome: Outcome::Unknown },
        };
        assert_eq!(server.next(), expected);
    }
}

#[test]
fn a_transactional_call_that_was_interrupted_has_left_nothing_and_runs() {
    let disk = Disk::default();
    let server = Server::start(&disk);
    let mut client = client(&server);
    let xid = client.begin(now()).unwrap();
    let stamp = stamp(&mut client, xid.seq);
    let debit = |server: &Server| {
        assert_eq!(server.ask(&stamp, Class::Transactional), Decision::Accepted);
        assert_eq!(server.next(), Release::Run { xid, call: "debit" });
        assert!(server.book.with(|ledger| ledger.start(xid)).unwrap());
        let mut txn = server.store.begin().unwrap();
        assert_eq!(txn.get("accounts", b"alice").unwrap(), None);
        txn.put("accounts", b"alice", b"-7");
        txn
    };
    let txn = debit(&server);
    let disk = disk.crash(&mut Random::new(1));
    drop(txn);

    let server = Server::start(&disk);
    let txn = debit(&server);
    let complete = |ledger: &mut netrpc_core::ledger::Ledger<_, _>| {
        ledger.complete(now(), xid, answer("done"), LargeReply::Drop);
    };
    server.book.with_writes(Some(txn.into_writes()), complete).unwrap();
    let outcome = Outcome::Answer(answer("done"));
    assert_eq!(server.next(), Release::Answer { xid, waiter: 1, outcome: outcome.clone() });
    let disk = disk.crash(&mut Random::new(2));

    let server = Server::start(&disk);
    assert_eq!(server.ask(&stamp, Class::Transactional), Decision::Replay(outcome));
    let balance = server.store.begin().unwrap().get("accounts", b"alice").unwrap();
    assert_eq!(balance.as_deref(), Some(&b"-7"[..]));
}

#[test]
fn a_session_is_resumed_after_a_crash_and_its_older_incarnation_stays_out() {
    let disk = Disk::default();
    let server = Server::start(&disk);
    let mut old = client(&server);
    let seq = run(&server, &mut old);
    let (domain, session) = (old.grant().domain, old.grant().session);
    let claim = SessionClaim { domain, session, secret: SECRET, owner: None };
    server.book.with(|ledger| ledger.resume(now(), &claim, 0)).unwrap().unwrap();
    let mut new = Series::resume(now(), server.granted(), SeriesLimits::default(), [seq]);
    let disk = disk.crash(&mut Random::new(1));

    let server = Server::start(&disk);
    let fenced = Decision::Refused(Refusal::Fenced);
    assert_eq!(server.ask(&stamp(&mut old, seq), Class::Recorded), fenced);
    let replay = Decision::Replay(Outcome::Answer(answer("done")));
    assert_eq!(server.ask(&stamp(&mut new, seq), Class::Recorded), replay);
}

#[test]
fn a_disk_that_fails_ends_the_service_before_anything_is_answered() {
    let disk = Disk::default();
    let server = Server::start(&disk);
    let mut client = client(&server);
    let xid = client.begin(now()).unwrap();
    server.ask(&stamp(&mut client, xid.seq), Class::Recorded);
    server.next();
    assert!(server.book.with(|ledger| ledger.start(xid)).unwrap());
    disk.fail_sync_after(0);
    let complete = |ledger: &mut netrpc_core::ledger::Ledger<_, _>| {
        ledger.complete(now(), xid, answer("done"), LargeReply::Drop);
    };
    server.book.with(complete).unwrap();
    server.failed.recv_timeout(Duration::from_secs(20)).expect("the failure is told");
    assert!(server.released.try_recv().is_err(), "nobody has an answer");
    assert!(server.book.with(|_| ()).is_err());
    let stamp = stamp(&mut client, xid.seq);
    let class = Some(Class::Recorded);
    let ask = Ask { stamp: &stamp, owner: None, class, is_overloaded: false };
    assert!(server.book.admit(now(), &ask, || ("debit", 1)).is_err());
    assert!(server.book.failure().is_some());
    assert!(server.failed.try_recv().is_err(), "once");
}
