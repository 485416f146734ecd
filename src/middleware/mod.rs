//! Layers of [`tower`](https://docs.rs/tower) around calls, on both sides: timeouts, rate and
//! concurrency limits, load shedding, retries, whatever implements [`Layer`](tower::Layer).
//!
//! ```
//! use netrpc::{Client, Server};
//! use std::time::Duration;
//! use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};
//!
//! # #[tokio::main]
//! # async fn main() {
//! let server = Server::builder()
//!     .layer(
//!         ServiceBuilder::new()
//!             .layer(LoadShedLayer::new()) // more than 100 calls at once are refused …
//!             .layer(ConcurrencyLimitLayer::new(100)) // … on all connections together
//!             .timeout(Duration::from_secs(10)),
//!     )
//!     .build();
//! # let (ours, theirs) = tokio::io::duplex(1024);
//! # tokio::spawn(async move { let _ = server.serve_conn(theirs).await; });
//! # let _ = Client::new(ours);
//! # }
//! ```
//!
//! The first layer is the outermost. A layer is applied once, and its service serves all calls, so that a
//! limit is one for all. It need not be `Clone`: calls queue for it, each until the service is ready
//! and has been called.
//!
//! # What a call ends with
//!
//! | a layer's error | on the server: the caller sees | on the client |
//! |---|---|---|
//! | a [`Fault`](crate::Fault), wrapped or not | that | |
//! | an [`Error`](crate::Error) | | that |
//! | `tower::timeout::error::Elapsed` | [`Error::Deadline`](crate::Error::Deadline) | the same |
//! | `tower::load_shed::error::Overloaded` | [`Refusal::Overloaded`](crate::Refusal::Overloaded): another try later may succeed | [`Error::Layer`](crate::Error::Layer) |
//! | any other | [`Error::Server`](crate::Error::Server) with its text | [`Error::Layer`](crate::Error::Layer) |
//!
//! None of them promises that the method has not run when it has. A layer of a server that panics is an error
//! of its call; one of a client panics in who awaits [`call`](crate::Client::call).
//!
//! # Sending again
//!
//! A request that runs [once](crate::Semantics::AtMostOnce) is one call with all its clones, so a layer that tries
//! again, or several at once, asks for the same call: it runs once, and its outcome stays what it was. To try
//! anew after an error of the method, make another call.
//!
//! Where there is no layer, a call costs what it costs without the feature `tower`.

pub(crate) mod shared;

/// What layers of a client see.
pub mod client {
    pub use crate::client::layer::{Next, NextFuture, Request, Response};
}

/// What layers of a server see.
pub mod server {
    pub use crate::server::layer::{Next, NextFuture, Request, Response};
}

/// What tower's own layers fail with.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
