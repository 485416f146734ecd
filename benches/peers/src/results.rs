//! The measurements of all rounds.

use std::collections::BTreeMap;

use crate::{measurement::Measurement, spread::Spread};

/// Which measurement of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The number of the case.
    pub case: usize,
    /// The number of the contender.
    pub who: usize,
}

/// The measurements of one round.
pub type Round = BTreeMap<Key, Measurement>;

/// One number of a measurement.
pub type Figure = fn(&Measurement) -> f64;

/// All rounds.
#[derive(Debug, Default)]
pub struct Results {
    pub rounds: Vec<Round>,
}

impl Results {
    /// A figure in itself; `None` if it was never measured.
    pub fn spread(&self, key: Key, figure: Figure) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| round.get(&key).map(figure)))
    }

    /// A figure as a multiple of what `base` has in the same round.
    pub fn ratio(&self, key: Key, base: Key, figure: Figure) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| {
            let own = figure(round.get(&key)?);
            let base = figure(round.get(&base)?);
            (base > 0.0).then_some(own / base)
        }))
    }
}
