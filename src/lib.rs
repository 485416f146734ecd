//! Go's `net/rpc`, for Rust.
#![forbid(unsafe_code)]

#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod outgoing;
mod read;
mod server;
mod transport;

pub use client::{
    Call, CallOptions, CallWithMetadata, Client, ClientBuilder, MethodName, TypedMethod,
};
pub use netrpc_core::{
    CallId, Cancellation, Context, Error, Fault, Metadata, Peer, Refusal,
    error::Disconnected,
    service::{RegisterError, Service},
};
#[cfg(feature = "macros")]
pub use netrpc_derive::service;
pub use server::{Serve, Server, ServerBuilder, SyncPolicy};
pub use transport::{Address, Listener};

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
