//! Calls that run once: sent again under their number until they are answered.
#![cfg(feature = "macros")]
#![allow(unreachable_pub)] // helpers are in files of their own

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "durable")]
#[path = "../../rpc-ledger/tests/common/mod.rs"]
mod disk;

mod bank;
#[cfg(feature = "blocking")]
mod blocking;
#[cfg(feature = "durable")]
mod durable;
#[cfg(feature = "tower")]
mod layers;
#[cfg(feature = "durable")]
mod log;
mod net;
mod protocol;
mod script;
mod volatile;
