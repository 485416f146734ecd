//! The eight bytes both sides send first.

use std::fmt;

use thiserror::Error;

/// Bytes in a preface.
pub const PREFACE_LEN: usize = 8;

/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 1;

/// `0xC1` begins no MessagePack, JSON, HTTP, TLS, SSH or gob stream, so one byte tells
/// (`[preface.magic]`).
const MAGIC: [u8; 4] = [0xC1, b'N', b'R', b'P'];

/// How the bodies of a connection are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum Encoding {
    /// MessagePack, structs by field name: [`codec`](crate::codec).
    MessagePack = 1,
}

impl Encoding {
    /// The encoding with this number, if this version knows it.
    pub const fn from_u8(number: u8) -> Option<Encoding> {
        match number {
            1 => Some(Encoding::MessagePack),
            _ => None,
        }
    }

    /// Its number on the wire.
    pub const fn to_u8(self) -> u8 {
        self as u8
    }
}

/// What a side says before its first frame (`[preface.layout]`).
///
/// ```text
///  0                   4       5        6          8
///  ┌────┬────┬────┬────┬───────┬────────┬──────────┐
///  │ C1 │ 4E │ 52 │ 50 │version│encoding│ features │
///  └────┴────┴────┴────┴───────┴────────┴──────────┘
/// ```
///
/// ```
/// use netrpc_core::wire::{Encoding, Preface};
///
/// let sent = Preface::OURS.to_bytes();
/// assert_eq!(Preface::parse(&sent[..5])?, None); // so far, so good
/// let peer = Preface::parse(&sent)?.unwrap();
/// assert_eq!(peer.accept()?, Encoding::MessagePack);
///
/// let stranger = Preface::parse(b"GET / HTTP/1.1\r\n").unwrap_err();
/// assert_eq!(stranger.to_string(), r#"the peer speaks HTTP, not netrpc (it sent "GET / HT")"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preface {
    /// The version of the protocol.
    pub version: u8,
    /// The number of an [`Encoding`], or one that this version does not know.
    pub encoding: u8,
    /// What the side can do beyond the version; unknown bits are ignored (`[preface.features]`).
    pub features: u16,
}

impl Preface {
    /// What this crate sends.
    pub const OURS: Preface =
        Preface { version: VERSION, encoding: Encoding::MessagePack.to_u8(), features: 0 };

    /// The preface as it is sent.
    pub const fn to_bytes(self) -> [u8; PREFACE_LEN] {
        let [m0, m1, m2, m3] = MAGIC;
        let [f0, f1] = self.features.to_le_bytes();
        [m0, m1, m2, m3, self.version, self.encoding, f0, f1]
    }

    /// Reads the preface at the front of what the peer sent; `None` until all eight bytes are there.
    ///
    /// A preface of another version is a preface: [`accept`](Self::accept) is the next question.
    /// The caller takes [`PREFACE_LEN`] bytes off its buffer.
    ///
    /// # Errors
    ///
    /// At the first byte that differs from the magic, without waiting for eight: a peer of another
    /// protocol may be waiting for us.
    pub fn parse(bytes: &[u8]) -> Result<Option<Preface>, NotNetrpc> {
        if !bytes.iter().zip(MAGIC).all(|(sent, magic)| *sent == magic) {
            return Err(NotNetrpc::new(bytes));
        }
        Ok(bytes.first_chunk::<PREFACE_LEN>().map(|bytes| {
            let [_, _, _, _, version, encoding, f0, f1] = *bytes;
            Preface { version, encoding, features: u16::from_le_bytes([f0, f1]) }
        }))
    }

    /// The encoding to speak with this peer.
    ///
    /// # Errors
    ///
    /// If the peer's version or encoding is not ours: send our own preface, a go-away with
    /// [`Unacceptable::go_away`], and close (`[preface.version]`, `[preface.encoding]`).
    pub const fn accept(self) -> Result<Encoding, Unacceptable> {
        if self.version != VERSION {
            return Err(Unacceptable::Version(self.version));
        }
        match Encoding::from_u8(self.encoding) {
            Some(encoding) => Ok(encoding),
            None => Err(Unacceptable::Encoding(self.encoding)),
        }
    }
}

