//! A timer that costs nothing while it has not rung.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Tells a task when a time has come.
///
/// The task of a busy connection asks before each sleep, thousands of times until it rings once. To poll
/// tokio's timer each time would be a fiftieth of a call's time where there are many connections, most of it
/// to fetch the timer from memory. So the timer rings a [`Bell`], and is polled only after that.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// When it rings.
    time: Instant,
    /// Both are there once it was asked.
    bell: Option<Arc<Bell>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What the timer wakes, and the task behind it.
#[derive(Debug)]
struct Bell {
    /// The timer is to be polled: it may have rung, or was set anew.
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order: whoever is woken looks for it.
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Alarm {
    /// Rings at this time.
    pub(crate) fn new(time: Instant) -> Self {
        Alarm { time, bell: None, sleep: None }
    }

    /// Rings at this time, and not at the one it was set to before.
    #[inline]
    pub(crate) fn set(&mut self, time: Instant) {
        if time != self.time {
            self.time = time;
            if let Some(bell) = &self.bell {
                bell.rung.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether the time has come; if not, the task is woken when it does.
    #[inline]
    pub(crate) fn has_rung(&mut self, cx: &mut Context<'_>) -> bool {
        match &self.bell {
            Some(bell) if same(&bell.task, cx.waker()) => {
                bell.rung.load(Ordering::Acquire) && self.look(cx)
            }
            _ => self.look(cx),
        }
    }

    /// Polls the timer.
    #[cold]
    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        let bell = self.bell.take().filter(|bell| same(&bell.task, cx.waker()));
        let bell = bell.unwrap_or_else(|| {
            Arc::new(Bell { rung: AtomicBool::new(false), task: cx.waker().clone() })
        });
        // Before the timer is polled: what it rings after that is seen.
        bell.rung.store(false, Ordering::Release);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(self.time)));
        if sleep.deadline() != self.time {
            sleep.as_mut().reset(self.time);
        }
        let waker = Waker::from(bell.clone());
        let rung = sleep.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
        if rung {
            // Asked again, it says so again.
            bell.rung.store(true, Ordering::Relaxed);
        }
        self.bell = Some(bell);
        rung
    }
}

/// Whether both wake the same. [`Waker::will_wake`] can take a waker and its clone for two.
pub(crate) fn same(one: &Waker, other: &Waker) -> bool {
    one.data() == other.data()
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize, time::Duration};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (count.clone(), Waker::from(count))
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_its_time_and_goes_on_saying_so_until_it_is_set() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun + SECOND);
        for seconds in [1, 3, 4] {
            alarm.set(begun + seconds * SECOND);
            poll_fn(|cx| if alarm.has_rung(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            assert_eq!(begun.elapsed().as_secs(), u64::from(seconds));
            assert!(poll_fn(|cx| Poll::Ready(alarm.has_rung(cx))).await, "still");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_asks_again_and_again_is_woken_once_at_the_time_set_last() {
        let (count, waker) = counting();
        let mut cx = Context::from_waker(&waker);
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun + SECOND);
        for _ in 0..10 {
            assert!(!alarm.has_rung(&mut cx));
        }
        for later in [3, 2] {
            alarm.set(begun + later * SECOND);
            assert!(!alarm.has_rung(&mut cx));
        }
        tokio::time::sleep(SECOND + SECOND / 2).await;
        assert_eq!(count.0.load(Ordering::Relaxed), 0, "no longer set to that");
        assert!(!alarm.has_rung(&mut cx));
        tokio::time::sleep(SECOND).await;
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(alarm.has_rung(&mut cx));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asked_last_is_woken() {
        let (first, second) = (counting(), counting());
        let mut alarm = Alarm::new(Instant::now() + SECOND);
        for (_, waker) in [&first, &second] {
            assert!(!alarm.has_rung(&mut Context::from_waker(waker)));
        }
        tokio::time::sleep(2 * SECOND).await;
        let woken = [&first, &second].map(|(count, _)| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
        assert!(alarm.has_rung(&mut Context::from_waker(&second.1)));
    }
}
