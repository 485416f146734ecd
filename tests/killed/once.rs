//! A server with a ledger in a file that is killed under load, again and again: no call runs twice, and none
//! that must not be lost is.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use netrpc::{
    CallOptions, Client, Context, Error, Fault, Ledger, OpenError, Reconnect, Semantics, Server,
    service,
};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};

use crate::{
    ALONE, AT, NOTES, answer,
    common::soon,
    kills, notes, print,
    process::{self, Process},
    scratch,
};

/// The test that is the server when this program starts itself again.
const ROLE: &str = "killed::once::the_mortal_bank";

/// Where the server keeps its ledger.
const LEDGER: &str = "NETRPC_LEDGER";

/// Calls that one client starts at a time.
const BATCH: u64 = 20;

struct Bank {
    notes: File,
}

#[service]
impl Bank {
    /// Has an effect that nothing takes back.
    #[method(at_most_once)]
    fn note(&self, id: u64, reply: &mut u64) {
        let note = id.to_le_bytes();
        (&self.notes).write_all(&note).expect("there is room for notes");
        *reply = answer(id);
    }

    /// Has one that is kept with its outcome.
    #[method(exactly_once)]
    async fn deposit(&self, cx: &Context, id: u64, reply: &mut u64) -> Result<(), Fault> {
        {
            let mut txn = cx.txn()?;
            let times = txn.get("deposits", id.to_be_bytes())?.map_or(0, |times| times[0]);
            txn.put("deposits", id.to_be_bytes(), [times + 1]);
        }
        // It can be killed here, too.
        tokio::task::yield_now().await;
        *reply = answer(id);
        Ok(())
    }

    /// All deposits, and how often each was made.
    #[method(exactly_once)]
    fn deposits(&self, cx: &Context, (): (), reply: &mut Vec<(u64, u8)>) -> Result<(), Fault> {
        let all = cx.txn()?.range("deposits", [0; 8], [0xFF; 9])?;
        let deposit = |(id, times): (Vec<u8>, Vec<u8>)| {
            (u64::from_be_bytes(id.try_into().expect("eight bytes")), times[0])
        };
        *reply = all.into_iter().map(deposit).collect();
        Ok(())
    }
}

#[test]
#[ignore = "a server that the other test starts"]
fn the_mortal_bank() {
    if !process::plays(ROLE) {
        return;
    }
    Runtime::new().expect("a runtime").block_on(async {
        let notes = env::var_os(NOTES).expect("a file for notes");
        let notes = OpenOptions::new().append(true).create(true).open(notes).expect("a file");
        let ledger = loop {
            match Ledger::open(env::var_os(LEDGER).expect("a file for the ledger")) {
                Ok(ledger) => break ledger,
                // The system lets go of it when the one before is wholly gone.
                Err(OpenError::Locked { .. }) => sleep(Duration::from_millis(1)).await,
                Err(other) => panic!("{other:?}"),
            }
        };
        let server = Server::builder().ledger(ledger).build();
        server.register(Bank { notes }).expect("a name of its own");
        let at = env::var(AT).expect("an address");
        let listener = TcpListener::bind(at).await.expect("a port on loopback");
        let addr = listener.local_addr().expect("it is bound");
        tokio::spawn(server.serve(listener));
        process::play("bank", addr).await;
    });
}

/// What calls have come to.
#[derive(Default)]
struct Told {
    answered: Vec<u64>,
    unknown: Vec<u64>,
    not_run: Vec<u64>,
}

