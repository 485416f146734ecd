//! The runtime of a blocking client.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime without threads: whoever waits in it drives the connection, and while several wait, one
/// does it for all.
pub(super) struct Inside {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Inside {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Inside { runtime: Some(runtime) })
    }

    /// Drives the connection until `future` is ready.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            Handle::try_current().is_err(),
            "netrpc::blocking waits, which would hold up the runtime this thread belongs to: \
             use netrpc::Client here"
        );
        self.get().block_on(future)
    }

    pub(super) fn get(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken only by `drop`")
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if may_wait() {
            // The last handle is gone, and the connection's task says goodbye when it has its turn:
            // once to write, and once more because it lets others go first.
            runtime.block_on(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            });
        }
        runtime.shutdown_background();
    }
}

/// Whether this thread may wait: it is not a runtime's own, and does not unwind.
pub(super) fn may_wait() -> bool {
    Handle::try_current().is_err() && !std::thread::panicking()
}
