//! What `#[service]` asks of the types in a method's signature.
//!
//! Each trait here says in one sentence what is missing, where the error of the trait behind it
//! would speak of things the user has not written.

use std::any::type_name;

use serde::{Deserialize, Serialize};

use super::{Body, ReplyBuf};
use crate::Fault;

/// What a method can take: anything `Deserialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a method's argument: it does not implement `Deserialize`",
    label = "this cannot be decoded from a request",
    note = "add `#[derive(serde::Deserialize)]` to it, or to what it is made of"
)]
pub trait Argument<'de>: Sized {
    /// Decodes it from a request.
    ///
    /// # Errors
    /// A fault for the caller, if the request holds something else.
    fn decode(body: &'de Body) -> Result<Self, Fault>;
}

#[diagnostic::do_not_recommend]
impl<'de, A: Deserialize<'de>> Argument<'de> for A {
    #[inline]
    fn decode(body: &'de Body) -> Result<Self, Fault> {
        body.decode()
    }
}

/// What a method can take by reference: anything `Deserialize` that is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a method's argument: it cannot be borrowed from a request",
    label = "take it by value",
    note = "a request has `&str` and `&[u8]` to lend, and a struct with a lifetime can hold them: `Args<'_>`"
)]
pub trait Reference<'de>: Argument<'de> {}

#[diagnostic::do_not_recommend]
impl<'de, A: Deserialize<'de>> Reference<'de> for A {}

/// What a method can write its reply to: anything that is `Default`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a `reply: &mut {Self}`: it does not implement `Default`",
    label = "the reply is `Default::default()` before the method writes it",
    note = "add `#[derive(Default)]` to it, or return it: `-> Result<{Self}, E>`"
)]
pub trait Initial {
    /// The reply before the method has run.
    fn initial() -> Self;
}

#[diagnostic::do_not_recommend]
impl<R: Default> Initial for R {
    fn initial() -> Self {
        R::default()
    }
}

/// What a method can reply: anything `Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a method's reply: it does not implement `Serialize`",
    label = "this cannot be encoded into a reply",
    note = "add `#[derive(serde::Serialize)]` to it, or to what it is made of"
)]
pub trait Reply {
    /// Encodes it.
    ///
    /// # Errors
    /// A fault for the caller, if it cannot be encoded.
    fn encode(self, reply: &mut ReplyBuf) -> Result<(), Fault>;
}

#[diagnostic::do_not_recommend]
impl<R: Serialize> Reply for R {
    #[inline]
    fn encode(self, reply: &mut ReplyBuf) -> Result<(), Fault> {
        reply.encode_owned(self)
    }
}

/// The arguments of a request.
///
/// # Errors
/// As [`Argument::decode`].
#[inline]
pub fn argument<'de, A: Argument<'de>>(body: &'de Body) -> Result<A, Fault> {
    A::decode(body)
}

/// The same of arguments that are a reference.
///
/// # Errors
/// As [`Argument::decode`].
#[inline]
pub fn reference<'de, A: Reference<'de>>(body: &'de Body) -> Result<A, Fault> {
    A::decode(body)
}

/// The reply before the method has run.
#[inline]
pub fn initial<R: Initial>() -> R {
    R::initial()
}

/// Encodes the reply.
///
/// # Errors
/// As [`Reply::encode`].
#[inline]
pub fn finish<R: Reply>(reply: &mut ReplyBuf, value: R) -> Result<(), Fault> {
    value.encode(reply)
}

/// The names of a method's argument and reply types.
pub fn types<A: ?Sized, R: ?Sized>() -> (&'static str, &'static str) {
    (type_name::<A>(), type_name::<R>())
}
