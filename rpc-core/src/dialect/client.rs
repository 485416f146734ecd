//! A client's connection in a foreign language.

use std::collections::HashMap;

use bytes::BytesMut;
use rustc_hash::FxBuildHasher;

use super::{Answered, DialectError, ForeignAnswer, Language, gob, json, msgpack};
use crate::{
    codec::Format,
    fault::{Fault, FaultCode},
    wire::{Kind, RequestHead, frames},
};

/// A client's connection in a foreign language.
///
/// Its calls are numbered from 0, as Go's clients do it; an answer finds our number again.
#[derive(Debug)]
pub struct ClientDialect {
    speaker: Speaker,
    /// Our numbers of the calls, by those on this connection.
    calls: HashMap<u64, u64, FxBuildHasher>,
    next: u64,
}

#[derive(Debug)]
enum Speaker {
    Gob(Box<gob::Client>),
    Json(json::Client),
    Msgpack(msgpack::Client),
}

/// An answer as a language has it, by the connection's number of the call.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) seq: u64,
    pub(super) answer: ForeignAnswer,
}

/// What a method that failed says; the peer cannot tell a refusal from an error of the method, so
/// neither can we: it may have run.
pub(super) fn fault(text: String) -> ForeignAnswer {
    ForeignAnswer::Fault(Fault::with_code(FaultCode::Method, text))
}

impl ClientDialect {
    /// A connection on which nothing has been said; bodies have up to `max_frame` bytes. `None` if the
    /// crate was built without the language.
    pub fn new(language: Language, max_frame: u32) -> Option<Self> {
        let speaker = match language {
            Language::Gob => Speaker::Gob(Box::new(gob::Client::new(max_frame))),
            Language::JsonRpc => Speaker::Json(json::Client::new(max_frame)),
            Language::MsgpackRpc => Speaker::Msgpack(msgpack::Client::new(max_frame)),
        };
        Some(ClientDialect { speaker, calls: HashMap::default(), next: 0 })
    }

    /// Takes the next answer off the front of `input`, or `None` until more has arrived. Answers to
    /// calls that nobody made, or that were given up, are passed over.
    ///
    /// # Errors
    /// If there is no way to find the next answer after this: close the connection.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Answered>, DialectError> {
        loop {
            let heard = match &mut self.speaker {
                Speaker::Gob(gob) => gob.next(input)?,
                Speaker::Json(json) => json.next(input)?,
                Speaker::Msgpack(msgpack) => msgpack.next(input)?,
            };
            let Some(Heard { seq, answer }) = heard else { return Ok(None) };
            if let Some(seq) = self.calls.remove(&seq) {
                return Ok(Some(Answered { seq, answer }));
            }
        }
    }

    /// What bodies are encoded in.
    pub fn format(&self) -> Format {
        match &self.speaker {
            Speaker::Gob(gob) => Format::Gob(gob.types()),
            Speaker::Json(_) => Format::Json,
            Speaker::Msgpack(_) => Format::GoMessagePack,
        }
    }

    /// Writes whole frames in the foreign language. What it has no word for is left out; a request
    /// that cannot be written gets its answer in `failed`.
    pub fn translate(
        &mut self,
        whole_frames: &[u8],
        out: &mut Vec<u8>,
        failed: &mut Vec<Answered>,
    ) {
        for (header, head_len, payload) in frames(whole_frames) {
            match Kind::from_u8(header.kind) {
                Some(Kind::Request) => {}
                Some(Kind::Cancel) => {
                    // Its answer will be passed over.
                    self.calls.retain(|_, seq| *seq != header.seq);
                    continue;
                }
                _ => continue,
            }
            let (head, body) = payload.split_at(head_len);
            let Ok(RequestHead { method, .. }) = RequestHead::parse(head) else { continue };
            let number = self.next;
            let written = match &mut self.speaker {
                Speaker::Gob(gob) => gob.request(number, method, body, out),
                Speaker::Json(json) => {
                    json.request(number, method, body, out);
                    Ok(())
                }
                Speaker::Msgpack(msgpack) => {
                    msgpack.request(number, method, body, out);
                    Ok(())
                }
            };
            match written {
                Ok(()) => {
                    self.next += 1;
                    self.calls.insert(number, header.seq);
                }
                Err(error) => {
                    let text = format!("the arguments cannot be encoded: {error}");
                    let fault = Fault::with_code(FaultCode::Unsupported, text);
                    let answer = ForeignAnswer::Fault(fault);
                    failed.push(Answered { seq: header.seq, answer });
                }
            }
        }
    }
}
