//! What is known of how long a method holds its thread.

use std::{fmt, time::Duration};

use crate::sync::atomic::{AtomicU32, Ordering};

/// A run that is over so soon holds up nobody who would notice.
const QUICK: Duration = Duration::from_micros(100);

/// Quick runs in a row that prove a method quick. One that is slow every tenth time passes by
/// chance once in a thousand attempts, and is found out again at its next slow run.
const PROOF: u32 = 64;

/// Set while a method is suspected of blocking.
const SUSPECT: u32 = 1 << 30;

/// Set for good: declared, or seen to need a thread of its own.
const BLOCKS: u32 = 1 << 31;

/// What is known of how long a method holds its thread: learned from its runs, forgiven after
/// [64 quick ones in a row](Self::ran).
///
/// Forgiven, because the evidence can be wrong: a thread that the system has taken off its processor
/// looks as if its handler blocked.
///
/// | | seen so far | may hold a thread that another can replace | … the only one |
/// |---|---|---|---|
/// | new | nothing | yes | no |
/// | proven | 64 quick runs in a row | yes | yes |
/// | suspect | a slow run, and no proof since | no | no |
/// | blocks | it says so, or cannot run on a runtime's thread | no | no |
pub struct Pace {
    /// Quick runs in a row, up to [`PROOF`], and the flags above.
    state: AtomicU32,
}

impl Pace {
    pub(super) fn new(blocks: bool) -> Self {
        Pace { state: AtomicU32::new(if blocks { BLOCKS } else { 0 }) }
    }

    /// Whether it may run on a thread that another can replace, should it block after all.
    #[inline]
    pub fn may_be_quick(&self) -> bool {
        self.state.load(Ordering::Relaxed) < SUSPECT
    }

    /// Whether it may run on a thread that nobody can replace.
    #[inline]
    pub fn is_proven(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PROOF
    }

    /// It was seen holding up others.
    pub fn stalled(&self) {
        self.update(|_| SUSPECT);
    }

    /// It cannot run on a runtime's own threads.
    pub fn blocks(&self) {
        self.update(|_| BLOCKS);
    }

    /// It ran for so long.
    pub fn ran(&self, duration: Duration) {
        if duration > QUICK {
            self.stalled();
        } else if self.state.load(Ordering::Relaxed) != PROOF {
            self.update(|state| match state & !SUSPECT {
                PROOF.. => PROOF,
                runs if runs + 1 == PROOF => PROOF,
                _ => state + 1,
            });
        }
    }

    fn update(&self, next: impl Fn(u32) -> u32) {
        let update = |state: u32| (state & BLOCKS == 0).then(|| next(state));
        // An error says that it blocks for good.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.write_str(match state {
            BLOCKS.. => "blocks",
            SUSPECT.. => "suspect",
            PROOF => "proven",
            _ => "new",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(1);

    /// May it run on a thread that can be replaced, and on one that cannot?
    fn known(pace: &Pace) -> (bool, bool) {
        (pace.may_be_quick(), pace.is_proven())
    }

    fn quick(pace: &Pace, runs: u32) {
        (0..runs).for_each(|_| pace.ran(Duration::ZERO));
    }

    #[test]
    fn sixty_four_quick_runs_in_a_row_are_a_proof() {
        let pace = Pace::new(false);
        assert_eq!(known(&pace), (true, false), "new");
        quick(&pace, 63);
        assert_eq!(known(&pace), (true, false));
        quick(&pace, 1);
        assert_eq!(known(&pace), (true, true), "proven");
        quick(&pace, 1000);
        assert_eq!(known(&pace), (true, true));
        pace.ran(SLOW);
        assert_eq!(known(&pace), (false, false), "suspect");
        quick(&pace, 63);
        pace.ran(SLOW);
        quick(&pace, 63);
        assert_eq!(known(&pace), (false, false), "not in a row");
        quick(&pace, 1);
        assert_eq!(known(&pace), (true, true), "forgiven");
        pace.stalled();
        assert_eq!(known(&pace), (false, false));
    }

    #[test]
    fn what_blocks_for_good_is_never_trusted() {
        let declared = Pace::new(true);
        let seen = Pace::new(false);
        seen.blocks();
        for pace in [declared, seen] {
            quick(&pace, 1000);
            pace.stalled();
            quick(&pace, 1000);
            assert_eq!(known(&pace), (false, false));
        }
    }
}
