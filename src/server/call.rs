//! One call: admitted, run where it is best run, answered exactly once.

use std::{
    future::{pending, poll_fn},
    mem,
    sync::Arc,
    task::{self, Poll, Waker},
    time::Instant,
};

use netrpc_core::{
    CallId, Cancellation, Context, Fault,
    dialect::{Arrived, ArrivedBody},
    error::Disconnected,
    fault::FaultCode,
    semantics::Semantics,
    service::{Body, Entry, EntryHandler, Finished, HandlerFuture, MethodTable, ReplyBuf},
    session::{self, Admission, Cancelled, ServerSession},
    wire::{self, Frame, FrameHere, FrameStart, Incoming, Kind, RawHead, RequestHead},
};

use super::{
    Shared, SyncPolicy,
    answer::{self, Outcome},
    connection::{Batch, Connection, Stream},
    driver::{Driver, Elsewhere, Foreigner, GOODBYE_PING, Inline, Request, Served, Speech},
    passage::Missing,
    tracked::demand,
    workers::{Permit, Watch},
};
use crate::{
    client::now,
    observe::{self, Arrival, ServedCall},
    sync::{self, MutexGuard},
};

/// What it takes to keep a call waiting, besides its request; about.
pub(super) const WAITING: usize = 128;

/// A handler that was not done at its first poll.
pub(super) struct Unfinished {
    seq: u64,
    entry: Arc<Entry>,
    cx: Option<Context>,
    cancellation: Cancellation,
    deadline: Option<Instant>,
    observed: ServedCall,
    start: FrameStart,
    future: HandlerFuture,
}

/// Where a synchronous handler runs.
enum Place {
    /// On the connection's task; if it blocks, the watchdog takes the connection away from it.
    Inline,
    /// On the connection's task, which nobody could replace; so it is watched by the clock.
    InlineTimed,
    /// On the thread pool.
    Pool,
}

/// What is known of a call whose request could not be read.
const NOTHING: (Option<&Arc<Entry>>, &[u8]) = (None, &[]);

/// Whose the driver is after a call.
#[derive(PartialEq, Eq)]
pub(super) enum Turn {
    Ours,
    HandedOver,
}

