//! The runtime of a blocking client.

use std::{io, sync::Arc};

use tokio::runtime::{Builder, Handle, Runtime};

use super::helm::Helm;

/// A runtime without threads: whoever waits in it drives the connection, and while several wait, one
/// does it for all.
pub(super) struct Inside {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    helm: Option<Arc<Helm>>,
}

impl Inside {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let helm = Helm::of(&runtime);
        Ok(Inside { runtime: Some(runtime), helm })
    }

    /// Drives the connection until `future` is ready.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            Handle::try_current().is_err(),
            "netrpc::blocking waits, which would hold up the runtime this thread belongs to: \
             use netrpc::Client here"
        );
        self.wait(future)
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.helm {
            Some(helm) => helm.block_on(self.get(), future),
            None => self.get().block_on(future),
        }
    }

    /// Has the runtime look at its sockets, and the connection's task have its turn.
    pub(super) async fn look(&self) {
        tokio::task::yield_now().await;
        // At the helm it has had its turn before this.
        if self.helm.as_ref().is_none_or(|helm| !helm.is_manned()) {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn get(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken only by `drop`")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if may_wait() {
            // The last handle is gone, and the connection's task says goodbye when it has its turn:
            // once to write, and once more because it lets others go first.
            self.wait(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            });
        }
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(helm) = &self.helm {
            let _there = runtime.enter();
            helm.abandon();
        }
        runtime.shutdown_background();
    }
}

/// Whether this thread may wait: it is not a runtime's own, and does not unwind.
pub(super) fn may_wait() -> bool {
    Handle::try_current().is_err() && !std::thread::panicking()
}
