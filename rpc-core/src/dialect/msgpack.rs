//! HashiCorp's `net-rpc-msgpackrpc`: a header and a body, each a MessagePack value.
//!
//! ```text
//! → {"ServiceMethod", "Seq"}           the arguments
//! ← {"Error", "Seq", "ServiceMethod"}  the reply, or an empty map beside an error
//! ```

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{
    DialectError, ForeignAnswer, Language, MAX_ENVELOPE, client,
    cut::{Cut, Cutter},
    server::{Heard, HeardBody, Id, Ticket},
};
use crate::codec::go::msgpack::{self, Scanner};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    seq: u64,
    service_method: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    error: &'a str,
    seq: u64,
    service_method: &'a str,
}

/// Values in pairs: a header, then a body.
#[derive(Debug)]
struct Pairs {
    values: Cutter<Scanner>,
    /// A header whose body has not come yet.
    header: Option<Bytes>,
    max_frame: usize,
}

impl Pairs {
    fn new(max_frame: u32) -> Self {
        let max_frame = max_frame as usize;
        Pairs { values: Cutter::new(MAX_ENVELOPE), header: None, max_frame }
    }

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<(Bytes, Cut)>, DialectError> {
        let broken = |error: &str| DialectError::new(Language::MsgpackRpc, error);
        loop {
            let cut = self.values.next(input);
            match cut.map_err(|error| DialectError::new(Language::MsgpackRpc, error))? {
                None => return Ok(None),
                Some(body) if self.header.is_some() => {
                    self.values.limit(MAX_ENVELOPE);
                    return Ok(self.header.take().map(|header| (header, body)));
                }
                Some(Cut::Whole(header)) => {
                    self.header = Some(header);
                    self.values.limit(self.max_frame);
                }
                Some(Cut::Oversized(_)) => {
                    return Err(broken("a header has more bytes than any has"));
                }
            }
        }
    }
}

fn read<'a, H: Deserialize<'a>>(header: &'a [u8]) -> Result<H, DialectError> {
    msgpack::decode(header).map_err(|error| DialectError::new(Language::MsgpackRpc, error))
}

fn write<H: Serialize>(out: &mut Vec<u8>, header: &H) {
    let written = msgpack::encode(out, header);
    debug_assert!(written.is_ok(), "a header of strings and a number can be written");
}

/// Reads requests, writes replies.
#[derive(Debug)]
pub(super) struct Server {
    requests: Pairs,
}

impl Server {
    pub(super) fn new(max_frame: u32) -> Self {
        Server { requests: Pairs::new(max_frame) }
    }

    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, DialectError> {
        let Some((header, body)) = self.requests.next(input)? else { return Ok(None) };
        let Request { service_method, seq } = read(&header)?;
        let ticket = Ticket { method: service_method.to_owned(), id: Id::Number(seq) };
        let body = match body {
            Cut::Whole(body) => HeardBody::Whole(body),
            Cut::Oversized(length) => HeardBody::Oversized(length),
        };
        Ok(Some(Heard { ticket, body }))
    }

    pub(super) fn is_mid_request(&self) -> bool {
        self.requests.header.is_some() || self.requests.values.is_mid_value()
    }

    pub(super) fn reply(
        &mut self,
        ticket: &Ticket,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NilReply> {
        if body == [0xC0] {
            return Err(NilReply);
        }
        header(ticket, "", out);
        out.extend_from_slice(body);
        Ok(())
    }

    pub(super) fn fault(&mut self, ticket: &Ticket, text: &str, out: &mut Vec<u8>) {
        header(ticket, text, out);
        write(out, &());
    }
}

/// A reply that HashiCorp's clients would close the connection for, if they wait for a number or text.
#[derive(Debug, thiserror::Error)]
#[error("it is nil, which HashiCorp's clients cannot receive")]
pub(super) struct NilReply;

fn header(ticket: &Ticket, error: &str, out: &mut Vec<u8>) {
    let Id::Number(seq) = ticket.id else { unreachable!("these calls have numbers") };
    write(out, &Response { error, seq, service_method: &ticket.method });
}

/// Writes requests, reads replies.
#[derive(Debug)]
pub(super) struct Client {
    replies: Pairs,
}

impl Client {
    pub(super) fn new(max_frame: u32) -> Self {
        Client { replies: Pairs::new(max_frame) }
    }

    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<Option<client::Heard>, DialectError> {
        let Some((header, body)) = self.replies.next(input)? else { return Ok(None) };
        let Response { error, seq, .. } = read(&header)?;
        let answer = match body {
            _ if !error.is_empty() => client::fault(error.to_owned()),
            Cut::Whole(body) => ForeignAnswer::Reply(body),
            Cut::Oversized(length) => ForeignAnswer::Oversized(length),
        };
        Ok(Some(client::Heard { seq, answer }))
    }

    pub(super) fn request(&mut self, seq: u64, method: &str, body: &[u8], out: &mut Vec<u8>) {
        write(out, &Request { seq, service_method: method });
        out.extend_from_slice(body);
    }
}
