//! The connection's task, driven by the thread that waits, as a part of the future that it waits for.
//!
//! A task of the runtime would be polled after that future, and the runtime look at its sockets once more
//! before the future saw what the task has read. So a thread that calls writes its request, sleeps once,
//! reads the reply and leaves.
//!
//! Of several threads that wait in a current-thread runtime one drives it. The runtime wakes whichever that is
//! by one and the same waker; a future that is polled with it is at the helm, and polls the connection's task.
//! When its thread leaves, the runtime lets another drive, and polls the future of that one at first.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::{runtime::Runtime, task::unconstrained};

use super::bell::Bell;
use crate::sync::Mutex;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a blocking client's connection is driven from.
pub(super) struct Helm {
    /// That of the connection that was made last. It is taken out while it is polled.
    task: Mutex<Option<Task>>,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
    /// That of whoever drives the runtime.
    driver: Waker,
}

thread_local! {
    /// The helm of the client that this thread waits in.
    static HERE: RefCell<Option<Arc<Helm>>> = const { RefCell::new(None) };
    /// Whether this thread polls a connection's task at the helm.
    static STEERS: Cell<bool> = const { Cell::new(false) };
}

/// Takes a connection's task over if this thread waits in a blocking client; gives it back if not.
pub(crate) fn adopt<T>(task: T) -> Option<T>
where
    T: Future<Output = ()> + Send + 'static,
{
    let Some(helm) = HERE.with_borrow(Clone::clone) else { return Some(task) };
    // Without a budget: a thread that leaves forgets what the runtime has put off for want of one.
    helm.seat(Box::pin(unconstrained(task)));
    helm.bell.ring();
    None
}

/// Whether what is polled is a connection's task at the helm. It wakes itself to let others go first: its thread
/// looks at the sockets before it polls it again, or leaves it to the next.
pub(crate) fn steers() -> bool {
    STEERS.get()
}

impl Helm {
    /// That of a current-thread runtime. `None` if it does not wake all who drive it by one waker: connections
    /// are tasks like others then.
    pub(super) fn of(runtime: &Runtime) -> Option<Arc<Self>> {
        let driver = runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
        let is_the_same = runtime.block_on(poll_fn(|cx| Poll::Ready(same(cx.waker(), &driver))));
        if !is_the_same {
            return None;
        }
        let bell = Arc::new(Bell::new(driver.clone()));
        let waker = Waker::from(bell.clone());
        Some(Arc::new(Helm { task: Mutex::new(None), bell, waker, driver }))
    }

    /// Waits for `future` in the runtime, whose helm this is.
    pub(super) fn block_on<F: Future>(self: &Arc<Self>, runtime: &Runtime, future: F) -> F::Output {
        let _here = Here::enter(self);
        let mut future = pin!(future);
        runtime.block_on(poll_fn(|cx| self.poll(future.as_mut(), cx)))
    }

    /// Whether there is a task, as far as can be told while others may be polling it.
    pub(super) fn is_manned(&self) -> bool {
        self.task.lock().is_some()
    }

    /// Drops the task.
    pub(super) fn abandon(&self) {
        let task = self.task.lock().take();
        drop(task); // not under the lock
    }

    fn poll<F: Future>(&self, mut future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !same(cx.waker(), &self.driver) {
            return future.poll(cx); // another thread is at the helm
        }
        self.drive(); // it may read what the future waits for
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        self.drive(); // it writes what the future has queued
        if !self.bell.sleep() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Polls the task, if it wants to be.
    fn drive(&self) {
        if !self.bell.hush() {
            return;
        }
        let Some(mut task) = self.task.lock().take() else { return };
        let cx = &mut Context::from_waker(&self.waker);
        STEERS.set(true);
        // As in a task of the runtime, a panic ends the connection. It is not one of the caller's who is here.
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx)));
        STEERS.set(false);
        if let Ok(Poll::Pending) = polled {
            self.seat(task);
        }
    }

    /// Puts a task into its place. If another is there, of a connection that still has calls to be answered, the
    /// runtime has that one from now on.
    fn seat(&self, task: Task) {
        let earlier = self.task.lock().replace(task);
        if let Some(earlier) = earlier {
            tokio::spawn(earlier);
        }
    }
}

/// Whether both wake the same. [`Waker::will_wake`] can take a waker and its clone for two.
fn same(one: &Waker, other: &Waker) -> bool {
    one.data() == other.data()
}

