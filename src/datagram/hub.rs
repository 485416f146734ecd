//! What all conversations over a server's socket share, and the task that reads from it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use netrpc_core::{
    Peer,
    datagram::{HELLO_LEN, Packet, Passes, Prelude, Sort, Stray, write_receipt},
    wire::{self, GoAwayCode},
};
use tokio::{io::ReadBuf, sync::mpsc};

use super::{
    RECEIVED,
    counts::{Counters, count},
    inbox::Inbox,
    peer::PeerStream,
    socket::DatagramSocket,
};
use crate::{client::now, sync::Mutex};

/// How many conversations that are over are remembered, so that what comes late does not begin them anew.
const OVER: usize = 4096;

/// How long to wait after the socket has failed: the first time, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What all conversations over a socket share.
pub(super) struct Hub<S: DatagramSocket> {
    socket: S,
    /// The longest datagram that is sent.
    datagram: usize,
    passes: Passes,
    counters: Arc<Counters>,
    peers: Mutex<Peers<S::Addr>>,
}

/// A conversation: with whom, and which.
pub(super) type Key<A> = (A, u64);

struct Peers<A> {
    live: HashMap<Key<A>, Arc<Inbox>>,
    /// The last that are over, oldest first.
    over: VecDeque<Key<A>>,
    is_over: HashSet<Key<A>>,
    /// New ones are taken.
    open: bool,
    /// The task that reads, while it waits.
    task: Option<Waker>,
}

/// A new conversation.
pub(super) type Arrival<S> = (PeerStream<S>, Peer);

impl<S: DatagramSocket> Hub<S> {
    pub(super) fn new(socket: S, datagram: usize, passes: Passes, counters: Arc<Counters>) -> Self {
        let peers = Peers {
            live: HashMap::new(),
            over: VecDeque::new(),
            is_over: HashSet::new(),
            open: true,
            task: None,
        };
        Hub { socket, datagram, passes, counters, peers: Mutex::new(peers) }
    }

    /// The longest datagram that is sent.
    pub(super) fn datagram(&self) -> usize {
        self.datagram
    }

    /// Sends a datagram, or loses it: nobody waits for room.
    pub(super) fn send(&self, datagram: &[u8], to: &S::Addr) {
        let mut cx = Context::from_waker(Waker::noop());
        match self.socket.poll_send_to(&mut cx, datagram, to) {
            Poll::Ready(Ok(())) => count(&self.counters.sent),
            Poll::Ready(Err(error)) => {
                count(&self.counters.unsent);
                tracing::trace!(?to, %error, "a datagram was not sent");
            }
            Poll::Pending => count(&self.counters.unsent),
        }
    }

