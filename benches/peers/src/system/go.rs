//! Go's `net/rpc`: the program in `go/`, which is both ends.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// Compiles the program, and says where it is; `None` if there is no `go`.
pub fn build() -> Result<Option<PathBuf>> {
    if version().is_none() {
        return Ok(None);
    }
    let executable = env::current_exe()?.with_file_name("peers-go");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&executable)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"))
        .status()
        .context("`go build` cannot be run")?;
    ensure!(status.success(), "`go build` has failed: {status}");
    Ok(Some(executable))
}

/// What `go version` says; `None` if there is no `go`.
pub fn version() -> Option<String> {
    let output = Command::new("go").arg("version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
