//! A call's way to its handler, where something stands before the handlers: checks, layers.
//!
//! Such a call is a future: the checks one after the other, then the layers, at its end the handler.
//! It is polled first where its request was read, under the eyes of the watchdog like an asynchronous
//! handler, so what is ready at once costs no switch; what is not, is spawned.
//!
//! A layer can do anything with the handler it is given: run it twice, drop it half-way, answer
//! before it has ended. So a [`Passage`] knows how many handlers run, and
//!
//! - a call is answered once, and no handler begins after that;
//! - a handler that still runs then keeps the call's slot until it ends;
//! - one that is marked `no_cancel` goes on when a layer drops it;
//! - an answer does not promise that the method has not run when it has.

use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, Waker},
    time::Instant,
};

use netrpc_core::{
    CallId, Cancellation, Context, Fault,
    dialect::Protocol,
    fault::FaultCode,
    service::{Body, Entry, EntryHandler, Finished, HandlerFuture, ReplyBuf},
    session,
    wire::{Frame, FrameStart, RequestHead},
};
use parking_lot::{Mutex, MutexGuard};

use super::{
    SyncPolicy,
    answer::{self, Panic, Reply},
    authorize::{CallInfo, Named},
    call::{self, Turn},
    connection::{Connection, Stream, Watched},
    driver::{Driver, Inline},
    workers::{Permit, TICK},
};
use crate::{
    client::now,
    observe::{Here, ServedCall},
};

/// What a call asks for: a method, or something that there is not.
pub(super) type Target = Result<Arc<Entry>, Box<Missing>>;

/// What is asked for and cannot be run.
#[derive(Debug)]
pub(super) struct Missing {
    /// As the caller wrote it.
    pub(super) name: Arc<str>,
    /// What the caller is told, if it may know.
    pub(super) fault: Fault,
}

impl Missing {
    pub(super) fn new(name: &str, fault: Fault) -> Box<Self> {
        Box::new(Missing { name: name.into(), fault })
    }
}

/// A call on its way: what all who see it share.
pub(super) struct Passage<IO: Stream> {
    connection: Arc<Connection<IO>>,
    seq: u64,
    protocol: Protocol,
    target: Target,
    cancellation: Cancellation,
    deadline: Option<Instant>,
    /// The call is polled on the connection's own task, and nobody could replace that.
    exposed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Handlers that run.
    running: usize,
    /// Whether one has run, wholly or in part.
    ran: bool,
    slot: Slot,
    /// A buffer for the first reply.
    spare: Option<Unsealed>,
}

/// What has become of the call's slot.
#[derive(PartialEq, Eq)]
enum Slot {
    /// The call is not answered.
    Open,
    /// It is.
    Answered,
    /// It is, and the slot is free when the last handler has ended.
    Lingering,
}

/// A reply's frame that has begun.
type Unsealed = (FrameStart, ReplyBuf);

type Walk = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>;

/// A call that was not answered at its first poll, and the duty to answer it.
pub(super) struct Walking<IO: Stream> {
    passage: Arc<Passage<IO>>,
    observed: Option<ServedCall>,
    /// `None` once it is answered.
    walk: Option<Walk>,
}

