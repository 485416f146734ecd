//! The durable ledger of [netrpc](https://docs.rs/netrpc): what a server has to remember so that no
//! call runs twice, also across its own crash.
//!
//! A [`DiskStore`] is one file. It keeps the sessions, the floors and the outcomes of calls that a
//! [`Ledger`](netrpc_core::ledger::Ledger) gives it, and together with an outcome whatever the handler
//! has written into the file itself ([`Txn`]): both are there after a crash, or neither is.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bank.ledger");
//! use netrpc_ledger::DiskStore;
//!
//! let store = DiskStore::open(&path)?;
//! let mut txn = store.begin()?;
//! txn.put("accounts", b"alice", b"100");
//! assert_eq!(txn.get("accounts", b"alice")?.as_deref(), Some(&b"100"[..]));
//! txn.commit()?; // a handler's is committed with its outcome instead
//! # Ok(())
//! # }
//! ```
//!
//! | noun | file | what it owns |
//! |---|---|---|
//! | [`DiskStore`] | `store` | the file: opened, locked, recalled |
//! | [`Txn`] | `txn` | what a handler writes into it |
//! | the committer, [`Stepper`] | `committer` | one thread that commits what waits, in groups; or none, and steps |
//! | tables | `tables` | what lies where, to the byte |
//! | [`OpenError`] | `error` | why a file cannot be opened |
//!
//! What it costs: one `fsync` for each group of commits, whatever waits at the time. What it promises
//! rests on the disk: one that loses what it has acknowledged to `fsync` loses outcomes with it.
//!
//! It needs Rust 1.90, as [redb](https://docs.rs/redb) does.
#![forbid(unsafe_code)]

mod committer;
mod error;
mod store;
mod tables;
mod txn;

pub use committer::Stepper;
pub use error::OpenError;
pub use netrpc_core::ledger::KeyValue;
pub use redb::StorageBackend;
pub use store::{DiskStore, OpenOptions};
pub use txn::Txn;
