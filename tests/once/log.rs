//! A client's log: calls are on disk before they are sent, and outlive their client.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use netrpc::{CallOptions, Client, ClientBuilder, Error, LogSync, Reconnect, Refusal, Semantics};
use netrpc_core::{
    semantics::{Grant, Incarnation, SessionId},
    wire::{FaultCode, Kind},
};
use netrpc_log::{Log, Medium};
use tokio::task::JoinHandle;

use crate::{
    common::soon,
    script::{Heard, Peer, Script, grant, standing},
};

/// A disk in memory: what was synced outlives a crash, and nothing else.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    written: Vec<u8>,
    syncs: usize,
    is_full: bool,
}

impl Disk {
    /// What a crash leaves.
    fn crash(&self) -> Disk {
        let synced = self.0.lock().unwrap().synced.clone();
        Disk(Arc::new(Mutex::new(Content {
            written: synced.clone(),
            synced,
            ..Content::default()
        })))
    }

    fn log(&self) -> Log {
        Log::open_medium(self.clone(), "a disk").unwrap()
    }

    /// The calls that would be recovered after a crash: their numbers and tags.
    fn pending(&self) -> Vec<(u64, String)> {
        let log = self.crash().log();
        let text = |tag: &[u8]| String::from_utf8(tag.to_vec()).unwrap();
        log.pending().map(|call| (call.seq, text(&call.tag))).collect()
    }

    fn syncs(&self) -> usize {
        self.0.lock().unwrap().syncs
    }
}

impl Medium for Disk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().written.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        if content.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.written.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.syncs += 1;
        content.synced = content.written.clone();
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.written = bytes.to_vec();
        content.synced = bytes.to_vec();
        Ok(())
    }
}

fn builder() -> ClientBuilder {
    let exactly = CallOptions::new().semantics(Semantics::ExactlyOnce);
    Client::builder().reconnect(Reconnect::new().seed(7)).options(exactly)
}

async fn client(script: &Script, disk: &Disk) -> Client {
    let builder = builder().log_with(disk.log(), LogSync::Inline);
    builder.connect_with(script.network.clone()).await.unwrap()
}

fn call(client: &Client, n: u64) -> JoinHandle<Result<u64, Error>> {
    let client = client.with(CallOptions::new().tag(format!("order {n}")));
    tokio::spawn(async move { client.call::<_, u64>("Bank.Debit", &n).await })
}

fn order(seq: u64, n: u64) -> (u64, String) {
    (seq, format!("order {n}"))
}

fn next_life() -> Grant {
    Grant { incarnation: Incarnation(1), ..grant() }
}

