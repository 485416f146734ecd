//! Frames about a session rather than a call: it is asked for, granted, closed, acknowledged.
//!
//! A question and its answer carry the same `seq`, which the asker chooses as it does for requests; what
//! cannot be granted is answered with a fault. A body begins with a byte that says what follows:
//!
//! ```text
//!  session          0    1        17        25       41
//!                   ┌────┬────────┬─────────┬────────┐
//!  open             │ 1  │        │         │        │
//!  resume           │ 2  │ domain │ session │ secret │
//!  close            │ 3  │ domain │ session │ secret │
//!                   └────┴────────┴─────────┴────────┘
//!                     u8   u128     u64       16 bytes
//!
//!                   0    1        17        25       41      49      57      65       69            73      74
//!                   ┌────┬────────┬─────────┬────────┬───────┬───────┬───────┬────────┬─────────────┬───────┐
//!  granted          │ 4  │ domain │ session │ secret │ epoch │ floor │ lease │ window │ incarnation │ flags │
//!                   └────┴────────┴─────────┴────────┴───────┴───────┴───────┴────────┴─────────────┴───────┘
//!  closed           │ 5  │                           u64     u64     u64 µs  u32      u32           u8
//!                   └────┘
//!
//!  acknowledgement  0    1        17        25    33            37      45
//!                   ┌────┬────────┬─────────┬─────┬─────────────┬───────┐
//!  acknowledge      │ 1  │ domain │ session │ ack │ incarnation │ proof │
//!                   └────┴────────┴─────────┴─────┴─────────────┴───────┘
//!
//!                   0    1        17        25      33      41           49
//!                   ┌────┬────────┬─────────┬───────┬───────┬────────────┐
//!  confirmed        │ 2  │ domain │ session │ epoch │ floor │ lease_left │
//!                   └────┴────────┴─────────┴───────┴───────┴────────────┘
//! ```

use std::time::Duration;

use thiserror::Error;

use super::{FaultCode, Kind, begin, field, finish};
use crate::semantics::{Domain, Epoch, Grant, Incarnation, Secret, SessionId};

/// What a session frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionFrame {
    /// Open a session.
    Open,
    /// Resume one, and shut out whoever spoke for it before.
    Resume(SessionKey),
    /// End one.
    Close(SessionKey),
    /// A session is granted: the answer to the first two.
    Granted(Grant),
    /// It is ended.
    Closed,
}

/// What a client needs to speak for a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionKey {
    /// Where the session is known.
    pub domain: Domain,
    /// Its number.
    pub session: SessionId,
    /// What its owner proves with.
    pub secret: Secret,
}

/// What an acknowledgement frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckFrame {
    /// The client will never ask about calls up to `ack` again.
    Acknowledge {
        /// Where the session is known.
        domain: Domain,
        /// Its number.
        session: SessionId,
        /// Up to which call.
        ack: u64,
        /// Which incarnation of the client says so.
        incarnation: Incarnation,
        /// That it knows the session's secret.
        proof: u64,
    },
    /// Calls up to `floor` are forgotten, for good.
    Confirmed {
        /// Where the session is known.
        domain: Domain,
        /// Its number.
        session: SessionId,
        /// The server's life.
        epoch: Epoch,
        /// Up to which call.
        floor: u64,
        /// How long the session lives without traffic from now on.
        lease_left: Duration,
    },
}

/// A session or acknowledgement frame cannot be acted on. What it asks for is not done; the connection
/// lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MalformedSession {
    /// It has not as many bytes as what it says has (`[session.layout]`).
    #[error(
        "the frame's body of {length} bytes is not as long as what it says, number {number}, is"
    )]
    Length {
        /// What it says.
        number: u8,
        /// Bytes in the body.
        length: usize,
    },
    /// It is empty.
    #[error("the frame has no body")]
    Empty,
    /// It says something that this version does not know (`[session.unknown]`).
    #[error("the frame says something that this version does not know: number {0}")]
    Unknown(u8),
}

