//! How a call is to be made.

use std::time::Duration;

use netrpc_core::{Metadata, trace::TraceContext};

/// Options of calls: one idea for `call`, `go`, typed stubs and the blocking client.
///
/// [`Client::with`](crate::Client::with) gives the same connection with other options:
///
/// ```
/// # use netrpc::{CallOptions, Client, Error};
/// # use std::time::Duration;
/// # async fn f(client: Client) -> Result<(), Error> {
/// let patient = client.with(CallOptions::new().timeout(Duration::from_secs(30)));
/// let reply: i64 = patient.call("Arith.Multiply", &(7, 8)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a client is given them"]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) metadata: Metadata,
}

impl CallOptions {
    /// No timeout, no metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives each call this long, from when it is made; then it ends with
    /// [`Error::Deadline`](crate::Error::Deadline).
    ///
    /// The server is told how long the caller will wait, and does not begin a call too late.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an entry of metadata with each call; an entry of the same key is replaced.
    ///
    /// A call with more than 64 entries, or 16 KiB of them, fails with
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn metadata(mut self, key: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.metadata.insert(key, value);
        self
    }

    /// Makes each call a part of this trace: `traceparent` and `tracestate` in its metadata.
    ///
    /// A handler's own place is [`Context::trace`](crate::Context::trace). With the feature `trace` the
    /// calls that a handler makes while it runs have it by themselves.
    pub fn trace(mut self, context: &TraceContext) -> Self {
        context.insert_into(&mut self.metadata);
        self
    }

    /// These options, with what `over` sets in place of what is set here.
    pub(crate) fn overridden_by(&self, over: CallOptions) -> Self {
        let mut metadata = self.metadata.clone();
        for (key, value) in &over.metadata {
            metadata.insert(key, value);
        }
        CallOptions { timeout: over.timeout.or(self.timeout), metadata }
    }
}
