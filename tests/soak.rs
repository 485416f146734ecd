//! Mixed load for a while: all protocols, all kinds of handlers, cancels, deadlines, connections that come
//! and go, and some that make no sense. Memory and open files stay flat on both sides.
//!
//! ```sh
//! NETRPC_SOAK_SECONDS=1800 cargo test --test soak -- --nocapture
//! ```
#![cfg(all(target_os = "linux", feature = "macros", feature = "blocking", feature = "go"))]

mod common;
mod process;

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    panic,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use common::{Random, soon};
use futures_util::future::join_all;
use netrpc::{CallOptions, Client, Error, Fault, Server, Wire, blocking, service};
use parking_lot::Mutex;
use process::{Bytes, Footprint, Process};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
    time::sleep,
};

/// The test that is the server when this program starts itself again.
const ROLE: &str = "the_soaked";

/// How long, unless said otherwise.
const SECONDS: u64 = 6;

/// How often both processes are looked at.
const LOOKS: u32 = 60;

/// What may have been gained at the end, by the slope of a line through all looks after the first third.
const MAY_GROW: Bytes = Bytes(8 << 20);
const MAY_OPEN: f64 = 12.0;

type Words = (u64, Vec<u8>);

struct Mixed;

#[service]
impl Mixed {
    fn quick(&self, words: Words, reply: &mut Words) {
        *reply = mirrored(words);
    }

    async fn later(&self, words: Words, reply: &mut Words) {
        sleep(Duration::from_micros(words.0 % 3000)).await;
        *reply = mirrored(words);
    }

    #[method(blocking)]
    fn slow(&self, words: Words, reply: &mut Words) {
        thread::sleep(Duration::from_micros(words.0 % 2000));
        *reply = mirrored(words);
    }

    /// Nobody knew that it would block.
    fn sometimes(&self, words: Words, reply: &mut Words) {
        if words.0.is_multiple_of(50) {
            thread::sleep(Duration::from_millis(2));
        }
        *reply = mirrored(words);
    }

    fn fails(&self, words: Words) -> Result<Words, Fault> {
        Err(Fault::new(format!("no {}", words.0)))
    }

    fn panics(&self, words: Words, _reply: &mut Words) {
        panic!("panic {}", words.0);
    }

    /// Much longer than anybody waits.
    async fn never(&self, words: Words, reply: &mut Words) {
        sleep(Duration::from_secs(20)).await;
        *reply = words;
    }
}

fn mirrored((id, mut load): Words) -> Words {
    load.reverse();
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15), load)
}

#[test]
#[ignore = "a server that the other test starts"]
fn the_soaked() {
    if !process::plays(ROLE) {
        return;
    }
    panic::set_hook(Box::new(|_| {})); // it is full of them
    Runtime::new().expect("a runtime").block_on(async {
        let server = Server::new();
        server.register(Mixed).expect("a name of its own");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let addr = listener.local_addr().expect("it is bound");
        tokio::spawn(server.serve(listener));
        process::play("ours", addr).await;
    });
}

/// How often what came of a call.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn count(&self, what: &'static str) {
        *self.0.lock().entry(what).or_default() += 1;
    }

    fn outcome(&self, method: &str, said: Words, outcome: Result<Words, Error>) {
        let id = said.0;
        self.count(match outcome {
            Ok(reply) => {
                assert_eq!(reply, mirrored(said), "a wrong reply");
                "answered"
            }
            Err(Error::Method(fault)) if method == "Mixed.Fails" => {
                assert_eq!(fault.message(), format!("no {id}"));
                "failed"
            }
            Err(Error::Panicked(text)) if method == "Mixed.Panics" => {
                assert_eq!(text, format!("panic {id}"));
                "panicked"
            }
            // Go's protocols have no word for it.
            Err(Error::Method(fault)) if method == "Mixed.Panics" => {
                assert!(fault.message().ends_with(&format!("panic {id}")), "{fault}");
                "panicked"
            }
            Err(Error::Deadline { .. }) => "too late",
            Err(Error::Shutdown { .. }) => "closed by us",
            Err(error) => panic!("a call of {method} ends with {error:?}"),
        });
    }
}

#[derive(Clone, Copy, Debug)]
enum Lane {
    Wire(Wire),
    Http,
    Blocking,
    Nonsense,
}

const LANES: [Lane; 8] = [
    Lane::Wire(Wire::Native),
    Lane::Wire(Wire::Native),
    Lane::Wire(Wire::Gob),
    Lane::Wire(Wire::JsonRpc),
    Lane::Wire(Wire::MsgpackRpc),
    Lane::Http,
    Lane::Blocking,
    Lane::Nonsense,
];

