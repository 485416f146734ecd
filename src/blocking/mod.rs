//! `call` and `go` for threads without a runtime.
//!
//! The same client, options, errors and handles as the asynchronous one. No thread is started
//! behind the caller's back: the connection is driven by the threads that wait for its replies, one
//! of them at a time for all of them, so that a call costs a write and a read and no switch between
//! threads.
//!
//! ```
//! # use netrpc::{service, Server};
//! # struct Arith;
//! # #[service]
//! # impl Arith {
//! #     fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) { *reply = a * b; }
//! # }
//! # fn main() -> anyhow::Result<()> {
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let server = Server::new();
//! # server.register(Arith)?;
//! # let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
//! # let addr = listener.local_addr()?;
//! # runtime.spawn(server.serve(listener));
//! use netrpc::blocking::Client;
//!
//! let client = Client::dial(addr)?;
//! let product: i64 = client.call("Arith.Multiply", &(7, 8))?; // wait for it
//! let call = client.go::<_, i64>("Arith.Multiply", &(6, 7)); // or start it …
//! assert_eq!(product, 56);
//! assert_eq!(call.wait()?, 42); // … and wait for the handle
//! # Ok(())
//! # }
//! ```

mod inside;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use inside::{Inside, may_wait};

use crate::{
    CallOptions, ClientBuilder, ConnectionState, Error, Metadata, MethodName, transport::Address,
};

/// A connection to a server, for threads without a runtime.
///
/// Cloning is cheap, and all clones share the connection; any number of threads may call at once.
///
/// The connection is driven while a thread is in [`call`](Self::call), [`go`](Self::go) or
/// [`Call::wait`]. While none is, nothing is read: a server that sends very much to a client that
/// does not wait for it will give it up after some time. The same holds for a client that
/// [reconnects](ClientBuilder::reconnect): it connects again while a thread waits in it, and not otherwise.
///
/// # Panics
/// All of its methods panic inside an asynchronous runtime's own threads, where waiting would hold
/// up others: use [`crate::Client`] there.
#[derive(Clone)]
pub struct Client {
    // Before the thread's own runtime, so that it is dropped before it.
    inner: crate::Client,
    runtime: Arc<Inside>,
}

impl Client {
    /// Connects over TCP, to the first address that answers.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection.
    pub fn dial(addr: impl Address) -> Result<Self, Error> {
        Self::dial_with(crate::Client::builder(), addr)
    }

    /// Connects over TCP with the limits and options of `builder`.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection.
    pub fn dial_with(builder: ClientBuilder, addr: impl Address) -> Result<Self, Error> {
        let runtime =
            Inside::new().map_err(|cause| no_runtime(addr.target().to_string(), cause))?;
        let inner = runtime.block_on(builder.dial(addr))?;
        Ok(Client { inner, runtime: Arc::new(runtime) })
    }

    /// Calls a server over UDP; see [`ClientBuilder::dial_udp`]. What was lost is sent again while a thread waits
    /// in the client.
    ///
    /// # Errors
    /// [`Error::Connect`] if no server answers, or the system knows that nobody is there.
    pub fn dial_udp(addr: impl Address) -> Result<Self, Error> {
        let runtime =
            Inside::new().map_err(|cause| no_runtime(addr.target().to_string(), cause))?;
        let inner = runtime.block_on(crate::Client::dial_udp(addr))?;
        Ok(Client { inner, runtime: Arc::new(runtime) })
    }

    /// Connects to a Go server over HTTP `CONNECT` and speaks gob with it.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection, or the server answers
    /// anything but 200.
    #[cfg(feature = "go")]
    pub fn dial_http(addr: impl Address) -> Result<Self, Error> {
        let runtime =
            Inside::new().map_err(|cause| no_runtime(addr.target().to_string(), cause))?;
        let inner = runtime.block_on(crate::Client::dial_http(addr))?;
        Ok(Client { inner, runtime: Arc::new(runtime) })
    }

    /// Connects over a Unix socket.
    ///
    /// # Errors
    /// [`Error::Connect`] if nobody listens there.
    #[cfg(unix)]
    pub fn dial_unix(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let runtime =
            Inside::new().map_err(|cause| no_runtime(path.display().to_string(), cause))?;
        let inner = runtime.block_on(crate::Client::dial_unix(path))?;
        Ok(Client { inner, runtime: Arc::new(runtime) })
    }

    /// The same connection with other options: those set in `options` replace this client's, the
    /// others stay. Metadata is added to this client's.
    #[must_use = "the options are those of the client that is returned"]
    pub fn with(&self, options: CallOptions) -> Self {
        Client { inner: self.inner.with(options), runtime: self.runtime.clone() }
    }

