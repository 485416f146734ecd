//! The client: calls by name over one connection.

mod builder;
mod call;
mod connection;
mod method;
mod options;
#[cfg(feature = "macros")]
pub(crate) mod stub;

use std::{
    borrow::Cow,
    cell::Cell,
    fmt,
    fmt::Debug,
    future::poll_fn,
    path::Path,
    sync::Arc,
    task::{Poll, Waker},
    time::Instant,
};

use netrpc_core::{
    Error,
    wire::{self, FrameTooLarge, RequestFields, WriteHeadError},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    observe::{self, ClientObserver, MadeCall},
    transport::Address,
};

pub use builder::ClientBuilder;
#[cfg(feature = "go")]
pub use builder::Wire;
pub use call::{Call, CallWithMetadata};
pub use method::{MethodName, TypedMethod};
pub use options::CallOptions;

use builder::ClientLimits;
use connection::{Queued, Shared};

/// A connection to a server, to call its methods by name.
///
/// Cloning is cheap, and all clones share the connection: any number of tasks may call at once, and
/// replies come back in any order. It needs the tokio runtime it was made in; for threads without
/// one there is [`blocking::Client`](crate::blocking::Client).
///
/// When the last clone and the last [`Call`] are dropped, what is still queued is sent and the
/// connection ends in peace; [`close`](Self::close) ends it at once.
///
/// ```
/// # use netrpc::{service, Client, Server};
/// # struct Arith;
/// # #[service]
/// # impl Arith {
/// #     fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) { *reply = a * b; }
/// # }
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// # let server = Server::new();
/// # server.register(Arith)?;
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let addr = listener.local_addr()?;
/// # tokio::spawn(server.serve(listener));
/// let client = Client::dial(addr).await?;
/// let product: i64 = client.call("Arith.Multiply", &(7, 8)).await?; // wait for it
/// let call = client.go::<_, i64>("Arith.Multiply", &(6, 7)); // or start it …
/// assert_eq!(product, 56);
/// assert_eq!(call.await?, 42); // … and await the handle
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    connection: Arc<Handle>,
    options: Arc<CallOptions>,
    /// Whom it tells of its calls.
    observer: ClientObserver,
}

/// What keeps a connection alive: held by every clone of the client and by every call.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.dropped();
    }
}

impl Client {
    /// Connects over TCP, to the first address that answers; Go's `rpc.Dial("tcp", addr)`.
    ///
    /// It does not wait until the server has said that it speaks netrpc: if it does not, the first
    /// calls say so.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection.
    pub async fn dial(addr: impl Address) -> Result<Client, Error> {
        Self::builder().dial(addr).await
    }

    /// Connects over a Unix socket; Go's `rpc.Dial("unix", path)`.
    ///
    /// # Errors
    /// [`Error::Connect`] if nobody listens there.
    #[cfg(unix)]
    pub async fn dial_unix(path: impl AsRef<Path>) -> Result<Client, Error> {
        Self::builder().dial_unix(path).await
    }

    /// Connects to a Go server over HTTP `CONNECT` and speaks gob with it; Go's
    /// `rpc.DialHTTP("tcp", addr)`.
    ///
    /// # Errors
    /// [`Error::Connect`] if none of the addresses takes the connection, or the server answers
    /// anything but 200.
    #[cfg(feature = "go")]
    pub async fn dial_http(addr: impl Address) -> Result<Client, Error> {
        Self::builder().dial_http(addr).await
    }

