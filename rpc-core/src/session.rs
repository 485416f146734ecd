//! One connection's rules on the side that serves: which calls run, wait, or are refused.
//!
//! The driver reads frames and asks [`admit`](ServerSession::admit) for each request. A call that is
//! answered on the spot costs the session nothing; one that goes on elsewhere is
//! [`started`](ServerSession::started) and later [`finished`](ServerSession::finished), which hands
//! out the next call that waits. One that is answered although its handler still runs
//! [`lingers`](ServerSession::lingers) and keeps its slot until that has [`ended`](ServerSession::ended).
//! Calls over the limit wait in the order they came, and while too
//! many bytes wait the driver must not read on ([`wants_more`](ServerSession::wants_more)).
//!
//! | state | request | drain | last call finished |
//! |---|---|---|---|
//! | open | run, or wait at the limit | → draining | – |
//! | draining | refused: shutting down | – | [`is_idle`](ServerSession::is_idle): close |

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use rustc_hash::FxBuildHasher;

use crate::fault::{Fault, FaultCode};

/// What a connection may have going on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Calls that run at once; more wait.
    pub calls: usize,
    /// Bytes of requests that run; while there are as many, further ones wait.
    pub running_bytes: usize,
    /// Bytes of requests that wait; a connection with more is not read from.
    pub waiting_bytes: usize,
}

/// The state of one served connection. `C` is what the driver keeps of a call that runs, `W` what it
/// keeps of one that waits.
#[derive(Debug)]
pub struct ServerSession<C, W> {
    limits: SessionLimits,
    /// Calls that run elsewhere, by sequence number.
    running: HashMap<u64, Running<C>, FxBuildHasher>,
    /// Bytes of their requests.
    running_bytes: usize,
    /// Calls that are answered and whose handlers still run elsewhere, if there are such.
    lingering: Option<Box<Lingering<C>>>,
    /// Calls that wait, if one does. What most connections never have costs them a pointer.
    waiting: Option<Box<Waiting<W>>>,
    /// Why new requests are refused, if they are.
    draining: Option<&'static str>,
}

/// A call that runs elsewhere.
#[derive(Debug)]
struct Running<C> {
    bytes: usize,
    call: C,
}

/// Calls that are answered and whose handlers still run elsewhere.
#[derive(Debug)]
struct Lingering<C> {
    calls: Vec<Option<C>>,
    /// Bytes of their requests, and of those of others that have lingered with them.
    bytes: usize,
}

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Run it now.
    Run,
    /// Run it when another has finished: give it to [`ServerSession::wait`].
    Wait,
    /// Answer with this fault; it has not run.
    Refuse(Fault),
    /// Close the connection: its number is that of a call which has not been answered yet, so that
    /// no answer could tell the two apart (`[frame.seq-in-use]`).
    SeqInUse,
}

/// What a cancel found.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancelled<'a, C, W> {
    /// The call runs: tell its handler.
    Running(&'a C),
    /// The call waited, and now never runs: answer it with a fault.
    Waiting(W),
    /// The call has been answered, or never came.
    Unknown,
}

impl<C, W> ServerSession<C, W> {
    /// An open session.
    pub fn new(limits: SessionLimits) -> Self {
        ServerSession {
            limits,
            running: HashMap::default(),
            running_bytes: 0,
            lingering: None,
            waiting: None,
            draining: None,
        }
    }

