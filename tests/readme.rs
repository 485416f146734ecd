//! What the README and the other pages say holds: its program runs, its tables are complete, their links
//! lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

const README: &str = include_str!("../README.md");

/// Runs in `tests/examples.rs`.
const QUICKSTART: &str = include_str!("../examples/quickstart.rs");

/// What is between these two lines.
fn section<'a>(from: &str, to: &str) -> &'a str {
    let (_, rest) = README.split_once(from).unwrap_or_else(|| panic!("no `{from}` in the README"));
    rest.split_once(to).unwrap_or_else(|| panic!("no `{to}` after `{from}`")).0
}

#[test]
fn its_program_is_the_example_that_runs() {
    let program: String = QUICKSTART
        .lines()
        .filter(|line| !line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(section("```rust\n", "```\n").trim(), program.trim());
    assert_eq!(README.matches("```rust").count(), 1, "no code that nobody runs");
    assert!(program.lines().count() <= 40, "about thirty lines");
}

#[test]
fn its_first_commands_are_two() {
    let blocks: Vec<_> =
        README.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks, ["cargo run --example wordcount\n", "cargo test --workspace\n"]);
}

#[test]
fn every_name_of_gos_package_is_in_its_table() {
    let table = section("## For those who know Go's package", "\n## ");
    let left: String = table.lines().filter_map(|line| line.split('|').nth(1)).collect();
    // `go doc -all net/rpc`, and the same of `net/rpc/jsonrpc`.
    for name in [
        "DefaultRPCPath",
        "DefaultDebugPath",
        "DefaultServer",
        "ErrShutdown",
        "Accept",
        "HandleHTTP",
        "Register",
        "RegisterName",
        "ServeCodec",
        "ServeConn",
        "ServeRequest",
        "Call",
        "Call.ServiceMethod",
        "Call.Args",
        "Call.Reply",
        "Call.Error",
        "Call.Done",
        "Client",
        "Dial",
        "DialHTTP",
        "DialHTTPPath",
        "NewClient",
        "NewClientWithCodec",
        "Client.Call",
        "Client.Close",
        "Client.Go",
        "ClientCodec",
        "Request",
        "Response",
        "Server",
        "NewServer",
        "Server.Accept",
        "Server.HandleHTTP",
        "Server.Register",
        "Server.RegisterName",
        "Server.ServeCodec",
        "Server.ServeConn",
        "Server.ServeHTTP",
        "Server.ServeRequest",
        "ServerCodec",
        "ServerError",
        "jsonrpc",
        "NewClientCodec",
        "NewServerCodec",
    ] {
        assert!(left.contains(&format!("`{name}`")), "{name} is not in the table");
    }
}

#[test]
fn every_example_is_in_its_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let linked = README.contains(&format!("(examples/{name}"));
        assert!(linked || name == "expected", "the README does not mention {name}");
    }
}

/// Every page: where it is, and what it says.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [root.to_owned(), root.join("docs")]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let pages: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(pages.len() > 8, "{} pages", pages.len());
    pages
}

#[test]
fn the_links_of_every_page_lead_somewhere() {
    for (page, text) in pages() {
        let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap();
            let there = file.is_empty() || page.parent().unwrap().join(file).exists();
            assert!(there, "{}: {target} is not there", page.display());
        }
    }
}

#[test]
fn the_files_that_the_threat_model_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("THREAT_MODEL.md")).unwrap();
    let named: Vec<_> = text.split('`').skip(1).step_by(2).filter(|it| it.contains('/')).collect();
    assert!(named.len() > 20, "{named:?}");
    for path in named {
        assert!(root.join(path).exists(), "{path} is not there");
    }
}

/// Every cell of the table of promises has a test under it, which is there.
#[test]
fn every_promise_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = include_str!("../docs/SEMANTICS.md");
    let mut labels = Vec::new();
    for line in page.lines() {
        let Some((label, rest)) = line.strip_prefix('[').and_then(|it| it.split_once("]: ")) else {
            continue;
        };
        let (file, name) = rest.split_once(' ').expect("a file and a test");
        let text = fs::read_to_string(root.join("docs").join(file)).expect("the file is there");
        let test = format!("fn {}(", name.trim_matches('"'));
        assert!(text.contains(&test), "{file} has no `{test}`");
        labels.push(label);
    }
    let (_, table) = page.split_once("## What is promised").expect("its section");
    let (table, _) = table.split_once("\n## ").expect("another section");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .skip(2) // what the columns are
        .collect();
    let mut used = Vec::new();
    for pair in rows.chunks(2) {
        let [claims, tests] = pair else { panic!("{pair:?}") };
        assert_eq!((claims.len(), tests.len()), (6, 6), "{claims:?}");
        for (claim, tests) in claims.iter().zip(tests).skip(1) {
            let named: Vec<_> = tests
                .split("][")
                .skip(1)
                .map(|rest| rest.split_once(']').expect("a label").0)
                .collect();
            assert!(named.iter().all(|label| labels.contains(label)), "{named:?}");
            let is_shown = !named.is_empty()
                || tests.contains('*')
                || claim.starts_with('–')
                || claim.contains("by construction")
                || *claim == "=";
            assert!(is_shown, "nothing shows: {claims:?}: {claim}");
            used.extend(named);
        }
    }
    assert!(rows.len() > 30 && labels.iter().all(|label| used.contains(label)), "{labels:?}");
}
