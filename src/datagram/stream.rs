//! A client's conversation, as a stream for its engine.
//!
//! One task drives it. What is to be sent again is sent when the engine reads, which it always does before it
//! sleeps: so the timer and the answers are looked at in the same place.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use netrpc_core::{
    datagram::{
        FlightLimits, Flights, Framed, Packet, Prelude, Question, Receipts, RtoLimits, Sort, frames,
    },
    wire::{self, GoAwayBody, GoAwayCode, HEADER_LEN, Kind, Preface, RawHead},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{RECEIVED, cutter::Cutter, greet::Welcome, socket::DatagramSocket};
use crate::{client::now, observe};

/// The ping by which a client finds out whether its server is gone, when the system says so; the engine's own
/// are others.
const PROBE: u64 = u64::MAX;

/// How often a socket may fail before it counts as broken. Each datagram that nobody takes may be one failure.
const MOST_FAILURES: u32 = 100;

/// A conversation with a server: frames in, frames out.
pub(crate) struct Stream<S: DatagramSocket> {
    socket: S,
    server: S::Addr,
    conversation: u64,
    pass: u64,
    /// Of the last datagram that was sent.
    number: u32,
    flights: Flights,
    /// What the engine has not read yet, from `read` on.
    input: Vec<u8>,
    read: usize,
    cutter: Cutter,
    packet: Packet,
    /// What a datagram is received into.
    buffer: Box<[u8]>,
    timer: Pin<Box<Sleep>>,
    /// The engine's task, while it waits for room for a frame of so many bytes.
    writer: Option<(Waker, usize)>,
    /// The system has said that nobody is there, and nothing has come since.
    refused: bool,
    /// How often the socket has failed since something came.
    failures: u32,
    /// The engine has said goodbye.
    said_goodbye: bool,
    /// Why nothing comes any more.
    over: Option<Over>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The engine has closed its half, and waits for nothing.
    Shut,
    /// The server has said why it ends the conversation.
    Told,
    /// The server does not know the conversation.
    Unknown,
    /// Nobody is there.
    Refused,
    /// There are no more numbers for datagrams.
    Exhausted,
}

impl<S: DatagramSocket> Stream<S> {
    pub(super) fn new(
        socket: S,
        server: S::Addr,
        (conversation, welcome): (u64, Welcome),
        (datagram, rto): (usize, RtoLimits),
        seed: u64,
    ) -> Self {
        let Welcome { pass, round } = welcome;
        let mut flights = Flights::new(FlightLimits { datagram, rto }, seed);
        flights.sample(round);
        Stream {
            socket,
            server,
            conversation,
            pass,
            number: 0,
            flights,
            // As far as the engine is concerned the server has just said that it is there.
            input: Preface::OURS.to_bytes().to_vec(),
            read: 0,
            cutter: Cutter::new(),
            packet: Packet::new(datagram),
            buffer: vec![0; RECEIVED].into(),
            timer: Box::pin(tokio::time::sleep_until(now().into())),
            writer: None,
            refused: false,
            failures: 0,
            said_goodbye: false,
            over: None,
        }
    }