    /// What is to be done with request `seq`, whose time is over at `deadline`.
    ///
    /// The clock is read only where there is a deadline.
    #[inline]
    pub fn admit(
        &self,
        seq: u64,
        deadline: Option<Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Admission {
        if self.is_in_use(seq) {
            return Admission::SeqInUse;
        }
        if let Some(text) = self.draining {
            return Admission::Refuse(Fault::with_code(FaultCode::ShuttingDown, text));
        }
        if deadline.is_some_and(|deadline| deadline <= now()) {
            return Admission::Refuse(expired());
        }
        if self.has_slot() && self.waiting.is_none() {
            return Admission::Run;
        }
        Admission::Wait
    }

    /// Whether request `seq` may run now, if it has all the time there is:
    /// [`admit`](Self::admit) would say so.
    #[inline]
    pub fn runs_now(&self, seq: u64) -> bool {
        !self.is_in_use(seq) && self.waiting.is_none() && self.draining.is_none() && self.has_slot()
    }

    /// Whether one more may run.
    #[inline]
    fn has_slot(&self) -> bool {
        self.running_len() < self.limits.calls
            && self.running_bytes + self.lingering_bytes() < self.limits.running_bytes.max(1)
    }

    #[inline]
    fn is_in_use(&self, seq: u64) -> bool {
        !self.is_idle()
            && (self.running.contains_key(&seq)
                || self.waiting.as_ref().is_some_and(|waiting| waiting.contains(seq)))
    }

    /// Keeps a call of `bytes` bytes until others have finished.
    pub fn wait(&mut self, seq: u64, bytes: usize, call: W) {
        self.waiting.get_or_insert_default().push(seq, bytes, call);
    }

    /// Call `seq`, whose request has `bytes` bytes, goes on elsewhere.
    pub fn started(&mut self, seq: u64, bytes: usize, call: C) {
        self.running_bytes += bytes;
        self.running.insert(seq, Running { bytes, call });
    }

    /// Call `seq`, started earlier, has been answered.
    pub fn finished(&mut self, seq: u64) {
        self.leave(seq);
    }

    /// Takes call `seq` out of those that run.
    fn leave(&mut self, seq: u64) -> Option<Running<C>> {
        let left = self.running.remove(&seq)?;
        self.running_bytes -= left.bytes;
        if self.running.is_empty() && self.running.capacity() > KEEP_CALLS {
            self.running.shrink_to(KEEP_CALLS);
        }
        Some(left)
    }

    /// Call `seq` has been answered, and its handler still runs: nobody waits for it any more, but it
    /// counts, and what the driver keeps of it stays.
    pub fn lingers(&mut self, seq: u64) {
        let left = self.leave(seq);
        let lingering = self.lingering.get_or_insert_default();
        lingering.bytes += left.as_ref().map_or(0, |running| running.bytes);
        lingering.calls.push(left.map(|running| running.call));
    }

    /// The handler of a call that [lingered](Self::lingers) has ended.
    pub fn ended(&mut self) {
        let Some(lingering) = &mut self.lingering else { return };
        // Whose it was does not matter: each holds one place. Which bytes were whose, is not known any more.
        lingering.calls.pop();
        if lingering.calls.is_empty() {
            self.lingering = None;
        }
    }

    /// Whether a call has waited that may run now.
    #[inline]
    pub fn has_next(&self) -> bool {
        self.waiting.is_some() && self.has_slot()
    }

    /// The next call that waited and may run now.
    #[inline]
    pub fn next_waiting(&mut self) -> Option<(u64, W)> {
        if !self.has_next() {
            return None;
        }
        let next = self.waiting.as_mut()?.pop();
        self.waiting.take_if(|waiting| waiting.is_empty());
        next
    }

    /// Whether a call waits.
    #[inline]
    pub fn has_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The caller of `seq` does not want it any more.
    pub fn cancel(&mut self, seq: u64) -> Cancelled<'_, C, W> {
        if let Some(Running { call, .. }) = self.running.get(&seq) {
            return Cancelled::Running(call);
        }
        let removed = self.waiting.as_mut().and_then(|waiting| waiting.remove(seq));
        self.waiting.take_if(|waiting| waiting.is_empty());
        match removed {
            Some(call) => Cancelled::Waiting(call),
            None => Cancelled::Unknown,
        }
    }

    /// Refuses every request from now on, for the reason given. `false` if it did so already.
    pub fn drain(&mut self, reason: &'static str) -> bool {
        let first = self.draining.is_none();
        self.draining.get_or_insert(reason);
        first
    }

    /// Whether new requests are refused.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether the driver should read on.
    #[inline]
    pub fn wants_more(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.bytes <= self.limits.waiting_bytes)
    }

    /// Whether no call runs or waits.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_none() && self.lingering.is_none()
    }

    /// The calls that run elsewhere.
    pub fn running(&self) -> impl Iterator<Item = &C> {
        self.running.values().map(|running| &running.call)
    }

    /// How many calls have a slot.
    #[inline]
    pub fn running_len(&self) -> usize {
        self.running.len() + self.lingering.as_ref().map_or(0, |lingering| lingering.calls.len())
    }

    fn lingering_bytes(&self) -> usize {
        self.lingering.as_ref().map_or(0, |lingering| lingering.bytes)
    }

    /// Forgets the calls that wait: their connection is gone.
    pub fn forget_waiting(&mut self) {
        self.waiting = None;
    }
}

/// Calls that wait, oldest first. There may be tens of thousands, and any of them can be cancelled: that
/// takes the same time wherever it stands.
#[derive(Debug)]
struct Waiting<W> {
    /// `None` where a call was cancelled; never at the front.
    queue: VecDeque<Option<Entry<W>>>,
    /// The number of the queue's first place: every place has one, counted from the beginning.
    first: u64,
    /// Where each call stands.
    places: HashMap<u64, u64, FxBuildHasher>,
    /// Bytes of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Entry<W> {
    seq: u64,
    bytes: usize,
    call: W,
}

impl<C> Default for Lingering<C> {
    fn default() -> Self {
        Lingering { calls: Vec::new(), bytes: 0 }
    }
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Waiting { queue: VecDeque::new(), first: 0, places: HashMap::default(), bytes: 0 }
    }
}

