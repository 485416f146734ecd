//! Hosts, each a runtime of its own, and the clock that they share.
//!
//! Time goes on in steps as long as the network's shortest latency. Within a step no host can have heard of
//! what another does in it, so they take it one after the other, each in its own time: its runtime's
//! clock is paused and goes from timer to timer, and from one arrival of something to the next. This is
//! the conservative scheme of Chandy and Misra (1979), with one thread and a common step.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use netrpc_core::error::chain;
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    Counts, Crash, Host, Network, Result,
    world::{Clock, HostId, Millis, Shared, Wish, duration},
};

/// How long a simulation goes on unless set otherwise, in its own time.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// How many polls of a host's tasks may come before its end, once it is the millisecond of its end.
const LAST_POLLS: u64 = 24;

/// Several hosts in one thread, with a network and disks between them that fail as a seed decides.
///
/// See the [module](super).
pub struct Simulation {
    seed: u64,
    shared: Shared,
    now: Millis,
    limit: Duration,
    hosts: Vec<Software>,
}

type Process = Pin<Box<dyn Future<Output = Result> + Send>>;
type Starts = Box<dyn Fn(Host) -> Process>;

/// A host's software.
struct Software {
    name: String,
    /// `None` if it can run but once.
    starts: Option<Starts>,
    running: Option<Running>,
    /// When it is to crash in this step, and after how many polls then.
    end: Option<(Millis, u64, Crash)>,
}

/// A host's process.
struct Running {
    // Before the runtime, so that it is not its drop that ends the task.
    main: JoinHandle<Result>,
    runtime: Runtime,
    start: Instant,
    /// When it was started.
    offset: Millis,
    life: u64,
}

impl Simulation {
    /// A network without hosts, in which everything is as this seed decides.
    pub fn new(seed: u64) -> Self {
        let shared = Shared::new(seed);
        Simulation { seed, shared, now: 0, limit: LIMIT, hosts: Vec::new() }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How long the simulation may go on, in its own time; an hour unless set. Then [`run`](Self::run) fails.
    pub fn limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The network.
    pub fn network(&self) -> Network {
        Network::new(self.shared.clone())
    }

    /// How often what has gone wrong so far.
    pub fn counts(&self) -> Counts {
        self.network().counts()
    }

    /// How long it has gone on.
    pub fn now(&self) -> Duration {
        duration(self.now)
    }

    /// Adds a host and starts its software, which is started again by [`Network::restart`].
    ///
    /// When the future ends the process does, as a program ends with its `main`: whatever it has spawned is
    /// dropped. An error of it ends the simulation.
    ///
    /// # Panics
    /// If there is a host of this name.
    pub fn host<F, S>(&mut self, name: &str, software: F)
    where
        F: Fn(Host) -> S + 'static,
        S: Future<Output = Result> + Send + 'static,
    {
        let starts: Starts = Box::new(move |host| Box::pin(software(host)));
        let id = self.add(name, Some(starts));
        self.boot(id);
    }

    /// Runs software on another host, and everything else, until it is done; gives what it gives.
    ///
    /// # Errors
    /// The software's, or that of another host's, or that the [limit](Self::limit) was reached.
    ///
    /// # Panics
    /// If software panics, with its words; if there is a host of this name; inside a tokio runtime.
    pub fn run<T, S>(&mut self, name: &str, software: impl FnOnce(Host) -> S) -> Result<T>
    where
        T: Send + 'static,
        S: Future<Output = Result<T>> + Send + 'static,
    {
        let id = self.add(name, None);
        let outcome = Arc::new(Mutex::new(None));
        let told = outcome.clone();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        self.launch(id, |host| {
            let software = software(host);
            Box::pin(async move {
                let outcome = software.await;
                *told.lock() = Some(outcome);
                done.store(true, Ordering::Relaxed);
                Ok(())
            })
        });
        while !is_done.load(Ordering::Relaxed) {
            if self.now() >= self.limit {
                let limit = self.limit;
                return Err(self.failed(format_args!("{name} was not done after {limit:?}")));
            }
            self.step()?;
            if self.hosts[id].running.is_none() && !is_done.load(Ordering::Relaxed) {
                return Err(self.failed(format_args!("{name} crashed before it was done")));
            }
        }
        let outcome = outcome.lock().take();
        outcome.expect("it is done")
    }

    /// Lets everything go on for this long.
    ///
    /// # Errors
    /// If a host's software ends with an error.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn run_for(&mut self, time: Duration) -> Result {
        let end = self.now() + time;
        while self.now() < end {
            self.step()?;
        }
        Ok(())
    }

    /// A number that stands for everything that happened on the network and to the hosts so far: two runs that
    /// differ in any byte or time have different ones.
    pub fn trace_hash(&self) -> u64 {
        self.shared.with(|world| world.trace.hash())
    }

    /// Has what happens from now on be kept as text.
    pub fn record_trace(&mut self) {
        self.shared.with(|world| world.trace.record());
    }

    /// What has happened since it was to be kept, a line each.
    pub fn trace(&self) -> Vec<String> {
        self.shared.with(|world| world.trace.lines().to_vec())
    }

