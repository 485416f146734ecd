//! One thread without a runtime that calls.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    latency::Latencies,
    link,
    system::{netrpc::Args, std_net::PingPong},
    workload::{Findings, WARM_UP, Workload},
};

/// With `netrpc::blocking`.
pub(super) fn netrpc(addr: SocketAddr, workload: &Workload) -> Result<()> {
    let client = netrpc::blocking::Client::dial(addr)?;
    let mut factor = 0;
    measure(workload, || {
        factor += 1;
        let product: i64 = client.call("Arith.Multiply", &Args { a: factor, b: 7 })?;
        ensure!(product == factor * 7, "{factor} times 7 is not {product}");
        Ok(())
    })
}

/// Without any RPC.
pub(super) fn std_net(addr: SocketAddr, workload: &Workload) -> Result<()> {
    let sizes = workload.blocking.context("the workload says how long a request is")?;
    let mut ping_pong = PingPong::dial(addr, sizes)?;
    measure(workload, || ping_pong.call())
}

fn measure(workload: &Workload, mut call: impl FnMut() -> Result<()>) -> Result<()> {
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        call()?;
    }
    link::say("warm")?;
    link::listen()?;
    let mut latencies = Latencies::default();
    let mut findings = Findings::default();
    let began = Instant::now();
    let mut now = began;
    let over = began + Duration::from_millis(workload.window);
    while now < over {
        call()?;
        let end = Instant::now();
        latencies.push(end - now);
        findings.calls += 1;
        now = end;
    }
    findings.seconds = (now - began).as_secs_f64();
    link::say("over")?;
    [findings.p50, findings.p99, findings.worst] = latencies.summary();
    super::report(&findings)
}
