//! The tables of a report.

mod slow;

use std::fmt::Write;

use crate::{
    case::{Case, Scenario},
    contender::Contender,
    measurement::Measurement,
    results::{Figure, Key, Results},
    spread::Spread,
    table::Table,
    units,
};

/// What has been measured, and of what.
#[derive(Debug)]
pub struct Report<'a> {
    pub cases: &'a [Case],
    pub contenders: &'a [Contender],
    pub results: &'a Results,
}

/// What stands where a measurement has failed.
const MISSING: &str = "not measured";

/// How a figure is written, with its unit.
type Show = fn(f64) -> String;

impl Report<'_> {
    /// A scenario's tables.
    pub fn tables(&self, scenario: Scenario) -> Vec<Table> {
        let rate: Figure = Measurement::calls_per_second;
        let table =
            |title: &str, figure: Figure, show: Show| self.table(scenario, title, figure, show);
        let cpu =
            || table("CPU seconds per million calls, both processes", |m| m.cpu, units::seconds);
        match scenario {
            Scenario::Serial => vec![
                table("latency, median", |m| m.findings.p50, units::time),
                table("latency, 99th percentile", |m| m.findings.p99, units::time),
                cpu(),
            ],
            Scenario::Callers => {
                vec![table("calls per second on one connection", rate, units::rate), cpu()]
            }
            Scenario::Connections => {
                vec![table("calls per second, one caller each", rate, units::rate), cpu()]
            }
            Scenario::Payload => vec![
                table(
                    "bytes per second each way, 16 callers on one connection",
                    Measurement::bytes_per_second,
                    units::throughput,
                ),
                table(
                    "CPU seconds per GiB each way, both processes",
                    Measurement::cpu_per_gib,
                    units::seconds,
                ),
            ],
            Scenario::Idle => vec![
                table("resident memory per connection, server", |m| m.server_memory, units::memory),
                table("resident memory per connection, client", |m| m.client_memory, units::memory),
            ],
            Scenario::Slow => vec![slow::table(self)],
            Scenario::Blocking => vec![
                table("latency, median", |m| m.findings.p50, units::time),
                table("latency, 99th percentile", |m| m.findings.p99, units::time),
            ],
            Scenario::Allocations => vec![
                table("allocations per call, server", |m| m.server_allocations, units::digits),
                table(
                    "allocations per call, client",
                    Measurement::client_allocations,
                    units::digits,
                ),
            ],
        }
    }

    /// A row for each contender, a column for each case: the ratio to the first contender in the
    /// scenario, and the figure itself. Memory after whatever call is compared with that after a
    /// small one; numbers of allocations with none.
    fn table(&self, scenario: Scenario, title: &str, figure: Figure, show: Show) -> Table {
        let cases = self.cases_of(scenario);
        let takes_part = |who: &usize| {
            cases.iter().any(|&case| self.cases[case].admits(self.contenders[*who].system))
        };
        let rows: Vec<usize> = (0..self.contenders.len()).filter(takes_part).collect();
        let Some(&base) = rows.first() else { return Table::default() };

        let mut header = vec![String::new()];
        header.extend(cases.iter().map(|&case| self.cases[case].label.clone()));
        let cell = |case, who| {
            let Some(own) = self.results.spread(Key { case, who }, figure) else {
                return MISSING.to_owned();
            };
            let own = show(own.median);
            let base = match scenario {
                Scenario::Allocations => return own,
                Scenario::Idle => Key { case: cases[0], who: base },
                _ => Key { case, who: base },
            };
            match self.results.ratio(Key { case, who }, base, figure) {
                Some(ratio) if base != Key { case, who } => format!("{}  {own}", multiple(ratio)),
                _ => own,
            }
        };
        let row = |who: usize| {
            let name = self.contenders[who].name.clone();
            std::iter::once(name).chain(cases.iter().map(|&case| cell(case, who))).collect()
        };
        let mut title = format!("{scenario:?}: {title}");
        if scenario != Scenario::Allocations {
            let _ = write!(title, "; × = of {}", self.contenders[base].name);
        }
        Table { title, header, rows: rows.into_iter().map(row).collect() }
    }

    fn cases_of(&self, scenario: Scenario) -> Vec<usize> {
        let cases = self.cases.iter().enumerate();
        cases.filter(|(_, case)| case.scenario == scenario).map(|(number, _)| number).collect()
    }
}

/// `0.82 × (0.79–0.85)`: the median over the rounds, the least and the greatest.
fn multiple(ratio: Spread) -> String {
    let Spread { median, min, max } = ratio;
    let [median, min, max] = [median, min, max].map(units::digits);
    format!("{median} × ({min}–{max})")
}
