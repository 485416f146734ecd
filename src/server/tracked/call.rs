//! A call that runs: begun at most once, answered once.

use std::{
    future::{pending, poll_fn},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use netrpc_core::{
    CallId, Caller, Cancellation, Context, Extensions, Fault,
    codec::Format,
    dialect::Protocol,
    fault::FaultCode,
    ledger::{Class, LargeReply},
    semantics::Xid,
    service::Body,
    session,
    tracked::TrackedCall,
    wire::{Frame, RequestHead},
};

use super::{
    super::{
        Shared,
        answer::{self as plain, Reply},
        authorize::{CallInfo, Named},
        call::cancelled,
        capacity::Slot,
        passage::{self, Target},
        workers::Workers,
    },
    Kept, Tracked, Waiter, answer,
};
use crate::{
    client::now,
    observe::{Arrival as Arriving, ServedCall},
    sync::{Mutex, atomic::Ordering},
};

/// A call that was released to run. Whoever holds it may still run its handler; when the last lets go,
/// and it has no outcome, the ledger is told that.
pub(in crate::server) struct Call {
    tracked: Arc<Tracked>,
    pub(super) server: Arc<Shared>,
    pub(super) workers: Arc<Workers>,
    pub(super) xid: Xid,
    pub(super) target: Target,
    class: Class,
    /// What its handler sees of it.
    seen: Arc<TrackedCall>,
    deadline: Option<Instant>,
    state: Mutex<State>,
    _slot: Slot,
}

/// What its task needs besides.
pub(super) struct Arrival {
    id: CallId,
    caller: Arc<Caller>,
    extensions: Option<Arc<Extensions>>,
    frame: Frame,
    cancellation: Cancellation,
}

struct State {
    phase: Phase,
    /// Handlers that run: at most one, unless a layer has run one that promised to have had no effect
    /// again.
    running: usize,
    /// Whether one has run, wholly or in part.
    ran: bool,
    /// What it has failed with, if it has.
    failed: Option<Fault>,
    /// Who waits, if the ledger does not know of the call.
    waiter: Option<Waiter>,
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No handler has begun.
    Waiting,
    /// None has, and none will.
    Closed,
    /// One has.
    Begun,
    /// There is nothing to be told any more.
    Over,
}

/// A handler that runs, or is about to.
pub(super) struct Run {
    call: Arc<Call>,
    begun: bool,
    /// Unless it turns out otherwise.
    ran: bool,
}

impl Call {
    pub(super) fn new(
        tracked: Arc<Tracked>,
        server: Arc<Shared>,
        xid: Xid,
        kept: Kept,
    ) -> (Arc<Self>, Arrival) {
        let Kept { workers, id, caller, extensions, target, class, frame, deadline, .. } = kept;
        let Kept { cancellation, slot, waiter, server: _, .. } = kept;
        let seen = Arc::new(TrackedCall::new(xid, tracked.no_txn(&target)));
        tracked.running.fetch_add(1, Ordering::AcqRel);
        let state = State { phase: Phase::Waiting, running: 0, ran: false, failed: None, waiter };
        let state = Mutex::new(state);
        let call = Call {
            tracked,
            server,
            workers,
            xid,
            target,
            class,
            seen,
            deadline,
            state,
            _slot: slot,
        };
        (Arc::new(call), Arrival { id, caller, extensions, frame, cancellation })
    }

    /// Goes all the way: the checks, the layers, the handler, the answer.
    pub(super) async fn arrive(self: Arc<Self>, arrival: Arrival) {
        let Arrival { id, caller, extensions, frame, cancellation } = arrival;
        let Shared { observer, registry, .. } = &*self.server;
        let arriving = Arriving { id, peer: &caller.peer, head: frame.head() };
        let mut observed =
            ServedCall::begin(observer, registry, self.target.as_ref().ok(), arriving);
        let metadata = RequestHead::parse(frame.head())
            .map_or_else(|_| Default::default(), |head| head.metadata.decode());
        let cx = Context::new(id, caller.clone(), self.deadline, metadata, cancellation, now)
            .with_extensions(extensions)
            .in_span(observed.trace())
            .tracked(self.seen.clone());
        let body = Body::new(frame.into_body(), Format::MessagePack);
        let mut walk = Some(Box::pin(self.clone().walk(cx, body)));
        let done = poll_fn(|cx| {
            let walk = walk.as_mut().expect("it is not answered yet");
            match plain::catch(|| observed.enter(|| walk.as_mut().poll(cx))) {
                Ok(poll) => poll,
                Err(panic) => Poll::Ready(Err(passage::panicked(&panic))),
            }
        });
        let outcome = match self.is_late() {
            true => Err(self.too_late().await),
            false => tokio::select! {
                biased;
                outcome = done => outcome,
                fault = self.too_late() => Err(fault),
            },
        };
        // What is not done is dropped, before its answer says what it has come to.
        let dropped = plain::catch(|| observed.enter(|| walk = None));
        let outcome = dropped.map_or_else(|panic| Err(passage::panicked(&panic)), |()| outcome);
        self.conclude(outcome, &mut observed);
    }

    async fn walk(self: Arc<Self>, mut cx: Context, body: Body) -> Result<Reply, Fault> {
        for check in &self.server.hooks.authorize {
            let call = CallInfo::new(cx.clone(), self.named(), Protocol::Native);
            check.check(call, &mut cx).await?;
        }
        #[cfg(feature = "tower")]
        if let Some(stack) = &self.server.stack {
            let what = (self.named(), Protocol::Native);
            return super::super::layer::descend(stack, what, cx, body, self.clone()).await;
        }
        self.handle(cx, body).await
    }

    pub(super) fn named(&self) -> Named {
        match &self.target {
            Ok(entry) => Named::Method(entry.clone()),
            Err(missing) => Named::Unknown(missing.name.clone()),
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now())
    }

    /// Waits until the call's time is over, if it has not begun by then. It never does after that.
    async fn too_late(&self) -> Fault {
        let Some(deadline) = self.deadline else { return pending().await };
        if deadline > now() {
            tokio::time::sleep_until(deadline.into()).await;
        }
        {
            let mut state = self.state.lock();
            if state.phase == Phase::Waiting {
                state.phase = Phase::Closed;
                return session::expired();
            }
        }
        pending().await
    }

    /// A handler is about to run.
    pub(super) fn run(self: Arc<Self>) -> Run {
        Run { call: self, begun: false, ran: true }
    }

    /// Tells the ledger what the call has come to.
    fn conclude(&self, outcome: Result<Reply, Fault>, observed: &mut ServedCall) {
        let (phase, ran) = {
            let mut state = self.state.lock();
            let ran = state.ran || state.running > 0;
            (std::mem::replace(&mut state.phase, Phase::Over), ran)
        };
        let outcome = outcome.map_err(|fault| passage::honest(fault, ran));
        // The next has its turn, whatever the handler has left behind.
        let ended = self.seen.end().map_err(Fault::from);
        let max_frame = self.server.limits.max_frame;
        let recorded = match (phase, &outcome) {
            // Somebody has answered for the handler.
            (Phase::Waiting, Ok(_)) => self.tracked.start(self.xid),
            (Phase::Waiting | Phase::Closed, Err(fault)) => {
                self.withdraw(fault);
                false
            }
            (Phase::Begun, Err(fault)) if !ran && fault.code() == FaultCode::Overloaded => {
                self.undone(fault);
                false
            }
            (Phase::Begun, _) => true,
            // It was given up, or its time was over.
            (Phase::Closed | Phase::Over, _) => false,
        };
        if !recorded {
            return observed.finish(outcome.as_ref().map(drop));
        }
        let outcome = outcome.and_then(|reply| ended.map(|transaction| (reply, transaction)));
        let (outcome, transaction) = match outcome {
            Ok((reply, transaction)) => (Ok(reply), transaction),
            Err(fault) => (Err(fault), None),
        };
        let (answer, said) = answer::of(outcome, max_frame);
        observed.finish(said.as_ref().copied());
        // What was written is kept if the caller gets its reply, and with it.
        let transaction = transaction.filter(|_| said.is_ok());
        let writes = transaction.map(|transaction| transaction.into_writes());
        let _ = self.tracked.book.with_writes(writes, |ledger| {
            ledger.complete(now(), self.xid, answer, LargeReply::Drop);
        });
    }

    /// Lets the handler write into the ledger's store, if its method does: it waits for its turn here, as
    /// it does not block. What an earlier run has written, is gone.
    ///
    /// # Errors
    /// If the store has failed.
    pub(super) async fn begin_writes(&self) -> Result<(), Fault> {
        if self.class == Class::Recorded {
            return Ok(());
        }
        drop(self.seen.end());
        let turn = self.tracked.turn.clone().lock_owned().await;
        if let Some(begun) = self.tracked.transaction(turn) {
            self.seen.begin(begun?);
        }
        Ok(())
    }

    /// It has not begun, and will not: nothing is remembered of it.
    fn withdraw(&self, fault: &Fault) {
        let waiter = self.state.lock().waiter.take();
        let waiter = waiter
            .or_else(|| self.tracked.book.with(|ledger| ledger.withdraw(self.xid)).ok().flatten());
        self.refuse(waiter, fault);
    }

    /// It has begun, and had no effect.
    fn undone(&self, fault: &Fault) {
        let waiter = self.tracked.book.with(|ledger| ledger.undone(now(), self.xid));
        self.refuse(waiter.ok().flatten(), fault);
    }

    fn refuse(&self, waiter: Option<Waiter>, fault: &Fault) {
        if let Some(waiter) = waiter
            && let Some(standing) = self.tracked.standing_again(self.xid)
        {
            waiter.say(|out, seq, max| answer::fault(out, seq, fault, &standing, max));
        }
    }
}

impl Run {
    /// Whether the handler may begin: asked right before.
    ///
    /// # Errors
    /// What the call is answered instead.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        let call = &*self.call;
        let mut state = call.state.lock();
        match state.phase {
            Phase::Waiting if call.is_late() => {
                state.phase = Phase::Closed;
                return Err(session::expired());
            }
            Phase::Waiting if call.tracked.start(call.xid) => state.phase = Phase::Begun,
            Phase::Waiting => {
                state.phase = Phase::Over;
                return Err(cancelled());
            }
            Phase::Closed => return Err(session::expired()),
            // Once more, by a layer: if nothing has come of the first.
            Phase::Begun if !state.ran && state.running == 0 => {}
            // A layer tries again what must not run twice: it gets what it got.
            Phase::Begun | Phase::Over => return Err(state.failed.clone().unwrap_or_else(twice)),
        }
        state.running += 1;
        self.begun = true;
        Ok(())
    }

    /// It has ended.
    pub(super) fn end(mut self, outcome: Result<(), Fault>) -> Result<(), Fault> {
        if let Err(fault) = &outcome {
            self.ran = fault.code().may_have_run();
            self.call.state.lock().failed = Some(fault.clone());
        }
        outcome
    }

    pub(super) fn call(&self) -> &Arc<Call> {
        &self.call
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.begun {
            let mut state = self.call.state.lock();
            state.running -= 1;
            state.ran |= self.ran;
        }
    }
}

fn twice() -> Fault {
    let text = "the call runs at most once, and a layer would have run it again";
    Fault::with_code(FaultCode::Failed, text)
}

impl Tracked {
    /// Whether a call may begin now.
    fn start(&self, xid: Xid) -> bool {
        self.book.with(|ledger| ledger.start(xid)).unwrap_or(false)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let phase = std::mem::replace(&mut self.state.lock().phase, Phase::Over);
        match phase {
            Phase::Waiting | Phase::Closed => {
                let text = "the server's runtime shut down before the call began: ask again";
                self.withdraw(&Fault::with_code(FaultCode::AskAgain, text));
            }
            Phase::Begun => {
                let waiter = self.tracked.book.with(|ledger| match self.class {
                    // What it has written is gone with it.
                    Class::Transactional => ledger.undone(now(), self.xid),
                    Class::Recorded => ledger.interrupted(now(), self.xid),
                });
                if let Ok(Some(waiter)) = waiter {
                    self.tracked.pending(&waiter, self.xid);
                }
            }
            Phase::Over => {}
        }
        self.tracked.running.fetch_sub(1, Ordering::AcqRel);
        self.tracked.ended.notify_waiters();
    }
}
