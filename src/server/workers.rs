//! Handlers on a runtime's own threads, and the watchdog that looks after them.
//!
//! A synchronous handler runs on the worker that read its request: no switch, no wake-up, a few
//! nanoseconds. The price is that it may block. So while handlers run, their connection stands in a
//! slot here, and a thread looks at the slots every [`TICK`]: a connection that is in the same call
//! as a tick ago is taken from its task and goes on in another. At most *workers − 1* handlers run so
//! at once: one worker is always left to go on with, and to drive the runtime's I/O. Where there is
//! but one worker, nobody could go on: only methods that have proved quick run there
//! ([`Pace`](netrpc_core::service::Pace)).

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::runtime::{Id, RuntimeFlavor};

use crate::sync::{
    self, Handle, Mutex,
    atomic::{AtomicBool, AtomicU8, Ordering, fence},
    thread::{self, Thread},
};

/// How often the watchdog looks. A handler that is slower than one to two ticks loses its
/// connection, once: its method runs on the pool from then on. Each look costs a wake-up while calls
/// come in, which at 200 µs was 7 % of a busy server's time.
pub(super) const TICK: Duration = Duration::from_micros(400);

/// Ticks without a call after which the watchdog sleeps until there is one.
const LINGER: u32 = 12;

/// How often to look for a free permit before the call goes to the pool instead, which costs some
/// microseconds: quick handlers give theirs back within nanoseconds.
const SPINS: usize = 100;

/// A connection that may be in a handler.
pub(super) trait Stall: Send + Sync {
    /// Takes the connection from its task if that is in the call it was in at the last look, which
    /// is noted in `seen`. `true` if it did.
    fn take_over(self: Arc<Self>, seen: &mut u64) -> bool;
}

/// The worker threads of one runtime.
pub(super) struct Workers {
    handle: Handle,
    /// How many handlers may run inline at once; 0: none ever.
    limit: usize,
    /// One for each worker.
    lanes: Box<[Lane]>,
}

/// What the connection that a worker is busy with needs at every call. On cache lines of its own, since
/// what all workers write to would be slower the more there are.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    slot: Mutex<Slot>,
    /// What has become of one of the permits to run handlers inline: [`FREE`], [`TAKEN`] or [`WANTED`]. There
    /// is one fewer than there are workers: that of the last lane does not exist.
    permit: AtomicU8,
}

/// Nobody has the permit.
const FREE: u8 = 0;

/// Somebody has it.
const TAKEN: u8 = 1;

/// Somebody has it, and another has looked for it since.
const WANTED: u8 = 2;

#[derive(Default)]
struct Slot {
    /// Counts its users, so that one that was taken over does not clear its successor's.
    user: u64,
    watched: Option<Watched>,
}

struct Watched {
    connection: Arc<dyn Stall>,
    /// The call it was in at the last look.
    seen: u64,
}

impl Workers {
    /// Those of the runtime this is called in.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn current() -> Arc<Self> {
        sync::global!(RUNTIMES: Mutex<Vec<(Id, Weak<Workers>)>> = Mutex::new(Vec::new()));
        let handle = Handle::current();
        let id = handle.id();
        let mut runtimes = RUNTIMES.lock();
        if let Some(workers) = runtimes
            .iter()
            .find(|(known, _)| *known == id)
            .and_then(|(_, workers)| workers.upgrade())
        {
            return workers;
        }
        let workers = Arc::new(Self::new(handle));
        runtimes.retain(|(_, workers)| workers.strong_count() > 0);
        runtimes.push((id, Arc::downgrade(&workers)));
        drop(runtimes);
        if workers.limit > 0 {
            Watchdog::get().runtimes.lock().push(Arc::downgrade(&workers));
        }
        workers
    }

    fn new(handle: Handle) -> Self {
        let workers = match handle.runtime_flavor() {
            RuntimeFlavor::MultiThread => handle.metrics().num_workers(),
            _ => 1,
        };
        let limit = if Watchdog::get().is_there() { workers - 1 } else { 0 };
        let lanes = (0..workers).map(|_| Lane::default()).collect();
        Workers { handle, limit, lanes }
    }

    /// The runtime.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether there is but one: a handler that blocks it blocks the whole runtime.
    pub(super) fn is_single(&self) -> bool {
        self.limit == 0
    }

    /// Puts connection number `number` under the watchdog's eyes; `None` if there is no room.
    ///
    /// Each begins to look for a lane at another, so that most find theirs at once, and as it was left.
    pub(super) fn watch(
        &self,
        number: u64,
        connection: impl FnOnce() -> Arc<dyn Stall>,
    ) -> Option<Watch<'_>> {
        if self.limit == 0 {
            return None;
        }
        let lanes = self.lanes.len();
        let first = (number % lanes as u64) as usize;
        let mut free = (first..first + lanes).map(|index| index % lanes).filter_map(|index| {
            let slot = self.lanes[index].slot.try_lock()?;
            slot.watched.is_none().then_some((index, slot))
        });
        let (index, mut slot) = free.next()?;
        slot.user += 1;
        slot.watched = Some(Watched { connection: connection(), seen: 0 });
        let user = slot.user;
        drop(slot);
        Watchdog::get().wake();
        Some(Watch { workers: self, index, user })
    }

    /// Leave to run handlers inline, one after the other; `None` if all but one of the workers may be in one.
    pub(super) fn permit(&self) -> Option<Permit<'_>> {
        self.permit_from(0)
    }

    /// The same; looked for from this lane on, of which the permit is most likely free.
    fn permit_from(&self, lane: usize) -> Option<Permit<'_>> {
        let permits = &self.lanes[..self.limit];
        if permits.is_empty() {
            return None;
        }
        for attempt in 0..SPINS.max(permits.len()) {
            let Lane { permit, .. } = &permits[(lane + attempt) % permits.len()];
            let (seen, next) = match permit.load(Ordering::Relaxed) {
                FREE => (FREE, TAKEN),
                // Nor was any other free.
                TAKEN if attempt >= permits.len() => (TAKEN, WANTED),
                _ => {
                    std::hint::spin_loop();
                    continue;
                }
            };
            let changed = permit.compare_exchange(seen, next, Ordering::Acquire, Ordering::Relaxed);
            if changed == Ok(FREE) {
                return Some(Permit(permit));
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// Leave to run handlers inline, one after the other.
///
/// To take it anew for each of a batch of quick ones would take as long as they do; so it is kept, and given
/// back between two of them as soon as another looks for it.
pub(super) struct Permit<'a>(&'a AtomicU8);

impl Permit<'_> {
    /// Whether another looks for it, or has done so.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WANTED
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(FREE, Ordering::Release);
    }
}

