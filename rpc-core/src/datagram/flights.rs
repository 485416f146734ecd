//! The questions that wait for answers, and when each is sent again.
//!
//! ```text
//!              answered
//!     ┌──────────────────────────────────────────────────▶ over
//!     │                                                      ▲
//!   Flying ── late ──▶ Lost, if it may be sent again ── else ┘
//!     │  ▲              │
//!     │  └── sent again ┘  when the window has room
//!     │
//!     └── a receipt ──▶ Taken: asked about now and then, in case the answer is lost
//! ```
//!
//! Driven so: whoever sends a question for the first time asks [`has_room`](Flights::has_room) and then
//! tells [`ask`](Flights::ask); what comes is told too; when [`next_timeout`](Flights::next_timeout) is over,
//! [`on_timeout`](Flights::on_timeout) is called, and after it, and whenever something has come,
//! [`next_again`](Flights::next_again) until it gives nothing.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Framed, Rto, RtoLimits, Window};
use crate::{
    backoff::Jitter,
    wire::{self, HEADER_LEN, Kind, RequestHead},
};

/// How long a call that the server is known to have is left alone at most before it is asked about.
const ASK_TAKEN: Duration = Duration::from_secs(15);

/// What is sent within this time counts as sent at once.
const BURST: Duration = Duration::from_millis(1);

/// How often a question's own wait is doubled. While others are answered the way is there, and how much goes over it
/// the window sees to; where nothing comes, all waits double further.
const DOUBLED: u32 = 4;

/// Something that the peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// A call.
    Call(u64),
    /// A frame about a session.
    Session(u64),
    /// An acknowledgement.
    Ack(u64),
    /// A ping.
    Ping(u64),
}

impl Question {
    /// What a frame asks; `None` if it wants no answer.
    pub fn of(kind: Kind, seq: u64) -> Option<Question> {
        match kind {
            Kind::Request => Some(Question::Call(seq)),
            Kind::Session => Some(Question::Session(seq)),
            Kind::Acknowledgement => Some(Question::Ack(seq)),
            Kind::Ping => Some(Question::Ping(seq)),
            Kind::Reply | Kind::Fault | Kind::Cancel | Kind::Pong | Kind::GoAway => None,
        }
    }
}

/// How flights are made.
#[derive(Debug, Clone, Copy)]
pub struct FlightLimits {
    /// The length of a datagram.
    pub datagram: usize,
    /// How long to wait for answers.
    pub rto: RtoLimits,
}

/// What has happened to questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlightCounts {
    /// Questions that were asked.
    pub asked: u64,
    /// How often one was sent again.
    pub again: u64,
    /// How often an answer, and every sign that it would come, was late.
    pub late: u64,
    /// Receipts for questions that waited.
    pub taken: u64,
}

/// The questions of one side of a conversation that wait for answers.
#[derive(Debug)]
pub struct Flights {
    rto: Rto,
    window: Window,
    jitter: Jitter,
    asked: HashMap<Question, Asked>,
    /// When what is to be done about which; each question of `asked` is here at most once, with its `due`.
    due: BTreeSet<(Instant, Question)>,
    /// What is to be sent again as soon as there is room, each with the ticket that it has then. One that has
    /// another by now, or none, was answered or given up, or is on its way already.
    again: VecDeque<(u64, Question)>,
    /// The last ticket.
    tickets: u64,
    /// When anything came last.
    heard: Option<Instant>,
    /// Timeouts in a row after which nothing had come, and when the last of them was.
    silence: (u32, Option<Instant>),
    /// When something was sent last, and what share of its time was added at random to what was sent then: so
    /// that what was sent together is late together, and sent again in one datagram.
    burst: Option<(Instant, u32)>,
    /// What an answer has, about: it goes the same way as the question.
    answer: usize,
    counts: FlightCounts,
}

#[derive(Debug)]
struct Asked {
    /// The frame, if it may be sent again.
    frame: Option<Box<[u8]>>,
    /// When its call has to be over.
    deadline: Option<Instant>,
    /// What it counts for in the window.
    cost: usize,
    attempts: u32,
    sent: Instant,
    due: Option<Instant>,
    /// Its place in `again`.
    ticket: Option<u64>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It counts in the window.
    Flying,
    /// It does not, and is in `again`.
    Lost,
    /// The peer has it. So often it was asked about since.
    Taken(u32),
}

