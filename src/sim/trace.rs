//! What happened, in order: as one number, and as text if that is asked for.

use std::{fmt, time::Duration};

/// What happened so far.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    /// `None` unless it is asked for.
    lines: Option<Vec<String>>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { hash: 0xCBF2_9CE4_8422_2325, lines: None }
    }
}

impl Trace {
    pub(super) fn record(&mut self) {
        self.lines.get_or_insert_default();
    }

    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Notes that something happened. What it was is told by the text only: `bytes` tells it apart.
    pub(super) fn note(&mut self, now: u64, bytes: &[u8], text: fmt::Arguments<'_>) {
        self.mix(now);
        self.mix(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        rest.iter().for_each(|byte| self.mix(u64::from(*byte)));
        if let Some(lines) = &mut self.lines {
            let at = Duration::from_millis(now).as_secs_f64();
            lines.push(format!("{at:9.3}  {text}"));
        }
    }

    /// FNV-1a's step, on words, with a shift so that the upper bits reach the lower ones.
    fn mix(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        self.hash = mixed ^ (mixed >> 29);
    }
}
