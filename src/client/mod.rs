//! The client: calls by name over one connection.

mod again;
mod attempt;
mod builder;
mod call;
mod connection;
#[cfg(feature = "tower")]
pub(crate) mod layer;
mod line;
mod method;
mod options;
mod parked;
mod pulse;
mod reconnect;
mod repeat;
mod route;
mod shared;
#[cfg(feature = "macros")]
pub(crate) mod stub;
mod tracked;

use std::{
    borrow::Cow,
    cell::Cell,
    fmt,
    fmt::Debug,
    future::poll_fn,
    path::Path,
    sync::{Arc, OnceLock},
    task::Waker,
    time::Instant,
};

use netrpc_core::{
    Error, Metadata, Refusal,
    codec::{EncodeError, Format},
    error::Disconnected,
    semantics::Demand,
    wire::{self, FrameTooLarge, RequestFields, WriteHeadError},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Connector,
    observe::{self, ClientObserver, MadeCall},
    sync::Handle as Runtime,
    transport::Address,
};

pub use builder::ClientBuilder;
#[cfg(feature = "go")]
pub use builder::Wire;
pub use call::{Call, CallWithMetadata};
pub use method::{MethodName, TypedMethod};
pub use netrpc_core::semantics::Semantics;
pub use options::CallOptions;
pub use reconnect::{ConnectionState, Reconnect};

use again::{Again, can_be_sent_again};
use attempt::Attempt;
use builder::ClientLimits;
use builder::OpenLog;
use line::Line;
use options::End;
use route::{Route, WeakRoute};
use shared::{Answer, NotReady, Queued, Request, Shared};
#[cfg(feature = "durable")]
pub use tracked::{LogSync, Receipt, Recovered, RecoveredCall};
use tracked::{Sessions, Told, Tracked};

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
    route: Route,
    options: Arc<CallOptions>,
    /// Whom it tells of its calls.
    observer: ClientObserver,
    /// What its calls pass first.
    #[cfg(feature = "tower")]
    layers: Option<layer::Stack>,
}

/// What keeps a connection alive: held by every clone of the client and by every call.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    /// Those of a client that is this one connection, once a call needs one.
    sessions: OnceLock<Arc<Sessions>>,
    /// Where they do what they do; `None` of a line's connection.
    runtime: Option<Runtime>,
}

impl Handle {
    /// A connection of a line, which has the sessions.
    fn of_line(shared: Arc<Shared>) -> Self {
        Handle { shared, sessions: OnceLock::new(), runtime: None }
    }

    /// A connection that is all there is.
    fn alone(shared: Arc<Shared>) -> Self {
        Handle { shared, sessions: OnceLock::new(), runtime: Some(Runtime::current()) }
    }

