//! The 20 bytes before every payload.

/// Bytes in a frame's header.
pub const HEADER_LEN: usize = 20;

/// Bytes in the checksum that a header begins with; it covers everything after it in the frame.
pub(super) const CHECKSUM_LEN: usize = 4;

/// A frame's header, as it is on the wire, little-endian (`[frame.header]`).
///
/// ```text
///  0        4        8    9     10    12              20
///  ┌────────┬────────┬────┬─────┬─────┬───────────────┐
///  │ crc32c │ length │kind│flags│head │      seq      │ payload: head, then body
///  └────────┴────────┴────┴─────┴─────┴───────────────┘
/// ```
///
/// It is whatever the bytes said: [`FrameDecoder`](super::FrameDecoder) is what checks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// CRC-32C of the 16 bytes after it and the payload.
    pub crc: u32,
    /// Bytes of payload that follow the header.
    pub length: u32,
    /// The number of a [`Kind`](super::Kind), or one that this version does not know.
    pub kind: u8,
    /// 0 when sent, ignored on receipt (`[frame.flags]`).
    pub flags: u8,
    /// How many bytes of the payload, from its start, are the head; at most `length`.
    pub head_len: u16,
    /// The call, or a ping's token, or 0.
    pub seq: u64,
}

impl Header {
    /// Reads a header.
    pub const fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Header {
        let [c0, c1, c2, c3, l0, l1, l2, l3, kind, flags, h0, h1, rest @ ..] = *bytes;
        Header {
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            flags,
            head_len: u16::from_le_bytes([h0, h1]),
            seq: u64::from_le_bytes(rest),
        }
    }

    /// What the checksum covers of it, as words that are written little-endian.
    #[inline]
    pub(super) const fn checked(self) -> [u64; 2] {
        let about = self.kind as u64 | (self.flags as u64) << 8 | (self.head_len as u64) << 16;
        [self.length as u64 | about << 32, self.seq]
    }

    /// Writes a header.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [c0, c1, c2, c3] = self.crc.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [h0, h1] = self.head_len.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.seq.to_le_bytes();
        [
            c0, c1, c2, c3, // is it what was sent
            l0, l1, l2, l3, self.kind, self.flags, h0, h1, // what follows, and what it is
            s0, s1, s2, s3, s4, s5, s6, s7, // which call
        ]
    }
}

/// The frames in `bytes`, which holds whole ones of our own making: each with its head's length and
/// its payload.
#[cfg(feature = "go")]
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (Header, usize, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::from_bytes(bytes.first_chunk()?);
        let (payload, rest) = bytes[HEADER_LEN..].split_at_checked(header.length as usize)?;
        bytes = rest;
        Some((header, usize::from(header.head_len), payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_drawing_says() {
        let header = Header {
            crc: 0x0403_0201,
            length: 0x0807_0605,
            kind: 9,
            flags: 10,
            head_len: 0x0C0B,
            seq: 0x1413_1211_100F_0E0D,
        };
        let bytes = header.to_bytes();
        assert!(bytes.into_iter().eq(1..=20));
        assert_eq!(Header::from_bytes(&bytes), header);
        assert_eq!(header.checked().map(u64::to_le_bytes).as_flattened(), &bytes[CHECKSUM_LEN..]);
    }
}