    /// Calls a method and waits for its reply; Go's `client.Call`.
    ///
    /// # Errors
    /// [`Error`], whose [`may_have_run`](Error::may_have_run) tells whether the method may have run.
    pub fn call<A, R>(&self, method: impl MethodName<A, R>, args: &A) -> Result<R, Error>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.runtime.block_on(async {
            self.inner.look().await;
            self.inner.call(method, args).await
        })
    }

    /// Starts a call and gives its handle; Go's `client.Go`. The request has been handed to the
    /// operating system when this returns, unless the server does not read.
    pub fn go<A, R>(&self, method: impl MethodName<A, R>, args: &A) -> Call<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.runtime.block_on(self.inner.look());
        let inner = {
            let _inside = self.runtime.get().enter();
            self.inner.go(method, args)
        };
        drive(&self.runtime, &self.inner);
        Call { inner: Some(inner), client: self.clone() }
    }

    /// The calls that the client's [log](ClientBuilder::log) remembered when the client was made, as each outcome
    /// is known: see [`Client::recovered`](crate::Client::recovered). It waits for each.
    #[cfg(feature = "durable")]
    pub fn recovered(&self) -> impl Iterator<Item = crate::RecoveredCall> {
        let (client, recovered) = (self.clone(), self.inner.recovered());
        std::iter::from_fn(move || client.runtime.block_on(recovered.next()))
    }

    /// How the connection fares, as far as anybody has noticed.
    pub fn state(&self) -> ConnectionState {
        self.inner.state()
    }

    /// Whether calls made now fail because the connection has ended, as far as anybody has noticed.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Ends the connection at once; Go's `client.Close`. Pending calls end with [`Error::Shutdown`].
    pub fn close(&self) {
        self.runtime.block_on(self.inner.close());
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Client").field(&self.inner).finish()
    }
}

/// A call that has been started, for threads without a runtime.
///
/// Dropping it cancels the call; [`detach`](Self::detach) lets it run.
#[must_use = "dropping a call cancels it: wait for it, or `detach` it"]
pub struct Call<R> {
    /// `None` once it is over or detached.
    inner: Option<crate::Call<R>>,
    client: Client,
}

impl<R: DeserializeOwned> Call<R> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// [`Error`], whose [`may_have_run`](Error::may_have_run) tells whether the method may have run.
    pub fn wait(mut self) -> Result<R, Error> {
        let call = self.inner.take().expect("the call is not over yet");
        self.client.runtime.block_on(call)
    }

    /// Waits for the reply for so long; `None` if it has not come by then: the call is still under way.
    ///
    /// A call that is to end after a time has a [timeout](CallOptions::timeout) instead.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    /// If the reply has been given already.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<R, Error>> {
        let call = self.inner.as_mut().expect("the call is not over yet");
        // The timer is made inside, where the clock is.
        let waited = async { tokio::time::timeout(timeout, call).await };
        let outcome = self.client.runtime.block_on(waited).ok()?;
        self.inner = None;
        Some(outcome)
    }

    /// Waits for the reply together with the metadata the handler sent with it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_with_metadata(mut self) -> Result<(R, Metadata), Error> {
        let call = self.inner.take().expect("the call is not over yet");
        self.client.runtime.block_on(call.with_metadata())
    }
}

#[cfg(feature = "durable")]
impl<R: DeserializeOwned> Call<R> {
    /// Waits for the outcome together with what keeps it from being forgotten: see
    /// [`Call::with_receipt`](crate::Call::with_receipt).
    pub fn wait_with_receipt(mut self) -> (Result<R, Error>, crate::Receipt) {
        let call = self.inner.take().expect("the call is not over yet");
        self.client.runtime.block_on(call.with_receipt())
    }
}

impl<R> Call<R> {
    /// Lets the call run to its end though nobody waits for its reply.
    pub fn detach(mut self) {
        if let Some(call) = self.inner.take() {
            call.detach();
        }
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        let Some(call) = self.inner.take() else { return };
        drop(call);
        // The server is to be told now, not when somebody waits the next time. Where waiting is
        // forbidden it has to be then.
        if may_wait() {
            drive(&self.client.runtime, &self.client.inner);
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Call").field(&self.inner).finish()
    }
}

fn no_runtime(addr: String, cause: io::Error) -> Error {
    Error::Connect { addr, cause }
}

/// Has the connection's task send what is queued, without waiting for the server.
fn drive(runtime: &Inside, client: &crate::Client) {
    runtime.block_on(client.sent());
}
