//! Go's server, for comparison: the program in `tests/go`.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The program, built once.
///
/// # Panics
/// Where there is no Go.
pub fn server() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

/// Where a server says why it dies.
pub fn log(language: &str) -> File {
    File::create(log_path(language)).expect("a file")
}

/// The first line of that.
pub fn last_words(language: &str) -> String {
    let log = fs::read_to_string(log_path(language)).unwrap_or_default();
    log.lines().next().unwrap_or_default().to_owned()
}

fn log_path(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("siege-go-{language}.log"))
}

fn build() -> PathBuf {
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("siege-go-peer");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&binary).arg(".");
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go"));
    command.envs([("GO111MODULE", "off"), ("GOFLAGS", ""), ("CGO_ENABLED", "0")]);
    if env::var_os("HOME").is_none() && env::var_os("GOCACHE").is_none() {
        command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"));
    }
    let built = command.output().expect("`go` is installed");
    assert!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
    binary
}