    /// Speaks over a stream that is connected already; Go's `rpc.NewClient(conn)`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new<IO>(stream: IO) -> Client
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::builder().connect(stream)
    }

    /// Limits and options to be set before connecting.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    fn start<IO>(
        stream: IO,
        limits: ClientLimits,
        options: CallOptions,
        observer: ClientObserver,
    ) -> Client
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = connection::start(stream, limits, observer.connected());
        Client { connection: Arc::new(Handle { shared }), options: Arc::new(options), observer }
    }

    /// The same connection with other options: those set in `options` replace this client's, the
    /// others stay. Metadata is added to this client's.
    #[must_use = "the options are those of the client that is returned"]
    pub fn with(&self, options: CallOptions) -> Client {
        let options = Arc::new(self.options.overridden_by(options));
        let (connection, observer) = (self.connection.clone(), self.observer.clone());
        Client { connection, options, observer }
    }

    /// Calls a method and waits for its reply; Go's `client.Call`.
    ///
    /// Waits first while too much is queued on the connection; a timeout begins after that. The reply's
    /// type is what the caller says it is: `let n: i64 = …`, and for a method that replies nothing
    /// `let () = client.call(…).await?`.
    ///
    /// # Errors
    /// [`Error`], whose [`may_have_run`](Error::may_have_run) tells whether the method may have run.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call, as dropping a [`Call`] does.
    pub async fn call<A, R>(&self, method: impl MethodName<A, R>, args: &A) -> Result<R, Error>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let mut observed = MadeCall::begin(&self.observer, method.name(), &self.options);
        loop {
            // The waker is left with the request, which spares a look at the table of calls.
            let call = poll_fn(|cx| {
                let waker = Some(cx.waker());
                Poll::Ready(self.start_call(&method, args, waker, &mut observed))
            });
            match call.await {
                Ok(call) => return call.await,
                Err(Error::QueueFull { .. }) => self.connection.shared.room().await,
                Err(error) => {
                    observed.finish::<()>(Err(&error));
                    return Err(error);
                }
            }
        }
    }

    /// Starts a call and gives its handle; Go's `client.Go`, whose `Done` is the handle itself.
    ///
    /// The request is queued at once and sent by the connection's own task: nothing needs to be
    /// awaited for the call to happen. What goes wrong, the handle tells.
    pub fn go<A, R>(&self, method: impl MethodName<A, R>, args: &A) -> Call<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let mut observed = MadeCall::begin(&self.observer, method.name(), &self.options);
        self.start_call(&method, args, None, &mut observed).unwrap_or_else(|error| {
            observed.finish::<()>(Err(&error));
            Call::failed(error)
        })
    }

    fn start_call<A, R>(
        &self,
        method: &impl MethodName<A, R>,
        args: &A,
        waker: Option<&Waker>,
        observed: &mut MadeCall,
    ) -> Result<Call<R>, Error>
    where
        A: Serialize + ?Sized,
    {
        let seq = self.send(method.name(), args, waker, observed)?;
        let connection = self.connection.clone();
        let (timeout, observed) = (self.options.timeout, std::mem::take(observed));
        Ok(Call::new(connection, seq, timeout, waker.is_some(), observed))
    }

    fn send<A: Serialize + ?Sized>(
        &self,
        method: &str,
        args: &A,
        waker: Option<&Waker>,
        observed: &MadeCall,
    ) -> Result<u64, Error> {
        let Shared { format, limits, .. } = &*self.connection.shared;
        if limits.wire.is_some() && !self.options.metadata.is_empty() {
            return Err(Error::Refused {
                refusal: netrpc_core::Refusal::Unsupported,
                message: "Go's protocols cannot carry metadata".to_owned(),
            });
        }
        // What Go's protocols cannot carry stays here.
        let metadata = match limits.wire {
            None => observed.metadata(&self.options.metadata),
            Some(_) => Cow::Borrowed(&self.options.metadata),
        };
        // Encoded outside every lock: `Serialize` is the caller's own code.
        with_scratch(|frame| {
            let start = wire::begin(frame);
            let fields =
                RequestFields { deadline: self.options.timeout, metadata: Some(&metadata) };
            let head_len =
                wire::write_request_head(frame, method, &fields).map_err(|error| match error {
                    // Go's text: a name without a dot would be refused by any server.
                    WriteHeadError::Name { length: 0 } => Error::Refused {
                        refusal: netrpc_core::Refusal::IllFormed,
                        message: "rpc: service/method request ill-formed: ".to_owned(),
                    },
                    error => Error::TooLarge(netrpc_core::error::chain(&error).to_string()),
                })?;
            format.encode(frame, args).map_err(Error::Encode)?;
            match self.connection.shared.queue(frame, start, head_len, waker) {
                Queued::Call(seq) => Ok(seq),
                Queued::Ended(cause) => Err(Error::Shutdown { may_have_run: false, cause }),
                Queued::Full(queued) => {
                    observe::limit("max_queued_bytes");
                    let limit = self.connection.shared.limits.queued_bytes;
                    Err(Error::QueueFull { queued, limit })
                }
                Queued::TooLarge(FrameTooLarge { length, limit }) => Err(Error::TooLarge(format!(
                    "it has {length} bytes, this client's limit is {limit} (ClientBuilder::max_frame)"
                ))),
            }
        })
    }

    /// Ends the connection at once; Go's `client.Close`. Pending calls end with
    /// [`Error::Shutdown`], and the server cancels their handlers.
    ///
    /// It concerns every clone. Closing twice does nothing.
    ///
    /// # Cancel safety
    /// The connection ends also if the future is dropped after its first poll.
    pub async fn close(&self) {
        self.connection.shared.close().await;
    }

    /// Waits until what is queued has been offered to the operating system once.
    #[cfg(feature = "blocking")]
    pub(crate) async fn sent(&self) {
        self.connection.shared.sent().await;
    }

    /// Whether calls made now fail because the connection has ended, or the server takes no more.
    pub fn is_closed(&self) -> bool {
        self.connection.shared.closed().is_some()
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("closed", &self.is_closed())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The largest scratch buffer a thread keeps.
const KEEP_SCRATCH: usize = 16 * 1024;

/// Lends an empty buffer that this thread uses again and again.
fn with_scratch<T>(f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken, not borrowed: `f` runs the caller's `Serialize`, which may call in turn.
    let mut scratch = SCRATCH.take();
    let value = f(&mut scratch);
    if scratch.capacity() <= KEEP_SCRATCH {
        scratch.clear();
        SCRATCH.set(scratch);
    }
    value
}

/// The runtime's clock: real, or paused in tests.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
