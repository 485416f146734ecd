//! What a connection has seen, and how much of it a peer may make it see.

use netrpc_core::{
    error::Disconnected,
    fault::FaultCode,
    rate::{Bucket, Excess},
};

use super::limits::Limits;
use crate::{client::now, observe};

/// What has come and gone on a connection, and what is left of its rates.
#[derive(Debug)]
pub(super) struct Counts {
    /// Messages of any kind.
    pub(super) frames: u64,
    pub(super) requests: u64,
    /// Bytes.
    pub(super) received: u64,
    pub(super) sent: u64,
    /// How often the peer had taken all there was.
    pub(super) emptied: u64,
    cancelled: u64,
    /// Requests that are none.
    faulty: u64,
    cancels: Bucket,
    pings: Bucket,
    faults: Bucket,
    /// What there was too much of.
    excess: Option<Excess>,
}

impl Counts {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = now();
        Counts {
            frames: 0,
            requests: 0,
            received: 0,
            sent: 0,
            emptied: 0,
            cancelled: 0,
            faulty: 0,
            cancels: Bucket::new(now, limits.cancels),
            pings: Bucket::new(now, limits.pings),
            faults: Bucket::new(now, limits.faults),
            excess: None,
        }
    }

    /// A cancel has come.
    pub(super) fn cancel(&mut self, limits: &Limits) {
        self.cancelled += 1;
        if !self.cancels.take(limits.cancels, now) && !few(self.cancelled, self.requests) {
            self.excess = Some(Excess::Cancels);
        }
    }

    /// A ping has come.
    pub(super) fn ping(&mut self, limits: &Limits) {
        if !self.pings.take(limits.pings, now) {
            self.excess = Some(Excess::Pings);
        }
    }

    /// A request was refused.
    pub(super) fn refused(&mut self, code: FaultCode, limits: &Limits) {
        let by_peer = matches!(
            code,
            FaultCode::IllFormed
                | FaultCode::UnknownService
                | FaultCode::UnknownMethod
                | FaultCode::RequestTooLarge
                | FaultCode::Unsupported
        );
        if !by_peer {
            return;
        }
        self.faulty += 1;
        if !self.faults.take(limits.faults, now) && !few(self.faulty, self.requests) {
            self.excess = Some(Excess::Faults);
        }
    }

    /// Whether there was too much of nothing.
    pub(super) fn are_fine(&self) -> bool {
        self.excess.is_none()
    }

    /// Asked before each batch.
    ///
    /// # Errors
    /// If there was too much of something.
    pub(super) fn check(&self) -> Result<(), Disconnected> {
        let Some(excess) = self.excess else { return Ok(()) };
        observe::limit(match excess {
            Excess::Cancels => "max_cancel_rate",
            Excess::Pings => "max_ping_rate",
            _ => "max_fault_rate",
        });
        Err(Disconnected::TooFast(excess))
    }
}

/// Whether no more than half of a peer's requests came to this: it works, and some of its work is in
/// vain. An attacker who only begins is none of that kind.
fn few(of_them: u64, requests: u64) -> bool {
    of_them <= requests.div_ceil(2)
}
