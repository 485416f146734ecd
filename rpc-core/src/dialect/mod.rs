//! The protocols of Go's `net/rpc`, translated to calls and answers of our own and back.
//!
//! The engines on both sides know one protocol: the frames of [`wire`](crate::wire). On a connection with a Go
//! program a dialect stands between them and the stream. What arrives in the foreign language
//! becomes requests ([`ServerDialect::next`]) or answers ([`ClientDialect::next`]); frames on their
//! way out become messages of that language (`translate`). Sessions, limits, the pending table and the
//! handlers are the same for all, and none of them can tell.
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Protocol`], [`Protocols`] | `protocol` | what a server can be spoken to in, and which of it the owner wants |
//! | [`Sniffed`] | `sniff` | telling them apart by a connection's first bytes |
//! | `Connect` | `http` | `CONNECT`, as `rpc.DialHTTP` and `rpc.HandleHTTP` use it |
//! | [`ServerDialect`], [`ClientDialect`] | `server`, `client` | sequence numbers, and what each answer must repeat |
//! | | `gob`, `json`, `msgpack` | the three languages: how they write a request, how a reply |
//!
//! What the languages have no word for is not said: deadlines, cancels, metadata, pings and go-aways stay
//! on this side.

#[cfg(feature = "go")]
mod client;
#[cfg(feature = "go")]
mod cut;
#[cfg(feature = "go")]
mod gob;
pub mod http;
#[cfg(feature = "go")]
mod json;
mod message;
#[cfg(feature = "go")]
mod msgpack;
mod protocol;
#[cfg(feature = "go")]
mod server;
mod sniff;
#[cfg(not(feature = "go"))]
mod unspoken;

use thiserror::Error;

#[cfg(feature = "go")]
pub use client::ClientDialect;
pub use message::{Answered, Arrived, ArrivedBody, ForeignAnswer};
pub use protocol::{Language, Protocol, Protocols};
#[cfg(feature = "go")]
pub use server::ServerDialect;
pub use sniff::{Sniffed, sniff};
#[cfg(not(feature = "go"))]
pub use unspoken::{ClientDialect, ServerDialect};

/// The peer's stream cannot be read on.
#[derive(Debug, Error)]
#[error("the peer broke {language}")]
pub struct DialectError {
    language: Language,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

#[cfg(feature = "go")]
impl DialectError {
    fn new(
        language: Language,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> DialectError {
        DialectError { language, cause: cause.into() }
    }

    /// The language that was broken.
    pub fn language(&self) -> Language {
        self.language
    }
}

/// The most that a message may say besides its body: a method's name, a number, an error's text.
#[cfg(feature = "go")]
const MAX_ENVELOPE: usize = 64 * 1024;

/// Go's clients take an empty error for none at all.
#[cfg(feature = "go")]
const UNSPECIFIED: &str = "unspecified error";
