//! Requests that wait for a connection.

use std::{collections::HashMap, time::Instant};

use netrpc_core::wire::{self, FrameTooLarge, Kind};

/// The requests of calls that were made before their connection was there: whole but for their sequence
/// number's place in the stream, and for what their deadline is when they leave.
#[derive(Debug, Default)]
pub(super) struct Parked {
    requests: HashMap<u64, Request>,
    /// Bytes of all of them.
    bytes: usize,
    /// Counts those that came.
    came: u64,
}

#[derive(Debug)]
struct Request {
    came: u64,
    kind: Kind,
    deadline: Option<Instant>,
    head_len: u16,
    /// Head and body.
    payload: Box<[u8]>,
}

/// What a request counts for beside its bytes.
const OVERHEAD: usize = size_of::<(u64, Request)>();

impl Parked {
    /// Bytes that lie here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Keeps the request of call `seq`, or a question of another kind.
    pub(super) fn keep(
        &mut self,
        seq: u64,
        kind: Kind,
        payload: &[u8],
        head_len: u16,
        deadline: Option<Instant>,
    ) {
        self.bytes += payload.len() + OVERHEAD;
        let payload = payload.into();
        let request = Request { came: self.came, kind, deadline, head_len, payload };
        self.came += 1;
        self.requests.insert(seq, request);
    }

    /// Forgets the request of call `seq`: it is not to be sent.
    pub(super) fn forget(&mut self, seq: u64) {
        if let Some(request) = self.requests.remove(&seq) {
            self.bytes -= request.payload.len() + OVERHEAD;
        }
    }

    /// Gives each request's number and frame in the order in which they came, or no frame where its time is
    /// over.
    pub(super) fn leave(
        self,
        now: Instant,
        max_frame: u32,
        mut send: impl FnMut(u64, Option<&mut Vec<u8>>),
    ) {
        let mut requests: Vec<_> = self.requests.into_iter().collect();
        requests.sort_unstable_by_key(|(_, request)| request.came);
        let mut frame = Vec::new();
        for (seq, Request { kind, deadline, head_len, mut payload, .. }) in requests {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(now);
                if left.is_zero() {
                    send(seq, None);
                    continue;
                }
                wire::rewrite_deadline(&mut payload[..head_len.into()], left);
            }
            frame.clear();
            let start = wire::begin(&mut frame);
            frame.extend_from_slice(&payload);
            let fits: Result<(), FrameTooLarge> =
                wire::finish(&mut frame, start, kind, head_len, seq, max_frame);
            debug_assert_eq!(fits, Ok(()), "it was measured when it came");
            send(seq, Some(&mut frame));
        }
    }
}
