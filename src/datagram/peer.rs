//! One peer's datagrams, as a stream for the server's engine.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use netrpc_core::{
    datagram::{Packet, Prelude, Sort, fit, max_payload, write_receipt},
    wire::{HEADER_LEN, Header, Kind},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    cutter::Cutter,
    hub::{Hub, Key},
    inbox::Inbox,
    socket::DatagramSocket,
};
use crate::client::now;

/// A conversation with a peer, as its engine sees it: frames in, frames out.
pub struct PeerStream<S: DatagramSocket> {
    hub: Arc<Hub<S>>,
    inbox: Arc<Inbox>,
    key: Key<S::Addr>,
    pass: u64,
    /// Of the last datagram that was sent.
    number: u32,
    cutter: Cutter,
    packet: Packet,
    /// The calls that the packet answers.
    answered: Vec<u64>,
    /// What was asked last, while nothing has come since.
    asked: Option<Asked>,
    /// The go-away that was said, which is asked about.
    goodbye: Vec<u8>,
    /// Runs while there is something to send when it is time; kept for the next.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A ping, and what it is to find out whether the client knows it.
struct Asked {
    frames: Vec<u8>,
    /// How many datagrams had come then.
    heard: u64,
    /// When it is asked again, and how often at most.
    again: Instant,
    left: u32,
}

/// A ping may be lost, and its pong: it is sent again every two seconds, within the time that a client has to
/// answer.
const ASK_AGAIN: (Duration, u32) = (Duration::from_secs(2), 8);

impl<S: DatagramSocket> PeerStream<S> {
    pub(super) fn new(hub: Arc<Hub<S>>, inbox: Arc<Inbox>, key: Key<S::Addr>, pass: u64) -> Self {
        let packet = Packet::new(hub.datagram());
        PeerStream {
            hub,
            inbox,
            key,
            pass,
            number: 0,
            cutter: Cutter::new(),
            packet,
            answered: Vec::new(),
            asked: None,
            goodbye: Vec::new(),
            timer: None,
        }
    }

    fn prelude(&self, sort: Sort, number: u32) -> Prelude {
        Prelude { sort, number, conversation: self.key.1, pass: self.pass }
    }

    /// Sends the frames that were gathered.
    fn send(&mut self) {
        if !self.packet.is_empty() {
            self.number = self.number.saturating_add(1);
            let prelude = self.prelude(Sort::Frames, self.number);
            self.hub.send(self.packet.seal(&prelude), &self.key.0);
            self.packet.clear();
        }
        // Only now: a request that comes again meanwhile is not run again.
        self.inbox.answered(&mut self.answered);
    }

    /// Puts the frame that is whole where it goes.
    fn pack(&mut self) {
        let most = max_payload(self.hub.datagram());
        let Some(frame) = self.cutter.frame() else { return };
        let Some(header) = frame.first_chunk().map(Header::from_bytes) else { return };
        if header.length > most {
            let mut fitting = Vec::new();
            fit(&mut fitting, frame, most);
            self.cutter.replace(fitting);
        }
        let (length, seq) = (self.cutter.frame().map_or(0, <[u8]>::len), header.seq);
        debug_assert!(length <= most as usize + HEADER_LEN);
        if !self.packet.fits(length) {
            self.send();
        }
        let Some(frame) = self.cutter.frame() else { return };
        self.packet.push(frame);
        match Kind::from_u8(header.kind) {
            Some(Kind::Reply | Kind::Fault | Kind::Session | Kind::Acknowledgement) => {
                self.answered.push(seq);
            }
            Some(Kind::GoAway) => self.goodbye = frame.to_vec(),
            Some(Kind::Ping) => {
                let frames = [&self.goodbye, frame].concat();
                let (pause, left) = ASK_AGAIN;
                self.asked = self.inbox.heard().map(|heard| {
                    let again = now() + pause;
                    Asked { frames, heard, again, left }
                });
            }
            Some(Kind::Request | Kind::Cancel | Kind::Pong) | None => {}
        }
        self.cutter.next();
    }

    /// Sends what is to be sent when it is time.
    fn poll_time(&mut self, cx: &mut Context<'_>) {
        loop {
            let heard = self.inbox.heard();
            if self
                .asked
                .as_ref()
                .is_some_and(|asked| asked.left == 0 || heard != Some(asked.heard))
            {
                self.asked = None;
            }
            let asked = self.asked.as_ref().map(|asked| asked.again);
            let receipt = self.inbox.receipt_due();
            let Some(due) = asked.into_iter().chain(receipt).min() else { return };
            let timer = match &mut self.timer {
                Some(timer) => {
                    if timer.deadline().into_std() != due {
                        timer.as_mut().reset(due.into());
                    }
                    timer
                }
                None => self.timer.insert(Box::pin(tokio::time::sleep_until(due.into()))),
            };
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = now();
            if receipt.is_some_and(|due| due <= now) {
                self.send_receipt(now);
            }
            self.ask_again(now);
        }
    }

    /// Tells the client of calls that have been here for a while (`[datagram.receipt-delay]`).
    fn send_receipt(&self, now: Instant) {
        let mut receipt = Prelude::room();
        let limit = self.hub.datagram();
        self.inbox.receipts(now, |seq, age| write_receipt(&mut receipt, seq, age, limit));
        self.prelude(Sort::Receipt, 0).seal(&mut receipt);
        self.hub.send(&receipt, &self.key.0);
    }

    /// Sends a ping again that was not answered.
    fn ask_again(&mut self, now: Instant) {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.again <= now) else { return };
        asked.again = now + ASK_AGAIN.0;
        asked.left -= 1;
        let mut datagram = Prelude::room();
        datagram.extend_from_slice(&asked.frames);
        self.number = self.number.saturating_add(1);
        self.prelude(Sort::Frames, self.number).seal(&mut datagram);
        self.hub.send(&datagram, &self.key.0);
    }
}

impl<S: DatagramSocket> AsyncRead for PeerStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.inbox.read(buffer, cx.waker()) {
            return Poll::Ready(Ok(()));
        }
        self.poll_time(cx);
        Poll::Pending
    }
}

impl<S: DatagramSocket> AsyncWrite for PeerStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.cutter.feed(rest)?;
            rest = &rest[taken..];
            self.pack();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send();
        Poll::Ready(Ok(()))
    }
}

// Nothing is pinned in place.
impl<S: DatagramSocket> Unpin for PeerStream<S> {}

impl<S: DatagramSocket> Drop for PeerStream<S> {
    fn drop(&mut self) {
        self.send();
        if self.inbox.owes_answers() {
            // Who waits for them is not to wait in vain (`[datagram.over]`).
            self.hub.send(&self.prelude(Sort::Over, 0).alone(), &self.key.0);
        }
        self.hub.leave(self.key.clone());
    }
}

impl<S: DatagramSocket> fmt::Debug for PeerStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerStream").field("peer", &self.key.0).finish_non_exhaustive()
    }
}
