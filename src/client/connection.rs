//! The client's end of a connection: what callers share, and the task that owns the stream.
//!
//! A caller appends its request to the outbox and wakes the task, if nobody has yet. The task yields
//! once before it writes: on a busy runtime every caller that can run has appended its request by
//! then, and the batch leaves as one write. What is read is decoded into frames, all of them are
//! given to the table of pending calls under one lock, and their callers are woken after it.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use netrpc_core::{
    Cancellation, Fault,
    codec::Format,
    dialect::{Answered, ClientDialect, ForeignAnswer},
    error::Disconnected,
    fault::FaultCode,
    pending::Pending,
    wire::{self, Frame, FrameDecoder, GoAwayBody, GoAwayCode, Incoming, Kind, Preface},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::Sleep,
};

use super::builder::ClientLimits;
use crate::{
    observe::ObservedConnection, outgoing::Outgoing, quiet::Quiet, read::Input, turn::step_aside,
};

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
    /// A reply over this side's limit, of so many bytes; it was discarded.
    Oversized(usize),
}

/// What the callers and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: ClientLimits,
    /// What arguments are encoded in.
    pub(super) format: Format,
    state: Mutex<State>,
    /// Told when the outbox has been emptied.
    room: Notify,
    /// Told when the connection has ended.
    ended: Cancellation,
}

#[derive(Debug)]
struct State {
    pending: Pending<Answer>,
    /// Whole frames that the task has not taken yet.
    outbox: Outgoing,
    /// Bytes that the task has taken and not written yet.
    unwritten: usize,
    /// The offset just behind the outbox in the stream of all bytes sent.
    end: u64,
    /// The offset up to which the task has tried to write.
    offered: u64,
    /// The task, while it sleeps. Whoever takes it wakes it.
    task: Option<Waker>,
    /// No caller is left, or one has closed the connection.
    leaving: Option<Leaving>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
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
    /// The outbox is over its limit by now, holding so many bytes.
    Full(usize),
    /// The frame is longer than this side sends.
    TooLarge(wire::FrameTooLarge),
}

impl Shared {
    fn new(limits: ClientLimits, format: Format) -> Self {
        let mut outbox = Outgoing::default();
        if let Format::MessagePack = format {
            outbox.write(|out| out.extend_from_slice(&Preface::OURS.to_bytes()));
        }
        let state = State {
            pending: Pending::new(),
            end: outbox.len() as u64,
            outbox,
            offered: 0,
            unwritten: 0,
            task: None,
            leaving: None,
        };
        let state = Mutex::new(state);
        Shared { limits, format, state, room: Notify::new(), ended: Cancellation::new() }
    }

    /// Begins a call whose request is in `frame`, unsealed: the table gives the sequence number.
    pub(super) fn queue(
        &self,
        frame: &mut Vec<u8>,
        start: wire::FrameStart,
        head_len: u16,
        waker: Option<&Waker>,
    ) -> Queued {
        let mut state = self.state.lock();
        let waiting = state.outbox.len() + state.unwritten;
        if waiting > self.limits.queued_bytes && state.pending.closed().is_none() {
            return Queued::Full(waiting);
        }
        let seq = match state.pending.begin() {
            Ok(seq) => seq,
            Err(cause) => return Queued::Ended(cause),
        };
        let max = self.limits.max_frame;
        if let Err(too_large) = wire::finish(frame, start, Kind::Request, head_len, seq, max) {
            state.pending.abandon(seq);
            return Queued::TooLarge(too_large);
        }
        state.end += frame.len() as u64;
        let end = state.end;
        state.pending.queued(seq, end, waker);
        state.outbox.push(frame);
        let task = state.task.take();
        drop(state);
        wake(task);
        Queued::Call(seq)
    }

    /// Asks for the outcome of a call.
    pub(super) fn poll(
        &self,
        seq: u64,
        cx: &mut Context<'_>,
    ) -> Poll<netrpc_core::pending::Outcome<Answer>> {
        use netrpc_core::pending::Polled;
        let polled = self.state.lock().pending.poll(seq, cx.waker());
        match polled {
            Polled::Ready(outcome) => Poll::Ready(outcome),
            Polled::Pending { replaced } => {
                drop(replaced); // not under the lock
                Poll::Pending
            }
        }
    }

    /// Gives a call up, and tells the server if it may be working on it and `cancel` is set.
    pub(super) fn abandon(&self, seq: u64, cancel: bool) {
        let (abandoned, task) = {
            let mut state = self.state.lock();
            let abandoned = state.pending.abandon(seq);
            let task = (abandoned.tell_peer && cancel)
                .then(|| state.control(|out| wire::write_cancel(out, seq)));
            (abandoned, task)
        };
        drop(abandoned); // its waker, not under the lock
        wake(task.flatten());
    }

