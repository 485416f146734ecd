//! The Go program in `tests/go`: built once, run as a server and as a client.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    fs::{self, File, OpenOptions},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{self, Child},
};

use super::{
    matrix::{Outcome, Protocol},
    mortal::Mortal,
};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go");

/// Where Debian's packages of Go libraries are.
const DEBIANS_GOPATH: &str = "/usr/share/gocode";

const HASHICORP: &str = "github.com/hashicorp/net-rpc-msgpackrpc";

/// The program, in a folder that goes with it.
pub struct Peer {
    folder: PathBuf,
    pub has_msgpack: bool,
}

impl Peer {
    /// Builds it; `None` where there is no Go.
    pub fn build() -> Result<Option<Peer>> {
        if Command::new("go").arg("version").output().is_err() {
            return Ok(None);
        }
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = scratch.join(format!("interop-go-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let has_msgpack = go(&["list", HASHICORP])?.status.success();
        let peer = Peer { folder, has_msgpack };
        let binary = peer.binary();
        let binary = binary.to_str().context("a path in UTF-8")?;
        let tags = if has_msgpack { "msgpack" } else { "" };
        let built = go(&["build", "-tags", tags, "-o", binary, "."])?;
        ensure!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
        Ok(Some(peer))
    }

    fn binary(&self) -> PathBuf {
        self.folder.join("peer")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What the programs have said besides.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn start(&self, args: &[String]) -> Result<Child> {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = process::Command::new(self.binary());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        Ok(command.kill_on_drop(true).spawn()?)
    }

    /// A server that has a port for each protocol.
    pub async fn serve(&self, protocols: &[Protocol]) -> Result<GoServer> {
        let mut args = vec!["server".to_owned()];
        args.extend(protocols.iter().map(ToString::to_string));
        let mut child = self.start(&args)?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let mut addrs = BTreeMap::new();
        for protocol in protocols {
            let line =
                lines.next_line().await?.context("a Go server that says where it listens")?;
            let (name, addr) = line.split_once(' ').context("a protocol and an address")?;
            ensure!(name == protocol.to_string(), "{line}");
            addrs.insert(*protocol, addr.parse()?);
        }
        Ok(GoServer { addrs, _child: child })
    }

    /// Runs cases in a client, one after the other.
    pub async fn run(&self, plan: &Plan<'_>) -> Result<HashMap<String, Outcome>> {
        let mut args = vec!["client".to_owned()];
        let mut flag = |name: &str, value: String| args.extend([format!("-{name}"), value]);
        flag("protocol", plan.protocol.to_string());
        flag("addr", plan.addr.to_string());
        flag("other", plan.other.to_string());
        flag("restricted", plan.restricted.to_string());
        flag("limited", plan.limited.to_string());
        args.extend(plan.cases.iter().map(ToString::to_string));
        let mut child = self.start(&args)?;
        let mut answers = child.stdin.take().context("piped")?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let mut outcomes = HashMap::new();
        while let Some(line) = lines.next_line().await? {
            if let Some(name) = line.strip_prefix("ok ") {
                outcomes.insert(name.to_owned(), Ok(()));
            } else if let Some((name, why)) =
                line.strip_prefix("FAIL ").and_then(|rest| rest.split_once(": "))
            {
                outcomes.insert(name.to_owned(), Err(why.to_owned()));
            } else if let Some(wish) = line.strip_prefix("? ") {
                let mortal = plan.mortal.as_ref().context("a server that can be ended")?;
                let answer = match wish {
                    "restart the server" => mortal.restart().await?.to_string(),
                    "shut the server down" => mortal.shut_down().await.map(|()| String::new())?,
                    _ => bail!("the Go client asks us to {wish}"),
                };
                answers.write_all(format!("{answer}\n").as_bytes()).await?;
            } else {
                bail!("the Go client says {line:?}");
            }
        }
        let status = child.wait().await?;
        let all_ok = outcomes.values().all(Result::is_ok);
        ensure!(status.success() == all_ok, "the Go client ends with {status}");
        Ok(outcomes)
    }

    /// Go's benchmarks against its own server and ours.
    pub async fn bench(&self, flags: &[&str]) -> Result<String> {
        let mut args = vec!["bench".to_owned()];
        args.extend(flags.iter().map(ToString::to_string));
        let output = self.start(&args)?.wait_with_output().await?;
        ensure!(output.status.success(), "{}", self.said());
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a client is to do.
pub struct Plan<'a> {
    pub protocol: Protocol,
    pub addr: SocketAddr,
    /// Has the services on another path.
    pub other: SocketAddr,
    /// Speaks gob only.
    pub restricted: SocketAddr,
    /// Takes 10,000 bytes.
    pub limited: SocketAddr,
    pub cases: &'a [&'static str],
    /// The server, if it can be ended.
    pub mortal: Option<Arc<Mortal>>,
}

/// It ends when it is dropped, without a goodbye.
pub struct GoServer {
    pub addrs: BTreeMap<Protocol, SocketAddr>,
    _child: Child,
}

fn go(args: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new("go");
    command.args(args).current_dir(SOURCES);
    // Neither modules nor C: the standard library, and what the system has installed.
    command.envs([("GO111MODULE", "off"), ("GOFLAGS", ""), ("CGO_ENABLED", "0")]);
    let gopath = Command::new("go").args(["env", "GOPATH"]).output()?.stdout;
    let gopath = String::from_utf8(gopath)?;
    let paths = [Path::new(gopath.trim()), Path::new(DEBIANS_GOPATH)];
    let paths = paths.into_iter().filter(|path| !path.as_os_str().is_empty());
    command.env("GOPATH", env::join_paths(paths)?);
    if env::var_os("HOME").is_none() && env::var_os("GOCACHE").is_none() {
        command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"));
    }
    Ok(command.output()?)
}
