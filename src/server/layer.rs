//! Layers of tower before a server's handlers.

use std::{
    any::Any,
    error::Error,
    fmt,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use bytes::Bytes;
use netrpc_core::{
    Context, Fault, Metadata, Peer,
    codec::Format,
    dialect::Protocol,
    error::chain,
    fault::FaultCode,
    service::{Body, ReplyBuf},
    session, wire,
};
use serde::{Serialize, de::DeserializeOwned};
use tower::{Layer, Service, load_shed::error::Overloaded, timeout::error::Elapsed};

use super::{
    ServerBuilder,
    answer::Reply,
    authorize::{CallInfo, Named},
    connection::Stream,
    passage::Passage,
    tracked::call::Call,
};
use crate::middleware::{
    BoxError,
    shared::{Answering, Shared, Visitor},
};

/// A call on its way through the layers of a server to its handler.
///
/// A clone is the same call: each of them that gets to the end runs the handler, and the call is
/// answered once.
#[derive(Clone)]
pub struct Request {
    cx: Context,
    method: Named,
    protocol: Protocol,
    body: Bytes,
    format: Format,
    end: Arc<dyn End>,
}

impl Request {
    /// The method's full name, `Arith.Multiply`; see [`CallInfo::full_name`].
    pub fn full_name(&self) -> &str {
        self.method.full_name()
    }

    /// What checks see of the call.
    pub fn info(&self) -> CallInfo {
        CallInfo::new(self.cx.clone(), self.method.clone(), self.protocol)
    }

    /// The call as its handler will see it.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// Where the call comes from.
    pub fn peer(&self) -> &Peer {
        self.cx.peer()
    }

    /// When the caller stops waiting; `None` if it never does.
    pub fn deadline(&self) -> Option<Instant> {
        self.cx.deadline()
    }

    /// Metadata that came with the call.
    pub fn metadata(&self) -> &Metadata {
        self.cx.metadata()
    }

    /// The same, to be changed for whoever comes after.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        self.cx.metadata_mut()
    }

    /// What a check or an earlier layer has left.
    pub fn extension<T: Any>(&self) -> Option<&T> {
        self.cx.extension()
    }

    /// Leaves a value for whoever comes after: the handler finds it in [`Context::extension`].
    pub fn insert_extension<T: Any + Send + Sync>(&mut self, value: T) {
        self.cx.insert_extension(value);
    }

    /// The arguments as they came: MessagePack, or what a Go program speaks.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Replaces the encoded arguments.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
    }

    /// Decodes the arguments, whatever they are encoded in.
    ///
    /// # Errors
    /// A fault for the caller, if they are not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        Body::new(self.body.clone(), self.format.clone()).decode()
    }

    /// An answer to this call that is not the handler's, encoded as its caller expects it.
    ///
    /// # Errors
    /// A fault for the caller, if `reply` cannot be encoded.
    pub fn answer<R: Serialize + ?Sized>(&self, reply: &R) -> Result<Response, Fault> {
        let mut buffer = Vec::new();
        let start = wire::begin(&mut buffer);
        let mut encoded = ReplyBuf::new(buffer, self.format.clone());
        encoded.encode(reply)?;
        Ok(Response(Reply { start, reply: encoded, metadata: Metadata::new() }))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.full_name())
            .field("protocol", &self.protocol)
            .field("context", &self.cx)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The reply to a call on its way back through the layers.
pub struct Response(Reply);

impl Response {
    /// The reply as it is encoded: in MessagePack, or what a Go program speaks.
    pub fn body(&self) -> &[u8] {
        &self.0.reply.as_bytes()[wire::HEADER_LEN..]
    }

