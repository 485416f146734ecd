//! A trace context of another kind than ours.

use std::{fmt, sync::Arc};

use crate::Metadata;

/// Carries a trace context of another kind than ours between the spans of this program and the
/// metadata of its calls.
///
/// Set one with `ServerBuilder::propagator` and `ClientBuilder::propagator`. Spans have no `trace_id`,
/// `span_id` and `parent_id` of ours then.
///
/// For `tracing-opentelemetry` it is
///
/// ```ignore
/// use netrpc::{Metadata, trace::Propagator};
/// use opentelemetry::{global, propagation::{Extractor, Injector}};
/// use tracing::Span;
/// use tracing_opentelemetry::OpenTelemetrySpanExt as _;
///
/// struct OpenTelemetry;
///
/// impl Propagator for OpenTelemetry {
///     fn extract(&self, metadata: &Metadata, span: &Span) {
///         let parent = global::get_text_map_propagator(|it| it.extract(&Entries(metadata)));
///         let _ = span.set_parent(parent);
///     }
///
///     fn inject(&self, span: &Span, metadata: &mut Metadata) {
///         let context = span.context();
///         global::get_text_map_propagator(|it| it.inject_context(&context, &mut Slots(metadata)));
///     }
/// }
///
/// struct Entries<'a>(&'a Metadata);
///
/// impl Extractor for Entries<'_> {
///     fn get(&self, key: &str) -> Option<&str> {
///         self.0.get(key)
///     }
///
///     fn keys(&self) -> Vec<&str> {
///         self.0.iter().map(|(key, _)| key).collect()
///     }
/// }
///
/// struct Slots<'a>(&'a mut Metadata);
///
/// impl Injector for Slots<'_> {
///     fn set(&mut self, key: &str, value: String) {
///         self.0.insert(key, value);
///     }
/// }
/// ```
pub trait Propagator: Send + Sync + 'static {
    /// A call has come with this metadata and is served in this span, which nobody has entered yet: its
    /// caller's is to be its parent.
    fn extract(&self, metadata: &Metadata, span: &tracing::Span);

    /// A call is about to be made in this span: its metadata is to say so.
    ///
    /// Metadata that is over its limits then is sent as it was.
    fn inject(&self, span: &tracing::Span, metadata: &mut Metadata);
}

/// The propagator of a server or a client, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Propagation(Option<Arc<dyn Propagator>>);

impl Propagation {
    pub(crate) fn by(propagator: impl Propagator) -> Self {
        Propagation(Some(Arc::new(propagator)))
    }

    pub(crate) fn get(&self) -> Option<&dyn Propagator> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Propagation(of its owner)" } else { "Propagation" })
    }
}
