//! What a server answers instead of a reply.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::codec::{self, DecodeError};
pub use crate::wire::FaultCode;

/// An error that crosses the wire: a message for people and, if wanted, a typed detail for programs.
///
/// Any error that displays can be returned from a handler and arrives as its text. A `Fault`
/// arrives whole, also from inside an [`anyhow::Error`].
///
/// ```
/// use netrpc_core::Fault;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// struct Overdrawn { balance: i64 }
///
/// let fault = Fault::new("account overdrawn").with_detail(&Overdrawn { balance: -7 });
/// assert_eq!(fault.to_string(), "account overdrawn");
/// assert_eq!(fault.detail::<Overdrawn>().unwrap(), Some(Overdrawn { balance: -7 }));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// Elsewhere, so that the result of every handler is a word.
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: FaultCode,
    message: String,
    /// MessagePack, or empty.
    detail: Bytes,
}

impl Fault {
    /// A handler's error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_code(FaultCode::Method, message)
    }

    /// Refuses a call of somebody who has not said who it is, or not convincingly; the caller sees
    /// [`Refusal::Unauthenticated`](crate::Refusal::Unauthenticated).
    ///
    /// A promise that the call has had no effect: what a server's check says before the method runs,
    /// or a method before it has done anything. The same holds for [`denied`](Self::denied) and
    /// [`overloaded`](Self::overloaded).
    pub fn unauthenticated(reason: impl Into<String>) -> Self {
        Self::with_code(FaultCode::Unauthenticated, reason)
    }

    /// Refuses a call that this caller may not make; it sees
    /// [`Refusal::Denied`](crate::Refusal::Denied).
    pub fn denied(reason: impl Into<String>) -> Self {
        Self::with_code(FaultCode::Denied, reason)
    }

    /// Refuses a call that another try later may get through; the caller sees
    /// [`Refusal::Overloaded`](crate::Refusal::Overloaded).
    pub fn overloaded(reason: impl Into<String>) -> Self {
        Self::with_code(FaultCode::Overloaded, reason)
    }

    /// A fault of another kind; the driver's way to refuse a call.
    pub fn with_code(code: FaultCode, message: impl Into<String>) -> Self {
        Self::from_wire(code, message.into(), Bytes::new())
    }

    /// The same fault with another code.
    #[must_use]
    pub fn into_code(mut self, code: FaultCode) -> Self {
        self.inner.code = code;
        self
    }

    /// A fault as it came off the wire.
    pub fn from_wire(code: FaultCode, message: String, detail: Bytes) -> Self {
        Fault { inner: Box::new(Inner { code, message, detail }) }
    }

    /// Adds a value that the caller can read back with [`detail`](Self::detail).
    ///
    /// A detail that cannot be encoded is left out, and the message says so: an error path must not
    /// fail for want of its ornament.
    #[must_use]
    pub fn with_detail<T: Serialize + ?Sized>(mut self, detail: &T) -> Self {
        let mut encoded = Vec::new();
        match codec::encode(&mut encoded, detail) {
            Ok(()) => self.inner.detail = encoded.into(),
            Err(_) => self.inner.message.push_str(" (its detail could not be encoded)"),
        }
        self
    }

    /// The text, as the handler's error displayed it.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// What kind of fault this is.
    pub fn code(&self) -> FaultCode {
        self.inner.code
    }

    /// The typed detail; `None` if there is none.
    ///
    /// # Errors
    /// If there is a detail that is not a `T`.
    pub fn detail<T: DeserializeOwned>(&self) -> Result<Option<T>, DecodeError> {
        if self.inner.detail.is_empty() {
            Ok(None)
        } else {
            codec::decode(&self.inner.detail).map(Some)
        }
    }

    /// The detail as it crosses the wire: MessagePack, or empty.
    pub fn detail_bytes(&self) -> &[u8] {
        &self.inner.detail
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Fault");
        debug.field("code", &self.inner.code).field("message", &self.inner.message);
        if !self.inner.detail.is_empty() {
            debug.field("detail", &self.inner.detail);
        }
        debug.finish()
    }
}

impl std::error::Error for Fault {}
