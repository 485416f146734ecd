//! What several tests need: Go programs, random numbers, hexadecimal.
#![allow(dead_code, unreachable_pub, reason = "not every test needs everything")]

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Whether Go is here; says so loudly if it is not, and fails if it has to be
/// (`NETRPC_REQUIRE_GO=1`).
pub fn has_go(test: &str) -> bool {
    let found = Command::new("go").arg("version").output().is_ok_and(|out| out.status.success());
    let required = std::env::var("NETRPC_REQUIRE_GO").is_ok_and(|value| value == "1");
    assert!(found || !required, "NETRPC_REQUIRE_GO=1, and there is no `go`");
    if !found {
        eprintln!("!!! SKIPPED: {test} needs `go`, which is not on the PATH");
    }
    found
}

/// A directory of one test, removed with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("netrpc-gob-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Builds the Go program `tests/go/NAME.go`, with all files that are in `dir`.
pub fn build_go(dir: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go").join(name);
    std::fs::copy(&source, dir.join(name)).expect("the program's source");
    std::fs::write(dir.join("go.mod"), "module program\n\ngo 1.16\n").expect("a file");
    let program = dir.join("program");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .current_dir(dir)
        .env("GOCACHE", std::env::temp_dir().join("netrpc-gob-go-cache"))
        .output()
        .expect("go build");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

/// A Go program that answers blocks of bytes by blocks of bytes.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Peer {
    pub fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        Peer { child, stdin, stdout }
    }

    pub fn send(&mut self, numbers: &[u32], block: &[u8]) {
        let mut message = Vec::new();
        for number in numbers {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.extend_from_slice(&(block.len() as u32).to_le_bytes());
        message.extend_from_slice(block);
        self.stdin.write_all(&message).expect("the program reads");
        self.stdin.flush().expect("the program reads");
    }

    pub fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        self.stdout.read_exact(&mut len).expect("the program answers");
        let mut block = vec![0; u32::from_le_bytes(len) as usize];
        self.stdout.read_exact(&mut block).expect("the program answers");
        block
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Random numbers that are the same every time: splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes written as hexadecimal, white space and `#` comments aside.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        })
        .collect()
}
