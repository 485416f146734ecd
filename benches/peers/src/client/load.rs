//! Callers, each a task that awaits its own calls, and the thread that counts them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    allocations::allocations,
    latency::Latencies,
    link,
    system::{Caller, Peer},
    workload::{BLOCK, Findings, WARM_UP, Workload},
};

/// What the callers and the thread that counts their calls share.
#[derive(Debug, Default)]
struct Control {
    /// Calls are timed from now on.
    measuring: AtomicBool,
    /// No call begins from now on.
    over: AtomicBool,
}

/// How many calls one caller has completed, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally(AtomicU64);

impl Tally {
    /// By its caller alone.
    fn count(&self) {
        self.0.store(self.read() + 1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes the calls of `workload`, and measures for its window once the driver says so.
pub(super) fn measure<P: Peer>(
    runtime: &Runtime,
    addr: SocketAddr,
    workload: &Workload,
    payload: &Bytes,
) -> Result<Findings> {
    let control = Arc::new(Control::default());
    let mut tallies = Vec::new();
    let mut callers = JoinSet::new();
    for connection in 0..workload.connections {
        let client = runtime.block_on(P::connect(addr))?;
        for _ in 0..workload.callers {
            let tally = Arc::new(Tally::default());
            tallies.push(tally.clone());
            let quick =
                call(client.clone(), payload.clone(), control.clone(), tally, workload.latencies);
            callers.spawn_on(quick, runtime.handle());
        }
        let blockers = if connection == 0 { workload.blockers } else { 0 };
        for _ in 0..blockers {
            callers.spawn_on(block(client.clone(), control.clone()), runtime.handle());
        }
    }
    let sum = || tallies.iter().map(|tally| tally.read()).sum::<u64>();

    thread::sleep(WARM_UP);
    link::say("warm")?;
    link::listen()?;
    control.measuring.store(true, Ordering::Relaxed);
    let (began, calls, allocated) = (Instant::now(), sum(), allocations());
    thread::sleep(Duration::from_millis(workload.window));
    let mut findings = Findings {
        calls: sum() - calls,
        seconds: began.elapsed().as_secs_f64(),
        allocations: allocations() - allocated,
        ..Findings::default()
    };
    control.over.store(true, Ordering::Relaxed);
    link::say("over")?;

    let mut latencies = Latencies::default();
    while let Some(caller) = runtime.block_on(callers.join_next()) {
        latencies.append(caller?.context("a call has failed")?);
    }
    [findings.p50, findings.p99, findings.worst] = latencies.summary();
    Ok(findings)
}

/// One caller. A call that is under way when the time is over is timed to its end.
async fn call<C: Caller>(
    mut client: C,
    payload: Bytes,
    control: Arc<Control>,
    tally: Arc<Tally>,
    timed: bool,
) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut factor = 0;
    while !control.over.load(Ordering::Relaxed) {
        let began = timed.then(Instant::now);
        if payload.is_empty() {
            factor += 1;
            let product = client.multiply(factor, 7).await?;
            ensure!(product == factor * 7, "{factor} times 7 is not {product}");
        } else {
            let length = client.echo(&payload).await?;
            ensure!(length == payload.len(), "{length} bytes came back of {}", payload.len());
        }
        tally.count();
        if let Some(began) = began
            && control.measuring.load(Ordering::Relaxed)
        {
            latencies.push(began.elapsed());
        }
    }
    Ok(latencies)
}

/// One caller of a slow handler, neither counted nor timed.
async fn block<C: Caller>(mut client: C, control: Arc<Control>) -> Result<Latencies> {
    while !control.over.load(Ordering::Relaxed) {
        client.block(BLOCK).await?;
    }
    Ok(Latencies::default())
}
