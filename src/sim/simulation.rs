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
    pin::{Pin, pin},
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
    world::{Acts, Clock, Doom, HostId, Millis, Shared, Wish, duration},
};

/// How long a simulation goes on unless set otherwise, in its own time.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// How long it takes at most until a host crashes that is to, in milliseconds; or a step, if that is longer.
const CRASHES_WITHIN: Millis = 50;

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
    end: Option<End>,
}

/// How a host is to crash.
#[derive(Debug, Clone, Copy)]
struct End {
    /// At the latest.
    at: Millis,
    /// How many polls of its tasks come before it, once it is that millisecond.
    polls: u64,
    crash: Crash,
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
        // What was to end the last life does not concern this one.
        self.hosts[id].end = None;
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
                Wish::Crash(id, _) if self.hosts[id].running.is_none() => {}
                Wish::Crash(id, crash) => {
                    let end = self.shared.with(|world| {
                        let random = &mut world.random;
                        let within = step.max(CRASHES_WITHIN);
                        let (at, polls) = (self.now + random.below(within), random.below(24));
                        // Or before, in the middle of what a task does.
                        world.machines[id].doom = match random.below(3) {
                            0 => None,
                            1 => Some(Doom { acts: Acts::All, left: random.below(32), crash }),
                            _ => Some(Doom { acts: Acts::Disk, left: random.below(16), crash }),
                        };
                        End { at, polls, crash }
                    });
                    self.hosts[id].end = Some(end);
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
        let is_near = |end: &mut End| end.at < until;
        let end = self.hosts[id].end.take_if(is_near);
        let is_doomed = end.is_some() || self.hosts[id].end.is_some();
        let Some(running) = &self.hosts[id].running else {
            self.rest(id, until);
            return Ok(());
        };
        let (start, offset, life) = (running.start, running.offset, running.life);
        self.shared.with(|world| world.set_clock(Clock::Runs { start, offset }));
        {
            let mut turn = pin!(self.turn(id, moments(running), end, until));
            running.runtime.block_on(poll_fn(|cx| {
                let is_over = self.shared.with(|world| {
                    if is_doomed {
                        let before = world.machines[id].keeper.replace(cx.waker().clone());
                        world.discard(before);
                    }
                    !world.is_alive(id, life)
                });
                if is_over { Poll::Ready(()) } else { turn.as_mut().poll(cx) }
            }));
        }
        let is_finished = running.main.is_finished();
        let is_alive = self.shared.with(|world| {
            world.set_clock(Clock::Stands(end.map_or(until, |end| end.at)));
            world.is_alive(id, life)
        });
        if is_finished && is_alive {
            return self.ended(id);
        }
        if let (Some(End { crash, .. }), true) = (end, is_alive) {
            self.shared.with(|world| world.stop(id, crash));
        }
        if end.is_some() || !is_alive {
            self.hosts[id].end = None;
            self.hosts[id].running = None;
            self.rest(id, until);
        }
        Ok(())
    }

    /// What arrives at a host that does not run meets its system, or nobody.
    fn rest(&self, id: HostId, until: Millis) {
        self.shared.with(|world| {
            while let Some(arrival) = world.next_arrival(id).filter(|arrival| *arrival < until) {
                world.set_clock(Clock::Stands(arrival));
                world.deliver(id);
            }
        });
    }

    /// What a host has of a step.
    async fn turn(
        &self,
        id: HostId,
        moment: impl Fn(Millis) -> Instant,
        end: Option<End>,
        until: Millis,
    ) {
        let go_on = async |until: Millis| {
            let next = || self.shared.with(|world| world.next_arrival(id));
            while let Some(arrival) = next().filter(|arrival| *arrival < until) {
                sleep_until(moment(arrival)).await;
                self.shared.with(|world| world.deliver(id));
            }
            sleep_until(moment(until)).await;
        };
        let Some(End { at, polls: mut left, .. }) = end else { return go_on(until).await };
        go_on(at).await;
        poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
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
        let until = self.shared.with(|world| world.horizon);
        self.rest(id, until);
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

/// The host's own instants.
fn moments(running: &Running) -> impl Fn(Millis) -> Instant + use<> {
    let (start, offset) = (running.start, running.offset);
    move |at| start + duration(at - offset)
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
