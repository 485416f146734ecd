//! Where the handler of a tracked call runs: where that of any other would.

use std::sync::Arc;

use netrpc_core::{
    Context, Fault,
    service::{Body, Entry},
};

use super::{
    super::{
        SyncPolicy,
        answer::{self, Reply},
        handling::{self, Running},
        workers::Workers,
    },
    call::{Call, Run},
};

impl Call {
    /// Runs the handler.
    pub(in crate::server) async fn handle(
        self: Arc<Self>,
        cx: Context,
        body: Body,
    ) -> Result<Reply, Fault> {
        if let Err(missing) = &self.target {
            return Err(missing.fault.clone());
        }
        self.begin_writes().await?;
        let unsealed = answer::begin(Vec::new(), &body);
        handling::handle(self.run(), false, cx, body, unsealed).await
    }
}

impl Running for Run {
    fn entry(&self) -> &Arc<Entry> {
        match &self.call().target {
            Ok(entry) => entry,
            Err(_) => unreachable!("what is not there does not run"),
        }
    }

    fn workers(&self) -> &Arc<Workers> {
        &self.call().workers
    }

    fn policy(&self) -> SyncPolicy {
        self.call().server.policy
    }

    fn begin(&mut self) -> Result<(), Fault> {
        Run::begin(self)
    }

    fn end(self, outcome: Result<(), Fault>) -> Result<(), Fault> {
        Run::end(self, outcome)
    }
}