impl MalformedSession {
    /// The code of the fault that answers such a frame.
    pub const fn fault_code(self) -> FaultCode {
        match self {
            MalformedSession::Length { .. } | MalformedSession::Empty => FaultCode::IllFormed,
            MalformedSession::Unknown(_) => FaultCode::Unsupported,
        }
    }
}

const OPEN: u8 = 1;
const RESUME: u8 = 2;
const CLOSE: u8 = 3;
const GRANTED: u8 = 4;
const CLOSED: u8 = 5;

const ACKNOWLEDGE: u8 = 1;
const CONFIRMED: u8 = 2;

/// The bit of a grant's flags that says that the ledger survives the server.
const DURABLE: u8 = 1;

impl SessionFrame {
    /// Whether it wants an answer, rather than being one.
    pub const fn asks(&self) -> bool {
        match self {
            SessionFrame::Open | SessionFrame::Resume(_) | SessionFrame::Close(_) => true,
            SessionFrame::Granted(_) | SessionFrame::Closed => false,
        }
    }

    /// Reads the body of a session frame.
    ///
    /// # Errors
    ///
    /// If it is not of its form: answer with a fault of [`MalformedSession::fault_code`].
    pub fn parse(body: &[u8]) -> Result<SessionFrame, MalformedSession> {
        let (number, mut fields) = split(body)?;
        let parsed = match number {
            OPEN => Some(SessionFrame::Open),
            RESUME => fields.key().map(SessionFrame::Resume),
            CLOSE => fields.key().map(SessionFrame::Close),
            GRANTED => fields.grant().map(SessionFrame::Granted),
            CLOSED => Some(SessionFrame::Closed),
            unknown => return Err(MalformedSession::Unknown(unknown)),
        };
        fields.all_of(parsed, number, body)
    }
}

impl AckFrame {
    /// Whether it wants an answer, rather than being one.
    pub const fn asks(&self) -> bool {
        matches!(self, AckFrame::Acknowledge { .. })
    }

    /// Reads the body of an acknowledgement frame.
    ///
    /// # Errors
    ///
    /// If it is not of its form: answer with a fault of [`MalformedSession::fault_code`].
    pub fn parse(body: &[u8]) -> Result<AckFrame, MalformedSession> {
        let (number, mut fields) = split(body)?;
        let parsed = match number {
            ACKNOWLEDGE => fields.acknowledge(),
            CONFIRMED => fields.confirmed(),
            unknown => return Err(MalformedSession::Unknown(unknown)),
        };
        fields.all_of(parsed, number, body)
    }
}

fn split(body: &[u8]) -> Result<(u8, Fields<'_>), MalformedSession> {
    let (&number, rest) = body.split_first().ok_or(MalformedSession::Empty)?;
    Ok((number, Fields { rest }))
}

/// Numbers that follow each other; `None` from where they end.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn domain(&mut self) -> Option<Domain> {
        self.bytes().map(u128::from_le_bytes).map(Domain)
    }

    fn session(&mut self) -> Option<SessionId> {
        self.u64().map(SessionId)
    }

    fn key(&mut self) -> Option<SessionKey> {
        Some(SessionKey {
            domain: self.domain()?,
            session: self.session()?,
            secret: Secret::new(self.bytes()?),
        })
    }

    fn grant(&mut self) -> Option<Grant> {
        let SessionKey { domain, session, secret } = self.key()?;
        Some(Grant {
            domain,
            session,
            secret,
            epoch: Epoch(self.u64()?),
            floor: self.u64()?,
            lease: Duration::from_micros(self.u64()?),
            window: self.u32()?,
            incarnation: Incarnation(self.u32()?),
            is_durable: self.bytes::<1>()?[0] & DURABLE != 0,
        })
    }

    fn acknowledge(&mut self) -> Option<AckFrame> {
        Some(AckFrame::Acknowledge {
            domain: self.domain()?,
            session: self.session()?,
            ack: self.u64()?,
            incarnation: Incarnation(self.u32()?),
            proof: self.u64()?,
        })
    }

    fn confirmed(&mut self) -> Option<AckFrame> {
        Some(AckFrame::Confirmed {
            domain: self.domain()?,
            session: self.session()?,
            epoch: Epoch(self.u64()?),
            floor: self.u64()?,
            lease_left: Duration::from_micros(self.u64()?),
        })
    }

    /// What was parsed, if nothing is missing or left.
    fn all_of<T>(self, parsed: Option<T>, number: u8, body: &[u8]) -> Result<T, MalformedSession> {
        parsed
            .filter(|_| self.rest.is_empty())
            .ok_or(MalformedSession::Length { number, length: body.len() })
    }
}

