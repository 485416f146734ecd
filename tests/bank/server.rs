//! The bank.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use netrpc::{Context, Fault, Ledger, Server, service};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};

use crate::{AT, DIR, process};

/// The test that is the bank when this program starts itself again.
pub const ROLE: &str = "bank::server::the_bank";

struct Bank {
    notes: File,
}

#[service]
impl Bank {
    /// Takes a unit from the account, and notes which debit that was.
    #[method(exactly_once)]
    async fn debit(&self, cx: &Context, id: u64, balance: &mut i64) -> Result<(), Fault> {
        {
            let mut txn = cx.txn()?;
            let key = id.to_be_bytes();
            let times = txn.get("debits", key)?.map_or(0, number) + 1;
            txn.put("debits", key, times.to_le_bytes());
            *balance = -i64::try_from(txn.get("bank", "taken")?.map_or(0, number) + 1)
                .expect("not so much");
            txn.put("bank", "taken", balance.unsigned_abs().to_le_bytes());
        }
        sleep(pause(id)).await;
        Ok(())
    }

    /// What was taken, and how often each debit.
    #[method(exactly_once)]
    fn debits(&self, cx: &Context, (): (), debits: &mut Vec<(u64, u64)>) -> Result<(), Fault> {
        let all = cx.txn()?.range("debits", 0u64.to_be_bytes(), u64::MAX.to_be_bytes())?;
        let id = |key: Vec<u8>| u64::from_be_bytes(key.try_into().expect("eight bytes"));
        *debits = all.into_iter().map(|(key, times)| (id(key), number(times))).collect();
        Ok(())
    }

    #[method(exactly_once)]
    fn balance(&self, cx: &Context, (): (), balance: &mut i64) -> Result<(), Fault> {
        let taken = cx.txn()?.get("bank", "taken")?.map_or(0, number);
        *balance = -i64::try_from(taken).expect("not so much");
        Ok(())
    }

    /// Takes a unit in a way that the ledger knows nothing of: one write that appends is one note.
    async fn hand_out(&self, id: u64, reply: &mut u64) {
        (&self.notes).write_all(&id.to_le_bytes()).expect("there is room for notes");
        sleep(pause(id)).await;
        *reply = id;
    }
}

/// How long a call runs on after its effect.
fn pause(id: u64) -> Duration {
    Duration::from_micros(id % 7 * 500)
}

fn number(kept: Vec<u8>) -> u64 {
    u64::from_le_bytes(kept.try_into().expect("eight bytes"))
}

fn path(dir: &Path) -> PathBuf {
    dir.join("handed-out")
}

/// How often each unit was handed out.
pub fn notes(dir: &Path) -> BTreeMap<u64, u64> {
    let bytes = fs::read(path(dir)).expect("the server has made it");
    let (notes, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "a note is whole");
    let mut times = BTreeMap::new();
    for note in notes {
        *times.entry(u64::from_le_bytes(*note)).or_default() += 1;
    }
    times
}

#[test]
#[ignore = "a server that the other test starts"]
fn the_bank() {
    if !process::plays(ROLE) {
        return;
    }
    let dir = PathBuf::from(env::var_os(DIR).expect("a folder"));
    Runtime::new().expect("a runtime").block_on(async {
        let ledger = Ledger::open(dir.join("bank.ledger")).expect("nobody else has it");
        let server = Server::builder().ledger(ledger).build();
        let notes = OpenOptions::new().append(true).create(true).open(path(&dir)).expect("a file");
        server.register(Bank { notes }).expect("a name of its own");
        let listener = TcpListener::bind(env::var(AT).expect("an address")).await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        tokio::spawn(server.serve(listener));
        process::play("bank", addr).await;
    });
}
