//! The end of sessions that nobody has spoken for in a long time.

use std::sync::{Arc, Weak};

use super::{super::workers::Workers, Tracked};
use crate::{client::now, sync::atomic::Ordering};

/// The one timer that runs, until it is dropped: its runtime may end before the server does.
struct Expiring {
    tracked: Weak<Tracked>,
    /// Another may run by now.
    resigned: bool,
}

impl Drop for Expiring {
    fn drop(&mut self) {
        if let Some(tracked) = self.tracked.upgrade().filter(|_| !self.resigned) {
            tracked.expiring.store(false, Ordering::Release);
        }
    }
}

impl Tracked {
    /// Ends the sessions whose time is over, now and as long as there are any.
    pub(super) fn expire(self: &Arc<Self>, workers: &Workers) {
        let _ = self.book.with(|ledger| ledger.expire(now()));
        if !self.expiring.swap(true, Ordering::AcqRel) {
            let expiring = Expiring { tracked: Arc::downgrade(self), resigned: false };
            workers.handle().spawn(expire(expiring, self.dropped.clone()));
        }
    }
}

async fn expire(mut expiring: Expiring, dropped: netrpc_core::Cancellation) {
    loop {
        let next = {
            let Some(tracked) = expiring.tracked.upgrade() else { return };
            let next = || {
                let next = tracked.book.with(|ledger| {
                    ledger.expire(now());
                    ledger.next_timeout()
                });
                next.ok().flatten()
            };
            match next() {
                Some(next) => next,
                None => {
                    // Whoever opens the next session starts another timer, unless it came just now.
                    tracked.expiring.store(false, Ordering::Release);
                    if next().is_none() || tracked.expiring.swap(true, Ordering::AcqRel) {
                        expiring.resigned = true;
                        return;
                    }
                    continue;
                }
            }
        };
        tokio::select! {
            biased;
            () = dropped.cancelled() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}
