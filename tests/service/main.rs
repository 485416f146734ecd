//! `#[service]`: every shape and option, through real calls between a client and a server.

// All that a user may be warned of and that is not opinion.
#![warn(
    future_incompatible,
    keyword_idents,
    nonstandard_style,
    refining_impl_trait,
    rust_2018_compatibility,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    unused,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    missing_debug_implementations,
    missing_docs,
    redundant_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    variant_size_differences
)]
// What is tested includes what one would write otherwise.
#![allow(clippy::needless_arbitrary_self_type, clippy::needless_lifetimes)]

mod arguments;
mod cfgs;
mod context;
mod errors;
mod generics;
mod interface;
pub mod lints;
mod names;
mod receivers;
mod renamed_crate;
mod replies;
mod shadowed_names;
mod stub;

use netrpc::{Client, Server};

/// A client of the server, over a pipe in memory.
fn connect(server: &Server) -> Client {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = server.clone();
    tokio::spawn(async move {
        let _ = server.serve_conn(theirs).await;
    });
    Client::new(ours)
}

/// A client of a server that has this service and no other.
macro_rules! serve {
    ($service:expr) => {{
        let server = netrpc::Server::new();
        server.register($service).expect("nothing else is registered");
        $crate::connect(&server)
    }};
}
use serve;
