//! One case, run once on one system.

use anyhow::{Context, Result, ensure};

use crate::{
    case::{Case, Scenario},
    contender::Contender,
    process::{Process, Usage, settled},
    workload::Findings,
};

/// What a run has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What the client says.
    pub findings: Findings,
    /// CPU seconds of both processes for a million calls.
    pub cpu: f64,
    /// Bytes of payload that a call carries each way.
    payload: usize,
    /// Resident bytes of the server for each connection; zero unless they are idle.
    pub server_memory: f64,
    /// The same of the client.
    pub client_memory: f64,
    /// The server's allocations for each call, where they are counted.
    pub server_allocations: f64,
}

impl Measurement {
    /// Starts both processes, measures, and ends them.
    pub fn take(case: &Case, contender: &Contender) -> Result<Self> {
        let mut server = Process::start("the server", contender.server(case)?)?;
        let addr = server.read_line()?.parse().context("a server's first line is its address")?;
        let mut client = Process::start("the client", contender.client(case, addr)?)?;
        client.read_line()?;

        let allocated = allocations(case, &mut server)?;
        let before = usage(case, &server, &client)?;
        client.write_line("go")?;
        client.read_line()?;
        let after = usage(case, &server, &client)?;
        let allocated = allocations(case, &mut server)? - allocated;

        let findings = client.read_line()?;
        let findings: Findings =
            serde_json::from_str(&findings).with_context(|| format!("a client says {findings}"))?;
        ensure!(findings.calls > 0 || case.workload.blockers > 0, "no call was completed");
        let calls = findings.calls as f64;
        let cpu = after.0.cpu + after.1.cpu - before.0.cpu - before.1.cpu;
        let connections = case.workload.connections as f64;
        Ok(Measurement {
            cpu: cpu / calls * 1e6,
            payload: case.workload.payload,
            server_memory: (after.0.resident - before.0.resident) / connections,
            client_memory: (after.1.resident - before.1.resident) / connections,
            server_allocations: allocated / calls,
            findings,
        })
    }

    pub fn calls_per_second(&self) -> f64 {
        self.findings.calls as f64 / self.findings.seconds
    }

    /// Of payload, each way.
    pub fn bytes_per_second(&self) -> f64 {
        self.calls_per_second() * self.payload as f64
    }

    /// CPU seconds of both processes for a GiB of payload each way.
    pub fn cpu_per_gib(&self) -> f64 {
        self.cpu / 1e6 / self.payload as f64 * (1u64 << 30) as f64
    }

    /// The client's, for each call, where they are counted.
    pub fn client_allocations(&self) -> f64 {
        self.findings.allocations as f64 / self.findings.calls as f64
    }
}

/// What both processes have used; if memory is what the case is about, once it has settled.
fn usage(case: &Case, server: &Process, client: &Process) -> Result<(Usage, Usage)> {
    if case.workload.idle {
        settled(server, client)
    } else {
        Ok((server.usage()?, client.usage()?))
    }
}

/// The allocations of a server so far, in the scenario that counts them.
fn allocations(case: &Case, server: &mut Process) -> Result<f64> {
    if case.scenario != Scenario::Allocations {
        return Ok(0.0);
    }
    server.write_line("allocations")?;
    Ok(server.read_line()?.parse()?)
}