impl<IO: Stream> Connection<IO> {
    /// Has a call pass the checks and layers.
    pub(super) fn pass<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        target: Target,
        frame: Frame,
        deadline: Option<Instant>,
        watched: &mut Watched<'a>,
    ) -> Turn {
        let seq = frame.seq;
        let metadata = RequestHead::parse(frame.head())
            .map_or_else(|_| Default::default(), |head| head.metadata.decode());
        let id = CallId { connection: self.plain.call_id().connection, seq };
        let cancellation = Cancellation::new();
        let observed = Some(self.observe(target.as_ref().ok(), &frame));
        let cx =
            Context::new(id, self.caller.clone(), deadline, metadata, cancellation.clone(), now)
                .with_extensions(self.extensions.clone())
                .in_span(observed.as_ref().and_then(ServedCall::trace));
        let body = Body::new(frame.into_body(), driver.format());
        let watched = self.server.policy == SyncPolicy::Auto && self.watch(watched);
        let passage = Arc::new(Passage {
            connection: self.clone(),
            seq,
            protocol: driver.protocol(),
            target,
            cancellation: cancellation.clone(),
            deadline,
            exposed: AtomicBool::new(!watched),
            state: Mutex::new(State {
                running: 0,
                ran: false,
                slot: Slot::Open,
                spare: Some(answer::begin(std::mem::take(&mut driver.scratch), &body)),
            }),
        });
        let inline = Inline { seq, cancellation: Some(cancellation) };
        let (first, turn) = self.unlocked(driver, inline, || {
            let first = answer::catch(|| {
                let mut walk: Walk = Box::pin(passage.clone().walk(cx, body));
                // Whatever wakes this waker is noticed when the task that gets the future polls it.
                let mut cx = TaskContext::from_waker(Waker::noop());
                match enter(observed.as_ref(), || walk.as_mut().poll(&mut cx)) {
                    Poll::Ready(outcome) => Ok(outcome),
                    Poll::Pending => Err(walk),
                }
            });
            passage.exposed.store(false, Ordering::Relaxed);
            first
        });
        let outcome = match first {
            Ok(Ok(outcome)) => outcome,
            Err(panic) => Err(panicked(&panic)),
            Ok(Err(walk)) => {
                let cancellation = passage.cancellation.clone();
                let walking = Walking { passage, observed, walk: Some(walk) };
                match turn {
                    Turn::Ours => {
                        driver.started(seq, cancellation);
                        driver.walking.push(walking);
                    }
                    Turn::HandedOver => MutexGuard::unlocked(driver, || {
                        tokio::spawn(walking.arrive());
                    }),
                }
                return turn;
            }
        };
        let (mut frame, lingers) = passage.conclude(outcome, observed);
        match turn {
            Turn::Ours => {
                driver.output.push(&mut frame);
                driver.scratch = frame;
                if lingers {
                    driver.session.lingers(seq);
                    MutexGuard::unlocked(driver, || passage.linger());
                }
            }
            Turn::HandedOver => MutexGuard::unlocked(driver, || passage.post(frame, lingers)),
        }
        turn
    }
}

impl<IO: Stream> Walking<IO> {
    /// Polls the call to its end, unless nobody waits for it any more.
    pub(super) async fn arrive(mut self) {
        let passage = self.passage.clone();
        let walk = self.walk.as_mut().expect("it is not answered yet");
        let observed = self.observed.as_ref();
        let done =
            poll_fn(|cx| match answer::catch(|| enter(observed, || walk.as_mut().poll(cx))) {
                Ok(poll) => poll,
                Err(panic) => Poll::Ready(Err(panicked(&panic))),
            });
        let outcome = tokio::select! {
            biased;
            outcome = done => outcome,
            fault = passage.given_up() => Err(fault),
        };
        // What is not done is dropped, before its answer says what it has come to.
        let dropped = answer::catch(|| enter(self.observed.as_ref(), || self.walk = None));
        let outcome = dropped.map_or_else(|panic| Err(panicked(&panic)), |()| outcome);
        let (frame, lingers) = passage.conclude(outcome, self.observed.take());
        passage.post(frame, lingers);
    }
}

impl<IO: Stream> Drop for Walking<IO> {
    fn drop(&mut self) {
        if self.walk.take().is_some() {
            let text = "the server's runtime shut down while the call ran";
            let fault = Fault::with_code(FaultCode::Cancelled, text);
            let (frame, lingers) = self.passage.conclude(Err(fault), self.observed.take());
            self.passage.post(frame, lingers);
        }
    }
}

impl<IO: Stream> Passage<IO> {
    /// The whole way.
    async fn walk(self: Arc<Self>, mut cx: Context, body: Body) -> Result<Reply, Fault> {
        for check in &self.connection.server.hooks.authorize {
            let call = CallInfo::new(cx.clone(), self.named(), self.protocol);
            check.check(call, &mut cx).await?;
        }
        self.handle(cx, body).await
    }

    fn named(&self) -> Named {
        match &self.target {
            Ok(entry) => Named::Method(entry.clone()),
            Err(missing) => Named::Unknown(missing.name.clone()),
        }
    }

    /// Runs the handler, as often as it is asked to.
    async fn handle(self: Arc<Self>, cx: Context, body: Body) -> Result<Reply, Fault> {
        let entry = match &self.target {
            Ok(entry) => entry.clone(),
            Err(missing) => return Err(missing.fault.clone()),
        };
        let (run, spare) = self.clone().run()?;
        let (start, mut reply) = spare.unwrap_or_else(|| answer::begin(Vec::new(), &body));
        let cx = if entry.options().context { cx } else { self.connection.plain.clone() };
        if let EntryHandler::Async(handler) = entry.handler() {
            let future = handler.call(cx.clone(), body, reply);
            let (reply, outcome) =
                Handling { future: Some(future), run: Some(run), detached: false }.await;
            outcome?;
            return Ok(Reply { start, reply, metadata: metadata(&entry, &cx) });
        }
        let Some(place) = self.place(&entry) else {
            return self.handle_on_pool(run, entry, cx, body, (start, reply)).await;
        };
        let begun = Instant::now();
        let outcome = answer::catch(|| call::call_sync(&entry, &cx, &body, &mut reply));
        self.judge(&entry, begun);
        drop(place);
        run.end(answer::outcome(&entry, outcome))?;
        Ok(Reply { start, reply, metadata: metadata(&entry, &cx) })
    }

