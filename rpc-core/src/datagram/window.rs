//! How much may be under way, so that the way is not flooded.

use std::time::Instant;

/// Datagrams that may be under way at first (RFC 6928), after a silence, and at most: a receiver's socket holds
/// some hundred small ones, and what comes above is thrown away there.
const FIRST: usize = 10;
const LEAST: usize = 1;
const MOST: usize = 64;

/// A congestion window in bytes: the slow start and congestion avoidance of RFC 5681, as RFC 8085 (section 3.1)
/// asks of those who send datagrams.
///
/// What was not answered in time counts as lost, and halves the window once for all that was sent before;
/// where nothing at all has come since, it shrinks to one datagram.
#[derive(Debug, Clone)]
pub struct Window {
    /// The length of a datagram.
    unit: usize,
    size: usize,
    /// Below this it grows by what is answered, above by a datagram each time it was all answered.
    threshold: usize,
    under_way: usize,
    /// What was sent before this has shrunk the window already.
    shrunk: Option<Instant>,
}

impl Window {
    /// For datagrams of so many bytes.
    pub fn new(unit: usize) -> Self {
        Window { unit, size: FIRST * unit, threshold: MOST * unit, under_way: 0, shrunk: None }
    }

    /// Whether so many bytes more may be under way. There is always room for one that is alone.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.under_way == 0 || self.under_way + bytes <= self.size
    }

    /// Bytes that may be under way.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes that are.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.under_way += bytes;
    }

    /// They have arrived: that is known.
    pub fn arrived(&mut self, bytes: usize) {
        // A window that is not used says nothing about what the way could bear.
        let used = self.under_way * 2 >= self.size;
        self.left(bytes);
        if !used {
            return;
        }
        let more = match self.size < self.threshold {
            true => bytes,
            false => (self.unit * bytes / self.size).max(1),
        };
        self.size = (self.size + more).min(MOST * self.unit);
    }

    /// They are of no interest any more, whatever has become of them.
    pub fn left(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.under_way, "it was sent");
        self.under_way = self.under_way.saturating_sub(bytes);
    }

    /// They were sent then, and seem to be lost; `silent` if nothing at all has come since.
    pub fn lost(&mut self, bytes: usize, sent: Instant, now: Instant, silent: bool) {
        let before = self.under_way;
        self.left(bytes);
        if self.shrunk.is_some_and(|shrunk| sent <= shrunk) {
            return;
        }
        self.shrunk = Some(now);
        self.threshold = (before / 2).max(2 * self.unit);
        self.size = if silent { LEAST * self.unit } else { self.threshold.min(self.size) };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::now;

    const UNIT: usize = 1000;

    fn after(begun: Instant, ms: u64) -> Instant {
        begun + Duration::from_millis(ms)
    }

    #[test]
    fn it_grows_by_what_is_answered_at_first_and_by_a_datagram_a_round_after_a_loss() {
        let mut window = Window::new(UNIT);
        assert_eq!(window.size(), 10 * UNIT);
        let round = |window: &mut Window| {
            let sent = window.size() / 100;
            (0..sent).for_each(|_| window.sent(100));
            assert!(!window.has_room(200));
            (0..sent).for_each(|_| window.arrived(100));
            window.size()
        };
        // What is answered when less than half is under way does not count.
        let grown = round(&mut window);
        assert!((13 * UNIT..=15 * UNIT).contains(&grown), "{grown}");
        let now = now();
        window.sent(grown);
        window.lost(grown, now, after(now, 1), false);
        assert_eq!(window.size(), grown / 2);
        let slowly = round(&mut window);
        assert!((grown / 2 + UNIT / 4..=grown / 2 + UNIT / 2).contains(&slowly), "{slowly}");
        (0..1000).for_each(|_| {
            round(&mut window);
        });
        assert_eq!(window.size(), MOST * UNIT, "and no further");
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut window = Window::new(UNIT);
        for _ in 0..1000 {
            window.sent(100);
            window.arrived(100);
        }
        assert_eq!(window.size(), 10 * UNIT);
    }

    #[test]
    fn what_is_lost_together_shrinks_it_once() {
        let begun = now();
        let mut window = Window::new(UNIT);
        (0..10).for_each(|_| window.sent(UNIT));
        assert!(!window.has_room(1));
        window.lost(UNIT, begun, after(begun, 300), false);
        window.lost(UNIT, begun, after(begun, 301), false);
        window.lost(UNIT, after(begun, 200), after(begun, 302), true);
        assert_eq!((window.size(), window.under_way()), (5 * UNIT, 7 * UNIT));
        window.sent(UNIT);
        window.lost(UNIT, after(begun, 301), after(begun, 900), false);
        assert_eq!(window.size(), 4 * UNIT, "that was sent later");
    }

    #[test]
    fn a_silence_leaves_one_datagram_and_there_is_always_room_for_that() {
        let begun = now();
        let mut window = Window::new(UNIT);
        window.sent(UNIT);
        window.lost(UNIT, begun, after(begun, 1000), true);
        assert_eq!((window.size(), window.under_way()), (UNIT, 0));
        assert!(window.has_room(100 * UNIT), "whatever its length");
        window.sent(UNIT / 2);
        assert!(window.has_room(UNIT / 2) && !window.has_room(UNIT / 2 + 1));
        window.left(UNIT / 2);
        assert_eq!(window.under_way(), 0);
    }
}
