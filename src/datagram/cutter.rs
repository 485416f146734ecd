//! Cuts what an engine writes into frames.

use std::io;

use netrpc_core::wire::{HEADER_LEN, Header, PREFACE_LEN, Preface};

/// How much of a frame is kept at most. Of one that does not fit into a datagram only the beginning is looked
/// at: its head, and the message of a fault.
const KEPT: usize = HEADER_LEN + 2 * u16::MAX as usize;

/// What an engine writes, until it is a frame. Its preface has no place in a datagram and goes nowhere.
#[derive(Debug)]
pub(super) struct Cutter {
    /// Bytes of the preface that have come.
    preface: usize,
    frame: Vec<u8>,
    /// Bytes of the frame that have come and were not kept.
    skipped: usize,
}

impl Cutter {
    pub(super) fn new() -> Self {
        Cutter { preface: 0, frame: Vec::new(), skipped: 0 }
    }

    /// Takes bytes until a frame is whole, and says how many: none if one is.
    ///
    /// # Errors
    /// If they are not of our own protocol.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        let preface = Preface::OURS.to_bytes();
        while self.preface < PREFACE_LEN && taken < bytes.len() {
            if bytes[taken] != preface[self.preface] {
                let text = "only netrpc's own protocol, in the clear, is spoken over datagrams";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            self.preface += 1;
            taken += 1;
        }
        loop {
            let missing = self.missing().min(bytes.len() - taken);
            if missing == 0 {
                return Ok(taken);
            }
            let kept = missing.min(KEPT.saturating_sub(self.frame.len()));
            self.frame.extend_from_slice(&bytes[taken..taken + kept]);
            self.skipped += missing - kept;
            taken += missing;
        }
    }

    /// The frame that is whole, if one is; of a very long one, the beginning.
    pub(super) fn frame(&self) -> Option<&[u8]> {
        (self.missing() == 0).then_some(&self.frame)
    }

    /// Puts another frame in the place of the one that is whole.
    pub(super) fn replace(&mut self, frame: Vec<u8>) {
        self.frame = frame;
        self.skipped = 0;
    }

    /// That frame is done with.
    pub(super) fn next(&mut self) {
        self.frame.clear();
        self.skipped = 0;
        if self.frame.capacity() > 8 * 1024 {
            self.frame = Vec::new();
        }
    }

    /// Bytes until the frame, or its header, is whole.
    fn missing(&self) -> usize {
        let Some(header) = self.frame.first_chunk().map(Header::from_bytes) else {
            return HEADER_LEN - self.frame.len();
        };
        HEADER_LEN + header.length as usize - self.frame.len() - self.skipped
    }
}

#[cfg(test)]
mod tests {
    use netrpc_core::wire;

    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_pieces_end() {
        let mut stream = Preface::OURS.to_bytes().to_vec();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for seq in 0..20u64 {
            let mut frame = Vec::new();
            let start = wire::begin(&mut frame);
            frame.resize(frame.len() + seq as usize * 7, 7);
            wire::finish(&mut frame, start, wire::Kind::Reply, 0, seq, 1 << 20).expect("it fits");
            stream.extend_from_slice(&frame);
            frames.push(frame);
        }
        for piece in 1..60 {
            let mut cutter = Cutter::new();
            let mut cut = Vec::new();
            for mut piece in stream.chunks(piece) {
                loop {
                    let taken = cutter.feed(piece).expect("it is ours");
                    piece = &piece[taken..];
                    let Some(frame) = cutter.frame() else { break };
                    cut.push(frame.to_vec());
                    cutter.next();
                }
                assert!(piece.is_empty());
            }
            assert!(cut == frames && cutter.frame.is_empty(), "in pieces of {piece}");
        }
    }

    #[test]
    fn of_a_very_long_frame_the_beginning_is_kept() {
        let mut cutter = Cutter::new();
        let mut frame = Vec::new();
        let start = wire::begin(&mut frame);
        frame.resize(3 << 20, 7);
        wire::finish(&mut frame, start, wire::Kind::Reply, 0, 9, 4 << 20).expect("it fits");
        cutter.feed(&Preface::OURS.to_bytes()).expect("it is ours");
        for piece in frame.chunks(1 << 16) {
            assert!(cutter.frame().is_none());
            assert_eq!(cutter.feed(piece).expect("it is ours"), piece.len());
        }
        let kept = cutter.frame().expect("it is whole");
        assert!(kept.len() == KEPT && frame.starts_with(kept));
        cutter.next();
        assert!(cutter.frame().is_none() && cutter.frame.is_empty());
    }

    #[test]
    fn what_is_not_our_protocol_is_an_error() {
        for first in [&b"\x16\x03\x01"[..], b"\xC1NRX", b"GET "] {
            let error = Cutter::new().feed(first).expect_err("it is another");
            assert!(error.to_string().contains("in the clear"), "{error}");
        }
    }
}
