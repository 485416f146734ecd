//! What a connection's task owns: the stream, its buffers, and the rules of the session.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Buf;
use netrpc_core::{
    Cancellation,
    codec::Format,
    dialect::{Protocol, ServerDialect, Sniffed, http, sniff},
    error::{Disconnected, chain},
    patience::{Look, Over, State, Times},
    semantics::{Incarnation, SessionId},
    service::{MethodTable, Registry},
    session::{ServerSession, SessionLimits},
    wire::{self, Foreign, Frame, FrameDecoder, GoAwayCode, Preface},
};

use super::{
    Shared,
    call::Unfinished,
    capacity::{Capacity, Slot},
    connection::Stream,
    counts::Counts,
    limits::Limits,
    passage::{Target, Walking},
    timer::Timer,
};
use crate::{client::now, observe::ObservedConnection, outgoing::Outgoing, read::Input};

/// How long a client that was told to go may take to know it: then it makes no more calls.
const GOODBYE: Duration = Duration::from_secs(5);

/// The tokens of our pings.
const KEEP_ALIVE_PING: u64 = 0;
pub(super) const GOODBYE_PING: u64 = 1;

/// How long a peer that is sent away may take to read why. To close earlier, with bytes of the peer's
/// unread, would make the system throw our last words away.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection's task owns.
pub(super) struct Driver<IO: Stream> {
    /// `None` when the connection has ended.
    io: Option<IO>,
    /// Which task this is: raised when the watchdog takes the driver over.
    turn: u64,
    /// Counts the calls run inline, so that the watchdog can tell one from the next.
    pub(super) calls: u64,
    /// The call that runs inline now, while the driver is unlocked.
    pub(super) inline: Option<Inline>,
    pub(super) speech: Speech,
    pub(super) decoder: FrameDecoder,
    pub(super) input: Input,
    pub(super) output: Outgoing,
    pub(super) session: ServerSession<Elsewhere, Request>,
    /// The server's.
    capacity: Arc<Capacity>,
    /// `None` while a batch is served, and after that was handed over.
    table: Option<Arc<MethodTable>>,
    /// The registry's version when `table` was taken.
    version: u64,
    /// A buffer for the next replies; not here while a batch is served.
    pub(super) scratch: Vec<u8>,
    /// Handlers that were not done at their first poll, to be spawned when the batch is over: a task
    /// spawned before a handler that blocks would wait for it, in a slot no worker can steal from.
    pub(super) unfinished: Vec<Unfinished>,
    /// The same of calls that pass something before their handlers.
    pub(super) walking: Vec<Walking<IO>>,
    /// Why the peer is not wanted; it is told as soon as it is known what it speaks.
    refused: Option<Box<str>>,
    pub(super) timer: Timer,
    pub(super) counts: Counts,
    /// The question by which the last session was resumed here, and as what.
    pub(super) resumed: Option<Box<(u64, SessionId, Incarnation)>>,
    /// What the peer has not taken is still there.
    unread: bool,
    /// Whether others had their turn to post before the next write.
    pub(super) yielded: bool,
    /// Whether the server wants the connection gone.
    pub(super) aborted: bool,
    /// The peer has said that it makes no more calls, so the end of its stream is no loss.
    pub(super) peer_goes: bool,
    /// The peer's stream has ended after that.
    peer_gone: bool,
    /// Set when nothing is served any more: what is queued is sent, then the connection ends so.
    closing: Option<Box<Disconnected>>,
    /// Our half of the stream is closed.
    shut: bool,
    /// What a client is told when no more calls are taken.
    goodbye: Option<Goodbye>,
    /// The client knows that no more calls are taken, and will make none.
    pub(super) goodbye_heard: bool,
    /// The peer has had time to hear what was said last.
    lingered: bool,
    observed: ObservedConnection,
}

/// What is spoken on a connection.
pub(super) enum Speech {
    /// Nothing yet. In a tunnel, HTTP has been spoken.
    Unknown { tunnel: bool },
    /// Our own protocol.
    Native,
    /// A Go program's.
    Foreign(Box<Foreigner>),
}