    /// Waits until the outbox is below its limit, or the connection has ended.
    pub(super) async fn room(&self) {
        if self.has_room() {
            return;
        }
        loop {
            let room = self.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    /// Waits until the task has taken what is queued and tried to write it, or has ended.
    #[cfg(feature = "blocking")]
    pub(super) async fn sent(&self) {
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

    fn has_room(&self) -> bool {
        let state = self.state.lock();
        let waiting = state.outbox.len() + state.unwritten;
        waiting <= self.limits.queued_bytes || state.pending.closed().is_some()
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

    fn leave(&self, how: Leaving) {
        let mut state = self.state.lock();
        if state.leaving != Some(Leaving::Closed) {
            state.leaving = Some(how);
        }
        let task = state.task.take();
        drop(state);
        wake(task);
    }

    /// What ended the connection, or why it takes no calls any more.
    pub(super) fn closed(&self) -> Option<Arc<Disconnected>> {
        self.state.lock().pending.closed().cloned()
    }
}

impl State {
    /// Appends a control frame; the task is to be woken when the lock is released.
    #[must_use]
    fn control(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Waker> {
        let before = self.outbox.len();
        self.outbox.write(write);
        self.end += (self.outbox.len() - before) as u64;
        self.task.take()
    }
}

/// Wakes the task; not under the lock, which it takes at once.
fn wake(task: Option<Waker>) {
    if let Some(task) = task {
        task.wake();
    }
}

/// Starts the task that owns `io`.
///
/// # Panics
/// Outside a tokio runtime.
pub(super) fn start<IO>(io: IO, limits: ClientLimits, observed: ObservedConnection) -> Arc<Shared>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let dialect = limits.wire.and_then(|language| ClientDialect::new(language, limits.max_frame));
    let format = dialect.as_ref().map_or(Format::MessagePack, ClientDialect::format);
    let shared = Arc::new(Shared::new(limits, format));
    tokio::spawn(Task {
        foreigner: dialect.map(|dialect| Foreigner { dialect, translated: Outgoing::default() }),
        io,
        shared: shared.clone(),
        decoder: FrameDecoder::new(limits.max_frame),
        input: Input::new(),
        quiet: Quiet::default(),
        output: Outgoing::default(),
        written: 0,
        yielded: false,
        handshake: limits.wire.is_none().then(|| Box::pin(tokio::time::sleep(limits.handshake))),
        go_away: None,
        shut: false,
        answers: Vec::new(),
        wakers: Vec::new(),
        observed,
        ended: false,
    });
    shared
}

/// The task that owns the stream.
struct Task<IO> {
    io: IO,
    shared: Arc<Shared>,
    decoder: FrameDecoder,
    input: Input,
    /// What is being written: the outbox of a moment ago.
    output: Outgoing,
    /// Stands between our frames and a server that speaks another protocol.
    foreigner: Option<Foreigner>,
    quiet: Quiet,
    /// Bytes handed to the operating system.
    written: u64,
    /// Whether callers had their turn since the last write.
    yielded: bool,
    /// Runs until the server's preface is there.
    handshake: Option<Pin<Box<Sleep>>>,
    /// Why the server takes no more calls.
    go_away: Option<Arc<Disconnected>>,
    /// Our half of the stream is closed: nobody here has anything left to say.
    shut: bool,
    /// Reused between reads.
    answers: Vec<(u64, Answer)>,
    /// Reused between reads.
    wakers: Vec<Waker>,
    observed: ObservedConnection,
    ended: bool,
}

/// A server that speaks another protocol.
struct Foreigner {
    dialect: ClientDialect,
    /// What the output says, in the server's language.
    translated: Outgoing,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Task<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.drive(cx) {
            Poll::Ready(cause) => {
                self.end(&Arc::new(cause));
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Task<IO> {
    /// Ready with what ended the connection.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Disconnected> {
        loop {
            while let Poll::Ready(read) = self.input.poll_read(&mut self.io, cx) {
                if let Err(cause) = self.receive(read) {
                    return Poll::Ready(cause);
                }
            }
            if let Some(handshake) = &mut self.handshake
                && handshake.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Disconnected::Handshake(self.shared.limits.handshake));
            }
            if self.output.is_empty() && !self.is_translating() {
                let mut state = self.shared.state.lock();
                if state.leaving == Some(Leaving::Closed) {
                    return Poll::Ready(Disconnected::Closed);
                }
                if state.outbox.is_empty() {
                    self.yielded = false;
                    if state.leaving.is_some() && !self.shut {
                        drop(state);
                        return self.part(cx);
                    }
                    if self.go_away.is_some() && !self.shut && state.pending.waiting() == 0 {
                        return Poll::Ready(Disconnected::Closed);
                    }
                    if (self.input.holds_memory()
                        || self.output.holds_memory()
                        || state.outbox.holds_memory())
                        && self.quiet.poll(cx)
                    {
                        self.input.release();
                        self.output.release();
                        state.outbox.release();
                    }
                    // Under the same lock, so that nobody appends without waking us.
                    state.task = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                // A caller who is alone has nobody to share the write with.
                if !self.yielded && state.pending.waiting() > 1 {
                    self.yielded = true;
                    drop(state);
                    step_aside(cx);
                    return Poll::Pending;
                }
                self.yielded = false;
                self.output.append(&mut state.outbox);
                state.unwritten = self.output.len();
            }
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => {
                    let mut state = self.shared.state.lock();
                    state.unwritten = 0;
                    state.offered = self.written;
                    drop(state);
                    self.shared.room.notify_waiters();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.failed(error)),
                Poll::Pending => {
                    let mut state = self.shared.state.lock();
                    state.unwritten = self.unwritten();
                    state.offered = self.written + self.output.len() as u64;
                    if state.leaving == Some(Leaving::Closed) {
                        return Poll::Ready(Disconnected::Closed);
                    }
                    state.task = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes what is in the output, in the server's language.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Foreigner { dialect, translated }) = &mut self.foreigner else {
            let before = self.written;
            let written = self.output.poll_write(&mut self.io, cx, &mut self.written);
            self.observed.sent(self.written - before);
            return written;
        };
        let mut failed = Vec::new();
        // The lengths differ, so a batch counts as written as soon as a part of it may be.
        self.written += self.output.len() as u64;
        self.output.drain(|frames| {
            translated.write(|out| dialect.translate(frames, out, &mut failed));
        });
        let mut sent = 0;
        let written = translated.poll_write(&mut self.io, cx, &mut sent);
        self.observed.sent(sent);
        if !failed.is_empty() {
            let format = &self.shared.format;
            self.answers.extend(failed.into_iter().map(|answered| answer(answered, format)));
            self.deliver();
        }
        written
    }

    /// Whether something that was translated is not written yet.
    fn is_translating(&self) -> bool {
        self.foreigner.as_ref().is_some_and(|foreigner| !foreigner.translated.is_empty())
    }

    /// Bytes that the operating system has not taken yet.
    fn unwritten(&self) -> usize {
        self.output.len()
            + self.foreigner.as_ref().map_or(0, |foreigner| foreigner.translated.len())
    }

    /// Says goodbye, and goes on reading until the server has let go of what was detached.
    fn part(&mut self, cx: &mut Context<'_>) -> Poll<Disconnected> {
        if self.go_away.is_none() {
            let goodbye = "the client is done";
            let code = GoAwayCode::ShuttingDown;
            self.output.write(|out| wire::write_go_away(out, code, goodbye));
            self.go_away = Some(Arc::new(Disconnected::Closed));
        }
        match self.poll_write(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Disconnected::Closed),
            Poll::Pending => return Poll::Pending,
        }
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Ready(_) => self.shut = true,
            Poll::Pending => return Poll::Pending,
        }
        while let Poll::Ready(read) = self.input.poll_read(&mut self.io, cx) {
            if matches!(read, Ok(0) | Err(_)) {
                return Poll::Ready(Disconnected::Closed);
            }
            self.input.clear();
        }
        Poll::Pending
    }

    /// Handles what a read gave.
    fn receive(&mut self, read: io::Result<usize>) -> Result<(), Disconnected> {
        match read {
            Ok(0) => return Err(self.gone(Disconnected::Eof)),
            Ok(bytes) => {
                self.observed.received(bytes);
                self.quiet.disturb();
            }
            Err(error) => return Err(self.failed(error)),
        }
        if self.shut {
            self.input.clear();
            return Ok(());
        }
        if self.handshake.is_some() {
            let Some(preface) = Preface::parse(&self.input)? else { return Ok(()) };
            self.input.advance(wire::PREFACE_LEN);
            self.handshake = None;
            preface.accept()?;
        }
        let decoded = self.decode();
        self.deliver();
        decoded
    }

    /// Decodes every frame there is; answers gather in `answers`.
    fn decode(&mut self) -> Result<(), Disconnected> {
        if let Some(Foreigner { dialect, .. }) = &mut self.foreigner {
            while let Some(answered) = dialect.next(&mut self.input)? {
                self.answers.push(answer(answered, &dialect.format()));
            }
            return Ok(());
        }
        while let Some(incoming) = self.decoder.next(&mut self.input)? {
            match incoming {
                Incoming::Frame(frame) => match frame.kind {
                    Kind::Reply | Kind::Fault => {
                        self.answers.push((frame.seq, Answer::Frame(frame)));
                    }
                    Kind::Request => self.refuse_request(&frame),
                    Kind::Ping => {
                        self.control(|out| wire::write_pong(out, frame.seq));
                    }
                    Kind::GoAway => self.go_away(&frame),
                    // A cancel is for a call we refused already; a pong is proof of life, no more.
                    // Nobody here keeps a ledger, or has asked for a session.
                    Kind::Session | Kind::Acknowledgement => {}
                    Kind::Cancel | Kind::Pong => {}
                },
                Incoming::Oversized { kind: Kind::Reply | Kind::Fault, seq, length } => {
                    self.answers.push((seq, Answer::Oversized(length as usize)));
                }
                // Whatever it asked for, there is nobody here to do it.
                Incoming::Oversized { .. } => {}
            }
        }
        Ok(())
    }

    /// Gives the answers to their calls, under one lock, and wakes the callers after it.
    fn deliver(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        {
            let mut state = self.shared.state.lock();
            for (seq, answer) in self.answers.drain(..) {
                state.pending.resolve(seq, answer, &mut self.wakers);
            }
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Either side may call (`[frame.symmetry]`), but a client serves nothing.
    fn refuse_request(&mut self, frame: &Frame) {
        let method = wire::RequestHead::parse(frame.head()).map_or("?", |head| head.method);
        let text = format!("rpc: can't find service {method}");
        let (seq, code) = (frame.seq, FaultCode::UnknownService);
        let max = self.shared.limits.max_frame;
        self.control(|out| wire::write_fault(out, seq, code, &text, &[], max));
    }

    /// Appends a control frame. This task is awake, so nobody has to be woken.
    fn control(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let task = self.shared.state.lock().control(write);
        // A waker left from an earlier sleep; not dropped under the lock.
        drop(task);
    }

    /// The server takes no more calls; those it has will be answered.
    fn go_away(&mut self, frame: &Frame) {
        let cause = match GoAwayBody::parse(frame.body_slice()) {
            Ok(GoAwayBody { code, message }) => {
                Disconnected::GoAway { code, message: message.to_owned() }
            }
            Err(_) => {
                Disconnected::GoAway { code: GoAwayCode::ShuttingDown, message: String::new() }
            }
        };
        let cause = Arc::new(cause);
        self.shared.state.lock().pending.refuse(&cause);
        self.go_away.get_or_insert(cause);
    }

    /// What a failed stream means: the server's own reason, if it gave one.
    fn failed(&mut self, error: io::Error) -> Disconnected {
        // The reason may have arrived while we were writing.
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(1..)) = self.input.poll_read(&mut self.io, &mut cx) {}
        if self.handshake.is_some() {
            match Preface::parse(&self.input) {
                Ok(Some(_)) => self.input.advance(wire::PREFACE_LEN),
                Ok(None) => {}
                Err(not_netrpc) => return not_netrpc.into(),
            }
        }
        let _ = self.decode();
        self.deliver();
        self.gone(error.into())
    }

    fn gone(&mut self, cause: Disconnected) -> Disconnected {
        match &self.go_away {
            Some(go_away) => match &**go_away {
                Disconnected::GoAway { code, message } => {
                    Disconnected::GoAway { code: *code, message: message.clone() }
                }
                _ => cause,
            },
            None => cause,
        }
    }

    fn end(&mut self, cause: &Arc<Disconnected>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        {
            let mut state = self.shared.state.lock();
            state.pending.close(cause, self.written, &mut self.wakers);
            state.outbox = Outgoing::default();
            state.unwritten = 0;
        }
        self.wakers.drain(..).for_each(Waker::wake);
        self.shared.room.notify_waiters();
        self.observed.ended(Some(cause));
        self.shared.ended.cancel();
    }
}

/// A foreign server's answer, and the call it is for.
fn answer(Answered { seq, answer }: Answered, format: &Format) -> (u64, Answer) {
    let answer = match answer {
        ForeignAnswer::Reply(body) => Answer::Foreign(Box::new((body, format.clone()))),
        ForeignAnswer::Fault(fault) => Answer::Fault(Box::new(fault)),
        ForeignAnswer::Oversized(length) => Answer::Oversized(length),
    };
    (seq, answer)
}

impl<IO> Drop for Task<IO> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The runtime is gone, and the task with it: nobody else can tell the callers.
        static RUNTIME: LazyLock<Arc<Disconnected>> =
            LazyLock::new(|| Disconnected::Runtime.into());
        let mut state = self.shared.state.lock();
        state.pending.close(&RUNTIME, self.written, &mut self.wakers);
        drop(state);
        self.wakers.drain(..).for_each(Waker::wake);
        self.shared.room.notify_waiters();
        self.observed.ended(Some(&RUNTIME));
        self.shared.ended.cancel();
    }
}
