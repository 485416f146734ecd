//! Unmodified Go programs as peers, live: every case in both directions, in every protocol.
//!
//! ```sh
//! cargo test --test interop_go -- --nocapture    # shows the matrix
//! NETRPC_CASES=time,maps NETRPC_PROTOCOLS=gob cargo test --test interop_go -- --nocapture
//! cargo test --release --test interop_go -- --ignored --nocapture benchmarks    # Go's own
//! ```
//!
//! The Go programs are in `tests/go`. They need Go and its standard library; HashiCorp's protocol also
//! needs `github.com/hashicorp/net-rpc-msgpackrpc` (Debian: `golang-github-hashicorp-net-rpc-msgpackrpc-dev`).
//! What is not installed is skipped, and said; with `NETRPC_REQUIRE_GO=1` that is a failure.
//!
//! The cases run between two Go programs too: one that fails there is wrong itself.
#![cfg(all(feature = "macros", feature = "blocking", feature = "go"))]

#[allow(unreachable_pub)] // a test has no users
mod interop_go {
    pub mod calls;
    pub mod client;
    pub mod matrix;
    pub mod mortal;
    pub mod peer;
    pub mod run;
    pub mod server;
    pub mod services;
    pub mod text;
    pub mod types;
    pub mod values;
}

use std::{env, fs, io::Write, path::Path, sync::Arc};

use interop_go::{
    matrix::{Matrix, Protocol, cases},
    mortal,
    peer::Peer,
    run,
    server::OurServers,
};
use tokio::runtime::Runtime;

/// Says something also to those who have not asked for a test's output.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Something is not installed: that may be so, unless it must not.
fn skip(what: &str) {
    say(&format!("SKIPPED: {what}"));
    let required = env::var_os("NETRPC_REQUIRE_GO").is_some_and(|value| value != "0");
    assert!(!required, "NETRPC_REQUIRE_GO is set, but: {what}");
}

/// What somebody at work wants to see and no more.
fn only(variable: &str) -> Option<Vec<String>> {
    let some = env::var(variable).ok()?;
    say(&format!("Only {variable}={some}"));
    Some(some.split(',').map(str::to_owned).collect())
}

fn build() -> Option<Arc<Peer>> {
    let peer = Peer::build().expect("the Go programs can be built");
    if peer.is_none() {
        skip("no tests with Go programs: `go` is not installed");
    }
    peer.map(Arc::new)
}

#[test]
fn go_programs_and_ours_understand_each_other() {
    let Some(peer) = build() else { return };
    let mut protocols = Protocol::ALL.to_vec();
    if !peer.has_msgpack {
        skip("no tests of HashiCorp's protocol: its Go packages are not installed");
        protocols.retain(|protocol| *protocol != Protocol::Msgpack);
    }
    let mut rows = cases();
    if let Some(some) = only("NETRPC_CASES") {
        rows.retain(|case| some.iter().any(|part| case.name.contains(part)));
    }
    if let Some(some) = only("NETRPC_PROTOCOLS") {
        protocols.retain(|protocol| some.contains(&protocol.to_string()));
    }
    let runtime = Runtime::new().expect("a runtime");
    let matrix = runtime.block_on(run::fill(&peer, &rows, &protocols));
    let matrix = matrix.unwrap_or_else(|error| panic!("{error:#}\n{}", peer.said()));
    let (table, failures) = matrix.report(&rows, &protocols);
    println!("{table}");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-go.txt");
    if fs::write(&path, &table).is_ok() {
        println!("This table is also in {}", path.display());
    }
    if !failures.is_empty() {
        println!("The Go programs say:\n{}", peer.said());
    }
    assert!(failures.is_empty(), "{} cells are wrong:\n{}", failures.len(), failures.join("\n"));
}

/// An empty table must not look like a good one.
#[test]
fn a_matrix_in_which_nothing_ran_has_failed() {
    let (table, failures) = Matrix::default().report(&cases(), &Protocol::ALL);
    assert!(table.contains("MISSING") && table.contains("0 ok"), "{table}");
    assert!(failures.len() > 500, "only {} cells are missed", failures.len());
}

/// What cases kill; see [`mortal`].
#[test]
#[ignore = "a server that the other tests start"]
fn a_server_to_be_killed() {
    let serving = Runtime::new().expect("a runtime").block_on(mortal::be_our_server());
    serving.expect("a loopback port");
}

/// `BenchmarkEndToEnd` and its sisters of Go's package: Go's client, Go's server and ours in turn.
#[test]
#[ignore = "measures; run it with --release on a quiet machine"]
fn go_benchmarks_against_both_servers() {
    let Some(peer) = build() else { return };
    let rounds = env::var("NETRPC_ROUNDS").unwrap_or_else(|_| "10".to_owned());
    let figures = Runtime::new().expect("a runtime").block_on(async {
        let go = peer.serve(&[Protocol::Gob, Protocol::Http]).await?;
        let ours = OurServers::start().await?;
        let go_gob = go.addrs[&Protocol::Gob].to_string();
        let go_http = go.addrs[&Protocol::Http].to_string();
        let ours = ours.addr.to_string();
        peer.bench(&["-rounds", &rounds, "-go", &go_gob, "-go-http", &go_http, "-ours", &ours])
            .await
    });
    println!("{}", figures.expect("the benchmarks can be run"));
}