    /// Takes no new conversations any more.
    pub(super) fn close(&self) {
        let task = {
            let mut peers = self.peers.lock();
            peers.open = false;
            peers.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// This conversation is over.
    pub(super) fn leave(&self, key: Key<S::Addr>) {
        let (left, task) = {
            let mut peers = self.peers.lock();
            let left = peers.live.remove(&key);
            if left.is_some() && peers.is_over.insert(key.clone()) {
                peers.over.push_back(key);
                if peers.over.len() > OVER
                    && let Some(oldest) = peers.over.pop_front()
                {
                    peers.is_over.remove(&oldest);
                }
            }
            let task = if peers.open { None } else { peers.task.take() };
            (left, task)
        };
        drop(left);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Reads from the socket until there is nobody to read for.
    pub(super) async fn run(self: Arc<Self>, arrivals: mpsc::Sender<Arrival<S>>) {
        let mut buffer = vec![0; RECEIVED];
        let mut backoff = BACKOFF.0;
        loop {
            let received = poll_fn(|cx| {
                if self.is_done(cx) {
                    return Poll::Ready(None);
                }
                let mut buffer = ReadBuf::new(&mut buffer);
                let polled = self.socket.poll_recv_from(cx, &mut buffer);
                polled.map(|from| Some(from.map(|from| (from, buffer.filled().len()))))
            });
            match received.await {
                None => return,
                Some(Ok((from, length))) => {
                    backoff = BACKOFF.0;
                    self.receive(from, &buffer[..length], &arrivals);
                }
                // About a peer that was sent something and is not there.
                Some(Err(error)) if is_of_a_peer(&error) => {}
                Some(Err(error)) => {
                    tracing::error!(%error, retry_in = ?backoff, "cannot receive datagrams");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Whether nobody is left to read for; the task is woken when that changes.
    fn is_done(&self, cx: &Context<'_>) -> bool {
        let replaced = {
            let mut peers = self.peers.lock();
            if !peers.open && peers.live.is_empty() {
                return true;
            }
            peers.task.replace(cx.waker().clone())
        };
        drop(replaced); // not under the lock
        false
    }

    fn receive(
        self: &Arc<Self>,
        from: S::Addr,
        datagram: &[u8],
        arrivals: &mpsc::Sender<Arrival<S>>,
    ) {
        count(&self.counters.received);
        match Prelude::parse(datagram) {
            Ok((prelude, body)) => match prelude.sort {
                Sort::Hello if datagram.len() >= HELLO_LEN => self.greet(&from, &prelude),
                Sort::Frames => self.frames(from, &prelude, body, arrivals),
                Sort::Over => self.lost(from, &prelude),
                // A hello that is too short would be answered with more than it is.
                Sort::Hello | Sort::Welcome | Sort::Receipt | Sort::Refusal => {
                    count(&self.counters.strays);
                }
            },
            Err(stray) => {
                count(&self.counters.strays);
                if let Stray::Version { conversation: Some(conversation), .. } = stray {
                    let (code, text) = (GoAwayCode::VersionNotSupported, stray.to_string());
                    self.refuse(&from, conversation, code, &text);
                }
            }
        }
    }

    /// Gives a pass to whoever receives it (`[datagram.hello]`). Nothing is kept.
    fn greet(&self, from: &S::Addr, hello: &Prelude) {
        let Prelude { number, conversation, .. } = *hello;
        if !self.peers.lock().open {
            let text = "the server is shutting down";
            return self.refuse(from, conversation, GoAwayCode::ShuttingDown, text);
        }
        let pass = self.passes.pass(from, conversation);
        self.send(&Prelude { sort: Sort::Welcome, number, conversation, pass }.alone(), from);
    }

    /// Says why there is no pass, in no more bytes than a hello has.
    fn refuse(&self, to: &S::Addr, conversation: u64, code: GoAwayCode, text: &str) {
        let mut packet = Packet::new(HELLO_LEN);
        let mut frame = Vec::new();
        wire::write_go_away(&mut frame, code, text);
        if packet.fits(frame.len()) {
            packet.push(&frame);
        }
        let prelude = Prelude { sort: Sort::Refusal, number: 0, conversation, pass: 0 };
        self.send(packet.seal(&prelude), to);
    }

    fn frames(
        self: &Arc<Self>,
        from: S::Addr,
        prelude: &Prelude,
        body: &[u8],
        arrivals: &mpsc::Sender<Arrival<S>>,
    ) {
        let Prelude { number, conversation, pass, .. } = *prelude;
        let key = (from.clone(), conversation);
        let known = pass == self.passes.pass(&from, conversation);
        let live = {
            let peers = self.peers.lock();
            match peers.live.get(&key) {
                Some(inbox) if known => Some(inbox.clone()),
                None if known && peers.open && !peers.is_over.contains(&key) => None,
                // [datagram.over]: no longer than what it answers.
                Some(_) | None => {
                    drop(peers);
                    let over = Prelude { sort: Sort::Over, number: 0, conversation, pass };
                    return self.send(&over.alone(), &from);
                }
            }
        };
        let inbox = match live {
            Some(inbox) => inbox,
            None => match self.begin(&key, pass, arrivals) {
                Some(inbox) => inbox,
                None => return count(&self.counters.dropped),
            },
        };
        let delivered = inbox.deliver((number, body), now(), &self.counters);
        if delivered.again.is_empty() {
            return;
        }
        let mut receipt = Prelude::room();
        for (seq, age) in delivered.again {
            write_receipt(&mut receipt, seq, age, self.datagram);
        }
        Prelude { sort: Sort::Receipt, number: 0, conversation, pass }.seal(&mut receipt);
        self.send(&receipt, &from);
    }

    /// Begins a conversation, if there is room for one more to be accepted.
    fn begin(
        self: &Arc<Self>,
        key: &Key<S::Addr>,
        pass: u64,
        arrivals: &mpsc::Sender<Arrival<S>>,
    ) -> Option<Arc<Inbox>> {
        let place = arrivals.try_reserve().ok()?;
        let inbox = Arc::new(Inbox::new());
        self.peers.lock().live.insert(key.clone(), inbox.clone());
        let peer = self.socket.peer(&key.0);
        place.send((PeerStream::new(self.clone(), inbox.clone(), key.clone(), pass), peer));
        Some(inbox)
    }

    /// A client says that a conversation is over, and it did not say goodbye.
    fn lost(&self, from: S::Addr, prelude: &Prelude) {
        let Prelude { conversation, pass, .. } = *prelude;
        if pass != self.passes.pass(&from, conversation) {
            return count(&self.counters.strays);
        }
        let live = self.peers.lock().live.get(&(from, conversation)).cloned();
        if let Some(inbox) = live {
            inbox.end();
        }
    }
}

fn is_of_a_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}
