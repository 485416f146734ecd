//! Services: values whose methods can be called by name.
//!
//! A [`Service`] is a name and a table of [`Method`]s. `#[service]` writes both; a program that
//! wants to can write them by hand:
//!
//! ```
//! use netrpc_core::service::{Method, Registry, Service};
//! use std::sync::Arc;
//!
//! struct Clock;
//!
//! impl Service for Clock {
//!     const NAME: &'static str = "Clock";
//!     const METHODS: &'static [Method<Self>] = &[Method::sync("Double", |_clock, _cx, body, reply| {
//!         let hours: i64 = body.decode()?;
//!         reply.encode(&(hours * 2))
//!     })];
//! }
//!
//! let registry = Registry::new();
//! registry.register("Clock", &Arc::new(Clock)).unwrap();
//! assert!(registry.snapshot().find("Clock.Double").is_ok());
//! let missing = registry.snapshot().find("Clock.Halve").unwrap_err();
//! assert_eq!(missing.message(), "rpc: can't find method Clock.Halve");
//! ```

mod body;
pub mod failure;
mod method;
mod pace;
mod recording;
mod registry;
pub mod shape;
mod stats;

use std::sync::Arc;

pub use body::{Body, ReplyBuf};
pub use method::{AsyncHandler, Finished, HandlerFuture, Method, MethodOptions, SyncHandler};
pub use pace::Pace;
pub use recording::{Observer, Recording};
pub use registry::{
    CallAsync, CallSync, Entry, EntryHandler, MethodTable, RegisterError, Registry,
};
pub use stats::{ErrorCounts, Latency, MethodSnapshot, MethodStats};

/// A value whose methods can be called by name; `#[service]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "annotate its `impl` block with `#[service]`"
)]
pub trait Service: Send + Sync + Sized + 'static {
    /// The name it is registered under, unless its owner gives another: `Arith`.
    const NAME: &'static str;
    /// Every method it serves.
    const METHODS: &'static [Method<Self>];
}

/// What can be registered: a service by value, or one that is shared already.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "annotate its `impl` block with `#[service]`"
)]
pub trait IntoService {
    /// The service itself.
    type Service: Service;
    /// The service, shared.
    fn into_service(self) -> Arc<Self::Service>;
}

impl<S: Service> IntoService for S {
    type Service = S;
    fn into_service(self) -> Arc<S> {
        Arc::new(self)
    }
}

impl<S: Service> IntoService for Arc<S> {
    type Service = S;
    fn into_service(self) -> Arc<S> {
        self
    }
}
