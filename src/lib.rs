//! Go's `net/rpc`, for Rust: annotate an `impl` block, register the value, call `Service.Method` by
//! name, await the handle.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use netrpc::{Client, Server, service};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct WordCountRequest {
//!     input: String,
//! }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct WordCountReply {
//!     counts: HashMap<String, u64>,
//! }
//!
//! struct WordCountServer;
//!
//! #[service]
//! impl WordCountServer {
//!     fn compute(&self, request: WordCountRequest, reply: &mut WordCountReply) -> anyhow::Result<()> {
//!         for word in request.input.split_whitespace() {
//!             *reply.counts.entry(word.to_owned()).or_default() += 1;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<()> {
//!     let server = Server::new();
//!     server.register(WordCountServer)?;
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let addr = listener.local_addr()?;
//!     tokio::spawn(server.serve(listener));
//!
//!     // By name, as in Go …
//!     let client = Client::dial(addr).await?;
//!     let request = WordCountRequest { input: "bye bye night".to_owned() };
//!     let reply: WordCountReply = client.call("WordCountServer.Compute", &request).await?;
//!     assert_eq!(reply.counts["bye"], 2);
//!
//!     // … or through the typed stub that `#[service]` has made.
//!     let words = WordCountServerClient::new(client);
//!     assert_eq!(words.compute(&request).await?.counts["night"], 1);
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//!
//! | you want to | look at |
//! |---|---|
//! | write a service | [`macro@service`], [`Context`], [`Fault`] |
//! | serve it | [`Server`], [`ServerBuilder`] (all limits), [`Serve`] (graceful shutdown) |
//! | decide who may call | [`ServerBuilder::authenticate`] connections, [`ServerBuilder::authorize`] calls, [`Context::extension`] |
//! | call it | [`Client`], [`Call`], [`CallOptions`] (timeout, deadline, metadata) |
//! | serve and call over UDP | [`Server::serve_datagrams`], [`Client::dial_udp`], [`DatagramSocket`] |
//! | connect again by itself | [`ClientBuilder::reconnect`], [`CallOptions::wait_for_ready`], [`Client::state`] |
//! | say how often a call may run | [`CallOptions::semantics`], [`Semantics`]; [`Ledger`] on the server |
//! | keep what a handler does together with its outcome | [`Context::txn`], [`Context::xid`], [`CompletionStore`] |
//! | have calls outlive a crash of the client | [`ClientBuilder`]'s `log`, with the feature `durable` |
//! | know what went wrong | [`Error`], [`Error::may_have_run`] |
//! | call it from a thread without a runtime | [`blocking`] |
//! | serve Go programs, or call one | nothing more to serve them; [`ClientBuilder`]'s `wire` and `dial_http` to call |
//! | encrypt, and know who is there | `tls`, with the feature `tls`; [`Context::peer_identity`] |
//! | see what is going on | `Server::debug_page`, with the feature `debug-page`; spans and metrics, with `trace` and `metrics` |
//!
//! # What happens to a call
//!
//! [`Client::go`] queues the request and gives a [`Call`], a future of the reply; [`Client::call`] is
//! `go` and `await` in one. Any number of calls share a connection, and their replies come in any order.
//! On the server a quick handler runs where its request was read; one that blocks is noticed within a
//! fraction of a millisecond and moved out of the way, so that no other call waits for it. A panic is
//! an error of its caller alone. Dropping a [`Call`] cancels its handler.
//!
//! # What is promised
//!
//! Every call ends exactly once: with its reply, or with one [`Error`]. If
//! [`may_have_run`](Error::may_have_run) is `false`, the method has not run and will not. A call that may
//! have run is never sent twice, unless it is asked to be ([`Semantics`]); and one that must not run twice
//! does not, however often it is sent ([`Semantics::AtMostOnce`]).
//!
//! Go's protocols carry calls and answers only: no deadlines, cancellation or metadata, and nothing by which a
//! call is known again.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `macros` | yes | [`macro@service`] |
//! | `blocking` | yes | [`blocking`] |
//! | `go` | yes | Go programs as peers, both ways: gob, JSON-RPC, HTTP `CONNECT`, HashiCorp's MessagePack |
//! | `tls` | no | `tls`: TLS on both sides, mutual TLS, certificates that are read again without a restart |
//! | `tower` | no | layers of tower around calls, on both sides: `middleware` |
//! | `trace` | no | a [`tracing`](https://docs.rs/tracing) span for each call on either side, in W3C's trace context: [`trace`] |
//! | `metrics` | no | calls, latencies, bytes and connections for the recorder of the [`metrics`](https://docs.rs/metrics) facade |
//! | `sim` | no | `sim`: servers and clients in a simulated network whose faults a seed decides |
//! | `durable` | no | `Ledger::open`, `ClientBuilder::log`: a server's ledger and a client's log in files, which crashes leave as they were; needs Rust 1.90 |
//! | `debug-page` | no | `Server::debug_page`: a page for browsers that shows the services and their calls |
#![forbid(unsafe_code)]

mod alarm;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod datagram;
#[cfg(feature = "debug-page")]
pub mod debug;
mod ledger;
#[cfg(feature = "tower")]
pub mod middleware;
mod observe;
mod outgoing;
mod quiet;
mod read;
mod secure;
mod server;
#[cfg(all(feature = "sim", not(netrpc_shuttle)))]
pub mod sim;
#[cfg(not(netrpc_shuttle))]
mod sync;
#[cfg(netrpc_shuttle)]
#[doc(hidden)]
pub mod sync;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;
mod transport;
mod turn;

#[cfg(feature = "go")]
pub use client::Wire;
pub use client::{
    Call, CallOptions, CallWithMetadata, Client, ClientBuilder, ConnectionState, MethodName,
    Reconnect, Semantics, TypedMethod,
};
#[cfg(feature = "durable")]
pub use client::{LogSync, Receipt, Recovered, RecoveredCall};
pub use datagram::{Conversations, DatagramCounts, DatagramSocket};
#[cfg(feature = "durable")]
pub use ledger::OpenError;
pub use ledger::{Completion, CompletionStore, Ledger};
pub use netrpc_core::{
    CallId, Cancellation, Context, Error, Extensions, Fault, Identity, Metadata, Peer, Refusal,
    dialect::Protocol,
    error::Disconnected,
    ledger::{LedgerStats, Store, StoreFailed},
    semantics::{Demand, Xid},
    service::{RegisterError, Service},
    tracked::{NoTxn, Txn},
    wire::DEFAULT_MAX_FRAME,
};
#[cfg(feature = "macros")]
pub use netrpc_derive::service;
#[cfg(feature = "go")]
pub use netrpc_gob as gob;
pub use server::{
    Authenticate, Authorize, CallInfo, ConnectionInfo, Serve, Server, ServerBuilder, SyncPolicy,
};
#[cfg(feature = "go")]
pub use transport::HttpConnect;
#[cfg(unix)]
pub use transport::Unix;
pub use transport::{Address, Connector, Listener, Target, Tcp};

/// What the code that `#[service]` writes refers to; not for others, and not stable.
#[doc(hidden)]
pub mod __private {
    pub use netrpc_core::{
        Context, Fault,
        service::{Body, Finished, HandlerFuture, Method, ReplyBuf, Service, failure, shape},
    };
    pub use serde;

    #[cfg(feature = "macros")]
    pub use crate::client::stub::Stub;
    pub use crate::transport::Address as ToSocketAddrs;
}