    fn add(&mut self, name: &str, starts: Option<Starts>) -> HostId {
        assert!(
            !self.hosts.iter().any(|host| host.name == name),
            "there is a host {name:?} already"
        );
        self.hosts.push(Software { name: name.to_owned(), starts, running: None, end: None });
        self.shared.with(|world| world.add_machine(name))
    }

    /// Starts a host's software, if it does not run and can be started.
    fn boot(&mut self, id: HostId) {
        let software = &self.hosts[id];
        if software.running.is_some() {
            return;
        }
        let Some(starts) = self.hosts[id].starts.take() else { return };
        self.launch(id, &starts);
        self.hosts[id].starts = Some(starts);
    }

    fn launch(&mut self, id: HostId, starts: impl FnOnce(Host) -> Process) {
        let life = self.shared.with(|world| world.start(id));
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            // So that its end can come after each poll of a task.
            .event_interval(1)
            .build()
            .expect("a runtime without sockets needs nothing of the system");
        let start = runtime.block_on(async { Instant::now() });
        let clock = Clock::Runs { start, offset: self.now };
        let host = Host::new(self.shared.clone(), id, life);
        self.shared.with(|world| world.set_clock(clock));
        let main = {
            let _entered = runtime.enter();
            let main = starts(host);
            runtime.spawn(main)
        };
        self.shared.with(|world| world.set_clock(Clock::Stands(self.now)));
        let running = Running { main, runtime, start, offset: self.now, life };
        self.hosts[id].running = Some(running);
    }

    /// Lets every host go on until the end of the next step.
    fn step(&mut self) -> Result {
        let (wishes, step) = self.shared.with(|world| {
            world.horizon = self.now;
            (std::mem::take(&mut world.wishes), world.lookahead())
        });
        for wish in wishes {
            match wish {
                // It is to crash first.
                Wish::Start(id) if self.hosts[id].end.is_some() => {
                    self.shared.with(|world| world.wishes.push(wish));
                }
                Wish::Start(id) => self.boot(id),
                Wish::Crash(id, crash) => {
                    let (after, polls) = self
                        .shared
                        .with(|world| (world.random.below(step), world.random.below(LAST_POLLS)));
                    self.hosts[id].end = Some((self.now + after, polls, crash));
                }
            }
        }
        let until = self.now + step;
        self.shared.with(|world| world.horizon = until);
        for id in 0..self.hosts.len() {
            self.go_on(id, until)?;
        }
        self.now = until;
        self.shared.with(|world| world.set_clock(Clock::Stands(until)));
        Ok(())
    }

    /// Lets a host go on until the end of the step, or until its own.
    fn go_on(&mut self, id: HostId, until: Millis) -> Result {
        let end = self.hosts[id].end.take();
        let next = || self.shared.with(|world| world.next_arrival(id));
        let Some(running) = &self.hosts[id].running else {
            // What arrives meets the system, or nobody.
            while let Some(arrival) = next().filter(|arrival| *arrival < until) {
                self.shared.with(|world| {
                    world.set_clock(Clock::Stands(arrival));
                    world.deliver(id);
                });
            }
            return Ok(());
        };
        let (start, offset) = (running.start, running.offset);
        self.shared.with(|world| world.set_clock(Clock::Runs { start, offset }));
        let at = end.map_or(until, |(at, ..)| at);
        let polls = end.map_or(0, |(_, polls, _)| polls);
        let moment = |at| start + duration(at - offset);
        running.runtime.block_on(async {
            while let Some(arrival) = next().filter(|arrival| *arrival < at) {
                sleep_until(moment(arrival)).await;
                self.shared.with(|world| world.deliver(id));
            }
            sleep_until(moment(at)).await;
            let mut left = polls;
            poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        self.shared.with(|world| world.set_clock(Clock::Stands(at)));
        if running.main.is_finished() {
            return self.ended(id);
        }
        if let Some((_, _, crash)) = end {
            self.shared.with(|world| world.stop(id, crash));
            self.hosts[id].running = None;
        }
        Ok(())
    }

    /// A host's software has ended by itself.
    fn ended(&mut self, id: HostId) -> Result {
        let Some(running) = self.hosts[id].running.take() else { return Ok(()) };
        let Running { main, runtime, life, .. } = running;
        let outcome = runtime.block_on(main);
        // While it is still alive, so that its connections end as those of a program do.
        drop(runtime);
        self.shared.with(|world| {
            if world.is_alive(id, life) {
                world.machines[id].is_up = false;
                world.note_of(id, "ends");
            }
        });
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let name = &self.hosts[id].name;
                Err(self.failed(format_args!("host {name} failed: {}", chain(&*error))))
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => Err(error.into()),
            },
        }
    }

    fn failed(&self, what: fmt::Arguments<'_>) -> Box<dyn std::error::Error + Send + Sync> {
        format!("{what} (seed {}, after {:?})", self.seed, self.now()).into()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.shared.with(|world| world.set_clock(Clock::Stands(self.now)));
        if std::thread::panicking() {
            eprintln!("the simulation's seed was {}, and it was at {:?}", self.seed, self.now());
        }
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}
