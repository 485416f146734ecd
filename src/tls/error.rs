//! What is wrong with a configuration.

use std::{error::Error, fmt};

/// Why there is no TLS configuration: a file that cannot be read, a key that is not the certificate's,
/// an authority that is none.
///
/// `Display` prints one level, [`source`](Error::source) the next.
#[derive(Debug)]
pub struct TlsError {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TlsError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        TlsError { what: what.into(), source: None }
    }

    pub(super) fn because(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        TlsError { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
