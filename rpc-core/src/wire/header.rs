//! The 20 bytes before every payload.

/// Bytes in a frame's header.
pub const HEADER_LEN: usize = 20;

/// How many of them the checksum covers; it is stored in the rest.
pub(super) const CHECKED_LEN: usize = 16;

/// A frame's header, as it is on the wire, little-endian (`[frame.header]`).
///
/// ```text
///  0        4    5     6     8               16       20
///  ┌────────┬────┬─────┬─────┬───────────────┬────────┐
///  │ length │kind│flags│head │      seq      │ crc32c │ payload: head, then body
///  └────────┴────┴─────┴─────┴───────────────┴────────┘
/// ```
///
/// It is whatever the bytes said: [`FrameDecoder`](super::FrameDecoder) is what checks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
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
    /// CRC-32C of the 16 bytes before it and the payload after it.
    pub crc: u32,
}

impl Header {
    /// Reads a header.
    pub const fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Header {
        let [l0, l1, l2, l3, kind, flags, h0, h1, rest @ ..] = *bytes;
        let [s0, s1, s2, s3, s4, s5, s6, s7, c0, c1, c2, c3] = rest;
        Header {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            flags,
            head_len: u16::from_le_bytes([h0, h1]),
            seq: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// Writes a header.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [h0, h1] = self.head_len.to_le_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.seq.to_le_bytes();
        let [c0, c1, c2, c3] = self.crc.to_le_bytes();
        [
            l0, l1, l2, l3, self.kind, self.flags, h0, h1, // what follows, and what it is
            s0, s1, s2, s3, s4, s5, s6, s7, // which call
            c0, c1, c2, c3, // is it what was sent
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_drawing_says() {
        let header = Header {
            length: 0x0403_0201,
            kind: 5,
            flags: 6,
            head_len: 0x0807,
            seq: 0x100F_0E0D_0C0B_0A09,
            crc: 0x1413_1211,
        };
        let bytes = header.to_bytes();
        assert!(bytes.into_iter().eq(1..=20));
        assert_eq!(Header::from_bytes(&bytes), header);
    }
}