/// While it lives, this thread waits in a blocking client.
struct Here;

impl Here {
    fn enter(helm: &Arc<Helm>) -> Self {
        HERE.set(Some(helm.clone()));
        Here
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// A task that counts its polls, and wakes `future` at each; and its waker.
    struct Counted {
        polls: AtomicU32,
        task: Mutex<Option<Waker>>,
        future: Mutex<Option<Waker>>,
    }

    impl Counted {
        fn at(helm: &Arc<Helm>, runtime: &Runtime) -> Arc<Self> {
            let counted = Arc::new(Counted {
                polls: AtomicU32::new(0),
                task: Mutex::new(None),
                future: Mutex::new(None),
            });
            let task = counted.clone();
            helm.block_on(runtime, async {
                let adopted = adopt(poll_fn(move |cx| {
                    task.polls.fetch_add(1, Ordering::SeqCst);
                    *task.task.lock() = Some(cx.waker().clone());
                    task.future.lock().take().inspect(Waker::wake_by_ref);
                    Poll::Pending
                }));
                assert!(adopted.is_none());
            });
            assert!(helm.is_manned());
            counted
        }

        fn polls(&self) -> u32 {
            self.polls.load(Ordering::SeqCst)
        }

        fn wake(&self) {
            self.task.lock().take().expect("it was polled").wake();
        }
    }

    #[test]
    fn tokio_wakes_all_who_drive_a_runtime_by_one_waker() {
        let runtime = runtime();
        let helm = Helm::of(&runtime).expect("it is so");
        let elsewhere = std::thread::scope(|scope| {
            let there = || runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().data() as usize)));
            scope.spawn(there).join().unwrap()
        });
        assert_eq!(elsewhere, helm.driver.data() as usize);
    }

    #[test]
    fn the_task_is_polled_before_and_after_the_future_where_it_was_woken() {
        let runtime = runtime();
        let helm = Helm::of(&runtime).unwrap();
        let counted = Counted::at(&helm, &runtime);
        assert_eq!(counted.polls(), 0, "the future was ready at once");
        let mut seen = Vec::new();
        let future = poll_fn(|cx| {
            seen.push(counted.polls());
            match seen.len() {
                // As a call that queues its request.
                1 => {
                    *counted.future.lock() = Some(cx.waker().clone());
                    counted.wake();
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        });
        helm.block_on(&runtime, future);
        assert_eq!(seen, [1, 2], "it was adopted, and then woken");
        helm.block_on(&runtime, async {});
        assert_eq!(counted.polls(), 2, "nobody has woken it");
        counted.wake();
        helm.block_on(&runtime, async {});
        assert_eq!(counted.polls(), 3, "it was woken while nobody was there");
    }

    #[test]
    fn a_task_that_panics_is_dropped_and_the_caller_goes_on() {
        let runtime = runtime();
        let helm = Helm::of(&runtime).unwrap();
        helm.block_on(&runtime, async {
            let adopted = adopt(async { panic!("of the task's own") });
            assert!(adopted.is_none());
        });
        assert_eq!(helm.block_on(&runtime, async { 7 }), 7);
        assert!(!helm.is_manned() && !steers());
    }

    #[test]
    fn a_second_task_leaves_the_first_to_the_runtime() {
        let runtime = runtime();
        let helm = Helm::of(&runtime).unwrap();
        let first = Counted::at(&helm, &runtime);
        let second = Counted::at(&helm, &runtime);
        helm.block_on(&runtime, tokio::task::yield_now());
        assert_eq!(
            (first.polls(), second.polls()),
            (2, 1),
            "the first also before the second came"
        );
        first.wake();
        second.wake();
        helm.block_on(&runtime, tokio::task::yield_now());
        assert_eq!((first.polls(), second.polls()), (3, 2));
        helm.abandon();
        assert_eq!(Arc::strong_count(&second), 1, "its task is gone");
        drop(runtime);
        assert_eq!(Arc::strong_count(&first), 1);
    }

    #[test]
    fn nobody_else_gives_tasks_away() {
        assert!(adopt(async {}).is_some());
        let runtime = runtime();
        let helm = Helm::of(&runtime).unwrap();
        helm.block_on(&runtime, async {});
        assert!(adopt(async {}).is_some(), "it has left");
    }
}