    /// Metadata that goes back with the reply. Go's protocols have no place for it.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.0.metadata
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("metadata", &self.0.metadata)
            .field("bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// What a layer of a server stands before: the next layer, or the handlers.
///
/// The handlers are always ready.
#[derive(Clone)]
pub struct Next {
    /// `None` for the handlers.
    layer: Option<Visitor<Request, Response, Fault>>,
}

impl Service<Request> for Next {
    type Response = Response;
    type Error = Fault;
    type Future = NextFuture;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Fault>> {
        match &mut self.layer {
            Some(layer) => layer.poll_ready(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request) -> NextFuture {
        NextFuture(match &mut self.layer {
            Some(layer) => layer.call(request),
            None => request.end.clone().run(request),
        })
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.layer.is_some() { "Next(layer)" } else { "Next(handlers)" })
    }
}

/// The future of [`Next`].
#[must_use = "futures do nothing unless polled"]
pub struct NextFuture(Answering<Response, Fault>);

impl Future for NextFuture {
    type Output = Result<Response, Fault>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for NextFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextFuture")
    }
}

/// Where a call's way ends.
pub(super) trait End: Send + Sync {
    /// Runs the handler.
    fn run(self: Arc<Self>, request: Request) -> Answering<Response, Fault>;
}

impl<IO: Stream> End for Passage<IO> {
    fn run(self: Arc<Self>, request: Request) -> Answering<Response, Fault> {
        let Request { cx, body, format, .. } = request;
        Box::pin(async move { self.handle(cx, Body::new(body, format)).await.map(Response) })
    }
}

impl End for Call {
    fn run(self: Arc<Self>, request: Request) -> Answering<Response, Fault> {
        let Request { cx, body, format, .. } = request;
        Box::pin(async move { self.handle(cx, Body::new(body, format)).await.map(Response) })
    }
}

/// All layers of a server.
pub(super) type Stack = Shared<Request, Response, Fault>;

/// A layer without its type.
pub(super) type AnyLayer = Arc<dyn Fn(Next) -> Stack + Send + Sync>;

impl ServerBuilder {
    /// Puts a layer of [`tower`] before the handlers, whatever protocol a call comes in. The first is the
    /// outermost; all of them stand behind the [check](Self::authorize) of the call, if there is one. See
    /// [`middleware`](crate::middleware).
    ///
    /// ```
    /// use netrpc::{Server, middleware::server::Request};
    /// use std::time::Duration;
    /// use tower::{ServiceBuilder, timeout::TimeoutLayer};
    ///
    /// let server = Server::builder()
    ///     .layer(ServiceBuilder::new().map_request(|mut request: Request| {
    ///         request.metadata_mut().remove("internal");
    ///         request
    ///     }))
    ///     .layer(TimeoutLayer::new(Duration::from_secs(10)));
    /// # let _ = server.build();
    /// ```
    ///
    /// A call that passes layers counts as one of [`max_calls`](Self::max_calls) from before the first
    /// of them until it is answered and its handler has ended. A layer can answer without the handler, or
    /// run it more than once; a call is answered once. Calls of methods that do not exist pass the
    /// layers too.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response> + Send + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        let layer = move |next| Shared::new(layer.layer(next), |error| fault(error.into()));
        self.hooks.layers.push(Arc::new(layer));
        self
    }
}

/// Applies the layers, the last one first.
pub(super) fn stack(layers: &[AnyLayer]) -> Option<Stack> {
    layers.iter().rev().fold(None, |next: Option<Stack>, layer| {
        Some(layer(Next { layer: next.map(|next| next.visitor()) }))
    })
}

impl<IO: Stream> Passage<IO> {
    /// Has the call pass the layers.
    pub(super) async fn descend(
        self: Arc<Self>,
        stack: &Stack,
        cx: Context,
        body: Body,
    ) -> Result<Reply, Fault> {
        descend(stack, (self.named(), self.protocol), cx, body, self).await
    }
}

/// Has a call pass the layers on its way to its end.
pub(super) async fn descend(
    stack: &Stack,
    (method, protocol): (Named, Protocol),
    cx: Context,
    body: Body,
    end: Arc<dyn End>,
) -> Result<Reply, Fault> {
    let (body, format) = body.into_parts();
    let request = Request { cx, method, protocol, body, format, end };
    stack.call(request).await.map(|Response(reply)| reply)
}

/// What a layer has failed with, to the caller.
fn fault(error: BoxError) -> Fault {
    let error = match error.downcast::<Fault>() {
        Ok(fault) => return *fault,
        Err(error) => error,
    };
    let mut next: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(cause) = next {
        if let Some(fault) = cause.downcast_ref::<Fault>() {
            return fault.clone();
        }
        if cause.is::<Elapsed>() {
            return session::expired();
        }
        if cause.is::<Overloaded>() {
            return Fault::overloaded("the server has too much to do");
        }
        next = cause.source();
    }
    Fault::with_code(FaultCode::Failed, chain(&*error).to_string())
}