/// A client with a call under way: its server has seen it.
async fn under_way(
    script: &mut Script,
    disk: &Disk,
) -> (Client, Peer, JoinHandle<Result<u64, Error>>) {
    let client = client(script, disk).await;
    let calling = call(&client, 1);
    let mut peer = script.connection().await;
    peer.grant(&grant()).await;
    assert_eq!(peer.call().await.stamp.xid.seq, 1);
    (client, peer, calling)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_on_disk_before_it_is_sent_and_settled_there_before_it_is_acknowledged() {
    for sync in [LogSync::Inline, LogSync::Thread] {
        let (mut script, disk) = (Script::new(), Disk::default());
        let builder = builder().log_with(disk.log(), sync);
        let client = builder.connect_with(script.network.clone()).await.unwrap();
        assert!(client.recovered().next().await.is_none());
        let calling = call(&client, 1);
        let mut peer = script.connection().await;
        peer.grant(&grant()).await;
        let asked = peer.call().await;
        assert_eq!(disk.pending(), [order(1, 1)], "{sync:?}");
        assert_eq!(asked.stamp.semantics, Semantics::ExactlyOnce);
        peer.reply(asked.seq, &7u64, &standing(asked.stamp.xid)).await;
        assert_eq!(soon(calling).await.unwrap().unwrap(), 7);
        let (seq, ack) = peer.ack().await;
        assert_eq!((ack, disk.pending()), (1, vec![]), "{sync:?}");
        peer.confirm(seq, &grant(), 1, grant().lease).await;
        assert!(peer.is_quiet(Duration::from_secs(600)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_client_and_its_outcome_is_delivered_by_its_tag() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (client_before, peer, _calling) = under_way(&mut script, &disk).await;
    let second = call(&client_before, 2);
    let mut peer_before = peer;
    peer_before.call().await;
    let after_crash = disk.crash();
    drop(second);

    let client = client(&script, &after_crash).await;
    let mut peer = script.connection().await;
    // What is made meanwhile waits for the session to be resumed.
    let calling = call(&client, 3);
    peer.resume(&grant(), &next_life()).await;
    let mut told = Vec::new();
    let recovered = client.recovered();
    for _ in 0..3 {
        let asked = peer.call().await;
        assert_eq!(
            asked.stamp.incarnation,
            Incarnation(1),
            "whoever spoke for it before is shut out"
        );
        let seq = asked.stamp.xid.seq;
        peer.reply(asked.seq, &(seq * 10), &standing(asked.stamp.xid)).await;
        told.push(seq);
    }
    told.sort_unstable();
    assert_eq!(told, [1, 2, 3], "each under its own number, and no number twice");
    assert_eq!(soon(calling).await.unwrap().unwrap(), 30);
    let mut outcomes = Vec::new();
    let mut receipts = Vec::new();
    while let Some(call) = soon(recovered.next()).await {
        assert_eq!(call.method(), "Bank.Debit");
        let tag = String::from_utf8(call.tag().to_vec()).unwrap();
        let (outcome, receipt) = call.outcome::<u64>();
        outcomes.push((tag, outcome.unwrap()));
        receipts.push(receipt);
    }
    outcomes.sort();
    assert_eq!(outcomes, [("order 1".to_owned(), 10), ("order 2".to_owned(), 20)]);
    // Until somebody says that it is noted, the log keeps it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(after_crash.pending(), [order(1, 1), order(2, 2)]);
    receipts.into_iter().for_each(netrpc::Receipt::settle);
    let (_, ack) = peer.ack().await;
    assert_eq!((ack, after_crash.pending()), (3, vec![]));
    drop(client_before);
}

/// What was not on disk was not sent, so it does not matter.
#[tokio::test(start_paused = true)]
async fn what_a_crash_has_left_half_written_was_never_sent() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (client_before, mut peer, _calling) = under_way(&mut script, &disk).await;
    disk.0.lock().unwrap().is_full = true;
    let failing = call(&client_before, 2);
    let error = soon(failing).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Log { may_have_run: true, .. }), "{error:?}");
    let text = error.chain().to_string();
    assert!(
        text.starts_with("the client's log cannot be used: the client's log cannot be written"),
        "{text}"
    );
    // From now on none is written, and none is sent.
    for error in [
        soon(call(&client_before, 3)).await.unwrap().unwrap_err(),
        client_before.go::<_, u64>("Bank.Debit", &4).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Log { may_have_run: false, .. }), "{error:?}");
    }
    assert!(peer.is_quiet(Duration::from_secs(20)).await);
    // Calls of other kinds do without it.
    let once = client_before.with(CallOptions::new().semantics(Semantics::AtMostOnce));
    let _calling = call(&once, 5);
    peer.grant(&Grant { session: SessionId(9), ..grant() }).await;
    assert_eq!(peer.call().await.stamp.xid.session, SessionId(9), "in a session of their own");
    assert_eq!(disk.pending(), [order(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_session_that_has_ended_are_unknown_and_never_made_anew() {
    for code in [FaultCode::SessionExpired, FaultCode::WrongDomain] {
        let (mut script, disk) = (Script::new(), Disk::default());
        let (_client, _peer, _calling) = under_way(&mut script, &disk).await;
        let after_crash = disk.crash();
        let client = client(&script, &after_crash).await;
        let mut peer = script.connection().await;
        peer.resume_refused(&grant(), code).await;
        let other = Grant { session: SessionId(6), ..grant() };
        peer.grant(&other).await;
        let call_before = soon(client.recovered().next()).await.unwrap();
        assert_eq!(call_before.tag(), b"order 1");
        let (outcome, receipt) = call_before.outcome::<u64>();
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
        let calling = call(&client, 2);
        let asked = peer.call().await;
        assert_eq!((asked.stamp.xid.session, asked.stamp.xid.seq), (SessionId(6), 1));
        peer.reply(asked.seq, &2u64, &standing(asked.stamp.xid)).await;
        soon(calling).await.unwrap().unwrap();
        assert!(matches!(peer.heard().await, Heard::Ack(..)));
        // The next life learns the same, until it is settled: nobody knows that session any more.
        assert_eq!(after_crash.pending(), [order(1, 1)]);
        receipt.settle();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(after_crash.pending(), []);
    }
}

/// Two processes with copies of one log: the first is shut out.
#[tokio::test(start_paused = true)]
async fn whoever_was_shut_out_makes_no_call_any_more() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (client, mut peer, calling) = under_way(&mut script, &disk).await;
    drop(peer);
    peer = script.connection().await;
    let asked = peer.call().await;
    peer.fault(asked.seq, FaultCode::Fenced, "another has it", &standing(asked.stamp.xid)).await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "an attempt before may have run: {error:?}");
    for error in [
        soon(call(&client, 2)).await.unwrap().unwrap_err(),
        client.go::<_, u64>("Bank.Debit", &3).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Refused { refusal: Refusal::Fenced, .. }), "{error:?}");
        assert_eq!(error.to_string(), "another has it");
    }
    assert!(peer.is_quiet(Duration::from_secs(20)).await);
}

