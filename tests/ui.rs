//! What users of `#[service]` see: `tests/ui/<about>/<mistake>.rs` and, beside it, what the compiler
//! says of it. `TRYBUILD=overwrite cargo test --test ui` writes that anew.

use std::{
    env,
    fs::{self, DirEntry},
    io::Write as _,
    process::Command,
};

/// The compiler that the snapshots are from: others word and place some messages differently.
const SNAPSHOTS_OF: &str = "rustc 1.95.0 ";

/// What is in several errors for one of two reasons.
const SEVERAL: &[(&str, usize)] = &[
    // They are several mistakes.
    ("all_at_once", 7),
    ("demands_that_contradict", 3),
    // One of a lifetime that `#[service]` cannot see is missing: in a function, and in its conditions.
    ("hidden_lifetime", 2),
];

#[test]
fn every_mistake_gets_the_answer_of_its_snapshot() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    let version = String::from_utf8_lossy(&version);
    if version.starts_with(SNAPSHOTS_OF) {
        trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
    } else {
        // Not by `eprintln!`, which nobody sees of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "tests/ui.rs: SKIPPED, since the snapshots are of {SNAPSHOTS_OF}and this is {version}"
        );
    }
}

#[test]
fn one_mistake_is_one_error() {
    let mut mistakes = 0;
    for about in list("tests/ui") {
        for file in list(about.path().to_str().expect("a name of ours")) {
            let path = file.path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name of ours");
            if path.extension().is_none_or(|extension| extension != "stderr") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("it is a file");
            let errors = text.lines().filter(|line| line.starts_with("error")).count();
            let known = SEVERAL.iter().find(|(known, _)| *known == name);
            assert_eq!(
                errors,
                known.map_or(1, |(_, errors)| *errors),
                "{}:\n{text}",
                path.display()
            );
            mistakes += 1;
        }
    }
    assert!(mistakes >= 90, "where have they gone? {mistakes}");
}

fn list(dir: &str) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(dir).expect(dir).map(|entry| entry.expect("it can be read"))
}
