//! The examples, as a newcomer runs them: each prints what its page says, and `wordcount` counts.
#![cfg(all(feature = "macros", feature = "blocking"))]

use std::{
    collections::HashMap,
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
};

/// Built by `cargo test` beside the tests, unless it is told to run only some of them.
fn example(name: &str) -> Command {
    let test = env::current_exe().unwrap();
    let dir = test.ancestors().nth(2).unwrap().join("examples");
    let path = dir.join(name).with_extension(env::consts::EXE_EXTENSION);
    let modified = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    let (built, written) = (modified(&path), modified(&source(name)));
    assert!(
        built >= written,
        "{} is old or not there: run `cargo build --examples`",
        path.display()
    );
    let mut command = Command::new(path);
    command.current_dir(root());
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(name: &str) -> PathBuf {
    let file = root().join(format!("examples/{name}.rs"));
    if file.exists() { file } else { root().join(format!("examples/{name}/main.rs")) }
}

/// What the file begins with.
fn page(name: &str) -> String {
    let source = fs::read_to_string(source(name)).unwrap();
    let header = source.lines().map_while(|line| line.strip_prefix("//!"));
    header.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs an example to its end; its exit code, its output, its errors.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), text(&stdout).to_owned(), text(&stderr).to_owned())
}

fn wordcount<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> (Option<i32>, String, String) {
    run(example("wordcount").args(args))
}

/// Examples that are not there without their features.
const OPTIONAL: [(&str, bool); 4] = [
    ("middleware", cfg!(feature = "tower")),
    ("observe", cfg!(all(feature = "trace", feature = "metrics"))),
    ("raft", cfg!(feature = "sim")),
    ("semantics", cfg!(all(feature = "sim", feature = "durable"))),
];

/// Each example that is there, and what it prints.
fn expected() -> impl Iterator<Item = (String, String)> {
    let dir = root().join("examples/expected");
    let all = fs::read_dir(dir).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap().replace("\r\n", "\n"))
    });
    all.filter(|(name, _)| !OPTIONAL.contains(&(name, false)))
}

#[test]
fn every_example_prints_what_its_page_says() {
    let mut examples = 0;
    for (name, expected) in expected() {
        let page = page(&name);
        assert!(page.contains(&format!("```text\n{expected}```")), "{name}: on its page\n{page}");
        let (code, stdout, stderr) = run(&mut example(&name));
        assert_eq!((code, &*stdout, &*stderr), (Some(0), &*expected, ""), "{name}");
        examples += 1;
    }
    let there = fs::read_dir(root().join("examples")).unwrap();
    // What `debug_page` has to show is a page, and it runs until it is stopped; `go_interop` needs Go, and
    // `tls` its feature.
    let others = ["expected", "debug_page.rs", "go_interop", "tls.rs"];
    let there = there.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        !others.iter().any(|other| name == *other)
    });
    let absent = OPTIONAL.iter().filter(|(_, built)| !built).count();
    let there = there.count() - absent;
    assert_eq!(examples, there, "every example has its output in examples/expected");
}

#[cfg(feature = "tls")]
#[test]
fn the_tls_example_prints_what_its_page_says() {
    let (code, stdout, stderr) = run(&mut example("tls"));
    assert_eq!((code, &*stderr), (Some(0), ""));
    let page = page("tls");
    assert!(page.contains(&format!("```text\n{stdout}```")), "{stdout}\n{page}");
}

/// A file of this test, deleted at its end.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = env::temp_dir().join(format!("netrpc-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Temp(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Megabytes of text with long and short words, some of them not ASCII, and all kinds of spaces.
fn long_text() -> String {
    let words =
        ["the", "of", "Straße", "señor", "日本語", "x", "incomprehensibilities", "a-b", "🙂"];
    let spaces = [" ", "\n", "  ", "\t", "\r\n"];
    let (mut text, mut n) = (String::new(), 1u64);
    while text.len() < 3_000_000 {
        // Knuth's generator, so that the text is the same in every run.
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (word, space) = ((n >> 33) as usize, (n >> 40) as usize);
        let _ = match word % 4 {
            0 => write!(text, "w{}", word % 5000),
            _ => write!(text, "{}", words[word % words.len()]),
        };
        text.push_str(spaces[space % spaces.len()]);
    }
    text
}

/// What `wordcount --top all` prints for this text, counted here.
fn counted(text: &str) -> String {
    let mut counts = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_insert(0u64) += 1;
    }
    let mut counts: Vec<_> =
        counts.into_iter().map(|(word, count)| (u64::MAX - count, word)).collect();
    counts.sort_unstable();
    let mut out = String::new();
    for (count, word) in counts {
        writeln!(out, "{:7} {word}", u64::MAX - count).unwrap();
    }
    out
}

#[test]
fn wordcount_counts_a_file_in_pieces_on_several_servers() {
    let text = long_text();
    let file = Temp::new("long", &text);
    let args = ["--servers", "3", "--top", "all"].map(OsStr::new);
    let (code, stdout, stderr) = wordcount(args.into_iter().chain([file.0.as_os_str()]));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, counted(&text));
    let summary = format!("{} bytes, {} words, ", text.len(), text.split_whitespace().count());
    assert!(stderr.starts_with(&summary) && stderr.contains(" 3 servers, "), "{stderr}");
}

#[test]
fn wordcount_sums_over_files_and_prints_the_most_frequent() {
    let (a, b) = (Temp::new("a", "one two two\n"), Temp::new("b", "two\u{a0}one   three"));
    let empty = Temp::new("empty", "");
    let files = [&a, &b, &empty].map(|file| file.0.as_os_str());
    let (code, stdout, stderr) = wordcount(["--top=2"].map(OsStr::new).into_iter().chain(files));
    assert_eq!((code, &*stdout), (Some(0), "      3 two\n      2 one\n"), "{stderr}");
    assert!(stderr.contains(" 6 words, 3 distinct, 1 server, "), "{stderr}");
}

