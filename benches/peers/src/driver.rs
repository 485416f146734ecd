//! The driver: who is measured and how, the rounds, the report.

use std::{collections::BTreeSet, env, process::Command};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    against,
    case::{Case, Scenario},
    contender::Contender,
    machine,
    measurement::Measurement,
    options::Options,
    report::Report,
    results::{Key, Results, Round},
    system::{System, go},
    wire_size,
};

/// Measures what `options` ask for, and prints the report.
pub fn run(options: &Options) -> Result<()> {
    let scenarios = scenarios(options)?;
    let cases = cases(&scenarios, options.window)?;
    let contenders = contenders(options)?;
    raise_open_files(&cases)?;
    let machine = machine::describe();

    let mut results = Results::default();
    let mut failures = Vec::new();
    for number in 1..=options.rounds {
        eprintln!("round {number} of {}", options.rounds);
        // Memory hardly varies, and takes long to settle: it is measured once.
        let admits = |case: &Case| number == 1 || case.scenario != Scenario::Idle;
        results.rounds.push(round(&cases, &contenders, admits, &mut failures));
    }

    let report = Report { cases: &cases, contenders: &contenders, results: &results };
    for table in scenarios.into_iter().flat_map(|scenario| report.tables(scenario)) {
        println!("{}", if options.markdown { table.markdown() } else { table.text() });
    }
    println!(
        "{} rounds of {} ms each. n × (least–greatest): the median of the ratios within a round; \
         figures are medians.\n{machine}",
        options.rounds, options.window,
    );
    for failure in &failures {
        println!("Not measured: {failure}");
    }
    ensure!(failures.is_empty(), "{} measurements have failed", failures.len());
    Ok(())
}

fn scenarios(options: &Options) -> Result<BTreeSet<Scenario>> {
    for scenario in &options.scenario {
        ensure!(
            scenario.is_built(),
            "allocations are counted by a build with `--features allocations`, and by such a \
             build nothing else is measured"
        );
    }
    let built = Scenario::value_variants().iter().copied().filter(|scenario| scenario.is_built());
    Ok(if options.scenario.is_empty() {
        built.collect()
    } else {
        options.scenario.iter().copied().collect()
    })
}

fn cases(scenarios: &BTreeSet<Scenario>, window: u64) -> Result<Vec<Case>> {
    let sizes = wire_size::multiply().context("netrpc cannot make a call")?;
    let mut cases: Vec<Case> =
        scenarios.iter().flat_map(|scenario| scenario.cases(window, sizes)).collect();
    if Command::new("taskset").arg("--version").output().is_err() {
        eprintln!("`taskset` is not installed: nothing is measured on one CPU");
        cases.retain(|case| !case.pinned);
    }
    Ok(cases)
}

fn contenders(options: &Options) -> Result<Vec<Contender>> {
    let executable = env::current_exe().context("this program does not know where it is")?;
    let contender = |system: System| Contender {
        name: system.to_string(),
        system,
        executable: executable.clone(),
    };
    if let Some(revision) = &options.against {
        let (commit, executable) = against::build(revision)?;
        let name = format!("netrpc {commit}");
        let before = Contender { name, system: System::Netrpc, executable };
        return Ok(vec![before, contender(System::Netrpc)]);
    }
    let wanted = |system: &System| {
        system.is_reference() || options.only.is_empty() || options.only.contains(system)
    };
    let mut contenders = Vec::new();
    for system in System::value_variants().iter().copied().filter(wanted) {
        if system != System::Go {
            contenders.push(contender(system));
        } else if let Some(executable) = go::build()? {
            contenders.push(Contender { executable, ..contender(system) });
        } else {
            eprintln!("`go` is not installed: {system} is not measured");
        }
    }
    Ok(contenders)
}

/// Every connection is a file of either process, which inherit the limit.
fn raise_open_files(cases: &[Case]) -> Result<()> {
    const OTHERS: u64 = 100;
    let most = cases.iter().map(|case| case.workload.connections).max().unwrap_or(0);
    let needed = most as u64 + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .with_context(|| format!("{needed} open files are needed; see `ulimit -n`"))
}

/// Measures every case that is admitted on all systems in turn. What fails is told, and missing in the report.
fn round(
    cases: &[Case],
    contenders: &[Contender],
    admits: impl Fn(&Case) -> bool,
    failures: &mut Vec<String>,
) -> Round {
    let mut round = Round::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| admits(case)) {
        for (who, contender) in contenders.iter().enumerate() {
            if !case.admits(contender.system) {
                continue;
            }
            let key = Key { case: number, who };
            match Measurement::take(case, contender) {
                Ok(measurement) => {
                    round.insert(key, measurement);
                }
                Err(error) => {
                    let (scenario, label) = (case.scenario, &case.label);
                    let failure = format!("{}, {scenario:?}, {label}: {error:#}", contender.name);
                    eprintln!("{failure}");
                    failures.push(failure);
                }
            }
        }
    }
    round
}
