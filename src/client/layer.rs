//! Layers of tower under a client's calls.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use netrpc_core::{
    Error, Metadata,
    codec::{EncodeError, Format},
    wire::{Kind, ReplyHead},
};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{runtime::Handle, sync::Notify};
use tower::{Layer, Service, timeout::error::Elapsed};

use super::{
    Arguments, Client, ClientBuilder, Route, Unsent,
    builder::ClientLimits,
    call::{Call, broken, failure},
    options::CallOptions,
    repeat::doubt,
    shared::Answer,
    tracked::{Told, Tracked},
};
use crate::{
    middleware::{
        BoxError,
        shared::{Answering, Shared, Visitor},
    },
    observe::MadeCall,
};

/// A call on its way through the layers of a client to its server.
///
/// A clone is the same call: each of them that gets to the end is sent, and the caller gets one answer.
///
/// Under [`Semantics::AtMostOnce`](crate::Semantics::AtMostOnce) and
/// [`ExactlyOnce`](crate::Semantics::ExactlyOnce) a request and all its clones are **one call under one number**,
/// however often layers send it: it runs once. One that is sent again gets the same answer, an error of the method
/// too; one that is sent while another is under way waits for it. It is given up when the last clone is gone.
#[derive(Clone)]
pub struct Request {
    method: Arc<str>,
    options: CallOptions,
    body: Bytes,
    trip: Arc<Trip>,
    /// The call, if it runs once. All clones share it, and one at a time has it.
    once: Option<Arc<tokio::sync::Mutex<Option<Tracked>>>>,
}

impl Request {
    /// The method's full name: `Arith.Multiply`.
    pub fn full_name(&self) -> &str {
        &self.method
    }

    /// Metadata that is sent along.
    pub fn metadata(&self) -> &Metadata {
        &self.options.metadata
    }

    /// The same, to be changed. Go's protocols carry none.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.options.metadata
    }

    /// When the call has to be over; `None` if it may take for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.options.latest()
    }

    /// Has the call be over by then, if it had more time before.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.options = std::mem::take(&mut self.options).deadline(deadline);
    }

    /// The encoded arguments: MessagePack, or what the client's [`Wire`](crate::Wire) has instead.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Replaces the encoded arguments. Those of a call that runs once are not to be replaced once it was sent:
    /// with others it is not sent again.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("options", &self.options)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The reply to a call on its way back through the layers of a client.
#[derive(Clone)]
pub struct Response {
    body: Bytes,
    format: Format,
    metadata: Metadata,
}

impl Response {
    /// The encoded reply.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Metadata that came with the reply.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Decodes the reply.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not an `R`.
    pub fn decode<R: DeserializeOwned>(&self) -> Result<R, Error> {
        self.format.decode(&self.body).map_err(Error::Decode)
    }

