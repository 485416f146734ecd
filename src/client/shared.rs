//! What a connection's callers and its task share.
//!
//! A caller appends its request to the outbox, under the lock that also guards the table of pending calls,
//! and wakes the task if nobody has yet. While there is no connection yet, requests are parked instead,
//! and put into the outbox when there is.

use std::{
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use netrpc_core::{
    Cancellation, Error, Fault,
    codec::Format,
    dialect::ClientDialect,
    error::Disconnected,
    pending::{Lost, Outcome, Pending, Polled},
    wire::{self, Frame, Kind, MeasuredFrame, Preface},
};
use tokio::sync::Notify;

use super::{builder::ClientLimits, line::Line, parked::Parked};
#[cfg(feature = "blocking")]
use crate::turn::step_aside;
use crate::{outgoing::Outgoing, sync::Mutex};

/// What the peer answered to a call.
#[derive(Debug)]
pub(super) enum Answer {
    /// A reply or a fault.
    Frame(Frame),
    /// The reply of a server that speaks another protocol, and what it is encoded in. Boxed, as its
    /// error is, so that a frame is the largest.
    Foreign(Box<(Bytes, Format)>),
    /// The error of one.
    Fault(Box<Fault>),
    /// A reply that has passed layers.
    #[cfg(feature = "tower")]
    Layered(Box<super::layer::Response>),
    /// A reply over this side's limit, of so many bytes; it was discarded.
    Oversized(usize),
}

/// What a request costs beside its bytes: as much as to copy so many.
const REQUEST: usize = 300;

/// Answers that may lie unread and share the buffers they were read into.
const SHARING: usize = 64;

impl Answer {
    /// What it counts for while nobody takes it.
    fn weight(&self) -> usize {
        let bytes = match self {
            Answer::Frame(frame) => frame.payload().len(),
            Answer::Foreign(reply) => reply.0.len(),
            Answer::Fault(fault) => fault.message().len(),
            #[cfg(feature = "tower")]
            Answer::Layered(response) => response.body().len(),
            Answer::Oversized(_) => 0,
        };
        bytes + size_of::<Answer>()
    }
}

/// What the callers and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: ClientLimits,
    /// What arguments are encoded in.
    pub(super) format: Format,
    pub(super) state: Mutex<State>,
    /// Told when the outbox has been emptied, and when the connection takes no more calls.
    pub(super) changed: Notify,
    /// Told when the connection has ended.
    pub(super) ended: Cancellation,
    /// Nothing is known against the server: how the attempt to connect ends is worth waiting for.
    #[cfg(feature = "blocking")]
    hopeful: bool,
    /// Who makes the next connection; nobody for a client that is this one connection.
    pub(super) line: Weak<Line>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) pending: Pending<Answer>,
    /// Whole frames that the task has not taken yet.
    pub(super) outbox: Outgoing,
    /// Bytes that the task has taken and not written yet.
    pub(super) unwritten: usize,
    /// The offset just behind the outbox in the stream of all bytes sent.
    end: u64,
    /// The offset up to which the task has tried to write.
    pub(super) offered: u64,
    /// The requests that wait for the connection to be there; `None` when it is.
    pub(super) parked: Option<Parked>,
    /// Translates for the task, which takes it.
    pub(super) dialect: Option<ClientDialect>,
    /// The task, while it sleeps or lets others go first. Whoever takes it wakes it.
    pub(super) task: Option<Waker>,
    /// What the requests in the outbox weigh: their bytes, and [`REQUEST`] for each.
    pub(super) weight: usize,
    /// The weight from which on a caller wakes the task.
    enough: usize,
    /// No caller is left, or one has closed the connection.
    pub(super) leaving: Option<Leaving>,
    /// Somebody waits for other calls to be over.
    crowded: bool,
    /// Too much lies unread, and nobody awaits anything: the task does not read.
    pub(super) congested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody holds the client or a call any more: send what is queued, and part in peace.
    Dropped,
    /// `close`: at once.
    Closed,
}

/// How a request was taken.
pub(super) enum Queued {
    /// It is on its way.
    Call(u64),
    /// The connection has ended.
    Ended(Arc<Disconnected>),
    /// There is no room for it.
    Full(Full),
}

