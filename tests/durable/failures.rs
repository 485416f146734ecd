//! Disks that fail, and files that are none.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use netrpc::{Ledger, OpenError, Server};
use netrpc_core::wire::FaultCode;
use netrpc_ledger::StorageBackend;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    bank::{Outside, exactly, ledger, store},
    common::{
        Raw, poll_once, soon,
        tracked::{Asking, peer},
    },
    disk::Disk,
};

/// A folder that goes when its test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netrpc-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A disk whose syncs wait, and which can be full.
#[derive(Debug, Clone, Default)]
struct Odd {
    disk: Disk,
    waits: Arc<AtomicBool>,
    /// Bytes that it has room for; 0 for any number.
    room: Arc<AtomicU64>,
}

impl StorageBackend for Odd {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        if room > 0 && len > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        while self.waits.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
}

#[tokio::test]
async fn nothing_is_said_before_it_is_on_the_disk() {
    let (outside, odd) = (Outside::default(), Odd::default());
    let server = outside.serve(Server::builder().ledger(ledger(store(odd.clone()))));
    let mut client = peer(&server).await;
    let grant = client.open().await;
    odd.waits.store(true, Ordering::SeqCst);
    client.send(&Asking::new(&grant, 1, "Bank.Count", &()).frame(1)).await;
    client.request(2, "Bank.Count", &crate::common::encoded(&())).await;
    assert_eq!(soon(client.reply::<usize>(2)).await, 1, "others do not wait for the disk");
    assert_eq!(outside.runs(), 1, "its start is not recorded yet");
    odd.waits.store(false, Ordering::SeqCst);
    assert_eq!(soon(client.answered(1)).await.reply::<usize>(), 2);

    odd.waits.store(true, Ordering::SeqCst);
    client.send(&exactly(&grant, 2, "Bank.Deposit", &("alice", 1)).frame(3)).await;
    while outside.runs() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(
        poll_once(Box::pin(client.answer())).await.is_pending(),
        "it has run, and is not answered"
    );
    odd.waits.store(false, Ordering::SeqCst);
    assert_eq!(soon(client.answered(3)).await.reply::<u64>(), 1);
}