/// A connection under the watchdog's eyes.
pub(super) struct Watch<'a> {
    workers: &'a Workers,
    index: usize,
    user: u64,
}

impl<'a> Watch<'a> {
    /// Leave to run handlers of this connection inline.
    pub(super) fn permit(&self) -> Option<Permit<'a>> {
        self.workers.permit_from(self.index)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut slot = self.workers.lanes[self.index].slot.lock();
        if slot.user == self.user {
            let watched = slot.watched.take();
            drop(slot);
            drop(watched);
        }
    }
}

/// The thread that looks at every runtime's slots; one in a process.
struct Watchdog {
    runtimes: Mutex<Vec<Weak<Workers>>>,
    /// Whether it sleeps until woken. Set before a last look at the slots; read after a slot was
    /// filled: one of the two sees the other.
    asleep: AtomicBool,
    /// `None` if the thread could not be started: then nothing runs inline.
    thread: OnceLock<Option<Thread>>,
}

impl Watchdog {
    fn get() -> &'static Self {
        sync::global!(
            WATCHDOG: Watchdog = Watchdog {
                runtimes: Mutex::new(Vec::new()),
                asleep: AtomicBool::new(false),
                thread: OnceLock::new(),
            }
        );
        &WATCHDOG
    }

    /// Whether there is a watchdog; starts it if need be.
    fn is_there(&'static self) -> bool {
        let thread =
            self.thread.get_or_init(|| match sync::daemon("netrpc-watchdog", || self.watch()) {
                Ok(started) => Some(started),
                Err(error) => {
                    tracing::error!(%error, "no watchdog: synchronous handlers run on the pool");
                    None
                }
            });
        thread.is_some()
    }

    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::AcqRel)
            && let Some(Some(thread)) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn watch(&self) {
        let mut quiet = 0;
        loop {
            if self.look() {
                quiet = 0;
            } else {
                quiet += 1;
            }
            if quiet < LINGER {
                sync::sleep(TICK);
                continue;
            }
            self.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.look() {
                self.asleep.store(false, Ordering::Relaxed);
            } else {
                while self.asleep.load(Ordering::Acquire) {
                    thread::park();
                }
            }
            quiet = 0;
        }
    }

    /// Looks at every slot once; `true` if one was taken.
    fn look(&self) -> bool {
        let mut busy = false;
        self.runtimes.lock().retain(|workers| {
            let Some(workers) = workers.upgrade() else { return false };
            for lane in &workers.lanes {
                let mut slot = lane.slot.lock();
                let Some(watched) = &mut slot.watched else { continue };
                busy = true;
                if watched.connection.clone().take_over(&mut watched.seen) {
                    let watched = slot.watched.take();
                    drop(slot);
                    drop(watched);
                }
            }
            true
        });
        busy
    }
}

#[cfg(all(test, not(netrpc_shuttle)))]
mod tests {
    use super::*;

    struct Idle;

    impl Stall for Idle {
        fn take_over(self: Arc<Self>, _: &mut u64) -> bool {
            false
        }
    }

    fn watch(workers: &Workers, number: u64) -> Watch<'_> {
        workers.watch(number, || Arc::new(Idle)).expect("there is a lane for each worker")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_permit_is_left_wherever_it_is_looked_for_and_one_worker_never_has_one() {
        let workers = Workers::current();
        // All begin to look at the same lane.
        let watches: Vec<_> = [6, 2, 2, 10].map(|number| watch(&workers, number)).into();
        let mut lanes: Vec<_> = watches.iter().map(|watch| watch.index).collect();
        assert_eq!(lanes[0], 2, "it is that of its number");
        lanes.sort_unstable();
        assert_eq!(lanes, [0, 1, 2, 3]);
        for round in 0..watches.len() {
            let mut permits: Vec<_> = watches.iter().map(Watch::permit).collect();
            assert!(permits[..3].iter().all(Option::is_some), "{round}");
            assert!(permits[3].is_none(), "one worker is always left");
            assert!(workers.permit().is_none());
            assert!(permits[..3].iter().flatten().all(Permit::is_wanted), "all were looked at");
            permits.remove(round % 3);
            let permit = watches[round].permit().expect("one was given back");
            assert!(!permit.is_wanted());
        }
    }
}