fn method(random: &mut Random) -> &'static str {
    const METHODS: [&str; 10] = [
        "Mixed.Quick",
        "Mixed.Quick",
        "Mixed.Quick",
        "Mixed.Later",
        "Mixed.Later",
        "Mixed.Slow",
        "Mixed.Sometimes",
        "Mixed.Fails",
        "Mixed.Panics",
        "Mixed.Quick",
    ];
    METHODS[random.below(METHODS.len())]
}

fn words(random: &mut Random) -> Words {
    let size = [0, 20, 500, 5000, 100_000][random.below(5).min(random.below(5))];
    (random.next() >> 16, random.bytes(size))
}

/// Connections one after the other, with calls on each.
async fn lane(
    addr: SocketAddr,
    lane: Lane,
    mut random: Random,
    tally: Arc<Tally>,
    over: watch::Receiver<bool>,
) {
    // A call that is given up ends where it can be told; from a Go program it cannot.
    let long = match lane {
        Lane::Wire(Wire::Native) => "Mixed.Never",
        _ => "Mixed.Later",
    };
    while !*over.borrow() {
        let client = match lane {
            Lane::Wire(wire) => Client::builder().wire(wire).dial(addr).await,
            Lane::Http => Client::dial_http(addr).await,
            Lane::Nonsense => {
                let mut stream = TcpStream::connect(addr).await.expect("it listens");
                let size = random.below(2000);
                let _ = stream.write_all(&random.bytes(size)).await;
                tally.count("nonsense");
                sleep(Duration::from_millis(random.below(40) as u64)).await;
                continue;
            }
            Lane::Blocking => unreachable!("it has a thread of its own"),
        };
        let client = client.expect("it listens");
        tally.count("connections");
        for _ in 0..random.below(30) {
            burst(&client, long, &mut random, &tally).await;
            sleep(Duration::from_millis(random.below(30) as u64)).await;
            if *over.borrow() {
                break;
            }
        }
        part(client, long, &mut random, &tally).await;
    }
}

/// Some calls at a time.
async fn burst(client: &Client, long: &str, random: &mut Random, tally: &Tally) {
    let hurried = client.with(CallOptions::new().timeout(Duration::from_millis(1)));
    let mut calls = Vec::new();
    for _ in 0..1 + random.below(12) {
        let (method, said) = (method(random), words(random));
        match random.below(12) {
            // Dropped at once, or after a while: cancelled.
            0 => drop(client.go::<_, Words>(method, &said)),
            1 => {
                let call = client.go::<_, Words>(long, &said);
                sleep(Duration::from_micros(random.below(2000) as u64)).await;
                drop(call);
                tally.count("cancelled");
            }
            2 => client.go::<_, Words>(method, &said).detach(),
            3 => {
                let call = hurried.go::<_, Words>(method, &said);
                calls.push((method, said, call));
            }
            _ => {
                let call = client.go::<_, Words>(method, &said);
                calls.push((method, said, call));
            }
        }
    }
    let waiting = calls.into_iter().map(async |(method, said, call)| {
        tally.outcome(method, said, soon(call).await);
    });
    join_all(waiting).await;
}

/// Ends a connection in one of the ways there are.
async fn part(client: Client, long: &str, random: &mut Random, tally: &Tally) {
    let said = words(random);
    match random.below(4) {
        0 => client.close().await,
        1 => {
            let call = client.go::<_, Words>(long, &said);
            client.close().await;
            tally.outcome(long, said, soon(call).await);
        }
        2 => {
            // The client goes before the call does.
            let call = client.go::<_, Words>("Mixed.Later", &said);
            drop(client);
            tally.outcome("Mixed.Later", said, soon(call).await);
        }
        _ => drop(client),
    }
}

/// The same from a thread without a runtime.
fn blocking_lane(
    addr: SocketAddr,
    mut random: Random,
    tally: &Tally,
    over: &watch::Receiver<bool>,
) {
    while !*over.borrow() {
        let client = blocking::Client::dial(addr).expect("it listens");
        tally.count("connections");
        for _ in 0..random.below(100) {
            let (method, said) = (method(&mut random), words(&mut random));
            let outcome = client.call(method, &said);
            tally.outcome(method, said, outcome);
            thread::sleep(Duration::from_millis(random.below(8) as u64));
            if *over.borrow() {
                break;
            }
        }
    }
}

/// What was seen of a process, and when.
type Looks = Vec<(f64, Footprint)>;

/// By how much something has grown over all looks, if a line is drawn through them.
fn growth(looks: &Looks, what: impl Fn(&Footprint) -> f64) -> f64 {
    let n = looks.len() as f64;
    let mean = |of: &dyn Fn(&(f64, Footprint)) -> f64| looks.iter().map(of).sum::<f64>() / n;
    let (t, y) = (mean(&|look| look.0), mean(&|look| what(&look.1)));
    let covariance: f64 = looks.iter().map(|look| (look.0 - t) * (what(&look.1) - y)).sum();
    let variance: f64 = looks.iter().map(|look| (look.0 - t).powi(2)).sum();
    let span = looks.last().expect("looks").0 - looks[0].0;
    covariance / variance * span
}

