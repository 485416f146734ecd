//! Which datagrams of a peer have come before.

/// How many numbers before the newest are told apart. Older ones count as seen: what is late by a thousand
/// datagrams is as good as lost.
const WINDOW: u32 = 1024;

/// The numbers of the datagrams that have come: each is new once (`[datagram.once]`).
///
/// The window of IPsec's replay protection (RFC 4303, section 3.4.3).
#[derive(Debug, Clone)]
pub struct Seen {
    /// The highest number that was seen.
    newest: u32,
    /// A bit for each of the last [`WINDOW`] numbers, the number itself modulo that.
    bits: [u64; (WINDOW / 64) as usize],
}

impl Seen {
    /// Nothing has come yet. The first number is 1.
    pub fn new() -> Self {
        Seen { newest: 0, bits: [0; (WINDOW / 64) as usize] }
    }

    /// Notes a number; `false` if it was noted before, or may have been.
    pub fn note(&mut self, number: u32) -> bool {
        if number > self.newest {
            // Those that are skipped have not come.
            let skipped = number - self.newest;
            if skipped >= WINDOW {
                self.bits.fill(0);
            } else {
                (1..=skipped).for_each(|ahead| self.set(self.newest.wrapping_add(ahead), false));
            }
            self.newest = number;
            self.set(number, true);
            return true;
        }
        if number == 0 || self.newest - number >= WINDOW {
            return false;
        }
        let (word, bit) = place(number);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    fn set(&mut self, number: u32, seen: bool) {
        let (word, bit) = place(number);
        if seen {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

fn place(number: u32) -> (usize, u64) {
    let at = number % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_new_once_in_any_order() {
        let mut seen = Seen::new();
        assert!(seen.note(3) && seen.note(1) && seen.note(2));
        assert!(!seen.note(1) && !seen.note(2) && !seen.note(3));
        assert!(!seen.note(0), "there is no such number");
        assert!(seen.note(2000) && !seen.note(976), "too long ago to be told apart");
        assert!(seen.note(977) && !seen.note(977));
        assert!(seen.note(u32::MAX) && !seen.note(u32::MAX) && !seen.note(2000));
    }

    proptest! {
        /// Against a set of all numbers.
        #[test]
        fn it_is_the_set_of_numbers_but_for_those_long_ago(
            steps in prop::collection::vec((0u32..40, prop::bool::weighted(0.02)), 1..800),
        ) {
            let (mut seen, mut all) = (Seen::new(), HashSet::new());
            let mut base = 1u32;
            let mut newest = 0;
            for (offset, jump) in steps {
                if jump {
                    base += 700;
                }
                base += offset % 3;
                let number = base.saturating_sub(offset).max(1);
                let long_ago = number <= newest && newest - number >= WINDOW;
                newest = newest.max(number);
                let new = all.insert(number) && !long_ago;
                prop_assert_eq!(seen.note(number), new, "{}", number);
            }
        }
    }
}
