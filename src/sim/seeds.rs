//! One test with many seeds.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// The variable that names the one seed to run.
const SEED: &str = "NETRPC_SIM_SEED";

/// Runs a test with each of these seeds, or, if the environment variable `NETRPC_SIM_SEED` is a number, with that
/// one alone.
///
/// # Panics
/// As the test does, after saying with which command that seed is run again.
///
/// ```
/// netrpc::sim::for_seeds(0..20, |seed| {
///     let mut sim = netrpc::sim::Simulation::new(seed);
///     // …
///     sim.run("client", |_| async { Ok(()) }).unwrap();
/// });
/// ```
pub fn for_seeds(seeds: Range<u64>, mut test: impl FnMut(u64)) {
    let only = std::env::var(SEED).ok().map(|text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{SEED} is to be a number, not {text:?}"))
    });
    let seeds = only.map_or(seeds, |seed: u64| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            // The harness names a test's thread after it.
            let thread = std::thread::current();
            let name = thread.name().filter(|name| *name != "main").unwrap_or_default();
            eprintln!("seed {seed} failed. Once more: {SEED}={seed} cargo test {name}");
            resume_unwind(panic);
        }
    }
}