/// The peer speaks netrpc, but not as we do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Unacceptable {
    /// Another version of the protocol.
    #[error("the peer speaks version {0} of netrpc's protocol, this side speaks {VERSION}")]
    Version(u8),
    /// An encoding of bodies that this version does not know.
    #[error(
        "the peer encodes bodies as number {0}, which this side does not know (MessagePack is 1)"
    )]
    Encoding(u8),
}

impl Unacceptable {
    /// What to tell the peer before closing.
    pub const fn go_away(self) -> super::GoAwayCode {
        match self {
            Unacceptable::Version(_) => super::GoAwayCode::VersionNotSupported,
            Unacceptable::Encoding(_) => super::GoAwayCode::EncodingNotSupported,
        }
    }
}

/// The peer's first bytes are not a preface.
///
/// Its text is for the person who mixed up two ports: what the peer probably speaks, and the bytes
/// it sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotNetrpc {
    first: [u8; PREFACE_LEN],
    /// How many of `first` were sent; `1 <= len <= PREFACE_LEN`
    len: u8,
}

/// Whom the first bytes look like: a guess, for a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Foreign {
    /// An HTTP client or server.
    Http,
    /// A TLS handshake or alert.
    Tls,
    /// An SSH client or server.
    Ssh,
    /// Text that begins as JSON does; `net/rpc/jsonrpc` is one.
    Json,
    /// Go's gob, as `net/rpc` speaks it by default.
    Gob,
    /// None of these.
    Unknown,
}

impl NotNetrpc {
    fn new(bytes: &[u8]) -> NotNetrpc {
        let mut first = [0; PREFACE_LEN];
        let len = bytes.len().min(PREFACE_LEN);
        first[..len].copy_from_slice(&bytes[..len]);
        NotNetrpc { first, len: len as u8 }
    }

    /// What the peer sent first, at most eight bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.first[..usize::from(self.len)]
    }

    /// What the peer probably speaks.
    pub fn guess(&self) -> Foreign {
        Foreign::guess(self.bytes())
    }
}

impl Foreign {
    fn guess(bytes: &[u8]) -> Foreign {
        // The first byte may be all there is: `H` alone may become `HTTP/1.1`.
        let may_begin = |word: &&[u8]| {
            let common = word.len().min(bytes.len());
            word[..common] == bytes[..common]
        };
        const HTTP: &[&[u8]] = &[
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"CONNECT ",
            b"OPTIONS ",
            b"TRACE ",
            b"PATCH ",
            b"PRI * ",
            b"HTTP/",
        ];
        match bytes {
            [0x15 | 0x16] | [0x15 | 0x16, 0x03, ..] => Foreign::Tls,
            _ if may_begin(&&b"SSH-"[..]) => Foreign::Ssh,
            _ if HTTP.iter().any(may_begin) => Foreign::Http,
            // A short length, then a negative type id: a message that defines a type.
            [0..=0x7F, 0xFD..=0xFF, ..] => Foreign::Gob,
            _ if bytes.trim_ascii_start().starts_with(b"{") => Foreign::Json,
            _ => Foreign::Unknown,
        }
    }
}

impl fmt::Display for NotNetrpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.guess() {
            Foreign::Http => "the peer speaks HTTP, not netrpc",
            Foreign::Tls => "the peer speaks TLS, and this connection is not encrypted",
            Foreign::Ssh => "the peer speaks SSH, not netrpc",
            Foreign::Json => "the peer speaks JSON, not netrpc's own protocol",
            Foreign::Gob => "the peer speaks Go's gob, not netrpc's own protocol",
            Foreign::Unknown => "the peer does not speak netrpc",
        })?;
        write!(f, " (it sent \"{}\")", self.bytes().escape_ascii())
    }
}

impl fmt::Debug for NotNetrpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotNetrpc({:?}, \"{}\")", self.guess(), self.bytes().escape_ascii())
    }
}

impl std::error::Error for NotNetrpc {}