impl<W> Waiting<W> {
    #[inline]
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn contains(&self, seq: u64) -> bool {
        self.places.contains_key(&seq)
    }

    fn push(&mut self, seq: u64, bytes: usize, call: W) {
        self.bytes += bytes;
        self.places.insert(seq, self.first + self.queue.len() as u64);
        self.queue.push_back(Some(Entry { seq, bytes, call }));
    }

    fn pop(&mut self) -> Option<(u64, W)> {
        let Entry { seq, bytes, call } = self.queue.pop_front()??;
        self.first += 1;
        self.bytes -= bytes;
        self.places.remove(&seq);
        self.tidy();
        Some((seq, call))
    }

    fn remove(&mut self, seq: u64) -> Option<W> {
        let place = self.places.remove(&seq)?;
        let at = usize::try_from(place - self.first).ok()?;
        let Entry { bytes, call, .. } = self.queue.get_mut(at)?.take()?;
        self.bytes -= bytes;
        self.tidy();
        Some(call)
    }

    /// Lets go of places that nobody stands in: those at the front at once, others when they are the
    /// most, so that each is moved no more often than calls come.
    fn tidy(&mut self) {
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
        if self.queue.len() > 2 * self.places.len() + KEEP_CALLS {
            self.queue.retain(Option::is_some);
            self.first = 0;
            for (place, entry) in (0..).zip(self.queue.iter().flatten()) {
                self.places.insert(entry.seq, place);
            }
            self.queue.shrink_to(2 * self.places.len());
        }
    }
}

/// Calls for which an idle session keeps memory.
const KEEP_CALLS: usize = 16;

/// When a request that came at `now` with `remaining` time is over.
pub fn deadline(now: Instant, remaining: Duration) -> Option<Instant> {
    // A time that is beyond the clock's end never comes.
    now.checked_add(remaining)
}

