//! Where something stands that goes on elsewhere.

/// The span and the trace that run on this thread now, to be gone on with on another.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    #[cfg(feature = "trace")]
    span: tracing::Span,
    #[cfg(feature = "trace")]
    context: Option<netrpc_core::trace::TraceContext>,
}

impl Here {
    pub(crate) fn now() -> Self {
        Here {
            #[cfg(feature = "trace")]
            span: tracing::Span::current(),
            #[cfg(feature = "trace")]
            context: crate::trace::current(),
        }
    }

    pub(crate) fn enter<T>(&self, run: impl FnOnce() -> T) -> T {
        #[cfg(feature = "trace")]
        {
            let run = || self.span.in_scope(run);
            match &self.context {
                Some(context) => crate::trace::enter(context.clone(), run),
                None => run(),
            }
        }
        #[cfg(not(feature = "trace"))]
        run()
    }
}
