//! What is counted of one method.

use std::{fmt, time::Duration};

use metrics::{Counter, Gauge, Histogram, Label, SharedString, counter, gauge, histogram};
use netrpc_core::{fault::FaultCode, service::Observer};
use parking_lot::RwLock;

use super::{
    names::{SYSTEM, Side},
    recorder::{counts, measures},
};
use crate::observe::{ABANDONED, OK};

/// What is counted of one method on one side.
pub(super) struct MethodMetrics {
    side: Side,
    method: SharedString,
    started: Counter,
    in_flight: Gauge,
    /// The outcome of most calls.
    ok: Ended,
    /// Others, as they occur.
    failed: RwLock<Vec<(&'static str, Ended)>>,
}

/// What is counted of calls with one outcome.
#[derive(Clone)]
struct Ended {
    count: Counter,
    duration: Histogram,
}

impl Ended {
    fn new(side: Side, method: &SharedString, status: &'static str) -> Self {
        let labels = [
            SYSTEM,
            Label::new("rpc.method", method.clone()),
            Label::new("rpc.response.status_code", status),
        ];
        let names = side.names();
        Ended {
            count: counter!(names.finished, labels.iter()),
            duration: histogram!(names.duration, labels.iter()),
        }
    }
}

impl MethodMetrics {
    /// Those of a method; `None` if there is no recorder.
    pub(super) fn new(side: Side, method: String) -> Option<Self> {
        let method = SharedString::from(method);
        let labels = [SYSTEM, Label::new("rpc.method", method.clone())];
        let names = side.names();
        let in_flight = gauge!(names.in_flight, labels.iter());
        let ok = Ended::new(side, &method, OK);
        let counted = counts(&in_flight) || measures(&ok.duration);
        counted.then(|| MethodMetrics {
            side,
            started: counter!(names.started, labels.iter()),
            in_flight,
            ok,
            failed: RwLock::default(),
            method,
        })
    }

    pub(super) fn begin(&self) {
        self.started.increment(1);
        self.in_flight.increment(1);
    }

    pub(super) fn end(&self, took: Option<Duration>, outcome: Result<(), &'static str>) {
        self.in_flight.decrement(1);
        let ended = match outcome {
            Ok(()) => self.ok.clone(),
            Err(kind) => self.failed(kind),
        };
        ended.count.increment(1);
        if let Some(took) = took {
            ended.duration.record(took);
        }
    }

    fn failed(&self, kind: &'static str) -> Ended {
        let find = |failed: &[(&str, Ended)]| {
            failed.iter().find(|(known, _)| *known == kind).map(|(_, ended)| ended.clone())
        };
        // Bound first, so that the lock is free again.
        let known = find(&self.failed.read());
        known.unwrap_or_else(|| {
            let ended = Ended::new(self.side, &self.method, kind);
            let mut failed = self.failed.write();
            if find(&failed).is_none() {
                failed.push((kind, ended.clone()));
            }
            ended
        })
    }
}

impl fmt::Debug for MethodMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodMetrics")
            .field("side", &self.side)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Observer for MethodMetrics {
    fn began(&self) {
        self.begin();
    }

    fn finished(&self, took: Duration, outcome: Result<(), FaultCode>) {
        self.end(Some(took), outcome.map_err(FaultCode::kind));
    }

    fn abandoned(&self) {
        self.end(None, Err(ABANDONED));
    }
}