/// The answer to a call whose time was over before it began.
pub fn expired() -> Fault {
    Fault::with_code(FaultCode::Expired, "the deadline passed before the call began")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::now;

    const LIMITS: SessionLimits =
        SessionLimits { calls: 2, running_bytes: 1000, waiting_bytes: 100 };

    fn session() -> ServerSession<&'static str, &'static str> {
        ServerSession::new(LIMITS)
    }

    fn code(admission: Admission) -> FaultCode {
        match admission {
            Admission::Refuse(fault) => fault.code(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn large_calls_wait_though_there_are_slots() {
        let mut session = session();
        session.started(1, 1000, "large");
        assert_eq!(session.admit(2, None, now), Admission::Wait);
        session.wait(2, 60, "two");
        assert_eq!(session.next_waiting(), None);
        session.lingers(1);
        assert_eq!(session.next_waiting(), None, "its handler still runs");
        session.ended();
        assert_eq!(session.next_waiting(), Some((2, "two")));
        session.started(2, 999, "nearly as large");
        assert_eq!(session.admit(3, None, now), Admission::Run, "what is free need not be enough");
        session.finished(2);
        assert_eq!((session.running_bytes, session.lingering_bytes()), (0, 0));
    }

    #[test]
    fn calls_over_the_limit_wait_in_order() {
        let mut session = session();
        for seq in [1, 2] {
            assert_eq!(session.admit(seq, None, now), Admission::Run);
            session.started(seq, 1, "running");
        }
        for (seq, call) in [(3, "three"), (4, "four")] {
            assert_eq!(session.admit(seq, None, now), Admission::Wait);
            session.wait(seq, 60, call);
        }
        assert!(!session.wants_more(), "120 bytes wait");
        assert_eq!(session.next_waiting(), None);
        session.finished(2);
        assert_eq!(session.next_waiting(), Some((3, "three")));
        assert!(session.wants_more());
        session.started(3, 1, "running");
        assert_eq!(session.next_waiting(), None);
        session.finished(1);
        assert_eq!(session.next_waiting(), Some((4, "four")));
    }

    #[test]
    fn a_new_call_does_not_overtake_one_that_waits() {
        let mut session = session();
        session.started(1, 1, "");
        session.started(2, 1, "");
        session.wait(3, 10, "three");
        session.finished(1);
        assert_eq!(session.admit(4, None, now), Admission::Wait);
    }

    #[test]
    fn a_call_that_is_answered_before_its_handler_ends_keeps_its_slot() {
        let mut session = session();
        session.started(1, 1, "");
        session.started(2, 1, "");
        session.wait(3, 10, "three");
        session.lingers(1);
        assert_eq!(session.next_waiting(), None);
        assert_eq!(session.admit(1, None, now), Admission::Wait, "its number is free");
        session.finished(2);
        assert_eq!(session.next_waiting(), Some((3, "three")));
        session.lingers(3); // on the spot
        assert_eq!(session.admit(4, None, now), Admission::Wait);
        session.ended();
        assert_eq!(session.admit(4, None, now), Admission::Run);
        assert!(!session.is_idle(), "the last of them still runs");
        session.ended();
        assert!(session.is_idle());
    }

    #[test]
    fn a_call_whose_time_is_over_never_begins() {
        let later = now() + Duration::from_micros(1);
        assert_eq!(session().admit(1, Some(later), now), Admission::Run);
        assert_eq!(code(session().admit(1, Some(now()), now)), FaultCode::Expired);
        assert_eq!(deadline(now(), Duration::MAX), None);
    }

    #[test]
    fn draining_refuses_what_is_new_and_keeps_what_runs_or_waits() {
        let mut session = session();
        session.started(1, 1, "");
        session.started(2, 1, "");
        session.wait(3, 10, "three");
        assert!(session.drain("closing"));
        assert!(!session.drain("closing"), "only once");
        assert_eq!(code(session.admit(4, None, now)), FaultCode::ShuttingDown);
        session.finished(1);
        session.finished(2);
        assert!(!session.is_idle());
        assert_eq!(session.next_waiting(), Some((3, "three")));
        assert!(session.is_idle());
    }

    #[test]
    fn a_cancel_finds_its_call_wherever_it_is() {
        let mut session = session();
        session.started(1, 1, "one");
        session.started(2, 1, "two");
        session.wait(3, 10, "three");
        assert_eq!(session.cancel(1), Cancelled::Running(&"one"));
        assert_eq!(session.cancel(3), Cancelled::Waiting("three"));
        assert_eq!(session.cancel(3), Cancelled::Unknown);
        session.finished(1);
        assert_eq!(session.cancel(1), Cancelled::Unknown);
        assert_eq!(session.next_waiting(), None, "it never runs");
    }

    /// `[frame.seq-in-use]`
    #[test]
    fn the_number_of_a_call_that_is_not_answered_cannot_be_used_again() {
        let mut session = session();
        session.started(1, 1, "one");
        session.started(2, 1, "two");
        session.wait(3, 10, "three");
        assert_eq!(session.admit(1, None, now), Admission::SeqInUse);
        assert_eq!(session.admit(3, None, now), Admission::SeqInUse);
        session.finished(2);
        assert_eq!(session.next_waiting(), Some((3, "three")));
        session.finished(1);
        assert_eq!(session.admit(1, None, now), Admission::Run);
    }

    #[test]
    fn calls_that_come_and_go_while_one_waits_leave_nothing_behind() {
        let mut session = session();
        session.started(1, 1, "");
        session.started(2, 1, "");
        session.wait(3, 10, "three");
        for seq in 10..100_000 {
            session.wait(seq, 10, "more");
            assert_eq!(session.cancel(seq), Cancelled::Waiting("more"));
            let waiting = session.waiting.as_ref().expect("one waits");
            assert!(waiting.queue.len() <= 2 + KEEP_CALLS, "{seq}");
        }
        let waiting = session.waiting.as_ref().expect("one waits");
        assert!(waiting.queue.capacity() <= 4 * KEEP_CALLS);
        assert_eq!(waiting.bytes, 10);
        session.finished(1);
        assert_eq!(session.next_waiting(), Some((3, "three")));
        assert!(!session.has_waiting() && session.waiting.is_none());
    }

    /// Whatever is cancelled in whatever order, the others keep theirs: compared with a plain list.
    #[test]
    fn cancelled_calls_are_passed_over_and_the_order_is_kept() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % below as u64) as usize
        };
        let (mut waiting, mut model) = (Waiting::default(), VecDeque::new());
        for seq in 0..20_000u64 {
            match next(5) {
                0 | 1 => {
                    waiting.push(seq, next(100), seq);
                    model.push_back(seq);
                }
                2 => assert_eq!(waiting.pop(), model.pop_front().map(|seq| (seq, seq))),
                _ if model.is_empty() => assert_eq!(waiting.remove(seq), None),
                _ => {
                    let at = if next(2) == 0 { model.len() - 1 } else { next(model.len()) };
                    let seq = model.remove(at).expect("it is there");
                    assert_eq!(waiting.remove(seq), Some(seq));
                    assert_eq!(waiting.remove(seq), None);
                }
            }
            assert_eq!(waiting.is_empty(), model.is_empty());
            assert_eq!(waiting.places.len(), model.len());
        }
        while let Some(seq) = model.pop_front() {
            assert_eq!(waiting.pop(), Some((seq, seq)));
        }
        assert_eq!((waiting.bytes, waiting.pop()), (0, None));
    }
}