    /// The same on the thread pool.
    async fn handle_on_pool(
        self: Arc<Self>,
        run: Run<IO>,
        entry: Arc<Entry>,
        cx: Context,
        body: Body,
        (start, mut reply): Unsealed,
    ) -> Result<Reply, Fault> {
        let handle = self.connection.workers.handle().clone();
        let here = Here::now();
        let ran = handle.spawn_blocking(move || {
            // It may have waited for a thread for long.
            if let Err(fault) = run.passage.may_begin() {
                return run.end(Err(fault)).map(|()| unreachable!("it is an error"));
            }
            let begun = Instant::now();
            let outcome =
                answer::catch(|| here.enter(|| call::call_sync(&entry, &cx, &body, &mut reply)));
            entry.pace().ran(begun.elapsed());
            run.end(answer::outcome(&entry, outcome))?;
            Ok(Reply { start, reply, metadata: metadata(&entry, &cx) })
        });
        ran.await.unwrap_or_else(|_| {
            let text = "the server's runtime shut down while the call ran";
            Err(Fault::with_code(FaultCode::Cancelled, text))
        })
    }

    /// Leave to run a synchronous handler on this thread; `None` if it is to run on the pool.
    fn place(&self, entry: &Entry) -> Option<Option<Permit<'_>>> {
        let workers = &self.connection.workers;
        let pace = entry.pace();
        match self.connection.server.policy {
            SyncPolicy::Pool => None,
            SyncPolicy::Inline => (!entry.options().blocking).then_some(None),
            SyncPolicy::Auto if workers.is_single() => pace.is_proven().then_some(None),
            SyncPolicy::Auto if !pace.may_be_quick() || self.exposed.load(Ordering::Relaxed) => {
                None
            }
            SyncPolicy::Auto => workers.permit().map(Some),
        }
    }

    /// Notes how long a handler has held its thread.
    fn judge(&self, entry: &Entry, begun: Instant) {
        match self.connection.server.policy {
            SyncPolicy::Auto if self.connection.workers.is_single() => {
                entry.pace().ran(begun.elapsed());
            }
            // So long that the watchdog would have noticed it.
            SyncPolicy::Auto if begun.elapsed() > TICK => entry.pace().stalled(),
            SyncPolicy::Auto | SyncPolicy::Inline | SyncPolicy::Pool => {}
        }
    }

    /// Whether anybody waits for what a handler would do.
    fn may_begin(&self) -> Result<(), Fault> {
        if self.cancellation.is_cancelled() {
            return Err(call::cancelled());
        }
        if self.deadline.is_some_and(|deadline| deadline <= now()) {
            return Err(session::expired());
        }
        Ok(())
    }

    /// A handler begins.
    fn run(self: Arc<Self>) -> Result<(Run<IO>, Option<Unsealed>), Fault> {
        self.may_begin()?;
        let mut state = self.state.lock();
        if state.slot != Slot::Open {
            return Err(call::cancelled());
        }
        state.running += 1;
        let spare = state.spare.take();
        drop(state);
        Ok((Run { passage: self, ran: true }, spare))
    }

    /// Waits until nobody waits for the answer any more.
    async fn given_up(&self) -> Fault {
        let over = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.cancellation.cancelled() => call::cancelled(),
            () = over => session::expired(),
        }
    }

    /// Whether the method, once begun, runs to its end.
    fn goes_on(&self) -> bool {
        self.target.as_ref().is_ok_and(|entry| entry.options().no_cancel)
    }

    /// The frame that answers the call, and whether a handler still runs.
    fn conclude(
        &self,
        outcome: Result<Reply, Fault>,
        observed: Option<ServedCall>,
    ) -> (Vec<u8>, bool) {
        let mut state = self.state.lock();
        state.slot = Slot::Answered;
        let lingers = state.running > 0;
        let ran = state.ran || lingers;
        drop(state);
        if lingers {
            self.cancellation.cancel();
        }
        let outcome = outcome.map_err(|fault| honest(fault, ran));
        let max_frame = self.connection.server.limits.max_frame;
        (answer::seal_reply((self.seq, observed), outcome, max_frame), lingers)
    }

    /// Leaves the answer for the connection's task.
    fn post(&self, mut frame: Vec<u8>, lingers: bool) {
        if lingers {
            self.connection.post_early(self.seq, &mut frame);
            self.linger();
        } else {
            self.connection.post(self.seq, &mut frame);
        }
    }

    /// The connection's task knows, or will, that the slot is not free: from now on it is to be told
    /// when it is.
    fn linger(&self) {
        let mut state = self.state.lock();
        state.slot = Slot::Lingering;
        let ended = state.running == 0;
        drop(state);
        if ended {
            self.connection.handler_ended();
        }
    }
}

