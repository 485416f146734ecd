//! Calls that run at most once: a server's ledger, through raw frames.

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod demands;
mod life;
mod sessions;
