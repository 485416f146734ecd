//! The task that owns a client's end of a connection.
//!
//! It lets others go first before it writes: on a busy runtime every caller that can run has appended its
//! request by then, and the batch leaves as one write. What is read is decoded into frames, all of them are
//! given to the table of pending calls under one lock, and their callers are woken after it.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
};

use bytes::Buf;
use netrpc_core::{
    codec::Format,
    dialect::{Answered, ClientDialect, ForeignAnswer},
    error::Disconnected,
    fault::FaultCode,
    wire::{self, FaultBody, Frame, FrameDecoder, GoAwayBody, GoAwayCode, Kind, Looked, Preface},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Sleep,
};

use super::{
    pulse::{Pulse, Pulsed},
    shared::{Answer, Leaving, Shared, State},
    tracked::awaited,
};
use crate::{
    observe::ObservedConnection,
    outgoing::Outgoing,
    quiet::Quiet,
    read::Input,
    sync,
    turn::{READS, step_aside},
};

/// How often others go first before a batch is written. The second time is for callers that another worker
/// of the runtime has taken over and not got to yet.
const TURNS: u32 = 2;

/// The weight of a batch that does not wait for more: a write of so much has paid for itself, and the server can
/// begin. That of about a hundred small requests.
const PAYS: usize = 32 * 1024;

