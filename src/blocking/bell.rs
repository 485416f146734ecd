//! What wakes the connection's task: whoever drives it hears at once, or looks before he sleeps.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use crate::sync::atomic::{AtomicU8, Ordering};

/// Nobody has rung, and nobody sleeps.
const QUIET: u8 = 0;
/// The task wants to be polled.
const RUNG: u8 = 1;
/// Whoever drives the task sleeps, and nobody has rung since.
const ASLEEP: u8 = 2;

/// The waker of the connection's task.
///
/// ```text
///            ring            drive
///   QUIET ─────────▶ RUNG ─────────▶ QUIET
///     │ sleep          ▲
///     ▼        ring    │
///   ASLEEP ────────────┘  and the sleeper is woken
///     └──▶ QUIET  when he wakes for another reason
/// ```
///
/// To ring while nobody sleeps wakes nobody: the thread that drives looks here before it sleeps, and one
/// that comes later looks first.
#[derive(Debug)]
pub(super) struct Bell {
    state: AtomicU8,
    sleeper: Waker,
}

impl Bell {
    /// One that wakes `sleeper`.
    pub(super) fn new(sleeper: Waker) -> Self {
        Bell { state: AtomicU8::new(QUIET), sleeper }
    }

    pub(super) fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            self.sleeper.wake_by_ref();
        }
    }

    /// Whether it was rung. It is quiet now; whoever asks is awake.
    pub(super) fn hush(&self) -> bool {
        self.state.swap(QUIET, Ordering::AcqRel) == RUNG
    }

    /// Whether whoever drives may sleep: not if it was rung in the meantime.
    pub(super) fn sleep(&self) -> bool {
        let slept = self.state.compare_exchange(QUIET, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        slept.is_ok()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(all(test, not(netrpc_shuttle)))]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Sleeper(AtomicUsize);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn each_state_and_what_becomes_of_it() {
        let sleeper = Arc::new(Sleeper::default());
        let woken = || sleeper.0.load(Ordering::SeqCst);
        let bell = |state| {
            let bell = Bell::new(sleeper.clone().into());
            bell.state.store(state, Ordering::SeqCst);
            bell
        };
        let state = |bell: &Bell| bell.state.load(Ordering::SeqCst);
        for (from, wakes) in [(QUIET, 0), (RUNG, 0), (ASLEEP, 1)] {
            let (bell, before) = (bell(from), woken());
            bell.ring();
            assert_eq!((state(&bell), woken() - before), (RUNG, wakes), "ring, {from}");
        }
        for (from, rung) in [(QUIET, false), (RUNG, true), (ASLEEP, false)] {
            let bell = bell(from);
            assert_eq!((bell.hush(), state(&bell)), (rung, QUIET), "hush, {from}");
        }
        for (from, to, sleeps) in [(QUIET, ASLEEP, true), (RUNG, RUNG, false)] {
            let bell = bell(from);
            assert_eq!((bell.sleep(), state(&bell)), (sleeps, to), "sleep, {from}");
        }
    }

    #[test]
    fn no_ring_is_slept_through() {
        struct Unpark(thread::Thread);

        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        const EACH: usize = 20_000;
        let bell = Arc::new(Bell::new(Arc::new(Unpark(thread::current())).into()));
        let rung = Arc::new(AtomicUsize::new(0));
        let ringers = [0; 3].map(|_| {
            let (bell, rung) = (Waker::from(bell.clone()), rung.clone());
            thread::spawn(move || {
                for _ in 0..EACH {
                    rung.fetch_add(1, Ordering::SeqCst);
                    bell.wake_by_ref();
                }
            })
        });
        // A ring that was slept through would leave this asleep for ever.
        let mut seen = 0;
        while seen < ringers.len() * EACH {
            if bell.hush() {
                seen = rung.load(Ordering::SeqCst);
            } else if bell.sleep() {
                thread::park();
            }
        }
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
    }
}
