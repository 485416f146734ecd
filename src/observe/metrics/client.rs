//! What is counted of a client's calls.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use metrics::gauge;
use parking_lot::RwLock;

use super::{
    method::MethodMetrics,
    names::{CLIENT, Side},
    recorder::counts,
};
use crate::{
    client::now,
    observe::{DETACHED, DROPPED, OTHER},
};

/// How many methods a client's calls are counted apart by; those of further ones count together. A
/// program may make up names, and each is a series for ever.
const METHODS: usize = 512;

/// What is counted of a client's calls, by method.
#[derive(Debug, Clone, Default)]
pub(in crate::observe) struct ClientMetrics {
    methods: Arc<RwLock<HashMap<Box<str>, Arc<MethodMetrics>>>>,
    /// Whether there was a recorder when the client was made.
    recorded: Arc<AtomicBool>,
}

impl ClientMetrics {
    /// Looks for a recorder, from now on.
    pub(in crate::observe) fn attach(&self) {
        self.recorded.store(counts(&gauge!(CLIENT.connections)), Ordering::Relaxed);
    }

    /// A call begins; `None` if it is not counted.
    pub(in crate::observe) fn count(&self, method: &str) -> Option<Counting> {
        if !self.recorded.load(Ordering::Relaxed) {
            return None;
        }
        let known = self.methods.read().get(method).cloned();
        let metrics = known.or_else(|| self.add(method))?;
        metrics.begin();
        Some(Counting { metrics, begun: now(), ended: false })
    }

    #[cold]
    fn add(&self, method: &str) -> Option<Arc<MethodMetrics>> {
        let name = {
            let methods = self.methods.read();
            if methods.len() < METHODS {
                method
            } else if let Some(other) = methods.get(OTHER) {
                return Some(other.clone());
            } else {
                OTHER
            }
        };
        let metrics = Arc::new(MethodMetrics::new(Side::Client, name.to_owned())?);
        let mut methods = self.methods.write();
        Some(methods.entry(name.into()).or_insert(metrics).clone())
    }
}

/// A call that a client has begun and that is counted; dropped, it was given up.
#[derive(Debug)]
pub(in crate::observe) struct Counting {
    metrics: Arc<MethodMetrics>,
    begun: Instant,
    ended: bool,
}

impl Counting {
    pub(in crate::observe) fn finish(mut self, outcome: Result<(), &'static str>) {
        self.end(true, outcome);
    }

    /// Nobody will know how long it takes.
    pub(in crate::observe) fn detach(mut self) {
        self.end(false, Err(DETACHED));
    }

    fn end(&mut self, timed: bool, outcome: Result<(), &'static str>) {
        self.ended = true;
        let took = timed.then(|| now().saturating_duration_since(self.begun));
        self.metrics.end(took, outcome);
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.ended {
            self.end(true, Err(DROPPED));
        }
    }
}
