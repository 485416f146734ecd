//! A call's place in a trace, as W3C's *Trace Context* has it: who called, in which trace.
//!
//! It travels in a call's [metadata](Metadata), under the names that it has in HTTP:
//!
//! ```text
//! traceparent  00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!              │  the trace's id                   │ the caller's   └ whether it is recorded
//!              └ version                           └ span id
//! tracestate   what systems on the way have to say to themselves, handed on as it is
//! ```
//!
//! The rules are those of <https://www.w3.org/TR/trace-context-1/>. Ids are made elsewhere: randomness is
//! an argument.

mod id;
mod parent;
mod state;

use std::fmt;

pub use id::{SpanId, TraceId};
pub use parent::TraceParentError;
pub use state::{TraceState, TraceStateError};

use crate::Metadata;

/// The key in a call's metadata that says which span of which trace makes the call.
pub const TRACEPARENT: &str = "traceparent";

/// The key in a call's metadata for what tracing systems say to themselves.
pub const TRACESTATE: &str = "tracestate";

/// Which span of which trace does something: makes a call, or serves one.
///
/// ```
/// use netrpc_core::trace::TraceContext;
///
/// let caller: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// assert_eq!(caller.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(caller.span_id().to_string(), "00f067aa0ba902b7");
/// assert!(caller.is_sampled());
/// # Ok::<(), netrpc_core::trace::TraceParentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
    state: TraceState,
}

impl TraceContext {
    /// A span of a trace; `sampled` if it is recorded somewhere.
    pub const fn new(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        TraceContext { trace, span, sampled, state: TraceState::NONE }
    }

    /// The same with what tracing systems say to themselves.
    #[must_use]
    pub fn with_state(self, state: TraceState) -> Self {
        TraceContext { state, ..self }
    }

    /// Another span of the same trace, with the same state.
    #[must_use]
    pub fn child(&self, span: SpanId) -> Self {
        TraceContext { span, ..self.clone() }
    }

    /// The trace's id.
    pub fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// The span's id; `traceparent` calls it the *parent id*, because it is that of whoever is called.
    pub fn span_id(&self) -> SpanId {
        self.span
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// What tracing systems say to themselves; most often nothing.
    pub fn state(&self) -> &TraceState {
        &self.state
    }

    /// The caller's place in a trace; `None` if it has not said, or not in a way that means
    /// anything. A `tracestate` that is malformed counts as none.
    pub fn from_metadata(metadata: &Metadata) -> Option<Self> {
        Self::find(metadata)
    }

    /// As [`from_metadata`](Self::from_metadata), from entries that need not be copied for it.
    pub fn find<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let (mut parent, mut state) = (None, None);
        for (key, value) in entries {
            match key {
                TRACEPARENT => parent = Some(parent::parse(value).ok()?),
                TRACESTATE => state = std::str::from_utf8(value).ok(),
                _ => {}
            }
        }
        let (parent, state): (Self, _) = (parent?, state.map(str::parse));
        Some(parent.with_state(state.and_then(Result::ok).unwrap_or_default()))
    }

    /// Says so in a call's metadata, in place of what it said before.
    pub fn insert_into(&self, metadata: &mut Metadata) {
        metadata.insert(TRACEPARENT, parent::format(self));
        if self.state.is_empty() {
            metadata.remove(TRACESTATE);
        } else {
            metadata.insert(TRACESTATE, self.state.as_str());
        }
    }
}

/// As in `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = parent::format(self);
        f.write_str(std::str::from_utf8(&text).expect("it is ASCII"))
    }
}

/// From a `traceparent`.
impl std::str::FromStr for TraceContext {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        parent::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_crosses_in_metadata_and_takes_nothing_else_along() {
        let mut metadata = Metadata::new();
        metadata.insert("tenant", "blue");
        assert_eq!(TraceContext::from_metadata(&metadata), None);
        let context: TraceContext = PARENT.parse().unwrap();
        let context = context.with_state("congo=t61rcWkgMzE,rojo=1".parse().unwrap());
        context.insert_into(&mut metadata);
        assert_eq!(metadata.get(TRACEPARENT), Some(PARENT));
        assert_eq!(metadata.get(TRACESTATE), Some("congo=t61rcWkgMzE,rojo=1"));
        assert_eq!(TraceContext::from_metadata(&metadata), Some(context.clone()));

        // The caller's state does not stay behind where another context has none.
        context.with_state(TraceState::NONE).insert_into(&mut metadata);
        assert_eq!((metadata.get(TRACESTATE), metadata.len()), (None, 2));
    }

    #[test]
    fn a_bad_state_leaves_its_parent_alone_and_a_bad_parent_takes_its_state_along() {
        let entries = |parent, state| [(TRACEPARENT, parent), (TRACESTATE, state)];
        let parent = PARENT.as_bytes();
        let found = TraceContext::find(entries(parent, b"UPPER=1")).unwrap();
        assert_eq!((found.to_string(), found.state().is_empty()), (PARENT.to_owned(), true));
        let found = TraceContext::find(entries(parent, b"\xff")).unwrap();
        assert!(found.state().is_empty());
        assert_eq!(TraceContext::find(entries(b"00-0", b"a=1")), None);
        assert_eq!(TraceContext::find([(TRACESTATE, &b"a=1"[..])]), None);
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let context: TraceContext = PARENT.parse().unwrap();
        let context = context.with_state("a=1".parse().unwrap());
        let child = context.child(SpanId::from_bytes([7; 8]).unwrap());
        assert_eq!(child.trace_id(), context.trace_id());
        assert_eq!(child.state().as_str(), "a=1");
        assert_eq!(child.to_string(), PARENT.replace("00f067aa0ba902b7", "0707070707070707"));
    }
}
