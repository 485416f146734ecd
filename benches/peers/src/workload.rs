//! What a client process is told to do, and what it answers.
//!
//! A client is started with its workload, makes its connections and its first calls, says a line,
//! and waits for one. What it measures begins then. When that is over it says a line, and on the
//! next one its [`Findings`]; it keeps its connections until the driver ends it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::system::std_net::Sizes;

/// What a client does; Go's client, in `go/client.go`, reads it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// How many connections it opens.
    pub connections: usize,
    /// Callers on each, every one a task that awaits its own calls, one after the other.
    pub callers: usize,
    /// Bytes to be echoed; 0 stands for a multiplication.
    pub payload: usize,
    /// How many more callers, on the first connection, call a handler that blocks for [`BLOCK`].
    pub blockers: usize,
    /// Whether every call is timed.
    pub latencies: bool,
    /// Whether there is one call on each connection, which then stays open.
    pub idle: bool,
    /// Whether the client is one thread without a runtime; and what a call's frames measure.
    pub blocking: Option<Sizes>,
    /// How long it measures, in milliseconds.
    pub window: u64,
}

/// How long a handler that blocks does so.
pub const BLOCK: Duration = Duration::from_millis(100);

/// How long calls are made before they are counted.
pub const WARM_UP: Duration = Duration::from_millis(100);

impl Workload {
    /// One caller on one connection that multiplies.
    pub fn serial(window: u64) -> Self {
        Workload {
            connections: 1,
            callers: 1,
            payload: 0,
            blockers: 0,
            latencies: false,
            idle: false,
            blocking: None,
            window,
        }
    }
}

/// What a client has found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Calls completed while it measured; none if all of them were stuck behind slow ones.
    pub calls: u64,
    /// How long it measured.
    pub seconds: f64,
    /// The median latency in seconds, as the next two; zero where calls were not timed.
    pub p50: f64,
    /// The 99th percentile of the latencies.
    pub p99: f64,
    /// The longest latency.
    pub worst: f64,
    /// Allocations of the client while it measured, where they are counted.
    pub allocations: u64,
}
