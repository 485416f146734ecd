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
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Instant,
};

use netrpc_core::{
    CallId, Cancellation, Context, Fault,
    dialect::Protocol,
    fault::FaultCode,
    service::{Body, Entry, ReplyBuf},
    session,
    wire::{Frame, FrameStart, RequestHead},
};

use super::{
    SyncPolicy,
    answer::{self, Panic, Reply},
    authorize::{CallInfo, Named},
    call::{self, Turn},
    connection::{Batch, Connection, Stream},
    driver::{Driver, Inline},
};
use crate::{
    client::now,
    observe::ServedCall,
    sync::{
        self, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a call asks for: a method, or something that there is not.
pub(super) type Target = Result<Arc<Entry>, Box<Missing>>;

/// What is asked for and cannot be run.
#[derive(Debug, Clone)]
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
    pub(super) connection: Arc<Connection<IO>>,
    seq: u64,
    pub(super) protocol: Protocol,
    pub(super) target: Target,
    cancellation: Cancellation,
    deadline: Option<Instant>,
    /// The call is polled on the connection's own task, and nobody could replace that.
    pub(super) exposed: AtomicBool,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// Handlers that run.
    pub(super) running: usize,
    /// Whether one has run, wholly or in part.
    pub(super) ran: bool,
    pub(super) slot: Slot,
    /// A buffer for the first reply.
    pub(super) spare: Option<Unsealed>,
}

/// What has become of the call's slot.
#[derive(PartialEq, Eq)]
pub(super) enum Slot {
    /// The call is not answered.
    Open,
    /// It is.
    Answered,
    /// It is, and the slot is free when the last handler has ended.
    Lingering,
}

/// A reply's frame that has begun.
pub(super) type Unsealed = (FrameStart, ReplyBuf);

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
        batch: &mut Batch<'a>,
    ) -> Turn {
        let seq = frame.seq;
        let metadata = RequestHead::parse(frame.head())
            .map_or_else(|_| Default::default(), |head| head.metadata.decode());
        let id = CallId { connection: self.number(), seq };
        let cancellation = Cancellation::new();
        let observed = Some(self.observe(target.as_ref().ok(), &frame));
        let cx =
            Context::new(id, self.caller.clone(), deadline, metadata, cancellation.clone(), now)
                .with_extensions(self.extensions.clone())
                .in_span(observed.as_ref().and_then(ServedCall::trace));
        let body = Body::new(frame.into_body(), driver.format());
        let bytes = body.as_bytes().len();
        let watched = self.server.policy == SyncPolicy::Auto && self.watch(batch).is_some();
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
                spare: Some(answer::begin(std::mem::take(batch.reply.bytes_mut()), &body)),
            }),
        });
        let inline = Inline { seq, bytes, cancellation: Some(cancellation) };
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
                        driver.started(seq, bytes, cancellation);
                        driver.walking.push(walking);
                    }
                    Turn::HandedOver => MutexGuard::unlocked(driver, || {
                        sync::spawn(walking.arrive());
                    }),
                }
                return turn;
            }
        };
        let (mut frame, lingers) = passage.conclude(outcome, observed);
        match turn {
            Turn::Ours => {
                driver.output.push(&mut frame);
                *batch.reply.bytes_mut() = frame;
                if lingers {
                    driver.started(seq, bytes, passage.cancellation.clone());
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
        #[cfg(feature = "tower")]
        if let Some(stack) = &self.connection.server.stack {
            return self.clone().descend(stack, cx, body).await;
        }
        self.handle(cx, body).await
    }

    pub(super) fn named(&self) -> Named {
        match &self.target {
            Ok(entry) => Named::Method(entry.clone()),
            Err(missing) => Named::Unknown(missing.name.clone()),
        }
    }

    /// Whether anybody waits for what a handler would do.
    pub(super) fn may_begin(&self) -> Result<(), Fault> {
        if self.cancellation.is_cancelled() {
            return Err(call::cancelled());
        }
        if self.deadline.is_some_and(|deadline| deadline <= now()) {
            return Err(session::expired());
        }
        Ok(())
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
            biased;
            () = self.cancellation.cancelled() => call::cancelled(),
            () = over => session::expired(),
        }
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

/// Goes a part of the way.
fn enter<T>(observed: Option<&ServedCall>, go: impl FnOnce() -> T) -> T {
    match observed {
        Some(observed) => observed.enter(go),
        None => go(),
    }
}

/// The same fault, unless it promises what is not so.
pub(super) fn honest(fault: Fault, ran: bool) -> Fault {
    match fault.code() {
        code if !ran || code.may_have_run() => fault,
        FaultCode::Expired => call::deadline_exceeded(),
        _ => fault.into_code(FaultCode::Failed),
    }
}

/// What stands before the handler has panicked.
pub(super) fn panicked(panic: &Panic) -> Fault {
    let text = format!("a check or layer panicked: {}", answer::panic_text(&**panic));
    Fault::with_code(FaultCode::Failed, text)
}