/// Starts the task that owns `io`.
///
/// # Panics
/// Outside a tokio runtime.
pub(super) fn start<IO>(io: IO, shared: Arc<Shared>, observed: ObservedConnection)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = shared.limits;
    let dialect = shared.state.lock().dialect.take();
    let task = Task {
        foreigner: dialect.map(|dialect| Foreigner { dialect, translated: Outgoing::default() }),
        io,
        decoder: FrameDecoder::new(limits.max_frame),
        input: Input::new(),
        quiet: Quiet::default(),
        output: Outgoing::default(),
        written: 0,
        turns: 0,
        crowd: 0,
        handshake: limits.wire.is_none().then(|| Box::pin(tokio::time::sleep(limits.handshake))),
        go_away: None,
        shut: false,
        answers: Vec::new(),
        wakers: Vec::new(),
        observed,
        congested: false,
        pulse: Pulse::new(&limits),
        stall: None,
        doubtful: false,
        proven: shared.line.strong_count() == 0,
        ended: false,
        shared,
    };
    if task.handshake.is_none() {
        task.established();
    }
    sync::spawn(task);
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
    /// How often callers had their turn since the last write.
    turns: u32,
    /// The most calls that were under way since then: about as many will be soon, since most callers whose
    /// call is answered make the next.
    crowd: usize,
    /// Runs until the server's preface is there.
    handshake: Option<Pin<Box<Sleep>>>,
    /// Why the server takes no more calls.
    go_away: Option<Arc<Disconnected>>,
    /// Our half of the stream is closed: nobody here has anything left to say.
    shut: bool,
    /// Reused between reads.
    answers: Vec<(u64, Option<Answer>)>,
    /// Reused between reads.
    wakers: Vec<Waker>,
    observed: ObservedConnection,
    /// Nothing is read: too much lies unread.
    congested: bool,
    /// Whether the server lives.
    pulse: Pulse,
    /// Runs while the server does not read.
    stall: Option<Pin<Box<Sleep>>>,
    /// That time is over, and writing is tried once more.
    doubtful: bool,
    /// It is known that the connection was worth making, or nobody wants to know.
    proven: bool,
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
                if let Disconnected::Closed = cause {
                    // A stream that has a word for its end, as TLS does, says it now or never.
                    let _ = Pin::new(&mut self.io).poll_shutdown(cx);
                }
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
        let mut reads = 0;
        // The stream wakes us when there is more: no need to ask it again after a write.
        let mut drained = false;
        loop {
            if self.congested {
                self.congested = self.shared.state.lock().congested;
            }
            while !self.congested && !drained && reads < READS {
                let Poll::Ready(read) = self.input.poll_read(&mut self.io, cx) else {
                    drained = true;
                    break;
                };
                if let Err(cause) = self.receive(read) {
                    return Poll::Ready(cause);
                }
                reads += 1;
                if reads == READS {
                    // What there is to write is written yet.
                    step_aside(cx);
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
                    self.turns = 0;
                    let waits = state.parked.as_ref().is_some_and(|parked| !parked.is_empty());
                    if state.leaving.is_some() && !self.shut && !waits {
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
                        self.answers = Vec::new();
                        self.wakers = Vec::new();
                    }
                    if self.congested && !state.congested {
                        continue;
                    }
                    // Under the same lock, so that nobody appends without waking us.
                    state.sleep(cx.waker());
                    let waits = state.pending.waiting() > 0 && !self.congested;
                    match self.pulse.poll(waits, cx) {
                        None => return Poll::Pending,
                        Some(Pulsed::LookAgain) => {
                            step_aside(cx);
                            return Poll::Pending;
                        }
                        Some(Pulsed::Ping) => {
                            let task = state.control(|out| wire::write_ping(out, 0));
                            drop(state);
                            drop(task); // ours, and not under the lock
                            continue;
                        }
                        Some(Pulsed::Dead(after)) => {
                            drop(state);
                            return Poll::Ready(self.gone(Disconnected::Silent(after)));
                        }
                    }
                }
                if self.lets_others_first(&state) {
                    self.turns += 1;
                    state.step_aside(cx.waker(), PAYS);
                    drop(state);
                    step_aside(cx);
                    return Poll::Pending;
                }
                self.turns = 0;
                self.crowd = 0;
                self.output.append(&mut state.outbox);
                state.weight = 0;
                state.unwritten = self.output.len();
                let left = state.task.take();
                drop(state);
                drop(left); // not under the lock
            }
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => {
                    let mut state = self.shared.state.lock();
                    state.unwritten = 0;
                    state.offered = self.written;
                    drop(state);
                    self.shared.changed.notify_waiters();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.failed(error)),
                Poll::Pending => {
                    let mut state = self.shared.state.lock();
                    state.unwritten = self.unwritten();
                    state.offered = self.written + self.output.len() as u64;
                    if state.leaving == Some(Leaving::Closed) {
                        return Poll::Ready(Disconnected::Closed);
                    }
                    if self.congested && !state.congested {
                        continue;
                    }
                    state.sleep(cx.waker());
                    drop(state);
                    if self.is_stalled(cx) {
                        let limit = self.shared.limits.write_timeout;
                        return Poll::Ready(self.gone(Disconnected::NotReading(limit)));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether callers who can run are to add to the batch before it is written. A caller who is alone has
    /// nobody to share the write with.
    fn lets_others_first(&self, state: &State) -> bool {
        let waiting = state.pending.waiting();
        if self.turns == 0 {
            return waiting.max(self.crowd) > 1;
        }
        self.turns < TURNS && waiting < self.crowd && state.weight < PAYS
    }

    /// Writes what is in the output, in the server's language.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Foreigner { dialect, translated }) = &mut self.foreigner else {
            let before = self.written;
            let written = self.output.poll_write(&mut self.io, cx, &mut self.written);
            self.moved(self.written - before);
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
        self.moved(sent);
        if !failed.is_empty() {
            let format = &self.shared.format;
            self.answers.extend(failed.into_iter().map(|answered| answer(answered, format)));
            self.deliver();
        }
        written
    }

    /// The operating system has taken so many bytes.
    fn moved(&mut self, bytes: u64) {
        self.observed.sent(bytes);
        if bytes > 0 && self.stall.take().is_some() {
            self.doubtful = false;
            self.pulse.heard();
        }
    }

    /// Whether the server has not read anything for too long; asked when it takes no more.
    fn is_stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.shared.limits.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if stall.as_mut().poll(cx).is_pending() {
            return false;
        }
        // Once more, if nobody drove this connection: there may be room by now.
        if !std::mem::replace(&mut self.doubtful, true) {
            step_aside(cx);
            return false;
        }
        true
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
            Poll::Pending if self.is_stalled(cx) => return Poll::Ready(Disconnected::Closed),
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
                self.pulse.heard();
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
            let decoded = self.decode();
            // One that is sent away at the door is not sent calls.
            if self.go_away.is_none() {
                self.established();
            } else if self.shared.line.strong_count() > 0 {
                return Err(self.gone(Disconnected::Eof));
            }
            self.deliver();
            return decoded;
        }
        let decoded = self.decode();
        self.deliver();
        decoded
    }

    /// The server is there, as far as can be known: calls that waited for that are sent.
    fn established(&self) {
        self.shared.unpark();
        if let Some(line) = self.shared.line.upgrade() {
            line.established(&self.shared);
        }
    }

    /// The connection has brought the answer to a call.
    #[cold]
    fn prove(&mut self) {
        self.proven = true;
        if let Some(line) = self.shared.line.upgrade() {
            line.proven(&self.shared);
        }
    }

    /// Decodes every frame there is; answers gather in `answers`.
    fn decode(&mut self) -> Result<(), Disconnected> {
        if let Some(Foreigner { dialect, .. }) = &mut self.foreigner {
            while let Some(answered) = dialect.next(&mut self.input)? {
                self.answers.push(answer(answered, &dialect.format()));
            }
            return Ok(());
        }
        while let Some(looked) = self.decoder.look(&mut self.input)? {
            match looked {
                Looked::Frame(frame) if frame.kind() == Kind::Reply => {
                    self.answers.push((frame.seq(), None));
                    let (_, answer) = self.answers.last_mut().expect("it was put there");
                    *answer = Some(Answer::Frame(Frame::PLACE));
                    if let Some(Answer::Frame(place)) = answer {
                        frame.take_to(place);
                    }
                }
                Looked::Frame(frame) => {
                    let frame = frame.take();
                    self.heed(frame);
                }
                Looked::Oversized { kind: Kind::Reply | Kind::Fault, seq, length } => {
                    self.answers.push((seq, Some(Answer::Oversized(length as usize))));
                }
                // Whatever it asked for, there is nobody here to do it.
                Looked::Oversized { .. } => {}
            }
        }
        Ok(())
    }

    /// Does what a frame asks for that is no reply.
    fn heed(&mut self, frame: Frame) {
        match frame.kind {
            Kind::Fault => {
                self.look_at(&frame);
                self.answers.push((frame.seq, Some(Answer::Frame(frame))));
            }
            Kind::Request => self.refuse_request(&frame),
            Kind::Ping => self.control(|out| wire::write_pong(out, frame.seq)),
            Kind::GoAway => self.go_away(&frame),
            // Answers too, unless they ask: nobody here keeps a ledger.
            Kind::Session | Kind::Acknowledgement => {
                if awaited::is_answer(&frame) {
                    self.answers.push((frame.seq, Some(Answer::Frame(frame))));
                }
            }
            // A reply has gone another way, a cancel is for a call we refused already, and a pong is proof
            // of life, no more.
            Kind::Reply | Kind::Cancel | Kind::Pong => {}
        }
    }

    /// Gives the answers to their calls, under one lock, and wakes the callers after it.
    fn deliver(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let relieved = {
            let mut state = self.shared.state.lock();
            self.crowd = self.crowd.max(state.pending.waiting());
            for (seq, answer) in &mut self.answers {
                state.resolve(*seq, answer, &mut self.wakers);
            }
            let relieved = state.relieve(&self.shared.limits);
            self.congested = state.is_congested(&self.shared.limits);
            state.congested = self.congested;
            relieved
        };
        // Those that nobody wants any more are still there.
        self.answers.clear();
        self.shared.tell(relieved);
        self.wakers.drain(..).for_each(Waker::wake);
        if !self.proven && self.go_away.is_none() {
            self.prove();
        }
    }

    /// A server that refuses a call because it is shutting down takes no other, whether or not its go-away
    /// is there yet: who sends the call again is not to come back here.
    fn look_at(&mut self, frame: &Frame) {
        if self.shared.line.strong_count() == 0 {
            return;
        }
        if let Ok(FaultBody { code: FaultCode::ShuttingDown, message, .. }) =
            FaultBody::parse(frame.body_slice())
        {
            let code = GoAwayCode::ShuttingDown;
            let cause = Arc::new(Disconnected::GoAway { code, message: message.to_owned() });
            self.refuse(&cause);
            self.go_away.get_or_insert(cause);
        }
    }

    /// Lets no call begin any more.
    fn refuse(&self, cause: &Arc<Disconnected>) {
        self.shared.refuse(cause);
        if let Some(line) = self.shared.line.upgrade() {
            line.lost(&self.shared);
        }
    }

    /// Either side may call (`[frame.symmetry]`), but a client serves nothing.
    fn refuse_request(&mut self, frame: &Frame) {
        let method = wire::RequestHead::parse(frame.head()).map_or("?", |head| head.method);
        let text = format!("rpc: can't find service {method}");
        let (seq, code) = (frame.seq, FaultCode::UnknownService);
        let max = self.shared.limits.max_frame;
        self.control(|out| wire::write_fault(out, seq, code, &text, &[], max));
    }

    /// Appends an answer to what the server asks for, unless it does not read what it is told already.
    /// This task is awake, so nobody has to be woken.
    fn control(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.shared.state.lock();
        if state.queued() > self.shared.limits.queued_bytes {
            return;
        }
        let task = state.control(write);
        drop(state);
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
        self.refuse(&cause);
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
        // Calls that try again are to find the next connection when they are woken.
        if let Some(line) = self.shared.line.upgrade() {
            line.ended(&self.shared, cause);
        }
        self.observed.ended(Some(cause));
        self.shared.end(cause, self.written);
    }
}

/// A foreign server's answer, and the call it is for.
fn answer(Answered { seq, answer }: Answered, format: &Format) -> (u64, Option<Answer>) {
    let answer = match answer {
        ForeignAnswer::Reply(body) => Answer::Foreign(Box::new((body, format.clone()))),
        ForeignAnswer::Fault(fault) => Answer::Fault(Box::new(fault)),
        ForeignAnswer::Oversized(length) => Answer::Oversized(length),
    };
    (seq, Some(answer))
}

impl<IO> Drop for Task<IO> {
    fn drop(&mut self) {
        // The runtime is gone, and the task with it: nobody else can tell the callers.
        static RUNTIME: LazyLock<Arc<Disconnected>> =
            LazyLock::new(|| Disconnected::Runtime.into());
        if !self.ended {
            self.observed.ended(Some(&RUNTIME));
            self.shared.end(&RUNTIME, self.written);
        }
    }
}
