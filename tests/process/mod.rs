//! Processes that a test may break: this program again in another role, or any other, and what the
//! system says of them.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part

use std::{
    collections::HashMap,
    env, fmt, fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};

/// Says to a process in which role it was started.
const ROLE: &str = "NETRPC_TEST_ROLE";

/// A process that listens. It is killed when it is dropped, and ends by itself when this one has.
pub struct Process {
    child: Child,
    /// Where it listens, by the names it gives.
    pub addrs: HashMap<String, SocketAddr>,
    /// Ends when this process does.
    _life: ChildStdin,
}

impl Process {
    /// This program again: the ignored test called `role`, which [plays](play) it.
    pub async fn again(role: &str, settings: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.args(["--exact", role, "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).envs(settings.iter().copied());
        Self::start(command, 1).await
    }

    /// Another program, which prints a line `NAME ADDRESS` for each of its ports.
    pub async fn start(mut command: Command, ports: usize) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("it can be started");
        let life = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut addrs = HashMap::new();
        while addrs.len() < ports {
            let line = lines.next_line().await.expect("text").expect("it says where it listens");
            // The test harness has its say before it, maybe in the same line.
            let mut words = line.split_whitespace().rev();
            if let (Some(Ok(addr)), Some(name)) = (words.next().map(str::parse), words.next()) {
                addrs.insert(name.to_owned(), addr);
            }
        }
        // Whatever else it says may not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Process { child, addrs, _life: life }
    }

    /// Where it listens, if it has but one port.
    pub fn addr(&self) -> SocketAddr {
        *self.addrs.values().next().expect("a port")
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id().expect("it lives")))
    }

    /// What it takes up; `None` if it is dead.
    pub fn footprint(&self) -> Option<Footprint> {
        Footprint::read(&self.proc())
    }

    /// Lets the peak begin anew.
    pub fn forget_peak(&self) {
        fs::write(self.proc().join("clear_refs"), "5").expect("a process of our own");
    }

    /// Ends it as `kill -9` does; it is gone when this returns.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it lived");
    }

    /// How it has ended.
    pub async fn status(&mut self) -> String {
        self.child.wait().await.expect("a child of ours").to_string()
    }
}

/// What a process takes up, in bytes and pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// What is in memory of it.
    pub resident: u64,
    /// The most that ever was, or since [`Process::forget_peak`].
    pub peak: u64,
    pub threads: u64,
    /// Open files, sockets among them.
    pub files: u64,
}

impl Footprint {
    /// That of this process.
    pub fn of_self() -> Self {
        Self::read(Path::new("/proc/self")).expect("it lives")
    }

    fn read(proc: &Path) -> Option<Self> {
        let status = fs::read_to_string(proc.join("status")).ok()?;
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches("kB").trim().parse().ok()
        };
        Some(Footprint {
            resident: number("VmRSS:")? << 10,
            peak: number("VmHWM:")? << 10,
            threads: number("Threads:")?,
            files: fs::read_dir(proc.join("fd")).ok()?.count() as u64,
        })
    }
}

/// Whether this process was started to play `role`; else the test that plays it does nothing.
pub fn plays(role: &str) -> bool {
    env::var(ROLE).is_ok_and(|played| played == role)
}

/// The player's side: says where it listens, and waits until nobody needs it any more.
pub async fn play(name: &str, addr: SocketAddr) {
    println!("{name} {addr}");
    let mut input = tokio::io::stdin();
    while input.read(&mut [0]).await.is_ok_and(|n| n > 0) {}
}

/// Lets this process, and those it starts, open as many files as the system lets it.
pub fn raise_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Says something also to those who have not asked for a test's output.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Bytes, as people read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes(n) = *self;
        match n {
            0..10_240 => f.pad(&format!("{n} B")),
            10_240..10_485_760 => f.pad(&format!("{} KiB", n >> 10)),
            _ => f.pad(&format!("{} MiB", n >> 20)),
        }
    }
}
