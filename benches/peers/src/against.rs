//! Another revision's netrpc, measured by this program's code.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::git::git;

/// This folder in the repository.
const HERE: &str = "benches/peers";

/// Builds this program with the netrpc of `revision`, and gives the revision's short hash and the
/// executable.
///
/// The revision is checked out in a worktree of its own, where today's `benches/peers` replaces
/// the one it has; the worktree is removed again.
pub fn build(revision: &str) -> Result<(String, PathBuf)> {
    let commit = git(&["rev-parse", "--short", "--verify", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("`{revision}` is no revision of netrpc"))?;

    let executable = env::current_exe()?;
    // Beside `release` in cargo's target folder; a fixed place, so that what does not differ from
    // revision to revision is compiled once.
    let place = executable.ancestors().nth(2).context("cargo has put it somewhere")?;
    let place = place.join("against");
    fs::create_dir_all(&place)?;
    let tree = Worktree::add(&place.join("tree"), &commit)?;
    let peers = tree.path.join(HERE);
    if peers.exists() {
        fs::remove_dir_all(&peers)?;
    }
    copy(Path::new(env!("CARGO_MANIFEST_DIR")), &peers)?;

    eprintln!("building netrpc {commit}");
    let target = place.join("target");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet", "--manifest-path"]);
    cargo.arg(peers.join("Cargo.toml")).arg("--target-dir").arg(&target);
    if cfg!(feature = "allocations") {
        cargo.args(["--features", "allocations"]);
    }
    let status = cargo.status().context("cargo cannot be run")?;
    ensure!(status.success(), "{HERE} does not compile with netrpc {commit}, whose API may differ");

    let built = target.join("release/peers");
    let kept = place.join(format!("peers-{commit}"));
    fs::copy(&built, &kept).with_context(|| format!("{} is not there", built.display()))?;
    Ok((commit, kept))
}

/// A worktree of the repository, removed when dropped.
struct Worktree {
    path: PathBuf,
}

impl Worktree {
    fn add(path: &Path, commit: &str) -> Result<Self> {
        let tree = Worktree { path: path.to_owned() };
        if path.exists() {
            tree.remove(); // left by a run that was killed
        }
        git(&["worktree", "add", "--detach", &path.to_string_lossy(), commit])?;
        Ok(tree)
    }

    fn remove(&self) {
        let path = self.path.to_string_lossy();
        if let Err(error) = git(&["worktree", "remove", "--force", &path]) {
            eprintln!("{} stays behind: {error:#}", self.path.display());
        }
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Copies a folder, without what cargo has built in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), target)?;
        } else if entry.file_name() != "target" {
            copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}
