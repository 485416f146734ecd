//! The calls a client waits for.
//!
//! A slab keyed by sequence number: the low half of a number is the slot, the high half counts how
//! often the slot was used, so that a late reply never meets the slot's next call. "Closed" is a
//! state of the table, so no call can begin after the end.
//!
//! Calling contract: [`begin`](Pending::begin) a call, tell the table where its request
//! [`ends`](Pending::queued) in the byte stream, then either [`poll`](Pending::poll) it until it is
//! ready or [`abandon`](Pending::abandon) it. What arrives goes to
//! [`resolve`](Pending::resolve); the end of the connection to [`close`](Pending::close). Both hand
//! out the wakers of those who wait, to be woken when the table's lock is released.

use std::{collections::HashMap, sync::Arc, task::Waker};

use rustc_hash::FxBuildHasher;

use crate::error::Disconnected;

/// What a call ended with: `T` is what the peer answered.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The peer's answer.
    Answered(T),
    /// The connection ended first.
    Lost {
        /// Whether the whole request had been handed to the operating system.
        may_have_run: bool,
        /// What ended the connection.
        cause: Arc<Disconnected>,
    },
}

/// A call whose connection ended before the peer's answer came.
#[derive(Debug)]
pub struct Lost {
    /// Whether the whole request had been handed to the operating system.
    pub may_have_run: bool,
    /// What ended the connection.
    pub cause: Arc<Disconnected>,
}

/// What polling a call gave, `R` once it is over.
#[derive(Debug)]
pub enum Polled<R> {
    /// It is over.
    Ready(R),
    /// It is not. The waker kept until now is handed out, because dropping one can run anything,
    /// also code that wants the table's lock.
    Pending {
        /// The waker of an earlier poll.
        replaced: Option<Waker>,
    },
}

/// What giving a call up left behind.
#[derive(Debug, Default)]
pub struct Abandoned {
    /// The peer's answer is still to come: it should be told that nobody waits for it.
    pub tell_peer: bool,
    /// The call's waker, to be dropped when the table's lock is released.
    pub waker: Option<Waker>,
}

/// A request that has not been queued yet ends nowhere.
const NOT_QUEUED: u64 = u64::MAX;

/// The table of calls in flight on one connection.
#[derive(Debug)]
pub struct Pending<T> {
    slots: Vec<Slot<T>>,
    /// The first vacant slot; `slots.len()` if there is none.
    vacant: usize,
    in_flight: usize,
    /// How many of those wait: their answer has not come.
    waiting: usize,
    /// How many of those somebody awaits: a waker was left with them.
    watched: usize,
    /// Answers that came to calls nobody awaited, and that nobody has taken yet.
    unread: Unread,
    /// What each of those weighs, by its sequence number.
    weights: HashMap<u64, usize, FxBuildHasher>,
    /// The generation of a new slot: past that of every slot that was given back.
    fresh: u32,
    /// Set once, at the end; no call begins from then on.
    closed: Option<Arc<Disconnected>>,
    /// What calls were lost to.
    lost_to: Option<Arc<Disconnected>>,
}

#[derive(Debug)]
struct Slot<T> {
    /// How often the slot was used: the high half of its current call's sequence number.
    generation: u32,
    stage: Stage,
    /// Whom to wake. None but of a call that waits.
    waker: Option<Waker>,
    /// What has come. Moved once when it comes and once when it is taken, each time straight to its place.
    answer: Option<T>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Free; the next free slot.
    Vacant(usize),
    /// `end` is the offset just behind the request in the stream of all bytes sent.
    Waiting { end: u64 },
    /// Answered, and its caller has not looked yet. Unread if nobody was told.
    Answered { unread: bool },
    /// The connection has ended, and its caller has not looked yet.
    Lost { may_have_run: bool },
}

impl<T> Slot<T> {
    /// Frees it for another generation; `next` is the next free one.
    #[inline]
    fn vacate(&mut self, next: usize) {
        self.generation = self.generation.wrapping_add(1);
        self.stage = Stage::Vacant(next);
    }
}

