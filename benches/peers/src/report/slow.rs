//! The table of the scenario `slow`, which compares every system with itself.

use clap::ValueEnum;

use super::{MISSING, Report, Show, multiple};
use crate::{
    case::Scenario,
    contender::Contender,
    measurement::Measurement,
    results::{Figure, Key},
    server::Flavor,
    table::Table,
    units,
};

const TITLE: &str = "Slow: 64 quick callers beside callers of a handler that blocks its thread for \
                     100 ms, on one connection; × = of the same without slow calls";

/// What is told of every number of slow callers, and with what heading.
const FIGURES: [(&str, Figure, Show); 2] =
    [("p99", |m| m.findings.p99, units::time), ("worst", |m| m.findings.worst, units::time)];

/// A row for each contender and each runtime of its server.
pub(super) fn table(report: &Report<'_>) -> Table {
    let mut header = vec![String::new(), "server's runtime".to_owned()];
    for heading in FIGURES.map(|(heading, ..)| heading).into_iter().chain(["calls/s"]) {
        header.extend([format!("{heading}, 0 slow"), "1 slow".to_owned(), "8 slow".to_owned()]);
    }
    let mut rows = Vec::new();
    for (who, contender) in report.contenders.iter().enumerate() {
        for flavor in Flavor::value_variants() {
            let keys = keys(report, who, contender, *flavor);
            if !keys.is_empty() {
                let mut row = vec![contender.name.clone(), flavor.to_string()];
                row.extend(cells(report, &keys));
                rows.push(row);
            }
        }
    }
    Table { title: TITLE.to_owned(), header, rows }
}

/// The measurements of a contender on one runtime; the one without slow calls is the first.
fn keys(report: &Report<'_>, who: usize, contender: &Contender, flavor: Flavor) -> Vec<Key> {
    let cases = report.cases_of(Scenario::Slow).into_iter();
    let of_flavor = cases.filter(|&case| {
        let case = &report.cases[case];
        case.flavor == flavor && case.admits(contender.system)
    });
    of_flavor.map(|case| Key { case, who }).collect()
}

fn cells(report: &Report<'_>, keys: &[Key]) -> Vec<String> {
    let mut cells = Vec::new();
    for (_, figure, show) in FIGURES {
        cells.extend(keys.iter().map(|&key| {
            let spread = report.results.spread(key, figure);
            spread.map_or(MISSING.to_owned(), |spread| show(spread.median))
        }));
    }
    let rate = Measurement::calls_per_second;
    for &key in keys {
        cells.push(if key == keys[0] {
            let spread = report.results.spread(key, rate);
            spread.map_or(MISSING.to_owned(), |spread| units::rate(spread.median))
        } else {
            report.results.ratio(key, keys[0], rate).map_or(MISSING.to_owned(), multiple)
        });
    }
    cells
}