impl Flights {
    /// Nothing was asked yet. Equal seeds give equal times.
    pub fn new(limits: FlightLimits, seed: u64) -> Self {
        Flights {
            rto: Rto::new(limits.rto),
            window: Window::new(limits.datagram),
            jitter: Jitter::new(seed),
            asked: HashMap::new(),
            due: BTreeSet::new(),
            again: VecDeque::new(),
            tickets: 0,
            heard: None,
            silence: (0, None),
            burst: None,
            answer: 0,
            counts: FlightCounts::default(),
        }
    }

    /// Whether a question of so many bytes may be sent now. What was lost goes first.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.again.is_empty() && self.window.has_room(self.cost(bytes))
    }

    /// What was measured of the way.
    pub fn rto(&self) -> &Rto {
        &self.rto
    }

    /// How much may be under way.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// What has happened.
    pub fn counts(&self) -> FlightCounts {
        self.counts
    }

    /// How many questions wait for answers.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// A way back and forth was measured elsewhere.
    pub fn sample(&mut self, time: Duration) {
        self.rto.sample(time);
    }

    /// Something has come from the peer.
    pub fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.silence.0 = 0;
    }

    /// This frame is a question and is sent now, for the first time; again only if `repeats`.
    pub fn ask(&mut self, now: Instant, question: Question, frame: &[u8], repeats: bool) {
        self.give_up(question);
        let cost = self.cost(frame.len());
        self.counts.asked += 1;
        self.window.sent(cost);
        let deadline = Framed::first(frame)
            .filter(|framed| repeats && framed.kind == Some(Kind::Request))
            .and_then(|framed| RequestHead::parse(framed.head()).ok()?.deadline)
            .and_then(|left| now.checked_add(left));
        let due = self.due_after(now, 0, Duration::MAX);
        self.due.insert((due, question));
        let asked = Asked {
            frame: repeats.then(|| frame.into()),
            deadline,
            cost,
            attempts: 1,
            sent: now,
            due: Some(due),
            ticket: None,
            state: State::Flying,
        };
        self.asked.insert(question, asked);
    }

    /// The answer has come, of so many bytes. `false` if nobody waits for it any more.
    pub fn answered(&mut self, now: Instant, question: Question, bytes: usize) -> bool {
        let Some(asked) = self.remove(question) else { return false };
        self.answer = (self.answer * 7 + bytes) / 8;
        match asked.state {
            State::Flying => {
                self.window.arrived(asked.cost);
                if asked.attempts == 1 {
                    self.rto.sample(now.saturating_duration_since(asked.sent));
                }
            }
            State::Lost | State::Taken(_) => {}
        }
        true
    }

    /// A receipt has come: the peer has the question, and had it for `age` when it said so.
    pub fn taken(&mut self, now: Instant, question: Question, age: Duration) {
        let Some(asked) = self.asked.get_mut(&question) else { return };
        self.counts.taken += 1;
        match asked.state {
            State::Flying => {
                self.window.arrived(asked.cost);
                if asked.attempts == 1 {
                    let since = now.saturating_duration_since(asked.sent);
                    self.rto.sample(since.saturating_sub(age));
                }
                asked.state = State::Taken(0);
            }
            State::Lost => {
                asked.ticket = None;
                asked.state = State::Taken(0);
            }
            // It is asked about less and less often.
            State::Taken(_) => return,
        }
        if asked.frame.is_none() {
            // It is never asked about: nothing is to be known any more but its answer.
            self.remove(question);
            return;
        }
        self.wait(now, question);
    }

    /// Nobody waits for the answer any more.
    pub fn give_up(&mut self, question: Question) {
        if let Some(asked) = self.remove(question)
            && asked.state == State::Flying
        {
            self.window.left(asked.cost);
        }
    }

    /// When [`on_timeout`](Self::on_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Looks at what is late.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(&(due, question)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(asked) = self.asked.get_mut(&question) else { continue };
            asked.due = None;
            match asked.state {
                State::Flying => {
                    self.counts.late += 1;
                    let (cost, sent) = (asked.cost, asked.sent);
                    let silent = self.heard.is_none_or(|heard| heard < sent);
                    let repeats = asked.frame.is_some();
                    asked.state = State::Lost;
                    self.window.lost(cost, sent, now, silent);
                    if silent && self.silence.1.is_none_or(|last| sent >= last) {
                        self.silence = (self.silence.0.saturating_add(1), Some(now));
                    }
                    if repeats {
                        self.queue(question);
                    } else {
                        self.asked.remove(&question);
                    }
                }
                State::Taken(times) => {
                    asked.state = State::Taken(times.saturating_add(1));
                    self.queue(question);
                }
                State::Lost => {}
            }
        }
    }

    /// Appends a frame that is to be sent again now, with the deadline that it has by now; `false` if there is
    /// none, or no room.
    pub fn next_again(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        while let Some(&(ticket, question)) = self.again.front() {
            let asked = self.asked.get_mut(&question);
            let Some(asked) = asked.filter(|asked| asked.ticket == Some(ticket)) else {
                self.again.pop_front();
                continue;
            };
            let left = asked.deadline.map(|deadline| deadline.saturating_duration_since(now));
            let (Some(frame), false) = (&asked.frame, left == Some(Duration::ZERO)) else {
                // It is too late for it.
                self.again.pop_front();
                self.give_up(question);
                continue;
            };
            let lost = asked.state == State::Lost;
            // What is only asked about is little, and ever less of it.
            if lost && !self.window.has_room(asked.cost) {
                return false;
            }
            write_again(out, frame, left);
            self.again.pop_front();
            asked.ticket = None;
            asked.attempts = asked.attempts.saturating_add(1);
            asked.sent = now;
            if lost {
                asked.state = State::Flying;
                self.window.sent(asked.cost);
            }
            self.counts.again += 1;
            self.wait(now, question);
            return true;
        }
        false
    }

    /// How long the frame is that is to be sent again next; 0 if there is none.
    pub fn next_length(&self) -> usize {
        let next = self.again.front().and_then(|(_, question)| self.asked.get(question));
        next.and_then(|asked| asked.frame.as_ref()).map_or(0, |frame| frame.len())
    }

    /// Has the question sent again as soon as there is room.
    fn queue(&mut self, question: Question) {
        self.tickets += 1;
        if let Some(asked) = self.asked.get_mut(&question) {
            asked.ticket = Some(self.tickets);
            self.again.push_back((self.tickets, question));
        }
    }

    /// Notes when the question is looked at next.
    fn wait(&mut self, now: Instant, question: Question) {
        let Some(asked) = self.asked.get(&question) else { return };
        let before = asked.due;
        let due = match asked.state {
            State::Flying => {
                let failures = asked.attempts.saturating_sub(1).min(DOUBLED);
                self.due_after(now, failures, Duration::MAX)
            }
            State::Taken(times) => self.due_after(now, times, ASK_TAKEN),
            State::Lost => return,
        };
        if let Some(before) = before {
            self.due.remove(&(before, question));
        }
        self.due.insert((due, question));
        if let Some(asked) = self.asked.get_mut(&question) {
            asked.due = Some(due);
        }
    }

    /// When what is sent now is late, after so many attempts that had no answer: up to half as long again as the
    /// timeout, so that those who were lost together do not come back together.
    fn due_after(&mut self, now: Instant, failures: u32, most: Duration) -> Instant {
        let (begun, share) = match self.burst {
            Some((begun, share)) if now.saturating_duration_since(begun) < BURST => (begun, share),
            _ => (now, (self.jitter.next() % 512) as u32),
        };
        self.burst = Some((begun, share));
        let timeout = self.rto.timeout(failures.max(self.silence.0)).min(most);
        (begun + timeout + timeout * share / 1024).max(now)
    }

    fn cost(&self, bytes: usize) -> usize {
        bytes.max(self.answer)
    }

    fn remove(&mut self, question: Question) -> Option<Asked> {
        let asked = self.asked.remove(&question)?;
        if let Some(due) = asked.due {
            self.due.remove(&(due, question));
        }
        Some(asked)
    }
}

/// Appends a frame, with another deadline if it has one.
fn write_again(out: &mut Vec<u8>, frame: &[u8], left: Option<Duration>) {
    let Some(left) = left else { return out.extend_from_slice(frame) };
    let Some(Framed { header, kind: Some(kind), .. }) = Framed::first(frame) else { return };
    let start = wire::begin(out);
    let head = out.len();
    out.extend_from_slice(&frame[HEADER_LEN..]);
    wire::rewrite_deadline(&mut out[head..head + usize::from(header.head_len)], left);
    let fits = wire::finish(out, start, kind, header.head_len, header.seq, header.length);
    debug_assert_eq!(fits, Ok(()), "it is as long as it was");
}

#[cfg(test)]
mod tests;