/// A server in a process of its own, killed at the end.
struct ServerProcess {
    child: Child,
    addr: String,
}

impl ServerProcess {
    fn start() -> Self {
        let mut serve = example("wordcount");
        let mut child =
            serve.args(["--serve", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        ServerProcess { child, addr }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `wordcount` on these servers; what it counts is written to it by the test.
fn count_on(servers: &[&ServerProcess]) -> (Child, ChildStdin) {
    let mut command = example("wordcount");
    for server in servers {
        command.args(["--connect", &server.addr]);
    }
    command.args(["--top", "all", "-"]);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

#[test]
fn a_server_that_dies_in_mid_count_changes_nothing_in_the_result() {
    let (mut dies, lives) = (ServerProcess::start(), ServerProcess::start());
    let (count, mut input) = count_on(&[&dies, &lives]);
    let text = long_text();
    // It reads on only as pieces are counted, so half of it taken means that counting has begun.
    let (before, after) = text.as_bytes().split_at(text.len() / 2);
    input.write_all(before).unwrap();
    dies.kill();
    input.write_all(after).unwrap();
    drop(input);
    let Output { status, stdout, stderr } = count.wait_with_output().unwrap();
    let stderr = self::text(&stderr);
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains(&format!("{} is lost (", dies.addr)), "the fault was seen: {stderr}");
    assert!(!stderr.contains(&format!("{} is lost (", lives.addr)), "{stderr}");
    assert!(self::text(&stdout) == counted(&text), "and the result is the same");
}

#[test]
fn without_any_server_left_counting_fails() {
    let mut dies = ServerProcess::start();
    let (count, mut input) = count_on(&[&dies]);
    input.write_all("word ".repeat(200_000).as_bytes()).unwrap();
    dies.kill();
    // It may have gone already, and nobody reads then.
    let _ = input.write_all("word ".repeat(200_000).as_bytes());
    drop(input);
    let Output { status, stdout, stderr } = count.wait_with_output().unwrap();
    let stderr = text(&stderr);
    assert_eq!((status.code(), text(&stdout)), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("is lost (") && stderr.contains("no server is left"), "{stderr}");
}

#[test]
fn a_server_of_something_else_is_told_apart() {
    let (tell, told) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        netrpc::Server::new().serve(listener).await;
    });
    let addr = told.recv().unwrap().to_string();
    let (code, _, stderr) = wordcount(["--connect", &addr]);
    assert_eq!(code, Some(1));
    assert_eq!(stderr, "wordcount: rpc: can't find service WordCountServer.Compute\n");
    let file = Temp::new("else", "word");
    let (code, _, stderr) = wordcount(["--connect", &addr, file.0.to_str().unwrap()]);
    let text = format!(
        "wordcount: {addr} cannot count: rpc: can't find service WordCountServer.Compute\n"
    );
    assert_eq!((code, stderr), (Some(1), text));
}

#[test]
fn what_is_not_text_is_refused_or_told() {
    let binary = Temp::new("binary", b"\x7fELF\0\0");
    let (code, stdout, stderr) = wordcount([&binary.0]);
    assert_eq!((code, &*stdout), (Some(1), ""));
    assert!(stderr.ends_with(" is not text: byte 4 is zero\n"), "{stderr}");

    let endless = Temp::new("endless", "x".repeat(1 << 21));
    let (code, _, stderr) = wordcount([&endless.0]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not text: no white space in the 1048576 bytes"), "{stderr}");

    let latin1 = Temp::new("latin1", b"caf\xe9 caf\xe9");
    let (code, stdout, stderr) = wordcount([&latin1.0]);
    assert_eq!((code, &*stdout), (Some(0), "      2 caf\u{fffd}\n"));
    assert!(stderr.contains("is not all UTF-8"), "{stderr}");
}

#[test]
fn wrong_arguments_are_told_in_one_line() {
    for (args, told) in [
        (&["--servers"][..], "--servers needs a value"),
        (&["--servers", "0", "f"], "--servers takes a number from 1 to 256, not `0`"),
        (&["--servers", "many", "f"], "--servers takes a number from 1 to 256, not `many`"),
        (&["--top", "-1", "f"], "--top takes a number from 1 on, or `all`, not `-1`"),
        (&["--top", "3"], "--top is for files, and none is named"),
        (&["--wrong"], "there is no option --wrong"),
        (&["--servers=2", "--connect=a:1", "f"], "--servers and --connect exclude each other"),
        (&["--serve", "a:1", "f"], "--serve stands alone"),
    ] {
        let (code, stdout, stderr) = wordcount(args);
        let expected = format!("wordcount: {told}\nTry `--help`.\n");
        assert_eq!((code, &*stdout, stderr), (Some(2), "", expected), "{args:?}");
    }
    let (code, stdout, stderr) = wordcount(["--help"]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert!(stdout.contains("--connect ADDR"), "{stdout}");

    for (args, told) in [
        (["no-such-file"], "wordcount: cannot read no-such-file: "),
        (["examples"], "wordcount: examples is a directory"),
        (["--connect=nowhere"], "wordcount: cannot connect to nowhere: the port is missing"),
        (["--serve=nowhere"], "wordcount: cannot listen on nowhere: "),
    ] {
        let (code, stdout, stderr) = wordcount(args);
        assert_eq!((code, &*stdout), (Some(1), ""));
        assert!(stderr.starts_with(told) && stderr.lines().count() == 1, "{stderr}");
    }
}
