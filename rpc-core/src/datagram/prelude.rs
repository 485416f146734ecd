//! The 32 bytes that each datagram begins with.

use thiserror::Error;

use crate::wire;

/// Bytes in a prelude.
pub const PRELUDE_LEN: usize = 32;

/// How long a hello is at least, so that no answer to one is longer than it.
pub const HELLO_LEN: usize = 256;

const MAGIC: [u8; 4] = [0xC1, b'N', b'R', b'D'];
const VERSION: u8 = 1;

/// Where the checksum lies.
const CRC: std::ops::Range<usize> = 8..12;

/// What a datagram is for (`[datagram.sorts]`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Sort {
    /// A client asks for a pass.
    Hello = 1,
    /// The server gives it one.
    Welcome = 2,
    /// Frames, for one who has a pass.
    Frames = 3,
    /// The server has these calls, and has not answered them yet.
    Receipt = 4,
    /// The conversation is over: whoever sends this knows nothing of it, or no more.
    Over = 5,
    /// The server gives no pass, and says why.
    Refusal = 6,
}

impl Sort {
    /// All of them.
    pub const ALL: [Sort; 6] =
        [Sort::Hello, Sort::Welcome, Sort::Frames, Sort::Receipt, Sort::Over, Sort::Refusal];

    const fn from_u8(number: u8) -> Option<Sort> {
        Some(match number {
            1 => Sort::Hello,
            2 => Sort::Welcome,
            3 => Sort::Frames,
            4 => Sort::Receipt,
            5 => Sort::Over,
            6 => Sort::Refusal,
            _ => return None,
        })
    }
}

/// What each datagram begins with, little-endian (`[datagram.prelude]`).
///
/// ```text
///  0             4         5      6       8        12       16             24      32
///  ┌─────────────┬─────────┬──────┬───────┬────────┬────────┬──────────────┬───────┐
///  │ C1 4E 52 44 │ version │ sort │ flags │ crc32c │ number │ conversation │ pass  │ …
///  └─────────────┴─────────┴──────┴───────┴────────┴────────┴──────────────┴───────┘
/// ```
///
/// ```
/// use netrpc_core::datagram::{Prelude, Sort};
///
/// let prelude = Prelude { sort: Sort::Frames, number: 7, conversation: 1, pass: 2 };
/// let mut datagram = Prelude::room();
/// datagram.extend_from_slice(b"frames");
/// prelude.seal(&mut datagram);
/// assert_eq!(Prelude::parse(&datagram), Ok((prelude, &b"frames"[..])));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prelude {
    /// What the datagram is for.
    pub sort: Sort,
    /// Which of its sender's frames-bearing datagrams of the conversation this is; of a hello, which
    /// attempt, and of a welcome, which attempt's answer.
    pub number: u32,
    /// Chosen by the client, at random.
    pub conversation: u64,
    /// Given by the server; 0 before it has.
    pub pass: u64,
}

/// Bytes that are no datagram of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Stray {
    /// It is shorter than a prelude, begins with something else, or has changed on its way.
    #[error("no datagram of netrpc, or one that has changed on its way")]
    Broken,
    /// It is of another version. The rest of its prelude is as in this one.
    #[error("a datagram of version {version}, where {VERSION} is spoken")]
    Version {
        /// Its version.
        version: u8,
        /// A hello's conversation.
        conversation: Option<u64>,
    },
    /// It is of a sort that this version does not know.
    #[error("a datagram of the unknown sort {0}")]
    Sort(u8),
}

impl Prelude {
    /// The room for a prelude at the start of a datagram, to be [sealed](Self::seal) when it is whole.
    pub fn room() -> Vec<u8> {
        vec![0; PRELUDE_LEN]
    }

