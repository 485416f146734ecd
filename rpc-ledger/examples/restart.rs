//! How long a server takes to go on after a crash, with many calls in its ledger.
//!
//! ```sh
//! cargo run --release -p netrpc-ledger --example restart -- 1000000
//! ```
//!
//! A child process fills a ledger, a hundred calls to a session, and aborts. Then the ledger is opened, its
//! sessions are read, and the calls of one of them: what a server does before its first answer.

use std::{
    env,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    time::Instant,
};

use bytes::Bytes;
use netrpc_core::{
    ledger::{Answer, Change, Outcome, Store},
    semantics::{Fingerprint, Secret, SessionId},
};
use netrpc_ledger::DiskStore;

/// Calls of each session.
const CALLS: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [fill, path, sessions] = &arguments[..]
        && fill == "--fill"
    {
        return self::fill(Path::new(path), sessions.parse()?);
    }
    let calls: u64 = arguments.first().map_or(Ok(1_000_000), |calls| calls.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("ledger");
    let begun = Instant::now();
    let sessions = (calls / CALLS).to_string();
    let child =
        Command::new(env::current_exe()?).arg("--fill").arg(&path).arg(sessions).status()?;
    assert!(!child.success(), "it was to abort");
    println!("{calls} calls written in {:.1?}, and aborted", begun.elapsed());
    println!("{} bytes a call on disk", path.metadata()?.len() / calls.max(1));

    let begun = Instant::now();
    let store = DiskStore::open(&path)?;
    println!("opened after {:.1?}", begun.elapsed());
    let (sessions, _) = store.sessions()?;
    println!("{} sessions known after {:.1?}", sessions.len(), begun.elapsed());
    let calls = store.recall(sessions[sessions.len() / 2].session)?;
    println!("{} calls of one recalled after {:.1?}", calls.len(), begun.elapsed());
    Ok(())
}

fn fill(path: &Path, sessions: u64) -> Result<(), Box<dyn std::error::Error>> {
    let store = DiskStore::open(path)?;
    let (tell, told) = mpsc::channel();
    for session in (1..=sessions).map(SessionId) {
        let secret = Secret::new([session.0 as u8; 16]);
        let mut changes = vec![Change::Opened { session, secret, owner: None }];
        changes.extend((1..=CALLS).map(|seq| {
            let body = Bytes::from_static(b"a reply of some bytes");
            let answer = Answer { is_fault: false, head: Bytes::new(), body };
            let (fingerprint, outcome) = (Fingerprint([0; 16]), Outcome::Answer(answer));
            Change::Completed { session, seq, fingerprint, outcome }
        }));
        let tell = tell.clone();
        store.keep(Arc::from(changes), None, Box::new(move |result| drop(tell.send(result))));
    }
    drop(tell);
    for result in told {
        result?;
    }
    std::process::abort()
}
