//! Instructions per call, counted: a figure that is the same on a busy machine as on an idle one.
//!
//! `cargo bench --bench instructions` counts with [callgrind](https://valgrind.org), for 1, 64 and 256
//! callers on one connection (others: `cargo bench --bench instructions -- 16 1024`). Client and server are one
//! process with one thread, over loopback TCP; a figure is what both spend on a call, tokio's part
//! included and the kernel's not. Connecting and starting are not in it: each figure is the difference
//! between a long run and a short one.
//!
//! `benches/compare` tells what a change has made of it. Where the instructions go:
//!
//! ```sh
//! cargo bench --bench instructions --no-run        # tells the program's path
//! valgrind --tool=callgrind --callgrind-out-file=calls.out PATH run 64 1000
//! callgrind_annotate --inclusive=yes calls.out | less
//! ```

use std::{
    env,
    process::{Command, ExitCode},
};

use futures_util::future::join_all;
use netrpc::{Client, Server, SyncPolicy, service};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }
}

/// Calls of a short run and of a long one, about.
const CALLS: (usize, usize) = (20_000, 60_000);

fn main() -> ExitCode {
    // cargo tells a benchmark that it is one.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    if let [run, callers, calls] = &arguments[..]
        && run == "run"
    {
        let number = |text: &str| text.parse().expect("a number");
        run_calls(number(callers), number(calls));
        return ExitCode::SUCCESS;
    }
    let callers: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let callers = if callers.is_empty() { vec![1, 64, 256] } else { callers };
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("instructions are counted by valgrind, which is not installed");
        return ExitCode::FAILURE;
    }
    for callers in callers {
        let (short, long) = (CALLS.0 / callers, CALLS.1 / callers);
        let counted = count(callers, long) - count(callers, short);
        let per_call = counted / ((long - short) * callers) as u64;
        println!("{callers:>5} callers: {per_call:>6} instructions per call");
    }
    ExitCode::SUCCESS
}

/// Has `run_calls` counted.
fn count(callers: usize, calls: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("this program"))
        .args(["run", &callers.to_string(), &calls.to_string()])
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let counted = text.lines().find_map(|line| line.split_once("Collected : "));
    counted.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// So many callers make so many calls each, one after the other.
fn run_calls(callers: usize, calls: usize) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime").block_on(async {
        // On a runtime with one thread, methods have to prove themselves quick, by the clock.
        let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
        server.register(Arith).expect("a new name");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its number");
        tokio::spawn(server.serve(listener));
        let client = Client::dial(addr).await.expect("it is served");
        let one_after_the_other = |client: Client| async move {
            for n in 0..calls as i64 {
                let args = Args { a: n, b: 2 };
                let reply: i64 = client.call("Arith.Multiply", &args).await.expect("a reply");
                assert_eq!(reply, 2 * n);
            }
        };
        let callers = (0..callers).map(|_| tokio::spawn(one_after_the_other(client.clone())));
        join_all(callers).await.into_iter().for_each(|ended| ended.expect("no panic"));
    });
}