    /// Reads a datagram's prelude, and gives what follows it.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(datagram: &[u8]) -> Result<(Prelude, &[u8]), Stray> {
        let (prelude, body) = datagram.split_first_chunk::<PRELUDE_LEN>().ok_or(Stray::Broken)?;
        let [m0, m1, m2, m3, version, sort, _, _, c0, c1, c2, c3, n0, n1, n2, n3, rest @ ..] =
            *prelude;
        let crc = u32::from_le_bytes([c0, c1, c2, c3]);
        if [m0, m1, m2, m3] != MAGIC || crc != checksum(datagram) {
            return Err(Stray::Broken);
        }
        let (conversation, pass) = rest.split_at(8);
        let [conversation, pass] = [conversation, pass]
            .map(|half| u64::from_le_bytes(half.try_into().expect("it has 8 bytes")));
        let known = Sort::from_u8(sort);
        if version != VERSION {
            let hello = known == Some(Sort::Hello) && datagram.len() >= HELLO_LEN;
            return Err(Stray::Version { version, conversation: hello.then_some(conversation) });
        }
        let sort = known.ok_or(Stray::Sort(sort))?;
        let number = u32::from_le_bytes([n0, n1, n2, n3]);
        Ok((Prelude { sort, number, conversation, pass }, body))
    }

    /// Writes the prelude over the room that the datagram begins with.
    ///
    /// # Panics
    /// If there is no room: a bug of the caller.
    pub fn seal(&self, datagram: &mut [u8]) {
        datagram[..4].copy_from_slice(&MAGIC);
        datagram[4..8].copy_from_slice(&[VERSION, self.sort as u8, 0, 0]);
        datagram[12..16].copy_from_slice(&self.number.to_le_bytes());
        datagram[16..24].copy_from_slice(&self.conversation.to_le_bytes());
        datagram[24..32].copy_from_slice(&self.pass.to_le_bytes());
        let crc = checksum(datagram);
        datagram[CRC].copy_from_slice(&crc.to_le_bytes());
    }

    /// A whole datagram of this prelude and nothing else; a hello is filled up to its length.
    pub fn alone(&self) -> Vec<u8> {
        let mut datagram = Prelude::room();
        if self.sort == Sort::Hello {
            datagram.resize(HELLO_LEN, 0);
        }
        self.seal(&mut datagram);
        datagram
    }
}

/// The checksum of all of a datagram but the checksum itself.
fn checksum(datagram: &[u8]) -> u32 {
    wire::append_checksum(wire::checksum_of(&datagram[..CRC.start]), &datagram[CRC.end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_drawing_says() {
        // `[datagram.prelude]`
        let prelude = Prelude {
            sort: Sort::Receipt,
            number: 0x100F_0E0D,
            conversation: 0x1817_1615_1413_1211,
            pass: 0x201F_1E1D_1C1B_1A19,
        };
        let datagram = prelude.alone();
        assert_eq!(datagram[..8], [0xC1, 0x4E, 0x52, 0x44, 1, 4, 0, 0]);
        assert!(datagram[12..].iter().copied().eq(13..=32));
        let crc = crc32c::crc32c(&[&datagram[..8], &datagram[12..]].concat());
        assert_eq!(datagram[8..12], crc.to_le_bytes());
        assert_eq!(Prelude::parse(&datagram), Ok((prelude, &[][..])));
    }

    #[test]
    fn every_sort_keeps_its_number() {
        // `[datagram.sorts]`
        for (sort, number) in Sort::ALL.into_iter().zip(1..) {
            assert_eq!((sort as u8, Sort::from_u8(number)), (number, Some(sort)));
        }
        assert!([0, 7, 255].iter().all(|number| Sort::from_u8(*number).is_none()));
    }

    #[test]
    fn a_datagram_that_has_changed_in_any_bit_is_broken() {
        // `[datagram.checksum]`
        let mut datagram = Prelude::room();
        datagram.extend_from_slice(b"and a body");
        Prelude { sort: Sort::Frames, number: 1, conversation: 2, pass: 3 }.seal(&mut datagram);
        assert!(Prelude::parse(&datagram).is_ok());
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Prelude::parse(&changed), Err(Stray::Broken), "bit {bit}");
        }
        for length in 0..datagram.len() {
            assert_eq!(Prelude::parse(&datagram[..length]), Err(Stray::Broken));
        }
    }

    #[test]
    fn another_version_is_known_by_its_prelude() {
        // `[datagram.version]`
        let reseal = |mut datagram: Vec<u8>, at: usize, byte: u8| {
            datagram[at] = byte;
            let crc = checksum(&datagram);
            datagram[CRC].copy_from_slice(&crc.to_le_bytes());
            datagram
        };
        let hello = Prelude { sort: Sort::Hello, number: 0, conversation: 9, pass: 0 }.alone();
        let newer = reseal(hello.clone(), 4, 2);
        assert_eq!(
            Prelude::parse(&newer),
            Err(Stray::Version { version: 2, conversation: Some(9) })
        );
        let frames = Prelude { sort: Sort::Frames, number: 0, conversation: 9, pass: 1 }.alone();
        assert_eq!(
            Prelude::parse(&reseal(frames, 4, 7)),
            Err(Stray::Version { version: 7, conversation: None })
        );
        assert_eq!(Prelude::parse(&reseal(hello, 5, 77)), Err(Stray::Sort(77)));
    }
}
