//! What a frame is.

/// What a frame is: the byte at offset 8 of its header.
///
/// Either side may send any kind (`[frame.symmetry]`). Numbers without a variant are skipped by
/// [`FrameDecoder`](super::FrameDecoder), so that a newer peer can send kinds this version does not
/// know (`[frame.unknown-kind]`).
///
/// Not `#[non_exhaustive]`: a new kind must force a decision wherever frames are handled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Run this method and answer.
    Request = 1,
    /// The method's reply.
    Reply = 2,
    /// The call ended without a reply, and why.
    Fault = 3,
    /// The caller no longer waits for this call.
    Cancel = 4,
    /// Answer with a pong that carries the same `seq`.
    Ping = 5,
    /// The answer to a ping.
    Pong = 6,
    /// No new calls on this connection, and why.
    GoAway = 7,
    /// Something about a session: asked for, granted, closed.
    Session = 8,
    /// Calls that will not be asked about again, or that this is known.
    Acknowledgement = 9,
}

impl Kind {
    /// Every kind, by its number.
    pub const ALL: [Kind; 9] = [
        Kind::Request,
        Kind::Reply,
        Kind::Fault,
        Kind::Cancel,
        Kind::Ping,
        Kind::Pong,
        Kind::GoAway,
        Kind::Session,
        Kind::Acknowledgement,
    ];

    /// The kind with this number, if this version knows it.
    pub const fn from_u8(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Request,
            2 => Kind::Reply,
            3 => Kind::Fault,
            4 => Kind::Cancel,
            5 => Kind::Ping,
            6 => Kind::Pong,
            7 => Kind::GoAway,
            8 => Kind::Session,
            9 => Kind::Acknowledgement,
            _ => return None,
        })
    }

    /// Its number on the wire.
    pub const fn to_u8(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_number_and_no_number_has_two_kinds() {
        for number in 0..=u8::MAX {
            let kind = Kind::ALL.into_iter().find(|kind| kind.to_u8() == number);
            assert_eq!(Kind::from_u8(number), kind);
        }
    }
}