/// Whether all is flat.
///
/// # Errors
/// What is not.
fn check(looks: &Looks) -> Result<String, String> {
    // What is needed for the first time is not growth.
    let looks = looks[looks.len() / 3..].to_vec();
    let memory = growth(&looks, |look| look.resident as f64);
    let files = growth(&looks, |look| look.files as f64);
    let (first, last) = (looks[0].1, looks[looks.len() - 1].1);
    let found = format!(
        "{} then {} resident ({:+.0} KiB by the slope), {} then {} files ({files:+.1}), {} threads",
        Bytes(first.resident),
        Bytes(last.resident),
        memory / 1024.0,
        first.files,
        last.files,
        last.threads,
    );
    if memory < MAY_GROW.0 as f64 && files < MAY_OPEN { Ok(found) } else { Err(found) }
}

#[test]
fn memory_and_files_stay_flat_under_mixed_load() {
    let seconds =
        env::var("NETRPC_SOAK_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number"));
    process::raise_open_files();
    Runtime::new().expect("a runtime").block_on(soak(Duration::from_secs(seconds)));
}

/// What becomes of calls; each has to occur.
const KINDS: [&str; 7] =
    ["answered", "failed", "panicked", "too late", "closed by us", "cancelled", "nonsense"];

async fn soak(duration: Duration) {
    let server = Process::again(ROLE, &[]).await;
    let addr = server.addr();
    let before = server.footprint().expect("it lives");
    let tally = Arc::<Tally>::default();
    let (end, over) = watch::channel(false);
    let mut lanes = Vec::new();
    for (seed, kind) in (1..).zip(LANES) {
        let (random, tally, over) = (Random::new(seed), tally.clone(), over.clone());
        if let Lane::Blocking = kind {
            let (done, ended) = tokio::sync::oneshot::channel();
            thread::spawn(move || {
                blocking_lane(addr, random, &tally, &over);
                done.send(())
            });
            lanes.push(tokio::spawn(async { ended.await.expect("no panic") }));
        } else {
            lanes.push(tokio::spawn(lane(addr, kind, random, tally, over)));
        }
    }
    let begun = Instant::now();
    let (mut theirs, mut ours) = (Looks::new(), Looks::new());
    for look in 1..=LOOKS {
        sleep((duration * look / LOOKS).saturating_sub(begun.elapsed())).await;
        let at = begun.elapsed().as_secs_f64();
        theirs.push((at, server.footprint().expect("it lives")));
        ours.push((at, Footprint::of_self()));
        if let Some(lane) = lanes.iter().position(|lane| lane.is_finished()) {
            lanes.remove(lane).await.expect("a lane");
        }
    }
    // On a machine that is busy with other things some kinds of calls come late.
    let late = Instant::now();
    while KINDS.iter().any(|what| !tally.0.lock().contains_key(what))
        && late.elapsed() < Duration::from_secs(30)
    {
        sleep(Duration::from_millis(20)).await;
    }
    end.send(true).expect("the lanes listen");
    for lane in lanes {
        soon(lane).await.expect("nothing went wrong");
    }
    // Those who were cancelled or detached are gone before long, and their connections with them.
    let closing = Instant::now();
    while server.footprint().expect("it lives").files > before.files {
        assert!(closing.elapsed() < Duration::from_secs(30), "connections are left");
        sleep(Duration::from_millis(20)).await;
    }
    println!("{duration:?}: {:?}", tally.0.lock());
    for (whose, looks) in [("the server", theirs), ("the clients", ours)] {
        match check(&looks) {
            Ok(flat) => println!("{whose}: {flat}"),
            Err(grows) => panic!("{whose} grows: {grows}: {looks:?}"),
        }
    }
    let counts = tally.0.lock();
    for what in KINDS {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "nothing was {what}: {counts:?}");
    }
}

/// A slope is seen.
#[test]
fn what_grows_is_noticed() {
    let look = |n: u64| Footprint { resident: n << 20, peak: 0, threads: 1, files: n };
    let looks: Looks = (0..60).map(|n| (n as f64, look(n))).collect();
    assert!((growth(&looks, |look| look.files as f64) - 59.0).abs() < 0.1);
    let grows = check(&looks).expect_err("it grows");
    assert!(grows.contains("(+39936 KiB by the slope)"), "{grows}");
    let flat: Looks = (0..60).map(|n| (n as f64, look(20 + n % 2))).collect();
    assert!(check(&flat).is_ok());
}
