//! A connection, on either side.

#[cfg(feature = "metrics")]
use std::sync::Arc;

use netrpc_core::error::Disconnected;

#[cfg(feature = "metrics")]
use super::metrics::{Link, Side};

/// A connection that is there: told of its beginning, its bytes and its end.
#[derive(Debug, Clone)]
pub(crate) struct ObservedConnection {
    #[cfg(feature = "metrics")]
    link: Option<Arc<Link>>,
}

impl ObservedConnection {
    /// A connection is served from now on.
    pub(crate) fn served() -> Self {
        ObservedConnection {
            #[cfg(feature = "metrics")]
            link: Link::open(Side::Server).map(Arc::new),
        }
    }

    /// A connection is called over from now on.
    pub(crate) fn dialled() -> Self {
        ObservedConnection {
            #[cfg(feature = "metrics")]
            link: Link::open(Side::Client).map(Arc::new),
        }
    }

    /// A batch of so many bytes has come.
    pub(crate) fn received(&self, bytes: usize) {
        let _ = bytes;
        #[cfg(feature = "metrics")]
        if let Some(link) = &self.link {
            link.received(bytes as u64);
        }
    }

    /// So many bytes have been handed to the operating system.
    pub(crate) fn sent(&self, bytes: u64) {
        let _ = bytes;
        #[cfg(feature = "metrics")]
        if let Some(link) = &self.link {
            link.sent(bytes);
        }
    }

    /// It has ended: in peace, or of this. Told once, and without a lock.
    pub(crate) fn ended(&self, cause: Option<&Disconnected>) {
        let _ = cause;
        #[cfg(feature = "metrics")]
        if let Some(link) = &self.link {
            link.end(cause.map_or("done", Disconnected::kind));
        }
    }
}

/// A connection was sent away before it was served, for a reason of this kind.
pub(crate) fn refused_connection(kind: &'static str) {
    let _ = kind;
    #[cfg(feature = "metrics")]
    super::metrics::refused_connection(kind);
}
