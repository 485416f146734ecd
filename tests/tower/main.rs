//! Layers of tower around calls.

#[path = "../common/mod.rs"]
mod common;
mod server;