/// Writes a session frame.
///
/// ```
/// use bytes::BytesMut;
/// use netrpc_core::wire::{self, FrameDecoder, Incoming, SessionFrame};
///
/// let mut out = Vec::new();
/// wire::write_session(&mut out, 7, &SessionFrame::Open);
/// let mut arrived = BytesMut::from(&out[..]);
/// let Some(Incoming::Frame(frame)) = FrameDecoder::new(1 << 20).next(&mut arrived)? else { panic!() };
/// assert_eq!(SessionFrame::parse(frame.body_slice())?, SessionFrame::Open);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_session(out: &mut Vec<u8>, seq: u64, frame: &SessionFrame) {
    let start = begin(out);
    match frame {
        SessionFrame::Open => out.push(OPEN),
        SessionFrame::Resume(key) => write_key(out, RESUME, key),
        SessionFrame::Close(key) => write_key(out, CLOSE, key),
        SessionFrame::Granted(grant) => {
            let Grant { domain, session, secret, .. } = *grant;
            write_key(out, GRANTED, &SessionKey { domain, session, secret });
            for number in [grant.epoch.0, grant.floor, field::micros(grant.lease)] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&grant.window.to_le_bytes());
            out.extend_from_slice(&grant.incarnation.0.to_le_bytes());
            out.push(u8::from(grant.is_durable) * DURABLE);
        }
        SessionFrame::Closed => out.push(CLOSED),
    }
    let written = finish(out, start, Kind::Session, 0, seq, u32::MAX);
    debug_assert_eq!(written, Ok(()));
}

/// Writes an acknowledgement frame.
pub fn write_ack(out: &mut Vec<u8>, seq: u64, frame: &AckFrame) {
    let start = begin(out);
    let mut write = |number: u8, domain: Domain, session: SessionId, rest: &[&[u8]]| {
        out.push(number);
        out.extend_from_slice(&domain.0.to_le_bytes());
        out.extend_from_slice(&session.0.to_le_bytes());
        rest.iter().for_each(|field| out.extend_from_slice(field));
    };
    match *frame {
        AckFrame::Acknowledge { domain, session, ack, incarnation, proof } => {
            let (ack, incarnation) = (ack.to_le_bytes(), incarnation.0.to_le_bytes());
            write(ACKNOWLEDGE, domain, session, &[&ack, &incarnation, &proof.to_le_bytes()]);
        }
        AckFrame::Confirmed { domain, session, epoch, floor, lease_left } => {
            let (epoch, floor) = (epoch.0.to_le_bytes(), floor.to_le_bytes());
            let lease_left = field::micros(lease_left).to_le_bytes();
            write(CONFIRMED, domain, session, &[&epoch, &floor, &lease_left]);
        }
    }
    let written = finish(out, start, Kind::Acknowledgement, 0, seq, u32::MAX);
    debug_assert_eq!(written, Ok(()));
}

fn write_key(out: &mut Vec<u8>, number: u8, key: &SessionKey) {
    out.push(number);
    out.extend_from_slice(&key.domain.0.to_le_bytes());
    out.extend_from_slice(&key.session.0.to_le_bytes());
    out.extend_from_slice(key.secret.bytes());
}
