//! Layers of tower around calls.

mod client;
#[path = "../common/mod.rs"]
mod common;
mod server;
mod tracked;