/// Why there is no room for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// So many bytes wait to be sent.
    Queue(usize),
    /// So many calls are under way.
    Calls(usize),
    /// So many bytes of replies lie unread.
    Unread(usize),
}

impl Full {
    /// The limit that was met: a method of the builder, and its error.
    pub(super) fn error(self, limits: &ClientLimits) -> (&'static str, Error) {
        match self {
            Full::Queue(queued) => {
                let limit = limits.queued_bytes;
                ("max_queued_bytes", Error::QueueFull { queued, limit })
            }
            Full::Calls(in_flight) => {
                let limit = limits.calls;
                ("max_calls", Error::TooManyCalls { in_flight, limit })
            }
            Full::Unread(bytes) => {
                let limit = limits.unread_bytes;
                ("max_unread_bytes", Error::TooMuchUnread { bytes, limit })
            }
        }
    }
}

/// A request that is whole, but for its number.
pub(super) struct Request<'a> {
    pub(super) frame: &'a mut Vec<u8>,
    pub(super) measured: &'a MeasuredFrame,
    pub(super) deadline: Option<Instant>,
    /// Somebody waits for the reply.
    pub(super) awaited: bool,
}

impl Shared {
    /// A connection whose task can start now.
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self::of(limits, Weak::new(), None, true)
    }

    /// One that is still to be made; its requests wait for that. `hopeful` if the attempt before this did
    /// not fail.
    pub(super) fn parked(limits: ClientLimits, line: Weak<Line>, hopeful: bool) -> Self {
        Self::of(limits, line, Some(Parked::default()), hopeful)
    }

    #[cfg_attr(not(feature = "blocking"), allow(unused_variables))] // `hopeful`
    fn of(limits: ClientLimits, line: Weak<Line>, parked: Option<Parked>, hopeful: bool) -> Self {
        let dialect =
            limits.wire.and_then(|language| ClientDialect::new(language, limits.max_frame));
        let format = dialect.as_ref().map_or(Format::MessagePack, ClientDialect::format);
        let mut outbox = Outgoing::default();
        if let Format::MessagePack = format {
            outbox.write(|out| out.extend_from_slice(&Preface::OURS.to_bytes()));
        }
        let state = State {
            pending: Pending::new(),
            end: outbox.len() as u64,
            outbox,
            unwritten: 0,
            offered: 0,
            parked,
            dialect,
            task: None,
            weight: 0,
            enough: 0,
            leaving: None,
            crowded: false,
            congested: false,
        };
        Shared {
            limits,
            format,
            state: Mutex::new(state),
            changed: Notify::new(),
            ended: Cancellation::new(),
            #[cfg(feature = "blocking")]
            hopeful,
            line,
        }
    }

    /// Begins a call: the table gives the sequence number.
    #[inline]
    pub(super) fn queue(&self, request: Request<'_>, waker: Option<&Waker>) -> Queued {
        let mut state = self.state.lock();
        if let Err(full) = state.admit(&self.limits, request.awaited) {
            return Queued::Full(full);
        }
        if state.parked.is_some() {
            return state.park(request, waker);
        }
        let Request { frame, measured, .. } = request;
        let end = state.end + frame.len() as u64;
        let seq = match state.pending.begin_queued(end, waker) {
            Ok(seq) => seq,
            Err(cause) => return Queued::Ended(cause),
        };
        measured.seal(frame, Kind::Request, seq);
        state.end = end;
        state.weight += frame.len() + REQUEST;
        state.outbox.push(frame);
        let task = if state.weight < state.enough { None } else { state.task.take() };
        drop(state);
        wake(task);
        Queued::Call(seq)
    }

    /// Sends a question that is no call, and whose answer comes as a call's does: its number.
    ///
    /// # Errors
    /// What has ended the connection.
    pub(super) fn ask(&self, kind: Kind, body: &[u8]) -> Result<u64, Arc<Disconnected>> {
        let mut state = self.state.lock();
        let seq = state.pending.begin()?;
        let task = match &mut state.parked {
            Some(parked) => {
                parked.keep(seq, kind, body, 0, None);
                None
            }
            None => {
                let mut frame = Vec::new();
                let start = wire::begin(&mut frame);
                frame.extend_from_slice(body);
                let written = wire::finish(&mut frame, start, kind, 0, seq, u32::MAX);
                debug_assert_eq!(written, Ok(()));
                state.send(seq, &mut frame, None);
                state.task.take()
            }
        };
        drop(state);
        wake(task);
        Ok(seq)
    }

    /// Where what is queued by now ends in the stream of all bytes sent.
    pub(super) fn end_of_queue(&self) -> u64 {
        self.state.lock().end
    }

    /// Whether the task has tried to write everything up to there, or never will.
    pub(super) fn has_offered(&self, end: u64) -> bool {
        let state = self.state.lock();
        state.offered >= end || state.pending.closed().is_some()
    }

    /// Whether the connection is there, and takes calls.
    pub(super) fn is_established(&self) -> bool {
        let state = self.state.lock();
        state.parked.is_none() && state.pending.closed().is_none()
    }

    /// The connection is there: what was parked is sent. For its task, which is awake.
    pub(super) fn unpark(&self) {
        let mut wakers = Vec::new();
        let mut state = self.state.lock();
        let Some(parked) = state.parked.take() else { return };
        parked.leave(super::now(), self.limits.max_frame, |seq, frame| match frame {
            Some(frame) => state.send(seq, frame, None),
            None => {
                let late = netrpc_core::session::expired();
                state.pending.resolve(seq, Answer::Fault(Box::new(late)), &mut wakers);
            }
        });
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify_waiters();
    }

    /// Asks for the outcome of a call.
    #[inline]
    pub(super) fn poll(&self, seq: u64, cx: &mut Context<'_>) -> Poll<Outcome<Answer>> {
        let mut answer = None;
        self.poll_into(seq, cx, &mut answer).map(|ready| match ready {
            Ok(()) => Outcome::Answered(answer.expect("it was put there")),
            Err(Lost { may_have_run, cause }) => Outcome::Lost { may_have_run, cause },
        })
    }

    /// The same; an answer goes to where it is wanted.
    #[inline]
    pub(super) fn poll_into(
        &self,
        seq: u64,
        cx: &mut Context<'_>,
        answer: &mut Option<Answer>,
    ) -> Poll<Result<(), Lost>> {
        let (polled, relieved) = {
            let mut state = self.state.lock();
            let polled = state.pending.poll_into(seq, cx.waker(), answer);
            (polled, state.relieve(&self.limits))
        };
        self.tell(relieved);
        match polled {
            Polled::Ready(ready) => Poll::Ready(ready),
            Polled::Pending { replaced } => {
                drop(replaced); // not under the lock
                Poll::Pending
            }
        }
    }

    /// Gives a call up, and tells the server if it may be working on it. Whether it may have run, or still
    /// will.
    pub(super) fn abandon(&self, seq: u64) -> bool {
        let (abandoned, task, relieved) = {
            let mut state = self.state.lock();
            if let Some(parked) = &mut state.parked {
                parked.forget(seq);
            }
            let abandoned = state.pending.abandon(seq);
            let task =
                abandoned.tell_peer.then(|| state.control(|out| wire::write_cancel(out, seq)));
            (abandoned, task, state.relieve(&self.limits))
        };
        let may_run = abandoned.tell_peer;
        drop(abandoned); // its waker, not under the lock
        wake(task.flatten());
        self.tell(relieved);
        may_run
    }

    /// Lets a call run though nobody waits for its answer.
    pub(super) fn detach(&self, seq: u64) {
        let (abandoned, relieved) = {
            let mut state = self.state.lock();
            (state.pending.abandon(seq), state.relieve(&self.limits))
        };
        drop(abandoned); // its waker, not under the lock
        self.tell(relieved);
    }

    /// Tells those who wait for room, and the task that did not read.
    #[inline]
    pub(super) fn tell(&self, relieved: Relieved) {
        if relieved.room {
            self.changed.notify_waiters();
        }
        wake(relieved.task);
    }

    /// Waits until a call that nobody awaits yet would be taken.
    pub(super) async fn ready(&self) -> Result<(), NotReady> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                if let Some(cause) = state.pending.closed() {
                    return Err(NotReady::Ended(cause.clone()));
                }
                let (in_flight, unread) = (state.pending.in_flight(), state.pending.unread());
                match state.admit(&self.limits, false) {
                    Ok(()) if state.parked.is_none() => return Ok(()),
                    // Nobody else will take them.
                    Err(full @ Full::Unread(_)) => return Err(NotReady::Full(full)),
                    Err(full @ Full::Calls(_)) if in_flight == unread.calls => {
                        return Err(NotReady::Full(full));
                    }
                    Ok(()) | Err(_) => state.crowded = true,
                }
            }
            changed.await;
        }
    }

    /// Waits until the outbox is below its limit, or the connection takes no more calls.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.has_room() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the task has taken what is queued and tried to write it, or has ended.
    #[cfg(feature = "blocking")]
    pub(super) async fn sent(&self) {
        if self.hopeful {
            self.attempted().await;
        }
        let queued = self.state.lock().end;
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.offered >= queued || state.pending.closed().is_some() {
                return Poll::Ready(());
            }
            let task = state.task.take();
            drop(state);
            wake(task);
            step_aside(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits until it is known whether the connection could be made.
    #[cfg(feature = "blocking")]
    async fn attempted(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state.lock();
                if state.parked.is_none() || state.pending.closed().is_some() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until nobody wants the connection any more that is being made.
    pub(super) async fn unwanted(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            let unwanted = match state.leaving {
                None => false,
                Some(Leaving::Closed) => true,
                // Calls that were detached are still to be made.
                Some(Leaving::Dropped) => state.parked.as_ref().is_none_or(Parked::is_empty),
            };
            if unwanted {
                return Poll::Ready(());
            }
            let replaced = state.task.replace(cx.waker().clone());
            drop(state);
            drop(replaced); // not under the lock
            Poll::Pending
        })
        .await;
    }

    fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        let room = state.admit(&self.limits, true).is_ok();
        state.crowded |= !room;
        room
    }

    /// Ends the connection; every pending call is lost.
    pub(super) async fn close(&self) {
        self.leave(Leaving::Closed);
        self.ended.cancelled().await;
    }

    /// Nobody is left who could make or await a call.
    pub(super) fn dropped(&self) {
        self.leave(Leaving::Dropped);
    }

    pub(super) fn leave(&self, how: Leaving) {
        let mut state = self.state.lock();
        if state.leaving != Some(Leaving::Closed) {
            state.leaving = Some(how);
        }
        let task = state.task.take();
        drop(state);
        wake(task);
    }

    /// Takes no more calls; those that have begun may still be answered.
    pub(super) fn refuse(&self, cause: &Arc<Disconnected>) {
        self.state.lock().pending.refuse(cause);
        self.changed.notify_waiters();
    }

    /// The connection has ended: every call that waits is lost. `written` bytes of the stream were handed
    /// to the operating system.
    pub(super) fn end(&self, cause: &Arc<Disconnected>, written: u64) {
        let mut wakers = Vec::new();
        let left = {
            let mut state = self.state.lock();
            state.pending.close(cause, written, &mut wakers);
            state.unwritten = 0;
            (std::mem::take(&mut state.outbox), state.parked.take())
        };
        drop(left);
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify_waiters();
        self.ended.cancel();
    }

    /// What ended the connection, or why it takes no calls any more.
    pub(super) fn closed(&self) -> Option<Arc<Disconnected>> {
        self.state.lock().pending.closed().cloned()
    }
}

