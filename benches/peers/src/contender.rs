//! Who is measured: a system, as one executable has it.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{case::Case, server::Flavor, system::System};

/// A system and the executable that holds both its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    /// What it is called in the report.
    pub name: String,
    pub system: System,
    pub executable: PathBuf,
}

impl Contender {
    /// What starts its server.
    pub fn server(&self, case: &Case) -> Result<Command> {
        let mut command = self.command(case);
        command.args(["server", &name(&self.system)?, &name(&case.flavor)?]);
        if self.system == System::Go && case.flavor == Flavor::OneWorker {
            command.env("GOMAXPROCS", "1");
        }
        Ok(command)
    }

    /// What starts a client of the server at `addr`.
    pub fn client(&self, case: &Case, addr: SocketAddr) -> Result<Command> {
        let mut command = self.command(case);
        command.args(["client", &name(&self.system)?, &addr.to_string()]);
        command.arg(serde_json::to_string(&case.workload)?);
        Ok(command)
    }

    fn command(&self, case: &Case) -> Command {
        let mut command = if case.pinned {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", "0"]).arg(&self.executable);
            taskset
        } else {
            Command::new(&self.executable)
        };
        if case.trimmed {
            // glibc's default, which it otherwise raises as soon as a larger block is freed.
            command.env("MALLOC_MMAP_THRESHOLD_", (128 * 1024).to_string());
        }
        command
    }
}

/// What a value is called on the command line.
fn name(value: &impl ValueEnum) -> Result<String> {
    let value = value.to_possible_value().context("it is skipped on the command line")?;
    Ok(value.get_name().to_owned())
}