/// A peer that is spoken to in a foreign language: what is in the driver's output is translated before
/// it is written.
pub(super) struct Foreigner {
    pub(super) dialect: ServerDialect,
    protocol: Protocol,
    translated: Outgoing,
    /// The owner does not want this peer, or this protocol: the first call is told so.
    pub(super) unwelcome: Option<Disconnected>,
}

/// A call that runs on the connection's own task.
pub(super) struct Inline {
    pub(super) seq: u64,
    /// The length of its arguments.
    pub(super) bytes: usize,
    /// If its handler can know of it.
    pub(super) cancellation: Option<Cancellation>,
}

/// A call that runs elsewhere.
#[derive(Debug)]
pub(super) struct Elsewhere {
    cancellation: Cancellation,
    /// `None` if it does not end with its connection: then it counts by itself.
    slot: Option<Slot>,
}

impl Elsewhere {
    pub(super) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }
}

/// A call that may run.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) frame: Frame,
    pub(super) target: Target,
    pub(super) deadline: Option<Instant>,
    /// Whether it is to be asked of the ledger.
    pub(super) stamped: bool,
}

/// Why no more calls are taken, though the peer has done nothing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goodbye {
    ShuttingDown,
    Idle,
    Aged,
}

impl Goodbye {
    fn code(self) -> GoAwayCode {
        match self {
            Goodbye::ShuttingDown => GoAwayCode::ShuttingDown,
            Goodbye::Idle => GoAwayCode::Idle,
            Goodbye::Aged => GoAwayCode::Aged,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Goodbye::ShuttingDown => "the server is shutting down",
            Goodbye::Idle => {
                "the connection closes: no call was made for too long (ServerBuilder::idle_timeout)"
            }
            Goodbye::Aged => {
                "the connection closes: it is old, make another (ServerBuilder::max_connection_age)"
            }
        }
    }
}

/// What a task does after it has looked at the time.
#[derive(Debug)]
pub(super) enum Settled {
    /// It may sleep.
    Asleep,
    /// There is something to do.
    Awake,
    /// The connection ends so.
    Over(Disconnected),
}

/// How far the calls that have arrived were served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// All that were whole.
    All,
    /// Until the output was full.
    OutputFull,
    /// Until too many waited for others to finish.
    CallsFull,
    /// Until the watchdog took the driver over.
    HandedOver,
}

impl<IO: Stream> Driver<IO> {
    pub(super) fn new(
        io: IO,
        server: &Shared,
        (handshake, refused): (Instant, Option<String>),
        observed: ObservedConnection,
    ) -> Self {
        let Shared { limits, capacity, .. } = server;
        let Limits { calls, running_bytes, waiting_bytes, .. } = *limits;
        let session = SessionLimits { calls, running_bytes, waiting_bytes };
        Driver {
            io: Some(io),
            turn: 0,
            calls: 0,
            inline: None,
            speech: Speech::Unknown { tunnel: false },
            decoder: FrameDecoder::new(limits.max_frame),
            input: Input::new(),
            output: Outgoing::small_first(),
            session: ServerSession::new(session),
            capacity: capacity.clone(),
            version: 0,
            table: None,
            scratch: Vec::new(),
            unfinished: Vec::new(),
            walking: Vec::new(),
            refused: refused.map(Into::into),
            timer: Timer::new(handshake, &limits.times),
            counts: Counts::new(limits),
            resumed: None,
            unread: false,
            yielded: false,
            aborted: false,
            peer_goes: false,
            peer_gone: false,
            closing: None,
            shut: false,
            goodbye: None,
            goodbye_heard: false,
            lingered: false,
            observed,
        }
    }

    /// Whether the task with this turn owns a connection that has not ended.
    pub(super) fn is_driven_by(&self, turn: u64) -> bool {
        self.turn == turn && self.io.is_some()
    }

    /// Makes the driver another task's: that of the turn returned. The call that runs inline becomes
    /// one that runs elsewhere.
    pub(super) fn hand_over(&mut self) -> u64 {
        if let Some(Inline { seq, bytes, cancellation }) = self.inline.take() {
            self.started(seq, bytes, cancellation.unwrap_or_default());
        }
        self.turn += 1;
        self.turn
    }

