//! Locks, atomics, tasks and threads: tokio's and those everybody has, or those of a model checker.
//!
//! With `--cfg netrpc_shuttle` all of them are [shuttle](https://docs.rs/shuttle)'s; `tests/models.rs`
//! runs clients and servers so.

#[cfg(not(netrpc_shuttle))]
pub(crate) use std::{
    sync::atomic,
    thread::{self, sleep},
};

#[cfg(not(netrpc_shuttle))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(netrpc_shuttle))]
pub(crate) use tokio::{
    spawn,
    task::{JoinHandle, yield_now},
};

#[cfg(netrpc_shuttle)]
pub(crate) use netrpc_core::sync::{Mutex, MutexGuard, atomic};
#[cfg(netrpc_shuttle)]
pub(crate) use shuttle::{
    future::{JoinHandle, yield_now},
    thread,
};

/// Nobody's clock goes: others go first.
#[cfg(netrpc_shuttle)]
pub(crate) fn sleep(_: std::time::Duration) {
    thread::yield_now();
}

/// A value that is there as long as the process, or as the model.
#[cfg(not(netrpc_shuttle))]
macro_rules! global {
    ($name:ident: $type:ty = $value:expr) => {
        static $name: $type = $value;
    };
}

#[cfg(netrpc_shuttle)]
macro_rules! global {
    ($name:ident: $type:ty = $value:expr) => {
        shuttle::lazy_static! { static ref $name: $type = $value; }
    };
}

pub(crate) use global;

/// Starts a thread that nobody waits for.
#[cfg(not(netrpc_shuttle))]
pub(crate) fn daemon(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<thread::Thread> {
    let named = thread::Builder::new().name(name.to_owned());
    named.spawn(run).map(|started| started.thread().clone())
}

#[cfg(netrpc_shuttle)]
pub(crate) fn daemon(
    _name: &str,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<thread::Thread> {
    let (tell, told) = shuttle::sync::mpsc::channel();
    // A task, not a thread: nobody waits for it at the end.
    shuttle::future::spawn(async move {
        tell.send(thread::current()).expect("somebody listens");
        run();
    });
    Ok(told.recv().expect("it is told"))
}

/// What tasks and handlers run on.
#[cfg(not(netrpc_shuttle))]
pub(crate) use tokio::runtime::Handle;

#[cfg(netrpc_shuttle)]
pub(crate) use checked::Handle;
#[cfg(netrpc_shuttle)]
pub use checked::{idle, spawn};

/// A runtime whose tasks are shuttle's; it has tokio's clock, which stands still.
#[cfg(netrpc_shuttle)]
mod checked {
    use std::{
        cell::Cell,
        future::{Future, poll_fn},
        task::{Poll, Waker},
    };

    use shuttle::future::JoinHandle;
    use tokio::runtime::{Handle as Real, Id, RuntimeFlavor};

    thread_local! {
        /// Tasks that have not ended. A model has a thread of the system for itself.
        static LIVE: Cell<usize> = const { Cell::new(0) };
        /// Whoever waits for the last of them.
        static WAITING: Cell<Option<Waker>> = const { Cell::new(None) };
    }

    struct Live;

    impl Live {
        fn new() -> Self {
            LIVE.set(LIVE.get() + 1);
            Live
        }
    }

    impl Drop for Live {
        fn drop(&mut self) {
            LIVE.set(LIVE.get() - 1);
            if LIVE.get() == 0
                && let Some(waiting) = WAITING.take()
            {
                waiting.wake();
            }
        }
    }

    /// Waits until every task has ended: to be called at the end of a model, so that none is left
    /// halfway, with a lock in its hands.
    pub fn idle() {
        let last = poll_fn(|cx| {
            if LIVE.get() == 0 {
                return Poll::Ready(());
            }
            WAITING.set(Some(cx.waker().clone()));
            Poll::Pending
        });
        shuttle::future::block_on(last);
    }

    pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let live = Live::new();
        shuttle::future::spawn(async move {
            let value = future.await;
            drop(live);
            value
        })
    }

    #[derive(Debug, Clone)]
    pub(crate) struct Handle(Real);

    impl Handle {
        pub(crate) fn current() -> Self {
            Handle(Real::current())
        }

        pub(crate) fn id(&self) -> Id {
            self.0.id()
        }

        /// As if it had two workers: one that may be blocked, and one to go on with.
        pub(crate) fn runtime_flavor(&self) -> RuntimeFlavor {
            RuntimeFlavor::MultiThread
        }

        pub(crate) fn metrics(&self) -> Metrics {
            Metrics
        }

        pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
        where
            F: Future<Output: Send> + Send + 'static,
        {
            spawn(future)
        }

        /// A task, not a thread: nobody waits for it at the end.
        pub(crate) fn spawn_blocking<T: Send + 'static>(
            &self,
            run: impl FnOnce() -> T + Send + 'static,
        ) -> JoinHandle<T> {
            spawn(async { run() })
        }
    }

    pub(crate) struct Metrics;

    impl Metrics {
        pub(crate) fn num_workers(&self) -> usize {
            2
        }
    }
}