impl<IO: Stream> Connection<IO> {
    /// Serves the calls that wait and those that have arrived, as far as the limits let.
    ///
    /// # Errors
    /// What ends the connection, if the peer breaks the protocol.
    pub(super) fn serve<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        batch: &mut Batch<'a>,
    ) -> Result<Served, Disconnected> {
        let Shared { limits, http_path, .. } = &*self.server;
        let closing = driver.is_closing();
        if !closing {
            driver.counts.check()?;
            if !driver.shake_hands(limits, http_path)? {
                return Ok(Served::All);
            }
        }
        let table = driver.take_table(&self.server.registry);
        *batch.reply.bytes_mut() = mem::take(&mut driver.scratch);
        let served = self.serve_calls(driver, closing, &table, batch);
        batch.permit = None;
        if !matches!(served, Ok(Served::HandedOver)) {
            driver.scratch = mem::take(batch.reply.bytes_mut());
            driver.keep_table(table);
        }
        served
    }

    fn serve_calls<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        closing: bool,
        table: &MethodTable,
        batch: &mut Batch<'a>,
    ) -> Result<Served, Disconnected> {
        let full = self.server.limits.output_bytes;
        let mut last = None;
        // One place for all of them: there is more to it than to a call's other parts.
        let mut body = Body::default();
        loop {
            if driver.queued() > full {
                return Ok(Served::OutputFull);
            }
            if driver.session.has_next() {
                batch.permit = None;
                if self.serve_waiting(driver, batch) == Turn::HandedOver {
                    return Ok(Served::HandedOver);
                }
                continue;
            }
            if closing {
                return Ok(Served::All);
            }
            if !driver.session.wants_more() {
                return Ok(Served::CallsFull);
            }
            let turn = if let Speech::Foreign(_) = driver.speech {
                match self.receive_foreign(driver, table, batch)? {
                    Some(turn) => turn,
                    None => return Ok(Served::All),
                }
            } else {
                let Driver { decoder, input, session, .. } = &mut **driver;
                let plain = decoder.at_hand(input).and_then(|frame| {
                    Some((self.plain(&frame, table, &mut last, session)?, frame))
                });
                match plain {
                    Some((entry, frame)) => {
                        let call = self.plain_call(entry, frame.seq());
                        body.refill(frame);
                        driver.counts.frames += 1;
                        driver.counts.requests += 1;
                        self.run_sync(driver, entry, call, &mut body, batch)
                    }
                    None => match self.receive(driver, table, batch)? {
                        Some(turn) => turn,
                        None => return Ok(Served::All),
                    },
                }
            };
            if turn == Turn::HandedOver {
                return Ok(Served::HandedOver);
            }
        }
    }

    /// Serves the call that has waited longest and may run now.
    fn serve_waiting<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        batch: &mut Batch<'a>,
    ) -> Turn {
        let Some((_, request)) = driver.session.next_waiting() else { return Turn::Ours };
        let Request { frame, target, deadline, stamped } = request;
        if stamped {
            self.ask_ledger(driver, frame, target, deadline);
            return Turn::Ours;
        }
        match target {
            Ok(entry) => self.run(driver, Ok(&entry), frame, deadline, batch),
            Err(missing) => self.run(driver, Err(missing), frame, deadline, batch),
        }
    }

    /// The method that a frame calls, if it is a call as most are: of a method that can
    /// [run plainly](Entry::runs_plainly), by a request that says nothing else, and it may run at once.
    ///
    /// Most call the same as the `last`.
    #[inline]
    fn plain<'t>(
        &self,
        frame: &FrameHere<'_>,
        table: &'t MethodTable,
        last: &mut Option<&'t Arc<Entry>>,
        session: &ServerSession<Elsewhere, Request>,
    ) -> Option<&'t Arc<Entry>> {
        if frame.kind() != Kind::Request || self.server.passes {
            return None;
        }
        let head = RawHead::split(frame.head()).ok().filter(|head| head.is_bare())?;
        let entry = match *last {
            Some(entry) if entry.is_called(head.name()) => entry,
            _ => last.insert(table.get(head.name())?),
        };
        (entry.runs_plainly() && session.runs_now(frame.seq())).then_some(entry)
    }

    /// What is to be known of such a call.
    #[inline]
    fn plain_call(&self, entry: &Arc<Entry>, seq: u64) -> Call {
        let Shared { registry, observer, .. } = &*self.server;
        Call {
            observed: ServedCall::begin(observer, registry, Some(entry), self.arrival(seq, &[])),
            seq,
            cx: None,
            cancellation: None,
            deadline: None,
        }
    }

    /// Takes what comes next, whatever it is; `None` if nothing is whole.
    #[inline(never)]
    fn receive<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        table: &MethodTable,
        batch: &mut Batch<'a>,
    ) -> Result<Option<Turn>, Disconnected> {
        batch.permit = None;
        let Driver { decoder, input, .. } = &mut **driver;
        match decoder.next(input)? {
            None => Ok(None),
            Some(Incoming::Frame(frame)) => {
                self.receive_frame(driver, frame, table, batch).map(Some)
            }
            Some(Incoming::Oversized { kind, seq, length }) => {
                driver.counts.frames += 1;
                if kind == Kind::Request {
                    driver.counts.requests += 1;
                    self.refuse(driver, seq, NOTHING, &self.too_large(length as usize));
                }
                Ok(Some(Turn::Ours))
            }
        }
    }

    fn receive_frame<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        frame: Frame,
        table: &MethodTable,
        batch: &mut Batch<'a>,
    ) -> Result<Turn, Disconnected> {
        let limits = &self.server.limits;
        driver.counts.frames += 1;
        match frame.kind {
            Kind::Request => {
                driver.counts.requests += 1;
                return self.request(driver, frame, table, batch);
            }
            Kind::Cancel => {
                driver.counts.cancel(limits);
                self.cancel(driver, frame.seq);
            }
            Kind::Ping => {
                driver.counts.ping(limits);
                driver.output.write(|out| wire::write_pong(out, frame.seq));
            }
            Kind::GoAway => driver.peer_goes = true,
            Kind::Pong => driver.goodbye_heard |= frame.seq == GOODBYE_PING,
            // We have called nothing.
            Kind::Reply | Kind::Fault => {}
            Kind::Session => {
                driver.counts.ping(limits);
                self.session_frame(driver, &frame)?;
            }
            Kind::Acknowledgement => {
                driver.counts.ping(limits);
                self.ack_frame(driver, &frame)?;
            }
        }
        Ok(Turn::Ours)
    }

    fn request<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        frame: Frame,
        table: &MethodTable,
        batch: &mut Batch<'a>,
    ) -> Result<Turn, Disconnected> {
        // Only a name that is not found has to be known to be text.
        let read = RawHead::split(frame.head()).and_then(|head| match table.get(head.name()) {
            Some(entry) => Ok((head.parse_as(entry.full_name())?, Some(entry))),
            None => Ok((head.parse()?, None)),
        });
        let (head, found) = match read {
            Ok(read) => read,
            Err(error) => {
                let fault = Fault::with_code(error.fault_code(), error.to_string());
                self.refuse(driver, frame.seq, (None, frame.head()), &fault);
                return Ok(Turn::Ours);
            }
        };
        if head.stamp.is_some() {
            let deadline = head.deadline.and_then(|left| session::deadline(now(), left));
            let target = found.map_or_else(
                || table.find(head.method).map_err(|fault| Missing::new(head.method, fault)),
                Ok,
            );
            self.stamped(driver, target.cloned(), frame, deadline)?;
            return Ok(Turn::Ours);
        }
        let deadline = head.deadline.and_then(|left| session::deadline(now(), left));
        let target = match found.map_or_else(|| table.find(head.method), Ok) {
            Ok(entry) => Ok(entry),
            Err(fault) if self.server.passes => Err(Missing::new(head.method, fault)),
            Err(fault) => {
                self.refuse(driver, frame.seq, (None, frame.head()), &fault);
                return Ok(Turn::Ours);
            }
        };
        self.admit(driver, target, (frame, wire::HEADER_LEN), deadline, batch)
    }

    /// Takes the next request of a peer that speaks another protocol; `None` if none is whole.
    fn receive_foreign<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        table: &MethodTable,
        batch: &mut Batch<'a>,
    ) -> Result<Option<Turn>, Disconnected> {
        batch.permit = None;
        let Driver { speech, input, .. } = &mut **driver;
        let Speech::Foreign(foreigner) = speech else {
            unreachable!("asked of a foreigner only");
        };
        let Foreigner { dialect, unwelcome, .. } = &mut **foreigner;
        let Some(Arrived { seq, method, body, kept }) = dialect.next(input)? else {
            return Ok(None);
        };
        let found = table.find(method).map_err(|fault| Missing::new(method, fault));
        let passes = self.server.passes;
        let unwelcome = unwelcome.take();
        driver.counts.frames += 1;
        driver.counts.requests += 1;
        driver.timer.greeted(false, &self.server.limits.times);
        if let Some(cause) = unwelcome {
            let fault = match &cause {
                Disconnected::Refused(reason) => Fault::denied(reason),
                cause => Fault::with_code(FaultCode::Unsupported, cause.to_string()),
            };
            self.refuse(driver, seq, NOTHING, &fault);
            return Err(cause);
        }
        let method = found.as_ref().ok().copied();
        let refusal = match (body, found) {
            (ArrivedBody::Whole(frame), found) if passes || found.is_ok() => {
                return self.admit(driver, found, (frame, kept), None, batch).map(Some);
            }
            (ArrivedBody::Oversized(length), _) => self.too_large(length),
            // Whether there is such a method, only those may know who pass.
            (ArrivedBody::Broken(fault), found) if passes || found.is_ok() => fault,
            // What a request that cannot be read at all wants is not known.
            (ArrivedBody::Broken(fault), _) if fault.code() == FaultCode::IllFormed => fault,
            (ArrivedBody::Whole(_) | ArrivedBody::Broken(_), Err(missing)) => missing.fault,
            (ArrivedBody::Whole(_) | ArrivedBody::Broken(_), Ok(_)) => unreachable!("see above"),
        };
        self.refuse(driver, seq, (method, &[]), &refusal);
        Ok(Some(Turn::Ours))
    }

    fn too_large(&self, length: usize) -> Fault {
        observe::limit("max_frame");
        let limit = self.server.limits.max_frame;
        let text = format!(
            "the request has {length} bytes, the server's limit is {limit} (ServerBuilder::max_frame)"
        );
        Fault::with_code(FaultCode::RequestTooLarge, text)
    }

    /// Runs a request, or lets it wait, as the session's rules have it. It keeps some bytes besides its
    /// frame's until it is answered.
    #[inline]
    fn admit<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        target: Result<&Arc<Entry>, Box<Missing>>,
        (frame, kept): (Frame, usize),
        deadline: Option<Instant>,
        batch: &mut Batch<'a>,
    ) -> Result<Turn, Disconnected> {
        match driver.session.admit(frame.seq, deadline, now) {
            Admission::Run => {
                return Ok(self.run(driver, target, frame, deadline, batch));
            }
            Admission::Wait => {
                let (seq, bytes) = (frame.seq, kept + frame.payload().len() + WAITING);
                let frame = frame.detach();
                let target = target.cloned();
                let request = Request { frame, target, deadline, stamped: false };
                driver.session.wait(seq, bytes, request);
            }
            Admission::Refuse(fault) => {
                self.refuse(driver, frame.seq, (target.ok(), frame.head()), &fault);
            }
            Admission::SeqInUse => return Err(Disconnected::SeqInUse(frame.seq)),
        }
        Ok(Turn::Ours)
    }

    /// Answers a call that does not begin, with what is known of it: its method, if there is such a one,
    /// and the head of its request.
    pub(super) fn refuse(
        &self,
        driver: &mut Driver<IO>,
        seq: u64,
        (entry, head): (Option<&Arc<Entry>>, &[u8]),
        fault: &Fault,
    ) {
        self.server.observer.refused(entry, self.arrival(seq, head), fault);
        let limits = &self.server.limits;
        driver.counts.refused(fault.code(), limits);
        driver.output.write(|out| answer::write_fault(out, seq, fault, limits.max_frame));
    }

    fn cancel(&self, driver: &mut MutexGuard<'_, Driver<IO>>, seq: u64) {
        match driver.session.cancel(seq) {
            Cancelled::Running(call) => {
                let cancellation = call.cancellation().clone();
                // Whoever listens may do anything.
                MutexGuard::unlocked(driver, || cancellation.cancel());
            }
            Cancelled::Waiting(Request { frame, target, .. }) => {
                self.refuse(driver, seq, (target.as_ref().ok(), frame.head()), &cancelled());
            }
            Cancelled::Unknown => {}
        }
    }

    /// Runs a call: on the spot if it may, else where it holds up nobody.
    #[inline]
    fn run<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        target: Result<&Arc<Entry>, Box<Missing>>,
        frame: Frame,
        deadline: Option<Instant>,
        batch: &mut Batch<'a>,
    ) -> Turn {
        let seq = frame.seq;
        if deadline.is_some_and(|deadline| deadline <= now()) {
            self.refuse(driver, seq, (target.ok(), frame.head()), &session::expired());
            return Turn::Ours;
        }
        let passes = self.server.passes;
        let asynchronous =
            target.as_ref().is_ok_and(|entry| matches!(entry.handler(), EntryHandler::Async(_)));
        if (passes || asynchronous)
            && let Some(fault) = self.is_overloaded(driver)
        {
            self.refuse(driver, seq, (target.ok(), frame.head()), &fault);
            return Turn::Ours;
        }
        if passes {
            return self.pass(driver, target.cloned(), frame, deadline, batch);
        }
        let entry = match target {
            Ok(entry) => entry,
            Err(missing) => {
                self.refuse(driver, seq, (None, frame.head()), &missing.fault);
                return Turn::Ours;
            }
        };
        let options = entry.options();
        // Whoever demands something has a context.
        if options.context
            && let Err(fault) = demand::met(entry, Semantics::Maybe)
        {
            self.refuse(driver, seq, (Some(entry), frame.head()), &fault);
            return Turn::Ours;
        }
        let observed = self.observe(Some(entry), &frame);
        // Whatever can be told that nobody waits any more, must be tellable.
        let cancellation = (options.context || asynchronous).then(Cancellation::new);
        let cx = options.context.then(|| {
            let cancellation = cancellation.clone().unwrap_or_default();
            let metadata = RequestHead::parse(frame.head())
                .map_or_else(|_| Default::default(), |head| head.metadata.decode());
            let id = CallId { connection: self.number(), seq };
            Context::new(id, self.caller.clone(), deadline, metadata, cancellation, now)
                .with_extensions(self.extensions.clone())
                .in_span(observed.trace())
        });
        let mut body = Body::new(frame.into_body(), driver.format());
        let call = Call { seq, cx, cancellation, deadline, observed };
        if asynchronous {
            return self.begin(driver, entry, call, body, batch);
        }
        self.run_sync(driver, entry, call, &mut body, batch)
    }

    /// Runs a call of a synchronous handler: on the spot, or on the thread pool, where the body goes along.
    #[inline]
    fn run_sync<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        entry: &Arc<Entry>,
        mut call: Call,
        body: &mut Body,
        batch: &mut Batch<'a>,
    ) -> Turn {
        match self.place(entry, batch) {
            Place::Inline => {
                let turn = self.call(driver, entry, &mut call, body, batch);
                if batch.permit.as_ref().is_some_and(Permit::is_wanted) {
                    batch.permit = None;
                }
                turn
            }
            Place::InlineTimed => {
                let begun = Instant::now();
                let turn = self.call(driver, entry, &mut call, body, batch);
                entry.pace().ran(begun.elapsed());
                turn
            }
            Place::Pool => {
                self.call_on_pool(driver, entry.clone(), call, mem::take(body));
                Turn::Ours
            }
        }
    }

    /// Whether the server runs too many calls for this connection to start another elsewhere.
    pub(super) fn is_overloaded(&self, driver: &Driver<IO>) -> Option<Fault> {
        let Shared { capacity, connections, .. } = &*self.server;
        capacity.refuses(driver.session.running_len(), || connections.count())
    }

    /// Begins to tell of a call, to whoever has asked; `None` if there is no such method.
    #[inline]
    pub(super) fn observe(&self, entry: Option<&Arc<Entry>>, frame: &Frame) -> ServedCall {
        let Shared { registry, observer, .. } = &*self.server;
        ServedCall::begin(observer, registry, entry, self.arrival(frame.seq, frame.head()))
    }

    #[inline]
    pub(super) fn arrival<'a>(&'a self, seq: u64, head: &'a [u8]) -> Arrival<'a> {
        let id = CallId { connection: self.number(), seq };
        Arrival { id, peer: &self.caller.peer, head }
    }

    /// Where a synchronous handler runs best.
    #[inline]
    fn place<'a>(self: &'a Arc<Self>, entry: &Entry, batch: &mut Batch<'a>) -> Place {
        let pace = entry.pace();
        match self.server.policy {
            SyncPolicy::Pool => Place::Pool,
            SyncPolicy::Inline if entry.options().blocking => Place::Pool,
            SyncPolicy::Inline => Place::Inline,
            SyncPolicy::Auto if self.workers.is_single() => {
                if pace.is_proven() {
                    Place::InlineTimed
                } else {
                    Place::Pool
                }
            }
            SyncPolicy::Auto if pace.may_be_quick() => {
                if batch.permit.is_none() {
                    batch.permit = self.watch(batch).and_then(Watch::permit);
                }
                if batch.permit.is_some() { Place::Inline } else { Place::Pool }
            }
            SyncPolicy::Auto => Place::Pool,
        }
    }

    /// Puts the connection under the watchdog's eyes for this batch; `None` if there is no room.
    pub(super) fn watch<'a, 'w>(
        self: &'a Arc<Self>,
        batch: &'w mut Batch<'a>,
    ) -> Option<&'w Watch<'a>> {
        let number = self.number();
        batch.watch.get_or_insert_with(|| self.workers.watch(number, || self.clone())).as_ref()
    }

    /// Runs handler code with the driver unlocked, so that the watchdog can take it over.
    pub(super) fn unlocked<T>(
        &self,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        inline: Inline,
        run: impl FnOnce() -> T,
    ) -> (T, Turn) {
        let turn = driver.turn();
        driver.calls += 1;
        driver.inline = Some(inline);
        let value = MutexGuard::unlocked(driver, run);
        if driver.turn() != turn {
            return (value, Turn::HandedOver);
        }
        driver.inline = None;
        (value, Turn::Ours)
    }

    /// Calls a synchronous handler on the spot, and ends the call.
    #[inline]
    fn call(
        self: &Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        entry: &Entry,
        call: &mut Call,
        body: &Body,
        Batch { reply, .. }: &mut Batch<'_>,
    ) -> Turn {
        let Call { seq, cx, cancellation, observed, .. } = call;
        let start = answer::begin_in(reply, body);
        let cx = cx.as_ref();
        let (seq, cancellation) = (*seq, cancellation.take());
        let inline = Inline { seq, bytes: body.as_bytes().len(), cancellation };
        let (outcome, turn) = self.unlocked(driver, inline, || {
            answer::catch(|| {
                let cx = cx.unwrap_or(&self.plain);
                observed.enter(|| call_sync(entry, cx, body, reply))
            })
        });
        let max_frame = self.server.limits.max_frame;
        // As most are.
        if let (Turn::Ours, Ok(Ok(())), None) = (&turn, &outcome, cx)
            && answer::push_small(&mut driver.output, seq, reply, max_frame)
        {
            observed.finish(Ok(()));
            return turn;
        }
        let (mut frame, mut apart) = reply.take_parts();
        if apart.is_empty() {
            answer::seal(entry, (seq, observed), (start, &mut frame), outcome, cx, max_frame);
        } else {
            let begun = (start, &mut frame, apart);
            apart = answer::seal_apart(entry, (seq, observed), begun, outcome, cx, max_frame);
        }
        match turn {
            Turn::Ours if !apart.is_empty() => driver.output.push_large(frame, apart),
            Turn::Ours => {
                driver.output.push(&mut frame);
                *reply.bytes_mut() = frame;
            }
            Turn::HandedOver => {
                frame.append(&mut apart);
                // It took long enough to be noticed, so it will run elsewhere from now on.
                entry.pace().stalled();
                MutexGuard::unlocked(driver, || self.post(seq, &mut frame));
            }
        }
        turn
    }

    /// Has a synchronous handler called on the thread pool.
    fn call_on_pool(
        self: &Arc<Self>,
        driver: &mut Driver<IO>,
        entry: Arc<Entry>,
        call: Call,
        mut body: Body,
    ) {
        let Call { seq, cx, cancellation, deadline, mut observed } = call;
        if let Some(fault) = self.is_overloaded(driver) {
            observed.finish(Err(&fault));
            let max_frame = self.server.limits.max_frame;
            driver.output.write(|out| answer::write_fault(out, seq, &fault, max_frame));
            return;
        }
        body.detach();
        let cancellation = cancellation.unwrap_or_default();
        driver.started(seq, body.as_bytes().len(), cancellation.clone());
        let answering = Answering { connection: self.clone(), seq, observed: Some(observed) };
        self.workers.handle().spawn_blocking(move || {
            // It may have waited for a thread for long.
            let too_late = match deadline {
                _ if cancellation.is_cancelled() => Some(cancelled()),
                Some(deadline) if deadline <= now() => Some(session::expired()),
                _ => None,
            };
            if let Some(fault) = too_late {
                return answering.refuse(&fault);
            }
            let plain = &answering.connection.plain;
            let (start, mut reply) = answer::begin(Vec::new(), &body);
            let begun = Instant::now();
            let outcome = answer::catch(|| {
                let cx = cx.as_ref().unwrap_or(plain);
                answering.enter(|| call_sync(&entry, cx, &body, &mut reply))
            });
            entry.pace().ran(begun.elapsed());
            answering.answer(&entry, (start, reply), outcome, cx.as_ref());
        });
    }

    /// Begins an asynchronous handler: most are done at their first poll, which is made on the spot.
    fn begin<'a>(
        self: &'a Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        entry: &Arc<Entry>,
        call: Call,
        body: Body,
        batch: &mut Batch<'a>,
    ) -> Turn {
        let Call { seq, cx, cancellation, deadline, mut observed } = call;
        let cancellation = cancellation.unwrap_or_default();
        if self.server.policy == SyncPolicy::Auto {
            // A handler that blocks although it is asynchronous holds up its worker, but at least
            // not its connection.
            self.watch(batch);
        }
        let (start, reply) = answer::begin(mem::take(batch.reply.bytes_mut()), &body);
        let bytes = body.as_bytes().len();
        let inline = Inline { seq, bytes, cancellation: Some(cancellation.clone()) };
        let (first, turn) = self.unlocked(driver, inline, || {
            answer::catch(|| {
                let cx = cx.clone().unwrap_or_else(|| self.plain.clone());
                observed.enter(|| {
                    let mut future = call_async(entry, cx, body, reply);
                    // Whatever wakes this waker is noticed when the task that gets the future polls it.
                    match future.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
                        Poll::Ready(finished) => Ok(finished),
                        Poll::Pending => Err(future),
                    }
                })
            })
        });
        let (reply, outcome) = match first {
            Ok(Ok(Finished { reply, result })) => (reply, Ok(result)),
            Err(panic) => (ReplyBuf::default(), Err(panic)),
            Ok(Err(future)) => {
                let entry = entry.clone();
                let unfinished =
                    Unfinished { seq, entry, cx, cancellation, deadline, observed, start, future };
                match turn {
                    Turn::Ours => {
                        driver.started(seq, bytes, unfinished.cancellation.clone());
                        driver.unfinished.push(unfinished);
                    }
                    Turn::HandedOver => MutexGuard::unlocked(driver, || {
                        sync::spawn(self.clone().finish(unfinished));
                    }),
                }
                return turn;
            }
        };
        let max_frame = self.server.limits.max_frame;
        let mut frame = reply.into_bytes();
        let begun = (start, &mut frame);
        answer::seal(entry, (seq, &mut observed), begun, outcome, cx.as_ref(), max_frame);
        match turn {
            Turn::Ours => {
                driver.output.push(&mut frame);
                *batch.reply.bytes_mut() = frame;
            }
            Turn::HandedOver => MutexGuard::unlocked(driver, || self.post(seq, &mut frame)),
        }
        turn
    }

    /// Polls a handler to its end, unless nobody waits for it any more.
    pub(super) async fn finish(self: Arc<Self>, unfinished: Unfinished) {
        let Unfinished { seq, entry, cx, cancellation, deadline, observed, start, mut future } =
            unfinished;
        let answering = Answering { connection: self, seq, observed: Some(observed) };
        let done =
            poll_fn(|cx| match answer::catch(|| answering.enter(|| future.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(Finished { reply, result })) => Poll::Ready((reply, Ok(result))),
                Err(panic) => Poll::Ready((ReplyBuf::default(), Err(panic))),
            });
        let given_up = async {
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            let fault = tokio::select! {
                biased;
                () = cancellation.cancelled() => cancelled(),
                () = over => deadline_exceeded(),
            };
            if entry.options().no_cancel {
                // It is told, and goes on.
                cancellation.cancel();
                return pending().await;
            }
            fault
        };
        let (reply, outcome) = tokio::select! {
            biased;
            done = done => done,
            fault = given_up => {
                // Its slot is free only when it has ended, and it ends here.
                let dropped = answer::catch(|| answering.enter(|| drop(future)));
                (ReplyBuf::default(), dropped.map(|()| Err(fault)))
            }
        };
        answering.answer(&entry, (start, reply), outcome, cx.as_ref());
    }
}

