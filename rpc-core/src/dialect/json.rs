//! JSON-RPC 1.0 as `net/rpc/jsonrpc` has it: one object a request, one object and a new line an answer.
//!
//! ```text
//! → {"method":"Arith.Multiply","params":[{"A":7,"B":8}],"id":0}
//! ← {"id":0,"result":56,"error":null}
//! ```

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    DialectError, ForeignAnswer, Language, MAX_ENVELOPE, UNSPECIFIED, client,
    cut::{Cut, Cutter},
    server::{Heard, HeardBody, Id, Ticket},
};
use crate::{
    codec::go::json::Scanner,
    fault::{Fault, FaultCode},
};

/// Objects, one after the other.
#[derive(Debug)]
struct Objects(Cutter<Scanner>);

impl Objects {
    fn new(max_frame: u32) -> Self {
        Objects(Cutter::new(max_frame as usize + MAX_ENVELOPE))
    }

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Cut>, DialectError> {
        self.0.next(input).map_err(|error| DialectError::new(Language::JsonRpc, error))
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Reads requests, writes replies.
#[derive(Debug)]
pub(super) struct Server {
    objects: Objects,
    max_frame: usize,
}

impl Server {
    pub(super) fn new(max_frame: u32) -> Self {
        Server { objects: Objects::new(max_frame), max_frame: max_frame as usize }
    }

    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, DialectError> {
        Ok(self.objects.next(input)?.map(|cut| match cut {
            Cut::Whole(object) => self.request(&object),
            // Whose it was would have been said at its end.
            Cut::Oversized(length) => nobodys(HeardBody::Oversized(length)),
        }))
    }

    fn request(&self, object: &Bytes) -> Heard {
        let request: Request<'_> = match serde_json::from_slice(object) {
            Ok(request) => request,
            Err(error) => {
                let text = format!("rpc: server cannot decode request: {error}");
                return nobodys(HeardBody::Broken(Fault::with_code(FaultCode::IllFormed, text)));
            }
        };
        let body = match argument(request.params) {
            Ok(argument) if argument.len() > self.max_frame => HeardBody::Oversized(argument.len()),
            Ok("null") => HeardBody::Whole(Bytes::from_static(b"null")),
            Ok(argument) => HeardBody::Whole(object.slice_ref(argument.as_bytes())),
            Err(text) => HeardBody::Broken(Fault::with_code(FaultCode::BadArguments, text)),
        };
        let method = request.method.unwrap_or_default().into_owned();
        let id = Id::Json(request.id.map_or_else(null, RawValue::to_owned));
        Heard { ticket: Ticket { method, id }, body }
    }

    pub(super) fn reply(
        &mut self,
        ticket: &Ticket,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NullReply> {
        if body == b"null" {
            return Err(NullReply);
        }
        out.extend_from_slice(b"{\"id\":");
        write_id(ticket, out);
        out.extend_from_slice(b",\"result\":");
        out.extend_from_slice(body);
        out.extend_from_slice(b",\"error\":null}\n");
        Ok(())
    }

    pub(super) fn fault(&mut self, ticket: &Ticket, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        write_id(ticket, out);
        write_error(text, out);
    }

    pub(super) fn complain(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":null");
        write_error(text, out);
    }
}

/// A reply that Go's client would close the connection for: it takes a result of `null` for none.
#[derive(Debug, thiserror::Error)]
#[error("it is null, which Go's JSON-RPC client cannot receive")]
pub(super) struct NullReply;

/// A request that does not say whose it is.
fn nobodys(body: HeardBody) -> Heard {
    Heard { ticket: Ticket { method: String::new(), id: Id::Json(null()) }, body }
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// The one argument of a call. Where there is an empty list of them, it is Go's zero value.
fn argument(params: Option<&RawValue>) -> Result<&str, &'static str> {
    let Some(params) = params else {
        return Err("jsonrpc: request body missing params");
    };
    match serde_json::from_str::<Vec<&RawValue>>(params.get()).as_deref() {
        Ok([]) => Ok("null"),
        Ok([argument]) => Ok(argument.get()),
        _ => Err("jsonrpc: params is not an array of one value"),
    }
}

fn write_id(ticket: &Ticket, out: &mut Vec<u8>) {
    match &ticket.id {
        Id::Json(id) => out.extend_from_slice(id.get().as_bytes()),
        Id::Number(id) => out.extend_from_slice(id.to_string().as_bytes()),
    }
}

fn write_error(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"result\":null,\"error\":");
    write_string(text, out);
    out.extend_from_slice(b"}\n");
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string has a form in JSON, and a vector takes it");
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A result of `null` is one: what Go's server sends for a nil slice or map.
fn present<'de, D: Deserializer<'de>>(result: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(result).map(Some)
}

/// Writes requests, reads replies.
#[derive(Debug)]
pub(super) struct Client {
    objects: Objects,
    max_frame: usize,
}

impl Client {
    pub(super) fn new(max_frame: u32) -> Self {
        Client { objects: Objects::new(max_frame), max_frame: max_frame as usize }
    }

    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<Option<client::Heard>, DialectError> {
        let broken = |error| DialectError::new(Language::JsonRpc, error);
        while let Some(cut) = self.objects.next(input)? {
            let object = match cut {
                Cut::Whole(object) => object,
                Cut::Oversized(length) => {
                    let text = format!("an answer has {length} bytes, more than this client takes");
                    return Err(DialectError::new(Language::JsonRpc, text));
                }
            };
            let Response { id, result, error } =
                serde_json::from_slice(&object).map_err(|error| broken(error.to_string()))?;
            // An answer to nobody in particular: only a request without a number gets one, and we
            // make none.
            let Some(seq) = id else {
                match error {
                    Some(error) => return Err(broken(format!("the server says: {error}"))),
                    None => continue,
                }
            };
            let answer = match (error, result) {
                (Some(error), _) => client::fault(error_text(error)),
                (None, Some(result)) if result.get().len() > self.max_frame => {
                    ForeignAnswer::Oversized(result.get().len())
                }
                (None, Some(result)) => {
                    ForeignAnswer::Reply(object.slice_ref(result.get().as_bytes()))
                }
                (None, None) => ForeignAnswer::Fault(Fault::with_code(
                    FaultCode::BadReply,
                    "the answer has neither a result nor an error",
                )),
            };
            return Ok(Some(client::Heard { seq, answer }));
        }
        Ok(None)
    }

    pub(super) fn request(&mut self, seq: u64, method: &str, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"method\":");
        write_string(method, out);
        out.extend_from_slice(b",\"params\":[");
        out.extend_from_slice(body);
        out.extend_from_slice(format!("],\"id\":{seq}}}\n").as_bytes());
    }
}

/// An error's text; Go's client says `invalid error` of one that is not text.
fn error_text(error: &RawValue) -> String {
    match serde_json::from_str::<String>(error.get()) {
        Ok(text) if text.is_empty() => UNSPECIFIED.to_owned(),
        Ok(text) => text,
        Err(_) => format!("invalid error {error}"),
    }
}
