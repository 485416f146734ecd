//! A server that is killed under load, again and again: every call ends with one outcome, and an error
//! that says the method has not run is right.
//!
//! ```sh
//! NETRPC_KILLS=50 cargo test --test killed -- --nocapture
//! ```
//!
//! A handler notes its call in a file before anything else. What a process has written stays written when
//! it is killed, so the file knows what ran, whatever the callers were told.
#![cfg(all(target_os = "linux", feature = "macros", feature = "blocking", feature = "go"))]

mod common;
mod process;

mod killed {
    #[cfg(feature = "durable")]
    mod once;
    mod returning;
}

use std::{
    collections::{BTreeMap, HashMap},
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use common::soon;
use futures_util::future::join_all;
use netrpc::{CallOptions, Client, Disconnected, Error, Server, Wire, blocking, service};
use process::Process;
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, time::sleep};

/// The test that is the server when this program starts itself again.
const ROLE: &str = "the_mortal";

/// Where the server notes what runs.
const NOTES: &str = "NETRPC_NOTES";

/// Where the server listens.
const AT: &str = "NETRPC_AT";

/// A free port of an address that nobody else uses: it stays free while the server is dead, and no client
/// that connects to it meanwhile is given it as its own.
const ALONE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0));

/// How often it is killed, unless said otherwise.
const KILLS: u64 = 5;

/// Calls that one client starts at a time.
const BATCH: u64 = 60;

struct Work {
    notes: File,
}

impl Work {
    /// Before anything else: this call runs. One write that appends is one note, whoever else writes.
    fn note(&self, id: u64) {
        let note = id.to_le_bytes();
        (&self.notes).write_all(&note).expect("there is room for notes");
    }
}

#[service]
impl Work {
    fn quick(&self, (id, _load): (u64, Vec<u8>), reply: &mut u64) {
        self.note(id);
        *reply = answer(id);
    }

    async fn later(&self, (id, _load): (u64, Vec<u8>), reply: &mut u64) {
        self.note(id);
        sleep(Duration::from_micros(id % 3000)).await;
        *reply = answer(id);
    }

    #[method(blocking)]
    fn slow(&self, (id, _load): (u64, Vec<u8>), reply: &mut u64) {
        self.note(id);
        thread::sleep(Duration::from_micros(id % 3000));
        *reply = answer(id);
    }
}

/// What the reply to a call is.
fn answer(id: u64) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}

#[test]
#[ignore = "a server that the other test starts"]
fn the_mortal() {
    if !process::plays(ROLE) {
        return;
    }
    Runtime::new().expect("a runtime").block_on(async {
        let path = env::var_os(NOTES).expect("a file for notes");
        let notes = OpenOptions::new().append(true).create(true).open(path).expect("a file");
        let server = Server::new();
        server.register(Work { notes }).expect("a name of its own");
        let at = env::var(AT).expect("an address");
        let listener = TcpListener::bind(at).await.expect("a port on loopback");
        let addr = listener.local_addr().expect("it is bound");
        tokio::spawn(server.serve(listener));
        process::play("ours", addr).await;
    });
}

/// How calls have ended, by what their callers were told.
#[derive(Debug, Default)]
struct Ended {
    /// The outcome of each call: how it is called, and whether it may have run.
    calls: HashMap<u64, (String, bool)>,
    started: u64,
}

impl Ended {
    fn note(&mut self, id: u64, outcome: Result<u64, Error>) {
        let told = match outcome {
            Ok(reply) => {
                assert_eq!(reply, answer(id), "the reply to another call");
                ("answered".to_owned(), true)
            }
            Err(error) => {
                let kind = match &error {
                    Error::Shutdown { cause, .. }
                        if matches!(**cause, Disconnected::Unreachable { .. }) =>
                    {
                        "unreachable"
                    }
                    Error::Shutdown { .. } => "lost",
                    Error::Deadline { .. } => "too late",
                    Error::QueueFull { .. } => "not queued",
                    other => panic!("a call ends with {other:?}"),
                };
                let may_have_run = error.may_have_run();
                let whether = if may_have_run { "may have run" } else { "has not run" };
                (format!("{kind}, {whether}"), may_have_run)
            }
        };
        assert!(self.calls.insert(id, told).is_none(), "call {id} has two outcomes");
    }

    fn merge(&mut self, other: Ended) {
        self.started += other.started;
        self.calls.extend(other.calls);
    }

    /// Compares what callers were told with what `ran`, and counts it.
    fn check(&self, ran: &HashMap<u64, u64>) -> BTreeMap<String, u64> {
        assert_eq!(self.calls.len() as u64, self.started, "each call has an outcome");
        let mut counts = BTreeMap::new();
        for (id, (told, may_have_run)) in &self.calls {
            let times = ran.get(id).copied().unwrap_or(0);
            assert!(times <= 1, "call {id} ran {times} times");
            assert!(*may_have_run || times == 0, "call {id} ran, and its caller was told: {told}");
            assert!(told != "answered" || times == 1, "call {id} was answered and never ran");
            let and = if times == 1 { "and ran" } else { "and did not" };
            *counts.entry(format!("{told}, {and}")).or_default() += 1;
        }
        counts
    }
}

