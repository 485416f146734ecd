//! A server under attack, and the neighbour whose calls must go on meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use netrpc::{Client, Server};
use tokio::{
    net::TcpListener,
    process::Command,
    time::{sleep, timeout},
};

use super::{
    attack::{Attack, Saw, Scale},
    go,
    services::{self, Args},
    words::Language,
};
use crate::process::{self, Bytes, Footprint, Process};

/// The test that is our server when this program starts itself again.
const ROLE: &str = "the_besieged";

/// The server's side: ours, with the limits that it has unless somebody changes them.
pub async fn be_besieged() {
    if !process::plays(ROLE) {
        return;
    }
    process::raise_open_files();
    let server = Server::new();
    services::register(&server);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(server.serve(listener));
    process::play("ours", addr).await;
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Ours,
    Gos,
}

/// What an attack has cost, and what came of it.
#[derive(Debug, Default)]
pub struct Damage {
    /// Of the server's memory, the most beyond what it had before.
    pub peak: Bytes,
    /// Open files and threads: the most at a time.
    pub files: u64,
    pub threads: u64,
    /// What the neighbour got done meanwhile, and the longest it had to wait for one call.
    pub calls: u64,
    pub slowest: Duration,
    /// What went wrong for the neighbour.
    pub suffered: Option<String>,
    /// What the attacker saw.
    pub saw: Saw,
    /// How the server ended, if it did not live to see the end.
    pub died: Option<String>,
}

/// Lets `attack` loose on a server of its own.
pub async fn under(attack: Attack, language: Language, whose: Whose, scale: Scale) -> Damage {
    let mut server = match whose {
        Whose::Ours => Process::again(ROLE, &[]).await,
        Whose::Gos => {
            let mut command = Command::new(go::server());
            // It has no protocol of ours; silence is the same in all.
            let language = if language == Language::Native { Language::Gob } else { language };
            command.args(["server", language.name()]).stderr(go::log(language.name()));
            Process::start(command, 1).await
        }
    };
    let addr = server.addr();
    let neighbour = neighbour(addr, language, whose).await;
    // All it needs at work is there before the attack.
    for n in 0..200 {
        multiply(&neighbour, n).await.expect("nothing is wrong yet");
    }
    let before = server.footprint().expect("it lives");
    server.forget_peak();
    let over = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn(work(neighbour, over.clone()));
    let attacking = tokio::spawn(attack.run(addr, language, scale));
    let mut most = before;
    while !attacking.is_finished()
        && let Some(now) = server.footprint()
    {
        most.files = most.files.max(now.files);
        most.threads = most.threads.max(now.threads);
        most.peak = now.peak;
        sleep(Duration::from_millis(20)).await;
    }
    let lives = server.footprint();
    over.store(true, Ordering::Relaxed);
    let mut damage = Damage {
        peak: Bytes(lives.unwrap_or(most).peak.saturating_sub(before.resident)),
        files: most.files,
        threads: most.threads,
        ..Damage::default()
    };
    if lives.is_none() {
        attacking.abort();
        let said =
            if whose == Whose::Gos { go::last_words(language.name()) } else { String::new() };
        damage.died = Some(format!("it died: {}, {said}", server.status().await));
        return damage;
    }
    damage.saw = attacking.await.expect("the attack is carried out");
    let work = working.await.expect("it ends");
    (damage.calls, damage.slowest) = (work.calls, work.slowest);
    damage.suffered = work.suffered;
    if whose == Whose::Ours {
        nothing_is_left(&server, before).await;
        let late = self::neighbour(addr, language, whose).await;
        multiply(&late, 1).await.expect("whoever comes now is served");
    }
    damage
}

/// What it costs a server to make a reply of so many bytes, which is too long to be sent.
pub async fn peak_of(bytes: i64) -> Bytes {
    let server = Process::again(ROLE, &[]).await;
    let client = Client::dial(server.addr()).await.expect("it listens");
    multiply(&client, 1).await.expect("it works");
    let before = server.footprint().expect("it lives");
    server.forget_peak();
    let made = client.call::<_, Vec<u8>>("Blob.Make", &bytes).await;
    assert_eq!(made.is_ok(), bytes == 0, "{made:?}");
    Bytes(server.footprint().expect("it lives").peak - before.resident)
}

/// Waits until the attackers' connections are closed here too.
async fn nothing_is_left(server: &Process, before: Footprint) {
    let begun = Instant::now();
    // The neighbour is gone by now.
    loop {
        let files = server.footprint().expect("it lives").files;
        if files < before.files {
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "{files} files are open, {} were", before.files);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn neighbour(addr: SocketAddr, language: Language, whose: Whose) -> Client {
    let dialled = match (whose, language) {
        (Whose::Ours, _) => Client::dial(addr).await,
        (Whose::Gos, Language::Http) => Client::dial_http(addr).await,
        (Whose::Gos, Language::Native) => {
            Client::builder().wire(netrpc::Wire::Gob).dial(addr).await
        }
        (Whose::Gos, _) => Client::builder().wire(language.wire()).dial(addr).await,
    };
    dialled.expect("it listens")
}

async fn multiply(client: &Client, n: i64) -> Result<(), netrpc::Error> {
    let args = Args { a: n, b: 3 };
    let product: i64 = client.call("Arith.Multiply", &args).await?;
    assert_eq!(product, n * 3, "somebody else's reply");
    Ok(())
}

/// How long a neighbour waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Work {
    calls: u64,
    slowest: Duration,
    suffered: Option<String>,
}

/// Calls until told that it is over, a few times at least, or until a call fails.
async fn work(client: Client, over: Arc<AtomicBool>) -> Work {
    let mut work = Work::default();
    while !over.load(Ordering::Relaxed) || work.calls < 5 {
        let begun = Instant::now();
        work.suffered = match timeout(PATIENCE, multiply(&client, work.calls as i64)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.chain().to_string()),
            Err(_) => Some(format!("no answer to a neighbour after {PATIENCE:?}")),
        };
        if work.suffered.is_some() {
            break;
        }
        work.slowest = work.slowest.max(begun.elapsed());
        work.calls += 1;
        sleep(Duration::from_millis(2)).await;
    }
    work
}