    /// Call `seq`, whose arguments have `bytes` bytes, goes on elsewhere.
    pub(super) fn started(&mut self, seq: u64, bytes: usize, cancellation: Cancellation) {
        let slot = Some(self.capacity.take());
        self.session.started(seq, bytes, Elsewhere { cancellation, slot });
    }

    /// The same of what does not end with its connection, which waits for its answer.
    pub(super) fn awaits(&mut self, seq: u64, bytes: usize, cancellation: Cancellation) {
        self.session.started(seq, bytes, Elsewhere { cancellation, slot: None });
    }

    /// Whether there is nothing to be served: no call has come, none waits, and nothing is wrong.
    pub(super) fn has_nothing_to_serve(&self) -> bool {
        self.input.is_empty()
            && !self.session.has_waiting()
            && self.counts.are_fine()
            && matches!(self.speech, Speech::Native)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    /// The newest methods, taken out for a batch: to count another user of a table that all connections
    /// share would have their processors wait for each other.
    pub(super) fn take_table(&mut self, registry: &Registry) -> Arc<MethodTable> {
        let version = registry.version();
        match self.table.take() {
            Some(table) if version == self.version => table,
            _ => {
                // In this order: the table is then at least as new as its version.
                self.version = version;
                registry.snapshot()
            }
        }
    }

    /// Keeps them for the next.
    pub(super) fn keep_table(&mut self, table: Arc<MethodTable>) {
        self.table = Some(table);
    }

    /// Whether it is known what the peer speaks; finds out with the bytes that have arrived.
    ///
    /// # Errors
    /// If it is nothing that is spoken here.
    pub(super) fn shake_hands(
        &mut self,
        limits: &Limits,
        path: &str,
    ) -> Result<bool, Disconnected> {
        loop {
            let Speech::Unknown { tunnel } = self.speech else { return Ok(true) };
            match sniff(&self.input) {
                Sniffed::Undecided => return Ok(false),
                Sniffed::Native => {
                    let Some(preface) = Preface::parse(&self.input)? else { return Ok(false) };
                    self.input.advance(wire::PREFACE_LEN);
                    self.timer.greeted(true, &limits.times);
                    self.speech = Speech::Native;
                    self.output.write(|out| out.extend_from_slice(&Preface::OURS.to_bytes()));
                    preface.accept()?;
                    if let Some(reason) = self.refused.take() {
                        return Err(Disconnected::Refused(reason.into()));
                    }
                    if !limits.protocols.contains(Protocol::Native) {
                        return Err(Disconnected::Disabled(Protocol::Native));
                    }
                    self.say_goodbye();
                }
                Sniffed::Http if !tunnel => {
                    if !self.tunnel(limits, path)? {
                        return Ok(false);
                    }
                }
                Sniffed::Foreign(language) => {
                    let Some(dialect) = ServerDialect::new(language, limits.max_frame) else {
                        return Err(unknown(&self.input));
                    };
                    let protocol = Protocol::from(language);
                    let unwelcome = match self.refused.take() {
                        Some(reason) => Some(Disconnected::Refused(reason.into())),
                        None if limits.protocols.contains(protocol) => None,
                        None => Some(Disconnected::Disabled(protocol)),
                    };
                    // What has been said over HTTP stays as it is.
                    let translated = std::mem::take(&mut self.output);
                    let foreigner = Foreigner { dialect, protocol, translated, unwelcome };
                    self.speech = Speech::Foreign(Box::new(foreigner));
                }
                Sniffed::Unknown | Sniffed::Http => return Err(unknown(&self.input)),
            }
        }
    }

    /// Answers an HTTP request; `false` if it is not whole yet.
    fn tunnel(&mut self, limits: &Limits, path: &str) -> Result<bool, Disconnected> {
        let refusal = match http::read_request(&self.input, path) {
            http::Request::Undecided => return Ok(false),
            http::Request::Connect(_) if self.refused.is_some() => {
                let reason = self.refused.take().unwrap_or_default();
                let refusal = http::refusal("403 Forbidden", &format!("403 {reason}"));
                self.output.write(|out| out.extend_from_slice(refusal.as_bytes()));
                return Err(Disconnected::Refused(reason.into()));
            }
            http::Request::Connect(len) if limits.protocols.contains(Protocol::Http) => {
                self.input.advance(len);
                self.output.write(|out| out.extend_from_slice(http::CONNECTED));
                self.speech = Speech::Unknown { tunnel: true };
                return Ok(true);
            }
            http::Request::Connect(_) => {
                let text = "403 this server takes no calls over HTTP";
                http::refusal("403 Forbidden", text)
            }
            http::Request::Refused(refusal) => refusal,
        };
        self.output.write(|out| out.extend_from_slice(refusal.as_bytes()));
        Err(Disconnected::HttpRefused)
    }

    /// What is spoken.
    pub(super) fn protocol(&self) -> Protocol {
        match &self.speech {
            Speech::Foreign(foreigner) => foreigner.protocol,
            Speech::Native | Speech::Unknown { .. } => Protocol::Native,
        }
    }

    /// What bodies are encoded in.
    pub(super) fn format(&self) -> Format {
        match &self.speech {
            Speech::Foreign(foreigner) => foreigner.dialect.format(),
            Speech::Native | Speech::Unknown { .. } => Format::MessagePack,
        }
    }

    /// Bytes that the peer has not taken yet.
    pub(super) fn queued(&self) -> usize {
        match &self.speech {
            Speech::Foreign(foreigner) => self.output.len() + foreigner.translated.len(),
            Speech::Native | Speech::Unknown { .. } => self.output.len(),
        }
    }

    /// Whether the peer has been sent all that there is for it.
    fn is_written(&self) -> bool {
        self.output.is_empty()
            && match &self.speech {
                Speech::Foreign(foreigner) => foreigner.translated.is_empty(),
                Speech::Native | Speech::Unknown { .. } => true,
            }
    }

    /// Whether nothing is served any more.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Refuses new calls from now on, and ends when those that have come are answered.
    pub(super) fn drain(&mut self, goodbye: Goodbye) {
        if self.session.drain(goodbye.text()) {
            self.goodbye = Some(goodbye);
            // Before its preface is there, the peer is told nothing: it may speak another language.
            if matches!(self.speech, Speech::Native) {
                self.say_goodbye();
            }
        }
    }

    /// Says that no more calls are taken, and asks to be told when that is known (`[close.goaway]`).
    fn say_goodbye(&mut self) {
        let Some(goodbye) = self.goodbye else { return };
        self.output.write(|out| {
            wire::write_go_away(out, goodbye.code(), goodbye.text());
            wire::write_ping(out, GOODBYE_PING);
        });
    }

    /// Serves nothing from now on, tells the peer why in its own language, and ends.
    pub(super) fn close(&mut self, cause: Disconnected) {
        let answer: &[u8] = match &cause {
            Disconnected::NotNetrpc(peer) if peer.guess() == Foreign::Tls => NOT_TLS,
            Disconnected::NotNetrpc(_) | Disconnected::HttpRefused => &[],
            // `[goaway.refused]`; others have been told already.
            Disconnected::Refused(reason) => {
                if matches!(self.speech, Speech::Native) {
                    let code = GoAwayCode::Refused;
                    self.output.write(|out| wire::write_go_away(out, code, reason));
                }
                &[]
            }
            Disconnected::Foreign(error) => {
                self.complain(&chain(error).to_string());
                &[]
            }
            Disconnected::Unacceptable(why) => {
                let text = cause.to_string();
                self.output.write(|out| wire::write_go_away(out, why.go_away(), &text));
                &[]
            }
            _ => {
                let text = chain(&cause).to_string();
                let code = match &cause {
                    Disconnected::TooFast(_) => GoAwayCode::TooFast,
                    Disconnected::Slow(_) => GoAwayCode::TooSlow,
                    _ => GoAwayCode::ProtocolError,
                };
                self.output.write(|out| wire::write_go_away(out, code, &text));
                &[]
            }
        };
        self.output.write(|out| out.extend_from_slice(answer));
        self.timer.patience.greeted();
        if !matches!(cause, Disconnected::Foreign(_)) {
            self.session.forget_waiting();
        }
        self.input = Input::new();
        self.closing = Some(Box::new(cause));
    }

    /// Whether calls that came before the end are answered yet: those of a Go program that has said
    /// something unintelligible are, as Go's server does it.
    fn owes_answers(&self) -> bool {
        matches!(self.closing.as_deref(), Some(Disconnected::Foreign(_))) && !self.session.is_idle()
    }

    /// Tells a foreigner that it cannot be understood, if there is a way.
    fn complain(&mut self, text: &str) {
        let Speech::Foreign(foreigner) = &mut self.speech else { return };
        let Foreigner { dialect, translated, .. } = &mut **foreigner;
        // After the answers that it can still get.
        self.output.drain(|frames| translated.write(|out| dialect.translate(frames, out)));
        translated.write(|out| dialect.complain(text, out));
    }

    /// Writes what is queued. Ready only with what ends the connection.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Disconnected> {
        let output = match &mut self.speech {
            Speech::Foreign(foreigner) => {
                let Foreigner { dialect, translated, .. } = &mut **foreigner;
                self.output.drain(|frames| translated.write(|out| dialect.translate(frames, out)));
                translated
            }
            Speech::Native | Speech::Unknown { .. } => &mut self.output,
        };
        if output.is_empty() {
            return Poll::Pending;
        }
        let Some(io) = &mut self.io else { return Poll::Pending };
        self.timer.patience.stir();
        let before = self.counts.sent;
        let written = output.poll_write(io, cx, &mut self.counts.sent);
        self.unread = written.is_pending();
        let progress = self.counts.sent - before;
        if progress > 0 {
            self.observed.sent(progress);
        }
        match written {
            Poll::Ready(Ok(())) => {
                self.counts.emptied += 1;
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(self.reset(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when there is nothing left to do and the peer knows.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        let done = self.closing.is_some() && !self.owes_answers()
            || (self.session.is_draining() || self.peer_gone) && self.session.is_idle();
        if !done || !self.is_written() {
            return Poll::Pending;
        }
        // A client that is told to go may have called just before: it is still answered, with a
        // refusal, until it knows.
        let draining = self.closing.is_none() && !self.peer_gone && !self.goodbye_heard;
        if !self.shut && !draining {
            let Some(io) = &mut self.io else { return Poll::Pending };
            // What it gives does not matter: the connection ends. A stream that has something to say
            // at the end, as TLS has, may wait for the peer to read.
            self.shut = Pin::new(io).poll_shutdown(cx).is_ready();
        }
        if self.peer_gone && self.shut || self.lingered {
            return Poll::Ready(self.closing.take().map_or(Ok(()), |cause| Err(*cause)));
        }
        let patient = draining && matches!(self.speech, Speech::Native);
        self.timer.patience.linger(now(), if patient { GOODBYE } else { LINGER });
        Poll::Pending
    }

    /// Reads once. Ready with what ends the connection, or when something has arrived.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Result<(), Disconnected>>> {
        if self.peer_gone {
            return Poll::Pending;
        }
        let Some(io) = &mut self.io else { return Poll::Pending };
        match ready!(self.input.poll_read(io, cx)) {
            Ok(0) => return self.ended(),
            Ok(n) => {
                self.observed.received(n);
                self.counts.received += n as u64;
                self.timer.patience.heard();
                if self.closing.is_some() {
                    self.input.clear();
                }
            }
            Err(error) => return Poll::Ready(Err(Err(self.reset(error)))),
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at the time, before the task sleeps. `reading` is whether all that has come was served.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, reading: bool, times: &Times) -> Settled {
        let mut settled = Settled::Asleep;
        while let Some(now) = self.timer.poll(cx) {
            let state = self.state(reading);
            let Look { over, ping, quiet } = self.timer.patience.on_timeout(now, times, &state);
            if quiet {
                self.release();
            }
            if ping {
                self.output.write(|out| wire::write_ping(out, KEEP_ALIVE_PING));
                settled = Settled::Awake;
            }
            let Some(over) = over else { continue };
            settled = Settled::Awake;
            match over {
                Over::Handshake => return Settled::Over(Disconnected::Handshake(times.handshake)),
                Over::Frame => self.close(Disconnected::Slow(times.frame)),
                Over::Write => return Settled::Over(Disconnected::NotReading(times.write)),
                Over::Idle => self.drain(Goodbye::Idle),
                Over::Age => self.drain(Goodbye::Aged),
                Over::AgeGrace => return Settled::Over(Disconnected::Aged(times.age_grace)),
                Over::Dead => {
                    return Settled::Over(Disconnected::Silent(times.keep_alive.timeout));
                }
                Over::Linger => self.lingered = true,
            }
        }
        settled
    }

    fn state(&self, reading: bool) -> State {
        let closing = self.closing.is_some();
        let mid_frame = match &self.speech {
            _ if closing => false,
            Speech::Unknown { .. } => false,
            Speech::Native => self.decoder.is_mid_frame(&self.input),
            Speech::Foreign(foreigner) => foreigner.dialect.is_mid_request(&self.input),
        };
        let Counts { frames, requests, received, sent, emptied, .. } = self.counts;
        State {
            reading: reading && !self.peer_gone,
            mid_frame,
            unread: self.unread,
            calls: !self.session.is_idle(),
            ending: closing || self.peer_gone || self.session.is_draining(),
            frames,
            requests,
            received,
            sent,
            emptied,
        }
    }

    /// Gives buffers back.
    fn release(&mut self) {
        self.input.release();
        self.output.release();
        if let Speech::Foreign(foreigner) = &mut self.speech {
            foreigner.translated.release();
        }
        self.scratch = Vec::new();
    }

    /// The peer's stream has ended.
    fn ended(&mut self) -> Poll<Result<(), Result<(), Disconnected>>> {
        if self.owes_answers() {
            self.peer_gone = true;
            return Poll::Ready(Ok(()));
        }
        if let Some(cause) = self.closing.take() {
            return Poll::Ready(Err(Err(*cause)));
        }
        let goes = match &self.speech {
            // Go's clients may close their half as soon as they have asked.
            Speech::Foreign(foreigner) => !foreigner.dialect.is_mid_request(&self.input),
            Speech::Native | Speech::Unknown { .. } => self.peer_goes && self.input.is_empty(),
        };
        if goes {
            // Half of it: calls that run are answered yet (`[close.half]`).
            self.peer_gone = true;
            return Poll::Ready(Ok(()));
        }
        if self.input.is_empty() && self.session.is_idle() {
            return Poll::Ready(Err(Ok(())));
        }
        Poll::Ready(Err(Err(Disconnected::Eof)))
    }

    fn reset(&mut self, error: io::Error) -> Disconnected {
        self.closing.take().map_or_else(|| error.into(), |cause| *cause)
    }

    /// Takes everything out: what is to be dropped without a lock, and whom to tell.
    pub(super) fn take_down(&mut self) -> (impl Sized + use<IO>, Vec<Cancellation>) {
        let running = self.session.running().filter(|call| call.slot.is_some());
        let running = running.map(|call| call.cancellation.clone()).collect();
        self.session.forget_waiting();
        let left = (
            self.io.take(),
            std::mem::take(&mut self.unfinished),
            std::mem::take(&mut self.walking),
            std::mem::replace(&mut self.input, Input::new()),
            std::mem::take(&mut self.output),
        );
        (left, running)
    }
}

fn unknown(bytes: &[u8]) -> Disconnected {
    match Preface::parse(bytes) {
        Err(not_netrpc) => not_netrpc.into(),
        Ok(_) => unreachable!("a preface is known"),
    }
}

/// What a TLS client gets: the alert `protocol_version`, fatal (RFC 8446, section 6).
const NOT_TLS: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46];
