//! A served connection in a foreign language.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use rustc_hash::FxBuildHasher;
use serde_json::value::RawValue;

use super::{Arrived, ArrivedBody, DialectError, Language, UNSPECIFIED, gob, json, msgpack};
use crate::{
    codec::Format,
    fault::{Fault, FaultCode},
    wire::{FaultBody, Frame, Kind, frames},
};

/// A served connection in a foreign language.
///
/// The peer's numbers of calls mean nothing here (two calls may have the same, and a JSON id need not
/// be a number), so each gets one of ours; an answer finds the peer's again.
#[derive(Debug)]
pub struct ServerDialect {
    speaker: Speaker,
    /// What the answers to come must repeat, by our number of the call.
    calls: HashMap<u64, Ticket, FxBuildHasher>,
    /// Our number of the next call.
    next: u64,
}

#[derive(Debug)]
enum Speaker {
    Gob(Box<gob::Server>),
    Json(json::Server),
    Msgpack(msgpack::Server),
}

/// A request as a language has it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) ticket: Ticket,
    pub(super) body: HeardBody,
}

#[derive(Debug)]
pub(super) enum HeardBody {
    Whole(Bytes),
    Oversized(usize),
    Broken(Fault),
}

/// What an answer must repeat of its request.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) method: String,
    pub(super) id: Id,
}

impl Ticket {
    /// Bytes of memory, about.
    fn len(&self) -> usize {
        let id = match &self.id {
            Id::Number(_) => 0,
            Id::Json(id) => id.get().len(),
        };
        size_of::<Ticket>() + self.method.len() + id
    }
}

#[derive(Debug)]
pub(super) enum Id {
    Number(u64),
    /// Whatever the caller wrote.
    Json(Box<RawValue>),
}

impl ServerDialect {
    /// A connection on which nothing has been said; bodies have up to `max_frame` bytes. `None` if the
    /// crate was built without the language.
    pub fn new(language: Language, max_frame: u32) -> Option<Self> {
        let speaker = match language {
            Language::Gob => Speaker::Gob(Box::new(gob::Server::new(max_frame))),
            Language::JsonRpc => Speaker::Json(json::Server::new(max_frame)),
            Language::MsgpackRpc => Speaker::Msgpack(msgpack::Server::new(max_frame)),
        };
        Some(ServerDialect { speaker, calls: HashMap::default(), next: 0 })
    }

    /// Takes the next request off the front of `input`, or `None` until more has arrived.
    ///
    /// # Errors
    /// If there is no way to find the next request after this: close the connection.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Arrived<'_>>, DialectError> {
        let heard = match &mut self.speaker {
            Speaker::Gob(gob) => gob.next(input)?,
            Speaker::Json(json) => json.next(input)?,
            Speaker::Msgpack(msgpack) => msgpack.next(input)?,
        };
        let Some(Heard { ticket, body }) = heard else { return Ok(None) };
        let seq = self.next;
        self.next += 1;
        let ticket = self.calls.entry(seq).insert_entry(ticket).into_mut();
        let body = match body {
            HeardBody::Whole(body) => ArrivedBody::Whole(Frame::bare(Kind::Request, seq, body)),
            HeardBody::Oversized(length) => ArrivedBody::Oversized(length),
            HeardBody::Broken(fault) => ArrivedBody::Broken(fault),
        };
        Ok(Some(Arrived { seq, method: &ticket.method, body, kept: ticket.len() }))
    }

    /// Whether a request has begun that has not ended; to be asked after `next` returned `None`.
    pub fn is_mid_request(&self, input: &[u8]) -> bool {
        let begun = match &self.speaker {
            Speaker::Gob(gob) => gob.is_mid_request(),
            Speaker::Json(_) => return !input.trim_ascii().is_empty(),
            Speaker::Msgpack(msgpack) => msgpack.is_mid_request(),
        };
        begun || !input.is_empty()
    }

    /// What bodies are encoded in.
    pub fn format(&self) -> Format {
        match &self.speaker {
            Speaker::Gob(gob) => Format::Gob(gob.types()),
            Speaker::Json(_) => Format::Json,
            Speaker::Msgpack(_) => Format::GoMessagePack,
        }
    }

    /// Writes whole frames in the foreign language. What it has no word for is left out.
    pub fn translate(&mut self, whole_frames: &[u8], out: &mut Vec<u8>) {
        for (header, head_len, payload) in frames(whole_frames) {
            let Some(kind) = Kind::from_u8(header.kind) else { continue };
            if !matches!(kind, Kind::Reply | Kind::Fault) {
                continue;
            }
            let Some(ticket) = self.calls.remove(&header.seq) else { continue };
            if kind == Kind::Fault {
                self.fault(&ticket, &text(payload), out);
                continue;
            }
            let body = &payload[head_len..];
            let failed = match &mut self.speaker {
                Speaker::Gob(gob) => gob.reply(&ticket, body, out).err().map(|e| e.to_string()),
                Speaker::Json(json) => json.reply(&ticket, body, out).err().map(|e| e.to_string()),
                Speaker::Msgpack(msgpack) => {
                    msgpack.reply(&ticket, body, out).err().map(|e| e.to_string())
                }
            };
            if let Some(reason) = failed {
                self.fault(&ticket, &format!("the reply cannot be encoded: {reason}"), out);
            }
        }
        if self.calls.is_empty() && self.calls.capacity() > KEEP_CALLS {
            self.calls.shrink_to(KEEP_CALLS);
        }
    }

    fn fault(&mut self, ticket: &Ticket, text: &str, out: &mut Vec<u8>) {
        match &mut self.speaker {
            Speaker::Gob(gob) => gob.fault(ticket, text, out),
            Speaker::Json(json) => json.fault(ticket, text, out),
            Speaker::Msgpack(msgpack) => msgpack.fault(ticket, text, out),
        }
    }

    /// What there is to say to a peer whose stream cannot be read on, where the language has a way to
    /// say it outside an answer.
    pub fn complain(&self, text: &str, out: &mut Vec<u8>) {
        if let Speaker::Json(json) = &self.speaker {
            json.complain(text, out);
        }
    }
}

/// Calls for which an idle connection keeps memory.
const KEEP_CALLS: usize = 16;

/// A fault in words: all that Go's protocols have.
fn text(fault: &[u8]) -> String {
    let Ok(FaultBody { code, message, .. }) = FaultBody::parse(fault) else {
        return UNSPECIFIED.to_owned();
    };
    match code {
        FaultCode::Panicked => format!("panic: {message}"),
        _ if message.is_empty() => UNSPECIFIED.to_owned(),
        _ => message.to_owned(),
    }
}
