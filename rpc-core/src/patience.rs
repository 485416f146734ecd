//! How long the peer of a served connection is waited for: all time-outs in one machine, so that a
//! connection has one timer.
//!
//! The driver of a busy connection must not ask for the time at every batch. So it only says that
//! something happens, and the machine looks at the connection as a whole when its timer rings: every
//! [`TICK`] while something happens, and then when a time may be over. Times are kept to within a tick
//! or two, and never end early.
//!
//! | time | begins | is over early if |
//! |---|---|---|
//! | handshake | with the connection | the peer has said what it speaks |
//! | frame | when a message has begun | it is whole, or enough of it comes ([`RATE`]) |
//! | write | when the peer does not take what it is sent | it has taken all, or enough |
//! | idle | when no call runs or waits and no message has begun | a request comes |
//! | age | with the connection | – |
//! | keep-alive | see [`keep_alive`] | |
//! | linger | when all is said | – |

use std::time::{Duration, Instant};

use crate::keep_alive::{self, KeepAlive, Sign};

/// How often a busy connection is looked at. Also how long nothing must have happened until memory is
/// given back: to do that after each large frame would cost a third to a half of what can be moved.
pub const TICK: Duration = Duration::from_millis(500);

/// Bytes a second that a peer must at least send of a message it has begun, and take of what it is sent:
/// 4 KiB, less than any link that people still use.
pub const RATE: u64 = 4096;

/// How long is waited for what; [`Duration::MAX`] is for ever.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For the peer to say what it speaks.
    pub handshake: Duration,
    /// For a message that has begun; of a long one, this much time at [`RATE`] must come within it.
    pub frame: Duration,
    /// For the peer to take what it is sent; likewise.
    pub write: Duration,
    /// For a request.
    pub idle: Duration,
    /// For the connection to end by itself.
    pub age: Duration,
    /// For the calls on it to end after that.
    pub age_grace: Duration,
    /// For a sign of life.
    pub keep_alive: keep_alive::Times,
}

/// What a connection is like when its timer rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Everything that the peer has said is read and served: it is not we who wait with that.
    pub reading: bool,
    /// A message has begun that is not whole.
    pub mid_frame: bool,
    /// Something is queued that the peer has not taken.
    pub unread: bool,
    /// A call runs or waits.
    pub calls: bool,
    /// It is going to end anyway.
    pub ending: bool,
    /// Messages that have arrived.
    pub frames: u64,
    /// Requests among them.
    pub requests: u64,
    /// Bytes that have arrived.
    pub received: u64,
    /// Bytes that the peer has taken.
    pub sent: u64,
    /// How often it had taken all there was.
    pub emptied: u64,
}

/// What is to be done when the timer has rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// A time is over.
    pub over: Option<Over>,
    /// Send a ping.
    pub ping: bool,
    /// Nothing has happened for a tick: give back memory that nobody needs.
    pub quiet: bool,
}

/// Which time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The peer has not said what it speaks.
    Handshake,
    /// A message that has begun does not go on.
    Frame,
    /// The peer does not take what it is sent.
    Write,
    /// There is nothing to do: take no more calls.
    Idle,
    /// The connection is old: take no more calls.
    Age,
    /// The calls on an old connection do not end.
    AgeGrace,
    /// Nobody is there any more.
    Dead,
    /// All was said a while ago.
    Linger,
}

/// The times of one connection. See the [module](self).
///
/// The driver calls [`stir`](Self::stir) or [`heard`](Self::heard) when something happens,
/// [`settle`](Self::settle) before it sleeps, which tells when the timer has to ring, and
/// [`on_timeout`](Self::on_timeout) when it has rung.
#[derive(Debug)]
pub struct Patience {
    /// When the timer has to ring.
    due: Option<Instant>,
    /// Something has happened since the last look.
    busy: bool,
    /// `due` is no more than a tick away.
    ticking: bool,
    /// The connection is old.
    aged: bool,
    /// Requests when `idle` was set, or when it was last not idle.
    requests: u64,
    handshake: Option<Instant>,
    idle: Option<Instant>,
    /// When it is old; then, when its calls have to be done.
    age: Option<Instant>,
    linger: Option<Instant>,
    /// Seldom there when the timer rings, and so a pointer.
    frame: Option<Box<Progress>>,
    write: Option<Box<Progress>>,
    keep_alive: Option<KeepAlive>,
}

/// Something that has begun, and has to go on.
#[derive(Debug)]
struct Progress {
    /// Which it is.
    unit: u64,
    /// Bytes at the beginning of this period.
    bytes: u64,
    /// The end of this period.
    until: Instant,
}

impl Patience {
    /// For a connection that begins `now`. Its handshake has to be over at `handshake`; it is old a part
    /// of `times.age` earlier or later, which `jitter` chooses: connections that began together shall not
    /// end together.
    pub fn new(now: Instant, handshake: Instant, jitter: u64, times: &Times) -> Self {
        let age = jittered(times.age, jitter).and_then(|age| now.checked_add(age));
        Patience {
            due: earliest([Some(handshake), age]),
            busy: false,
            ticking: false,
            aged: false,
            requests: 0,
            handshake: Some(handshake),
            idle: None,
            age,
            linger: None,
            frame: None,
            write: None,
            keep_alive: None,
        }
    }

    /// The peer has said what it speaks.
    pub fn greeted(&mut self) {
        self.handshake = None;
        self.busy = true;
    }

