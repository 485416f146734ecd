//! What is kept of a session's calls: those above its floor, by number.

use std::collections::VecDeque;

/// Entries by sequence number, all above a floor that only rises.
#[derive(Debug)]
pub(super) struct Window<E> {
    floor: u64,
    /// The entry of `floor + 1` first; the last is not empty.
    slots: VecDeque<Option<E>>,
}

impl<E> Window<E> {
    pub(super) fn new(floor: u64) -> Self {
        Window { floor, slots: VecDeque::new() }
    }

    /// Calls up to this one are forgotten.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut E> {
        let index = self.index(seq)?;
        self.slots.get_mut(index)?.as_mut()
    }

    /// Puts an entry in. The caller has seen that `seq` lies above the floor, and not far above.
    pub(super) fn insert(&mut self, seq: u64, entry: E) {
        let index = self.index(seq).expect("above the floor");
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(entry);
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<E> {
        let index = self.index(seq)?;
        let entry = self.slots.get_mut(index)?.take();
        while let Some(None) = self.slots.back() {
            self.slots.pop_back();
        }
        entry
    }

    /// Raises the floor, and hands out what was below it.
    pub(super) fn raise(&mut self, floor: u64, mut forget: impl FnMut(u64, E)) {
        while self.floor < floor {
            match self.slots.pop_front() {
                Some(slot) => {
                    self.floor += 1;
                    if let Some(entry) = slot {
                        forget(self.floor, entry);
                    }
                }
                None => self.floor = floor,
            }
        }
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, E)> + '_ {
        let first = self.floor + 1;
        let slots = self.slots.drain(..).enumerate();
        slots.filter_map(move |(index, slot)| Some((first + index as u64, slot?)))
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    fn index(&self, seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.floor + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the naive model: a map.
        #[test]
        fn it_behaves_like_a_map(operations in prop::collection::vec((0u8..3, 0u64..30), 1..200)) {
            let mut window = Window::new(0);
            let mut model = BTreeMap::new();
            let mut floor = 0;
            for (operation, pick) in operations {
                match operation {
                    0 if pick > floor => {
                        window.insert(pick, pick);
                        model.insert(pick, pick);
                    }
                    1 => prop_assert_eq!(window.remove(pick), model.remove(&pick)),
                    2 => {
                        let mut gone = Vec::new();
                        window.raise(pick, |seq, entry| gone.push((seq, entry)));
                        floor = floor.max(pick);
                        let kept = model.split_off(&(floor + 1));
                        prop_assert!(gone.into_iter().eq(std::mem::replace(&mut model, kept)));
                    }
                    _ => {}
                }
                prop_assert_eq!(window.floor(), floor);
                prop_assert_eq!(window.len(), model.len());
                prop_assert!(!matches!(window.slots.back(), Some(None)));
                for seq in 0..30 {
                    prop_assert_eq!(window.get_mut(seq).copied(), model.get(&seq).copied());
                }
            }
        }
    }
}