/// Why a call would not be taken, and will not by waiting.
pub(super) enum NotReady {
    Ended(Arc<Disconnected>),
    Full(Full),
}

/// Whom a call that is over leaves to be told, when the lock is released.
#[must_use]
pub(super) struct Relieved {
    room: bool,
    task: Option<Waker>,
}

impl State {
    /// The task goes to sleep; whoever has something for it wakes it.
    pub(super) fn sleep(&mut self, task: &Waker) {
        self.step_aside(task, 0);
    }

    /// The task lets others go first, until what they have left for it weighs enough.
    pub(super) fn step_aside(&mut self, task: &Waker, enough: usize) {
        self.task = Some(task.clone());
        self.enough = enough;
    }

    /// Whether there is room for a call. Of one that somebody awaits the reply is read when it comes, so
    /// it counts only the calls that the server has not answered: its caller may well be the one who holds
    /// the others.
    #[inline]
    fn admit(&self, limits: &ClientLimits, awaited: bool) -> Result<(), Full> {
        let full = self.pending.in_flight() >= limits.calls
            || self.pending.unread().weight > limits.unread_bytes
            || self.queued() > limits.queued_bytes;
        if full { self.why_full(limits, awaited) } else { Ok(()) }
    }

    #[cold]
    fn why_full(&self, limits: &ClientLimits, awaited: bool) -> Result<(), Full> {
        if self.pending.closed().is_some() {
            return Ok(()); // that is what the call is told
        }
        let queued = self.queued();
        if queued > limits.queued_bytes {
            return Err(Full::Queue(queued));
        }
        let counted = if awaited { self.pending.waiting() } else { self.pending.in_flight() };
        if counted >= limits.calls {
            return Err(Full::Calls(counted));
        }
        match self.pending.unread().weight {
            bytes if bytes > limits.unread_bytes && !awaited => Err(Full::Unread(bytes)),
            _ => Ok(()),
        }
    }

