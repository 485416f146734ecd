//! The fuzz targets' bodies on recorded streams and mutations of them: a bounded run on any toolchain.
//!
//! The same seed gives the same run. `NETRPC_FUZZ_SECONDS=60 cargo test --test fuzzing` runs each
//! target for so long, with a seed of its own that is printed.
#![cfg(feature = "go")]

#[path = "../fuzz/bodies.rs"]
#[allow(unreachable_pub)] // in the targets' crate it is not
mod bodies;
#[cfg(feature = "macros")]
#[path = "../fuzz/machines.rs"]
#[allow(unreachable_pub)]
mod machines;

use std::{
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use netrpc_core::{
    codec::{self, go},
    datagram,
    semantics::{Domain, Incarnation, Secret, SessionId},
    wire::{self, AckFrame, Preface, SessionFrame, SessionKey},
};

/// Runs of each target, unless a time is given.
const RUNS: u32 = 3000;

/// A small generator of numbers: xorshift64*, by Marsaglia and Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Streams to begin with: what Go's programs have said, and values of ours.
fn seeds() -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for file in std::fs::read_dir(dir).expect("the recordings") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            let text = std::fs::read_to_string(path).expect("text");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let bytes = lines.flat_map(str::split_whitespace);
            seeds.push(bytes.map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect());
        }
    }
    assert!(seeds.len() > 80, "{} recordings", seeds.len());
    let it = bodies::Everything::default();
    for encode in [codec::encode, go::json::encode, go::msgpack::encode] {
        let mut bytes = Vec::new();
        encode(&mut bytes, &it).expect("it has a form");
        seeds.push(bytes);
    }
    let mut native = Preface::OURS.to_bytes().to_vec();
    wire::write_ping(&mut native, 7);
    wire::write_fault(&mut native, 7, wire::FaultCode::Method, "no", b"\x01", 1 << 12);
    let (domain, session) = (Domain(1), SessionId(2));
    let key = SessionKey { domain, session, secret: Secret::new([3; 16]) };
    wire::write_session(&mut native, 8, &SessionFrame::Resume(key));
    let (incarnation, proof) = (Incarnation(0), 4);
    let ack = AckFrame::Acknowledge { domain, session, ack: 1, incarnation, proof };
    wire::write_ack(&mut native, 9, &ack);
    let mut datagram = datagram::Prelude::room();
    datagram.extend_from_slice(&native[Preface::OURS.to_bytes().len()..]);
    let prelude =
        datagram::Prelude { sort: datagram::Sort::Frames, number: 1, conversation: 2, pass: 3 };
    prelude.seal(&mut datagram);
    seeds.push(datagram);
    seeds.push(native);
    seeds
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    // For the targets whose first byte chooses a language.
    if random.below(2) == 0 {
        bytes.insert(0, random.below(3) as u8);
    }
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, [0x00, 0x7F, 0x80, 0xFF, 0xF8, 0xDF][random.below(6)]),
            4 if !bytes.is_empty() => {
                bytes.remove(at);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let (from, to) = (random.below(other.len()), random.below(other.len()));
                let piece = &other[from.min(to)..from.max(to)];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

/// How long each target is to run, if that is said, and with which seed.
fn plan() -> (Option<u64>, u64) {
    let seconds = std::env::var("NETRPC_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let seed = match seconds {
        Some(_) => RandomState::new().hash_one(0),
        None => 42,
    };
    (seconds, seed | 1)
}

/// Runs targets, each for its time.
fn run(targets: &[bodies::Target], say: impl Fn(&mut Random) -> Vec<u8>) {
    let (seconds, seed) = plan();
    for (name, target) in targets {
        let mut random = Random(seed);
        let begun = Instant::now();
        let mut runs = 0;
        while match seconds {
            Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
            None => runs < RUNS,
        } {
            let bytes = say(&mut random);
            let run = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(run.is_ok(), "{name}, seed {seed}: \"{}\"", bytes.escape_ascii());
            runs += 1;
        }
        println!("{name}: {runs} runs with seed {seed} in {:?}", begun.elapsed());
    }
}

#[cfg(feature = "macros")]
#[test]
fn machines_do_what_simple_models_of_them_do() {
    run(&machines::TARGETS, |random| {
        let length = random.below(400);
        (0..length).map(|_| (random.next() >> 32) as u8).collect()
    });
}

#[test]
fn nothing_that_arrives_makes_a_decoder_panic() {
    let seeds = seeds();
    for (_, target) in bodies::TARGETS {
        seeds.iter().for_each(|seed| target(seed));
    }
    run(&bodies::TARGETS, |random| mutate(random, &seeds));
}
