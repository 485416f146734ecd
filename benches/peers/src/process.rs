//! The processes that the driver starts, talks to in lines, and watches.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use procfs::process::Process as Proc;

/// How long a process may take for an answer before it is taken to hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    /// What it is called in errors.
    what: &'static str,
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

/// What a process has used up to some moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// CPU seconds of all its threads, in user space and in the kernel; exact to 10 ms.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub resident: f64,
}

impl Process {
    pub fn start(what: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{what} cannot be started: {command:?}"))?;
        let stdin = child.stdin.take().context("its stdin is a pipe")?;
        let stdout = child.stdout.take().context("its stdout is a pipe")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Process { what, child, stdin, lines })
    }

    /// Waits for a line.
    pub fn read_line(&mut self) -> Result<String> {
        self.lines.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                anyhow!("{} has not answered for {} s", self.what, PATIENCE.as_secs())
            }
            RecvTimeoutError::Disconnected => anyhow!("{} has failed", self.what),
        })
    }

    /// Sends a line.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        writeln!(self.stdin, "{line}").with_context(|| format!("{} has ended", self.what))
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        let proc = Proc::new(i32::try_from(self.child.id())?)?;
        let stat = proc.stat()?;
        let ticks = stat.utime + stat.stime;
        let resident = proc.status()?.vmrss.with_context(|| format!("{} has ended", self.what))?;
        Ok(Usage {
            cpu: ticks as f64 / procfs::ticks_per_second() as f64,
            resident: resident as f64 * 1024.0,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What two processes use once neither of them has given memory back for some time.
///
/// Memory is given back by timers and at leisure: there is nothing that could be waited for.
pub fn settled(server: &Process, client: &Process) -> Result<(Usage, Usage)> {
    const LOOK: Duration = Duration::from_millis(100);
    const QUIET: Duration = Duration::from_millis(1200);
    const AT_MOST: Duration = Duration::from_secs(10);
    let began = Instant::now();
    let mut least = f64::INFINITY;
    let mut shrunk = began;
    loop {
        let usage = (server.usage()?, client.usage()?);
        let resident = usage.0.resident + usage.1.resident;
        let now = Instant::now();
        if resident < least {
            (least, shrunk) = (resident, now);
        }
        if now - shrunk >= QUIET || now - began >= AT_MOST {
            return Ok(usage);
        }
        thread::sleep(LOOK);
    }
}
