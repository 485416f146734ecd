//! What it costs that a call does not run twice: calls a second and their latencies, by what the server
//! remembers them in, beside how fast the same disk syncs.
//!
//! ```sh
//! cargo bench --bench ledger --features durable          # about two minutes
//! NETRPC_LEDGER_DIR=/srv cargo bench --bench ledger --features durable   # on another disk
//! ```
//!
//! Client and server are one process with one connection over loopback, and as many callers as the first
//! column says, each of which waits for its answer before it calls again. In each row the kinds take turns, so
//! that what else the machine does meets all of them. `fsync` is a write of 4 KiB and an `fdatasync` of it, one
//! after the other, in the same folder and the same turns: a durable call waits for two of them, a
//! transactional one for one, and callers share them.

use std::{
    env,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use netrpc::{CallOptions, Client, Context, Fault, Ledger, Reconnect, Semantics, Server, service};
use tokio::{net::TcpListener, runtime::Runtime};

/// How long each kind is measured at a time, and how often in a row.
const TURN: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 4;

struct Counter;

#[service]
impl Counter {
    fn add(&self, (a, b): (u64, u64), sum: &mut u64) {
        *sum = a + b;
    }

    /// Adds to what is in the store.
    #[method(exactly_once)]
    fn deposit(
        &self,
        cx: &Context,
        (account, amount): (u64, u64),
        sum: &mut u64,
    ) -> Result<(), Fault> {
        let mut txn = cx.txn()?;
        let found = txn.get("accounts", account.to_le_bytes())?;
        *sum =
            found.map_or(0, |it| u64::from_le_bytes(it.try_into().expect("eight bytes"))) + amount;
        txn.put("accounts", account.to_le_bytes(), sum.to_le_bytes());
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Maybe,
    Volatile,
    Durable,
    Transactional,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Maybe, Kind::Volatile, Kind::Durable, Kind::Transactional];

    fn name(self) -> &'static str {
        match self {
            Kind::Maybe => "maybe",
            Kind::Volatile => "volatile",
            Kind::Durable => "durable",
            Kind::Transactional => "transactional",
        }
    }

    async fn client(self, dir: &Path) -> Client {
        let builder = Server::builder();
        let server = match self {
            Kind::Maybe => builder,
            Kind::Volatile => builder.ledger(Ledger::volatile()),
            Kind::Durable | Kind::Transactional => {
                builder.ledger(Ledger::open(dir.join(self.name())).expect("a ledger"))
            }
        };
        let server = server.build();
        server.register(Counter).expect("a name of its own");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        tokio::spawn(server.serve(listener));
        let semantics = match self {
            Kind::Maybe => Semantics::Maybe,
            Kind::Volatile | Kind::Durable => Semantics::AtMostOnce,
            Kind::Transactional => Semantics::ExactlyOnce,
        };
        let options = CallOptions::new().semantics(semantics);
        let builder = Client::builder().reconnect(Reconnect::new()).options(options);
        builder.dial(addr).await.expect("it listens")
    }

    fn method(self) -> &'static str {
        match self {
            Kind::Transactional => "Counter.Deposit",
            Kind::Maybe | Kind::Volatile | Kind::Durable => "Counter.Add",
        }
    }
}

/// The times that calls have taken.
async fn measure(client: &Client, method: &'static str, callers: u64) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let (client, over) = (client.clone(), over.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let _: u64 = client.call(method, &(caller, 1u64)).await.expect("an answer");
                    times.push(begun.elapsed());
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(TURN).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.expect("no panic"));
    }
    all
}

/// The times that syncs of the same disk take.
fn syncs(path: &Path) -> Vec<Duration> {
    let mut file = File::create(path).expect("a file");
    file.write_all(&[0; 1 << 20]).and_then(|()| file.sync_all()).expect("room");
    let (begun, mut times) = (Instant::now(), Vec::new());
    for at in 0.. {
        if begun.elapsed() > TURN {
            break;
        }
        let write = Instant::now();
        file.seek(SeekFrom::Start(at % 256 * 4096)).expect("within the file");
        file.write_all(&[at as u8; 4096]).and_then(|()| file.sync_data()).expect("a disk");
        times.push(write.elapsed());
    }
    times
}

fn print(callers: &str, name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    let rate = times.len() as f64 / (TURN.as_secs_f64() * ROUNDS as f64);
    println!("{callers:>7} {name:<14} {rate:>10.0}/s {:>10.0} µs {:>10.0} µs", at(0.5), at(0.99));
}

fn folder() -> PathBuf {
    let dir = env::var_os("NETRPC_LEDGER_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    dir.join(format!("ledger-bench-{}", std::process::id()))
}

fn main() {
    let dir = folder();
    fs::create_dir_all(&dir).expect("a folder");
    println!("in {}", dir.display());
    println!("callers                       rate          p50           p99");
    Runtime::new().expect("a runtime").block_on(async {
        let mut clients = Vec::new();
        for kind in Kind::ALL {
            clients.push((kind, kind.client(&dir).await));
        }
        for callers in [1, 16, 64, 256] {
            let mut times = vec![Vec::new(); clients.len()];
            let mut synced = Vec::new();
            for _ in 0..ROUNDS {
                synced.extend(syncs(&dir.join("raw")));
                for ((kind, client), times) in clients.iter().zip(&mut times) {
                    times.extend(measure(client, kind.method(), callers).await);
                }
            }
            for ((kind, _), times) in clients.iter().zip(&mut times) {
                print(&callers.to_string(), kind.name(), times);
            }
            print("", "fsync", &mut synced);
        }
    });
    let _ = fs::remove_dir_all(dir);
}