    /// Sends the frames that were gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.packet.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let Some(number) = self.number.checked_add(1) else {
            self.over = Some(Over::Exhausted);
            return Poll::Ready(self.error());
        };
        let Stream { conversation, pass, .. } = *self;
        let prelude = Prelude { sort: Sort::Frames, number, conversation, pass };
        let datagram = self.packet.seal(&prelude);
        let mut sent = ready!(self.socket.poll_send_to(cx, datagram, &self.server));
        let mut earlier = None;
        if sent.as_ref().is_err_and(is_refusal) {
            // That is about a datagram before this one, and said once.
            earlier = sent.err();
            sent = ready!(self.socket.poll_send_to(cx, datagram, &self.server));
        }
        self.number = number;
        self.packet.clear();
        for error in earlier.into_iter().chain(sent.err()) {
            self.unsent(&error);
        }
        Poll::Ready(Ok(()))
    }

    /// A datagram was not sent, or one before it did not arrive: it is lost like others.
    fn unsent(&mut self, error: &io::Error) {
        tracing::debug!(server = ?self.server, %error, "a datagram was lost");
        if !is_refusal(error) {
            return;
        }
        match self.refused {
            // What was sent to find out has found out.
            true => self.over = Some(Over::Refused),
            false => {
                self.refused = true;
                let mut probe = Vec::new();
                wire::write_ping(&mut probe, PROBE);
                if self.packet.fits(probe.len()) {
                    self.packet.push(&probe);
                }
            }
        }
    }

    /// Takes the frame that is whole, if it may go now.
    fn poll_pack(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(frame) = self.cutter.frame() else { return Poll::Ready(Ok(false)) };
        let Some(framed) = Framed::first(frame) else {
            let text = "a frame is too long for a datagram";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        };
        let (seq, length) = (framed.header.seq, frame.len());
        let question = framed.kind.and_then(|kind| Question::of(kind, seq));
        let repeats = match question {
            Some(Question::Call(_)) => {
                RawHead::split(framed.head()).is_ok_and(RawHead::is_repeatable)
            }
            Some(_) | None => true,
        };
        let kind = framed.kind;
        if question.is_some() && !self.flights.has_room(length) {
            self.writer = Some((cx.waker().clone(), length));
            self.arm(cx);
            return Poll::Pending;
        }
        if !self.packet.fits(length) {
            ready!(self.poll_send(cx))?;
        }
        let Some(frame) = self.cutter.frame() else { return Poll::Ready(Ok(false)) };
        if let Some(question) = question {
            self.flights.ask(now(), question, frame, repeats);
        }
        match kind {
            Some(Kind::Cancel) => self.flights.give_up(Question::Call(seq)),
            Some(Kind::GoAway) => self.said_goodbye = true,
            _ => {}
        }
        self.packet.push(frame);
        self.cutter.next();
        Poll::Ready(Ok(true))
    }

    /// Sends again what is late and may be.
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = now();
        let mut frame = Vec::new();
        loop {
            // Room for whatever is next: no frame is longer than a datagram.
            if !self.packet.is_empty() && !self.packet.fits(self.flights.next_length()) {
                ready!(self.poll_send(cx))?;
            }
            frame.clear();
            if !self.flights.next_again(now, &mut frame) {
                return self.poll_send(cx);
            }
            observe::datagram_again();
            self.packet.push(&frame);
        }
    }

    /// Looks at the time.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.flights.next_timeout() else { return Poll::Pending };
        if self.timer.deadline().into_std() != due {
            self.timer.as_mut().reset(due.into());
        }
        ready!(self.timer.as_mut().poll(cx));
        self.flights.on_timeout(now());
        Poll::Ready(())
    }

    /// Has the task woken when something is late, before it sleeps without having read.
    fn arm(&mut self, cx: &mut Context<'_>) {
        while self.poll_time(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Takes the datagram that lies in the buffer.
    fn receive(&mut self, from: &S::Addr, length: usize) {
        let Stream { server, conversation, pass, flights, input, over, .. } = self;
        let Ok((prelude, body)) = Prelude::parse(&self.buffer[..length]) else { return };
        // [datagram.conversation]
        if from != server || prelude.conversation != *conversation || prelude.pass != *pass {
            return;
        }
        let now = now();
        match prelude.sort {
            Sort::Frames => {
                flights.heard(now);
                for framed in frames(body) {
                    let (seq, length) = (framed.header.seq, framed.bytes.len());
                    let mut answered = |question| flights.answered(now, question, length);
                    match framed.kind {
                        Some(Kind::Pong) if seq == PROBE => continue,
                        Some(Kind::Reply) => drop(answered(Question::Call(seq))),
                        Some(Kind::Fault) => {
                            let _ = answered(Question::Call(seq))
                                || answered(Question::Session(seq))
                                || answered(Question::Ack(seq));
                        }
                        Some(Kind::Session) => drop(answered(Question::Session(seq))),
                        Some(Kind::Acknowledgement) => drop(answered(Question::Ack(seq))),
                        Some(Kind::Pong) => drop(answered(Question::Ping(seq))),
                        Some(Kind::GoAway) if closes_now(&framed) => *over = Some(Over::Told),
                        Some(Kind::Request | Kind::Cancel | Kind::Ping | Kind::GoAway) | None => {}
                    }
                    input.extend_from_slice(framed.bytes);
                }
            }
            Sort::Receipt => {
                flights.heard(now);
                for (seq, age) in Receipts::new(body) {
                    for question in [Question::Call, Question::Session, Question::Ack] {
                        flights.taken(now, question(seq), age);
                    }
                }
            }
            Sort::Over => *over = Some(Over::Unknown),
            Sort::Hello | Sort::Welcome | Sort::Refusal => return,
        }
        self.refused = false;
    }

    /// What the engine is told when nothing comes any more.
    fn error(&self) -> io::Result<()> {
        let (kind, text) = match self.over {
            None | Some(Over::Shut | Over::Told) => return Ok(()),
            Some(Over::Unknown) => (
                io::ErrorKind::ConnectionReset,
                "the server knows nothing of this conversation: it has restarted, or has ended it",
            ),
            Some(Over::Refused) => (
                io::ErrorKind::ConnectionRefused,
                "nobody receives datagrams at the server's address",
            ),
            Some(Over::Exhausted) => {
                (io::ErrorKind::Other, "the conversation has had as many datagrams as it can")
            }
        };
        Err(io::Error::new(kind, text))
    }

    /// Says that the conversation is over, unless that is known: once, and whether or not it arrives.
    fn part(&mut self) {
        if self.said_goodbye || self.over.is_some_and(|over| over != Over::Shut) {
            return;
        }
        self.said_goodbye = true;
        let Stream { conversation, pass, .. } = *self;
        let over = Prelude { sort: Sort::Over, number: 0, conversation, pass }.alone();
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.socket.poll_send_to(&mut cx, &over, &self.server);
    }
}

/// Whether a go-away is the last that comes: over a stream its end would follow.
fn closes_now(framed: &Framed<'_>) -> bool {
    let body = &framed.bytes[HEADER_LEN + framed.head().len()..];
    match GoAwayBody::parse(body).map(|go_away| go_away.code) {
        Ok(
            GoAwayCode::ProtocolError
            | GoAwayCode::VersionNotSupported
            | GoAwayCode::EncodingNotSupported
            | GoAwayCode::TooManyConnections
            | GoAwayCode::Refused
            | GoAwayCode::TooFast
            | GoAwayCode::TooSlow,
        ) => true,
        Ok(_) | Err(_) => false,
    }
}

/// Whether the system says that nobody receives datagrams where they were sent.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionReset)
}