    fn new(answer: Answer) -> Result<Self, Error> {
        match answer {
            Answer::Frame(frame) if frame.kind == Kind::Reply => {
                let metadata = ReplyHead::parse(frame.head())
                    .map_err(|error| broken(format!("its head: {error}")))?
                    .metadata
                    .decode();
                Ok(Response { body: frame.body(), format: Format::MessagePack, metadata })
            }
            Answer::Foreign(reply) => {
                let (body, format) = *reply;
                Ok(Response { body, format, metadata: Metadata::new() })
            }
            Answer::Layered(response) => Ok(*response),
            failed => Err(failure(failed)),
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("metadata", &self.metadata)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What a layer of a client stands before: the next layer, or the connection.
///
/// The connection is always ready: a call that it has no room for waits there.
#[derive(Clone)]
pub struct Next {
    behind: Behind,
}

#[derive(Clone)]
enum Behind {
    Connection(Client),
    Layer(Visitor<Request, Response, Error>),
}

impl Service<Request> for Next {
    type Response = Response;
    type Error = Error;
    type Future = NextFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.behind {
            Behind::Layer(layer) => layer.poll_ready(cx),
            Behind::Connection(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request) -> NextFuture {
        NextFuture(match &mut self.behind {
            Behind::Layer(layer) => layer.call(request),
            Behind::Connection(client) => Box::pin(client.clone().send_request(request)),
        })
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.behind {
            Behind::Layer(_) => "Next(layer)",
            Behind::Connection(_) => "Next(connection)",
        })
    }
}

/// The future of [`Next`], and of a [`Client`] as a service.
#[must_use = "futures do nothing unless polled"]
pub struct NextFuture(Answering<Response, Error>);

impl Future for NextFuture {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for NextFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextFuture")
    }
}

/// What is known of a call that layers may send never, once or more often.
#[derive(Default)]
struct Trip {
    state: Mutex<Legs>,
}

#[derive(Default)]
struct Legs {
    /// Requests whose answer has not come.
    under_way: usize,
    /// Whether the method may have run.
    ran: bool,
    /// The caller has its answer: nothing is sent any more.
    over: bool,
}

impl Trip {
    /// The call is sent.
    fn depart(self: &Arc<Self>) -> Result<Leg, Error> {
        let mut legs = self.state.lock();
        if legs.over {
            return Err(Error::Layer {
                may_have_run: legs.ran,
                cause: "a layer sent a call that was over".into(),
            });
        }
        legs.under_way += 1;
        Ok(Leg { trip: self.clone(), ran: true })
    }

    /// The caller gets its answer; whether the method may have run.
    fn end(&self) -> bool {
        let mut legs = self.state.lock();
        legs.over = true;
        legs.ran || legs.under_way > 0
    }
}

/// A request that is under way.
struct Leg {
    trip: Arc<Trip>,
    /// Unless it turns out otherwise.
    ran: bool,
}

impl Drop for Leg {
    fn drop(&mut self) {
        let mut legs = self.trip.state.lock();
        legs.under_way -= 1;
        legs.ran |= self.ran;
    }
}

/// All layers of a client.
#[derive(Clone)]
pub(super) struct Stack {
    layers: Shared<Request, Response, Error>,
    /// Calls of `go` run in it.
    runtime: Handle,
    going: Arc<Going>,
}

/// Calls of `go` that are on their way: as many as the connection takes, in layers that may keep them
/// from it for long.
struct Going {
    /// Calls, and bytes of their arguments.
    now: Mutex<(usize, usize)>,
    limits: (usize, usize),
    /// Told when one has gone.
    gone: Notify,
}

impl Going {
    fn enter(self: &Arc<Self>, bytes: usize) -> Result<Place, Error> {
        let mut now = self.now.lock();
        let ((in_flight, queued), (calls, most)) = (*now, self.limits);
        if in_flight >= calls {
            return Err(Error::TooManyCalls { in_flight, limit: calls });
        }
        if queued > most {
            return Err(Error::QueueFull { queued, limit: most });
        }
        *now = (in_flight + 1, queued + bytes);
        Ok(Place { going: self.clone(), bytes })
    }

    fn has_room(&self) -> bool {
        let now = self.now.lock();
        now.0 < self.limits.0 && now.1 <= self.limits.1
    }
}

/// A call's place among them, until its answer is taken.
struct Place {
    going: Arc<Going>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut now = self.going.now.lock();
        *now = (now.0 - 1, now.1 - self.bytes);
        drop(now);
        self.going.gone.notify_waiters();
    }
}

/// Layers that are not applied yet, the first outermost.
#[derive(Clone, Default)]
pub(super) struct Layers(Vec<AnyLayer>);

/// A layer without its type.
type AnyLayer = Arc<dyn Fn(Next) -> Shared<Request, Response, Error> + Send + Sync>;

impl Layers {
    /// Puts the layers under the client's calls.
    pub(super) fn around(&self, client: Client, limits: &ClientLimits) -> Client {
        let mut stack = None;
        for layer in self.0.iter().rev() {
            let behind = match stack.take() {
                None => Behind::Connection(client.clone()),
                Some(layers) => Behind::Layer(Shared::visitor(&layers)),
            };
            stack = Some(layer(Next { behind }));
        }
        let limits = (limits.calls, limits.queued_bytes);
        let going = Going { now: Mutex::default(), limits, gone: Notify::new() };
        let (runtime, going) = (Handle::current(), Arc::new(going));
        let layers = stack.map(|layers| Stack { layers, runtime, going });
        Client { layers, ..client }
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.len().fmt(f)
    }
}

impl ClientBuilder {
    /// Puts a layer of [`tower`] under the calls of the client: those of [`call`](Client::call),
    /// [`go`](Client::go) and typed stubs. The first is the outermost. See
    /// [`middleware`](crate::middleware).
    ///
    /// ```no_run
    /// use netrpc::{Client, Error};
    /// use std::time::Duration;
    /// use tower::limit::{ConcurrencyLimitLayer, RateLimitLayer};
    ///
    /// # async fn f() -> Result<(), Error> {
    /// let client = Client::builder()
    ///     .layer(RateLimitLayer::new(100, Duration::from_secs(1)))
    ///     .layer(ConcurrencyLimitLayer::new(10))
    ///     .dial("localhost:1234")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Arguments are encoded before the first layer, and the reply is decoded behind it. A call that
    /// [`go`](Client::go) has started runs in a task of its own, so it goes on whether or not its handle is polled. A
    /// call's timeout holds for the layers too: whatever they wait for or try again, it is over then.
    ///
    /// Whether the method [may have run](Error::may_have_run) is known also where a layer ends the call:
    /// `false` if no layer passed it on, or nothing that was sent can have run.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response> + Send + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        let layer = move |next| Shared::new(layer.layer(next), |error| failed(error.into()));
        self.layers.0.push(Arc::new(layer));
        self
    }
}

