//! The span of a call, on either side.
//!
//! Names and fields are those of OpenTelemetry's conventions for calls, where they have one; see
//! `docs/OBSERVABILITY.md`.

use std::{borrow::Cow, sync::Arc};

use netrpc_core::{
    Error, Metadata,
    fault::FaultCode,
    service::Entry,
    trace::{SpanId, TRACEPARENT, TraceContext, TraceId},
    wire::RequestHead,
};
use tracing::{
    Level, Span,
    field::{DisplayValue, Empty, debug, display},
    span_enabled,
};

use super::{ABANDONED, Arrival, ClientObserver, DETACHED, DROPPED, OK, OTHER, ServerObserver};
use crate::trace::{self, Propagation};

/// The target of spans of calls that are served.
const SERVED: &str = "netrpc::server::call";

/// The target of spans of calls that are made.
const MADE: &str = "netrpc::client::call";

/// The span of a call that is served.
#[derive(Debug)]
pub(super) struct ServedSpan {
    /// A disabled one if nobody is interested.
    span: Span,
    /// What calls that its handler makes are children of. Boxed, because most often there is none.
    context: Option<Box<TraceContext>>,
}

impl ServedSpan {
    /// The span of a call of `entry`, or of a method that there is not.
    pub(super) fn begin(
        observer: &ServerObserver,
        entry: Option<&Arc<Entry>>,
        arrival: Arrival<'_>,
    ) -> Self {
        let interesting = span_enabled!(target: SERVED, Level::INFO);
        // A head that is no more than a name is that of most calls.
        if !interesting && !has_fields(arrival.head) {
            return ServedSpan { span: Span::none(), context: None };
        }
        Self::open(observer, interesting, entry, arrival)
    }

    fn open(
        observer: &ServerObserver,
        interesting: bool,
        entry: Option<&Arc<Entry>>,
        Arrival { id, peer, head }: Arrival<'_>,
    ) -> Self {
        let head = RequestHead::parse(head).ok();
        let metadata = head.map_or_else(Default::default, |head| head.metadata);
        let caller = TraceContext::find(metadata);
        if !interesting {
            return ServedSpan { span: Span::none(), context: caller.map(Box::new) };
        }
        let method = entry.map_or(OTHER, |entry| entry.full_name());
        // Escaped: it is whatever the peer likes.
        let original = head.filter(|_| entry.is_none()).map(|head| debug(head.method));
        let propagator = observer.propagation.get();
        let ours = propagator.is_none().then(|| trace::child_of(caller.as_ref()));
        let ids = Ids::of(ours.as_ref(), caller.as_ref());
        let span = tracing::info_span!(
            target: SERVED,
            parent: None,
            "rpc.server",
            otel.name = method,
            otel.kind = "server",
            rpc.system.name = "netrpc",
            rpc.method = method,
            rpc.method_original = original,
            network.peer.address = %peer,
            netrpc.call = %id,
            trace_id = ids.trace,
            span_id = ids.span,
            parent_id = ids.parent,
            rpc.response.status_code = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        );
        if let Some(propagator) = propagator.filter(|_| !span.is_disabled()) {
            propagator.extract(&metadata.decode(), &span);
        }
        let context = ours.filter(|_| !span.is_disabled()).or(caller);
        ServedSpan { span, context: context.map(Box::new) }
    }

    pub(super) fn context(&self) -> Option<&TraceContext> {
        self.context.as_deref()
    }

    pub(super) fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        if self.span.is_disabled() && self.context.is_none() {
            return run();
        }
        let run = || self.span.in_scope(run);
        match &self.context {
            Some(context) => trace::enter((**context).clone(), run),
            None => run(),
        }
    }

    pub(super) fn finish(&mut self, outcome: Result<(), FaultCode>) {
        close(&mut self.span, outcome.map(|()| OK).map_err(FaultCode::kind));
    }
}

impl Drop for ServedSpan {
    fn drop(&mut self) {
        close(&mut self.span, Err(ABANDONED));
    }
}

/// The span of a call that is made.
#[derive(Debug)]
pub(super) struct MadeSpan {
    /// A disabled one if nobody is interested.
    span: Span,
    /// What to tell the server; `None` if the caller's metadata says it already, or nothing is to say.
    context: Option<Box<TraceContext>>,
    propagation: Propagation,
}

