//! A bad network between client and server: bytes that come late, in bits, cut off, or wrong. No wrong
//! reply is ever delivered, and every call ends.
//!
//! Our own protocol has a checksum; those of Go's have none, and one of the tests here says what that
//! means. `NETRPC_PROXY_SEEDS=200 cargo test --test proxy -- --nocapture` has more networks than usual.
#![cfg(all(feature = "macros", feature = "go"))]

mod common;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use common::Random;
use futures_util::future::join_all;
use netrpc::{CallOptions, Client, Server, Wire, service};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, duplex, split},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Different runs of each kind of network, unless said otherwise.
const SEEDS: u64 = 16;

/// Calls of each run.
const CALLS: u64 = 30;

/// How long a call may take; time is paused, so nobody waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a request says, and what its reply must be.
type Words = (u64, Vec<u8>);

#[derive(Clone, Default)]
struct Mirror {
    ran: Arc<Mutex<HashSet<u64>>>,
}

#[service]
impl Mirror {
    fn now(&self, (id, load): Words, reply: &mut Words) {
        self.ran.lock().insert(id);
        *reply = mirrored((id, load));
    }

    async fn later(&self, words: Words, reply: &mut Words) {
        self.ran.lock().insert(words.0);
        sleep(Duration::from_millis(words.0 % 50)).await;
        *reply = mirrored(words);
    }
}

fn mirrored((id, mut load): Words) -> Words {
    load.reverse();
    load.iter_mut().for_each(|byte| *byte ^= id as u8);
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15), load)
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    /// Each piece comes so much later, at most.
    delay: Duration,
    /// Pieces have so many bytes at most; 0: as they come.
    pieces: usize,
    /// Every so manieth byte is wrong; 0: none.
    corrupt: u64,
    /// Everything ends behind so many bytes.
    cut: Option<u64>,
}

/// How much of it there was.
#[derive(Debug, Default)]
struct Happened {
    corrupted: AtomicU64,
    cut: AtomicU64,
    pieces: AtomicU64,
}

/// The first bytes of either direction, a preface, are spared: that a peer speaks something else is
/// another test.
const PREFACE: u64 = 8;

/// Carries one direction; an error when it is to be cut.
async fn carry<IO: AsyncRead + AsyncWrite>(
    mut from: ReadHalf<IO>,
    mut to: WriteHalf<IO>,
    trouble: Trouble,
    mut random: Random,
    happened: &Happened,
) -> Result<(), ()> {
    let mut offset = 0u64;
    let mut piece = vec![0; 16 * 1024];
    loop {
        let most = if trouble.pieces > 0 { 1 + random.below(trouble.pieces) } else { piece.len() };
        let n = from.read(&mut piece[..most]).await.unwrap_or(0);
        if n == 0 {
            let _ = to.shutdown().await;
            return Ok(());
        }
        let mut n = n;
        happened.pieces.fetch_add(1, Relaxed);
        for byte in &mut piece[..n] {
            offset += 1;
            if trouble.corrupt > 0 && offset > PREFACE && offset.is_multiple_of(trouble.corrupt) {
                *byte ^= 1 << random.below(8);
                happened.corrupted.fetch_add(1, Relaxed);
            }
        }
        let cut = trouble.cut.filter(|cut| offset >= *cut);
        if let Some(cut) = cut {
            n -= (offset - cut) as usize;
        }
        if !trouble.delay.is_zero() {
            sleep(trouble.delay.mul_f64(random.below(1000) as f64 / 1000.0)).await;
        }
        if to.write_all(&piece[..n]).await.is_err() || to.flush().await.is_err() {
            return Ok(());
        }
        if cut.is_some() {
            happened.cut.fetch_add(1, Relaxed);
            // What was said before arrives.
            sleep(Duration::from_millis(1)).await;
            return Err(());
        }
    }
}

/// A client whose bytes go through a bad network to `server`.
fn connect(
    server: &Server,
    wire: Wire,
    [there, back]: [Trouble; 2],
    seed: u64,
    happened: &Arc<Happened>,
) -> Client {
    let (ours, near) = duplex(64 * 1024);
    let (far, theirs) = duplex(64 * 1024);
    let (server, happened) = (server.clone(), happened.clone());
    tokio::spawn(async move { server.serve_conn(theirs).await });
    tokio::spawn(between(near, far, [there, back], seed, happened));
    Client::builder().wire(wire).connect(ours)
}