/// Calls in batches, whatever becomes of the server, until the test is over.
async fn call(client: Client, method: &'static str, first: u64, over: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    for batch in 0.. {
        let ids: Vec<u64> = (0..BATCH).map(|n| first + batch * BATCH + n).collect();
        let calls = ids.iter().map(|id| client.call::<_, u64>(method, id));
        for (id, outcome) in ids.iter().zip(join_all(calls).await) {
            match outcome {
                Ok(reply) => {
                    assert_eq!(reply, answer(*id), "the reply to another call");
                    told.answered.push(*id);
                }
                Err(error) if !error.may_have_run() => told.not_run.push(*id),
                Err(Error::OutcomeUnknown { .. }) => told.unknown.push(*id),
                Err(other) => panic!("a call ends with {other:?}"),
            }
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    told
}

async fn start(notes: &Path, ledger: &Path, at: SocketAddr) -> Process {
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (notes, ledger, at) = (text(notes), text(ledger), at.to_string());
    Process::again(ROLE, &[(NOTES, &notes), (LEDGER, &ledger), (AT, &at)]).await
}

async fn kill(kills: u64, notes_at: &Path, ledger: &Path) -> BTreeMap<String, u64> {
    let mut server = start(notes_at, ledger, ALONE).await;
    let addr = server.addr();
    let over = Arc::new(AtomicBool::new(false));
    let again = Duration::from_millis(10);
    let reconnect = Reconnect::new().first_delay(again).max_delay(again);
    let builder = Client::builder().reconnect(reconnect);
    let client = |semantics| {
        let options = CallOptions::new().semantics(semantics).timeout(Duration::from_secs(60));
        let builder = builder.clone().options(options);
        async move { builder.dial(addr).await.expect("it listens") }
    };
    let (mut noting, mut depositing) = (Vec::new(), Vec::new());
    for n in 1..=2 {
        let calls = call(client(Semantics::AtMostOnce).await, "Bank.Note", n << 32, over.clone());
        noting.push(tokio::spawn(calls));
        let calls =
            call(client(Semantics::ExactlyOnce).await, "Bank.Deposit", n << 32, over.clone());
        depositing.push(tokio::spawn(calls));
    }
    for round in 0..kills {
        // At another moment each time, and down for another while.
        sleep(Duration::from_millis(30 + round * 37 % 150)).await;
        server.kill().await;
        sleep(Duration::from_millis(round * 23 % 60)).await;
        let before = fs::metadata(notes_at).expect("the server has made it").len();
        server = start(notes_at, ledger, addr).await;
        let they_are_back = async {
            while fs::metadata(notes_at).expect("it is still there").len() == before {
                sleep(Duration::from_millis(1)).await;
            }
        };
        soon(they_are_back).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut counts = BTreeMap::new();
    let mut count = |what: &str, ids: &[u64]| {
        *counts.entry(what.to_owned()).or_default() += ids.len() as u64;
    };
    let ran =
        |notes: &std::collections::HashMap<u64, u64>, id: &u64| notes.get(id).copied().unwrap_or(0);
    for told in join_all(noting).await {
        let Told { answered, unknown, not_run } = told.expect("every call has ended");
        let noted = notes(notes_at);
        assert!(answered.iter().all(|id| ran(&noted, id) == 1), "what was answered has run once");
        assert!(unknown.iter().all(|id| ran(&noted, id) <= 1), "a call has run twice");
        assert!(not_run.iter().all(|id| ran(&noted, id) == 0), "a promise was broken");
        count("at most once: answered", &answered);
        count("at most once: unknown", &unknown);
        count("at most once: not run", &not_run);
    }
    assert!(notes(notes_at).values().all(|times| *times == 1), "no call has run twice");
    let client = client(Semantics::ExactlyOnce).await;
    let deposits: Vec<(u64, u8)> = soon(client.call("Bank.Deposits", &())).await.unwrap();
    let made: BTreeMap<u64, u8> = deposits.into_iter().collect();
    let mut all = Vec::new();
    for told in join_all(depositing).await {
        let Told { answered, unknown, not_run } = told.expect("every call has ended");
        assert_eq!((unknown.len(), not_run.len()), (0, 0), "all come to their end");
        count("exactly once: answered", &answered);
        all.extend(answered);
    }
    assert_eq!(
        made.len(),
        all.len(),
        "no deposit is lost, and none was made that nobody asked for"
    );
    assert!(all.iter().all(|id| made.get(id) == Some(&1)), "each was made once");
    counts
}

#[test]
fn a_server_that_is_killed_runs_no_call_twice_and_loses_none_that_runs_exactly_once() {
    let kills = kills();
    let (notes, ledger) = (scratch("once"), scratch("ledger"));
    let runtime = Runtime::new().expect("a runtime");
    let counts = runtime.block_on(kill(kills, &notes, &ledger));
    let _ = (fs::remove_file(notes), fs::remove_file(ledger));
    print(&format!("{kills} kills of a server with a ledger"), &counts);
    assert!(counts["at most once: answered"] > 0 && counts["exactly once: answered"] > 0);
    // It was killed while calls ran: of some, nobody can tell.
    assert!(counts["at most once: unknown"] > 0, "{counts:?}");
}