#[tokio::test(start_paused = true)]
async fn those_who_call_at_the_same_time_share_a_sync() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (client, mut peer, _calling) = under_way(&mut script, &disk).await;
    let before = disk.syncs();
    let _calling: Vec<_> = (2..8).map(|n| call(&client, n)).collect();
    for _ in 0..6 {
        peer.call().await;
    }
    assert_eq!(disk.pending().len(), 7);
    assert!(disk.syncs() - before <= 2, "{} for six calls", disk.syncs() - before);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_keeps_an_outcome_and_a_call_that_is_given_up_is_settled() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (client, mut peer, first) = under_way(&mut script, &disk).await;
    first.abort();
    let going = client.with(CallOptions::new().tag("order 2")).go::<_, u64>("Bank.Debit", &2);
    let mut asked = None;
    for _ in 0..2 {
        let frame = peer.next().await;
        match frame.kind {
            Kind::Request => asked = Some(Peer::asked(&frame)),
            kind => assert_eq!(kind, Kind::Cancel, "the first was given up"),
        }
    }
    let asked = asked.unwrap();
    assert_eq!((asked.stamp.ack, disk.pending()), (1, vec![order(2, 2)]));
    peer.reply(asked.seq, &2u64, &standing(asked.stamp.xid)).await;
    let (outcome, receipt) = soon(going.with_receipt()).await;
    assert_eq!(outcome.unwrap(), 2);
    assert!(peer.is_quiet(Duration::from_secs(20)).await);
    assert_eq!(disk.pending(), [order(2, 2)]);
    receipt.settle();
    let (_, ack) = peer.ack().await;
    assert_eq!((ack, disk.pending()), (2, vec![]));
    // One whose time is over is given up too.
    let hurried = client.with(CallOptions::new().timeout(Duration::from_secs(5)));
    let calling = call(&hurried, 3);
    peer.call().await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(disk.pending(), []);
}

/// What is under way when a client is closed is for the next.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_leaves_its_calls_in_the_log() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (client_before, mut peer, calling) = under_way(&mut script, &disk).await;
    // And one that has not even left.
    drop(client_before.go::<_, u64>("Bank.Debit", &9));
    soon(client_before.close()).await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: true, .. }), "{error:?}");
    while peer.frame().await.is_some() {}
    assert!(disk.pending().contains(&order(1, 1)), "{:?}", disk.pending());
    let client = client(&script, &disk).await;
    let mut peer = script.connection().await;
    peer.resume(&grant(), &next_life()).await;
    let asked = peer.call().await;
    assert_eq!(asked.stamp.xid.seq, 1);
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    let (outcome, receipt) = soon(client.recovered().next()).await.unwrap().outcome::<u64>();
    assert_eq!(outcome.unwrap(), 1);
    receipt.settle();
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