impl Client {
    /// A call for a [`Service`]: this client's own, or one with layers around it. It has the client's
    /// [options](Client::with).
    ///
    /// ```no_run
    /// use netrpc::{Client, Error};
    /// use std::time::Duration;
    /// use tower::{ServiceBuilder, ServiceExt};
    ///
    /// # async fn f(client: Client) -> Result<(), tower::BoxError> {
    /// let request = client.request("Arith.Multiply", &(7, 8))?;
    /// let service = ServiceBuilder::new().timeout(Duration::from_secs(1)).service(client);
    /// let product: i64 = service.oneshot(request).await?.decode()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the arguments cannot be encoded, or the client is closed.
    pub fn request<A>(&self, method: &str, args: &A) -> Result<Request, Error>
    where
        A: Serialize + ?Sized,
    {
        let connection = match &self.route {
            Route::One(connection) => connection.clone(),
            Route::Line(line) => line.current(self.options.waits()).map_err(Unsent::lost)?,
        };
        let mut body = Vec::new();
        connection.shared.format.encode(&mut body, args).map_err(Error::Encode)?;
        let (options, body) = ((*self.options).clone(), body.into());
        let once = options.how_often().is_tracked().then(Arc::default);
        Ok(Request { method: method.into(), options, body, trip: Arc::default(), once })
    }

    /// The whole of a call through layers.
    pub(super) async fn call_layered<A, R>(
        &self,
        stack: &Stack,
        method: &str,
        args: &A,
        observed: &MadeCall,
    ) -> Result<R, Error>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let request = self.observed_request(method, args, observed)?;
        stack.pass(request).await?.decode()
    }

    /// The same as a task.
    pub(super) fn go_layered<A, R>(
        &self,
        stack: &Stack,
        method: &str,
        args: &A,
        observed: &MadeCall,
    ) -> Result<Call<R>, Error>
    where
        A: Serialize + ?Sized,
    {
        let request = self.observed_request(method, args, observed)?;
        let place = stack.going.enter(request.body.len())?;
        let passing = stack.clone();
        let task = async move { (passing.pass(request).await, place) };
        Ok(Call::layered(Journey { task: stack.runtime.spawn(task), detached: false }))
    }

    fn observed_request<A>(
        &self,
        method: &str,
        args: &A,
        observed: &MadeCall,
    ) -> Result<Request, Error>
    where
        A: Serialize + ?Sized,
    {
        let mut request = self.request(method, args)?;
        self.tell_along(&mut request, observed);
        Ok(request)
    }

    /// Has the request say where it stands in a trace.
    fn tell_along(&self, request: &mut Request, observed: &MadeCall) {
        if !self.speaks_go() {
            let metadata = observed.metadata(&request.options.metadata).into_owned();
            request.options.metadata = metadata;
        }
    }

    /// Sends a request as it is, and waits for the answer.
    async fn send_request(self, request: Request) -> Result<Response, Error> {
        let Request { method, options, body, trip, once } = request;
        let mut leg = trip.depart()?;
        let client = Client { options: Arc::new(options), layers: None, ..self };
        let answer = match once {
            Some(once) => client.exchange_shared(&once, &method, body).await,
            None => {
                let nobody = MadeCall::default();
                let read = |answer: &mut Option<Answer>| {
                    Response::new(answer.take().expect("there is an answer"))
                };
                let body = Encoded(body);
                Box::pin(client.exchange(&method, &body, &nobody, read)).await
            }
        };
        leg.ran = answer.as_ref().map_or_else(Error::may_have_run, |_| true);
        answer
    }
}