    /// The peer can be asked for signs of life.
    pub fn keep_alive(&mut self, now: Instant, times: &Times) {
        let keep_alive = KeepAlive::new(now, &times.keep_alive);
        self.due = earliest([self.due, keep_alive.next_timeout()]);
        self.keep_alive = Some(keep_alive);
    }

    /// Something has arrived.
    #[inline]
    pub fn heard(&mut self) {
        self.busy = true;
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.heard();
        }
    }

    /// Something happens on this side.
    #[inline]
    pub fn stir(&mut self) {
        self.busy = true;
    }

    /// All is said: [`Over::Linger`] comes after `time`, unless it comes earlier anyway.
    pub fn linger(&mut self, now: Instant, time: Duration) {
        self.linger = earliest([self.linger, now.checked_add(time)]);
        self.due = earliest([self.due, self.linger]);
    }

    /// Before the driver sleeps: when the timer has to ring. The clock is read only if something happens
    /// for the first time in a while.
    #[inline]
    pub fn settle(&mut self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        if self.busy && !self.ticking {
            self.ticking = true;
            self.due = earliest([self.due, Some(now() + TICK)]);
        }
        self.due
    }

    /// What is to be done `now`; nothing if it is too early.
    pub fn on_timeout(&mut self, now: Instant, times: &Times, state: &State) -> Look {
        if self.due.is_none_or(|due| now < due) {
            return Look::default();
        }
        let quiet = !std::mem::take(&mut self.busy);
        self.ticking = !quiet;
        let over = self.over(now, times, state);
        let sign = match &mut self.keep_alive {
            Some(keep_alive) => {
                let taken = self.write.as_ref().is_some_and(|write| state.sent > write.bytes);
                if !state.reading || taken {
                    keep_alive.heard();
                }
                keep_alive.on_timeout(now, &times.keep_alive)
            }
            None => None,
        };
        self.due = earliest([
            self.ticking.then(|| now + TICK),
            self.handshake,
            self.idle,
            self.age,
            self.linger,
            self.frame.as_ref().map(|frame| frame.until),
            self.write.as_ref().map(|write| write.until),
            self.keep_alive.as_ref().and_then(KeepAlive::next_timeout),
        ]);
        let dead = (sign == Some(Sign::Dead)).then_some(Over::Dead);
        Look { over: over.or(dead), ping: sign == Some(Sign::Ping), quiet }
    }

    fn over(&mut self, now: Instant, times: &Times, state: &State) -> Option<Over> {
        // In this order: what ends the connection at once comes first.
        let written = state.unread.then_some((state.emptied, state.sent));
        if stalls(&mut self.write, now, times.write, written) {
            return Some(Over::Write);
        }
        let begun = (state.reading && state.mid_frame).then_some((state.frames, state.received));
        if stalls(&mut self.frame, now, times.frame, begun) {
            return Some(Over::Frame);
        }
        if rings(&mut self.linger, now) {
            return Some(Over::Linger);
        }
        if rings(&mut self.handshake, now) {
            // Whoever has sent as much as this is no silent peer, only one whose first message is long.
            if !state.mid_frame || state.received < at_least(times.handshake) {
                return Some(Over::Handshake);
            }
        }
        if rings(&mut self.age, now) {
            if std::mem::replace(&mut self.aged, true) {
                return Some(Over::AgeGrace);
            }
            self.age = now.checked_add(times.age_grace);
            return Some(Over::Age);
        }
        self.is_idle_for_long(now, times, state).then_some(Over::Idle)
    }

    fn is_idle_for_long(&mut self, now: Instant, times: &Times, state: &State) -> bool {
        let busy = state.calls || state.unread || state.mid_frame || self.handshake.is_some();
        if state.ending || busy || state.requests != self.requests {
            self.requests = state.requests;
            self.idle = None;
        }
        if state.ending || busy {
            return false;
        }
        if self.idle.is_none() {
            self.idle = now.checked_add(times.idle);
        }
        rings(&mut self.idle, now)
    }
}

/// Whether a time is over; it is over once.
fn rings(time: &mut Option<Instant>, now: Instant) -> bool {
    time.take_if(|time| *time <= now).is_some()
}

/// Whether what has begun does not go on: `begun` is what it is, and how many bytes there are.
fn stalls(
    progress: &mut Option<Box<Progress>>,
    now: Instant,
    period: Duration,
    begun: Option<(u64, u64)>,
) -> bool {
    let Some((unit, bytes)) = begun else {
        *progress = None;
        return false;
    };
    if let Some(progress) = progress
        && progress.unit == unit
    {
        if now < progress.until {
            return false;
        }
        if bytes - progress.bytes < at_least(period) {
            return true;
        }
    }
    *progress = now.checked_add(period).map(|until| Box::new(Progress { unit, bytes, until }));
    false
}

/// Bytes that have to come within a time.
fn at_least(time: Duration) -> u64 {
    let bytes = u128::from(RATE) * time.as_millis() / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
}

/// A tenth more or less.
fn jittered(age: Duration, jitter: u64) -> Option<Duration> {
    if age == Duration::MAX {
        return None;
    }
    let part = (jitter % 2001) as f64 / 10_000.0;
    Duration::try_from_secs_f64(age.as_secs_f64() * (0.9 + part)).ok()
}

fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
mod tests;
