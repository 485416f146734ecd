//! Whether the peer of a silent connection is still there: pings, and a time for their answers.
//!
//! Any sign counts, not only the answer to a ping: whatever has arrived was sent by somebody. It is noted
//! without asking for the time, so that it costs a busy connection nothing, and looked at when a time
//! is over. So a peer is asked after one to two intervals of silence.
//!
//! | state | time over, and something was heard | time over, and nothing was |
//! |---|---|---|
//! | listening | listening | [`Ping`](Sign::Ping), → asked |
//! | asked | listening | [`Dead`](Sign::Dead) |

use std::time::{Duration, Instant};

/// When a peer is asked, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long nothing must be heard before the peer is asked; [`Duration::MAX`]: it never is.
    pub interval: Duration,
    /// How long it may then stay silent.
    pub timeout: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Send a ping.
    Ping,
    /// Give the connection up: nobody is there.
    Dead,
}

/// Notices that nobody is at the other end any more though the connection stands: its machine lost its
/// power, say, or its network.
///
/// ```
/// use std::time::{Duration, Instant};
/// use netrpc_core::keep_alive::{KeepAlive, Sign, Times};
///
/// let times = Times { interval: Duration::from_secs(60), timeout: Duration::from_secs(20) };
/// let mut now = Instant::now();
/// let mut peer = KeepAlive::new(now, &times);
///
/// now = peer.next_timeout().expect("it is on");
/// assert_eq!(peer.on_timeout(now, &times), Some(Sign::Ping));
/// peer.heard(); // the pong, or anything else
/// now = peer.next_timeout().expect("it is on");
/// assert_eq!(peer.on_timeout(now, &times), None);
/// ```
#[derive(Debug, Clone)]
pub struct KeepAlive {
    /// Whether anything was heard since the time that runs was set.
    heard: bool,
    asked: bool,
    /// When the time that runs is over; `None` if it never is.
    until: Option<Instant>,
}

impl KeepAlive {
    /// For a connection on which something was heard `now`.
    pub fn new(now: Instant, times: &Times) -> Self {
        KeepAlive { heard: false, asked: false, until: now.checked_add(times.interval) }
    }

    /// Something has arrived, whatever it is; or the peer has made room for what waited to be sent.
    #[inline]
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// When [`on_timeout`](Self::on_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Whether a ping has been sent that nothing was heard after.
    pub fn is_asking(&self) -> bool {
        self.asked && !self.heard
    }

    /// What is to be done `now`; nothing if it is too early.
    pub fn on_timeout(&mut self, now: Instant, times: &Times) -> Option<Sign> {
        if self.until.is_none_or(|until| now < until) {
            return None;
        }
        if std::mem::take(&mut self.heard) {
            self.asked = false;
            self.until = now.checked_add(times.interval);
            return None;
        }
        if self.asked {
            self.until = None;
            return Some(Sign::Dead);
        }
        self.asked = true;
        self.until = now.checked_add(times.timeout);
        Some(Sign::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::now;

    const TIMES: Times =
        Times { interval: Duration::from_secs(60), timeout: Duration::from_secs(20) };

    fn at(secs: u64) -> Instant {
        now() + Duration::from_secs(secs)
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up_once() {
        let mut peer = KeepAlive::new(at(0), &TIMES);
        assert_eq!(peer.next_timeout(), Some(at(60)));
        assert_eq!(peer.on_timeout(at(59), &TIMES), None, "too early");
        assert_eq!(peer.on_timeout(at(60), &TIMES), Some(Sign::Ping));
        assert!(peer.is_asking());
        assert_eq!(peer.next_timeout(), Some(at(80)));
        assert_eq!(peer.on_timeout(at(79), &TIMES), None, "too early");
        assert_eq!(peer.on_timeout(at(80), &TIMES), Some(Sign::Dead));
        assert_eq!(peer.next_timeout(), None);
        assert_eq!(peer.on_timeout(at(1000), &TIMES), None, "said once");
    }

    #[test]
    fn whatever_is_heard_after_a_ping_is_an_answer() {
        let mut peer = KeepAlive::new(at(0), &TIMES);
        for round in 0..5 {
            let begun = round * 80;
            assert_eq!(peer.on_timeout(at(begun + 60), &TIMES), Some(Sign::Ping), "{round}");
            peer.heard();
            assert!(!peer.is_asking());
            assert_eq!(peer.on_timeout(at(begun + 80), &TIMES), None, "{round}");
            assert_eq!(peer.next_timeout(), Some(at(begun + 80 + 60)), "{round}");
        }
    }

    #[test]
    fn a_busy_peer_is_never_asked() {
        let mut peer = KeepAlive::new(at(0), &TIMES);
        for minute in 1..10 {
            peer.heard();
            assert_eq!(peer.on_timeout(at(minute * 60), &TIMES), None);
        }
        assert_eq!(peer.on_timeout(at(600), &TIMES), Some(Sign::Ping), "an interval later");
    }

    #[test]
    fn a_driver_that_is_late_asks_once_and_waits_the_whole_time_for_the_answer() {
        let mut peer = KeepAlive::new(at(0), &TIMES);
        assert_eq!(peer.on_timeout(at(500), &TIMES), Some(Sign::Ping));
        assert_eq!(peer.next_timeout(), Some(at(520)));
    }

    #[test]
    fn without_end_it_is_off() {
        let never = Times { interval: Duration::MAX, timeout: Duration::ZERO };
        let mut peer = KeepAlive::new(at(0), &never);
        assert_eq!(peer.next_timeout(), None);
        assert_eq!(peer.on_timeout(at(1_000_000), &never), None);
        let patient = Times { interval: Duration::from_secs(1), timeout: Duration::MAX };
        let mut peer = KeepAlive::new(at(0), &patient);
        assert_eq!(peer.on_timeout(at(1), &patient), Some(Sign::Ping));
        assert_eq!(peer.next_timeout(), None, "it may stay silent for ever");
    }
}