impl Client {
    /// Sends a call that runs once, or asks for it again, and waits for the answer.
    async fn exchange_shared(
        &self,
        once: &tokio::sync::Mutex<Option<Tracked>>,
        method: &str,
        body: Bytes,
    ) -> Result<Response, Error> {
        // Whoever has it waits for the answer; if that is dropped, the call is still under way.
        let had = once.lock();
        let mut had = match self.options.end()?.and_then(|end| end.at) {
            None => had.await,
            Some(at) => tokio::time::timeout_at(at.into(), had)
                .await
                .map_err(|_| Error::Deadline { may_have_run: true })?,
        };
        // One that has no number yet can go elsewhere.
        let call = match had.take().filter(Tracked::has_begun) {
            None => had.insert(self.tracked(method, &Encoded(body), &MadeCall::default())?),
            Some(call) => {
                let call = had.insert(call);
                call.ask_again(method, &body, &self.options)?;
                call
            }
        };
        let Told { answer, in_doubt } = call.outcome().await?;
        let outcome = Response::new(answer);
        if in_doubt { outcome.map_err(doubt) } else { outcome }
    }
}

impl Service<Request> for Client {
    type Response = Response;
    type Error = Error;
    type Future = NextFuture;

    /// Always ready: a call that there is no room for waits.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    /// Makes the call, through the layers of the client if it has some.
    fn call(&mut self, mut request: Request) -> NextFuture {
        let client = self.clone();
        // It may have been made before, by a clone.
        request.trip = Arc::default();
        NextFuture(Box::pin(async move {
            let observed = MadeCall::begin(&client.observer, request.full_name(), &request.options);
            client.tell_along(&mut request, &observed);
            let outcome = match &client.layers {
                Some(stack) => stack.pass(request).await,
                None => client.clone().send_request(request).await,
            };
            observed.finish(outcome.as_ref());
            outcome
        }))
    }
}

impl Stack {
    /// Waits until `go` would be taken.
    pub(super) async fn ready(&self) {
        loop {
            let gone = self.going.gone.notified();
            if self.going.has_room() {
                return;
            }
            gone.await;
        }
    }

    /// Has a call pass the layers, within its time.
    async fn pass(&self, mut request: Request) -> Result<Response, Error> {
        let end = request.options.end()?;
        request.options = request.options.until(end);
        let trip = request.trip.clone();
        let passing = self.layers.call(request);
        let passed = match end.and_then(|end| end.at) {
            Some(at) => tokio::time::timeout_at(at.into(), passing).await,
            None => Ok(passing.await),
        };
        let late = || Err(Error::Deadline { may_have_run: false });
        passed.unwrap_or_else(|_| late()).map_err(|error| honest(error, trip.end()))
    }
}

/// A call of `go` in its task.
pub(super) struct Journey {
    task: tokio::task::JoinHandle<(Result<Response, Error>, Place)>,
    detached: bool,
}

impl Journey {
    /// The answer, once it is there.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        Pin::new(&mut self.task).poll(cx).map(|ended| match ended {
            Ok((outcome, _)) => outcome.map(|response| Answer::Layered(Box::new(response))),
            Err(ended) => Err(Error::Layer { may_have_run: true, cause: ended.into() }),
        })
    }

    /// Lets it go on though nobody waits for it.
    pub(super) fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if !self.detached {
            self.task.abort();
        }
    }
}

/// Arguments that are encoded already.
struct Encoded(Bytes);

impl Arguments for Encoded {
    fn encode(&self, _: &Format, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

/// What a layer has failed with, to the caller; whether the method has run is not known here.
fn failed(error: BoxError) -> Error {
    let cause = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(cause) => cause,
    };
    let mut next: Option<&(dyn StdError + 'static)> = Some(&*cause);
    while let Some(error) = next {
        if error.is::<Elapsed>() {
            return Error::Deadline { may_have_run: false };
        }
        next = error.source();
    }
    Error::Layer { may_have_run: false, cause }
}

/// The same error, unless it promises what is not so.
fn honest(error: Error, may_have_run: bool) -> Error {
    match error {
        Error::Layer { cause, .. } => Error::Layer { may_have_run, cause },
        error if error.may_have_run() || !may_have_run => error,
        Error::Deadline { .. } => Error::Deadline { may_have_run },
        error => Error::Layer { may_have_run, cause: error.into() },
    }
}
