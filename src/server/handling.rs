//! A handler at the end of a call's way.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use netrpc_core::{
    Context, Fault, Metadata,
    fault::FaultCode,
    semantics::Semantics,
    service::{Body, Entry, EntryHandler, Finished, HandlerFuture, ReplyBuf},
};

use super::{
    SyncPolicy,
    answer::{self, Reply},
    call,
    connection::Stream,
    passage::{Passage, Slot, Unsealed},
    tracked::demand,
    workers::{Permit, TICK, Workers},
};
use crate::{observe::Here, sync::atomic::Ordering};

/// A handler that is about to run, then runs, and has then ended.
pub(super) trait Running: Send + Unpin + Sized + 'static {
    fn entry(&self) -> &Arc<Entry>;
    fn workers(&self) -> &Arc<Workers>;
    fn policy(&self) -> SyncPolicy;

    /// Whether it may begin: asked right before, perhaps more than once.
    ///
    /// # Errors
    /// What is answered instead.
    fn begin(&mut self) -> Result<(), Fault>;

    /// It has ended.
    fn end(self, outcome: Result<(), Fault>) -> Result<(), Fault>;
}

/// Runs a handler. `exposed` is whether the task that polls this could not be replaced if it blocks.
pub(super) async fn handle<R: Running>(
    mut run: R,
    exposed: bool,
    cx: Context,
    body: Body,
    (start, mut reply): Unsealed,
) -> Result<Reply, Fault> {
    let entry = run.entry().clone();
    if let EntryHandler::Async(handler) = entry.handler() {
        run.begin()?;
        let future = handler.call(cx.clone(), body, reply);
        let (reply, outcome) =
            Handling { future: Some(future), run: Some(run), detached: false }.await;
        outcome?;
        return Ok(Reply { start, reply, metadata: metadata(&entry, &cx) });
    }
    let workers = run.workers().clone();
    let policy = run.policy();
    let Some(place) = place(policy, &workers, &entry, exposed) else {
        return handle_on_pool(run, cx, body, (start, reply)).await;
    };
    run.begin()?;
    let begun = Instant::now();
    let outcome = answer::catch(|| call::call_sync(&entry, &cx, &body, &mut reply));
    judge(policy, &workers, &entry, begun);
    drop(place);
    run.end(answer::outcome(&entry, outcome))?;
    Ok(Reply { start, reply, metadata: metadata(&entry, &cx) })
}

/// The same on the thread pool.
async fn handle_on_pool<R: Running>(
    mut run: R,
    cx: Context,
    mut body: Body,
    (start, mut reply): Unsealed,
) -> Result<Reply, Fault> {
    body.detach();
    let handle = run.workers().handle().clone();
    let here = Here::now();
    let ran = handle.spawn_blocking(move || {
        // It may have waited for a thread for long.
        run.begin()?;
        let entry = run.entry().clone();
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
fn place<'a>(
    policy: SyncPolicy,
    workers: &'a Workers,
    entry: &Entry,
    exposed: bool,
) -> Option<Option<Permit<'a>>> {
    let pace = entry.pace();
    match policy {
        SyncPolicy::Pool => None,
        SyncPolicy::Inline => (!entry.options().blocking).then_some(None),
        SyncPolicy::Auto if workers.is_single() => pace.is_proven().then_some(None),
        SyncPolicy::Auto if !pace.may_be_quick() || exposed => None,
        SyncPolicy::Auto => workers.permit().map(Some),
    }
}

/// Notes how long a handler has held its thread.
fn judge(policy: SyncPolicy, workers: &Workers, entry: &Entry, begun: Instant) {
    match policy {
        SyncPolicy::Auto if workers.is_single() => entry.pace().ran(begun.elapsed()),
        // So long that the watchdog would have noticed it.
        SyncPolicy::Auto if begun.elapsed() > TICK => entry.pace().stalled(),
        SyncPolicy::Auto | SyncPolicy::Inline | SyncPolicy::Pool => {}
    }
}

impl<IO: Stream> Passage<IO> {
    /// Runs the handler, as often as it is asked to.
    pub(super) async fn handle(self: Arc<Self>, cx: Context, body: Body) -> Result<Reply, Fault> {
        let entry = match &self.target {
            Ok(entry) => entry,
            Err(missing) => return Err(missing.fault.clone()),
        };
        demand::met(entry, Semantics::Maybe)?;
        let cx = if entry.options().context { cx } else { self.connection.plain.clone() };
        let exposed = self.exposed.load(Ordering::Relaxed);
        let (run, spare) = self.run()?;
        let unsealed = spare.unwrap_or_else(|| answer::begin(Vec::new(), &body));
        handle(run, exposed, cx, body, unsealed).await
    }

    /// A handler begins.
    fn run(self: Arc<Self>) -> Result<(Run<IO>, Option<Unsealed>), Fault> {
        let mut state = self.state.lock();
        if state.slot != Slot::Open {
            return Err(call::cancelled());
        }
        state.running += 1;
        let spare = state.spare.take();
        drop(state);
        Ok((Run { passage: self, ran: true }, spare))
    }
}

/// A handler that runs.
struct Run<IO: Stream> {
    passage: Arc<Passage<IO>>,
    /// Unless it turns out otherwise.
    ran: bool,
}

impl<IO: Stream> Running for Run<IO> {
    fn entry(&self) -> &Arc<Entry> {
        match &self.passage.target {
            Ok(entry) => entry,
            Err(_) => unreachable!("what is not there does not run"),
        }
    }

    fn workers(&self) -> &Arc<Workers> {
        &self.passage.connection.workers
    }

    fn policy(&self) -> SyncPolicy {
        self.passage.connection.server.policy
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.passage.may_begin()
    }

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
struct Handling<R: Running> {
    /// `None` when it has ended.
    future: Option<HandlerFuture>,
    /// Gone when the future is.
    run: Option<R>,
    /// It goes on by itself already.
    detached: bool,
}

impl<R: Running> Future for Handling<R> {
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
        let outcome = answer::outcome(run.entry(), outcome);
        Poll::Ready((reply, run.end(outcome)))
    }
}

impl<R: Running> Drop for Handling<R> {
    fn drop(&mut self) {
        let Some(run) = &self.run else { return };
        if run.entry().options().no_cancel && !self.detached {
            let handle = run.workers().handle().clone();
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

/// Metadata that the handler has set.
fn metadata(entry: &Entry, cx: &Context) -> Metadata {
    // One that has not asked for a context had none to set it on.
    if entry.options().context { cx.take_reply_metadata() } else { Default::default() }
}