/// Answers that lie in the table because nobody awaits their calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unread {
    /// How many.
    pub calls: usize,
    /// What they weigh together.
    pub weight: usize,
}

/// Slots above which an empty table gives its memory back.
const KEEP_SLOTS: usize = 64;

impl<T> Pending<T> {
    /// A table without calls.
    pub fn new() -> Self {
        Pending {
            slots: Vec::new(),
            vacant: 0,
            in_flight: 0,
            waiting: 0,
            watched: 0,
            unread: Unread::default(),
            weights: HashMap::default(),
            fresh: 0,
            closed: None,
            lost_to: None,
        }
    }

    /// Begins a call and gives its sequence number.
    ///
    /// # Errors
    /// What ended the connection, if it has ended.
    #[inline]
    pub fn begin(&mut self) -> Result<u64, Arc<Disconnected>> {
        self.begin_queued(NOT_QUEUED, None)
    }

    /// The same of one whose request ends there in the stream of all bytes sent, and whom to wake if that
    /// is known already: then the first [`poll`](Self::poll) can be spared.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    #[inline]
    pub fn begin_queued(
        &mut self,
        end: u64,
        first_waker: Option<&Waker>,
    ) -> Result<u64, Arc<Disconnected>> {
        if let Some(cause) = &self.closed {
            return Err(cause.clone());
        }
        let index = self.vacant;
        let stage = Stage::Waiting { end };
        self.watched += usize::from(first_waker.is_some());
        let generation = match self.slots.get_mut(index) {
            Some(slot) => {
                let Stage::Vacant(next) = slot.stage else {
                    unreachable!("the list of vacant slots holds vacant slots");
                };
                slot.stage = stage;
                slot.waker = first_waker.cloned();
                self.vacant = next;
                slot.generation
            }
            None => {
                // Most connections of a program that has many carry one call at a time.
                self.slots.reserve_exact(usize::from(self.slots.is_empty()));
                let (generation, waker) = (self.fresh, first_waker.cloned());
                self.slots.push(Slot { generation, stage, waker, answer: None });
                self.vacant = self.slots.len();
                generation
            }
        };
        self.in_flight += 1;
        self.waiting += 1;
        Ok(seq(generation, index))
    }

    /// Notes where the request of call `seq` ends in the stream of all bytes sent, and whom to wake if
    /// that is known already: then the first [`poll`](Self::poll) can be spared.
    #[inline]
    pub fn queued(&mut self, seq: u64, end_of_request: u64, first_waker: Option<&Waker>) {
        let Some(slot) = self.slot(seq) else { return };
        if let Stage::Waiting { end } = &mut slot.stage {
            *end = end_of_request;
            if let (None, Some(first)) = (&slot.waker, first_waker) {
                slot.waker = Some(first.clone());
                self.watched += 1;
            }
        }
    }

    /// Notes whom to wake for call `seq`, if that is known before its request is queued.
    pub fn watch(&mut self, seq: u64, first_waker: Option<&Waker>) {
        self.queued(seq, NOT_QUEUED, first_waker);
    }

    /// The outcome of call `seq`, which leaves the table with it; else `waker` is kept.
    ///
    /// # Panics
    /// If the call has left the table: a future was polled after it was ready.
    #[inline]
    pub fn poll(&mut self, seq: u64, waker: &Waker) -> Polled<Outcome<T>> {
        let mut answer = None;
        match self.poll_into(seq, waker, &mut answer) {
            Polled::Ready(Ok(())) => {
                Polled::Ready(Outcome::Answered(answer.expect("it was put there")))
            }
            Polled::Ready(Err(Lost { may_have_run, cause })) => {
                Polled::Ready(Outcome::Lost { may_have_run, cause })
            }
            Polled::Pending { replaced } => Polled::Pending { replaced },
        }
    }

