//! The scenarios, and the cases that each of them is made of.

use clap::ValueEnum;

use crate::{
    server::Flavor,
    system::{System, std_net::Sizes},
    workload::Workload,
};

/// A question that is put to the systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Latency of one caller, with the processes on any CPU and both on one
    Serial,
    /// Calls per second of 16, 64, 256 and 1024 callers that share a connection
    Callers,
    /// Calls per second of 1000 connections with one caller each
    Connections,
    /// Bytes per second of an echo of 1 KiB, 64 KiB and 1 MiB, with 16 callers
    Payload,
    /// Memory of a connection that is idle after one call, and after an echo of 1 MiB
    Idle,
    /// Latency of 64 callers beside 0, 1 and 8 of a handler that blocks its thread for 100 ms
    Slow,
    /// Latency of netrpc's blocking client beside a ping-pong on `std::net`
    Blocking,
    /// Allocations per call of 64 callers; needs `--features allocations`
    Allocations,
}

/// One measurement of a scenario.
#[derive(Debug, Clone)]
pub struct Case {
    pub scenario: Scenario,
    /// What distinguishes it in its scenario.
    pub label: String,
    pub workload: Workload,
    /// Whether both processes run on one CPU.
    pub pinned: bool,
    /// Whether the C library's allocator returns large blocks to the system at once.
    pub trimmed: bool,
    pub flavor: Flavor,
}

impl Scenario {
    /// Whether a build can run it: counting allocations would disturb all other measurements.
    pub fn is_built(self) -> bool {
        (self == Scenario::Allocations) == cfg!(feature = "allocations")
    }

    /// Its cases. Each measures for `window` milliseconds; `sizes` are those of netrpc's frames.
    pub fn cases(self, window: u64, sizes: Sizes) -> Vec<Case> {
        let serial = Workload::serial(window);
        let case = |label: &str, workload| Case {
            scenario: self,
            label: label.to_owned(),
            workload,
            pinned: false,
            trimmed: false,
            flavor: Flavor::Default,
        };
        match self {
            Scenario::Serial => {
                let timed = Workload { latencies: true, ..serial };
                let any = case("any CPU", timed.clone());
                vec![any, Case { pinned: true, ..case("one CPU", timed) }]
            }
            Scenario::Callers => [16, 64, 256, 1024]
                .map(|callers| {
                    case(&format!("{callers} callers"), Workload { callers, ..serial.clone() })
                })
                .into(),
            Scenario::Connections => {
                vec![case("1000 connections", Workload { connections: 1000, ..serial })]
            }
            Scenario::Payload => [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)]
                .map(|(label, payload)| {
                    case(label, Workload { callers: 16, payload, ..serial.clone() })
                })
                .into(),
            Scenario::Idle => {
                let call = Workload { idle: true, connections: 2000, ..serial };
                let echo = Workload { connections: 250, payload: 1 << 20, ..call.clone() };
                let cached = case("after 1 MiB", echo.clone());
                let returned = Case { trimmed: true, ..case("after 1 MiB, no malloc cache", echo) };
                vec![case("after a call", call), cached, returned]
            }
            Scenario::Slow => Flavor::value_variants()
                .iter()
                .flat_map(|&flavor| {
                    let quick = Workload { callers: 64, latencies: true, ..serial.clone() };
                    [0, 1, 8].map(move |blockers| (flavor, Workload { blockers, ..quick.clone() }))
                })
                .map(|(flavor, workload)| Case {
                    flavor,
                    ..case(&format!("{} slow, {flavor}", workload.blockers), workload)
                })
                .collect(),
            Scenario::Blocking => {
                let blocking = Workload { blocking: Some(sizes), latencies: true, ..serial };
                let any = case("any CPU", blocking.clone());
                vec![any, Case { pinned: true, ..case("one CPU", blocking) }]
            }
            Scenario::Allocations => vec![case("64 callers", Workload { callers: 64, ..serial })],
        }
    }
}

impl Case {
    /// Whether `system` takes part.
    pub fn admits(&self, system: System) -> bool {
        match (self.scenario, system) {
            (Scenario::Blocking, _) => matches!(system, System::Std | System::Netrpc),
            (_, System::Std) => false,
            // The floors have no handlers, which could be slow.
            (Scenario::Slow, System::Pipelined | System::Naive) => false,
            // Go's runtime has threads for whatever blocks.
            (Scenario::Slow, System::Go) => self.flavor != Flavor::CurrentThread,
            _ => true,
        }
    }
}
