//! The yardstick: netrpc beside bare sockets and other RPC systems. See `README.md`.

#![forbid(unsafe_code)]

mod against;
mod allocations;
mod case;
mod client;
mod contender;
mod driver;
mod git;
mod latency;
mod link;
mod machine;
mod measurement;
mod options;
mod process;
mod report;
mod results;
mod server;
mod spread;
mod system;
mod table;
mod units;
mod wire_size;
mod workload;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use options::{Options, Role};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    match &options.role {
        None => driver::run(options),
        Some(Role::Server { system, flavor }) => server::run(*system, *flavor),
        Some(Role::Client { system, addr, workload }) => {
            let workload = serde_json::from_str(workload).context("the workload is no workload")?;
            client::run(*system, *addr, &workload)
        }
    }
}