    /// The same; an answer goes to where it is wanted, which has to be empty.
    ///
    /// # Panics
    /// As [`poll`](Self::poll).
    #[inline]
    pub fn poll_into(
        &mut self,
        seq: u64,
        waker: &Waker,
        answer: &mut Option<T>,
    ) -> Polled<Result<(), Lost>> {
        let next = self.vacant;
        let Some(slot) = self.slot(seq) else { panic!("call polled after completion") };
        match slot.stage {
            Stage::Waiting { .. } => {
                if slot.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
                    return Polled::Pending { replaced: None };
                }
                let replaced = slot.waker.replace(waker.clone());
                self.watched += usize::from(replaced.is_none());
                Polled::Pending { replaced }
            }
            Stage::Answered { unread } => {
                // Not `take`, which would move it more than once.
                std::mem::swap(&mut slot.answer, answer);
                slot.vacate(next);
                self.vacated(seq, unread);
                Polled::Ready(Ok(()))
            }
            Stage::Lost { may_have_run } => {
                slot.vacate(next);
                self.vacated(seq, false);
                let cause = self.lost_to.clone().expect("it is known since the call was lost");
                Polled::Ready(Err(Lost { may_have_run, cause }))
            }
            Stage::Vacant(_) => panic!("call polled after completion"),
        }
    }

    /// Answers call `seq`; its waker is appended to `wakers`.
    ///
    /// `false` if nobody waits for it (any more): the answer is discarded.
    #[inline]
    pub fn resolve(&mut self, seq: u64, answer: T, wakers: &mut Vec<Waker>) -> bool {
        self.resolve_weighed(seq, &mut Some(answer), |_| 0, wakers)
    }

    /// The same with an answer that is taken from where it is, and counts for as much as `weigh` says while
    /// it is [`unread`](Self::unread).
    ///
    /// If nobody waits for it, it stays where it is.
    #[inline]
    pub fn resolve_weighed(
        &mut self,
        seq: u64,
        answer: &mut Option<T>,
        weigh: impl FnOnce(&T) -> usize,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        let Some(slot) = self.slot(seq) else { return false };
        let Stage::Waiting { .. } = slot.stage else { return false };
        std::mem::swap(&mut slot.answer, answer);
        if let Some(waker) = slot.waker.take() {
            wakers.push(waker);
            slot.stage = Stage::Answered { unread: false };
            self.watched -= 1;
        } else {
            slot.stage = Stage::Answered { unread: true };
            let weight = slot.answer.as_ref().map_or(0, weigh);
            self.lies_unread(seq, weight);
        }
        self.waiting -= 1;
        true
    }

    /// Notes that an answer lies unread.
    fn lies_unread(&mut self, seq: u64, weight: usize) {
        self.unread.calls += 1;
        self.unread.weight += weight;
        if weight > 0 {
            self.weights.insert(seq, weight);
        }
    }

    /// Notes that such an answer was taken.
    #[cold]
    fn taken(&mut self, seq: u64) {
        self.unread.calls -= 1;
        self.unread.weight -= self.weights.remove(&seq).unwrap_or(0);
        if self.weights.is_empty() && self.weights.capacity() > KEEP_SLOTS {
            self.weights = HashMap::default();
        }
    }

    /// Gives call `seq` up; it leaves the table, and an answer that comes later is discarded.
    pub fn abandon(&mut self, seq: u64) -> Abandoned {
        let next = self.vacant;
        let Some(slot) = self.slot(seq) else { return Abandoned::default() };
        let stage = slot.stage;
        if let Stage::Vacant(_) = stage {
            return Abandoned::default();
        }
        let waker = slot.waker.take();
        slot.answer = None;
        slot.vacate(next);
        if let Stage::Waiting { .. } = stage {
            self.waiting -= 1;
            self.watched -= usize::from(waker.is_some());
        }
        self.vacated(seq, matches!(stage, Stage::Answered { unread: true }));
        let tell_peer = matches!(stage, Stage::Waiting { end } if end != NOT_QUEUED);
        Abandoned { tell_peer, waker }
    }

    /// Lets no call begin from now on; those that have begun may still be answered.
    ///
    /// The first cause stays; later calls do nothing.
    pub fn refuse(&mut self, cause: &Arc<Disconnected>) {
        self.closed.get_or_insert_with(|| cause.clone());
    }

    /// Ends the table: every call that waits is lost, and none begins from now on.
    ///
    /// `written` bytes of the stream have been handed to the operating system; a request that is
    /// not wholly among them cannot have run, and none has if the peer says so (`[goaway.none]`). A cause given earlier stays the cause of calls that
    /// never began.
    pub fn close(&mut self, cause: &Arc<Disconnected>, written: u64, wakers: &mut Vec<Waker>) {
        self.refuse(cause);
        let nothing_ran = cause.nothing_ran();
        for slot in &mut self.slots {
            if let Stage::Waiting { end } = slot.stage {
                wakers.extend(slot.waker.take());
                slot.stage = Stage::Lost { may_have_run: end <= written && !nothing_ran };
            }
        }
        self.lost_to.get_or_insert_with(|| cause.clone());
        self.waiting = 0;
        self.watched = 0;
    }

    /// What ended the connection, once it has ended.
    pub fn closed(&self) -> Option<&Arc<Disconnected>> {
        self.closed.as_ref()
    }

    /// Calls that have begun and neither been polled to their end nor given up.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Calls whose answer has not come.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether anybody awaits any call whose answer has not come.
    pub fn is_watched(&self) -> bool {
        self.watched > 0
    }

    /// Whether anybody awaits call `seq`.
    pub fn watches(&mut self, seq: u64) -> bool {
        self.slot(seq).is_some_and(|slot| slot.waker.is_some())
    }

    /// Answers of calls that nobody awaited when they came, and that nobody has taken since.
    pub fn unread(&self) -> Unread {
        self.unread
    }

    /// The slot of call `seq`; `None` if that is another's by now.
    #[inline]
    fn slot(&mut self, seq: u64) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(index(seq))?;
        (slot.generation == generation(seq)).then_some(slot)
    }

    /// Call `seq` has left its slot.
    #[inline]
    fn vacated(&mut self, seq: u64, unread: bool) {
        self.vacant = index(seq);
        self.in_flight -= 1;
        if unread {
            self.taken(seq);
        }
        if self.in_flight == 0 && self.slots.len() > KEEP_SLOTS {
            self.shrink();
        }
    }

    /// Gives memory back when no call is left.
    #[cold]
    fn shrink(&mut self) {
        let given_back = self.slots[KEEP_SLOTS..].iter().map(|slot| slot.generation);
        self.fresh = given_back.fold(self.fresh, u32::max);
        self.slots.truncate(KEEP_SLOTS);
        self.slots.shrink_to_fit();
        self.vacant = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.stage = Stage::Vacant(index + 1);
        }
    }
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn seq(generation: u32, index: usize) -> u64 {
    u64::from(generation) << 32 | index as u64
}

