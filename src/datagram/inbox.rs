//! What has come from a peer and was not read yet.

use std::{
    collections::{HashMap, VecDeque},
    task::Waker,
    time::{Duration, Instant},
};

use netrpc_core::{
    datagram::{Seen, frames},
    wire::{Kind, Preface},
};
use tokio::io::ReadBuf;

use super::counts::{Counters, count};
use crate::sync::Mutex;

/// How many bytes may lie unread. What comes above is thrown away, as the network does it.
const ROOM: usize = 128 * 1024;

/// How many questions of a peer may be without an answer; a connection has fewer running and waiting.
const CALLS: usize = 16_384;

/// How long a call may run before the client is told that it is here.
pub(super) const RECEIPT: Duration = Duration::from_millis(20);

/// What has come from a peer: filled by the hub, read by the stream.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Frames, one after the other, from `read` on.
    bytes: Vec<u8>,
    read: usize,
    /// The peer has said goodbye, or is known to be gone: nothing comes any more.
    ended: bool,
    /// How many datagrams have come.
    heard: u64,
    /// The stream's task, while it waits. Whoever takes it wakes it.
    reader: Option<Waker>,
    seen: Seen,
    /// The calls and other questions that are not answered yet, and since when they are here. None of them
    /// reaches the engine twice: it would take the second for another with the same number.
    open: HashMap<u64, Instant>,
    /// Those for which no receipt was sent, oldest first; some may be answered by now.
    fresh: VecDeque<(Instant, u64)>,
}

/// What has become of a datagram.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Calls in it that are here already, and for how long.
    pub(super) again: Vec<(u64, Duration)>,
}

impl Inbox {
    /// One from which the engine is told at first that the peer speaks its protocol.
    pub(super) fn new() -> Self {
        let state = State {
            bytes: Preface::OURS.to_bytes().to_vec(),
            read: 0,
            ended: false,
            heard: 0,
            reader: None,
            seen: Seen::new(),
            open: HashMap::new(),
            fresh: VecDeque::new(),
        };
        Inbox { state: Mutex::new(state) }
    }

    /// Takes what a datagram holds, unless it has come before.
    pub(super) fn deliver(
        &self,
        (number, body): (u32, &[u8]),
        now: Instant,
        counters: &Counters,
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let reader = {
            let mut state = self.state.lock();
            if state.ended || state.bytes.len() - state.read + body.len() > ROOM {
                count(&counters.dropped);
                return delivered;
            }
            if !state.seen.note(number) {
                count(&counters.duplicates);
                return delivered;
            }
            state.heard += 1;
            state.take(body, now, counters, &mut delivered);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        delivered
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        let reader = {
            let mut state = self.state.lock();
            state.ended = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Reads what there is; `false` if there is nothing yet, and `reader` is woken when there is.
    pub(super) fn read(&self, buffer: &mut ReadBuf<'_>, reader: &Waker) -> bool {
        let replaced = {
            let mut state = self.state.lock();
            let from = state.read;
            let length = buffer.remaining().min(state.bytes.len() - from);
            if length > 0 {
                buffer.put_slice(&state.bytes[from..from + length]);
                state.read += length;
                if state.read == state.bytes.len() {
                    state.empty();
                }
                return true;
            }
            if state.ended {
                return true;
            }
            state.reader.replace(reader.clone())
        };
        drop(replaced); // not under the lock
        false
    }

    /// These calls are answered.
    pub(super) fn answered(&self, calls: &mut Vec<u64>) {
        if calls.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        for seq in calls.drain(..) {
            state.open.remove(&seq);
        }
    }

    /// Whether calls are not answered, and the peer has not left.
    pub(super) fn owes_answers(&self) -> bool {
        let state = self.state.lock();
        !state.ended && !state.open.is_empty()
    }

    /// How many datagrams have come; `None` if no more will.
    pub(super) fn heard(&self) -> Option<u64> {
        let state = self.state.lock();
        (!state.ended).then_some(state.heard)
    }

    /// When a receipt is due next.
    pub(super) fn receipt_due(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        while let Some((since, seq)) = state.fresh.front() {
            if state.open.get(seq) == Some(since) {
                return Some(*since + RECEIPT);
            }
            state.fresh.pop_front();
        }
        None
    }

    /// The calls for which a receipt is due, each with how long it has been here, as long as `write` takes
    /// them.
    pub(super) fn receipts(&self, now: Instant, mut write: impl FnMut(u64, Duration) -> bool) {
        let mut state = self.state.lock();
        while let Some(&(since, seq)) = state.fresh.front() {
            let age = now.saturating_duration_since(since);
            let waits = state.open.get(&seq) == Some(&since);
            if waits && (age < RECEIPT || !write(seq, age)) {
                return;
            }
            state.fresh.pop_front();
        }
    }
}

impl State {
    fn take(&mut self, body: &[u8], now: Instant, counters: &Counters, out: &mut Delivered) {
        for framed in frames(body) {
            let seq = framed.header.seq;
            match framed.kind {
                Some(Kind::Request | Kind::Session | Kind::Acknowledgement) => {
                    if let Some(since) = self.open.get(&seq) {
                        count(&counters.repeated);
                        out.again.push((seq, now.saturating_duration_since(*since)));
                        continue;
                    }
                    if self.open.len() >= CALLS {
                        count(&counters.dropped);
                        continue;
                    }
                    self.open.insert(seq, now);
                    self.fresh.push_back((now, seq));
                }
                // The last thing that a client says.
                Some(Kind::GoAway) => self.ended = true,
                Some(_) | None => {}
            }
            self.bytes.extend_from_slice(framed.bytes);
        }
    }

    /// All was read.
    fn empty(&mut self) {
        self.read = 0;
        self.bytes.clear();
        if self.bytes.capacity() > 8 * 1024 {
            self.bytes = Vec::new();
        }
    }
}