/// A file: it belongs to one client at a time.
#[tokio::test]
async fn a_log_that_cannot_be_used_is_an_error_of_dial() {
    let script = Script::new();
    let dial = |path: PathBuf| builder().log(path).connect_with(script.network.clone());
    let text = |dialled: Result<Client, Error>| {
        let error = dialled.unwrap_err();
        assert!(matches!(error, Error::Log { may_have_run: false, .. }), "{error:?}");
        error.chain().to_string()
    };
    let path = scratch("a.log");
    let _ = fs::remove_file(&path);
    let first = dial(path.clone()).await.unwrap();
    let locked = text(dial(path.clone()).await);
    assert!(locked.contains("another process has the log open"), "{locked}");
    soon(first.close()).await;
    let second = dial(path.clone()).await.unwrap();
    soon(second.close()).await;

    let (other, newer, damaged) = (scratch("other"), scratch("newer"), scratch("damaged"));
    fs::write(&other, "a shopping list").unwrap();
    fs::write(&newer, b"NRPLOG\0\x02").unwrap();
    for path in [&other, &newer] {
        let told = text(dial(path.clone()).await);
        assert!(told.contains("is not a log of this version"), "{told}");
    }
    assert_eq!(fs::read(&other).unwrap(), b"a shopping list", "nothing in it was changed");
    let told = text(dial(scratch("no/such/folder/a.log")).await);
    assert!(told.contains("cannot be opened"), "{told}");

    // Bits of something that was safe.
    let (mut script, disk) = (Script::new(), Disk::default());
    let (_client, _peer, _calling) = under_way(&mut script, &disk).await;
    let mut bytes = disk.0.lock().unwrap().synced.clone();
    // A later record says how much was safe.
    bytes.extend_from_slice(&later_record(&bytes));
    bytes[60] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let dial = |path: PathBuf| builder().log(path).connect_with(script.network.clone());
    let told = text(dial(damaged.clone()).await);
    assert!(told.contains("is damaged at byte"), "{told}");
    assert_eq!(fs::read(&damaged).unwrap(), bytes);
}

/// What the log writes next, behind these bytes.
fn later_record(bytes: &[u8]) -> Vec<u8> {
    let content = Content { written: bytes.to_vec(), synced: bytes.to_vec(), ..Content::default() };
    let disk = Disk(Arc::new(Mutex::new(content)));
    let mut log = disk.log();
    log.call(2, b"", "Bank.Debit", b"\x07");
    log.sync().unwrap();
    disk.0.lock().unwrap().synced[bytes.len()..].to_vec()
}

/// Over real files and threads: many calls, each on disk before it is sent.
#[tokio::test]
async fn a_file_keeps_what_is_sent() {
    let mut script = Script::new();
    let path = scratch("many.log");
    let _ = fs::remove_file(&path);
    let client = builder().log(&path).connect_with(script.network.clone()).await.unwrap();
    let calling: Vec<_> = (0..100).map(|n| call(&client, n)).collect();
    let mut peer = script.connection().await;
    peer.grant(&Grant { window: 200, ..grant() }).await;
    let mut seqs = Vec::new();
    for _ in 0..100 {
        let asked = peer.call().await;
        let copy = scratch("copy.log");
        if asked.stamp.xid.seq % 25 == 0 {
            fs::copy(&path, &copy).unwrap();
            let log = Log::open(&copy).unwrap();
            assert!(log.pending().any(|call| call.seq == asked.stamp.xid.seq));
        }
        seqs.push(asked);
    }
    for asked in seqs {
        peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    }
    for outcome in join_all(calling).await {
        assert_eq!(outcome.unwrap().unwrap(), 1);
    }
    soon(client.close()).await;
    assert_eq!(Log::open(&path).unwrap().pending().count(), 0);
}

/// Bits of the first bytes that a resumed session's server says: a loss, as on any later connection.
#[tokio::test(start_paused = true)]
async fn a_preface_that_was_damaged_on_the_way_is_no_end_of_what_is_recovered() {
    let (mut script, disk) = (Script::new(), Disk::default());
    let (_client, _peer, _calling) = under_way(&mut script, &disk).await;
    let client = client(&script, &disk.crash()).await;
    for flipped in [0, 4, 5] {
        script.damaged(flipped).await;
    }
    let mut peer = script.connection().await;
    peer.resume(&grant(), &next_life()).await;
    let asked = peer.call().await;
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    let (outcome, receipt) = soon(client.recovered().next()).await.unwrap().outcome::<u64>();
    assert_eq!(outcome.unwrap(), 1);
    receipt.settle();
}