/// A handler that runs.
struct Run<IO: Stream> {
    passage: Arc<Passage<IO>>,
    /// Unless it turns out otherwise.
    ran: bool,
}

impl<IO: Stream> Run<IO> {
    /// It has ended.
    fn end(mut self, outcome: Result<(), Fault>) -> Result<(), Fault> {
        self.ran = outcome.as_ref().map_or_else(|fault| fault.code().may_have_run(), |()| true);
        outcome
    }
}

impl<IO: Stream> Drop for Run<IO> {
    fn drop(&mut self) {
        let mut state = self.passage.state.lock();
        state.running -= 1;
        state.ran |= self.ran;
        let ended = state.running == 0 && state.slot == Slot::Lingering;
        drop(state);
        if ended {
            self.passage.connection.handler_ended();
        }
    }
}

/// An asynchronous handler that runs.
struct Handling<IO: Stream> {
    /// `None` when it has ended.
    future: Option<HandlerFuture>,
    /// Gone when the future is.
    run: Option<Run<IO>>,
    /// It goes on by itself already.
    detached: bool,
}

impl<IO: Stream> Future for Handling<IO> {
    type Output = (ReplyBuf, Result<(), Fault>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Handling { future, run, .. } = &mut *self;
        let running = future.as_mut().expect("polled after it was ready");
        let ended = match answer::catch(|| running.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Finished { reply, result })) => Ok((reply, result)),
            Err(panic) => Err(panic),
        };
        let dropped = answer::catch(|| *future = None);
        let run = run.take().expect("as the future");
        let (reply, outcome) = match ended.and_then(|ended| dropped.map(|()| ended)) {
            Ok((reply, result)) => (reply, Ok(result)),
            Err(panic) => (ReplyBuf::default(), Err(panic)),
        };
        let outcome = match &run.passage.target {
            Ok(entry) => answer::outcome(entry, outcome),
            Err(_) => unreachable!("what is not there does not run"),
        };
        Poll::Ready((reply, run.end(outcome)))
    }
}

impl<IO: Stream> Drop for Handling<IO> {
    fn drop(&mut self) {
        let Some(run) = &self.run else { return };
        if run.passage.goes_on() && !self.detached {
            let handle = run.passage.connection.workers.handle().clone();
            let (future, run) = (self.future.take(), self.run.take());
            let (here, mut handling) = (Here::now(), Handling { future, run, detached: true });
            handle.spawn(async move {
                poll_fn(|cx| here.enter(|| Pin::new(&mut handling).poll(cx)).map(drop)).await;
            });
            return;
        }
        // Before the run, which ends with it.
        self.future = None;
    }
}

/// Goes a part of the way.
fn enter<T>(observed: Option<&ServedCall>, go: impl FnOnce() -> T) -> T {
    match observed {
        Some(observed) => observed.enter(go),
        None => go(),
    }
}

/// Metadata that the handler has set.
fn metadata(entry: &Entry, cx: &Context) -> netrpc_core::Metadata {
    // One that has not asked for a context had none to set it on.
    if entry.options().context { cx.take_reply_metadata() } else { Default::default() }
}

/// The same fault, unless it promises what is not so.
fn honest(fault: Fault, ran: bool) -> Fault {
    match fault.code() {
        code if !ran || code.may_have_run() => fault,
        FaultCode::Expired => call::deadline_exceeded(),
        _ => fault.into_code(FaultCode::Failed),
    }
}

/// What stands before the handler has panicked.
fn panicked(panic: &Panic) -> Fault {
    let text = format!("a check or layer panicked: {}", answer::panic_text(&**panic));
    Fault::with_code(FaultCode::Failed, text)
}
