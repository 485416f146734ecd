//! Where domains, epochs and secrets come from.

use netrpc_core::{
    backoff::Jitter,
    semantics::{Domain, Epoch, Secret},
};

use crate::sync::Mutex;

/// The operating system's generator, or numbers that follow from a seed.
#[derive(Debug)]
pub(crate) struct Random {
    seeded: Option<Mutex<Jitter>>,
}

impl Random {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Random { seeded: seed.map(|seed| Mutex::new(Jitter::new(seed))) }
    }

    pub(crate) fn domain(&self) -> Domain {
        Domain(u128::from_le_bytes(self.bytes()))
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.domain().0 as u64)
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.bytes())
    }

    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        match &self.seeded {
            Some(seeded) => {
                let mut seeded = seeded.lock();
                for half in bytes.chunks_exact_mut(8) {
                    half.copy_from_slice(&seeded.next().to_le_bytes());
                }
            }
            // A system without random numbers is one on which nothing can be kept secret.
            None => getrandom::fill(&mut bytes).expect("the system has random numbers"),
        }
        bytes
    }
}
