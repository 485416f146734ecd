//! One method of a service: its names, what it declares about itself, and its handler.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::{Body, ReplyBuf};
use crate::{Context, Fault, semantics::Demand};

/// A synchronous handler: decodes the arguments, runs, encodes the reply.
pub type SyncHandler<S> = fn(&Arc<S>, &Context, &Body, &mut ReplyBuf) -> Result<(), Fault>;

/// An asynchronous handler: the same, as a future that owns what it needs.
pub type AsyncHandler<S> = fn(Arc<S>, Context, Body, ReplyBuf) -> HandlerFuture;

/// What an asynchronous handler returns.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// The end of an asynchronous handler: its buffer back, and how it went.
#[derive(Debug)]
pub struct Finished {
    /// The buffer, holding the encoded reply if `result` is `Ok`.
    pub reply: ReplyBuf,
    /// Whether the method succeeded.
    pub result: Result<(), Fault>,
}

/// One method of a service `S`; written by `#[service]`, or by hand with the `const` builder here.
pub struct Method<S> {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) doc: &'static str,
    pub(super) types: fn() -> (&'static str, &'static str),
    pub(super) options: MethodOptions,
    pub(super) handler: Handler<S>,
}

pub(super) enum Handler<S> {
    Sync(SyncHandler<S>),
    Async(AsyncHandler<S>),
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Handler<S> {}

/// What a method declares about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MethodOptions {
    /// It is handed a [`Context`] of its own: it asks for one, or demands something of its calls. Others are
    /// handed one that knows only the connection.
    pub context: bool,
    /// It blocks its thread, so it always runs on the thread pool.
    pub blocking: bool,
    /// What its callers must ask for.
    pub demands: Demand,
    /// Once begun it runs to its end, also when nobody waits for the reply any more.
    pub no_cancel: bool,
}

impl MethodOptions {
    /// Whether a call needs nothing but its arguments to run, and whoever may call at all may call it: no
    /// context is made for it, and its request's head is not looked at.
    pub(super) fn is_plain(self) -> bool {
        !self.context
    }
}

impl<S> Method<S> {
    /// A method with a synchronous handler.
    pub const fn sync(name: &'static str, handler: SyncHandler<S>) -> Self {
        Self::new(name, Handler::Sync(handler))
    }

    /// A method with an asynchronous handler.
    pub const fn asynchronous(name: &'static str, handler: AsyncHandler<S>) -> Self {
        Self::new(name, Handler::Async(handler))
    }

    const fn new(name: &'static str, handler: Handler<S>) -> Self {
        let options = MethodOptions {
            context: false,
            blocking: false,
            demands: Demand::None,
            no_cancel: false,
        };
        Method { name, aliases: &[], doc: "", types: || ("", ""), options, handler }
    }

    /// Other names it answers to.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Its documentation, for people.
    #[must_use]
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// The names of its argument and reply types, for people.
    #[must_use]
    pub const fn types(mut self, types: fn() -> (&'static str, &'static str)) -> Self {
        self.types = types;
        self
    }

    /// Its handler asks for the [`Context`].
    #[must_use]
    pub const fn with_context(mut self) -> Self {
        self.options.context = true;
        self
    }

    /// Its handler blocks the thread: run it on the pool.
    #[must_use]
    pub const fn blocking(mut self) -> Self {
        self.options.blocking = true;
        self
    }

    /// Running it twice does no more than running it once.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.options.demands = Demand::Idempotent;
        self
    }

    /// It must not run twice: calls that do not ask for that are refused.
    #[must_use]
    pub const fn at_most_once(mut self) -> Self {
        self.options.demands = Demand::AtMostOnce;
        self.options.context = true;
        self
    }

    /// It must not run twice nor be forgotten, and what it does is committed together with its outcome.
    #[must_use]
    pub const fn exactly_once(mut self) -> Self {
        self.options.demands = Demand::ExactlyOnce;
        self.options.context = true;
        self
    }

    /// Once begun it runs to its end.
    #[must_use]
    pub const fn no_cancel(mut self) -> Self {
        self.options.no_cancel = true;
        self
    }
}

impl<S> fmt::Debug for Method<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.name)
            .field("aliases", &self.aliases)
            .field("options", &self.options)
            .field("asynchronous", &matches!(self.handler, Handler::Async(_)))
            .finish_non_exhaustive()
    }
}