    /// Notes that a call is over, or awaited.
    #[inline]
    pub(super) fn relieve(&mut self, limits: &ClientLimits) -> Relieved {
        if self.crowded || self.congested {
            return self.relieve_whom(limits);
        }
        Relieved { room: false, task: None }
    }

    #[cold]
    fn relieve_whom(&mut self, limits: &ClientLimits) -> Relieved {
        let flows = self.congested && !self.is_congested(limits);
        self.congested &= !flows;
        let task = if flows { self.task.take() } else { None };
        Relieved { room: std::mem::take(&mut self.crowded), task }
    }

    /// Whether replies are to stay where they are. Not while somebody awaits one: it may be behind others.
    pub(super) fn is_congested(&self, limits: &ClientLimits) -> bool {
        self.pending.unread().weight > limits.unread_bytes
            && !self.pending.is_watched()
            && self.pending.waiting() > 0
    }

    /// Bytes of requests that are not handed to the operating system yet.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let parked = self.parked.as_ref().map_or(0, Parked::bytes);
        self.outbox.len() + self.unwritten + parked
    }

    /// Gives the answer to call `seq`, whose waker goes to `wakers`. It is taken from where it is.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        seq: u64,
        answer: &mut Option<Answer>,
        wakers: &mut Vec<Waker>,
    ) {
        if self.pending.unread().calls >= SHARING && !self.pending.watches(seq) {
            unshare(answer);
        }
        self.pending.resolve_weighed(seq, answer, Answer::weight, wakers);
    }

    /// Appends the frame of call `seq`.
    #[inline]
    fn send(&mut self, seq: u64, frame: &mut Vec<u8>, waker: Option<&Waker>) {
        self.end += frame.len() as u64;
        self.pending.queued(seq, self.end, waker);
        self.outbox.push(frame);
    }

    /// Begins a call whose request waits for the connection.
    #[cold]
    fn park(&mut self, request: Request<'_>, waker: Option<&Waker>) -> Queued {
        let Request { frame, measured, deadline, .. } = request;
        let seq = match self.pending.begin() {
            Ok(seq) => seq,
            Err(cause) => return Queued::Ended(cause),
        };
        self.pending.watch(seq, waker);
        if let Some(parked) = &mut self.parked {
            let (payload, head_len) = (measured.payload(frame), measured.head_len());
            parked.keep(seq, Kind::Request, payload, head_len, deadline);
        }
        Queued::Call(seq)
    }

    /// Appends a control frame; the task is to be woken when the lock is released.
    #[must_use]
    pub(super) fn control(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Waker> {
        let before = self.outbox.len();
        self.outbox.write(write);
        self.end += (self.outbox.len() - before) as u64;
        self.task.take()
    }
}

/// A small frame would keep a buffer of up to 256 KiB for as long as nobody takes it.
#[cold]
fn unshare(answer: &mut Option<Answer>) {
    *answer = match answer.take() {
        Some(Answer::Frame(frame)) => Some(Answer::Frame(frame.detach())),
        other => other,
    };
}

/// Wakes the task; not under the lock, which it takes at once.
#[inline]
fn wake(task: Option<Waker>) {
    if let Some(task) = task {
        task.wake();
    }
}
