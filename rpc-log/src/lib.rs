//! The log of a [netrpc](https://docs.rs/netrpc) client: calls that are remembered before they are sent.
//!
//! A client that may crash writes each call down, with the number it has in its session, and sends it only
//! when that is on disk ([`Log::sync`]). After a crash it finds the calls whose outcome it has not
//! [settled](Log::settle), resumes its session and sends them again *under their own numbers*: the
//! server's ledger answers those that have run.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("client.log");
//! # use netrpc_core::semantics::{Domain, Incarnation, Secret, SessionId};
//! use netrpc_log::{Log, Session};
//!
//! # let session = Session {
//! #     domain: Domain(1), session: SessionId(7), incarnation: Incarnation(0), secret: Secret::new([0; 16]),
//! # };
//! let mut log = Log::open(&path)?;
//! log.session(session);
//! log.call(1, b"order 17", "Bank.Debit", b"\x07");
//! log.sync()?; // … now it may be sent …
//! drop(log); // … and here is the crash
//!
//! let mut log = Log::open(&path)?;
//! let call = log.pending().next().unwrap();
//! assert_eq!((call.seq, &call.tag[..], &call.method[..]), (1, &b"order 17"[..], "Bank.Debit"));
//! let place = call.place();
//! log.settle(place);
//! log.sync()?; // only now may it be acknowledged
//! assert_eq!(log.pending().count(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`Log`] | `log` | what is remembered, and when it is on disk |
//! | records | `record` | the bytes, and which of them can be trusted |
//! | [`Medium`] | `medium` | where the bytes are: a locked file, or something that fails when told to |
//!
//! It needs Rust 1.89, whose standard library can lock files.
#![forbid(unsafe_code)]

mod log;
mod medium;
mod record;

pub use log::{Call, Log, LogFailed, OpenError, Place, Session};
pub use medium::{FileMedium, Medium};
