//! Go's default: a header and a body, each a gob value.
//!
//! ```text
//! → Request{ServiceMethod, Seq}          the arguments
//! ← Response{ServiceMethod, Seq, Error}  the reply, or struct{}{} beside an error
//! ```

use std::sync::Arc;

use bytes::BytesMut;
use netrpc_gob::{Decoder, EncodeError, Encoder, Limits, Message, Types};
use serde::{Deserialize, Serialize};

use super::{
    DialectError, ForeignAnswer, Language, MAX_ENVELOPE, client,
    server::{Heard, HeardBody, Id, Ticket},
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    service_method: &'a str,
    seq: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    service_method: &'a str,
    seq: u64,
    error: &'a str,
}

/// Values in pairs: a header of type `H`, then a body.
#[derive(Debug)]
struct Pairs<H> {
    decoder: Decoder,
    /// A header whose body has not come yet.
    header: Option<H>,
}

enum Body {
    Whole(bytes::Bytes),
    Oversized(usize),
}

impl<H> Pairs<H> {
    fn new(max_frame: u32) -> Self {
        let limits = Limits::new().message(max_frame.into());
        Pairs { decoder: Decoder::new(limits), header: None }
    }

    fn next(
        &mut self,
        input: &mut BytesMut,
        read: impl Fn(&Types, &[u8]) -> Result<H, netrpc_gob::DecodeError>,
    ) -> Result<Option<(H, Body)>, DialectError> {
        let broken = |cause| DialectError::new(Language::Gob, cause);
        while let Some(message) =
            self.decoder.next(input).map_err(|error| DialectError::new(Language::Gob, error))?
        {
            match (self.header.take(), message) {
                (None, Message::Value { bytes, .. }) if bytes.len() <= MAX_ENVELOPE => {
                    let header = read(self.decoder.types(), &bytes)
                        .map_err(|error| DialectError::new(Language::Gob, error))?;
                    self.header = Some(header);
                }
                (None, _) => {
                    return Err(broken("a header has more bytes than any has"));
                }
                (Some(header), Message::Value { bytes, .. }) => {
                    return Ok(Some((header, Body::Whole(bytes))));
                }
                (Some(header), Message::Oversized { length }) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    return Ok(Some((header, Body::Oversized(length))));
                }
                (Some(_), _) => return Err(broken("a body that is no value")),
            }
        }
        Ok(None)
    }
}

/// Reads requests, writes replies.
#[derive(Debug)]
pub(super) struct Server {
    requests: Pairs<Ticket>,
    replies: Encoder,
    /// What comes before a body; reused.
    head: Vec<u8>,
}

impl Server {
    pub(super) fn new(max_frame: u32) -> Self {
        Server { requests: Pairs::new(max_frame), replies: Encoder::new(), head: Vec::new() }
    }

    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, DialectError> {
        let pair = self.requests.next(input, |types, bytes| {
            let Request { service_method, seq } = types.decode(bytes)?;
            Ok(Ticket { method: service_method.to_owned(), id: Id::Number(seq) })
        })?;
        Ok(pair.map(|(ticket, body)| match body {
            Body::Whole(body) => Heard { ticket, body: HeardBody::Whole(body) },
            Body::Oversized(length) => Heard { ticket, body: HeardBody::Oversized(length) },
        }))
    }

    pub(super) fn is_mid_request(&self) -> bool {
        self.requests.header.is_some()
    }

    pub(super) fn types(&self) -> Arc<Types> {
        self.requests.decoder.types().clone()
    }

    pub(super) fn reply(
        &mut self,
        ticket: &Ticket,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // The body's part first, which may fail: a header cannot be taken back.
        self.head.clear();
        let value = self.replies.write_detached_head(body, &mut self.head)?;
        self.header(ticket, "", out)?;
        out.extend_from_slice(&self.head);
        out.extend_from_slice(value);
        Ok(())
    }

    pub(super) fn fault(&mut self, ticket: &Ticket, text: &str, out: &mut Vec<u8>) {
        let written = self.header(ticket, text, out).and_then(|()| self.replies.encode(&(), out));
        debug_assert!(written.is_ok(), "a header of two strings and a number can be written");
    }

    fn header(
        &mut self,
        ticket: &Ticket,
        error: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Id::Number(seq) = ticket.id else { unreachable!("gob's calls have numbers") };
        self.replies.encode(&Response { service_method: &ticket.method, seq, error }, out)
    }
}

/// Writes requests, reads replies.
#[derive(Debug)]
pub(super) struct Client {
    requests: Encoder,
    /// What comes before a body; reused.
    head: Vec<u8>,
    replies: Pairs<(u64, String)>,
}

impl Client {
    pub(super) fn new(max_frame: u32) -> Self {
        Client { requests: Encoder::new(), head: Vec::new(), replies: Pairs::new(max_frame) }
    }

    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<Option<client::Heard>, DialectError> {
        let pair = self.replies.next(input, |types, bytes| {
            let Response { seq, error, .. } = types.decode(bytes)?;
            Ok((seq, error.to_owned()))
        })?;
        Ok(pair.map(|((seq, error), body)| {
            let answer = match body {
                _ if !error.is_empty() => client::fault(error),
                Body::Whole(body) => ForeignAnswer::Reply(body),
                Body::Oversized(length) => ForeignAnswer::Oversized(length),
            };
            client::Heard { seq, answer }
        }))
    }

    pub(super) fn types(&self) -> Arc<Types> {
        self.replies.decoder.types().clone()
    }

    pub(super) fn request(
        &mut self,
        seq: u64,
        method: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // The body's part first, which may fail: a header cannot be taken back.
        self.head.clear();
        let value = self.requests.write_detached_head(body, &mut self.head)?;
        self.requests.encode(&Request { service_method: method, seq }, out)?;
        out.extend_from_slice(&self.head);
        out.extend_from_slice(value);
        Ok(())
    }
}
