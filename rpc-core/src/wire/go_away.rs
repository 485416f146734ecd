//! What a go-away says.

use super::{Kind, MalformedBody, begin, finish, notice};

/// Why a side wants no new calls on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GoAwayCode {
    /// 1: the side is shutting down; calls that it has begun will be answered.
    ShuttingDown,
    /// 2: the peer broke the protocol; the connection closes now.
    ProtocolError,
    /// 3: the peer's version is not spoken here; the connection closes now.
    VersionNotSupported,
    /// 4: the peer's body encoding is not spoken here; the connection closes now.
    EncodingNotSupported,
    /// 5: there are too many connections; this one closes now.
    TooManyConnections,
    /// 6: nothing happened on the connection for too long; calls that have begun will be answered.
    Idle,
    /// 7: the peer is not wanted here; no call was begun, and the connection closes now.
    Refused,
    /// 8: the peer did too much of something in too short a time; the connection closes now.
    TooFast,
    /// 9: the peer took too long over something; the connection closes now.
    TooSlow,
    /// 10: the connection is old; calls that have begun will be answered, and a new one is welcome.
    Aged,
    /// A number that this version has no name for, as it came; never one of the above
    /// ([`from_u16`](Self::from_u16) sees to that).
    Other(u16),
}

impl GoAwayCode {
    /// The code with this number.
    pub const fn from_u16(number: u16) -> GoAwayCode {
        match number {
            1 => GoAwayCode::ShuttingDown,
            2 => GoAwayCode::ProtocolError,
            3 => GoAwayCode::VersionNotSupported,
            4 => GoAwayCode::EncodingNotSupported,
            5 => GoAwayCode::TooManyConnections,
            6 => GoAwayCode::Idle,
            7 => GoAwayCode::Refused,
            8 => GoAwayCode::TooFast,
            9 => GoAwayCode::TooSlow,
            10 => GoAwayCode::Aged,
            other => GoAwayCode::Other(other),
        }
    }

    /// Whether it promises that no request of its receiver has run (`[goaway.none]`).
    pub const fn nothing_ran(self) -> bool {
        matches!(
            self,
            GoAwayCode::VersionNotSupported
                | GoAwayCode::EncodingNotSupported
                | GoAwayCode::TooManyConnections
                | GoAwayCode::Refused
        )
    }

    /// Its number on the wire.
    pub const fn to_u16(self) -> u16 {
        match self {
            GoAwayCode::ShuttingDown => 1,
            GoAwayCode::ProtocolError => 2,
            GoAwayCode::VersionNotSupported => 3,
            GoAwayCode::EncodingNotSupported => 4,
            GoAwayCode::TooManyConnections => 5,
            GoAwayCode::Idle => 6,
            GoAwayCode::Refused => 7,
            GoAwayCode::TooFast => 8,
            GoAwayCode::TooSlow => 9,
            GoAwayCode::Aged => 10,
            GoAwayCode::Other(other) => other,
        }
    }
}

/// The body of a go-away frame, borrowed from it (`[goaway.layout]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GoAwayBody<'a> {
    /// Why.
    pub code: GoAwayCode,
    /// Why, for people.
    pub message: &'a str,
}

impl<'a> GoAwayBody<'a> {
    /// Reads a go-away frame's body; what follows the message is ignored.
    ///
    /// # Errors
    ///
    /// If the body does not follow the layout. The peer wants no new calls all the same.
    pub fn parse(body: &'a [u8]) -> Result<GoAwayBody<'a>, MalformedBody> {
        let (code, message, _) = notice::parse(body)?;
        Ok(GoAwayBody { code: GoAwayCode::from_u16(code), message })
    }
}

/// Writes a go-away frame; a message over [`MAX_MESSAGE`](super::MAX_MESSAGE) is cut.
pub fn write_go_away(out: &mut Vec<u8>, code: GoAwayCode, message: &str) {
    let start = begin(out);
    notice::write(out, code.to_u16(), message, super::MAX_MESSAGE);
    let written = finish(out, start, Kind::GoAway, 0, 0, u32::MAX);
    debug_assert_eq!(written, Ok(()));
}
