//! Frames gathered into a datagram.

use super::{PRELUDE_LEN, Prelude};

/// A datagram that is being filled with frames.
#[derive(Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    limit: usize,
}

impl Packet {
    /// Nothing is in it; it holds `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Packet { bytes: Prelude::room(), limit }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == PRELUDE_LEN
    }

    /// Whether a frame of so many bytes fits behind those that are in it.
    pub fn fits(&self, frame: usize) -> bool {
        self.bytes.len() + frame <= self.limit
    }

    /// Puts a frame behind the others.
    pub fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
    }

    /// The datagram, with this prelude.
    pub fn seal(&mut self, prelude: &Prelude) -> &[u8] {
        prelude.seal(&mut self.bytes);
        &self.bytes
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.bytes.truncate(PRELUDE_LEN);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Sort, frames},
        *,
    };
    use crate::wire;

    #[test]
    fn it_holds_as_many_frames_as_fit() {
        let mut frame = Vec::new();
        wire::write_ping(&mut frame, 1);
        let mut packet = Packet::new(PRELUDE_LEN + 2 * frame.len());
        assert!(packet.is_empty());
        packet.push(&frame);
        assert!(packet.fits(frame.len()) && !packet.is_empty());
        packet.push(&frame);
        assert!(!packet.fits(1));
        let prelude = Prelude { sort: Sort::Frames, number: 1, conversation: 2, pass: 3 };
        let (parsed, body) = Prelude::parse(packet.seal(&prelude)).expect("it was sealed");
        assert_eq!((parsed, frames(body).count()), (prelude, 2));
        packet.clear();
        assert!(packet.is_empty() && packet.fits(2 * frame.len()));
    }
}
