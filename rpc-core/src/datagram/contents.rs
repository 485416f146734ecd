//! What follows a datagram's prelude.

use std::time::Duration;

use crate::wire::{self, HEADER_LEN, Header, Kind};

/// A whole frame in a datagram.
#[derive(Debug, Clone, Copy)]
pub struct Framed<'a> {
    /// Its header.
    pub header: Header,
    /// What it is, if this version knows it.
    pub kind: Option<Kind>,
    /// All of it, its header included.
    pub bytes: &'a [u8],
}

impl<'a> Framed<'a> {
    /// The frame that `bytes` begin with; `None` if it is not whole, or not what was sent.
    pub fn first(bytes: &'a [u8]) -> Option<Framed<'a>> {
        let header = Header::from_bytes(bytes.first_chunk()?);
        let length = HEADER_LEN.checked_add(header.length as usize)?;
        let bytes = bytes.get(..length)?;
        let sound = u32::from(header.head_len) <= header.length
            && wire::checksum_of(&bytes[4..]) == header.crc;
        sound.then_some(Framed { header, kind: Kind::from_u8(header.kind), bytes })
    }

    /// Its head.
    pub fn head(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..HEADER_LEN + usize::from(self.header.head_len)]
    }
}

/// The frames of a datagram: see [`frames`].
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

/// The frames that follow the prelude. One that is not whole, or not what was sent, is the end
/// (`[datagram.frames]`).
pub fn frames(body: &[u8]) -> Frames<'_> {
    Frames { rest: body }
}

impl<'a> Frames<'a> {
    /// Whether the last frame that was given was the datagram's last: nothing behind it was left out.
    pub fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Framed<'a>;

    fn next(&mut self) -> Option<Framed<'a>> {
        let framed = Framed::first(self.rest)?;
        self.rest = &self.rest[framed.bytes.len()..];
        Some(framed)
    }
}

/// Bytes of an entry: the call, and for how long it has been there, in microseconds.
const ENTRY: usize = 12;

/// The entries of a receipt: which calls the server has, and for how long it had each when it said so
/// (`[datagram.receipt]`).
#[derive(Debug, Clone)]
pub struct Receipts<'a> {
    rest: &'a [u8],
}

impl<'a> Receipts<'a> {
    /// The entries that follow the prelude.
    pub fn new(body: &'a [u8]) -> Self {
        Receipts { rest: body }
    }
}

impl Iterator for Receipts<'_> {
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<(u64, Duration)> {
        let (entry, rest) = self.rest.split_first_chunk::<ENTRY>()?;
        self.rest = rest;
        let [s0, s1, s2, s3, s4, s5, s6, s7, age @ ..] = *entry;
        let seq = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        Some((seq, Duration::from_micros(u32::from_le_bytes(age).into())))
    }
}

/// Appends an entry to a receipt, unless that would make the datagram longer than `limit`.
pub fn write_receipt(datagram: &mut Vec<u8>, seq: u64, age: Duration, limit: usize) -> bool {
    if datagram.len() + ENTRY > limit {
        return false;
    }
    let age = u32::try_from(age.as_micros()).unwrap_or(u32::MAX);
    datagram.extend_from_slice(&seq.to_le_bytes());
    datagram.extend_from_slice(&age.to_le_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<u8> {
        let mut out = Vec::new();
        wire::write_ping(&mut out, 1);
        wire::write_fault(&mut out, 2, wire::FaultCode::Method, "no", b"\x01", 1000);
        wire::write_cancel(&mut out, 3);
        out
    }

    #[test]
    fn frames_follow_each_other_until_the_datagram_ends() {
        // `[datagram.frames]`
        let bytes = three();
        let mut all = frames(&bytes);
        let kinds: Vec<_> = all.by_ref().map(|it| (it.kind, it.header.seq)).collect();
        let expected = [Kind::Ping, Kind::Fault, Kind::Cancel].map(Some).into_iter().zip(1..);
        assert!(kinds.into_iter().eq(expected) && all.is_whole());
    }

    #[test]
    fn a_frame_that_is_not_whole_or_has_changed_is_the_end() {
        // `[datagram.frames]`
        let bytes = three();
        let second = frames(&bytes).nth(1).expect("there are three").bytes.len();
        for cut in HEADER_LEN..HEADER_LEN + second {
            let mut some = frames(&bytes[..cut]);
            assert_eq!(some.by_ref().count(), 1);
            assert_eq!(some.is_whole(), cut == HEADER_LEN);
        }
        for at in HEADER_LEN..HEADER_LEN + second {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert_eq!(frames(&changed).count(), 1, "byte {at}");
        }
    }

    #[test]
    fn a_receipt_has_an_entry_for_each_call() {
        // `[datagram.receipt]`
        let mut body = Vec::new();
        assert!(write_receipt(&mut body, 7, Duration::from_micros(20_001), 24));
        assert!(write_receipt(&mut body, u64::MAX, Duration::MAX, 24));
        assert!(!write_receipt(&mut body, 9, Duration::ZERO, 24), "there is no room");
        let longest = Duration::from_micros(u32::MAX.into());
        let entries: Vec<_> = Receipts::new(&body).collect();
        assert_eq!(entries, [(7, Duration::from_micros(20_001)), (u64::MAX, longest)]);
        assert_eq!(Receipts::new(&body[..23]).count(), 1, "half an entry is none");
    }
}