impl Default for MadeSpan {
    fn default() -> Self {
        MadeSpan { span: Span::none(), context: None, propagation: Propagation::default() }
    }
}

impl MadeSpan {
    pub(super) fn begin(observer: &ClientObserver, method: &str, metadata: &Metadata) -> Self {
        let propagation = observer.place.propagation.clone();
        let said = metadata.get_bytes(TRACEPARENT).is_some();
        if !span_enabled!(target: MADE, Level::INFO) {
            let context = if said { None } else { trace::current() };
            return MadeSpan { span: Span::none(), context: context.map(Box::new), propagation };
        }
        let parent = if said { TraceContext::from_metadata(metadata) } else { trace::current() };
        let server = observer.place.server.as_deref();
        let (address, port) = server.map_or((None, None), address);
        let ours = propagation.get().is_none().then(|| trace::child_of(parent.as_ref()));
        let ids = Ids::of(ours.as_ref(), parent.as_ref());
        let span = tracing::info_span!(
            target: MADE,
            "rpc.client",
            otel.name = method,
            otel.kind = "client",
            rpc.system.name = "netrpc",
            rpc.method = method,
            server.address = address,
            server.port = port,
            trace_id = ids.trace,
            span_id = ids.span,
            parent_id = ids.parent,
            rpc.response.status_code = Empty,
            error.type = Empty,
            netrpc.may_have_run = Empty,
            otel.status_code = Empty,
        );
        let context = ours.filter(|_| !span.is_disabled()).or(parent.filter(|_| !said));
        MadeSpan { span, context: context.map(Box::new), propagation }
    }

    /// The caller's metadata, and what this has to add.
    pub(super) fn metadata<'a>(&self, callers: &'a Metadata) -> Cow<'a, Metadata> {
        let propagator = self.propagation.get().filter(|_| !self.span.is_disabled());
        if self.context.is_none() && propagator.is_none() {
            return Cow::Borrowed(callers);
        }
        let mut metadata = callers.clone();
        if let Some(context) = &self.context {
            context.insert_into(&mut metadata);
        }
        if let Some(propagator) = propagator {
            propagator.inject(&self.span, &mut metadata);
        }
        // What is only about the call must not make it fail.
        if metadata.check().is_ok() { Cow::Owned(metadata) } else { Cow::Borrowed(callers) }
    }

    pub(super) fn finish(mut self, outcome: Result<(), &Error>) {
        if let Err(error) = outcome {
            self.span.record("netrpc.may_have_run", error.may_have_run());
        }
        close(&mut self.span, outcome.map(|()| OK).map_err(Error::kind));
    }

    pub(super) fn detach(mut self) {
        close(&mut self.span, Ok(DETACHED));
    }
}

impl Drop for MadeSpan {
    fn drop(&mut self) {
        close(&mut self.span, Err(DROPPED));
    }
}

/// Records the outcome and closes the span, once.
fn close(span: &mut Span, outcome: Result<&'static str, &'static str>) {
    let span = std::mem::replace(span, Span::none());
    if span.is_disabled() {
        return;
    }
    match outcome {
        Ok(status) => {
            span.record("rpc.response.status_code", status);
        }
        Err(kind) => {
            span.record("rpc.response.status_code", kind)
                .record("error.type", kind)
                .record("otel.status_code", "ERROR");
        }
    }
}

/// The ids that a span shows: its own, and its parent's if that is known.
struct Ids {
    trace: Option<DisplayValue<TraceId>>,
    span: Option<DisplayValue<SpanId>>,
    parent: Option<DisplayValue<SpanId>>,
}

impl Ids {
    /// None, if the span's own are not ours.
    fn of(own: Option<&TraceContext>, parent: Option<&TraceContext>) -> Self {
        Ids {
            trace: own.map(|own| display(own.trace_id())),
            span: own.map(|own| display(own.span_id())),
            parent: own.and(parent).map(|parent| display(parent.span_id())),
        }
    }
}

/// Whether a request says more than the name of its method.
fn has_fields(head: &[u8]) -> bool {
    head.first().is_some_and(|name_len| head.len() > 1 + usize::from(*name_len))
}

/// An address's host and port, where it has them.
fn address(server: &str) -> (Option<&str>, Option<u16>) {
    match server.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (Some(host), Some(port)),
        Some((_, Err(_))) | None => (Some(server), None),
    }
}