fn method(id: u64) -> &'static str {
    ["Work.Quick", "Work.Later", "Work.Slow"][(id % 3) as usize]
}

fn load(id: u64) -> Vec<u8> {
    vec![7; if id.is_multiple_of(7) { 20_000 } else { (id % 500) as usize }]
}

/// Calls in batches until the server is dead.
async fn call(client: Client, first: u64) -> Ended {
    let mut ended = Ended::default();
    let hurried = client.with(CallOptions::new().timeout(Duration::from_millis(2)));
    for batch in 0.. {
        let ids = (0..BATCH).map(|n| first + batch * BATCH + n);
        let calls = ids.map(|id| {
            let client = if id.is_multiple_of(11) { &hurried } else { &client };
            (id, client.go::<_, u64>(method(id), &(id, load(id))))
        });
        let (ids, calls): (Vec<_>, Vec<_>) = calls.unzip();
        ended.started += BATCH;
        for (id, outcome) in ids.into_iter().zip(soon(join_all(calls)).await) {
            ended.note(id, outcome);
        }
        if client.is_closed() {
            break;
        }
    }
    // One that comes too late, whatever became of the others.
    let id = first + (1 << 31);
    ended.started += 1;
    ended.note(id, client.call(method(id), &(id, load(id))).await);
    ended
}

/// The same from a thread without a runtime, one call after the other.
fn call_blocking(addr: SocketAddr, first: u64) -> Ended {
    let mut ended = Ended::default();
    let Ok(client) = blocking::Client::dial(addr) else { return ended }; // it is dead already
    for id in first.. {
        ended.started += 1;
        let outcome = client.call(method(id), &(id, load(id)));
        let dead = matches!(outcome, Err(Error::Shutdown { .. }));
        ended.note(id, outcome);
        if dead {
            break;
        }
    }
    ended
}

/// What the server has noted.
fn notes(path: &Path) -> HashMap<u64, u64> {
    let bytes = fs::read(path).expect("the server has made it");
    let mut ran = HashMap::new();
    let (notes, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "a note is whole");
    for note in notes {
        *ran.entry(u64::from_le_bytes(*note)).or_default() += 1;
    }
    ran
}

/// Has a server of its own killed under load, and checks what its callers were told.
async fn kill(round: u64, path: &Path) -> BTreeMap<String, u64> {
    let notes_in = path.to_str().expect("a path in UTF-8");
    let settings = [(NOTES, notes_in), (AT, "127.0.0.1:0")];
    let mut server = Process::again(ROLE, &settings).await;
    let addr = server.addr();
    let mut callers = Vec::new();
    for (n, wire) in (1..).zip([Wire::Native, Wire::Native, Wire::Gob, Wire::MsgpackRpc]) {
        let client = Client::builder().wire(wire).dial(addr).await.expect("it listens");
        callers.push(tokio::spawn(call(client, n << 32)));
    }
    let (done, blocked) = oneshot::channel();
    thread::spawn(move || done.send(call_blocking(addr, 99 << 32)));
    callers.push(tokio::spawn(async { blocked.await.expect("it ends without a panic") }));
    // At another moment each time: there are few calls at first, and many later.
    sleep(Duration::from_millis(10 + round * 37 % 150)).await;
    server.kill().await;
    let mut ended = Ended::default();
    for caller in callers {
        ended.merge(soon(caller).await.expect("every call has ended as it may"));
    }
    ended.check(&notes(path))
}

fn kills() -> u64 {
    env::var("NETRPC_KILLS").map_or(KILLS, |text| text.parse().expect("a number"))
}

fn print(title: &str, counts: &BTreeMap<String, u64>) {
    println!("{title}:");
    for (what, count) in counts {
        println!("{count:>8} {what}");
    }
}

#[test]
fn calls_of_a_server_that_is_killed_end_once_and_no_promise_is_broken() {
    let kills = kills();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    Runtime::new().expect("a runtime").block_on(async {
        for round in 0..kills {
            let path = scratch(&round.to_string());
            for (what, count) in kill(round, &path).await {
                *counts.entry(what).or_default() += count;
            }
            let _ = fs::remove_file(path);
        }
    });
    print(&format!("{kills} kills"), &counts);
    // It was killed under load.
    for what in
        ["answered, and ran", "lost, may have run, and ran", "lost, has not run, and did not"]
    {
        assert!(counts.contains_key(what), "no call was {what}: {counts:?}");
    }
}

fn scratch(name: &str) -> PathBuf {
    let name = format!("killed-{}-{name}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