    /// Where calls get their numbers.
    fn sessions(self: &Arc<Self>) -> &Arc<Sessions> {
        self.sessions.get_or_init(|| {
            let runtime = self.runtime.clone().expect("this one is no line's connection");
            let route = WeakRoute::One(Arc::downgrade(self));
            Sessions::new(route, runtime, &self.shared.limits, reconnect::random_seed())
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.get() {
            sessions.take_leave(&self.shared);
        }
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

    /// Calls a server over UDP: each call is one datagram, and so is its reply. See
    /// [`ClientBuilder::dial_udp`].
    ///
    /// # Errors
    /// [`Error::Connect`] if no server answers, or the system knows that nobody is there.
    pub async fn dial_udp(addr: impl Address) -> Result<Client, Error> {
        Self::builder().dial_udp(addr).await
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
        let shared = Arc::new(Shared::new(limits));
        connection::start(stream, shared.clone(), observer.connected());
        Client {
            route: Route::One(Arc::new(Handle::alone(shared))),
            options: Arc::new(options),
            observer,
            #[cfg(feature = "tower")]
            layers: None,
        }
    }

    async fn open(
        connector: impl Connector,
        limits: ClientLimits,
        reconnect: Reconnect,
        options: CallOptions,
        observer: ClientObserver,
        log: OpenLog,
    ) -> Result<Client, Error> {
        #[cfg(feature = "durable")]
        let (line, kept) = {
            let mut kept = None;
            let logged = |route, seed| {
                let (sessions, its) = Sessions::logged(route, &limits, seed, log?);
                kept = Some(its);
                Some(sessions)
            };
            let line = Line::open(connector, limits, reconnect, observer.clone(), logged).await?;
            (line, kept)
        };
        #[cfg(not(feature = "durable"))]
        let line = {
            let OpenLog = log;
            Line::open(connector, limits, reconnect, observer.clone(), |_, _| None).await?
        };
        let route = Route::Line(line);
        #[cfg(feature = "durable")]
        if let (Route::Line(line), Some(kept)) = (&route, kept) {
            line.recovers(kept.recover(&route));
        }
        Ok(Client {
            route,
            options: Arc::new(options),
            observer,
            #[cfg(feature = "tower")]
            layers: None,
        })
    }

    /// The same connection with other options: those set in `options` replace this client's, the
    /// others stay. Metadata is added to this client's.
    #[must_use = "the options are those of the client that is returned"]
    pub fn with(&self, options: CallOptions) -> Client {
        let options = Arc::new(self.options.overridden_by(options));
        Client { options, ..self.clone() }
    }

    /// Calls a method and waits for its reply; Go's `client.Call`.
    ///
    /// Waits first while too much is queued on the connection, or too many calls are under way. The reply's type is what the caller says it
    /// is: `let n: i64 = …`, and for a method that replies nothing `let () = client.call(…).await?`.
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
        self.meets(method.name(), method.demands())?;
        let observed = MadeCall::begin(&self.observer, method.name(), &self.options);
        #[cfg(feature = "tower")]
        if let Some(stack) = &self.layers {
            let passing = Box::pin(self.call_layered(stack, method.name(), args, &observed));
            let outcome = passing.await;
            observed.finish(outcome.as_ref());
            return outcome;
        }
        let read = call::read_in_place;
        let outcome = if self.options.repeats() {
            Box::pin(self.exchange(method.name(), args, &observed, read)).await
        } else {
            // Not within another future: to hand things on from one to the next has its price.
            let mut attempt = Attempt::new(self, (method.name(), args), &observed, read);
            poll_fn(|cx| attempt.poll(cx)).await
        };
        observed.finish(outcome.as_ref());
        outcome
    }

    /// Whether a call under these options is what the method insists on.
    #[inline]
    fn meets(&self, method: &str, demands: Demand) -> Result<(), Error> {
        // Of most methods, and of all that are called by a string, nothing is known to the compiler already.
        match demands {
            Demand::None => Ok(()),
            _ if demands.is_met_by(self.options.how_often()) => Ok(()),
            _ => Err(unmet(method, demands)),
        }
    }

    /// Sends a call, again where it may be, and reads the answer.
    async fn exchange<A, R>(
        &self,
        method: &str,
        args: &A,
        observed: &MadeCall,
        read: impl Fn(&mut Option<Answer>) -> Result<R, Error> + Copy,
    ) -> Result<R, Error>
    where
        A: Arguments + ?Sized,
    {
        if !self.options.repeats() {
            let mut attempt = Attempt::new(self, (method, args), observed, read);
            return poll_fn(|cx| attempt.poll(cx)).await;
        }
        match self.options.how_often().is_tracked() {
            true => self.exchange_once(method, args, observed, read).await,
            false => self.exchange_again(method, args, observed, read).await,
        }
    }

    /// The same of a call that may run twice.
    async fn exchange_again<A, R>(
        &self,
        method: &str,
        args: &A,
        observed: &MadeCall,
        read: impl Fn(&mut Option<Answer>) -> Result<R, Error> + Copy,
    ) -> Result<R, Error>
    where
        A: Arguments + ?Sized,
    {
        let mut end = self.options.end()?;
        loop {
            match self.start_persistent::<A, R>(method, args, end, true, observed) {
                Ok(call) => return call.read(read).await,
                Err(error) if is_full(&error) => self.room(end).await?,
                Err(error) => return Err(error),
            }
            end = end.map(End::again).transpose()?;
        }
    }

    /// The same of a call that runs once.
    async fn exchange_once<A, R>(
        &self,
        method: &str,
        args: &A,
        observed: &MadeCall,
        read: impl Fn(&mut Option<Answer>) -> Result<R, Error> + Copy,
    ) -> Result<R, Error>
    where
        A: Arguments + ?Sized,
    {
        let call = self.tracked(method, args, observed)?;
        // Settled when this returns: the outcome is taken.
        let (told, _number) = call.finish().await;
        let Told { answer, in_doubt } = told?;
        let outcome = read(&mut Some(answer));
        if in_doubt { outcome.map_err(repeat::doubt) } else { outcome }
    }

    /// A call that runs once, before it is sent.
    fn tracked<A>(&self, method: &str, args: &A, observed: &MadeCall) -> Result<Tracked, Error>
    where
        A: Arguments + ?Sized,
    {
        let end = self.options.end()?;
        let connection = self.route.current()?;
        if connection.shared.limits.wire.is_some() {
            let text = "Go's protocols cannot carry what a call that runs once is known by";
            return Err(unsupported(text));
        }
        let mut body = Vec::new();
        args.encode(&connection.shared.format, &mut body).map_err(Error::Encode)?;
        let metadata = self.metadata(&connection, observed).into_owned();
        let (semantics, tag) = (self.options.how_often(), self.options.tagged()?);
        let along = (metadata, tag);
        Ok(Tracked::new(self.route.clone(), method, body, along, end, semantics))
    }

    /// Starts a call and gives its handle; Go's `client.Go`, whose `Done` is the handle itself.
    ///
    /// The request is queued at once and sent by the connection's own task: nothing needs to be
    /// awaited for the call to happen. What goes wrong, the handle tells.
    ///
    /// It cannot wait, so it fails where there is no room: with [`Error::QueueFull`],
    /// [`Error::TooManyCalls`] or [`Error::TooMuchUnread`]. Who starts very many awaits
    /// [`ready`](Self::ready) before each.
    ///
    /// A call that [waits for a connection](CallOptions::wait_for_ready) keeps its encoded arguments until it
    /// is over. Where it is to be sent again, that happens when the handle is awaited, or detached.
    pub fn go<A, R>(&self, method: impl MethodName<A, R>, args: &A) -> Call<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        if let Err(error) = self.meets(method.name(), method.demands()) {
            return Call::failed(error);
        }
        let observed = MadeCall::begin(&self.observer, method.name(), &self.options);
        match self.start_going(method.name(), args, &observed) {
            Ok(call) => call.observed(observed),
            Err(error) => {
                observed.finish::<()>(Err(&error));
                Call::failed(error)
            }
        }
    }

    fn start_going<A: Serialize + ?Sized, R>(
        &self,
        method: &str,
        args: &A,
        observed: &MadeCall,
    ) -> Result<Call<R>, Error> {
        #[cfg(feature = "tower")]
        if let Some(stack) = &self.layers {
            return self.go_layered(stack, method, args, observed);
        }
        if self.options.repeats() && self.options.how_often().is_tracked() {
            return Ok(Call::tracked(self.tracked(method, args, observed)?.go()?));
        }
        let end = self.options.end()?;
        match &self.route {
            Route::Line(_) if self.options.waits() => {
                self.start_persistent(method, args, end, false, observed)
            }
            Route::One(_) if self.options.repeats() => {
                self.start_persistent(method, args, end, false, observed)
            }
            Route::One(_) | Route::Line(_) => {
                let (connection, seq) =
                    self.start_call(method, args, end.as_ref(), None, observed)?;
                Ok(Call::new(connection.into_owned(), seq, end))
            }
        }
    }

    /// Starts a call that keeps its arguments, to be sent again; `awaited` if its caller waits already.
    fn start_persistent<A: Arguments + ?Sized, R>(
        &self,
        method: &str,
        args: &A,
        end: Option<End>,
        awaited: bool,
        observed: &MadeCall,
    ) -> Result<Call<R>, Error> {
        let Route::Line(line) = &self.route else {
            let text = "only a client that reconnects sends calls again: set ClientBuilder::reconnect and use \
                        `dial` or `connect_with`, for a stream that was given cannot be made again";
            return Err(unsupported(text));
        };
        let connection = line.current(true).map_err(Unsent::lost)?;
        let mut body = Vec::new();
        args.encode(&connection.shared.format, &mut body).map_err(Error::Encode)?;
        let metadata = self.metadata(&connection, observed).into_owned();
        let repeat = self.options.repeats().then(|| line.allowance().call(Semantics::AtLeastOnce));
        let mut again = Again::new(line.clone(), method, body, metadata, end, repeat);
        let sent = again.send(awaited)?;
        Ok(Call::persistent(sent, end, again))
    }

    /// Sends a call: on which connection, and its number there.
    #[inline]
    fn start_call<A: Arguments + ?Sized>(
        &self,
        method: &str,
        args: &A,
        end: Option<&End>,
        waker: Option<&Waker>,
        observed: &MadeCall,
    ) -> Result<(Cow<'_, Arc<Handle>>, u64), Error> {
        match &self.route {
            Route::One(connection) => {
                let seq = self.send(connection, method, args, end, waker, observed)?;
                Ok((Cow::Borrowed(connection), seq))
            }
            Route::Line(line) => {
                let mut connection = line.current(self.options.waits()).map_err(Unsent::lost)?;
                loop {
                    match self.send(&connection, method, args, end, waker, observed) {
                        Ok(seq) => return Ok((Cow::Owned(connection), seq)),
                        Err(Unsent::Ended(_)) => {
                            connection = line.renew(&connection).map_err(Unsent::lost)?;
                        }
                        Err(unsent) => return Err(unsent.into()),
                    }
                }
            }
        }
    }

    fn send<A: Arguments + ?Sized>(
        &self,
        connection: &Handle,
        method: &str,
        args: &A,
        end: Option<&End>,
        waker: Option<&Waker>,
        observed: &MadeCall,
    ) -> Result<u64, Unsent> {
        let metadata = self.metadata(connection, observed);
        let shared = &*connection.shared;
        let encode = |frame: &mut Vec<u8>| args.encode(&shared.format, frame);
        send(shared, method, &metadata, end, waker, waker.is_some(), |_| 0, encode)
    }

    /// What a call sends along.
    #[inline]
    fn metadata<'a>(&'a self, connection: &Handle, observed: &MadeCall) -> Cow<'a, Metadata> {
        match connection.shared.limits.wire {
            None => observed.metadata(&self.options.metadata),
            // What Go's protocols cannot carry stays here.
            Some(_) => Cow::Borrowed(&self.options.metadata),
        }
    }

    /// Whether the server is a Go program.
    #[cfg(feature = "tower")]
    fn speaks_go(&self) -> bool {
        match &self.route {
            Route::One(connection) => connection.shared.limits.wire.is_some(),
            Route::Line(line) => line.limits().wire.is_some(),
        }
    }

    /// Whether a call that ended so is sent again: it has not run, and its caller waits.
    fn sends_again(&self, error: &Error) -> bool {
        match &self.route {
            Route::One(_) => false,
            Route::Line(line) => self.options.waits() && can_be_sent_again(error, line),
        }
    }

    /// Waits until there is room for a request.
    async fn room(&self, end: Option<End>) -> Result<(), Error> {
        let connection = match &self.route {
            Route::One(connection) => connection.clone(),
            Route::Line(line) => line.current(true).map_err(Unsent::lost)?,
        };
        let room = connection.shared.room();
        match end.and_then(|end| end.at) {
            Some(at) => tokio::time::timeout_at(at.into(), room)
                .await
                .map_err(|_| Error::Deadline { may_have_run: false }),
            None => {
                room.await;
                Ok(())
            }
        }
    }

    /// Ends the connection at once; Go's `client.Close`. Pending calls end with
    /// [`Error::Shutdown`], and the server cancels their handlers.
    ///
    /// It concerns every clone, and is for ever: a client that [reconnects](ClientBuilder::reconnect) makes
    /// no other connection, and gives up one that it is about to make. Closing twice does nothing.
    ///
    /// # Cancel safety
    /// The connection ends also if the future is dropped after its first poll.
    pub async fn close(&self) {
        for sessions in self.route.all_sessions() {
            sessions.part(&self.route).await;
        }
        match &self.route {
            Route::One(connection) => connection.shared.close().await,
            Route::Line(line) => line.close().await,
        }
    }

    /// Lets the connection's task notice what has happened while nobody drove it, where that decides on which
    /// connection the next call is made.
    #[cfg(feature = "blocking")]
    pub(crate) async fn look(&self) {
        if let Route::Line(_) = self.route {
            // Once for the runtime to look at its sockets, once for the task to have its turn.
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until what is queued has been offered to the operating system once.
    #[cfg(feature = "blocking")]
    pub(crate) async fn sent(&self) {
        match &self.route {
            Route::One(connection) => connection.shared.sent().await,
            Route::Line(line) => {
                if let Ok(connection) = line.current(true) {
                    connection.shared.sent().await;
                }
            }
        }
    }

    /// The calls that the client's [log](ClientBuilder::log) remembered when the client was made: those of the
    /// process before it whose outcome was not settled. They are sent again under their own numbers, whether or not
    /// anybody asks for them here.
    ///
    /// ```no_run
    /// # use netrpc::{Client, Error};
    /// # fn note(_: &[u8], _: Result<u64, Error>) {}
    /// # async fn f(client: Client) {
    /// let recovered = client.recovered();
    /// while let Some(call) = recovered.next().await {
    ///     let tag = call.tag().to_vec();
    ///     let (outcome, receipt) = call.outcome::<u64>();
    ///     note(&tag, outcome);
    ///     receipt.settle(); // from now on nobody remembers it
    /// }
    /// # }
    /// ```
    #[cfg(feature = "durable")]
    pub fn recovered(&self) -> Recovered {
        match &self.route {
            Route::One(_) => Recovered::none(),
            Route::Line(line) => line.recovered(),
        }
    }

    /// Whether calls made now fail because the connection has ended, or the server takes no more.
    ///
    /// Of a client that [reconnects](ClientBuilder::reconnect): whether it was closed.
    pub fn is_closed(&self) -> bool {
        match &self.route {
            Route::One(connection) => connection.shared.closed().is_some(),
            Route::Line(line) => line.is_closed(),
        }
    }

    /// Waits until [`go`](Self::go) would be taken: there is a connection, and room on it.
    ///
    /// ```no_run
    /// # async fn f(client: netrpc::Client) -> Result<(), netrpc::Error> {
    /// let mut calls = tokio::task::JoinSet::new();
    /// for n in 0..1_000_000u64 {
    ///     client.ready().await?; // at most `max_calls` are under way
    ///     calls.spawn(client.go::<_, u64>("Clock.Double", &n));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Room is not kept: of those who wait, the first to call has it.
    ///
    /// # Errors
    /// If waiting does not help: the connection has ended; the server cannot be reached, and these
    /// [options](CallOptions::wait_for_ready) do not wait for that; or it is unread replies that take the room
    /// ([`Error::TooManyCalls`], [`Error::TooMuchUnread`]), which only the holders of their calls can take.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) -> Result<(), Error> {
        match self.options.end()?.and_then(|end| end.at) {
            None => self.ready_at_last().await,
            Some(at) => tokio::time::timeout_at(at.into(), self.ready_at_last())
                .await
                .unwrap_or(Err(Error::Deadline { may_have_run: false })),
        }
    }

    async fn ready_at_last(&self) -> Result<(), Error> {
        #[cfg(feature = "tower")]
        if let Some(stack) = &self.layers {
            stack.ready().await;
        }
        if self.options.how_often().is_tracked() {
            self.route.sessions(self.options.how_often()).ready().await?;
        }
        let line = match &self.route {
            Route::One(connection) => {
                return connection.shared.ready().await.map_err(|not| match not {
                    NotReady::Ended(cause) => Unsent::lost(cause),
                    NotReady::Full(full) => full.error(&connection.shared.limits).1,
                });
            }
            Route::Line(line) => line,
        };
        let mut connection = line.current(self.options.waits()).map_err(Unsent::lost)?;
        loop {
            match connection.shared.ready().await {
                Ok(()) => return Ok(()),
                Err(NotReady::Full(full)) => return Err(full.error(&connection.shared.limits).1),
                Err(NotReady::Ended(cause)) => {
                    let closed = matches!(*cause, Disconnected::Closed);
                    if line.is_hopeless(&cause) && !closed {
                        return Err(Unsent::lost(cause));
                    }
                    line.current(self.options.waits()).map_err(Unsent::lost)?;
                    connection = line.renew(&connection).map_err(Unsent::lost)?;
                }
            }
        }
    }

    /// How the connection fares.
    pub fn state(&self) -> ConnectionState {
        match &self.route {
            Route::One(_) if self.is_closed() => ConnectionState::Closed,
            Route::One(_) => ConnectionState::Connected,
            Route::Line(line) => line.phase(),
        }
    }

    /// Waits until the state is another than `from`, and gives it.
    ///
    /// It tells states, not changes: one that lasts but a moment may not be seen.
    ///
    /// ```no_run
    /// # async fn f(client: netrpc::Client) {
    /// let mut state = client.state();
    /// while state != netrpc::ConnectionState::Closed {
    ///     println!("{state:?}");
    ///     state = client.state_changed(state).await;
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn state_changed(&self, from: ConnectionState) -> ConnectionState {
        match &self.route {
            Route::One(connection) => loop {
                let changed = connection.shared.changed.notified();
                let state = self.state();
                if state != from {
                    return state;
                }
                changed.await;
            },
            Route::Line(line) => line.phase_changed(from).await,
        }
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What a call takes: anything that can be encoded, or is encoded already.
trait Arguments {
    /// Appends them to a request.
    fn encode(&self, format: &Format, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

impl<A: Serialize + ?Sized> Arguments for A {
    fn encode(&self, format: &Format, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        format.encode(out, self)
    }
}

/// Why a request was not sent.
enum Unsent {
    /// The connection takes no more calls.
    Ended(Arc<Disconnected>),
    /// Boxed, so that to know that nothing of this is so takes no more than a register.
    Failed(Box<Error>),
}

impl Unsent {
    fn lost(cause: Arc<Disconnected>) -> Error {
        Error::Shutdown { may_have_run: false, cause }
    }
}

impl From<Unsent> for Error {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Ended(cause) => Unsent::lost(cause),
            Unsent::Failed(error) => *error,
        }
    }
}

impl From<Error> for Unsent {
    fn from(error: Error) -> Self {
        Unsent::Failed(Box::new(error))
    }
}

/// Whether a call was not sent for want of room, which there will be.
fn is_full(error: &Error) -> bool {
    matches!(error, Error::QueueFull { .. } | Error::TooManyCalls { .. })
}

/// A call that asks for less than its method insists on.
#[cold]
fn unmet(method: &str, demands: Demand) -> Error {
    let (often, least) = match demands {
        Demand::ExactlyOnce => ("exactly once", "ExactlyOnce"),
        _ => ("at most once", "AtMostOnce"),
    };
    unsupported(&format!(
        "{method} insists on running {often}: call it with CallOptions::semantics(Semantics::{least})"
    ))
}

/// A call that asks for what there is not.
fn unsupported(text: &str) -> Error {
    Error::Refused { refusal: Refusal::Unsupported, message: text.to_owned() }
}

/// Sends a request on a connection; `stamp` adds to its head.
#[allow(clippy::too_many_arguments)] // two of them are closures, for a call to pay only for what it has
fn send(
    shared: &Shared,
    method: &str,
    metadata: &Metadata,
    end: Option<&End>,
    waker: Option<&Waker>,
    awaited: bool,
    stamp: impl FnOnce(&mut Vec<u8>) -> u16,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<u64, Unsent> {
    if shared.limits.wire.is_some() && !metadata.is_empty() {
        return Err(unsupported("Go's protocols cannot carry metadata").into());
    }
    // Encoded outside every lock: `Serialize` is the caller's own code.
    with_scratch(|frame| {
        let start = wire::begin(frame);
        let fields = RequestFields { deadline: end.map(|end| end.left), metadata: Some(metadata) };
        let head_len =
            wire::write_request_head(frame, method, &fields).map_err(|error| match error {
                // Go's text: a name without a dot would be refused by any server.
                WriteHeadError::Name { length: 0 } => Error::Refused {
                    refusal: Refusal::IllFormed,
                    message: "rpc: service/method request ill-formed: ".to_owned(),
                },
                error => Error::TooLarge(netrpc_core::error::chain(&error).to_string()),
            })?;
        let head_len = head_len + stamp(frame);
        encode(frame).map_err(Error::Encode)?;
        let deadline = end.and_then(|end| end.at);
        let measured = start.measure(frame, head_len, shared.limits.max_frame);
        let measured = match &measured {
            Ok(measured) => measured,
            Err(length) => return Err(too_large(shared, length).into()),
        };
        match shared.queue(Request { frame, measured, deadline, awaited }, waker) {
            Queued::Call(seq) => Ok(seq),
            Queued::Ended(cause) => Err(Unsent::Ended(cause)),
            Queued::Full(full) => {
                let (limit, error) = full.error(&shared.limits);
                observe::limit(limit);
                Err(error.into())
            }
        }
    })
}

#[cold]
fn too_large(shared: &Shared, FrameTooLarge { length, limit }: &FrameTooLarge) -> Error {
    Error::TooLarge(if shared.limits.over_datagrams {
        format!(
            "it has {length} bytes, and {limit} of them fit into a datagram of this client \
             (ClientBuilder::max_datagram)"
        )
    } else {
        format!("it has {length} bytes, this client's limit is {limit} (ClientBuilder::max_frame)")
    })
}

/// The largest scratch buffer a thread keeps.
const KEEP_SCRATCH: usize = 16 * 1024;

/// Lends an empty buffer that this thread uses again and again.
fn with_scratch<T>(f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        // Boxed, so that to take it and to put it back is to move a pointer.
        #[allow(clippy::box_collection)]
        static SCRATCH: Cell<Option<Box<Vec<u8>>>> = const { Cell::new(None) };
    }
    SCRATCH.with(|kept| {
        // Taken, not borrowed: `f` runs the caller's `Serialize`, which may call in turn.
        let mut scratch = kept.take().unwrap_or_default();
        let value = f(&mut scratch);
        if scratch.capacity() <= KEEP_SCRATCH {
            scratch.clear();
            kept.set(Some(scratch));
        }
        value
    })
}

/// The runtime's clock: real, or paused in tests.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