/// Carries both directions until both have ended, or one is cut.
async fn between<IO: AsyncRead + AsyncWrite>(
    near: IO,
    far: IO,
    [there, back]: [Trouble; 2],
    seed: u64,
    happened: Arc<Happened>,
) {
    let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
    let there = carry(near_read, far_write, there, Random::new(seed), &happened);
    let back = carry(far_read, near_write, back, Random::new(!seed), &happened);
    let _ = tokio::try_join!(there, back);
}

fn seeds() -> u64 {
    std::env::var("NETRPC_PROXY_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number"))
}

/// What the calls of a run came to.
#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    /// Errors, and those of them that say the method has not run.
    failed: u64,
    not_run: u64,
    /// Answered, with something else than the reply.
    wrong: u64,
    /// Errors that speak of a checksum.
    checksum: u64,
}

/// Runs with different seeds: `trouble` of each seed, there and back.
fn run(wire: Wire, trouble: impl Fn(u64) -> [Trouble; 2]) -> (Tally, Arc<Happened>) {
    let mut tally = Tally::default();
    let happened = Arc::<Happened>::default();
    for seed in 1..=seeds() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let before = (tally.failed, happened.corrupted.load(Relaxed), happened.cut.load(Relaxed));
        runtime.block_on(calls(wire, trouble(seed), seed, &happened, &mut tally));
        let failed = tally.failed > before.0;
        let harmed = happened.corrupted.load(Relaxed) > before.1;
        if wire == Wire::Native && harmed {
            assert!(failed, "seed {seed}: a byte was wrong, and nobody noticed");
        }
    }
    (tally, happened)
}

async fn calls(
    wire: Wire,
    trouble: [Trouble; 2],
    seed: u64,
    happened: &Arc<Happened>,
    tally: &mut Tally,
) {
    let mirror = Mirror::default();
    let server = Server::new();
    server.register(mirror.clone()).expect("a name of its own");
    let client = connect(&server, wire, trouble, seed, happened);
    call_all(client, &mirror, seed, tally).await;
}

/// Calls, and checks what becomes of it.
async fn call_all(client: Client, mirror: &Mirror, seed: u64, tally: &mut Tally) {
    let client = client.with(CallOptions::new().timeout(PATIENCE));
    let mut random = Random::new(seed);
    let mut words = Vec::new();
    let mut calls = Vec::new();
    for n in 0..CALLS {
        let id = seed << 32 | n;
        let size = [0, 10, 300, 5_000, 40_000][random.below(5)];
        let said = (id, random.bytes(size));
        let method = ["Mirror.Now", "Mirror.Later"][random.below(2)];
        calls.push(client.go::<_, Words>(method, &said));
        words.push(said);
        if random.below(4) == 0 {
            sleep(Duration::from_millis(3)).await;
        }
    }
    let ended = timeout(10 * PATIENCE, join_all(calls)).await;
    let ended = ended.unwrap_or_else(|_| panic!("seed {seed}: not every call ends"));
    for (said, outcome) in words.into_iter().zip(ended) {
        let id = said.0;
        match outcome {
            Ok(reply) if reply == mirrored(said) => tally.answered += 1,
            Ok(_) => tally.wrong += 1,
            Err(error) => {
                tally.failed += 1;
                tally.checksum += u64::from(error.chain().to_string().contains("checksum"));
                if !error.may_have_run() {
                    tally.not_run += 1;
                    let ran = mirror.ran.lock().contains(&id);
                    assert!(!ran, "seed {seed}: it ran, and the caller was told: {error}");
                }
            }
        }
    }
    client.close().await;
}

fn in_either(seed: u64, trouble: Trouble) -> [Trouble; 2] {
    let none = Trouble::default();
    [[trouble, none], [none, trouble], [trouble, trouble]][(seed % 3) as usize]
}

const WIRES: [Wire; 4] = [Wire::Native, Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc];

