//! What users of `#[service]` see: `tests/ui/<about>/<mistake>.rs` and, beside it, what the compiler
//! says of it. `TRYBUILD=overwrite cargo test --test ui` writes that anew.

use std::{env, io::Write as _, process::Command};

/// The compiler that the snapshots are from: others word and place some messages differently.
const SNAPSHOTS_OF: &str = "rustc 1.95.0 ";

#[test]
fn every_mistake_is_one_error_that_says_what_to_do() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    let version = String::from_utf8_lossy(&version);
    let cases = trybuild::TestCases::new();
    if version.starts_with(SNAPSHOTS_OF) {
        for about in ["names", "options", "shape", "target", "types"] {
            cases.compile_fail(format!("tests/ui/{about}/*.rs"));
        }
    } else {
        // Not by `eprintln!`, which nobody sees of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "tests/ui.rs: SKIPPED the comparison of compiler messages: they are those of {SNAPSHOTS_OF}, \
             and this is {version}"
        );
    }
}