/// A call that is about to run, but for its arguments.
struct Call {
    seq: u64,
    /// If its method asks for one.
    cx: Option<Context>,
    /// If its handler can know of it.
    cancellation: Option<Cancellation>,
    deadline: Option<Instant>,
    observed: ServedCall,
}

/// The duty to answer a call that runs elsewhere: done once, whatever happens.
struct Answering<IO: Stream> {
    connection: Arc<Connection<IO>>,
    seq: u64,
    /// Until it is answered.
    observed: Option<ServedCall>,
}

impl<IO: Stream> Answering<IO> {
    /// Runs a part of its handler.
    fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        match &self.observed {
            Some(observed) => observed.enter(run),
            None => run(),
        }
    }

    fn answer(
        mut self,
        entry: &Entry,
        (start, reply): (FrameStart, ReplyBuf),
        outcome: Outcome,
        cx: Option<&Context>,
    ) {
        let Some(mut observed) = self.observed.take() else { return };
        let max_frame = self.connection.server.limits.max_frame;
        let mut frame = reply.into_bytes();
        let begun = (start, &mut frame);
        answer::seal(entry, (self.seq, &mut observed), begun, outcome, cx, max_frame);
        self.connection.post(self.seq, &mut frame);
    }

    fn refuse(mut self, fault: &Fault) {
        let Some(mut observed) = self.observed.take() else { return };
        observed.finish(Err(fault));
        self.post_fault(fault);
    }

    fn post_fault(&self, fault: &Fault) {
        let mut frame = Vec::new();
        answer::write_fault(&mut frame, self.seq, fault, self.connection.server.limits.max_frame);
        self.connection.post(self.seq, &mut frame);
    }
}

impl<IO: Stream> Drop for Answering<IO> {
    fn drop(&mut self) {
        if self.observed.is_some() {
            let text = "the server's runtime shut down while the call ran";
            self.post_fault(&Fault::with_code(FaultCode::Cancelled, text));
        }
    }
}

pub(super) fn call_sync(
    entry: &Entry,
    cx: &Context,
    body: &Body,
    reply: &mut ReplyBuf,
) -> Result<(), Fault> {
    match entry.handler() {
        EntryHandler::Sync(handler) => handler.call(cx, body, reply),
        EntryHandler::Async(_) => unreachable!("asynchronous handlers are begun, not called"),
    }
}

fn call_async(entry: &Entry, cx: Context, body: Body, reply: ReplyBuf) -> HandlerFuture {
    match entry.handler() {
        EntryHandler::Async(handler) => handler.call(cx, body, reply),
        EntryHandler::Sync(_) => unreachable!("synchronous handlers are called, not begun"),
    }
}

pub(super) fn cancelled() -> Fault {
    Fault::with_code(FaultCode::Cancelled, "the caller gave the call up")
}

pub(super) fn deadline_exceeded() -> Fault {
    Fault::with_code(FaultCode::DeadlineExceeded, "the deadline passed while the call ran")
}
