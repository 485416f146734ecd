//! The repository that this folder belongs to.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs git in the repository, and gives what it prints.
pub fn git(args: &[&str]) -> Result<String> {
    let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(args).output();
    let output = output.context("git cannot be run")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", args.join(" "), errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
