//! What is promised of each semantics, against everything that can go wrong, in thousands of runs.

mod record;
mod scenario;
mod watched;

use netrpc::sim::for_seeds;

use record::Happened;
use scenario::{Mode, Outcome, Without, run};

/// Runs of each kind; `NETRPC_SIM_RUNS` sets another number.
const RUNS: u64 = 500;

/// Runs that it may take until a promise breaks that nothing protects.
const TRIES: u64 = 500;

fn number_of_runs() -> u64 {
    std::env::var("NETRPC_SIM_RUNS").map_or(RUNS, |text| text.parse().expect("a number"))
}

/// Runs of a mode; in all of them together everything must have gone wrong that can.
fn runs(mode: Mode) -> Outcome {
    let runs = number_of_runs();
    let mut all = Outcome::default();
    for_seeds(0..runs, |seed| all += run(seed, mode, Without::Nothing).unwrap());
    println!("{mode:?}, {runs} runs: {:?} {:?}", all.happened, all.faults);
    if runs >= RUNS && std::env::var_os("NETRPC_SIM_SEED").is_none() {
        let happened = |name: &str| match name {
            "duplicated" => mode != Mode::Maybe,
            "writes_lost" | "writes_torn" => mode.is_durable(),
            _ => true,
        };
        for (name, count) in all.faults.iter().filter(|(name, _)| happened(name)) {
            assert!(count > 20, "{name}: {:?}", all.faults);
        }
        let Happened { acknowledged, unknown, unknown_and_ran, not_run, .. } = all.happened;
        let Happened { dropped, orphaned, repeated, .. } = all.happened;
        for count in [acknowledged, unknown, unknown_and_ran, not_run, dropped, orphaned] {
            assert!(count > 20, "{:?}", all.happened);
        }
        assert_eq!(repeated > 20, mode == Mode::AtLeastOnce || mode == Mode::Exactly);
        let Happened { recovered, fenced, .. } = all.happened;
        assert_eq!([recovered > 20, fenced > 20], [mode == Mode::Exactly; 2], "{:?}", all.happened);
    }
    all
}

#[test]
fn maybe_a_call_runs_once_or_not_and_its_caller_may_not_know() {
    runs(Mode::Maybe);
}

#[test]
fn at_least_once_what_was_acknowledged_has_run() {
    runs(Mode::AtLeastOnce);
}

#[test]
fn at_most_once_nothing_runs_twice_though_the_server_forgets() {
    runs(Mode::Volatile);
}

#[test]
fn at_most_once_nothing_runs_twice_though_the_server_crashes() {
    runs(Mode::Durable);
}

#[test]
fn exactly_once_what_was_acknowledged_is_there_once_whatever_crashed() {
    runs(Mode::Exactly);
}

#[test]
fn without_a_protection_a_promise_breaks() {
    for (mode, without) in [
        (Mode::Volatile, Without::Epochs),
        (Mode::Durable, Without::Starts),
        (Mode::Durable, Without::Floors),
        (Mode::Durable, Without::Sync),
        (Mode::Exactly, Without::Outcomes),
        (Mode::Exactly, Without::Floors),
        (Mode::Exactly, Without::Sync),
        (Mode::Exactly, Without::Fencing),
    ] {
        let broken = (0..TRIES).find_map(|seed| Some((seed, run(seed, mode, without).err()?)));
        println!("{mode:?} without {without:?}: {broken:?}");
        assert!(broken.is_some(), "{mode:?} without {without:?}: nothing breaks");
    }
}

#[test]
fn a_run_is_the_same_each_time() {
    for mode in [Mode::Maybe, Mode::AtLeastOnce, Mode::Volatile, Mode::Durable, Mode::Exactly] {
        for seed in 0..5 {
            let [one, other] = [(); 2].map(|()| run(seed, mode, Without::Nothing).unwrap());
            assert_eq!((one.hash, one.faults), (other.hash, other.faults), "{mode:?}, seed {seed}");
        }
    }
}
