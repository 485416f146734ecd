//! Why a ledger's file cannot be opened.

use std::path::PathBuf;

use netrpc_core::ledger::StoreFailed;
use thiserror::Error;

use crate::tables::FORMAT;

/// A ledger's file cannot be opened; nothing in it was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another server has it open.
    #[error(
        "another process has the ledger open: {path} (a ledger belongs to one server at a time)"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A newer version has written it.
    #[error(
        "the ledger {path} has format {found}, and this version knows formats up to {FORMAT}: it was \
         written by a newer one, which alone may open it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is a file of something else.
    #[error("{path} is not a ledger: {reason}")]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its bytes are not those that were written.
    #[error(
        "the ledger {path} is corrupted: {reason} (restore a backup, and open it as one: OpenOptions::restored)"
    )]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system, or the disk, has refused something.
    #[error("the ledger {path} cannot be opened")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What was said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn failed(
        path: &std::path::Path,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        OpenError::Failed { path: path.to_owned(), cause: cause.into() }
    }
}

/// What the store says when it is asked for something after its end.
#[derive(Debug, Error)]
#[error("the store is closed")]
pub(crate) struct Closed;

/// A record is not of its form: the file was changed by somebody else.
#[derive(Debug, Error)]
#[error("the ledger's {0} are not of their form")]
pub(crate) struct Misshapen(pub(crate) &'static str);

pub(crate) fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> StoreFailed {
    StoreFailed { cause: std::sync::Arc::new(cause) }
}
