//! Calls that were interrupted: how far they had come.

use std::sync::Arc;

use netrpc_core::{ledger::Resolution, semantics::Xid};

use super::{
    super::{passage::Target, workers::Workers},
    Tracked,
};
use crate::client::now;

/// The duty to tell the ledger.
struct Resolving {
    tracked: Arc<Tracked>,
    xid: Xid,
    /// Unless somebody says more.
    resolution: Resolution,
}

impl Resolving {
    fn tell(mut self, resolution: Resolution) {
        self.resolution = resolution;
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        let resolution = std::mem::replace(&mut self.resolution, Resolution::NotNow);
        let _ = self.tracked.book.with(|ledger| ledger.resolved(now(), self.xid, resolution));
    }
}

impl Tracked {
    /// Finds out how far a call had come that was interrupted: whoever remembers what its method does is
    /// asked, and else nobody can tell.
    pub(super) fn resolve(self: &Arc<Self>, xid: Xid, target: &Target, workers: &Workers) {
        let name = match target {
            Ok(entry) => entry.full_name(),
            Err(missing) => &missing.name,
        };
        let (tracked, resolution) = (self.clone(), Resolution::Unknown);
        let mut resolving = Resolving { tracked, xid, resolution };
        let Some(completions) = self.completions_of(name) else { return };
        let (completions, name) = (completions.clone(), name.to_owned());
        // If it panics, or its runtime ends, it is asked again some time.
        resolving.resolution = Resolution::NotNow;
        workers.handle().spawn(async move {
            let resolution = completions.look_up(xid, &name).await;
            resolving.tell(resolution);
        });
    }
}