impl<S: DatagramSocket> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.read < this.input.len() {
                let length = out.remaining().min(this.input.len() - this.read);
                out.put_slice(&this.input[this.read..this.read + length]);
                this.read += length;
                if this.read == this.input.len() {
                    this.input.clear();
                    this.read = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if this.over.is_some() {
                return Poll::Ready(this.error());
            }
            // The time first: a socket in which there is always something must not keep it waiting.
            while this.poll_time(cx).is_ready() {}
            if let Poll::Ready(sent) = this.poll_again(cx) {
                sent?;
            }
            if let Some((writer, _)) =
                this.writer.take_if(|(_, length)| this.flights.has_room(*length))
            {
                writer.wake();
            }
            let mut buffer = ReadBuf::new(&mut this.buffer);
            match ready!(this.socket.poll_recv_from(cx, &mut buffer)) {
                Ok(from) => {
                    this.failures = 0;
                    let length = buffer.filled().len();
                    this.receive(&from, length);
                }
                // What keeps failing is broken, and another socket takes its place.
                Err(error) if this.failures == MOST_FAILURES => return Poll::Ready(Err(error)),
                Err(error) => {
                    this.failures += 1;
                    this.unsent(&error);
                }
            }
        }
    }
}

impl<S: DatagramSocket> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.over.is_some() {
            this.error()?;
        }
        let mut rest = bytes;
        loop {
            match this.poll_pack(cx) {
                Poll::Ready(packed) => {
                    if packed? {
                        continue;
                    }
                }
                Poll::Pending if rest.len() < bytes.len() => break,
                Poll::Pending => {
                    // What may go goes, though what is behind it may not.
                    let _ = this.poll_send(cx)?;
                    return Poll::Pending;
                }
            }
            if rest.is_empty() {
                break;
            }
            let taken = this.cutter.feed(rest)?;
            rest = &rest[taken..];
        }
        Poll::Ready(Ok(bytes.len() - rest.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let packed = self.poll_pack(cx)?;
        ready!(self.poll_send(cx))?;
        packed.map(|_| Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.part();
        self.over.get_or_insert(Over::Shut);
        Poll::Ready(Ok(()))
    }
}

// Nothing is pinned in place.
impl<S: DatagramSocket> Unpin for Stream<S> {}

impl<S: DatagramSocket> Drop for Stream<S> {
    fn drop(&mut self) {
        self.part();
        let counts = self.flights.counts();
        tracing::debug!(server = ?self.server, ?counts, "a conversation is over");
    }
}

impl<S: DatagramSocket> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("server", &self.server)
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}
