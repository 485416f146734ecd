//! The pure state machines of [netrpc](https://docs.rs/netrpc): no sockets, clocks, tasks or threads.
//!
//! Everything the protocol *means* is here and can be tested, fuzzed and replayed from recorded
//! bytes without a socket; the `netrpc` crate drives it with tokio. Time is an argument of every
//! machine, and so is whatever else would make two runs differ.
//!
//! | floor | module | what it owns |
//! |---|---|---|
//! | 1 | [`service`] | names → methods, and how a handler is called; futures, but no executor |
//! | 0 | [`session`] | one connection's rules, on the server's side |
//! | 0 | [`pending`] | the calls a client waits for |
//! | 0 | [`backoff`] | when to try again |
//! | 0 | [`semantics`] | how often a call runs: its identity, and when it is sent again |
//! | 0 | [`ledger`] | the server's memory of calls that must not run twice |
//! | 0 | [`wire`] | bytes ↔ frames |
//! | 0 | [`patience`], [`keep_alive`], [`rate`] | how long a peer is waited for, and how often it may do something |
//! | 0 | [`datagram`] | what stands in a datagram, and when one is sent again |
//! | 0 | [`dialect`] | the protocols of Go's `net/rpc` ↔ frames |
//! | 0 | [`trace`] | where a call stands in a trace that spans processes |
//! | 0 | [`codec`] | bodies ↔ serde types |
//! | 0 | [`error`] | what can go wrong, and who is to blame |
//!
//! Use the `netrpc` crate, which re-exports what its users need; this one is for those who drive
//! the protocol themselves.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod codec;
pub mod context;
pub mod datagram;
pub mod dialect;
pub mod error;
mod extensions;
pub mod fault;
pub mod identity;
pub mod keep_alive;
mod kind;
pub mod ledger;
pub mod metadata;
mod name;
pub mod patience;
pub mod pending;
pub mod rate;
pub mod semantics;
pub mod service;
pub mod session;
#[cfg(not(netrpc_shuttle))]
mod sync;
#[cfg(netrpc_shuttle)]
#[doc(hidden)]
pub mod sync;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod tracked;
pub mod wire;

pub use context::{CallId, Caller, Cancellation, Context, Peer};
pub use error::{Error, Refusal};
pub use extensions::Extensions;
pub use fault::Fault;
pub use identity::Identity;
pub use metadata::Metadata;