fn index(seq: u64) -> usize {
    (seq & u64::from(u32::MAX)) as usize
}

fn generation(seq: u64) -> u32 {
    (seq >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::GoAwayCode;

    fn cause() -> Arc<Disconnected> {
        Arc::new(Disconnected::Eof)
    }

    fn poll(table: &mut Pending<u32>, seq: u64) -> Poll<Outcome<u32>> {
        match table.poll(seq, Waker::noop()) {
            Polled::Ready(outcome) => Poll::Ready(outcome),
            Polled::Pending { .. } => Poll::Pending,
        }
    }

    #[test]
    fn an_answer_reaches_its_call_and_no_other() {
        let mut table = Pending::new();
        let (a, b) = (table.begin().unwrap(), table.begin().unwrap());
        let mut wakers = Vec::new();
        assert!(table.resolve(b, 2, &mut wakers));
        assert!(poll(&mut table, a).is_pending());
        assert!(matches!(poll(&mut table, b), Poll::Ready(Outcome::Answered(2))));
        assert_eq!(table.in_flight(), 1);
    }

    #[test]
    fn the_last_waker_is_the_one_woken() {
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let flags = [(); 2].map(|()| Arc::new(Flag(false.into())));
        let mut table = Pending::new();
        let seq = table.begin().unwrap();
        for flag in &flags {
            let polled = table.poll(seq, &Waker::from(flag.clone()));
            assert!(matches!(polled, Polled::Pending { .. }));
        }
        let mut wakers = Vec::new();
        table.resolve(seq, 1, &mut wakers);
        assert_eq!(wakers.len(), 1);
        wakers.into_iter().for_each(Waker::wake);
        let woken = flags.map(|flag| flag.0.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(woken, [false, true]);
    }

    #[test]
    fn answers_that_are_late_doubled_or_unknown_are_discarded() {
        let mut table = Pending::new();
        let mut wakers = Vec::new();
        let a = table.begin().unwrap();
        assert!(table.resolve(a, 1, &mut wakers));
        assert!(!table.resolve(a, 1, &mut wakers), "doubled");
        assert!(poll(&mut table, a).is_ready());
        let b = table.begin().unwrap();
        assert_eq!(index(a), index(b), "the slot is used again");
        assert!(!table.resolve(a, 1, &mut wakers), "late");
        assert!(!table.resolve(7, 1, &mut wakers), "unknown");
        assert!(poll(&mut table, b).is_pending());
    }

    #[test]
    fn only_a_queued_call_needs_a_cancel() {
        let mut table = Pending::<u32>::new();
        let (a, b, c) = (table.begin().unwrap(), table.begin().unwrap(), table.begin().unwrap());
        table.queued(b, 10, None);
        table.queued(c, 20, None);
        table.resolve(c, 1, &mut Vec::new());
        assert!(!table.abandon(a).tell_peer, "never queued");
        assert!(table.abandon(b).tell_peer, "its answer is still to come");
        assert!(!table.abandon(b).tell_peer, "it has left the table");
        assert!(!table.abandon(c).tell_peer, "already answered");
        assert_eq!(table.in_flight(), 0);
    }

    /// `[goaway.none]`
    #[test]
    fn no_call_has_run_if_the_peer_says_so() {
        for (code, may_have_run) in [(GoAwayCode::Refused, false), (GoAwayCode::ShuttingDown, true)]
        {
            let mut pending = Pending::<()>::new();
            let seq = pending.begin().unwrap();
            pending.queued(seq, 10, None);
            let cause = Disconnected::GoAway { code, message: String::new() };
            pending.close(&Arc::new(cause), 10, &mut Vec::new());
            let outcome = pending.poll(seq, Waker::noop());
            let Polled::Ready(Outcome::Lost { may_have_run: told, .. }) = outcome else {
                panic!("not lost: {outcome:?}");
            };
            assert_eq!(told, may_have_run, "{code:?}");
        }
    }

    #[test]
    fn the_end_tells_each_call_whether_its_request_had_left() {
        let mut table = Pending::<u32>::new();
        let calls = [(); 4].map(|()| table.begin().unwrap());
        table.queued(calls[0], 100, None);
        table.queued(calls[1], 101, None);
        table.queued(calls[2], 50, None);
        table.resolve(calls[2], 7, &mut Vec::new());
        table.close(&cause(), 100, &mut Vec::new());
        let lost = |poll| match poll {
            Poll::Ready(Outcome::Lost { may_have_run, .. }) => may_have_run,
            other => panic!("{other:?}"),
        };
        assert!(lost(poll(&mut table, calls[0])), "its last byte was written");
        assert!(!lost(poll(&mut table, calls[1])), "its last byte was not");
        assert!(matches!(poll(&mut table, calls[2]), Poll::Ready(Outcome::Answered(7))));
        assert!(!lost(poll(&mut table, calls[3])), "it was never queued");
        assert!(table.begin().is_err(), "no call begins after the end");
    }

    /// Nothing is counted twice, and nothing stays counted.
    #[test]
    fn what_nobody_awaits_is_counted_until_it_is_taken() {
        let mut table = Pending::<u32>::new();
        let calls = [(); 6].map(|()| table.begin().unwrap());
        let unread = |calls, weight| Unread { calls, weight };
        table.queued(calls[0], 10, Some(Waker::noop()));
        assert!(table.is_watched() && table.watches(calls[0]) && !table.watches(calls[1]));
        let mut wakers = Vec::new();
        table.resolve_weighed(calls[0], &mut Some(1), |_| 100, &mut wakers);
        assert_eq!((table.unread(), table.is_watched()), (unread(0, 0), false), "it was awaited");
        for call in &calls[1..4] {
            table.resolve_weighed(*call, &mut Some(1), |_| 100, &mut wakers);
        }
        assert_eq!(table.unread(), unread(3, 300));
        assert!(poll(&mut table, calls[1]).is_ready());
        table.abandon(calls[2]);
        assert_eq!(table.unread(), unread(1, 100));
        for call in &calls[4..] {
            assert!(poll(&mut table, *call).is_pending());
            assert!(poll(&mut table, *call).is_pending(), "polled twice, counted once");
        }
        table.abandon(calls[4]);
        assert!(table.is_watched());
        table.close(&cause(), 0, &mut wakers);
        assert!(!table.is_watched());
        for call in [calls[0], calls[3], calls[5]] {
            assert!(poll(&mut table, call).is_ready());
        }
        assert_eq!((table.unread(), table.in_flight()), (unread(0, 0), 0));
    }

    #[test]
    fn memory_goes_back_and_no_sequence_number_comes_again() {
        let mut table = Pending::<u32>::new();
        let first: Vec<_> = (0..1000).map(|_| table.begin().unwrap()).collect();
        first.iter().for_each(|seq| {
            table.abandon(*seq);
        });
        assert!(table.slots.capacity() <= KEEP_SLOTS);
        let second: Vec<_> = (0..1000).map(|_| table.begin().unwrap()).collect();
        assert!(second.iter().all(|seq| !first.contains(seq)));
    }

    proptest! {
        /// Against the naive model: a map of what was begun.
        #[test]
        fn it_behaves_like_a_map(operations in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 1..300)) {
            let mut table = Pending::<u32>::new();
            let mut model = std::collections::BTreeMap::<u64, Option<u32>>::new();
            let mut seen = Vec::<u64>::new();
            let mut closed = false;
            for (operation, pick) in operations {
                let known = (!seen.is_empty()).then(|| *pick.get(&seen));
                match (operation, known) {
                    (0, _) => match table.begin() {
                        Ok(seq) => {
                            prop_assert!(!closed && !seen.contains(&seq));
                            seen.push(seq);
                            model.insert(seq, None);
                        }
                        Err(_) => prop_assert!(closed),
                    },
                    (1, Some(seq)) => {
                        let expected = matches!(model.get(&seq), Some(None)) && !closed;
                        prop_assert_eq!(table.resolve(seq, seq as u32, &mut Vec::new()), expected);
                        if expected {
                            model.insert(seq, Some(seq as u32));
                        }
                    }
                    (2, Some(seq)) if model.contains_key(&seq) => {
                        match (poll(&mut table, seq), model[&seq]) {
                            (Poll::Ready(Outcome::Answered(answer)), Some(expected)) => {
                                prop_assert_eq!(answer, expected);
                                model.remove(&seq);
                            }
                            (Poll::Ready(Outcome::Lost { .. }), None) => {
                                prop_assert!(closed);
                                model.remove(&seq);
                            }
                            (Poll::Pending, None) => prop_assert!(!closed),
                            (polled, expected) => prop_assert!(false, "{polled:?} {expected:?}"),
                        }
                    }
                    (3, Some(seq)) => {
                        prop_assert!(!table.abandon(seq).tell_peer, "nothing was queued");
                        model.remove(&seq);
                    }
                    (4, Some(_)) if pick.index(40) == 0 => {
                        table.close(&cause(), 0, &mut Vec::new());
                        closed = true;
                    }
                    _ => {}
                }
                prop_assert_eq!(table.in_flight(), model.len());
                let waiting = model.values().filter(|answer| answer.is_none()).count();
                prop_assert_eq!(table.waiting(), if closed { 0 } else { waiting });
            }
        }
    }
}