#[test]
fn bytes_that_come_late_and_in_bits_are_the_same_bytes() {
    for wire in WIRES {
        let (tally, happened) = run(wire, |seed| {
            // A timer's millisecond for each byte would be too long for anybody.
            let (delay, pieces) = match seed % 4 {
                0 => (0, 1 + seed as usize % 9),
                1 => (0, seed as usize * 37 % 2000 + 1),
                _ => (seed * 7 % 40, 2000),
            };
            let delay = Duration::from_millis(delay);
            in_either(seed, Trouble { delay, pieces, ..Trouble::default() })
        });
        assert_eq!(tally.answered, seeds() * CALLS, "{wire:?}: {tally:?}");
        assert!(happened.pieces.load(Relaxed) > seeds() * 1000, "{wire:?}: {happened:?}");
    }
}

#[test]
fn a_connection_cut_anywhere_ends_every_call_and_breaks_no_promise() {
    for wire in WIRES {
        let (tally, happened) = run(wire, |seed| {
            let cut = Some(seed * seed * 600 % 200_000);
            in_either(seed, Trouble { cut, ..Trouble::default() })
        });
        println!("{wire:?}: {tally:?}");
        assert_eq!(tally.wrong, 0, "{wire:?}: {tally:?}");
        assert!(happened.cut.load(Relaxed) > seeds() * 8 / 10, "{wire:?}: {happened:?}");
        assert!(tally.answered > seeds() && tally.failed > seeds(), "{wire:?}: {tally:?}");
        assert!(tally.not_run > 0, "{wire:?}: {tally:?}");
    }
}

/// `[frame.crc]`
#[test]
fn no_wrong_reply_is_delivered_whatever_bytes_are_wrong() {
    let (mut wrong_bytes, mut checksum, mut answered) = (0, 0, 0);
    for every in [1, 13, 211, 1009, 20_011, 100_003, 300_007] {
        let (tally, happened) = run(Wire::Native, |seed| {
            in_either(seed, Trouble { corrupt: every, ..Trouble::default() })
        });
        println!("every {every}: {tally:?} {happened:?}");
        assert_eq!(tally.wrong, 0, "every {every}: {tally:?}");
        assert!(tally.failed > 0 && happened.corrupted.load(Relaxed) > 0, "{happened:?}");
        wrong_bytes += happened.corrupted.load(Relaxed);
        checksum += tally.checksum;
        answered += tally.answered;
    }
    println!("{wrong_bytes} bytes were wrong; {checksum} calls were told of a checksum");
    assert!(checksum > 40 * seeds() && answered > 20 * seeds(), "{checksum} {answered}");
}

/// Go's protocols have no checksum. Every call ends there as well; but a byte that is wrong within a
/// reply is a byte of the reply. That the test above would notice is thereby shown.
#[test]
fn without_a_checksum_wrong_replies_are_delivered() {
    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let (tally, happened) =
            run(wire, |seed| in_either(seed, Trouble { corrupt: 20_011, ..Trouble::default() }));
        println!("{wire:?}: {tally:?} {happened:?}");
        assert!(happened.corrupted.load(Relaxed) > 0, "{happened:?}");
        assert!(tally.wrong > 0, "{wire:?}: {tally:?}");
    }
}

/// The same over sockets, on a runtime with several workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_between_sockets() {
    let mirror = Mirror::default();
    let server = Server::new();
    server.register(mirror.clone()).expect("a name of its own");
    let addr = common::listen(&server).await;
    let mut tally = Tally::default();
    let happened = Arc::<Happened>::default();
    for seed in 1..=24 {
        let trouble = Trouble {
            pieces: 5000,
            corrupt: if seed % 3 == 0 { 100_003 } else { 0 },
            cut: (seed % 3 == 1).then_some(seed * 5000),
            ..Trouble::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let far = TcpStream::connect(addr).await.expect("it listens");
        let near = TcpStream::connect(listener.local_addr().expect("it is bound"));
        let ((ours, _), near) = tokio::try_join!(listener.accept(), near).expect("on loopback");
        let trouble = in_either(seed / 3, trouble);
        tokio::spawn(between(near, far, trouble, seed, happened.clone()));
        call_all(Client::new(ours), &mirror, seed, &mut tally).await;
    }
    assert_eq!(tally.wrong, 0, "{tally:?}");
    assert!(tally.answered > 8 * CALLS && tally.failed > CALLS, "{tally:?}");
    let (cut, corrupted) = (happened.cut.load(Relaxed), happened.corrupted.load(Relaxed));
    assert!(cut > 4 && corrupted > 4, "{happened:?}");
}
