//! A connection's bytes, taken apart into the frames of netrpc's own protocol.

use netrpc_core::wire::{HEADER_LEN, Header, Kind, PREFACE_LEN};

/// The first byte of a peer that speaks netrpc's own protocol (`[preface.magic]`).
const NATIVE: u8 = 0xC1;

/// Takes one direction of a connection apart.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// What has come of a frame that is not whole.
    partial: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Preface,
    Frames,
    /// Another protocol.
    Foreign,
}

/// A part of a connection that is sent as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Whether it is a request or an answer, and can take its own way.
    pub(super) is_free: bool,
}

impl Framing {
    /// How many requests have begun with these bytes.
    pub(super) fn count(&mut self, bytes: &[u8]) -> u64 {
        self.cut(bytes, |_, kind| u64::from(kind == Some(Kind::Request))).into_iter().sum()
    }

    /// The whole frames that there are with these bytes.
    pub(super) fn pieces(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.cut(bytes, |bytes, kind| Piece {
            bytes: bytes.to_vec(),
            is_free: matches!(kind, Some(Kind::Request | Kind::Reply | Kind::Fault)),
        })
    }

    fn cut<T>(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8], Option<Kind>) -> T) -> Vec<T> {
        self.partial.extend_from_slice(bytes);
        let (mut at, mut found) = (0, Vec::new());
        loop {
            let rest = &self.partial[at..];
            let (length, kind) = match self.stage {
                Stage::Foreign => (rest.len(), None),
                Stage::Preface => match rest.first() {
                    Some(&NATIVE) => (PREFACE_LEN, None),
                    Some(_) => {
                        self.stage = Stage::Foreign;
                        continue;
                    }
                    None => break,
                },
                Stage::Frames => {
                    let Some(header) = rest.first_chunk::<HEADER_LEN>() else { break };
                    let header = Header::from_bytes(header);
                    (HEADER_LEN + header.length as usize, Kind::from_u8(header.kind))
                }
            };
            if length == 0 || rest.len() < length {
                break;
            }
            found.push(each(&rest[..length], kind));
            at += length;
            if self.stage == Stage::Preface {
                self.stage = Stage::Frames;
            }
        }
        self.partial.drain(..at);
        found
    }
}

#[cfg(test)]
mod tests {
    use netrpc_core::wire::{self, Preface};

    use super::*;

    #[test]
    fn a_stream_is_taken_apart_at_its_frames_however_it_comes() {
        let mut stream = Preface::OURS.to_bytes().to_vec();
        wire::write_ping(&mut stream, 7);
        wire::write_pong(&mut stream, 8);
        for step in 1..stream.len() {
            let mut framing = Framing::default();
            let pieces: Vec<_> = stream.chunks(step).flat_map(|it| framing.pieces(it)).collect();
            let lengths: Vec<_> = pieces.iter().map(|piece| piece.bytes.len()).collect();
            assert_eq!(lengths, [PREFACE_LEN, HEADER_LEN, HEADER_LEN], "in steps of {step}");
            assert!(pieces.iter().all(|piece| !piece.is_free));
            assert!(pieces.into_iter().flat_map(|piece| piece.bytes).eq(stream.iter().copied()));
        }
    }

    #[test]
    fn what_speaks_otherwise_goes_by_as_it_is() {
        let mut framing = Framing::default();
        let pieces = framing.pieces(b"{\"method\"");
        assert_eq!(pieces, [Piece { bytes: b"{\"method\"".to_vec(), is_free: false }]);
        assert_eq!(framing.pieces(b":"), [Piece { bytes: b":".to_vec(), is_free: false }]);
        assert_eq!(framing.count(b"\xC1"), 0);
    }
}