/// A disk that fails ends the server: what had been answered is there when the next begins.
async fn a_failure(fail: impl FnOnce(&Odd)) {
    let (outside, odd) = (Outside::default(), Odd::default());
    let server = outside.serve(Server::builder().ledger(ledger(store(odd.clone()))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(server.serve(listener));
    let mut client = Raw::dial(addr).await;
    let mut idle = Raw::dial(addr).await;
    let grant = client.open().await;
    let first = Asking::new(&grant, 1, "Bank.Count", &());
    soon(client.ask(1, &first)).await;
    let mut other = peer(&server).await;

    fail(&odd);
    let large = Asking::new(&grant, 2, "Bank.Count", &());
    client.send(&large.frame(2)).await;
    assert!(soon(client.answer()).await.is_none(), "it is not answered");
    assert!(soon(idle.answer()).await.is_none(), "no connection is left");
    assert!(soon(other.answer()).await.is_none(), "whoever has made it");
    soon(serving).await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
    let (_ours, theirs) = tokio::io::duplex(1024);
    assert!(soon(server.serve_conn(theirs)).await.is_err(), "nor is anybody taken");
    assert!(server.ledger_failure().is_some());
    assert_eq!(server.connections(), 0);
    drop(server);

    let disk = odd.disk.crash(&mut crate::disk::Random::new(1));
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let again = soon(client.ask(1, &first)).await;
    assert_eq!((again.reply::<usize>(), again.standing.is_replayed), (1, true));
    // What was not answered has run, or will run now, or nobody can tell; and never twice.
    let second = soon(client.ask(2, &large)).await;
    match &second.outcome {
        Ok(_) => assert_eq!(second.reply::<usize>(), 2),
        Err((code, _)) => assert_eq!(*code, FaultCode::OutcomeUnknown),
    }
    assert!(outside.runs() <= 2);
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_server() {
    a_failure(|odd| odd.disk.fail_sync_after(0)).await;
}

#[tokio::test]
async fn a_sync_that_fails_when_the_call_has_run_ends_the_server() {
    a_failure(|odd| odd.disk.fail_sync_after(1)).await;
}

#[tokio::test]
async fn a_full_disk_ends_the_server_and_loses_nothing() {
    let (outside, odd) = (Outside::default(), Odd::default());
    let server = outside.serve(Server::builder().ledger(ledger(store(odd.clone()))));
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let deposit = exactly(&grant, 1, "Bank.Deposit", &("alice", 5));
    soon(client.ask(1, &deposit)).await;
    odd.room.store(odd.len().unwrap(), Ordering::SeqCst);
    let fill = |seq| exactly(&grant, seq, "Bank.Fill", &(1 << 20));
    let mut kept = 1;
    for seq in 2..50 {
        client.send(&fill(seq).frame(seq)).await;
        if soon(client.answer()).await.is_none() {
            break;
        }
        kept = seq;
    }
    assert!(kept < 49, "the disk was full");
    let failure = server.ledger_failure().expect("it has failed");
    let text = netrpc_core::error::chain(&failure).to_string();
    assert!(text.contains("no storage space"), "{text}");
    drop(server);

    let disk = odd.disk.crash(&mut crate::disk::Random::new(2));
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    for seq in 2..=kept {
        assert!(soon(client.ask(seq, &fill(seq))).await.standing.is_replayed);
    }
    let again = soon(client.ask(kept + 1, &fill(kept + 1))).await;
    assert!(again.outcome.is_ok() && !again.standing.is_replayed, "it had no effect, and has now");
    let sum = exactly(&grant, kept + 2, "Bank.Balance", "alice");
    assert_eq!(soon(client.ask(kept + 2, &sum)).await.reply::<u64>(), 5);
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_not_touched() {
    let folder = Folder::new("no-ledger");
    let text = folder.file("text");
    let words = b"these are not the bytes of a ledger".repeat(100);
    fs::write(&text, &words).unwrap();
    let refused = Ledger::open(&text).unwrap_err();
    assert!(matches!(refused, OpenError::NotALedger { .. }), "{refused:?}");
    assert!(refused.to_string().contains("text is not a ledger"), "{refused}");
    assert_eq!(fs::read(&text).unwrap(), words);

    let cut = folder.file("cut");
    drop(Ledger::open(&cut).unwrap());
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() / 3]).unwrap();
    let refused = Ledger::open(&cut).unwrap_err();
    assert!(refused.to_string().contains("cut"), "{refused}");
    fs::write(&cut, &whole).unwrap();
    drop(Ledger::open(&cut).unwrap());

    let missing = folder.file("no such folder/ledger");
    let refused = Ledger::open(&missing).unwrap_err();
    assert!(matches!(refused, OpenError::Failed { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_ledger_has_one_server_at_a_time_and_goes_on_with_the_next() {
    let folder = Folder::new("one-server");
    let path = folder.file("bank.ledger");
    let outside = Outside::default();
    let serve = |ledger| outside.serve(Server::builder().ledger(ledger));
    let server = serve(Ledger::open(&path).unwrap());
    let refused = Ledger::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let asking = exactly(&grant, 1, "Bank.Deposit", &("alice", 5));
    soon(client.ask(1, &asking)).await;
    drop((client, server));

    let server = serve(soon(reopen(&path)).await);
    let mut client = peer(&server).await;
    assert!(soon(client.ask(1, &asking)).await.standing.is_replayed);
    drop((client, server));

    // A backup that is restored is another ledger, with what handlers have written.
    drop(soon(reopen(&path)).await);
    let server = serve(Ledger::open_restored(&path).unwrap());
    let mut client = peer(&server).await;
    assert_eq!(soon(client.ask(1, &asking)).await.code(), FaultCode::WrongDomain);
    let grant = client.open().await;
    let sum = exactly(&grant, 1, "Bank.Balance", "alice");
    assert_eq!(soon(client.ask(2, &sum)).await.reply::<u64>(), 5);
}

/// Opens a ledger as soon as the server before has let go of it.
async fn reopen(path: &std::path::Path) -> Ledger {
    loop {
        match Ledger::open(path) {
            Ok(ledger) => return ledger,
            Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_calls_that_have_lost_their_connections() {
    let folder = Folder::new("shutdown");
    let path = folder.file("bank.ledger");
    let outside = Outside::default();
    let server = outside.serve(Server::builder().ledger(Ledger::open(&path).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (shut_down, signal) = tokio::sync::oneshot::channel::<()>();
    let serve = server.serve(listener).with_graceful_shutdown(async {
        let _ = signal.await;
    });
    let mut serving = tokio::spawn(serve.grace(Duration::from_secs(3600)));
    let mut client = Raw::dial(addr).await;
    let grant = client.open().await;
    let asking = Asking::new(&grant, 1, "Bank.CountLater", &());
    client.send(&asking.frame(1)).await;
    outside.has_begun().await;
    drop(client);
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    let mut other = peer(&server).await;
    shut_down.send(()).unwrap();
    // It is told to go, and what it asks for does not run.
    while soon(other.frame()).await.unwrap().kind != netrpc_core::wire::Kind::GoAway {}
    let refused = soon(other.ask(1, &Asking::new(&grant, 2, "Bank.Count", &()))).await;
    assert_eq!(refused.code(), FaultCode::ShuttingDown);
    assert!(!refused.standing.is_final);
    drop(other);
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(poll_once(&mut serving).await.is_pending(), "a call runs yet");
    outside.let_go();
    soon(serving).await.unwrap();
    drop(server);

    let server = outside.serve(Server::builder().ledger(soon(reopen(&path)).await));
    let mut client = peer(&server).await;
    let answered = soon(client.ask(1, &asking)).await;
    assert_eq!((answered.reply::<usize>(), answered.standing.is_replayed), (1, true));
    assert_eq!(outside.runs(), 1);
}
