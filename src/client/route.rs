//! Where a client's calls go.

use std::sync::{Arc, Weak};

use netrpc_core::{Error, error::Disconnected, semantics::Semantics};

use super::{Handle, Unsent, line::Line, shared::Leaving, tracked::Sessions};

/// Where calls go.
#[derive(Clone)]
pub(super) enum Route {
    /// Over one connection, until it ends.
    One(Arc<Handle>),
    /// Over the connection that a line has at the time.
    Line(Arc<Line>),
}

/// The same, as long as a client or a call holds it.
#[derive(Debug)]
pub(super) enum WeakRoute {
    One(Weak<Handle>),
    Line(Weak<Line>),
}

impl Route {
    /// Where a call goes that waits for a connection.
    ///
    /// # Errors
    /// If there is none, and will be none.
    pub(super) fn current(&self) -> Result<Arc<Handle>, Error> {
        match self {
            Route::One(connection) => Ok(connection.clone()),
            Route::Line(line) => line.current(true).map_err(Unsent::lost),
        }
    }

    /// Where calls go now that `old` takes no more, for this reason.
    ///
    /// # Errors
    /// If they go nowhere.
    pub(super) fn renew(
        &self,
        old: &Arc<Handle>,
        cause: Arc<Disconnected>,
    ) -> Result<Arc<Handle>, Error> {
        match self {
            Route::One(_) => Err(Unsent::lost(cause)),
            Route::Line(line) => line.renew(old).map_err(Unsent::lost),
        }
    }

    /// The connection that is there already.
    pub(super) fn established(&self) -> Option<Arc<Handle>> {
        let connection = self.current().ok()?;
        connection.shared.is_established().then_some(connection)
    }

    /// Whether there will be another connection when this one has ended.
    pub(super) fn reconnects(&self) -> bool {
        matches!(self, Route::Line(_))
    }

    /// Whether another connection than one that ended so may do better.
    pub(super) fn has_hope(&self, cause: &Disconnected) -> bool {
        match self {
            Route::One(_) => false,
            Route::Line(line) => !line.is_hopeless(cause),
        }
    }

    /// Ends every connection, for ever.
    pub(super) fn leave(&self) {
        match self {
            Route::One(connection) => connection.shared.leave(Leaving::Closed),
            Route::Line(line) => drop(line.leave()),
        }
    }

    /// Where calls of this kind get their numbers.
    pub(super) fn sessions(&self, semantics: Semantics) -> &Arc<Sessions> {
        match self {
            Route::One(connection) => connection.sessions(),
            Route::Line(line) => match line.logged() {
                Some(logged) if semantics == Semantics::ExactlyOnce => logged,
                _ => line.sessions(),
            },
        }
    }

    /// All that there are.
    pub(super) fn all_sessions(&self) -> impl Iterator<Item = &Arc<Sessions>> {
        let (sessions, logged) = match self {
            Route::One(connection) => (connection.sessions.get(), None),
            Route::Line(line) => (Some(line.sessions()), line.logged()),
        };
        sessions.into_iter().chain(logged)
    }
}

impl WeakRoute {
    pub(super) fn upgrade(&self) -> Option<Route> {
        match self {
            WeakRoute::One(connection) => connection.upgrade().map(Route::One),
            WeakRoute::Line(line) => line.upgrade().map(Route::Line),
        }
    }
}
